//! Row 4: kill -9 under load, at times that a seed gives.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use super::Field;
use super::ground::{Ground, Process};
use super::people;
use super::scripts::Scripts;
use super::talk::{Talk, Terms};
use super::trouble::Outcome;
use super::verdict::{Verdict, percentile};

/// How long everything may take to arrive in the end. The real clients may have come to wait half a
/// minute between two tries.
const PATIENCE: Duration = Duration::from_secs(90);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// How many people talk.
    pub people: usize,
    /// How often the server is killed, at least.
    pub cycles: u32,
    /// How many messages must have been confirmed.
    pub confirmed_min: f64,
}

/// Runs the row.
pub(crate) fn run(field: &Field, extent: Kills) -> Outcome<Verdict> {
    let mut random = ChaCha8Rng::seed_from_u64(field.seed);
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), extent.people + 2)?;
    let mut server = ground.start()?;
    let terms = Terms {
        people: extent.people,
        window: 16,
        // As much as they can would be a journal of half a gigabyte, since a server that never
        // lives for more than half a second hardly gets to its database.
        pause: Duration::from_millis(1),
        long_every: 50,
        long_bytes: 10_000,
        absent: 0,
        is_without_keys: false,
        is_restless: true,
        seed: field.seed,
    };
    let talk = Talk::begin(ground.address(), server.key()?, terms);
    let ends = [extent.people, extent.people + 1];
    let mut scripts = Scripts::start(&field.program, ground.path(), ground.address(), ends)?;
    let mut recoveries = Vec::new();
    let mut cycles = 0;
    // On a slow machine it takes more of them.
    while cycles < extent.cycles
        || (cycles < 3 * extent.cycles && (talk.counts().confirmed as f64) < extent.confirmed_min)
    {
        cycles += 1;
        let alive = Duration::from_millis(random.random_range(20..500));
        let deadline = Instant::now() + alive;
        scripts.write()?;
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        end(&mut server, &mut random)?;
        server = recover(&ground, &mut random, &mut recoveries)?;
    }
    talk.quiet();
    let scripts = scripts.drain(PATIENCE)?;
    let (counts, faults) = talk.drain(PATIENCE);
    let mut verdict = Verdict::on("4", "kill-9");
    verdict.note("seed", field.seed);
    verdict.at_least("cycles", f64::from(cycles), f64::from(extent.cycles));
    verdict.note("people", extent.people);
    verdict.at_least("confirmed", counts.confirmed as f64, extent.confirmed_min);
    verdict.none("lost", counts.missing);
    verdict.none("shown_twice", counts.repeated);
    verdict.none("out_of_order", counts.disordered);
    verdict.note("known_again", counts.known);
    verdict.note("logins", counts.visits);
    verdict.note("client_messages", scripts.written);
    verdict.none("client_lost", scripts.lost);
    verdict.none("client_disordered", scripts.disordered);
    verdict.none("client_unconfirmed", scripts.unconfirmed);
    for (key, percent) in [("recover_p50_ms", 50), ("recover_max_ms", 100)] {
        verdict.note(key, format_args!("{:.0}", percentile(&recoveries, percent)));
    }
    verdict.in_time("recover_p99_ms", percentile(&recoveries, 99), 2000.0);
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

/// Ends the server without any order: usually at once, sometimes while it ends in order, which is
/// when the database is written.
fn end(server: &mut Process, random: &mut ChaCha8Rng) -> Outcome<()> {
    if random.random_bool(0.2) {
        server.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(random.random_range(0..150)));
    }
    server.kill9()
}

/// Starts the server again; sometimes it is killed once more before it is ready.
fn recover(
    ground: &Ground,
    random: &mut ChaCha8Rng,
    recoveries: &mut Vec<f64>,
) -> Outcome<Process> {
    while random.random_bool(0.15) {
        let mut server = ground.launch()?;
        server.is_ready_within(Duration::from_millis(random.random_range(0..60)))?;
        server.kill9()?;
    }
    let mut server = ground.launch()?;
    recoveries.push(server.wait_until_ready()?.as_secs_f64() * 1e3);
    Ok(server)
}
