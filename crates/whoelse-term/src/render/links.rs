//! Private links, in words.
//!
//! Only a link that stands, or has stood, is called a private link; before that it is a private talk
//! that somebody asks for.

use jiff_local::Timestamp;
use whoelse_client::links::notice::SafetyNumber;
use whoelse_client::links::{
    LINKS_MAX, LinkEnd, LinkLine, LinkNotice, LinkState, LinkWhy, NoLinks, NotSent, PeerFailure,
    Route, Safety, TEXTS_MAX, Trust,
};
use whoelse_proto::LinkReason;

use super::Render;
use crate::compose::{Line, Text, Tone};
use crate::shown::Shown;

/// Most characters that are repeated of a text that was not sent.
const TEXT_CHARS_MAX: usize = 60;

/// Groups of a safety number on a line: it fits a narrow screen, and is easy to read out.
const GROUPS: usize = 4;

impl Render {
    /// The lines for a notice about a link.
    pub(super) fn link(&self, notice: &LinkNotice) -> Text {
        let line = Line::system();
        match notice {
            LinkNotice::Wanted { .. }
            | LinkNotice::NotWanted { .. }
            | LinkNotice::TurnedAway { .. } => self.question(notice),
            LinkNotice::Being { user, asked: true } => {
                let user = Shown::name(user);
                let line = line.say("startprivate ").say(&user).say(": asked; waiting for ");
                self.quiet(line.say(user).say(" to accept"))
            }
            LinkNotice::Being { user, asked: false } => {
                let line = line.say("private talk with ").say(Shown::name(user));
                self.quiet(line.say(": agreed; looking for a way"))
            }
            LinkNotice::Waits { user } => {
                let line = line.say("private ").say(Shown::name(user));
                self.quiet(line.say(": kept until it can be heard there"))
            }
            LinkNotice::Up { user, route, trust } => self.up(user, *route, *trust),
            LinkNotice::Route { user, route } => {
                self.quiet(say_link(user).say(": ").say(way(*route)).say(" now"))
            }
            LinkNotice::Interrupted { user, server_away } => {
                let line = say_link(user).say(": interrupted; ");
                self.alert(line.say(if *server_away {
                    "it goes on when the server, which relays it, is back"
                } else {
                    "nothing is heard from there"
                }))
            }
            LinkNotice::Back { user, route } => {
                self.quiet(say_link(user).say(": back, ").say(way(*route)))
            }
            LinkNotice::Text { from, text } => {
                let line = Line::new().say(Shown::name(from)).say(" (private): ");
                self.message(line, text, Tone::Plain)
            }
            LinkNotice::Ended { user, end, stood, texts } => {
                self.ended(user, end, *stood) + &self.not_sent(user, texts)
            }
            LinkNotice::NotSent { user, texts } => self.not_sent(user, texts),
            LinkNotice::Changed { user, device, known, asked_us } => {
                self.changed(user, device, known.as_ref(), *asked_us)
            }
            LinkNotice::UnencryptedUp { .. }
            | LinkNotice::UnencryptedText { .. }
            | LinkNotice::UnencryptedEnded { .. }
            | LinkNotice::UnencryptedTurnedAway { .. }
            | LinkNotice::UnencryptedFull { .. }
            | LinkNotice::CannotListen { .. } => self.unencrypted(notice),
            LinkNotice::ByInvite { user } => {
                let line = line.say(Shown::name(user));
                self.quiet(
                    line.say(" used your invite: that proves the key, which counts as compared"),
                )
            }
        }
    }

    /// What others ask for.
    fn question(&self, notice: &LinkNotice) -> Text {
        let line = Line::system();
        match notice {
            LinkNotice::Wanted { user, trust, hidden } => {
                let user = Shown::name(user);
                let line = line.say(&user).say(" asks for a private talk (").say(known(*trust));
                let line = line.say("): accept ").say(&user);
                let line = if *hidden { line } else { line.say(" (it tells your address there)") };
                let line = line.say(", or decline ").say(&user);
                self.highlight(line)
            }
            LinkNotice::NotWanted { user, reason } => {
                let line =
                    line.say(Shown::name(user)).say(" does not ask for a private talk any more");
                self.quiet(match reason {
                    LinkReason::Offline => line.say(": the line is lost"),
                    LinkReason::NoAnswer => line.say(": there was no answer for two minutes"),
                    _ => line,
                })
            }
            LinkNotice::TurnedAway { user, reason } => {
                let line =
                    line.say(Shown::name(user)).say(" asked for a private talk and was declined: ");
                self.quiet(match reason {
                    LinkReason::Busy => line.say("there are too many already"),
                    _ => line.say("you take none (--private never)"),
                })
            }
            _ => Text::default(),
        }
    }

