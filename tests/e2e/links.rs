//! Private links between two real clients of one real server, on one machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whoelse_tests::program::{Client, DEADLINE, Peer, Server, Signal, password_of};

use super::{server, setup};

/// A machine of a person, on which what the client keeps stays from start to start.
fn machine(server: &Server, name: &str) -> PathBuf {
    server.folder().join(format!("{name}'s machine"))
}

/// A client that is logged in, on the machine of its person.
fn client(server: &Server, name: &str, flags: &[&str]) -> Client {
    client_on(server, name, flags, &machine(server, name))
}

fn client_on(server: &Server, name: &str, flags: &[&str], machine: &Path) -> Client {
    let port = server.port().to_string();
    let words = [&["localhost", &port], flags].concat();
    let mut client = Client::start_with(server.program(), &words, server.folder(), machine);
    client.say(name);
    client.say(&password_of(name));
    client.hear(&format!("logged in as {name}"));
    client
}

fn leave(mut client: Client) {
    client.end_input();
    assert_eq!(client.wait().code, Some(0));
}

/// Two people who are about to be linked: hans asks, luke is asked.
fn two(server: &Server, flags: &[&str]) -> (Client, Client) {
    let mut hans = client(server, "hans", flags);
    let luke = client(server, "luke", flags);
    hans.hear("luke logged in");
    (hans, luke)
}

/// Makes a link that goes this way.
fn link(hans: &mut Client, luke: &mut Client, way: &str) {
    hans.say("startprivate luke");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    hans.hear(&format!("private link with luke: {way}"));
    luke.hear(&format!("private link with hans: {way}"));
}

/// Two people who are linked directly.
fn linked(server: &Server) -> (Client, Client) {
    let (mut hans, mut luke) = two(server, &[]);
    link(&mut hans, &mut luke, "direct");
    (hans, luke)
}

/// One text each way.
fn talk(hans: &mut Client, luke: &mut Client, word: &str) {
    hans.say(&format!("private luke {word} there"));
    luke.hear(&format!("hans (private): {word} there"));
    hans.hear("private luke: sent");
    luke.say(&format!("private hans {word} back"));
    hans.hear(&format!("luke (private): {word} back"));
    luke.hear("private hans: sent");
}

/// The number that somebody is shown for another.
fn safety(client: &mut Client, other: &str) -> Vec<String> {
    client.say(&format!("safety {other}"));
    client.hear(&format!("compare this with {other}"));
    client.hear("if it is the same");
    let is_number = |line: &&String| {
        line.split_whitespace().all(|it| it.parse::<u32>().is_ok()) && line.len() > 20
    };
    let lines = client.output();
    let lines: Vec<String> = lines.iter().rev().filter(is_number).take(3).cloned().collect();
    assert_eq!(lines.len(), 3);
    lines
}

#[test]
fn two_people_talk_past_the_server() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    talk(&mut hans, &mut luke, "psst");
    hans.say("links");
    hans.hear("luke: direct, not compared");
    luke.say("stopprivate hans");
    luke.hear("private link with hans ended");
    hans.hear("private link with luke ended: luke closed it");
    hans.say("private luke too late");
    hans.hear("private luke: not sent; there is no private link with luke");
}

#[test]
fn a_text_is_sent_when_the_other_screen_has_shown_it_and_not_before() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    luke.signal(Signal::STOP);
    hans.say("private luke are you there?");
    hans.say("links");
    hans.hear("1 text not confirmed");
    luke.signal(Signal::CONT);
    hans.hear("private luke: sent");
    luke.hear("hans (private): are you there?");
}

#[test]
fn both_see_the_same_number_and_what_was_compared_stays_so() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    let number = safety(&mut hans, "luke");
    assert_eq!(number, safety(&mut luke, "hans"));
    hans.say("safety luke confirm");
    hans.hear("safety luke: ");
    hans.say("links");
    hans.hear("luke: direct, compared");
    hans.say("stopprivate luke");
    luke.hear("private link with hans ended: hans closed it");
    leave(hans);
    let mut hans = client(&server, "hans", &[]);
    link(&mut hans, &mut luke, "direct");
    hans.say("links");
    hans.hear("luke: direct, compared");
    luke.say("links");
    luke.hear("hans: direct, not compared");
}

