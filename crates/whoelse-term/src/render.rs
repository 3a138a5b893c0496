//! What people are told, in words.
//!
//! Every answer begins with the command's word and, where it is about a person, the name.

use jiff_local::tz::TimeZone;
use jiff_local::{SignedDuration, Timestamp};
use whoelse_client::{Answer, Command, Ending, LoginRefusal, Loss, Notice, Refusal, Trouble, Why};

use crate::commands::{Argument, COMMANDS, Definition, UsageError};
use crate::compose::{Line, Spoken, Tone};
use crate::people::People;
use crate::shown::Shown;

/// A message older than this is shown with its time.
const WAITED: SignedDuration = SignedDuration::from_secs(60);

/// What continues a message on its next row. Nothing else begins like this.
const MESSAGE_MARK: &str = "    | ";

/// What continues a note of ours on its next row.
const NOTE_MARK: &str = "  ";

/// Columns the words of the help must have to stand beside the commands.
const HELP_COLUMNS_MIN: usize = 24;

/// Makes lines for the screen.
#[derive(Clone, Debug)]
pub(crate) struct Render {
    /// Lines may carry colours.
    pub(crate) colour: bool,
    /// Tells the width of the window, where lines must not be left to the terminal to break.
    pub(crate) columns: Option<fn() -> usize>,
    /// A person reads, who can follow advice.
    pub(crate) person: bool,
    /// The time zone of the person.
    pub(crate) zone: TimeZone,
}

impl Render {
    /// The lines for a notice.
    pub(crate) fn notice(&self, notice: &Notice, people: &People, now: Timestamp) -> String {
        match notice {
            Notice::Message { from, text, at } => {
                let line = match at.as_deref().and_then(|at| at.parse().ok()) {
                    Some(at) if now.duration_since(at) > WAITED => self.time(at, now),
                    _ => Line::new(),
                };
                self.message(line.say(Shown::name(from)).say(": "), text, Tone::Plain)
            }
            Notice::Broadcast { from, text } => {
                let line = Line::new().say(Shown::name(from)).say(" (to everybody): ");
                self.message(line, text, Tone::Everybody)
            }
            Notice::Came { name } => {
                self.quiet(Line::system().say(Shown::name(name)).say(" logged in"))
            }
            Notice::Left { name } => {
                self.quiet(Line::system().say(Shown::name(name)).say(" logged out"))
            }
            Notice::Answered { command, answer } => self.answer(command, answer, people),
            Notice::LoggedIn { name } => {
                self.quiet(Line::system().say("logged in as ").say(Shown::name(name)))
            }
            Notice::WrongPassword { name, sentence } => {
                let line = Line::system().say("login ").say(Shown::name(name)).say(": ");
                self.alert(match sentence {
                    Some(sentence) => line.say(Shown::line(sentence)),
                    None => line.say("wrong name or password"),
                })
            }
            Notice::ServerSays { sentence } => {
                self.alert(Line::system().say("the server says: ").say(Shown::line(sentence)))
            }
            Notice::Missing { first, last } => self.alert(
                Line::system()
                    .say("messages are missing before this one (numbers ")
                    .say(*first)
                    .say(" to ")
                    .say(*last)
                    .say("); the server will send them again at the next login"),
            ),
            Notice::Ended { ending } => self.ending(ending),
            _ => self.connection(notice),
        }
    }

