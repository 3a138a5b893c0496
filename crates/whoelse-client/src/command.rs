//! What a person can ask for, as values. How it is typed is the screen's affair.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use whoelse_proto::{Password, Role, request};

/// One wish of the person, complete and owned, so that it can wait for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send a direct message.
    Message {
        /// To whom.
        user: String,
        /// What it says.
        text: String,
    },
    /// Say something to everybody who is online.
    Broadcast {
        /// What it says.
        text: String,
    },
    /// Refuse messages from a person.
    Block {
        /// From whom.
        user: String,
    },
    /// Take that back.
    Unblock {
        /// For whom.
        user: String,
    },
    /// Show what was said with a person. Nobody else is asked.
    History {
        /// With whom.
        user: String,
        /// How many messages, the last.
        count: usize,
    },
    /// Show what was said that holds some words. Nobody else is asked.
    Search {
        /// The words.
        words: String,
    },
    /// Show what is not confirmed yet. Nobody else is asked.
    Outbox,
    /// List who else is online.
    Whoelse,
    /// List who else was online lately.
    WhoelseSince {
        /// How far back.
        seconds: u64,
    },
    /// Open a private link.
    StartPrivate {
        /// With whom.
        user: String,
        /// Whether it may be one that nobody encrypts, to a client of the original system.
        unencrypted: bool,
    },
    /// Say something over a private link.
    Private {
        /// To whom.
        user: String,
        /// What it says.
        text: String,
    },
    /// Close a private link.
    StopPrivate {
        /// With whom.
        user: String,
    },
    /// Agree to the private link that a person has asked for.
    Accept {
        /// With whom.
        user: String,
    },
    /// Refuse it.
    Decline {
        /// To whom.
        user: String,
    },
    /// Show or decide whether a person's device is that person's.
    Safety {
        /// Whose.
        user: String,
        /// What to do.
        step: SafetyStep,
    },
    /// Send a file over a private link, which is made if there is none.
    SendFile {
        /// To whom.
        user: String,
        /// Where it is.
        path: PathBuf,
    },
    /// List files under way.
    Files,
    /// Give a file up.
    Cancel {
        /// Its number in the list, or the person it is with.
        which: String,
    },
    /// Offer a file to others. It stays where it is, and they fetch it from here.
    Share {
        /// Where it is.
        path: PathBuf,
        /// Who may have it; none named are everyone.
        with: Vec<String>,
    },
    /// List the files that are shared from here, and those that were fetched and are passed on.
    Shares,
    /// Take an offer back.
    Unshare {
        /// Its number in the list, its name, or how its hash begins.
        which: String,
    },
    /// List files that others share.
    SearchFiles {
        /// Words that are all in the name; none are all files.
        words: String,
    },
    /// List who has parts of a file.
    SearchParts {
        /// As for [`Command::Get`].
        which: String,
        /// The parts, counted from 1; none are all.
        parts: Vec<RangeInclusive<u32>>,
    },
    /// Fetch a file from all who have it.
    Get {
        /// Its number in what was found last, its name, `user/name`, or how its hash begins.
        which: String,
    },
    /// Show or decide whether others may fetch from here what was fetched.
    Seed {
        /// They may; none shows what was decided.
        yes: Option<bool>,
    },
    /// List private links and questions for them.
    Links,
    /// Make an invite for somebody new.
    Invite {
        /// What the new person is to be.
        role: Role,
    },
    /// List the invites that are open.
    Invites,
    /// Take an invite back.
    RevokeInvite {
        /// Which, as in the list.
        number: u64,
    },
    /// List the devices that need no password.
    Devices,
    /// Take that from a device, and end its session.
    RevokeDevice {
        /// Which, as in the list.
        name: String,
    },
    /// Change the password.
    Passwd(Passwords),
    /// Keep a person from logging in.
    Lock {
        /// Whom.
        user: String,
    },
    /// Take that back.
    Unlock {
        /// For whom.
        user: String,
    },
    /// End the session, and forget this device.
    Logout,
}

/// What to do about the number that two people compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SafetyStep {
    /// Show it.
    Show,
    /// It was compared, and is the same on both sides.
    Confirm,
    /// Take a key that is not the one that was known.
    Accept,
}

/// A password and the one that follows it. Shown by nobody, also not by `Debug`.
#[derive(Clone)]
pub struct Passwords {
    /// The password until now.
    pub old: Password,
    /// The password from now on.
    pub new: Password,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passwords(..)")
    }
}

impl PartialEq for Passwords {
    fn eq(&self, other: &Self) -> bool {
        (self.old.expose(), self.new.expose()) == (other.old.expose(), other.new.expose())
    }
}

impl Eq for Passwords {}

