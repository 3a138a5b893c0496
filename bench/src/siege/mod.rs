//! Attacks on the real server, each with figures and the targets it has to hold.
//!
//! Reading order: `cli`, then the attacks `crowd`, `knock`, `slowloris`, `guess`, `sources`. The
//! healthy people beside them are `chat` and `visitor`; `wire` and `words` are what all speak with.

mod admission;
mod chat;
mod cli;
mod crowd;
mod figures;
mod guess;
mod knock;
mod post;
mod proxy;
mod slowloris;
mod sources;
mod verdict;
mod visitor;
mod wire;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Explain, Failure};
use crate::server::{Paths, Server, become_program, die_with_parent};
use cli::{Attack, Options};
use verdict::Verdict;

/// Attacks, as the command line asks.
pub fn besiege() -> ExitCode {
    match attack(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            // Without a standard error there is nobody left to tell.
            writeln!(io::stderr().lock(), "siege: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Runs an attack; says whether all targets were held.
fn attack(options: &Options) -> Result<bool, Failure> {
    if let Attack::Run { command } = &options.attack {
        die_with_parent()?;
        become_program(command)?;
    }
    let field = Field { paths: options.paths()? };
    let verdicts = match &options.attack {
        Attack::Crowd(terms) => vec![crowd::attack(&field, terms)?],
        Attack::Knock(terms) => vec![knock::attack(&field, terms)?],
        Attack::Slowloris(terms) => vec![slowloris::attack(&field, terms)?],
        Attack::Guess(terms) => vec![guess::attack(&field, terms)?],
        Attack::Sources(terms) => sources::attack(&field, terms)?,
        Attack::Run { .. } => Vec::new(),
    };
    let mut is_held = true;
    for verdict in verdicts {
        is_held &= verdict.report(&mut io::stdout().lock()).explain(|| "reporting".into())?;
    }
    Ok(is_held)
}

/// What every attack needs.
#[derive(Debug)]
struct Field {
    paths: Paths,
}

impl Field {
    /// Starts a server with so many people, and has `siege` find out about it.
    ///
    /// A failure tells the server's last words if it has ended.
    fn against(
        &self,
        people: usize,
        arguments: &[&str],
        siege: impl FnOnce(&Server) -> Result<Verdict, Failure>,
    ) -> Result<Verdict, Failure> {
        let mut server = Server::start_whoelse(people, arguments, &self.paths)?;
        siege(&server).map_err(|failure| server.blame(&failure))
    }
}

/// Tells whoever waits for the line what is going on.
fn progress(text: &str) {
    // Without a standard error nobody waits.
    writeln!(io::stderr().lock(), "siege: {text}").ok();
}
