//! Three wrong passwords lock a name: exactly, from anywhere, over crashes, and not for longer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use whoelse_tests::program::{Peer, Server, login};

use super::{server, setup};

fn wrong(name: &str) -> Value {
    let mut request = login(name);
    request["password"] = json!("wrong");
    request
}

/// How often each status was answered to guesses over as many connections at once.
fn guess(server: &Server, name: &str, guesses: usize) -> BTreeMap<String, usize> {
    let mut peers: Vec<Peer> = (0..guesses).map(|_| Peer::connect(server)).collect();
    for peer in &mut peers {
        peer.send(&wrong(name));
    }
    let mut statuses = BTreeMap::new();
    for peer in &mut peers {
        let answer = peer.expect("login");
        *statuses.entry(answer["status"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    statuses
}

/// Does what the answer to a locked login tells a client to do.
fn wait_as_told(answer: &Value) {
    std::thread::sleep(Duration::from_secs(answer["retry_after"].as_u64().unwrap()));
}

#[test]
fn parallel_guesses_are_counted_exactly_and_the_lock_survives_a_crash() {
    let mut server = setup(&["hans"]).block_seconds(4).start();
    let counted = guess(&server, "hans", 20);
    let expected = [("BLOCKED", 17), ("INVALID_PASSWORD", 2), ("INVALID_PASSWORD_BLOCKED", 1)];
    assert_eq!(counted, expected.map(|(status, count)| (status.to_owned(), count)).into());
    let mut hans = Peer::connect(&server);
    assert_eq!(hans.status(&login("hans")), "BLOCKED", "the right password");
    server.crash();
    let mut hans = Peer::connect(&server);
    let answer = hans.ask(&login("hans"));
    assert_eq!(answer["status"], "BLOCKED", "the right password after a crash");
    wait_as_told(&answer);
    assert_eq!(hans.status(&login("hans")), "SUCCESS");
}

#[test]
fn attempts_during_the_lock_do_not_extend_it() {
    let server = setup(&["hans"]).block_seconds(2).start();
    let mut guesser = Peer::connect(&server);
    for status in ["INVALID_PASSWORD", "INVALID_PASSWORD", "INVALID_PASSWORD_BLOCKED"] {
        assert_eq!(guesser.status(&wrong("hans")), status);
    }
    let locked = guesser.ask(&wrong("hans"));
    assert_eq!(locked["status"], "BLOCKED");
    wait_as_told(&json!({"retry_after": 1}));
    let locked = guesser.ask(&wrong("hans"));
    assert_eq!((&locked["status"], &locked["retry_after"]), (&json!("BLOCKED"), &json!(1)));
    wait_as_told(&locked);
    assert_eq!(guesser.status(&login("hans")), "SUCCESS");
}

#[test]
fn a_success_starts_the_count_anew() {
    let server = server(&["hans"]);
    for _ in 0..2 {
        let mut hans = Peer::connect(&server);
        assert_eq!(hans.status(&wrong("hans")), "INVALID_PASSWORD");
        assert_eq!(hans.status(&wrong("hans")), "INVALID_PASSWORD");
        assert_eq!(hans.status(&login("hans")), "SUCCESS");
        hans.hang_up();
    }
}

#[test]
fn names_that_nobody_has_are_answered_like_those_that_somebody_has() {
    let server = server(&["hans"]);
    let answers = |name: &str| {
        let mut stranger = Peer::connect(&server);
        let mut answers: Vec<Value> = (0..4).map(|_| stranger.ask(&wrong(name))).collect();
        // The clock runs on between the two names.
        answers[3]["retry_after"] = Value::Null;
        answers[3]["message"] = Value::Null;
        answers
    };
    assert_eq!(answers("hans"), answers("nobody"));
    assert_eq!(answers("")[0]["status"], "INVALID_PASSWORD");
}

#[test]
fn one_locked_name_does_not_keep_others_out() {
    let server = server(&["hans", "luke"]);
    guess(&server, "hans", 5);
    let mut luke = Peer::plain(&server, "luke");
    luke.expect_quiet();
}
