//! The commands people type: one table, from which parsing, help and completion follow.

use whoelse_client::{Command, SafetyStep};
use whoelse_proto::Role;

use crate::people::nearest;

/// A command, and all there is to know about it.
#[derive(Debug)]
pub struct Definition {
    /// What is typed.
    pub word: &'static str,
    /// What follows it.
    pub arguments: &'static [Argument],
    /// What it does, in a line.
    pub help: &'static str,
    /// What else there is to know, in sentences; may be empty.
    pub more: &'static str,
    /// Words of other programs for the same thing; not accepted, but understood enough to say
    /// what it is called here.
    also: &'static [&'static str],
    /// Only administrators can use it.
    admin: bool,
    build: fn(Arguments) -> Wish,
}

/// Something that follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The name of a person.
    User,
    /// Everything up to the end.
    Text,
    /// A number of seconds.
    Seconds,
    /// A number of messages; may be missing.
    Count,
    /// The word of a command; may be missing.
    Word,
    /// The word `admin`; may be missing.
    Admin,
    /// The word `revoke` and the number of an invite; may be missing.
    RevokeNumber,
    /// The word `revoke` and the name of a device; may be missing.
    RevokeName,
    /// The word `--unencrypted`; may be missing.
    Unencrypted,
    /// The word `confirm` or `accept`; may be missing.
    Step,
    /// Where a file is: everything up to the end, perhaps in quotes.
    Path,
    /// The number of a file in the list, or the name of the person it is with.
    Which,
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Something for the client.
    Command(Command),
    /// Another password, for which must be asked first.
    Passwd,
    /// Help, on one command or on all.
    Help(Option<&'static Definition>),
}

/// Why a line asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No command is called that.
    Unknown {
        /// What was typed.
        word: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// Something has to follow the command.
    Missing {
        /// The command.
        definition: &'static Definition,
        /// What is missing.
        argument: Argument,
    },
    /// What follows is no number of seconds.
    NotSeconds {
        /// The command.
        definition: &'static Definition,
        /// What was typed.
        typed: String,
    },
    /// What follows is no number of messages.
    NotCount {
        /// The command.
        definition: &'static Definition,
        /// What was typed.
        typed: String,
    },
    /// What follows is no number.
    NotNumber {
        /// The command.
        definition: &'static Definition,
        /// What was typed.
        typed: String,
    },
    /// Something follows that does not belong there.
    TooMuch {
        /// The command.
        definition: &'static Definition,
    },
}

/// What followed a command, each at its place.
#[derive(Default)]
struct Arguments {
    user: String,
    text: String,
    seconds: u64,
    count: Option<usize>,
    admin: bool,
    unencrypted: bool,
    step: Option<SafetyStep>,
    path: String,
    which: String,
    /// What is to be taken back: a number, or a name.
    number: Option<u64>,
    name: Option<String>,
    definition: Option<&'static Definition>,
}

use Argument::{
    Admin, Count, Path, RevokeName, RevokeNumber, Seconds, Step, Text, Unencrypted, User, Which,
    Word,
};

/// Messages of a history, unless a number says otherwise.
const HISTORY: usize = 20;

