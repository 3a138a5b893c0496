//! Reading a log for a person: what was said with somebody, and what holds some words.
//!
//! Both go from the end and take no more of the file into memory than what is shown.

use std::collections::HashMap;
use std::io;

use super::backwards::Backwards;
use super::entry::{Entry, Mail};
use super::storage::Storage;

/// Most messages of a history.
pub const HISTORY_MAX: usize = 1_000;

/// Most messages that a search shows.
pub const SEARCH_MAX: usize = 50;

/// Most text that is shown at once, in bytes; the newest.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Most outcomes remembered on the way to their messages. Each is near its own.
const OUTCOMES_MAX: usize = 100_000;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The last so many messages from and to somebody.
    History {
        /// Whom.
        user: String,
        /// How many.
        count: usize,
    },
    /// Messages that hold all these words, in any case.
    Search {
        /// The words, with spaces between them.
        words: String,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The messages, the oldest first.
    pub said: Vec<Said>,
    /// How many more there are, older than these; only a search counts them.
    pub more: u64,
}

/// A message of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// With whom.
    pub user: String,
    /// What became of it, if it was written here; none if it was received.
    pub state: Option<State>,
    /// What it says.
    pub text: String,
    /// When, as RFC 3339 writes it.
    pub at: Option<String>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was not confirmed yet.
    Waiting,
    /// The server has it.
    Sent,
    /// A device of the recipient has it.
    Delivered,
    /// It was not taken, by the server's word for the reason, or one of ours.
    Refused(String),
}

/// Looks through the lines.
pub(super) fn look<S: Storage>(mut lines: Backwards<'_, S>, look: &Look) -> io::Result<Found> {
    let (count, words) = match look {
        Look::History { count, .. } => ((*count).min(HISTORY_MAX), Vec::new()),
        Look::Search { words } => {
            (SEARCH_MAX, words.split_whitespace().map(str::to_lowercase).collect())
        }
    };
    let mut outcomes = HashMap::new();
    let mut found = Found::default();
    let mut bytes = 0;
    while let Some(line) = lines.next_line()? {
        let Some(said) = Entry::read(&line).and_then(|entry| said(entry, &mut outcomes)) else {
            continue;
        };
        let is_wanted = match look {
            Look::History { user, .. } => said.user == *user,
            Look::Search { .. } => {
                let text = said.text.to_lowercase();
                words.iter().all(|word| text.contains(word))
            }
        };
        if !is_wanted {
            continue;
        }
        bytes += said.text.len();
        let is_full = found.said.len() >= count || bytes > TEXT_BYTES_MAX;
        match look {
            Look::History { .. } if is_full => break,
            Look::Search { .. } if is_full => found.more += 1,
            _ => found.said.push(said),
        }
    }
    found.said.reverse();
    Ok(found)
}

