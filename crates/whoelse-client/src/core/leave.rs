//! The end of a session that the person wants: first everything is confirmed, then it says so.

use whoelse_proto::request;

use super::{Core, Line};
use crate::notice::Ending;

/// How long confirmations are waited for.
const CONFIRM_MS_MAX: u64 = 5_000;

/// At the end of input, which no person typed, mail that is still coming in is waited for: this
/// long after the last sign of it.
const QUIET_MS: u64 = 250;

/// A wish to leave.
#[derive(Debug)]
pub(super) struct Leave {
    /// Then it ends, whatever is missing.
    until_ms: u64,
    /// The server is silent since then; only of interest at the end of input.
    quiet_since_ms: Option<u64>,
    /// The logout is sent.
    said: bool,
    /// The device is to be forgotten, too.
    forget: bool,
}

impl Core {
    /// The person wants to log out: here the next login needs the password.
    pub(super) fn handle_logout(&mut self, now_ms: u64) {
        self.begin_leaving(now_ms, None, self.is_known_device());
    }

    /// The person wants to leave, and to come back without much ado.
    pub fn handle_leave(&mut self, now_ms: u64) {
        self.begin_leaving(now_ms, None, false);
    }

    /// Nothing more will be asked: the input has ended.
    pub fn handle_end_of_input(&mut self, now_ms: u64) {
        self.begin_leaving(now_ms, Some(now_ms), false);
    }

    /// The program has to stop at once.
    pub fn handle_interrupt(&mut self) {
        if matches!(self.line, Line::Session { .. }) && self.ending.is_none() {
            self.send(request::Command::Logout { forget: false }, !self.original);
        }
        self.end(Ending::Interrupted);
    }

    fn begin_leaving(&mut self, now_ms: u64, quiet_since_ms: Option<u64>, forget: bool) {
        if self.leave.is_none() {
            let until_ms = now_ms + CONFIRM_MS_MAX;
            self.leave = Some(Leave { until_ms, quiet_since_ms, said: false, forget });
            self.leave_links();
        }
        self.go_on_leaving(now_ms);
    }

    /// The server said something, so more may come.
    pub(super) fn note_life(&mut self, now_ms: u64) {
        if let Some(Leave { quiet_since_ms: Some(since_ms), .. }) = &mut self.leave {
            *since_ms = now_ms;
        }
    }

    pub(super) fn leave_deadline(&self) -> Option<u64> {
        let leave = self.leave.as_ref()?;
        let at_ms = if self.ready_to_say(leave) { self.say_at_ms(leave) } else { u64::MAX };
        Some(leave.until_ms.min(at_ms))
    }

    /// Says goodbye as soon as everything is confirmed, shown and acknowledged.
    pub(super) fn go_on_leaving(&mut self, now_ms: u64) {
        let Some(leave) = &self.leave else { return };
        if self.ending.is_some() {
            return;
        }
        let in_session = matches!(self.line, Line::Session { .. });
        let nothing_open = self.nothing_open();
        let too_late = now_ms >= leave.until_ms;
        let ready = self.ready_to_say(leave) && now_ms >= self.say_at_ms(leave);
        if in_session && !leave.said && (ready || too_late) {
            let forget = leave.forget;
            if let Some(leave) = &mut self.leave {
                leave.said = true;
            }
            self.send(request::Command::Logout { forget }, !self.original);
        }
        if too_late || (!in_session && nothing_open) {
            self.forget_unheard();
        }
        if too_late && !nothing_open {
            self.end(Ending::Unconfirmed { lost: !in_session });
        } else if too_late || (!in_session && nothing_open) {
            self.end(if self.has_begun() { self.left() } else { Ending::Interrupted });
        }
    }

    /// The server has confirmed the logout.
    pub(super) fn handle_goodbye(&mut self) {
        if !self.said_goodbye() {
            // Nobody asked for it, so it confirms nothing.
            let (reason, sentence) = ("LOGOUT".to_owned(), None);
            return self.end(match self.outbox.is_empty() {
                true => Ending::Ended { reason, sentence },
                false => Ending::Unconfirmed { lost: true },
            });
        }
        if self.leave.as_ref().is_some_and(|leave| leave.forget) {
            self.drop_device();
        }
        self.end(self.left());
    }

    /// Whether the logout is sent, and the answer to it the only thing still wanted.
    pub(super) fn said_goodbye(&self) -> bool {
        self.leave.as_ref().is_some_and(|leave| leave.said)
    }

    /// How it ends when nothing is open any more. What was given up on before counts as well:
    /// whoever only looks at the exit code must not take it for done.
    fn left(&self) -> Ending {
        if self.unconfirmed { Ending::Unconfirmed { lost: true } } else { Ending::LoggedOut }
    }

    /// A device that was to be forgotten is forgotten here, whether or not the server has heard of it.
    fn forget_unheard(&mut self) {
        if self.leave.as_ref().is_some_and(|leave| leave.forget) {
            self.drop_device();
            self.unconfirmed = true;
        }
    }

    /// Whether the connection ended because the person wanted to leave.
    pub(super) fn finish_leaving(&mut self) -> bool {
        let finished = self.said_goodbye();
        if finished {
            self.forget_unheard();
            self.end(self.left());
        }
        finished
    }

    fn ready_to_say(&self, leave: &Leave) -> bool {
        !leave.said
            && matches!(self.line, Line::Session { .. })
            && self.nothing_open()
            && self.shown_sequence == self.last_sequence
            && self.keeping.is_idle()
    }

    /// Whether nothing waits for an answer, from the server or over a private link.
    fn nothing_open(&self) -> bool {
        self.outbox.is_empty()
            && self.looking == 0
            && self.links.is_idle()
            && self.unencrypted.is_idle()
            && !(self.is_end_of_input() && self.any_file_going())
    }

    pub(super) fn is_end_of_input(&self) -> bool {
        self.leave.as_ref().is_some_and(|leave| leave.quiet_since_ms.is_some())
    }

    /// A file is under way: what nobody types an end to waits for it as long as it moves.
    pub(super) fn go_on_waiting(&mut self, now_ms: u64) {
        if self.is_end_of_input()
            && let Some(leave) = &mut self.leave
        {
            leave.until_ms = now_ms + CONFIRM_MS_MAX;
        }
    }

    fn say_at_ms(&self, leave: &Leave) -> u64 {
        let quiet_ms = leave.quiet_since_ms.map_or(0, |since_ms| since_ms + QUIET_MS);
        if self.original { quiet_ms.max(self.write_at_ms) } else { quiet_ms }
    }
}
