//! Lets records settle, then projects them: the one writer of the database.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use whoelse_engine::Record;

use super::journal_thread::ToJournal;
use super::notifier::Notifier;
use super::{Backlog, REPLAY_BYTES, Sequence, StoreEvent};
use crate::database::{Database, DatabaseError, Projector};
use crate::journal::BatchNumber;

/// Records that are safe in the journal.
pub(super) struct ToProjector {
    /// The last batch they are in.
    pub(super) last: BatchNumber,
    /// The last append they are of.
    pub(super) sequence: Sequence,
    /// The records of each append.
    pub(super) appends: Vec<Vec<Record>>,
    /// Who wants to know when everything up to here is in the database.
    pub(super) settle: Vec<u64>,
}

pub(super) struct ProjectorThread {
    pub(super) database: Database,
    pub(super) settle: Duration,
    pub(super) settle_bytes: usize,
    /// How long what was deleted may stay beside the database.
    pub(super) erase: Duration,
    /// What was found in the journal at the start, if it is much: it does not settle.
    pub(super) replay: Vec<(BatchNumber, Vec<Record>)>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) journal: Sender<ToJournal>,
}

impl ProjectorThread {
    /// Serves until the journal thread has ended, and then closes the database.
    pub(super) fn run(mut self, inbox: &Receiver<ToProjector>) {
        let served = self.serve(inbox);
        if let Err(error) = served.and_then(|()| self.database.close()) {
            self.notifier.fail(&error, error.hint());
        }
    }

    fn serve(&mut self, inbox: &Receiver<ToProjector>) -> Result<(), DatabaseError> {
        self.project_replay()?;
        let mut projector = Projector::default();
        let mut pending = None;
        let mut project_at = None;
        // A crash may have left something there.
        let mut erase_at = Some(Instant::now() + self.erase);
        loop {
            let received = match [project_at, erase_at].into_iter().flatten().min() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => {
                    let left = Instant::saturating_duration_since(&at, Instant::now());
                    inbox.recv_timeout(left)
                }
            };
            let closing = matches!(received, Err(RecvTimeoutError::Disconnected));
            let mut settle = Vec::new();
            if let Ok(message) = received {
                settle = message.settle;
                if !message.appends.is_empty() {
                    pending = Some(message.sequence);
                    project_at = project_at.or_else(|| Some(Instant::now() + self.settle));
                }
                for records in message.appends {
                    projector.push(message.last, records);
                }
            }
            let now = closing || !settle.is_empty() || is_due(project_at);
            if now || projector.bytes() >= self.settle_bytes {
                project_at = None;
                if let Some(sequence) = pending.take() {
                    let erases = projector.erases();
                    self.project(&mut projector, sequence)?;
                    let at = Instant::now() + self.erase;
                    erase_at = erase_at.or_else(|| erases.then_some(at));
                }
            }
            for ticket in settle {
                self.notifier.tell(StoreEvent::Settled { ticket });
            }
            if closing {
                return Ok(());
            }
            if is_due(erase_at) {
                let is_done = self.database.merge()?;
                erase_at = (!is_done).then(|| Instant::now() + TRY_AGAIN);
            }
        }
    }

    /// Brings what was replayed into the database, a part at a time; says so when all of it is there.
    fn project_replay(&mut self) -> Result<(), DatabaseError> {
        let mut batches = std::mem::take(&mut self.replay).into_iter().peekable();
        if batches.peek().is_none() {
            return Ok(());
        }
        let mut projector = Projector::default();
        while let Some((batch, records)) = batches.next() {
            projector.push(batch, records);
            if projector.bytes() >= REPLAY_BYTES || batches.peek().is_none() {
                self.write(&mut projector)?;
            }
        }
        self.notifier.tell(StoreEvent::Projected(Sequence(0)));
        Ok(())
    }

    fn write(&mut self, projector: &mut Projector) -> Result<(), DatabaseError> {
        let bytes = projector.bytes();
        let position = projector.project(&mut self.database)?;
        self.backlog.remove(bytes);
        // If nobody takes it, the journal has failed and said so.
        drop(self.journal.send(ToJournal::Released(position)));
        Ok(())
    }

    fn project(
        &mut self,
        projector: &mut Projector,
        sequence: Sequence,
    ) -> Result<(), DatabaseError> {
        self.write(projector)?;
        self.notifier.tell(StoreEvent::Projected(sequence));
        Ok(())
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}

/// How long to wait for whoever reads an old state of the database, a backup for example.
const TRY_AGAIN: Duration = Duration::from_secs(1);
