//! Rows altered or deleted one by one, and databases that are not ours to open.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;
use whoelse_engine::{
    AccountId, Message, Number, PasswordHash, Record, RetryKey, Share, Snapshot, Time,
};
use whoelse_proto::{DeviceKey, FileHash, Name, Role, Scope, SharedName, Signature};
use whoelse_server::database::{Database, DatabaseError, Projector};
use whoelse_server::journal::BatchNumber;

/// What version 1 knew, in every table and column of it.
fn records_of_version_1() -> Vec<Record> {
    let mut records = Vec::new();
    for (index, name) in ["hans", "luke", "vader"].iter().enumerate() {
        let password = (index != 1).then(|| PasswordHash("$argon2id$1".into()));
        let account = AccountId(index as u32);
        let name = Name::new(name).unwrap();
        records.push(Record::Account { account, name, password, time: Time(5) });
        let locked_until = (index == 0).then_some(Time(70));
        records.push(Record::Strikes { account, strikes: 2, locked_until, time: Time(8) });
    }
    records.push(Record::Login { account: AccountId(1), time: Time(9) });
    for blocked in [0, 2] {
        records.push(Record::Block { blocker: AccountId(1), blocked: AccountId(blocked) });
    }
    for number in 1..=6 {
        let retry = (number % 3 != 0).then_some(RetryKey { id: number.into(), content: 7 });
        records.push(Record::Message(Arc::new(Message {
            to: AccountId(0),
            number: Number(number),
            from: AccountId(2),
            time: Time(10 + number),
            at_ms: 1_000,
            retry,
            body: format!("message {number}").into(),
        })));
    }
    records.push(Record::Acknowledged { account: AccountId(0), number: Number(2) });
    records
}

/// What version 4 added: some that lasts, and some that is gone with whom or what it belongs to.
fn records_of_version_4() -> Vec<Record> {
    let name = |text| Name::new(text).unwrap();
    let share = |owner, file, device, with, time| {
        Record::Share(Arc::new(Share {
            owner: AccountId(owner),
            hash: FileHash([file; 32]),
            size: 1 << 40,
            name: SharedName::new("film \"1\" é.mkv").unwrap(),
            with,
            device: DeviceKey([device; 32]),
            signature: Signature([file; 64]),
            time: Time(time),
        }))
    };
    let some = || Scope::People([name("vader"), name("leia"), name("luke")].into());
    let (hans, luke, leia) = (AccountId(0), AccountId(1), AccountId(4));
    let (key, time) = (DeviceKey([9; 32]), Time(62));
    let device = |account| Record::Device { account, key, name: "tablet".into(), time };
    vec![
        share(0, 1, 1, Scope::Everyone, 61),
        share(0, 2, 1, Scope::Everyone, 61),
        share(0, 2, 2, some(), 62),
        share(1, 1, 1, some(), 62),
        share(1, 3, 1, Scope::Everyone, 62),
        device(luke),
        share(1, 4, 9, Scope::Everyone, 62),
        Record::Account { account: leia, name: name("lando"), password: None, time },
        device(leia),
        share(4, 1, 9, some(), 62),
        Record::ShareRenewed { owner: hans, hash: FileHash([1; 32]), time: Time(80) },
        Record::Unshare { owner: luke, hash: FileHash([3; 32]) },
        Record::DeviceRevoked { account: luke, key },
        Record::Removed { account: leia, time: Time(81) },
    ]
}

/// What came later, up to version 3.
fn later_records() -> Vec<Record> {
    let (hans, luke, vader, leia) = (AccountId(0), AccountId(1), AccountId(2), AccountId(3));
    let name = Name::new("leia").unwrap();
    let device = |account, number, name: &str| {
        let (key, time) = (DeviceKey([number; 32]), Time(40));
        Record::Device { account, key, name: name.into(), time }
    };
    let invite = |number, by, role, is_first| {
        let (hash, expires, time) = ([number as u8; 32], Time(9_000), Time(41));
        Record::Invite { number, hash, by, role, is_first, expires, time }
    };
    vec![
        Record::Account { account: leia, name, password: None, time: Time(40) },
        Record::Block { blocker: leia, blocked: luke },
        Record::Block { blocker: luke, blocked: leia },
        device(leia, 1, "laptop"),
        device(hans, 1, "laptop"),
        device(hans, 2, "phone"),
        device(luke, 1, "laptop"),
        Record::DeviceUsed { account: hans, key: DeviceKey([1; 32]), time: Time(45) },
        Record::Role { account: hans, role: Role::Admin },
        Record::Locked { account: vader, is_locked: true },
        invite(1, None, Role::Admin, true),
        invite(2, Some(hans), Role::Member, false),
        Record::Stranger { key: 7, strikes: 3, locked_until: Some(Time(99)), time: Time(50) },
        Record::Stranger { key: 8, strikes: 1, locked_until: None, time: Time(50) },
        Record::Removed { account: leia, time: Time(60) },
    ]
}

