//! The load: pairs of people, each sender keeping a number of messages on their way.
//!
//! A message is on its way until its receiver has it and, where the server confirms, its sender
//! has the confirmation. The generator takes all that has arrived, then acknowledges and sends
//! again, with one write per connection: what a busy but sensible client does.

use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::dialect::{
    Dialect, Meaning, MessageLine, NumberFinder, append_acknowledgement, name_of,
};
use crate::failure::Failure;
use crate::process;

/// How long nothing may be delivered before the server is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the load of one workload looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Senders, each with a receiver of its own.
    pub(crate) pairs: usize,
    /// Messages of one sender on their way.
    pub(crate) window: u64,
    /// Deliveries after which a receiver acknowledges at the end of a read batch; 0 is never.
    pub(crate) acknowledge_every: u64,
}

/// How long to load a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Before measuring.
    pub(crate) warm_up: Duration,
    /// While measuring.
    pub(crate) measure: Duration,
}

/// What one measurement found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Deliveries while measuring.
    pub(crate) deliveries: u64,
    /// How long the measuring took.
    pub(crate) elapsed: Duration,
    /// What the server spent meanwhile.
    pub(crate) server_cpu: Duration,
    /// What the generator spent meanwhile.
    pub(crate) generator_cpu: Duration,
    /// Deliveries in all, with warming up and draining.
    pub(crate) deliveries_in_all: u64,
}

/// A crowd and the books about its messages.
#[derive(Debug)]
pub(crate) struct Generator {
    crowd: Crowd,
    ledger: Ledger,
}

/// A moment while measuring.
struct Mark {
    when: Instant,
    deliveries: u64,
    server_cpu: Duration,
    generator_cpu: Duration,
}

impl Generator {
    /// Prepares a crowd of twice as many people as there are pairs, all logged in.
    pub(crate) fn new(crowd: Crowd, pairs: usize) -> Self {
        let ledger = Ledger::new(crowd.dialect, pairs);
        Self { crowd, ledger }
    }

    /// Loads the server, measures, and waits until nothing is on its way.
    ///
    /// `server_cpu` reads what the server has spent so far.
    pub(crate) fn run(
        &mut self,
        load: Load,
        times: Times,
        server_cpu: impl Fn() -> Result<Duration, Failure>,
    ) -> Result<Sample, Failure> {
        let before = self.ledger.done;
        self.ledger.touch_all(load.pairs);
        self.load_for(load, times.warm_up)?;
        let start = self.mark(&server_cpu)?;
        self.load_for(load, times.measure)?;
        let end = self.mark(&server_cpu)?;
        self.drain(load)?;
        Ok(Sample {
            deliveries: end.deliveries - start.deliveries,
            elapsed: end.when - start.when,
            server_cpu: end.server_cpu.saturating_sub(start.server_cpu),
            generator_cpu: end.generator_cpu.saturating_sub(start.generator_cpu),
            deliveries_in_all: self.ledger.done - before,
        })
    }

    fn load_for(&mut self, load: Load, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        let mut watch = Watch::new(self.ledger.done);
        loop {
            self.ledger.settle(&mut self.crowd, load, true)?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.turn(end - now)?;
            watch.look(self.ledger.done, now)?;
        }
    }

    fn drain(&mut self, load: Load) -> Result<(), Failure> {
        let mut watch = Watch::new(self.ledger.done);
        self.ledger.touch_all(load.pairs);
        loop {
            self.ledger.settle(&mut self.crowd, load, false)?;
            if self.ledger.done == self.ledger.sent {
                return Ok(());
            }
            self.turn(Duration::from_millis(100))?;
            watch.look(self.ledger.done, Instant::now())?;
        }
    }

    fn turn(&mut self, patience: Duration) -> Result<(), Failure> {
        let ledger = &mut self.ledger;
        let patience = patience.min(Duration::from_millis(100));
        self.crowd.pump(patience, |person, line| ledger.note(person, line))?;
        match self.ledger.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn mark(&self, server_cpu: impl Fn() -> Result<Duration, Failure>) -> Result<Mark, Failure> {
        Ok(Mark {
            when: Instant::now(),
            deliveries: self.ledger.done,
            server_cpu: server_cpu()?,
            generator_cpu: process::cpu_of_self()?,
        })
    }
}

/// Notices when nothing moves any more.
struct Watch {
    done: u64,
    since: Instant,
}

impl Watch {
    fn new(done: u64) -> Self {
        Self { done, since: Instant::now() }
    }

