//! The threads around journal and database: takes records, says when they are safe, reads mail.
//!
//! ```text
//! append ──> journal thread ──> projector thread ──> whoelse.db
//!               │  ▲  └ chores ┐   │ position            ▲
//!               ▼  └───────────┴───┘                     │ read only
//!            segments                  read_page ──> reader thread
//! ```
//! Each waits for its channel and nothing else: an idle store wakes nobody. The rules of both files
//! are those of [`crate::journal`] and [`crate::database`].
//!
//! *Invariants.* The projector is given only what is synced; segments are freed only behind what it
//! has committed; after a failure nothing is reported as synced or projected.

mod journal_thread;
mod notifier;
mod projector_thread;
mod reader_thread;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use journal_thread::{Delays, JournalThread, ToJournal};
use notifier::Notifier;
use projector_thread::{ProjectorThread, ToProjector};
use reader_thread::PageRequest;
use whoelse_engine::{AccountId, Message, Number, Record, Snapshot};

use crate::database::{BeforeUpgrade, Database, DatabaseError, PageReader, record_bytes};
use crate::journal::{
    BatchNumber, Disk, Journal, JournalError, JournalOptions, JournalStart, RealDisk, Recovered,
};

/// The place of an append among all appends of this process: 1, 2, …
///
/// 0 stands for the records that were replayed at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Size of a segment of the journal, in bytes.
    pub segment_bytes: u32,
    /// How long records settle before they are projected, in milliseconds: what is acknowledged by
    /// then never reaches the database.
    pub settle_ms: u64,
    /// How much may settle, in bytes; more is projected at once.
    pub settle_bytes: usize,
    /// How much may wait for the database, in bytes; then [`Store::is_full`].
    pub backlog_bytes_max: u64,
    /// How long a lazy record may stay unsynced, in milliseconds.
    pub lazy_sync_ms: u64,
    /// How long what was deleted from the database may stay in journal and database files, in
    /// milliseconds; then it is overwritten, which takes a moment.
    pub erase_ms: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            settle_ms: 5_000,
            settle_bytes: 32 << 20,
            backlog_bytes_max: 1 << 30,
            lazy_sync_ms: 1_000,
            erase_ms: 30_000,
        }
    }
}

/// What a store found when it was opened.
pub struct Opened {
    /// The store, ready for appends.
    pub store: Store,
    /// The state that the database holds.
    pub snapshot: Snapshot,
    /// The records after it, in order, to be applied to the snapshot. They are on disk.
    pub replay: Vec<Record>,
    /// The random id of the data folder, made at its creation: 32 hexadecimal digits.
    pub server_id: Arc<str>,
    /// What recovery did.
    pub report: RecoveryReport,
    /// Whether the data folder was made by this opening.
    pub created: bool,
}

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// How many records were replayed from the journal.
    pub records: u64,
    /// In how many batches.
    pub batches: u64,
    /// How many bytes of an unfinished last write were dropped; 0 is the usual case.
    ///
    /// Nothing in them had been confirmed to anybody.
    pub torn_bytes: u64,
    /// How long opening took, in milliseconds.
    pub milliseconds: u64,
}

/// What a store tells, from threads of its own.
#[derive(Clone, Debug)]
pub enum StoreEvent {
    /// This append and all before it are on disk.
    Synced(Sequence),
    /// This append and all before it are in the database. [`Sequence`] 0 comes only if records
    /// were replayed.
    Projected(Sequence),
    /// The answer to [`Store::read_page`].
    Page {
        /// What the request was marked with.
        ticket: u64,
        /// Consecutive numbers, see [`Store::read_page`].
        messages: Vec<Arc<Message>>,
    },
    /// The answer to [`Store::settle`].
    Settled {
        /// What the request was marked with.
        ticket: u64,
    },
    /// Something could not be written or read: a sentence for a person. It comes once, and nothing
    /// after it.
    Failed(String),
}

/// Why a store could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or something for it could not be had from the system.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried: a verb and its object.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The journal could not be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database could not be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The store had failed before; the text is the one of [`StoreEvent::Failed`].
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// What a person can do about it, in a sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Database(error) => error.hint(),
            Self::System { .. } | Self::Failed(_) => {
                "check the disk and the space left on it, then start again: nothing confirmed is \
                 lost"
            }
        }
    }

    /// Whether something is wrong with what is there already.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Journal(_) => true,
            Self::Database(error) => error.is_damage(),
            Self::System { .. } | Self::Failed(_) => false,
        }
    }

    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// What a hub needs of a store. A simulator has one without threads.