    fn up(&self, user: &str, route: Route, trust: Trust) -> Text {
        let line = say_link(user).say(": ").say(way(route));
        let user = Shown::name(user);
        let say_how = |line: Line| line.say("; safety ").say(&user).say(" shows how to check");
        match trust {
            Trust::Compared => self.highlight(line.say(", compared")),
            Trust::NotCompared | Trust::Changed => {
                self.highlight(say_how(line.say(", not compared")))
            }
            Trust::New => self.highlight(say_how(
                line.say(", not compared: at first contact only the server says whose key it is"),
            )),
            Trust::NewDevice => self.highlight(say_how(
                line.say(", not compared: of this new device only the server says whose it is"),
            )),
        }
    }

    fn ended(&self, user: &str, end: &LinkEnd, stood: bool) -> Text {
        let shown = Shown::name(user);
        if !stood {
            let line = Line::system().say("private talk with ").say(&shown).say(": ");
            return match end {
                LinkEnd::Here | LinkEnd::Leaving => self.quiet(line.say("taken back")),
                LinkEnd::Refused(LinkReason::Declined) => {
                    self.alert(line.say(&shown).say(" declined"))
                }
                LinkEnd::BadCard => self.alert(line.say("stopped; what came was not signed by the device that the server had named: somebody in between has changed it")),
                _ => self.alert(say_end(line.say("nothing came of it; "), user, end)),
            };
        }
        let line = say_link(user).say(" ended");
        match end {
            LinkEnd::Here | LinkEnd::Leaving => self.quiet(line),
            _ => self.alert(say_end(line.say(": "), user, end)),
        }
    }

    /// What was not acknowledged, each by itself.
    pub(super) fn not_sent(&self, user: &str, texts: &[NotSent]) -> Text {
        texts.iter().fold(Text::default(), |lines, it| {
            let line = Line::system().say("private ").say(Shown::name(user));
            let line = line.say(match it.tried {
                true => ": not confirmed, it may or may not have been read: ",
                false => ": not sent: ",
            });
            lines + &self.alert(line.say(Shown::brief(&it.text, TEXT_CHARS_MAX)))
        })
    }

    fn changed(
        &self,
        user: &str,
        device: &str,
        known: Option<&(String, u64, bool)>,
        asked_us: bool,
    ) -> Text {
        let user = Shown::name(user);
        let line = Line::system().say("STOP: ");
        let line = match asked_us {
            true => line.say(&user).say(" asks for a private talk with a key that is "),
            false => line.say("the key of ").say(&user).say(" is "),
        };
        let line = line.say("not the one known here. Either ").say(&user);
        let first = self.alert(line.say(
            " has a new device, or somebody pretends to be that person: the server itself could",
        ));
        let line = Line::system().say("known: ");
        let line = self.say_known(line, known);
        let second = self.alert(say_device(line.say("; now: "), device));
        let line = Line::system().say("nothing was sent. Ask ").say(&user);
        let line = line.say(" by another way, compare with: safety ").say(&user);
        let line = line.say("; to take the new key: safety ").say(&user).say(" accept");
        first + &second + &self.alert(line)
    }

    /// The device whose key was known, and what of it.
    pub(super) fn say_known(&self, line: Line, known: Option<&(String, u64, bool)>) -> Line {
        match known {
            Some((name, since_s, compared)) => {
                let line = say_device(line, name).say(" since ").say(self.day(*since_s));
                line.say(if *compared { ", compared" } else { ", not compared" })
            }
            None => line.say("nothing that can be read"),
        }
    }

    /// The lines of what there is to compare.
    pub(super) fn safety_of(&self, line: Line, user: &str, safety: &Safety) -> Text {
        let user = Shown::name(user);
        let line = line.say("compare this with ").say(&user);
        let mut lines = self.quiet(line.say(
            " by voice or in person, never in here. If both screens show the same, nobody is in \
             between, not even the server",
        ));
        for number in &safety.numbers {
            lines += &self.number(number, false);
        }
        // Nothing is confirmed while it is not clear which number was compared.
        if safety.refused.is_none() && safety.numbers.iter().any(|number| !number.compared) {
            let line = Line::system().say("if it is the same: safety ").say(&user);
            lines += &self.quiet(line.say(" confirm"));
        }
        if let Some(number) = &safety.refused {
            lines += &self.number(number, true);
            let line =
                Line::system().say("to take that key, which was refused: safety ").say(&user);
            let line = line.say(" accept; if it is nobody's: decline ").say(&user);
            lines += &self.alert(line);
        }
        lines
    }

