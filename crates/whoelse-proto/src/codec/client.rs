//! The client's half: requests as lines, and whatever a server says as one flat value.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::link::LinkAnswer;
use crate::request::{Command, Device, Request, RequestId};

/// Appends a request as JSON; with a newline behind it if `newline` says so (original servers
/// take each segment for one object and want none).
#[expect(clippy::too_many_lines, reason = "an arm for each kind of request")]
pub fn encode_request(request: &Request<'_>, newline: bool, out: &mut Vec<u8>) {
    let mut object = match &request.command {
        Command::Login(login) => {
            let mut object = json!({
                "username": login.username,
                "password": login.password,
                "private_port": login.private_port,
            });
            if let Some(protocol) = login.protocol {
                object["protocol"] = json!(protocol);
            }
            add_session(&mut object, login.instance.as_deref(), login.takeover, login.receipts);
            add_links(&mut object, login.links, 0);
            add_device(&mut object, login.device.as_ref());
            object
        }
        Command::Resume(resume) => {
            let mut object = json!({
                "username": resume.username,
                "device_key": resume.key.to_string(),
                "signature": resume.signature.to_string(),
                "protocol": resume.protocol,
            });
            add_session(&mut object, resume.instance.as_deref(), resume.takeover, resume.receipts);
            add_links(&mut object, resume.links, resume.private_port);
            object
        }
        Command::Join(join) => {
            let mut object = json!({
                "invite": join.invite.expose_text(),
                "username": join.username,
                "password": join.password,
                "protocol": join.protocol,
            });
            add_session(&mut object, join.instance.as_deref(), false, join.receipts);
            add_links(&mut object, join.links, join.private_port);
            add_device(&mut object, join.device.as_ref());
            object
        }
        Command::Invitation { invite } => json!({ "invite": invite.expose_text() }),
        Command::Invite { role } => json!({ "role": role.as_str() }),
        Command::RevokeInvite { number } => json!({ "number": number }),
        Command::RevokeDevice { name } => json!({ "device_name": name }),
        Command::Passwd(passwd) => json!({ "old": passwd.old, "new": passwd.new }),
        Command::Logout { forget: true } => json!({ "forget": true }),
        Command::Message { user, message } => json!({ "user": user, "message": message }),
        Command::Broadcast { message } => json!({ "message": message }),
        Command::Block { user }
        | Command::Unblock { user }
        | Command::StartPrivate { user, link: None }
        | Command::Lock { user }
        | Command::Unlock { user } => json!({ "user": user }),
        Command::StartPrivate { user, link: Some(link) } => {
            let mut object = json!({
                "user": user,
                "link": link.name.as_str(),
                "purpose": link.purpose.as_str(),
            });
            if let Some(file) = link.purpose.file() {
                object["file"] = json!(file.to_string());
            }
            object
        }
        Command::AnswerPrivate { link, answer: LinkAnswer::Accept { card } } => {
            json!({ "link": link.as_str(), "accept": true, "card": card })
        }
        Command::AnswerPrivate { link, answer: LinkAnswer::Decline(reason) } => {
            json!({ "link": link.as_str(), "accept": false, "reason": reason.as_str() })
        }
        Command::PrivateCard { link, card } => json!({ "link": link.as_str(), "card": card }),
        Command::EndPrivate { link } => json!({ "link": link.as_str() }),
        Command::Relay { endpoint, ticket: None } => json!({ "endpoint": endpoint.to_string() }),
        Command::Relay { endpoint, ticket: Some(ticket) } => {
            json!({ "endpoint": endpoint.to_string(), "ticket": ticket.expose_text() })
        }
        Command::Share(share) => {
            let mut object = json!({
                "hash": share.hash.to_string(),
                "size": share.size,
                "name": share.name,
                "signature": share.signature.to_string(),
            });
            if let Some(with) = &share.with {
                object["with"] = json!(with);
            }
            object
        }
        Command::Unshare { hash } | Command::Sources { hash } => {
            json!({ "hash": hash.to_string() })
        }
        Command::SearchFiles { words } => json!({ "words": words }),
        Command::Have { hash, parts } => json!({ "hash": hash.to_string(), "parts": parts }),
        Command::WhoelseSince { since_ms } => json!({ "since": since_ms.div_ceil(1000) }),
        Command::Ack { number } => json!({ "number": number }),
        Command::Receipts { ids } => {
            json!({ "ids": ids.iter().map(RequestId::as_str).collect::<Vec<_>>() })
        }
        Command::Whoelse
        | Command::Logout { forget: false }
        | Command::Active
        | Command::Challenge
        | Command::Shares
        | Command::Invites
        | Command::Devices => json!({}),
    };
    object["action"] = json!(request.command.action().as_str());
    if let Some(id) = &request.id {
        object["id"] = json!(id.as_str());
    }
    serde_json::to_writer(&mut *out, &object).expect("a vector takes all bytes");
    if newline {
        out.push(b'\n');
    }
}

