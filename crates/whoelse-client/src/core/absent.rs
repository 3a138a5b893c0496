//! A start without the server: what was kept on this machine can be read, and messages wait.
//!
//! Only for a person who was there before, on a server that is known: to everybody else a server
//! that does not answer is a mistake in what was typed, and the client ends.

use super::{Core, Line};
use crate::notice::{Ending, Notice, Trouble};

/// How far a start without the server is.
#[derive(Debug, Default)]
pub(super) enum Absent {
    /// The server is there, as far as is known, or its absence ends the client.
    #[default]
    No,
    /// Its absence ends the client only if nothing is kept for the person.
    Allowed,
    /// It is absent for this reason, and the person has yet to say who it is.
    Asking(Trouble),
    /// The person goes on without it, until it is back.
    Begun,
}

impl Core {
    /// The machine knows the server and people on it, so that one of them may go on without it.
    pub(crate) fn allow_absent(&mut self) {
        if self.config.interactive && self.joining.is_none() {
            self.absent = Absent::Allowed;
        }
    }

    /// Whether the person has a prompt, so that what happens is told and nothing ends for lack of a
    /// connection.
    pub(super) fn has_begun(&self) -> bool {
        self.was_in || matches!(self.absent, Absent::Begun)
    }

    /// The server could not be reached, and there was no session yet.
    pub(super) fn begin_absent(&mut self, trouble: Trouble) {
        if !matches!(self.absent, Absent::Allowed) || self.who.is_some() {
            return self.end(Ending::Unreachable(trouble));
        }
        self.line = Line::Down { again_at_ms: None };
        let place = self.config.place.clone();
        self.notice(Notice::Absent { place, trouble: trouble.clone() });
        self.absent = Absent::Asking(trouble);
        self.ask(crate::notice::Question::Name);
    }

    /// Goes on without the server, if it is absent and the name is one that was here before. Says
    /// whether that was decided.
    pub(super) fn go_on_absent(&mut self, now_ms: u64, was_here: bool) -> bool {
        let Absent::Asking(trouble) = &self.absent else { return false };
        if !was_here {
            self.end(Ending::Unreachable(trouble.clone()));
            return true;
        }
        self.absent = Absent::Begun;
        self.lost_at_ms = Some(now_ms);
        let retry_ms = self.pauses.next();
        self.line = Line::Down { again_at_ms: Some(now_ms + retry_ms) };
        let name = self.name().unwrap_or_default().to_owned();
        self.notice(Notice::WithoutServer { name, retry_ms });
        true
    }
}
