//! The words between this crate and whoever uses it. None of them is a word of iroh.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use whoelse_proto::{EndpointKey, FileHash, FileName, Fingerprint, RelayTicket};

mod swarm;

pub use swarm::SwarmEvent;

/// Names one link; chosen by the caller, never used twice in a [`crate::Node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one transfer of a file in one run of a [`crate::Node`]; chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

/// How a [`crate::Node`] behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The other side never learns an address of this machine: links lead over the relay only.
    pub hide_address: bool,
    /// Offers the addresses that only reach this machine itself too. For a server on this machine,
    /// whose other clients may be here as well.
    pub loopback: bool,
    /// Where what has come of unfinished files is kept. Without it there are no files.
    pub folder: Option<PathBuf>,
    /// Where files go that have come. Without it none is accepted.
    pub downloads: Option<PathBuf>,
}

/// The relay, which is the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Where the connection to the server goes to; the relay is there too, over TCP (TLS), and finds
    /// addresses out over UDP at the same port.
    pub address: SocketAddr,
    /// The key that must answer.
    pub key: Fingerprint,
}

/// The other end of a link, as its card tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The key it must prove to have.
    pub endpoint: EndpointKey,
    /// Where it may be reached.
    pub addresses: Vec<SocketAddr>,
    /// It can be reached over the relay.
    pub relay: bool,
    /// Names the person and the device, the same in every link with it, unlike any other. Unfinished
    /// files go on when there is a link with the same again. Never sent to anybody.
    pub device: String,
}

/// Which way a link takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From machine to machine.
    Direct,
    /// Over the relay, which sees only that something passes.
    Relayed,
}

/// What a [`crate::Node`] tells.
///
/// Of a link: `Prepared`, `Opened`, then, once, `Up`; from then on texts, `Silent` and `Heard` in turn.
/// Exactly one of `Bye`, `Failed`, `Closed` ends it; nothing is told of a link after that.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// [`crate::Node::prepare`]: the keys of a link.
    Prepared {
        /// Which.
        link: LinkId,
        /// The key of our end.
        endpoint: EndpointKey,
        /// What to register with the server for it, now and after each new login.
        ticket: RelayTicket,
    },
    /// [`crate::Node::open`]: our end can be reached.
    Opened {
        /// Which.
        link: LinkId,
        /// Where; at most 16. None when the address is hidden.
        addresses: Vec<SocketAddr>,
    },
    /// An attempt to reach the other end came to nothing; there will be another. Before `Up` only,
    /// and told again only when the reason changes.
    Unreached {
        /// Which.
        link: LinkId,
        /// Why.
        why: Unreached,
    },
    /// Both ends have spoken. Told once, also if the connection is made anew later.
    Up {
        /// Which.
        link: LinkId,
        /// The way it takes.
        route: Route,
        /// How long an answer takes, about.
        rtt: Duration,
    },
    /// It takes another way now.
    Route {
        /// Which.
        link: LinkId,
        /// The way it takes.
        route: Route,
    },
    /// Nothing was heard of the other end for 4 s, or the connection broke. It is dialled again.
    Silent {
        /// Which.
        link: LinkId,
    },
    /// It is heard again; texts sent meanwhile are on their way.
    Heard {
        /// Which.
        link: LinkId,
    },
    /// A text has come: dense numbers from 1, each once.
    Text {
        /// Over which link.
        link: LinkId,
        /// Its number, to be acknowledged when it was shown.
        number: u64,
        /// What it says; anything a peer likes, up to [`crate::TEXT_BYTES_MAX`] bytes.
        text: String,
    },
    /// The other side was shown everything up to a number.
    Acknowledged {
        /// Over which link.
        link: LinkId,
        /// The number of the last text that was shown.
        number: u64,
    },
    /// The other side ended the link.
    Bye {
        /// Which.
        link: LinkId,
    },
    /// The link is over.
    Failed {
        /// Which.
        link: LinkId,
        /// Why.
        why: Failure,
    },
    /// [`crate::Node::close`] is done.
    Closed {
        /// Which.
        link: LinkId,
    },
    /// Something about a file.
    File {
        /// Which transfer.
        transfer: TransferId,
        /// What.
        what: FileEvent,
    },
    /// Something about a file that is shared with, or fetched from, many.
    Swarm {
        /// Which; none of one that could not be read.
        hash: Option<FileHash>,
        /// What.
        what: SwarmEvent,
    },
}

