//! What was acknowledged is there again after kill -9, once and in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use whoelse_tests::program::{Peer, Server, login};

use super::{ack, block, logout, message, message_with_id, server, unblock, whoelse, whoelsesince};

/// Messages for luke, all confirmed.
fn send_many(server: &Server, count: usize) {
    let mut hans = Peer::protocol(server, "hans");
    let text = |number| format!("message {number}");
    hans.send_all((1..=count).map(|number| message_with_id("luke", &text(number), &text(number))));
    for number in 1..=count {
        let answer = hans.expect("message");
        assert_eq!((&answer["status"], &answer["id"]), (&json!("SUCCESS"), &json!(text(number))));
    }
}

/// All of them come, in order, once.
fn expect_many(luke: &mut Peer, count: usize) {
    for number in 1..=count {
        let mail = luke.expect_message("hans", &format!("message {number}"));
        assert_eq!(mail["number"], number);
    }
    luke.expect_quiet();
}

#[test]
fn three_hundred_messages_to_somebody_absent_survive_kill_9() {
    let mut server = server(&["hans", "luke"]);
    send_many(&server, 300);
    server.crash();
    let mut luke = Peer::protocol(&server, "luke");
    expect_many(&mut luke, 300);
    luke.send(&ack(300));
    // Whatever must be on disk takes what was said before it along.
    assert_eq!(luke.status(&block("hans")), "SUCCESS");
    server.crash();
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(luke.welcome()["acknowledged"], 300);
    luke.expect_quiet();
}

#[test]
fn mail_survives_an_orderly_end_and_comes_from_the_database() {
    let mut server = server(&["hans", "luke"]);
    send_many(&server, 300);
    let ended = server.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.restart();
    assert!(server.greeting().contains("(0 records replayed"), "{}", server.greeting());
    let mut luke = Peer::protocol(&server, "luke");
    expect_many(&mut luke, 300);
}

#[test]
fn mail_that_was_not_acknowledged_comes_again_after_kill_9() {
    let mut server = server(&["hans", "luke"]);
    send_many(&server, 20);
    let mut luke = Peer::protocol(&server, "luke");
    expect_many(&mut luke, 20);
    luke.send(&ack(5));
    assert_eq!(luke.status(&block("hans")), "SUCCESS");
    server.crash();
    let mut luke = Peer::protocol(&server, "luke");
    for number in 6..=20 {
        luke.expect_message("hans", &format!("message {number}"));
    }
    luke.expect_quiet();
}

/// Sends what is not confirmed yet; returns when so many were confirmed.
fn send_unconfirmed(
    server: &Server,
    unconfirmed: &mut BTreeMap<usize, Value>,
    answers: usize,
) -> Peer {
    let mut hans = Peer::instance(server, "hans", "one");
    hans.send_all(unconfirmed.values().cloned());
    for _ in 0..answers {
        confirm(unconfirmed, &hans.expect("message"));
    }
    hans
}

fn confirm(unconfirmed: &mut BTreeMap<usize, Value>, answer: &Value) {
    assert_eq!(answer["status"], "SUCCESS", "{answer}");
    let number: usize = answer["id"].as_str().unwrap().parse().unwrap();
    assert!(unconfirmed.remove(&number).is_some(), "{number} was confirmed twice");
}

#[test]
fn messages_sent_again_after_every_crash_arrive_once_and_in_order() {
    const ROUND: usize = 300;
    let mut server = server(&["hans", "luke"]);
    let mut unconfirmed = BTreeMap::new();
    let mut sent = 0;
    for answers in [1, 40, 120] {
        for number in sent + 1..=sent + ROUND {
            let text = format!("message {number}");
            unconfirmed.insert(number, message_with_id("luke", &text, &number.to_string()));
        }
        sent += ROUND;
        // The server is killed somewhere in the middle of what it was asked, or of its answers.
        let mut hans = send_unconfirmed(&server, &mut unconfirmed, answers);
        server.kill9();
        while let Some(answer) = hans.hear_or_end() {
            confirm(&mut unconfirmed, &answer);
        }
        server.restart();
    }
    let left = unconfirmed.len();
    send_unconfirmed(&server, &mut unconfirmed, left);
    let mut luke = Peer::protocol(&server, "luke");
    expect_many(&mut luke, sent);
}

#[test]
fn blocks_survive_kill_9_and_so_does_taking_them_back() {
    let mut server = server(&["hans", "luke", "yoda"]);
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.status(&block("luke")), "SUCCESS");
    assert_eq!(hans.status(&block("yoda")), "SUCCESS");
    assert_eq!(hans.status(&unblock("yoda")), "SUCCESS");
    server.crash();
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(luke.status(&message("hans", "x")), "USER_BLOCKED");
    let mut yoda = Peer::protocol(&server, "yoda");
    assert_eq!(yoda.status(&message("hans", "x")), "SUCCESS");
}

#[test]
fn strikes_survive_kill_9() {
    let mut server = server(&["hans"]);
    let mut wrong = login("hans");
    wrong["password"] = json!("wrong");
    let mut stranger = Peer::connect(&server);
    assert_eq!(stranger.status(&wrong), "INVALID_PASSWORD");
    server.crash();
    let mut stranger = Peer::connect(&server);
    assert_eq!(stranger.status(&wrong), "INVALID_PASSWORD");
    server.crash();
    let mut stranger = Peer::connect(&server);
    assert_eq!(stranger.status(&wrong), "INVALID_PASSWORD_BLOCKED");
}

#[test]
fn passwords_survive_kill_9_whether_hashed_or_not() {
    let names = ["anna", "bert", "carl", "dora"];
    let mut server = server(&names);
    // At once, while most are not hashed yet.
    server.crash();
    for name in names {
        Peer::plain(&server, name).hang_up();
    }
    // All have logged in, so all are hashed: the file is not needed any more.
    std::fs::write(server.folder().join("people.txt"), "").unwrap();
    server.crash();
    for name in names {
        Peer::plain(&server, name).hang_up();
    }
}

#[test]
fn who_was_here_is_known_after_kill_9() {
    let mut server = server(&["hans", "luke", "yoda", "leia"]);
    let mut luke = Peer::protocol(&server, "luke");
    luke.ask(&logout());
    luke.expect_end();
    let yoda = Peer::protocol(&server, "yoda");
    server.crash();
    drop(yoda);
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]), "sessions end with the server");
    assert_eq!(hans.ask(&whoelsesince(1000))["reply"], json!(["luke", "yoda"]));
}

#[test]
fn somebody_added_is_there_after_kill_9() {
    let mut server = server(&["hans"]);
    let added = server
        .run(&["user", "add", "anna", "--data", "data", "--password-file", "-"], "a secret\n");
    assert_eq!(added.code, Some(0), "{added:?}");
    server.crash();
    let mut anna = Peer::connect(&server);
    let login = json!({"action": "login", "username": "anna", "password": "a secret"});
    assert_eq!(anna.status(&login), "SUCCESS");
}
