//! Runs simulated worlds, see `docs/simulator.md`.

use std::io::Write;
use std::process::ExitCode;

use whoelse_tests::sim::run;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (steps, from, to) = (
        words.get(2).and_then(|w| w.parse().ok()).unwrap_or(run::STEPS),
        words.first().and_then(|w| w.parse().ok()).unwrap_or(0),
        words.get(1).and_then(|w| w.parse().ok()).unwrap_or(1),
    );
    let traced = words.iter().any(|w| w == "--trace");
    let mut sum = whoelse_tests::sim::stats::Stats::default();
    let mut failed = 0;
    for seed in from..to {
        match run::seed(seed, steps, traced) {
            Ok((stats, _)) => sum = sum.plus(&stats),
            Err(fault) => {
                failed += 1;
                writeln!(std::io::stderr(), "{fault}").unwrap();
            }
        }
    }
    writeln!(std::io::stdout(), "{:?} failed={failed}", sum.list()).unwrap();
    ExitCode::SUCCESS
}
