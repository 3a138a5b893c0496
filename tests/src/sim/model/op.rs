//! What happens to the rules, as values that outlive the call.

use std::sync::Arc;

use whoelse_engine::{Aid, Input};
use whoelse_proto::{Command, DeviceKey, Dialect, FileHash, Request, Role, Share, Signature};

/// Something that happens.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as of the engine's inputs")]
pub enum Op {
    Started { newest: u64 },
    Connected(u64),
    Gone(u64),
    Request(u64, Option<Arc<str>>, Ask),
    Sent(u64, u64),
    Delivered(u64, u64),
    Checked(u64, bool),
    Hashed(u64, String),
    Add { name: String, password: String, admin: bool },
    Order(Order),
    DiskFull(bool),
    Tick,
    Stopping,
}

/// What an operator wants.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as of the engine's orders")]
pub enum Order {
    SetPassword { name: String, password: String },
    Lock { name: String },
    Unlock { name: String },
    SetRole { name: String, admin: bool },
}

/// What somebody asks.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as of the protocol's commands")]
pub enum Ask {
    Login { name: String, password: String, entry: Entry },
    Challenge,
    Resume { name: String, is_proven: bool, entry: Entry },
    Invitation { secret: [u8; 16] },
    Join { secret: [u8; 16], name: String, password: String, entry: Entry },
    Invite { secret: [u8; 16], admin: bool },
    Invites,
    RevokeInvite { number: u64 },
    Devices,
    RevokeDevice { name: String },
    Passwd { old: String, new: String },
    Lock { name: String, begins: bool },
    Message { to: String, text: Arc<str> },
    Broadcast { text: String },
    Block { name: String, begins: bool },
    Whoelse,
    WhoelseSince { ms: u64 },
    StartPrivate { name: String },
    Ack { number: u64 },
    Receipts { ids: Vec<Arc<str>> },
    Active,
    Logout { forget: bool },
    Share(Offer),
    Unshare { hash: FileHash },
    Shares,
    SearchFiles { words: String },
    Sources { hash: FileHash },
    Have { hash: FileHash, parts: String },
}

/// A file as it is offered.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as of the protocol")]
pub struct Offer {
    pub hash: FileHash,
    pub size: u64,
    pub name: String,
    pub with: Option<Vec<String>>,
    pub signature: Signature,
}

impl Offer {
    fn of(share: &Share<'_>) -> Self {
        let names = |names: &Vec<_>| names.iter().map(ToString::to_string).collect();
        Self {
            hash: share.hash,
            size: share.size,
            name: share.name.to_string(),
            with: share.with.as_ref().map(names),
            signature: share.signature,
        }
    }
}

/// How a session is to begin.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In our protocol.
    pub protocol: bool,
    /// Where an original client listens.
    pub port: Option<u16>,
    /// Which running client.
    pub instance: Option<String>,
    /// A session elsewhere is to end.
    pub takeover: bool,
    /// The device, and what it wants to be called.
    pub device: Option<(DeviceKey, String)>,
    /// By the key of that device.
    pub is_resume: bool,
    /// It wants to be told what has arrived.
    pub receipts: bool,
    /// It can make private links.
    pub links: bool,
}

impl Op {
    /// What an input of the engine is to the model.
    #[must_use]
    pub fn of(input: &Input<'_>, newest: u64) -> Option<Self> {
        Some(match input {
            Input::Started => Self::Started { newest },
            Input::Connected { connection, .. } => Self::Connected(connection.0),
            Input::Disconnected { connection } => Self::Gone(connection.0),
            Input::Request { connection, request, aid } => {
                let id = request.id.as_ref().map(|id| id.as_str().into());
                Self::Request(connection.0, id, Ask::of(request, aid))
            }
            Input::Sent { connection, number } => Self::Sent(connection.0, number.0),
            Input::Delivered { connection, number } => Self::Delivered(connection.0, number.0),
            Input::Checked { ticket, matches } => Self::Checked(ticket.0, *matches),
            Input::Hashed { ticket, hash } => Self::Hashed(ticket.0, hash.0.to_string()),
            Input::AddAccount { name, password, role, .. } => Self::Add {
                name: name.as_str().to_owned(),
                password: password.as_ref().map_or(String::new(), |hash| hash.0.to_string()),
                admin: *role == Role::Admin,
            },
            Input::Order { order, .. } => Self::Order(Order::of(order)?),
            Input::DiskFull { is_full } => Self::DiskFull(*is_full),
            Input::Tick => Self::Tick,
            Input::Stopping => Self::Stopping,
            Input::SetPassword { .. } => return None,
        })
    }
}

