//! What a client may ask of a server.

use std::borrow::Cow;
use std::fmt;

use crate::event::Action;
use crate::limits::ID_BYTES_MAX;

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
    },
    /// Ends the session.
    Logout,
    /// Confirms that all mail up to a number is kept and shown.
    Ack {
        /// The number, as in `receive_message`.
        number: u64,
    },
    /// The person did something the server does not see; keeps the session from idling out.
    Active,
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
            Self::Logout => Action::Logout,
            Self::Ack { .. } => Action::Ack,
            Self::Active => Action::Active,
        }
    }
}

/// The fields of `login`.
pub struct Login<'a> {
    /// Who claims to be there.
    pub username: Cow<'a, str>,
    /// The proof. Never logged; see the `Debug` below.
    pub password: Cow<'a, str>,
    /// Where an original client listens for private links; 0 when it does not.
    pub private_port: u16,
    /// The highest version of our protocol the client speaks; none for original clients.
    pub protocol: Option<u32>,
    /// A random id of the running client: the same instance replaces its own old session.
    pub instance: Option<Cow<'a, str>>,
    /// Ends a session of the same account elsewhere instead of being refused because of it.
    pub takeover: bool,
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
