//! The healthy: pairs who write to each other at a low, steady rate, on a thread of their own.
//!
//! Each message leaves when it is due, whatever became of the one before, so that a server that
//! stands still is seen by every message it delays. The thread is their own so that an attacker
//! who is busy does not count as a slow server.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::figures::Times;
use super::wire::{News, Wire};
use super::words::{self, Word};
use crate::dialect::{append_acknowledgement, name_of};
use crate::failure::{Explain, Failure};

/// The phase in which nothing is measured.
pub(crate) const UNMEASURED: usize = 0;

/// The phase that ends the chat.
const OVER: usize = usize::MAX;

/// How long messages may still be on their way when the chat is over.
const LAST_WORDS: Duration = Duration::from_secs(10);

const BODY_BYTES: usize = 100;

/// How many chat, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Pairs: people `0..2 * pairs`, the even ones write to the odd ones.
    pub(crate) pairs: usize,
    /// The time from one message of a pair to the next.
    pub(crate) interval: Duration,
}

/// What was measured in one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// From sending to the reader.
    pub(crate) deliveries: Times,
    /// From sending to the sender's `SUCCESS`.
    pub(crate) confirmations: Times,
}

/// What became of a chat.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What was measured, by phase.
    pub(crate) phases: BTreeMap<usize, Samples>,
    /// Messages that were not delivered, or not confirmed.
    pub(crate) missing: u64,
    /// Connections that the server ended.
    pub(crate) cut: u64,
    /// Refusals and complaints, with the last one's words.
    pub(crate) refused: u64,
}

impl Tally {
    /// Gives what was measured in a phase.
    pub(crate) fn phase(&self, phase: usize) -> Samples {
        self.phases.get(&phase).cloned().unwrap_or_default()
    }
}

/// A chat under way.
#[derive(Debug)]
pub(crate) struct Chat {
    phase: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Tally, Failure>>,
}

impl Chat {
    /// Logs everybody in and begins to chat, unmeasured.
    pub(crate) fn begin(address: SocketAddr, manner: Manner) -> Result<Self, Failure> {
        let phase = Arc::new(AtomicUsize::new(UNMEASURED));
        let (told, ready) = mpsc::channel();
        let shared = Arc::clone(&phase);
        let thread = thread::spawn(move || {
            let mut talk = Talk::new(address, manner)?;
            talk.log_in()?;
            // If the one who waits has given up, the phase says so.
            told.send(()).unwrap_or_default();
            talk.run(&shared)
        });
        wait_until_ready(&ready, Self { phase, thread })
    }

    /// From now on, messages belong to another phase.
    pub(crate) fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Ends the chat when what is under way has arrived.
    pub(crate) fn end(self) -> Result<Tally, Failure> {
        self.enter(OVER);
        self.thread.join().map_err(|_| Failure::new("the thread of the chat has panicked"))?
    }
}

fn wait_until_ready(ready: &Receiver<()>, chat: Chat) -> Result<Chat, Failure> {
    if ready.recv().is_ok() {
        return Ok(chat);
    }
    chat.end().and(Err(Failure::new("the chat has ended before it began")))
}

/// The thread's own affairs.
struct Talk {
    wire: Wire,
    manner: Manner,
    pairs: Vec<Pair>,
    tally: Tally,
}

/// What a pair has under way: when it was sent, and in which phase.
#[derive(Debug, Default)]
struct Pair {
    sent: u64,
    undelivered: VecDeque<(Instant, usize)>,
    unconfirmed: VecDeque<(Instant, usize)>,
}

impl Talk {
    fn new(address: SocketAddr, manner: Manner) -> Result<Self, Failure> {
        let pairs = (0..manner.pairs).map(|_| Pair::default()).collect();
        Ok(Self { wire: Wire::new(address)?, manner, pairs, tally: Tally::default() })
    }

    fn log_in(&mut self) -> Result<(), Failure> {
        let mut admission = Admission::of(0..2 * self.manner.pairs);
        while !admission.is_over() {
            admission.go_on(&mut self.wire)?;
            let mut result = Ok(());
            self.wire.pump(Duration::from_millis(50), |person, news, _| {
                let noted = match news {
                    News::Ended => admission.ended(person),
                    News::Line(line) => match Word::of(line) {
                        Word::Login(status) => admission.heard(person, status).map(drop),
                        _ => Ok(()),
                    },
                };
                if result.is_ok() {
                    result = noted;
                }
            })?;
            result?;
        }
        Ok(())
    }

    fn run(mut self, phase: &AtomicUsize) -> Result<Tally, Failure> {
        let step = self.manner.interval / u32::try_from(self.manner.pairs).explain(String::new)?;
        let mut next = Instant::now();
        let mut turns = 0;
        loop {
            let now_in = phase.load(Ordering::Relaxed);
            if now_in == OVER {
                break;
            }
            while next <= Instant::now() {
                self.send(turns % self.manner.pairs, next, now_in);
                turns += 1;
                next += step;
            }
            self.listen(next.saturating_duration_since(Instant::now()))?;
        }
        let deadline = Instant::now() + LAST_WORDS;
        while self.under_way() > 0 && Instant::now() < deadline {
            self.listen(Duration::from_millis(50))?;
        }
        self.tally.missing = self.under_way();
        Ok(self.tally)
    }

    /// Sends a message that was due at `due`: being late is not to be left out of the figure.
    fn send(&mut self, pair: usize, due: Instant, phase: usize) {
        let books = &mut self.pairs[pair];
        books.sent += 1;
        let body = words::numbered_body(books.sent, BODY_BYTES);
        let (writer, reader) = (2 * pair, name_of(2 * pair + 1));
        let line = words::message(&format!("chat-{pair}-{}", books.sent), &reader, &body);
        books.undelivered.push_back((due, phase));
        books.unconfirmed.push_back((due, phase));
        self.wire.say(writer, line.as_bytes());
    }

    fn listen(&mut self, patience: Duration) -> Result<(), Failure> {
        let (pairs, tally) = (&mut self.pairs, &mut self.tally);
        self.wire.pump(patience, |person, news, out| {
            let News::Line(line) = news else {
                tally.cut += 1;
                return;
            };
            let books = &mut pairs[person / 2];
            match Word::of(line) {
                Word::Mail(mail) => {
                    append_acknowledgement(mail.number, out);
                    if let Some((sent, phase)) = books.undelivered.pop_front() {
                        let samples = tally.phases.entry(phase).or_default();
                        samples.deliveries.push(sent.elapsed());
                    }
                }
                Word::Message(status) => {
                    if let Some((sent, phase)) = books.unconfirmed.pop_front() {
                        let samples = tally.phases.entry(phase).or_default();
                        samples.confirmations.push(sent.elapsed());
                    }
                    tally.refused += u64::from(status != "SUCCESS");
                }
                Word::Complaint(_) => tally.refused += 1,
                Word::Login(_) | Word::Broadcast(..) | Word::Other => {}
            }
        })
    }

    fn under_way(&self) -> u64 {
        let of = |pair: &Pair| pair.undelivered.len().max(pair.unconfirmed.len()) as u64;
        self.pairs.iter().map(of).sum()
    }
}
