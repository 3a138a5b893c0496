//! A legitimate person who logs in, writes a message and leaves, again and again, during an attack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::figures::Times;
use super::progress;
use super::verdict::Verdict;
use super::wire::{News, Wire};
use super::words::{self, Word};
use crate::dialect::{append_acknowledgement, name_of, password_of, random_text};
use crate::failure::Failure;

/// The visitor, who comes and goes.
const VISITOR: usize = 0;
/// The host, who stays and is written to.
const HOST: usize = 1;
/// How many people a server must know for visits.
pub(crate) const PEOPLE: usize = 2;

/// How long a login may take, in milliseconds, for 99 of 100.
const LOGIN_MS_MAX: f64 = 1000.0;

/// How long anything may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the visits.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// From connecting to the answer of the login; those that failed count with how long they took.
    pub(crate) logins: Times,
    /// From sending a message until it is both delivered and confirmed.
    pub(crate) round_trips: Times,
    /// Visits on which something was refused, cut or never answered.
    pub(crate) failed: u64,
    /// What went wrong first.
    pub(crate) first_failure: Option<String>,
}

impl Visits {
    /// Adds the figures, with the targets that hold during attacks before login.
    pub(crate) fn judge(&self, verdict: &mut Verdict) {
        verdict.note("visits", self.logins.len());
        verdict.note("login_p50_ms", format_args!("{:.1}", self.logins.percentile_ms(50)));
        verdict.at_most("login_p99_ms", self.logins.percentile_ms(99), LOGIN_MS_MAX);
        verdict.note("login_max_ms", format_args!("{:.1}", self.logins.percentile_ms(100)));
        let trips = &self.round_trips;
        verdict.note("round_trip_p50_ms", format_args!("{:.2}", trips.percentile_ms(50)));
        verdict.note("round_trip_p99_ms", format_args!("{:.2}", trips.percentile_ms(99)));
        verdict.none("visits_failed", self.failed);
        if let Some(why) = &self.first_failure {
            progress(&format!("the first visit that failed: {why}"));
        }
    }
}

/// Visits under way.
#[derive(Debug)]
pub(crate) struct Visitor {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Visits, Failure>>,
}

impl Visitor {
    /// Logs the host in and begins to visit, with so much time from one visit to the next.
    pub(crate) fn begin(address: SocketAddr, pause: Duration) -> Result<Self, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&is_over);
        let mut house = House { wire: Wire::new(address)? };
        house.log_in(HOST).map_err(|why| Failure::new(format!("the host: {why}")))?;
        let thread = thread::spawn(move || house.receive_visits(&shared, pause));
        Ok(Self { is_over, thread })
    }

    /// Ends the visits.
    pub(crate) fn end(self) -> Result<Visits, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the thread of the visits has panicked"))?
    }
}

/// Where the host is and the visitor comes to.
struct House {
    wire: Wire,
}

impl House {
    fn receive_visits(mut self, is_over: &AtomicBool, pause: Duration) -> Result<Visits, Failure> {
        let mut visits = Visits::default();
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            if let Err(why) = self.visit(&mut visits, begun) {
                visits.failed += 1;
                visits.first_failure.get_or_insert(why);
                self.wire.close(VISITOR);
            }
            let next = begun + pause;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                self.wire.pump(left, |_, _, _| {})?;
            }
        }
        Ok(visits)
    }

    fn visit(&mut self, visits: &mut Visits, begun: Instant) -> Result<(), String> {
        let result = self.log_in(VISITOR);
        visits.logins.push(begun.elapsed());
        result?;
        let sent = Instant::now();
        // An id that was used before, also by an earlier visitor, would make no message.
        let (id, host) = (random_text(VISITOR), name_of(HOST));
        self.wire.say(VISITOR, words::message(&id, &host, "hello").as_bytes());
        let (mut is_confirmed, mut is_delivered) = (false, false);
        self.wait(|person, word| {
            is_confirmed |= person == VISITOR && word == Word::Message("SUCCESS");
            is_delivered |= person == HOST && matches!(word, Word::Mail(_));
            is_confirmed && is_delivered
        })?;
        visits.round_trips.push(sent.elapsed());
        self.wire.say(VISITOR, words::LOGOUT);
        self.wire.close(VISITOR);
        Ok(())
    }

    fn log_in(&mut self, person: usize) -> Result<(), String> {
        self.wire.connect_at(person).map_err(|failure| failure.to_string())?;
        let line = words::login(&name_of(person), &password_of(person));
        self.wire.say(person, line.as_bytes());
        self.wait(|who, word| who == person && word == Word::Login("SUCCESS"))
    }

    /// Waits until `is_it` says so of a line; a refusal, an end or a long silence is a failure.
    fn wait(&mut self, mut is_it: impl FnMut(usize, Word<'_>) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut outcome = None;
        while outcome.is_none() {
            if Instant::now() >= deadline {
                return Err("no answer in time".into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.wire
                .pump(left, |person, news, out| {
                    let News::Line(line) = news else {
                        outcome.get_or_insert(Err("the connection was ended".into()));
                        return;
                    };
                    let word = Word::of(line);
                    if let Word::Mail(mail) = word {
                        append_acknowledgement(mail.number, out);
                    }
                    if is_it(person, word) {
                        outcome.get_or_insert(Ok(()));
                    } else if is_refusal(word) {
                        outcome.get_or_insert(Err(format!("{word:?}")));
                    }
                })
                .map_err(|failure| failure.to_string())?;
        }
        outcome.unwrap_or(Ok(()))
    }
}

fn is_refusal(word: Word<'_>) -> bool {
    match word {
        Word::Login(status) | Word::Message(status) => status != "SUCCESS",
        Word::Complaint(_) => true,
        Word::Mail(_) | Word::Broadcast(..) | Word::Other => false,
    }
}
