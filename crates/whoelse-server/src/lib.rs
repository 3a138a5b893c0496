//! The world around the engine: doors, hub, journal, database, configuration.
//!
//! [`run`] is a whole server. Nothing here decides who may do what; that is the engine's.

mod clock;
pub mod config;
mod credentials;
pub mod database;
mod descriptors;
mod doors;
mod failure;
mod folder;
mod handshakes;
mod hub;
pub mod journal;
mod line;
mod listen;
mod network;
mod outbox;
mod passwords;
mod people;
mod server;
mod socket;
mod sources;
mod space;
pub mod store;
pub mod tail;
mod tls;
pub mod turns;

pub use config::Config;
pub use failure::{Failure, Kind};
pub use network::Network;
pub use people::{Added, add as add_person, check_name};
pub use server::run;
pub use tls::TlsFiles;