#[test]
fn another_key_stops_the_link_until_it_is_accepted() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    safety(&mut hans, "luke");
    hans.say("safety luke confirm");
    hans.hear("safety luke: ");
    luke.say("logout");
    assert_eq!(luke.wait().code, Some(0));
    hans.hear("luke logged out");
    let elsewhere = machine(&server, "luke's other");
    let mut luke = client_on(&server, "luke", &["--private", "always"], &elsewhere);
    hans.hear("luke logged in");
    hans.say("startprivate luke");
    hans.hear("STOP: the key of luke is not the one known here");
    hans.hear("nothing was sent");
    hans.say("private luke hello?");
    hans.hear("private luke: not sent; there is no private link with luke");
    luke.hear("private talk with hans: nothing came of it");
    // The same if luke asks.
    luke.say("startprivate hans");
    hans.hear("STOP: luke asks for a private talk with a key that is not the one known here");
    luke.hear("hans knows another key of yours");
    hans.say("safety luke");
    hans.hear("to take that key, which was refused");
    hans.say("safety luke accept");
    hans.hear("the new key is taken, as not compared");
    luke.say("startprivate hans");
    hans.hear("luke asks for a private talk (not compared)");
    hans.say("accept luke");
    hans.hear("private link with luke: direct, not compared");
    luke.hear("private link with hans: direct");
    talk(&mut hans, &mut luke, "again");
}

#[test]
fn who_is_asked_may_decline_and_who_asks_may_take_it_back() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = two(&server, &[]);
    hans.say("startprivate luke");
    luke.hear("hans asks for a private talk");
    hans.say("private luke for later");
    hans.hear("private luke: kept until it can be heard there");
    luke.say("decline hans");
    luke.hear("decline hans: declined");
    hans.hear("private talk with luke: luke declined");
    hans.hear("private luke: not sent: for later");
    hans.say("startprivate luke");
    luke.hear("hans asks for a private talk");
    hans.say("stopprivate luke");
    hans.hear("private talk with luke: taken back");
    luke.hear("hans does not ask for a private talk any more");
    luke.say("accept hans");
    luke.hear("accept hans: not done; hans has not asked for anything");
}

#[test]
fn what_is_said_while_a_link_is_made_waits_for_it() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = two(&server, &[]);
    hans.say("startprivate luke");
    hans.say("private luke first");
    hans.say("private luke second");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    luke.hear("hans (private): first");
    luke.hear("hans (private): second");
    hans.hear("private luke: sent");
    hans.hear("private luke: sent");
}

#[test]
fn two_who_ask_each_other_at_once_make_one_link() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = two(&server, &[]);
    // More than two questions in 10 s are too many.
    for round in 0..2 {
        hans.say("startprivate luke");
        luke.say("startprivate hans");
        hans.hear("private link with luke: direct");
        luke.hear("private link with hans: direct");
        talk(&mut hans, &mut luke, &format!("round {round}"));
        hans.say("links");
        hans.hear("links: 1");
        hans.say("stopprivate luke");
        hans.hear("private link with luke ended");
        luke.hear("private link with hans ended");
    }
}

#[test]
fn what_the_server_refuses_is_said_in_words() {
    let server = server(&["hans", "luke", "yoda", "vader"]);
    let (mut hans, mut luke) = two(&server, &[]);
    let mut vader = client(&server, "vader", &[]);
    luke.say("block vader");
    luke.hear("block vader: ");
    for (line, answer) in [
        ("startprivate luke", "startprivate luke: not done; luke has blocked you"),
        ("startprivate vader", "startprivate vader: not done; that is yourself"),
        ("startprivate yoda", "startprivate yoda: not done; yoda is offline"),
        ("startprivate lucke", "startprivate lucke: not done; there is nobody called lucke"),
        ("stopprivate luke", "stopprivate luke: not done; there is no private link with luke"),
        ("private luke hello", "private luke: not sent; there is no private link with luke"),
        ("sendfile luke /", "sendfile luke file: not sent; that is no file"),
    ] {
        vader.say(line);
        vader.hear(answer);
    }
    luke.say("startprivate vader");
    luke.hear("startprivate vader: not done; you block vader; first: unblock vader");
    // A link that was begun before a block may go on.
    link(&mut hans, &mut luke, "direct");
    luke.say("block hans");
    luke.hear("block hans: ");
    talk(&mut hans, &mut luke, "all the same");
}

