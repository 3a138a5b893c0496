//! Many worlds, one after the other.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stats::Stats;
use super::world::World;

/// Steps of a world unless told otherwise.
pub const STEPS: u64 = 5_000;

/// What did not hold, and where.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The seed of the world.
    pub seed: u64,
    /// After so many steps.
    pub step: u64,
    /// What did not hold.
    pub what: String,
}

/// Lives through one world.
///
/// # Errors
/// At the first thing that does not hold.
pub fn seed(seed: u64, steps: u64, is_traced: bool) -> Result<(Stats, u64), Fault> {
    let mut world = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        world.insert(World::new(seed, is_traced)?).live(steps)
    }));
    let outcome = outcome.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
    let step = world.as_ref().map_or(0, |world| world.stats.steps);
    match (outcome, world) {
        (Ok(()), Some(world)) => Ok((world.all_stats(), world.digest())),
        (outcome, _) => {
            Err(Fault { seed, step, what: outcome.err().unwrap_or_else(|| "no world".into()) })
        }
    }
}

/// Lives through a world for each seed and adds up what happened.
///
/// # Errors
/// At the first fault: its seed, how to see it again, and what did not hold.
pub fn seeds(seeds: Range<u64>, steps: u64) -> Result<Stats, Fault> {
    let mut sum = Stats::default();
    for number in seeds {
        sum = sum.plus(&seed(number, steps, false)?.0);
    }
    Ok(sum)
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, step, what } = self;
        write!(formatter, "seed {seed}, step {step}: {what}\n    again: sim {seed} --trace")
    }
}
