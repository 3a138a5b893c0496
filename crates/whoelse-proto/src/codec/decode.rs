//! From a frame to a [`Request`], or to the answer that says what is wrong with it.
//!
//! Members are first taken as raw text, so that a number of any size is well-formed until a
//! field wants it, and so that `action` and `id` are known whatever else is wrong.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::keys::{
    DeviceKey, EndpointKey, FileHash, InviteSecret, KeyError, RelayTicket, Signature,
};
use crate::limits::{
    CARD_BYTES_MAX, DEPTH_MAX, ID_BYTES_MAX, MEMBERS_MAX, PASSWORD_BYTES_MAX, RECEIPTS_MAX,
    SEARCH_BYTES_MAX, SHARED_BYTES_MAX, SHARED_WITH_MAX,
};
use crate::link::{LinkAnswer, LinkName, LinkReason, NewLink, Purpose};
use crate::names::Name;
use crate::request::{Command, Device, Join, Login, Passwd, Request, RequestId, Resume, Role};
use crate::share::{Share, SharedName};

/// A frame that is not a request, with what could be read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The `action`, if one could be read.
    pub action: Option<String>,
    /// The `id`, if one could be read.
    pub id: Option<RequestId>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not well formed; the sentence says where.
    Bad(String),
    /// It is, but nothing is called that.
    UnknownAction,
}

/// Reads one frame.
///
/// # Errors
/// Says what is wrong with it, and to which action and id the answer belongs.
pub fn decode(frame: &[u8]) -> Result<Request<'_>, Malformed> {
    let Ok(text) = std::str::from_utf8(frame) else {
        return Err(salvage(frame, "The frame is not UTF-8."));
    };
    if let Some(request) = quick(text) {
        return Ok(request);
    }
    let mut fields = Fields::default();
    match fields.read(text) {
        Ok(()) => {}
        Err(error) if error.is_data() => {
            return Err(fields.malformed(data_error(&error)));
        }
        Err(error) => {
            let column = error.column();
            let sentence = format!("The frame is not JSON (at byte {column}).");
            return Err(salvage(frame, &sentence));
        }
    }
    match fields.command() {
        Ok(command) => match fields.request_id() {
            Ok(id) => Ok(Request { id, command }),
            Err(sentence) => Err(fields.malformed(sentence)),
        },
        Err(Fault::Bad(sentence)) => Err(fields.malformed(sentence)),
        Err(Fault::UnknownAction) => {
            Err(Malformed { fault: Fault::UnknownAction, ..fields.malformed(String::new()) })
        }
    }
}

/// Reads the two requests that are most of the traffic, `message` and `ack`, in one pass.
///
/// Whatever is out of the ordinary (another member, one twice, a value of another type) is left
/// to the thorough way; the two never disagree about a request.
fn quick(text: &str) -> Option<Request<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(QuickVisitor).ok()?;
    deserializer.end().ok()?;
    let id = match members.id {
        Some(id) => Some(RequestId::new(&id)?),
        None => None,
    };
    let command = match (&*members.action?, members.user, members.message, members.number) {
        ("message", Some(user), Some(message), None) => Command::Message { user, message },
        ("ack", None, None, Some(number)) => Command::Ack { number },
        _ => return None,
    };
    Some(Request { id, command })
}

#[derive(Default)]
struct QuickMembers<'a> {
    action: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    number: Option<u64>,
}

struct QuickVisitor;

impl<'a> Visitor<'a> for QuickVisitor {
    type Value = QuickMembers<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<QuickMembers<'a>, A::Error> {
        let mut members = QuickMembers::default();
        while let Some(Text(key)) = map.next_key()? {
            let slot = match &*key {
                "action" => &mut members.action,
                "id" => &mut members.id,
                "user" => &mut members.user,
                "message" => &mut members.message,
                "number" if members.number.is_none() => {
                    members.number = Some(map.next_value()?);
                    continue;
                }
                _ => return Err(A::Error::custom("something else")),
            };
            let Text(text) = map.next_value()?;
            if slot.is_some() || text.contains('\0') {
                return Err(A::Error::custom("something else"));
            }
            *slot = Some(text);
        }
        Ok(members)
    }
}

