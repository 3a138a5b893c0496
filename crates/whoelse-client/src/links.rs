//! Private links, as far as this crate has a say in them: whom to trust, what a card says, and what
//! whoever carries links is told to do and reports.
//!
//! What is decided is decided in [`crate::core`]. How bytes get from machine to machine is the
//! business of whoever carries [`PeerOrder`]s out; without anybody who does, there are no links.

pub(crate) mod card;
pub mod files;
pub mod notice;
pub(crate) mod offer;
pub mod peers;
pub mod swarm;
pub mod swarm_carry;
pub mod trust;

use std::net::SocketAddr;
use std::path::PathBuf;

use whoelse_proto::{EndpointKey, FileHash, RelayTicket};

pub use files::{FileEvent, FileFailure, FileId, FileNotice};
pub use notice::{LinkEnd, LinkLine, LinkNotice, LinkState, LinkWhy, NoLinks, NotSent, Safety};
pub use peers::Peers;
pub use swarm::{SwarmFile, SwarmNotice, SwarmWhy};
pub use swarm_carry::{SwarmEvent, SwarmOrder};
pub use trust::{Pin, Trust};

/// Most links at once, questions of others not counted: each has sockets of its own.
pub const LINKS_MAX: usize = 8;

/// Most links at once over which files are fetched from those who share them. They do not count as
/// links of talk.
pub const FETCHING_MAX: usize = 8;

/// Most links at once over which others fetch shared files from here.
pub const SERVING_MAX: usize = 16;

/// Most questions of others that are open at once.
pub const QUESTIONS_MAX: usize = 64;

/// Most texts of one link that are not acknowledged, those included that wait for it.
pub const TEXTS_MAX: usize = 100;

/// Most bytes in those texts: whoever carries links holds no more of one.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest private text, in bytes: what a frame of a link has room for.
pub const PRIVATE_BYTES_MAX: usize = 60 * 1024;

/// How a client deals with private links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// Whether this program can make any.
    pub carried: bool,
    /// What becomes of the questions of others.
    pub private: Private,
    /// No address of this machine is told to anybody: links go over the relay.
    pub hide_address: bool,
    /// Whether others may fetch from here what was fetched from those who share it.
    pub seed: Seed,
    /// Original clients may open links that nobody encrypts.
    pub allow_unencrypted: bool,
    /// Where files go that have come. Without it none is accepted.
    pub downloads: Option<PathBuf>,
    /// What `~` stands for at the beginning of a path.
    pub home: Option<PathBuf>,
}

/// What becomes of questions for a private link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Private {
    /// The person is asked.
    #[default]
    Ask,
    /// They are accepted.
    Always,
    /// They are declined.
    Never,
}

/// Whether others may fetch from here what was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seed {
    /// As the person has decided; before that no.
    #[default]
    Ask,
    /// They may.
    Always,
    /// They may not.
    Never,
}

/// What a link is called between this crate and whoever carries links; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How the other end of a link is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPlace {
    /// The key that it proves to have.
    pub endpoint: EndpointKey,
    /// Where it may be found directly.
    pub addresses: Vec<SocketAddr>,
    /// It may be found over the relay.
    pub relay: bool,
}