    fn number(&self, number: &SafetyNumber, refused: bool) -> Text {
        let line = say_device(Line::new().say("  "), &number.device);
        let line = match number.since_s {
            Some(since_s) => line.say(", since ").say(self.day(since_s)),
            None => line,
        };
        let line = line.say(match (refused, number.compared) {
            (true, _) => ", refused:",
            (false, true) => ", compared:",
            (false, false) => ", not compared:",
        });
        number.groups.chunks(GROUPS).fold(self.plain(line), |lines, groups| {
            let line = groups
                .iter()
                .fold(Line::new().say("   "), |line, group| line.say(" ").say(Shown::line(group)));
            lines + &line.end(Tone::Plain, self.colour)
        })
    }

    /// The lines of the list of links.
    pub(super) fn links(&self, line: Line, links: &[LinkLine]) -> Text {
        let line = match links.len() {
            0 => line.say("none"),
            1 => line.say("1"),
            count => line.say(count),
        };
        links.iter().fold(self.quiet(line), |lines, link| {
            let line = Line::new().say("  ").say(Shown::name(&link.user)).say(": ");
            let line = match link.state {
                LinkState::Wanted => line.say("asks for a private talk"),
                LinkState::Asked => line.say("asked, no answer yet"),
                LinkState::Being => line.say("being made"),
                LinkState::Standing(route) => line.say(way(route)),
                LinkState::Interrupted(route) => line.say("interrupted, ").say(way(route)),
                LinkState::Closing => line.say("ending"),
                LinkState::Unencrypted { up: true } => line.say("direct, unencrypted, not proven"),
                LinkState::Unencrypted { up: false } => line.say("being made, unencrypted"),
            };
            let line = match link.trust {
                Some(trust) => line.say(", ").say(known(trust)),
                None => line,
            };
            let line = match link.texts {
                0 => line,
                count => line.say("; ").count(count, "text").say(" not confirmed"),
            };
            lines + &self.plain(line)
        })
    }

    /// A line that must not be missed among others, and is no trouble.
    pub(super) fn highlight(&self, line: Line) -> Text {
        self.plain(line)
    }

    fn day(&self, since_s: u64) -> Shown {
        let at = i64::try_from(since_s).ok().and_then(|at| Timestamp::from_second(at).ok());
        let at = at.unwrap_or_default().to_zoned(self.zone.clone());
        Shown::line(&at.strftime("%Y-%m-%d").to_string())
    }
}

/// Why something about links was not done.
pub(super) fn say_why(line: Line, user: &Shown, why: &LinkWhy) -> Line {
    match why {
        LinkWhy::NoConnection => line.say("there is no connection to the server now"),
        LinkWhy::NoLinks(NoLinks::NotBuilt) => {
            line.say("this program was built without private links")
        }
        LinkWhy::NoLinks(NoLinks::Unwanted) => {
            line.say("this client takes no private links (--private never)")
        }
        LinkWhy::NoLinks(NoLinks::Plain) => {
            line.say("private links need an encrypted connection to the server, and this is none")
        }
        LinkWhy::NoLinks(NoLinks::NoDevice) => line.say(
            "this client has no device key; another client of yours on this machine may have it, \
             or it cannot be kept",
        ),
        LinkWhy::NoLinks(NoLinks::PeersDamaged(words)) => line
            .say("what is known of others cannot be read; mend or remove peers.json: ")
            .say(Shown::line(words)),
        LinkWhy::NoneThere => line.say("the client of ").say(user).say(" makes no private links"),
        LinkWhy::YouBlocked => line.say("you block ").say(user).say("; first: unblock ").say(user),
        LinkWhy::LinkStands => {
            line.say("you are linked already; to say something: private ").say(user).say(" <text>")
        }
        LinkWhy::LinkBeing => {
            line.say("it is under way already; to take it back: stopprivate ").say(user)
        }
        LinkWhy::TooManyLinks => {
            line.say("there are ").say(LINKS_MAX).say(" already; stopprivate ends one")
        }
        LinkWhy::TooManyTexts => line.say(TEXTS_MAX).say(" wait to be confirmed already"),
        LinkWhy::TooMuchText => {
            line.say("too much waits to be confirmed already; again when some of it is")
        }
        LinkWhy::Asks => line
            .say(user)
            .say(" waits for your answer: accept ")
            .say(user)
            .say(", or decline ")
            .say(user),
        LinkWhy::NotAsked => line.say(user).say(" has not asked for anything"),
        LinkWhy::TooManyFiles => line.say("there are too many under way; files lists them"),
        LinkWhy::NoFile => line.say("there is no such file under way; files lists them"),
        LinkWhy::SeveralFiles => {
            line.say("there are several with ").say(user).say("; files lists their numbers")
        }
        LinkWhy::AddressHidden => {
            line.say("it would tell your address, which you hide (--hide-address)")
        }
        LinkWhy::NotMet
        | LinkWhy::SeveralDevices
        | LinkWhy::NoKeyRefused
        | LinkWhy::LookFirst
        | LinkWhy::LookAgain
        | LinkWhy::KeyRefused => say_why_not_compared(line, user, why),
    }
}