/// Reads `action` and `id` of a frame that is broken in some way, as far as they come before
/// the break, so that the answer finds the one who asked.
#[must_use]
pub fn salvage(frame: &[u8], sentence: &str) -> Malformed {
    let text: String = String::from_utf8_lossy(frame)
        .chars()
        .map(|character| if character < ' ' { ' ' } else { character })
        .collect();
    let mut fields = Fields::default();
    // Whatever stops it, what was read until then is what is wanted.
    fields.read(&text).unwrap_or_default();
    fields.malformed(sentence.to_owned())
}

/// The members of a frame that mean something, as raw text.
#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a RawValue>,
    action_twice: bool,
    id: Option<&'a RawValue>,
    username: Option<&'a RawValue>,
    password: Option<&'a RawValue>,
    private_port: Option<&'a RawValue>,
    protocol: Option<&'a RawValue>,
    instance: Option<&'a RawValue>,
    takeover: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    since: Option<&'a RawValue>,
    number: Option<&'a RawValue>,
    device_key: Option<&'a RawValue>,
    device_name: Option<&'a RawValue>,
    signature: Option<&'a RawValue>,
    invite: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    old: Option<&'a RawValue>,
    new: Option<&'a RawValue>,
    forget: Option<&'a RawValue>,
    ids: Option<&'a RawValue>,
    receipts: Option<&'a RawValue>,
    links: Option<&'a RawValue>,
    link: Option<&'a RawValue>,
    purpose: Option<&'a RawValue>,
    accept: Option<&'a RawValue>,
    reason: Option<&'a RawValue>,
    card: Option<&'a RawValue>,
    endpoint: Option<&'a RawValue>,
    ticket: Option<&'a RawValue>,
    file: Option<&'a RawValue>,
    hash: Option<&'a RawValue>,
    size: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    with: Option<&'a RawValue>,
    words: Option<&'a RawValue>,
    parts: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, text: &'a str) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(FieldsVisitor(self))?;
        deserializer.end()
    }

    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "action" => &mut self.action,
            "id" => &mut self.id,
            "username" => &mut self.username,
            "password" => &mut self.password,
            "private_port" => &mut self.private_port,
            "protocol" => &mut self.protocol,
            "instance" => &mut self.instance,
            "takeover" => &mut self.takeover,
            "user" => &mut self.user,
            "message" => &mut self.message,
            "since" => &mut self.since,
            "number" => &mut self.number,
            "device_key" => &mut self.device_key,
            "device_name" => &mut self.device_name,
            "signature" => &mut self.signature,
            "invite" => &mut self.invite,
            "role" => &mut self.role,
            "old" => &mut self.old,
            "new" => &mut self.new,
            "forget" => &mut self.forget,
            "ids" => &mut self.ids,
            "receipts" => &mut self.receipts,
            "links" => &mut self.links,
            "link" => &mut self.link,
            "purpose" => &mut self.purpose,
            "accept" => &mut self.accept,
            "reason" => &mut self.reason,
            "card" => &mut self.card,
            "endpoint" => &mut self.endpoint,
            "ticket" => &mut self.ticket,
            "file" => &mut self.file,
            "hash" => &mut self.hash,
            "size" => &mut self.size,
            "name" => &mut self.name,
            "with" => &mut self.with,
            "words" => &mut self.words,
            "parts" => &mut self.parts,
            _ => return None,
        })
    }

    fn malformed(&self, sentence: String) -> Malformed {
        let action = match self.action {
            Some(raw) if !self.action_twice => {
                string("action", Some(raw)).ok().map(|action| cut(&action).to_owned())
            }
            _ => None,
        };
        Malformed { action, id: self.request_id().ok().flatten(), fault: Fault::Bad(sentence) }
    }

    fn request_id(&self) -> Result<Option<RequestId>, String> {
        let Some(raw) = self.id else { return Ok(None) };
        let text = string("id", Some(raw))?;
        RequestId::new(&text)
            .map(Some)
            .ok_or_else(|| format!("'id' must have 1 to {ID_BYTES_MAX} bytes."))
    }

    fn command(&self) -> Result<Command<'a>, Fault> {
        let action = string("action", self.action).map_err(Fault::Bad)?;
        self.command_of(&action).map_err(Fault::Bad)?.ok_or(Fault::UnknownAction)
    }

    fn command_of(&self, action: &str) -> Result<Option<Command<'a>>, String> {
        let user = || string("user", self.user);
        let message = || string("message", self.message);
        Ok(Some(match action {
            "login" => Command::Login(self.login()?),
            "message" => Command::Message { user: user()?, message: message()? },
            "broadcast" => Command::Broadcast { message: message()? },
            "block" => Command::Block { user: user()? },
            "unblock" => Command::Unblock { user: user()? },
            "whoelse" => Command::Whoelse,
            "whoelsesince" => Command::WhoelseSince { since_ms: self.since_ms()? },
            "startprivate" => Command::StartPrivate { user: user()?, link: self.new_link()? },
            "answer_private" => {
                Command::AnswerPrivate { link: self.link()?, answer: self.link_answer()? }
            }
            "private_card" => Command::PrivateCard { link: self.link()?, card: self.card()? },
            "end_private" => Command::EndPrivate { link: self.link()? },
            "relay" => Command::Relay { endpoint: self.endpoint()?, ticket: self.ticket()? },
            "share" => Command::Share(self.share()?),
            "unshare" => Command::Unshare { hash: self.hash()? },
            "shares" => Command::Shares,
            "search_files" => Command::SearchFiles { words: self.words()? },
            "sources" => Command::Sources { hash: self.hash()? },
            "have" => Command::Have { hash: self.hash()?, parts: string("parts", self.parts)? },
            "logout" => Command::Logout { forget: truth("forget", self.forget)? },
            "ack" => Command::Ack { number: whole("number", self.number)? },
            "receipts" => Command::Receipts { ids: self.ids()? },
            "active" => Command::Active,
            "challenge" => Command::Challenge,
            "resume" => Command::Resume(self.resume()?),
            "invitation" => Command::Invitation { invite: self.invite()? },
            "join" => Command::Join(self.join()?),
            "invite" => Command::Invite { role: self.role()? },
            "invites" => Command::Invites,
            "revoke_invite" => Command::RevokeInvite { number: whole("number", self.number)? },
            "devices" => Command::Devices,
            "revoke_device" => {
                Command::RevokeDevice { name: string("device_name", self.device_name)? }
            }
            "passwd" => Command::Passwd(Passwd {
                old: password("old", self.old)?,
                new: password("new", self.new)?,
            }),
            "lock" => Command::Lock { user: user()? },
            "unlock" => Command::Unlock { user: user()? },
            _ => return Ok(None),
        }))
    }

    fn login(&self) -> Result<Login<'a>, String> {
        let private_port = self.private_port()?;
        let protocol = self.protocol()?;
        // An original client knows no devices; what it may send under these names means nothing.
        let device = if protocol.is_some() { self.device()? } else { None };
        Ok(Login {
            username: string("username", self.username)?,
            password: password("password", self.password)?,
            private_port,
            protocol,
            instance: self.instance()?,
            takeover: truth("takeover", self.takeover)?,
            device,
            receipts: protocol.is_some() && truth("receipts", self.receipts)?,
            links: protocol.is_some() && self.links()?,
        })
    }

    fn resume(&self) -> Result<Resume<'a>, String> {
        Ok(Resume {
            username: string("username", self.username)?,
            key: self.device_key()?,
            signature: key("signature", self.signature, Signature::parse)?,
            protocol: self.protocol()?.ok_or("'protocol' is missing.")?,
            instance: self.instance()?,
            takeover: truth("takeover", self.takeover)?,
            receipts: truth("receipts", self.receipts)?,
            links: self.links()?,
            private_port: self.private_port()?,
        })
    }

    fn join(&self) -> Result<Join<'a>, String> {
        Ok(Join {
            invite: self.invite()?,
            username: string("username", self.username)?,
            password: password("password", self.password)?,
            protocol: self.protocol()?.ok_or("'protocol' is missing.")?,
            instance: self.instance()?,
            device: self.device()?,
            receipts: truth("receipts", self.receipts)?,
            links: self.links()?,
            private_port: self.private_port()?,
        })
    }

    fn private_port(&self) -> Result<u16, String> {
        let Some(raw) = self.private_port else { return Ok(0) };
        u16::try_from(whole("private_port", Some(raw))?)
            .map_err(|_| "'private_port' must be a number from 0 to 65535.".to_owned())
    }

    /// The highest version of private links the client speaks; there is only one so far.
    fn links(&self) -> Result<bool, String> {
        let Some(raw) = self.links else { return Ok(false) };
        Ok(whole("links", Some(raw))? > 0)
    }

    fn link(&self) -> Result<LinkName, String> {
        LinkName::new(&string("link", self.link)?)
            .ok_or_else(|| format!("'link' must have 1 to {ID_BYTES_MAX} bytes."))
    }

    fn new_link(&self) -> Result<Option<NewLink>, String> {
        if self.link.is_none() {
            return Ok(None);
        }
        let file = self.file.map(|raw| key("file", Some(raw), FileHash::parse)).transpose()?;
        let word = string("purpose", self.purpose)?;
        let purpose = Purpose::parse(&word, file).ok_or_else(|| match &*word {
            "talk" => "'file' belongs to the purpose \"file\".",
            "file" => "'file' is missing.",
            _ => "'purpose' must be \"talk\" or \"file\".",
        })?;
        Ok(Some(NewLink { name: self.link()?, purpose }))
    }

    fn link_answer(&self) -> Result<LinkAnswer<'a>, String> {
        if self.accept.is_none() {
            return Err("'accept' is missing.".into());
        }
        if truth("accept", self.accept)? {
            return Ok(LinkAnswer::Accept { card: self.card()? });
        }
        let Some(raw) = self.reason else { return Ok(LinkAnswer::Decline(LinkReason::Declined)) };
        LinkReason::parse(&string("reason", Some(raw))?)
            .filter(|reason| reason.of_decline())
            .map(LinkAnswer::Decline)
            .ok_or_else(|| "'reason' must be DECLINED, BUSY, KEY_CHANGED or NOT_WANTED.".into())
    }

    fn card(&self) -> Result<Cow<'a, str>, String> {
        let card = string("card", self.card)?;
        if card.len() > CARD_BYTES_MAX {
            return Err(format!("'card' has at most {CARD_BYTES_MAX} bytes."));
        }
        Ok(card)
    }

    fn endpoint(&self) -> Result<EndpointKey, String> {
        key("endpoint", self.endpoint, EndpointKey::parse)
    }

    fn ticket(&self) -> Result<Option<RelayTicket>, String> {
        let Some(raw) = self.ticket else { return Ok(None) };
        key("ticket", Some(raw), RelayTicket::parse).map(Some)
    }

    fn hash(&self) -> Result<FileHash, String> {
        key("hash", self.hash, FileHash::parse)
    }

    fn share(&self) -> Result<Share<'a>, String> {
        let size = whole("size", self.size)?;
        if !(1..=SHARED_BYTES_MAX).contains(&size) {
            return Err(format!("'size' must be a number from 1 to {SHARED_BYTES_MAX}."));
        }
        let name = SharedName::new(&string("name", self.name)?)
            .map_err(|error| format!("'name' is not fit: {error}."))?;
        let with = self.with()?;
        let signature = key("signature", self.signature, Signature::parse)?;
        Ok(Share { hash: self.hash()?, size, name, with, signature })
    }

    fn with(&self) -> Result<Option<Vec<Cow<'a, str>>>, String> {
        let Some(raw) = self.with else { return Ok(None) };
        let wanted = || format!("'with' must be an array of 1 to {SHARED_WITH_MAX} names.");
        let texts: Vec<Text<'_>> = serde_json::from_str(raw.get()).map_err(|_| wanted())?;
        let is_sound = (1..=SHARED_WITH_MAX).contains(&texts.len())
            && !texts.iter().any(|Text(text)| text.contains('\0'));
        let names = texts.into_iter().map(|Text(text)| text).collect();
        is_sound.then_some(Some(names)).ok_or_else(wanted)
    }

    fn words(&self) -> Result<Cow<'a, str>, String> {
        let Some(raw) = self.words else { return Ok(Cow::Borrowed("")) };
        let words = string("words", Some(raw))?;
        if words.len() > SEARCH_BYTES_MAX {
            return Err(format!("'words' has at most {SEARCH_BYTES_MAX} bytes."));
        }
        Ok(words)
    }

    fn ids(&self) -> Result<Vec<RequestId>, String> {
        let wanted = || {
            format!(
                "'ids' must be an array of 1 to {RECEIPTS_MAX} ids, 1 to {ID_BYTES_MAX} bytes each."
            )
        };
        let raw = self.ids.ok_or_else(wanted)?.get();
        let texts: Vec<Text<'_>> = serde_json::from_str(raw).map_err(|_| wanted())?;
        if texts.is_empty() || texts.len() > RECEIPTS_MAX {
            return Err(wanted());
        }
        let id = |Text(text): &Text<'_>| {
            RequestId::new(text).filter(|_| !text.contains('\0')).ok_or_else(wanted)
        };
        texts.iter().map(id).collect()
    }

    fn protocol(&self) -> Result<Option<u32>, String> {
        let Some(raw) = self.protocol else { return Ok(None) };
        match whole("protocol", Some(raw))? {
            0 => Err("'protocol' must be 1 or more.".into()),
            version => Ok(Some(u32::try_from(version).unwrap_or(u32::MAX))),
        }
    }

    fn instance(&self) -> Result<Option<Cow<'a, str>>, String> {
        let Some(raw) = self.instance else { return Ok(None) };
        Some(string("instance", Some(raw))?)
            .filter(|text| (1..=ID_BYTES_MAX).contains(&text.len()))
            .map(Some)
            .ok_or_else(|| format!("'instance' must have 1 to {ID_BYTES_MAX} bytes."))
    }

    fn device(&self) -> Result<Option<Device<'a>>, String> {
        if self.device_key.is_none() {
            return Ok(None);
        }
        let name = match self.device_name {
            None => Cow::Borrowed("device"),
            Some(raw) => string("device_name", Some(raw))?,
        };
        if let Err(error) = Name::new(&name) {
            return Err(format!("'device_name' is not fit: {error}."));
        }
        Ok(Some(Device { key: self.device_key()?, name }))
    }

    fn device_key(&self) -> Result<DeviceKey, String> {
        key("device_key", self.device_key, DeviceKey::parse)
    }

    fn invite(&self) -> Result<InviteSecret, String> {
        key("invite", self.invite, InviteSecret::parse)
    }

    fn role(&self) -> Result<Role, String> {
        let Some(raw) = self.role else { return Ok(Role::Member) };
        Role::parse(&string("role", Some(raw))?)
            .ok_or_else(|| "'role' must be \"member\" or \"admin\".".into())
    }

    /// A number of seconds, or a string of digits as the original client sends it.
    fn since_ms(&self) -> Result<u64, String> {
        const WANTED: &str = "'since' must be a number of seconds, 0 or more.";
        let raw = self.since.ok_or("'since' is missing: a number of seconds.")?.get();
        if raw.starts_with('"') {
            let digits = string("since", self.since)?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(WANTED.into());
            }
            // More seconds than fit mean the same as very many: everybody known.
            return Ok(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
        }
        if let Ok(seconds) = raw.parse::<u64>() {
            return Ok(seconds.saturating_mul(1000));
        }
        match serde_json::from_str::<f64>(raw) {
            Ok(seconds) if (0.0..=9e15).contains(&seconds) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked"
                )]
                Ok((seconds * 1000.0) as u64)
            }
            _ => Err(WANTED.into()),
        }
    }
}

