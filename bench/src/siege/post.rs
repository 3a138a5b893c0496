//! The books about mail to people who do not read: what was promised and what arrived.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::words;
use crate::dialect::name_of;

const BODY_BYTES: usize = 1024;

/// All mail of one writer.
#[derive(Debug, Default)]
pub(crate) struct Post {
    readers: BTreeMap<usize, Reader>,
    /// To whom the messages went that are not answered yet.
    unanswered: VecDeque<(usize, u64)>,
    /// Messages that the server did not take.
    pub(crate) refused: u64,
}

#[derive(Debug, Default)]
struct Reader {
    sent: u64,
    promised: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    repeated: u64,
    out_of_order: u64,
}

/// What became of the mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Messages the server has promised to deliver.
    pub(crate) promised: u64,
    /// Promised, and did not arrive.
    pub(crate) lost: u64,
    /// Arrived once more.
    pub(crate) repeated: u64,
    /// Arrived behind a later one.
    pub(crate) out_of_order: u64,
}

impl Post {
    /// Makes the line with the next message to somebody.
    pub(crate) fn next_line(&mut self, to: usize) -> String {
        let reader = self.readers.entry(to).or_default();
        reader.sent += 1;
        self.unanswered.push_back((to, reader.sent));
        let body = words::numbered_body(reader.sent, BODY_BYTES);
        words::message(&format!("post-{to}-{}", reader.sent), &name_of(to), &body)
    }

    /// Takes note of the answer to the oldest message that has none.
    pub(crate) fn answered(&mut self, status: &str) {
        let Some((to, count)) = self.unanswered.pop_front() else { return };
        if status == "SUCCESS" {
            self.readers.entry(to).or_default().promised.insert(count);
        } else {
            self.refused += 1;
        }
    }

    /// Says whether every message was answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Takes note of a body that somebody has read.
    pub(crate) fn arrived(&mut self, person: usize, body: &str) {
        let Some(count) = words::count_in(body) else { return };
        let reader = self.readers.entry(person).or_default();
        let newest = reader.arrived.last().copied().unwrap_or(0);
        if !reader.arrived.insert(count) {
            reader.repeated += 1;
        } else if count < newest {
            reader.out_of_order += 1;
        }
    }

    /// Says what has become of all mail up to now.
    pub(crate) fn account(&self) -> Account {
        self.readers.values().fold(Account::default(), |sum, reader| Account {
            promised: sum.promised + reader.promised.len() as u64,
            lost: sum.lost + reader.promised.difference(&reader.arrived).count() as u64,
            repeated: sum.repeated + reader.repeated,
            out_of_order: sum.out_of_order + reader.out_of_order,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_promised_can_be_lost() {
        let mut post = Post::default();
        for to in [7, 7, 8, 7] {
            post.next_line(to);
        }
        for status in ["SUCCESS", "SUCCESS", "MAILBOX_FULL"] {
            post.answered(status);
        }
        assert!(!post.is_answered());
        assert_eq!(post.refused, 1);
        assert_eq!(post.account(), Account { promised: 2, lost: 2, ..Account::default() });
        post.arrived(7, "1 xx");
        post.arrived(7, "3 xx");
        assert_eq!(post.account().lost, 1, "the third was never promised, the second was");
        post.arrived(7, "2 xx");
        post.arrived(7, "2 xx");
        let account = Account { promised: 2, lost: 0, repeated: 1, out_of_order: 1 };
        assert_eq!(post.account(), account);
    }

    #[test]
    fn messages_to_each_are_counted_apart() {
        let mut post = Post::default();
        assert!(post.next_line(7).contains(r#""id":"post-7-1","user":"u0007","message":"1 x"#));
        assert!(post.next_line(8).contains(r#""id":"post-8-1""#));
        assert!(post.next_line(7).contains(r#""id":"post-7-2""#));
    }
}
