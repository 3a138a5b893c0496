//! What the server spends on what it is told of files: CPU and memory for each share and each claim, and
//! CPU for each search and each question for sources.
//!
//! All figures are differences of a server at rest, deferred work included, and so upper bounds of what
//! one more costs. Yardsticks are a message, for CPU, and a person who is logged in, for memory.

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::ServerTerms;
use super::report::{Figure, Report};
use crate::crowd::Crowd;
use crate::dialect::{
    BODY_BYTES, Dialect, Meaning, NumberFinder, append_acknowledgement, name_of, status,
};
use crate::failure::{Explain, Failure};
use crate::measure::note;
use crate::server::{Paths, Program, Server};

/// What one person asks before it waits for the answers.
const WINDOW: u64 = 16;

/// Until the server has answered, and until it is at rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Records settle for five seconds before they go to the database: no rest before that is one.
const SETTLE: Duration = Duration::from_secs(7);

/// Messages that one person sends to another.
const MESSAGES: u64 = 200;

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
    rounds: u32,
    paths: &Paths,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<(), Failure> {
    let people = usize::try_from(terms.sharers + terms.claimers).explain(|| "counting".into())?;
    let mut report = Report::new(out);
    for round in 1..=rounds {
        let mut server = Server::start(Program::Whoelse, people, paths)?;
        let crowd = Crowd::new(Dialect::Device, server.address)?;
        let yardsticks = Yardsticks::default();
        let mut field = Field {
            server: &server,
            crowd,
            terms,
            notes,
            report: &mut report,
            round,
            yardsticks,
            books: None,
        };
        let result = field.measure(people);
        result.map_err(|failure| server.blame(&failure))?;
    }
    report.medians()
}

/// A server in one round.
struct Field<'a, 'b, N, W> {
    server: &'a Server,
    crowd: Crowd,
    terms: &'a ServerTerms,
    notes: &'a mut N,
    report: &'a mut Report<'b, W>,
    round: u32,
    yardsticks: Yardsticks,
    /// The books after the step before, at rest.
    books: Option<Books>,
}

/// What else the server spends.
#[derive(Clone, Copy, Debug, Default)]
struct Yardsticks {
    /// On one message, in microseconds of CPU.
    message_us: Option<f64>,
    /// On one person who is logged in, in bytes of memory.
    person_bytes: Option<f64>,
}

/// What the server has spent and holds.
#[derive(Clone, Copy)]
struct Books {
    cpu: Duration,
    memory_bytes: u64,
    database_bytes: u64,
}

impl<N: Write, W: Write> Field<'_, '_, N, W> {
    fn measure(&mut self, people: usize) -> Result<(), Failure> {
        let Range { start: first, end } = self.claimers();
        let (each, per_claimer) = (self.terms.shares, self.claims());
        self.log_in(people)?;
        // The first ones warm up what all others find warm.
        let line = |person: usize, n: u64| message(first + person % (end - first), n);
        self.step("first_message", 0..first, WINDOW, line)?;
        let cost =
            self.step("message", 0..first, MESSAGES, |person, n| line(person, n + WINDOW))?;
        self.yardsticks.message_us = Some(cost);
        self.step("share", 0..first, each, |person, n| share(person, n, each))?;
        for (kind, what) in ["claim_of_1_part", "claim_of_1024_parts"].into_iter().enumerate() {
            for (turn, what) in [(0, what.to_owned()), (1, format!("{what}_again"))] {
                let terms = self.terms;
                let line = |person: usize, n: u64| {
                    let (owner, n) = terms.claimed(person, n, per_claimer);
                    have(&hash(owner, n * 2 + kind as u64), &HALVES[kind](turn))
                };
                self.step(&what, first..end, per_claimer, line)?;
            }
        }
        // Everybody has some of the same file: more sources than one answer holds.
        self.step("common_claim", first..end, 1, |_, _| have(&hash(0, 1), &HALVES[1](0)))?;
        let sources = |_, _| format!("{{\"action\":\"sources\",\"hash\":\"{}\"}}\n", hash(0, 1));
        self.step("sources_64", first..first + 10, SEARCHES, sources)?;
        let one = |_, _| "{\"action\":\"search_files\",\"words\":\"film 0003.0042\"}\n".to_owned();
        self.step("search_1_found", 0..1, SEARCHES, one)?;
        let many = |_, _| "{\"action\":\"search_files\",\"words\":\"film\"}\n".to_owned();
        self.step("search_100_found", 1..2, SEARCHES, many)?;
        self.step("unshare", 0..first, each, unshare)?;
        Ok(())
    }

