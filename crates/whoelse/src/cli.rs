//! The command line: every flag with its environment twin and its default, in one place.
//!
//! The positional forms are the original's: `whoelse server PORT BLOCK_SECONDS IDLE_SECONDS` and
//! `whoelse client HOST PORT`.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser, Resettable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use whoelse_client::links::{LinkOptions, Private, Seed};
use whoelse_proto::invite::LinkError;
use whoelse_proto::{Fingerprint, InviteLink, Role};
use whoelse_server::{Config, Network, PublicAddress, TlsFiles};

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

impl Cli {
    /// Reads the command line and the environment; ends the program with a word if they are wrong.
    pub(crate) fn read() -> Self {
        let command = without_empty_variables(Self::command());
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// A variable that is empty is as good as none, as everywhere else. clap takes it for a value.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    // What each is for stands at its arguments: here it would hide the longer text from --help.
    Server(ServerArguments),
    Client(ClientArguments),
    User(UserArguments),
    Invite(InviteArguments),
    Backup(BackupArguments),
    Restore(RestoreArguments),
    Check(CheckArguments),
}

/// Runs a server until Ctrl-C. Everything it confirms is on disk.
///
/// It listens on all addresses of this machine. Lines are encrypted (TLS) with a key that it makes at
/// its first start; plain text is answered from this machine only. A server without people prints
/// an invite for its first one, who becomes administrator; others come by invite, from `whoelse
/// user add`, or from a credentials file with a name and a password on each line. Where it listens
/// and what it found goes to standard output, its log to standard error.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse server
  whoelse server 12346 10 60
  whoelse server --credentials people.txt --data ./data
  whoelse server --public-address chat.example.org
  whoelse server --tls-cert fullchain.pem --tls-key privkey.pem
  kill -HUP PID            reads certificate and key again; nobody is dropped

Exit codes: 0 ended as told, 1 something is in use, 2 usage, 7 credentials file or certificate, 74 disk
or data.")]
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

    /// Where people find this server, for invites: a name or an address [default: guessed]
    ///
    /// Without a port it means the server's own.
    #[arg(long, value_name = "HOST[:PORT]", env = "WHOELSE_PUBLIC_ADDRESS")]
    public_address: Option<PublicAddress>,
    /// Listens on this address only, instead of on all of this machine
    #[arg(long, value_name = "ADDRESS", env = "WHOELSE_BIND")]
    bind: Option<IpAddr>,

    /// Shows this certificate (PEM, with those between it and a root) instead of its own
    #[arg(long, value_name = "FILE", env = "WHOELSE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", env = "WHOELSE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Answers plain text from everywhere, where others can read passwords and messages
    #[arg(long, env = "WHOELSE_PLAIN_TEXT", value_parser = FalseyValueParser::new())]
    plain_text: bool,

    /// Takes the true addresses from a proxy at this address or network (PROXY protocol, version 2)
    ///
    /// Every connection from there must begin with such a header. Nobody has privileges any more
    /// for being on this machine; plain text is answered only if the proxy says that its client used
    /// TLS.
    #[arg(long, value_name = "ADDRESS", env = "WHOELSE_BEHIND_PROXY")]
    behind_proxy: Option<Network>,

    /// Connections at once, if the system allows as many open files
    #[arg(long, value_name = "NUMBER", env = "WHOELSE_CONNECTIONS")]
    #[arg(default_value_t = Config::CONNECTIONS, value_parser = connections)]
    connections: usize,

    /// Relays no private links: people who cannot reach each other directly make none
    #[arg(long, env = "WHOELSE_NO_RELAY", value_parser = FalseyValueParser::new())]
    no_relay: bool,

    /// What one person may send per second over relayed private links, as in 512K or 4M
    #[arg(long, value_name = "SIZE", env = "WHOELSE_RELAY_RATE", default_value = "4M")]
    #[arg(value_parser = relay_rate)]
    relay_rate: u32,

    /// With less free space on the disk nothing new is taken, as in 256M or 2G; 0: not looked at
    #[arg(long, value_name = "SIZE", env = "WHOELSE_MIN_FREE", default_value = "256M")]
    #[arg(value_parser = size)]
    min_free: u64,

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
            public_address: self.public_address.clone(),
            is_logged: is_logged(),
            bind: self.bind,
            tls: self
                .tls_cert
                .clone()
                .zip(self.tls_key.clone())
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            plain_text: self.plain_text,
            behind_proxy: self.behind_proxy,
            connections: self.connections,
            relay: !self.no_relay,
            relay_rate: self.relay_rate,
            min_free_bytes: self.min_free,
        }
    }
}

