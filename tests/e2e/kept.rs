//! What the client keeps on its machine: nothing that was typed or received is lost when it is
//! killed, and nothing is sent or shown twice because of that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use whoelse_tests::program::{Client, DEADLINE, Ended, Peer, Server, password_of};

use super::relay::{Crossing, Relay};
use super::{ack, message, server};

/// A client of hans on a machine that stays the same from start to start.
fn start(server: &Server, port: &str, flags: &[&str]) -> Client {
    let words = [&["localhost", port], flags].concat();
    let state = server.folder().join("hans's machine");
    let mut client = Client::start_with(server.program(), &words, server.folder(), &state);
    client.say("hans");
    client.say(&password_of("hans"));
    client
}

/// The same, logged in through somebody who loses things.
fn start_over(server: &Server, crossing: &Crossing) -> (Client, Relay) {
    let mut client = start(server, &crossing.port(), &[]);
    let mut relay = crossing.accept(server);
    relay.login();
    client.hear("logged in as hans");
    (client, relay)
}

/// The logs on that machine.
fn logs(server: &Server) -> Vec<PathBuf> {
    fn find(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, found);
            } else if path.ends_with("messages.jsonl") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    find(&server.folder().join("hans's machine"), &mut found);
    found
}

fn log(server: &Server) -> Vec<Value> {
    let text = fs::read_to_string(&logs(server)[0]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(server: &Server) -> Vec<String> {
    log(server).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
}

/// Writes to hans, whatever else happens meanwhile.
fn write(peer: &mut Peer, text: &str) {
    peer.send(&message("hans", text));
    let answer = peer.until(|value| value["action"] == "message");
    assert_eq!(answer["status"], "SUCCESS");
}

/// What a client does with these lines, after name and password.
fn script(server: &Server, flags: &[&str], lines: &[&str]) -> Ended {
    let mut client = start(server, &server.port().to_string(), flags);
    lines.iter().for_each(|line| client.say(line));
    client.end_input();
    client.wait()
}

#[test]
fn a_message_typed_before_a_kill_is_sent_by_the_next_start_exactly_once() {
    for reaches_the_server in [false, true] {
        let server = server(&["hans", "luke"]);
        let crossing = Crossing::new();
        let (mut hans, mut relay) = start_over(&server, &crossing);
        hans.say("message luke dinner?");
        let first = if reaches_the_server {
            let request = relay.request();
            assert_eq!(relay.lose_answer()["status"], "SUCCESS");
            request
        } else {
            relay.lose_request()
        };
        hans.kill9();
        drop(relay);
        assert_eq!(kinds(&server), ["out"]);

        let (mut hans, mut relay) = start_over(&server, &crossing);
        assert_eq!(relay.request(), first, "the same, under the same id");
        assert_eq!(relay.answer()["status"], "SUCCESS");
        hans.hear("* 1 message of last time was not confirmed; sent again now");
        hans.hear("* message luke: sent");
        hans.end_input();
        while relay.request()["action"] != "logout" {}
        while relay.answer()["action"] != "logout" {}
        assert_eq!(hans.wait().code, Some(0));
        assert_eq!(kinds(&server), ["out", "sent"]);

        let mut luke = Peer::protocol(&server, "luke");
        luke.expect_message("hans", "dinner?");
        luke.expect_quiet();
        let (mut hans, mut relay) = start_over(&server, &crossing);
        hans.say("whoelse");
        let mut request = relay.request();
        while request["action"] == "receipts" {
            request = relay.request();
        }
        assert_eq!(request["action"], "whoelse", "nothing is left to send");
    }
}

#[test]
fn mail_shown_before_a_kill_is_not_shown_again_though_its_acknowledgement_was_lost() {
    let server = server(&["hans", "luke"]);
    let crossing = Crossing::new();
    let (mut hans, mut relay) = start_over(&server, &crossing);
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "dinner?");
    while relay.answer()["action"] != "receive_message" {}
    hans.hear("luke: dinner?");
    assert_eq!(relay.lose_request()["action"], "ack");
    hans.kill9();
    drop(relay);
    assert_eq!(kinds(&server), ["in", "shown"]);

    let (mut hans, mut relay) = start_over(&server, &crossing);
    write(&mut luke, "or lunch?");
    while relay.answer()["message"] != "or lunch?" {}
    hans.hear("luke: or lunch?");
    let shown = hans.output().concat();
    assert!(!shown.contains("dinner"), "{shown}");
    let mut ack = relay.request();
    while ack["number"] != 2 {
        ack = relay.request();
        assert_eq!(ack["action"], "ack");
    }
}

#[test]
fn mail_kept_but_not_shown_before_a_kill_is_shown_by_the_next_start_and_not_kept_twice() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "dinner?");
    let ended = script(&server, &[], &[]);
    assert!(ended.out.contains(&"luke: dinner?".to_owned()), "{ended:?}");
    write(&mut luke, "or lunch?");
    let ended = script(&server, &[], &["history luke"]);
    assert_eq!(ended.out.iter().filter(|line| line.ends_with("luke: dinner?")).count(), 1);
    // The third is on the server, and in the log as a kill right after it was kept would have left
    // it; with a torn line behind.
    write(&mut luke, "supper?");
    let path = &logs(&server)[0];
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("shown")).collect();
    let first = lines[0].replace("\"number\":1", "\"number\":3").replace("dinner", "supper");
    fs::write(path, format!("{text}{first}\n{{\"kind\":\"in\",\"serv")).unwrap();
    let ended = script(&server, &[], &[]);
    let shown = ended.out.iter().filter(|line| line.ends_with("supper?")).count();
    assert_eq!((ended.code, shown), (Some(0), 1), "{ended:?}");
    let ended = script(&server, &[], &[]);
    assert!(!ended.out.concat().contains("supper"), "{ended:?}");
    assert_eq!(kinds(&server).iter().filter(|kind| *kind == "in").count(), 3);
}