/// The message of an entry, if it is one; else what it says about one is noted.
fn said(entry: Entry, outcomes: &mut HashMap<String, State>) -> Option<Said> {
    let (id, state) = match entry {
        Entry::In(Mail { from: user, text, at, .. }) => {
            return Some(Said { user, state: None, text, at });
        }
        Entry::Out { id, to: user, text, at } => {
            let state = outcomes.remove(&id).unwrap_or(State::Waiting);
            return Some(Said { user, state: Some(state), text, at });
        }
        Entry::Sent { id } => (id, State::Sent),
        Entry::Delivered { id } => (id, State::Delivered),
        Entry::Refused { id, status } => (id, State::Refused(status)),
        Entry::Shown { .. } | Entry::Damaged { .. } | Entry::Unknown => return None,
    };
    if outcomes.len() < OUTCOMES_MAX {
        // The newest word about a message is the first on this way.
        outcomes.entry(id).or_insert(state);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    fn mail(from: &str, text: &str) -> Entry {
        let at = Some("2026-01-01T00:00:00Z".to_owned());
        let (from, text) = (from.to_owned(), text.to_owned());
        Entry::In(Mail { server: None, number: 1, id: None, from, text, at })
    }

    fn out(id: &str, to: &str) -> Entry {
        Entry::Out { id: id.into(), to: to.into(), text: format!("text of {id}"), at: None }
    }

    fn sent(id: &str) -> Entry {
        Entry::Sent { id: id.into() }
    }

    fn bytes(entries: &[Entry]) -> Vec<u8> {
        entries.iter().fold(Vec::new(), |mut bytes, entry| {
            entry.write("2026-01-01T00:00:00Z", &mut bytes);
            bytes
        })
    }

    fn find(entries: &[Entry], wanted: &Look) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = bytes(entries);
        file.write_all(&bytes).unwrap();
        look(Backwards::new(&file, bytes.len() as u64), wanted).unwrap()
    }

    fn history(user: &str, count: usize) -> Look {
        Look::History { user: user.into(), count }
    }

    fn search(words: &str) -> Look {
        Look::Search { words: words.into() }
    }

    fn texts(found: &Found) -> Vec<&str> {
        found.said.iter().map(|said| said.text.as_str()).collect()
    }

    #[test]
    fn a_history_has_both_sides_in_order_and_what_became_of_our_own() {
        let refused = Entry::Refused { id: "a-4".into(), status: "MAILBOX_FULL".into() };
        let entries = [
            out("a-1", "luke"),
            sent("a-1"),
            mail("luke", "hi"),
            mail("Luke", "somebody else"),
            out("a-2", "luke"),
            out("a-3", "luke"),
            sent("a-2"),
            sent("a-3"),
            Entry::Delivered { id: "a-3".into() },
            out("a-4", "luke"),
            refused,
            out("a-5", "luke"),
            Entry::Shown { server: None, number: 1 },
        ];
        let found = find(&entries, &history("luke", 20));
        let states: Vec<_> = found.said.iter().map(|said| said.state.clone()).collect();
        assert_eq!(
            states,
            [
                Some(State::Sent),
                None,
                Some(State::Sent),
                Some(State::Delivered),
                Some(State::Refused("MAILBOX_FULL".into())),
                Some(State::Waiting),
            ]
        );
        assert_eq!(texts(&found)[..2], ["text of a-1", "hi"]);
        assert_eq!(texts(&find(&entries, &history("luke", 2))), ["text of a-4", "text of a-5"]);
        assert_eq!(find(&entries, &history("nobody", 2)), Found::default());
    }

    #[test]
    fn a_search_wants_all_words_in_any_case_and_counts_what_it_does_not_show() {
        let mut entries = vec![mail("luke", "Dinner at ÉCOLE"), mail("luke", "dinner")];
        assert_eq!(texts(&find(&entries, &search("école DINNER"))), ["Dinner at ÉCOLE"]);
        assert_eq!(texts(&find(&entries, &search("inn"))), ["Dinner at ÉCOLE", "dinner"]);
        assert_eq!(texts(&find(&entries, &search("lunch dinner"))), [""; 0]);
        entries.extend((0..60).map(|number| mail("luke", &format!("dinner {number}"))));
        let found = find(&entries, &search("dinner"));
        assert_eq!((found.said.len(), found.more), (SEARCH_MAX, 12));
        assert_eq!((texts(&found)[0], texts(&found)[49]), ("dinner 10", "dinner 59"));
    }

    #[test]
    fn what_is_shown_at_once_is_bounded() {
        let text = "x".repeat(60_000);
        let entries: Vec<_> = (0..200).map(|_| mail("luke", &text)).collect();
        let found = find(&entries, &history("luke", usize::MAX));
        assert_eq!(found.said.len(), TEXT_BYTES_MAX / text.len());
        let entries: Vec<_> = (0..=HISTORY_MAX).map(|_| mail("luke", "x")).collect();
        assert_eq!(find(&entries, &history("luke", usize::MAX)).said.len(), HISTORY_MAX);
    }

    #[test]
    fn a_history_of_a_long_log_reads_its_end_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let entries: Vec<_> = (0..20).map(|_| mail("luke", "x")).collect();
        let tail = bytes(&entries);
        let length = 100 << 20;
        // What stands before is a hole: reading it would take long, and it is no line.
        let file =
            File::options().create(true).truncate(true).read(true).write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"\n", length).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &tail, length + 1).unwrap();
        let lines = Backwards::new(&file, length + 1 + tail.len() as u64);
        assert_eq!(look(lines, &history("luke", 20)).unwrap().said.len(), 20);
    }
}
