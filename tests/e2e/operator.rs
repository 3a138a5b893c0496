//! What the operator sees: how a server starts and ends, what it refuses and how it says so.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use whoelse_tests::program::{Ended, Peer, Running, Signal, Terminal};

use super::{PROGRAM, message_with_id, server, setup};

/// Runs a command of the program in a folder until it ends.
fn run(home: &Path, words: &[&str]) -> Ended {
    Running::start(Path::new(PROGRAM), words, home).wait()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// It ended with this code and one line that holds all these texts.
fn assert_complains(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let complaints: Vec<&String> =
        ended.err.iter().filter(|line| line.starts_with("whoelse: ")).collect();
    assert_eq!(complaints.len(), 1, "{ended:?}");
    for text in texts {
        assert!(complaints[0].contains(text), "'{text}' is missing: {}", complaints[0]);
    }
}

#[test]
fn every_command_explains_itself() {
    let home = folder();
    for words in [
        [].as_slice(),
        &["server"],
        &["client"],
        &["user", "list"],
        &["user", "add"],
        &["user", "passwd"],
        &["user", "lock"],
        &["user", "unlock"],
        &["user", "remove"],
        &["user", "role"],
        &["invite"],
        &["invite", "list"],
        &["invite", "revoke"],
        &["backup"],
        &["restore"],
        &["check"],
    ] {
        let ended = run(home.path(), &[words, &["--help"]].concat());
        assert_eq!((ended.code, ended.err), (Some(0), Vec::new()), "{words:?}");
        let text = ended.out.join("\n");
        assert!(text.contains("Usage: whoelse"), "{text}");
        assert!(ended.out.iter().any(|line| line.starts_with("  whoelse ")), "example: {text}");
    }
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let home = folder();
    let occupied = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = occupied.local_addr().unwrap().port().to_string();
    let ended = run(home.path(), &["server", &port, "--data", "data"]);
    assert_complains(&ended, 1, &[&format!("port {port} is in use"), "whoelse server "]);
}

#[test]
fn bad_numbers_are_refused_with_an_example() {
    let home = folder();
    for words in [
        ["ten"].as_slice(),
        &["70000"],
        &["-1"],
        &["12346", "x"],
        &["12346", "10", "60.5"],
        &["--port", ""],
        &["--block-seconds", "99999999999"],
    ] {
        let ended = run(home.path(), &[&["server"], words].concat());
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
        assert!(ended.err[0].starts_with("error: "), "{words:?}: {ended:?}");
        let bad = words.last().unwrap();
        assert!(ended.err[0].contains(&format!("'{bad}'")), "{words:?}: {ended:?}");
    }
}

#[test]
fn a_credentials_file_that_cannot_be_read_is_named() {
    let home = folder();
    let ended = run(home.path(), &["server", "0", "--data", "data", "--credentials", "none.txt"]);
    assert_complains(&ended, 7, &["none.txt", "No such file", "--credentials"]);
    fs::write(home.path().join("people.txt"), "hans falcon*solo\n\nluke\n").unwrap();
    let ended = run(home.path(), &["server", "0", "--data", "data", "--credentials", "people.txt"]);
    assert_complains(&ended, 7, &["people.txt, line 3", "no password", "hans falcon*solo"]);
}

#[test]
fn passwords_that_others_can_read_are_warned_of() {
    let home = folder();
    let people = home.path().join("people.txt");
    fs::write(&people, "hans falcon*solo\n").unwrap();
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        fs::set_permissions(&people, fs::Permissions::from_mode(mode)).unwrap();
        let words = ["server", "0", "--data", "data", "--credentials", "people.txt"];
        let mut running = Running::start(Path::new(PROGRAM), &words, home.path());
        running.out.wait_for("Ctrl-C");
        running.signal(Signal::TERM);
        let log = running.wait().err;
        let warned = log.iter().filter(|line| line.contains("can read the passwords")).count();
        assert_eq!(warned, warnings, "{mode:o}: {log:?}");
    }
}

#[test]
fn a_data_folder_serves_one_server_at_a_time() {
    let server = server(&["hans"]);
    let second = server.run(&["server", "0", "--data", "data"], "");
    assert_complains(&second, 1, &["another whoelse server", "data", "--data"]);
    Peer::plain(&server, "hans").hang_up();
}

