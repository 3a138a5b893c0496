//! What a server says: answers, what others did, and mail.

use std::net::IpAddr;
use std::sync::Arc;

use crate::codec::Malformed;
use crate::invite::Place;
use crate::keys::{DeviceKey, Fingerprint, InviteSecret, Nonce, ReceiptKey};
use crate::link::{LinkName, LinkReason, Purpose};
use crate::names::Name;
use crate::request::{RequestId, Role};

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
    pub const ALL: [Self; 28] = [
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

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not well formed; the sentence says what is wrong.
    BadRequest(String),
    /// Only `login` may come first.
    NotLoggedIn,
    /// This connection has logged in before.
    LoggedInHere,
    /// Name and password do not belong together, or nobody has that name.
    InvalidPassword {
        /// Failures left before the account is locked.
        tries_left: u8,
    },
    /// The same, for the third time in a row: the account is now locked.
    InvalidPasswordBlocked {
        /// For how long, in milliseconds.
        retry_after_ms: u64,
    },
    /// The account is locked, whatever the password.
    Locked {
        /// For how much longer, in milliseconds.
        retry_after_ms: u64,
    },
    /// The password is right, but a session of this account lives elsewhere.
    AlreadyLoggedIn,
    /// The request names the person who asks.
    Yourself,
    /// Nobody has that name.
    UserNotExist {
        /// The most similar name, if one is similar enough.
        suggestion: Option<Name>,
    },
    /// That person has blocked the one who asks.
    UserBlocked,
    /// That person cannot be reached directly now.
    UserOffline,
    /// The one who asks has blocked that person.
    YouBlocked(Name),
    /// That person's client makes no private links.
    NoLinks,
    /// As many private links are being made, or may use the relay, as may be.
    TooManyLinks,
    /// No private link of that name is being made.
    LinkNotExist,
    /// This server relays nothing.
    NoRelay,
    /// There was no block to take back.
    NotBlocked,
    /// Too much mail waits for that person.
    MailboxFull,
    /// Too many people are blocked already.
    BlockListFull,
    /// The same id came before with other content.
    IdConflict,
    /// A number above the last one that was sent to this session.
    BadNumber {
        /// The last number sent.
        sent: u64,
    },
    /// The server has more to do than it can queue.
    Busy {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// Asked too often.
    TooFast {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// Too many wrong passwords or invites came from this address.
    SlowDown {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The device is not known for this name, or its proof is wrong.
    ResumeRefused,
    /// An administrator keeps this person from logging in.
    AccountLocked,
    /// There is no such invite, or no longer.
    InviteInvalid,
    /// The name cannot be one; the sentence says why.
    BadName(String),
    /// The name belongs to somebody, or looks like one that does.
    NameTaken,
    /// The password cannot be one; the sentence says why.
    BadPassword(String),
    /// Only administrators may do that.
    NotAllowed,
    /// No device of this account is called that.
    DeviceNotExist,
    /// There is no open invite of that number.
    InviteNotExist,
    /// As many invites are open as may be.
    TooManyInvites,
    /// The server's disk is nearly full.
    ServerFull,
}

impl Refusal {
    /// The `status` on the wire.
    #[must_use]
    pub fn status(&self, action: Action) -> &'static str {
        match self {
            Self::BadRequest(_) => "BAD_REQUEST",
            Self::NotLoggedIn => "NOT_LOGGED_IN",
            Self::LoggedInHere | Self::AlreadyLoggedIn => "ALREADY_LOGGED_IN",
            Self::InvalidPassword { .. } => "INVALID_PASSWORD",
            Self::InvalidPasswordBlocked { .. } => "INVALID_PASSWORD_BLOCKED",
            Self::Locked { .. } => "BLOCKED",
            Self::Yourself if action == Action::StartPrivate => "USER_SELF",
            Self::Yourself => "MESSAGE_SELF",
            Self::UserNotExist { .. } => "USER_NOT_EXIST",
            Self::UserBlocked => "USER_BLOCKED",
            Self::UserOffline => "USER_OFFLINE",
            Self::YouBlocked(_) => "YOU_BLOCKED",
            Self::NoLinks => "NO_LINKS",
            Self::TooManyLinks => "TOO_MANY_LINKS",
            Self::LinkNotExist => "LINK_NOT_EXIST",
            Self::NoRelay => "NO_RELAY",
            Self::NotBlocked => "NOT_BLOCKED",
            Self::MailboxFull => "MAILBOX_FULL",
            Self::BlockListFull => "BLOCK_LIST_FULL",
            Self::IdConflict => "ID_CONFLICT",
            Self::BadNumber { .. } => "BAD_NUMBER",
            Self::Busy { .. } => "BUSY",
            Self::TooFast { .. } => "TOO_FAST",
            Self::SlowDown { .. } => "SLOW_DOWN",
            Self::ResumeRefused => "RESUME_REFUSED",
            Self::AccountLocked => "LOCKED",
            Self::InviteInvalid => "INVITE_INVALID",
            Self::BadName(_) => "BAD_NAME",
            Self::NameTaken => "NAME_TAKEN",
            Self::BadPassword(_) => "BAD_PASSWORD",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::DeviceNotExist => "DEVICE_NOT_EXIST",
            Self::InviteNotExist => "INVITE_NOT_EXIST",
            Self::TooManyInvites => "TOO_MANY_INVITES",
            Self::ServerFull => "SERVER_FULL",
        }
    }

    /// A sentence for a person.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "an arm for each of them")]
    pub fn sentence(&self, action: Action) -> String {
        let word = action.as_str();
        match self {
            Self::BadRequest(why) => why.clone(),
            Self::NotLoggedIn => format!("Log in before you use '{word}'."),
            Self::LoggedInHere => "This connection is logged in already.".into(),
            Self::InvalidPassword { tries_left: 1 } => {
                "Wrong name or password. One more wrong try locks the name.".into()
            }
            Self::InvalidPassword { tries_left } => {
                format!("Wrong name or password. {tries_left} tries left.")
            }
            Self::InvalidPasswordBlocked { retry_after_ms } => format!(
                "Wrong name or password, for the third time. The name is locked for {}.",
                spoken(*retry_after_ms)
            ),
            Self::Locked { retry_after_ms } => {
                format!("The name is locked. Try again in {}.", spoken(*retry_after_ms))
            }
            Self::AlreadyLoggedIn => "This name is logged in elsewhere.".into(),
            Self::Yourself => format!("You cannot use '{word}' on yourself."),
            Self::UserNotExist { suggestion: None } => "Nobody here has that name.".into(),
            Self::UserNotExist { suggestion: Some(name) } => {
                format!("Nobody here has that name. Did you mean '{name}'?")
            }
            Self::UserBlocked => "That person does not take messages from you.".into(),
            Self::UserOffline => "That person cannot be reached directly now.".into(),
            Self::YouBlocked(name) => format!("You block {name}. Unblock first."),
            Self::NoLinks => "That person's client makes no private links.".into(),
            Self::TooManyLinks if action == Action::Relay => {
                "As many private links use the relay as may. End one first.".into()
            }
            Self::TooManyLinks => {
                "Too many private links wait for an answer. Try again when some have one.".into()
            }
            Self::LinkNotExist => "That private link is no longer being made.".into(),
            Self::NoRelay => "This server relays no private links.".into(),
            Self::NotBlocked => "That person was not blocked.".into(),
            Self::MailboxFull => {
                "Too much mail waits for that person. Try again when some has been read.".into()
            }
            Self::BlockListFull => "You block as many people as one may. Unblock one first.".into(),
            Self::IdConflict => "This id was used before, for another message.".into(),
            Self::BadNumber { sent } => {
                format!("Only mail that was sent can be acknowledged: up to number {sent}.")
            }
            Self::Busy { retry_after_ms } => {
                format!("The server is busy. Try again in {}.", spoken(*retry_after_ms))
            }
            Self::TooFast { retry_after_ms } => {
                format!("Too many in a short time. Try again in {}.", spoken(*retry_after_ms))
            }
            Self::SlowDown { retry_after_ms } => format!(
                "Too many failed attempts from your address. Try again in {}.",
                spoken(*retry_after_ms)
            ),
            Self::ResumeRefused => {
                "This device is not known here, or no longer. Log in with the password.".into()
            }
            Self::AccountLocked => "This account was locked by an administrator.".into(),
            Self::InviteInvalid => {
                "This invite was used or taken back, or has expired. Ask for a new one.".into()
            }
            Self::BadName(why) | Self::BadPassword(why) => why.clone(),
            Self::NameTaken => {
                "Somebody here has that name, or one that looks like it. Choose another.".into()
            }
            Self::NotAllowed => "Only administrators may do that.".into(),
            Self::DeviceNotExist => "You have no device of that name. See 'devices'.".into(),
            Self::InviteNotExist => "There is no open invite of that number. See 'invites'.".into(),
            Self::TooManyInvites => {
                "As many invites are open as may be. Revoke one of yours first, or wait.".into()
            }
            Self::ServerFull if action == Action::Join => {
                "The server is full: it takes nobody new. Tell its operator.".into()
            }
            Self::ServerFull => {
                "The server's disk is nearly full, so it takes nothing new. Tell its operator."
                    .into()
            }
        }
    }

    /// When to try again, in milliseconds, where waiting helps.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::InvalidPasswordBlocked { retry_after_ms }
            | Self::Locked { retry_after_ms }
            | Self::Busy { retry_after_ms }
            | Self::TooFast { retry_after_ms }
            | Self::SlowDown { retry_after_ms } => Some(*retry_after_ms),
            Self::BadRequest(_)
            | Self::NotLoggedIn
            | Self::LoggedInHere
            | Self::InvalidPassword { .. }
            | Self::AlreadyLoggedIn
            | Self::Yourself
            | Self::UserNotExist { .. }
            | Self::UserBlocked
            | Self::UserOffline
            | Self::YouBlocked(_)
            | Self::NoLinks
            | Self::TooManyLinks
            | Self::LinkNotExist
            | Self::NoRelay
            | Self::NotBlocked
            | Self::MailboxFull
            | Self::BlockListFull
            | Self::IdConflict
            | Self::BadNumber { .. }
            | Self::ResumeRefused
            | Self::AccountLocked
            | Self::InviteInvalid
            | Self::BadName(_)
            | Self::NameTaken
            | Self::BadPassword(_)
            | Self::NotAllowed
            | Self::DeviceNotExist
            | Self::InviteNotExist
            | Self::TooManyInvites
            | Self::ServerFull => None,
        }
    }
}

/// A duration as people say it, rounded up: "1 second", "2 minutes".
#[must_use]
pub fn spoken(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000).max(1);
    let (count, unit) = match seconds {
        ..=119 => (seconds, "second"),
        120..=7199 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_and_rounded_up() {
        for (milliseconds, words) in [
            (0, "1 second"),
            (1, "1 second"),
            (1001, "2 seconds"),
            (119_000, "119 seconds"),
            (120_001, "3 minutes"),
            (7_200_000, "2 hours"),
        ] {
            assert_eq!(spoken(milliseconds), words);
        }
    }
}
