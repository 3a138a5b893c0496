//! Backup, restore and check of the real program, with a server that runs and without one.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use whoelse_tests::program::{Client, DEADLINE, Device, Ended, Peer, Running, Server, password_of};

use super::{PROGRAM, ack, message_with_id, server};

const BACKUP: &str = "monday.backup";

fn done(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.is_empty(), "{ended:?}");
    ended.out.join("\n")
}

/// It ended with this code, and one line that holds all these texts.
fn assert_refused(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!((ended.code, ended.err.len()), (Some(code), 1), "{ended:?}");
    for text in texts {
        assert!(ended.err[0].contains(text), "'{text}' is missing: {}", ended.err[0]);
    }
}

fn backup(server: &Server) -> String {
    done(&server.run(&["backup", BACKUP, "--data", "data"], ""))
}

/// Puts what a backup holds in the place of the data.
fn restore(server: &mut Server) -> String {
    server.kill9();
    fs::rename(server.data(), server.folder().join("old")).unwrap();
    let said = done(&server.run(&["restore", BACKUP, "--data", "data"], ""));
    server.restart();
    said
}

/// What the folder of a server holds, but for what every start of a program leaves.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with(".state"));
    names.sort();
    names
}

#[test]
fn everything_that_was_confirmed_before_is_in_a_backup_made_while_messages_flow() {
    const SENDERS: usize = 3;
    let mut server = server(&["hans", "leia", "chewie", "luke"]);
    let key = server.key();
    let confirmed: [AtomicUsize; SENDERS] = Default::default();
    let is_over = AtomicBool::new(false);
    let mut before = [0; SENDERS];
    let mut slowest = Vec::new();
    std::thread::scope(|scope| {
        let (server, confirmed, is_over) = (&server, &confirmed, &is_over);
        let send = |index: usize| {
            let name = ["hans", "leia", "chewie"][index];
            let mut peer = Peer::protocol(server, name);
            let mut status = |request| {
                peer.send(&request);
                peer.until(|value| value["action"] == "message")["status"].clone()
            };
            let (mut slowest, mut number) = (Duration::ZERO, 0);
            while !is_over.load(Ordering::Relaxed) && number < 1_900 {
                number += 1;
                let text = format!("{name} {number}");
                let sent = Instant::now();
                assert_eq!(status(message_with_id("luke", &text, &text)), "SUCCESS");
                slowest = slowest.max(sent.elapsed());
                confirmed[index].store(number, Ordering::SeqCst);
            }
            (number, slowest)
        };
        let senders: Vec<_> = (0..SENDERS).map(|index| scope.spawn(move || send(index))).collect();
        let deadline = Instant::now() + DEADLINE;
        while confirmed.iter().any(|it| it.load(Ordering::SeqCst) < 100) {
            is_over.store(Instant::now() > deadline, Ordering::Relaxed);
            assert!(!is_over.load(Ordering::Relaxed), "{confirmed:?}");
            std::thread::yield_now();
        }
        for (before, confirmed) in before.iter_mut().zip(confirmed) {
            *before = confirmed.load(Ordering::SeqCst);
        }
        let started = Instant::now();
        let ended = server.run(&["backup", BACKUP, "--data", "data"], "");
        let took = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let said = done(&ended);
        assert!(said.contains("read back and whole"), "{said}");
        let ends: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        println!(
            "before: {before:?}; the backup took {took:?}; the senders' slowest answers and numbers: {ends:?}"
        );
        slowest.extend(ends.into_iter().map(|(_, slowest)| slowest));
    });
    let file = server.folder().join(BACKUP);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let said = restore(&mut server);
    assert!(said.contains(&key.to_string()), "{said}");
    assert_eq!(server.key(), key, "clients know the server by it");

    let mut luke = Peer::protocol(&server, "luke");
    let mut heard = [0; SENDERS];
    let mut number = 0;
    luke.until(|value| {
        number += 1;
        assert_eq!(value["number"], number, "{value}");
        let text = value["message"].as_str().unwrap();
        let (name, place) = text.split_once(' ').unwrap();
        let index = ["hans", "leia", "chewie"].iter().position(|it| *it == name).unwrap();
        heard[index] += 1;
        assert_eq!(place, heard[index].to_string(), "none is missing before it");
        (0..SENDERS).all(|index| heard[index] >= before[index])
    });
    assert_eq!(slowest.len(), SENDERS);
}

