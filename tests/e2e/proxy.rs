//! Behind a proxy: whose address counts, and that nobody is trusted for being near.
//!
//! The tests are the proxy; so anybody can come from anywhere.

use std::time::{Duration, Instant};

use serde_json::json;
use whoelse_tests::program::{Peer, Server, Version, Way, login};

use super::{server, setup, whoelse};

/// The tests come from this machine.
const BEHIND_PROXY: [&str; 2] = ["--behind-proxy", "127.0.0.0/8"];

fn behind_proxy(names: &[&str]) -> Server {
    setup(names).flags(&BEHIND_PROXY).start()
}

fn from(address: &str) -> Way {
    Way::default().from(address)
}

fn tls_from(address: &str) -> Way {
    Way::tls(Version::Tls13).from(address)
}

#[test]
fn plain_text_from_afar_is_not_looked_at_and_told_why() {
    let server = behind_proxy(&["hans"]);
    for address in ["192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"] {
        let mut hans = Peer::over(from(address), &server);
        hans.send_all([login("hans"), whoelse()]);
        let answer = hans.expect("error");
        assert_eq!(answer["status"], "TLS_REQUIRED");
        let sentence = answer["message"].as_str().unwrap();
        for says in ["unprotected", "change that password", "whoelse client", "openssl s_client"] {
            assert!(sentence.contains(says), "{sentence}");
        }
        hans.expect_end();
    }
    // It was not even counted as a wrong try, and the name is free.
    let mut hans = Peer::over(tls_from("192.0.2.7"), &server);
    hans.begin("hans", json!({"protocol": 1}));
    assert_eq!(hans.ask(&whoelse())["reply"], json!([]));
}

#[test]
fn browsers_from_afar_are_answered_in_their_words() {
    let server = behind_proxy(&[]);
    let mut browser = Peer::over(from("192.0.2.7"), &server);
    browser.send_raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = String::from_utf8(browser.read_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[test]
fn plain_text_is_taken_if_the_client_spoke_tls_to_the_proxy_or_the_operator_wants_it() {
    let server = behind_proxy(&["hans"]);
    let mut hans = Peer::over(from("192.0.2.7").secured(), &server);
    hans.begin("hans", json!({}));
    let server = setup(&["hans"]).flags(&BEHIND_PROXY).flags(&["--plain-text"]).start();
    server.log().wait_for("plain text is answered from everywhere");
    let mut hans = Peer::over(from("192.0.2.7"), &server);
    hans.begin("hans", json!({}));
}

#[test]
fn the_address_that_the_proxy_names_is_told_to_others() {
    let server = behind_proxy(&["hans", "luke"]);
    let mut luke = Peer::over(tls_from("192.0.2.9"), &server);
    luke.begin("luke", json!({"private_port": 5001}));
    let mut hans = Peer::over(tls_from("2001:db8::1"), &server);
    hans.begin("hans", json!({"protocol": 1}));
    let answer = hans.ask(&json!({"action": "startprivate", "user": "luke"}));
    assert_eq!(answer["address"], "192.0.2.9", "{answer}");
}

#[test]
fn who_names_nobody_or_speaks_otherwise_is_not_trusted() {
    let server = behind_proxy(&["hans"]);
    let mut hans = Peer::over(tls_from("192.0.2.9"), &server);
    hans.begin("hans", json!({}));
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    for header in [local, unspecified] {
        let mut proxy = Peer::connect(&server);
        proxy.send_raw(header);
        proxy.send(&login("hans"));
        assert_eq!(proxy.expect("error")["status"], "TLS_REQUIRED");
        proxy.expect_end();
    }
    for wrong in [
        b"PROXY TCP4 192.0.2.7 10.0.0.1 49152 12346\r\n".as_slice(),
        b"{\"action\":\"whoelse\"}\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 a TLS client that comes directly",
    ] {
        let mut stranger = Peer::connect(&server);
        stranger.send_raw(wrong);
        assert_eq!(stranger.read_to_end(), b"", "{wrong:?}");
        hans.expect_quiet();
    }
}

#[test]
fn the_header_must_be_complete_within_ten_seconds() {
    let server = behind_proxy(&[]);
    let begun = Instant::now();
    let mut silent = Peer::connect(&server);
    let mut slow = Peer::connect(&server);
    slow.send_raw(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c...");
    for peer in [&mut silent, &mut slow] {
        assert_eq!(peer.read_to_end(), b"");
        let waited = begun.elapsed();
        assert!((9..15).contains(&waited.as_secs()), "{waited:?}");
    }
    assert!(begun.elapsed() > Duration::from_millis(9_500));
}

#[test]
fn a_source_has_32_strangers_and_others_are_not_shut_out_by_it() {
    let server = behind_proxy(&["hans", "luke"]);
    let mut strangers: Vec<Peer> = (0..32)
        .map(|number| Peer::over(from(&format!("2001:db8::{number:x}")).secured(), &server))
        .collect();
    for stranger in &mut strangers {
        assert_eq!(stranger.status(&whoelse()), "NOT_LOGGED_IN");
    }
    let mut one_more = Peer::over(from("2001:db8::beef").secured(), &server);
    assert_eq!(one_more.expect("error")["status"], "TOO_MANY_CONNECTIONS");
    one_more.expect_end();
    let mut silent = Peer::over(from("2001:db8::beef"), &server);
    assert_eq!(silent.read_to_end(), b"", "who speaks TLS perhaps is told nothing");
    let mut hans = Peer::over(from("2001:db8:0:1::1").secured(), &server);
    hans.begin("hans", json!({}));
    // A place is free when one of them logs in, or goes.
    strangers[0].begin("luke", json!({}));
    hans.expect("login_broadcast");
    let mut one_more = Peer::over(from("2001:db8::beef").secured(), &server);
    assert_eq!(one_more.status(&whoelse()), "NOT_LOGGED_IN");
    strangers.pop().unwrap().hang_up();
    let mut last = Peer::over(from("2001:db8::beef").secured(), &server);
    assert_eq!(last.status(&whoelse()), "NOT_LOGGED_IN");
}

#[test]
fn wrong_flags_are_refused() {
    let server = server(&[]);
    for words in [
        ["server", "0", "--behind-proxy", "localhost"],
        ["server", "0", "--behind-proxy", "10.1.0.0/8"],
        ["server", "0", "--bind", "everywhere"],
    ] {
        assert_eq!(server.run(&words, "").code, Some(2));
    }
    let ended = server.run(&["server", "0", "--data", "second", "--bind", "192.0.2.77"], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.iter().any(|line| line.contains("no address 192.0.2.77")), "{ended:?}");
}
