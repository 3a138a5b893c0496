//! whoelse: the messenger people run themselves. Server and client in one program.

mod backup;
mod cli;
mod client;
mod invite;
mod operate;
mod server;
mod user;

use std::io::Write;
use std::process::ExitCode;

use whoelse_term::shown::Shown;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::read();
    match cli.command {
        Command::Server(arguments) => server::run(&arguments),
        Command::Client(arguments) => client::run(arguments),
        Command::User(arguments) => operate::finish(user::run(arguments.command)),
        Command::Invite(arguments) => operate::finish(invite::run(arguments)),
        Command::Backup(arguments) => operate::finish(backup::backup(arguments)),
        Command::Restore(arguments) => operate::finish(backup::restore(&arguments)),
        Command::Check(arguments) => operate::finish(backup::check(arguments)),
    }
}

/// Tells the person what went wrong, on one line, whatever names are in it.
fn complain(what: &dyn std::fmt::Display) {
    let what = Shown::line(&what.to_string());
    // There is nobody else to tell if this fails.
    writeln!(std::io::stderr(), "whoelse: {what}").unwrap_or_default();
}
