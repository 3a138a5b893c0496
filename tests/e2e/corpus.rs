//! Hostile input from a table: what is sent, in which state of a connection, and the one answer that it gets.
//!
//! A file for each class of faults that systems like this one have had, named as in their history. In it `= ` begins a
//! case, `> ` is what is sent (with a line end behind it), and each further line says in which states which answers come:
//! action, status, and words of the sentence. `\n`, `\r`, `\xff` and `\\` stand for bytes, `@{1000*x}@` for a thousand of
//! them. A bystander must not notice anything.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::thread;

use serde_json::json;
use whoelse_tests::program::{Peer, Server};

use super::{block, logout, repository, setup, whoelse};

/// So many different triples of class, state and answer the table must hold.
const TRIPLES_MIN: usize = 400;

/// The states a connection can be in. A stranger has said nothing; `tls` and `device` are the same as `stranger` and
/// `protocol` inside TLS.
const STATES: [&str; 9] =
    ["stranger", "failed", "challenged", "tls", "plain", "original", "protocol", "device", "admin"];

/// Short names for several states.
const GROUPS: [(&str, &[&str]); 6] = [
    ("all", &STATES),
    ("out", &["stranger", "failed", "challenged", "tls"]),
    ("in", &["plain", "original", "protocol", "device", "admin"]),
    ("member", &["plain", "original", "protocol", "device"]),
    ("lines", &["protocol", "device", "admin"]),
    ("talked", &["failed", "challenged", "plain", "original", "protocol", "device", "admin"]),
];

/// A case: what is sent, and what must come, by state.
struct Case {
    class: String,
    title: String,
    sent: Vec<u8>,
    expected: Vec<(BTreeSet<&'static str>, Vec<Answer>)>,
}

/// An answer.
struct Answer {
    /// As it stands in the table.
    line: String,
    action: String,
    status: String,
    words: Option<String>,
}

#[test]
fn every_hostile_input_gets_its_answer_and_harms_nobody() {
    let cases = cases();
    let server = setup(&people()).start();
    let made = server.run(&["user", "role", "m-admin", "admin", "--data", "data"], "");
    assert_eq!(made.code, Some(0), "{made:?}");
    for name in people().into_iter().filter(|name| *name != "bystander") {
        // Nobody should see them come and go.
        let mut peer = Peer::plain(&server, name);
        assert_eq!(peer.status(&block("bystander")), "SUCCESS");
        peer.hang_up();
    }
    let mut bystander = Peer::protocol(&server, "bystander");
    let triples = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for state in STATES {
            let (cases, server, triples) = (&cases, &server, &triples);
            scope.spawn(move || {
                let mut connection = None;
                for case in cases {
                    run(case, state, server, &mut connection, triples);
                }
                // Nothing was said that no case asked for.
                if let Some(mut peer) = connection {
                    peer.expect_probe();
                }
            });
        }
    });
    bystander.expect_quiet();
    assert_eq!(bystander.status(&block("m-plain")), "SUCCESS", "served down to the disk");
    assert_eq!(bystander.status(&logout()), "SUCCESS");
    let triples = triples.into_inner().unwrap();
    let classes: BTreeSet<&str> = triples.iter().map(|(class, _, _)| class.as_str()).collect();
    let count = triples.len();
    println!("HOSTILE cases={} triples={count} classes={}", cases.len(), classes.len());
    assert!(count >= TRIPLES_MIN, "{count} different triples");
}

/// Sends a case in a state, if it is meant for it, and compares.
fn run(
    case: &Case,
    state: &'static str,
    server: &Server,
    connection: &mut Option<Peer>,
    triples: &Mutex<BTreeSet<(String, &'static str, String)>>,
) {
    let Some((_, answers)) = case.expected.iter().find(|(states, _)| states.contains(state)) else {
        return;
    };
    if matches!(state, "stranger" | "tls") {
        *connection = None; // nothing must have been said before
    }
    let peer = connection.get_or_insert_with(|| connect(state, server));
    peer.send_raw(&case.sent);
    for expected in answers {
        let at = format!("{} in state {state}: {}", case.class, case.title);
        // Those who send all this see each other come and go.
        let heard = peer.until(|value| value["status"].is_string());
        assert_eq!(heard["action"], expected.action, "{at}: {heard}");
        assert_eq!(heard["status"], expected.status, "{at}: {heard}");
        // An original client is told the bare status of what is refused.
        let has_sentence = state != "original" || heard["message"].is_string();
        if let Some(words) = expected.words.as_ref().filter(|_| has_sentence) {
            let said = format!("{} {}", heard["message"], heard["reply"]);
            assert!(said.contains(words), "{at}: {heard}");
        }
        let triple = (case.class.clone(), state, expected.line.clone());
        triples.lock().unwrap().insert(triple);
    }
}

/// The people of the table: one for each state with a session, all hidden from the bystander.
fn people() -> Vec<&'static str> {
    vec!["bystander", "m-plain", "m-original", "m-protocol", "m-device", "m-admin"]
}