    fn look(&mut self, done: u64, now: Instant) -> Result<(), Failure> {
        if done != self.done {
            *self = Self { done, since: now };
        }
        if now.saturating_duration_since(self.since) < PATIENCE {
            return Ok(());
        }
        let seconds = PATIENCE.as_secs();
        Err(Failure::new(format!("nothing was delivered and confirmed for {seconds} s")))
    }
}

/// What is on its way between the two people of each pair.
///
/// Sender and receiver of pair `n` are people `2n` and `2n + 1`.
#[derive(Debug)]
struct Ledger {
    dialect: Dialect,
    pairs: Vec<Pair>,
    touched: Vec<usize>,
    numbers: NumberFinder,
    sent: u64,
    done: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Pair {
    line: MessageLine,
    sent: u64,
    delivered: u64,
    confirmed: u64,
    done: u64,
    /// The highest number that the receiver has read.
    number: u64,
    unacknowledged: u64,
    touched: bool,
}

impl Ledger {
    fn new(dialect: Dialect, pairs: usize) -> Self {
        let pair = |index| Pair {
            line: dialect.message_line(2 * index + 1),
            sent: 0,
            delivered: 0,
            confirmed: 0,
            done: 0,
            number: 0,
            unacknowledged: 0,
            touched: false,
        };
        Self {
            dialect,
            pairs: (0..pairs).map(pair).collect(),
            touched: Vec::with_capacity(pairs),
            numbers: NumberFinder::default(),
            sent: 0,
            done: 0,
            failure: None,
        }
    }

    /// Has every pair looked at when settling next.
    fn touch_all(&mut self, pairs: usize) {
        for index in 0..pairs {
            self.touch(index);
        }
    }

    fn touch(&mut self, index: usize) {
        if !self.pairs[index].touched {
            self.pairs[index].touched = true;
            self.touched.push(index);
        }
    }

    /// Books one line that a person has read.
    fn note(&mut self, person: usize, line: &[u8]) {
        let (index, is_receiver) = (person / 2, person % 2 == 1);
        match self.dialect.meaning(line) {
            Meaning::Delivery if is_receiver => self.note_delivery(index, line),
            Meaning::Confirmation if !is_receiver => {
                self.pairs[index].confirmed += 1;
                self.touch(index);
            }
            Meaning::Unrelated => {}
            Meaning::Delivery | Meaning::Confirmation | Meaning::Refusal => {
                let line = String::from_utf8_lossy(line);
                self.fail(format!("{} read the unexpected {line}", name_of(person)));
            }
        }
    }

    fn note_delivery(&mut self, index: usize, line: &[u8]) {
        self.touch(index);
        let pair = &mut self.pairs[index];
        pair.delivered += 1;
        if pair.delivered > pair.sent {
            self.fail("more was delivered than had been sent".into());
        } else if self.dialect.acknowledges() {
            match self.numbers.find(line) {
                Some(number) if number > pair.number => pair.number = number,
                _ => {
                    let line = String::from_utf8_lossy(line);
                    self.fail(format!("a delivery without a higher number: {line}"));
                    return;
                }
            }
            pair.unacknowledged += 1;
        }
    }

    fn fail(&mut self, what: String) {
        self.failure.get_or_insert(Failure::new(what));
    }

    /// Acknowledges, and when `sending` fills the windows, for all pairs that moved.
    fn settle(&mut self, crowd: &mut Crowd, load: Load, sending: bool) -> Result<(), Failure> {
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            let pair = &mut self.pairs[index];
            pair.touched = false;
            let done = pair.done_now(self.dialect);
            self.done += done - pair.done;
            pair.done = done;
            let (sender, receiver) = (2 * index, 2 * index + 1);
            if pair.owes_acknowledgement(load, sending) {
                pair.unacknowledged = 0;
                append_acknowledgement(pair.number, crowd.out(receiver));
                crowd.flush(receiver)?;
            }
            if sending && pair.sent - done < load.window {
                let out = crowd.out(sender);
                self.sent += load.window - (pair.sent - done);
                while pair.sent - done < load.window {
                    pair.line.append_to(out);
                    pair.sent += 1;
                }
                crowd.flush(sender)?;
            }
        }
        self.touched = touched;
        Ok(())
    }
}

impl Pair {
    fn done_now(&self, dialect: Dialect) -> u64 {
        if dialect.confirms() { self.delivered.min(self.confirmed) } else { self.delivered }
    }

