//! What a server says: answers, what others did, and mail.

use std::net::IpAddr;
use std::sync::Arc;

use crate::codec::Malformed;
use crate::invite::Place;
use crate::keys::{DeviceKey, FileHash, Fingerprint, InviteSecret, Nonce, ReceiptKey, Signature};
use crate::link::{LinkName, LinkReason, Purpose};
use crate::names::Name;
use crate::parts::PartMap;
use crate::refusal::Refusal;
use crate::request::{RequestId, Role};
use crate::share::{Scope, SharedName};

/// How a session wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// An original client: one object per segment, at a pace it can follow.
    Original,
    /// Netcat and scripts: the original's fields, a line each, at once.
    Plain,
    /// Our protocol: everything.
    Protocol,
}

impl Dialect {
    /// The dialect of a session, by what its login says of itself.
    #[must_use]
    pub fn of_login(protocol: Option<u32>, private_port: u16) -> Self {
        match (protocol, private_port) {
            (Some(_), _) => Self::Protocol,
            (None, 0) => Self::Plain,
            (None, _) => Self::Original,
        }
    }
}

/// Something a server says to one connection. Mail has a lane of its own: [`Mail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to a request.
    Answer(Answer),
    /// Somebody said something to everybody.
    Broadcast {
        /// Who.
        from: Name,
        /// What.
        message: Arc<str>,
    },
    /// Somebody came.
    LoggedIn {
        /// Who.
        name: Name,
    },
    /// Somebody left: by logout, by being idle, or by a lost line.
    LoggedOut {
        /// Who.
        name: Name,
    },
    /// Messages of this session's person have reached their reader's device.
    Delivered {
        /// Whose device it is.
        user: Name,
        /// Which messages, in their order, at most [`crate::limits::RECEIPTS_MAX`].
        keys: Vec<ReceiptKey>,
    },
    /// Somebody wants to make a private link.
    PrivateRequest {
        /// Who.
        from: Name,
        /// What it is called.
        link: LinkName,
        /// What it is for.
        purpose: Purpose,
        /// From which device: its key.
        device: DeviceKey,
        /// What that device is called.
        device_name: Arc<str>,
    },
    /// Somebody answered, or will not.
    PrivateAnswer {
        /// Who.
        from: Name,
        /// Which question.
        link: LinkName,
        /// The card of the device that agreed, or why none did.
        answer: Result<Arc<str>, LinkReason>,
    },
    /// How the device is reached that asked.
    PrivateCard {
        /// Whose it is.
        from: Name,
        /// For which link.
        link: LinkName,
        /// The card.
        card: Arc<str>,
    },
    /// A question, or what it led to, came to nothing.
    PrivateEnded {
        /// With whom it was.
        from: Name,
        /// Which.
        link: LinkName,
        /// Why.
        reason: LinkReason,
    },
    /// This session ended because nothing was asked for too long.
    Timeout,
    /// This session ended because its owner logged in elsewhere and said so.
    TakenOver,
    /// This session ended for another reason.
    Ended(Reason),
    /// The answer to something that is not a request.
    Malformed(Malformed),
}

/// Why a session ended that its person did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The password was changed by somebody else than this session.
    PasswordChanged,
    /// An administrator locked the account.
    Locked,
    /// The account was removed.
    Removed,
    /// The device was revoked.
    DeviceRevoked,
}

impl Reason {
    /// The `reason` on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "PASSWORD_CHANGED",
            Self::Locked => "LOCKED",
            Self::Removed => "REMOVED",
            Self::DeviceRevoked => "DEVICE_REVOKED",
        }
    }

    /// A sentence for a person.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::PasswordChanged => "Logged out: the password was changed.",
            Self::Locked => "Logged out: an administrator locked this account.",
            Self::Removed => "Logged out: this account was removed.",
            Self::DeviceRevoked => "Logged out: this device was revoked.",
        }
    }
}

