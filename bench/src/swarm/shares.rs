//! What the server spends on what it is told of files: CPU and memory for each share and each claim, and
//! CPU for each search and each question for sources.
//!
//! All figures are differences of a server at rest, deferred work included, and so upper bounds of what
//! one more costs.

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::ServerTerms;
use crate::crowd::Crowd;
use crate::dialect::{Dialect, name_of, status};
use crate::failure::{Explain, Failure};
use crate::measure::note;
use crate::server::{Paths, Program, Server};

/// What one person asks before it waits for the answers.
const WINDOW: u64 = 16;

/// Until the server has answered, and until it is at rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Records settle for five seconds before they go to the database: no rest before that is one.
const SETTLE: Duration = Duration::from_secs(7);

/// A person may search ten times at once.
const SEARCHES: u64 = 10;

/// Files that one person claims parts of: what the server allows.
const CLAIMS: u64 = 1_064;

/// How long files of one part, and of the most parts, are.
const SIZES: [u64; 2] = [64 * 1024, 64 * 1024 * 1024];

/// Half of the parts of each of these.
const HALVES: [fn(u64) -> String; 2] = [
    |_| "gA".to_owned(),
    |turn| {
        // Another half each time, as parts come in.
        let middle = if turn.is_multiple_of(2) { "q" } else { "V" }.repeat(170);
        format!("{middle}o")
    },
];

/// Measures, and prints a line for each figure.
pub(super) fn measure(
    terms: &ServerTerms,
    paths: &Paths,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<(), Failure> {
    let people = usize::try_from(terms.sharers + terms.claimers).explain(|| "counting".into())?;
    let mut server = Server::start(Program::Whoelse, people, paths)?;
    let mut crowd = Crowd::new(Dialect::Device, server.address)?;
    note(notes, &format!("logging {people} people in"))?;
    crowd.log_in(people, |_| Ok(())).map_err(|failure| server.blame(&failure))?;
    let mut field = Field { server: &server, crowd, terms, notes };
    let result = field.measure(out);
    result.map_err(|failure| server.blame(&failure))
}

struct Field<'a, N> {
    server: &'a Server,
    crowd: Crowd,
    terms: &'a ServerTerms,
    notes: &'a mut N,
}

/// What the server has spent and holds.
#[derive(Clone, Copy)]
struct Books {
    cpu: Duration,
    memory_bytes: u64,
    database_bytes: u64,
}

