//! Why something was not done: the status on the wire, and a sentence for a person.

use crate::event::Action;
use crate::names::Name;

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
    /// Nobody has a name that a request gives beside others.
    UserUnknown {
        /// Which.
        user: Box<str>,
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
    /// The one who asks shares no such file, or may see none.
    FileNotExist,
    /// As many files are shared, or given parts of, as may be.
    TooManyFiles,
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
            Self::UserNotExist { .. } | Self::UserUnknown { .. } => "USER_NOT_EXIST",
            Self::UserBlocked => "USER_BLOCKED",
            Self::UserOffline => "USER_OFFLINE",
            Self::YouBlocked(_) => "YOU_BLOCKED",
            Self::NoLinks => "NO_LINKS",
            Self::TooManyLinks => "TOO_MANY_LINKS",
            Self::LinkNotExist => "LINK_NOT_EXIST",
            Self::NoRelay => "NO_RELAY",
            Self::FileNotExist => "FILE_NOT_EXIST",
            Self::TooManyFiles => "TOO_MANY_FILES",
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
            Self::UserUnknown { user, suggestion: None } => {
                format!("Nobody here is called '{user}'.")
            }
            Self::UserUnknown { user, suggestion: Some(name) } => {
                format!("Nobody here is called '{user}'. Did you mean '{name}'?")
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
            Self::FileNotExist if action == Action::Unshare => "You share no such file.".into(),
            Self::FileNotExist if action == Action::StartPrivate => {
                "That person gives nothing of such a file now.".into()
            }
            Self::FileNotExist => "Nobody shares such a file with you.".into(),
            Self::TooManyFiles if action == Action::Have => {
                "Parts of as many files are claimed as may be, by you or by all.".into()
            }
            Self::TooManyFiles => {
                "As many files are shared as may be, by you or by all. Unshare some first.".into()
            }
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
            | Self::UserUnknown { .. }
            | Self::UserBlocked
            | Self::UserOffline
            | Self::YouBlocked(_)
            | Self::NoLinks
            | Self::TooManyLinks
            | Self::LinkNotExist
            | Self::NoRelay
            | Self::FileNotExist
            | Self::TooManyFiles
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