    /// When the load ends everything is acknowledged, so that the next one starts clean.
    fn owes_acknowledgement(&self, load: Load, sending: bool) -> bool {
        let enough = if sending { load.acknowledge_every } else { load.acknowledge_every.min(1) };
        enough > 0 && self.unacknowledged >= enough
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::*;
    use crate::relay::j::Json;
    use crate::relay::r::Bare;
    use crate::relay::{self, Rules};

    const DELIVERY: &[u8] = br#"{"action":"receive_message","from":"u0000","number":5}"#;
    const CONFIRMATION: &[u8] = br#"{"action":"message","status":"SUCCESS"}"#;

    /// Loads a relay in a thread of its own for a moment.
    fn exchange(rules: impl Rules + Send + 'static, dialect: Dialect, window: u64) -> Sample {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        std::thread::spawn(move || relay::serve(port, rules));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        let mut crowd = Crowd::new(dialect, address).unwrap();
        crowd.log_in(4, |_| Ok(())).unwrap();
        let mut generator = Generator::new(crowd, 2);
        let load = Load { pairs: 2, window, acknowledge_every: 0 };
        let moment = Duration::from_millis(50);
        let times = Times { warm_up: moment, measure: moment };
        // Twice, because the second run must find nothing left of the first.
        generator.run(load, times, || Ok(Duration::ZERO)).unwrap();
        generator.run(load, times, || Ok(Duration::ZERO)).unwrap()
    }

    #[test]
    fn messages_pass_through_r() {
        assert!(exchange(Bare::default(), Dialect::Bare, 64).deliveries > 0);
    }

    #[test]
    fn messages_pass_through_j() {
        assert!(exchange(Json::default(), Dialect::Json, 1).deliveries > 0);
    }

    #[test]
    fn a_message_is_done_when_delivered_and_confirmed() {
        let mut ledger = Ledger::new(Dialect::Whoelse, 1);
        ledger.pairs[0].sent = 2;
        ledger.note(1, DELIVERY);
        assert_eq!(ledger.pairs[0].done_now(Dialect::Whoelse), 0);
        assert_eq!(ledger.pairs[0].done_now(Dialect::Bare), 1);
        ledger.note(0, CONFIRMATION);
        assert_eq!(ledger.pairs[0].done_now(Dialect::Whoelse), 1);
        assert_eq!((ledger.pairs[0].number, ledger.touched.as_slice()), (5, &[0][..]));
        assert!(ledger.failure.is_none());
    }

    #[test]
    fn a_repeated_number_is_noticed() {
        let mut ledger = Ledger::new(Dialect::Whoelse, 1);
        ledger.pairs[0].sent = 2;
        ledger.note(1, DELIVERY);
        ledger.note(1, DELIVERY);
        assert!(ledger.failure.is_some());
    }

    #[test]
    fn acknowledgements_follow_the_option() {
        let mut ledger = Ledger::new(Dialect::Whoelse, 1);
        let pair = &mut ledger.pairs[0];
        pair.unacknowledged = 3;
        let every = |acknowledge_every| Load { pairs: 1, window: 1, acknowledge_every };
        assert!(pair.owes_acknowledgement(every(1), true));
        assert!(!pair.owes_acknowledgement(every(4), true));
        assert!(pair.owes_acknowledgement(every(4), false));
        assert!(!pair.owes_acknowledgement(every(0), false));
    }

    #[test]
    fn standing_still_is_noticed() {
        let mut watch = Watch::new(1);
        let start = watch.since;
        assert!(watch.look(2, start + Duration::from_secs(9)).is_ok());
        assert!(watch.look(2, start + Duration::from_secs(18)).is_ok());
        assert!(watch.look(2, start + Duration::from_secs(19)).is_err());
    }
}
