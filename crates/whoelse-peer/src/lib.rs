//! Links from machine to machine, past the server: encrypted end to end, direct where the network allows it, else
//! over the relay of our own server; and files over them.
//!
//! A [`Node`] knows nothing of people, devices, trust or the server's protocol: whoever uses it brings two of them
//! together, tells each the other's [`Peer`], and decides what may be said. Nothing is contacted but the relay it is
//! told of and the addresses in a [`Peer`]: no name is looked up, no proxy of the environment is used, no router is
//! asked for anything. It prints nothing.

mod api;
mod early;
mod endpoint;
mod files;
mod link;
mod node;
mod reach;
mod relay;
mod swarm;
mod texts;
mod wire;

pub use api::{
    Event, Failure, FileEvent, FileFailure, LinkId, Options, Peer, Relay, Route, SendError,
    SwarmEvent, TransferId, Unreached,
};
pub use node::Node;

/// Longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 60 * 1024;

/// Most texts of one link that wait to be acknowledged.
pub const UNACKNOWLEDGED_MAX: usize = 256;

/// The same, in bytes.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most links at once, those that are ending included (up to three seconds): eight to talk, eight to sources, sixteen over
/// which we give, and eight that end.
pub const LINKS_MAX: usize = 40;

/// Most files at once, in both directions, those that wait for a link included.
pub const TRANSFERS_MAX: usize = 64;

/// Most files that are shared at once.
pub const SHARES_MAX: usize = 1000;

/// Most files that are fetched from many at once, those that wait for sources included.
pub const GETS_MAX: usize = 64;

/// Longest note of a share or a get, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Longest file, in bytes: 1 PiB. The disk is the real limit, and is asked before.
pub const FILE_BYTES_MAX: u64 = 1 << 50;