impl Command {
    /// The word that people type for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Broadcast { .. } => "broadcast",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::History { .. } => "history",
            Self::Search { .. } => "search",
            Self::Outbox => "outbox",
            Self::Whoelse => "whoelse",
            Self::WhoelseSince { .. } => "whoelsesince",
            Self::StartPrivate { .. } => "startprivate",
            Self::Private { .. } => "private",
            Self::StopPrivate { .. } => "stopprivate",
            Self::Accept { .. } => "accept",
            Self::Decline { .. } => "decline",
            Self::Safety { .. } => "safety",
            Self::Links => "links",
            Self::SendFile { .. } => "sendfile",
            Self::Files => "files",
            Self::Cancel { .. } => "cancel",
            Self::Share { .. } => "share",
            Self::Shares => "shares",
            Self::Unshare { .. } => "unshare",
            Self::SearchFiles { .. } => "search-files",
            Self::SearchParts { .. } => "search-parts",
            Self::Get { .. } => "get",
            Self::Seed { .. } => "seed",
            Self::Invite { .. } => "invite",
            Self::Invites | Self::RevokeInvite { .. } => "invites",
            Self::Devices | Self::RevokeDevice { .. } => "devices",
            Self::Passwd(_) => "passwd",
            Self::Lock { .. } => "lock",
            Self::Unlock { .. } => "unlock",
            Self::Logout => "logout",
        }
    }

    /// The person it is about, if it is about one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Message { user, .. }
            | Self::History { user, .. }
            | Self::Block { user }
            | Self::Unblock { user }
            | Self::StartPrivate { user, .. }
            | Self::Private { user, .. }
            | Self::Accept { user }
            | Self::Decline { user }
            | Self::Safety { user, .. }
            | Self::StopPrivate { user }
            | Self::SendFile { user, .. }
            | Self::Lock { user }
            | Self::Unlock { user } => Some(user),
            Self::Broadcast { .. }
            | Self::Search { .. }
            | Self::Links
            | Self::Files
            | Self::Cancel { .. }
            | Self::Share { .. }
            | Self::Shares
            | Self::Unshare { .. }
            | Self::SearchFiles { .. }
            | Self::SearchParts { .. }
            | Self::Get { .. }
            | Self::Seed { .. }
            | Self::Outbox
            | Self::Whoelse
            | Self::WhoelseSince { .. }
            | Self::Invite { .. }
            | Self::Invites
            | Self::RevokeInvite { .. }
            | Self::Devices
            | Self::RevokeDevice { .. }
            | Self::Passwd(_)
            | Self::Logout => None,
        }
    }

    /// Whether an original server knows it, too.
    pub(crate) fn is_original(&self) -> bool {
        !matches!(
            self,
            Self::Invite { .. }
                | Self::Invites
                | Self::RevokeInvite { .. }
                | Self::Devices
                | Self::RevokeDevice { .. }
                | Self::Passwd(_)
                | Self::Lock { .. }
                | Self::Unlock { .. }
        )
    }

    /// What the server is asked; nothing for what concerns private links or this machine only.
    pub(crate) fn request(&self) -> Option<request::Command<'_>> {
        Some(match self {
            Self::Message { user, text } => {
                request::Command::Message { user: user.into(), message: text.into() }
            }
            Self::Broadcast { text } => request::Command::Broadcast { message: text.into() },
            Self::Block { user } => request::Command::Block { user: user.into() },
            Self::Unblock { user } => request::Command::Unblock { user: user.into() },
            Self::Whoelse => request::Command::Whoelse,
            Self::WhoelseSince { seconds } => {
                request::Command::WhoelseSince { since_ms: seconds.saturating_mul(1000) }
            }
            Self::StartPrivate { user, .. } => {
                request::Command::StartPrivate { user: user.into(), link: None }
            }
            Self::Invite { role } => request::Command::Invite { role: *role },
            Self::Invites => request::Command::Invites,
            Self::RevokeInvite { number } => request::Command::RevokeInvite { number: *number },
            Self::Devices => request::Command::Devices,
            Self::RevokeDevice { name } => request::Command::RevokeDevice { name: name.into() },
            Self::Passwd(Passwords { old, new }) => request::Command::Passwd(request::Passwd {
                old: old.expose().into(),
                new: new.expose().into(),
            }),
            Self::Lock { user } => request::Command::Lock { user: user.into() },
            Self::Unlock { user } => request::Command::Unlock { user: user.into() },
            Self::Logout => request::Command::Logout { forget: false },
            Self::Private { .. }
            | Self::StopPrivate { .. }
            | Self::Accept { .. }
            | Self::Decline { .. }
            | Self::Safety { .. }
            | Self::Links
            | Self::SendFile { .. }
            | Self::Files
            | Self::Cancel { .. }
            | Self::Share { .. }
            | Self::Shares
            | Self::Unshare { .. }
            | Self::SearchFiles { .. }
            | Self::SearchParts { .. }
            | Self::Get { .. }
            | Self::Seed { .. }
            | Self::History { .. }
            | Self::Search { .. }
            | Self::Outbox => return None,
        })
    }
}
