//! The bench: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    whoelse_bench::measure_and_report()
}
