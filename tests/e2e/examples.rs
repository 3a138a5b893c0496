//! The examples of docs/PROTOCOL.md, run against the real server.
//!
//! A fenced block marked `session` is a conversation. `NAME> {…}` is what the client NAME sends; a
//! name that was not there before connects first. `NAME< {…}` is what the server says to it next:
//! `"<any>"` stands for any value, everything else must be exactly so. `#` begins a comment. Each
//! block has a server of its own, with the people of examples/credentials.txt.

use std::collections::BTreeMap;

use serde_json::Value;
use whoelse_tests::program::{Peer, Server, Setup};

use super::{PROGRAM, repository};

/// Fewer would mean that they are not found, rather than that there are so few.
const BLOCKS_MIN: usize = 10;

/// A line of an example, with its number in the file.
struct Line<'t> {
    number: usize,
    text: &'t str,
}

/// What is said to whom, or by whom.
enum Step<'t> {
    Says(&'t str, &'t str),
    Hears(&'t str, &'t str),
}

fn blocks(text: &str) -> Vec<Vec<Line<'_>>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, text)| Line { number: index + 1, text });
    while let Some(fence) = lines.next() {
        if fence.text == "```session" {
            blocks.push(lines.by_ref().take_while(|line| line.text != "```").collect());
        } else if fence.text.starts_with("```") {
            // Another block: what stands in it is not ours, its end is no beginning.
            lines.by_ref().find(|line| line.text == "```");
        }
    }
    blocks
}

fn step<'t>(line: &Line<'t>) -> Option<Step<'t>> {
    if line.text.trim().is_empty() || line.text.starts_with('#') {
        return None;
    }
    let (who, rest) = line.text.split_once(' ').unwrap_or((line.text, ""));
    let says = who.strip_suffix('>').map(|name| Step::Says(name, rest));
    says.or_else(|| who.strip_suffix('<').map(|name| Step::Hears(name, rest)))
        .or_else(|| panic!("docs/PROTOCOL.md:{}: not understood: {}", line.number, line.text))
}

/// Whether a value is as an example has it.
fn fits(value: &Value, example: &Value) -> bool {
    match (value, example) {
        (_, Value::String(any)) if any == "<any>" => true,
        (Value::Object(members), Value::Object(examples)) => {
            members.len() == examples.len()
                && examples.iter().all(|(key, example)| {
                    members.get(key).is_some_and(|value| fits(value, example))
                })
        }
        (Value::Array(items), Value::Array(examples)) => {
            items.len() == examples.len()
                && items.iter().zip(examples).all(|(value, example)| fits(value, example))
        }
        _ => value == example,
    }
}

fn run(block: &[Line<'_>], server: &Server) {
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    for line in block {
        let at = format!("docs/PROTOCOL.md:{}", line.number);
        match step(line) {
            None => {}
            Some(Step::Says(name, text)) => {
                let peer = peers.entry(name).or_insert_with(|| Peer::connect(server));
                peer.send_raw(format!("{text}\n").as_bytes());
            }
            Some(Step::Hears(name, text)) => {
                let example = serde_json::from_str(text);
                let example = example.unwrap_or_else(|error| panic!("{at}: {error}"));
                let peer = peers.get_mut(name).unwrap_or_else(|| panic!("{at}: nobody is {name}"));
                let value = peer.hear_or_end();
                let value = value.unwrap_or_else(|| panic!("{at}: {}", peer.recently()));
                assert!(fits(&value, &example), "{at}:\n  it says {example}\n  is in fact {value}");
            }
        }
    }
}

#[test]
fn the_examples_of_the_specification_are_true() {
    let text = std::fs::read_to_string(repository().join("docs/PROTOCOL.md")).unwrap();
    let people = std::fs::read_to_string(repository().join("examples/credentials.txt")).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= BLOCKS_MIN, "only {} examples were found", blocks.len());
    for block in blocks {
        let server = Setup::new(PROGRAM).credentials(&people).block_seconds(10).start();
        run(&block, &server);
    }
}

/// The names of tests in the section about promises: what is in single backquotes on its list items.
fn tests_named(text: &str) -> Vec<&str> {
    let section = text.split("\n## What is promised\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let names = section.split('`').skip(1).step_by(2);
    names
        .filter(|name| name.matches('_').count() >= 2 && !name.contains(char::is_uppercase))
        .collect()
}

/// All sources of tests, one after another.
fn sources() -> String {
    let mut text = String::new();
    let mut folders: Vec<_> = ["tests", "crates"].map(|name| repository().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn the_tests_that_hold_the_promises_exist() {
    let text = std::fs::read_to_string(repository().join("docs/PROTOCOL.md")).unwrap();
    let names = tests_named(&text);
    assert!(names.len() >= 20, "{names:?}");
    let (sources, transcripts) = (sources(), "crates/whoelse-engine/tests/transcripts");
    for name in names {
        let is_test = sources.contains(&format!("#[test]\nfn {name}()"));
        let transcript = repository().join(transcripts).join(format!("{name}.txt"));
        assert!(is_test || transcript.exists(), "there is no test {name}");
    }
}
