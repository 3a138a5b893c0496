//! What is unfinished in a log, found in one pass at the start.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};

use super::backwards::LINE_BYTES_MAX;
use super::entry::{Entry, Mail};
use super::storage::{Ahead, Storage};

/// Most messages without an outcome that are taken up again; those behind them are at the next
/// start. A client does not take in as many without a connection.
const UNFINISHED_MAX: usize = 2_000;

/// Most messages for whose delivery is asked: the newest.
const UNDELIVERED_MAX: usize = 1_024;

/// Nor are older ones: the server does not remember them.
const UNDELIVERED_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1000;

/// Most received messages that were not shown. A mailbox does not hold more.
const UNSHOWN_MAX: usize = 10_000;

/// Most received messages that are known again although the server calls itself another.
const SEEN_MAX: usize = 10_000;

/// What the log says that matters for what comes now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Messages of the person without an outcome, in their order.
    pub unfinished: Vec<Unfinished>,
    /// Ids of messages that the server has, and their recipients; the oldest first.
    pub undelivered: Vec<(String, String)>,
    /// Messages received and not shown, in their order.
    pub unshown: Vec<Mail>,
    /// For each server data, the number up to which everything was shown.
    pub shown: BTreeMap<String, u64>,
    /// What was received, by [`fingerprint`].
    pub seen: HashSet<u64>,
    /// The last number of ours for messages that came without one.
    pub last_number: u64,
    /// Lines that could not be read.
    pub damaged: usize,
    /// Of how many the person was told before.
    pub damaged_told: usize,
}

/// A message without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The id of the request.
    pub id: String,
    /// To whom.
    pub to: String,
    /// What it says.
    pub text: String,
    /// How long ago it was written; 0 if the clock says that it was not yet.
    pub age_ms: u64,
}

/// By what a message is known again under another server id, as it has after a restore. Two that
/// agree in all of this are the same: the time has milliseconds.
///
/// None if the server tells too little.
#[must_use]
pub fn fingerprint(mail: &Mail) -> Option<u64> {
    let (id, at) = (mail.id.as_ref()?, mail.at.as_ref()?);
    let mut hasher = DefaultHasher::new();
    (id, at, &mail.from, &mail.text).hash(&mut hasher);
    Some(hasher.finish())
}

