//! What is in the log of a client, a second time and as naively as possible, to compare with.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use whoelse_client::log::{Entry, Found, Look, Mail, Remembered, Said, State, fingerprint};

use super::client_disk::{ClientDisk, Left};

/// So many messages are remembered to ask for their receipts.
const UNDELIVERED_MAX: usize = 1_024;

/// A log of more lines is long.
const OLD_LINES: usize = 300;

/// A log, and the disk it is on.
#[derive(Default)]
pub struct ClientLog {
    /// The disk.
    pub disk: ClientDisk,
    /// Every line that can be read, and where it ends.
    lines: Vec<(usize, Entry)>,
    /// Up to here everything was reported to be kept, come what may.
    promised: usize,
    /// Lines that cannot be read.
    damaged: usize,
    /// What was received, by its fingerprint.
    pub seen: BTreeSet<u64>,
    /// For each server data, up to where everything was shown.
    pub shown: BTreeMap<String, u64>,
    /// The ids of what the person wrote.
    pub ids: HashSet<String>,
}

impl ClientLog {
    /// Entries were appended, it is said.
    ///
    /// # Errors
    /// When the disk says something else.
    pub fn appended(&mut self, before: usize, entries: &[Entry]) -> Result<(), String> {
        let (length, synced) = self.disk.lengths();
        let ends: Vec<usize> = self.disk.from(before, |bytes| {
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.map(|(at, _)| before + at + 1).collect()
        });
        if ends.len() != entries.len() || ends.last() != Some(&length) {
            return Err(format!("{} lines for {} entries", ends.len(), entries.len()));
        }
        if entries.iter().any(Entry::is_promised) {
            self.promised = length;
            if synced < length {
                return Err(format!("{synced} of {length} bytes of a log are safe: {entries:?}"));
            }
        }
        for (end, entry) in ends.into_iter().zip(entries) {
            self.take(end, entry.clone());
        }
        Ok(())
    }

    fn take(&mut self, end: usize, entry: Entry) {
        match &entry {
            Entry::In(mail) => self.seen.extend(fingerprint(mail)),
            Entry::Out { id, .. } => {
                self.ids.insert(id.clone());
            }
            _ => note_shown(&mut self.shown, &entry),
        }
        self.lines.push((end, entry));
    }

    /// A crash has left this.
    pub fn crashed(&mut self, left: Left) {
        match left {
            Left::Beginning(length) => self.cut(length),
            Left::Other(length) => {
                self.cut(length);
                self.read();
            }
        }
    }

    /// Forgets what is behind a place.
    fn cut(&mut self, length: usize) {
        let mut has_shown = false;
        while let Some((_, entry)) = self.lines.pop_if(|(end, _)| *end > length) {
            match &entry {
                Entry::In(mail) => {
                    fingerprint(mail).map(|print| self.seen.remove(&print));
                }
                Entry::Out { id, .. } => {
                    self.ids.remove(id);
                }
                Entry::Shown { .. } => has_shown = true,
                Entry::Unknown => self.damaged -= 1,
                _ => {}
            }
        }
        if has_shown {
            self.shown.clear();
            for (_, entry) in &self.lines {
                note_shown(&mut self.shown, entry);
            }
        }
    }

    /// Where the last line ends.
    #[must_use]
    pub fn end(&self) -> usize {
        self.lines.last().map_or(0, |(end, _)| *end)
    }

    /// Somebody is about to open it. A write that failed may have left whole lines.
    pub fn about_to_open(&mut self) {
        if self.disk.lengths().0 > self.end() {
            self.read();
        }
    }