/// Why nothing was compared or accepted.
fn say_why_not_compared(line: Line, user: &Shown, why: &LinkWhy) -> Line {
    match why {
        LinkWhy::NotMet => line
            .say("no key of ")
            .say(user)
            .say(" is known here yet; it is from the first private link on"),
        LinkWhy::SeveralDevices => line
            .say("several devices of ")
            .say(user)
            .say(" are known; first, to show which is meant: startprivate ")
            .say(user),
        LinkWhy::NoKeyRefused => line.say("no key of ").say(user).say(" was refused"),
        LinkWhy::LookFirst => {
            line.say("first, to see what to compare by voice or in person: safety ").say(user)
        }
        LinkWhy::LookAgain => line
            .say("there is another key to compare than you were shown; look again: safety ")
            .say(user),
        LinkWhy::KeyRefused => line
            .say("another key of ")
            .say(user)
            .say(" was refused; if that is the right one: safety ")
            .say(user)
            .say(" accept, and if it is nobody's: decline ")
            .say(user),
        _ => line,
    }
}

fn say_link(user: &str) -> Line {
    Line::system().say("private link with ").say(Shown::name(user))
}

fn say_device(line: Line, device: &str) -> Line {
    match device {
        "" => line.say("the device that made the invite"),
        device => line.say("device ").say(Shown::name(device)),
    }
}

fn say_end(line: Line, user: &str, end: &LinkEnd) -> Line {
    let user = Shown::name(user);
    match end {
        LinkEnd::Here | LinkEnd::Leaving => line.say("you left"),
        LinkEnd::There => line.say(user).say(" closed it"),
        LinkEnd::Silent => line.say("nothing was heard from there any more"),
        LinkEnd::NotMade => {
            line.say("it took too long: no way was found, neither direct nor relayed")
        }
        LinkEnd::BadCard => line.say("what came was not signed by the right device"),
        LinkEnd::ServerLost => line.say("the connection to the server was lost"),
        LinkEnd::Replaced => line.say(user).say(" begins a new one"),
        LinkEnd::Refused(reason) => match reason {
            LinkReason::Declined => line.say(user).say(" declined"),
            LinkReason::Busy => line.say(user).say(" has too many already"),
            LinkReason::KeyChanged => {
                let line = line
                    .say("the client of ")
                    .say(&user)
                    .say(" knows another key of yours and has stopped; ");
                line.say(user).say(" has to decide")
            }
            LinkReason::NotWanted => line.say(user).say(" takes none"),
            LinkReason::Withdrawn => line.say(user).say(" has broken it off"),
            LinkReason::Offline => line.say(user).say(" went offline"),
            LinkReason::NoAnswer => line.say("there was no answer within two minutes"),
        },
        LinkEnd::Failed(failure) => match failure {
            PeerFailure::NoRoute => {
                line.say("there is no way: the server relays nothing, and no address can be named")
            }
            PeerFailure::WrongIdentity => line.say("somebody else was there"),
            PeerFailure::Protocol => line.say("the other side sent something incomprehensible"),
            PeerFailure::Other(words) => line.say(Shown::line(words)),
        },
    }
}

fn way(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Relayed => "relayed",
    }
}

pub(super) fn known(trust: Trust) -> &'static str {
    match trust {
        Trust::New => "first contact",
        Trust::NewDevice => "a new device",
        Trust::NotCompared => "not compared",
        Trust::Compared => "compared",
        Trust::Changed => "another key than was known",
    }
}