/// A direct message on its way to its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its number in the reader's mailbox; dense, from 1.
    pub number: u64,
    /// What the server calls it; unique on this server.
    pub id: String,
    /// Who wrote it.
    pub from: Name,
    /// What it says.
    pub message: Arc<str>,
    /// When the server took it, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which kind of request is answered.
    pub action: Action,
    /// What the client called it.
    pub id: Option<RequestId>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the command of the same name")]
pub enum Action {
    Login,
    Message,
    Broadcast,
    Block,
    Unblock,
    Whoelse,
    WhoelseSince,
    StartPrivate,
    AnswerPrivate,
    PrivateCard,
    EndPrivate,
    Relay,
    Share,
    Unshare,
    Shares,
    SearchFiles,
    Sources,
    Have,
    Logout,
    Ack,
    Receipts,
    Active,
    Challenge,
    Resume,
    Invitation,
    Join,
    Invite,
    Invites,
    RevokeInvite,
    Devices,
    RevokeDevice,
    Passwd,
    Lock,
    Unlock,
}

impl Action {
    /// All kinds, in the order of the specification.
    pub const ALL: [Self; 34] = [
        Self::Login,
        Self::Message,
        Self::Broadcast,
        Self::Block,
        Self::Unblock,
        Self::Whoelse,
        Self::WhoelseSince,
        Self::StartPrivate,
        Self::AnswerPrivate,
        Self::PrivateCard,
        Self::EndPrivate,
        Self::Relay,
        Self::Share,
        Self::Unshare,
        Self::Shares,
        Self::SearchFiles,
        Self::Sources,
        Self::Have,
        Self::Logout,
        Self::Ack,
        Self::Receipts,
        Self::Active,
        Self::Challenge,
        Self::Resume,
        Self::Invitation,
        Self::Join,
        Self::Invite,
        Self::Invites,
        Self::RevokeInvite,
        Self::Devices,
        Self::RevokeDevice,
        Self::Passwd,
        Self::Lock,
        Self::Unlock,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Message => "message",
            Self::Broadcast => "broadcast",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Whoelse => "whoelse",
            Self::WhoelseSince => "whoelsesince",
            Self::StartPrivate => "startprivate",
            Self::AnswerPrivate => "answer_private",
            Self::PrivateCard => "private_card",
            Self::EndPrivate => "end_private",
            Self::Relay => "relay",
            Self::Share => "share",
            Self::Unshare => "unshare",
            Self::Shares => "shares",
            Self::SearchFiles => "search_files",
            Self::Sources => "sources",
            Self::Have => "have",
            Self::Logout => "logout",
            Self::Ack => "ack",
            Self::Receipts => "receipts",
            Self::Active => "active",
            Self::Challenge => "challenge",
            Self::Resume => "resume",
            Self::Invitation => "invitation",
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Invites => "invites",
            Self::RevokeInvite => "revoke_invite",
            Self::Devices => "devices",
            Self::RevokeDevice => "revoke_device",
            Self::Passwd => "passwd",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and what it changed is on disk.
    Done,
    /// The session has begun.
    Welcome {
        /// The version of our protocol both speak; none for original clients.
        protocol: Option<u32>,
        /// The random id of the server's data: numbers of mail hold for this id only.
        server: Arc<str>,
        /// The largest number of mail this account has acknowledged.
        acknowledged: u64,
        /// What the person may do.
        role: Role,
        /// Wrong passwords since the session before this one began.
        failed_logins: u32,
        /// What the device is called here, if it may resume.
        device: Option<Arc<str>>,
    },
    /// What to sign, once.
    Nonce(Nonce),
    /// What an invite is worth.
    Invitation {
        /// What whoever uses it becomes.
        role: Role,
        /// Who made it; none if the operator did.
        by: Option<Name>,
        /// How much longer it is valid, in milliseconds.
        expires_in_ms: u64,
    },
    /// An invite was made. The secret is said this once and not kept.
    Invited {
        /// What it is called in the list.
        number: u64,
        /// What it is worth.
        secret: InviteSecret,
        /// What whoever uses it becomes.
        role: Role,
        /// How long it is valid, in milliseconds.
        expires_in_ms: u64,
        /// Where it leads.
        meeting: Meeting,
    },
    /// Invites that are open, oldest first.
    Invites(Vec<OpenInvite>),
    /// Devices that may resume, oldest first.
    Devices(Vec<KnownDevice>),
    /// What became of messages, by the ids they were sent under. Those that are on neither list
    /// wait for their reader.
    Receipts {
        /// They have reached their reader's device.
        delivered: Vec<RequestId>,
        /// The server does not know, or does not know any more.
        unknown: Vec<RequestId>,
    },
    /// Names, in alphabetical order.
    Names(Vec<Name>),
    /// A broadcast was passed on.
    Counted {
        /// People online, other than the sender, who got it.
        n_sent: usize,
        /// People, online or not, who have blocked the sender.
        n_blocked: usize,
    },
    /// Where somebody listens for private links.
    Address {
        /// As the server sees it.
        address: IpAddr,
        /// As that client announced it.
        port: u16,
        /// Whose it is.
        username: Name,
    },
    /// Somebody is asked for a private link, or has asked for one itself.
    Asked {
        /// Who.
        user: Name,
        /// What the link is called.
        link: LinkName,
        /// The key of the device that is there.
        device: DeviceKey,
        /// What that device is called.
        device_name: Arc<str>,
        /// That person asked first, under this name, and now waits for an answer.
        accepts: bool,
    },
    /// The files that the one who asks shares, by name.
    Shares(Vec<OwnShare>),
    /// Files that others share, by name and then owner, at most
    /// [`crate::limits::FOUND_FILES_MAX`].
    Found {
        /// Which.
        files: Vec<FoundFile>,
        /// There are more.
        more: bool,
    },
    /// Who can give parts of a file now, at most [`crate::limits::FILE_SOURCES_MAX`].
    Sources(Vec<FileSource>),
    /// The session has ended.
    Goodbye,
    /// It was not done, and nothing changed.
    Refused(Refusal),
}

/// Where an invite leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Where the server can be reached.
    pub place: Arc<Place>,
    /// Nobody said so: it is what the server sees of itself.
    pub is_guessed: bool,
    /// The server's key.
    pub key: Fingerprint,
}

