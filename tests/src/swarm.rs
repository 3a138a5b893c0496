//! A simulated swarm: many downloads of one file at once, each decided by the scheduler that ships,
//! over a network and by people that a seed decides.
//!
//! Time goes in steps of 20 ms. In each, everybody divides what its line can send among those who wait
//! for it, and nobody takes in more than its line lets through. What the server does is done by a
//! [`World`] too: it tells who claims to have what, as old as claims may be.

mod outcome;
mod peer;
mod world;

pub use outcome::{Outcome, Total};
pub use world::{Scene, World};
