//! Backups of data at rest: what is restored is what was there, and a check sees every fault.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use whoelse_engine::{AccountId, Number, Record, Snapshot};
use whoelse_proto::{Password, Role};
use whoelse_server::database::Database;
use whoelse_server::journal::BatchNumber;
use whoelse_server::store::{DATABASE_FILE, JOURNAL_FOLDER, Opened, Store};
use whoelse_server::store::{StoreEvent, StoreOptions};
use whoelse_server::{
    Checked, Failure, Kind, Operation, backup, check_backup, check_folder, operate, restore,
};

use crate::files::{copy, everything};
use crate::records::Source;
use crate::reference::Reference;

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing happens by time, and segments are short.
fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 16 << 10,
        settle_ms: 3_600_000,
        lazy_sync_ms: 3_600_000,
        erase_ms: 3_600_000,
        ..Default::default()
    }
}

fn open(folder: &Path) -> Opened {
    Store::open(folder, options(), |_| {}).unwrap()
}

/// Data as a process leaves them that is killed: partly in the database, partly only in what lies
/// beside it, partly in the journal.
fn killed(seed: u64) -> (TempDir, Reference) {
    let (live, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (tell, events) = channel();
    let notify = move |event| drop(tell.send(event));
    let mut opened = Store::open(live.path(), options(), notify).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut source, mut reference) = (Source::default(), Reference::default());
    let mut append = |opened: &mut Opened| {
        let records: Vec<Record> = (0..400).map(|_| source.next(&mut random)).collect();
        records.iter().for_each(|record| reference.apply(record));
        opened.store.append(records)
    };
    append(&mut opened);
    opened.store.settle(7);
    let wait = |is_it: &dyn Fn(&StoreEvent) -> bool| {
        while !is_it(&events.recv_timeout(DEADLINE).unwrap()) {}
    };
    wait(&|event| matches!(event, StoreEvent::Settled { ticket: 7 }));
    let last = append(&mut opened);
    wait(&|event| matches!(event, StoreEvent::Synced(sequence) if *sequence == last));
    copy(live.path(), killed.path());
    opened.store.close().unwrap();
    (killed, reference)
}

fn check(folder: &Path) -> Result<Checked, Failure> {
    check_folder(Some(folder.to_owned()))
}

/// All is there but what was shared: under another id signatures of that are worth nothing.
fn assert_holds(folder: &Path, reference: &Reference) -> String {
    let opened = open(folder);
    assert_eq!(opened.replay, []);
    let expected = Snapshot { shares: Vec::new(), ..reference.snapshot() };
    assert_eq!(opened.snapshot, expected);
    opened.store.close().unwrap();
    let database = Database::open(&folder.join(DATABASE_FILE), "").unwrap();
    for index in 0..opened.snapshot.accounts.len() {
        let account = AccountId(index as u32);
        let page = database.page(account, Number(0), usize::MAX).unwrap();
        assert_eq!(page, reference.mail(account, Number(0)));
    }
    opened.server_id.to_string()
}

#[test]
fn what_is_restored_is_what_was_there_under_another_id() {
    for seed in 0..5 {
        let (folder, reference) = killed(seed);
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.backup");
        let before = everything(folder.path());
        let made = backup(Some(folder.path().to_owned()), &file, None).unwrap();
        assert!(!made.is_running);
        assert!(everything(folder.path()) == before, "a backup changes nothing");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");

        let checked = check_backup(&file, None).unwrap();
        assert_eq!(checked.contents.messages, made.header.messages);
        assert_eq!(checked.contents.people, made.header.people);
        let mut ids = vec![made.header.server_id.clone()];
        for name in ["one", "other"] {
            let to = place.path().join(name);
            let (header, _) = restore(&file, Some(to.clone()), None).unwrap();
            assert_eq!(header, made.header);
            assert_eq!(check(&to).unwrap().contents, checked.contents);
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&to), mode(&to.join(DATABASE_FILE))), (0o700, 0o600));
            ids.push(assert_holds(&to, &reference));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "each is another server");
        // The old data can still be used, if the new are not.
        let opened = open(folder.path());
        assert_eq!(&*opened.server_id, made.header.server_id);
    }
}

