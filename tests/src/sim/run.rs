//! Many worlds, one after the other, on several threads.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::stats::Stats;
use super::world::World;

/// Steps of a world unless told otherwise, and those in which it heals.
pub const STEPS: u64 = 9_500;

/// What did not hold, and where.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The seed of the world.
    pub seed: u64,
    /// How long the world was to live.
    pub steps: u64,
    /// In which step it was seen.
    pub step: u64,
    /// What did not hold.
    pub what: String,
}

/// Which worlds to run.
#[derive(Clone, Debug)]
pub struct Many {
    /// Their seeds.
    pub seeds: Range<u64>,
    /// How long each lives.
    pub steps: u64,
    /// How many at once.
    pub threads: u64,
    /// After so long no other is begun.
    pub time: Option<Duration>,
}

/// What worlds have been through.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many there were.
    pub seeds: u64,
    /// What happened in them.
    pub stats: Stats,
    /// How long they took.
    pub took: Duration,
}

/// Lives through one world. Returns what happened, and a number that is the same only if all was.
///
/// # Errors
/// At the first thing that does not hold.
pub fn seed(seed: u64, steps: u64, is_traced: bool) -> Result<(Stats, u64), Fault> {
    let mut world = None;
    let outcome =
        catch_unwind(AssertUnwindSafe(|| world.insert(World::new(seed, is_traced)?).live(steps)));
    let outcome = outcome.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
    let step = world.as_ref().map_or(0, |world| world.stats.steps);
    match (outcome, world) {
        (Ok(()), Some(world)) => Ok((world.all_stats(), world.digest())),
        (outcome, _) => {
            let what = outcome.err().unwrap_or_else(|| "there was no world".into());
            Err(Fault { seed, steps, step, what })
        }
    }
}

impl Many {
    /// Lives through all of them and adds up what happened.
    ///
    /// # Errors
    /// At a fault: of those that are found the one with the smallest seed.
    pub fn run(&self) -> Result<Outcome, Fault> {
        let start = Instant::now();
        let next = AtomicU64::new(self.seeds.start);
        let sum = Mutex::new((0, Stats::default()));
        let fault: Mutex<Option<Fault>> = Mutex::new(None);
        let work = || {
            while self.time.is_none_or(|time| start.elapsed() < time) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.seeds.end || locked(&fault).is_some() {
                    return;
                }
                match seed(number, self.steps, false) {
                    Ok((stats, _)) => {
                        let (seeds, sum) = &mut *locked(&sum);
                        *seeds += 1;
                        *sum = sum.plus(&stats);
                    }
                    Err(found) => {
                        let mut fault = locked(&fault);
                        if fault.as_ref().is_none_or(|first| found.seed < first.seed) {
                            *fault = Some(found);
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(work);
            }
        });
        if let Some(fault) = locked(&fault).take() {
            return Err(fault);
        }
        let (seeds, stats) = *locked(&sum);
        Ok(Outcome { seeds, stats, took: start.elapsed() })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outcome {
    /// What is too seldom for so many worlds: a run in which nothing happened proves nothing.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let seldom = |name: &str, count: u64| count < Stats::least(name, self.seeds);
        let list = self.stats.list().into_iter();
        list.filter(|(name, count)| seldom(name, *count))
            .map(|(name, count)| format!("{name} ({count})"))
            .collect()
    }

    /// One line of `key=value`.
    #[must_use]
    pub fn line(&self) -> String {
        let Stats { steps, acked, told, crashes, kills, torn, dropped, told_again, .. } =
            self.stats;
        let sim_h = self.stats.sim_ms / 3_600_000;
        let never: Vec<&str> =
            self.stats.list().into_iter().filter(|(_, count)| *count == 0).map(|it| it.0).collect();
        let never = if never.is_empty() { "none".to_owned() } else { never.join(",") };
        let rest = ["steps", "acked", "told", "crashes", "kills", "torn", "sim_ms"];
        let list = self.stats.list().into_iter().filter(|(name, _)| !rest.contains(name));
        let coverage: Vec<String> = list.map(|(name, count)| format!("{name}={count}")).collect();
        format!(
            "RELIABILITY row=1 seeds={} steps={steps} acked={acked} shown={told} lost=0 \
             crashes={crashes} kills={kills} torn={torn} dup={} sim_h={sim_h} seconds={} \
             never_hit={never}\n{}",
            self.seeds,
            dropped + told_again,
            self.took.as_secs(),
            coverage.join(" ")
        )
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, steps, step, what } = self;
        write!(formatter, "seed {seed}, step {step}: {what}\n    again: sim {seed}")?;
        if *steps == STEPS { Ok(()) } else { write!(formatter, " --steps {steps}") }
    }
}
