//! Measures direct messages: every program once per round, so that ratios compare neighbours.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::crowd::Crowd;
use crate::failure::{Explain, Failure};
use crate::generator::{Generator, Load, Sample, Times};
use crate::server::{Paths, Program, Server};

/// How long a server may be busy with its own affairs after the last login.
const REST_PATIENCE: Duration = Duration::from_secs(60);

/// How many log in between two notes of progress.
const NOTE_EVERY: usize = 250;

/// One program's part in a round.
pub(crate) type Round = Vec<(Program, Sample)>;

/// What one workload found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The load it was found under.
    pub(crate) load: Load,
    /// One entry per round.
    pub(crate) rounds: Vec<Round>,
    /// What whoelse spent when the load had stopped, per delivery, in µs.
    pub(crate) later_micros: Option<f64>,
}

/// How often and how long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many rounds.
    pub(crate) rounds: u64,
    /// How long each part takes.
    pub(crate) times: Times,
    /// How long whoelse may finish deferred work after the last round.
    pub(crate) settle: Duration,
}

/// A running program with all its people logged in.
#[derive(Debug)]
pub(crate) struct Contestant {
    program: Program,
    server: Server,
    generator: Generator,
    deferred: Deferred,
}

/// The books about work that a server does when the load has stopped.
#[derive(Debug, Default)]
struct Deferred {
    /// The server's CPU time when the last load had been answered.
    since: Option<Duration>,
    cpu: Duration,
    deliveries: u64,
}

impl Contestant {
    /// Starts a program and logs everybody in.
    pub(crate) fn start(
        program: Program,
        pairs: usize,
        paths: &Paths,
        notes: &mut impl Write,
    ) -> Result<Self, Failure> {
        let people = 2 * pairs;
        let mut server = Server::start(program, people, paths)?;
        let crowd = log_everybody_in(&mut server, program, people, notes)?;
        let (generator, deferred) = (Generator::new(crowd, pairs), Deferred::default());
        Ok(Self { program, server, generator, deferred })
    }

    fn sample(&mut self, load: Load, times: Times) -> Result<Sample, Failure> {
        self.note_deferred()?;
        let server = &self.server;
        let sample = self
            .generator
            .run(load, times, || server.cpu())
            .map_err(|failure| self.server.blame(&failure))?;
        self.deferred.deliveries += sample.deliveries_in_all;
        self.deferred.since = Some(self.server.cpu()?);
        Ok(sample)
    }

    fn note_deferred(&mut self) -> Result<(), Failure> {
        if let Some(since) = self.deferred.since.take() {
            self.deferred.cpu += self.server.cpu()?.saturating_sub(since);
        }
        Ok(())
    }
}

/// Logs all people in and waits until the server has nothing left to do.
pub(crate) fn log_everybody_in(
    server: &mut Server,
    program: Program,
    people: usize,
    notes: &mut impl Write,
) -> Result<Crowd, Failure> {
    let mut crowd = Crowd::new(program.dialect(), server.address)?;
    let mut noted = 0;
    let progress = |done: usize| {
        if done / NOTE_EVERY == noted {
            return Ok(());
        }
        noted = done / NOTE_EVERY;
        note(notes, &format!("{}: {done} of {people} logged in", program.name()))
    };
    let at_rest = crowd
        .log_in(people, progress)
        .and_then(|()| server.wait_until_at_rest(REST_PATIENCE, |left| crowd.pump(left, |_, _| {})))
        .map_err(|failure| server.blame(&failure))?;
    if !at_rest {
        note(notes, &format!("{} is never at rest; measuring all the same", program.name()))?;
    }
    Ok(crowd)
}

/// Tells whoever waits for the report what is going on.
pub(crate) fn note(notes: &mut impl Write, text: &str) -> Result<(), Failure> {
    writeln!(notes, "{text}").explain(|| "reporting".into())
}

/// Measures one load on all programs, round by round.
pub(crate) fn measure(
    contestants: &mut [Contestant],
    load: Load,
    plan: Plan,
) -> Result<Findings, Failure> {
    let mut rounds = Vec::new();
    for contestant in contestants.iter_mut() {
        contestant.deferred = Deferred::default();
    }
    for _ in 0..plan.rounds {
        let mut round = Round::new();
        for contestant in contestants.iter_mut() {
            round.push((contestant.program, contestant.sample(load, plan.times)?));
        }
        rounds.push(round);
    }
    let mut later_micros = None;
    if let Some(whoelse) = contestants.iter_mut().find(|one| one.program == Program::Whoelse) {
        thread::sleep(plan.settle);
        whoelse.note_deferred()?;
        let deferred = &whoelse.deferred;
        later_micros = Some(deferred.cpu.as_secs_f64() * 1e6 / deferred.deliveries.max(1) as f64);
    }
    Ok(Findings { load, rounds, later_micros })
}
