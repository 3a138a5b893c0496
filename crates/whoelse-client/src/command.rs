//! What a person can ask for, as values. How it is typed is the screen's affair.

use whoelse_proto::request;

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
    /// End the session.
    Logout,
}

impl Command {
    /// The word that people type for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Broadcast { .. } => "broadcast",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::Whoelse => "whoelse",
            Self::WhoelseSince { .. } => "whoelsesince",
            Self::StartPrivate { .. } => "startprivate",
            Self::Private { .. } => "private",
            Self::StopPrivate { .. } => "stopprivate",
            Self::Logout => "logout",
        }
    }

    /// The person it is about, if it is about one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Message { user, .. }
            | Self::Block { user }
            | Self::Unblock { user }
            | Self::StartPrivate { user }
            | Self::Private { user, .. }
            | Self::StopPrivate { user } => Some(user),
            Self::Broadcast { .. } | Self::Whoelse | Self::WhoelseSince { .. } | Self::Logout => {
                None
            }
        }
    }

    /// What the server is asked; nothing for what concerns private links only.
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
            Self::StartPrivate { user } => request::Command::StartPrivate { user: user.into() },
            Self::Logout => request::Command::Logout { forget: false },
            Self::Private { .. } | Self::StopPrivate { .. } => return None,
        })
    }
}
