//! Data of every earlier version, and of a later one.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use whoelse_engine::{Record, Time};
use whoelse_server::journal::{BatchNumber, Journal, JournalOptions, JournalStart, RealDisk};
use whoelse_tests::program::{Peer, Running, Server, password_of};

use super::{message, server};

/// Databases as earlier versions of the program wrote them; see tests/storage/rows.rs.
const EARLIER: [&[u8]; 2] =
    [include_bytes!("../storage/version-1.db"), include_bytes!("../storage/version-2.db")];

/// A server that has ended, and whose data are these now.
fn server_with(database: &[u8]) -> Server {
    // Anna is nobody of theirs: the server has people to begin with, and is not asked for an invite.
    let mut server = server(&["anna"]);
    assert_eq!(server.terminate().code, Some(0));
    fs::remove_file(server.folder().join("people.txt")).unwrap();
    fs::write(server.folder().join("people.txt"), "").unwrap();
    put(&server, database);
    server
}

fn put(server: &Server, database: &[u8]) {
    let data = server.data();
    fs::remove_dir_all(data.join("journal")).unwrap_or_default();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(data.join(format!("whoelse.db{suffix}"))).unwrap_or_default();
    }
    fs::write(data.join("whoelse.db"), database).unwrap();
    // Their journals held as many batches as the databases have; the format is the same.
    let disk = Arc::new(RealDisk::open(&data.join("journal")).unwrap());
    let start = JournalStart { server_id: "id", position: BatchNumber(0), existing: false };
    let (mut journal, _) = Journal::open(disk, JournalOptions::default(), &start).unwrap();
    for _ in 0..if database == EARLIER[0] { 2 } else { 3 } {
        journal.append(&[vec![Record::Heartbeat { time: Time(1) }]]).unwrap();
    }
    journal.sync().unwrap();
}

/// What waits in those databases reaches hans, whose password they do not know in plain text.
fn expect_mail(server: &mut Server) {
    let words = ["user", "passwd", "hans", "--password-file", "-", "--data", "data"];
    let ended = server.run(&words, &format!("{}\n", password_of("hans")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut hans = Peer::protocol(server, "hans");
    for number in 3..=6 {
        hans.expect_message("vader", &format!("message {number}"));
    }
    // Luke blocked him, then.
    assert_eq!(hans.status(&message("luke", "hi")), "USER_BLOCKED");
    hans.hang_up();
}

#[test]
fn data_of_earlier_versions_are_taken_over_whole() {
    for database in EARLIER {
        let mut server = server_with(database);
        server.restart();
        expect_mail(&mut server);
        server.crash();
        expect_mail(&mut server);
    }
}

#[test]
fn data_of_a_later_version_are_refused_and_left_alone() {
    let mut server = server_with(EARLIER[1]);
    let path = server.data().join("whoelse.db");
    let mut bytes = fs::read(&path).unwrap();
    // The user_version of a database file (SQLite's file format, section 1.3).
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let ended = server.restart_in_vain();
    assert_eq!(ended.code, Some(74), "{ended:?}");
    let said = ended.err.join("\n");
    assert!(said.contains("has version 99"), "{said}");
    assert!(said.contains("start the newer version of whoelse"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_kill_in_the_middle_of_an_upgrade_loses_nothing() {
    let mut server = server_with(EARLIER[0]);
    for moment in 0..20 {
        put(&server, EARLIER[0]);
        let arguments = ["server", "0", "--data", "data", "--credentials", "people.txt"];
        let mut running = Running::start(server.program(), &arguments, server.folder());
        // Not waiting for anything: the moment is what is tried.
        thread::sleep(Duration::from_micros(moment * 3_000));
        running.kill9();
        let words = ["check", "--data", "data"];
        let ended = server.run(&words, "");
        assert_eq!(ended.code, Some(0), "killed after {moment} * 3 ms: {ended:?}");
    }
    server.restart();
    expect_mail(&mut server);
}
