//! Wrong passwords, far more than can be checked, beside people who chat.

use std::collections::{BTreeMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use super::chat::{Chat, Manner, Tally, UNMEASURED};
use super::cli::GuessTerms;
use super::figures::{mebibytes, median};
use super::verdict::Verdict;
use super::wire::{News, Wire};
use super::words::{self, Word};
use super::{Field, progress};
use crate::dialect::name_of;
use crate::failure::Failure;
use crate::server::Server;

const PAIRS: usize = 20;
const CHAT_INTERVAL: Duration = Duration::from_millis(50);

/// Accounts that are guessed at, besides as many names that nobody has.
const VICTIMS: usize = 500;

/// Connections that guess: fewer than the strangers a server keeps.
const GUESSERS: usize = 300;

/// How long the import may take.
const IMPORT_PATIENCE: Duration = Duration::from_secs(120);

/// How often the quiet and the attack take turns.
const SLICES: u32 = 5;

/// So many passwords are checked at most at once, each in so much memory.
const HASH_MIB_MAX: f64 = 2.0 * 19.0;

/// How much later a chat message may be during the attack.
const RATIO_MAX: f64 = 1.2;

/// Guesses, with pairs who chat throughout.
pub(crate) fn attack(field: &Field, terms: &GuessTerms) -> Result<Verdict, Failure> {
    field.against(2 * PAIRS + VICTIMS, &[], |server| alternate(server, terms))
}

fn alternate(server: &Server, terms: &GuessTerms) -> Result<Verdict, Failure> {
    // Hashing the import is an attack of its own kind.
    progress("guess: waiting until the import is hashed");
    server.wait_until_at_rest(IMPORT_PATIENCE, |left| {
        thread::sleep(left);
        Ok(())
    })?;
    let chat = Chat::begin(server.address, Manner { pairs: PAIRS, interval: CHAT_INTERVAL })?;
    let slice = Duration::from_secs(terms.seconds) / SLICES;
    let mut guessers = Guessers::new(server)?;
    let mut growth: u64 = 0;
    for round in 1..=SLICES as usize {
        chat.enter(quiet(round));
        guessers.run(slice, 0)?;
        let resident = server.resident_bytes()?;
        chat.enter(under_attack(round));
        guessers.run(slice, terms.rate)?;
        growth = growth.max(guessers.peak.saturating_sub(resident));
        chat.enter(UNMEASURED);
        // What waits to be checked belongs to the attack, not to the next quiet.
        guessers.run(Duration::from_secs(2), 0)?;
        progress(&format!("guess: {round} of {SLICES} slices, {} answers", guessers.answered()));
    }
    let tally = chat.end()?;
    Ok(judge(terms, &guessers, &tally, growth))
}

fn quiet(round: usize) -> usize {
    2 * round
}

fn under_attack(round: usize) -> usize {
    2 * round + 1
}

fn judge(terms: &GuessTerms, guessers: &Guessers<'_>, tally: &Tally, growth: u64) -> Verdict {
    let over_slices = |phase: fn(usize) -> usize, percent| {
        let of = |round| tally.phase(phase(round)).deliveries.percentile_ms(percent);
        let figures: Vec<f64> = (1..=SLICES as usize).map(of).collect();
        median(&figures)
    };
    let mut verdict = Verdict::on("guess");
    verdict.note("seconds", terms.seconds);
    verdict.note("rate", terms.rate);
    verdict.note("guesses", guessers.asked);
    verdict.note("too_busy_to_guess", guessers.skipped);
    for (status, count) in &guessers.answers {
        verdict.note(status, count);
    }
    verdict.note("guessers_cut", guessers.cut);
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        let (before, during) = (over_slices(quiet, percent), over_slices(under_attack, percent));
        verdict.note(&format!("chat_{name}_quiet_ms"), format_args!("{before:.2}"));
        verdict.note(&format!("chat_{name}_attack_ms"), format_args!("{during:.2}"));
        if percent == 99 {
            verdict.at_most("chat_p99_ratio", during / before, RATIO_MAX);
        }
    }
    verdict.at_most("hash_growth_mib", mebibytes(growth), HASH_MIB_MAX);
    verdict.none("chat_missing", tally.missing + tally.cut + tally.refused);
    verdict
}