/// The journal of a killed server with a number of batches in it, each synced by itself.
fn journal_of_killed(server: &mut whoelse_tests::program::Server) -> (PathBuf, Vec<u8>) {
    let mut hans = Peer::protocol(server, "hans");
    for number in 0..50 {
        let request = message_with_id("luke", "to be damaged", &number.to_string());
        assert_eq!(hans.status(&request), "SUCCESS");
    }
    server.kill9();
    let path = server.data().join("journal/00000000.segment");
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn damage_in_the_middle_of_the_journal_is_refused_and_nothing_is_overwritten() {
    let mut server = server(&["hans", "luke"]);
    let (path, bytes) = journal_of_killed(&mut server);
    let text = b"to be damaged";
    let at: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"XX", at[at.len() / 2] as u64).unwrap();
    let damaged = fs::read(&path).unwrap();
    let ended = server.restart_in_vain();
    assert_complains(&ended, 74, &["00000000.segment", "damaged at byte", "backup"]);
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing may be overwritten");
    // With the bytes back, everything is there.
    file.write_all_at(&text[..2], at[at.len() / 2] as u64).unwrap();
    server.restart();
    let mut luke = Peer::protocol(&server, "luke");
    for _ in 0..50 {
        luke.expect_message("hans", "to be damaged");
    }
}

#[test]
fn an_unfinished_last_write_is_dropped_and_mentioned() {
    let mut server = server(&["hans", "luke"]);
    let (path, bytes) = journal_of_killed(&mut server);
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0], end as u64).unwrap();
    server.restart();
    assert!(server.greeting().contains("of an unfinished last write"), "{}", server.greeting());
    Peer::plain(&server, "luke").hang_up();
}

#[test]
fn a_database_that_is_none_is_refused() {
    let mut server = server(&["hans"]);
    assert_eq!(server.terminate().code, Some(0));
    let file = File::options().write(true).open(server.data().join("whoelse.db")).unwrap();
    file.write_all_at(&[0x5a; 100], 0).unwrap();
    let ended = server.restart_in_vain();
    assert_complains(&ended, 74, &["database", "backup"]);
}

#[test]
fn a_start_says_where_it_listens_and_what_was_replayed() {
    let mut server = server(&["hans", "luke"]);
    for expected in [
        format!("listening  0.0.0.0:{} and [::]:{} (TLS; plain", server.port(), server.port()),
        "lock a name for 60 seconds; nobody is logged out".to_owned(),
        "(0 records replayed in ".to_owned(),
        "2, 2 of them new from people.txt".to_owned(),
        format!("whoelse client localhost {}", server.port()),
    ] {
        assert!(server.greeting().contains(&expected), "{expected}:\n{}", server.greeting());
    }
    Peer::protocol(&server, "hans").message("luke", "hello");
    server.crash();
    let line = server.greeting();
    let line = line.lines().find(|line| line.contains("records replayed in")).unwrap();
    let count = line.split_once('(').unwrap().1.split_once(' ').unwrap().0;
    assert!(count.parse::<u32>().unwrap() >= 4, "{line}");
}

#[test]
fn an_address_that_was_named_is_the_only_one() {
    let server = setup(&["hans"]).flags(&["--bind", "127.0.0.1"]).start();
    assert!(server.greeting().contains(&format!("listening  127.0.0.1:{} (TLS", server.port())));
    drop(TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), server.port())).unwrap());
    drop(TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, server.port())).unwrap());
}

#[test]
fn told_to_end_it_ends_in_order_even_with_people_logged_in() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::original(&server, "luke");
    hans.expect("login_broadcast");
    let begun = Instant::now();
    let ended = server.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    hans.expect_end();
    luke.expect_end();
    assert!(!server.data().join("admin.sock").exists());
}

#[test]
fn only_the_owner_can_read_the_data() {
    let mut server = server(&["hans", "luke"]);
    Peer::protocol(&server, "hans").message("luke", "secret");
    assert_modes(&server.data());
    assert_eq!(server.terminate().code, Some(0));
    assert_modes(&server.data());
}

fn assert_modes(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o777;
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    // A socket's own mode varies between systems; the folder protects it.
    if !metadata.file_type().is_socket() {
        assert_eq!(mode, wanted, "{}: {mode:o}", path.display());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            assert_modes(&entry.unwrap().path());
        }
    }
}

const ADD: [&str; 2] = ["user", "add"];
const FROM_INPUT: [&str; 4] = ["--data", "data", "--password-file", "-"];

/// `whoelse user add NAME`, with the password on standard input.
fn add(name: &str) -> Vec<&str> {
    [&ADD[..], &[name], &FROM_INPUT].concat()
}