impl<N: Write> Field<'_, N> {
    fn measure(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        let Range { start: first, end } = self.claimers();
        let (each, per_claimer) = (self.terms.shares, self.claims());
        self.step(out, "share", 0..first, each, |person, n| share(person, n, each))?;
        for (kind, what) in ["claim_of_1_part", "claim_of_1024_parts"].into_iter().enumerate() {
            for (turn, what) in [(0, what.to_owned()), (1, format!("{what}_again"))] {
                let terms = self.terms;
                let line = |person: usize, n: u64| {
                    let (owner, n) = terms.claimed(person, n, per_claimer);
                    have(&hash(owner, n * 2 + kind as u64), &HALVES[kind](turn))
                };
                self.step(out, &what, first..end, per_claimer, line)?;
            }
        }
        // Everybody has some of the same file: more sources than one answer holds.
        self.step(out, "common_claim", first..end, 1, |_, _| have(&hash(0, 1), &HALVES[1](0)))?;
        let sources = |_, _| format!("{{\"action\":\"sources\",\"hash\":\"{}\"}}\n", hash(0, 1));
        self.step(out, "sources_64", first..first + 10, SEARCHES, sources)?;
        let one = |_, _| "{\"action\":\"search_files\",\"words\":\"film 0003.0042\"}\n".to_owned();
        self.step(out, "search_1_found", 0..1, SEARCHES, one)?;
        let many = |_, _| "{\"action\":\"search_files\",\"words\":\"film\"}\n".to_owned();
        self.step(out, "search_100_found", 1..2, SEARCHES, many)?;
        self.step(out, "unshare", 0..first, each, unshare)
    }

    fn claimers(&self) -> Range<usize> {
        let first = usize::try_from(self.terms.sharers).unwrap_or_default();
        let count = usize::try_from(self.terms.claimers).unwrap_or_default();
        first..first + count
    }

    /// How many files of each length one person claims; one more is claimed by all.
    fn claims(&self) -> u64 {
        (CLAIMS / 2 - 1).min(self.terms.sharers * self.terms.shares / 2)
    }

    /// Has so many people ask so often, and tells what the server spent on it.
    fn step(
        &mut self,
        out: &mut impl Write,
        what: &str,
        people: Range<usize>,
        each: u64,
        line: impl Fn(usize, u64) -> String,
    ) -> Result<(), Failure> {
        note(self.notes, &format!("{what}: {} people, {each} each", people.len()))?;
        let before = self.books()?;
        let begin = Instant::now();
        let mut asked = 0;
        while asked < each {
            let upto = (asked + WINDOW).min(each);
            for person in people.clone() {
                for n in asked..upto {
                    self.crowd.out(person).extend_from_slice(line(person, n).as_bytes());
                }
                self.crowd.flush(person)?;
            }
            self.hear(people.len() as u64 * (upto - asked))?;
            asked = upto;
        }
        let took = begin.elapsed();
        let after = self.books()?;
        let count = people.len() as u64 * each;
        let per = |more: u64, less: u64| (more as f64 - less as f64) / count as f64;
        writeln!(
            out,
            "SWARM server what={what} n={count} cpu_us={:.1} memory_bytes={:.0} database_bytes={:.0} took_s={:.1}",
            (after.cpu - before.cpu).as_secs_f64() * 1e6 / count as f64,
            per(after.memory_bytes, before.memory_bytes),
            per(after.database_bytes, before.database_bytes),
            took.as_secs_f64(),
        )
        .explain(|| "reporting".into())
    }

    /// Waits for so many answers, all of which must be good.
    fn hear(&mut self, count: u64) -> Result<(), Failure> {
        let (mut heard, mut refusal) = (0, None);
        let deadline = Instant::now() + PATIENCE;
        while heard < count {
            self.crowd.pump(Duration::from_millis(50), |person, line| match status(line) {
                Some(b"SUCCESS") => heard += 1,
                Some(_) => {
                    let text = String::from_utf8_lossy(line);
                    refusal.get_or_insert(format!("{} was told {text}", name_of(person)));
                }
                None => {}
            })?;
            if let Some(refusal) = refusal {
                return Err(Failure::new(refusal));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!("{heard} of {count} answers came")));
            }
        }
        Ok(())
    }

    /// Reads the books of a server that has done all it had to do.
    fn books(&mut self) -> Result<Books, Failure> {
        let settled = Instant::now() + SETTLE;
        while let Some(left) = settled.checked_duration_since(Instant::now()) {
            self.crowd.pump(left, |_, _| {})?;
        }
        let crowd = &mut self.crowd;
        self.server.wait_until_at_rest(PATIENCE, |left| crowd.pump(left, |_, _| {}))?;
        Ok(Books {
            cpu: self.server.fine_cpu()?,
            memory_bytes: self.server.anonymous_bytes()?,
            database_bytes: self.server.database_bytes()?,
        })
    }
}

/// A file of a person: those with even numbers have one part, the others the most.
fn hash(person: usize, n: u64) -> String {
    format!("{:0>42}A", format!("{person}-{n}"))
}

fn share(person: usize, n: u64, each: u64) -> String {
    let (hash, size) = (hash(person, n), SIZES[usize::from(n % 2 == 1)]);
    let signature = "A".repeat(86);
    let digits = each.to_string().len();
    format!(
        "{{\"action\":\"share\",\"hash\":\"{hash}\",\"size\":{size},\
         \"name\":\"a film of the holidays {person:04}.{n:0digits$}.mkv\",\"signature\":\"{signature}\"}}\n"
    )
}

fn unshare(person: usize, n: u64) -> String {
    format!("{{\"action\":\"unshare\",\"hash\":\"{}\"}}\n", hash(person, n))
}

fn have(hash: &str, parts: &str) -> String {
    format!("{{\"action\":\"have\",\"hash\":\"{hash}\",\"parts\":\"{parts}\"}}\n")
}

impl ServerTerms {
    /// Which file, of whom, somebody claims: spread over all sharers, each of one person another one.
    fn claimed(&self, person: usize, n: u64, each: u64) -> (usize, u64) {
        let number = (person as u64 - self.sharers) * each + n;
        let owner = usize::try_from(number % self.sharers).unwrap_or_default();
        (owner, number / self.sharers % (self.shares / 2))
    }
}
