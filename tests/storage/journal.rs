//! The journal on a disk that loses, tears and reorders, cut at any step.
//!
//! After every end of a life, by power or by kill, what was confirmed must come back: bit for bit,
//! in order, without gaps. What comes back beyond that is a prefix of what was appended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::Record;
use whoelse_server::journal::{
    BatchNumber, Disk, Journal, JournalError, JournalOptions, JournalStart, Recovered,
};
use whoelse_tests::sim::disk::{Fault, SimDisk};

use crate::records::Source;

/// What a run has seen, so that one that tried nothing fails.
#[derive(Debug, Default)]
struct Seen {
    lives: u64,
    confirmed: u64,
    dropped: u64,
    torn: u64,
    kills: u64,
    crashes: u64,
    failures: u64,
    openings_cut: u64,
    unused: u64,
}

/// A journal, what it was given, and what it promised.
struct World {
    random: ChaCha8Rng,
    disk: Arc<SimDisk>,
    options: JournalOptions,
    source: Source,
    /// All records given, in order, also those whose append failed.
    log: Vec<Record>,
    /// How many of them must survive the machine.
    confirmed: usize,
    /// How many must survive the process: those that were appended without failure.
    appended: usize,
    /// How many records there are up to a batch, for the batches where that is known.
    ends: BTreeMap<u64, usize>,
    /// How many records there are up to the end of each append.
    append_ends: BTreeSet<usize>,
    /// What a database would have.
    position: u64,
    existing: bool,
    seen: Seen,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let options = JournalOptions {
            segment_bytes: [16, 24, 64][random.random_range(0..3)] << 10,
            batch_bytes_max: [5_000, 9_000, 1 << 20][random.random_range(0..3)],
            spares: random.random_range(0..3),
            free_max: random.random_range(0..4),
        };
        Self {
            disk: SimDisk::new(seed),
            random,
            options,
            source: Source::default(),
            log: Vec::new(),
            confirmed: 0,
            appended: 0,
            ends: BTreeMap::from([(0, 0)]),
            append_ends: BTreeSet::from([0]),
            position: 0,
            existing: false,
            seen: Seen::default(),
        }
    }

    /// Lives several lives; returns what was seen, or what went wrong.
    fn run(mut self) -> Result<Seen, String> {
        let fault_rate = self.random.random_range(0.0..1.0);
        for _ in 0..self.random.random_range(1..12) {
            if self.random.random_bool(fault_rate) {
                let fault = if self.random.random_bool(0.7) { Fault::Stop } else { Fault::Fail };
                let range = [10, 60, 400][self.random.random_range(0..3)];
                self.disk.plan(self.random.random_range(0..range), fault);
            }
            self.life()?;
            self.check_unused()?;
        }
        Ok(self.seen)
    }

    /// A file whose header says that it is not in use holds nothing: neither a power cut nor
    /// anything else may leave old records in it.
    fn check_unused(&mut self) -> Result<(), String> {
        for file in self.disk.list().map_err(|error| error.to_string())? {
            let bytes = self.disk.contents(&file.name);
            let is_whole = file.name.ends_with(".segment")
                && bytes.len() > 8_192
                && crc32c::crc32c(&bytes[..64]).to_le_bytes() == bytes[64..68];
            if is_whole && bytes[16..24] == [0; 8] {
                self.seen.unused += 1;
                if bytes[4_096..].iter().any(|byte| *byte != 0) {
                    return Err(format!("{} is not in use and holds something", file.name));
                }
            }
        }
        Ok(())
    }

    fn life(&mut self) -> Result<(), String> {
        self.seen.lives += 1;
        match self.open() {
            Ok((journal, recovered)) => {
                self.check(recovered)?;
                self.work(journal)?;
            }
            Err(JournalError::Io { .. }) => self.seen.openings_cut += 1,
            Err(error) => return Err(format!("does not open: {error}")),
        }
        self.end();
        Ok(())
    }

    fn open(&self) -> Result<(Journal, Recovered), JournalError> {
        let start = JournalStart {
            server_id: "0123456789abcdef0123456789abcdef",
            position: BatchNumber(self.position),
            existing: self.existing,
        };
        Journal::open(Arc::clone(&self.disk) as Arc<dyn Disk>, self.options, &start)
    }

    fn check(&mut self, recovered: Recovered) -> Result<(), String> {
        self.existing = true;
        self.seen.torn += u64::from(recovered.torn.is_some());
        let mut count = self.ends[&self.position];
        self.ends.split_off(&(self.position + 1));
        let mut number = self.position;
        for (batch, records) in recovered.batches {
            number += 1;
            if batch.0 != number {
                return Err(format!("batch {} where {number} should be", batch.0));
            }
            let given = self.log.get(count..count + records.len());
            if given != Some(&records[..]) {
                return Err(format!("batch {number} is not what was given"));
            }
            count += records.len();
            self.ends.insert(number, count);
        }
        if count < self.appended {
            return Err(format!("{} records are lost", self.appended - count));
        }
        if self.appends_fit() && !self.append_ends.contains(&count) {
            return Err("an append is there in part".to_owned());
        }
        self.append_ends.split_off(&(count + 1));
        self.append_ends.insert(count);
        self.seen.dropped += (self.log.len() - count) as u64;
        self.log.truncate(count);
        self.confirmed = count;
        self.appended = count;
        Ok(())
    }

    /// Whether every append fits into a batch, and so must be there as a whole or not at all.
    fn appends_fit(&self) -> bool {
        self.options.segment_bytes > 20_000 && self.options.batch_bytes_max > 8_999
    }

    fn work(&mut self, mut journal: Journal) -> Result<(), String> {
        for _ in 0..self.random.random_range(1..60) {
            match self.step(&mut journal) {
                Ok(()) => {}
                Err(JournalError::Io { .. }) => {
                    self.seen.failures += 1;
                    return stays_stopped(&mut journal);
                }
                Err(error) => return Err(format!("does not work: {error}")),
            }
        }
        Ok(())
    }

    fn step(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        match self.random.random_range(0..10) {
            0..6 => {
                // Now and then more than fits into one batch.
                let many = if self.random.random_bool(0.1) { 30 } else { 4 };
                let appends: Vec<Vec<Record>> = (0..self.random.random_range(0..many))
                    .map(|_| {
                        let count = self.random.random_range(0..5);
                        (0..count).map(|_| self.source.next(&mut self.random)).collect()
                    })
                    .collect();
                for records in &appends {
                    self.log.extend(records.iter().cloned());
                    self.append_ends.insert(self.log.len());
                }
                let batch = journal.append(&appends)?;
                self.appended = self.log.len();
                self.ends.insert(batch.0, self.log.len());
            }
            6..8 => {
                let synced = journal.sync()?;
                assert_eq!(synced, journal.written());
                self.seen.confirmed += (self.appended - self.confirmed) as u64;
                self.confirmed = self.appended;
            }
            8 => {
                let known = self.ends.range(self.position..=journal.synced().0);
                let known: Vec<u64> = known.map(|(batch, _)| *batch).collect();
                self.position = known[self.random.random_range(0..known.len())];
                self.ends = self.ends.split_off(&self.position);
                journal.release(BatchNumber(self.position));
                if self.random.random_bool(0.3) {
                    journal.turn_over()?;
                    self.confirmed = self.appended;
                }
            }
            _ => {
                if let Some(chore) = journal.chore() {
                    journal.chore_done(chore.run(&*self.disk))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the process or the machine.
    fn end(&mut self) {
        if !self.disk.stopped() && self.random.random_bool(0.4) {
            self.seen.kills += 1;
            self.disk = self.disk.kill();
        } else {
            self.seen.crashes += 1;
            self.disk = self.disk.crash();
            self.appended = self.confirmed;
        }
    }
}

/// After a failure it must not do anything any more.
fn stays_stopped(journal: &mut Journal) -> Result<(), String> {
    let stopped = matches!(journal.append(&[]), Err(JournalError::Stopped))
        && matches!(journal.sync(), Err(JournalError::Stopped))
        && journal.chore().is_none();
    if stopped { Ok(()) } else { Err("goes on after a failure".to_owned()) }
}

#[test]
fn what_was_confirmed_is_never_lost() {
    let mut all = Seen::default();
    let runs = seeds(2_000);
    for seed in 0..runs {
        match World::new(seed).run() {
            Ok(seen) => all.add(&seen),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    println!("{all:?}");
    let enough = [
        all.confirmed > 150 * runs,
        all.dropped > 15 * runs,
        all.torn > runs / 2,
        all.kills > runs,
        all.crashes > 3 * runs,
        all.failures > runs / 2,
        all.openings_cut > runs / 2,
        all.unused > runs / 2,
    ];
    assert!(runs < 100 || enough.iter().all(|enough| *enough), "{all:?}");
}

#[test]
fn a_disk_that_ignores_syncs_is_seen_to_lose() {
    let caught = (0..100).filter(|seed| {
        let world = World::new(*seed);
        world.disk.ignore_syncs();
        world.run().is_err()
    });
    let caught = caught.count();
    assert!(caught > 80, "only {caught} of 100 seeds");
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.confirmed += other.confirmed;
        self.dropped += other.dropped;
        self.torn += other.torn;
        self.kills += other.kills;
        self.crashes += other.crashes;
        self.failures += other.failures;
        self.openings_cut += other.openings_cut;
        self.unused += other.unused;
    }
}

/// How many seeds to run; `WHOELSE_SEEDS` says otherwise.
fn seeds(usual: u64) -> u64 {
    std::env::var("WHOELSE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