/// Whether a service manager keeps what is printed, as systemd does.
fn is_logged() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    (is_set("INVOCATION_ID") || is_set("JOURNAL_STREAM")) && !std::io::stdout().is_terminal()
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
or is lost, 4 login refused. A message said to be kept is sent by the next start as the same person on
this machine, once: a script must not say it again.")]
pub(crate) struct ClientArguments {
    /// The server's name or address, HOST:PORT, or an invite
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
    #[arg(allow_hyphen_values = true)]
    pub(crate) fingerprint: Option<Fingerprint>,

    /// Forgets the key of the server, on PORT or on all ports, and ends
    #[arg(long, requires = "host")]
    pub(crate) forget: bool,

    /// Ends your session elsewhere instead of being refused because of it
    #[arg(long, env = "WHOELSE_TAKEOVER", value_parser = FalseyValueParser::new())]
    pub(crate) takeover: bool,

    /// Keeps nothing of what is said on this machine: no history, no search
    ///
    /// Without this it is kept in a file that only you can read, and messages that were not confirmed
    /// are sent again at the next start.
    #[arg(long, env = "WHOELSE_NO_STORE", value_parser = FalseyValueParser::new())]
    pub(crate) no_store: bool,

    /// What becomes of it when somebody asks for a private link
    #[arg(long, value_enum, value_name = "WHEN", env = "WHOELSE_PRIVATE", default_value = "ask")]
    pub(crate) private: PrivateArgument,

    /// Tells nobody an address of this machine: private links go over the server's relay
    #[arg(long, env = "WHOELSE_HIDE_ADDRESS", value_parser = FalseyValueParser::new())]
    pub(crate) hide_address: bool,

    /// Where files go that others send [default: ~/Downloads]
    #[arg(long, value_name = "DIR", env = "WHOELSE_DOWNLOADS")]
    pub(crate) downloads: Option<PathBuf>,

    /// Whether others can get from you what has come of files that you fetch
    ///
    /// Whoever may have such a file then learns your address, unless you hide it. Asked means once: with
    /// the commands 'seed yes' and 'seed no', and until then nobody can.
    #[arg(long, value_enum, value_name = "WHEN", env = "WHOELSE_SEED", default_value = "ask")]
    pub(crate) seed: SeedArgument,

    /// Original clients may open private links that nobody encrypts; every line of such is marked
    #[arg(long, env = "WHOELSE_ALLOW_UNENCRYPTED", value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with = "hide_address")]
    pub(crate) allow_unencrypted: bool,

    /// Plain lines even on a terminal: no colours, no redrawing
    #[arg(long, env = "WHOELSE_PLAIN", value_parser = FalseyValueParser::new())]
    pub(crate) plain: bool,
}

/// What becomes of questions for a private link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrivateArgument {
    /// You are asked
    Ask,
    /// It is accepted, and your address told to whoever asks
    Always,
    /// It is declined
    Never,
}

/// What becomes of questions for files that are fetched here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeedArgument {
    /// You are asked, once
    Ask,
    /// They can
    Always,
    /// They cannot
    Never,
}

impl ClientArguments {
    /// How private links are dealt with.
    pub(crate) fn links(&self, home: Option<&Path>) -> LinkOptions {
        let private = match self.private {
            PrivateArgument::Ask => Private::Ask,
            PrivateArgument::Always => Private::Always,
            PrivateArgument::Never => Private::Never,
        };
        let default = || home.map(|home| home.join("Downloads"));
        let downloads = self.downloads.clone().or_else(default);
        LinkOptions {
            carried: cfg!(feature = "links"),
            private,
            hide_address: self.hide_address,
            seed: match self.seed {
                SeedArgument::Ask => Seed::Ask,
                SeedArgument::Always => Seed::Always,
                SeedArgument::Never => Seed::Never,
            },
            allow_unencrypted: self.allow_unencrypted,
            home: home.map(Path::to_owned),
            // What is received is told with its whole path.
            downloads: downloads.and_then(|folder| std::path::absolute(folder).ok()),
        }
    }

