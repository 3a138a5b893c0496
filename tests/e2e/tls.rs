//! TLS on the same port: everything as over plain text, and a line that was cut is told from one
//! that ended.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use whoelse_tests::program::{Peer, Server, Signal, Version, Way, login, tls_client};

use super::{broadcast, message, server, setup, whoelse};

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// A text of which a few fill any buffer.
fn long(number: usize) -> String {
    format!("{number} {}", "x".repeat(50_000))
}

fn peer(server: &Server, name: &str, members: Value) -> Peer {
    let mut peer = Peer::over(Way::tls(Version::Tls13), server);
    peer.begin(name, members);
    peer
}

/// The key that a server says it has.
fn said_key(server: &Server) -> String {
    let greeting = server.greeting();
    let line = greeting.lines().find_map(|line| line.trim().strip_prefix("key ")).unwrap();
    line.trim().to_owned()
}

#[test]
fn json_is_spoken_over_tls_beside_plain_text() {
    let mut server = server(&["hans", "luke"]);
    for version in VERSIONS {
        let mut luke = Peer::protocol(&server, "luke");
        let mut hans = Peer::over(Way::tls(version), &server);
        hans.begin("hans", json!({}));
        assert_eq!(hans.key().unwrap(), said_key(&server));
        luke.expect("login_broadcast");
        hans.message("luke", "over TLS");
        let number = luke.expect_message("hans", "over TLS")["number"].clone();
        luke.send(&json!({"action": "ack", "number": number}));
        luke.message("hans", "and back");
        hans.expect_message("luke", "and back");
        for peer in [&mut luke, &mut hans] {
            peer.send(&json!({"action": "logout"}));
            peer.until(|heard| heard["action"] == "logout");
            peer.expect_end();
            assert_eq!(peer.ended(), Some("the end"));
        }
    }
    let key = said_key(&server);
    for file in ["tls-key.pem", "tls-cert.pem"] {
        let mode = server.data().join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(server.terminate().code, Some(0));
    server.restart();
    assert_eq!(said_key(&server), key);
}

#[test]
fn requests_may_come_a_byte_at_a_time_and_all_at_once() {
    let server = server(&["hans"]);
    let mut hans = Peer::over(Way::tls(Version::Tls13), &server);
    for byte in format!("{}{}\n", login("hans"), whoelse()).bytes() {
        hans.send_raw(&[byte]);
    }
    assert_eq!(hans.expect("login")["status"], "SUCCESS");
    assert_eq!(hans.expect("whoelse")["reply"], json!([]));
    let text = "x".repeat(60_000); // several records, more than is read at once
    hans.send_all((0..5).map(|_| broadcast(&text)));
    hans.send_all((0..1000).map(|_| whoelse()));
    for _ in 0..5 {
        assert_eq!(hans.expect("broadcast")["status"], "SUCCESS");
    }
    for _ in 0..1000 {
        hans.expect("whoelse");
    }
}

#[test]
fn everything_asked_before_half_closing_is_answered() {
    let server = server(&["hans"]);
    for version in VERSIONS {
        let mut hans = Peer::over(Way::tls(version), &server);
        hans.send_all([login("hans"), whoelse(), message("nobody", "x"), whoelse()]);
        hans.end();
        assert_eq!(hans.expect("login")["status"], "SUCCESS");
        hans.expect("whoelse");
        assert_eq!(hans.expect("message")["status"], "USER_NOT_EXIST");
        hans.expect("whoelse");
        hans.expect_end();
        assert_eq!(hans.ended(), Some("the end"), "our own end is said, too");
    }
}

#[test]
fn no_end_of_a_secured_line_vouches_for_mail() {
    // Whoever says close_notify has not therefore read what was on its way.
    let server = server(&["hans", "luke"]);
    let mut hans = peer(&server, "hans", json!({"protocol": 1}));
    for says_so in [false, true] {
        if !says_so {
            hans.message("luke", "read me");
        }
        let mut luke = peer(&server, "luke", json!({}));
        luke.expect_message("hans", "read me");
        if says_so {
            luke.end();
        } else {
            luke.cut();
        }
        luke.read_to_end();
        hans.until(|heard| heard["action"] == "logout_broadcast");
        let luke = peer(&server, "luke", json!({"protocol": 1}));
        assert_eq!(luke.welcome()["acknowledged"], 0);
        drop(luke);
        hans.until(|heard| heard["action"] == "login_broadcast");
        // Away, and back as somebody who cannot acknowledge.
    }
}

#[test]
fn mail_for_a_slow_reader_waits_and_comes_when_it_reads() {
    const MAIL: usize = 200;
    for version in VERSIONS {
        let server = server(&["hans", "luke"]);
        let mut luke = Peer::over(Way::tls(version).narrow(), &server);
        luke.begin("luke", json!({"protocol": 1}));
        let mut hans = peer(&server, "hans", json!({"protocol": 1}));
        for number in 0..MAIL {
            hans.message("luke", &long(number));
        }
        luke.expect("login_broadcast");
        for number in 0..MAIL {
            luke.expect_message("hans", &long(number));
        }
        luke.expect_quiet();
    }
}

#[test]
fn a_large_mailbox_comes_whole_to_clients_of_every_kind() {
    const MAIL: usize = 100;
    let server = server(&["hans", "luke"]);
    let mut hans = peer(&server, "hans", json!({"protocol": 1}));
    for number in 0..MAIL {
        hans.message("luke", &long(number));
    }
    for members in [json!({"private_port": 5000}), json!({}), json!({"protocol": 1})] {
        let mut luke = peer(&server, "luke", members);
        for number in 0..MAIL {
            luke.expect_message("hans", &long(number));
        }
        luke.cut();
        luke.read_to_end();
        hans.until(|heard| heard["action"] == "login_broadcast");
        if luke.welcome()["protocol"].is_null() {
            hans.until(|heard| heard["action"] == "logout_broadcast");
        }
    }
}

#[test]
fn a_reader_too_slow_for_what_is_said_to_all_is_cut_and_keeps_its_mail() {
    const MAIL: usize = 20;
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Peer::over(Way::tls(Version::Tls13).narrow(), &server);
    luke.begin("luke", json!({}));
    let mut hans = peer(&server, "hans", json!({"protocol": 1}));
    let mut yoda = peer(&server, "yoda", json!({"protocol": 1}));
    hans.expect("login_broadcast");
    for number in 0..MAIL {
        hans.message("luke", &long(number));
    }
    for number in 0..190 {
        hans.send(&broadcast(&long(number)));
        yoda.until(|value| value["action"] == "receive_broadcast");
    }
    hans.until(|value| value["action"] == "logout_broadcast" && value["from"] == "luke");
    let mut luke = peer(&server, "luke", json!({"protocol": 1}));
    for number in 0..MAIL {
        luke.expect_message("hans", &long(number));
    }
    luke.expect_quiet();
}

#[test]
fn a_handshake_must_be_complete_within_ten_seconds() {
    let server = server(&["hans"]);
    let mut hello = Vec::new();
    tls_client(Version::Tls13).write_tls(&mut hello).unwrap();
    let begun = Instant::now();
    let mut stalled: Vec<Peer> = [1, 100, hello.len()]
        .into_iter()
        .map(|said| {
            let mut peer = Peer::connect(&server);
            peer.send_raw(&hello[..said]);
            peer
        })
        .collect();
    let mut hans = peer(&server, "hans", json!({}));
    for peer in &mut stalled {
        peer.read_to_end();
        let waited = begun.elapsed();
        assert!(waited > Duration::from_millis(9_500), "{waited:?}");
        assert!(waited < Duration::from_secs(15), "{waited:?}");
    }
    hans.expect_quiet();
}

#[test]
fn garbage_closes_only_itself() {
    let server = server(&["hans"]);
    let mut hans = peer(&server, "hans", json!({}));
    let mut hello = Vec::new();
    tls_client(Version::Tls13).write_tls(&mut hello).unwrap();
    let mut damaged = hello.clone();
    damaged[50..].fill(0xff);
    let mut longer = hello.clone();
    longer[3..5].copy_from_slice(&[0xff, 0xff]);
    let garbage: Vec<Vec<u8>> = vec![
        vec![0x16; 10_000],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03{\"action\":\"whoelse\"}".to_vec(),
        b"\x16\x03\x01\x00\x00".to_vec(),
        b"\x16\x03\x01\x00\x00".repeat(10_000),
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"\x16\x03\x01\x00\x01\x01".repeat(10_000),
        b"\x16\x03\x00\x00\x04\x01\x00\x00\x00".to_vec(),
        b"\x16\x03\x03\x00\x04\x02\x00\x00\x00".to_vec(),
        b"\x16{\"action\":\"login\"}\n".to_vec(),
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec(),
        [b"\x16\x03\x01\x40\x00\x01\x00\xff\xff".as_slice(), &[0; 100_000]].concat(),
        damaged,
        longer,
        hello.repeat(2),
        [hello.as_slice(), b"\x17\x03\x03\x00\x05hello"].concat(),
        [hello.as_slice(), b"\x14\x03\x03\x00\x01\x01"].repeat(100).concat(),
        [hello.as_slice(), b"\x15\x03\x03\x00\x02\x02\x28"].concat(),
        [hello.as_slice(), b"{\"action\":\"whoelse\"}"].concat(),
    ];
    for bytes in garbage {
        let mut stranger = Peer::connect(&server);
        stranger.send_raw(&bytes);
        stranger.cut();
        let answer = stranger.read_to_end();
        let is_tls = |first: &u8| matches!(first, 0x14..=0x17);
        assert!(answer.first().is_none_or(is_tls), "{:?} {answer:?}", &bytes[..9.min(bytes.len())]);
        hans.expect_quiet();
    }
    // What is damaged later ends the line as much.
    for rubbish in [b"\x17\x03\x03\x00\x20................................".as_slice(), b"{}{}{}{}"]
    {
        let mut luke = Peer::over(Way::tls(Version::Tls13), &server);
        assert_eq!(luke.status(&whoelse()), "NOT_LOGGED_IN");
        luke.send_beneath(rubbish);
        luke.read_to_end();
        hans.expect_quiet();
    }
}

#[test]
fn within_tls_the_first_bytes_decide_once_more() {
    let server = server(&["hans"]);
    let over = || Peer::over(Way::tls(Version::Tls13), &server);
    let mut browser = over();
    browser.send_raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = String::from_utf8(browser.read_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let mut nested = over();
    let mut hello = Vec::new();
    tls_client(Version::Tls13).write_tls(&mut hello).unwrap();
    nested.send_raw(&hello);
    assert_eq!(nested.read_to_end(), [0x15, 3, 3, 0, 2, 2, 40]);
    let mut rude = over();
    rude.send_raw(b"whoelse\n");
    assert_eq!(rude.expect("error")["status"], "BAD_REQUEST");
}

/// A certificate and its key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["chat.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_new_certificate_is_used_without_dropping_anybody_and_a_bad_one_is_not() {
    let ((first, first_key), (second, second_key)) = (pair(), pair());
    let server = setup(&["hans", "luke"])
        .file("cert.pem", &first)
        .file("key.pem", &first_key)
        .flags(&["--tls-cert", "cert.pem", "--tls-key", "key.pem"])
        .start();
    let log = server.log();
    log.wait_for("other users of this machine can read the private key");
    let mut hans = peer(&server, "hans", json!({"protocol": 1}));
    let old = hans.key().unwrap();
    assert_eq!(old, said_key(&server));
    let write = |name: &str, text: &str| std::fs::write(server.folder().join(name), text).unwrap();
    let key_now = || {
        let mut peer = Peer::over(Way::tls(Version::Tls13), &server);
        assert_eq!(peer.status(&whoelse()), "NOT_LOGGED_IN");
        peer.key().unwrap()
    };
    let unusable = [
        (second.as_str(), first_key.as_str()), // another's
        ("", &first_key),
        (&first[..first.len() / 2], &first_key),
        (&first, "no key"),
    ];
    for ((certificate, key), failures) in unusable.into_iter().zip(1..) {
        write("cert.pem", certificate);
        write("key.pem", key);
        server.signal(Signal::HUP);
        log.wait("a refusal", |lines| {
            let said = lines.iter().filter(|line| line.contains("stay as they were")).count();
            (said == failures).then_some(())
        });
        assert_eq!(key_now(), old);
    }
    std::fs::remove_file(server.folder().join("key.pem")).unwrap();
    server.signal(Signal::HUP);
    log.wait_for("No such file");
    assert_eq!(key_now(), old);
    write("cert.pem", &second);
    write("key.pem", &second_key);
    server.signal(Signal::HUP);
    log.wait_for("were read again");
    let new = key_now();
    assert_ne!(new, old);
    let mut luke = peer(&server, "luke", json!({"protocol": 1}));
    hans.expect("login_broadcast");
    hans.message("luke", "still here");
    luke.expect_message("hans", "still here");
}

#[test]
fn a_start_with_a_bad_certificate_fails_and_says_why() {
    let server = server(&[]);
    let ((certificate, key), (_, other)) = (pair(), pair());
    for (name, text) in [("cert.pem", &certificate), ("key.pem", &key), ("other.pem", &other)] {
        std::fs::write(server.folder().join(name), text).unwrap();
    }
    for (certificate, key, says) in [
        ("nowhere.pem", "key.pem", "nowhere.pem"),
        ("cert.pem", "nowhere.pem", "nowhere.pem"),
        ("key.pem", "key.pem", "no certificate"),
        ("cert.pem", "cert.pem", "cannot use cert.pem"),
        ("cert.pem", "other.pem", "does not belong to the certificate"),
    ] {
        let words =
            ["server", "0", "--data", "second", "--tls-cert", certificate, "--tls-key", key];
        let ended = server.run(&words, "");
        assert_eq!(ended.code, Some(7), "{ended:?}");
        assert!(ended.err.iter().any(|line| line.contains(says)), "{ended:?}");
    }
    let ended = server.run(&["server", "0", "--tls-cert", "cert.pem"], "");
    assert_eq!(ended.code, Some(2));
}
