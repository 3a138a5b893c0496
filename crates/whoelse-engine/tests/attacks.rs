//! Guessing passwords and locking people out, over hours of the engine's time.
//!
//! Rows 14 and 15 of the figures that this project holds itself to: whatever comes from however many
//! addresses, a name is tried three times per lock, an address fails ten times in ten minutes, and
//! whoever has a device is never kept out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Bench, login, resume};
use whoelse_engine::{ConnectionId, Rules};
use whoelse_proto::Role;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// The numbers that the server starts with, and no exemption for this machine.
fn rules() -> Rules {
    Rules { loopback_is_exempt: false, ..Rules::default() }
}

/// An attacker with many addresses, what it got, and the rule of the original beside it.
struct Attack {
    bench: Bench,
    lines: Vec<ConnectionId>,
    /// When failures of each address were evaluated.
    failures: Vec<Vec<u64>>,
    /// The rule, as naively as it can be said: failures in a row and the end of the lock, by name.
    locks: BTreeMap<String, (u8, u64)>,
    /// When each name was locked.
    locked_at: BTreeMap<String, Vec<u64>>,
    attempts: u64,
    refused: u64,
    resumed: u64,
}

impl Attack {
    fn new(sources: usize, names: &[String]) -> Self {
        let mut bench = Bench::new(rules());
        for name in names {
            bench.add(name, Role::Member);
        }
        let address = |number: usize| format!("127.{}.{}.1", number / 250, number % 250);
        let lines = (0..sources).map(|number| bench.connect(&address(number + 1))).collect();
        Self {
            bench,
            lines,
            failures: vec![Vec::new(); sources],
            locks: BTreeMap::new(),
            locked_at: BTreeMap::new(),
            attempts: 0,
            refused: 0,
            resumed: 0,
        }
    }

    /// Tries a wrong password, and holds the answer against the rule.
    fn guess(&mut self, source: usize, name: &str) {
        self.attempts += 1;
        let (now, line) = (self.bench.now, self.lines[source]);
        let status = self.bench.status(line, login(name, "wrong", 0));
        let (strikes, until) = self.locks.entry(name.to_owned()).or_default();
        if status == "SLOW_DOWN" || status == "BUSY" {
            self.refused += 1;
            return;
        }
        if *until > now {
            assert_eq!(status, "BLOCKED", "{name} is locked for all");
            return;
        }
        if *until != 0 {
            (*strikes, *until) = (0, 0);
        }
        *strikes += 1;
        self.failures[source].push(now);
        if *strikes < 3 {
            assert_eq!(status, "INVALID_PASSWORD");
        } else {
            assert_eq!(status, "INVALID_PASSWORD_BLOCKED", "the third failure locks {name}");
            *until = now + rules().block_ms;
            self.locked_at.entry(name.to_owned()).or_default().push(now);
        }
    }

    /// Somebody whose device is known comes back, from an address that attacks as well.
    fn resume(&mut self, name: &str) {
        let line = self.bench.connect("127.0.1.1");
        assert_eq!(self.bench.status(line, resume(name, 7)), "SUCCESS", "resuming always works");
        self.bench.ask(line, whoelse_proto::Command::Logout { forget: false });
        self.bench.drop(line);
        self.resumed += 1;
    }

    /// Whoever is to resume has logged in once.
    fn register(&mut self, name: &str) {
        let line = self.bench.connect("127.200.0.1");
        assert_eq!(self.bench.status(line, login(name, "right", 7)), "SUCCESS");
        self.bench.ask(line, whoelse_proto::Command::Logout { forget: false });
        self.bench.drop(line);
        self.bench.checks.clear();
    }

    /// Holds the bounds against everything that was evaluated. Returns the most checks of one
    /// account in one lock's time, and the most failures of one address in ten minutes.
    fn judge(&self) -> (usize, usize) {
        let mut checks: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (at, account) in &self.bench.checks {
            checks.entry(account.map(|account| account.0)).or_default().push(*at);
        }
        checks.remove(&None);
        let of_an_account = checks.values().map(|times| most_within(times, rules().block_ms));
        let of_an_account = of_an_account.max().unwrap_or(0);
        let of_a_source = self.failures.iter().map(|times| most_within(times, 10 * MINUTE_MS));
        let of_a_source = of_a_source.max().unwrap_or(0);
        assert!(of_an_account <= 3, "{of_an_account} checks of an account within one lock");
        assert!(of_a_source <= 10, "{of_a_source} failures of a source within ten minutes");
        (of_an_account, of_a_source)
    }
}