fn add_session(object: &mut Value, instance: Option<&str>, takeover: bool, receipts: bool) {
    if let Some(instance) = instance {
        object["instance"] = json!(instance);
    }
    if takeover {
        object["takeover"] = json!(true);
    }
    if receipts {
        object["receipts"] = json!(true);
    }
}

fn add_links(object: &mut Value, links: bool, private_port: u16) {
    if links {
        object["links"] = json!(1);
    }
    if private_port > 0 {
        object["private_port"] = json!(private_port);
    }
}

fn add_device(object: &mut Value, device: Option<&Device<'_>>) {
    if let Some(device) = device {
        object["device_key"] = json!(device.key.to_string());
        object["device_name"] = json!(device.name);
    }
}

/// Whatever a server says: every member any server sends, all but `action` optional.
///
/// Members of an unexpected type are treated as absent, so that a foreign server cannot stop a
/// client with one odd value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the member of the same name in docs/PROTOCOL.md")]
pub struct Incoming {
    #[serde(deserialize_with = "lenient")]
    pub action: String,
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub status: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub reply: Option<Reply>,
    #[serde(deserialize_with = "lenient")]
    pub message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub from: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub number: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub at: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub n_sent: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub n_blocked: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub protocol: Option<u32>,
    #[serde(deserialize_with = "lenient")]
    pub server: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub acknowledged: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub retry_after: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub suggestion: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub address: Option<IpAddr>,
    #[serde(deserialize_with = "lenient")]
    pub port: Option<u16>,
    #[serde(deserialize_with = "lenient")]
    pub username: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub role: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub failed_logins: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub device_name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub nonce: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub by: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub expires_in: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub invite: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub place: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub guessed: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub server_key: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub invites: Option<Vec<IncomingInvite>>,
    #[serde(deserialize_with = "lenient")]
    pub devices: Option<Vec<IncomingDevice>>,
    #[serde(deserialize_with = "lenient")]
    pub user: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub keys: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub delivered: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub unknown: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub link: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub purpose: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub device: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub accepts: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub accepted: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub card: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub file: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub files: Option<Vec<IncomingFile>>,
    #[serde(deserialize_with = "lenient")]
    pub more: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub sources: Option<Vec<IncomingSource>>,
}

/// One of the `files`, one's own (`shares`) or of others (`search_files`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the member of the same name in docs/PROTOCOL.md")]
pub struct IncomingFile {
    #[serde(deserialize_with = "lenient")]
    pub hash: String,
    #[serde(deserialize_with = "lenient")]
    pub size: u64,
    #[serde(deserialize_with = "lenient")]
    pub name: String,
    #[serde(deserialize_with = "lenient")]
    pub with: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub from: String,
    #[serde(deserialize_with = "lenient")]
    pub device: String,
    #[serde(deserialize_with = "lenient")]
    pub device_name: String,
    #[serde(deserialize_with = "lenient")]
    pub signature: String,
    #[serde(deserialize_with = "lenient")]
    pub sources: u64,
}

/// One of the `sources` of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the member of the same name in docs/PROTOCOL.md")]
pub struct IncomingSource {
    #[serde(deserialize_with = "lenient")]
    pub user: String,
    #[serde(deserialize_with = "lenient")]
    pub device: String,
    #[serde(deserialize_with = "lenient")]
    pub device_name: String,
    #[serde(deserialize_with = "lenient")]
    pub parts: String,
}

/// One of the `invites`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the member of the same name in docs/PROTOCOL.md")]
pub struct IncomingInvite {
    #[serde(deserialize_with = "lenient")]
    pub number: u64,
    #[serde(deserialize_with = "lenient")]
    pub role: String,
    #[serde(deserialize_with = "lenient")]
    pub by: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub expires_in: u64,
}

/// One of the `devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the member of the same name in docs/PROTOCOL.md")]
pub struct IncomingDevice {
    #[serde(deserialize_with = "lenient")]
    pub device_name: String,
    #[serde(deserialize_with = "lenient")]
    pub device_key: String,
    #[serde(deserialize_with = "lenient")]
    pub added: String,
    #[serde(deserialize_with = "lenient")]
    pub used: String,
    #[serde(deserialize_with = "lenient")]
    pub this: bool,
}

/// The `reply` of the original: a word, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    /// Such as `logged out`.
    Word(String),
    /// Names of people.
    Names(Vec<String>),
}

impl Incoming {
    /// Reads one object of a server.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn decode(frame: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(frame)
    }

    /// The outcome, wherever this server puts it.
    #[must_use]
    pub fn outcome(&self) -> Option<&str> {
        match (&self.status, &self.reply) {
            (Some(status), _) => Some(status),
            (None, Some(Reply::Word(word))) => Some(word),
            (None, _) => None,
        }
    }
}

fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}
