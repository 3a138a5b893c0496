//! From events to lines of JSON, in the dialect of each session.

use serde::Serialize;
use serde_json::{Value, json};

use super::decode::{Fault, Malformed};
use crate::event::{Action, Answer, Dialect, Event, FoundFile, Mail, Outcome, OwnShare};
use crate::names::Name;
use crate::refusal::Refusal;
use crate::request::{RequestId, Role};
use crate::share::Scope;

/// Appends an event as one line.
#[expect(clippy::too_many_lines, reason = "an arm for each kind of event")]
pub fn encode_event(event: &Event, dialect: Dialect, out: &mut Vec<u8>) {
    match event {
        Event::Answer(answer) => encode_answer(answer, dialect, out),
        Event::Broadcast { from, message } => {
            let mut line = Line::begin("receive_broadcast", out);
            line.member("from", from);
            line.member("message", message);
            line.end();
        }
        Event::LoggedIn { name } => presence("login_broadcast", name, out),
        Event::LoggedOut { name } => presence("logout_broadcast", name, out),
        Event::Delivered { user, keys } => {
            let mut line = Line::begin("delivered", out);
            line.member("user", user);
            line.member("keys", &keys.iter().map(ToString::to_string).collect::<Vec<_>>());
            line.end();
        }
        Event::PrivateRequest { from, link, purpose, device, device_name } => {
            let mut line = Line::begin("private_request", out);
            line.member("from", from);
            line.member("link", link.as_str());
            line.member("purpose", purpose.as_str());
            if let Some(file) = purpose.file() {
                line.member("file", &file.to_string());
            }
            line.member("device", &device.to_string());
            line.member("device_name", device_name);
            line.end();
        }
        Event::PrivateAnswer { from, link, answer } => {
            let mut line = Line::begin("private_answer", out);
            line.member("from", from);
            line.member("link", link.as_str());
            line.member("accepted", &answer.is_ok());
            match answer {
                Ok(card) => line.member("card", card),
                Err(reason) => line.member("reason", reason.as_str()),
            }
            line.end();
        }
        Event::PrivateCard { from, link, card } => {
            let mut line = Line::begin("private_card", out);
            line.member("from", from);
            line.member("link", link.as_str());
            line.member("card", card);
            line.end();
        }
        Event::PrivateEnded { from, link, reason } => {
            let mut line = Line::begin("private_ended", out);
            line.member("from", from);
            line.member("link", link.as_str());
            line.member("reason", reason.as_str());
            line.end();
        }
        Event::Timeout => {
            let mut line = Line::begin("timeout", out);
            if dialect != Dialect::Original {
                line.member("message", "Logged out: nothing was asked for too long.");
            }
            line.end();
        }
        Event::TakenOver => {
            let mut line = Line::begin("takeover", out);
            line.member("message", "Logged out: you logged in elsewhere.");
            line.end();
        }
        Event::Ended(reason) => {
            let mut line = Line::begin("ended", out);
            line.member("reason", reason.as_str());
            line.member("message", reason.sentence());
            line.end();
        }
        Event::Malformed(malformed) => encode_malformed(malformed, out),
    }
}

/// Appends a direct message as one line.
pub fn encode_mail(mail: &Mail, dialect: Dialect, out: &mut Vec<u8>) {
    let mut line = Line::begin("receive_message", out);
    line.member("from", &mail.from);
    line.member("message", &mail.message);
    if dialect == Dialect::Protocol {
        line.member("number", &mail.number);
        line.member("id", &mail.id);
        line.member("at", &rfc3339(mail.at_ms));
    }
    line.end();
}

fn encode_malformed(malformed: &Malformed, out: &mut Vec<u8>) {
    let mut line = Line::begin(malformed.action.as_deref().unwrap_or("error"), out);
    if let Some(id) = &malformed.id {
        line.member("id", id.as_str());
    }
    match &malformed.fault {
        Fault::UnknownAction => {
            line.member("status", "UNKNOWN_ACTION");
            line.member("reply", "Unknown action");
            line.member("message", "Unknown action. See docs/PROTOCOL.md for those there are.");
        }
        Fault::Bad(sentence) => {
            line.member("status", "BAD_REQUEST");
            line.member("message", sentence);
        }
    }
    line.end();
}

