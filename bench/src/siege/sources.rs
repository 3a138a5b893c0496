//! Wrong passwords from many addresses, which a proxy in front of the server would tell it.
//!
//! The server is started with `--behind-proxy 127.0.0.1`, and every connection begins with the
//! header of such a proxy. Only answers that mean that a password was looked at count.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::cli::SourcesTerms;
use super::figures::most_within;
use super::verdict::Verdict;
use super::wire::{News, Wire};
use super::words::{self, Word};
use super::{Field, progress, proxy};
use crate::dialect::name_of;
use crate::failure::Failure;
use crate::server::Server;

const ARGUMENTS: [&str; 4] = ["--behind-proxy", "127.0.0.1", "--block-seconds", "10"];
const BLOCK: Duration = Duration::from_secs(10);

/// Two locks are a block time apart, but their answers may come a little nearer to each other.
const BLOCK_AS_SEEN: Duration = Duration::from_millis(9_500);

/// Checks of one account within one block time, over all addresses.
const CHECKS_OF_ACCOUNT_MAX: usize = 3;
/// Checks for one address within ten minutes, which is longer than an attack here may last.
const CHECKS_FOR_SOURCE_MAX: usize = 10;

/// From one guess to the next.
const PACE: Duration = Duration::from_millis(10);

/// Guesses that wait for their answer: more than are allowed for one address, fewer than the
/// connections it may have before it logs in.
const AT_ONCE: usize = 16;

/// How long an answer may take: longer than all before it in the queue.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Accounts that one password is sprayed over.
const SPRAYED: usize = 1000;

/// Guesses one account from 1, 10 and 1,000 addresses, then sprays one password over many accounts.
pub(crate) fn attack(field: &Field, terms: &SourcesTerms) -> Result<Vec<Verdict>, Failure> {
    let duration = Duration::from_secs(terms.seconds);
    let mut verdicts = Vec::new();
    for sources in [1, 10, 1000] {
        progress(&format!("sources: one account from {sources} for {} s", terms.seconds));
        verdicts.push(field.against(1, &ARGUMENTS, |server| {
            let mut guesses = Guesses::new(server)?;
            guesses.run(duration, |turn| Some((source(turn % sources), 0)))?;
            let mut verdict = Verdict::on("sources");
            verdict.note("sources", sources);
            verdict.note("accounts", 1);
            guesses.judge(&mut verdict, Some(duration));
            Ok(verdict)
        })?);
    }
    progress(&format!("sources: one password over {SPRAYED} accounts"));
    verdicts.push(field.against(SPRAYED, &ARGUMENTS, |server| {
        let mut guesses = Guesses::new(server)?;
        guesses.run(duration, |turn| (turn < SPRAYED).then(|| (source(0), turn)))?;
        let mut verdict = Verdict::on("sources-spray");
        verdict.note("sources", 1);
        verdict.note("accounts", SPRAYED);
        guesses.judge(&mut verdict, None);
        Ok(verdict)
    })?);
    Ok(verdicts)
}

/// The address with a number; none of them is this machine's.
fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(10, 77, high, low)
}

/// A guess on its way.
#[derive(Clone, Copy, Debug)]
struct Guess {
    source: Ipv4Addr,
    account: usize,
    asked: Instant,
}

/// Guesses, each on a connection of its own, and what was answered.
struct Guesses {
    wire: Wire,
    server: SocketAddrV4,
    begun: Instant,
    under_way: BTreeMap<usize, Guess>,
    asked: u64,
    cut: u64,
    answers: BTreeMap<String, u64>,
    checks_of: BTreeMap<usize, Vec<Duration>>,
    checks_for: BTreeMap<Ipv4Addr, Vec<Duration>>,
}