#[test]
fn people_can_be_added_while_the_server_runs() {
    let server = server(&["hans"]);
    let added = server.run(&add("anna"), "anna's secret\n");
    assert_eq!((added.code, added.out), (Some(0), vec!["anna can log in now.".to_owned()]));
    Peer::plain(&server, "anna").hang_up();
    for (name, why) in [
        ("anna", "called 'anna' already"),
        ("Hans", "could be taken for 'hans'"),
        ("hаns", "one script only"), // the second letter is Cyrillic
        ("with space", "no spaces"),
        ("", "at least one character"),
    ] {
        assert_complains(&server.run(&add(name), "a good password\n"), 1, &[why, "hoose"]);
    }
    for (password, why) in [
        ("", "at least 8 characters"),
        ("7 chars", "at least 8 characters"),
        ("Bertrand", "is not the name itself"),
        (&"x".repeat(513), "at most 512 bytes"),
    ] {
        let refused = server.run(&add("bertrand"), &format!("{password}\n"));
        assert_complains(&refused, 1, &["password does not fit", why]);
    }
}

#[test]
fn people_can_be_added_while_no_server_runs() {
    let mut server = server(&["hans"]);
    assert_eq!(server.terminate().code, Some(0));
    fs::write(server.folder().join("password.txt"), "anna's secret\nnot this\n").unwrap();
    let from_file = ["user", "add", "anna", "--data", "data", "--password-file", "password.txt"];
    assert_eq!(server.run(&from_file, "").code, Some(0));
    let again = server.run(&add("anna"), "another password\n");
    assert_complains(&again, 1, &["called 'anna' already"]);
    let alike = server.run(&add("HANS"), "another password\n");
    assert_complains(&alike, 1, &["could be taken for 'hans'"]);
    server.restart();
    Peer::plain(&server, "anna").hang_up();
    Peer::plain(&server, "hans").hang_up();
}

#[test]
fn people_can_be_added_after_a_crash() {
    let mut server = server(&["hans"]);
    server.kill9();
    let added = server.run(&add("anna"), "anna's secret\n");
    assert_eq!(added.code, Some(0), "{added:?}");
    server.restart();
    Peer::plain(&server, "anna").hang_up();
}

#[test]
fn a_password_is_never_taken_from_the_command_line_or_asked_for_without_a_terminal() {
    let server = server(&["hans"]);
    let refused = server.run(&["user", "add", "anna", "secret", "--data", "data"], "");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let refused = server.run(&["user", "add", "anna", "--data", "data"], "secret\n");
    assert_complains(&refused, 2, &["no terminal", "--password-file"]);
    let none = ["user", "add", "anna", "--data", "data", "--password-file", "none.txt"];
    assert_complains(&server.run(&none, ""), 2, &["password file none.txt", "No such file"]);
}

#[test]
fn everybody_is_listed_in_columns_or_as_json_while_the_server_runs_and_when_not() {
    let mut server = setup(&["luke", "hans"]).credentials("ne\u{202e}o x\n").start();
    let mut hans = Peer::protocol(&server, "hans");
    hans.message("luke", "hello");
    let list = ["user", "list", "--data", "data"];
    let words = |ended: &Ended| -> Vec<Vec<String>> {
        assert_eq!((ended.code, ended.err.len()), (Some(0), 0), "{ended:?}");
        let words = |line: &String| line.split_whitespace().map(str::to_owned).collect();
        ended.out.iter().map(words).collect()
    };
    let online = words(&server.run(&list, ""));
    assert_eq!(online[0], ["NAME", "ROLE", "STATE", "DEVICES", "WAITING"]);
    assert_eq!(online[1], ["hans", "member", "online", "0", "0"]);
    assert_eq!(online[2], ["luke", "member", "never", "logged", "in", "0", "1"]);
    // A name that would steer the terminal is written out.
    assert_eq!(online[3][0], "ne\\u{202e}o");
    drop(hans);
    assert_eq!(server.terminate().code, Some(0));
    let offline = words(&server.run(&list, ""));
    assert_eq!(offline[1][..4], ["hans", "member", "offline", "for"]);
    assert_eq!(offline[2..], online[2..]);

    let json = server.run(&["user", "list", "--json", "--data", "data"], "");
    let text = json.out.join("\n");
    assert!(text.is_ascii(), "{text}");
    let people: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(people[1]["name"], "luke");
    assert_eq!(people[1]["waiting"], 1);
    assert_eq!(people[2]["name"], "ne\u{202e}o");
}

#[test]
fn a_name_that_nobody_has_is_refused_before_anything_is_asked() {
    let mut server = server(&["hans"]);
    let commands = [
        ["passwd", "hasn", "--data", "data"].as_slice(),
        &["lock", "hasn", "--data", "data"],
        &["unlock", "hasn", "--data", "data"],
        &["remove", "hasn", "--yes", "--data", "data"],
        &["role", "hasn", "admin", "--data", "data"],
    ];
    for is_running in [true, false] {
        for words in commands {
            let refused = server.run(&[&["user"], words].concat(), "");
            assert_complains(&refused, 1, &["nobody is called 'hasn'", "Did you mean 'hans'?"]);
        }
        let refused = server.run(&["user", "lock", "zoe\u{1b}[2J", "--data", "data"], "");
        assert_complains(&refused, 1, &["called 'zoe\\u{1b}[2J'", "whoelse user list"]);
        if is_running {
            assert_eq!(server.terminate().code, Some(0));
        }
    }
    let nowhere = server.run(&["user", "lock", "hans", "--data", "elsewhere"], "");
    assert_complains(&nowhere, 1, &["no data in elsewhere", "--data"]);
    assert!(!server.folder().join("elsewhere").exists(), "looking makes no folder");
}

