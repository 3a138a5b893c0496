//! Runs simulated worlds; `docs/simulator.md` says how.
//!
//! ```text
//! sim SEED [--trace] [--steps N]
//! sim --seeds FROM..TO [--seconds N] [--threads N] [--steps N] [--gates]
//! ```

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use whoelse_tests::sim::run::{self, Many};

const USAGE: &str = "usage: sim SEED [--trace] [--steps N]
       sim --seeds FROM..TO [--seconds N] [--threads N] [--steps N] [--gates]";

/// What the command line wants.
struct Wish {
    seed: Option<u64>,
    is_traced: bool,
    has_gates: bool,
    many: Many,
}

fn main() -> ExitCode {
    match wish(std::env::args().skip(1)) {
        Some(Wish { seed: Some(seed), is_traced, many, .. }) => one(seed, many.steps, is_traced),
        Some(Wish { has_gates, many, .. }) if !many.seeds.is_empty() => all(&many, has_gates),
        _ => say(&mut std::io::stderr(), USAGE, 2),
    }
}

fn wish(mut words: impl Iterator<Item = String>) -> Option<Wish> {
    let many = Many { seeds: 0..0, steps: run::STEPS, threads: 2, time: None };
    let mut wish = Wish { seed: None, is_traced: false, has_gates: false, many };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => wish.is_traced = true,
            "--gates" => wish.has_gates = true,
            "--steps" => wish.many.steps = words.next()?.parse().ok()?,
            "--threads" => wish.many.threads = words.next()?.parse().ok()?,
            "--seconds" => {
                wish.many.time = Some(Duration::from_secs(words.next()?.parse().ok()?));
            }
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                wish.many.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            seed => wish.seed = Some(seed.parse().ok()?),
        }
    }
    Some(wish)
}

/// One world, and what happened in it.
fn one(seed: u64, steps: u64, is_traced: bool) -> ExitCode {
    match run::seed(seed, steps, is_traced) {
        Ok((stats, digest)) => {
            let what = stats.list().into_iter().filter(|(_, count)| *count > 0);
            let what: Vec<String> = what.map(|(name, count)| format!("{name}={count}")).collect();
            say(&mut std::io::stdout(), &format!("{}\ndigest={digest:016x}", what.join(" ")), 0)
        }
        Err(fault) => say(&mut std::io::stderr(), &fault.to_string(), 1),
    }
}

/// Many worlds, and one line about all of them.
fn all(many: &Many, has_gates: bool) -> ExitCode {
    match many.run() {
        Ok(outcome) => {
            say(&mut std::io::stdout(), &outcome.line(), 0);
            let missed = outcome.missed();
            if has_gates && !missed.is_empty() {
                let missed = missed.join(", ");
                let sentence = format!("a run that proves little: too few of {missed}");
                return say(&mut std::io::stderr(), &sentence, 1);
            }
            ExitCode::SUCCESS
        }
        Err(fault) => say(&mut std::io::stderr(), &fault.to_string(), 1),
    }
}

fn say(out: &mut dyn Write, text: &str, code: u8) -> ExitCode {
    writeln!(out, "{text}").unwrap_or_default();
    ExitCode::from(code)
}
