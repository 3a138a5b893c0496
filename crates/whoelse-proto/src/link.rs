//! Private links between two devices, as far as the server has to do with them: it passes on a
//! question, its answer and two cards, and then forgets. What a card says is the clients' business.

use std::borrow::Cow;
use std::fmt;

use crate::keys::FileHash;
use crate::limits::ID_BYTES_MAX;

/// What a server's relay is called in a TLS handshake (SNI, RFC 6066), whatever the server is called.
///
/// The domain does not exist (RFC 2606): nobody looks it up, and no certificate is issued for it.
/// Who is behind it is checked by the server's key.
pub const RELAY_HOST: &str = "relay.whoelse.invalid";

/// What a link is called while it is being made: 1 to 64 bytes, chosen at random by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(Box<str>);

impl LinkName {
    /// Makes a name of a text; none if it is empty or longer than [`ID_BYTES_MAX`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (1..=ID_BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A link that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// What it is to be called.
    pub name: LinkName,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Two people talk.
    Talk,
    /// Who asks fetches parts of a shared file from the other.
    File(FileHash),
}

impl Purpose {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::File(_) => "file",
        }
    }

    /// The file it is for.
    #[must_use]
    pub fn file(self) -> Option<FileHash> {
        match self {
            Self::Talk => None,
            Self::File(file) => Some(file),
        }
    }

    /// Reads the word of the wire; `file` stands beside it if, and only if, it is for one.
    #[must_use]
    pub fn parse(text: &str, file: Option<FileHash>) -> Option<Self> {
        match (text, file) {
            ("talk", None) => Some(Self::Talk),
            ("file", Some(file)) => Some(Self::File(file)),
            _ => None,
        }
    }
}

/// What somebody who was asked says.
pub enum LinkAnswer<'a> {
    /// Yes: how its device is reached, signed by that device.
    Accept {
        /// At most [`crate::limits::CARD_BYTES_MAX`] bytes, opaque to the server.
        card: Cow<'a, str>,
    },
    /// No. Of the reasons only those of [`LinkReason::of_decline`].
    Decline(LinkReason),
}

impl fmt::Debug for LinkAnswer<'_> {
    /// Without the card: it holds addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept { .. } => formatter.write_str("Accept"),
            Self::Decline(reason) => write!(formatter, "Decline({reason:?})"),
        }
    }
}

/// Why a link was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkReason {
    /// The person who was asked said no.
    Declined,
    /// As many links stand there as may.
    Busy,
    /// The asking device is not the one that is known there.
    KeyChanged,
    /// That person's client accepts no private links.
    NotWanted,
    /// Who asked took it back, or one of the two broke it off.
    Withdrawn,
    /// The line of the other broke.
    Offline,
    /// It took too long.
    NoAnswer,
}

impl LinkReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Declined,
        Self::Busy,
        Self::KeyChanged,
        Self::NotWanted,
        Self::Withdrawn,
        Self::Offline,
        Self::NoAnswer,
    ];

    /// The `reason` on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declined => "DECLINED",
            Self::Busy => "BUSY",
            Self::KeyChanged => "KEY_CHANGED",
            Self::NotWanted => "NOT_WANTED",
            Self::Withdrawn => "WITHDRAWN",
            Self::Offline => "OFFLINE",
            Self::NoAnswer => "NO_ANSWER",
        }
    }

    /// Reads the `reason` of the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Whether somebody who declines may say so.
    #[must_use]
    pub fn of_decline(self) -> bool {
        matches!(self, Self::Declined | Self::Busy | Self::KeyChanged | Self::NotWanted)
    }
}
