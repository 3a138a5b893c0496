//! Recognises a message that its sender sends again, not knowing whether it arrived.

use std::collections::{HashMap, VecDeque};

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use whoelse_proto::RequestId;

use crate::record::{RetryKey, Time};
use crate::rules::Rules;
use crate::snapshot::SentSnapshot;

/// The messages one person sent lately under ids.
#[derive(Default)]
pub(crate) struct Retries {
    content_by_id: HashMap<u128, (u64, Time)>,
    order: VecDeque<SentSnapshot>,
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
        match self.content_by_id.get(&key.id) {
            Some((_, time)) if now.since(*time) > rules.retry_ms => Seen::New,
            Some((content, _)) if *content == key.content => Seen::Again,
            Some(_) => Seen::Conflict,
            None => Seen::New,
        }
    }

    /// Remembers a message, and forgets those that are too many or too old.
    pub(crate) fn remember(&mut self, retry: RetryKey, time: Time, rules: &Rules) {
        self.content_by_id.insert(retry.id, (retry.content, time));
        self.order.push_back(SentSnapshot { retry, time });
        while let Some(oldest) = self.order.front() {
            let is_old = time.since(oldest.time) > rules.retry_ms;
            if self.order.len() <= rules.retries_max && !is_old {
                break;
            }
            // The id may have been used again since; then that use counts.
            let (id, at) = (oldest.retry.id, oldest.time);
            if self.content_by_id.get(&id).is_some_and(|(_, time)| *time == at) {
                self.content_by_id.remove(&id);
            }
            self.order.pop_front();
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
    let mut hasher = SipHasher13::new();
    hasher.write(id.as_str().as_bytes());
    RetryKey { id: hasher.finish128().as_u128(), content: content.finish128().h1 }
}
