//! Receipts: whoever wrote a message learns that it has reached its reader's device.
//!
//! Not as long as the reader blocks the writer: then nothing may tell whether the reader is there.

use std::collections::BTreeMap;

use whoelse_proto::limits::RECEIPTS_MAX;
use whoelse_proto::{Event, Outcome, ReceiptKey, RequestId};

use crate::record::{AccountId, Number, Time};
use crate::{Asker, ConnectionId, Engine, Turn};

impl Engine {
    /// Tells the writers of what waits for a reader that it has it up to a number. To be called
    /// before that is recorded, because afterwards it does not wait any more.
    pub(crate) fn tell_writers(&self, reader: AccountId, number: Number, turn: &mut Turn) {
        let mut keys_by_writer: BTreeMap<AccountId, Vec<ReceiptKey>> = BTreeMap::new();
        for waiting in self.state.account(reader).mailbox.waiting_up_to(number) {
            if let Some(key) = waiting.receipt {
                keys_by_writer.entry(waiting.from).or_default().push(key);
            }
        }
        for (writer, keys) in keys_by_writer {
            let Some(to) = self.wants_receipts(writer) else { continue };
            if self.has_blocked(reader, writer) {
                continue;
            }
            let user = &self.state.account(reader).name;
            for keys in keys.chunks(RECEIPTS_MAX) {
                turn.send(to, Event::Delivered { user: user.clone(), keys: keys.to_vec() });
            }
        }
    }

    /// Where somebody is told who wants to be.
    fn wants_receipts(&self, writer: AccountId) -> Option<ConnectionId> {
        let session = self.state.account(writer).session.as_ref()?;
        session.connection.filter(|_| session.receipts)
    }

    /// Says what became of messages that somebody sent under these ids.
    pub(crate) fn receipts(
        &self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        ids: Vec<RequestId>,
        turn: &mut Turn,
    ) {
        let (mut delivered, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match self.has_arrived(now, account, &id) {
                Some(true) => delivered.push(id),
                Some(false) => {}
                None => unknown.push(id),
            }
        }
        turn.answer(asker, Outcome::Receipts { delivered, unknown });
    }

    /// Whether a message has reached its reader, as far as its writer may know; none if there is no
    /// such message or nobody to read it.
    fn has_arrived(&self, now: Time, writer: AccountId, id: &RequestId) -> Option<bool> {
        let key = ReceiptKey::of(id);
        let retries = &self.state.account(writer).retries;
        let (reader, number) = retries.recipient(key, now, &self.rules)?;
        let reader_account = self.state.account(reader);
        if reader_account.is_removed {
            return None;
        }
        let is_there = number <= reader_account.mailbox.acknowledged();
        Some(is_there && !self.has_blocked(reader, writer))
    }
}
