//! The machine under the server: how it starts and ends, and the work of its disk.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt;
use whoelse_engine::{Engine, Record};
use whoelse_proto::event::Meeting;
use whoelse_proto::{Fingerprint, Name, Role};
use whoelse_server::database::Projector;
use whoelse_server::journal::{BatchNumber, Journal, JournalStart};
use whoelse_server::simulated::{House, Simulated};
use whoelse_server::store::{Sequence, StoreEvent};

use super::book::Watch;
use super::keeper::{Keeper, Wishes};
use super::{Event, Fallible, START_MS, World};
use crate::sim::disk::SimDisk;
use crate::sim::model::FIRST_PASSWORD;

/// The key that the server shows.
pub(super) const KEY: Fingerprint = Fingerprint([7; 32]);

/// Where everybody comes from.
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A lazy record is synced after so long at the latest.
const LAZY_SYNC_MS: u64 = 1_000;

/// More rounds than the hub ever needs to come to rest.
const ROUNDS_MAX: usize = 100_000;

/// A server that runs.
pub(super) struct Server {
    pub(super) house: House,
    pub(super) nature: Rc<Simulated>,
    pub(super) wishes: Rc<RefCell<Wishes>>,
    journal: Journal,
    projector: Projector,
    /// What is written and not synced.
    unsynced: VecDeque<Vec<Record>>,
    /// The last append written, and given to the projector.
    written: Sequence,
    pushed: Sequence,
    /// How many records are written.
    written_records: usize,
    has_write: bool,
    sync_at: Option<u64>,
    has_project: bool,
    has_run: bool,
    wake_at: Option<u64>,
    pages: usize,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The power goes: what was not synced may be gone, in part and in any order.
    Power,
    /// The process ends: everything written is there.
    Process,
}

impl Server {
    /// The next sync is due now.
    pub(super) fn sync_now(&mut self, now: u64) {
        self.sync_at = Some(now);
    }
}

/// The random id of the data, which a restore changes.
pub(super) fn server_id(epoch: usize) -> String {
    format!("{epoch:032x}")
}

impl World {
    /// The server starts, if it can.
    #[expect(clippy::too_many_lines, reason = "one step after the other, as the real one does")]
    pub(super) fn start(&mut self) -> Fallible {
        if self.server.is_some() {
            return Ok(());
        }
        let id = self.database.server_id();
        let position = self.database.position().map_err(|error| error.to_string())?;
        let existing = self.database.has_journal().map_err(|error| error.to_string())?;
        let start = JournalStart { server_id: &id, position, existing };
        let disk: Arc<SimDisk> = Arc::clone(&self.disk);
        let (journal, recovered) = match Journal::open(disk, self.rates.journal, &start) {
            Ok(opened) => opened,
            Err(error) => return self.refused(&error.to_string()),
        };
        self.tell(|| {
            let batches: Vec<(u64, usize)> =
                recovered.batches.iter().map(|(batch, records)| (batch.0, records.len())).collect();
            format!("the journal after {position:?}: {batches:?}, torn {:?}", recovered.torn)
        });
        if !existing {
            self.database.set_has_journal().map_err(|error| error.to_string())?;
        }
        let snapshot = self.database.load().map_err(|error| error.to_string())?;
        let mut engine = Engine::new(self.rules.clone(), id, &snapshot);
        let mut projector = Projector::default();
        let mut found = self.records_at(position)?;
        let mut replay = Vec::new();
        for (batch, records) in recovered.batches {
            for record in &records {
                if self.book.borrow().records.get(found) != Some(record) {
                    return Err(format!(
                        "record {found} is not the one that was written: {record:?}"
                    ));
                }
                found += 1;
                engine.apply(record);
                replay.push(record.clone());
            }
            self.records_at.insert(batch.0, found);
            projector.push(batch, records);
        }
        if found < std::mem::take(&mut self.must_find) {
            return Err(format!("only {found} records were found after an end of the process"));
        }
        self.records_at.retain(|_, records| *records <= found);
        self.book.borrow_mut().go_back(found)?;
        let wall = (START_MS + self.now).saturating_add_signed(self.wall_off);
        let nature = Simulated::new(wall, self.chance.store.random());
        let keeper = Keeper::default();
        let wishes = Rc::clone(&keeper.0);
        let place = Arc::new("localhost".parse().map_err(|_| "it is a place")?);
        let meeting = Meeting { place, is_guessed: true, key: KEY };
        let watch = Box::new(Watch(Rc::clone(&self.book)));
        let house =
            House::start(engine, &replay, Box::new(keeper), meeting, Rc::clone(&nature), watch);
        self.tell(|| format!("started with {found} records, wall clock {wall}"));
        self.server = Some(Server {
            house,
            nature,
            wishes,
            journal,
            projector,
            unsynced: VecDeque::new(),
            written: Sequence(0),
            pushed: Sequence(0),
            written_records: found,
            has_write: false,
            sync_at: None,
            has_project: false,
            has_run: false,
            wake_at: None,
            pages: 0,
        });
        if self.blackouts > 0 {
            self.blackouts -= 1;
            self.stats.blackouts += 1;
            if self.chance.faults.random_bool(0.7) {
                self.cut_after_writes = self.chance.faults.random_range(1..=3);
            } else {
                let pause = self.chance.faults.random_range(0..400);
                self.after(pause, Event::Blackout);
            }
        }
        self.compare()
    }

