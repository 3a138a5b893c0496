//! Asking who is there: at a terminal with prompts, otherwise by reading the first two lines.

use std::fs;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use rpassword::ConfigBuilder;
use whoelse_client::Passwords;
use whoelse_proto::Password;
use whoelse_proto::limits::NEW_PASSWORD_CHARS_MIN;

use crate::compose::{Line, Text};
use crate::failure::{Failure, Kind};
use crate::plain::{Lines, PlainLines, Typed};
use crate::shown::Shown;
use crate::terminal::Terminal;

/// What was answered; nothing if the answer is to leave.
pub(crate) type Answer<T> = Result<Option<T>, Failure>;

/// Something that can say who is there.
pub(crate) trait Ask {
    /// Whether a server is to be trusted.
    fn trust(&mut self) -> Answer<bool>;

    /// The name.
    fn name(&mut self) -> Answer<String>;

    /// The password for that name.
    fn password(&mut self) -> Answer<Password>;

    /// A name for a new account.
    fn new_name(&mut self) -> Answer<String>;

    /// A password for a new account.
    fn new_password(&mut self) -> Answer<Password>;

    /// The password that was, and the one that is to be. Only a person can be asked.
    fn passwords(&mut self) -> Answer<Passwords>;

    /// Waits until the person, who was called away from a line, is about to answer: what was typed
    /// for that line is no answer.
    fn ready(&mut self) -> Answer<()> {
        Ok(Some(()))
    }

    /// Nothing more is asked for now.
    fn done(&mut self) {}
}

/// What was given on the command line.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) name: Option<String>,
    pub(crate) password: Option<Password>,
}

impl Given {
    /// Reads the password file, if there is one.
    pub(crate) fn new(name: Option<String>, password_file: Option<&Path>) -> Result<Self, Failure> {
        let password = password_file.map(read_password_file).transpose()?;
        Ok(Self { name, password })
    }
}

fn read_password_file(path: &Path) -> Result<Password, Failure> {
    let failure = |why: Line, hint: &'static str| {
        let path = Shown::line(&path.to_string_lossy());
        let what = Line::new().say("the password file ").say(path).say(" ").say(why.part());
        Failure::new(Kind::Usage, what, Line::new().say(hint))
    };
    let file = fs::read_to_string(path).map_err(|error| {
        let why = Line::new().say("cannot be read: ").say(Shown::line(&error.to_string()));
        failure(why, "It must be a text file with the password on its first line.")
    })?;
    // The whole of it is wiped after use.
    let file = Password::new(file);
    match file.expose().lines().next() {
        Some(first) if !first.is_empty() => Ok(Password::from(first)),
        _ => Err(failure(
            Line::new().say("begins with an empty line"),
            "The password must stand on its first line.",
        )),
    }
}

/// A person at a terminal, who is asked, and whose lines are read in some way.
pub(crate) struct Person<L> {
    given: Given,
    terminal: Arc<Terminal>,
    lines: L,
    /// The terminal shows what is typed into the lines; otherwise they do that themselves.
    echo: bool,
}

impl<L> Person<L> {
    pub(crate) fn new(given: Given, terminal: Arc<Terminal>, lines: L, echo: bool) -> Self {
        Self { given, terminal, lines, echo }
    }

    /// What is given counts once; if it was wrong, the person is asked.
    fn ask_name(&mut self, words: &'static str) -> Answer<String> {
        if let Some(name) = self.given.name.take() {
            return Ok(Some(name));
        }
        loop {
            match self.ask_line(words)? {
                Some(name) if name.is_empty() => {}
                answer => return Ok(answer),
            }
        }
    }

    /// Something that may be seen.
    fn ask_line(&mut self, words: &'static str) -> Answer<String> {
        self.terminal.set_echo(true);
        prompt(words).map_err(no_terminal)?;
        let mut line = String::new();
        // A terminal hands over one line at a time: nothing behind it is lost.
        if io::stdin().lock().read_line(&mut line).map_err(no_terminal)? == 0 {
            return Ok(left());
        }
        Ok(Some(line.trim().to_owned()))
    }

    /// A new password, twice, until both are the same.
    fn ask_new_password(&mut self) -> Answer<Password> {
        loop {
            const _: () = assert!(NEW_PASSWORD_CHARS_MIN == 8, "the next line says so");
            let words = "New password (8 characters or more): ";
            let Some(password) = self.ask_hidden(words)? else { return Ok(None) };
            if password.expose().chars().count() < NEW_PASSWORD_CHARS_MIN {
                prompt("A new password has at least 8 characters.\n").map_err(no_terminal)?;
                continue;
            }
            let Some(again) = self.ask_hidden("Again: ")? else { return Ok(None) };
            if password.expose() == again.expose() {
                return Ok(Some(password));
            }
            prompt("The two differ. Once more:\n").map_err(no_terminal)?;
        }
    }