pub trait Keep {
    /// As [`Store::append`].
    fn append(&mut self, records: Vec<Record>) -> Sequence;

    /// As [`Store::read_page`].
    fn read_page(&self, account: AccountId, after: Number, bytes_max: usize, ticket: u64);

    /// As [`Store::settle`].
    fn settle(&self, ticket: u64);

    /// As [`Store::is_full`].
    fn is_full(&self) -> bool;

    /// As [`Store::close`].
    ///
    /// # Errors
    /// Those of [`Store::close`].
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

impl Keep for Store {
    fn append(&mut self, records: Vec<Record>) -> Sequence {
        Self::append(self, records)
    }

    fn read_page(&self, account: AccountId, after: Number, bytes_max: usize, ticket: u64) {
        Self::read_page(self, account, after, bytes_max, ticket);
    }

    fn settle(&self, ticket: u64) {
        Self::settle(self, ticket);
    }

    fn is_full(&self) -> bool {
        Self::is_full(self)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Self::close(*self)
    }
}

/// The one writer of journal and database.
///
/// Dropped without [`Store::close`], it ends its threads in the background.
pub struct Store {
    last: Sequence,
    journal: Sender<ToJournal>,
    reader: Option<Sender<PageRequest>>,
    notifier: Arc<Notifier>,
    backlog: Arc<Backlog>,
    /// In the order in which they end: the reader is gone when the writer closes the database.
    threads: Vec<JoinHandle<()>>,
    disk: Arc<dyn Disk>,
    /// The journal, when its thread has ended in good order.
    left: Arc<Mutex<Option<Journal>>>,
}

impl Store {
    /// Opens the store in a folder and recovers what it holds; makes it in an empty folder.
    ///
    /// The folder must exist and be locked by the caller. Events go to `notify`, which is called
    /// from the store's threads, one at a time, and should return quickly.
    ///
    /// # Errors
    /// When the folder cannot be read or written, is damaged, or is of a newer version. In the
    /// last two cases nothing was overwritten.
    pub fn open(
        folder: &Path,
        options: StoreOptions,
        notify: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<Opened, StoreError> {
        Self::open_on(folder, None, options, Box::new(notify))
    }

    /// Does the same with the journal on a disk of the caller's, for tests.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_on(
        folder: &Path,
        disk: Option<Arc<dyn Disk>>,
        options: StoreOptions,
        notify: Box<dyn Fn(StoreEvent) + Send + Sync>,
    ) -> Result<Opened, StoreError> {
        let start = Instant::now();
        let open_disk = || -> Result<Arc<dyn Disk>, StoreError> {
            let opened = RealDisk::open(&folder.join(JOURNAL_FOLDER));
            Ok(Arc::new(opened.map_err(StoreError::system("open the folder of the journal"))?))
        };
        let path = folder.join(DATABASE_FILE);
        let before = Database::before_upgrade(&path)?;
        let disk = match disk {
            // Nothing is made in the folder of another program.
            None if before.is_some() || folder.join(JOURNAL_FOLDER).is_dir() => Some(open_disk()?),
            disk => disk,
        };
        if let Some(disk) = &disk {
            refuse_unreadable(before, &**disk)?;
        }
        let mut database = Database::open(&path, &random_id()?)?;
        let created = !database.has_journal()?;
        let snapshot = database.load()?;
        let disk = disk.map_or_else(open_disk, Ok)?;
        let server_id = database.server_id();
        let journal_start = JournalStart {
            server_id: &server_id,
            position: database.position()?,
            existing: !created,
        };
        let journal_options =
            JournalOptions { segment_bytes: options.segment_bytes, ..JournalOptions::default() };
        let (journal, recovered) =
            Journal::open(Arc::clone(&disk), journal_options, &journal_start)?;
        if created {
            database.set_has_journal()?;
        }
        let pages = PageReader::open(&path)?;
        let (replay, mut report) = summed_up(&recovered);
        let notifier = Arc::new(Notifier::new(notify));
        let parts = Parts { database, disk, journal, pages, options, notifier };
        let store = parts.start(journal_start.position, recovered)?;
        report.milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(?report, created, "store opened");
        Ok(Opened { store, snapshot, replay, server_id, report, created })
    }