    /// The host, and the port if one is given, behind the host or in the invite or for itself.
    pub(crate) fn target(
        &self,
        invite: Option<&InviteLink>,
    ) -> Result<(String, Option<u16>), String> {
        let (host, port) = match invite {
            Some(invite) => (invite.place.host.clone(), Some(invite.place.port)),
            None => split_port(self.host.trim()),
        };
        // What stands in the environment is for all servers, and gives way to what is said of one.
        let is_said = std::env::var_os("WHOELSE_PORT").is_none();
        let said = self.port.or(self.port_flag.filter(|_| is_said));
        match (port, said) {
            (Some(port), Some(said)) if port != said => Err(if invite.is_some() {
                format!("the invite leads to port {port}, not {said}. Leave the port out.")
            } else {
                format!(
                    "'{}' names port {port}, not {said}. Use one of them.",
                    self.host.escape_debug()
                )
            }),
            (port, _) => Ok((host, port.or(self.port).or(self.port_flag))),
        }
    }

    /// The invite, if that is what stands in the place of the host.
    pub(crate) fn invite(&self) -> Option<Result<InviteLink, LinkError>> {
        InviteLink::is_meant(self.host.trim()).then(|| self.host.parse())
    }
}

/// The server's folder, for everything that an operator does.
#[derive(Args)]
pub(crate) struct DataArguments {
    /// The server's folder [default: the XDG data folder, ~/.local/share/whoelse]
    #[arg(long, value_name = "FOLDER", env = "WHOELSE_DATA")]
    pub(crate) data: Option<PathBuf>,
}

/// Manages the people of a server, whether it runs or not.
#[derive(Args)]
#[command(after_help = OPERATOR_EXIT_CODES)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

/// What the operator's commands end with.
const OPERATOR_EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused (no such name, say), 2 usage, 7 a file cannot be read, 74 disk or data.";

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    List(UserListArguments),
    Add(UserAddArguments),
    Passwd(UserPasswdArguments),
    Lock(UserLockArguments),
    Unlock(UserUnlockArguments),
    Remove(UserRemoveArguments),
    Role(UserRoleArguments),
}

/// Lists everybody: role, whether online or locked, devices, waiting messages.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user list
  whoelse user list --json")]
pub(crate) struct UserListArguments {
    /// An array of objects for scripts, instead of columns
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Adds a person, whether the server runs or not.
///
/// The password is asked for twice, or read from a file; it never stands on the command line,
/// where others could see it. An invite is better: then only its person knows the password.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user add hans
  whoelse user add hans --admin --password-file hans.txt --data ./data")]
pub(crate) struct UserAddArguments {
    /// The new person's name: letters of one script, digits and simple punctuation
    pub(crate) name: String,

    /// The person becomes administrator
    #[arg(long)]
    pub(crate) admin: bool,

    /// A file whose first line is the password; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Gives a person another password.
///
/// It ends the person's session, revokes all its devices and forgets wrong passwords.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user passwd hans
  whoelse user passwd hans --password-file hans.txt")]
pub(crate) struct UserPasswdArguments {
    /// Whose password it is
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// A file whose first line is the password; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Keeps a person from logging in, and ends its session.
///
/// What others write to it waits until it is unlocked.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user lock hans")]
pub(crate) struct UserLockArguments {
    /// Whom
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Lets a person log in again, whether an administrator or wrong passwords locked it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user unlock hans")]
pub(crate) struct UserUnlockArguments {
    /// Whom
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Erases a person for good: mail, blocks, devices, password, open invites. The name is retired.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user remove hans
  whoelse user remove hans --yes")]
pub(crate) struct UserRemoveArguments {
    /// Whom
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// Does not ask for the name to be typed again
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Says what a person may do.
///
/// Members talk and invite members. Administrators also invite administrators, see all invites and
/// lock people out.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse user role hans admin
  whoelse user role hans member")]
pub(crate) struct UserRoleArguments {
    /// Whose role it is
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// member or admin
    #[arg(value_parser = role)]
    pub(crate) role: Role,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Makes a backup, whether the server runs or not.
///
/// Everything that the server had confirmed before is in it: people, passwords (hashed), devices,
/// blocks, invites, messages that wait, and the server's key. Nobody is held up. The file is read
/// back before it gets its name, and only its owner can read it. Whoever has it has the server, so
/// encrypt what leaves the machine.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse backup monday.backup
  whoelse backup /mnt/backups/$(date +%F).backup --data ./data
  whoelse backup monday.age --encrypt-to age1...

Exit codes: 0 done, 1 refused (there is such a file, say), 2 usage, 74 disk or data.")]
pub(crate) struct BackupArguments {
    /// The file to be made; there must be none of that name
    pub(crate) file: PathBuf,

