//! What a client may ask of a server.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::Action;
use crate::keys::{DeviceKey, EndpointKey, FileHash, InviteSecret, RelayTicket, Signature};
use crate::limits::ID_BYTES_MAX;
use crate::link::{LinkAnswer, LinkName, NewLink};
use crate::share::Share;

/// One request, borrowed from the frame it came in.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the client calls this request; the answer repeats it.
    pub id: Option<RequestId>,
    /// What is asked.
    pub command: Command<'a>,
}

/// What is asked; the `action` of the wire with its fields.
#[derive(Debug)]
pub enum Command<'a> {
    /// Begins a session.
    Login(Login<'a>),
    /// Sends a direct message; stored until the other person has it.
    Message {
        /// Whom it is for.
        user: Cow<'a, str>,
        /// What it says.
        message: Cow<'a, str>,
    },
    /// Says something to everybody who is online.
    Broadcast {
        /// What it says.
        message: Cow<'a, str>,
    },
    /// Refuses messages from a person, and hides from that person.
    Block {
        /// Who is blocked.
        user: Cow<'a, str>,
    },
    /// Takes a block back.
    Unblock {
        /// Who was blocked.
        user: Cow<'a, str>,
    },
    /// Asks who else is online.
    Whoelse,
    /// Asks who else was online at any time in the recent past.
    WhoelseSince {
        /// How far back, in milliseconds.
        since_ms: u64,
    },
    /// Asks where a person can be reached without the server.
    StartPrivate {
        /// Who is sought.
        user: Cow<'a, str>,
        /// The link that is wanted; none if only the address of an original client is.
        link: Option<NewLink>,
    },
    /// Answers a question for a private link.
    AnswerPrivate {
        /// Which.
        link: LinkName,
        /// What.
        answer: LinkAnswer<'a>,
    },
    /// Says, after an answer, how one's own device is reached.
    PrivateCard {
        /// For which link.
        link: LinkName,
        /// Signed by that device; opaque to the server.
        card: Cow<'a, str>,
    },
    /// Takes a question back, or breaks off what it led to.
    EndPrivate {
        /// Which.
        link: LinkName,
    },
    /// Lets one end of a private link into the server's relay, or no longer.
    Relay {
        /// Which end.
        endpoint: EndpointKey,
        /// By what it is known; none ends it.
        ticket: Option<RelayTicket>,
    },
    /// Offers a file to others, or changes the offer.
    Share(Share<'a>),
    /// Takes an offer back.
    Unshare {
        /// What is in the file.
        hash: FileHash,
    },
    /// Lists the files that this person shares.
    Shares,
    /// Looks for files that others share.
    SearchFiles {
        /// Words that must all be in the name, in any case, with white space between them: at most
        /// [`crate::limits::SEARCH_BYTES_MAX`] bytes. Without any: all files.
        words: Cow<'a, str>,
    },
    /// Asks who can give parts of a file now.
    Sources {
        /// What is in the file.
        hash: FileHash,
    },
    /// Says which parts of a file this session can give.
    Have {
        /// What is in the file.
        hash: FileHash,
        /// The text of a [`crate::PartMap`]; how long it must be depends on the file. No parts take
        /// it back.
        parts: Cow<'a, str>,
    },
    /// Ends the session.
    Logout {
        /// The device is to be forgotten, too: the next login needs the password.
        forget: bool,
    },
    /// Confirms that all mail up to a number is kept and shown.
    Ack {
        /// The number, as in `receive_message`.
        number: u64,
    },
    /// Asks which of one's own messages have reached their readers' devices.
    Receipts {
        /// The ids they were sent under, 1 to [`crate::limits::RECEIPTS_MAX`].
        ids: Vec<RequestId>,
    },
    /// The person did something the server does not see; keeps the session from idling out.
    Active,
    /// Asks for something to sign, before [`Command::Resume`].
    Challenge,
    /// Begins a session by proof of a device's key, without a password.
    Resume(Resume<'a>),
    /// Asks what an invite is worth, before [`Command::Join`].
    Invitation {
        /// What the invite holds.
        invite: InviteSecret,
    },
    /// Makes an account with an invite, and begins its first session.
    Join(Join<'a>),
    /// Makes an invite for somebody new.
    Invite {
        /// What the new person is to be.
        role: Role,
    },
    /// Lists the invites that are open: one's own, for an administrator all.
    Invites,
    /// Takes an invite back.
    RevokeInvite {
        /// Which, as in the list.
        number: u64,
    },
    /// Lists the devices that may resume for this account.
    Devices,
    /// Takes from a device the right to resume, and ends its session.
    RevokeDevice {
        /// Which, as in the list.
        name: Cow<'a, str>,
    },
    /// Changes the password. Never logged; see the `Debug` of the type.
    Passwd(Passwd<'a>),
    /// Keeps a person from logging in, and ends its session. For administrators.
    Lock {
        /// Whom.
        user: Cow<'a, str>,
    },
    /// Takes that back.
    Unlock {
        /// Who may log in again.
        user: Cow<'a, str>,
    },
}

impl Command<'_> {
    /// The `action` of this command on the wire.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Login(_) => Action::Login,
            Self::Message { .. } => Action::Message,
            Self::Broadcast { .. } => Action::Broadcast,
            Self::Block { .. } => Action::Block,
            Self::Unblock { .. } => Action::Unblock,
            Self::Whoelse => Action::Whoelse,
            Self::WhoelseSince { .. } => Action::WhoelseSince,
            Self::StartPrivate { .. } => Action::StartPrivate,
            Self::AnswerPrivate { .. } => Action::AnswerPrivate,
            Self::PrivateCard { .. } => Action::PrivateCard,
            Self::EndPrivate { .. } => Action::EndPrivate,
            Self::Relay { .. } => Action::Relay,
            Self::Share(_) => Action::Share,
            Self::Unshare { .. } => Action::Unshare,
            Self::Shares => Action::Shares,
            Self::SearchFiles { .. } => Action::SearchFiles,
            Self::Sources { .. } => Action::Sources,
            Self::Have { .. } => Action::Have,
            Self::Logout { .. } => Action::Logout,
            Self::Ack { .. } => Action::Ack,
            Self::Receipts { .. } => Action::Receipts,
            Self::Active => Action::Active,
            Self::Challenge => Action::Challenge,
            Self::Resume(_) => Action::Resume,
            Self::Invitation { .. } => Action::Invitation,
            Self::Join(_) => Action::Join,
            Self::Invite { .. } => Action::Invite,
            Self::Invites => Action::Invites,
            Self::RevokeInvite { .. } => Action::RevokeInvite,
            Self::Devices => Action::Devices,
            Self::RevokeDevice { .. } => Action::RevokeDevice,
            Self::Passwd(_) => Action::Passwd,
            Self::Lock { .. } => Action::Lock,
            Self::Unlock { .. } => Action::Unlock,
        }
    }
}

/// The fields of `login`.
pub struct Login<'a> {
    /// Who claims to be there.
    pub username: Cow<'a, str>,
    /// The proof. Never logged; see the `Debug` below.
    pub password: Cow<'a, str>,
    /// Where the client listens for the original's private links; 0 when it does not.
    pub private_port: u16,
    /// The highest version of our protocol the client speaks; none for original clients.
    pub protocol: Option<u32>,
    /// A random id of the running client: the same instance replaces its own old session.
    pub instance: Option<Cow<'a, str>>,
    /// Ends a session of the same account elsewhere instead of being refused because of it.
    pub takeover: bool,
    /// The device it comes from, which may resume from then on. Only with `protocol`.
    pub device: Option<Device<'a>>,
    /// Wants to be told when its messages have reached their readers. Only with `protocol`.
    pub receipts: bool,
    /// Can make private links. Only with `protocol`.
    pub links: bool,
}

