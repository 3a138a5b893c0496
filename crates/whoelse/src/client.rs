//! `whoelse client`: line mode.

use std::io::IsTerminal;
use std::process::ExitCode;

use whoelse_term::Options;

use crate::cli::ClientArguments;

pub(crate) fn run(arguments: ClientArguments) -> ExitCode {
    let port = arguments.port();
    whoelse_term::run(Options {
        host: arguments.host,
        port,
        user: arguments.user,
        password_file: arguments.password_file,
        colour: !arguments.plain && has_colour(),
        plain: arguments.plain,
        takeover: arguments.takeover,
    })
}

/// Colours only where a person sits at a terminal that can show them, and not where they are unwanted
/// (<https://no-color.org>).
fn has_colour() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let is_conversation = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    is_conversation && !is_unwanted && !is_dumb
}