/// An invite that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInvite {
    /// What it is called.
    pub number: u64,
    /// What whoever uses it becomes.
    pub role: Role,
    /// Who made it; none if the operator did.
    pub by: Option<Name>,
    /// How much longer it is valid, in milliseconds.
    pub expires_in_ms: u64,
}

/// A device that may resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// What it is called.
    pub name: Arc<str>,
    /// Its public key.
    pub key: DeviceKey,
    /// When it was first seen, in milliseconds since the Unix epoch.
    pub added_ms: u64,
    /// When a session of it last began, in milliseconds since the Unix epoch.
    pub used_ms: u64,
    /// It is the one that asks.
    pub is_this: bool,
}

/// A file that the one who asks shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnShare {
    /// What is in it.
    pub hash: FileHash,
    /// How long it is, in bytes.
    pub size: u64,
    /// What it is called.
    pub name: SharedName,
    /// Who may see it.
    pub with: Scope,
    /// How many others can give parts of it now.
    pub sources: usize,
}

/// A file that somebody else shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// What is in it.
    pub hash: FileHash,
    /// How long it is, in bytes.
    pub size: u64,
    /// What it is called.
    pub name: SharedName,
    /// Who may see it.
    pub with: Scope,
    /// Who shares it.
    pub from: Name,
    /// The key of the device that shares it.
    pub device: DeviceKey,
    /// What that device is called.
    pub device_name: Arc<str>,
    /// By that device, of [`crate::share::share_text`].
    pub signature: Signature,
    /// How many others can give parts of it now.
    pub sources: usize,
}

/// Somebody who says that it can give parts of a file now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// Who.
    pub user: Name,
    /// The key of the device that is there.
    pub device: DeviceKey,
    /// What that device is called.
    pub device_name: Arc<str>,
    /// Which parts.
    pub parts: PartMap,
}
