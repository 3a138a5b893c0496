//! Which part of a file to ask of whom, when several people have it.
//!
//! [`Download`] is a value: it is told what happens ([`Input`]) and when, and says what to do
//! ([`Order`]). It knows no sockets, no clock and no randomness but its seed, so a swarm of a hundred
//! of them runs in a test, and every fault replays.
//!
//! The rules, and what each was worth in the simulated swarm, are in
//! `docs/decisions/0012-files-from-many.md`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm, clippy::cast_possible_truncation)]

mod api;
mod download;
mod parts;
mod pick;
mod source;

pub use api::{Failure, Input, Order, RequestId, Rules, SourceId, Tally};
pub use download::Download;