impl Guesses {
    fn new(server: &Server) -> Result<Self, Failure> {
        Ok(Self {
            wire: Wire::new(server.address)?,
            server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.address.port()),
            begun: Instant::now(),
            under_way: BTreeMap::new(),
            asked: 0,
            cut: 0,
            answers: BTreeMap::new(),
            checks_of: BTreeMap::new(),
            checks_for: BTreeMap::new(),
        })
    }

    /// Guesses for so long, or until there is nobody left, from whom and about whom `next` says.
    fn run(
        &mut self,
        duration: Duration,
        mut next: impl FnMut(usize) -> Option<(Ipv4Addr, usize)>,
    ) -> Result<(), Failure> {
        self.begun = Instant::now();
        let mut turn = 0;
        let mut is_over = false;
        let mut due = self.begun;
        while !is_over || !self.under_way.is_empty() {
            is_over |= self.begun.elapsed() >= duration;
            if !is_over && Instant::now() >= due && self.under_way.len() < AT_ONCE {
                due = Instant::now() + PACE;
                match next(turn) {
                    Some((source, account)) => self.ask(source, account)?,
                    None => is_over = true,
                }
                turn += 1;
            }
            self.listen()?;
        }
        Ok(())
    }

    fn ask(&mut self, source: Ipv4Addr, account: usize) -> Result<(), Failure> {
        let place = self.wire.connect()?;
        let port = 40_000 + u16::try_from(place).unwrap_or(0);
        let mut bytes = proxy::header(SocketAddrV4::new(source, port), self.server);
        bytes.extend_from_slice(words::login(&name_of(account), "the wrong one").as_bytes());
        self.wire.say(place, &bytes);
        self.asked += 1;
        self.under_way.insert(place, Guess { source, account, asked: Instant::now() });
        Ok(())
    }

    fn listen(&mut self) -> Result<(), Failure> {
        let mut done = Vec::new();
        self.wire.pump(Duration::from_millis(2), |place, news, _| match news {
            News::Ended => done.push((place, None)),
            News::Line(line) => {
                if let Word::Login(status) | Word::Complaint(status) = Word::of(line) {
                    done.push((place, Some(status.to_owned())));
                }
            }
        })?;
        let now = Instant::now();
        let late = |guess: &Guess| now.duration_since(guess.asked) > ANSWER_PATIENCE;
        let never = self.under_way.iter().filter(|(_, guess)| late(guess));
        done.extend(never.map(|(place, _)| (*place, None)));
        for (place, status) in done {
            self.wire.close(place);
            let Some(guess) = self.under_way.remove(&place) else { continue };
            match status {
                None => self.cut += 1,
                Some(status) => self.note(guess, status),
            }
        }
        Ok(())
    }

    fn note(&mut self, guess: Guess, status: String) {
        if status.starts_with("INVALID_PASSWORD") {
            let at = self.begun.elapsed();
            self.checks_of.entry(guess.account).or_default().push(at);
            self.checks_for.entry(guess.source).or_default().push(at);
        }
        *self.answers.entry(status).or_default() += 1;
    }

    /// Adds the figures; with a duration also how many checks of an account there may be in all.
    fn judge(&self, verdict: &mut Verdict, duration: Option<Duration>) {
        verdict.note("guesses", self.asked);
        for (status, count) in &self.answers {
            verdict.note(status, count);
        }
        let most = |of: usize, with: usize| of.max(with);
        let checks = self.checks_of.values().map(|checks| most_within(checks, BLOCK_AS_SEEN));
        let checks = checks.fold(0, most) as f64;
        verdict.at_most("checks_per_account_and_block", checks, CHECKS_OF_ACCOUNT_MAX as f64);
        if let Some(duration) = duration {
            let blocks = duration.as_secs() / BLOCK.as_secs() + 1;
            let checks = self.checks_of.values().map(Vec::len).fold(0, most) as f64;
            let target = blocks * CHECKS_OF_ACCOUNT_MAX as u64;
            verdict.at_most("checks_per_account", checks, target as f64);
        }
        let checks = self.checks_for.values().map(Vec::len).fold(0, most) as f64;
        verdict.at_most("checks_per_source", checks, CHECKS_FOR_SOURCE_MAX as f64);
        verdict.none("not_answered", self.cut);
        // Without a single check nothing was tested.
        let idle = u64::from(self.checks_of.is_empty());
        verdict.none("nothing_checked", idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_addresses_differ() {
        let mut all: Vec<Ipv4Addr> = (0..1000).map(source).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000);
        assert_eq!(source(999), Ipv4Addr::new(10, 77, 3, 231));
    }
}
