//! Private links between two real clients of one real server, on one machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};
use whoelse_tests::program::{Client, DEADLINE, Peer, Server, password_of};

use super::server;

/// A machine of a person, on which what the client keeps stays from start to start.
fn machine(server: &Server, name: &str) -> PathBuf {
    server.folder().join(format!("{name}'s machine"))
}

/// A client that is logged in.
fn client(server: &Server, name: &str, flags: &[&str]) -> Client {
    let port = server.port().to_string();
    let words = [&["localhost", &port], flags].concat();
    let home = server.folder();
    let mut client = Client::start_with(server.program(), &words, home, &machine(server, name));
    client.say(name);
    client.say(&password_of(name));
    client.hear(&format!("logged in as {name}"));
    client
}

/// Two people who are about to be linked: hans asks, luke is asked.
fn two(server: &Server) -> (Client, Client) {
    let mut hans = client(server, "hans", &[]);
    let luke = client(server, "luke", &[]);
    hans.hear("luke logged in");
    (hans, luke)
}

/// The same, linked.
fn linked(server: &Server) -> (Client, Client) {
    let (mut hans, mut luke) = two(server);
    hans.say("startprivate luke");
    hans.hear("startprivate luke: asked");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    hans.hear("private link with luke: direct");
    luke.hear("private link with hans: direct");
    (hans, luke)
}

#[test]
fn two_people_talk_past_the_server() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    hans.say("private luke psst");
    luke.hear("hans (private): psst");
    hans.hear("private luke: sent");
    luke.say("private hans what?");
    hans.hear("luke (private): what?");
    luke.hear("private hans: sent");
    luke.say("stopprivate hans");
    luke.hear("private link with hans ended");
    hans.hear("private link with luke ended: luke closed it");
    hans.say("private luke too late");
    hans.hear("private luke: not sent; there is no private link with luke");
}

/// An original client, with the port on which it waits for private links.
fn original(server: &Server, name: &str) -> (Peer, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (Peer::original_at(server, name, port), listener)
}

/// What an original client takes for one object.
fn read_object(stream: &mut TcpStream) -> Value {
    let mut bytes = [0; 1024];
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let read = stream.read(&mut bytes).unwrap();
    serde_json::from_slice(&bytes[..read]).unwrap_or(Value::Null)
}

#[test]
fn an_original_client_is_reached_by_who_says_so_and_every_line_is_marked() {
    let server = server(&["hans", "luke"]);
    let (_luke, listener) = original(&server, "luke");
    let mut hans = client(&server, "hans", &[]);
    hans.say("startprivate luke");
    hans.hear("startprivate luke: not done; that client takes only links that nobody encrypts");
    hans.say("startprivate luke --unencrypted");
    let (mut line, _) = listener.accept().unwrap();
    hans.hear("unencrypted private link with luke at 127.0.0.1: anybody on the way can read");
    hans.say("private luke psst");
    assert_eq!(read_object(&mut line), json!({"from": "hans", "message": "psst"}));
    hans.hear("private luke: sent unencrypted; nobody confirms");
    line.write_all(br#"{"from": "luke", "message": "what?"}"#).unwrap();
    hans.hear("luke (private, unencrypted, not proven): what?");
    hans.say("links");
    hans.hear("luke: direct, unencrypted, not proven");
    drop(line);
    hans.hear("unencrypted private link with luke ended: it was closed there");
}

#[test]
fn an_original_client_reaches_whoever_allows_that_and_nobody_else() {
    let server = server(&["hans", "luke"]);
    let (mut luke, _listener) = original(&server, "luke");
    let ask = json!({"action": "startprivate", "user": "hans"});
    let mut hans = client(&server, "hans", &[]);
    luke.expect("login_broadcast");
    assert_eq!(luke.ask(&ask)["status"], "USER_OFFLINE");
    hans.end_input();
    assert_eq!(hans.wait().code, Some(0));
    luke.expect("logout_broadcast");
    let mut hans = client(&server, "hans", &["--allow-unencrypted"]);
    luke.expect("login_broadcast");
    let answer = luke.ask(&ask);
    assert_eq!((&answer["status"], &answer["address"]), (&json!("SUCCESS"), &json!("127.0.0.1")));
    let port = u16::try_from(answer["port"].as_u64().unwrap()).unwrap();
    let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    line.write_all(br#"{"from": "luke", "message": "hello"}"#).unwrap();
    hans.hear("unencrypted private link with luke, as whoever is at 127.0.0.1 says: anybody");
    hans.hear("luke (private, unencrypted, not proven): hello");
    hans.say("private luke hi");
    assert_eq!(read_object(&mut line), json!({"from": "hans", "message": "hi"}));
    hans.say("stopprivate luke");
    hans.hear("unencrypted private link with luke ended");
    assert_eq!(line.read(&mut [0; 8]).unwrap(), 0);
}