    /// The lines for what is told about the connection.
    fn connection(&self, notice: &Notice) -> String {
        let again = |line: Line, ms: u64| line.say("; trying again in ").say(Spoken { ms });
        match notice {
            Notice::Lost { loss, retry_ms } => {
                let line = match loss {
                    Loss::Closed => Line::system().say("connection lost: the server closed it"),
                    Loss::Broken(words) => {
                        Line::system().say("connection lost: ").say(Shown::line(words))
                    }
                    Loss::Garbage => Line::system()
                        .say("connection closed: the server sent something incomprehensible"),
                    Loss::NoAnswer => {
                        Line::system().say("connection lost: the server does not answer")
                    }
                };
                self.alert(again(line, *retry_ms))
            }
            Notice::StillLost { trouble, retry_ms, last_report } => {
                let line = Line::system().say("still no connection: ");
                let line = again(say_trouble(line, trouble), *retry_ms);
                self.alert(match (*last_report, self.person) {
                    (true, true) => line.say("; from now on quietly (Ctrl-D leaves)"),
                    (true, false) => line.say("; from now on quietly"),
                    (false, _) => line,
                })
            }
            Notice::LoginLater { locked, retry_ms } => {
                let line = Line::system().say("login: ");
                let line = line.say(if *locked {
                    "the name is locked after three wrong passwords"
                } else {
                    "the server cannot take it now"
                });
                self.alert(again(line, *retry_ms))
            }
            Notice::Back { after_ms, resent, sent } => {
                let mut line = Line::system().say("back after ").say(Spoken { ms: *after_ms });
                if *resent > 0 {
                    line = line.say("; ").count(*resent, "message").say(" sent again");
                }
                if *sent > 0 {
                    line = line.say("; ").count(*sent, "message").say(" sent now");
                }
                self.quiet(line)
            }
            Notice::Kept { command } => {
                self.quiet(about(command).say("kept, to be sent when the connection is back"))
            }
            Notice::NotAsked { command } => {
                self.alert(about(command).say("not done; there is no connection now"))
            }
            Notice::Unsent { command } => {
                self.alert(about(command).say("not sent; there is no connection"))
            }
            Notice::Uncertain { command } => self.alert(about(command).say(
                "uncertain: the connection broke before the answer; it may or may not have \
                 been done",
            )),
            _ => String::new(),
        }
    }

    fn answer(&self, command: &Command, answer: &Answer, people: &People) -> String {
        let line = about(command);
        match (command, answer) {
            (_, Answer::Refused(refusal)) => self.refusal(command, refusal, people),
            (_, Answer::Names(names)) => self.names(command, names),
            (_, Answer::Counted { n_sent, n_blocked }) => {
                let people = |line: Line, count: u64| {
                    line.say(count).say(if count == 1 { " person" } else { " people" })
                };
                let line = match (n_sent, n_blocked) {
                    (0, 0) => line.say("sent to nobody; nobody else is online"),
                    (0, _) => line.say("sent to nobody"),
                    _ => people(line.say("sent to "), *n_sent),
                };
                self.quiet(match n_blocked {
                    0 => line,
                    _ => people(line.say("; not to "), *n_blocked).say(" who blocked you"),
                })
            }
            (_, Answer::Address { address, port }) => {
                let line = match (address, port) {
                    (Some(address), Some(port)) => {
                        line.say("waits at ").say(*address).say(" port ").say(*port).say(", but ")
                    }
                    _ => line,
                };
                self.alert(line.say(
                    "private links are not supported in this version yet; a message goes through \
                     the server",
                ))
            }
            (Command::Block { user }, Answer::Done) => {
                self.quiet(line.say(Shown::name(user)).say(" is blocked now"))
            }
            (Command::Unblock { user }, Answer::Done) => {
                self.quiet(line.say(Shown::name(user)).say(" is no longer blocked"))
            }
            (Command::Message { .. }, Answer::Done) => self.quiet(line.say("sent")),
            (_, Answer::Done) => self.quiet(line.say("done")),
        }
    }

    /// One name a line, under a line that says what they are.
    fn names(&self, command: &Command, names: &[String]) -> String {
        let line = about(command);
        let since = matches!(command, Command::WhoelseSince { .. });
        if names.is_empty() {
            return self.quiet(line.say(if since {
                "nobody else was online"
            } else {
                "nobody else is online"
            }));
        }
        let line = line.say(names.len()).say(match (names.len(), since) {
            (1, false) => " other person is online",
            (_, false) => " other people are online",
            (1, true) => " other person was online",
            (_, true) => " other people were online",
        });
        names.iter().fold(self.quiet(line), |lines, name| {
            lines + &self.plain(Line::new().say(Shown::name(name)))
        })
    }

