//! The words of the conversation between a whoelse client and a server.
//!
//! Types for what is said ([`Request`], [`Event`]), the names of people, every limit of the
//! protocol, and the codec that turns them into JSON and back. The specification is
//! `docs/PROTOCOL.md`. This crate does no IO, reads no clock, and never allocates more than the
//! limits in [`limits`] allow.

#![warn(clippy::wildcard_enum_match_arm, clippy::cast_possible_truncation)]

pub mod codec;
pub mod event;
pub mod filename;
pub mod invite;
pub mod keys;
pub mod limits;
pub mod link;
pub mod names;
pub mod parts;
pub mod refusal;
pub mod request;
pub mod secret;
pub mod share;
pub mod splitter;

pub use event::{Action, Answer, Dialect, Event, Mail, Outcome};
pub use filename::FileName;
pub use invite::{InviteLink, Place, Vouch};
pub use keys::{
    DeviceKey, EndpointKey, FileHash, Fingerprint, InviteSecret, Nonce, ReceiptKey, RelayTicket,
    Signature,
};
pub use link::{LinkAnswer, LinkName, LinkReason, NewLink, Purpose};
pub use names::Name;
pub use parts::{Layout, PartMap};
pub use refusal::Refusal;
pub use request::{Command, Device, Join, Login, Passwd, Request, RequestId, Resume, Role};
pub use secret::{Password, check_new_password};
pub use share::{Scope, Share, SharedName};
