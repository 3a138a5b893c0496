//! A mailbox is a log and its reader a cursor: numbers, senders and lengths of what waits.

use std::collections::{BTreeMap, VecDeque};

use crate::record::{AccountId, Number};
use crate::rules::Rules;
use crate::snapshot::WaitingSnapshot;

/// What waits for one person. Bodies are in the journal and the database.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// The last number given.
    last: Number,
    /// The last number that has reached its reader.
    acknowledged: Number,
    /// Every message after `acknowledged`, in order.
    waiting: VecDeque<WaitingSnapshot>,
    bytes: u64,
    shares: BTreeMap<AccountId, Share>,
}

/// What of it comes from one sender.
#[derive(Default)]
struct Share {
    messages: usize,
    bytes: u64,
}

impl Mailbox {
    pub(crate) fn restore(last: Number, acknowledged: Number, waiting: &[WaitingSnapshot]) -> Self {
        let mut mailbox = Self { last: acknowledged, acknowledged, ..Self::default() };
        for waiting in waiting {
            mailbox.push(*waiting);
        }
        debug_assert_eq!(mailbox.last, last, "numbers are dense");
        mailbox
    }

    pub(crate) fn last(&self) -> Number {
        self.last
    }

    pub(crate) fn acknowledged(&self) -> Number {
        self.acknowledged
    }

    pub(crate) fn has_room(&self, from: AccountId, bytes: usize, rules: &Rules) -> bool {
        let share = self.shares.get(&from);
        let (messages, share_bytes) = share.map_or((0, 0), |share| (share.messages, share.bytes));
        let bytes = bytes as u64;
        self.waiting.len() < rules.mailbox_messages_max
            && self.bytes + bytes <= rules.mailbox_bytes_max
            && messages < rules.sender_messages_max
            && share_bytes + bytes <= rules.sender_bytes_max
    }

    pub(crate) fn push(&mut self, waiting: WaitingSnapshot) {
        self.last = self.last.next();
        self.waiting.push_back(waiting);
        self.bytes += u64::from(waiting.bytes);
        let share = self.shares.entry(waiting.from).or_default();
        share.messages += 1;
        share.bytes += u64::from(waiting.bytes);
    }

    /// Forgets everything up to a number; never goes back, never beyond what there is.
    pub(crate) fn acknowledge(&mut self, number: Number) {
        while self.acknowledged < number {
            let Some(WaitingSnapshot { from, bytes, .. }) = self.waiting.pop_front() else {
                return;
            };
            self.acknowledged = self.acknowledged.next();
            self.bytes -= u64::from(bytes);
            let share = self.shares.get_mut(&from).expect("whoever is waited for has a share");
            share.messages -= 1;
            share.bytes -= u64::from(bytes);
            if share.messages == 0 {
                self.shares.remove(&from);
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(16);
        }
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits, up to a number.
    pub(crate) fn waiting_up_to(&self, number: Number) -> impl Iterator<Item = &WaitingSnapshot> {
        let count = usize::try_from(number.0.saturating_sub(self.acknowledged.0));
        self.waiting.iter().take(count.unwrap_or(usize::MAX))
    }

    pub(crate) fn waiting(&self) -> Vec<WaitingSnapshot> {
        self.waiting.iter().copied().collect()
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.last.0 - self.acknowledged.0, self.waiting.len() as u64);
        let bytes: u64 = self.waiting.iter().map(|waiting| u64::from(waiting.bytes)).sum();
        assert_eq!(self.bytes, bytes);
        let messages: usize = self.shares.values().map(|share| share.messages).sum();
        assert_eq!(messages, self.waiting.len());
    }
}
