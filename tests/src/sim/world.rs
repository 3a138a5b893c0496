//! A whole server, its disk, a network and people with clients, under one seed.
//!
//! The server is the real hub with its doors (`House`); so are journal, database and the core of
//! each client. Between them are a disk and lines that do what real ones do to us. Everything is
//! an event at a time: a step takes the next one. Faults are drawn from rates that each seed has
//! for itself, and each purpose has random numbers of its own, so that a change to one does not
//! move the others.

mod book;
mod client;
mod deeds;
mod faults;
mod files;
mod judge;
mod keeper;
mod keeping;
mod machine;
mod network;
mod rates;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::Rules;
use whoelse_proto::{InviteSecret, Role};
use whoelse_server::database::Database;

use super::disk::SimDisk;
use super::model::name;
use super::stats::Stats;
use book::{Backup, Book, Letters, SharedBook, trace};
use client::Person;
use machine::{Server, server_id};
use network::Line;
use rates::Rates;

/// A Sunday in November 2026.
const START_MS: u64 = 1_795_000_000_000;

/// How many clients begin without an account.
const NEWCOMERS: usize = 2;

/// So many steps apart all that lasts is compared.
const COMPARED_EVERY: u64 = 512;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A person does something.
    Deed(usize),
    /// A client's time has come.
    Tick(usize),
    /// A connection opens, or not.
    Open(usize),
    /// The screen has shown what was told.
    Shown(usize),
    /// Bytes arrive at the server.
    Up(u32),
    /// Bytes arrive at a client.
    Down(u32),
    /// A client learns that its line is gone.
    ClientCut(u32),
    /// The server does.
    ServerCut(u32),
    /// The server has a moment.
    Run,
    /// What waits is written.
    Write,
    /// What was written is synced.
    Sync,
    /// What was synced goes into the database.
    Project,
    /// A page of mail is read.
    Page,
    /// A password is hashed or checked.
    Hash,
    /// The server starts.
    Start,
    /// Something goes wrong.
    Fault,
    /// The operator does something.
    Operate,
    /// The power goes again, soon after it came.
    Blackout,
    /// A person asks who was here, so many seconds after somebody left, to the millisecond.
    AskSince(usize, u64),
}

/// Random numbers, a stream for each purpose. Streams are appended, never inserted.
struct Chance {
    people: ChaCha8Rng,
    network: ChaCha8Rng,
    store: ChaCha8Rng,
    faults: ChaCha8Rng,
    clients: ChaCha8Rng,
}

/// A simulated world.
pub struct World {
    chance: Chance,
    rates: Rates,
    rules: Rules,
    now: u64,
    /// How far the wall clock is off, in milliseconds.
    wall_off: i64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    last_event: u64,
    disk: Arc<SimDisk>,
    database: Database,
    /// How often the data were restored.
    epoch: usize,
    backup: Option<(Database, Backup)>,
    /// The mail of earlier epochs.
    past: Vec<Letters>,
    /// How many records there are up to the batches that end writes.
    records_at: BTreeMap<u64, usize>,
    /// How many records the next start must find, if only the process ended.
    must_find: usize,
    book: SharedBook,
    server: Option<Server>,
    lines: BTreeMap<u32, Line>,
    last_line: u32,
    people: Vec<Person>,
    /// Invites that somebody was given.
    invites: Vec<InviteSecret>,
    /// How many offers of files were made.
    offers: u64,
    /// How often the power will go again soon after it came.
    blackouts: u32,
    /// After so many more writes, before they are synced; 0 is never.
    cut_after_writes: u32,
    is_healing: bool,
    is_traced: bool,
    /// Of everything that has happened.
    digest: u64,
    /// What happened.
    pub stats: Stats,
}

type Fallible = Result<(), String>;

