//! An original client: the words of the original, one object per segment, nothing else needed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whoelse_tests::program::{Peer, Segment, Server};

use super::{block, broadcast, logout, message, server, setup, unblock, whoelse, whoelsesince};

/// The pause that an original client needs between two objects.
const PAUSE: Duration = Duration::from_millis(50);

fn start_private(user: &str) -> Value {
    json!({"action": "startprivate", "user": user})
}

#[test]
fn every_command_is_answered_in_the_words_of_the_original() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut hans = Peer::original(&server, "hans");
    let luke = Peer::original(&server, "luke");
    assert_eq!(hans.welcome(), &json!({"action": "login", "status": "SUCCESS"}));
    assert_eq!(hans.hear(), json!({"action": "login_broadcast", "from": "luke", "message": ""}));
    let status = |action: &str, status: &str| json!({"action": action, "status": status});
    for (request, answer) in [
        (message("luke", "hello"), status("message", "SUCCESS")),
        (message("hans", "me"), status("message", "MESSAGE_SELF")),
        (message("nobody", "you"), status("message", "USER_NOT_EXIST")),
        (
            broadcast("all"),
            json!({"action": "broadcast", "status": "SUCCESS", "n_sent": 1, "n_blocked": 0}),
        ),
        (block("yoda"), status("block", "SUCCESS")),
        (block("hans"), status("block", "MESSAGE_SELF")),
        (block("nobody"), status("block", "USER_NOT_EXIST")),
        (unblock("yoda"), status("unblock", "SUCCESS")),
        (unblock("yoda"), status("unblock", "NOT_BLOCKED")),
        (unblock("hans"), status("unblock", "MESSAGE_SELF")),
        (unblock("nobody"), status("unblock", "USER_NOT_EXIST")),
        (whoelse(), json!({"action": "whoelse", "status": "SUCCESS", "reply": ["luke"]})),
        (
            whoelsesince(100),
            json!({"action": "whoelsesince", "status": "SUCCESS", "reply": ["luke"]}),
        ),
        (
            json!({"action": "whoelsesince", "since": "100"}),
            json!({"action": "whoelsesince", "status": "SUCCESS", "reply": ["luke"]}),
        ),
    ] {
        assert_eq!(hans.ask(&request), answer, "{request}");
    }
    let unknown = hans.ask(&json!({"action": "dance"}));
    assert_eq!(unknown["reply"], "Unknown action");
    assert_eq!(unknown["status"], "UNKNOWN_ACTION");
    assert_eq!(
        hans.ask(&logout()),
        json!({"action": "logout", "status": "SUCCESS", "reply": "logged out"})
    );
    hans.expect_end();
    luke.hang_up();
}

#[test]
fn what_others_do_is_told_in_the_words_of_the_original() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::original(&server, "hans");
    let told =
        |action: &str, text: &str| json!({"action": action, "from": "luke", "message": text});
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(hans.hear(), told("login_broadcast", ""));
    luke.message("hans", "psst");
    assert_eq!(hans.hear(), told("receive_message", "psst"));
    luke.ask(&broadcast("hear ye"));
    assert_eq!(hans.hear(), told("receive_broadcast", "hear ye"));
    luke.ask(&logout());
    assert_eq!(hans.hear(), told("logout_broadcast", ""));
}

#[test]
fn somebody_idle_is_told_with_one_word() {
    let server = setup(&["hans"]).idle_seconds(1).start();
    let mut hans = Peer::original(&server, "hans");
    assert_eq!(hans.hear(), json!({"action": "timeout"}));
    hans.expect_end();
}

#[test]
fn a_second_login_and_wrong_passwords_are_refused() {
    let server = server(&["hans", "luke"]);
    let _hans = Peer::original(&server, "hans");
    let refused = |name: &str, password: &str| {
        let mut peer = Peer::connect(&server);
        let login = json!({
            "action": "login", "username": name, "password": password, "private_port": 5000
        });
        peer.ask(&login)
    };
    let status = |status: &str| json!({"action": "login", "status": status});
    assert_eq!(refused("hans", "hans's secret"), status("ALREADY_LOGGED_IN"));
    for name in ["luke", "nobody"] {
        assert_eq!(refused(name, "wrong"), status("INVALID_PASSWORD"));
        assert_eq!(refused(name, "wrong"), status("INVALID_PASSWORD"));
        assert_eq!(refused(name, "wrong"), status("INVALID_PASSWORD_BLOCKED"));
        assert_eq!(refused(name, "luke's secret"), status("BLOCKED"));
    }
}

#[test]
fn startprivate_tells_where_the_other_listens() {
    let server = server(&["hans", "luke", "yoda", "leia"]);
    let mut hans = Peer::original(&server, "hans");
    let mut luke = Peer::connect(&server);
    luke.begin("luke", json!({"private_port": 6001}));
    let mut yoda = Peer::connect(&server);
    yoda.begin("yoda", json!({"private_port": 1023}));
    hans.expect("login_broadcast");
    hans.expect("login_broadcast");
    let refusal =
        |status: &str| json!({"action": "startprivate", "status": status, "reply": status});
    assert_eq!(hans.ask(&start_private("hans")), refusal("USER_SELF"));
    assert_eq!(hans.ask(&start_private("nobody")), refusal("USER_NOT_EXIST"));
    assert_eq!(hans.ask(&start_private("yoda")), refusal("USER_OFFLINE"));
    assert_eq!(hans.ask(&start_private("leia")), refusal("USER_OFFLINE"));
    assert_eq!(
        hans.ask(&start_private("luke")),
        json!({
            "action": "startprivate", "status": "SUCCESS", "reply": "SUCCESS",
            "address": "127.0.0.1", "port": 6001, "username": "luke"
        })
    );
    luke.until(|event| event["from"] == "yoda");
    assert_eq!(luke.status(&block("hans")), "SUCCESS");
    assert_eq!(hans.ask(&start_private("luke")), refusal("USER_BLOCKED"));
    assert_eq!(hans.ask(&message("luke", "x"))["status"], "USER_BLOCKED");
}

