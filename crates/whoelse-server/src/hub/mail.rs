//! The mail lane: a cursor for each reader, moved on when there is room.

use std::sync::Arc;

use whoelse_engine::{ConnectionId, Input, Message, Number};
use whoelse_proto::Mail;
use whoelse_proto::codec::encode_mail;
use whoelse_proto::limits::{MAIL_PAGE_BYTES, SILENT_ACK_MS};

use super::{Hub, Timer};

impl Hub {
    /// Hands mail to a connection while there is room for it: from the tail, or a page from the
    /// database, which comes later.
    pub(super) fn fetch_mail(&mut self, connection: ConnectionId) {
        let mut sent = None;
        loop {
            let Some(line) = self.lines.get_mut(&connection) else { return };
            let Some(mail) = &mut line.mail else { break };
            if mail.is_reading || mail.cursor >= mail.last || !line.outbox.has_room_for_mail() {
                break;
            }
            let next = mail.cursor.next();
            let (account, cursor) = (mail.account, mail.cursor);
            if let Some(message) = self.tail.get(account, next) {
                let message = Arc::clone(message);
                self.hand_over(connection, &message);
                sent = Some(next);
            } else if self.engine.acknowledged(account) >= next {
                // Acknowledged over an earlier line while this one was catching up.
                mail.cursor = self.engine.acknowledged(account);
            } else {
                mail.is_reading = true;
                if let Some(store) = &self.store {
                    store.read_page(account, cursor, MAIL_PAGE_BYTES, connection.0);
                }
            }
        }
        if let Some(number) = sent {
            self.input(Input::Sent { connection, number });
        }
    }

    /// A page has come from the database.
    pub(super) fn page(&mut self, connection: ConnectionId, messages: &[Arc<Message>]) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let Some(mail) = &mut line.mail else { return };
        mail.is_reading = false;
        let (account, cursor) = (mail.account, mail.cursor);
        let mut sent = None;
        for message in messages.iter().filter(|message| message.number > cursor) {
            self.hand_over(connection, message);
            sent = Some(message.number);
            if !self.lines.get(&connection).is_some_and(|line| line.outbox.has_room_for_mail()) {
                break;
            }
        }
        match sent {
            Some(number) => self.input(Input::Sent { connection, number }),
            None if self.engine.acknowledged(account) > cursor
                || self.tail.get(account, cursor.next()).is_some() => {}
            None => {
                let missing = cursor.next().0;
                let name = self.engine.name(account);
                self.failure = Some(format!(
                    "message {missing} of {name} is neither in the journal nor in the database"
                ));
            }
        }
        self.mark_dirty(connection);
    }

    fn hand_over(&mut self, connection: ConnectionId, message: &Message) {
        let mail = Mail {
            number: message.number.0,
            id: format!("{}-{}", message.to.0, message.number.0),
            from: self.engine.name(message.from).clone(),
            message: Arc::clone(&message.body),
            at_ms: message.at_ms,
        };
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let dialect = line.outbox.dialect();
        line.outbox.mail(message.number, |out| encode_mail(&mail, dialect, out));
        if let Some(lane) = &mut line.mail {
            lane.cursor = message.number;
        }
    }

    /// A client that cannot acknowledge has shown a sign of life: what was written has arrived.
    pub(super) fn vouch(&mut self, connection: ConnectionId, number: Option<Number>) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let Some(written) = line.unvouched() else { return };
        let number = number.unwrap_or(written);
        if number > line.vouched {
            line.vouched = number;
            self.input(Input::Delivered { connection, number });
        }
    }

    /// The door has handed in all it read, and says whether bytes are left over. What was written
    /// by now was written before whatever comes next.
    pub(crate) fn caught_up(&mut self, connection: ConnectionId, has_leftover: bool) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.has_leftover = has_leftover;
        if line.outbox.written_mail() > line.marked && line.is_caught_up() {
            line.marked = line.outbox.written_mail();
        }
    }

    /// Without a sign of life, a living line counts as one after a while.
    pub(super) fn time_vouching(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if line.is_vouch_timed {
            return;
        }
        let Some(number) = line.unvouched() else { return };
        line.is_vouch_timed = true;
        let at = self.clock.time().plus(SILENT_ACK_MS);
        self.timers.set(line, connection, at, Timer::Vouch(number));
    }
}