/// All commands, in the order of the help.
pub static COMMANDS: &[Definition] = &[
    Definition {
        word: "message",
        arguments: &[User, Text],
        help: "send a message; it waits for people who are away",
        more: "",
        also: &["msg", "send", "tell", "dm", "pm", "m", "query"],
        admin: false,
        build: |Arguments { user, text, .. }| Wish::Command(Command::Message { user, text }),
    },
    Definition {
        word: "broadcast",
        arguments: &[Text],
        help: "say something to everybody who is online",
        more: "",
        also: &["say", "all", "wall", "shout"],
        admin: false,
        build: |Arguments { text, .. }| Wish::Command(Command::Broadcast { text }),
    },
    Definition {
        word: "whoelse",
        arguments: &[],
        help: "list who else is online",
        more: "",
        also: &["who", "users", "names", "list", "online"],
        admin: false,
        build: |_| Wish::Command(Command::Whoelse),
    },
    Definition {
        word: "whoelsesince",
        arguments: &[Seconds],
        help: "list who else was online in the past so many seconds",
        more: "",
        also: &["last", "since"],
        admin: false,
        build: |Arguments { seconds, .. }| Wish::Command(Command::WhoelseSince { seconds }),
    },
    Definition {
        word: "history",
        arguments: &[User, Count],
        help: "show what was last said with a person, on this machine",
        more: "",
        also: &["log", "scrollback", "read"],
        admin: false,
        build: |Arguments { user, count, .. }| {
            Wish::Command(Command::History { user, count: count.unwrap_or(HISTORY) })
        },
    },
    Definition {
        word: "search",
        arguments: &[Text],
        help: "show what was said that holds all these words",
        more: "",
        also: &["find", "grep"],
        admin: false,
        build: |Arguments { text, .. }| Wish::Command(Command::Search { words: text }),
    },
    Definition {
        word: "outbox",
        arguments: &[],
        help: "list your messages that are not confirmed yet",
        more: "",
        also: &["queue", "pending", "unsent"],
        admin: false,
        build: |_| Wish::Command(Command::Outbox),
    },
    Definition {
        word: "block",
        arguments: &[User],
        help: "take no more messages from a person, and hide from that person",
        more: "",
        also: &["ignore", "ban", "mute"],
        admin: false,
        build: |Arguments { user, .. }| Wish::Command(Command::Block { user }),
    },
    Definition {
        word: "unblock",
        arguments: &[User],
        help: "take a block back",
        more: "",
        also: &["unignore", "unban", "unmute"],
        admin: false,
        build: |Arguments { user, .. }| Wish::Command(Command::Unblock { user }),
    },
    Definition {
        word: "startprivate",
        arguments: &[User, Unencrypted],
        help: "ask a person for a private link, past the server",
        more: "When that person accepts, both machines learn each other's addresses (unless --hide-address) and talk directly, or over the server's relay, which cannot read along. Nothing of it is kept. With --unencrypted it is a link to a client of the original system, which anybody on the way can read.",
        also: &["connect"],
        admin: false,
        build: |Arguments { user, unencrypted, .. }| {
            Wish::Command(Command::StartPrivate { user, unencrypted })
        },
    },
    Definition {
        word: "private",
        arguments: &[User, Text],
        help: "say something over a private link",
        more: "It counts as sent when the other screen has shown it. What is not confirmed when the link ends is told, and never sent another way.",
        also: &["priv"],
        admin: false,
        build: |Arguments { user, text, .. }| Wish::Command(Command::Private { user, text }),
    },
    Definition {
        word: "stopprivate",
        arguments: &[User],
        help: "close a private link, or take back that you asked for one",
        more: "",
        also: &["endprivate", "disconnect"],
        admin: false,
        build: |Arguments { user, .. }| Wish::Command(Command::StopPrivate { user }),
    },
    Definition {
        word: "accept",
        arguments: &[User],
        help: "agree to the private link or file that a person offers",
        more: "That machine then learns your addresses, unless you run with --hide-address. What was asked first is answered first.",
        also: &["yes", "ok", "allow"],
        admin: false,
        build: |Arguments { user, .. }| Wish::Command(Command::Accept { user }),
    },
    Definition {
        word: "decline",
        arguments: &[User],
        help: "refuse it",
        more: "With nothing to refuse it forgets a key of that person that was refused, as one that is nobody's.",
        also: &["no", "reject", "deny", "refuse"],
        admin: false,
        build: |Arguments { user, .. }| Wish::Command(Command::Decline { user }),
    },
    Definition {
        word: "links",
        arguments: &[],
        help: "list private links, and who asks for one",
        more: "",
        also: &[],
        admin: false,
        build: |_| Wish::Command(Command::Links),
    },
    Definition {
        word: "sendfile",
        arguments: &[User, Path],
        help: "send a file over a private link",
        more: "The link is made first, if there is none. When the other accepts, it goes from machine to machine and is checked there. If the link or a machine fails, it goes on from there with the next link. cancel gives it up.",
        also: &["send-file", "upload", "put", "file"],
        admin: false,
        build: |Arguments { user, path, .. }| {
            Wish::Command(Command::SendFile { user, path: path.into() })
        },
    },
    Definition {
        word: "files",
        arguments: &[],
        help: "list files under way",
        more: "",
        also: &["transfers", "downloads"],
        admin: false,
        build: |_| Wish::Command(Command::Files),
    },
    Definition {
        word: "cancel",
        arguments: &[Which],
        help: "give a file up, by its number in files or by the person",
        more: "",
        also: &["abort", "stop"],
        admin: false,
        build: |Arguments { which, .. }| Wish::Command(Command::Cancel { which }),
    },
    Definition {
        word: "safety",
        arguments: &[User, Step],
        help: "show the number that proves whom a private link is with",
        more: "Compare it by voice or in person, never in here: if both screens show the same, nobody is in between, not even the server. Then: confirm. A person whose key has changed is not linked before you have said: accept.",
        also: &["verify", "fingerprint", "trust"],
        admin: false,
        build: |Arguments { user, step, .. }| {
            Wish::Command(Command::Safety { user, step: step.unwrap_or(SafetyStep::Show) })
        },
    },
    Definition {
        word: "invite",
        arguments: &[Admin],
        help: "make an invite for somebody new",
        more: "It prints a line to pass on; whoever runs it chooses a name and a password and is in. It is good for one person, for as long as it says; invites lists and takes back those that are open. With admin the new person becomes an administrator, which only administrators can do.",
        also: &["adduser", "add"],
        admin: false,
        build: |Arguments { admin, .. }| {
            let role = if admin { Role::Admin } else { Role::Member };
            Wish::Command(Command::Invite { role })
        },
    },
    Definition {
        word: "invites",
        arguments: &[RevokeNumber],
        help: "list the invites that are open, or take one back",
        more: "",
        also: &[],
        admin: false,
        build: |Arguments { number, .. }| {
            Wish::Command(match number {
                Some(number) => Command::RevokeInvite { number },
                None => Command::Invites,
            })
        },
    },
    Definition {
        word: "devices",
        arguments: &[RevokeName],
        help: "list the devices that log in without a password, or revoke one",
        more: "A revoked device needs the password again.",
        also: &["sessions", "clients"],
        admin: false,
        build: |Arguments { name, .. }| {
            Wish::Command(match name {
                Some(name) => Command::RevokeDevice { name },
                None => Command::Devices,
            })
        },
    },
    Definition {
        word: "passwd",
        arguments: &[],
        help: "change the password",
        more: "It asks for the old password and twice for the new one, of 8 characters or more. Other devices need the new one from then on.",
        also: &["password"],
        admin: false,
        build: |_| Wish::Passwd,
    },
    Definition {
        word: "lock",
        arguments: &[User],
        help: "keep a person from logging in (administrators only)",
        more: "It ends the session of that person; messages to it wait.",
        also: &["suspend"],
        admin: true,
        build: |Arguments { user, .. }| Wish::Command(Command::Lock { user }),
    },
    Definition {
        word: "unlock",
        arguments: &[User],
        help: "let that person log in again (administrators only)",
        more: "",
        also: &["unsuspend"],
        admin: true,
        build: |Arguments { user, .. }| Wish::Command(Command::Unlock { user }),
    },
    Definition {
        word: "help",
        arguments: &[Word],
        help: "list the commands, or say what one of them does",
        more: "",
        also: &["?", "h", "man", "commands"],
        admin: false,
        build: |Arguments { definition, .. }| Wish::Help(definition),
    },
    Definition {
        word: "logout",
        arguments: &[],
        help: "log out and forget this device; Ctrl-D leaves and keeps it",
        more: "The next login here needs the password.",
        also: &["quit", "exit", "bye", "q", "leave", "logoff"],
        admin: false,
        build: |_| Wish::Command(Command::Logout),
    },
];

