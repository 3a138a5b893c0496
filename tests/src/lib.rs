//! Harness, end to end tests and simulation.

pub mod nat;
pub mod program;
pub mod sim;
pub mod soak;
pub mod swarm;