    /// Something that must not be seen.
    fn ask_hidden(&mut self, words: &'static str) -> Answer<Password> {
        loop {
            match self.ask_hidden_once(words)? {
                Some(password) if password.expose().is_empty() => {}
                answer => return Ok(answer),
            }
        }
    }

    fn ask_hidden_once(&mut self, words: &'static str) -> Answer<Password> {
        // Also while the answer is awaited: what is typed too early may be the next password.
        self.terminal.set_echo(false);
        match read_password(words) {
            Ok(password) => Ok(Some(Password::new(password))),
            Err(error) => match error.kind() {
                ErrorKind::UnexpectedEof => Ok(left()),
                // Ctrl-C, which ends the line itself.
                ErrorKind::Interrupted => Ok(None),
                _ => Err(no_terminal(error)),
            },
        }
    }
}

impl<L> Ask for Person<L> {
    fn trust(&mut self) -> Answer<bool> {
        let mut words = "Trust it from now on? Type yes or no: ";
        loop {
            let Some(answer) = self.ask_line(words)? else { return Ok(None) };
            if let Some(answer) = yes_or_no(&answer) {
                return Ok(Some(answer));
            }
            words = "Type yes or no, the whole word: ";
        }
    }

    fn name(&mut self) -> Answer<String> {
        self.ask_name("Name: ")
    }

    fn password(&mut self) -> Answer<Password> {
        match self.given.password.take() {
            Some(password) => Ok(Some(password)),
            None => self.ask_hidden("Password: "),
        }
    }

    fn new_name(&mut self) -> Answer<String> {
        self.ask_name("Name you want to have: ")
    }

    fn new_password(&mut self) -> Answer<Password> {
        match self.given.password.take() {
            Some(password) => Ok(Some(password)),
            None => self.ask_new_password(),
        }
    }

    fn passwords(&mut self) -> Answer<Passwords> {
        let Some(old) = self.ask_hidden("Password until now: ")? else { return Ok(None) };
        Ok(self.ask_new_password()?.map(|new| Passwords { old, new }))
    }

    fn ready(&mut self) -> Answer<()> {
        loop {
            match self.ask_hidden_once("Press Enter to type the password: ")? {
                Some(rest) if rest.expose().is_empty() => return Ok(Some(())),
                Some(_) => prompt("That was not sent anywhere.\n").map_err(no_terminal)?,
                None => return Ok(None),
            }
        }
    }

    fn done(&mut self) {
        if self.echo {
            self.terminal.set_echo(true);
        }
    }
}

impl<L: Lines> Lines for Person<L> {
    fn next(&mut self, prompt: &Text) -> Typed {
        self.lines.next(prompt)
    }
}

/// An answer that nobody gives by accident: one key is pressed too easily.
fn yes_or_no(answer: &str) -> Option<bool> {
    ["no", "yes"].iter().position(|word| answer.eq_ignore_ascii_case(word)).map(|at| at == 1)
}

/// Asks without showing what is typed. The terminal at the standard input is meant, which is
/// the controlling terminal too, but for programs that start us in a terminal of their own.
fn read_password(words: &'static str) -> io::Result<String> {
    let config = ConfigBuilder::new().input_file_path("/dev/stdin");
    let config = if io::stdout().is_terminal() {
        config.output_file_path("/dev/stdout")
    } else if io::stderr().is_terminal() {
        config.output_file_path("/dev/stderr")
    } else {
        config.output_discard()
    };
    match rpassword::prompt_password_with_config(words, config.build()) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            rpassword::prompt_password(words)
        }
        result => result,
    }
}

/// Prints our own words, and no others: what is not ours goes through the screen.
fn prompt(words: &'static str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        io::stdout().write_all(words.as_bytes())?;
        io::stdout().flush()
    } else {
        io::stderr().write_all(words.as_bytes())
    }
}

/// The person has pressed Ctrl-D; what follows begins on a new line.
fn left<T>() -> Option<T> {
    prompt("\n").unwrap_or_default();
    None
}

