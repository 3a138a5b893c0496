//! Harness, end to end tests and simulation.

pub mod program;
pub mod soak;
pub mod sim;