    /// Takes records, to be written at once; synced at once if any of them is promised, else with
    /// the next sync or within a second. Never blocks.
    ///
    /// Returns the sequence number that [`StoreEvent::Synced`] and [`StoreEvent::Projected`] will
    /// name, or exceed. All appends count, an empty one too. After an end of the machine either all
    /// records of an append are there or none; of more than a mebibyte, perhaps only the first.
    pub fn append(&mut self, records: Vec<Record>) -> Sequence {
        self.last.0 += 1;
        self.backlog.add(records.iter().map(record_bytes).sum());
        // If nobody is there to take it, the store has failed and said so.
        drop(self.journal.send(ToJournal::Append(self.last, records)));
        self.last
    }

    /// Asks for mail of an account from the database; the answer is [`StoreEvent::Page`].
    ///
    /// It holds consecutive numbers from the one after `after`, as many as fit `bytes_max` (each
    /// body and [`crate::database::PAGE_MESSAGE_BYTES`]), at least one if any are in the database.
    /// Numbers that have been acknowledged meanwhile are skipped. A message that should be there
    /// and is not, or is altered, is a failure.
    pub fn read_page(&self, account: AccountId, after: Number, bytes_max: usize, ticket: u64) {
        if let Some(reader) = &self.reader {
            let request = PageRequest { account, after, bytes_max, ticket };
            drop(reader.send(request));
        }
    }

    /// Has everything that was appended so far brought into the database now; when it is there,
    /// [`StoreEvent::Settled`] says so. Nothing else waits for that.
    pub fn settle(&self, ticket: u64) {
        drop(self.journal.send(ToJournal::Settle(ticket)));
    }

    /// Whether too much waits for the database: nothing should be appended until it no longer is.
    ///
    /// It can stop being so only just before [`StoreEvent::Projected`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.backlog.is_full()
    }

    /// Syncs everything, projects what is pending and ends the threads.
    ///
    /// # Errors
    /// When something could not be written, now or before.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.reader = None;
        let mut panicked = false;
        for (index, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            if index == 1 {
                drop(self.journal.send(ToJournal::Close));
            }
            panicked |= thread.join().is_err();
        }
        match self.notifier.failure() {
            Some(failure) => Err(StoreError::Failed(failure)),
            None if panicked => Err(StoreError::Failed("the store has a bug".to_owned())),
            None => self.wipe_journal(),
        }
    }

    /// Wipes the journal's files when everything in them is in the database, which is closed.
    fn wipe_journal(&self) -> Result<(), StoreError> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut journal) = left else { return Ok(()) };
        journal.release(journal.synced());
        if journal.holds_promised() {
            journal.turn_over()?;
        }
        while let Some(chore) = journal.chore() {
            journal.chore_done(chore.run(&*self.disk))?;
        }
        Ok(())
    }
}

/// Refuses, before the database is touched, a journal of a newer version, and one that cannot be
/// recovered if the database would be upgraded: the program that wrote them can still read both.
fn refuse_unreadable(before: Option<BeforeUpgrade>, disk: &dyn Disk) -> Result<(), JournalError> {
    Journal::check_format(disk)?;
    let Some(BeforeUpgrade { server_id, position, has_journal }) = before else { return Ok(()) };
    let start = JournalStart { server_id: &server_id, position, existing: has_journal };
    Journal::check(disk, &start)
}

impl Drop for Store {
    fn drop(&mut self) {
        // The other threads end after this one.
        drop(self.journal.send(ToJournal::Close));
    }
}

/// What the threads are made of.
struct Parts {
    database: Database,
    disk: Arc<dyn Disk>,
    journal: Journal,
    pages: PageReader,
    options: StoreOptions,
    notifier: Arc<Notifier>,
}