fn presence(action: &str, name: &Name, out: &mut Vec<u8>) {
    let mut line = Line::begin(action, out);
    line.member("from", name);
    line.member("message", "");
    line.end();
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of answer")]
fn encode_answer(answer: &Answer, dialect: Dialect, out: &mut Vec<u8>) {
    let mut line = Line::begin(answer.action.as_str(), out);
    if let Some(id) = &answer.id {
        line.member("id", id.as_str());
    }
    if let Outcome::Refused(refusal) = &answer.outcome {
        encode_refusal(refusal, answer.action, dialect, &mut line);
    } else {
        line.member("status", "SUCCESS");
    }
    match &answer.outcome {
        Outcome::Done | Outcome::Refused(_) => {}
        Outcome::Welcome { protocol, server, acknowledged, role, failed_logins, device } => {
            if let Some(protocol) = protocol {
                line.member("protocol", protocol);
                line.member("server", server);
                line.member("acknowledged", acknowledged);
                if *role != Role::Member {
                    line.member("role", role.as_str());
                }
                if *failed_logins > 0 {
                    line.member("failed_logins", failed_logins);
                }
                if let Some(device) = device {
                    line.member("device_name", device);
                }
            }
        }
        Outcome::Nonce(nonce) => line.member("nonce", &nonce.to_string()),
        Outcome::Invitation { role, by, expires_in_ms } => {
            line.member("role", role.as_str());
            if let Some(by) = by {
                line.member("by", by);
            }
            line.member("expires_in", &(expires_in_ms / 1000));
        }
        Outcome::Invited { number, secret, role, expires_in_ms, meeting } => {
            line.member("number", number);
            line.member("invite", &secret.expose_text());
            line.member("role", role.as_str());
            line.member("expires_in", &(expires_in_ms / 1000));
            line.member("place", &meeting.place.to_string());
            line.member("guessed", &meeting.is_guessed);
            line.member("server_key", &meeting.key.to_string());
        }
        Outcome::Invites(invites) => {
            let invites = invites.iter().map(|invite| {
                let mut object = json!({
                    "number": invite.number,
                    "role": invite.role.as_str(),
                    "expires_in": invite.expires_in_ms / 1000,
                });
                if let Some(by) = &invite.by {
                    object["by"] = json!(by);
                }
                object
            });
            line.member("invites", &invites.collect::<Vec<_>>());
        }
        Outcome::Devices(devices) => {
            let devices = devices.iter().map(|device| {
                json!({
                    "device_name": device.name,
                    "device_key": device.key.to_string(),
                    "added": rfc3339(device.added_ms),
                    "used": rfc3339(device.used_ms),
                    "this": device.is_this,
                })
            });
            line.member("devices", &devices.collect::<Vec<_>>());
        }
        Outcome::Receipts { delivered, unknown } => {
            let texts = |ids: &[RequestId]| -> Vec<String> {
                ids.iter().map(|id| id.as_str().to_owned()).collect()
            };
            line.member("delivered", &texts(delivered));
            line.member("unknown", &texts(unknown));
        }
        Outcome::Names(names) => line.member("reply", names),
        Outcome::Counted { n_sent, n_blocked } => {
            line.member("n_sent", n_sent);
            line.member("n_blocked", n_blocked);
        }
        Outcome::Address { address, port, username } => {
            line.member("reply", "SUCCESS");
            line.member("address", address);
            line.member("port", port);
            line.member("username", username);
        }
        Outcome::Asked { user, link, device, device_name, accepts } => {
            line.member("user", user);
            line.member("link", link.as_str());
            line.member("device", &device.to_string());
            line.member("device_name", device_name);
            if *accepts {
                line.member("accepts", accepts);
            }
        }
        Outcome::Shares(shares) => {
            line.member("files", &shares.iter().map(own_share).collect::<Vec<_>>());
        }
        Outcome::Found { files, more } => {
            line.member("files", &files.iter().map(found_file).collect::<Vec<_>>());
            if *more {
                line.member("more", more);
            }
        }
        Outcome::Sources(sources) => {
            let sources = sources.iter().map(|source| {
                json!({
                    "user": source.user,
                    "device": source.device.to_string(),
                    "device_name": source.device_name,
                    "parts": source.parts.to_string(),
                })
            });
            line.member("sources", &sources.collect::<Vec<_>>());
        }
        Outcome::Goodbye => line.member("reply", "logged out"),
    }
    line.end();
}

fn own_share(share: &OwnShare) -> Value {
    let object = json!({
        "hash": share.hash.to_string(),
        "size": share.size,
        "name": share.name,
        "sources": share.sources,
    });
    with_scope(object, &share.with)
}

fn found_file(file: &FoundFile) -> Value {
    let object = json!({
        "hash": file.hash.to_string(),
        "size": file.size,
        "name": file.name,
        "from": file.from,
        "device": file.device.to_string(),
        "device_name": file.device_name,
        "signature": file.signature.to_string(),
        "sources": file.sources,
    });
    with_scope(object, &file.with)
}

fn with_scope(mut object: Value, scope: &Scope) -> Value {
    if let Some(names) = scope.names() {
        object["with"] = json!(names);
    }
    object
}

fn encode_refusal(refusal: &Refusal, action: Action, dialect: Dialect, line: &mut Line<'_>) {
    let status = refusal.status(action);
    line.member("status", status);
    if action == Action::StartPrivate {
        line.member("reply", status);
    }
    if dialect == Dialect::Original {
        return;
    }
    line.member("message", &refusal.sentence(action));
    if let Some(milliseconds) = refusal.retry_after_ms() {
        line.member("retry_after", &milliseconds.div_ceil(1000));
    }
    if let Refusal::UserUnknown { user, .. } = refusal {
        line.member("user", user);
    }
    if let Refusal::UserNotExist { suggestion: Some(name) }
    | Refusal::UserUnknown { suggestion: Some(name), .. } = refusal
    {
        line.member("suggestion", name);
    }
}

/// A point in time as RFC 3339 writes it, in UTC, with milliseconds.
fn rfc3339(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or(jiff::Timestamp::MAX))
}

/// One object being written.
struct Line<'o>(&'o mut Vec<u8>);

impl<'o> Line<'o> {
    fn begin(action: &str, out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(b"{\"action\":");
        write_json(out, action);
        Self(out)
    }

    /// Keys are our own words and need no escaping.
    fn member<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        write_json(self.0, value);
    }

    fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value)
        .expect("a vector takes all bytes, and all values here have string keys");
}