    fn refusal(&self, command: &Command, refusal: &Refusal, people: &People) -> String {
        let line = about(command).say(match command {
            Command::Message { .. } | Command::Broadcast { .. } | Command::Private { .. } => {
                "not sent; "
            }
            _ => "not done; ",
        });
        let typed = command.user().unwrap_or_default();
        let user = Shown::name(typed);
        let line = match &refusal.why {
            Why::Yourself => line.say("that is yourself"),
            Why::UserNotExist => {
                let line = line.say("there is nobody called ").say(user);
                match refusal.suggestion.as_deref().or_else(|| people.nearest(typed)) {
                    Some(name) => line.say("; did you mean ").say(Shown::name(name)).say("?"),
                    None => line,
                }
            }
            Why::UserBlocked => line.say(user).say(" has blocked you"),
            Why::UserOffline => line.say(user).say(" is offline, or cannot be reached directly"),
            Why::NotBlocked => line.say(user).say(" was not blocked"),
            Why::MailboxFull => line.say("too much mail waits for ").say(user).say(" already"),
            Why::NoLink => {
                let line = line.say("there is no private link with ").say(&user);
                match command {
                    Command::StopPrivate { .. } => line,
                    _ => line.say("; start one first: startprivate ").say(user),
                }
            }
            Why::TooLong { bytes, bytes_max } => line
                .say("it is too long, with ")
                .say(*bytes)
                .say(" bytes; ")
                .say(*bytes_max)
                .say(" fit"),
            Why::TooManyKept => line.say("too many messages wait for the connection already"),
            Why::Other(status) => {
                let words = refusal.sentence.as_deref().unwrap_or(status);
                line.say("the server says: ").say(Shown::line(words))
            }
        };
        self.alert(match refusal.retry_after {
            Some(seconds) if refusal.sentence.is_none() => {
                line.say("; try again in ").say(Spoken { ms: seconds.saturating_mul(1000) })
            }
            _ => line,
        })
    }

    fn ending(&self, ending: &Ending) -> String {
        let line = Line::system();
        match ending {
            Ending::LoggedOut => self.quiet(line.say("logged out")),
            Ending::Interrupted => {
                self.quiet(line.say("logged out, because the program was stopped"))
            }
            Ending::Unconfirmed { .. } => {
                self.alert(line.say("logged out, though not everything was confirmed"))
            }
            Ending::Timeout => self.alert(line.say(
                "timeout: the server has logged you out, because no command came for too long",
            )),
            Ending::TakenOver => self.alert(line.say("logged out: you have logged in elsewhere")),
            Ending::Lost => {
                self.alert(line.say("the connection did not come back within a minute; giving up"))
            }
            Ending::Unreachable(trouble) => self.alert(say_trouble(line, trouble)),
            Ending::Refused(refusal) => {
                self.alert(say_login_refusal(line.say("cannot log in again: "), refusal))
            }
        }
    }

    /// The line for a mistake in what was typed.
    pub(crate) fn mistake(&self, mistake: &UsageError) -> String {
        let line = Line::system();
        self.alert(match mistake {
            UsageError::Unknown { word, nearest } => {
                let line = line.say(Shown::line(word)).say(": unknown command; ");
                match nearest {
                    Some(nearest) => line.say("did you mean ").say(*nearest).say("?"),
                    None => line.say("help lists those there are"),
                }
            }
            UsageError::Missing { definition, argument } => {
                let line = line.say(definition.word).say(match argument {
                    Argument::User => ": whom? ",
                    Argument::Text => ": what? ",
                    Argument::Seconds => ": since how many seconds? ",
                    Argument::Word => ": which? ",
                });
                say_usage(line.say("use: "), definition)
            }
            UsageError::NotSeconds { definition, typed } => {
                let line = line.say(definition.word).say(": ").say(Shown::line(typed));
                say_usage(line.say(" is not a number of seconds; use: "), definition)
            }
            UsageError::TooMuch { definition } => {
                say_usage(line.say(definition.word).say(": that is too much; use: "), definition)
            }
        })
    }

    /// The lines of the help, on one command or on all.
    pub(crate) fn help(&self, definition: Option<&Definition>) -> String {
        if let Some(definition) = definition {
            let line = say_usage(Line::new().say("  "), definition).say(": ");
            return self.rows(line.say(definition.help), "    ", Tone::Plain);
        }
        let width = COMMANDS.iter().map(|definition| definition.usage().len()).max().unwrap_or(0);
        let beside = width + 4;
        let narrow = self.columns.is_some_and(|columns| columns() < beside + HELP_COLUMNS_MIN);
        let mark = " ".repeat(if narrow { 4 } else { beside });
        COMMANDS.iter().fold(String::new(), |lines, definition| {
            let mut line = say_usage(Line::new().say("  "), definition);
            for _ in definition.usage().len()..width + 2 {
                line = line.say(" ");
            }
            lines + &self.rows(line.say(definition.help), &mark, Tone::Plain)
        })
    }

