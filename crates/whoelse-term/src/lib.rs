//! What people see of whoelse in a terminal, and what scripts see of it in a pipe.
//!
//! Line mode, with an editor below and messages above (`line`), where standard input and
//! output are a terminal; plain lines (`plain`) everywhere else. What the client tells arrives
//! as values; this crate finds the words (`render`), makes everything from the network harmless
//! ([`shown`]), and never opens a socket itself.

mod ask;
mod bars;
pub mod commands;
mod complete;
mod compose;
mod failure;
mod gate;
mod interruption;
mod keyboard;
mod line;
mod people;
mod plain;
mod render;
mod screen;
mod session;
pub mod shown;
mod speaker;
mod terminal;
mod wrap;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use whoelse_client::links::LinkOptions;
use whoelse_proto::{Fingerprint, InviteSecret, Vouch};

/// How a client is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine the server runs on.
    pub host: String,
    /// The port it listens on.
    pub port: u16,
    /// Who logs in; without it the person, or the first line of the input, says so.
    pub user: Option<String>,
    /// A file with the password on its first line; without it the person, or the next line of
    /// the input, says it.
    pub password_file: Option<PathBuf>,
    /// Makes an account with this invite, instead of logging in to one.
    pub invite: Option<InviteSecret>,
    /// What that invite says of whoever made it.
    pub vouch: Option<Vouch>,
    /// How it deals with private links.
    pub links: LinkOptions,
    /// The key that the server must have.
    pub expected_key: Option<Fingerprint>,
    /// The folder for what is kept from run to run; without one nothing is.
    pub state: Option<PathBuf>,
    /// What is said is kept there.
    pub store: bool,
    /// What this device is to be called.
    pub device_name: String,
    /// Lines may carry colours.
    pub colour: bool,
    /// Plain lines, even at a terminal that could do more.
    pub plain: bool,
    /// Ends a session of the same person elsewhere, instead of being refused because of it.
    pub takeover: bool,
}

/// Runs a client until its person leaves or it cannot go on.
///
/// Everything that belongs to the conversation goes to standard output. What kept it from
/// beginning goes to standard error, as one line, or
/// in rows if that is a terminal. The exit code is 0 after a logout, 2 if the
/// client was started in a way that cannot work, 3 if there was no server, it is not to be
/// trusted, or it was lost for good, 4 if the login was refused, 1 otherwise.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    session::run(options).unwrap_or_else(|failure| {
        // If even that cannot be said, the exit code has to do.
        let code = ExitCode::from(failure.code());
        let text = failure.text(terminal::error_columns());
        io::stderr().write_all(text.as_bytes()).unwrap_or_default();
        code
    })
}
