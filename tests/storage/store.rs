//! The store with its threads: what it says is so, and after a failure it says nothing more.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use whoelse_engine::{AccountId, Message, Number, Record, Time};
use whoelse_proto::Name;
use whoelse_server::journal::Disk;
use whoelse_server::store::{
    DATABASE_FILE, JOURNAL_FOLDER, Opened, Sequence, Store, StoreError, StoreEvent, StoreOptions,
};
use whoelse_tests::sim::disk::{Fault, SimDisk};

use crate::files::copy;
use crate::records::Source;
use crate::reference::Reference;

const DEADLINE: Duration = Duration::from_secs(60);

/// What a store has said so far.
struct Heard {
    events: Receiver<StoreEvent>,
    synced: Sequence,
    projected: Option<Sequence>,
    failed: Option<String>,
}

impl Heard {
    /// Takes events until one fits.
    fn until(&mut self, mut fits: impl FnMut(&Self, &StoreEvent) -> bool) -> StoreEvent {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).expect("an event before the deadline");
            self.note(&event);
            if fits(self, &event) {
                return event;
            }
        }
    }

    fn until_synced(&mut self, sequence: Sequence) {
        if self.synced < sequence {
            self.until(|heard, _| heard.synced >= sequence);
        }
    }

    fn until_projected(&mut self, sequence: Sequence) {
        if self.projected < Some(sequence) {
            self.until(|heard, _| heard.projected >= Some(sequence));
        }
    }

    /// Takes what is left when the store is gone.
    fn rest(&mut self) {
        while let Ok(event) = self.events.recv_timeout(DEADLINE) {
            self.note(&event);
        }
    }

    fn note(&mut self, event: &StoreEvent) {
        assert_eq!(self.failed, None, "{event:?} after a failure");
        match event {
            StoreEvent::Synced(sequence) => {
                assert!(*sequence > self.synced);
                self.synced = *sequence;
            }
            StoreEvent::Projected(sequence) => {
                assert!(Some(*sequence) > self.projected);
                assert!(*sequence <= self.synced, "projected before it was synced");
                self.projected = Some(*sequence);
            }
            StoreEvent::Page { .. } | StoreEvent::Settled { .. } => {}
            StoreEvent::Failed(what) => self.failed = Some(what.clone()),
        }
    }
}

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 64 << 10, settle_ms: 5, lazy_sync_ms: 5, ..Default::default() }
}

/// Options under which nothing happens by time.
fn patient() -> StoreOptions {
    StoreOptions { settle_ms: 3_600_000, lazy_sync_ms: 3_600_000, erase_ms: 3_600_000, ..options() }
}

fn open(folder: &Path, options: StoreOptions) -> Result<(Opened, Heard), StoreError> {
    open_on(folder, None, options)
}

fn open_on(
    folder: &Path,
    disk: Option<Arc<dyn Disk>>,
    options: StoreOptions,
) -> Result<(Opened, Heard), StoreError> {
    let (tell, events) = channel();
    let notify = Box::new(move |event| drop(tell.send(event)));
    let opened = Store::open_on(folder, disk, options, notify)?;
    Ok((opened, Heard { events, synced: Sequence(0), projected: None, failed: None }))
}

fn refused(folder: &Path) -> StoreError {
    open(folder, options()).map(drop).unwrap_err()
}

/// A folder that was written to and closed, and what is in it.
fn filled() -> (TempDir, Reference) {
    let folder = tempfile::tempdir().unwrap();
    let (mut opened, mut heard) = open(folder.path(), options()).unwrap();
    assert!(opened.created);
    assert_eq!(opened.server_id.len(), 32);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut source, mut reference) = (Source::default(), Reference::default());
    for _ in 0..300 {
        let count = random.random_range(0..30);
        let records: Vec<Record> = (0..count).map(|_| source.next(&mut random)).collect();
        records.iter().for_each(|record| reference.apply(record));
        let sequence = opened.store.append(records);
        if random.random_bool(0.05) {
            heard.until_synced(sequence);
        }
        if random.random_bool(0.02) {
            heard.until_projected(sequence);
        }
    }
    opened.store.close().unwrap();
    heard.rest();
    assert_eq!(heard.synced, Sequence(300));
    assert_eq!(heard.projected, Some(Sequence(300)));
    (folder, reference)
}

