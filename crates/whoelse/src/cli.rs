//! The command line: every flag with its environment twin and its default, in one place.
//!
//! The positional forms are the original's: `whoelse server PORT BLOCK_SECONDS IDLE_SECONDS` and
//! `whoelse client HOST PORT`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use whoelse_proto::invite::LinkError;
use whoelse_proto::{Fingerprint, InviteLink};
use whoelse_server::Config;

/// The messenger people run themselves: server and client in one program.
#[derive(Parser)]
#[command(name = "whoelse", version, max_term_width = 100)]
#[command(after_help = "\
Two people on this machine, in three terminals:
  whoelse user add hans && whoelse user add luke && whoelse server
  whoelse client localhost
  whoelse client localhost")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    // What each is for stands at its arguments: here it would hide the longer text from --help.
    Server(ServerArguments),
    Client(ClientArguments),
    User(UserArguments),
}

/// Runs a server until Ctrl-C. Everything it confirms is on disk.
///
/// It listens on this machine only, because lines are not encrypted yet. People come from
/// `whoelse user add`, or from a credentials file with a name and a password on each line. Where
/// it listens and what it found goes to standard output, its log to standard error.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse server
  whoelse server 12346 10 60
  whoelse server --credentials people.txt --data ./data

Exit codes: 0 ended as told, 1 something is in use, 2 usage, 7 credentials file, 74 disk or data.")]
pub(crate) struct ServerArguments {
    /// The TCP port [default: 12346]
    #[arg(value_name = "PORT", value_parser = port)]
    port: Option<u16>,

    /// How long three wrong passwords in a row lock a name, in seconds [default: 60]
    #[arg(value_name = "BLOCK_SECONDS", value_parser = seconds)]
    block_seconds: Option<u32>,

    /// A session without a command for so many seconds is logged out; 0: never [default: 0]
    #[arg(value_name = "IDLE_SECONDS", value_parser = seconds)]
    idle_seconds: Option<u32>,

    /// The same as PORT
    #[arg(long = "port", value_name = "PORT", env = "WHOELSE_PORT", value_parser = port)]
    port_flag: Option<u16>,

    /// The same as BLOCK_SECONDS
    #[arg(long = "block-seconds", value_name = "SECONDS", env = "WHOELSE_BLOCK_SECONDS")]
    #[arg(value_parser = seconds)]
    block_seconds_flag: Option<u32>,

    /// The same as IDLE_SECONDS
    #[arg(long = "idle-seconds", value_name = "SECONDS", env = "WHOELSE_IDLE_SECONDS")]
    #[arg(value_parser = seconds)]
    idle_seconds_flag: Option<u32>,

    /// The folder that holds everything [default: the XDG data folder, ~/.local/share/whoelse]
    #[arg(long, value_name = "FOLDER", env = "WHOELSE_DATA")]
    data: Option<PathBuf>,

    /// Imports people from this file: a name, a space and a password on each line
    ///
    /// People who are known already are skipped, and nothing is written back. Without this,
    /// credentials.txt in the current folder is imported if the data folder is empty or was made
    /// from it.
    #[arg(long, value_name = "FILE", env = "WHOELSE_CREDENTIALS")]
    credentials: Option<PathBuf>,

    /// Requests that one person may make per second; 0: no ceiling
    #[arg(long, value_name = "PER_SECOND", env = "WHOELSE_RATE", default_value_t = 0)]
    rate: u32,

    /// Logs what happens, with addresses; never passwords or what people write
    #[arg(short, long, env = "WHOELSE_DEBUG", value_parser = FalseyValueParser::new())]
    pub(crate) debug: bool,
}

