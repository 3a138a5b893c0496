//! The world around the engine: doors, hub, journal, database, configuration.
//!
//! [`run`] is a whole server. Nothing here decides who may do what; that is the engine's.

mod backup;
mod check;
mod clock;
pub mod config;
mod credentials;
pub mod database;
mod descriptors;
mod doors;
mod failure;
mod first_invite;
mod folder;
mod handshakes;
mod hub;
pub mod journal;
mod line;
mod listen;
mod meeting;
mod nature;
mod network;
mod operation;
mod outbox;
mod passwords;
mod people;
mod pipe;
#[cfg(feature = "relay")]
mod relay;
#[cfg(not(feature = "relay"))]
#[path = "relay/absent.rs"]
mod relay;
mod server;
pub mod simulated;
mod socket;
mod sources;
mod space;
pub mod store;
pub mod tail;
mod tls;
pub mod turns;

pub use backup::{Backup, Header, backup, restore};
pub use check::{Checked, CheckedJournal, check_backup, check_folder};
pub use config::{Config, PublicAddress};
pub use database::Contents;
pub use failure::{Failure, Kind};
pub use network::Network;
pub use operation::{
    Invite, Invited, Operation, Person, Report, check_name, check_password, date, wall_ms,
};
pub use people::{Place, operate};
pub use server::run;
pub use tls::TlsFiles;
