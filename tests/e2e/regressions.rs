//! What a reader with fresh eyes found, each with the scenario that showed it.

use serde_json::json;
use whoelse_tests::program::{Peer, login};

use super::{broadcast, message, server, whoelse};

#[test]
fn mail_written_to_somebody_who_hung_up_during_the_login_comes_again() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    hans.message("luke", "read me");
    let mut luke = Peer::connect(&server);
    luke.send(&login("luke"));
    drop(luke); // while the password is being checked
    hans.expect("login_broadcast");
    hans.expect("logout_broadcast");
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(luke.welcome()["acknowledged"], 0);
    luke.expect_message("hans", "read me");
}

#[test]
fn a_request_sent_before_the_mail_was_written_does_not_vouch_for_it() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    hans.message("luke", "read me");
    let mut luke = Peer::connect(&server);
    luke.send_all([login("luke"), whoelse()]);
    luke.until(|heard| heard["action"] == "whoelse");
    luke.reset();
    hans.until(|heard| heard["action"] == "logout_broadcast");
    let mut luke = Peer::protocol(&server, "luke");
    assert_eq!(luke.welcome()["acknowledged"], 0);
    luke.expect_message("hans", "read me");
}

#[test]
fn long_broadcasts_at_once_cut_nobody_who_reads() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let mut luke = Peer::protocol(&server, "luke");
    hans.expect("login_broadcast");
    let text = "x".repeat(60_000);
    hans.send_all((0..8).map(|_| broadcast(&text)));
    for _ in 0..8 {
        assert_eq!(luke.expect("receive_broadcast")["message"], text.as_str());
        assert_eq!(hans.expect("broadcast")["n_sent"], 1);
    }
}

#[test]
fn a_connection_may_try_another_dialect() {
    let server = server(&["hans"]);
    let mut hans = Peer::connect(&server);
    let wrong =
        json!({"action": "login", "username": "hans", "password": "no", "private_port": 5000});
    assert_eq!(hans.ask(&wrong), json!({"action": "login", "status": "INVALID_PASSWORD"}));
    hans.begin("hans", json!({"protocol": 1}));
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]));
}

#[test]
fn a_backslash_at_the_end_of_a_line_costs_that_line_only() {
    let server = server(&["hans"]);
    let mut hans = Peer::protocol(&server, "hans");
    hans.send_raw(b"{\"action\":\"message\",\"message\":\"abc\\\n");
    assert_eq!(hans.expect("message")["status"], "BAD_REQUEST");
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]));
    assert_eq!(hans.status(&message("hans", "x")), "MESSAGE_SELF");
}
