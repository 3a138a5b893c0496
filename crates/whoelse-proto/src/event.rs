//! What a server says: answers, what others did, and mail.

use std::net::IpAddr;
use std::sync::Arc;

use crate::codec::Malformed;
use crate::names::Name;
use crate::request::RequestId;

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
    /// This session ended because nothing was asked for too long.
    Timeout,
    /// This session ended because its owner logged in elsewhere and said so.
    TakenOver,
    /// The answer to something that is not a request.
    Malformed(Malformed),
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
    Logout,
    Ack,
    Active,
}

impl Action {
    /// All kinds, in the order of the specification.
    pub const ALL: [Self; 11] = [
        Self::Login,
        Self::Message,
        Self::Broadcast,
        Self::Block,
        Self::Unblock,
        Self::Whoelse,
        Self::WhoelseSince,
        Self::StartPrivate,
        Self::Logout,
        Self::Ack,
        Self::Active,
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
            Self::Logout => "logout",
            Self::Ack => "ack",
            Self::Active => "active",
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
    /// The session has ended.
    Goodbye,
    /// It was not done, and nothing changed.
    Refused(Refusal),
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
            Self::NotBlocked => "NOT_BLOCKED",
            Self::MailboxFull => "MAILBOX_FULL",
            Self::BlockListFull => "BLOCK_LIST_FULL",
            Self::IdConflict => "ID_CONFLICT",
            Self::BadNumber { .. } => "BAD_NUMBER",
            Self::Busy { .. } => "BUSY",
            Self::TooFast { .. } => "TOO_FAST",
        }
    }

    /// A sentence for a person.
    #[must_use]
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
        }
    }

    /// When to try again, in milliseconds, where waiting helps.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::InvalidPasswordBlocked { retry_after_ms }
            | Self::Locked { retry_after_ms }
            | Self::Busy { retry_after_ms }
            | Self::TooFast { retry_after_ms } => Some(*retry_after_ms),
            Self::BadRequest(_)
            | Self::NotLoggedIn
            | Self::LoggedInHere
            | Self::InvalidPassword { .. }
            | Self::AlreadyLoggedIn
            | Self::Yourself
            | Self::UserNotExist { .. }
            | Self::UserBlocked
            | Self::UserOffline
            | Self::NotBlocked
            | Self::MailboxFull
            | Self::BlockListFull
            | Self::IdConflict
            | Self::BadNumber { .. } => None,
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