fn string<'a>(key: &str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, String> {
    let raw = raw.ok_or_else(|| format!("'{key}' is missing."))?.get();
    if !raw.starts_with('"') {
        return Err(format!("'{key}' must be a string."));
    }
    let Text(text) = serde_json::from_str(raw)
        .map_err(|_| format!("'{key}' holds half of a surrogate pair, which is no character."))?;
    if text.contains('\0') {
        return Err(format!("'{key}' holds a NUL character."));
    }
    Ok(text)
}

fn password<'a>(name: &str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, String> {
    let password = string(name, raw)?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("A password has at most {PASSWORD_BYTES_MAX} bytes."));
    }
    Ok(password)
}

fn key<T>(
    name: &str,
    raw: Option<&RawValue>,
    parse: impl FnOnce(&str) -> Result<T, KeyError>,
) -> Result<T, String> {
    parse(&string(name, raw)?).map_err(|error| format!("'{name}' is not sound: {error}."))
}

fn truth(name: &str, raw: Option<&RawValue>) -> Result<bool, String> {
    match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(format!("'{name}' must be true or false.")),
    }
}

fn whole(key: &str, raw: Option<&RawValue>) -> Result<u64, String> {
    let raw = raw.ok_or_else(|| format!("'{key}' is missing."))?.get();
    raw.parse().map_err(|_| format!("'{key}' must be a whole number, 0 or more, of usual size."))
}

