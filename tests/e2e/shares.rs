//! Shared files and who can give them, with the real server.

use std::fs;

use serde_json::{Value, json};
use whoelse_proto::share::share_text;
use whoelse_proto::{FileHash, Name, Scope, SharedName};
use whoelse_tests::program::{Device, Peer, Server};

use super::{block, server};

const HASH: FileHash = FileHash([4; 32]);

fn begin(server: &Server, name: &str, secret: u8) -> Peer {
    let mut members = Device::new("laptop", [secret; 32]).members("first");
    members["links"] = json!(1);
    let mut peer = Peer::connect(server);
    peer.begin(name, members);
    peer
}

/// An offer of a file of 500 bytes, signed for this server as a client would.
fn share(peer: &Peer, owner: &str, secret: u8, with: &[&str]) -> Value {
    let names = with.iter().map(|name| Name::new(name).unwrap()).collect();
    let scope = if with.is_empty() { Scope::Everyone } else { Scope::People(names) };
    let (name, owner) = (SharedName::new("film.mkv").unwrap(), Name::new(owner).unwrap());
    let server = peer.welcome()["server"].as_str().unwrap();
    let text = share_text(server, &owner, &HASH, 500, &name, &scope);
    let signature = Device::new("laptop", [secret; 32]).sign_text(&text);
    let mut request = json!({
        "action": "share",
        "hash": HASH.to_string(),
        "size": 500,
        "name": "film.mkv",
        "signature": signature.to_string(),
    });
    if !with.is_empty() {
        request["with"] = json!(with);
    }
    request
}

/// Names of files, and how many can give each.
fn found(peer: &mut Peer, action: &str) -> Vec<(String, u64)> {
    peer.send(&json!({ "action": action }));
    // Others come and go meanwhile.
    let answer = peer.until(|it| it["action"] == action);
    assert_eq!(answer["status"], "SUCCESS");
    let files = answer["files"].as_array().unwrap().iter();
    files
        .map(|it| (it["name"].as_str().unwrap().to_owned(), it["sources"].as_u64().unwrap()))
        .collect()
}

fn film(sources: u64) -> Vec<(String, u64)> {
    vec![("film.mkv".to_owned(), sources)]
}

fn have() -> Value {
    json!({"action": "have", "hash": HASH.to_string(), "parts": "gA"})
}

#[test]
fn the_signature_of_the_specification_is_right() {
    let text = fs::read_to_string(super::repository().join("docs/PROTOCOL.md")).unwrap();
    let name = |text| Name::new(text).unwrap();
    for with in [Scope::People([name("luke"), name("yoda")].into()), Scope::Everyone] {
        let file = SharedName::new("film.mkv").unwrap();
        let server = "0123456789abcdef0123456789abcdef";
        let signed = share_text(server, &name("hans"), &HASH, 500, &file, &with);
        let signature = Device::new("laptop", [7; 32]).sign_text(&signed);
        assert!(text.contains(&format!("signature   {signature}\n")), "{with:?}: {signature}");
    }
}

#[test]
fn what_is_shared_survives_kill_9_and_who_can_give_it_does_not() {
    let mut server = server(&["hans", "luke", "yoda"]);
    let mut hans = begin(&server, "hans", 7);
    let request = share(&hans, "hans", 7, &["luke"]);
    assert_eq!(hans.status(&request), "SUCCESS");
    let mut luke = begin(&server, "luke", 8);
    assert_eq!(found(&mut luke, "search_files"), film(1));
    server.crash();
    let mut luke = begin(&server, "luke", 8);
    assert_eq!(found(&mut luke, "search_files"), film(0));
    let mut yoda = begin(&server, "yoda", 9);
    assert_eq!(found(&mut yoda, "search_files"), []);
    let mut hans = begin(&server, "hans", 7);
    assert_eq!(hans.status(&have()), "SUCCESS");
    assert_eq!(found(&mut luke, "search_files"), film(1));
    // What is signed is what was signed.
    let file = &luke.ask(&json!({"action": "search_files", "words": "FILM"}))["files"][0];
    assert_eq!((&file["signature"], &file["from"]), (&request["signature"], &json!("hans")));
    // Now it is in the database.
    server.terminate();
    server.restart();
    let mut luke = begin(&server, "luke", 8);
    assert_eq!(found(&mut luke, "search_files"), film(0));
    assert_eq!(luke.status(&block("hans")), "SUCCESS");
    assert_eq!(found(&mut luke, "search_files"), []);
    server.terminate();
    let checked = server.run(&["check", "--data", "data"], "");
    assert!(checked.out.join("\n").contains("1 shared file"), "{checked:?}");
}

/// Signatures name the server, so a restored one shows none that would be refused.
#[test]
fn a_restored_server_is_told_again_what_is_shared() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = begin(&server, "hans", 7);
    let request = share(&hans, "hans", 7, &[]);
    assert_eq!(hans.status(&request), "SUCCESS");
    let made = server.run(&["backup", "monday.backup", "--data", "data"], "");
    assert_eq!(made.code, Some(0), "{made:?}");
    server.kill9();
    fs::rename(server.data(), server.folder().join("old")).unwrap();
    let restored = server.run(&["restore", "monday.backup", "--data", "data"], "");
    assert_eq!(restored.code, Some(0), "{restored:?}");
    server.restart();
    let mut luke = begin(&server, "luke", 8);
    assert_eq!(found(&mut luke, "search_files"), []);
    let mut hans = begin(&server, "hans", 7);
    assert_eq!(hans.status(&have()), "FILE_NOT_EXIST");
    let again = share(&hans, "hans", 7, &[]);
    assert_ne!(again["signature"], request["signature"]);
    assert_eq!(hans.status(&again), "SUCCESS");
    assert_eq!(found(&mut luke, "search_files"), film(1));
}
