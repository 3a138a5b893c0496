//! Readers that do not read harm nobody but themselves, and lose nothing that is kept for them.

use serde_json::{Value, json};
use whoelse_tests::program::Peer;

use super::{broadcast, message, server};

/// A text of which a few fill any buffer.
fn long(number: usize) -> String {
    format!("{number} {}", "x".repeat(50_000))
}

#[test]
fn a_reader_too_slow_for_what_is_said_to_all_is_cut_and_keeps_its_mail() {
    const MAIL: usize = 20;
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Peer::connect_narrow(&server);
    luke.begin("luke", json!({}));
    let mut hans = Peer::protocol(&server, "hans");
    let mut yoda = Peer::protocol(&server, "yoda");
    hans.expect("login_broadcast");
    for number in 0..MAIL {
        hans.message("luke", &long(number));
    }
    for number in 0..190 {
        hans.send(&broadcast(&long(number)));
        yoda.until(|value| value["action"] == "receive_broadcast");
    }
    let cut = |value: &Value| value["action"] == "logout_broadcast" && value["from"] == "luke";
    hans.until(cut);
    let mut luke = Peer::protocol(&server, "luke");
    for number in 0..MAIL {
        luke.expect_message("hans", &long(number));
    }
    luke.expect_quiet();
}

#[test]
fn mail_for_a_reader_too_slow_waits_and_comes_when_it_reads() {
    const MAIL: usize = 200;
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::connect_narrow(&server);
    luke.begin("luke", json!({"protocol": 1}));
    let mut hans = Peer::protocol(&server, "hans");
    for number in 0..MAIL {
        hans.message("luke", &long(number));
    }
    luke.expect("login_broadcast");
    for number in 0..MAIL {
        luke.expect_message("hans", &long(number));
    }
    luke.expect_quiet();
}

/// A request that is long to ask and longer to answer than most, so that buffers are soon full.
fn long_request() -> Value {
    json!({"action": "n".repeat(64), "id": "i".repeat(64), "pad": "x".repeat(1000)})
}

fn is_answered(value: &Value) -> bool {
    value["status"] == "UNKNOWN_ACTION"
}

#[test]
fn who_does_not_read_the_answers_is_not_listened_to_and_loses_none() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = Peer::connect_narrow(&server);
    hans.begin("hans", json!({"protocol": 1}));
    luke.expect("login_broadcast");
    let memory = server.memory_mib();
    let (begun, rest) = hans.flood(&long_request());
    assert!(server.memory_mib() < memory + 16, "{} MiB", server.memory_mib());
    let whole = begun - usize::from(!rest.is_empty());
    // The flood has come to a halt; others are served as ever.
    luke.expect_quiet();
    luke.message("hans", "still there?");
    for _ in 0..whole {
        hans.until(is_answered);
    }
    hans.send_raw(&rest);
    for _ in whole..begun {
        hans.until(is_answered);
    }
    hans.send(&message("luke", "here I am"));
    luke.expect_message("hans", "here I am");
}

#[test]
fn who_asks_without_end_and_reads_the_answers_gets_all_and_starves_nobody() {
    const REQUESTS: usize = 10_000;
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = Peer::protocol(&server, "hans");
    luke.expect("login_broadcast");
    hans.send_meanwhile(format!("{}\n", long_request()).repeat(REQUESTS).into_bytes());
    for answered in 0..REQUESTS {
        hans.until(is_answered);
        if answered % 1000 == 0 {
            luke.expect_quiet();
        }
    }
    hans.expect_quiet();
}