#[test]
fn leaving_ends_all_links_and_is_told_as_such() {
    let server = server(&["hans", "luke"]);
    let (mut hans, luke) = linked(&server);
    leave(luke);
    hans.hear("private link with luke ended: luke closed it");
}

#[test]
fn a_client_that_dies_is_missed_within_seconds() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    luke.kill9();
    hans.say("private luke are you there?");
    let began = Instant::now();
    hans.hear("private link with luke: interrupted; nothing is heard from there");
    hans.hear("private link with luke ended: nothing was heard from there any more");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    hans.hear("private luke: not confirmed, it may or may not have been read: are you there?");
}

#[test]
fn who_is_never_asked_declines_or_accepts_at_once() {
    let server = server(&["hans", "luke", "yoda"]);
    let (mut hans, mut luke) = two(&server, &["--private", "always"]);
    let mut yoda = client(&server, "yoda", &["--private", "never"]);
    hans.say("startprivate luke");
    hans.hear("private link with luke: direct");
    luke.hear("private link with hans: direct");
    hans.say("startprivate yoda");
    hans.hear("startprivate yoda: not done; the client of yoda makes no private links");
    yoda.say("startprivate luke");
    yoda.hear("startprivate luke: not done; this client takes no private links (--private never)");
}

#[cfg(feature = "relay")]
#[test]
fn a_hidden_address_makes_the_link_a_relayed_one() {
    let server = server(&["hans", "luke"]);
    let mut hans = client(&server, "hans", &["--hide-address"]);
    let mut luke = client(&server, "luke", &[]);
    hans.hear("luke logged in");
    link(&mut hans, &mut luke, "relayed");
    talk(&mut hans, &mut luke, "psst");
    luke.say("links");
    luke.hear("hans: relayed, ");
}

#[test]
fn a_hidden_address_leads_nowhere_without_a_relay() {
    let server = setup(&["hans", "luke", "yoda"]).flags(&["--no-relay"]).start();
    let mut hans = client(&server, "hans", &["--hide-address"]);
    let mut luke = client(&server, "luke", &[]);
    hans.hear("luke logged in");
    hans.say("startprivate luke");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    hans.hear("private talk with luke: nothing came of it; there is no way: the server relays");
    luke.hear("private talk with hans: nothing came of it; hans has broken it off");
    // Who hides nothing needs no relay.
    let mut yoda = client(&server, "yoda", &[]);
    yoda.say("startprivate luke");
    luke.hear("yoda asks");
    luke.say("accept yoda");
    yoda.hear("private link with luke: direct");
}

#[test]
fn a_direct_link_outlives_the_server() {
    let mut server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    server.kill9();
    hans.hear("connection lost");
    luke.hear("connection lost");
    talk(&mut hans, &mut luke, "without a server");
    hans.say("startprivate luke");
    hans.hear("startprivate luke: not done; there is no connection to the server now");
    server.restart();
    hans.hear("back after");
    luke.hear("back after");
    talk(&mut hans, &mut luke, "with a server");
}