/// The commands that somebody may use, in the order of the help.
pub(crate) fn commands(admin: bool) -> impl Iterator<Item = &'static Definition> {
    COMMANDS.iter().filter(move |definition| admin || !definition.admin)
}

/// Reads a line; nothing if it is blank. A `/` before the command is accepted.
///
/// # Errors
/// Says what is wrong with the line.
pub fn parse(line: &str) -> Result<Option<Wish>, UsageError> {
    let line = line.trim();
    let (word, rest) = split_word(line.strip_prefix('/').unwrap_or(line));
    if line.is_empty() {
        return Ok(None);
    }
    let definition = find(word)?;
    arguments(definition, rest).map(|arguments| Some((definition.build)(arguments)))
}

/// The definition of a command.
///
/// # Errors
/// Names the nearest command if there is none of that word.
pub fn find(word: &str) -> Result<&'static Definition, UsageError> {
    COMMANDS.iter().find(|definition| definition.word == word).ok_or_else(|| UsageError::Unknown {
        word: word.to_owned(),
        nearest: nearest_command(word),
    })
}

fn arguments(definition: &'static Definition, mut rest: &str) -> Result<Arguments, UsageError> {
    let mut arguments = Arguments::default();
    for argument in definition.arguments {
        let (word, mut after) = match argument {
            Text | Path => (rest, ""),
            _ => split_word(rest),
        };
        if word.is_empty() && matches!(argument, User | Text | Seconds | Path | Which) {
            return Err(UsageError::Missing { definition, argument: *argument });
        }
        match argument {
            Admin | Count | RevokeNumber | RevokeName | Word | Unencrypted | Step
                if word.is_empty() => {}
            Count => arguments.count = Some(count(definition, word)?),
            Admin if word == "admin" => arguments.admin = true,
            RevokeNumber | RevokeName if word == "revoke" => {
                let (what, behind) = split_word(after);
                match argument {
                    _ if what.is_empty() => {
                        return Err(UsageError::Missing { definition, argument: *argument });
                    }
                    RevokeNumber => arguments.number = Some(number(definition, what)?),
                    _ => arguments.name = Some(what.to_owned()),
                }
                after = behind;
            }
            Unencrypted if word == "--unencrypted" => arguments.unencrypted = true,
            Step if word == "confirm" => arguments.step = Some(SafetyStep::Confirm),
            Step if word == "accept" => arguments.step = Some(SafetyStep::Accept),
            Admin | RevokeNumber | RevokeName | Unencrypted | Step => {
                return Err(UsageError::TooMuch { definition });
            }
            User => arguments.user = word.to_owned(),
            Text => arguments.text = word.to_owned(),
            Path => arguments.path = unquoted(word).to_owned(),
            Which => arguments.which = word.to_owned(),
            Seconds => arguments.seconds = seconds(definition, word)?,
            Word => arguments.definition = Some(find(word.strip_prefix('/').unwrap_or(word))?),
        }
        rest = after;
    }
    if rest.is_empty() { Ok(arguments) } else { Err(UsageError::TooMuch { definition }) }
}

