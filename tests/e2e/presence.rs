//! Who is here: coming, going, being idle, and everything said to all of them.

use serde_json::{Value, json};
use whoelse_tests::program::Peer;

use super::{block, broadcast, logout, message, server, setup, unblock, whoelse, whoelsesince};

fn presence(action: &str, name: &str) -> Value {
    json!({"action": action, "from": name, "message": ""})
}

#[test]
fn comings_and_goings_are_told_to_everybody_but_those_who_are_blocked() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut yoda = Peer::plain(&server, "yoda");
    assert_eq!(luke.hear(), presence("login_broadcast", "yoda"));
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(luke.hear(), presence("login_broadcast", "hans"));
    assert_eq!(yoda.hear(), presence("login_broadcast", "hans"));
    assert_eq!(hans.status(&block("yoda")), "SUCCESS");
    hans.ask(&logout());
    hans.expect_end();
    assert_eq!(luke.hear(), presence("logout_broadcast", "hans"));
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(luke.hear(), presence("login_broadcast", "hans"));
    yoda.expect_quiet();
    assert_eq!(hans.status(&unblock("yoda")), "SUCCESS");
    hans.ask(&logout());
    assert_eq!(yoda.hear(), presence("logout_broadcast", "hans"));
}

#[test]
fn whoelse_names_the_others_but_not_those_who_block_the_asker() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]));
    let mut yoda = Peer::protocol(&server, "yoda");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    hans.expect("login_broadcast");
    yoda.expect("login_broadcast");
    assert_eq!(hans.ask(&whoelse())["reply"], json!(["luke", "yoda"]));
    assert_eq!(yoda.status(&block("hans")), "SUCCESS");
    assert_eq!(hans.ask(&whoelse())["reply"], json!(["luke"]));
    assert_eq!(hans.ask(&whoelsesince(1000))["reply"], json!(["luke"]));
    assert_eq!(luke.ask(&whoelse())["reply"], json!(["hans", "yoda"]));
}

#[test]
fn whoelsesince_names_those_who_were_here() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Peer::protocol(&server, "luke");
    luke.ask(&logout());
    luke.expect_end();
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]));
    assert_eq!(hans.ask(&whoelsesince(90 * 24 * 3600))["reply"], json!(["luke"]));
}

#[test]
fn broadcasts_are_counted_and_reach_those_who_are_here_and_do_not_block() {
    let server = server(&["hans", "luke", "yoda", "leia"]);
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::plain(&server, "luke");
    let mut yoda = Peer::protocol(&server, "yoda");
    luke.expect("login_broadcast");
    assert_eq!(yoda.status(&block("hans")), "SUCCESS");
    hans.expect("login_broadcast");
    hans.expect("login_broadcast");
    let answer = hans.ask(&broadcast("hello all"));
    assert_eq!((&answer["n_sent"], &answer["n_blocked"]), (&json!(1), &json!(1)));
    let heard = json!({"action": "receive_broadcast", "from": "hans", "message": "hello all"});
    assert_eq!(luke.hear(), heard);
    yoda.expect_quiet();
    // Somebody who blocks is counted when away, too.
    yoda.ask(&logout());
    yoda.expect_end();
    let answer = hans.ask(&broadcast("again"));
    assert_eq!((&answer["n_sent"], &answer["n_blocked"]), (&json!(1), &json!(1)));
    // Nothing is kept for those who were not here.
    let mut leia = Peer::plain(&server, "leia");
    leia.expect_quiet();
}

#[test]
fn blocked_people_cannot_write_until_they_are_unblocked() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    assert_eq!(hans.status(&block("luke")), "SUCCESS");
    assert_eq!(luke.status(&message("hans", "one")), "USER_BLOCKED");
    luke.expect_quiet(); // nobody tells luke
    hans.message("luke", "a block does not bind the one who made it");
    luke.expect("receive_message");
    assert_eq!(hans.status(&unblock("luke")), "SUCCESS");
    assert_eq!(luke.status(&message("hans", "two")), "SUCCESS");
    hans.expect_message("luke", "two");
}

#[test]
fn somebody_idle_is_told_and_logged_out_and_the_others_hear_of_it() {
    let server = setup(&["hans", "luke"]).idle_seconds(3).start();
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::plain(&server, "luke");
    hans.expect("login_broadcast");
    let timeout = hans.expect("timeout");
    assert!(timeout["message"].is_string(), "{timeout}");
    hans.expect_end();
    assert_eq!(luke.hear(), presence("logout_broadcast", "hans"));
    luke.expect("timeout");
    luke.expect_end();
}

#[test]
fn the_lost_line_of_a_plain_session_is_a_log_out() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let hans = Peer::plain(&server, "hans");
    luke.expect("login_broadcast");
    hans.reset();
    assert_eq!(luke.hear(), presence("logout_broadcast", "hans"));
    let hans = Peer::plain(&server, "hans");
    luke.expect("login_broadcast");
    hans.hang_up();
    assert_eq!(luke.hear(), presence("logout_broadcast", "hans"));
    assert_eq!(luke.ask(&whoelse())["reply"], json!([]));
}