    /// A server that cannot start because the disk is full says so, and is started again later.
    fn refused(&mut self, why: &str) -> Fallible {
        if !self.disk.has_faults() {
            return Err(format!("cannot be opened on a disk that works: {why}"));
        }
        self.tell(|| format!("refuses to start: {why}"));
        self.stats.refused_starts += 1;
        self.disk = self.disk.kill();
        self.disk.limit_space(u64::MAX);
        self.after(100, Event::Start);
        Ok(())
    }

    fn records_at(&self, batch: BatchNumber) -> Result<usize, String> {
        let known = self.records_at.get(&batch.0).copied();
        known.ok_or_else(|| format!("the database is at batch {}, which ends no write", batch.0))
    }

    /// The server is gone, and comes back later.
    pub(super) fn die(&mut self, end: End) -> Fallible {
        let Some(server) = self.server.take() else { return Ok(()) };
        self.cut_after_writes = 0;
        self.stats.unreleased += u64::from(server.house.effects_waiting() > 0);
        let written = server.written_records;
        drop(server.house);
        self.tell(|| format!("{end:?} ends; {written} records were written"));
        match end {
            End::Power => {
                self.stats.crashes += 1;
                self.disk = self.disk.crash();
            }
            End::Process => {
                self.stats.kills += 1;
                self.must_find = written;
                self.disk = self.disk.kill();
            }
        }
        self.server_gone(end == End::Process)?;
        let down = self.chance.faults.random_range(0..=2 * self.rates.down_ms);
        self.after(down, Event::Start);
        Ok(())
    }

    /// Lets the server come to rest, and takes up what it wants.
    pub(super) fn settle(&mut self) -> Fallible {
        let is_busy = self.chance.store.random_bool(self.rates.busy);
        let Some(server) = &mut self.server else { return Ok(()) };
        if is_busy {
            if !server.has_run {
                server.has_run = true;
                let pause = self.chance.store.random_range(0..5);
                self.after(pause, Event::Run);
            }
            return Ok(());
        }
        let mut rounds = 0;
        while server.house.run() {
            rounds += 1;
            if rounds == ROUNDS_MAX {
                return Err("the hub does not come to rest".into());
            }
        }
        let time = server.house.time().0;
        let wake = server.house.due().map(|due| self.now + due.0.saturating_sub(time).max(1));
        let wake = wake.filter(|wake| server.wake_at.is_none_or(|at| *wake < at || at <= self.now));
        server.wake_at = wake.or(server.wake_at.filter(|at| *at > self.now));
        let wishes = server.wishes.borrow();
        let wants_write = !wishes.appends.is_empty() && !server.has_write;
        let wants_pages = wishes.pages.len().saturating_sub(server.pages);
        drop(wishes);
        server.has_write |= wants_write;
        server.pages += wants_pages;
        if let Some(failure) = server.house.failure() {
            return Err(format!("the hub says it failed: {failure}"));
        }
        if let Some(wake) = wake {
            self.after(wake - self.now, Event::Run);
        }
        if wants_write {
            let pause = self.chance.store.random_range(0..=self.rates.write_ms);
            self.after(pause, Event::Write);
        }
        for _ in 0..wants_pages {
            let pause = self.chance.store.random_range(0..=self.rates.sync_ms);
            self.after(pause, Event::Page);
        }
        let hashes = std::mem::take(&mut self.book.borrow_mut().to_hash);
        for _ in 0..hashes {
            let pause = self.chance.store.random_range(0..60);
            self.after(pause, Event::Hash);
        }
        self.look_at_lines();
        self.no_fault()
    }

    pub(super) fn ran(&mut self) {
        if let Some(server) = &mut self.server {
            server.has_run = false;
        }
    }

