//! Runs simulated worlds: `sim SEED [SEEDS [STEPS]]`.
//!
//! Prints what happened, and at the first fault its seed; the same seed fails the same way.

use std::io::Write;
use std::process::ExitCode;

use whoelse_tests::sim::run;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let mut next = |default| numbers.next().unwrap_or(Some(default));
    let (Some(first), Some(seeds), Some(steps)) = (next(0), next(1), next(run::STEPS)) else {
        writeln!(std::io::stderr(), "usage: sim SEED [SEEDS [STEPS]], all numbers")
            .unwrap_or_default();
        return ExitCode::from(2);
    };
    match run::seeds(first..first + seeds, steps) {
        Ok(stats) => {
            writeln!(std::io::stdout(), "{stats:?}").unwrap_or_default();
            ExitCode::SUCCESS
        }
        Err(fault) => {
            writeln!(std::io::stderr(), "{fault}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}
