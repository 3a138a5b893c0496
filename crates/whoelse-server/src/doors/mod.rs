//! Where foreign words become requests: one module for each way in.
//!
//! A door knows framing, dialects and sockets; who may do what is the engine's business.

pub(crate) mod admin;
pub(crate) mod entrance;
pub(crate) mod native;
mod proxy;
mod sniff;