impl ServerArguments {
    /// The settings; what is written without a flag counts before its flag, and that before the
    /// environment.
    pub(crate) fn config(&self) -> Config {
        let port = self.port.or(self.port_flag).unwrap_or(Config::PORT);
        let block_seconds =
            self.block_seconds.or(self.block_seconds_flag).unwrap_or(Config::BLOCK_SECONDS);
        let idle_seconds =
            self.idle_seconds.or(self.idle_seconds_flag).unwrap_or(Config::IDLE_SECONDS);
        Config {
            port,
            block_seconds,
            idle_seconds,
            data: self.data.clone(),
            credentials: self.credentials.clone(),
            rate: self.rate,
        }
    }
}

/// Talks to people on a server.
///
/// On a terminal it asks for name and password, and `help` lists what can be typed; Tab completes
/// commands and names. Otherwise the first line of standard input is the name, the second the
/// password, and every other line a command; it ends with the input once everything is confirmed.
///
/// Lines are encrypted. A server is known by its key, which an invite brings along, or which is
/// shown and asked for at the first contact; one whose key has changed is not spoken to. On this
/// machine nothing is asked, and a server without encryption will do.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse client localhost 12346
  whoelse client whoelse://chat.example.org:12346/KEY/SECRET
  whoelse client --forget chat.example.org
  printf 'hans\\nfalcon*solo\\nmessage luke hello\\n' | whoelse client localhost
  echo 'broadcast lunch' | whoelse client localhost --user hans --password-file hans.txt

Exit codes: 0 ended as told and everything confirmed, 1 ended otherwise (logged out for being idle or by
a takeover, interrupted, not confirmed in time), 2 usage, 3 the server cannot be reached, is not trusted
or is lost, 4 login refused.")]
pub(crate) struct ClientArguments {
    /// The server's name or address, or an invite
    #[arg(value_name = "HOST", env = "WHOELSE_HOST", default_value = "localhost")]
    pub(crate) host: String,

    /// The server's TCP port [default: 12346]
    #[arg(value_name = "PORT", value_parser = port)]
    port: Option<u16>,

    /// The same as PORT
    #[arg(long = "port", value_name = "PORT", env = "WHOELSE_PORT", value_parser = port)]
    port_flag: Option<u16>,

    /// The name to log in with, instead of asking
    #[arg(long, value_name = "NAME", env = "WHOELSE_USER")]
    pub(crate) user: Option<String>,

    /// A file whose first line is the password, instead of asking
    #[arg(long, value_name = "FILE", env = "WHOELSE_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// The key that the server must have, as whoever runs it says
    #[arg(long, value_name = "KEY", env = "WHOELSE_FINGERPRINT", value_parser = fingerprint)]
    pub(crate) fingerprint: Option<Fingerprint>,

    /// Forgets the key of the server, on PORT or on all ports, and ends
    #[arg(long, requires = "host")]
    pub(crate) forget: bool,

    /// Ends your session elsewhere instead of being refused because of it
    #[arg(long, env = "WHOELSE_TAKEOVER", value_parser = FalseyValueParser::new())]
    pub(crate) takeover: bool,

    /// Plain lines even on a terminal: no colours, no redrawing
    #[arg(long, env = "WHOELSE_PLAIN", value_parser = FalseyValueParser::new())]
    pub(crate) plain: bool,
}

impl ClientArguments {
    pub(crate) fn port(&self) -> u16 {
        self.given_port().unwrap_or(Config::PORT)
    }

    /// The port, if one is given.
    pub(crate) fn given_port(&self) -> Option<u16> {
        self.port.or(self.port_flag)
    }

    /// The invite, if that is what stands in the place of the host.
    pub(crate) fn invite(&self) -> Option<Result<InviteLink, LinkError>> {
        InviteLink::is_meant(self.host.trim()).then(|| self.host.parse())
    }
}

/// Manages the people of a server.
#[derive(Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    Add(UserAddArguments),
}

/// Adds a person, whether the server runs or not.
///
/// The password is asked for twice, or read from a file; it never stands on the command line,
/// where others could see it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user add hans
  whoelse user add hans --password-file hans.txt --data ./data")]
