//! Harness, end to end tests and simulation.

pub mod sim;
