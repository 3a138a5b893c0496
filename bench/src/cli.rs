//! The command line: options, and hidden subcommands that the bench starts itself with.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, value_parser};

use crate::server::Program;
use crate::workload::WORKLOADS;

/// Measures what the whoelse server costs beside bare relays on the same machine.
///
/// Prints server CPU per message, and its ratio to the relays in the same round. Everything stays
/// on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "whoelse-bench")]
pub(crate) struct Options {
    /// Run only these workloads (may be repeated or separated by commas).
    ///
    /// `idle` runs only when asked for: its people take a while to log in.
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',', value_parser = workload_names())]
    pub(crate) only: Vec<String>,

    /// Measure only these programs; ratios need the program they refer to.
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',', value_enum,
          default_values_t = [Program::R, Program::J, Program::Whoelse])]
    pub(crate) programs: Vec<Program>,

    /// Seconds measured per program and round.
    #[arg(long, value_name = "SECONDS", default_value_t = 3,
          value_parser = value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Seconds of load before each measurement.
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
          value_parser = value_parser!(u64).range(0..=600))]
    pub(crate) warm_up: u64,

    /// Rounds; in each, every program is measured once.
    #[arg(long, value_name = "ROUNDS", default_value_t = 3,
          value_parser = value_parser!(u64).range(1..=100))]
    pub(crate) rounds: u64,

    /// Pairs of sender and receiver.
    #[arg(long, value_name = "PAIRS", default_value_t = 50,
          value_parser = value_parser!(u64).range(1..=5000))]
    pub(crate) pairs: u64,

    /// Deliveries after which a receiver acknowledges, at the end of a read batch (0: never).
    ///
    /// At 0 mailboxes fill, and the server refuses at its limit.
    #[arg(long, value_name = "DELIVERIES", default_value_t = 1)]
    pub(crate) acknowledge_every: u64,

    /// Seconds after a workload during which whoelse may finish deferred work, which is counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 6,
          value_parser = value_parser!(u64).range(0..=600))]
    pub(crate) settle: u64,

    /// People of the workload `idle`.
    #[arg(long, value_name = "PEOPLE", default_value_t = 1000,
          value_parser = value_parser!(u64).range(1..=10_000))]
    pub(crate) idle_people: u64,

    /// Seconds measured by the workload `idle`.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = value_parser!(u64).range(1..=600))]
    pub(crate) idle_seconds: u64,

    /// The whoelse program (default: `whoelse` beside this program).
    #[arg(long, value_name = "PATH")]
    pub(crate) whoelse: Option<PathBuf>,

    /// The folder for temporary data (default: that of this program).
    ///
    /// It should be on a real disk: in memory, syncing costs nothing and the result would flatter.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// What the bench starts itself as.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What the bench can be started as by itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Be the bare relay.
    #[command(hide = true)]
    RelayR {
        /// The port to listen on.
        port: u16,
    },
    /// Be the relay with our JSON.
    #[command(hide = true)]
    RelayJ {
        /// The port to listen on.
        port: u16,
    },
    /// Become another program that ends with the bench.
    #[command(hide = true)]
    Run {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn workload_names() -> PossibleValuesParser {
    PossibleValuesParser::new(WORKLOADS.map(|workload| workload.name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_of_another_program_are_left_alone() {
        let line = ["bench", "run", "--", "whoelse", "server", "--port", "1"];
        let options = Options::try_parse_from(line).unwrap();
        let Some(Role::Run { command }) = options.role else { panic!("another role") };
        assert_eq!(command, ["whoelse", "server", "--port", "1"]);
    }
}