/// Reads a log from its beginning up to this length.
pub(super) fn remember(file: &impl Storage, length: u64, now_ms: u64) -> io::Result<Remembered> {
    let mut reading = Reading { now_ms, ..Reading::default() };
    let mut reader = BufReader::with_capacity(256 * 1024, Ahead::new(file, length));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(reading.done());
        }
        if line.last() != Some(&b'\n') {
            skip_line(&mut reader)?;
            reading.remembered.damaged += 1;
            continue;
        }
        match Entry::read(&line[..read - 1]) {
            Some(entry) => reading.take(entry),
            None => reading.remembered.damaged += 1,
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = buffer.len();
        reader.consume(end.map_or(length, |at| at + 1));
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

/// The run of the client that made a message, and which of its requests it was.
///
/// The order of the lines is not that of the messages: one that had no room at first stands behind
/// those that were written after it and had.
type Place = (u64, u64);

#[derive(Default)]
struct Reading {
    now_ms: u64,
    remembered: Remembered,
    /// Messages without an outcome, by their place in the order.
    waiting: BTreeMap<Place, Unfinished>,
    /// Messages that the server has, by the same.
    undelivered: BTreeMap<Place, (String, String)>,
    /// Where each message that is not done stands.
    places: HashMap<String, Place>,
    /// With what the ids of the last run begin.
    prefix: String,
    last_run: u64,
    unshown: VecDeque<Mail>,
    /// As the set of those seen, in their order.
    seen: VecDeque<u64>,
}

impl Reading {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Out { id, to, text, at } => self.take_out(id, to, text, at.as_deref()),
            Entry::Sent { id } => {
                let Some(place) = self.places.get(&id) else { return };
                let Some(message) = self.waiting.remove(place) else { return };
                if message.age_ms >= UNDELIVERED_MS_MAX {
                    self.places.remove(&id);
                    return;
                }
                self.undelivered.insert(*place, (id, message.to));
                if self.undelivered.len() > UNDELIVERED_MAX
                    && let Some((_, (id, _))) = self.undelivered.pop_first()
                {
                    self.places.remove(&id);
                }
            }
            Entry::Refused { id, .. } | Entry::Delivered { id } => {
                if let Some(place) = self.places.remove(&id) {
                    self.waiting.remove(&place);
                    self.undelivered.remove(&place);
                }
            }
            Entry::In(mail) => self.take_in(mail),
            Entry::Shown { server, number } => self.take_shown(server, number),
            Entry::Damaged { lines } => self.remembered.damaged_told = lines,
            Entry::Unknown => {}
        }
    }

    fn take_out(&mut self, id: String, to: String, text: String, at: Option<&str>) {
        let place = self.place(&id);
        if self.waiting.len() >= UNFINISHED_MAX {
            let Some(last) = self.waiting.last_entry().filter(|last| *last.key() > place) else {
                return;
            };
            self.places.remove(&last.remove().id);
        }
        self.places.insert(id.clone(), place);
        let age_ms = self.age_ms(at);
        self.waiting.insert(place, Unfinished { id, to, text, age_ms });
    }

    /// Where a message stands by its id: a prefix that every run makes anew, and a number.
    fn place(&mut self, id: &str) -> Place {
        let parts = id.rsplit_once('-');
        let (prefix, number) = parts
            .and_then(|(prefix, number)| Some((prefix, number.parse().ok()?)))
            .unwrap_or((id, 0));
        if prefix != self.prefix {
            prefix.clone_into(&mut self.prefix);
            self.last_run += 1;
        }
        (self.last_run, number)
    }

    fn take_in(&mut self, mail: Mail) {
        if mail.server.is_none() {
            self.remembered.last_number = self.remembered.last_number.max(mail.number);
        }
        if let Some(fingerprint) = fingerprint(&mail) {
            self.seen.push_back(fingerprint);
            if self.seen.len() > SEEN_MAX {
                self.seen.pop_front();
            }
        }
        self.unshown.push_back(mail);
        if self.unshown.len() > UNSHOWN_MAX {
            self.unshown.pop_front();
        }
    }

    fn take_shown(&mut self, server: Option<String>, number: u64) {
        self.unshown.retain(|mail| mail.server != server || mail.number > number);
        if let Some(server) = server {
            let shown = self.remembered.shown.entry(server).or_default();
            *shown = (*shown).max(number);
        }
    }

    fn age_ms(&self, at: Option<&str>) -> u64 {
        let at = at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
        // What cannot be read may be as old as can be.
        at.map_or(u64::MAX, |at| {
            self.now_ms.saturating_sub(u64::try_from(at.as_millisecond()).unwrap_or(0))
        })
    }

    fn done(self) -> Remembered {
        Remembered {
            unfinished: self.waiting.into_values().collect(),
            undelivered: self.undelivered.into_values().collect(),
            unshown: self.unshown.into(),
            seen: self.seen.into_iter().collect(),
            ..self.remembered
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn of(lines: &str) -> Remembered {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, lines).unwrap();
        remember(&File::open(path).unwrap(), lines.len() as u64, 10 * DAY_MS).unwrap()
    }

    fn out(id: &str, at: &str) -> String {
        format!(
            "{{\"kind\":\"out\",\"id\":\"{id}\",\"to\":\"luke\",\"text\":\"{id}\",\"at\":\"{at}\"}}\n"
        )
    }

    fn mail(server: &str, number: u64) -> String {
        format!(
            "{{\"kind\":\"in\",{server}\"number\":{number},\"from\":\"luke\",\"text\":\"m{number}\"}}\n"
        )
    }

    const SERVER: &str = r#""server":"s1","#;

    #[test]
    fn what_has_no_outcome_is_unfinished_in_its_order_and_with_its_age() {
        let lines = [
            out("a-1", "1970-01-10T00:00:00Z"),
            out("a-2", "1970-01-10T00:00:00Z"),
            out("a-3", "1970-01-10T00:00:00Z"),
            "{\"kind\":\"sent\",\"id\":\"a-2\"}\n{\"kind\":\"later\"}\n".into(),
            "{\"kind\":\"refused\",\"id\":\"a-3\",\"status\":\"USER_BLOCKED\"}\n".into(),
            out("b-1", "1971-01-01T00:00:00Z"),
            out("b-2", "once upon a time"),
            "{\"kind\":\"sent\",\"id\":\"never\"}\n".into(),
        ];
        let remembered = of(&lines.concat());
        let unfinished: Vec<_> =
            remembered.unfinished.iter().map(|it| (it.id.as_str(), it.age_ms)).collect();
        assert_eq!(unfinished, [("a-1", DAY_MS), ("b-1", 0), ("b-2", u64::MAX)]);
        assert_eq!(remembered.undelivered, [("a-2".to_owned(), "luke".to_owned())]);
        assert_eq!(remembered.damaged, 0);
    }

    #[test]
    fn what_had_no_room_at_first_keeps_its_place_before_what_was_written_after_it() {
        let at = "1970-01-10T00:00:00Z";
        let ids = |lines: &[String]| -> Vec<String> {
            of(&lines.concat()).unfinished.into_iter().map(|it| it.id).collect()
        };
        let lines = ["b-9", "a-3", "a-10", "a-2", "a-4"].map(|id| out(id, at));
        assert_eq!(ids(&lines), ["b-9", "a-2", "a-3", "a-4", "a-10"]);
        let mut many: Vec<_> =
            (1..=UNFINISHED_MAX).map(|n| out(&format!("a-{}", n + 1), at)).collect();
        many.push(out("a-1", at));
        let found = ids(&many);
        assert_eq!((found.len(), found[0].as_str()), (UNFINISHED_MAX, "a-1"));
        assert_eq!(found[UNFINISHED_MAX - 1], format!("a-{UNFINISHED_MAX}"));
    }

    #[test]
    fn what_was_delivered_or_is_too_old_to_be_known_is_not_asked_for() {
        let lines = [
            out("a-1", "1970-01-02T00:00:00Z"),
            "{\"kind\":\"sent\",\"id\":\"a-1\"}\n".into(),
            out("a-2", "1970-01-10T00:00:00Z"),
            "{\"kind\":\"sent\",\"id\":\"a-2\"}\n{\"kind\":\"delivered\",\"id\":\"a-2\"}\n".into(),
        ];
        let remembered = of(&lines.concat());
        assert_eq!((remembered.undelivered, remembered.unfinished), (vec![], vec![]));
    }

    #[test]
    fn what_was_received_and_not_shown_is_found_for_each_server() {
        let lines = [
            mail(SERVER, 1),
            mail(SERVER, 2),
            mail("", 1),
            mail("", 2),
            "{\"kind\":\"shown\",\"server\":\"s1\",\"number\":1}\n".into(),
            "{\"kind\":\"shown\",\"number\":1}\n".into(),
            mail(r#""server":"s2","#, 1),
        ];
        let remembered = of(&lines.concat());
        let unshown: Vec<_> =
            remembered.unshown.iter().map(|it| (it.server.as_deref(), it.number)).collect();
        assert_eq!(unshown, [(Some("s1"), 2), (None, 2), (Some("s2"), 1)]);
        assert_eq!(remembered.shown, BTreeMap::from([("s1".to_owned(), 1)]));
        assert_eq!(remembered.last_number, 2);
    }

    #[test]
    fn damaged_lines_are_counted_and_cost_nothing_else() {
        let long = "x".repeat(LINE_BYTES_MAX * 2);
        let lines = format!(
            "{}nonsense\n\n{long}\n{}",
            out("a-1", "1970-01-10T00:00:00Z"),
            out("a-2", "1970-01-10T00:00:00Z")
        );
        let remembered = of(&lines);
        assert_eq!((remembered.damaged, remembered.unfinished.len()), (3, 2));
        let told = of(&(lines + "{\"kind\":\"damaged\",\"lines\":3}\n"));
        assert_eq!((told.damaged, told.damaged_told), (3, 3));
    }

    #[test]
    fn a_log_of_any_length_leaves_a_bounded_memory() {
        let outs: String = (0..UNFINISHED_MAX + 5)
            .map(|n| out(&format!("a-{n}"), "1970-01-10T00:00:00Z"))
            .collect();
        let remembered = of(&outs);
        assert_eq!(remembered.unfinished.len(), UNFINISHED_MAX);
        assert_eq!(remembered.unfinished[0].id, "a-0", "the oldest go first");
        let sent: String = (0..UNDELIVERED_MAX + 5)
            .map(|n| {
                out(&format!("a-{n}"), "1970-01-10T00:00:00Z")
                    + &format!("{{\"kind\":\"sent\",\"id\":\"a-{n}\"}}\n")
            })
            .collect();
        assert_eq!(of(&sent).undelivered.len(), UNDELIVERED_MAX);
        assert_eq!(of(&sent).undelivered[0].0, "a-5", "the newest matter");
        let mails: String = (1..=UNSHOWN_MAX as u64 + 5).map(|n| mail(SERVER, n)).collect();
        assert_eq!(of(&mails).unshown.len(), UNSHOWN_MAX);
    }

    #[test]
    fn a_message_is_known_again_by_all_that_makes_it() {
        let mail = |id: &str, at: &str, from: &str, text: &str| Mail {
            server: Some("s".into()),
            number: 1,
            id: Some(id.into()),
            from: from.into(),
            text: text.into(),
            at: Some(at.into()),
        };
        let one = fingerprint(&mail("1-3", "t", "luke", "ok"));
        let moved =
            Mail { server: Some("restored".into()), number: 9, ..mail("1-3", "t", "luke", "ok") };
        assert_eq!(one, fingerprint(&moved));
        for other in [
            mail("1-4", "t", "luke", "ok"),
            mail("1-3", "u", "luke", "ok"),
            mail("1-3", "t", "lukeo", "k"),
            mail("1-3", "t", "luke", "OK"),
        ] {
            assert_ne!(one, fingerprint(&other));
        }
        assert_eq!(fingerprint(&Mail { at: None, ..moved }), None);
    }
}
