//! Why the program could not do what it was started for: one clear line and an exit code.

use std::process::ExitCode;

use jiff_local::Timestamp;
use jiff_local::tz::TimeZone;
use whoelse_client::{Distrust, Ending, LoginRefusal, Trouble};
use whoelse_proto::Place;

use crate::compose::{Line, Part, Text, Tone};
use crate::render::{say_login_refusal, say_trouble};
use crate::shown::Shown;

/// What went wrong, what to do about it, and how the program ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    /// What happened, without a stop at its end.
    what: Part,
    /// What to do.
    hint: Part,
}

/// Kinds of failures; each has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that is none of the others.
    Other = 1,
    /// The program was started in a way that cannot work.
    Usage = 2,
    /// The server cannot be reached or trusted, or was lost for good.
    Network = 3,
    /// The login was refused, or the name is locked.
    Login = 4,
}

impl Failure {
    pub(crate) fn new(kind: Kind, what: Line, hint: Line) -> Self {
        Self { kind, what: what.part(), hint: hint.part() }
    }

    /// What kept a session from beginning. What ends one that had begun is told otherwise.
    pub(crate) fn before_login(ending: &Ending, host: &str, port: u16, name: &str) -> Option<Self> {
        let name = Shown::name(name);
        Some(match ending {
            Ending::Unreachable(trouble) => Self::unreachable(trouble, host, port),
            Ending::Distrusted { place, distrust } => {
                let (what, hint) = say_distrust(place, distrust, &TimeZone::system());
                Self::new(Kind::Network, what, hint)
            }
            Ending::Refused(refusal) => Self::refused(refusal, name),
            Ending::Lost => Self::new(
                Kind::Network,
                say_place(Line::new().say("the server at "), host, port)
                    .say(" could not take the login for a minute"),
                Line::new().say("Try again later."),
            ),
            _ => return None,
        })
    }

    fn unreachable(trouble: &Trouble, host: &str, port: u16) -> Self {
        let line = Line::new;
        let place = |line: Line| say_place(line, host, port);
        let (what, hint) = match trouble {
            Trouble::UnknownHost => (
                line().say("cannot find a machine called '").say(Shown::line(host)).say("'"),
                match is_nearly_localhost(host) {
                    true => "Did you mean 'localhost'?",
                    false => "Check the name.",
                },
            ),
            Trouble::Refused => (
                place(line().say("nothing is listening at ")),
                "Is the server running, and is this its port?",
            ),
            Trouble::NoAnswer => (
                place(line()).say(" does not answer"),
                "Is this the right machine? A firewall may be in between.",
            ),
            Trouble::Closed => (
                place(line()).say(" closed the connection before it answered the login"),
                "Is this the port of a whoelse server?",
            ),
            Trouble::Foreign => (
                place(line().say("what answers at ")).say(" is not a whoelse server"),
                "Is this the right port?",
            ),
            Trouble::Other(_) => (
                say_trouble(place(line().say("cannot connect to ")).say(": "), trouble),
                "Is this the right machine and port?",
            ),
        };
        Self::new(Kind::Network, what, line().say(hint))
    }

    fn refused(refusal: &LoginRefusal, name: Shown) -> Self {
        let line = Line::new;
        let (what, hint) = match refusal {
            LoginRefusal::InviteInvalid { .. } => (
                line().say("the invite is worth nothing: "),
                "If you have used it already, log in: whoelse client HOST PORT",
            ),
            LoginRefusal::JoinRefused { .. } => {
                (line().say(name).say(" cannot join: "), "The invite can still be used.")
            }
            LoginRefusal::SlowDown { .. } => (line().say("cannot log in: "), "Nothing was tried."),
            _ => (
                line().say(name).say(" cannot log in: "),
                match refusal {
                    LoginRefusal::WrongPassword { .. } => "Check name and password.",
                    LoginRefusal::Locked { .. } => "Try again after that.",
                    LoginRefusal::Barred { .. } => "Only an administrator can change that.",
                    LoginRefusal::ResumeRefused { .. } => "Log in with the password.",
                    LoginRefusal::AlreadyLoggedIn => {
                        "Log out there first, or take over from here with --takeover."
                    }
                    _ => "Nothing was changed.",
                },
            ),
        };
        Self::new(Kind::Login, say_login_refusal(what, refusal), line().say(hint))
    }

