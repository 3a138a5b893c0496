//! Data of earlier and later versions of the program.
//!
//! `version-1` to `version-3` are folders of servers of those versions that were killed while they
//! were used: some is in the database, some in what SQLite keeps beside it, some in the journal alone.
//! There hans has sent luke 8 messages, `h-1` to `h-8`, luke has acknowledged 3 and blocks yoda, and
//! yoda has sent hans one. Segments of the journal are cut where only zeros follow.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use whoelse_proto::{FileHash, ReceiptKey, RequestId, Signature};
use whoelse_tests::program::{Device, Ended, Peer, Running, Server};

use super::{PROGRAM, ack, block, message, message_with_id, repository, server, setup, unblock};

const SEGMENT_BYTES: u64 = 8 << 20;

/// Puts data of an earlier version in the place of what is there.
fn put(folder: &Path, version: u32) {
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).unwrap();
    }
    fs::create_dir(&data).unwrap();
    fs::create_dir(data.join("journal")).unwrap();
    for (name, bytes) in contents(&repository().join(format!("tests/e2e/version-{version}"))) {
        fs::write(data.join(&name), bytes).unwrap();
        if name.starts_with("journal") {
            let segment = fs::OpenOptions::new().write(true).open(data.join(&name)).unwrap();
            segment.set_len(SEGMENT_BYTES).unwrap();
        }
    }
}

/// A server on data of an earlier version.
fn server_of(version: u32) -> Server {
    let mut server = setup(&[]).start();
    server.terminate();
    put(server.folder(), version);
    server.restart();
    server
}

