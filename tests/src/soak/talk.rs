//! Many people who write to each other, come back whenever their line breaks, and notice whatever
//! is lost, repeated or out of order.
//!
//! Each is the model of a client: it keeps what is not confirmed and sends it again under the same
//! id; it acknowledges after it has shown, and drops numbers that it has shown before. Every text
//! says which message of its sender to this reader it is: 1, 2, …; so each reader knows what must
//! come next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use whoelse_proto::Fingerprint;

use super::line::{Entry, Line};
use super::people;
use super::trouble::{Outcome, trouble};

/// How long a silence is before something else is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How people talk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How many talk.
    pub(crate) people: usize,
    /// How many more messages than are confirmed somebody may have sent.
    pub(crate) window: usize,
    /// How long somebody waits before writing more.
    pub(crate) pause: Duration,
    /// One text of so many is long; 0: none.
    pub(crate) long_every: u32,
    /// How long a long one may be.
    pub(crate) long_bytes: usize,
    /// How many more there are who never come, and are written to all the same.
    pub(crate) absent: usize,
    /// Whether people come in by password only.
    pub(crate) is_without_keys: bool,
    /// Whether people also break their lines, log out and stay away by themselves.
    pub(crate) is_restless: bool,
    /// What all choices come from.
    pub(crate) seed: u64,
}

impl Terms {
    /// How many times as patient each of many is as one of a few: the server is to be measured, and not how
    /// often a thousand threads can wake up beside it.
    fn crowd(self) -> u32 {
        u32::try_from(self.people / 50).unwrap_or(u32::MAX).max(1)
    }
}

/// What has been counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Messages confirmed.
    pub(crate) confirmed: u64,
    /// Messages shown.
    pub(crate) shown: u64,
    /// Messages that came again and were known by their number.
    pub(crate) known: u64,
    /// Messages shown a second time.
    pub(crate) repeated: u64,
    /// Messages before which another one should have come.
    pub(crate) disordered: u64,
    /// Logins.
    pub(crate) visits: u64,
    /// Confirmed messages that were not shown, now.
    pub(crate) missing: u64,
}

/// People who talk.
pub(crate) struct Talk {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    terms: Terms,
    address: SocketAddr,
    key: Fingerprint,
    is_sending: AtomicBool,
    is_over: AtomicBool,
    /// How many are logged in.
    present: AtomicUsize,
    /// For each sender and reader, how many were confirmed and how many were shown.
    confirmed: Vec<AtomicU64>,
    shown: Vec<AtomicU64>,
    unconfirmed: AtomicU64,
    known: AtomicU64,
    repeated: AtomicU64,
    disordered: AtomicU64,
    visits: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Talk {
    /// Has people talk through this address, to a server with this key.
    pub(crate) fn begin(address: SocketAddr, key: Fingerprint, terms: Terms) -> Self {
        let pairs = terms.people * terms.people;
        let zeros = || (0..pairs).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            terms,
            address,
            key,
            is_sending: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            present: AtomicUsize::new(0),
            confirmed: zeros(),
            shown: zeros(),
            unconfirmed: AtomicU64::new(0),
            known: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            disordered: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            faults: Mutex::default(),
        });
        let talker = |number| {
            let talker = Talker::new(Arc::clone(&shared), number);
            std::thread::spawn(move || talker.live())
        };
        let threads = (0..terms.people).map(talker).collect();
        Self { shared, threads }
    }

    /// Ends at once, whatever is on its way; says what should not have been said.
    pub(crate) fn stop(self) -> Vec<String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let faults = self.faults();
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
        faults
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let sum = |numbers: &[AtomicU64]| numbers.iter().map(load).sum();
        let pairs = self.shared.confirmed.iter().zip(&self.shared.shown);
        Counts {
            confirmed: sum(&self.shared.confirmed),
            shown: sum(&self.shared.shown),
            known: load(&self.shared.known),
            repeated: load(&self.shared.repeated),
            disordered: load(&self.shared.disordered),
            visits: load(&self.shared.visits),
            missing: pairs.map(|(sent, shown)| load(sent).saturating_sub(load(shown))).sum(),
        }
    }

    /// How many are logged in.
    pub(crate) fn present(&self) -> usize {
        self.shared.present.load(Ordering::Relaxed)
    }

    /// What should not have been said to them.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something is so; says whether it was in time.
    pub(crate) fn wait(&self, patience: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if is_so(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        is_so(self)
    }

    /// Has them write nothing new.
    pub(crate) fn quiet(&self) {
        self.shared.is_sending.store(false, Ordering::Relaxed);
    }

    /// Has them write nothing new, waits until everything is confirmed and shown, and ends.
    ///
    /// Says what was counted; what is missing then is lost.
    pub(crate) fn drain(self, patience: Duration) -> (Counts, Vec<String>) {
        self.quiet();
        self.wait(patience, |talk| {
            load(&talk.shared.unconfirmed) == 0 && talk.counts().missing == 0
        });
        let unconfirmed = load(&self.shared.unconfirmed);
        self.shared.is_over.store(true, Ordering::Relaxed);
        let (counts, mut faults) = (self.counts(), self.faults());
        if unconfirmed > 0 {
            faults.push(format!("{unconfirmed} messages are not confirmed in the end"));
        }
        for thread in self.threads {
            if thread.join().is_err() {
                faults.push("a thread of the harness panicked".to_owned());
            }
        }
        (counts, faults)
    }
}

fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

impl Shared {
    fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < 20 {
            faults.push(what);
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Somebody who talks.
struct Talker {
    shared: Arc<Shared>,
    number: usize,
    random: ChaCha8Rng,
    instance: String,
    /// What is not confirmed, in the order in which it was sent, by its own number.
    outbox: BTreeMap<u64, Letter>,
    next_letter: u64,
    /// The last message to each reader.
    last_to: Vec<u64>,
    /// The last number shown, and the last acknowledged, of the mailbox.
    shown: u64,
    acknowledged: u64,
    server: Option<Value>,
    write_at: Instant,
}

/// A message on its way.
struct Letter {
    to: usize,
    line: String,
}

impl Talker {
    fn new(shared: Arc<Shared>, number: usize) -> Self {
        let seed = shared.terms.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            number,
            instance: format!("talker {number}"),
            outbox: BTreeMap::new(),
            next_letter: 1,
            last_to: vec![0; shared.terms.people + shared.terms.absent],
            shown: 0,
            acknowledged: 0,
            server: None,
            write_at: Instant::now(),
            shared,
        }
    }

    fn live(mut self) {
        while !self.shared.is_over() {
            if self.visit().is_err() {
                // The line broke, or nobody is there: a moment later somebody may be.
                let pause = Duration::from_millis(self.random.random_range(2..12));
                std::thread::sleep(pause * self.shared.terms.crowd());
            }
        }
    }

    /// Logs in and talks until the line breaks.
    fn visit(&mut self) -> Outcome<()> {
        let by_key = self.random.random_bool(0.9) && !self.shared.terms.is_without_keys;
        let entry = if by_key { Entry::Resume(self.shared.key) } else { Entry::Password };
        let mut line = Line::connect(self.shared.address)?;
        let answer = line.enter(self.number, &self.instance, &entry)?;
        if answer["status"] != "SUCCESS" {
            if answer["status"] != "BUSY" {
                self.shared.fault(format!("person {} is not let in: {answer}", self.number));
            }
            return trouble("not let in");
        }
        self.check_welcome(&answer);
        self.shared.visits.fetch_add(1, Ordering::Relaxed);
        self.shared.present.fetch_add(1, Ordering::Relaxed);
        let outcome = self.talk(line);
        self.shared.present.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    fn check_welcome(&mut self, answer: &Value) {
        let server = self.server.get_or_insert_with(|| answer["server"].clone());
        if *server != answer["server"] {
            self.shared.fault(format!("the server has another id: {answer}"));
        }
        let acknowledged = answer["acknowledged"].as_u64();
        if acknowledged.is_none_or(|number| number > self.acknowledged) {
            let ours = self.acknowledged;
            self.shared.fault(format!("{ours} was acknowledged, and the server says {answer}"));
        }
    }

    fn talk(&mut self, mut line: Line) -> Outcome<()> {
        let again: String = self.outbox.values().map(|letter| letter.line.as_str()).collect();
        line.say_bytes(again.as_bytes())?;
        while !self.shared.is_over() {
            let new = self.write();
            if !new.is_empty() {
                line.say_bytes(new.as_bytes())?;
            }
            line.read(TICK * self.shared.terms.crowd().min(10))?;
            while let Some(value) = line.next()? {
                self.take(&value);
            }
            if self.acknowledged < self.shown {
                self.acknowledged = self.shown;
                line.say(&json!({"action": "ack", "number": self.shown}))?;
            }
            if self.shared.terms.is_restless && self.random.random_ratio(1, 400) {
                self.leave(line);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes away in one way or another, and stays away for a moment.
    fn leave(&mut self, mut line: Line) {
        match self.random.random_range(0..3) {
            0 => line.reset(),
            1 => drop(line),
            // If it does not arrive, the line has broken anyway.
            _ => drop(line.say(&json!({"action": "logout"}))),
        }
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..300)));
    }

    /// New messages, if it is time for some.
    fn write(&mut self) -> String {
        let terms = self.shared.terms;
        let mut lines = String::new();
        if !self.shared.is_sending.load(Ordering::Relaxed) || self.write_at > Instant::now() {
            return lines;
        }
        while self.outbox.len() < terms.window {
            let to = self.reader();
            self.last_to[to] += 1;
            let is_long = terms.long_every > 0 && self.random.random_ratio(1, terms.long_every);
            let padding = if is_long { self.random.random_range(0..terms.long_bytes) } else { 0 };
            let id = format!("{}.{}", self.number, self.next_letter);
            let text = format!("{} {id} {to} {}", self.last_to[to], "x".repeat(padding));
            let line = json!({"action": "message", "user": people::name(to), "message": text,
                "id": id});
            let line = format!("{line}\n");
            lines.push_str(&line);
            self.outbox.insert(self.next_letter, Letter { to, line });
            self.next_letter += 1;
            self.shared.unconfirmed.fetch_add(1, Ordering::Relaxed);
            if !terms.pause.is_zero() {
                self.write_at = Instant::now() + terms.pause;
                break;
            }
        }
        lines
    }

    /// Whom to write to: seldom somebody who never comes, and not so often that the mailbox fills.
    fn reader(&mut self) -> usize {
        const WAITING_MAX: u64 = 100;
        let terms = self.shared.terms;
        if terms.absent > 0 && self.random.random_ratio(1, 20) {
            let absent = terms.people + self.random.random_range(0..terms.absent);
            if self.last_to[absent] < WAITING_MAX {
                return absent;
            }
        }
        let to = self.random.random_range(0..terms.people - 1);
        to + usize::from(to >= self.number)
    }

    fn take(&mut self, value: &Value) {
        match value["action"].as_str() {
            Some("message") => self.take_answer(value),
            Some("receive_message") => self.take_mail(value),
            Some("login_broadcast" | "logout_broadcast" | "logout" | "delivered") => {}
            _ => self.shared.fault(format!("person {} is told {value}", self.number)),
        }
    }

    fn take_answer(&mut self, value: &Value) {
        let id = value["id"].as_str().and_then(|id| id.split_once('.')?.1.parse::<u64>().ok());
        let letter = id.and_then(|id| self.outbox.remove(&id));
        let Some(letter) = letter.filter(|_| value["status"] == "SUCCESS") else {
            self.shared.fault(format!("person {} is answered {value}", self.number));
            return;
        };
        let people = self.shared.terms.people;
        if letter.to < people {
            let pair = self.number * people + letter.to;
            self.shared.confirmed[pair].fetch_add(1, Ordering::Relaxed);
        }
        self.shared.unconfirmed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Shows a message, unless it was shown before.
    fn take_mail(&mut self, value: &Value) {
        let number = value["number"].as_u64().unwrap_or_default();
        if number <= self.shown {
            self.shared.known.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if number != self.shown + 1 {
            let what = format!("person {}: after {} comes {number}", self.number, self.shown);
            self.shared.fault(what);
        }
        self.shown = number;
        let from = value["from"].as_str().and_then(people::number);
        let text = value["message"].as_str().and_then(|text| text.split_once(' ')?.0.parse().ok());
        let (Some(from), Some(text)) = (from, text) else {
            self.shared.fault(format!("person {} reads {value}", self.number));
            return;
        };
        self.show(from, text);
    }

    fn show(&self, from: usize, text: u64) {
        let last = &self.shared.shown[from * self.shared.terms.people + self.number];
        match text.cmp(&(load(last) + 1)) {
            std::cmp::Ordering::Equal => last.store(text, Ordering::Relaxed),
            std::cmp::Ordering::Less => {
                self.shared.repeated.fetch_add(1, Ordering::Relaxed);
                self.shared.fault(format!("{} reads {text} of {from} again", self.number));
            }
            std::cmp::Ordering::Greater => {
                self.shared.disordered.fetch_add(1, Ordering::Relaxed);
                let what = format!("{} reads {text} of {from} after {}", self.number, load(last));
                self.shared.fault(what);
                last.store(text, Ordering::Relaxed);
            }
        }
    }
}
