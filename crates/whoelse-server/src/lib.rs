//! The world around the engine: doors, hub, journal, database, configuration.
//!
//! [`run`] is a whole server. Nothing here decides who may do what; that is the engine's.

mod clock;
pub mod config;
mod credentials;
pub mod database;
mod doors;
mod failure;
mod first_invite;
mod folder;
mod hub;
pub mod journal;
mod line;
mod meeting;
mod operation;
mod outbox;
mod passwords;
mod people;
mod server;
pub mod store;
pub mod tail;
pub mod turns;

pub use config::{Config, PublicAddress};
pub use failure::{Failure, Kind};
pub use operation::{
    Invite, Invited, Operation, Person, Report, check_name, check_password, wall_ms,
};
pub use people::{Place, operate};
pub use server::run;