/// A device as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Its public key.
    pub key: DeviceKey,
    /// What its person calls it: 1 to 32 characters, as for names. The server makes it different
    /// from the account's other devices.
    pub name: Cow<'a, str>,
}

/// The fields of `resume`.
#[derive(Debug)]
pub struct Resume<'a> {
    /// Whose session is wanted.
    pub username: Cow<'a, str>,
    /// The device's public key.
    pub key: DeviceKey,
    /// Its signature of [`crate::keys::resume_text`].
    pub signature: Signature,
    /// The highest version of our protocol the client speaks.
    pub protocol: u32,
    /// A random id of the running client.
    pub instance: Option<Cow<'a, str>>,
    /// Ends a session of the same account elsewhere instead of being refused because of it.
    pub takeover: bool,
    /// Wants to be told when its messages have reached their readers.
    pub receipts: bool,
    /// Can make private links.
    pub links: bool,
    /// Where the client listens for the original's private links; 0 when it does not.
    pub private_port: u16,
}

/// The fields of `join`.
pub struct Join<'a> {
    /// What the invite holds.
    pub invite: InviteSecret,
    /// What the new person wants to be called.
    pub username: Cow<'a, str>,
    /// Its password. Never logged; see the `Debug` below.
    pub password: Cow<'a, str>,
    /// The highest version of our protocol the client speaks.
    pub protocol: u32,
    /// A random id of the running client.
    pub instance: Option<Cow<'a, str>>,
    /// The device it comes from.
    pub device: Option<Device<'a>>,
    /// Wants to be told when its messages have reached their readers.
    pub receipts: bool,
    /// Can make private links.
    pub links: bool,
    /// Where the client listens for the original's private links; 0 when it does not.
    pub private_port: u16,
}

/// The fields of `passwd`.
pub struct Passwd<'a> {
    /// The password until now.
    pub old: Cow<'a, str>,
    /// The password from now on.
    pub new: Cow<'a, str>,
}

/// What a person may do beyond talking.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Role {
    /// Talks, and invites members.
    #[default]
    Member,
    /// Also invites administrators, sees everybody's invites, and locks people out.
    Admin,
}

impl Role {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Member, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Debug for Join<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Join")
            .field("username", &self.username)
            .field("protocol", &self.protocol)
            .field("instance", &self.instance)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Passwd<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Passwd").finish_non_exhaustive()
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Login")
            .field("username", &self.username)
            .field("private_port", &self.private_port)
            .field("protocol", &self.protocol)
            .field("instance", &self.instance)
            .field("takeover", &self.takeover)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What a client calls a request: 1 to 64 bytes of its own choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Makes an id of a text; none if it is empty or longer than [`ID_BYTES_MAX`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (1..=ID_BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
