//! Clients of ours: ids, numbers, acknowledgements, and sessions that survive their lines.

use serde_json::json;
use whoelse_tests::program::{Peer, Server, login};

use super::{ack, block, broadcast, logout, message, message_with_id, server, whoelse};

#[test]
fn the_answer_to_login_says_what_the_server_is_and_what_was_acknowledged() {
    let server = server(&["hans"]);
    let mut hans = Peer::connect(&server);
    hans.begin("hans", json!({"protocol": 1, "id": "first"}));
    let welcome = hans.welcome();
    let id = welcome["server"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(
        welcome,
        &json!({
            "action": "login", "id": "first", "status": "SUCCESS", "protocol": 1, "server": id,
            "acknowledged": 0
        })
    );
}

#[test]
fn a_client_of_a_later_version_is_told_which_one_both_speak() {
    let server = server(&["hans"]);
    let mut hans = Peer::connect(&server);
    hans.begin("hans", json!({"protocol": 7, "features": ["telepathy"]}));
    assert_eq!(hans.welcome()["protocol"], 1);
}

#[test]
fn ids_come_back_with_every_answer() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    for (request, status) in [
        (message("luke", "x"), "SUCCESS"),
        (message("hans", "x"), "MESSAGE_SELF"),
        (broadcast("x"), "SUCCESS"),
        (block("luke"), "SUCCESS"),
        (whoelse(), "SUCCESS"),
        (json!({"action": "whoelsesince", "since": 1}), "SUCCESS"),
        (json!({"action": "startprivate", "user": "luke"}), "USER_OFFLINE"),
        (json!({"action": "active"}), "SUCCESS"),
        (login("hans"), "ALREADY_LOGGED_IN"),
        (json!({"action": "dance"}), "UNKNOWN_ACTION"),
        (json!({"action": "message"}), "BAD_REQUEST"),
        (ack(1), "BAD_NUMBER"),
        (logout(), "SUCCESS"),
    ] {
        let mut request = request;
        request["id"] = json!(format!("{status} of {}", request["action"]));
        let answer = hans.ask(&request);
        assert_eq!(answer["id"], request["id"], "{answer}");
        assert_eq!(answer["status"], status, "{answer}");
    }
    hans.expect_end();
}

#[test]
fn refusals_say_in_a_sentence_what_is_wrong_and_what_may_have_been_meant() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let answer = hans.ask(&message("lucke", "x"));
    assert_eq!(answer["status"], "USER_NOT_EXIST");
    assert_eq!(answer["suggestion"], "luke");
    assert!(answer["message"].as_str().unwrap().contains("Did you mean 'luke'?"), "{answer}");
}

#[test]
fn mail_has_a_number_an_id_and_a_time() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    luke.message("hans", "one");
    luke.message("hans", "two");
    let (one, two) = (hans.expect_message("luke", "one"), hans.expect_message("luke", "two"));
    assert_eq!((&one["number"], &two["number"]), (&json!(1), &json!(2)));
    assert!(one["id"].is_string() && one["id"] != two["id"], "{one} {two}");
    let at = one["at"].as_str().unwrap();
    let shape: String =
        at.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    assert_eq!(one.as_object().unwrap().len(), 6, "{one}");
}

#[test]
fn what_is_acknowledged_does_not_come_again_and_the_rest_does() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::instance(&server, "hans", "one");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    for text in ["one", "two", "three"] {
        luke.message("hans", text);
        hans.expect_message("luke", text);
    }
    hans.send(&ack(2));
    hans.expect_quiet(); // an acknowledgement is not answered
    let refused = hans.ask(&ack(4));
    assert_eq!(refused["status"], "BAD_NUMBER");
    hans.reset();
    let mut hans = Peer::instance(&server, "hans", "one");
    assert_eq!(hans.welcome()["acknowledged"], 2);
    let three = hans.expect_message("luke", "three");
    assert_eq!(three["number"], 3);
    hans.expect_quiet();
}

#[test]
fn a_message_sent_again_under_its_id_arrives_once() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let again = message_with_id("luke", "hello", "m1");
    let first = hans.ask(&again);
    assert_eq!(hans.ask(&again), first);
    assert_eq!(hans.status(&message_with_id("luke", "other", "m1")), "ID_CONFLICT");
    server.crash();
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.ask(&again), first);
    assert_eq!(hans.status(&message_with_id("luke", "other", "m1")), "ID_CONFLICT");
    assert_eq!(server.terminate().code, Some(0));
    server.restart();
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.ask(&again), first);
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "hello");
    luke.expect_quiet();
}

#[test]
fn a_refused_message_leaves_no_trace_under_its_id() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.status(&message_with_id("nobody", "hello", "m1")), "USER_NOT_EXIST");
    assert_eq!(hans.status(&message_with_id("luke", "hello", "m1")), "SUCCESS");
}

#[test]
fn the_same_instance_replaces_its_own_session_and_nobody_notices() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut old = Peer::instance(&server, "hans", "one");
    luke.expect("login_broadcast");
    let mut new = Peer::instance(&server, "hans", "one");
    old.expect_end();
    luke.expect_quiet();
    luke.message("hans", "to the new one");
    new.expect_message("luke", "to the new one");
}

#[test]
fn another_instance_is_refused_unless_it_takes_over() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut old = Peer::instance(&server, "hans", "one");
    luke.expect("login_broadcast");
    let mut new = Peer::connect(&server);
    let mut request = login("hans");
    request["protocol"] = json!(1);
    request["instance"] = json!("two");
    assert_eq!(new.status(&request), "ALREADY_LOGGED_IN");
    request["takeover"] = json!(true);
    assert_eq!(new.status(&request), "SUCCESS");
    old.expect("takeover");
    old.expect_end();
    luke.expect_quiet();
    luke.message("hans", "to the new one");
    new.expect_message("luke", "to the new one");
}

#[test]
fn a_session_whose_line_broke_comes_back_without_others_being_told() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let hans = Peer::protocol(&server, "hans");
    luke.expect("login_broadcast");
    hans.reset();
    luke.message("hans", "are you there?");
    assert_eq!(luke.ask(&whoelse())["reply"], json!(["hans"]));
    let mut hans = Peer::protocol(&server, "hans");
    hans.expect_message("luke", "are you there?");
    luke.expect_quiet();
}

#[test]
fn a_bad_line_costs_that_line_only() {
    let server = server(&["hans"]);
    let mut hans = Peer::protocol(&server, "hans");
    hans.send_raw(b"{\"action\":\"whoelse\",\"id\":\"1\"\n");
    hans.send_raw(b"{\"action\":\"whoelse\",\"id\":\"2\"}\n");
    let answer = hans.expect("whoelse");
    assert_eq!((&answer["id"], &answer["status"]), (&json!("1"), &json!("BAD_REQUEST")));
    let answer = hans.expect("whoelse");
    assert_eq!((&answer["id"], &answer["status"]), (&json!("2"), &json!("SUCCESS")));
}

#[test]
fn a_server_keeps_its_id_over_restarts_and_another_has_another() {
    let mut server = server(&["hans"]);
    let id = |server: &Server| Peer::protocol(server, "hans").welcome()["server"].clone();
    let first = id(&server);
    server.crash();
    assert_eq!(id(&server), first);
    let other = super::server(&["hans"]);
    assert_ne!(id(&other), first);
}
