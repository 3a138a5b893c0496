//! Why the program could not do what it was started for: one clear line and an exit code.

use std::process::ExitCode;

use jiff_local::Timestamp;
use jiff_local::tz::TimeZone;
use whoelse_client::{Distrust, Ending, LoginRefusal, Trouble};
use whoelse_proto::Place;

use crate::compose::{Line, Part, Speech, Text, Tone};
use crate::render::{say_login_refusal, say_server_says, say_trouble};
use crate::shown::Shown;

/// What went wrong, what to do about it, and how the program ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    /// What happened, without a stop at its end.
    what: Speech,
    /// What to do.
    hint: Speech,
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
        Self::of(kind, Speech::new(what), Speech::new(hint))
    }

    fn of(kind: Kind, what: Speech, hint: Speech) -> Self {
        Self { kind, what, hint }
    }

    /// What kept a session from beginning. What ends one that had begun is told otherwise.
    pub(crate) fn before_login(ending: &Ending, host: &str, port: u16, name: &str) -> Option<Self> {
        let name = Shown::name(name);
        Some(match ending {
            Ending::Unreachable(trouble) => Self::unreachable(trouble, host, port),
            Ending::Distrusted { place, distrust } => {
                let (what, hint) = say_distrust(place, distrust, &TimeZone::system());
                Self::of(Kind::Network, what, hint)
            }
            Ending::Refused(LoginRefusal::InviteInvalid { sentence }) => Self::of(
                Kind::Login,
                say_invite_invalid(sentence.as_deref()),
                say_login(host, port),
            ),
            Ending::Refused(refusal) => Self::refused(refusal, name),
            Ending::JoinUncertain => Self::of(
                Kind::Network,
                Speech::new(
                    say_place(Line::new().say("the connection to "), host, port)
                        .say(" ended before it was said whether the account ")
                        .say(name)
                        .say(" was made"),
                ),
                Speech::new(Line::new().say("It may have been. Try to log in: "))
                    .whole(say_command(host, port))
                    .words(Line::new().say(". If that is refused, use the invite once more.")),
            ),
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

    /// What says it: one line, or rows where there is a width.
    pub(crate) fn text(&self, columns: Option<usize>) -> Text {
        let stop = if self.what.has_stop() { " " } else { ". " };
        let speech = Speech::new(Line::new().say("whoelse: ")).then(self.what.clone());
        let speech = speech.words(Line::new().say(stop)).then(self.hint.clone());
        match columns {
            Some(columns) => speech.rows(columns, "", Tone::Plain, false),
            None => speech.line().end(Tone::Plain, false),
        }
    }

    /// The one line that says it.
    #[cfg(test)]
    pub(crate) fn line(&self) -> Text {
        self.text(None)
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
        | Ending::JoinUncertain
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
pub(crate) fn say_distrust(
    place: &Place,
    distrust: &Distrust,
    zone: &TimeZone,
) -> (Speech, Speech) {
    let line = Line::new;
    let say_place = |line: Line| say_place(line, &place.host, place.port);
    let command = |flag: &'static str| {
        let line = line().say("whoelse client ").say(flag);
        line.say(Shown::line(&place.host)).say(" ").say(place.port)
    };
    let nothing = |words: &'static str| {
        let line = line().say("Nothing was sent.");
        Speech::new(if words.is_empty() { line } else { line.say(" ").say(words) })
    };
    match distrust {
        Distrust::Unexpected { expected, offered } => (
            Speech::new(say_place(line()).say(" must have the key "))
                .whole(line().say(*expected))
                .words(line().say(", but has "))
                .whole(line().say(*offered)),
            nothing("Somebody may be in between, or this is another server."),
        ),
        Distrust::Changed { pinned, since_s, offered } => (
            Speech::new(
                say_place(line().say("the key of "))
                    .say(" has CHANGED: since ")
                    .say(say_day(*since_s, zone))
                    .say(" it was "),
            )
            .whole(line().say(*pinned))
            .words(line().say(", now it is "))
            .whole(line().say(*offered)),
            nothing("If whoever runs it says that this is right: ")
                .whole(command("--forget "))
                .words(line().say(". If not, somebody may be in between.")),
        ),
        Distrust::CertificateInvalid { since_s, offered } => (
            Speech::new(
                say_place(line().say("the certificate of "))
                    .say(", known since ")
                    .say(say_day(*since_s, zone))
                    .say(", is not valid; its key is "),
            )
            .whole(line().say(*offered)),
            nothing("Is the clock right? If whoever runs it says that this key is: ")
                .whole(command("--forget "))
                .words(line().say(".")),
        ),
        Distrust::Unknown { offered } => (
            Speech::new(say_place(line()).say(" is not known here; its key is "))
                .whole(line().say(*offered)),
            nothing("If that is right: ").whole(command("").say(" --fingerprint=").say(*offered)),
        ),
        Distrust::Declined => (Speech::new(say_place(line()).say(" is not trusted")), nothing("")),
        Distrust::NoEncryption => {
            (Speech::new(line().say("The server offers no encryption")), nothing(""))
        }
        Distrust::NoMemory { words } => (
            Speech::new(
                say_place(line().say("it cannot be said whether "))
                    .say(" is known here: ")
                    .say(Shown::line(words)),
            ),
            nothing("Mend or remove that, or restore it from a copy."),
        ),
    }
}

/// How to log in to an account that is there already.
fn say_login(host: &str, port: u16) -> Speech {
    Speech::new(Line::new().say("If you have used it already, log in: "))
        .whole(say_command(host, port))
}

fn say_invite_invalid(sentence: Option<&str>) -> Speech {
    let line = Line::new().say("the invite is worth nothing");
    Speech::new(match sentence {
        Some(sentence) => say_server_says(line.say("; "), sentence),
        None => line.say(": it was used or taken back, or has expired"),
    })
}

/// The command that leads to a server.
pub(crate) fn say_command(host: &str, port: u16) -> Line {
    Line::new().say("whoelse client ").say(Shown::line(host)).say(" ").say(port)
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
                "the server says: Wrong name or password. 2 tries left. Check name and password.",
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
            (other, "the server says: BAD_REQUEST. Nothing was changed."),
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
                Distrust::NoMemory { words: "line 3 of /x/known-servers is damaged".into() },
                "it cannot be said whether chat.example port 443 is known here: line 3 of \
                 /x/known-servers is damaged. Nothing was sent. Mend or remove that, or restore it \
                 from a copy."
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
                "the invite is worth nothing; the server says: The server's words. If you have \
                 used it already, log in: whoelse client locahost 12346",
            ),
            (
                LoginRefusal::JoinRefused { sentence: "That is taken.".into() },
                "hans cannot join: the server says: That is taken. The invite can still be used.",
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
    fn an_account_that_may_have_been_made_is_told_with_the_way_to_find_out() {
        let (line, code) = said(&Ending::JoinUncertain);
        assert_eq!(
            line,
            "whoelse: the connection to locahost port 12346 ended before it was said whether the \
             account hans was made. It may have been. Try to log in: whoelse client locahost 12346. \
             If that is refused, use the invite once more.\n"
        );
        assert_eq!(code, 3);
    }

    #[test]
    fn a_changed_key_can_be_read_and_its_command_copied_in_40_columns() {
        let place = Place { host: "chat.example".into(), port: 443 };
        let [pinned, offered] = [Fingerprint([1; 32]), Fingerprint([2; 32])];
        let distrust = Distrust::Changed { pinned, since_s: 1_800_000_000, offered };
        let ending = Ending::Distrusted { place, distrust };
        let failure = Failure::before_login(&ending, "chat.example", 443, "hans").unwrap();
        assert_eq!(
            &*failure.text(Some(40)),
            format!(
                "whoelse: the key of chat.example port\n443 has CHANGED: since 2027-01-15 it was\n  \
                 {pinned}\nnow it is\n  {offered}\nNothing was sent. If whoever runs it\nsays that \
                 this is right:\n  whoelse client --forget chat.example 443\nIf not, somebody may be \
                 in between.\n"
            )
        );
    }

    #[test]
    fn what_is_no_failure_is_not_reported_as_one() {
        for ending in [Ending::LoggedOut, Ending::Interrupted] {
            assert_eq!(Failure::before_login(&ending, "localhost", 12346, "hans"), None);
        }
    }
}