#[test]
fn a_database_becomes_that_of_a_new_server() {
    let (folder, _) = killed(1);
    open(folder.path()).store.close().unwrap();
    let mut database = Database::open(&folder.path().join(DATABASE_FILE), "").unwrap();
    let (snapshot, old) = (database.load().unwrap(), database.server_id());
    assert!(database.position().unwrap() > BatchNumber(0) && database.has_journal().unwrap());
    let copy = database.copied_into_memory().unwrap();
    assert_eq!((copy.load().unwrap(), copy.server_id()), (snapshot.clone(), old));
    database.become_new("another").unwrap();
    assert!(!snapshot.shares.is_empty());
    assert_eq!(database.load().unwrap(), Snapshot { shares: Vec::new(), ..snapshot });
    assert_eq!(&*database.server_id(), "another");
    assert_eq!(
        (database.position().unwrap(), database.has_journal().unwrap()),
        (BatchNumber(0), false)
    );
    assert!(copy.position().unwrap() > BatchNumber(0), "a copy is on its own");
}

#[test]
fn nothing_is_replaced() {
    let (folder, _) = killed(1);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.backup");
    let make = || backup(Some(folder.path().to_owned()), &file, None);
    make().unwrap();
    let bytes = fs::read(&file).unwrap();
    let failure = make().unwrap_err();
    assert!(
        failure.kind == Kind::Refused && failure.what.contains("is there already"),
        "{failure}"
    );
    assert!(fs::read(&file).unwrap() == bytes);

    let to = place.path().join("to");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("mine"), "mine").unwrap();
    let failure = restore(&file, Some(to.clone()), None).unwrap_err();
    assert!(failure.kind == Kind::Refused && failure.what.contains("there is mine"), "{failure}");
    assert_eq!(everything(&to).len(), 1);
    fs::remove_file(to.join("mine")).unwrap();
    restore(&file, Some(to.clone()), None).unwrap();
    let failure = restore(&file, Some(to), None).unwrap_err();
    assert!(failure.kind == Kind::Refused && failure.what.contains("is not empty"), "{failure}");
}

