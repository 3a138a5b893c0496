//! More connections than there may be, or than the system allows.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;
use whoelse_tests::program::{Peer, Server, Version, Way};

use super::{message, server, setup, whoelse};

/// How many files it has open.
fn open_files(server: &Server) -> u64 {
    let folder = format!("/proc/{}/fd", server.process().as_raw_nonzero());
    std::fs::read_dir(folder).unwrap().count() as u64
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = setup(&["hans"]).flags(&["--connections", "3"]).start();
    let mut hans = Peer::protocol(&server, "hans");
    let mut others = [Peer::connect(&server), Peer::over(Way::tls(Version::Tls12), &server)];
    for other in &mut others {
        assert_eq!(other.status(&whoelse()), "NOT_LOGGED_IN");
    }
    for _ in 0..3 {
        let mut last = Peer::connect(&server);
        assert_eq!(last.expect("error")["status"], "TOO_MANY_CONNECTIONS");
        last.expect_end();
    }
    let [first, second] = others;
    first.hang_up();
    let mut last = Peer::connect(&server);
    assert_eq!(last.status(&whoelse()), "NOT_LOGGED_IN");
    drop(second);
    hans.expect_quiet();
}

#[test]
fn connections_leave_files_for_the_data() {
    let server = setup(&["hans", "luke"]).open_files(100).start();
    server.log().wait_for("only 36 connections at once");
    let mut hans = Peer::protocol(&server, "hans");
    let mut crowd: Vec<Peer> = (0..100).map(|_| Peer::connect(&server)).collect();
    for peer in &mut crowd[..35] {
        assert_eq!(peer.status(&whoelse()), "NOT_LOGGED_IN");
    }
    for peer in &mut crowd[35..] {
        assert_eq!(peer.expect("error")["status"], "TOO_MANY_CONNECTIONS");
    }
    assert_eq!(hans.status(&message("luke", "still there?")), "SUCCESS");
    let log = server.log().all().join("\n");
    assert!(!log.contains("Too many open files"), "{log}");
}

#[test]
fn without_a_free_file_connections_are_dropped_and_nobody_else_notices() {
    let server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    let limit = Some(open_files(&server) + 3);
    let before = prlimit(
        Some(server.process()),
        Resource::Nofile,
        Rlimit { current: limit, maximum: limit },
    );
    before.unwrap();
    let mut crowd: Vec<Peer> = (0..50).map(|_| Peer::connect(&server)).collect();
    server.log().wait_for("cannot take a connection");
    let dropped = crowd.split_off(10);
    for mut peer in dropped {
        assert_eq!(peer.read_to_end(), b"");
    }
    let ticks = server.ticks();
    // Nothing to wait for: the point is that nothing happens.
    std::thread::sleep(Duration::from_secs(1));
    assert!(server.ticks() - ticks <= 5, "{} ticks", server.ticks() - ticks);
    assert_eq!(hans.status(&message("luke", "still there?")), "SUCCESS");
    drop(crowd);
    // Places are free again, and are found.
    let mut luke = loop {
        let mut luke = Peer::connect(&server);
        luke.send(&whoelse());
        if luke.hear_or_end().is_some() {
            break luke;
        }
    };
    luke.begin("luke", json!({}));
    luke.expect_message("hans", "still there?");
}

#[test]
fn who_comes_and_goes_leaves_nothing_behind() {
    let server = server(&["hans"]);
    let mut hans = Peer::protocol(&server, "hans");
    let files = open_files(&server);
    for round in 0..300 {
        let mut peer = match round % 3 {
            0 => Peer::connect(&server),
            1 => Peer::over(Way::tls(Version::Tls13), &server),
            _ => {
                let mut peer = Peer::connect(&server);
                peer.send_raw(b"\x16\x03\x01");
                peer
            }
        };
        if round % 2 == 0 && round % 3 != 2 {
            assert_eq!(peer.status(&whoelse()), "NOT_LOGGED_IN");
            peer.hang_up();
        } else {
            peer.reset();
        }
    }
    hans.expect_quiet();
    while open_files(&server) > files {
        hans.expect_quiet(); // they are let go of soon
    }
}

#[test]
fn a_login_that_is_being_checked_is_not_pushed_out() {
    let server = server(&["hans"]);
    // Enough work for the one who checks, so that the last has to wait for a while.
    let mut guessers: Vec<Peer> = (0..60).map(|_| Peer::connect(&server)).collect();
    for (number, guesser) in guessers.iter_mut().enumerate() {
        let name = format!("nobody{number}");
        guesser.send(&json!({"action": "login", "username": name, "password": "x"}));
    }
    let mut hans = Peer::connect(&server);
    hans.send(&whoelse_tests::program::login("hans"));
    let others: Vec<Peer> = (0..600).map(|_| Peer::connect(&server)).collect();
    assert_eq!(hans.expect("login")["status"], "SUCCESS");
    drop(others);
}

#[test]
fn a_crowd_hears_everything_in_order() {
    // More than are written to at one wake-up.
    let names: Vec<String> = (0..80).map(|number| format!("anna{number}")).collect();
    let everybody: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = server(&everybody);
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::protocol(&server, name)).collect();
    let mut speaker = peers.pop().unwrap();
    for text in ["one", "two", "three"] {
        let answer = speaker.ask(&json!({"action": "broadcast", "message": text}));
        assert_eq!(answer["n_sent"], 79, "{answer}");
    }
    assert_eq!(speaker.status(&json!({"action": "logout"})), "SUCCESS");
    for peer in &mut peers {
        for text in ["one", "two", "three"] {
            let heard = peer.until(|value| value["action"] == "receive_broadcast");
            assert_eq!(heard["message"], text);
        }
        peer.until(|value| value["action"] == "logout_broadcast");
    }
}