    /// Encrypts it to this key, which age-keygen has made
    #[arg(long, value_name = "KEY", env = "WHOELSE_ENCRYPT_TO")]
    pub(crate) encrypt_to: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Restores a backup into an empty folder, as the data of a new server.
///
/// Names, passwords, devices, messages and the server's key are as they were when the backup was
/// made, so nobody has to do anything. Whatever was changed after that is undone: people removed,
/// devices revoked, invites used, messages read.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse restore monday.backup --data ./restored
  whoelse restore monday.age --identity key.txt --data ./restored

Exit codes: 0 done, 1 refused (the folder is not empty, say), 2 usage, 7 not a backup, 74 disk, or the
backup is damaged or of a newer version.")]
pub(crate) struct RestoreArguments {
    /// A file that whoelse backup has made
    pub(crate) file: PathBuf,

    /// The file of the key that it is encrypted to, as age-keygen writes it
    #[arg(long, value_name = "KEYFILE", env = "WHOELSE_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Reads everything in a backup, or in a folder that no server uses, and says whether it is whole.
///
/// Nothing is changed. It works on a copy, in TMPDIR.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse check
  whoelse check --data ./data
  whoelse check monday.backup

Exit codes: 0 all is whole, 1 a server uses the folder, 2 usage, 7 not a backup, 74 there is a fault.")]
pub(crate) struct CheckArguments {
    /// A file that whoelse backup has made; then no folder is looked at
    pub(crate) file: Option<PathBuf>,

    /// The file of the key that it is encrypted to, as age-keygen writes it
    #[arg(long, value_name = "KEYFILE", env = "WHOELSE_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Makes an invite: a line that makes one new person, wherever it is run.
///
/// Whoever runs the line chooses a name and a password and is in. It is good for one person and
/// for some days.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  whoelse invite
  whoelse invite --admin --valid 1 --public-address chat.example.org
  whoelse invite list
  whoelse invite revoke 3

Exit codes: 0 done, 1 refused (no such invite, say), 2 usage, 7 a file cannot be read, 74 disk or data.")]
pub(crate) struct InviteArguments {
    #[command(subcommand)]
    pub(crate) command: Option<InviteCommand>,

    /// Whoever uses it becomes administrator
    #[arg(long)]
    pub(crate) admin: bool,

    /// For how many days it is good
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=90))]
    pub(crate) valid: u64,

    /// Where people find the server [default: as the server was told, else guessed]
    #[arg(long, value_name = "HOST[:PORT]", env = "WHOELSE_PUBLIC_ADDRESS")]
    pub(crate) public_address: Option<PublicAddress>,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

#[derive(Subcommand)]
pub(crate) enum InviteCommand {
    List(InviteListArguments),
    Revoke(InviteRevokeArguments),
}

/// Lists the invites that are open.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse invite list
  whoelse invite list --json")]
pub(crate) struct InviteListArguments {
    /// An array of objects for scripts, instead of columns
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Takes an invite back.
#[derive(Args)]
#[command(after_help = "\
Examples:
  whoelse invite revoke 3")]
pub(crate) struct InviteRevokeArguments {
    /// Its number, as in the list
    pub(crate) number: u64,

    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// A host, and the port behind it if there is one. What makes no sense stays as it is: the look-up says
/// so in its own words.
fn split_port(text: &str) -> (String, Option<u16>) {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            // More than one colon is an address.
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    match port.map(str::parse::<u16>) {
        Some(Ok(port)) if !host.is_empty() => (host.to_owned(), Some(port)),
        None if !text.contains(']') || text.ends_with(']') => (host.to_owned(), None),
        _ => (text.to_owned(), None),
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| {
        format!("'{text}' is no role: member or admin. Example: whoelse user role hans admin")
    })
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

fn connections(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("'{text}' is no number of connections. Example: 20000"))
}

fn relay_rate(text: &str) -> Result<u32, String> {
    let rate = u32::try_from(size(text)?).unwrap_or(u32::MAX);
    if rate < Config::RELAY_RATE_MIN {
        return Err("below 16K links would be of no use: --no-relay turns them off".into());
    }
    Ok(rate)
}

/// A number of bytes, in units of 1024 with K, M, G or T behind it.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("'{text}' is no size. Example: 256M"))
}

#[cfg(test)]
mod tests;
