//! The thread that says everything the client has to tell, and confirms what stands on the
//! screen.
//!
//! A thread of its own, because the line editor takes text only when it wants to; fed by a
//! bounded queue, so that a screen that is behind slows the server down and not the memory up.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use jiff_local::Timestamp;
use tokio::sync::{mpsc as queue, watch};
use whoelse_client::{Notice, Question, Tell, Told};

use crate::bars::Bars;
use crate::compose::Text;
use crate::interruption::Caller;
use crate::people::People;
use crate::render::Render;
use crate::screen::Printer;

/// Most notices printed at once.
const BATCH: usize = 256;

/// What the thread that reads what is typed has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The person has to answer something.
    Ask(Question),
    /// The session has begun, or the person goes on without one until then.
    LoggedIn {
        /// As whom.
        name: String,
        /// That is an administrator.
        admin: bool,
    },
    /// What was answered in mid-session was right, or it will not be known soon.
    Settled,
}

/// Tells the person everything.
pub(crate) struct Speaker {
    pub(crate) told: queue::Receiver<Told>,
    pub(crate) shown: watch::Sender<u64>,
    pub(crate) controls: mpsc::Sender<Control>,
    pub(crate) people: Arc<Mutex<People>>,
    pub(crate) render: Render,
    pub(crate) printer: Printer,
    /// Calls the person who types away from its line; none for a script.
    pub(crate) caller: Option<Caller>,
}

impl Speaker {
    /// Speaks until there is nothing more to say, or nowhere to say it.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut batch = Vec::new();
        let mut bars = Bars::default();
        let mut typing = false;
        // In mid-session; what comes of the answer is not known.
        let mut asking = false;
        while self.told.blocking_recv_many(&mut batch, BATCH) > 0 {
            let mut shown = 0;
            let mut text = Text::default();
            for Told { sequence, tell } in batch.drain(..) {
                shown = sequence;
                let control = match tell {
                    Tell::Question(question) => {
                        // Whoever is typing is called away: a password is not to be seen.
                        let caller = self.caller.as_ref().filter(|_| typing);
                        if let Some(caller) = caller {
                            // Before it is told: what ends a line from here on goes nowhere.
                            caller.announce();
                            let words = "the password is needed; a line half typed is not sent";
                            if !std::mem::replace(&mut asking, true) {
                                text += &self.render.objection(words);
                            }
                            let words = bars.away(std::mem::take(&mut text), self.printer.turns());
                            self.printer.print(words)?;
                            // The editor must have shown that before it is made to end.
                            self.printer.confirm()?;
                            self.controls.send(Control::Ask(question)).unwrap_or_default();
                            caller.insist();
                            continue;
                        }
                        Some(Control::Ask(question))
                    }
                    Tell::Notice(notice) => {
                        if !bars.learn(&notice, &self.render, Instant::now()) {
                            text += &self.say(&notice);
                        }
                        match notice {
                            Notice::WithoutServer { name, .. } => {
                                typing = true;
                                Some(Control::LoggedIn { name, admin: false })
                            }
                            Notice::LoggedIn { name, admin } => {
                                (typing, asking) = (true, false);
                                Some(Control::LoggedIn { name, admin })
                            }
                            _ if asking && settles(&notice) => {
                                asking = false;
                                Some(Control::Settled)
                            }
                            _ => None,
                        }
                    }
                };
                if let Some(control) = control {
                    // What was said before a question stands above it.
                    let words = bars.away(std::mem::take(&mut text), self.printer.turns());
                    self.print(words)?;
                    // If nobody reads what is typed any more, nobody needs to know.
                    self.controls.send(control).unwrap_or_default();
                }
            }
            let text = bars.around(text, self.printer.turns(), &self.render);
            self.print(text)?;
            self.printer.confirm()?;
            self.shown.send_replace(shown);
        }
        self.printer.confirm()
    }

    fn say(&self, notice: &Notice) -> Text {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.learn(notice);
        self.render.notice(notice, &people, Timestamp::now())
    }

    fn print(&mut self, text: Text) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.printer.print(text) }
    }
}

/// Whether a password has done what it was asked for, or will not for now.
fn settles(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Back { .. }
            | Notice::Lost { .. }
            | Notice::StillLost { .. }
            | Notice::LoginLater { .. }
            | Notice::Ended { .. }
    )
}