#[test]
fn objects_need_nothing_between_them() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::original(&server, "hans");
    hans.send_raw(
        br#"{"action":"whoelse"}{"action":"message","user":"luke","message":"}{"}  {
            "action": "block",
            "user": "luke"
        }{"action":"logout"}"#,
    );
    assert_eq!(hans.expect("whoelse")["reply"], json!([]));
    assert_eq!(hans.expect("message")["status"], "SUCCESS");
    assert_eq!(hans.expect("block")["status"], "SUCCESS");
    assert_eq!(hans.expect("logout")["reply"], "logged out");
    hans.expect_end();
}

/// Objects go out one by one, 50 ms apart: object n cannot be there earlier than n pauses after
/// the first was asked for, however late this test comes to read it. The server counts whole
/// milliseconds.
fn assert_paced(segments: &[Segment], begun: Instant, objects: usize) {
    let mut seen = 0;
    for segment in segments {
        seen += segment.bytes.iter().filter(|byte| **byte == b'\n').count();
        let pauses = u32::try_from(seen).unwrap() - 1;
        let since = segment.at.duration_since(begun);
        assert!(
            since + Duration::from_millis(1) >= PAUSE * pauses,
            "{seen} objects after {since:?}"
        );
    }
    assert_eq!(seen, objects);
}

#[test]
fn objects_come_one_per_segment_with_pauses() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::original(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    let before = hans.segments().len();
    let begun = Instant::now();
    luke.send_all((0..18).map(|number| broadcast(&number.to_string())));
    hans.send_all([whoelse(), whoelse()]);
    for _ in 0..20 {
        hans.hear();
    }
    assert_paced(&hans.segments()[before..], begun, 20);
}

#[test]
fn answers_come_before_events_that_wait() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::original(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    luke.send_all((0..20).map(|number| broadcast(&number.to_string())));
    for _ in 0..20 {
        luke.expect("broadcast");
    }
    // A second of events wait now.
    hans.send(&whoelse());
    let mut events = Vec::new();
    let answered_after = loop {
        let value = hans.hear();
        if value["action"] == "whoelse" {
            break events.len();
        }
        events.push(value["message"].clone());
    };
    while events.len() < 20 {
        events.push(hans.expect("receive_broadcast")["message"].clone());
    }
    assert!(answered_after < 19, "the answer was the last of all");
    let in_order: Vec<Value> = (0..20).map(|number| json!(number.to_string())).collect();
    assert_eq!(events, in_order);
}

#[test]
fn who_comes_and_goes_while_events_wait_is_not_mentioned() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut hans = Peer::original(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    luke.send_all((0..40).map(|number| broadcast(&number.to_string())));
    for _ in 0..40 {
        luke.expect("broadcast");
    }
    let mut yoda = Peer::protocol(&server, "yoda");
    yoda.ask(&logout());
    yoda.expect_end();
    luke.expect("login_broadcast");
    luke.expect("logout_broadcast");
    luke.ask(&broadcast("last"));
    for _ in 0..40 {
        hans.expect("receive_broadcast");
    }
    assert_eq!(hans.expect("receive_broadcast")["message"], "last");
}

fn with_mail_for_hans(texts: &[&str]) -> Server {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    for text in texts {
        luke.message("hans", text);
    }
    luke.ask(&logout());
    luke.expect_end();
    server
}

#[test]
fn mail_that_waits_comes_after_the_answer_to_login_in_order() {
    let server = with_mail_for_hans(&["one", "two", "three"]);
    let mut hans = Peer::original(&server, "hans");
    for text in ["one", "two", "three"] {
        let mail = json!({"action": "receive_message", "from": "luke", "message": text});
        assert_eq!(hans.hear(), mail);
    }
}

#[test]
fn mail_comes_again_if_the_line_breaks_before_another_request() {
    let server = with_mail_for_hans(&["one", "two"]);
    for _ in 0..2 {
        let mut hans = Peer::original(&server, "hans");
        hans.expect_message("luke", "one");
        hans.expect_message("luke", "two");
        let mut luke = Peer::plain(&server, "luke");
        hans.reset();
        // Plain and original sessions have left as soon as their line breaks.
        luke.expect("logout_broadcast");
        luke.hang_up();
    }
}

#[test]
fn mail_does_not_come_again_after_another_request() {
    let server = with_mail_for_hans(&["one", "two"]);
    let mut hans = Peer::original(&server, "hans");
    hans.expect_message("luke", "one");
    hans.expect_message("luke", "two");
    hans.ask(&whoelse());
    let mut luke = Peer::plain(&server, "luke");
    hans.reset();
    luke.expect("logout_broadcast");
    let mut hans = Peer::plain(&server, "hans");
    hans.expect_quiet();
}

#[test]
fn mail_does_not_come_again_after_an_orderly_end() {
    let server = with_mail_for_hans(&["one", "two"]);
    let mut hans = Peer::original(&server, "hans");
    hans.expect_message("luke", "one");
    hans.expect_message("luke", "two");
    hans.hang_up();
    let mut hans = Peer::plain(&server, "hans");
    hans.expect_quiet();
}
