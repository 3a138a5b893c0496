//! What people are told, in words.
//!
//! Every answer begins with the command's word and, where it is about a person, the name.

mod files;
mod links;
mod past;
mod swarm;
mod unencrypted;

use jiff_local::tz::TimeZone;
use jiff_local::{SignedDuration, Timestamp};
use whoelse_client::{
    Answer, Command, Ending, LoginRefusal, Loss, NoLog, Notice, Refusal, SafetyStep, Security,
    Trouble, Why,
};
use whoelse_proto::codec::{IncomingDevice, IncomingInvite};
use whoelse_proto::{InviteLink, Place, Role};

use crate::commands::{Argument, Definition, UsageError, commands};
use crate::compose::{Line, Part, Speech, Spoken, Text, Tone};
use crate::failure::{say_command, say_distrust};
use crate::people::People;
use crate::shown::Shown;

/// A message older than this is shown with its time.
const WAITED: SignedDuration = SignedDuration::from_secs(60);

/// What continues a message on its next row. Nothing else begins like this.
const MESSAGE_MARK: &str = "    | ";

/// What continues a note of ours on its next row.
const NOTE_MARK: &str = "  ";

/// Most characters shown of a date that is none.
const DATE_CHARS_MAX: usize = 32;

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
    pub(crate) fn notice(&self, notice: &Notice, people: &People, now: Timestamp) -> Text {
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
            Notice::Answered { command, answer } => self.answer(command, answer, people, now),
            Notice::LoggedIn { name, .. } => {
                self.quiet(Line::system().say("logged in as ").say(Shown::name(name)))
            }
            Notice::WrongPassword { name, sentence } => {
                let line = Line::system().say("login ").say(Shown::name(name)).say(": ");
                self.alert(match sentence {
                    Some(sentence) => say_server_says(line, sentence),
                    None => line.say("wrong name or password"),
                })
            }
            Notice::ServerSays { sentence } => {
                self.alert(say_server_says(Line::system(), sentence))
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
            Notice::Link(notice) => self.link(notice),
            Notice::File(notice) => self.file(notice),
            Notice::Swarm(notice) => self.swarm(notice),
            Notice::Stranger { .. }
            | Notice::Invited { .. }
            | Notice::JoinRefused { .. }
            | Notice::ResumeRefused { .. }
            | Notice::Security(_)
            | Notice::WayBack { .. }
            | Notice::FailedLogins { .. }
            | Notice::NotKept { .. } => self.safety(notice),
            Notice::Absent { .. } | Notice::WithoutServer { .. } => self.absent(notice),
            Notice::TakenUp { .. }
            | Notice::Delivered { .. }
            | Notice::NotConfirmed { .. }
            | Notice::NoLog
            | Notice::NotLogged { .. }
            | Notice::LoggedAgain
            | Notice::LogDamaged { .. } => self.log(notice),
            _ => self.connection(notice),
        }
    }

    /// The lines for what is told about who is there, on both sides.
    fn safety(&self, notice: &Notice) -> Text {
        let line = Line::system();
        match notice {
            Notice::Stranger { place, key } => {
                let line = line.say("the server at ").say(Shown::line(&place.host));
                let line = line.say(" port ").say(place.port);
                self.alert(line.say(" is not known here yet. Its key is"))
                    + &Line::new().say("  ").say(*key).end(Tone::Alert, self.colour)
                    + &self.alert(Line::system().say(
                        "compare it with the line 'key' at the server's start, or ask whoever runs \
                         it; nothing was sent to it yet",
                    ))
            }
            Notice::Invited { by, admin } => {
                let line = match by {
                    Some(name) => line.say(Shown::name(name)).say(" invites you to this server"),
                    None => line.say("you are invited to this server"),
                };
                self.quiet(line.say(if *admin { ", as an administrator" } else { "" }))
            }
            Notice::JoinRefused { sentence } => {
                self.alert(say_server_says(line.say("not joined; "), sentence))
            }
            Notice::ResumeRefused { sentence } => {
                let line = line.say("this device does not log in without the password");
                self.alert(match sentence {
                    Some(sentence) => say_server_says(line.say("; "), sentence),
                    None => line,
                })
            }
            Notice::Security(Security::FirstContact { key }) => self.speech(
                Speech::new(line.say("this server's key is "))
                    .whole(Line::new().say(*key))
                    .words(Line::new().say(" (first contact: remembered)")),
            ),
            Notice::Security(Security::Verified { by_invite }) => {
                self.quiet(line.say("the server has the key that ").say(if *by_invite {
                    "the invite names: verified and remembered"
                } else {
                    "it must have: verified and remembered"
                }))
            }
            Notice::Security(Security::Trusted) => {
                self.quiet(line.say("the server's key is remembered from now on"))
            }
            Notice::WayBack { place } => self.speech(
                Speech::new(line.say("next time: ")).whole(say_command(&place.host, place.port)),
            ),
            Notice::Security(Security::Plain) => {
                self.quiet(line.say("this connection is not encrypted (same machine)"))
            }
            Notice::FailedLogins { count } => self.alert(
                line.say(*count)
                    .say(if *count == 1 { " failed login" } else { " failed logins" })
                    .say(" since your last session"),
            ),
            Notice::NotKept { words } => self.alert(
                line.say("cannot keep what would be of use the next time: ")
                    .say(Shown::line(words)),
            ),
            _ => Text::default(),
        }
    }

    /// The lines for a start without the server.
    fn absent(&self, notice: &Notice) -> Text {
        let line = Line::system();
        match notice {
            Notice::Absent { place, trouble } => {
                let line = line.say("no connection to ").say(Shown::line(&place.host));
                let line = line.say(" port ").say(place.port).say(": ");
                self.alert(say_trouble(line, trouble))
            }
            Notice::WithoutServer { retry_ms, .. } => self.alert(
                line.say(
                    "going on without the server: history, search and outbox show what is kept \
                     here, and messages wait; trying again in ",
                )
                .say(Spoken { ms: *retry_ms }),
            ),
            _ => Text::default(),
        }
    }

    /// The lines for what is told about the connection.
    fn connection(&self, notice: &Notice) -> Text {
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
                    Loss::Cut => Line::system().say("connection lost: it was cut"),
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
            Notice::Waits { command } => self.alert(
                about(command).say("not confirmed; it is kept, and sent again at the next start"),
            ),
            Notice::Unsent { command } => {
                self.alert(about(command).say("not sent; there is no connection"))
            }
            Notice::Uncertain { command } => {
                self.alert(about(command).say(
                    "uncertain: no answer came to it in time; it may or may not have been done",
                ))
            }
            _ => Text::default(),
        }
    }

    fn answer(&self, command: &Command, answer: &Answer, people: &People, now: Timestamp) -> Text {
        let line = about(command);
        match (command, answer) {
            (_, Answer::Refused(refusal)) => self.refusal(command, refusal, people),
            (_, Answer::Found(found)) => self.found(command, found, people, now),
            (_, Answer::Waiting(waiting)) => self.waiting(line, waiting),
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
                if address.is_none() || port.is_none() {
                    return self.alert(line.say("not done; the server does not say where"));
                }
                let user = Shown::name(command.user().unwrap_or_default());
                let line = line.say("not done; that client takes only links that nobody ");
                let line = line.say("encrypts. To make one all the same: startprivate ").say(user);
                self.alert(line.say(" --unencrypted"))
            }
            (_, Answer::Unconfirmed) => {
                self.quiet(line.say("sent unencrypted; nobody confirms that it arrives"))
            }
            (_, Answer::Files { transfers, gets }) => {
                self.files(line, transfers, gets.len()) + &self.gets(gets)
            }
            (_, Answer::Links(links)) => self.links(line, links),
            (_, Answer::Safety(safety)) => {
                self.safety_of(line, command.user().unwrap_or_default(), safety)
            }
            (_, Answer::Invited { link, expires_in_s, guessed, here }) => {
                self.invited(command, link, *expires_in_s)
                    + &self.invited_elsewhere(command, link, *guessed, here.as_ref())
            }
            (_, Answer::Invites(invites)) => self.invites(line, invites),
            (_, Answer::Devices(devices)) => self.devices(line, devices),
            (_, Answer::Done) => self.done(command),
            (_, Answer::Shares(shares)) => self.shares(line, shares),
            (_, Answer::SharedFiles { files, more }) => self.shared_files(line, files, *more),
            (_, Answer::SeveralFiles(files)) => self.several_files(line, files),
            (_, Answer::Holders(holders)) => self.holders(line, holders),
            (_, Answer::Seed(yes)) => self.seed(line, *yes),
        }
    }

    /// The line for something that was simply done.
    fn done(&self, command: &Command) -> Text {
        let line = about(command);
        self.quiet(match command {
            Command::Safety { user, step: SafetyStep::Accept } => {
                let line = line.say("the new key is taken, as not compared; to try again: ");
                line.say("startprivate ").say(Shown::name(user))
            }
            Command::Safety { .. } => line.say("that device counts as compared from now on"),
            Command::Decline { .. } => line.say("declined"),
            Command::Block { user } => line.say(Shown::name(user)).say(" is blocked now"),
            Command::Unblock { user } => line.say(Shown::name(user)).say(" is no longer blocked"),
            Command::Unshare { .. } => line.say("nobody can fetch it from you any more"),
            Command::RevokeInvite { .. } => line.say("taken back"),
            Command::RevokeDevice { .. } => line.say("that device needs the password again"),
            Command::Passwd(_) => line.say("changed; your other devices need the new password"),
            Command::Lock { user } => line.say(Shown::name(user)).say(" cannot log in any more"),
            Command::Unlock { user } => line.say(Shown::name(user)).say(" can log in again"),
            Command::Message { .. } | Command::Private { .. } => line.say("sent"),
            _ => line.say("done"),
        })
    }

    /// One name a line, under a line that says what they are.
    fn names(&self, command: &Command, names: &[String]) -> Text {
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

    fn invited(&self, command: &Command, link: &InviteLink, expires_in_s: u64) -> Text {
        let span = Spoken { ms: expires_in_s.saturating_mul(1000) };
        let line = about(command).say("valid for ").say(span);
        // Not in rows: it is to be copied whole.
        let link = Line::new().say("whoelse client ").say(Shown::line(&link.expose()));
        self.quiet(line.say(", for one person. Pass this line on:"))
            + &link.end(Tone::Plain, self.colour)
    }

    /// What is to be known of the address in an invite, if that is not where we are.
    fn invited_elsewhere(
        &self,
        command: &Command,
        link: &InviteLink,
        guessed: bool,
        here: Option<&Place>,
    ) -> Text {
        let say_place = |line: Line, place: &Place| {
            line.say(Shown::line(&place.host)).say(" port ").say(place.port)
        };
        match here {
            _ if guessed => self.alert(about(command).say(
                "the address in it was guessed; the operator can say what it is with \
                 --public-address",
            )),
            Some(here) => {
                let line = say_place(about(command).say("it leads to "), &link.place);
                let line = say_place(line.say(", as the server says; its key was seen at "), here);
                self.quiet(line.say(", where you are"))
            }
            None => Text::default(),
        }
    }

    fn invites(&self, line: Line, invites: &[IncomingInvite]) -> Text {
        let line = match invites.len() {
            0 => line.say("none are open"),
            1 => line.say("1 is open"),
            count => line.say(count).say(" are open"),
        };
        invites.iter().fold(self.quiet(line), |lines, invite| {
            let line = Line::new().say("  ").say(invite.number).say(": for ");
            let line = line.say(match Role::parse(&invite.role) {
                Some(Role::Admin) => "an administrator",
                _ => "a member",
            });
            let line = match &invite.by {
                Some(name) => line.say(", made by ").say(Shown::name(name)),
                None => line.say(", made by the operator"),
            };
            let left = Spoken { ms: invite.expires_in.saturating_mul(1000) };
            lines + &self.plain(line.say(", valid for ").say(left.more()))
        })
    }

    fn devices(&self, line: Line, devices: &[IncomingDevice]) -> Text {
        let line = match devices.len() {
            0 => line.say("none logs in without a password"),
            1 => line.say("1 logs in without a password"),
            count => line.say(count).say(" log in without a password"),
        };
        devices.iter().fold(self.quiet(line), |lines, device| {
            let line = Line::new().say("  ").say(Shown::name(&device.device_name));
            let line = line.say(": since ").say(self.date(&device.added));
            let line = line.say(", last used ").say(self.date(&device.used));
            lines + &self.plain(line.say(if device.this { " (this one)" } else { "" }))
        })
    }

    /// The day and time of something, as this person counts them.
    fn date(&self, at: &str) -> Part {
        match at.parse::<Timestamp>() {
            Ok(at) => {
                let at = at.to_zoned(self.zone.clone());
                Line::new().say(at.strftime("%Y-%m-%d %H:%M")).part()
            }
            Err(_) => Line::new().say(Shown::brief(at, DATE_CHARS_MAX)).part(),
        }
    }

    fn refusal(&self, command: &Command, refusal: &Refusal, people: &People) -> Text {
        let line = about(command).say(match command {
            Command::Message { .. }
            | Command::Broadcast { .. }
            | Command::Private { .. }
            | Command::SendFile { .. } => "not sent; ",
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
            Why::WrongPassword => line.say("the password until now is another one"),
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
            Why::NoLog(NoLog::Unwanted) => line.say("nothing is kept here (--no-store)"),
            Why::NoLog(NoLog::InUse) => {
                line.say("another client of yours on this machine keeps what is said; ask there")
            }
            Why::NoLog(NoLog::Missing) => line.say("nothing is kept here"),
            Why::NotReadable(words) => {
                line.say("what was kept cannot be read: ").say(Shown::line(words))
            }
            Why::Original => line.say("servers of the original system know nothing like it"),
            Why::TooManyKept => line.say("too many messages wait for the connection already"),
            Why::Link(why) => links::say_why(line, &user, why),
            Why::Swarm(why) => swarm::say_why(line, *why),
            Why::Other(status) => {
                say_server_says(line, refusal.sentence.as_deref().unwrap_or(status))
            }
        };
        self.alert(match refusal.retry_after {
            Some(seconds) if refusal.sentence.is_none() => {
                line.say("; try again in ").say(Spoken { ms: seconds.saturating_mul(1000) })
            }
            _ => line,
        })
    }

    fn ending(&self, ending: &Ending) -> Text {
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
            Ending::Ended { reason, sentence } => {
                let words = sentence.as_deref().unwrap_or(reason);
                self.alert(say_server_says(line.say("the session has ended; "), words))
            }
            Ending::Distrusted { place, distrust } => {
                let (what, hint) = say_distrust(place, distrust, &self.zone);
                let speech = Speech::new(line).then(what).words(Line::new().say(". ")).then(hint);
                self.rows_of(speech, Tone::Alert)
            }
            // There was no session, so that the program says it at its end.
            Ending::JoinUncertain => Text::default(),
            Ending::Unreachable(trouble) => self.alert(say_trouble(line, trouble)),
            Ending::Refused(refusal) => {
                self.alert(say_login_refusal(line.say("cannot log in again: "), refusal))
            }
        }
    }

    /// The line for a mistake in what was typed.
    pub(crate) fn mistake(&self, mistake: &UsageError) -> Text {
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
                    Argument::Path | Argument::Share | Argument::File | Argument::Parts => {
                        ": which file? "
                    }
                    _ => ": which? ",
                });
                say_usage(line.say("use: "), definition)
            }
            UsageError::NotSeconds { definition, typed } => {
                let line = line.say(definition.word).say(": ").say(Shown::line(typed));
                say_usage(line.say(" is not a number of seconds; use: "), definition)
            }
            UsageError::NotCount { definition, typed } => {
                let line = line.say(definition.word).say(": ").say(Shown::line(typed));
                say_usage(line.say(" is not a number of messages; use: "), definition)
            }
            UsageError::NotNumber { definition, typed } => {
                let line = line.say(definition.word).say(": ").say(Shown::line(typed));
                say_usage(line.say(" is not a number of the list; use: "), definition)
            }
            UsageError::TooMuch { definition } => {
                say_usage(line.say(definition.word).say(": that is too much; use: "), definition)
            }
        })
    }

    /// The lines of the help, on one command or on all that this person may use.
    pub(crate) fn help(&self, definition: Option<&Definition>, admin: bool) -> Text {
        if let Some(definition) = definition {
            let line = say_usage(Line::new().say("  "), definition).say(": ");
            let line = line.say(definition.help);
            let line =
                if definition.more.is_empty() { line } else { line.say(". ").say(definition.more) };
            return self.rows(line, "    ", Tone::Plain);
        }
        let usages = commands(admin).map(|definition| definition.usage().len());
        let width = usages.max().unwrap_or(0);
        let beside = width + 4;
        let narrow = self.columns.is_some_and(|columns| columns() < beside + HELP_COLUMNS_MIN);
        let mark = " ".repeat(if narrow { 4 } else { beside });
        commands(admin).fold(Text::default(), |lines, definition| {
            let mut line = say_usage(Line::new().say("  "), definition);
            for _ in definition.usage().len()..width + 2 {
                line = line.say(" ");
            }
            lines + &self.rows(line.say(definition.help), &mark, Tone::Plain)
        })
    }

    /// A line of our own words.
    pub(crate) fn remark(&self, words: &'static str) -> Text {
        self.quiet(Line::system().say(words))
    }

    /// A line of our own words about something that did not go.
    pub(crate) fn objection(&self, words: &'static str) -> Text {
        self.alert(Line::system().say(words))
    }

    /// A message; lines after its first are marked as such.
    fn message(&self, mut line: Line, text: &str, tone: Tone) -> Text {
        let mut lines = Text::default();
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
    fn rows(&self, line: Line, mark: &str, tone: Tone) -> Text {
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

    /// What went as expected, with keys and commands in it.
    fn speech(&self, speech: Speech) -> Text {
        self.rows_of(speech, Tone::Quiet)
    }

    fn rows_of(&self, speech: Speech, tone: Tone) -> Text {
        match self.columns {
            Some(columns) => speech.rows(columns(), NOTE_MARK, tone, self.colour),
            None => speech.line().end(tone, self.colour),
        }
    }

    fn plain(&self, line: Line) -> Text {
        self.rows(line, NOTE_MARK, Tone::Plain)
    }

    fn quiet(&self, line: Line) -> Text {
        self.rows(line, NOTE_MARK, Tone::Quiet)
    }

    fn alert(&self, line: Line) -> Text {
        self.rows(line, NOTE_MARK, Tone::Alert)
    }
}

/// The beginning of a line about a request: its word, and the person or number.
fn about(command: &Command) -> Line {
    let line = Line::system().say(command.word());
    match (command, command.user()) {
        (_, Some(user)) => line.say(" ").say(Shown::name(user)),
        (Command::WhoelseSince { seconds }, None) => line.say(" ").say(*seconds),
        (command, None) if swarm::what(command).is_some() => {
            line.say(" ").say(Shown::line(swarm::what(command).unwrap_or_default()))
        }
        (Command::Cancel { which }, None) => line.say(" ").say(Shown::name(which)),
        (Command::RevokeInvite { number }, None) => line.say(" revoke ").say(*number),
        (Command::RevokeDevice { name }, None) => line.say(" revoke ").say(Shown::name(name)),
        _ => line,
    }
    .say(": ")
}

fn say_usage(line: Line, definition: &Definition) -> Line {
    definition
        .shown_arguments()
        .fold(line.say(definition.word), |line, argument| line.say(" ").say(argument))
}

/// Words of the server, which are not to be taken for ours.
pub(crate) fn say_server_says(line: Line, sentence: &str) -> Line {
    line.say("the server says: ").say(Shown::sentence(sentence))
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
        LoginRefusal::WrongPassword { sentence: Some(sentence) } => say_server_says(line, sentence),
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
        LoginRefusal::Barred { sentence: None } => {
            line.say("an administrator keeps this name from logging in")
        }
        LoginRefusal::ResumeRefused { sentence: None } => {
            line.say("this device is not known there any more")
        }
        LoginRefusal::SlowDown { retry_after, sentence: None } => {
            span(line.say("the server takes no logins from here "), &Some(*retry_after))
        }
        LoginRefusal::InviteInvalid { sentence: None } => {
            line.say("it was used or taken back, or has expired")
        }
        LoginRefusal::Barred { sentence: Some(sentence) }
        | LoginRefusal::ResumeRefused { sentence: Some(sentence) }
        | LoginRefusal::SlowDown { sentence: Some(sentence), .. }
        | LoginRefusal::InviteInvalid { sentence: Some(sentence) }
        | LoginRefusal::JoinRefused { sentence } => say_server_says(line, sentence),
        LoginRefusal::AlreadyLoggedIn => line.say("already logged in elsewhere"),
        LoginRefusal::Other { status, sentence } => {
            say_server_says(line, sentence.as_deref().unwrap_or(status))
        }
    }
}

#[cfg(test)]
mod tests;