/// What whoever carries links is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerOrder {
    /// The relay is where the server is now, and it knows the tickets of all links: those that want it
    /// try it at once.
    Relay,
    /// Make keys for a link; report with [`PeerEvent::Prepared`].
    Prepare {
        /// Which.
        link: LinkId,
    },
    /// Make it ready to be found; report with [`PeerEvent::Opened`].
    Open {
        /// Which.
        link: LinkId,
        /// The relay takes it.
        relay: bool,
    },
    /// Connect to the other end, again and again until it is closed.
    Dial {
        /// Which.
        link: LinkId,
        /// To whom.
        to: PeerPlace,
        /// The person and the device, under a name that is always the same.
        device: String,
    },
    /// Let exactly this end connect.
    Expect {
        /// Which.
        link: LinkId,
        /// Whom.
        from: PeerPlace,
        /// The person and the device, under a name that is always the same.
        device: String,
    },
    /// Carry a text. Numbers are dense and begin at 1.
    Send {
        /// Over which link.
        link: LinkId,
        /// Its place.
        number: u64,
        /// What it says.
        text: String,
    },
    /// Tell the other end that the person has seen everything up to a number.
    Acknowledge {
        /// On which link.
        link: LinkId,
        /// Up to where.
        number: u64,
    },
    /// Look whether a file can be read; report with `handle_file_checked`.
    CheckFile {
        /// The number of the transfer.
        number: u64,
        /// Where it is.
        path: PathBuf,
    },
    /// Offer a file; report with [`PeerEvent::Offering`] what the transfer is called.
    OfferFile {
        /// The number of the transfer.
        number: u64,
        /// Over which link.
        link: LinkId,
        /// Where it is.
        path: PathBuf,
    },
    /// Take a file that is offered.
    AcceptFile {
        /// Which.
        file: FileId,
    },
    /// Refuse a file that is offered.
    DeclineFile {
        /// Which.
        file: FileId,
    },
    /// End a transfer.
    CancelFile {
        /// Which.
        file: FileId,
    },
    /// Something about files that are shared, or fetched from those who share them.
    Swarm(SwarmOrder),
    /// Say goodbye and forget the link.
    Close {
        /// Which.
        link: LinkId,
    },
}

/// What whoever carries links reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// The keys of a link.
    Prepared {
        /// Which.
        link: LinkId,
        /// What the end here proves to have.
        endpoint: EndpointKey,
        /// What lets it into the relay, once the server knows it.
        ticket: RelayTicket,
    },
    /// It can be found.
    Opened {
        /// Which.
        link: LinkId,
        /// Where, directly.
        addresses: Vec<SocketAddr>,
    },
    /// Both ends have proven themselves.
    Up {
        /// Which.
        link: LinkId,
        /// On which way.
        route: Route,
    },
    /// It takes another way now.
    Route {
        /// Which.
        link: LinkId,
        /// The way.
        route: Route,
    },
    /// Nothing was heard of the other end for [`SILENT_MS`].
    Silent {
        /// Which.
        link: LinkId,
    },
    /// The other end is heard again.
    Heard {
        /// Which.
        link: LinkId,
    },
    /// A text has come.
    Text {
        /// Over which link.
        link: LinkId,
        /// Its place.
        number: u64,
        /// What it says.
        text: String,
    },
    /// The other person has seen everything up to a number.
    Acknowledged {
        /// On which link.
        link: LinkId,
        /// Up to where.
        number: u64,
    },
    /// The other end has said goodbye.
    Bye {
        /// Which.
        link: LinkId,
    },
    /// A transfer of ours is called like this.
    Offering {
        /// Its number.
        number: u64,
        /// What it is called.
        file: FileId,
    },
    /// Something happened to a file.
    File {
        /// Which.
        file: FileId,
        /// What.
        event: FileEvent,
    },
    /// Something happened to a file that is shared, or fetched from those who share it.
    Swarm {
        /// Which, unless it could not be read.
        hash: Option<FileHash>,
        /// What.
        what: SwarmEvent,
    },
    /// It could not be made, or cannot go on. It is forgotten.
    Failed {
        /// Which.
        link: LinkId,
        /// Why.
        why: PeerFailure,
    },
}

/// After how long a silence [`PeerEvent::Silent`] comes.
pub const SILENT_MS: u64 = 4_000;

/// The way of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From machine to machine.
    Direct,
    /// Over the server's relay, which sees nothing but that there is a link.
    Relayed,
}

/// Why a link could not be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// The other end could not be reached.
    NoRoute,
    /// Whoever was there has another key.
    WrongIdentity,
    /// The other end does not keep to the protocol.
    Protocol,
    /// Anything else, in the words of the system.
    Other(String),
}