    /// A line of our own words.
    pub(crate) fn remark(&self, words: &'static str) -> String {
        self.quiet(Line::system().say(words))
    }

    /// A line of our own words about something that did not go.
    pub(crate) fn objection(&self, words: &'static str) -> String {
        self.alert(Line::system().say(words))
    }

    /// A message; lines after its first are marked as such.
    fn message(&self, mut line: Line, text: &str, tone: Tone) -> String {
        let mut lines = String::new();
        for (index, shown) in Shown::lines(text).iter().enumerate() {
            if index > 0 {
                lines += &self.rows(line, MESSAGE_MARK, tone);
                line = Line::new().say(MESSAGE_MARK);
            }
            line = line.say(shown);
        }
        lines + &self.rows(line, MESSAGE_MARK, tone)
    }

    /// The finished line, in rows where that is ours to do.
    fn rows(&self, line: Line, mark: &str, tone: Tone) -> String {
        match self.columns {
            Some(columns) => line.rows(columns(), mark, tone, self.colour),
            None => line.end(tone, self.colour),
        }
    }

    /// When a message was sent: the time of day, with the day unless it is today.
    fn time(&self, at: Timestamp, now: Timestamp) -> Line {
        let (at, now) = (at.to_zoned(self.zone.clone()), now.to_zoned(self.zone.clone()));
        let today = at.date() == now.date();
        Line::new().say(at.strftime(if today { "[%H:%M] " } else { "[%Y-%m-%d %H:%M] " }))
    }

    fn plain(&self, line: Line) -> String {
        self.rows(line, NOTE_MARK, Tone::Plain)
    }

    fn quiet(&self, line: Line) -> String {
        self.rows(line, NOTE_MARK, Tone::Quiet)
    }

    fn alert(&self, line: Line) -> String {
        self.rows(line, NOTE_MARK, Tone::Alert)
    }
}

/// The beginning of a line about a request: its word, and the person or number.
fn about(command: &Command) -> Line {
    let line = Line::system().say(command.word());
    match (command, command.user()) {
        (_, Some(user)) => line.say(" ").say(Shown::name(user)),
        (Command::WhoelseSince { seconds }, None) => line.say(" ").say(*seconds),
        _ => line,
    }
    .say(": ")
}

fn say_usage(line: Line, definition: &Definition) -> Line {
    definition
        .arguments
        .iter()
        .fold(line.say(definition.word), |line, argument| line.say(" ").say(argument.placeholder()))
}

pub(crate) fn say_trouble(line: Line, trouble: &Trouble) -> Line {
    match trouble {
        Trouble::UnknownHost => line.say("the machine cannot be found"),
        Trouble::Refused => line.say("nothing is listening there"),
        Trouble::NoAnswer => line.say("there is no answer"),
        Trouble::Closed => line.say("the server closed the connection"),
        Trouble::Foreign => line.say("what answers is not a whoelse server"),
        Trouble::Other(words) => line.say(Shown::line(words)),
    }
}

pub(crate) fn say_login_refusal(line: Line, refusal: &LoginRefusal) -> Line {
    let span = |line: Line, retry_after: &Option<u64>| match retry_after {
        Some(seconds) => line.say("for ").say(Spoken { ms: seconds.saturating_mul(1000) }),
        None => line.say("for some time"),
    };
    match refusal {
        LoginRefusal::WrongPassword { sentence: Some(sentence) } => line.say(Shown::line(sentence)),
        LoginRefusal::WrongPassword { sentence: None } => line.say("wrong name or password"),
        LoginRefusal::Locked { now: true, retry_after } => {
            span(line.say("third wrong password: the name is locked "), retry_after)
        }
        LoginRefusal::Locked { now: false, retry_after: Some(seconds) } => line
            .say("the name is locked for ")
            .say(Spoken { ms: seconds.saturating_mul(1000) }.more())
            .say(" after three wrong passwords"),
        LoginRefusal::Locked { now: false, retry_after: None } => {
            line.say("the name is still locked after three wrong passwords")
        }
        LoginRefusal::AlreadyLoggedIn => line.say("already logged in elsewhere"),
        LoginRefusal::Other { status, sentence } => {
            line.say(Shown::line(sentence.as_deref().unwrap_or(status)))
        }
    }
}

#[cfg(test)]
mod tests;