#[test]
fn passwords_devices_and_blocks_are_as_they_were_under_another_id() {
    let mut server = server(&["hans", "luke"]);
    let laptop = Device::new("laptop", [7; 32]);
    let mut hans = Peer::connect(&server);
    hans.begin("hans", laptop.members("first"));
    let old = hans.welcome()["server"].clone();
    assert_eq!(hans.status(&super::block("luke")), "SUCCESS");
    backup(&server);
    // What comes later is undone.
    assert_eq!(hans.status(&super::unblock("luke")), "SUCCESS");
    let said = restore(&mut server);
    assert!(said.contains("people     2, 1 device") && said.contains("undone"), "{said}");

    let mut hans = Peer::connect(&server);
    let welcome = laptop.resume(&mut hans, &server, "hans", "second");
    assert_eq!(welcome["status"], "SUCCESS");
    assert!(welcome["server"].is_string() && welcome["server"] != old, "{welcome}");
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(luke.status(&super::message("hans", "hello")), "USER_BLOCKED");
    // The old data are still good, by themselves.
    let said = done(&server.run(&["check", "--data", "old"], ""));
    assert!(said.contains("old is whole.") && said.contains("people     2, 1 device"), "{said}");
}

#[test]
fn a_client_takes_no_new_mail_for_old() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let port = server.port().to_string();
    let mut luke = Client::start(server.program(), &["localhost", &port], server.folder());
    luke.say("luke");
    luke.say(&password_of("luke"));
    luke.hear("logged in as luke");
    hans.expect("login_broadcast");
    hans.message("luke", "the first");
    luke.hear("hans: the first");
    backup(&server);
    for text in ["the second", "the third"] {
        hans.message("luke", text);
        luke.hear(&format!("hans: {text}"));
    }
    restore(&mut server);
    // Its number is that of the second one.
    let mut hans = Peer::protocol(&server, "hans");
    hans.send(&super::message("luke", "another second"));
    luke.hear("hans: another second");
}

#[test]
fn what_cannot_be_restored_is_refused_in_one_line() {
    let mut server = server(&["hans", "luke"]);
    backup(&server);
    let file = server.folder().join(BACKUP);
    let bytes = fs::read(&file).unwrap();
    let run = |words: &[&str]| server.run(words, "");
    assert_refused(&run(&["backup", BACKUP, "--data", "data"]), 1, &["is there already"]);
    assert_refused(&run(&["restore", BACKUP, "--data", "data"]), 1, &["is not empty"]);
    assert_refused(&run(&["backup", "b", "--data", "nowhere"]), 1, &["no data in nowhere"]);
    assert_refused(&run(&["check", "--data", "data"]), 1, &["server uses", "whoelse backup"]);
    let refuse = |bytes: &[u8], code: i32, text: &str| {
        fs::write(server.folder().join("bad"), bytes).unwrap();
        for words in [["restore", "bad", "--data", "new"].as_slice(), &["check", "bad"]] {
            assert_refused(&run(words), code, &[text]);
        }
    };
    refuse(&bytes[..bytes.len() / 2], 74, "cut off");
    refuse(&[&bytes[..4_000], b"?", &bytes[4_001..]].concat(), 74, "damaged");
    refuse(&[&bytes[..16], b"\x09", &bytes[17..]].concat(), 74, "version of whoelse");
    refuse(b"not a backup at all", 7, "no backup of whoelse");
    assert_refused(&run(&["restore", "none"]), 7, &["cannot read the backup none"]);
    fs::remove_file(server.folder().join("bad")).unwrap();
    assert_eq!(names(server.folder()), ["data", BACKUP, "people.txt"]);
    let said = done(&run(&["check", BACKUP]));
    assert!(said.contains("people     2, 0 devices"), "{said}");
    assert!(server.terminate().code == Some(0));
}

