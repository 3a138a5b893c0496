//! Bodies of messages that are not in the database yet: the newest end of every mailbox.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use whoelse_engine::{AccountId, Message, Number, Record};

use crate::store::Sequence;

/// What a message costs beside its body, in bytes, roughly.
const OVERHEAD_BYTES: usize = 160;

/// Messages from the journal, until they are projected or acknowledged.
#[derive(Default)]
pub struct Tail {
    by_account: FxHashMap<AccountId, VecDeque<Arc<Message>>>,
    /// In the order of the journal; may hold some that are acknowledged already.
    order: VecDeque<(Sequence, AccountId, Number)>,
    bytes: usize,
}

impl Tail {
    /// Bytes held, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note of a record that is being appended.
    pub fn record(&mut self, sequence: Sequence, record: &Record) {
        match record {
            Record::Message(message) => self.push(sequence, Arc::clone(message)),
            Record::Acknowledged { account, number } => self.drop_front(*account, *number),
            _ => {}
        }
    }

    fn push(&mut self, sequence: Sequence, message: Arc<Message>) {
        self.bytes += cost(&message);
        self.order.push_back((sequence, message.to, message.number));
        self.by_account.entry(message.to).or_default().push_back(message);
    }

    /// The message of this number, if its body is here.
    #[must_use]
    pub fn get(&self, account: AccountId, number: Number) -> Option<&Arc<Message>> {
        let mailbox = self.by_account.get(&account)?;
        let first = mailbox.front()?.number;
        mailbox.get(usize::try_from(number.0.checked_sub(first.0)?).ok()?)
    }

    /// Everything up to this append is in the database.
    pub fn projected(&mut self, sequence: Sequence) {
        while let Some((_, account, number)) =
            self.order.pop_front_if(|(appended, _, _)| *appended <= sequence)
        {
            self.drop_front(account, number);
        }
    }

    fn drop_front(&mut self, account: AccountId, number: Number) {
        let Some(mailbox) = self.by_account.get_mut(&account) else { return };
        while let Some(message) = mailbox.pop_front_if(|message| message.number <= number) {
            self.bytes -= cost(&message);
        }
        if mailbox.is_empty() {
            self.by_account.remove(&account);
        }
    }
}

fn cost(message: &Message) -> usize {
    message.body.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_engine::Time;

    fn message(to: u32, number: u64) -> Arc<Message> {
        Arc::new(Message {
            to: AccountId(to),
            number: Number(number),
            from: AccountId(9),
            time: Time(0),
            at_ms: 0,
            retry: None,
            body: "body".into(),
        })
    }

    #[test]
    fn messages_leave_when_they_are_acknowledged_or_projected() {
        let mut tail = Tail::default();
        for number in 5..=9 {
            tail.record(Sequence(number), &Record::Message(message(1, number)));
        }
        tail.record(Sequence(10), &Record::Message(message(2, 1)));
        let acknowledge = |tail: &mut Tail, number| {
            let record = Record::Acknowledged { account: AccountId(1), number: Number(number) };
            tail.record(Sequence(11), &record);
        };
        let has = |tail: &Tail, account, number| {
            tail.get(AccountId(account), Number(number))
                .is_some_and(|found| found.number.0 == number)
        };
        assert!(!has(&tail, 1, 4) && has(&tail, 1, 5) && has(&tail, 1, 9) && !has(&tail, 1, 10));
        acknowledge(&mut tail, 6);
        assert!(!has(&tail, 1, 6) && has(&tail, 1, 7));
        tail.projected(Sequence(8));
        assert!(!has(&tail, 1, 8) && has(&tail, 1, 9) && has(&tail, 2, 1));
        acknowledge(&mut tail, 100);
        tail.projected(Sequence(10));
        assert_eq!(tail.bytes(), 0);
        assert!(tail.by_account.is_empty() && tail.order.is_empty());
    }
}