fn connect(state: &str, server: &Server) -> Peer {
    let begun = |mut peer: Peer, members| {
        peer.begin(&format!("m-{state}"), members);
        peer
    };
    match state {
        "failed" => {
            let mut peer = Peer::connect(server);
            let wrong = json!({"action": "login", "username": "m-failed", "password": "wrong"});
            assert_eq!(peer.status(&wrong), "INVALID_PASSWORD");
            peer
        }
        "challenged" => {
            let mut peer = Peer::connect(server);
            assert_eq!(peer.status(&json!({"action": "challenge"})), "SUCCESS");
            peer
        }
        "plain" => begun(Peer::connect(server), json!({})),
        "original" => begun(Peer::connect(server), json!({"private_port": 50_123})),
        "protocol" | "admin" => begun(Peer::connect(server), json!({"protocol": 1})),
        "tls" => Peer::connect_tls(server),
        "device" => {
            let key = "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";
            let members = json!({"protocol": 1, "device_key": key, "device_name": "laptop"});
            begun(Peer::connect_tls(server), members)
        }
        _ => Peer::connect(server),
    }
}

/// Reads the table.
fn cases() -> Vec<Case> {
    let folder = repository().join("tests/e2e/corpus");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let class = file.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            read_line(class, line, &mut cases);
        }
    }
    for case in &cases {
        assert!(!case.sent.is_empty() && !case.expected.is_empty(), "{} is empty", case.title);
    }
    cases
}

fn read_line(class: &str, line: &str, cases: &mut Vec<Case>) {
    if let Some(title) = line.strip_prefix("= ") {
        let (class, title) = (class.to_owned(), title.to_owned());
        cases.push(Case { class, title, sent: Vec::new(), expected: Vec::new() });
        return;
    }
    let case = cases.last_mut().unwrap_or_else(|| panic!("{class} begins without a case"));
    if let Some(sent) = line.strip_prefix("> ") {
        case.sent.extend(bytes(&repeated(sent)));
        case.sent.push(b'\n');
        return;
    }
    let (states, answers) = line.split_once(": ").unwrap_or_else(|| panic!("{class}: {line}"));
    case.expected.push((states.split(' ').flat_map(group).collect(), read_answers(answers)));
}

fn group(name: &str) -> Vec<&'static str> {
    let states = GROUPS.iter().find(|(group, _)| *group == name).map(|(_, states)| states.to_vec());
    let one = || STATES.into_iter().filter(|state| *state == name).collect();
    let states: Vec<&str> = states.unwrap_or_else(one);
    assert!(!states.is_empty(), "there is no state '{name}'");
    states
}

/// Reads `ACTION STATUS "words"`, several of them with commas between.
fn read_answers(line: &str) -> Vec<Answer> {
    line.split("\", ").map(read_answer).collect()
}

fn read_answer(line: &str) -> Answer {
    let (head, words) = match line.split_once(" \"") {
        Some((head, words)) => (head, Some(words.trim_end_matches('"').to_owned())),
        None => (line, None),
    };
    let (action, status) = head.rsplit_once(' ').unwrap_or(("", head));
    let action = String::from_utf8(bytes(&repeated(action))).unwrap();
    Answer { line: line.to_owned(), action, status: status.to_owned(), words }
}

/// Writes out `@{COUNT*TEXT}@`.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let (count, after) = after.split_once('*').unwrap();
        let (what, after) = after.split_once("}@").unwrap();
        out.push_str(before);
        out.push_str(&what.repeat(count.parse().unwrap()));
        rest = after;
    }
    out + rest
}

/// Turns escapes into the bytes that they stand for.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (escape, after) = rest.split_first().unwrap();
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            _ => panic!("no such escape in '{text}'"),
        }
    }
    out
}

/// Asking something whose answer must be the next thing heard.
trait Probe {
    fn expect_probe(&mut self);
}

impl Probe for Peer {
    fn expect_probe(&mut self) {
        self.send(&whoelse());
        let heard = self.until(|value| value["status"].is_string());
        assert_eq!(heard["action"], "whoelse", "{heard}");
    }
}
