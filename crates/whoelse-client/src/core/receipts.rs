//! Which messages have reached a device of their reader.
//!
//! The server says so while both are there; for what happened meanwhile it is asked after each login.
//! Nothing waits for receipts, and nobody is promised one.

use std::collections::{BTreeMap, HashMap, VecDeque};

use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::RECEIPTS_MAX;
use whoelse_proto::{ReceiptKey, RequestId, request};

use super::Core;
use crate::log::Entry;
use crate::notice::Notice;

/// Most messages whose receipts are waited for: the newest.
const UNDELIVERED_MAX: usize = 1_024;

/// A receipt that comes later than this is worth a word: the reader was away.
const LATE_MS: u64 = 10_000;

/// Messages that the server has, and that have not reached their readers as far as is known.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// In the order in which they were confirmed.
    undelivered: BTreeMap<u64, Undelivered>,
    /// Where each stands there, by what the server calls it.
    places: HashMap<String, u64>,
    last_place: u64,
    /// The server has yet to be asked in this session.
    due: bool,
    /// Questions without an answer.
    asked: VecDeque<RequestId>,
}

#[derive(Debug)]
struct Undelivered {
    id: RequestId,
    user: String,
    /// None if that was in an earlier run.
    sent_at_ms: Option<u64>,
}

impl Receipts {
    fn insert(&mut self, id: RequestId, user: String, sent_at_ms: Option<u64>) {
        self.last_place += 1;
        self.places.insert(ReceiptKey::of(&id).to_string(), self.last_place);
        self.undelivered.insert(self.last_place, Undelivered { id, user, sent_at_ms });
        if self.undelivered.len() > UNDELIVERED_MAX
            && let Some((_, oldest)) = self.undelivered.pop_first()
        {
            self.places.remove(&ReceiptKey::of(&oldest.id).to_string());
        }
    }

    fn remove(&mut self, key: &str) -> Option<Undelivered> {
        let place = self.places.remove(key)?;
        self.undelivered.remove(&place)
    }
}

impl Core {
    /// Whether receipts are of use: they are shown in the history.
    pub(super) fn wants_receipts(&self) -> bool {
        self.keeping.is_open()
    }

    /// Remembers a message of an earlier run that the server has.
    pub(super) fn await_old_receipt(&mut self, id: &str, user: String) {
        if let Some(id) = RequestId::new(id) {
            self.receipts.insert(id, user, None);
        }
    }

    /// Remembers a message that the server has taken.
    pub(super) fn await_receipt(&mut self, now_ms: u64, id: RequestId, user: &str) {
        if self.wants_receipts() && !self.original {
            self.receipts.insert(id, user.to_owned(), Some(now_ms));
        }
    }

    /// A session has begun.
    pub(super) fn begin_receipts(&mut self) {
        self.receipts.asked.clear();
        self.receipts.due = self.wants_receipts() && !self.original;
    }

    /// Asks, once in a session, what has happened in the meantime; when it is known which messages the
    /// server has. The server takes it for no deed of the person.
    pub(super) fn ask_for_receipts(&mut self) {
        if !self.receipts.due || self.outbox.has_resent() || self.leave.is_some() {
            return;
        }
        self.receipts.due = false;
        let ids: Vec<_> = self.receipts.undelivered.values().map(|it| it.id.clone()).collect();
        for ids in ids.chunks(RECEIPTS_MAX) {
            let id = self.outbox.make_id();
            self.receipts.asked.push_back(id.clone());
            self.send_as(Some(id), request::Command::Receipts { ids: ids.to_vec() }, true);
        }
    }

    /// Whether this is the answer to such a question; then it is handled.
    pub(super) fn handle_receipts(&mut self, now_ms: u64, incoming: &Incoming) -> bool {
        let Some(id) = incoming.id.as_deref() else { return false };
        let Some(at) = self.receipts.asked.iter().position(|asked| asked.as_str() == id) else {
            return false;
        };
        self.receipts.asked.remove(at);
        let key = |id: &String| RequestId::new(id).map(|id| ReceiptKey::of(&id).to_string());
        let keys = |ids: &Option<Vec<String>>| -> Vec<String> {
            ids.iter().flatten().filter_map(key).collect()
        };
        self.deliver(now_ms, &keys(&incoming.delivered));
        for key in keys(&incoming.unknown) {
            self.receipts.remove(&key);
        }
        true
    }

    /// The server says that a device of a reader has messages.
    pub(super) fn handle_delivered(&mut self, now_ms: u64, incoming: &Incoming) {
        self.deliver(now_ms, incoming.keys.as_deref().unwrap_or_default());
    }

    fn deliver(&mut self, now_ms: u64, keys: &[String]) {
        let mut late: BTreeMap<String, usize> = BTreeMap::new();
        for key in keys {
            let Some(Undelivered { id, user, sent_at_ms }) = self.receipts.remove(key) else {
                continue;
            };
            self.keeping.keep(Entry::Delivered { id: id.as_str().to_owned() });
            if sent_at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > LATE_MS) {
                *late.entry(user).or_default() += 1;
            }
        }
        // Scripts read what they asked for, and nothing else.
        if self.config.interactive {
            for (user, count) in late {
                self.notice(Notice::Delivered { user, count });
            }
        }
    }
}