/// Connections that guess whenever they are free and it is time.
struct Guessers<'a> {
    server: &'a Server,
    wire: Wire,
    free: VecDeque<usize>,
    asked: u64,
    /// Guesses that were due when no connection was free.
    skipped: u64,
    cut: u64,
    /// How many answers there were of each status.
    answers: BTreeMap<String, u64>,
    peak: u64,
}

impl<'a> Guessers<'a> {
    fn new(server: &'a Server) -> Result<Self, Failure> {
        let mut wire = Wire::new(server.address)?;
        for place in 0..GUESSERS {
            wire.connect_at(place)?;
        }
        let (free, answers) = ((0..GUESSERS).collect(), BTreeMap::new());
        Ok(Self { server, wire, free, asked: 0, skipped: 0, cut: 0, answers, peak: 0 })
    }

    fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Guesses at a rate for so long; at none it only listens.
    fn run(&mut self, duration: Duration, rate: u32) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut due = 0;
        let mut looked = begun;
        self.peak = 0;
        while begun.elapsed() < duration {
            let should = begun.elapsed().as_secs_f64() * f64::from(rate);
            while f64::from(due) < should {
                due += 1;
                self.guess()?;
            }
            self.listen(Duration::from_millis(2))?;
            if rate > 0 && looked.elapsed() > Duration::from_millis(100) {
                looked = Instant::now();
                self.peak = self.peak.max(self.server.resident_bytes()?);
            }
        }
        Ok(())
    }

    fn guess(&mut self) -> Result<(), Failure> {
        let Some(place) = self.free.pop_front() else {
            self.skipped += 1;
            return Ok(());
        };
        if !self.wire.is_open(place) {
            self.wire.connect_at(place)?;
        }
        self.asked += 1;
        self.wire.say(place, words::login(&victim(self.asked), "not this one").as_bytes());
        Ok(())
    }

    fn listen(&mut self, patience: Duration) -> Result<(), Failure> {
        let (free, answers, cut) = (&mut self.free, &mut self.answers, &mut self.cut);
        self.wire.pump(patience, |place, news, _| match news {
            News::Line(line) => {
                if let Word::Login(status) | Word::Complaint(status) = Word::of(line) {
                    *answers.entry(status.to_owned()).or_default() += 1;
                    free.push_back(place);
                }
            }
            News::Ended => {
                *cut += 1;
                if !free.contains(&place) {
                    free.push_back(place);
                }
            }
        })
    }
}

/// Whom the `turn`th guess is about: accounts and names that nobody has, in turn.
fn victim(turn: u64) -> String {
    let which = turn / 2 % VICTIMS as u64;
    if turn.is_multiple_of(2) {
        name_of(2 * PAIRS + usize::try_from(which).unwrap_or(0))
    } else {
        format!("nobody{which}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_about_accounts_and_about_nobody_and_never_about_those_who_chat() {
        assert_eq!([2, 3, 4].map(victim), ["u0041", "nobody1", "u0042"]);
        let victims: Vec<String> = (0..4 * VICTIMS as u64).map(victim).collect();
        assert!(!victims.contains(&name_of(2 * PAIRS - 1)));
        assert!(!victims.contains(&name_of(2 * PAIRS + VICTIMS)));
    }

    #[test]
    fn every_slice_is_a_phase_of_its_own() {
        let mut phases: Vec<usize> =
            (1..=3).flat_map(|round| [quiet(round), under_attack(round)]).collect();
        phases.dedup();
        assert_eq!(phases.len(), 6);
        assert!(!phases.contains(&UNMEASURED));
    }
}
