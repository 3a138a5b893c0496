//! Direct messages: into the mailbox, and out of it.

use std::sync::Arc;

use whoelse_proto::{Outcome, Refusal};

use crate::record::{AccountId, Message, Number, Record};
use crate::retries::{Seen, retry_key};
use crate::{Asker, ConnectionId, Effect, Engine, Now, Turn};

impl Engine {
    /// Takes a message. Returns false if it was taken before.
    pub(crate) fn message(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        user: &str,
        body: &str,
        turn: &mut Turn,
    ) -> bool {
        let retry = asker.id.as_ref().map(|id| retry_key(id, user, body));
        if let Some(key) = retry {
            // Before anything else is looked at: a repetition gets the first answer, even if the
            // recipient has since blocked the sender.
            match self.state.account(account).retries.look_up(key, now.time, &self.rules) {
                Seen::New => {}
                Seen::Again => {
                    turn.answer(asker, Outcome::Done);
                    return false;
                }
                Seen::Conflict => {
                    turn.refuse(asker, Refusal::IdConflict);
                    return true;
                }
            }
        }
        let Some(to) = self.other(now.time, account, asker, user, turn) else { return true };
        if self.has_blocked(to, account) {
            turn.refuse(asker, Refusal::UserBlocked);
            return true;
        }
        if self.state.is_disk_full {
            turn.refuse(asker, Refusal::ServerFull);
            return true;
        }
        let mailbox = &self.state.account(to).mailbox;
        if !mailbox.has_room(account, body.len(), &self.rules) {
            turn.refuse(asker, Refusal::MailboxFull);
            return true;
        }
        let number = mailbox.last().next();
        let message = Message {
            to,
            number,
            from: account,
            time: now.time,
            at_ms: now.wall_ms,
            retry,
            body: body.into(),
        };
        self.emit(turn, Record::Message(Arc::new(message)));
        let session = self.state.account(to).session.as_ref();
        if let Some(connection) = session.and_then(|session| session.connection) {
            turn.effects.push(Effect::Mail { to: connection, last: number });
        }
        turn.answer(asker, Outcome::Done);
        true
    }

    /// Mail up to a number was handed to a connection.
    pub(crate) fn sent(&mut self, connection: ConnectionId, number: Number) {
        let Some(account) = self.state.account_of(connection) else { return };
        if let Some(session) = &mut self.state.account_mut(account).session {
            session.sent = session.sent.max(number);
        }
    }

    /// The door vouches for a client that cannot acknowledge.
    pub(crate) fn delivered(&mut self, connection: ConnectionId, number: Number, turn: &mut Turn) {
        if let Some(account) = self.state.account_of(connection) {
            self.acknowledge_up_to(account, number, turn);
        }
    }

    /// Answered only when refused.
    pub(crate) fn acknowledge(
        &mut self,
        account: AccountId,
        asker: &Asker,
        number: Number,
        turn: &mut Turn,
    ) {
        let session = self.state.account(account).session.as_ref();
        let sent = session.map_or(Number(0), |session| session.sent);
        if number > sent {
            return turn.refuse(asker, Refusal::BadNumber { sent: sent.0 });
        }
        self.acknowledge_up_to(account, number, turn);
    }

    fn acknowledge_up_to(&mut self, account: AccountId, number: Number, turn: &mut Turn) {
        if number > self.state.account(account).mailbox.acknowledged() {
            self.tell_writers(account, number, turn);
            self.emit(turn, Record::Acknowledged { account, number });
        }
    }
}