#[test]
fn what_is_appended_is_there_after_closing() {
    let (folder, reference) = filled();
    let (opened, mut heard) = open(folder.path(), options()).unwrap();
    assert!(!opened.created);
    assert_eq!(opened.replay, []);
    assert_eq!((opened.report.records, opened.report.torn_bytes), (0, 0));
    assert_eq!(opened.snapshot, reference.snapshot());
    for index in 0..opened.snapshot.accounts.len() {
        let account = AccountId(index as u32);
        opened.store.read_page(account, Number(0), usize::MAX, index as u64);
        let page = heard.until(|_, event| matches!(event, StoreEvent::Page { .. }));
        let StoreEvent::Page { ticket, messages } = page else { unreachable!() };
        assert_eq!(ticket, index as u64);
        assert_eq!(messages, reference.mail(account, Number(0)));
    }
    opened.store.close().unwrap();
}

#[test]
fn segments_are_used_again_when_the_database_has_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_bytes: 16 << 10, ..options() };
    let (mut opened, mut heard) = open(folder.path(), options).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut source = Source::default();
    for _ in 0..100 {
        let records = (0..30).map(|_| source.next(&mut random)).collect();
        let sequence = opened.store.append(records);
        heard.until_projected(sequence);
    }
    opened.store.close().unwrap();
    let files = std::fs::read_dir(folder.path().join(JOURNAL_FOLDER)).unwrap().count();
    assert!(files < 6, "{files} files");
}

/// What a process has done so far is what it would leave if it were killed now.
fn killed(folder: &Path) -> TempDir {
    let killed = tempfile::tempdir().unwrap();
    copy(folder, killed.path());
    killed
}

#[test]
fn what_a_killed_process_left_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut opened, mut heard) = open(folder.path(), patient()).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut source = Source::default();
    let records: Vec<Record> = (0..2_000).map(|_| source.next(&mut random)).collect();
    let mut sequence = Sequence(0);
    for records in records.chunks(100) {
        sequence = opened.store.append(records.to_vec());
    }
    heard.until_synced(sequence);

    let killed = killed(folder.path());
    opened.store.close().unwrap();

    let (again, mut heard) = open(killed.path(), options()).unwrap();
    assert_eq!(again.server_id, opened.server_id);
    assert_eq!(again.replay, records);
    assert_eq!(again.report.records, 2_000);
    assert_eq!(again.snapshot.accounts, []);
    heard.until_projected(Sequence(0));
    again.store.close().unwrap();
    let mut reference = Reference::default();
    records.iter().for_each(|record| reference.apply(record));
    let (last, _) = open(killed.path(), options()).unwrap();
    assert_eq!(last.snapshot, reference.snapshot());
}

#[test]
fn a_lazy_record_waits_for_nobody_and_for_no_more_than_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let lazy = || vec![Record::Heartbeat { time: Time(1) }];
    let (mut opened, mut heard) =
        open(folder.path(), StoreOptions { lazy_sync_ms: 3_600_000, ..options() }).unwrap();
    opened.store.append(lazy());
    let nothing = opened.store.append(Vec::new());
    // A promised one takes the lazy ones along.
    let promised =
        opened.store.append(vec![Source::default().next(&mut ChaCha8Rng::seed_from_u64(1))]);
    heard.until(|_, event| matches!(event, StoreEvent::Synced(_)));
    assert!(promised > nothing);
    heard.until_synced(promised);
    opened.store.close().unwrap();

    let (mut opened, mut heard) = open(folder.path(), options()).unwrap();
    let alone = opened.store.append(lazy());
    heard.until_synced(alone);
    heard.until_projected(alone);
    let empty = opened.store.append(Vec::new());
    heard.until_synced(empty);
    heard.until_projected(empty);
}

#[test]
fn a_full_backlog_empties_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { backlog_bytes_max: 100_000, ..patient() };
    let (mut opened, mut heard) = open(folder.path(), options).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut source = Source::default();
    let mut sequence = Sequence(0);
    while !opened.store.is_full() {
        sequence = opened.store.append(vec![source.next(&mut random)]);
    }
    heard.until(|heard, _| heard.projected.is_some() && !opened.store.is_full());
    assert!(sequence > Sequence(10));
}

#[test]
fn parts_of_other_folders_and_lost_parts_are_refused() {
    let (folder, _) = filled();
    let database = folder.path().join(DATABASE_FILE);
    let journal = folder.path().join(JOURNAL_FOLDER);
    let aside = folder.path().join("aside");

    std::fs::rename(&journal, &aside).unwrap();
    let error = refused(folder.path());
    assert!(error.to_string().contains("missing"), "{error}");
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();

    std::fs::rename(&database, &aside).unwrap();
    let error = refused(folder.path());
    assert!(error.to_string().contains("another data folder"), "{error}");
    std::fs::write(&database, "").unwrap();
    let error = refused(folder.path());
    assert!(error.to_string().contains("another data folder"), "{error}");
    std::fs::rename(&aside, &database).unwrap();

    open(folder.path(), options()).map(drop).unwrap();
}