impl World {
    /// A world with a server that has just been set up, and people.
    ///
    /// # Errors
    /// When even that fails.
    pub fn new(seed: u64, is_traced: bool) -> Result<Self, String> {
        let stream = |number: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number);
            random
        };
        let mut chance = Chance {
            people: stream(1),
            network: stream(2),
            store: stream(3),
            faults: stream(4),
            clients: stream(5),
        };
        let mut swarm = stream(6);
        let rates = Rates::draw(&mut swarm);
        let rules = rates::rules(&mut swarm);
        let people = swarm.random_range(2..=5);
        let book = Rc::new(RefCell::new(Book::new(&rules)));
        book.borrow_mut().is_traced = is_traced;
        let mut world = Self {
            disk: SimDisk::new(chance.faults.random()),
            database: Database::open_in_memory(&server_id(0)).map_err(|it| it.to_string())?,
            people: (0..people + NEWCOMERS).map(|who| Person::new(name(who), seed)).collect(),
            chance,
            rates,
            rules,
            now: 0,
            wall_off: 0,
            events: BinaryHeap::new(),
            last_event: 0,
            epoch: 0,
            backup: None,
            past: Vec::new(),
            records_at: BTreeMap::from([(0, 0)]),
            must_find: 0,
            book,
            server: None,
            lines: BTreeMap::new(),
            last_line: 0,
            invites: Vec::new(),
            offers: 0,
            blackouts: 0,
            cut_after_writes: 0,
            is_healing: false,
            is_traced,
            digest: 0xcbf2_9ce4_8422_2325,
            stats: Stats::default(),
        };
        world.disk.set_sector(world.rates.sector_bytes);
        world.begin(people)?;
        Ok(world)
    }

    /// The first start, with so many people.
    fn begin(&mut self, people: usize) -> Fallible {
        self.start()?;
        self.add_missing(people)?;
        while self.book.borrow().safe_model().people.len() < people {
            if self.events.is_empty() {
                self.add_missing(people)?;
            }
            self.step()?;
        }
        for who in 0..self.people.len() {
            self.after(1 + who as u64, Event::Deed(who));
        }
        self.after(self.rates.fault_ms, Event::Fault);
        self.after(self.rates.order_ms, Event::Operate);
        Ok(())
    }

    /// Whoever was being added when the power went is added once more.
    fn add_missing(&mut self, people: usize) -> Fallible {
        for who in 0..people {
            let name = &self.people[who].name;
            let is_there = self.book.borrow().safe_model().people.iter().any(|it| it.name == *name);
            if !is_there {
                let role = if who == 0 { Role::Admin } else { Role::Member };
                self.add_person(who, role)?;
            }
        }
        Ok(())
    }

    /// The same on a disk that lies about syncs: a control that must be seen to lose.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lying_disk(seed: u64) -> Result<Self, String> {
        let world = Self::new(seed, false)?;
        world.disk.ignore_syncs();
        Ok(world)
    }

    /// Lives for so many steps, then heals and is judged.
    ///
    /// # Errors
    /// Says what did not hold.
    pub fn live(&mut self, steps: u64) -> Fallible {
        while self.stats.steps < steps {
            self.step()?;
        }
        self.heal()?;
        self.judge()
    }

    /// A number that is the same only if everything was the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What happened here and in the server.
    #[must_use]
    pub fn all_stats(&self) -> Stats {
        Stats { sim_ms: self.now, ..self.stats.plus(&self.book.borrow().stats) }
    }

    fn step(&mut self) -> Fallible {
        let Some(Reverse((at, _, event))) = self.events.pop() else {
            return Err("nothing is left to happen".into());
        };
        self.stats.steps += 1;
        self.pass_time(at);
        self.note(at, event);
        match event {
            Event::Deed(who) => self.deed(who)?,
            Event::Tick(who) => self.tick(who)?,
            Event::Open(who) => self.open(who)?,
            Event::Shown(who) => self.shown(who)?,
            Event::Up(line) => self.up(line),
            Event::Down(line) => self.down(line)?,
            Event::ClientCut(line) => self.client_cut(line)?,
            Event::ServerCut(line) => self.server_cut(line),
            Event::Run => self.ran(),
            Event::Write => self.write()?,
            Event::Sync => self.sync()?,
            Event::Project => self.project()?,
            Event::Page => self.page()?,
            Event::Hash => self.hash(),
            Event::Start => self.start()?,
            Event::Fault => self.fault()?,
            Event::Operate => self.operate(),
            Event::Blackout => self.blackout()?,
            Event::AskSince(who, seconds) => self.ask_since(who, seconds)?,
        }
        self.settle()?;
        if self.stats.steps.is_multiple_of(COMPARED_EVERY) {
            self.compare()?;
        }
        Ok(())
    }

    fn pass_time(&mut self, at: u64) {
        if at > self.now {
            if let Some(server) = &self.server {
                server.nature.pass(at - self.now);
            }
            self.now = at;
        }
    }

    fn note(&mut self, at: u64, event: Event) {
        let (kind, which) = match event {
            Event::Deed(who) => (0, who as u64),
            Event::Tick(who) => (1, who as u64),
            Event::Open(who) => (2, who as u64),
            Event::Shown(who) => (3, who as u64),
            Event::Up(line) => (4, u64::from(line)),
            Event::Down(line) => (5, u64::from(line)),
            Event::ClientCut(line) => (6, u64::from(line)),
            Event::ServerCut(line) => (7, u64::from(line)),
            Event::Run => (8, 0),
            Event::Write => (9, 0),
            Event::Sync => (10, 0),
            Event::Project => (11, 0),
            Event::Page => (12, 0),
            Event::Hash => (13, 0),
            Event::Start => (14, 0),
            Event::Fault => (15, 0),
            Event::Operate => (16, 0),
            Event::Blackout => (17, 0),
            Event::AskSince(who, _) => (18, who as u64),
        };
        let inputs = self.book.borrow().stats.inputs;
        for part in [at, kind, which, inputs] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_traced {
            trace(format_args!("{} at {at}: {event:?}", self.stats.steps));
        }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.last_event += 1;
        self.events.push(Reverse((self.now + ms, self.last_event, event)));
    }

    /// All that lasts, in the engine's memory and in the model's.
    fn compare(&mut self) -> Fallible {
        if let Some(server) = &self.server {
            self.stats.compared += 1;
            server.house.engine(|engine| self.book.borrow_mut().compare(engine));
        }
        self.no_fault()
    }

    fn no_fault(&mut self) -> Fallible {
        self.book.borrow_mut().fault.take().map_or(Ok(()), Err)
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            trace(format_args!("      {}", what()));
        }
    }
}