    /// What waits is written, in one group.
    pub(super) fn write(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        server.has_write = false;
        let appends = std::mem::take(&mut server.wishes.borrow_mut().appends);
        let Some((last, _)) = appends.back() else { return Ok(()) };
        let last = *last;
        let appends: Vec<Vec<Record>> = appends.into_iter().map(|(_, records)| records).collect();
        let is_promised = appends.iter().flatten().any(|record| !record.is_lazy());
        let batch = match server.journal.append(&appends) {
            Ok(batch) => batch,
            Err(error) => return self.failed(&error.to_string()),
        };
        server.written = last;
        server.written_records += appends.iter().map(Vec::len).sum::<usize>();
        self.records_at.insert(batch.0, server.written_records);
        server.unsynced.extend(appends);
        if self.cut_after_writes > 0 {
            self.cut_after_writes -= 1;
            if self.cut_after_writes == 0 {
                return self.blackout();
            }
        }
        let pause = match is_promised {
            true => self.chance.store.random_range(0..=self.rates.sync_ms),
            false => LAZY_SYNC_MS,
        };
        let at = self.now + pause;
        if server.sync_at.is_none_or(|planned| at < planned || planned < self.now) {
            server.sync_at = Some(at);
            self.after(pause, Event::Sync);
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        if server.sync_at.is_none_or(|at| at > self.now) {
            return Ok(()); // an earlier one has done it
        }
        server.sync_at = None;
        let synced = match server.journal.sync() {
            Ok(synced) => synced,
            Err(error) => return self.failed(&error.to_string()),
        };
        self.stats.syncs += 1;
        for records in std::mem::take(&mut server.unsynced) {
            server.projector.push(synced, records);
        }
        server.pushed = server.written;
        self.book.borrow_mut().make_safe(server.written_records);
        server.house.tell(StoreEvent::Synced(server.written));
        if !server.has_project {
            server.has_project = true;
            let pause = self.chance.store.random_range(0..=2 * self.rates.project_ms);
            self.after(pause, Event::Project);
        }
        self.chores()
    }

    pub(super) fn project(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        server.has_project = false;
        if server.projector.is_empty() {
            return Ok(());
        }
        let is_limited = self.rates.is_hit(&mut self.chance.faults, 6, 30);
        if is_limited {
            self.database.limit_pages(1).map_err(|error| error.to_string())?;
        }
        let projected = server.projector.project(&mut self.database);
        if is_limited {
            self.database.limit_pages(u32::MAX - 1).map_err(|error| error.to_string())?;
        }
        let position = match projected {
            Ok(position) => position,
            Err(_) if is_limited => {
                self.stats.database_full += 1;
                return self.die(End::Process);
            }
            Err(error) => return Err(error.to_string()),
        };
        self.stats.projections += 1;
        if self.rates.is_hit(&mut self.chance.faults, 7, 30) {
            self.stats.unfreed += 1;
            let is_power = self.chance.faults.random_bool(0.5);
            return self.die(if is_power { End::Power } else { End::Process });
        }
        server.journal.release(position);
        server.house.tell(StoreEvent::Projected(server.pushed));
        if self.chance.store.random_bool(0.2) && server.journal.holds_promised() {
            self.stats.turned_over += 1;
            if let Err(error) = server.journal.turn_over() {
                return self.failed(&error.to_string());
            }
        }
        self.chores()
    }

    fn chores(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        while let Some(chore) = server.journal.chore() {
            let done = chore.run(&*self.disk);
            if let Err(error) = server.journal.chore_done(done) {
                return self.failed(&error.to_string());
            }
        }
        Ok(())
    }

    /// A page of mail is read, small, so that there are many.
    pub(super) fn page(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        server.pages = server.pages.saturating_sub(1);
        let Some(wanted) = server.wishes.borrow_mut().pages.pop_front() else { return Ok(()) };
        let bytes = wanted.bytes_max.min(self.rates.page_bytes);
        let page = self.database.page(wanted.account, wanted.after, bytes);
        let messages = page.map_err(|error| error.to_string())?;
        self.stats.pages += 1;
        server.house.tell(StoreEvent::Page { ticket: wanted.ticket, messages });
        Ok(())
    }

    pub(super) fn hash(&mut self) {
        if let Some(server) = &self.server {
            server.house.hash_one();
        }
    }

    /// The disk failed, which must have been our doing: the server ends at once.
    fn failed(&mut self, why: &str) -> Fallible {
        if !self.disk.has_faults() {
            return Err(format!("the journal failed on a disk that works: {why}"));
        }
        self.tell(|| format!("the journal has failed: {why}"));
        if self.disk.stopped() {
            self.stats.torn += 1;
            return self.die(End::Power);
        }
        self.stats.disk_failures += 1;
        if self.disk.is_full() {
            self.stats.disk_full += 1;
        }
        if self.disk.has_failed_sync() {
            self.stats.sync_failures += 1;
        }
        self.die(End::Process)
    }

    pub(super) fn add_person(&mut self, who: usize, role: Role) -> Fallible {
        let name = Name::new(&self.people[who].name).map_err(|error| error.to_string())?;
        if let Some(server) = &self.server {
            drop(server.house.add_person(name, role, FIRST_PASSWORD.into()));
            self.after(1, Event::Hash);
        }
        self.people[who].passwords = vec![FIRST_PASSWORD.into()];
        Ok(())
    }
}