fn filled(path: &Path) {
    let mut database = Database::open(path, "id").unwrap();
    let mut records = records_of_version_1();
    // In parts, so that the ids are in two rows.
    let second = records.split_off(records.len() - 3);
    for (batch, records) in [(1, records), (2, second), (3, later_records())] {
        project(&mut database, batch, records);
    }
    database.close().unwrap();
}

fn project(database: &mut Database, batch: u64, records: Vec<Record>) {
    let mut projector = Projector::default();
    projector.push(BatchNumber(batch), records);
    projector.project(database).unwrap();
}

/// As of this version, with something in each table.
fn filled_up(path: &Path) {
    filled(path);
    let mut database = Database::open(path, "id").unwrap();
    project(&mut database, 4, records_of_version_4());
    database.close().unwrap();
}

type Everything = (Snapshot, Vec<Arc<Message>>, BatchNumber, Arc<str>);

fn read(path: &Path) -> Result<Everything, DatabaseError> {
    let database = Database::open(path, "new")?;
    let snapshot = database.load()?;
    let mail = database.page(AccountId(0), Number(0), usize::MAX)?;
    Ok((snapshot, mail, database.position()?, database.server_id()))
}

/// Copies the database, runs a statement on the copy and reads it.
fn after(path: &Path, statement: &str) -> Result<Everything, DatabaseError> {
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        .unwrap();
    connection.execute_batch(statement).unwrap();
    drop(connection);
    read(&copy)
}