#[cfg(feature = "relay")]
#[test]
fn a_relayed_link_waits_for_the_server_and_goes_on() {
    let mut server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = two(&server, &["--hide-address"]);
    link(&mut hans, &mut luke, "relayed");
    talk(&mut hans, &mut luke, "before");
    server.kill9();
    hans.hear("private link with luke: interrupted; it goes on when the server");
    luke.hear("private link with hans: interrupted; it goes on when the server");
    hans.say("private luke meanwhile");
    server.restart();
    luke.hear("private link with hans: back, relayed");
    luke.hear("hans (private): meanwhile");
    hans.hear("private luke: sent");
    talk(&mut hans, &mut luke, "after");
    let shown = luke.output().iter().filter(|line| line.contains("meanwhile")).count();
    assert_eq!(shown, 1);
}

#[test]
fn who_joined_by_an_invite_starts_as_compared() {
    let server = server(&["hans"]);
    let mut hans = client(&server, "hans", &[]);
    hans.say("invite");
    let line = hans.hear("whoelse client whoelse://");
    let link = line.trim().strip_prefix("whoelse client ").unwrap();
    let home = server.folder();
    let luke = machine(&server, "luke");
    let mut luke = Client::start_with(server.program(), &[link], home, &luke);
    luke.say("luke");
    luke.say(&password_of("luke"));
    luke.hear("logged in as luke");
    hans.hear("luke logged in");
    luke.say("startprivate hans");
    hans.hear("luke asks for a private talk");
    hans.say("accept luke");
    luke.hear("private link with hans: direct, compared");
    hans.hear("luke used your invite: that proves the key");
    hans.hear("private link with luke: direct, compared");
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

/// A file of so many bytes, of which none is like the next.
fn file(server: &Server, name: &str, bytes: usize) -> (String, Vec<u8>) {
    let mut content = Vec::with_capacity(bytes + 8);
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    while content.len() < bytes {
        word = word.wrapping_mul(0xd129_0d3a_6fb1_4a2b).wrapping_add(1);
        content.extend_from_slice(&(word ^ word >> 29).to_le_bytes());
    }
    content.truncate(bytes);
    let path = server.folder().join(name);
    fs::write(&path, &content).unwrap();
    (path.to_str().unwrap().to_owned(), content)
}

/// Where a line says that a file has been received.
fn received(luke: &mut Client, name: &str) -> PathBuf {
    let line = luke.hear(&format!("* received {name} from hans: "));
    PathBuf::from(line.split_once("hans: ").unwrap().1)
}

/// Two people who are linked, of whom luke keeps files in a folder of his own.
fn with_downloads(server: &Server) -> (Client, Client) {
    let mut hans = client(server, "hans", &[]);
    let mut luke = client(server, "luke", &["--downloads", "luke's files"]);
    hans.hear("luke logged in");
    link(&mut hans, &mut luke, "direct");
    (hans, luke)
}

#[test]
fn a_file_is_offered_accepted_and_lands_as_a_new_one_of_its_owner_only() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = with_downloads(&server);
    for (name, bytes) in [("report (draft).pdf", 3_000_000), ("report (draft) (2).pdf", 3_000_001)]
    {
        let (path, content) = file(&server, "report (draft).pdf", bytes);
        hans.say(&format!("sendfile luke {path}"));
        luke.hear(
            "hans offers you a file: report (draft).pdf, 3.0 MB: accept hans, or decline hans",
        );
        hans.hear("sendfile luke report (draft).pdf: offered, 3.0 MB; waiting for luke to accept");
        luke.say("accept hans");
        let landed = received(&mut luke, "report (draft).pdf");
        assert_eq!(landed, server.folder().join("luke's files").join(name));
        assert_eq!(fs::read(&landed).unwrap(), content);
        assert_eq!(fs::metadata(&landed).unwrap().permissions().mode() & 0o077, 0);
        hans.hear("sendfile luke report (draft).pdf: sent; luke has all of it");
    }
    for client in [&mut hans, &mut luke] {
        client.say("files");
        client.hear("files: none under way");
    }
}