fn cut(action: &str) -> &str {
    &action[..action.floor_char_boundary(crate::limits::ACTION_BYTES_MAX)]
}

/// The sentence of an error of ours that travelled through serde.
fn data_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let sentence = text.split_once(" at line ").map_or(text.as_str(), |(sentence, _)| sentence);
    if sentence.starts_with("invalid type") {
        return "The frame is not an object.".into();
    }
    sentence.to_owned()
}

struct FieldsVisitor<'f, 'a>(&'f mut Fields<'a>);

impl<'a> Visitor<'a> for FieldsVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // The first fault is reported, but reading goes on: `action` and `id` may still come.
        let mut fault: Option<String> = None;
        let mut others: Vec<Cow<'a, str>> = Vec::new();
        let mut members = 0;
        while let Some(Text(key)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            members += 1;
            if members > MEMBERS_MAX {
                fault.get_or_insert_with(|| format!("More than {MEMBERS_MAX} members."));
                continue;
            }
            if let Err(sentence) = check_value(raw, 2) {
                fault.get_or_insert(sentence);
            }
            match self.0.slot(&key) {
                Some(slot) if slot.is_none() => *slot = Some(raw),
                Some(_) => {
                    self.0.action_twice |= key == "action";
                    fault.get_or_insert_with(|| format!("'{key}' stands there twice."));
                }
                None if others.contains(&key) => {
                    fault.get_or_insert_with(|| "A member stands there twice.".to_owned());
                }
                None => others.push(key),
            }
        }
        fault.map_or(Ok(()), |sentence| Err(A::Error::custom(sentence)))
    }
}

/// Checks a value that nobody may ever look at: nothing in it may be ambiguous or too deep.
///
/// Strings and numbers at the top are left to the field that wants them. The recursion ends at
/// [`DEPTH_MAX`], before the stack could.
fn check_value(raw: &RawValue, depth: u32) -> Result<(), String> {
    let text = raw.get();
    if !text.starts_with(['{', '[']) {
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(format!("Nested deeper than {DEPTH_MAX}."));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_any(NestedVisitor { depth }).map_err(|error| data_error(&error))
}

struct NestedVisitor {
    depth: u32,
}

impl<'a> Visitor<'a> for NestedVisitor {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(raw) = items.next_element::<&RawValue>()? {
            check_value(raw, self.depth + 1).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys: Vec<Cow<'a, str>> = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            if keys.len() >= MEMBERS_MAX {
                return Err(A::Error::custom(format!("More than {MEMBERS_MAX} members.")));
            }
            if keys.contains(&key) {
                return Err(A::Error::custom("A member stands there twice."));
            }
            keys.push(key);
            check_value(raw, self.depth + 1).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A string, borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
