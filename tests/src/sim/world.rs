//! Engine, turns, journal, database and clients under one seed, with crashes at any step.
//!
//! After each input the engine's answer is compared with the model's; after each crash what was
//! recovered is compared with the model as it was at exactly that record; at the end everything
//! heals, and every confirmed message must have been shown once, in order.

mod hub;
mod judge;
mod machine;
mod newcomers;
mod people;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{ConnectionId, Engine, Input, PasswordHash, Record, Rules, Turn};
use whoelse_proto::{Name, Role};
use whoelse_server::database::{Database, Projector};
use whoelse_server::journal::{BatchNumber, Journal};
use whoelse_server::store::Sequence;
use whoelse_server::tail::Tail;
use whoelse_server::turns::Turns;

use super::client::SimClient;
use super::disk::{Fault, SimDisk};
use super::model::{FIRST_PASSWORD, Model, name};
use super::stats::Stats;

const SERVER_ID: &str = "0123456789abcdef0123456789abcdef";
/// A Sunday in November 2026.
const START_MS: u64 = 1_795_000_000_000;

/// How many clients begin without an account. All numbers stay below ten, for the order of names.
const NEWCOMERS_MAX: usize = 3;

/// How often things happen, drawn for each seed: a rate that is the same everywhere hides bugs
/// that need a long quiet time, or none.
struct Rates {
    crash: f64,
    kill: f64,
    stop: f64,
    flush: f64,
    sync: f64,
    project: f64,
    drop: f64,
    wrong_password: f64,
    device: f64,
    protocol: f64,
    time: f64,
    burst: u32,
}

impl Rates {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let mut pick = |rates: &[f64]| rates[random.random_range(0..rates.len())];
        Self {
            crash: pick(&[0.0, 0.002, 0.01, 0.05]),
            kill: pick(&[0.0, 0.005, 0.02]),
            stop: pick(&[0.0, 0.01, 0.05]),
            flush: pick(&[0.2, 0.5, 1.0]),
            sync: pick(&[0.1, 0.5, 1.0]),
            project: pick(&[0.0, 0.01, 0.2]),
            drop: pick(&[0.0, 0.01, 0.05]),
            wrong_password: pick(&[0.0, 0.1, 0.7]),
            protocol: pick(&[1.0, 1.0, 0.5]),
            time: pick(&[0.01, 0.1, 0.3]),
            burst: pick(&[1.0, 3.0, 10.0]) as u32,
            device: pick(&[0.0, 0.5, 0.9]),
        }
    }
}

/// What the hub knows of a connection.
struct Lane {
    who: usize,
    is_protocol: bool,
    mail: Option<(u64, u64)>,
}

/// The machine that the server runs on, and what of the server a crash takes.
struct Running {
    journal: Journal,
    engine: Engine,
    turns: Turns,
    tail: Tail,
    projector: Projector,
    turn: Turn,
    lanes: BTreeMap<ConnectionId, Lane>,
    /// Appends that are written and not synced: their number, last batch and records.
    unsynced: VecDeque<(Sequence, BatchNumber, Vec<Record>)>,
    /// The last append given to the projector.
    pushed: Sequence,
}

/// A simulated world.
pub struct World {
    random: ChaCha8Rng,
    faults: ChaCha8Rng,
    rates: Rates,
    rules: Rules,
    now: u64,
    disk: Arc<SimDisk>,
    database: Database,
    running: Option<Running>,
    connections: u64,
    ids: u64,
    clients: Vec<SimClient>,
    model: Model,
    /// The model after so many records, since the last record that is safe.
    history: VecDeque<(usize, Model)>,
    /// All records ever emitted and not taken back by a crash.
    records: Vec<Record>,
    /// How many records there are up to the batches that end appends.
    records_at_batch: BTreeMap<u64, usize>,
    /// How many records are known to be safe.
    safe: usize,
    /// Texts of each person that were refused at least once, also in what a crash took back.
    refused: Vec<BTreeSet<String>>,
    /// What happened.
    pub stats: Stats,
}

type Fallible = Result<(), String>;

impl World {
    /// A world with a server that has just been set up.
    ///
    /// # Errors
    /// When even that fails.
    pub fn new(seed: u64) -> Result<Self, String> {
        // A stream for each purpose, so that a change to one does not change the others.
        let stream = |number: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number);
            random
        };
        let mut faults = stream(2);
        let rates = Rates::draw(&mut stream(3));
        let idle_ms = if stream(4).random_bool(0.3) { 60_000 } else { 0 };
        let rules = Rules {
            block_ms: 10_000,
            idle_ms,
            sender_messages_max: 40,
            broadcast_burst: u32::MAX,
            broadcast_interval_ms: 0,
            devices_max: 2,
            member_invites_max: 2,
            invites_max: 5,
            invite_ms: 300_000,
            passwd_burst: u32::MAX,
            ..Rules::default()
        };
        let people = stream(5).random_range(2..=6);
        let disk = SimDisk::new(faults.random());
        let database = Database::open_in_memory(SERVER_ID).map_err(|error| error.to_string())?;
        let mut world = Self {
            random: stream(1),
            faults,
            rates,
            model: Model::new(people, &rules),
            rules,
            now: START_MS,
            disk,
            database,
            running: None,
            connections: 0,
            ids: 0,
            clients: (0..people + NEWCOMERS_MAX).map(|_| SimClient::default()).collect(),
            history: VecDeque::new(),
            records: Vec::new(),
            records_at_batch: BTreeMap::from([(0, 0)]),
            safe: 0,
            refused: vec![BTreeSet::new(); people + NEWCOMERS_MAX],
            stats: Stats::default(),
        };
        world.start(false)?;
        for who in 0..people {
            let name = Name::new(&name(who)).map_err(|error| error.to_string())?;
            let password = Some(PasswordHash(FIRST_PASSWORD.into()));
            let role = if who == 0 { Role::Admin } else { Role::Member };
            world.input(Input::AddAccount { ticket: 0, name, password, distinct: true, role })?;
        }
        world.flush()?;
        world.sync()?;
        Ok(world)
    }

    /// The same on a disk that lies about syncs: a control that must be seen to lose.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lying_disk(seed: u64) -> Result<Self, String> {
        let world = Self::new(seed)?;
        world.disk.ignore_syncs();
        Ok(world)
    }

    /// Lives for so many steps, then heals and is judged.
    ///
    /// # Errors
    /// Says what did not hold.
    pub fn live(&mut self, steps: u64) -> Fallible {
        for _ in 0..steps {
            self.step()?;
        }
        self.heal()?;
        self.judge()
    }

    fn step(&mut self) -> Fallible {
        self.stats.steps += 1;
        if self.random.random_bool(self.rates.time) {
            self.pass_time()?;
        }
        for _ in 0..self.random.random_range(1..=self.rates.burst) {
            let who = self.random.random_range(0..self.clients.len());
            self.act(who)?;
        }
        if self.faults.random_bool(self.rates.stop) {
            let after = self.faults.random_range(0..8);
            self.disk.plan(after, Fault::Stop);
        }
        if self.random.random_bool(self.rates.flush) {
            self.flush()?;
        }
        if self.random.random_bool(self.rates.sync) {
            self.sync()?;
        }
        if self.random.random_bool(self.rates.project) {
            self.project()?;
        }
        if self.faults.random_bool(self.rates.crash) {
            self.crash()?;
        } else if self.faults.random_bool(self.rates.kill) {
            self.kill()?;
        }
        if let Some(running) = &self.running {
            running.engine.check();
        }
        Ok(())
    }
}
