//! Effects become bytes: released in order, encoded once, written once.

use std::io::ErrorKind;
use std::rc::Rc;

use tracing::debug;
use whoelse_engine::{ConnectionId, Effect};
use whoelse_proto::codec::encode_event;
use whoelse_proto::{Action, Dialect, Event, Outcome};

use super::{Hub, Timer};
use crate::line::{Due, MailLane, Stage};

/// How long a connection that was told to end may take to end, in milliseconds.
const LINGER_MS: u64 = 2_000;

/// How long the last words to a connection that is to end may take to be written, in milliseconds.
const CLOSING_MS_MAX: u64 = 20_000;

/// So many connections told the same at once are a crowd: writing to each takes longer than others
/// should wait for theirs.
const CROWD: usize = 64;

/// Most connections of a crowd written to at one wake-up, about 1 ms.
const CROWD_WRITES_PER_WAKE_UP: usize = 128;

/// Most writes to one connection at one wake-up.
const WRITES_PER_WAKE_UP: u32 = 16;

impl Hub {
    /// Does all effects whose records are on disk.
    pub(super) fn release(&mut self) {
        while let Some(effects) = self.turns.release() {
            for effect in effects {
                self.act(effect);
            }
        }
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, event } => self.send(to, &event),
            Effect::SendMany { to, event } => self.send_many(&to, &event),
            Effect::Begin { connection, account, dialect, acknowledged, last } => {
                let Some(line) = self.lines.get_mut(&connection) else { return };
                line.outbox.set_dialect(dialect);
                if line.stage == Stage::LoggingIn {
                    line.stage = Stage::Member;
                    let lane = MailLane { account, cursor: acknowledged, last, is_reading: false };
                    line.mail = Some(lane);
                    line.socket.wake.notify_one();
                }
                line.vouched = acknowledged;
                if line.stage == Stage::Member {
                    let (asked_at, source) = (line.asked_at, line.source);
                    self.is_no_stranger(asked_at, connection, source);
                }
                debug!(connection = connection.0, account = account.0, "logged in");
                self.mark_dirty(connection);
            }
            Effect::Mail { to, last } => {
                let Some(line) = self.lines.get_mut(&to) else { return };
                if let Some(mail) = &mut line.mail {
                    mail.last = last;
                    self.mark_dirty(to);
                }
            }
            Effect::Close { connection } => self.close(connection),
            Effect::Check { .. } | Effect::Hash { .. } => {
                unreachable!("work for the password thread is started when its turn ends")
            }
            Effect::Admit { account, endpoint, ticket } => {
                if let Some(relay) = &self.relay {
                    relay.admit(account, endpoint, &ticket);
                }
            }
            Effect::Expel { account, endpoint } => {
                if let Some(relay) = &self.relay {
                    relay.expel(account, endpoint);
                }
            }
            Effect::Ordered { ticket, outcome } => {
                if let Some(answer) = self.orders.remove(&ticket) {
                    // Whoever asked may have gone; it is done all the same.
                    answer.send(outcome).unwrap_or_default();
                }
            }
            Effect::Added { ticket, outcome } => {
                if let Some(answer) = self.additions.remove(&ticket) {
                    // Whoever asked may have gone; the account is there all the same.
                    answer.send(outcome).unwrap_or_default();
                }
            }
        }
    }

    fn send(&mut self, to: ConnectionId, event: &Event) {
        let Some(line) = self.lines.get_mut(&to) else { return };
        self.encoded.clear();
        encode_event(event, line.outbox.dialect(), &mut self.encoded);
        line.outbox.say(event, &self.encoded);
        if let Event::Answer(answer) = event
            && matches!(answer.action, Action::Login | Action::Resume | Action::Join)
            && line.stage == Stage::LoggingIn
        {
            // Refused: `Begin` has come before the answer otherwise.
            debug_assert!(matches!(answer.outcome, Outcome::Refused(_)));
            line.stage = Stage::Stranger;
            line.socket.wake.notify_one();
        }
        // One acknowledgement may have something to tell to thousands, and nobody waits for a receipt.
        let is_receipt = matches!(event, Event::Delivered { .. });
        self.after_saying(to, if is_receipt { Due::Later } else { Due::Now });
    }

    fn send_many(&mut self, to: &[ConnectionId], event: &Event) {
        let due = if to.len() > CROWD { Due::Later } else { Due::Now };
        // Encoded once for each of the two dialects that differ.
        let mut encoded = [None, None];
        for connection in to {
            let Some(line) = self.lines.get_mut(connection) else { continue };
            let dialect = line.outbox.dialect();
            let bytes =
                encoded[usize::from(dialect == Dialect::Original)].get_or_insert_with(|| {
                    let mut bytes = Vec::new();
                    encode_event(event, dialect, &mut bytes);
                    bytes
                });
            line.outbox.say(event, bytes);
            self.after_saying(*connection, due);
        }
    }

    /// Cuts a reader that is too slow; otherwise its bytes will be written.
    pub(super) fn after_saying(&mut self, connection: ConnectionId, due: Due) {
        self.recount(connection);
        self.relieve();
        if self.lines.get(&connection).is_some_and(|line| line.outbox.is_over()) {
            // Much was said at once; whether the reader is slow is seen only when it is written.
            self.write(connection);
        }
        if self.lines.get(&connection).is_some_and(|line| line.outbox.is_over()) {
            debug!(connection = connection.0, "cut: it reads too slowly");
            self.lost(connection);
        } else {
            self.mark(connection, due);
        }
    }

    /// Has a connection written to at the end of this wake-up.
    pub(super) fn mark_dirty(&mut self, connection: ConnectionId) {
        self.mark(connection, Due::Now);
    }

    fn mark(&mut self, connection: ConnectionId, due: Due) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if line.due >= due {
            return;
        }
        line.due = due;
        match due {
            Due::Now => self.dirty.push(connection),
            Due::Later => self.crowd.push_back(connection),
            Due::Not => {}
        }
    }

    /// Writes to every connection that something was said to, once; to crowds in turn.
    pub(super) fn write_dirty(&mut self) {
        for connection in std::mem::take(&mut self.dirty) {
            self.write_if(Due::Now, connection);
        }
        self.relieve(); // mail was fetched
    }

    /// Writes to some of a crowd. Whatever else happens meanwhile goes first, and the more is said
    /// to a crowd, the more of it goes in one write.
    pub(super) fn write_crowd(&mut self) {
        let mut left = CROWD_WRITES_PER_WAKE_UP;
        while left > 0
            && let Some(connection) = self.crowd.pop_front()
        {
            left -= usize::from(self.write_if(Due::Later, connection));
        }
    }

    /// Writes to every connection that something was said to.
    pub(super) fn write_everybody(&mut self) {
        for connection in std::mem::take(&mut self.dirty) {
            self.write_if(Due::Now, connection);
        }
        for connection in std::mem::take(&mut self.crowd) {
            self.write_if(Due::Later, connection);
        }
    }

    /// Writes to a connection if that is when it is due: it may have been written to since.
    fn write_if(&mut self, due: Due, connection: ConnectionId) -> bool {
        let Some(line) = self.lines.get_mut(&connection) else { return false };
        if line.due != due {
            return false;
        }
        line.due = Due::Not;
        self.write(connection);
        true
    }

    /// Writes what waits, fetches mail while there is room, and ends what is to end.
    pub(super) fn write(&mut self, connection: ConnectionId) {
        self.write_some(connection);
        self.recount(connection);
    }

    fn write_some(&mut self, connection: ConnectionId) {
        for round in 0.. {
            if round == WRITES_PER_WAKE_UP {
                // A long mailbox and a fast reader: now it is the others' turn.
                self.mark_dirty(connection);
                self.ring();
                return;
            }
            self.fetch_mail(connection);
            let Some(line) = self.lines.get_mut(&connection) else { return };
            if line.is_blocked {
                return self.let_door_go_on(connection);
            }
            if line.outbox.dialect() == Dialect::Original
                && let Some(at) = line.outbox.pace(self.clock.time())
                && !line.is_pace_timed
            {
                line.is_pace_timed = true;
                self.timers.set(line, connection, at, Timer::Pace);
            }
            let bytes = line.outbox.unwritten();
            if bytes.is_empty() {
                break;
            }
            // Looked at before the write: what comes after it may be an answer to it.
            let is_next_later = line.outbox.holds_mail() && line.is_caught_up();
            match line.socket.try_write(bytes) {
                Ok(written) => {
                    line.outbox.wrote(written);
                    if is_next_later {
                        line.marked = line.outbox.written_mail();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.let_door_go_on(connection);
                    return self.write_when_writable(connection);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.lost(connection),
            }
        }
        self.let_door_go_on(connection);
        self.time_vouching(connection);
        self.finish_closing(connection);
    }

    /// A door that was crowded out may go on when less waits, written or taken back.
    fn let_door_go_on(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if line.is_crowded_out && !line.outbox.is_crowded() {
            line.is_crowded_out = false;
            line.socket.wake.notify_one();
        }
    }

    /// Only a connection that does not take bytes gets a task for writing, while it does not.
    fn write_when_writable(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let Some(hub) = self.this.upgrade() else { return };
        line.is_blocked = true;
        let socket = Rc::clone(&line.socket);
        self.nature.spawn(async move {
            tokio::select! {
                biased;
                result = socket.writable() => {
                    // An error is found again, and dealt with, by the write.
                    result.unwrap_or_default();
                }
                () = socket.gone.wait() => return,
            }
            let mut hub = hub.borrow_mut();
            if let Some(line) = hub.lines.get_mut(&connection) {
                line.is_blocked = false;
                hub.write(connection);
                hub.ring();
            }
        });
    }

    /// Ends a connection after everything said to it so far.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let (asked_at, source) = (line.asked_at, line.source);
        self.is_no_stranger(asked_at, connection, source);
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.stage = Stage::Closing;
        line.mail = None;
        line.socket.wake.notify_one();
        let at = self.clock.time().plus(CLOSING_MS_MAX);
        self.timers.set(line, connection, at, Timer::Linger);
        self.mark_dirty(connection);
    }

    fn finish_closing(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if line.stage != Stage::Closing || !line.outbox.is_empty() {
            return;
        }
        if line.socket.shut_down_writing().is_err() {
            return self.write_when_writable(connection);
        }
        if line.has_ended {
            self.forget(connection);
        } else {
            // Closing at once could destroy, on its way, what the other side has not read yet.
            line.stage = Stage::Lingering;
            let at = self.clock.time().plus(LINGER_MS);
            self.timers.set(line, connection, at, Timer::Linger);
        }
    }
}