#[test]
fn nobody_is_removed_by_a_script_that_did_not_mean_it() {
    let server = server(&["hans"]);
    let refused = server.run(&["user", "remove", "hans", "--data", "data"], "hans\n");
    assert_complains(&refused, 2, &["no terminal", "--yes"]);
    let words = ["user", "remove", "hans", "--data", "data"];
    let mut terminal = Terminal::start(Path::new(PROGRAM), &words, server.folder());
    terminal.wait_for("This erases hans for good");
    terminal.wait_for("Nobody can have the name again.");
    terminal.wait_for_cursor_line("the question", |line| line.contains("again to go on: "));
    terminal.type_text("hasn\r");
    terminal.wait_for("that is not the name. Nothing");
    assert_eq!(terminal.wait_exit(), 2);
    Peer::plain(&server, "hans").hang_up();
}

#[test]
fn a_new_password_is_typed_twice() {
    let server = server(&["hans"]);
    let words = ["user", "passwd", "hans", "--data", "data"];
    let mut terminal = Terminal::start(Path::new(PROGRAM), &words, server.folder());
    terminal.wait_for("Password for hans:");
    terminal.type_text("one secret\r");
    terminal.wait_for("Again:");
    terminal.type_text("another secret\r");
    terminal.wait_for("the two passwords differ");
    assert_eq!(terminal.wait_exit(), 2);
    assert!(!terminal.screen().contains("secret"), "{}", terminal.screen());
}

#[test]
fn bad_words_about_invites_and_roles_are_refused_with_an_example() {
    let home = folder();
    for (words, what) in [
        (["user", "role", "hans", "boss"].as_slice(), "member or admin"),
        (&["user", "lock", ""], "NAME"),
        (&["invite", "--valid", "0"], "'0'"),
        (&["invite", "--valid", "91"], "'91'"),
        (&["invite", "--public-address", "two words"], "'two words'"),
        (&["invite", "--public-address", "host:0"], "'0' is no port"),
        (&["invite", "revoke", "three"], "'three'"),
        (&["server", "--public-address", "http://x"], "http"),
    ] {
        let ended = run(home.path(), words);
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
        assert!(ended.err[0].contains(what), "{words:?}: {ended:?}");
    }
}

#[test]
fn an_invite_needs_a_server_that_has_started_once() {
    let home = folder();
    let ended = run(home.path(), &["invite", "--data", "data"]);
    assert_complains(&ended, 1, &["no data in data", "--data"]);
}

#[test]
fn credentials_in_the_current_folder_are_imported_into_data_of_their_own_only() {
    let home = folder();
    fs::write(home.path().join("credentials.txt"), "hans a\nluke b\n").unwrap();
    let start = |data: &str| {
        let words = ["server", "0", "--data", data];
        let mut running = Running::start(Path::new(PROGRAM), &words, home.path());
        let people = running.out.wait_for("  people ");
        running.out.wait_for("Ctrl-C");
        running.signal(Signal::TERM);
        assert_eq!(running.wait().code, Some(0));
        people
    };
    assert!(start("one").contains("2, 2 of them new from credentials.txt"));
    fs::write(home.path().join("credentials.txt"), "hans a\nluke b\nyoda c\n").unwrap();
    assert!(start("one").contains("3, 1 of them new"), "made from this file");
    fs::write(home.path().join("password.txt"), "a good password\n").unwrap();
    let added = Running::start(
        Path::new(PROGRAM),
        &["user", "add", "anna", "--data", "two", "--password-file", "password.txt"],
        home.path(),
    )
    .wait();
    assert_eq!(added.code, Some(0), "{added:?}");
    assert_eq!(start("two").trim(), "people     1", "made without this file");
}

#[test]
fn among_many_imported_people_anybody_can_log_in_at_once() {
    let names: Vec<String> = (0..500).map(|number| format!("person{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let server = setup(&names).start();
    let mut last = Peer::connect(&server);
    last.begin("person499", json!({}));
    let mut first = Peer::connect(&server);
    first.begin("person0", json!({}));
    // Hashing all of them takes much longer, even on a fast machine.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(server.greeting().contains("500 of them new"), "{}", server.greeting());
}
