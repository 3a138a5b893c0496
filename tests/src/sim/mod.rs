//! A world in memory: what the real one does to us, under a seed.

pub mod client_disk;
pub mod client_log;
pub mod disk;
pub mod model;
pub mod run;
pub mod stats;
pub mod world;