/// The most points in time that lie within a span.
fn most_within(times: &[u64], span_ms: u64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (index, at) in times.iter().enumerate() {
        while at - times[first] >= span_ms {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

#[test]
fn guesses_at_one_account_are_bounded_over_all_sources() {
    for (sources, hours) in [(1, 24), (10, 24), (1_000, 6)] {
        let mut attack = Attack::new(sources, &["victim".into()]);
        attack.register("victim");
        let mut random = ChaCha8Rng::seed_from_u64(sources as u64);
        let end = attack.bench.now + hours * HOUR_MS;
        let mut next_resume = attack.bench.now;
        while attack.bench.now < end {
            for _ in 0..random.random_range(1..4) {
                attack.guess(random.random_range(0..sources), "victim");
            }
            if attack.bench.now >= next_resume {
                attack.resume("victim");
                next_resume += 5 * MINUTE_MS;
            }
            let pause_ms = random.random_range(1..4_000);
            attack.bench.pass(pause_ms);
        }
        let (of_an_account, of_a_source) = attack.judge();
        let evaluated: usize = attack.failures.iter().map(Vec::len).sum();
        assert!(evaluated >= 30, "something was attacked");
        println!(
            "RELIABILITY brute_force sources={sources} hours={hours} attempts={} evaluated={} \
             refused={} checks_per_lock_max={of_an_account} failures_per_source_10min_max={} \
             locks={} resumed={}",
            attack.attempts,
            evaluated,
            attack.refused,
            of_a_source,
            attack.locked_at["victim"].len(),
            attack.resumed,
        );
    }
}

#[test]
fn one_password_tried_on_everybody_is_bounded_by_source() {
    let names: Vec<String> = (0..1_000).map(|number| format!("person{number}")).collect();
    for sources in [1, 10] {
        let mut attack = Attack::new(sources, &names);
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let end = attack.bench.now + 24 * HOUR_MS;
        while attack.bench.now < end {
            let source = random.random_range(0..sources);
            // Every second name is nobody's, which must make no difference.
            let number = random.random_range(0..2_000);
            attack.guess(source, &format!("person{number}"));
            attack.bench.pass(2_000);
        }
        let (of_an_account, of_a_source) = attack.judge();
        let evaluated: usize = attack.failures.iter().map(Vec::len).sum();
        // Ten in the first ten minutes, and again after each pause of an hour.
        assert!(evaluated <= sources * 10 * 27, "{evaluated} evaluated in a day");
        println!(
            "RELIABILITY spray sources={sources} hours=24 accounts=1000 attempts={} evaluated={} \
             refused={} checks_per_lock_max={of_an_account} failures_per_source_10min_max={}",
            attack.attempts, evaluated, attack.refused, of_a_source,
        );
    }
}

#[test]
fn one_source_hardly_locks_anybody_out() {
    let mut attack = Attack::new(1, &["victim".into()]);
    attack.register("victim");
    let begin = attack.bench.now;
    let mut entered = 0;
    for second in 0..24 * 3_600 {
        attack.guess(0, "victim");
        if second % 60 == 30 {
            attack.resume("victim");
            // A new device of the victim: from elsewhere, by password.
            let is_locked = attack.locks["victim"].1 > attack.bench.now;
            let line = attack.bench.connect("127.99.0.1");
            let status = attack.bench.status(line, login("victim", "right", 0));
            assert_eq!(status, if is_locked { "BLOCKED" } else { "SUCCESS" });
            if !is_locked {
                entered += 1;
                attack.locks.insert("victim".into(), (0, 0));
                attack.bench.ask(line, whoelse_proto::Command::Logout { forget: false });
            }
            attack.bench.drop(line);
        }
        attack.bench.pass(1_000);
    }
    let locked_at = &attack.locked_at["victim"];
    let locked_ms = |hour: u64| -> u64 {
        let (from, to) = (begin + hour * HOUR_MS, begin + (hour + 1) * HOUR_MS);
        let within = locked_at.iter().map(|at| {
            let until = (at + rules().block_ms).min(to);
            until.saturating_sub((*at).max(from))
        });
        within.sum()
    };
    let percent: Vec<f64> =
        (0..24).map(|hour| locked_ms(hour) as f64 * 100.0 / HOUR_MS as f64).collect();
    let worst = percent.iter().copied().fold(0.0, f64::max);
    let mean = percent.iter().sum::<f64>() / 24.0;
    assert!(worst <= 15.0, "locked for {worst} % of an hour: {percent:?}");
    assert!(locked_at.len() >= 4, "the attack did what it could");
    println!(
        "RELIABILITY lockout_weapon sources=1 hours=24 attempts={} locks={} worst_hour={worst:.1}% \
         mean_hour={mean:.1}% new_device_logins={entered}/1440 resumed={}/1440 rule_ok=100%",
        attack.attempts,
        locked_at.len(),
        attack.resumed,
    );
}

/// Without its own budget each address would lock the victim as often as it likes: with many the
/// lock holds, which the security model says, and devices still come in.
#[test]
fn many_sources_lock_a_name_but_never_a_device() {
    let mut attack = Attack::new(1_000, &["victim".into()]);
    attack.register("victim");
    for minute in 0..120_usize {
        for guess in 0..3 {
            attack.guess((minute * 3 + guess) % 1_000, "victim");
        }
        attack.resume("victim");
        attack.bench.pass(MINUTE_MS);
    }
    attack.judge();
    assert_eq!(attack.locked_at["victim"].len(), 120);
    assert_eq!(attack.resumed, 120);
    println!("RELIABILITY lockout_weapon sources=1000 hours=2 locks=120 resumed=120/120");
}
