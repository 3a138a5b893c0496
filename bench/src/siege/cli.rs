//! The command line of the siege: one subcommand for each attack.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};

use crate::failure::Failure;
use crate::server::Paths;

/// Attacks the whoelse server and says whether it holds its targets.
///
/// Prints one line `SIEGE attack=… key=value …` per attack; the exit code is 1 if a target was
/// missed. Everything stays on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "siege")]
pub(crate) struct Options {
    /// The attack.
    #[command(subcommand)]
    pub(crate) attack: Attack,

    /// The whoelse program (default: `whoelse` beside this program).
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) whoelse: Option<PathBuf>,

    /// The folder for temporary data (default: that of this program).
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) folder: Option<PathBuf>,
}

/// The attacks.
#[derive(Debug, Subcommand)]
pub(crate) enum Attack {
    /// Thousands are logged in, some of whom read slowly or never, and somebody broadcasts.
    Crowd(CrowdTerms),
    /// Connections come and go at once, politely and not.
    Knock(KnockTerms),
    /// Requests before login that never end, a byte a second.
    Slowloris(SlowlorisTerms),
    /// Wrong passwords for many names, far more than can be checked.
    Guess(GuessTerms),
    /// Wrong passwords from many addresses, behind a proxy.
    Sources(SourcesTerms),
    /// Become another program that ends with the siege.
    #[command(hide = true)]
    Run {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// How the crowd behaves.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrowdTerms {
    /// People logged in: a fifth never reads, a tenth reads a byte a second. Quick: 3000.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(200..=19_000))]
    pub(crate) connections: u32,

    /// Seconds of siege.
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u64).range(1..=7200))]
    pub(crate) seconds: u64,

    /// Seconds that the healthy are measured before, with everybody logged in and reading.
    #[arg(long, default_value_t = 15, value_parser = value_parser!(u64).range(1..=600))]
    pub(crate) before: u64,

    /// Bytes of the broadcast of each second.
    #[arg(long, default_value_t = 8192, value_parser = value_parser!(u32).range(1..=60_000))]
    pub(crate) broadcast_bytes: u32,

    /// Direct messages of 1 KiB for each of those who never read.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(0..=2000))]
    pub(crate) mail: u32,
}

/// How often to knock.
#[derive(Clone, Debug, Args)]
pub(crate) struct KnockTerms {
    /// Connections made and dropped. Fewer leave too short a line to tell growth from noise.
    #[arg(long, default_value_t = 60_000, value_parser = value_parser!(u32).range(8_000..=1_000_000))]
    pub(crate) times: u32,

    /// Connections per second; 0: as many as possible.
    ///
    /// Memory is looked at after 5,000 and 40 s at the earliest, so faster means more `--times`.
    #[arg(long, default_value_t = 500)]
    pub(crate) rate: u32,
}

/// How many hold the line.
#[derive(Clone, Debug, Args)]
pub(crate) struct SlowlorisTerms {
    /// Connections. Full: 5000.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..=19_000))]
    pub(crate) connections: u32,
}

/// How fast to guess.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuessTerms {
    /// Seconds of guessing, in slices with quiet ones between.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(5..=3600))]
    pub(crate) seconds: u64,

    /// Wrong passwords per second.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
}

/// How long to guess from each number of addresses.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourcesTerms {
    /// Seconds for each number of addresses.
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u64).range(10..=600))]
    pub(crate) seconds: u64,
}

impl CrowdTerms {
    /// How long the siege lasts.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl Options {
    /// Finds this program, the server and a folder for data.
    pub(crate) fn paths(&self) -> Result<Paths, Failure> {
        Paths::find(self.whoelse.as_ref(), self.folder.as_ref(), true)
    }
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
        let line = ["siege", "run", "--", "whoelse", "server", "--port", "1"];
        let options = Options::try_parse_from(line).unwrap();
        let Attack::Run { command } = options.attack else { panic!("another attack") };
        assert_eq!(command, ["whoelse", "server", "--port", "1"]);
    }
}
