//! Many worlds, one after the other.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stats::Stats;
use super::world::World;

/// Steps of a world unless told otherwise.
pub const STEPS: u64 = 400;

/// Runs a world for each seed and adds up what happened.
///
/// # Errors
/// At the first fault: its seed, how to see it again, and what did not hold.
pub fn seeds(seeds: Range<u64>, steps: u64) -> Result<Stats, String> {
    let mut sum = Stats::default();
    for seed in seeds {
        let run = || {
            let mut world = World::new(seed)?;
            world.live(steps)?;
            Ok::<Stats, String>(world.stats)
        };
        let outcome = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err("a panic, see above".to_owned()));
        let stats = outcome.map_err(|fault| {
            format!("seed {seed}: {fault}\n    again: cargo run -p whoelse-tests --bin sim -- {seed} 1 {steps}")
        })?;
        sum = sum.plus(&stats);
    }
    Ok(sum)
}