/// What happens to a file.
///
/// A transfer begins with `Offered` (theirs), [`crate::Node::offer_file`] (ours) or `Kept` (of an earlier run).
/// Exactly one of `Received`, `Sent`, `Failed` ends it.
#[derive(Clone, Debug, PartialEq)]
pub enum FileEvent {
    /// They offer a file; answered by [`crate::Node::accept_file`] or [`crate::Node::decline_file`].
    Offered {
        /// Over which link.
        link: LinkId,
        /// What it is called, made harmless.
        name: FileName,
        /// How long it is, in bytes, as they say.
        size: u64,
    },
    /// A transfer of an earlier run is not finished. It goes on by itself when there is a link with
    /// the same device. Told at the start, before anything else.
    Kept {
        /// Whose: [`Peer::device`].
        device: String,
        /// What it is called.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
        /// We send it.
        sending: bool,
    },
    /// Our file was read through, and offered to them (or will be, as soon as they are heard).
    Asked {
        /// What it is called.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
    },
    /// They want our file, or a kept transfer has begun to go on over this link.
    Started {
        /// Over which link.
        link: LinkId,
    },
    /// So far, at most 10 times a second.
    Progress {
        /// How much is there, in bytes.
        done: u64,
        /// How long the file is, in bytes.
        total: u64,
        /// How fast it was over the last seconds.
        bytes_per_second: u64,
    },
    /// The link it went over is gone; it goes on with the next one to the same device.
    Waiting,
    /// It is there whole, checked.
    Received {
        /// Where.
        path: PathBuf,
    },
    /// They have all of it.
    Sent,
    /// It came to nothing. A file of theirs that only has no place among those that have come ([`FileFailure::DiskFull`],
    /// [`FileFailure::Unwritable`]) is kept, and they hear nothing of it: it is `Offered` again over the next link with
    /// them, and `Kept` in the next run.
    Failed(FileFailure),
}

/// Why the other end was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// Nobody answered there.
    NoAnswer,
    /// Somebody else answered.
    WrongPeer,
    /// It does not let us in, or not any more.
    Refused,
    /// There is neither an address nor a relay by which to reach it.
    NoAddress,
    /// Our relay does not let us in, and there was no other way.
    RelayDenied,
}

/// Why a link is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No socket could be opened: what the system says.
    Socket(String),
    /// There are [`crate::LINKS_MAX`] links already.
    TooMany,
    /// A card that names no key.
    BadKey,
    /// What the other end says is not our protocol: what was wrong.
    Protocol(&'static str),
}

/// Why a text was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no such link (any more).
    NoLink,
    /// It is longer than [`crate::TEXT_BYTES_MAX`].
    TooLong,
    /// Too many wait to be acknowledged: [`crate::UNACKNOWLEDGED_MAX`], [`crate::UNACKNOWLEDGED_BYTES_MAX`].
    TooMany,
    /// The numbers of one link are 1, 2, 3, …
    WrongNumber,
}

/// Why a file did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFailure {
    /// There is no such link (any more).
    NoLink,
    /// No folder to keep unfinished files in, or none for files that have come.
    NoFolder,
    /// Another process uses the folder for unfinished files, or it cannot be used: what was wrong.
    Folder(String),
    /// Our file cannot be read: what the system says.
    Unreadable(String),
    /// What was named is no file.
    NotAFile,
    /// It is longer than [`crate::FILE_BYTES_MAX`].
    TooLarge,
    /// As many transfers as there may be: [`crate::TRANSFERS_MAX`].
    TooMany,
    /// They do not want it.
    Declined,
    /// We ended it.
    Cancelled,
    /// They ended it.
    CancelledByPeer,
    /// They do not have it any more, or what they send is not what they offered.
    NotAsOffered,
    /// Our own file is not any more what was offered.
    Changed,
    /// There is no room on the disk: how much was wanted and how much is free, in bytes.
    DiskFull {
        /// How much more it needs.
        needed: u64,
        /// How much is free.
        free: u64,
    },
    /// It cannot be written: what the system says.
    Unwritable(String),
}
