//! Starts the real program and speaks to it: as its operator, over a socket, through pipes and on
//! a pseudo-terminal.
//!
//! Nothing here sleeps: everything waits for something to happen, with a deadline, and fails with
//! what was said until then.

mod client;
mod device;
mod lines;
mod peer;
mod running;
mod server;
mod terminal;
mod tls;

use std::time::Duration;

pub use client::Client;
pub use device::Device;
pub use lines::Lines;
pub use peer::{Peer, Segment, Way, login};
pub use running::{Ended, Running};
pub use rustix::process::Signal;
pub use server::{Server, Setup, password_of};
pub use terminal::Terminal;
pub use tls::{Version, client as tls_client, client_config as tls_client_config};

/// How long anything may take before a test fails: long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
