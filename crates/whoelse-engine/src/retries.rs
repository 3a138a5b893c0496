//! Recognises a message that its sender sends again, not knowing whether it arrived.

use std::collections::{HashMap, VecDeque};

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use whoelse_proto::{ReceiptKey, RequestId};

use crate::record::{AccountId, Number, RetryKey, Time};
use crate::rules::Rules;
use crate::snapshot::SentSnapshot;

/// The messages one person sent lately under ids.
#[derive(Default)]
pub(crate) struct Retries {
    /// The place of the last message under an id, among all that were ever remembered.
    place_by_id: HashMap<u128, u64>,
    order: VecDeque<SentSnapshot>,
    /// How many were forgotten.
    forgotten: u64,
}

/// What a message under some id is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A new one.
    New,
    /// One that was stored before.
    Again,
    /// Another one under the id of an earlier one.
    Conflict,
}

impl Retries {
    pub(crate) fn look_up(&self, key: RetryKey, now: Time, rules: &Rules) -> Seen {
        match self.find(key.id, now, rules) {
            Some(sent) if sent.retry.content == key.content => Seen::Again,
            Some(_) => Seen::Conflict,
            None => Seen::New,
        }
    }

    /// Where the message under an id went.
    pub(crate) fn recipient(
        &self,
        key: ReceiptKey,
        now: Time,
        rules: &Rules,
    ) -> Option<(AccountId, Number)> {
        self.find(key.as_u128(), now, rules)?.recipient
    }

    /// The message under an id. What is too old may still be here, but a restart would forget it.
    fn find(&self, id: u128, now: Time, rules: &Rules) -> Option<&SentSnapshot> {
        let place = self.place_by_id.get(&id)?;
        let sent = self.order.get(usize::try_from(place - self.forgotten).ok()?)?;
        (now.since(sent.time) <= rules.retry_ms).then_some(sent)
    }

    /// Remembers a message, and forgets those that are too many or too old.
    pub(crate) fn remember(&mut self, sent: SentSnapshot, rules: &Rules) {
        let place = self.forgotten + self.order.len() as u64;
        self.place_by_id.insert(sent.retry.id, place);
        self.order.push_back(sent);
        while let Some(oldest) = self.order.front() {
            let is_old = sent.time.since(oldest.time) > rules.retry_ms;
            if self.order.len() <= rules.retries_max && !is_old {
                break;
            }
            // The id may have been used again since; then that use counts.
            let id = oldest.retry.id;
            if self.place_by_id.get(&id) == Some(&self.forgotten) {
                self.place_by_id.remove(&id);
            }
            self.order.pop_front();
            self.forgotten += 1;
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<SentSnapshot> {
        self.order.iter().copied().collect()
    }
}

/// The key of a message: hashes that stay the same from release to release, because they are
/// stored.
pub(crate) fn retry_key(id: &RequestId, user: &str, message: &str) -> RetryKey {
    let mut content = SipHasher13::new();
    content.write(user.as_bytes());
    content.write_u8(0xff); // cannot occur in UTF-8, so the border is unambiguous
    content.write(message.as_bytes());
    RetryKey { id: ReceiptKey::of(id).as_u128(), content: content.finish128().h1 }
}