fn number(definition: &'static Definition, typed: &str) -> Result<u64, UsageError> {
    typed.parse().map_err(|_| UsageError::NotNumber { definition, typed: typed.to_owned() })
}

fn count(definition: &'static Definition, typed: &str) -> Result<usize, UsageError> {
    let digits = typed.bytes().all(|byte| byte.is_ascii_digit());
    // More than can be counted is as good as all.
    let count = digits.then(|| typed.parse().unwrap_or(usize::MAX)).filter(|count| *count > 0);
    count.ok_or_else(|| UsageError::NotCount { definition, typed: typed.to_owned() })
}

fn seconds(definition: &'static Definition, typed: &str) -> Result<u64, UsageError> {
    if typed.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is as good as for ever.
        Ok(typed.parse().unwrap_or(u64::MAX))
    } else {
        Err(UsageError::NotSeconds { definition, typed: typed.to_owned() })
    }
}

/// A path without the quotes that terminals put around what is dropped on them.
fn unquoted(path: &str) -> &str {
    let path = path.trim_end();
    let inner = |quote| path.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).filter(|inner| !inner.is_empty()).unwrap_or(path)
}

/// The first word, and what follows the space behind it.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// What may have been meant: a word of other programs, a near miss, or a beginning.
fn nearest_command(typed: &str) -> Option<&'static str> {
    let lower = typed.to_lowercase();
    let words = || COMMANDS.iter().map(|definition| definition.word);
    COMMANDS
        .iter()
        .find(|definition| definition.also.contains(&lower.as_str()))
        .map(|definition| definition.word)
        .or_else(|| nearest(&lower, words()))
        .or_else(|| words().find(|word| lower.len() > 1 && word.starts_with(&lower)))
        .or_else(|| words().find(|word| lower.starts_with(word)))
}