    /// Everybody comes.
    fn log_in(&mut self, people: usize) -> Result<(), Failure> {
        note(self.notes, &format!("logging {people} people in"))?;
        let before = self.books()?;
        self.crowd.log_in(people, |_| Ok(()))?;
        let after = self.books()?;
        let figures = figures(before, after, people as u64, self.yardsticks);
        let memory = figures.iter().find(|(name, _)| *name == "memory_bytes");
        self.yardsticks.person_bytes = memory.map(|(_, bytes)| *bytes);
        self.report.add(self.round, format!("login n={people}"), figures, "")
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

    /// Has so many people ask so often, and tells what the server spent on it; returns the CPU for one,
    /// in microseconds.
    fn step(
        &mut self,
        what: &str,
        people: Range<usize>,
        each: u64,
        line: impl Fn(usize, u64) -> String,
    ) -> Result<f64, Failure> {
        note(self.notes, &format!("{what}: {} people, {each} each", people.len()))?;
        let before = self.books.map_or_else(|| self.books(), Ok)?;
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
        let (after, count) = (self.books()?, people.len() as u64 * each);
        let figures = figures(before, after, count, self.yardsticks);
        let (_, cost) = figures[0];
        let took = format!("took_s={:.1}", took.as_secs_f64());
        self.report.add(self.round, format!("{what} n={count}"), figures, &took)?;
        Ok(cost)
    }

    /// Waits for so many answers, all of which must be good; messages are acknowledged.
    fn hear(&mut self, count: u64) -> Result<(), Failure> {
        let (mut heard, mut refusal, mut came) = (0, None, Vec::new());
        let (mut finder, dialect) = (NumberFinder::default(), self.crowd.dialect);
        let deadline = Instant::now() + PATIENCE;
        while heard < count {
            self.crowd.pump(Duration::from_millis(50), |person, line| {
                if dialect.meaning(line) == Meaning::Delivery {
                    came.extend(finder.find(line).map(|number| (person, number)));
                    return;
                }
                match status(line) {
                    Some(b"SUCCESS") => heard += 1,
                    Some(_) => {
                        let text = String::from_utf8_lossy(line);
                        refusal.get_or_insert(format!("{} was told {text}", name_of(person)));
                    }
                    None => {}
                }
            })?;
            for (person, number) in came.drain(..) {
                append_acknowledgement(number, self.crowd.out(person));
                self.crowd.flush(person)?;
            }
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
        let books = Books {
            cpu: self.server.fine_cpu()?,
            memory_bytes: self.server.anonymous_bytes()?,
            database_bytes: self.server.database_bytes()?,
        };
        self.books = Some(books);
        Ok(books)
    }
}

/// What each of so many cost, and of what is measured by the yardsticks, how much of those.
fn figures(before: Books, after: Books, count: u64, yardsticks: Yardsticks) -> Vec<Figure> {
    let per = |more: u64, less: u64| (more as f64 - less as f64) / count as f64;
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / count as f64;
    let memory = per(after.memory_bytes, before.memory_bytes);
    let mut figures = vec![
        ("cpu_us", cpu),
        ("memory_bytes", memory),
        ("database_bytes", per(after.database_bytes, before.database_bytes)),
    ];
    figures.extend(yardsticks.message_us.map(|message| ("cpu_of_message", cpu / message)));
    figures.extend(yardsticks.person_bytes.map(|person| ("memory_of_person", memory / person)));
    figures
}

fn message(to: usize, n: u64) -> String {
    let (name, body) = (name_of(to), "x".repeat(BODY_BYTES));
    format!(
        "{{\"action\":\"message\",\"id\":\"{n:016}\",\"user\":\"{name}\",\"message\":\"{body}\"}}\n"
    )
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