impl Parts {
    fn start(self, position: BatchNumber, recovered: Recovered) -> Result<Store, StoreError> {
        let Self { database, disk, journal, pages, options, notifier } = self;
        let backlog = Arc::new(Backlog::new(options.backlog_bytes_max));
        let (to_journal, journal_inbox) = mpsc::channel();
        let (to_projector, projector_inbox) = mpsc::channel();
        let (to_reader, reader_inbox) = mpsc::channel();
        let (to_chores, chores_inbox) = mpsc::channel();
        let replay = replay(recovered, position, &to_projector, &backlog);

        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let notifier = Arc::clone(&notifier);
            std::thread::Builder::new()
                .name(format!("whoelse-{name}"))
                .spawn(move || notifier::guarded(&notifier, body))
                .map_err(StoreError::system("start a thread"))
        };
        let done = to_journal.clone();
        let chores_disk = Arc::clone(&disk);
        let chores = move || journal_thread::run_chores(&*chores_disk, &chores_inbox, &done);
        let events = Arc::clone(&notifier);
        let reader = move || reader_thread::run(&pages, &reader_inbox, &events);
        let projector = ProjectorThread {
            database,
            settle: Duration::from_millis(options.settle_ms),
            settle_bytes: backlog.settle_bytes(options.settle_bytes),
            erase: Duration::from_millis(options.erase_ms),
            replay,
            notifier: Arc::clone(&notifier),
            backlog: Arc::clone(&backlog),
            journal: to_journal.clone(),
        };
        let delays = Delays {
            lazy_sync: Duration::from_millis(options.lazy_sync_ms),
            erase: Duration::from_millis(options.erase_ms),
        };
        let journal =
            JournalThread::new(journal, delays, Arc::clone(&notifier), to_projector, to_chores);
        let left = Arc::new(Mutex::new(None));
        let leave = Arc::clone(&left);
        let journal = move || {
            let journal = journal.run(&journal_inbox);
            *leave.lock().unwrap_or_else(PoisonError::into_inner) = journal;
        };
        let threads = vec![
            spawn("pages", Box::new(reader))?,
            spawn("journal", Box::new(journal))?,
            spawn("projector", Box::new(move || projector.run(&projector_inbox)))?,
            spawn("chores", Box::new(chores))?,
        ];
        let last = Sequence(0);
        let (journal, reader) = (to_journal, Some(to_reader));
        Ok(Store { last, journal, reader, notifier, backlog, threads, disk, left })
    }
}

/// How much waits for the database, in bytes.
struct Backlog {
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Backlog {
    fn new(bytes_max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), bytes_max }
    }

    /// How much may settle: a backlog that is full must not wait for a timer.
    fn settle_bytes(&self, wanted: usize) -> usize {
        usize::try_from(self.bytes_max / 2).map_or(wanted, |half| half.min(wanted))
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }
}

fn summed_up(recovered: &Recovered) -> (Vec<Record>, RecoveryReport) {
    let replay: Vec<Record> =
        recovered.batches.iter().flat_map(|(_, records)| records).cloned().collect();
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            bytes = torn.bytes,
            "the last write to the journal was not finished; nothing in it had been confirmed"
        );
    }
    let report = RecoveryReport {
        records: replay.len() as u64,
        batches: recovered.batches.len() as u64,
        torn_bytes: recovered.torn.as_ref().map_or(0, |torn| torn.bytes),
        milliseconds: 0,
    };
    (replay, report)
}

/// What was replayed is not in the database yet. Returns what is not to settle there, if it is much.
fn replay(
    recovered: Recovered,
    position: BatchNumber,
    to_projector: &Sender<ToProjector>,
    backlog: &Backlog,
) -> Vec<(BatchNumber, Vec<Record>)> {
    let last = recovered.batches.last().map_or(position, |(number, _)| *number);
    if last <= position {
        return Vec::new();
    }
    let records = recovered.batches.iter().flat_map(|(_, records)| records);
    let bytes = records.map(record_bytes).sum();
    backlog.add(bytes);
    if bytes > REPLAY_BYTES {
        return recovered.batches;
    }
    let appends: Vec<_> = recovered.batches.into_iter().map(|(_, records)| records).collect();
    let (sequence, settle) = (Sequence(0), Vec::new());
    drop(to_projector.send(ToProjector { last, sequence, appends, settle }));
    Vec::new()
}

/// How much of what was replayed is projected in one transaction, in bytes. Whatever ends the process
/// again and again, each of its lives brings some of it into the database: else the next would have more
/// to replay, and take longer to be ready.
const REPLAY_BYTES: usize = 4 << 20;

/// A new id of a data folder.
pub(crate) fn random_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::System {
        what: "get random bytes for a new data folder",
        source: io::Error::other(error),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The database within the data folder.
pub const DATABASE_FILE: &str = "whoelse.db";

/// The folder of the journal within the data folder.
pub const JOURNAL_FOLDER: &str = "journal";
