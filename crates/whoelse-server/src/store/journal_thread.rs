//! Writes what waits, all at once, and syncs when somebody waits for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use whoelse_engine::Record;

use super::notifier::Notifier;
use super::projector_thread::ToProjector;
use super::{Sequence, StoreEvent};
use crate::database::record_bytes;
use crate::journal::{BatchNumber, Chore, ChoreDone, Disk, Journal, JournalError};

/// What the journal thread is told.
pub(super) enum ToJournal {
    /// Write these.
    Append(Sequence, Vec<Record>),
    /// Pass everything on now, and have it said when it is in the database.
    Settle(u64),
    /// The database has everything up to here.
    Released(BatchNumber),
    /// A chore is done.
    ChoreDone(Result<ChoreDone, JournalError>),
    /// There will be no more.
    Close,
}

/// How long things may take by themselves.
pub(super) struct Delays {
    /// Until a lazy record is synced.
    pub(super) lazy_sync: Duration,
    /// Until a segment that holds promised records is not in use any more.
    pub(super) erase: Duration,
}

pub(super) struct JournalThread {
    journal: Journal,
    delays: Delays,
    notifier: Arc<Notifier>,
    projector: Sender<ToProjector>,
    chores: Sender<Chore>,
    /// What is written and not synced, with the last sequence in it.
    unsynced: Vec<Vec<Record>>,
    last: Sequence,
    /// When it must be synced at the latest.
    sync_at: Option<Instant>,
    /// When another segment is taken into use, however much room there is in this one.
    turn_over_at: Option<Instant>,
}

/// What was found in the inbox.
#[derive(Default)]
struct Work {
    appends: Vec<Vec<Record>>,
    last: Option<Sequence>,
    bytes: usize,
    promised: bool,
    settle: Vec<u64>,
    close: bool,
}

impl JournalThread {
    pub(super) fn new(
        journal: Journal,
        delays: Delays,
        notifier: Arc<Notifier>,
        projector: Sender<ToProjector>,
        chores: Sender<Chore>,
    ) -> Self {
        Self {
            journal,
            delays,
            notifier,
            projector,
            chores,
            unsynced: Vec::new(),
            last: Sequence(0),
            sync_at: None,
            turn_over_at: None,
        }
    }

    /// Serves until the store is closed; returns the journal if it can be used on.
    pub(super) fn run(mut self, inbox: &Receiver<ToJournal>) -> Option<Journal> {
        match self.serve(inbox) {
            Ok(()) => Some(self.journal),
            Err(error) => {
                self.notifier.fail(&error, error.hint());
                None
            }
        }
    }

    fn serve(&mut self, inbox: &Receiver<ToJournal>) -> Result<(), JournalError> {
        self.turn_over_when_due()?;
        self.hand_out_chores();
        while let Some(work) = self.wait(inbox)? {
            if let Some(last) = work.last {
                self.journal.append(&work.appends)?;
                self.unsynced.extend(work.appends);
                self.last = last;
            }
            let due = self.sync_at.is_some_and(|at| at <= Instant::now());
            let now = work.promised || work.close || !work.settle.is_empty() || due;
            if now || self.journal.synced() == self.journal.written() {
                self.sync()?;
            } else if self.sync_at.is_none() {
                self.sync_at = Some(Instant::now() + self.delays.lazy_sync);
            }
            if !work.settle.is_empty() {
                self.pass_on(Vec::new(), work.settle);
            }
            self.turn_over_when_due()?;
            self.hand_out_chores();
            if work.close {
                break;
            }
        }
        Ok(())
    }

    /// Waits for something to do and takes all there is; nothing when the store is gone.
    fn wait(&mut self, inbox: &Receiver<ToJournal>) -> Result<Option<Work>, JournalError> {
        let mut work = Work::default();
        let wake_at = [self.sync_at, self.turn_over_at].into_iter().flatten().min();
        let first = match wake_at {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let mut next = match first {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        while let Some(message) = next {
            self.take(message, &mut work)?;
            // Enough for several batches; those who wait for the first should not wait longer.
            let enough = work.close || work.bytes >= GROUP_BYTES;
            next = if enough { None } else { inbox.try_recv().ok() };
        }
        Ok(Some(work))
    }

    fn take(&mut self, message: ToJournal, work: &mut Work) -> Result<(), JournalError> {
        match message {
            ToJournal::Append(sequence, records) => {
                work.promised |= records.iter().any(|record| !record.is_lazy());
                work.bytes += records.iter().map(record_bytes).sum::<usize>();
                work.last = Some(sequence);
                work.appends.push(records);
            }
            ToJournal::Settle(ticket) => work.settle.push(ticket),
            ToJournal::Released(position) => self.journal.release(position),
            ToJournal::ChoreDone(done) => self.journal.chore_done(done)?,
            ToJournal::Close => work.close = true,
        }
        Ok(())
    }

    /// Makes everything written safe, says so, and passes it on.
    fn sync(&mut self) -> Result<(), JournalError> {
        self.journal.sync()?;
        self.sync_at = None;
        if !self.unsynced.is_empty() {
            self.notifier.tell(StoreEvent::Synced(self.last));
            let appends = std::mem::take(&mut self.unsynced);
            self.pass_on(appends, Vec::new());
        }
        Ok(())
    }

    fn pass_on(&self, appends: Vec<Vec<Record>>, settle: Vec<u64>) {
        let last = self.journal.synced();
        let message = ToProjector { last, sequence: self.last, appends, settle };
        // If nobody takes it, the projector has failed and said so.
        drop(self.projector.send(message));
    }

    /// Sees to it that what was deleted does not stay in a segment because that is not full.
    fn turn_over_when_due(&mut self) -> Result<(), JournalError> {
        if self.turn_over_at.is_some_and(|at| at <= Instant::now()) {
            self.turn_over_at = None;
            if self.journal.holds_promised() {
                self.sync()?;
                self.journal.turn_over()?;
            }
        }
        if self.turn_over_at.is_none() && self.journal.holds_promised() {
            self.turn_over_at = Some(Instant::now() + self.delays.erase);
        }
        Ok(())
    }

    fn hand_out_chores(&mut self) {
        while let Some(chore) = self.journal.chore() {
            drop(self.chores.send(chore));
        }
    }
}

/// Does what need not hold up the writing. A failure goes to the journal thread, which stops.
pub(super) fn run_chores(disk: &dyn Disk, inbox: &Receiver<Chore>, done: &Sender<ToJournal>) {
    for chore in inbox {
        drop(done.send(ToJournal::ChoreDone(chore.run(disk))));
    }
}

/// How much is taken from the inbox before it is written and synced, in bytes.
const GROUP_BYTES: usize = 4 << 20;
