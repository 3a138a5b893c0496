//! Why the program could not do what it was started for: one clear line and an exit code.

use std::process::ExitCode;

use whoelse_client::{Ending, LoginRefusal, Trouble};

use crate::compose::{Line, Tone};
use crate::render::{say_login_refusal, say_trouble};
use crate::shown::Shown;

/// What went wrong, what to do about it, and how the program ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    /// What happened, without a stop at its end.
    what: String,
    /// What to do.
    hint: String,
}

/// Kinds of failures; each has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that is none of the others.
    Other = 1,
    /// The program was started in a way that cannot work.
    Usage = 2,
    /// The server cannot be reached, or was lost for good.
    Network = 3,
    /// The login was refused, or the name is locked.
    Login = 4,
}

impl Failure {
    pub(crate) fn new(kind: Kind, what: Line, hint: Line) -> Self {
        let text = |line: Line| line.end(Tone::Plain, false).trim_end().to_owned();
        Self { kind, what: text(what), hint: text(hint) }
    }

    /// What kept a session from beginning. What ends one that had begun is told otherwise.
    pub(crate) fn before_login(ending: &Ending, host: &str, port: u16, name: &str) -> Option<Self> {
        let line = Line::new;
        let place = |line: Line| line.say(Shown::line(host)).say(" port ").say(port);
        let name = Shown::name(name);
        Some(match ending {
            Ending::Unreachable(trouble) => {
                let (what, hint) = match trouble {
                    Trouble::UnknownHost => (
                        line()
                            .say("cannot find a machine called '")
                            .say(Shown::line(host))
                            .say("'"),
                        line().say(if is_nearly_localhost(host) {
                            "Did you mean 'localhost'?"
                        } else {
                            "Check the name."
                        }),
                    ),
                    Trouble::Refused => (
                        place(line().say("nothing is listening at ")),
                        line().say("Is the server running, and is this its port?"),
                    ),
                    Trouble::NoAnswer => (
                        place(line()).say(" does not answer"),
                        line().say("Is this the right machine? A firewall may be in between."),
                    ),
                    Trouble::Closed => (
                        place(line()).say(" closed the connection before it answered the login"),
                        line().say("Is this the port of a whoelse server?"),
                    ),
                    Trouble::Foreign => (
                        place(line().say("what answers at ")).say(" is not a whoelse server"),
                        line().say("Is this the right port?"),
                    ),
                    Trouble::Other(_) => (
                        say_trouble(place(line().say("cannot connect to ")).say(": "), trouble),
                        line().say("Is this the right machine and port?"),
                    ),
                };
                Self::new(Kind::Network, what, hint)
            }
            Ending::Refused(refusal) => {
                let what = line().say(name).say(" cannot log in: ");
                let hint = line().say(match refusal {
                    LoginRefusal::WrongPassword { .. } => "Check name and password.",
                    LoginRefusal::Locked { .. } => "Try again after that.",
                    LoginRefusal::AlreadyLoggedIn => {
                        "Log out there first, or take over from here with --takeover."
                    }
                    LoginRefusal::Other { .. } => "Nothing was changed.",
                });
                Self::new(Kind::Login, say_login_refusal(what, refusal), hint)
            }
            Ending::Lost => Self::new(
                Kind::Network,
                place(line().say("the server at ")).say(" could not take the login for a minute"),
                line().say("Try again later."),
            ),
            _ => return None,
        })
    }

    /// The one line that says it.
    pub(crate) fn line(&self) -> String {
        let what = self.what.strip_suffix('.').unwrap_or(&self.what);
        format!("whoelse: {what}. {}\n", self.hint)
    }

    pub(crate) fn code(&self) -> u8 {
        self.kind as u8
    }
}

/// The exit code for the end of a client that is reported in no other way.
pub(crate) fn code(ending: &Ending) -> ExitCode {
    ExitCode::from(match ending {
        Ending::LoggedOut => 0,
        Ending::Unconfirmed { lost: true } | Ending::Unreachable(_) | Ending::Lost => {
            Kind::Network as u8
        }
        Ending::Refused(_) => Kind::Login as u8,
        Ending::Unconfirmed { lost: false }
        | Ending::Interrupted
        | Ending::Timeout
        | Ending::TakenOver => Kind::Other as u8,
    })
}

fn is_nearly_localhost(host: &str) -> bool {
    strsim::damerau_levenshtein(&host.to_lowercase(), "localhost") <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line on standard error, and the exit code.
    fn said(ending: &Ending) -> (String, u8) {
        let failure = Failure::before_login(ending, "locahost", 12346, "hans").unwrap();
        (failure.line(), failure.code())
    }

    #[test]
    fn a_server_that_cannot_be_reached() {
        for (trouble, line) in [
            (
                Trouble::UnknownHost,
                "cannot find a machine called 'locahost'. Did you mean 'localhost'?",
            ),
            (
                Trouble::Refused,
                "nothing is listening at locahost port 12346. Is the server running, and is this \
                 its port?",
            ),
            (
                Trouble::NoAnswer,
                "locahost port 12346 does not answer. Is this the right machine? A firewall may be \
                 in between.",
            ),
            (
                Trouble::Closed,
                "locahost port 12346 closed the connection before it answered the login. Is this \
                 the port of a whoelse server?",
            ),
            (
                Trouble::Foreign,
                "what answers at locahost port 12346 is not a whoelse server. Is this the right \
                 port?",
            ),
            (
                Trouble::Other("no route\u{1b}".into()),
                "cannot connect to locahost port 12346: no route\\u{1b}. Is this the right machine \
                 and port?",
            ),
        ] {
            assert_eq!(said(&Ending::Unreachable(trouble)), (format!("whoelse: {line}\n"), 3));
        }
        let lost = "the server at locahost port 12346 could not take the login for a minute. Try \
                    again later.";
        assert_eq!(said(&Ending::Lost), (format!("whoelse: {lost}\n"), 3));
    }

    #[test]
    fn a_login_that_is_refused() {
        let locked = |now| LoginRefusal::Locked { now, retry_after: Some(10) };
        let wrong = |sentence: Option<&str>| {
            let sentence = sentence.map(str::to_owned);
            LoginRefusal::WrongPassword { sentence }
        };
        let other = LoginRefusal::Other { status: "BAD_REQUEST".into(), sentence: None };
        for (refusal, why) in [
            (wrong(None), "wrong name or password. Check name and password."),
            (
                wrong(Some("Wrong name or password. 2 tries left.")),
                "Wrong name or password. 2 tries left. Check name and password.",
            ),
            (
                locked(true),
                "third wrong password: the name is locked for 10 seconds. Try again after that.",
            ),
            (
                locked(false),
                "the name is locked for 10 more seconds after three wrong passwords. Try again \
                 after that.",
            ),
            (
                LoginRefusal::AlreadyLoggedIn,
                "already logged in elsewhere. Log out there first, or take over from here with \
                 --takeover.",
            ),
            (other, "BAD_REQUEST. Nothing was changed."),
        ] {
            let line = format!("whoelse: hans cannot log in: {why}\n");
            assert_eq!(said(&Ending::Refused(refusal)), (line, 4));
        }
    }

    #[test]
    fn what_is_no_failure_is_not_reported_as_one() {
        for ending in [Ending::LoggedOut, Ending::Interrupted] {
            assert_eq!(Failure::before_login(&ending, "localhost", 12346, "hans"), None);
        }
    }
}
