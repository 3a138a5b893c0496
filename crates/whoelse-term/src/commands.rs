//! The commands people type: one table, from which parsing, help and completion follow.

mod table;

use std::ops::RangeInclusive;

use whoelse_client::{Command, SafetyStep};

use crate::people::nearest;

pub use table::COMMANDS;

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
    /// Other words for it that are accepted: those of the original system.
    names: &'static [&'static str],
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
    /// Where a file is, and perhaps `with` and names of people: everything up to the end.
    Share,
    /// A file that others share, or that is shared here: its name, number, or the beginning of its hash;
    /// everything up to the end, perhaps in quotes.
    File,
    /// The same, and perhaps numbers of parts behind it.
    Parts,
    /// Words to look for, up to the end; may be missing.
    Words,
    /// `yes` or `no`; may be missing.
    YesNo,
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
    with: Vec<String>,
    parts: Vec<RangeInclusive<u32>>,
    yes: Option<bool>,
    /// What is to be taken back: a number, or a name.
    number: Option<u64>,
    name: Option<String>,
    definition: Option<&'static Definition>,
}

use Argument::{
    Admin, Count, File, Parts, Path, RevokeName, RevokeNumber, Seconds, Share, Step, Text,
    Unencrypted, User, Which, Word, Words, YesNo,
};

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
    let is_it =
        |definition: &&Definition| definition.word == word || definition.names.contains(&word);
    COMMANDS.iter().find(is_it).ok_or_else(|| UsageError::Unknown {
        word: word.to_owned(),
        nearest: nearest_command(word),
    })
}

fn arguments(definition: &'static Definition, mut rest: &str) -> Result<Arguments, UsageError> {
    let mut arguments = Arguments::default();
    for argument in definition.arguments {
        let (word, mut after) = match argument {
            Text | Path | Share | File | Parts | Words => (rest, ""),
            _ => split_word(rest),
        };
        if word.is_empty() && is_needed(*argument) {
            return Err(UsageError::Missing { definition, argument: *argument });
        }
        match argument {
            Admin | Count | RevokeNumber | RevokeName | Word | Unencrypted | Step | YesNo
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
            YesNo if word == "yes" => arguments.yes = Some(true),
            YesNo if word == "no" => arguments.yes = Some(false),
            Admin | RevokeNumber | RevokeName | Unencrypted | Step | YesNo => {
                return Err(UsageError::TooMuch { definition });
            }
            User => arguments.user = word.to_owned(),
            Text => arguments.text = word.to_owned(),
            Path => arguments.path = unquoted(word).to_owned(),
            Which => arguments.which = word.to_owned(),
            Share => {
                let (path, with) = shared(word);
                (arguments.path, arguments.with) = (unquoted(path).to_owned(), with);
            }
            File => arguments.which = unquoted(word).to_owned(),
            Parts => {
                let (file, parts) = with_parts(word);
                (arguments.which, arguments.parts) = (unquoted(file).to_owned(), parts);
            }
            Words => arguments.text = word.to_owned(),
            Seconds => arguments.seconds = seconds(definition, word)?,
            Word => arguments.definition = Some(find(word.strip_prefix('/').unwrap_or(word))?),
        }
        rest = after;
    }
    if rest.is_empty() { Ok(arguments) } else { Err(UsageError::TooMuch { definition }) }
}

/// Whether a command without it makes no sense.
fn is_needed(argument: Argument) -> bool {
    matches!(argument, User | Text | Seconds | Path | Which | Share | File | Parts)
}

/// A path, and who is named behind it: nobody, which is everyone, or those behind the last `with`. A path
/// that holds the word itself needs quotes.
fn shared(text: &str) -> (&str, Vec<String>) {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    let quoted = quote.and_then(|quote| text[1..].find(quote)).map_or(0, |at| at + 2);
    let begin = text[quoted..].rfind(" with ").map(|at| quoted + at);
    let Some(begin) = begin else { return (text, Vec::new()) };
    let names: Vec<&str> = text[begin + " with ".len()..].split_whitespace().collect();
    // Nobody's name holds a slash, but many a path does.
    if names.is_empty() || names.iter().any(|name| name.contains('/')) {
        return (text, Vec::new());
    }
    let with = match names.as_slice() {
        ["everyone"] => Vec::new(),
        names => names.iter().map(|name| (*name).to_owned()).collect(),
    };
    (text[..begin].trim_end(), with)
}

/// A file, and numbers of parts behind it, as `3`, `1-20` or `1-20,25`.
fn with_parts(text: &str) -> (&str, Vec<RangeInclusive<u32>>) {
    let parts = |word: &str| -> Option<Vec<RangeInclusive<u32>>> {
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (1..=last).contains(&first).then_some(first..=last)
        };
        word.split(',').map(range).collect()
    };
    let split = text.rsplit_once(char::is_whitespace);
    let found = split.and_then(|(file, word)| Some((file.trim_end(), parts(word)?)));
    found.unwrap_or((text, Vec::new()))
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
        .or_else(|| words().find(|word| lower.len() > 3 && word.starts_with(&lower)))
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
            Share => "<path> [with ...]",
            File => "<file>",
            Parts => "<file> [n]",
            Words => "[words]",
            YesNo => "[yes|no]",
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
mod tests;
