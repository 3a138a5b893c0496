//! What the operator's commands have in common: how they ask, speak and end.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use whoelse_proto::Password;
use whoelse_proto::limits::PASSWORD_BYTES_MAX;
use whoelse_server::{Failure, Operation, Place, Report, operate};
use whoelse_term::shown::Shown;
use zeroize::Zeroizing;

use crate::cli::DataArguments;
use crate::complain;

/// Why a command was not carried out.
pub(crate) enum Problem {
    /// It was used in a way that cannot work.
    Usage(String),
    /// It was refused, or something failed.
    Failure(Failure),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Ends a command: says what went wrong, if something did.
pub(crate) fn finish(result: Result<(), Problem>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Usage(what)) => {
            complain(&what);
            ExitCode::from(2)
        }
        Err(Problem::Failure(failure)) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Has an operation carried out.
pub(crate) fn run(data: &DataArguments, operation: Operation) -> Result<(Report, Place), Problem> {
    Ok(operate(data.data.clone(), operation)?)
}

/// Prints lines that hold nothing but what was made harmless or is ours.
pub(crate) fn say(text: &str) {
    // Whoever started us may have stopped listening; it is done all the same.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
}

/// Says that something is done, and where, if no server knows of it yet.
pub(crate) fn say_done(what: &str, place: &Place) {
    match place {
        Place::Server => say(what),
        Place::Folder(folder) => {
            let folder = Shown::line(&folder.display().to_string());
            say(&format!("{what} No server uses {folder} now."));
        }
    }
}

/// Prints rows in columns that are as wide as they have to be.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|text| width(text)).collect();
    for row in rows {
        for (column, text) in row.iter().enumerate() {
            widths[column] = widths[column].max(width(text));
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (text, wanted) in cells.zip(&widths) {
            line.push_str(text);
            line.extend(std::iter::repeat_n(' ', wanted.saturating_sub(width(text)) + 2));
        }
        line.trim_end().to_owned()
    };
    say(&line(&mut head.iter().copied()));
    for row in rows {
        say(&line(&mut row.iter().map(String::as_str)));
    }
}

/// Prints values as JSON for scripts. Whatever is not ASCII is escaped, so that it is harmless on a
/// terminal, too.
pub(crate) fn say_json(values: &impl Serialize) {
    let json = serde_json::to_string_pretty(values).expect("they are plain values");
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").expect("a string takes all text");
            }
        }
    }
    say(&text);
}

/// How long something takes, in the largest unit that is not too coarse.
pub(crate) fn spoken(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The password of somebody: from a file, or typed twice.
pub(crate) fn password(name: &str, file: Option<&Path>) -> Result<Password, Problem> {
    match file {
        Some(path) => from_file(path),
        None => ask(name),
    }
    .map_err(Problem::Usage)
}

/// Asks for a line on the terminal.
pub(crate) fn ask_line(prompt: &str) -> Result<String, Problem> {
    let cannot = |error: io::Error| Problem::Usage(format!("cannot read the answer: {error}"));
    let mut out = io::stdout();
    write!(out, "{prompt}").and_then(|()| out.flush()).map_err(cannot)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(cannot)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(name: &str) -> Result<Password, String> {
    if !io::stdin().is_terminal() {
        return Err("there is no terminal to ask for the password. Use --password-file FILE, or \
                    --password-file - for standard input."
            .into());
    }
    let read = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|error| format!("cannot read it: {error}"))
    };
    let password = Password::new(read(format!("Password for {}: ", Shown::name(name)))?);
    let again = Password::new(read("Again: ".to_owned())?);
    if password.expose() != again.expose() {
        return Err("the two passwords differ. Try again.".into());
    }
    Ok(password)
}

fn from_file(path: &Path) -> Result<Password, String> {
    let shown = path.display();
    let cannot = |error| format!("cannot read the password file {shown}: {error}.");
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    let mut line = Zeroizing::new(String::new());
    // One byte more than fits, and the end of the line: longer ones are refused, not cut.
    let limit = PASSWORD_BYTES_MAX as u64 + 3;
    BufReader::new(source.take(limit)).read_line(&mut line).map_err(cannot)?;
    Ok(Password::from(line.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spoken_in_whole_units() {
        for (milliseconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119_000, "119 seconds"),
            (120_000, "2 minutes"),
            (7_200_000, "2 hours"),
            (172_800_000, "2 days"),
            (u64::MAX, "213503982334 days"),
        ] {
            assert_eq!(spoken(milliseconds), words);
        }
    }
}