#[test]
fn a_backup_that_is_not_whole_is_refused_and_leaves_nothing() {
    let (folder, _) = killed(1);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.backup");
    backup(Some(folder.path().to_owned()), &file, None).unwrap();
    let bytes = fs::read(&file).unwrap();
    let bad = place.path().join("bad");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let refuse = |bytes: &[u8], kind: Kind, text: &str| {
        fs::write(&bad, bytes).unwrap();
        let to = place.path().join("to");
        for failure in [
            restore(&bad, Some(to.clone()), None).unwrap_err(),
            check_backup(&bad, None).unwrap_err(),
        ] {
            assert!(failure.kind == kind && failure.to_string().contains(text), "{failure}");
        }
        assert!(!to.exists());
    };
    for length in [0, 15, 40, bytes.len() / 2, bytes.len() - 1] {
        refuse(&bytes[..length], Kind::Storage, "cut off");
    }
    for _ in 0..10 {
        let mut altered = bytes.clone();
        let bit = random.random_range(1_000 * 8..bytes.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        refuse(&altered, Kind::Storage, "damaged");
    }
    let mut newer = bytes;
    newer[16] = 2;
    refuse(&newer, Kind::Storage, "it has backup format 2, this program knows up to 1");
    refuse(b"something else entirely", Kind::Configuration, "no backup of whoelse");
    refuse(b"age-encryption.org/v1\n-> X25519", Kind::Refused, "it is encrypted");
    let failure = restore(&place.path().join("none"), None, None).unwrap_err();
    assert!(
        failure.kind == Kind::Configuration && failure.what.contains("cannot read"),
        "{failure}"
    );
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let (folder, _) = killed(1);
    open(folder.path()).store.close().unwrap();
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.backup");
    let made = backup(Some(folder.path().to_owned()), &file, None).unwrap_err();
    for failure in [made, check(folder.path()).unwrap_err()] {
        assert!(failure.what.contains("the database has version 99"), "{failure}");
        assert_eq!(failure.kind, Kind::Storage);
    }
    assert!(!file.exists());
}

/// Whatever is damaged, a check says so or nothing is lost by it; and it changes nothing.
#[test]
fn a_check_sees_damage_and_changes_nothing() {
    let mut refused = BTreeMap::<String, u32>::new();
    for is_killed in [true, false] {
        let (folder, _) = killed(3);
        if !is_killed {
            open(folder.path()).store.close().unwrap();
        }
        let intact = everything(folder.path());
        let contents = check(folder.path()).unwrap().contents;
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for (path, bytes) in &intact {
            for _ in 0..40 {
                let mut altered = bytes.clone();
                // Most of a file is zeros that nobody reads.
                let is_empty = bytes.iter().all(|byte| *byte == 0);
                let byte = loop {
                    let byte = random.random_range(0..bytes.len());
                    if is_empty || bytes[byte] != 0 {
                        break byte;
                    }
                };
                altered[byte] ^= 1 << random.random_range(0..8);
                fs::write(path, &altered).unwrap();
                let kind = path.extension().unwrap().to_string_lossy().into_owned();
                match check(folder.path()) {
                    Err(failure) => {
                        assert_eq!(failure.kind, Kind::Storage, "{failure}");
                        *refused.entry(kind).or_default() += 1;
                    }
                    // The last write before a crash cannot be told from one that was not finished.
                    Ok(found) if found.journal.unwrap().torn_bytes > 0 => {}
                    Ok(found) => assert_eq!(found.contents, contents, "{path:?}, byte {byte}"),
                }
                assert!(fs::read(path).unwrap() == altered, "{path:?}");
                fs::write(path, bytes).unwrap();
            }
        }
        assert!(everything(folder.path()) == intact);
    }
    println!("{refused:?}");
    assert!(refused["db"] > 30 && refused["db-wal"] > 30 && refused["segment"] > 80, "{refused:?}");
}

#[test]
fn a_check_names_the_first_fault() {
    let (folder, _) = killed(1);
    open(folder.path()).store.close().unwrap();
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let query = "SELECT account, number FROM mail ORDER BY account, number LIMIT 1";
    let (account, number): (u32, u32) =
        database.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    database.execute("UPDATE mail SET body = 'I never said that'", ()).unwrap();
    drop(database);
    let failure = check(folder.path()).unwrap_err();
    let expected = format!("table mail: row {number} of account {account} is altered");
    assert!(failure.what.contains(&expected), "{failure}");

    let (folder, _) = killed(1);
    let journal = folder.path().join(JOURNAL_FOLDER);
    fs::rename(&journal, folder.path().join("aside")).unwrap();
    let failure = check(folder.path()).unwrap_err();
    assert!(failure.what.contains("part of the journal is missing"), "{failure}");
    assert!(!journal.exists(), "nothing is made");
    let failure = check(&folder.path().join("nowhere")).unwrap_err();
    assert!(failure.kind == Kind::Refused && failure.what.contains("no data"), "{failure}");
}

#[test]
fn a_backup_is_not_put_among_the_data() {
    let (folder, _) = killed(1);
    let before = everything(folder.path());
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(folder.path(), link.path().join("data")).unwrap();
    for file in [
        folder.path().join("a.backup"),
        folder.path().join(JOURNAL_FOLDER).join("a.new"),
        link.path().join("data/a.backup"),
    ] {
        for key in [None, Some(KEY)] {
            let failure = backup(Some(folder.path().to_owned()), &file, key).unwrap_err();
            assert!(failure.what.contains("within the data folder"), "{failure}");
        }
    }
    assert!(everything(folder.path()) == before);
}

#[test]
fn a_backup_never_follows_a_link_in_its_place() {
    let (folder, _) = killed(1);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.backup");
    std::os::unix::fs::symlink(place.path().join("elsewhere"), &file).unwrap();
    let failure = backup(Some(folder.path().to_owned()), &file, None).unwrap_err();
    assert!(failure.what.contains("is there already"), "{failure}");
    fs::remove_file(&file).unwrap();
    let theirs = place.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::symlink(&theirs, place.path().join("a.backup.unfinished")).unwrap();
    let failure = backup(Some(folder.path().to_owned()), &file, None).unwrap_err();
    assert!(failure.what.contains("not of a backup"), "{failure}");
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
}

/// A restore that was killed while it put things in their places: nothing but the database is there
/// yet. No server may begin there with the key of another, and another restore may.
#[test]
fn a_restore_that_was_killed_is_done_again() {
    let (folder, reference) = killed(1);
    for name in ["tls-key.pem", "meeting"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let place = tempfile::tempdir().unwrap();
    let (file, to) = (place.path().join("a.backup"), place.path().join("to"));
    backup(Some(folder.path().to_owned()), &file, None).unwrap();
    let scratch = to.join("restore.unfinished");
    fs::create_dir_all(&scratch).unwrap();
    for path in [scratch.join("scratch-lock"), scratch.join(DATABASE_FILE), to.join("lock")] {
        fs::write(path, "").unwrap();
    }
    for name in ["meeting", "tls-key.pem", "tls-cert.pem"] {
        fs::write(to.join(name), "of another backup").unwrap();
    }
    let failure = start(&to).unwrap_err();
    assert!(failure.what.contains("was not finished"), "{failure}");
    fs::write(to.join("mine"), "").unwrap();
    let failure = restore(&file, Some(to.clone()), None).unwrap_err();
    assert!(failure.what.contains("there is mine"), "{failure}");
    fs::remove_file(to.join("mine")).unwrap();
    restore(&file, Some(to.clone()), None).unwrap();
    assert_eq!(fs::read_to_string(to.join("meeting")).unwrap(), "meeting");
    assert!(!to.join("tls-cert.pem").exists(), "it is not in the backup");
    assert_holds(&to, &reference);

    // It was done but for tidying up.
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("scratch-lock"), "").unwrap();
    start(&to).unwrap();
    assert!(!scratch.exists());
}

/// Opens the data as a start would, and makes them where there are none.
fn start(folder: &Path) -> Result<(), Failure> {
    let (name, role) = ("newcomer".to_owned(), Role::Member);
    let password = Password::from("a password long enough");
    operate(Some(folder.to_owned()), Operation::Add { name, role, password }).map(drop)
}

#[test]
fn what_is_damaged_within_the_encryption_is_no_fault_of_the_disk() {
    let (folder, _) = killed(1);
    let place = tempfile::tempdir().unwrap();
    let (file, key) = (place.path().join("a.age"), place.path().join("key"));
    fs::write(&key, IDENTITY).unwrap();
    backup(Some(folder.path().to_owned()), &file, Some(KEY)).unwrap();
    let bytes = fs::read(&file).unwrap();
    let header = bytes.windows(4).position(|it| it == b"--- ").unwrap();
    let bad = place.path().join("bad");
    // The version, a stanza's key, the sum, the nonce, a chunk, the last one.
    for byte in [3, 35, header + 10, header + 50, header + 1_000, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[byte] ^= 1;
        fs::write(&bad, altered).unwrap();
        let to = place.path().join("to");
        let failure = restore(&bad, Some(to.clone()), Some(&key)).unwrap_err();
        let said = failure.to_string();
        assert!(!said.contains("space"), "byte {byte}: {said}");
        assert!(
            ["it is damaged", "another key", "no backup"].iter().any(|it| said.contains(it)),
            "byte {byte}: {said}"
        );
        assert!(!to.exists());
    }
    fs::write(&key, "age-encryption.org/v1\n-> scrypt").unwrap();
    let failure = check_backup(&file, Some(&key)).unwrap_err();
    assert!(failure.what.contains("encrypted itself"), "{failure}");
    let scrypt = String::from_utf8_lossy(&bytes[..header + 48]).replace("-> X25519", "-> scrypt");
    fs::write(&bad, scrypt).unwrap();
    fs::write(&key, IDENTITY).unwrap();
    let failure = check_backup(&bad, Some(&key)).unwrap_err();
    assert!(failure.what.contains("with a passphrase"), "{failure}");
}

/// Made for these tests.
const KEY: &str = "age1488k2pftjhanw86p6ml9n97psvh9e9kq62nn7vf3ah90udq025mqzz0zf3";
const IDENTITY: &str = "AGE-SECRET-KEY-16SDX2GSHZVMPPQSDW0RHNGWAQU2SNP3TLHGCDGS4PRUAFXC36GCSU2J5M0";