pub(crate) struct UserAddArguments {
    /// The new person's name: letters of one script, digits and simple punctuation
    pub(crate) name: String,

    /// A file whose first line is the password; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// The server's folder [default: the XDG data folder, ~/.local/share/whoelse]
    #[arg(long, value_name = "FOLDER", env = "WHOELSE_DATA")]
    pub(crate) data: Option<PathBuf>,
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    Fingerprint::parse(text).map_err(|error| format!("that is no key of a server: {error}."))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is no port: a number from 0 to 65535. Example: 12346"))
}

fn seconds(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|seconds| *seconds <= Config::SECONDS_MAX).ok_or_else(|| {
        format!(
            "'{text}' is no number of seconds from 0 to {}. Example: whoelse server 12346 10 60",
            Config::SECONDS_MAX
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_original_forms_work_word_for_word() {
        let Command::Server(server) =
            Cli::parse_from(["whoelse", "server", "12346", "10", "60"]).command
        else {
            panic!()
        };
        let config = server.config();
        assert_eq!((config.port, config.block_seconds, config.idle_seconds), (12346, 10, 60));
        let Command::Client(client) =
            Cli::parse_from(["whoelse", "client", "localhost", "12346"]).command
        else {
            panic!()
        };
        assert_eq!((client.host.as_str(), client.port()), ("localhost", 12346));
    }

    fn client(words: &[&str]) -> Result<ClientArguments, clap::Error> {
        match Cli::try_parse_from([&["whoelse", "client"], words].concat())?.command {
            Command::Client(client) => Ok(client),
            _ => panic!(),
        }
    }

    #[test]
    fn an_invite_stands_in_the_place_of_the_host() {
        let key = Fingerprint([7; 32]);
        let link = format!("whoelse://chat.example:443/{key}/CQkJCQkJCQkJCQkJCQkJCQ");
        let invite = client(&[&link]).unwrap().invite().unwrap().unwrap();
        assert_eq!((invite.place.host.as_str(), invite.place.port), ("chat.example", 443));
        assert_eq!(invite.key, key);
        let cut = client(&["WHOELSE://chat.example"]).unwrap().invite().unwrap();
        assert_eq!(cut, Err(LinkError::Cut));
        assert!(client(&["chat.example"]).unwrap().invite().is_none());
    }

    #[test]
    fn keys_are_read_and_a_server_is_forgotten_by_name_only() {
        let key = Fingerprint([7; 32]);
        let read = client(&["a", "--fingerprint", &key.to_string()]).unwrap();
        assert_eq!(read.fingerprint, Some(key));
        let error = client(&["a", "--fingerprint", "4f:9c"]).err().expect("refused").to_string();
        assert!(error.contains("43 characters"), "{error}");
        assert!(client(&["--forget", "a"]).unwrap().forget);
        assert!(client(&["--forget"]).is_err());
        assert_eq!(client(&["--forget", "a", "7"]).unwrap().given_port(), Some(7));
    }

    #[test]
    fn help_is_enough_to_read() {
        for (command, words) in [
            ("server", "a name and a password on each line"),
            ("client", "the first line of standard input is the name"),
        ] {
            let mut cli = Cli::command();
            let command = cli.find_subcommand_mut(command).expect("there is one");
            let help = command
                .render_long_help()
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            assert!(help.contains(words), "{help}");
        }
    }

    #[test]
    fn bad_numbers_are_refused_with_an_example() {
        for arguments in [
            ["server", "ten"].as_slice(),
            &["server", "70000"],
            &["server", "1", "x"],
            &["server", "1", "1", "-1"],
        ] {
            let arguments = std::iter::once(&"whoelse").chain(arguments);
            let error = Cli::try_parse_from(arguments).err().expect("refused").to_string();
            assert!(error.contains("Example") || error.contains("unexpected"), "{error}");
        }
    }
}