impl Definition {
    /// How it is used: `message <user> <text>`.
    #[must_use]
    pub fn usage(&self) -> String {
        self.shown_arguments().fold(self.word.to_owned(), |usage, word| usage + " " + word)
    }

    /// What follows it, as it stands in the help.
    pub(crate) fn shown_arguments(&self) -> impl Iterator<Item = &'static str> {
        self.arguments.iter().filter_map(|argument| argument.placeholder())
    }
}

impl Argument {
    /// How it stands in the help; not at all, if only its longer part speaks of it.
    fn placeholder(self) -> Option<&'static str> {
        Some(match self {
            User => "<user>",
            Text => "<text>",
            Seconds => "<seconds>",
            Count => "[n]",
            Word => "[command]",
            Admin => "[admin]",
            RevokeNumber => "[revoke <n>]",
            RevokeName => "[revoke <name>]",
            Unencrypted => return None,
            Step => "[confirm]",
            Path => "<path>",
            Which => "<user>",
        })
    }
}

// A definition is itself and no other: there is one table.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Definition {}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match parse(line) {
            Ok(Some(Wish::Command(command))) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_command_is_read() {
        let user = || "luke".to_owned();
        for (line, wanted) in [
            ("message luke hi there", Command::Message { user: user(), text: "hi there".into() }),
            ("broadcast hi  all", Command::Broadcast { text: "hi  all".into() }),
            ("whoelse", Command::Whoelse),
            ("whoelsesince 900", Command::WhoelseSince { seconds: 900 }),
            ("block luke", Command::Block { user: user() }),
            ("unblock luke", Command::Unblock { user: user() }),
            ("startprivate luke", Command::StartPrivate { user: user(), unencrypted: false }),
            (
                "startprivate luke --unencrypted",
                Command::StartPrivate { user: user(), unencrypted: true },
            ),
            ("accept luke", Command::Accept { user: user() }),
            ("decline luke", Command::Decline { user: user() }),
            ("links", Command::Links),
            ("files", Command::Files),
            ("cancel luke", Command::Cancel { which: "luke".into() }),
            ("cancel 3", Command::Cancel { which: "3".into() }),
            (
                "sendfile luke  /tmp/my file.pdf",
                Command::SendFile { user: user(), path: "/tmp/my file.pdf".into() },
            ),
            (
                "sendfile luke '/tmp/my file.pdf'",
                Command::SendFile { user: user(), path: "/tmp/my file.pdf".into() },
            ),
            ("safety luke", Command::Safety { user: user(), step: SafetyStep::Show }),
            ("safety luke confirm", Command::Safety { user: user(), step: SafetyStep::Confirm }),
            ("safety luke accept", Command::Safety { user: user(), step: SafetyStep::Accept }),
            ("private luke psst", Command::Private { user: user(), text: "psst".into() }),
            ("stopprivate luke", Command::StopPrivate { user: user() }),
            ("history luke", Command::History { user: user(), count: 20 }),
            ("history luke 5", Command::History { user: user(), count: 5 }),
            ("search hi  there", Command::Search { words: "hi  there".into() }),
            ("outbox", Command::Outbox),
            ("logout", Command::Logout),
            ("invite", Command::Invite { role: Role::Member }),
            ("invite admin", Command::Invite { role: Role::Admin }),
            ("invites", Command::Invites),
            ("invites revoke 4", Command::RevokeInvite { number: 4 }),
            ("devices", Command::Devices),
            ("devices revoke laptop", Command::RevokeDevice { name: "laptop".into() }),
            ("lock luke", Command::Lock { user: user() }),
            ("unlock luke", Command::Unlock { user: user() }),
        ] {
            assert_eq!(command(line), wanted);
            assert_eq!(command(&format!("  /{line} \t")), wanted, "with a slash and spaces around");
        }
        assert_eq!(parse("passwd"), Ok(Some(Wish::Passwd)));
        assert_eq!(parse("help"), Ok(Some(Wish::Help(None))));
        assert_eq!(parse("help /block"), Ok(Some(Wish::Help(Some(find("block").unwrap())))));
    }

    #[test]
    fn a_text_keeps_its_inner_spaces_and_lines() {
        assert_eq!(
            command("message luke    a  b\n  c\n"),
            Command::Message { user: "luke".into(), text: "a  b\n  c".into() }
        );
        assert_eq!(
            command("message luke\n/logout"),
            Command::Message { user: "luke".into(), text: "/logout".into() }
        );
    }

    #[test]
    fn blank_lines_ask_for_nothing() {
        for line in ["", "   ", "\t\n"] {
            assert_eq!(parse(line), Ok(None));
        }
    }

    #[test]
    fn an_unknown_command_is_repeated_with_the_nearest() {
        for (typed, meant) in [
            ("mesage", Some("message")),
            ("Message", Some("message")),
            ("whoesle", Some("whoelse")),
            ("whoelsesinse", Some("whoelsesince")),
            ("blok", Some("block")),
            ("unblok", Some("unblock")),
            ("msg", Some("message")),
            ("quit", Some("logout")),
            ("who", Some("whoelse")),
            ("start", Some("startprivate")),
            ("broad", Some("broadcast")),
            ("messageluke", Some("message")),
            ("xyzzy", None),
            ("", None),
        ] {
            let error = UsageError::Unknown { word: typed.into(), nearest: meant };
            assert_eq!(parse(&format!("/{typed} luke hi")), Err(error));
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let missing =
            |word, argument| Err(UsageError::Missing { definition: find(word).unwrap(), argument });
        assert_eq!(parse("message"), missing("message", User));
        assert_eq!(parse("message luke"), missing("message", Text));
        assert_eq!(parse("broadcast  "), missing("broadcast", Text));
        assert_eq!(parse("whoelsesince"), missing("whoelsesince", Seconds));
        assert_eq!(parse("invites revoke"), missing("invites", RevokeNumber));
        assert_eq!(parse("sendfile luke"), missing("sendfile", Path));
        assert_eq!(parse("cancel"), missing("cancel", Which));
        assert_eq!(parse("devices revoke"), missing("devices", RevokeName));
        let not_number = |typed: &str| {
            Err(UsageError::NotNumber { definition: find("invites").unwrap(), typed: typed.into() })
        };
        assert_eq!(parse("invites revoke four"), not_number("four"));
        assert_eq!(parse("invites revoke -1"), not_number("-1"));
        for typed in ["0", "five", "-1", "+1", "1.5"] {
            let definition = find("history").unwrap();
            let error = UsageError::NotCount { definition, typed: typed.into() };
            assert_eq!(parse(&format!("history luke {typed}")), Err(error));
        }
        for word in [
            "outbox",
            "history luke 5",
            "invite",
            "invites",
            "devices",
            "passwd",
            "whoelse",
            "logout",
            "block luke",
            "help block",
            "whoelsesince 1",
            "links",
            "files",
            "cancel 3",
            "safety luke",
            "safety luke confirm",
            "startprivate luke",
        ] {
            let definition = find(word.split(' ').next().unwrap()).unwrap();
            assert_eq!(parse(&format!("{word} more")), Err(UsageError::TooMuch { definition }));
        }
    }

    #[test]
    fn seconds_are_digits() {
        for typed in ["ten", "-1", "1.5", "0x10", "１"] {
            let definition = find("whoelsesince").unwrap();
            let error = UsageError::NotSeconds { definition, typed: typed.into() };
            assert_eq!(parse(&format!("whoelsesince {typed}")), Err(error));
        }
        assert_eq!(
            command("whoelsesince 99999999999999999999999"),
            Command::WhoelseSince { seconds: u64::MAX }
        );
    }

    #[test]
    fn the_table_agrees_with_the_client() {
        for definition in COMMANDS {
            let arguments = Arguments { definition: None, ..Arguments::default() };
            match (definition.build)(arguments) {
                Wish::Command(command) => assert_eq!(command.word(), definition.word),
                Wish::Passwd => assert_eq!(definition.word, "passwd"),
                Wish::Help(_) => assert_eq!(definition.word, "help"),
            }
            assert!(definition.help.len() <= 64, "{}: the help fits a line", definition.word);
        }
        assert_eq!(find("private").unwrap().usage(), "private <user> <text>");
    }
}