    /// The one line that says it.
    pub(crate) fn line(&self) -> Text {
        let stop = if self.what.ends_with('.') { " " } else { ". " };
        let line = Line::new().say("whoelse: ").say(&self.what).say(stop).say(&self.hint);
        line.end(Tone::Plain, false)
    }

    pub(crate) fn code(&self) -> u8 {
        self.kind as u8
    }
}

/// The exit code for the end of a client that is reported in no other way.
pub(crate) fn code(ending: &Ending) -> ExitCode {
    ExitCode::from(match ending {
        Ending::LoggedOut => 0,
        Ending::Unconfirmed { lost: true }
        | Ending::Unreachable(_)
        | Ending::Distrusted { .. }
        | Ending::Lost => Kind::Network as u8,
        Ending::Refused(_) => Kind::Login as u8,
        Ending::Unconfirmed { lost: false }
        | Ending::Interrupted
        | Ending::Timeout
        | Ending::Ended { .. }
        | Ending::TakenOver => Kind::Other as u8,
    })
}

/// Why a server is not trusted, and what to do about it.
pub(crate) fn say_distrust(place: &Place, distrust: &Distrust, zone: &TimeZone) -> (Line, Line) {
    let line = Line::new;
    let say_place = |line: Line| say_place(line, &place.host, place.port);
    let command = |line: Line, flag: &'static str| {
        line.say("whoelse client ").say(flag).say(Shown::line(&place.host)).say(" ").say(place.port)
    };
    let nothing = || line().say("Nothing was sent. ");
    match distrust {
        Distrust::Unexpected { expected, offered } => (
            say_place(line())
                .say(" must have the key ")
                .say(*expected)
                .say(", but has ")
                .say(*offered),
            nothing().say("Somebody may be in between, or this is another server."),
        ),
        Distrust::Changed { pinned, since_s, offered } => (
            say_place(line().say("the key of "))
                .say(" has CHANGED: since ")
                .say(say_day(*since_s, zone))
                .say(" it was ")
                .say(*pinned)
                .say(", now it is ")
                .say(*offered),
            command(nothing().say("If whoever runs it says that this is right: "), "--forget ")
                .say(". If not, somebody may be in between."),
        ),
        Distrust::CertificateInvalid { since_s, offered } => (
            say_place(line().say("the certificate of "))
                .say(", known since ")
                .say(say_day(*since_s, zone))
                .say(", is not valid; its key is ")
                .say(*offered),
            command(
                nothing().say("Is the clock right? If whoever runs it says that this key is: "),
                "--forget ",
            )
            .say("."),
        ),
        Distrust::Unknown { offered } => (
            say_place(line()).say(" is not known here; its key is ").say(*offered),
            command(nothing().say("If that is right: "), "").say(" --fingerprint=").say(*offered),
        ),
        Distrust::Declined => {
            (say_place(line()).say(" is not trusted"), line().say("Nothing was sent."))
        }
        Distrust::NoEncryption => {
            (line().say("The server offers no encryption"), line().say("Nothing was sent."))
        }
        Distrust::NoMemory => (
            line().say("the list of servers that are known here cannot be read"),
            nothing().say("See the file known-servers in the state folder of whoelse."),
        ),
    }
}

fn say_place(line: Line, host: &str, port: u16) -> Line {
    line.say(Shown::line(host)).say(" port ").say(port)
}

fn say_day(since_s: u64, zone: &TimeZone) -> Part {
    let at = i64::try_from(since_s).ok().and_then(|s| Timestamp::from_second(s).ok());
    let at = at.unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
    Line::new().say(at.strftime("%Y-%m-%d")).part()
}