#[test]
fn a_row_altered_or_missing_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    filled_up(&path);
    assert_eq!(read(&path).unwrap().1.len(), 4);
    let mut tried = 0;
    for (table, keys, columns) in tables(&path) {
        for key in keys {
            let expect_damage = |statement: &str| {
                let error = after(&path, statement).map(drop).unwrap_err();
                assert!(matches!(error, DatabaseError::Damaged { .. }), "{statement}: {error}");
            };
            expect_damage(&format!("DELETE FROM {table} WHERE {key}"));
            for column in columns.iter().filter(|column| *column != "one") {
                // Another value of the same type, where there is one.
                let change = match column.as_str() {
                    "name" | "password" | "body" | "server_id" | "people" => {
                        "coalesce(@, '') || 'x'"
                    }
                    "key" | "hash" | "device" | "signature" => "zeroblob(length(@))",
                    "role" | "is_locked" | "is_removed" | "is_first" | "is_wide" => "1 - @",
                    "retry" | "entries" => "zeroblob(coalesce(length(@), 24))",
                    "crc" => "@ + 1",
                    "open" | "has_journal" => "1 - @",
                    _ => "coalesce(@, 7) + 1000",
                };
                let change = change.replace('@', column);
                expect_damage(&format!("UPDATE {table} SET {column} = {change} WHERE {key}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "only {tried} tried");
}

/// All tables, with a condition for each of their rows, and their columns.
fn tables(path: &Path) -> Vec<(String, Vec<String>, Vec<String>)> {
    let connection = Connection::open(path).unwrap();
    let texts = |query: &str| -> Vec<String> {
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement.query_map((), |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let table = |table: String| {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let (first, second) = (&columns[0], &columns[1]);
        let mut statement =
            connection.prepare(&format!("SELECT {first}, {second} FROM {table}")).unwrap();
        let literal = |value: Value| match value {
            Value::Integer(number) => Some(number.to_string()),
            Value::Blob(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Some(format!("x'{digits}'"))
            }
            Value::Null | Value::Real(_) | Value::Text(_) => None,
        };
        let keys = statement.query_map((), |row| {
            let second_value = literal(row.get(1)?);
            let second = second_value.map(|value| format!(" AND {second} = {value}"));
            let first_value = literal(row.get(0)?).expect("keys are numbers or bytes");
            Ok(format!("{first} = {first_value}{}", second.unwrap_or_default()))
        });
        let keys: Vec<String> = keys.unwrap().map(Result::unwrap).collect();
        (table, keys, columns)
    };
    let tables: Vec<_> = texts("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .into_iter()
        .map(table)
        .collect();
    assert_eq!(tables.len(), 9);
    assert!(tables.iter().all(|(_, keys, _)| !keys.is_empty()));
    tables
}

/// The server runs for months between two starts.
#[test]
fn a_message_missing_is_noticed_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    filled(&path);
    let mut database = Database::open(&path, "id").unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute("DELETE FROM mail WHERE number = 4", ()).unwrap();

    let account = AccountId(0);
    let error = database.page(account, Number(0), usize::MAX).unwrap_err();
    assert!(matches!(error, DatabaseError::Damaged { table: "mail", .. }), "{error}");
    let error = database.page(account, Number(3), 1).unwrap_err();
    assert!(matches!(error, DatabaseError::Damaged { table: "mail", .. }), "{error}");
    assert_eq!(database.page(account, Number(4), usize::MAX).unwrap().len(), 2);

    let mut projector = Projector::default();
    projector.push(BatchNumber(4), vec![Record::Acknowledged { account, number: Number(5) }]);
    let error = projector.project(&mut database).unwrap_err();
    assert!(matches!(error, DatabaseError::Damaged { table: "mail", .. }), "{error}");
}

#[test]
fn mail_in_disorder_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    filled(&path);
    after(&path, "INSERT INTO mail SELECT account, 9, sender, time, at_ms, retry, body, crc FROM mail LIMIT 1")
        .map(drop)
        .unwrap_err();
    let exchanged = "UPDATE mail SET number = 99 WHERE number = 3; \
                     UPDATE mail SET number = 3 WHERE number = 4; \
                     UPDATE mail SET number = 4 WHERE number = 99";
    after(&path, exchanged).map(drop).unwrap_err();
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    filled(&path);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 5).unwrap();
    // A process that was killed leaves part of it beside the file.
    let killed = folder.path().join("killed.db");
    for suffix in ["", "-wal"] {
        let from = folder.path().join(format!("whoelse.db{suffix}"));
        std::fs::copy(from, folder.path().join(format!("killed.db{suffix}"))).unwrap();
    }
    let contents = || {
        let read = |suffix: &str| std::fs::read(folder.path().join(format!("killed.db{suffix}")));
        (read("").unwrap(), read("-wal").unwrap())
    };
    let before = contents();
    assert!(!before.1.is_empty());
    let error = Database::open(&killed, "id").map(drop).unwrap_err();
    assert!(matches!(error, DatabaseError::Newer { found: 5 }), "{error}");
    assert_eq!(contents(), before);
}

/// `version-1.db` was written by the program as it was before there were devices.
#[test]
fn a_file_of_version_1_is_read_and_then_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    std::fs::write(&path, include_bytes!("version-1.db")).unwrap();
    let (new_path, mut projector) = (folder.path().join("new.db"), Projector::default());
    let mut new = Database::open(&new_path, "id").unwrap();
    projector.push(BatchNumber(2), records_of_version_1());
    projector.project(&mut new).unwrap();
    new.close().unwrap();
    let mut expected = read(&new_path).unwrap();
    forget_what_version_1_did_not_note(&mut expected);
    assert_eq!(read(&path).unwrap(), expected);
    let mut database = Database::open(&path, "id").unwrap();
    projector.push(BatchNumber(3), later_records());
    projector.project(&mut database).unwrap();
    database.close().unwrap();
    let folder_of_new = folder.path().join("filled.db");
    filled(&folder_of_new);
    let mut expected = read(&folder_of_new).unwrap();
    forget_what_version_1_did_not_note(&mut expected);
    assert_eq!(read(&path).unwrap(), expected);
    assert_eq!(version(&path), 4);
}

/// Failed logins of the past, and where messages went.
fn forget_what_version_1_did_not_note(everything: &mut Everything) {
    for account in &mut everything.0.accounts {
        account.failed_logins = 0;
        account.sent.iter_mut().for_each(|sent| sent.recipient = None);
    }
}

fn version(path: &Path) -> i32 {
    let connection = Connection::open(path).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// `version-2.db` was written by the program as it was before there were receipts.
#[test]
fn a_file_of_version_2_is_read_and_then_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    std::fs::write(&path, include_bytes!("version-2.db")).unwrap();
    let new_path = folder.path().join("new.db");
    filled(&new_path);
    let mut expected = read(&new_path).unwrap();
    for account in &mut expected.0.accounts {
        account.sent.iter_mut().for_each(|sent| sent.recipient = None);
    }
    assert_eq!(read(&path).unwrap(), expected);
    assert_eq!(version(&path), 4);
    // What comes from now on says where it went, beside what does not.
    let mut database = Database::open(&path, "id").unwrap();
    let message = Message {
        to: AccountId(0),
        number: Number(7),
        from: AccountId(2),
        time: Time(70),
        at_ms: 1_000,
        retry: Some(RetryKey { id: 70, content: 7 }),
        body: "message 7".into(),
    };
    let mut projector = Projector::default();
    projector.push(BatchNumber(9), vec![Record::Message(Arc::new(message))]);
    projector.project(&mut database).unwrap();
    database.close().unwrap();
    let sent = &read(&path).unwrap().0.accounts[2].sent;
    let recipients: Vec<_> = sent.iter().map(|sent| sent.recipient).collect();
    assert_eq!(recipients, [None, None, None, None, Some((AccountId(0), Number(7)))]);
}

/// `version-3.db` was written by the program as it was before there were shared files.
#[test]
fn a_file_of_version_3_is_read_and_then_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    std::fs::write(&path, include_bytes!("version-3.db")).unwrap();
    let new_path = folder.path().join("new.db");
    filled(&new_path);
    assert_eq!(read(&path).unwrap(), read(&new_path).unwrap());
    assert_eq!(version(&path), 4);
    for path in [&path, &new_path] {
        let mut database = Database::open(path, "id").unwrap();
        project(&mut database, 4, records_of_version_4());
        database.close().unwrap();
    }
    let everything = read(&path).unwrap();
    assert_eq!(everything, read(&new_path).unwrap());
    let shares = everything.0.shares.iter().map(|it| (it.owner.0, it.hash.0[0], it.time.0));
    assert_eq!(shares.collect::<Vec<_>>(), [(0, 1, 80), (0, 2, 62), (1, 1, 62)]);
    let all = "SELECT group_concat(coalesce(people, 'everyone'), ', ') FROM shares";
    let all: String =
        Connection::open(&path).unwrap().query_row(all, (), |row| row.get(0)).unwrap();
    assert_eq!(all, "everyone, vader leia luke, vader leia luke", "readable with sqlite3");
}

#[test]
fn a_file_of_version_1_that_is_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    std::fs::write(&path, include_bytes!("version-1.db")).unwrap();
    for statement in [
        "UPDATE accounts SET strikes = 1 WHERE account = 0",
        "DELETE FROM accounts WHERE account = 2",
        "UPDATE meta SET newest = 99",
    ] {
        let error = after(&path, statement).map(drop).unwrap_err();
        assert!(matches!(error, DatabaseError::Damaged { .. }), "{statement}: {error}");
    }
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute("CREATE TABLE recipes (name TEXT)", ()).unwrap();
    drop(connection);
    let error = Database::open(&path, "id").map(drop).unwrap_err();
    assert!(matches!(error, DatabaseError::Foreign), "{error}");

    let path = folder.path().join("notes.txt");
    std::fs::write(
        &path,
        "not a database, but long enough to have a header of that size".repeat(9),
    )
    .unwrap();
    let error = Database::open(&path, "id").map(drop).unwrap_err();
    assert!(error.hint().contains("backup"), "{error}");
}

#[test]
fn the_file_is_for_its_owner_only_and_alone_when_closed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    let database = Database::open(&path, "id").unwrap();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries
            .map(|entry| {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        names.sort();
        names
    };
    let open = ["whoelse.db", "whoelse.db-shm", "whoelse.db-wal"];
    assert_eq!(names(), open.map(|name| (name.to_owned(), 0o600)));
    database.close().unwrap();
    assert_eq!(names(), [("whoelse.db".to_owned(), 0o600)]);
}
