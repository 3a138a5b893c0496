//! What files from many to many cost: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    whoelse_bench::swarm()
}