#[test]
fn a_file_needs_no_link_to_be_sent_and_can_be_declined_or_cancelled() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = two(&server, &[]);
    let (path, _) = file(&server, "a.txt", 1000);
    hans.say(&format!("sendfile luke '{path}'"));
    hans.hear("sendfile luke a.txt: offered as soon as there is a link with luke");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    luke.hear("hans offers you a file: a.txt, 1.0 kB");
    luke.say("decline hans");
    hans.hear("sendfile luke a.txt: not sent; luke does not want it");
    hans.say(&format!("sendfile luke {path}"));
    luke.hear("hans offers you a file");
    hans.say("files");
    hans.hear("a.txt to luke: 1.0 kB, not answered yet");
    hans.say("cancel luke");
    hans.hear("sendfile luke a.txt: not sent; cancelled");
    luke.hear("a.txt from hans: not received; hans cancelled it");
    hans.say("sendfile luke /there/is/none");
    hans.hear("sendfile luke none: not sent; there is no such file");
    hans.say("cancel luke");
    hans.hear("cancel luke: not done; there is no such file under way");
}

#[test]
fn several_files_go_at_once_and_come_whole() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = with_downloads(&server);
    let files = [1, 2, 3].map(|number| {
        let name = format!("{number}.bin");
        (file(&server, &name, number * 1_000_000 + 7), name)
    });
    for ((path, _), _) in &files {
        hans.say(&format!("sendfile luke {path}"));
    }
    for _ in &files {
        luke.hear("hans offers you a file");
        luke.say("accept hans");
    }
    for ((_, content), name) in &files {
        let told = luke_received(&luke, name);
        assert!(fs::read(told).unwrap() == *content, "{name}");
    }
}

/// Where it was received, in whatever order.
fn luke_received(luke: &Client, name: &str) -> PathBuf {
    let line = luke.wait_for(&format!("* received {name} from hans: "));
    PathBuf::from(line.split_once("hans: ").unwrap().1)
}

/// Either side is killed in the middle of a file, which the relay lets through slowly enough for that.
#[cfg(feature = "relay")]
fn resumes_after_a_kill_of(the_sender: bool) {
    const HANS: [&str; 1] = ["--hide-address"];
    const LUKE: [&str; 2] = ["--downloads", "luke's files"];
    let server = setup(&["hans", "luke"]).flags(&["--relay-rate", "2M"]).start();
    let mut hans = client(&server, "hans", &HANS);
    let mut luke = client(&server, "luke", &LUKE);
    hans.hear("luke logged in");
    link(&mut hans, &mut luke, "relayed");
    let (path, content) = file(&server, "long.bin", 10_000_000);
    hans.say(&format!("sendfile luke {path}"));
    luke.hear("hans offers you a file: long.bin, 10 MB");
    luke.say("accept hans");
    // Some of it has come.
    let so_far = loop {
        hans.say("files");
        let line = hans.hear("long.bin to luke: ");
        let percent = line.split_once(" % of").and_then(|(line, _)| line.rsplit_once(' '));
        match percent.map(|(_, percent)| percent.parse::<u64>().unwrap()) {
            Some(percent @ 10..) => break percent,
            _ => continue,
        }
    };
    assert!(so_far < 90, "too fast to be killed in the middle: {so_far} %");
    let killed = if the_sender { "hans" } else { "luke" };
    if the_sender {
        hans.kill9();
        luke.hear("long.bin from hans: interrupted");
        hans = client(&server, "hans", &HANS);
        hans.hear("unfinished: long.bin to luke, 10 MB");
    } else {
        luke.kill9();
        hans.hear("long.bin to luke: interrupted");
        luke = client(&server, "luke", &LUKE);
        luke.hear("unfinished: long.bin from hans, 10 MB");
    }
    link(&mut hans, &mut luke, "relayed");
    let landed = received(&mut luke, "long.bin");
    assert!(fs::read(&landed).unwrap() == content, "after {killed}");
    hans.hear("sendfile luke long.bin: sent");
}

#[cfg(feature = "relay")]
#[test]
fn a_file_goes_on_after_the_sender_was_killed() {
    resumes_after_a_kill_of(true);
}

#[cfg(feature = "relay")]
#[test]
fn a_file_goes_on_after_the_receiver_was_killed() {
    resumes_after_a_kill_of(false);
}
