//! `whoelse server`: logging, and the server itself.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::ServerArguments;
use crate::complain;

pub(crate) fn run(arguments: &ServerArguments) -> ExitCode {
    let level = if arguments.debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    // To the relay's libraries every client that goes without a word is worth a warning.
    let relay = if arguments.debug { "" } else { ",iroh_relay=error,noq=error,noq_proto=error" };
    let filter = EnvFilter::builder().parse_lossy(format!("{level}{relay}"));
    let is_terminal = std::io::stderr().is_terminal();
    let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(has_colour)
        .with_target(arguments.debug)
        .init();
    match whoelse_server::run(&arguments.config(), &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