#[test]
fn history_and_search_show_what_was_said_and_are_harmless_to_a_terminal() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "\u{1b}[2J\u{9b}31m Dinner?\r\n* luke logged out");
    let ended = script(
        &server,
        &[],
        &[
            "message luke gladly",
            "message yoda dinner at lukes",
            "message nobody hm",
            "history luke",
        ],
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = script(
        &server,
        &[],
        &[
            "history luke",
            "history luke 1",
            "search DINNER",
            "history nobody",
            "outbox",
            "history leia",
        ],
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let out = ended.out.join("\n");
    assert!(!out.chars().any(|it| it.is_control() && it != '\n'), "{out:?}");
    let out = without_times(&ended.out);
    let dinner = ["luke: \\u{1b}[2J\\u{9b}31m Dinner?", "    | * luke logged out"];
    let wanted = [
        &["* logged in as hans", "* history luke: 2 messages"][..],
        &dinner,
        &["-> luke (sent): gladly", "* history luke: the last message", "-> luke (sent): gladly"],
        &["* search: 2 messages"],
        &dinner,
        &["-> yoda (sent): dinner at lukes", "* history nobody: 1 message"],
        &["-> nobody (not sent: nobody has that name): hm"],
        &["* outbox: everything you wrote is confirmed"],
        &["* history leia: nothing was said yet, on this machine", "* logged out"],
    ]
    .concat();
    let out: Vec<_> = out.iter().filter(|line| !line.contains("not encrypted")).collect();
    assert_eq!(out, wanted.iter().collect::<Vec<_>>());
    let raw = fs::read_to_string(&logs(&server)[0]).unwrap();
    assert!(!raw.chars().any(|it| it.is_control() && it != '\n'), "{raw:?}");
}

/// Lines without the time before them.
fn without_times(lines: &[String]) -> Vec<String> {
    let plain = |line: &String| match line.strip_prefix('[').and_then(|it| it.split_once("] ")) {
        Some((_, rest)) => rest.to_owned(),
        None => line.clone(),
    };
    lines.iter().map(plain).collect()
}

#[test]
fn what_is_kept_is_its_owners_only_and_nothing_is_without_store() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "one");
    let ended = script(&server, &["--no-store"], &["message luke hi", "history luke"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let refused = "* history luke: not done; nothing is kept here (--no-store)".to_owned();
    assert!(ended.out.contains(&refused) && ended.out.contains(&"luke: one".into()), "{ended:?}");
    assert!(logs(&server).is_empty());
    write(&mut luke, "two");
    let ended = script(&server, &[], &[]);
    assert!(ended.out.contains(&"luke: two".to_owned()), "{ended:?}");
    let logs = logs(&server);
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let folder = logs[0].parent().unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_full_disk_is_told_and_does_not_stop_the_conversation() {
    let server = server(&["hans", "luke"]);
    assert_eq!(script(&server, &[], &[]).code, Some(0));
    let path = &logs(&server)[0];
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("/dev/full", path).unwrap();
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "one");
    let mut hans = start(&server, &server.port().to_string(), &[]);
    hans.hear("luke: one");
    hans.hear("what is said cannot be kept on this machine");
    hans.say("message luke two");
    hans.hear("* message luke: sent");
    let is_two = |value: &Value| value["action"] == "receive_message" && value["message"] == "two";
    luke.until(is_two);
    write(&mut luke, "three");
    hans.hear("luke: three");
    hans.end_input();
    let ended = hans.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.out.iter().filter(|line| line.contains("cannot be kept")).count();
    assert_eq!(told, 1, "{ended:?}");
    let ended = script(&server, &["--no-store"], &[]);
    assert!(!ended.out.concat().contains("luke: "), "it was acknowledged: {ended:?}");
}

#[test]
fn what_has_reached_its_reader_is_delivered_in_the_history_also_if_nobody_was_there_to_hear() {
    let server = server(&["hans", "luke"]);
    let port = server.port().to_string();
    let mut hans = start(&server, &port, &[]);
    hans.hear("logged in as hans");
    for text in ["one", "two"] {
        hans.say(&format!("message luke {text}"));
        hans.hear("* message luke: sent");
    }
    hans.say("history luke");
    hans.hear("-> luke (sent): two");
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "one");
    luke.expect_message("hans", "two");
    luke.send(&ack(1));
    let begun = Instant::now();
    let first_of_history = |hans: &mut Client| {
        hans.say("history luke");
        hans.hear("* history luke: 2 messages");
        hans.hear("-> luke (")
    };
    while !first_of_history(&mut hans).ends_with("-> luke (delivered): one") {
        assert!(begun.elapsed() < DEADLINE, "{:?}", hans.output());
    }
    hans.hear("-> luke (sent): two");
    hans.end_input();
    let ended = hans.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        !ended.out.concat().contains("has got"),
        "a script is told nothing by itself: {ended:?}"
    );

    luke.send(&ack(2));
    luke.send(&message("luke", "behind the acknowledgement"));
    luke.until(|value| value["action"] == "message");
    let mut hans = start(&server, &port, &[]);
    hans.hear("logged in as hans");
    let begun = Instant::now();
    loop {
        hans.say("history luke 1");
        if hans.hear("-> luke (").ends_with("-> luke (delivered): two") {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{:?}", hans.output());
    }
}

#[test]
fn a_session_taken_over_on_the_same_machine_goes_on_with_the_log() {
    let server = server(&["hans", "luke"]);
    let port = server.port().to_string();
    let mut first = start(&server, &port, &[]);
    first.hear("logged in as hans");
    let mut luke = Peer::protocol(&server, "luke");
    write(&mut luke, "one");
    first.hear("luke: one");
    let mut second = start(&server, &port, &["--takeover"]);
    second.hear("logged in as hans");
    assert_eq!(first.wait().code, Some(1));
    write(&mut luke, "two");
    second.hear("luke: two");
    second.say("history luke");
    second.hear("* history luke: 2 messages");
    assert_eq!(kinds(&server).iter().filter(|kind| *kind == "in").count(), 2);
}
