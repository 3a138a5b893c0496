//! What files from many to many cost: the server, for what it is told of files ([`shares`]); and the
//! people, for fetching from several at once (`fetch`, in a build with private links; `source`, whom it
//! is fetched from; `lines`, what those may send; `copy`, the yardstick). `report` prints.

#[cfg(feature = "links")]
mod copy;
#[cfg(feature = "links")]
mod fetch;
#[cfg(feature = "links")]
mod lines;
mod report;
mod shares;
#[cfg(feature = "links")]
mod source;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};

use crate::failure::Failure;
use crate::server::{Paths, become_program, die_with_parent};

/// Measures what files from many to many cost.
///
/// Prints a line `SWARM key=value …` per figure. Everything stays on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "many")]
struct Options {
    /// What to measure.
    #[command(subcommand)]
    part: Part,

    /// The folder for temporary data (default: that of this program).
    #[arg(long, value_name = "FOLDER", global = true)]
    folder: Option<PathBuf>,

    /// How often all of it is measured; at the end come the medians.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100), global = true)]
    rounds: u32,

    /// In a network of its own.
    #[arg(long, hide = true, global = true)]
    inside: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Both of what follows.
    All {
        #[command(flatten)]
        sources: SourcesTerms,
        #[command(flatten)]
        server: ServerTerms,
    },
    /// One file from one, two, three and five sources, beside a bare TCP copy of it.
    Sources(SourcesTerms),
    /// What the server spends on a share, a claim, a search and a question for sources.
    Server(ServerTerms),
    /// Be a source.
    #[command(hide = true)]
    Source {
        /// Where to keep things.
        home: PathBuf,
        /// What to share.
        file: PathBuf,
    },
    /// Become another program that ends with this one.
    #[command(hide = true)]
    Run {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Clone, Debug, Args)]
struct SourcesTerms {
    /// How many sources, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3, 5],
          value_parser = value_parser!(u64).range(1..=8))]
    sources: Vec<u64>,

    /// How long the file is, in millions of bytes.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u64).range(1..=100_000))]
    megabytes: u64,

    /// What each source may send in a second, in millions of bytes, in a second measurement (0: there
    /// is none). That needs Linux, `unshare`, `ip` and `tc`.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(0..=1000))]
    upload: u64,

    /// How long the file is in that, in millions of bytes.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u64).range(1..=100_000))]
    limited_megabytes: u64,
}

#[derive(Clone, Debug, Args)]
struct ServerTerms {
    /// People who share.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(10..=100))]
    sharers: u64,

    /// People who claim parts of what others share.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(10..=100))]
    claimers: u64,

    /// Files that each of the first shares.
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u64).range(64..=1000))]
    shares: u64,

    /// The whoelse program (default: `whoelse` beside this program).
    #[arg(long, value_name = "PATH")]
    whoelse: Option<PathBuf>,
}

/// Measures, as the command line asks.
pub fn swarm() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without a standard error there is nobody left to tell.
            writeln!(io::stderr().lock(), "many: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    match &options.part {
        Part::All { sources, server } => {
            measure_sources(options, sources)?;
            measure_server(options, server)
        }
        Part::Server(terms) => measure_server(options, terms),
        Part::Sources(terms) => measure_sources(options, terms),
        #[cfg(feature = "links")]
        Part::Source { home, file } => die_with_parent().and_then(|()| source::give(home, file)),
        #[cfg(not(feature = "links"))]
        Part::Source { .. } => Err(no_links()),
        Part::Run { command } => die_with_parent().and_then(|()| become_program(command)),
    }
}

fn measure_server(options: &Options, terms: &ServerTerms) -> Result<(), Failure> {
    let paths = Paths::find(terms.whoelse.as_ref(), options.folder.as_ref(), true)?;
    shares::measure(terms, options.rounds, &paths, &mut io::stdout(), &mut io::stderr())
}

#[cfg(feature = "links")]
fn measure_sources(options: &Options, terms: &SourcesTerms) -> Result<(), Failure> {
    if terms.upload > 0 {
        if !options.inside {
            return lines::enter();
        }
        lines::begin()?;
    }
    let paths = Paths::find(None, options.folder.as_ref(), false)?;
    fetch::measure(terms, options.rounds, &paths, &mut io::stdout())
}

#[cfg(not(feature = "links"))]
fn measure_sources(_: &Options, _: &SourcesTerms) -> Result<(), Failure> {
    Err(no_links())
}

#[cfg(not(feature = "links"))]
fn no_links() -> Failure {
    Failure::new("this build has no private links; build it with `--features links`")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