/// All files in a folder and in those in it, and what they hold; without the empty ones, and the index
/// that SQLite makes anew whenever it looks.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_kept = path.is_file() && !path.ends_with("whoelse.db-shm");
            let bytes = if is_kept { fs::read(&path).unwrap() } else { Vec::new() };
            if !bytes.is_empty() {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// Everything is there of what was confirmed before that server was killed.
fn assert_holds_what_was_confirmed(server: &Server) {
    let mut luke = Peer::protocol(server, "luke");
    assert_eq!(luke.welcome()["acknowledged"], 3);
    for number in 4..=8 {
        let mail = luke.expect_message("hans", &format!("message {number}"));
        assert_eq!(mail["number"], number);
    }
    luke.expect_quiet();
    luke.hang_up();
    let mut yoda = Peer::protocol(server, "yoda");
    assert_eq!(yoda.status(&message("luke", "hi")), "USER_BLOCKED");
    yoda.hang_up();
}

#[test]
fn data_of_earlier_versions_go_on_where_those_servers_were_killed() {
    for version in [1, 2, 3] {
        let mut server = server_of(version);
        assert_holds_what_was_confirmed(&server);
        server.crash();
        let mut hans = Peer::connect(&server);
        hans.begin("hans", json!({"protocol": 1, "receipts": true}));
        hans.expect_message("yoda", "wait you must");
        // Mail has said ever since under which id it was sent, so its writer is told.
        let mut luke = Peer::protocol(&server, "luke");
        hans.expect("login_broadcast");
        for number in 4..=8 {
            luke.expect_message("hans", &format!("message {number}"));
        }
        luke.send(&ack(8));
        let keys: Vec<String> = (4..=8).map(|number| key(&format!("h-{number}"))).collect();
        let told = hans.expect("delivered");
        assert_eq!((&told["user"], &told["keys"]), (&json!("luke"), &json!(keys)));
        let words = message_with_id("luke", "message 9", "h-9");
        assert_eq!(hans.status(&words), "SUCCESS");
        assert_eq!(luke.expect_message("hans", "message 9")["number"], 9);
        luke.send(&ack(9));
        assert_eq!(hans.expect("delivered")["keys"], json!([key("h-9")]));
        // Whatever must be on disk takes what was said before it along.
        assert_eq!(luke.status(&block("hans")), "SUCCESS");
        assert_eq!(luke.status(&unblock("hans")), "SUCCESS");
        assert_shares(&server);
        assert_receipt_after(&mut server, Server::crash);
        assert_receipt_after(&mut server, |server| {
            assert_eq!(server.terminate().code, Some(0));
            server.restart();
        });
    }
}

/// Files can be shared with data from before there were any.
fn assert_shares(server: &Server) {
    let mut yoda = Peer::connect(server);
    let mut members = Device::new("phone", [9; 32]).members("first");
    members["links"] = json!(1);
    yoda.begin("yoda", members);
    let share = json!({
        "action": "share",
        "hash": FileHash([4; 32]).to_string(),
        "size": 500,
        "name": "film.mkv",
        "signature": Signature([5; 64]).to_string(),
    });
    assert_eq!(yoda.status(&share), "SUCCESS");
    yoda.hang_up();
}

fn key(id: &str) -> String {
    ReceiptKey::of(&RequestId::new(id).unwrap()).to_string()
}

/// What was acknowledged before an end of the server is so after it.
fn assert_receipt_after(server: &mut Server, end: impl FnOnce(&mut Server)) {
    end(server);
    let mut hans = Peer::protocol(server, "hans");
    hans.expect_message("yoda", "wait you must");
    let answer = hans.ask(&json!({"action": "receipts", "ids": ["h-9", "h-10"]}));
    let lists = (&answer["delivered"], &answer["unknown"]);
    assert_eq!(lists, (&json!(["h-9"]), &json!(["h-10"])));
    let found = hans.ask(&json!({"action": "search_files", "words": "film"}));
    assert_eq!(found["files"][0]["from"], "yoda");
}

/// It gave up with one line that holds all these texts, and left the data as they were.
fn assert_refused(server: &mut Server, before: &BTreeMap<PathBuf, Vec<u8>>, texts: &[&str]) {
    let ended: Ended = server.restart_in_vain();
    assert_eq!(ended.code, Some(74), "{ended:?}");
    let complaints: Vec<&String> =
        ended.err.iter().filter(|line| line.starts_with("whoelse: ")).collect();
    assert_eq!(complaints.len(), 1, "{ended:?}");
    for text in texts {
        assert!(complaints[0].contains(text), "'{text}' is missing: {}", complaints[0]);
    }
    let mut after = contents(&server.data());
    for (name, bytes) in before {
        assert!(after.remove(name).as_ref() == Some(bytes), "{} was changed", name.display());
    }
    // Folders of earlier versions are kept without a key.
    after.retain(|name, _| !name.starts_with("tls-cert.pem") && !name.starts_with("tls-key.pem"));
    assert!(after.is_empty(), "was made: {:?}", after.keys());
}

#[test]
fn a_database_of_a_later_version_is_refused_and_left_alone() {
    let mut server = server(&["hans"]);
    server.terminate();
    let path = server.data().join("whoelse.db");
    let mut database = fs::read(&path).unwrap();
    let version = &mut database[60..64]; // where SQLite keeps `user_version`
    assert_eq!(version, [0, 0, 0, 4]);
    version.copy_from_slice(&[0, 0, 0, 5]);
    fs::write(&path, database).unwrap();
    let before = contents(&server.data());
    let texts = ["version 5", "up to 4", "Nothing was changed", "newer version of whoelse"];
    assert_refused(&mut server, &before, &texts);
}

/// Says of all segments that they are of this format.
fn set_format(data: &Path, format: u32) {
    for name in contents(&data.join("journal")).keys() {
        let path = data.join("journal").join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&format.to_le_bytes());
        let crc = crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, bytes).unwrap();
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_journal_of_a_later_format_is_refused_and_left_alone() {
    let texts = ["format 2", "Nothing was changed", "newer version of whoelse"];
    // Killed: then SQLite would like to tidy up. And of an earlier version: then it would be upgraded.
    let mut server = server(&["hans"]);
    server.kill9();
    for version in [0, 1, 2, 3] {
        if version > 0 {
            put(server.folder(), version);
        }
        set_format(&server.data(), 2);
        let before = contents(&server.data());
        assert_refused(&mut server, &before, &texts);
        set_format(&server.data(), 1);
    }
    server.restart();
    assert_holds_what_was_confirmed(&server);
}

#[test]
fn what_cannot_be_recovered_is_not_upgraded() {
    let mut server = setup(&[]).start();
    server.terminate();
    for version in [1, 2, 3] {
        put(server.folder(), version);
        fs::remove_file(server.data().join("journal/00000000.segment")).unwrap();
        let before = contents(&server.data());
        assert_refused(&mut server, &before, &["journal is missing", "Nothing was changed"]);
    }
}

/// A row of numbers from a seed, each below a bound.
struct Row(u64);

impl Row {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's generator; its upper bits are good enough for moments.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Whether anything was written to a database since.
fn state_of_database(data: &Path) -> Vec<(u64, Option<SystemTime>)> {
    let states = ["whoelse.db", "whoelse.db-wal"].map(|name| fs::metadata(data.join(name)).ok());
    let state = |file: Option<fs::Metadata>| match file {
        Some(file) => (file.len(), file.modified().ok()),
        None => (0, None),
    };
    states.map(state).to_vec()
}

/// Starts a server and kills it: at any moment of its start, or shortly after it has begun to write
/// to its database. Says whether that had begun, and whether the server was ready.
fn start_and_kill(server: &Server, at: Duration, is_after_write: bool) -> (bool, bool) {
    let before = state_of_database(&server.data());
    let words = ["server", "0", "--data", "data"];
    let mut running = Running::start(Path::new(PROGRAM), &words, server.folder());
    let mut start = Instant::now();
    let deadline = start + Duration::from_secs(10);
    while is_after_write && state_of_database(&server.data()) == before {
        assert!(Instant::now() < deadline, "nothing is written");
        start = Instant::now();
    }
    while start.elapsed() < at {
        std::hint::spin_loop();
    }
    running.kill9();
    running.out.wait_end();
    let is_ready = running.out.all().iter().any(|line| line.contains("Ctrl-C ends it."));
    (state_of_database(&server.data()) != before, is_ready)
}

#[test]
fn an_upgrade_killed_at_any_moment_loses_nothing() {
    const MOMENTS: u64 = 24;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    println!("SEED={seed}");
    let mut row = Row(seed);
    let mut server = setup(&[]).start();
    server.terminate();
    let start = Instant::now();
    put(server.folder(), 3);
    server.restart();
    let whole_us = u64::try_from(start.elapsed().as_micros()).unwrap();
    server.terminate();
    let mut begun = 0;
    for moment in 0..MOMENTS {
        put(server.folder(), 3 - u32::try_from(moment % 3).unwrap());
        let is_after_write = moment % 2 == 1;
        let at_us = row.below(if is_after_write { 3_000 } else { whole_us });
        let at = Duration::from_micros(at_us);
        let (has_begun, is_ready) = start_and_kill(&server, at, is_after_write);
        println!("moment {moment}: {at_us} us, begun {has_begun}, ready {is_ready}");
        begun += u64::from(has_begun && !is_ready);
        server.restart();
        assert_holds_what_was_confirmed(&server);
        server.terminate();
    }
    assert!(begun >= MOMENTS / 4, "{begun} of {MOMENTS} in the middle");
}