fn is_nearly_localhost(host: &str) -> bool {
    strsim::damerau_levenshtein(&host.to_lowercase(), "localhost") <= 2
}

#[cfg(test)]
mod tests {
    use whoelse_proto::Fingerprint;

    use super::*;

    /// The line on standard error, and the exit code.
    fn said(ending: &Ending) -> (String, u8) {
        let failure = Failure::before_login(ending, "locahost", 12346, "hans").unwrap();
        (failure.line().to_string(), failure.code())
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
    fn a_server_that_is_not_trusted() {
        let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let (one_text, other_text) = (one.to_string(), other.to_string());
        let place = Place { host: "chat.example".into(), port: 443 };
        let said = |distrust| said(&Ending::Distrusted { place: place.clone(), distrust });
        let since_s = 1_800_000_000;
        for (distrust, line) in [
            (
                Distrust::Unexpected { expected: one, offered: other },
                format!(
                    "chat.example port 443 must have the key {one_text}, but has {other_text}. \
                     Nothing was sent. Somebody may be in between, or this is another server."
                ),
            ),
            (
                Distrust::Changed { pinned: one, since_s, offered: other },
                format!(
                    "the key of chat.example port 443 has CHANGED: since 2027-01-15 it was \
                     {one_text}, now it is {other_text}. Nothing was sent. If whoever runs it says \
                     that this is right: whoelse client --forget chat.example 443. If not, \
                     somebody may be in between."
                ),
            ),
            (
                Distrust::CertificateInvalid { since_s, offered: other },
                format!(
                    "the certificate of chat.example port 443, known since 2027-01-15, is not \
                     valid; its key is {other_text}. Nothing was sent. Is the clock right? If \
                     whoever runs it says that this key is: whoelse client --forget chat.example \
                     443."
                ),
            ),
            (
                Distrust::Unknown { offered: one },
                format!(
                    "chat.example port 443 is not known here; its key is {one_text}. Nothing was \
                     sent. If that is right: whoelse client chat.example 443 --fingerprint=\
                     {one_text}"
                ),
            ),
            (
                Distrust::Declined,
                "chat.example port 443 is not trusted. Nothing was sent.".to_owned(),
            ),
            (
                Distrust::NoEncryption,
                "The server offers no encryption. Nothing was sent.".to_owned(),
            ),
            (
                Distrust::NoMemory,
                "the list of servers that are known here cannot be read. Nothing was sent. See \
                 the file known-servers in the state folder of whoelse."
                    .to_owned(),
            ),
        ] {
            assert_eq!(said(distrust), (format!("whoelse: {line}\n"), 3));
        }
    }

    #[test]
    fn an_invite_that_cannot_be_used_and_logins_that_are_not_wanted() {
        let sentence = || Some("The server's words.".to_owned());
        for (refusal, line) in [
            (
                LoginRefusal::InviteInvalid { sentence: sentence() },
                "the invite is worth nothing: The server's words. If you have used it already, log in: whoelse client HOST PORT",
            ),
            (
                LoginRefusal::JoinRefused { sentence: "That is taken.".into() },
                "hans cannot join: That is taken. The invite can still be used.",
            ),
            (
                LoginRefusal::Barred { sentence: None },
                "hans cannot log in: an administrator keeps this name from logging in. Only an \
                 administrator can change that.",
            ),
            (
                LoginRefusal::ResumeRefused { sentence: None },
                "hans cannot log in: this device is not known there any more. Log in with the \
                 password.",
            ),
            (
                LoginRefusal::SlowDown { retry_after: 600, sentence: None },
                "cannot log in: the server takes no logins from here for 10 minutes. Nothing was \
                 tried.",
            ),
        ] {
            assert_eq!(said(&Ending::Refused(refusal)), (format!("whoelse: {line}\n"), 4));
        }
    }

    #[test]
    fn what_is_no_failure_is_not_reported_as_one() {
        for ending in [Ending::LoggedOut, Ending::Interrupted] {
            assert_eq!(Failure::before_login(&ending, "localhost", 12346, "hans"), None);
        }
    }
}