impl Order {
    fn of(order: &whoelse_engine::Order) -> Option<Self> {
        use whoelse_engine::Order as Real;
        Some(match order {
            Real::SetPassword { name, hash } => {
                Self::SetPassword { name: name.clone(), password: hash.0.to_string() }
            }
            Real::Lock { name } => Self::Lock { name: name.clone() },
            Real::Unlock { name } => Self::Unlock { name: name.clone() },
            Real::SetRole { name, role } => {
                Self::SetRole { name: name.clone(), admin: *role == Role::Admin }
            }
            Real::Remove { .. } | Real::Invite { .. } | Real::RevokeInvite { .. } => return None,
        })
    }
}

impl Ask {
    #[expect(clippy::too_many_lines, reason = "an arm for each command")]
    fn of(request: &Request<'_>, aid: &Aid) -> Self {
        match &request.command {
            Command::Login(login) => Self::Login {
                name: login.username.to_string(),
                password: login.password.to_string(),
                entry: Entry {
                    protocol: login.protocol.is_some(),
                    port: (Dialect::of_login(login.protocol, login.private_port)
                        == Dialect::Original)
                        .then_some(login.private_port),
                    instance: login.instance.as_ref().map(ToString::to_string),
                    takeover: login.takeover,
                    device: login.device.as_ref().map(|it| (it.key, it.name.to_string())),
                    is_resume: false,
                    receipts: login.receipts,
                    links: login.links,
                },
            },
            Command::Challenge => Self::Challenge,
            Command::Resume(resume) => Self::Resume {
                name: resume.username.to_string(),
                is_proven: matches!(aid, Aid::Proof(true)),
                entry: Entry {
                    protocol: true,
                    port: None,
                    instance: resume.instance.as_ref().map(ToString::to_string),
                    takeover: resume.takeover,
                    device: Some((resume.key, String::new())),
                    is_resume: true,
                    receipts: resume.receipts,
                    links: resume.links,
                },
            },
            Command::Invitation { invite } => Self::Invitation { secret: *invite.expose() },
            Command::Join(join) => Self::Join {
                secret: *join.invite.expose(),
                name: join.username.to_string(),
                password: join.password.to_string(),
                entry: Entry {
                    protocol: true,
                    port: None,
                    instance: join.instance.as_ref().map(ToString::to_string),
                    takeover: false,
                    device: join.device.as_ref().map(|it| (it.key, it.name.to_string())),
                    is_resume: false,
                    receipts: join.receipts,
                    links: join.links,
                },
            },
            Command::Invite { role } => {
                let secret = match aid {
                    Aid::Invite { secret, .. } => *secret.expose(),
                    Aid::None | Aid::Challenge(_) | Aid::Proof(_) => [0; 16],
                };
                Self::Invite { secret, admin: *role == Role::Admin }
            }
            Command::Invites => Self::Invites,
            Command::RevokeInvite { number } => Self::RevokeInvite { number: *number },
            Command::Devices => Self::Devices,
            Command::RevokeDevice { name } => Self::RevokeDevice { name: name.to_string() },
            Command::Passwd(passwd) => {
                Self::Passwd { old: passwd.old.to_string(), new: passwd.new.to_string() }
            }
            Command::Lock { user } => Self::Lock { name: user.to_string(), begins: true },
            Command::Unlock { user } => Self::Lock { name: user.to_string(), begins: false },
            Command::Message { user, message } => {
                Self::Message { to: user.to_string(), text: message.as_ref().into() }
            }
            Command::Broadcast { message } => Self::Broadcast { text: message.to_string() },
            Command::Block { user } => Self::Block { name: user.to_string(), begins: true },
            Command::Unblock { user } => Self::Block { name: user.to_string(), begins: false },
            Command::Whoelse => Self::Whoelse,
            Command::WhoelseSince { since_ms } => Self::WhoelseSince { ms: *since_ms },
            Command::StartPrivate { user, .. } => Self::StartPrivate { name: user.to_string() },
            Command::Ack { number } => Self::Ack { number: *number },
            Command::Receipts { ids } => {
                Self::Receipts { ids: ids.iter().map(|id| id.as_str().into()).collect() }
            }
            Command::Share(share) => Self::Share(Offer::of(share)),
            Command::Unshare { hash } => Self::Unshare { hash: *hash },
            Command::Shares => Self::Shares,
            Command::SearchFiles { words } => Self::SearchFiles { words: words.to_string() },
            Command::Sources { hash } => Self::Sources { hash: *hash },
            Command::Have { hash, parts } => Self::Have { hash: *hash, parts: parts.to_string() },
            Command::AnswerPrivate { .. }
            | Command::PrivateCard { .. }
            | Command::EndPrivate { .. }
            | Command::Relay { .. } => unreachable!("nobody here makes private links yet"),
            Command::Active => Self::Active,
            Command::Logout { forget } => Self::Logout { forget: *forget },
        }
    }
}