fn no_terminal(error: io::Error) -> Failure {
    Failure::new(
        Kind::Usage,
        Line::new().say("cannot ask at this terminal: ").say(Shown::line(&error.to_string())),
        Line::new().say("Use --user and --password-file instead."),
    )
}

/// A script: name and password are its first lines, unless they were given.
pub(crate) struct Script<R> {
    given: Given,
    lines: PlainLines<R>,
}

impl<R: BufRead> Script<R> {
    pub(crate) fn new(given: Given, input: R) -> Self {
        Self { given, lines: PlainLines(input) }
    }

    fn line(&mut self, what: &'static str, hint: &'static str) -> Result<String, Failure> {
        match self.lines.next(&Text::default()) {
            Typed::Line(line) if !line.is_empty() => Ok(line),
            _ => Err(Failure::new(Kind::Usage, Line::new().say(what), Line::new().say(hint))),
        }
    }
}

impl<R: BufRead> Ask for Script<R> {
    fn trust(&mut self) -> Answer<bool> {
        // Only a person can compare keys.
        Ok(Some(false))
    }

    fn name(&mut self) -> Answer<String> {
        let name = match self.given.name.take() {
            Some(name) => name,
            None => self.line(
                "the input holds no name",
                "Its first line must be the name, or use --user.",
            )?,
        };
        Ok(Some(name.trim().to_owned()))
    }

    fn password(&mut self) -> Answer<Password> {
        Ok(Some(match self.given.password.take() {
            Some(password) => password,
            None => Password::new(self.line(
                "the input holds no password",
                "The line after the name must be the password, or use --password-file.",
            )?),
        }))
    }

    fn new_name(&mut self) -> Answer<String> {
        self.name()
    }

    fn new_password(&mut self) -> Answer<Password> {
        self.password()
    }

    fn passwords(&mut self) -> Answer<Passwords> {
        Ok(None)
    }
}

impl<R: BufRead> Lines for Script<R> {
    fn next(&mut self, prompt: &Text) -> Typed {
        self.lines.next(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(given: Given, input: &str) -> Result<(String, String), String> {
        let mut script = Script::new(given, input.as_bytes());
        let mut answer = || {
            let name = script.name()?.unwrap();
            Ok((name, script.password()?.unwrap().expose().to_owned()))
        };
        answer().map_err(|failure: Failure| failure.line().to_string())
    }

    fn pair(name: &str, password: &str) -> Result<(String, String), String> {
        Ok((name.to_owned(), password.to_owned()))
    }

    #[test]
    fn only_whole_words_say_whether_a_server_is_trusted() {
        for (answer, meaning) in [
            ("yes", Some(true)),
            ("YES", Some(true)),
            ("no", Some(false)),
            ("", None),
            ("y", None),
            ("n", None),
            ("yes please", None),
        ] {
            assert_eq!(yes_or_no(answer), meaning, "{answer}");
        }
    }

    #[test]
    fn the_first_two_lines_are_name_and_password_unless_given() {
        let name = || Some("hans".to_owned());
        let password = || Some(Password::from(" pass word "));
        let none = Given::default;
        assert_eq!(answer(none(), "hans \n pass word \nwhoelse\n"), pair("hans", " pass word "));
        assert_eq!(answer(Given { name: name(), ..none() }, "pw\n"), pair("hans", "pw"));
        assert_eq!(
            answer(Given { password: password(), ..none() }, "hans\n"),
            pair("hans", " pass word ")
        );
        assert_eq!(
            answer(Given { name: name(), password: password() }, ""),
            pair("hans", " pass word ")
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(
            answer(Given::default(), "").unwrap_err(),
            "whoelse: the input holds no name. Its first line must be the name, or use --user.\n"
        );
        assert_eq!(
            answer(Given::default(), "hans\n").unwrap_err(),
            "whoelse: the input holds no password. The line after the name must be the password, \
             or use --password-file.\n"
        );
    }

    #[test]
    fn a_password_file_holds_the_password_on_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            let given = Given::new(None, Some(&path)).map_err(|failure| failure.code())?;
            Ok(given.password.unwrap().expose().to_owned())
        };
        assert_eq!(read(b"secret\n"), Ok("secret".into()));
        assert_eq!(read(b"secret\r\nmore\n"), Ok("secret".into()));
        for wrong in [b"".as_slice(), b"\nsecret", b"\xff"] {
            assert_eq!(read(wrong), Err(2));
        }
        let missing = Given::new(None, Some(&folder.path().join("none"))).map_err(|f| f.line());
        assert!(missing.is_err_and(|line| line.contains("cannot be read")));
    }
}