    /// Reads what is behind the lines that are known.
    fn read(&mut self) {
        let mut at = self.end();
        let bytes = self.disk.from(at, <[u8]>::to_vec);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            if line.last() != Some(&b'\n') {
                return;
            }
            match serde_json::from_slice(line) {
                Ok(entry) => self.take(at, entry),
                Err(_) => {
                    self.damaged += 1;
                    self.lines.push((at, Entry::Unknown));
                }
            }
        }
    }

    /// Compares with what a start found; undelivered messages only if the clock is right.
    ///
    /// # Errors
    /// Says what differs.
    pub fn compare(&self, found: &Remembered, is_clock_right: bool) -> Result<(), String> {
        let (length, _) = self.disk.lengths();
        if length < self.promised {
            return Err(format!("{length} bytes of {} that were kept are there", self.promised));
        }
        same("length", &self.end(), &length)?;
        let found_unfinished: Vec<&str> =
            found.unfinished.iter().map(|it| it.text.as_str()).collect();
        same("unfinished", &self.unfinished(), &found_unfinished)?;
        let unshown: Vec<&Mail> = found.unshown.iter().collect();
        same("unshown", &self.unshown(), &unshown)?;
        same("shown", &self.shown, &found.shown)?;
        same("damaged", &self.damaged, &found.damaged)?;
        let seen: BTreeSet<u64> = found.seen.iter().copied().collect();
        same("seen", &self.seen, &seen)?;
        let undelivered: Vec<&str> = found.undelivered.iter().map(|it| it.0.as_str()).collect();
        let expected: Vec<&str> = self.with_state(&State::Sent).map(|(id, _)| id).collect();
        // A start does not remember more, nor what is too old.
        if is_clock_right && self.ids.len() <= UNDELIVERED_MAX {
            return same("undelivered", &expected, &undelivered);
        }
        let expected: BTreeSet<&str> = expected.into_iter().collect();
        match undelivered.iter().find(|id| !expected.contains(**id)) {
            Some(id) => Err(format!("the log of a client: {id} was sent or delivered")),
            None => Ok(()),
        }
    }

    /// What the person wrote, with what became of it. A write that failed may have left a whole
    /// line, and the message is then kept again: it is one message.
    fn outs(&self) -> impl Iterator<Item = (&str, &str, &str, Outcomes)> {
        let mut outcomes: BTreeMap<&str, Outcomes> = BTreeMap::new();
        for (_, entry) in &self.lines {
            let (id, state) = match entry {
                Entry::Sent { id } => (id, State::Sent),
                Entry::Delivered { id } => (id, State::Delivered),
                Entry::Refused { id, status } => (id, State::Refused(status.clone())),
                _ => continue,
            };
            outcomes.entry(id).or_default().0.push(state);
        }
        let mut known = HashSet::new();
        self.lines.iter().filter_map(move |(_, entry)| {
            let Entry::Out { id, to, text, .. } = entry else { return None };
            if !known.insert(id) {
                return None;
            }
            let outcomes = outcomes.remove(id.as_str()).unwrap_or_default();
            Some((id.as_str(), to.as_str(), text.as_str(), outcomes))
        })
    }

    /// What the person wrote of which this became, in the order in which it was written: what had
    /// no room at first stands further behind.
    fn with_state(&self, state: &State) -> impl Iterator<Item = (&str, &str)> {
        let found = self.outs().filter(|(.., outcomes)| outcomes.lasting() == *state);
        let mut found: Vec<_> = found.map(|(id, _, text, _)| (id, text)).collect();
        found.sort_by_key(|(_, text)| number_of(text));
        found.into_iter()
    }

    /// Messages without an outcome: what they say.
    #[must_use]
    pub fn unfinished(&self) -> Vec<&str> {
        self.with_state(&State::Waiting).map(|(_, text)| text).collect()
    }

    /// Whether a message is there, and has no outcome.
    #[must_use]
    pub fn is_unfinished(&self, message: &str) -> bool {
        let mut outcomes = BTreeSet::new();
        for (_, entry) in self.lines.iter().rev() {
            match entry {
                Entry::Sent { id } | Entry::Refused { id, .. } | Entry::Delivered { id } => {
                    outcomes.insert(id);
                }
                Entry::Out { id, text, .. } if text == message => return !outcomes.contains(id),
                _ => {}
            }
        }
        false
    }

    /// Whether it is long, and nothing in it is of use any more.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.lines.len() > OLD_LINES && self.unfinished().is_empty() && self.unshown().is_empty()
    }

    /// All mail.
    pub fn mails(&self) -> impl Iterator<Item = &Mail> {
        self.lines.iter().filter_map(|(_, entry)| match entry {
            Entry::In(mail) => Some(mail),
            _ => None,
        })
    }

    /// Mail that was not shown, as far as the log says.
    #[must_use]
    pub fn unshown(&self) -> Vec<&Mail> {
        let mut shown: BTreeMap<&Option<String>, u64> = BTreeMap::new();
        let mut unshown = VecDeque::new();
        for (_, entry) in self.lines.iter().rev() {
            match entry {
                Entry::Shown { server, number } => {
                    let shown = shown.entry(server).or_default();
                    *shown = (*shown).max(*number);
                }
                Entry::In(mail) if shown.get(&mail.server).is_none_or(|it| mail.number > *it) => {
                    unshown.push_front(mail);
                }
                _ => {}
            }
        }
        unshown.into()
    }

    /// Compares what was found for somebody who asked.
    ///
    /// # Errors
    /// Says what differs.
    pub fn compare_found(&self, look: &Look, found: &Found) -> Result<(), String> {
        let mut states: BTreeMap<&str, State> = BTreeMap::new();
        for (id, _, _, outcomes) in self.outs() {
            states.insert(id, outcomes.0.last().cloned().unwrap_or(State::Waiting));
        }
        let said = |entry: &Entry| {
            Some(match entry {
                Entry::Out { id, to, text, .. } => {
                    (to.clone(), states.get(id.as_str()).cloned(), text.clone())
                }
                Entry::In(mail) => (mail.from.clone(), None, mail.text.clone()),
                _ => return None,
            })
        };
        let all = self.lines.iter().filter_map(|(_, entry)| said(entry));
        let (wanted, most): (Vec<_>, usize) = match look {
            Look::History { user, count } => (all.filter(|it| it.0 == *user).collect(), *count),
            Look::Search { words } => {
                (all.filter(|it| it.2.contains(words)).collect(), whoelse_client::log::SEARCH_MAX)
            }
        };
        let more = wanted.len().saturating_sub(most);
        let found_said: Vec<_> = found.said.iter().map(of).collect();
        same("found", &wanted[more..].to_vec(), &found_said)?;
        match look {
            Look::Search { .. } => same("more", &(more as u64), &found.more),
            Look::History { .. } => Ok(()),
        }
    }

    /// Reads what is on the disk, which must be what was put there.
    ///
    /// # Errors
    /// Says what differs.
    pub fn check(&mut self) -> Result<(), String> {
        let before: Vec<usize> = self.lines.iter().map(|(end, _)| *end).collect();
        let (damaged, seen) = (self.damaged, self.seen.clone());
        let end = self.end();
        self.cut(0);
        self.read();
        // What a write that failed has left is cut off by the next one.
        self.cut(end);
        let after: Vec<usize> = self.lines.iter().map(|(end, _)| *end).collect();
        same("lines", &before, &after)?;
        same("damaged", &damaged, &self.damaged)?;
        same("seen", &seen, &self.seen)
    }
}

fn note_shown(shown: &mut BTreeMap<String, u64>, entry: &Entry) {
    if let Entry::Shown { server: Some(server), number } = entry {
        let shown = shown.entry(server.clone()).or_default();
        *shown = (*shown).max(*number);
    }
}

/// Which of all that its writer ever wrote a message is: each says so.
fn number_of(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once('#')?;
    rest.split(' ').next()?.parse().ok()
}

fn of(said: &Said) -> (String, Option<State>, String) {
    (said.user.clone(), said.state.clone(), said.text.clone())
}

/// What became of a message, in its order.
#[derive(Default)]
struct Outcomes(Vec<State>);

impl Outcomes {
    /// A refusal is the end of it, and so is its arrival.
    fn lasting(&self) -> State {
        let is_end = |state: &&State| matches!(state, State::Refused(_) | State::Delivered);
        let end = self.0.iter().find(is_end).or(self.0.last());
        end.cloned().unwrap_or(State::Waiting)
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let words = |it: &T| format!("{it:?}").chars().take(2_000).collect::<String>();
    let (expected, found) = (words(expected), words(found));
    Err(format!("the log of a client, {what}: expected {expected}, found {found}"))
}