#[test]
fn altered_mail_is_a_failure_and_not_an_answer() {
    let (folder, reference) = filled();
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let query = "SELECT account FROM mail LIMIT 1";
    let account: u32 = connection.query_row(query, (), |row| row.get(0)).unwrap();
    connection.execute("UPDATE mail SET body = 'I never said that'", ()).unwrap();
    drop(connection);
    let (mut opened, mut heard) = open(folder.path(), options()).unwrap();
    assert!(!reference.mail(AccountId(account), Number(0)).is_empty());
    opened.store.read_page(AccountId(account), Number(0), 1_000, 1);
    let event = heard.until(|_, event| !matches!(event, StoreEvent::Synced(_)));
    let StoreEvent::Failed(what) = event else { panic!("{event:?}") };
    assert!(what.contains("damaged"), "{what}");
    opened.store.append(vec![Record::Heartbeat { time: Time(1) }]);
    assert!(matches!(opened.store.close(), Err(StoreError::Failed(_))));
    heard.rest();
}

/// The disk fails at any point: nothing is reported as safe after that, and what was is.
#[test]
fn after_a_failure_nothing_is_promised_and_all_promises_hold() {
    let mut failures = 0;
    for point in 0..120 {
        let folder = tempfile::tempdir().unwrap();
        let disk = SimDisk::new(point);
        let mut random = ChaCha8Rng::seed_from_u64(point);
        let options = StoreOptions { settle_ms: 1, ..options() };
        let shared = Some(Arc::clone(&disk) as Arc<dyn Disk>);
        let (mut opened, mut heard) = open_on(folder.path(), shared, options.clone()).unwrap();
        disk.plan(point, Fault::Fail);
        let mut source = Source::default();
        let mut log: Vec<Record> = Vec::new();
        let mut ends = vec![0];
        for _ in 0..60 {
            let count = random.random_range(1..30);
            let records: Vec<Record> = (0..count).map(|_| source.next(&mut random)).collect();
            log.extend(records.iter().cloned());
            ends.push(log.len());
            opened.store.append(records);
            heard.until(|heard, event| {
                heard.failed.is_some() || matches!(event, StoreEvent::Synced(_))
            });
            if heard.failed.is_some() {
                break;
            }
        }
        failures += usize::from(opened.store.close().is_err());
        heard.rest();

        let shared = Some(disk.crash() as Arc<dyn Disk>);
        let (again, _) = open_on(folder.path(), shared, options).unwrap();
        let mut found = Reference::default();
        let position = again.snapshot.clone();
        let mut matching = false;
        for (count, record) in std::iter::once(None).chain(log.iter().map(Some)).enumerate() {
            record.into_iter().for_each(|record| found.apply(record));
            if !matching && found.snapshot() == position {
                matching = log[count..].starts_with(&again.replay);
                if matching {
                    let safe = ends[heard.synced.0 as usize];
                    matching = count + again.replay.len() >= safe;
                }
            }
        }
        assert!(matching, "point {point}: what was synced is not there");
    }
    assert!(failures > 60, "only {failures}");
}

/// A server that is killed again and again, before all that it found is in the database: what was brought
/// there stays there, so that the next has less to do.
#[test]
fn what_was_replayed_comes_to_the_database_in_parts() {
    const LETTERS: u64 = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let (mut opened, mut heard) = open(folder.path(), patient()).unwrap();
    let (hans, body) = (AccountId(0), Arc::<str>::from("x".repeat(10_000)));
    let name = Name::new("hans").unwrap();
    opened.store.append(vec![Record::Account {
        account: hans,
        name,
        password: None,
        time: Time(1),
    }]);
    for number in 1..=LETTERS {
        let body = Arc::clone(&body);
        let (number, from, time) = (Number(number), hans, Time(1));
        let letter = Message { to: hans, number, from, time, at_ms: 1, retry: None, body };
        opened.store.append(vec![Record::Message(Arc::new(letter))]);
    }
    // This cannot be projected, as if the process were killed before.
    let sequence =
        opened.store.append(vec![Record::Acknowledged { account: hans, number: Number(9_999) }]);
    heard.until_synced(sequence);
    let killed = killed(folder.path());
    drop(opened);

    let (again, mut heard) = open(killed.path(), patient()).unwrap();
    assert_eq!(again.report.records, LETTERS + 2);
    heard.until(|heard, _| heard.failed.is_some());
    assert_eq!(heard.projected, None, "not all of it is there");
    again.store.close().unwrap_err();
    let (last, _) = open(killed.path(), patient()).unwrap();
    let waiting = last.snapshot.accounts[0].waiting.len() as u64;
    assert!((500..LETTERS).contains(&waiting), "{waiting}");
    assert_eq!(last.report.records, LETTERS + 1 - waiting);
}
