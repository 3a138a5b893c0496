//! Somebody who writes letters to people who never come, and remembers which were confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::inspect::Found;
use super::line::Line;
use super::people;
use super::trouble::{Outcome, trouble};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Letters of one sender.
#[derive(Debug)]
pub(crate) struct Post {
    sender: usize,
    readers: Vec<usize>,
    next: u64,
    last_to: BTreeMap<usize, u64>,
    waiting: BTreeSet<u64>,
    confirmed: BTreeSet<u64>,
    /// The first answer that was no confirmation.
    pub(crate) refusal: Option<Value>,
}

impl Post {
    /// Of this person to these, in turn.
    pub(crate) fn new(sender: usize, readers: &[usize]) -> Self {
        Self {
            sender,
            readers: readers.to_vec(),
            next: 0,
            last_to: BTreeMap::new(),
            waiting: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            refusal: None,
        }
    }

    /// How many were confirmed.
    pub(crate) fn confirmed(&self) -> usize {
        self.confirmed.len()
    }

    /// Says so many letters of about this size at once, and waits until all are answered.
    pub(crate) fn send(&mut self, line: &mut Line, count: usize, bytes: usize) -> Outcome<()> {
        let mut lines = String::new();
        for _ in 0..count {
            self.next += 1;
            let to = self.readers[self.next as usize % self.readers.len()];
            let place = self.last_to.entry(to).or_default();
            *place += 1;
            let id = format!("{}.{}", self.sender, self.next);
            let text = format!("{place} {id} {to} {}", "x".repeat(bytes));
            let request = json!({"action": "message", "user": people::name(to), "message": text,
                "id": id});
            lines += &format!("{request}\n");
            self.waiting.insert(self.next);
        }
        line.say_bytes(lines.as_bytes())?;
        while !self.waiting.is_empty() && self.refusal.is_none() {
            let Some(value) = line.hear(PATIENCE)? else { return trouble("no answer in time") };
            self.take(value);
        }
        Ok(())
    }

    fn take(&mut self, value: Value) {
        if value["action"] != "message" {
            return;
        }
        if value["status"] != "SUCCESS" {
            self.refusal.get_or_insert(value);
            return;
        }
        let id = value["id"].as_str().and_then(|id| id.split_once('.')?.1.parse().ok());
        if let Some(id) = id {
            self.waiting.remove(&id);
            self.confirmed.insert(id);
        }
    }

    /// How many confirmed letters do not wait in data that were found.
    pub(crate) fn lost(&self, found: &Found) -> usize {
        let is_lost = |letter: &&u64| !found.letters.contains_key(&(self.sender, **letter));
        self.confirmed.iter().filter(is_lost).count()
    }
}
