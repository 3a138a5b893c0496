//! What a server has claimed, from everything that it said: which letters it confirmed, and which
//! it showed to whom under which number.

use std::collections::HashMap;

use serde_json::Value;

use super::inspect::Found;
use super::trace::{Entry, Trace};

/// A letter of [`super::talk`]: its sender and its number among the sender's letters.
pub(crate) type Letter = (usize, u64);

/// What was claimed of a letter, and by which entry of the trace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim {
    /// It was confirmed.
    pub(crate) confirmed: Option<usize>,
    /// It was shown under a number.
    pub(crate) shown: Option<(usize, u64)>,
}

/// All claims of a trace.
#[derive(Debug, Default)]
pub(crate) struct Said {
    claims: HashMap<Letter, Claim>,
    /// When the server first answered anybody.
    pub(crate) first: Option<usize>,
}

/// Reads the letter that a text is: `number sender.letter reader padding`.
pub(crate) fn letter_of(text: &str) -> Option<Letter> {
    id_of(text.split(' ').nth(1)?)
}

fn id_of(id: &str) -> Option<Letter> {
    let (sender, letter) = id.split_once('.')?;
    Some((sender.parse().ok()?, letter.parse().ok()?))
}

/// The place of a text among those of its sender to its reader, and that reader.
pub(crate) fn place_of(text: &str) -> Option<(u64, usize)> {
    let mut words = text.split(' ');
    Some((words.next()?.parse().ok()?, words.nth(1)?.parse().ok()?))
}

impl Said {
    /// Collects them.
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut said = Self::default();
        for (index, entry) in trace.entries.iter().enumerate() {
            if let Entry::Said { lines } = entry {
                said.first.get_or_insert(index);
                lines.iter().for_each(|line| said.take(index, line));
            }
        }
        said
    }

    fn take(&mut self, index: usize, line: &Value) {
        let text = |member: &str| line[member].as_str().unwrap_or_default();
        match text("action") {
            "message" if text("status") == "SUCCESS" => {
                if let Some(letter) = id_of(text("id")) {
                    self.claims.entry(letter).or_default().confirmed.get_or_insert(index);
                }
            }
            "receive_message" => {
                let letter = letter_of(text("message"));
                if let (Some(letter), Some(number)) = (letter, line["number"].as_u64()) {
                    let claim = self.claims.entry(letter).or_default();
                    claim.shown.get_or_insert((index, number));
                }
            }
            _ => {}
        }
    }

    /// How many letters were confirmed before an entry.
    pub(crate) fn confirmed(&self, before: usize) -> usize {
        let is_confirmed = |claim: &&Claim| claim.confirmed.is_some_and(|at| at < before);
        self.claims.values().filter(is_confirmed).count()
    }

    /// What of the claims made before an entry does not hold in data that were found: each letter
    /// that was confirmed or shown must wait, or be acknowledged under the number it was shown with.
    pub(crate) fn broken(&self, before: usize, found: &Found) -> Vec<String> {
        let mut broken = Vec::new();
        for (letter, claim) in &self.claims {
            let confirmed = claim.confirmed.is_some_and(|at| at < before);
            let shown = claim.shown.filter(|(at, _)| *at < before).map(|(_, number)| number);
            if !confirmed && shown.is_none() {
                continue;
            }
            let is_there = match (found.letters.get(letter), shown) {
                (Some((_, number)), Some(shown)) => *number == shown,
                (Some(_), None) => true,
                (None, _) => {
                    // Who reads it, nobody said; so any acknowledgement must reach its number.
                    shown.is_some_and(|number| found.acknowledged_max >= number)
                }
            };
            if !is_there {
                broken.push(format!("{letter:?}: {claim:?}"));
            }
        }
        broken
    }
}
