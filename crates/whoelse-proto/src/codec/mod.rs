//! JSON: from frames to requests, from events to lines, and the client's half of both.
//!
//! The server's half is strict where a mistake could be misread (duplicate members, depth,
//! numbers out of range) and lenient where the future needs room (unknown members). The
//! client's half is lenient throughout, because it also speaks to original servers.

mod client;
mod decode;
mod encode;

pub use client::{
    Incoming, IncomingDevice, IncomingFile, IncomingInvite, IncomingSource, Reply, encode_request,
};
pub use decode::{Fault, Malformed, decode, salvage};
pub use encode::{encode_event, encode_mail};

#[cfg(test)]
mod tests;
