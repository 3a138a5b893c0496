//! Links with original clients, in words: each line says what such a link is worth.

use whoelse_client::links::LinkNotice;

use super::Render;
use crate::compose::{Line, Text, Tone};
use crate::shown::Shown;

impl Render {
    /// The lines for a notice about such a link.
    pub(super) fn unencrypted(&self, notice: &LinkNotice) -> Text {
        match notice {
            LinkNotice::UnencryptedUp { user, address, asked_us } => {
                let line = say_unencrypted(user);
                let line = match asked_us {
                    true => line.say(", as whoever is at ").say(*address).say(" says"),
                    false => line.say(" at ").say(*address),
                };
                self.alert(line.say(
                    ": anybody on the way can read and change it, and nobody proves who is there",
                ))
            }
            LinkNotice::UnencryptedText { from, text } => {
                let line = Line::new().say(Shown::name(from));
                self.message(line.say(" (private, unencrypted, not proven): "), text, Tone::Plain)
            }
            LinkNotice::UnencryptedEnded { user, address, stood, here, trouble, texts } => {
                let line = match stood {
                    true => say_unencrypted(user).say(" ended"),
                    false => {
                        let line = Line::system().say("startprivate ").say(Shown::name(user));
                        line.say(" --unencrypted: nothing came of it")
                    }
                };
                let lines = match (here, trouble) {
                    (true, _) => self.quiet(line),
                    (false, Some(words)) => {
                        let line = line.say("; ").say(*address).say(": ");
                        self.alert(line.say(Shown::line(words)))
                    }
                    (false, None) => self.alert(line.say(": it was closed there")),
                };
                lines + &self.not_sent(user, texts)
            }
            LinkNotice::UnencryptedTurnedAway { user, address } => {
                let user = Shown::name(user);
                let line = Line::system().say("somebody at ").say(*address).say(" says to be ");
                let line = line.say(&user).say(" on an unencrypted link, and was turned away: ");
                let line = line.say(&user).say(" is linked or known otherwise. To make such a ");
                self.alert(line.say("link: startprivate ").say(user).say(" --unencrypted"))
            }
            LinkNotice::UnencryptedFull { address } => {
                let line = Line::system().say("somebody at ").say(*address);
                let line = line.say(" wants an unencrypted link, and was turned away: there are ");
                self.alert(line.say("as many as may be; stopprivate ends one"))
            }
            LinkNotice::CannotListen { words } => {
                let line = Line::system().say("--allow-unencrypted: nobody can open such a link; ");
                self.alert(line.say(Shown::line(words)))
            }
            _ => Text::default(),
        }
    }
}

fn say_unencrypted(user: &str) -> Line {
    Line::system().say("unencrypted private link with ").say(Shown::name(user))
}