#[test]
fn a_full_disk_ends_a_backup_and_nothing_else() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    for number in 0..200 {
        let text = format!("{number} {}", "x".repeat(3_000));
        hans.send(&message_with_id("luke", &text, &text[..4]));
    }
    for _ in 0..200 {
        assert_eq!(hans.expect("message")["status"], "SUCCESS");
    }
    // No file may become larger than this, in units of 512 or 1024 bytes; as with a full disk, a
    // write fails in the middle.
    for units in [8, 300, 900, 1_300] {
        let limited = format!("trap '' XFSZ; ulimit -f {units}; exec \"$0\" \"$@\"");
        let words = ["-c", &limited, PROGRAM, "backup", BACKUP, "--data", "data"];
        let ended = Running::start(Path::new("/bin/sh"), &words, server.folder()).wait();
        if ended.code == Some(0) {
            assert!(units > 1_000, "{ended:?}");
            break;
        }
        assert_refused(&ended, 74, &["the backup was not made", "Nothing was left behind"]);
        assert_eq!(names(server.folder()), ["data", "people.txt"]);
        hans.message("luke", "goes on");
    }
    if !server.folder().join(BACKUP).exists() {
        backup(&server);
    }
}

#[test]
fn a_check_says_what_is_there_and_the_first_fault_where_it_is() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    for number in 0..50 {
        let text = format!("to be damaged {number}");
        assert_eq!(hans.status(&message_with_id("luke", &text, &text)), "SUCCESS");
    }
    server.kill9();
    let said = done(&server.run(&["check", "--data", "data"], ""));
    for text in ["data is whole.", "people     2, ", "messages   50 waiting", "key "] {
        assert!(said.contains(text), "'{text}' is missing: {said}");
    }
    let journal = server.data().join("journal");
    let holds = |path: &PathBuf| {
        fs::read(path).unwrap().windows(14).position(|it| it == b"to be damaged ").is_some()
    };
    let mut files = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(holds).expect("a segment that holds them");
    let bytes = fs::read(&segment).unwrap();
    let place = bytes.windows(14).position(|it| it == b"to be damaged ").unwrap() as u64;
    let file = File::options().write(true).open(&segment).unwrap();
    file.write_all_at(b"T", place).unwrap();
    let damaged = fs::read(&segment).unwrap();
    let ended = server.run(&["check", "--data", "data"], "");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert_refused(&ended, 74, &[&name, "damaged at byte", "Nothing was changed"]);
    assert_eq!(fs::read(&segment).unwrap(), damaged);
    assert_refused(&server.run(&["backup", "b", "--data", "data"], ""), 74, &[&name]);
    file.write_all_at(b"t", place).unwrap();
    done(&server.run(&["check", "--data", "data"], ""));
}

#[test]
fn mail_that_was_read_is_in_no_file_of_a_server_that_has_ended() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    hans.message("luke", "burn after reading");
    hans.message("luke", "to be kept");
    // Into the database first.
    backup(&server);
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "burn after reading");
    luke.expect_message("hans", "to be kept");
    luke.send(&ack(1));
    luke.status(&super::block("hans"));
    assert_eq!(server.terminate().code, Some(0));
    let holds = |folder: &Path, text: &[u8]| {
        let mut folders = vec![folder.to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path).unwrap().windows(text.len()).any(|it| it == text) {
                    found.push(path);
                }
            }
        }
        found
    };
    assert_eq!(holds(&server.data(), b"burn after reading"), Vec::<PathBuf>::new());
    assert!(!holds(&server.data(), b"to be kept").is_empty());
}
