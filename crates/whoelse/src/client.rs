//! `whoelse client`: line mode.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use etcetera::BaseStrategy;
use whoelse_client::KnownServers;
use whoelse_proto::Name;
use whoelse_proto::limits::NAME_CHARS_MAX;
use whoelse_server::Config;
use whoelse_term::Options;

use crate::cli::ClientArguments;
use crate::complain;

/// The exit code for what was asked in a way that cannot work.
const USAGE: u8 = 2;

pub(crate) fn run(arguments: ClientArguments) -> ExitCode {
    let invite = match arguments.invite().transpose() {
        Ok(invite) => invite,
        Err(error) => return refuse(&format_args!("{error}.")),
    };
    let (host, given_port) = match arguments.target(invite.as_ref()) {
        Ok(target) => target,
        Err(words) => return refuse(&words),
    };
    if arguments.forget {
        return forget(&host, given_port);
    }
    let expected_key = invite.as_ref().map(|invite| invite.key);
    if expected_key.is_some() && arguments.fingerprint.is_some_and(|key| Some(key) != expected_key)
    {
        return refuse(
            &"the key in the invite is another than that of --fingerprint. Use one of them.",
        );
    }
    let port = given_port.unwrap_or(Config::PORT);
    let home = etcetera::home_dir().ok();
    whoelse_term::run(Options {
        host,
        port,
        vouch: invite.as_ref().and_then(|invite| invite.vouch.clone()),
        invite: invite.map(|invite| invite.secret),
        links: arguments.links(home.as_deref()),
        expected_key: expected_key.or(arguments.fingerprint),
        state: state(),
        store: !arguments.no_store,
        device_name: device_name(),
        user: arguments.user,
        password_file: arguments.password_file,
        colour: !arguments.plain && has_colour(),
        plain: arguments.plain,
        takeover: arguments.takeover,
    })
}

/// Complains of what was asked in a way that cannot work.
fn refuse(words: &dyn Display) -> ExitCode {
    complain(words);
    ExitCode::from(USAGE)
}

/// Forgets what is remembered of a server.
fn forget(host: &str, port: Option<u16>) -> ExitCode {
    let forgotten = match state() {
        Some(state) => KnownServers::new(&state).forget(host, port),
        None => Ok(0),
    };
    // What was typed may have come from elsewhere, and goes to a terminal.
    let host = host.escape_debug();
    let said = match forgotten {
        Ok(0) => format!("Nothing was known of {host}."),
        Ok(_) => format!("What was known of {host} is forgotten; the next contact is a first one."),
        Err(error) => {
            complain(&format_args!("cannot change the list of known servers: {error}."));
            return ExitCode::FAILURE;
        }
    };
    writeln!(std::io::stdout(), "{said}").unwrap_or_default();
    ExitCode::SUCCESS
}

/// The folder for what is kept from run to run, where the system says that it belongs.
fn state() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()).join("whoelse"))
}

/// What this machine is called, if that is fit to be a name.
fn device_name() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let cut: String = host.chars().take(NAME_CHARS_MAX).collect();
    match Name::new(&cut) {
        Ok(_) => cut,
        Err(_) => "device".to_owned(),
    }
}

/// Colours only where a person sits at a terminal that can show them, and not where they are unwanted
/// (<https://no-color.org>).
fn has_colour() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let is_conversation = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    is_conversation && !is_unwanted && !is_dumb
}
