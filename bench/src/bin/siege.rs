//! The siege: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    whoelse_bench::besiege()
}
