//! What was said before, and what waits, in words.

use jiff_local::Timestamp;
use whoelse_client::log::{Found, HISTORY_MAX, Said, State, UNCERTAIN, UNSENT};
use whoelse_client::{Command, Notice, Waiting};

use super::{MESSAGE_MARK, Render, about};
use crate::compose::{Line, Text, Tone};
use crate::people::People;
use crate::shown::Shown;

impl Render {
    /// The lines for what was found in the log.
    pub(super) fn found(
        &self,
        command: &Command,
        found: &Found,
        people: &People,
        now: Timestamp,
    ) -> Text {
        let line = about(command);
        let count = found.said.len();
        let line = match command {
            Command::History { count: wanted, .. } if count > 0 => {
                let is_all = count < (*wanted).min(HISTORY_MAX);
                last(line, count, is_all)
            }
            Command::History { user, .. } => {
                let line = line.say("nothing was said yet, on this machine");
                match people.nearest(user) {
                    Some(name) => line.say("; did you mean ").say(Shown::name(name)).say("?"),
                    None => line,
                }
            }
            _ if count == 0 => line.say("nothing that holds all these words"),
            _ if found.more == 0 => last(line, count, true),
            _ => last(line, count, false).say("; ").say(found.more).say(" more before"),
        };
        found.said.iter().fold(self.quiet(line), |lines, said| lines + &self.said(said, now))
    }

    fn said(&self, said: &Said, now: Timestamp) -> Text {
        let line = match said.at.as_deref().and_then(|at| at.parse().ok()) {
            Some(at) => self.time(at, now),
            None => Line::new(),
        };
        let user = Shown::name(&said.user);
        let line = match &said.state {
            None => line.say(user),
            Some(state) => {
                let line = line.say("-> ").say(user).say(" (");
                line.say(match state {
                    State::Waiting => "waiting",
                    State::Sent => "sent",
                    State::Delivered => "delivered",
                    State::Refused(status) => refused(status),
                })
                .say(")")
            }
        };
        self.message(line.say(": "), &said.text, Tone::Plain)
    }

    /// The lines for messages that are not confirmed.
    pub(super) fn waiting(&self, line: Line, waiting: &[Waiting]) -> Text {
        let line = match waiting.len() {
            0 => line.say("everything you wrote is confirmed"),
            1 => line.say("1 message is not confirmed"),
            count => line.say(count).say(" messages are not confirmed"),
        };
        waiting.iter().fold(self.quiet(line), |lines, waiting| {
            let line = Line::new().say("-> ").say(Shown::name(&waiting.user));
            let line = line.say(if waiting.tried { " (no answer yet): " } else { " (waiting): " });
            lines + &self.message(line, &waiting.text, Tone::Plain)
        })
    }

    /// The lines for what is told about the log itself, and about what was found in it at the start.
    pub(super) fn log(&self, notice: &Notice) -> Text {
        let line = Line::system();
        match notice {
            Notice::TakenUp { count } => self.quiet(
                line.count(*count, "message")
                    .say(if *count == 1 { " of last time was" } else { " of last time were" })
                    .say(" not confirmed; sent again now"),
            ),
            Notice::Delivered { user, count } => {
                let line = line.say(Shown::name(user)).say(" has got ");
                self.quiet(match count {
                    1 => line.say("your message"),
                    count => line.say(*count).say(" of your messages"),
                })
            }
            Notice::NotConfirmed { user, text } => {
                let line = line.say("message ").say(Shown::name(user));
                let lines = self.alert(line.say(
                    ": you wrote this some time ago, and it was never confirmed; send it again?",
                ));
                lines + &self.message(Line::new().say(MESSAGE_MARK), text, Tone::Plain)
            }
            Notice::NoLog => self.quiet(line.say(
                "another client of yours on this machine keeps what is said; history and search \
                 work there",
            )),
            Notice::NotLogged { words } => self.alert(
                line.say("what is said cannot be kept on this machine: ")
                    .say(Shown::line(words))
                    .say("; the conversation goes on without"),
            ),
            Notice::LoggedAgain => self.quiet(line.say("what is said is kept again")),
            Notice::LogDamaged { lines } => self.alert(
                line.count(*lines, "line")
                    .say(" of what was kept on this machine cannot be read; the rest is there"),
            ),
            _ => Text::default(),
        }
    }
}

/// How many messages follow, and whether those are all.
fn last(line: Line, count: usize, is_all: bool) -> Line {
    match (count, is_all) {
        (_, true) => line.count(count, "message"),
        (1, false) => line.say("the last message"),
        (_, false) => line.say("the last ").say(count).say(" messages"),
    }
}

/// What became of a message that was not taken, in a word or two.
fn refused(status: &str) -> &'static str {
    match status {
        UNCERTAIN => "uncertain",
        UNSENT => "not sent",
        "EXPIRED" => "not confirmed",
        "USER_NOT_EXIST" => "not sent: nobody has that name",
        "USER_BLOCKED" => "not sent: blocked",
        "MAILBOX_FULL" => "not sent: mailbox full",
        _ => "not sent",
    }
}
