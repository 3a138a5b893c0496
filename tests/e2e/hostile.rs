//! Whatever is not a well-formed request gets its answer and harms nobody.
//!
//! Every test has a bystander who must not notice anything. Mallory, the rude one, has blocked the
//! bystander, so that not even comings and goings show.

use serde_json::{Value, json};
use whoelse_tests::program::{Peer, Server, login, password_of};

use super::{block, message, server, setup, whoelse};

/// Frames that mean nothing, the `action` of the answer, and a word of its sentence.
const BAD_FRAMES: [(&[u8], &str, &str); 46] = [
    (b"{}", "error", "'action' is missing"),
    (b"[]", "error", "JSON object"),
    (b"[{\"action\":\"whoelse\"}]", "error", "JSON object"),
    (b"17", "error", "JSON object"),
    (b"\"whoelse\"", "error", "JSON object"),
    (b"null", "error", "JSON object"),
    (b"whoelse", "error", "JSON object"),
    (b"\0\0\0", "error", "JSON object"),
    (b"\xff\xfe", "error", "JSON object"),
    (b"}", "error", "JSON object"),
    (b"{\"action\":7}", "error", "'action' must be a string"),
    (b"{\"action\":null}", "error", "'action' must be a string"),
    (b"{\"action\":[\"whoelse\"]}", "error", "'action' must be a string"),
    (b"{\"action\":\"whoelse\",\"action\":\"logout\"}", "error", "twice"),
    (b"{\"action\":\"\\ud800\"}", "error", "surrogate"),
    (b"{\"action\" \"whoelse\"}", "error", "not JSON"),
    (b"{'action':'whoelse'}", "error", "not JSON"),
    (b"{\"action\":\"whoelse\",}", "whoelse", "not JSON"),
    (b"{\"action\":\"whoelse\",\"x\":01}", "whoelse", "not JSON"),
    (b"{\"action\":\"whoelse\",\"x\":NaN}", "whoelse", "not JSON"),
    (b"{\"action\":\"whoelse\",\"x\":1,\"x\":2}", "whoelse", "twice"),
    (b"{\"action\":\"whoelse\",\"x\":{\"y\":1,\"y\":2}}", "whoelse", "twice"),
    (b"{\"action\":\"message\"}", "message", "'user' is missing"),
    (b"{\"action\":\"message\",\"user\":\"bystander\"}", "message", "'message' is missing"),
    (b"{\"action\":\"message\",\"user\":7,\"message\":\"x\"}", "message", "'user' must be"),
    (b"{\"action\":\"message\",\"user\":\"x\",\"message\":null}", "message", "'message' must be"),
    (b"{\"action\":\"message\",\"user\":\"x\",\"message\":{}}", "message", "'message' must be"),
    (b"{\"action\":\"broadcast\",\"message\":[\"x\"]}", "broadcast", "'message' must be"),
    (b"{\"action\":\"broadcast\",\"message\":\"\\udc00\\ud800\"}", "broadcast", "surrogate"),
    (b"{\"action\":\"broadcast\",\"message\":\"a\\u0000b\"}", "broadcast", "NUL"),
    (b"{\"action\":\"broadcast\",\"message\":\"a\x07b\"}", "broadcast", "not JSON"),
    (b"{\"action\":\"broadcast\",\"message\":\"a\x1b[2Jb\"}", "broadcast", "not JSON"),
    (b"{\"action\":\"broadcast\",\"message\":\"a\0b\"}", "broadcast", "not JSON"),
    (b"{\"action\":\"broadcast\",\"message\":\"\xff\"}", "broadcast", "not UTF-8"),
    (b"{\"action\":\"broadcast\",\"message\":\"\xc0\x80\"}", "broadcast", "not UTF-8"),
    (b"{\"action\":\"broadcast\",\"message\":\"\xed\xa0\x80\"}", "broadcast", "not UTF-8"),
    (b"{\"action\":\"block\",\"user\":true}", "block", "'user' must be"),
    (b"{\"action\":\"whoelsesince\"}", "whoelsesince", "'since' is missing"),
    (b"{\"action\":\"whoelsesince\",\"since\":-1}", "whoelsesince", "0 or more"),
    (b"{\"action\":\"whoelsesince\",\"since\":1e400}", "whoelsesince", "0 or more"),
    (b"{\"action\":\"whoelsesince\",\"since\":\"ten\"}", "whoelsesince", "0 or more"),
    (b"{\"action\":\"ack\",\"number\":-1}", "ack", "'number' must be"),
    (b"{\"action\":\"ack\",\"number\":18446744073709551616}", "ack", "'number' must be"),
    (b"{\"action\":\"ack\",\"number\":1e400}", "ack", "'number' must be"),
    (b"{\"action\":\"ack\",\"number\":1.5}", "ack", "'number' must be"),
    (b"{\"action\":\"whoelse\",\"id\":7}", "whoelse", "'id' must be"),
];

/// Logins that are none, by the members besides `action`.
const BAD_LOGINS: [&str; 20] = [
    r#""password":"x""#,
    r#""username":"mallory""#,
    r#""username":7,"password":"x""#,
    r#""username":null,"password":"x""#,
    r#""username":"mallory","password":["x"]"#,
    r#""username":"mallory","password":"a\u0000b""#,
    r#""username":"mallory","password":"x","private_port":-1"#,
    r#""username":"mallory","password":"x","private_port":65536"#,
    r#""username":"mallory","password":"x","private_port":1e400"#,
    r#""username":"mallory","password":"x","private_port":"5000""#,
    r#""username":"mallory","password":"x","private_port":50.5"#,
    r#""username":"mallory","password":"x","protocol":0"#,
    r#""username":"mallory","password":"x","protocol":-1"#,
    r#""username":"mallory","password":"x","protocol":"1""#,
    r#""username":"mallory","password":"x","protocol":1e400"#,
    r#""username":"mallory","password":"x","instance":"""#,
    r#""username":"mallory","password":"x","instance":7"#,
    r#""username":"mallory","password":"x","takeover":"yes""#,
    r#""username":"mallory","password":"x","password":"y""#,
    r#""username":"mallory","password":"x","id":"""#,
];

/// A server with a bystander logged in, of whom mallory's sessions stay hidden.
fn scene() -> (Server, Peer) {
    let server = server(&["bystander", "mallory"]);
    let mut mallory = Peer::plain(&server, "mallory");
    assert_eq!(mallory.status(&block("bystander")), "SUCCESS");
    mallory.hang_up();
    let bystander = Peer::protocol(&server, "bystander");
    (server, bystander)
}

/// The bystander has noticed nothing, and is still served, down to the disk.
fn assert_unharmed(bystander: &mut Peer) {
    bystander.expect_quiet();
    assert_eq!(bystander.status(&block("mallory")), "SUCCESS");
}

/// The frame is answered once, and the connection goes on.
fn assert_refused(peer: &mut Peer, frame: &[u8], action: &str, says: &str) {
    let shown = String::from_utf8_lossy(&frame[..frame.len().min(200)]).into_owned();
    peer.send_raw(frame);
    peer.send_raw(b"\n");
    let mut next = whoelse();
    next["id"] = json!("next");
    peer.send(&next);
    let answer = peer.hear();
    assert_eq!(answer["action"], action, "{shown} -> {answer}");
    assert_eq!(answer["status"], "BAD_REQUEST", "{shown} -> {answer}");
    let sentence = answer["message"].as_str().unwrap();
    assert!(sentence.contains(says), "{shown} -> {answer}");
    assert_eq!(peer.expect("whoelse")["id"], "next", "after {shown}");
}

fn assert_table_refused(mut peer: Peer) {
    for (frame, action, says) in BAD_FRAMES {
        assert_refused(&mut peer, frame, action, says);
    }
    let deep = format!(r#"{{"action":"whoelse","x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    assert_refused(&mut peer, deep.as_bytes(), "whoelse", "deeper than 16");
    let deeper = format!(r#"{{"action":"whoelse","x":{}{}}}"#, "[".repeat(1500), "]".repeat(1500));
    assert_refused(&mut peer, deeper.as_bytes(), "whoelse", "deeper than 16");
    let many: String = (0..64).map(|number| format!(r#","m{number}":1"#)).collect();
    let many = format!(r#"{{"action":"whoelse"{many}}}"#);
    assert_refused(&mut peer, many.as_bytes(), "whoelse", "More than 64 members");
    let long_id = format!(r#"{{"action":"whoelse","id":"{}"}}"#, "x".repeat(65));
    assert_refused(&mut peer, long_id.as_bytes(), "whoelse", "'id' must have 1 to 64");
}

#[test]
fn bad_frames_are_refused_before_login() {
    let (server, mut bystander) = scene();
    assert_table_refused(Peer::connect(&server));
    assert_unharmed(&mut bystander);
}

#[test]
fn bad_frames_are_refused_in_a_plain_session() {
    let (server, mut bystander) = scene();
    assert_table_refused(Peer::plain(&server, "mallory"));
    assert_unharmed(&mut bystander);
}

#[test]
fn bad_frames_are_refused_in_a_session_of_our_protocol() {
    let (server, mut bystander) = scene();
    assert_table_refused(Peer::protocol(&server, "mallory"));
    assert_unharmed(&mut bystander);
}

#[test]
fn bad_logins_are_refused_and_are_no_strikes() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::connect(&server);
    for members in BAD_LOGINS {
        let frame = format!(r#"{{"action":"login",{members}}}"#);
        assert_refused(&mut mallory, frame.as_bytes(), "login", "'");
    }
    let long =
        format!(r#"{{"action":"login","username":"mallory","password":"{}"}}"#, "x".repeat(513));
    assert_refused(&mut mallory, long.as_bytes(), "login", "at most 512 bytes");
    mallory.begin("mallory", json!({"protocol": 1}));
    assert_unharmed(&mut bystander);
}

#[test]
fn before_login_only_login_is_heard() {
    let (server, mut bystander) = scene();
    let mut stranger = Peer::connect(&server);
    for request in [
        message("bystander", "boo"),
        block("bystander"),
        whoelse(),
        json!({"action": "logout"}),
        json!({"action": "ack", "number": 1}),
        json!({"action": "active"}),
    ] {
        assert_eq!(stranger.status(&request), "NOT_LOGGED_IN");
    }
    let unknown = stranger.ask(&json!({"action": "dance", "id": "1"}));
    assert_eq!((&unknown["status"], &unknown["id"]), (&json!("UNKNOWN_ACTION"), &json!("1")));
    assert_unharmed(&mut bystander);
}

/// A broadcast that is as many bytes long.
fn of_length(bytes: usize) -> Vec<u8> {
    let begin = r#"{"action":"broadcast","message":""#;
    let end = r#""}"#;
    format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len())).into_bytes()
}

#[test]
fn frames_may_have_4_kib_before_login_and_64_kib_after() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::connect(&server);
    mallory.send_raw(&of_length(4096));
    assert_eq!(mallory.expect("broadcast")["status"], "NOT_LOGGED_IN");
    assert_refused(&mut mallory, &of_length(4097), "broadcast", "Longer than 4096 bytes");
    assert_refused(&mut mallory, &of_length(10_000_000), "broadcast", "Longer than 4096 bytes");
    for members in [json!({}), json!({"protocol": 1})] {
        let mut mallory = Peer::connect(&server);
        mallory.begin("mallory", members);
        mallory.send_raw(&of_length(64 * 1024));
        mallory.send_raw(b"\n");
        assert_eq!(mallory.expect("broadcast")["status"], "SUCCESS");
        bystander.expect("receive_broadcast");
        assert_refused(&mut mallory, &of_length(64 * 1024 + 1), "broadcast", "Longer than 65536");
        assert_refused(&mut mallory, &of_length(10_000_000), "broadcast", "Longer than 65536");
        mallory.hang_up();
    }
    assert_unharmed(&mut bystander);
}

#[test]
fn ten_megabytes_of_anything_cost_one_answer() {
    let (server, mut bystander) = scene();
    for (byte, says) in [(b'x', "JSON object"), (b'[', "Longer"), (b'{', "Longer")] {
        let mut stranger = Peer::connect(&server);
        stranger.send_raw(&vec![byte; 10_000_000]);
        stranger.end();
        let answer = stranger.expect("error");
        assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
        stranger.expect_end();
    }
    let mut stranger = Peer::connect(&server);
    stranger.send_raw(&vec![b' '; 10_000_000]);
    stranger.send(&whoelse());
    stranger.expect("whoelse");
    assert_unharmed(&mut bystander);
}

#[test]
fn an_unterminated_string_costs_its_line() {
    let (server, mut bystander) = scene();
    for mut peer in [Peer::connect(&server), Peer::plain(&server, "mallory")] {
        let frame = br#"{"action":"broadcast","message":"never ending}"#;
        assert_refused(&mut peer, frame, "broadcast", "line ended before");
        peer.hang_up();
    }
    let mut mallory = Peer::protocol(&server, "mallory");
    assert_refused(&mut mallory, br#"{"action":"block","user":"#, "block", "line ended before");
    assert_unharmed(&mut bystander);
}

#[test]
fn numbers_nobody_wants_may_have_any_size() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::protocol(&server, "mallory");
    mallory.send_raw(
        b"{\"action\":\"whoelse\",\"x\":1e400,\"y\":[-1e999,123456789012345678901234567890]}\n",
    );
    assert_eq!(mallory.expect("whoelse")["status"], "SUCCESS");
    mallory.send_raw(b"{\"action\":\"whoelsesince\",\"since\":99999999999999999999}\n");
    mallory.expect("whoelsesince");
    mallory.expect_quiet();
    assert_unharmed(&mut bystander);
}

#[test]
fn escaped_control_characters_are_carried_unchanged() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = Peer::protocol(&server, "hans");
    luke.expect("login_broadcast");
    let text = "bell \u{7} clear \u{1b}[2J\r\n tab \t delete \u{7f} c1 \u{9b} bidi \u{202e} 👩‍💻";
    hans.message("luke", text);
    luke.expect_message("hans", text);
}

#[test]
fn browsers_are_answered_in_their_words_and_nothing_they_send_is_done() {
    let (server, mut bystander) = scene();
    let body =
        json!({"action": "login", "username": "mallory", "password": password_of("mallory")});
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n{body}\n{}\n",
            message("bystander", "boo")
        ),
    ] {
        let mut browser = Peer::connect(&server);
        browser.send_raw(request.as_bytes());
        let answer = String::from_utf8(browser.read_to_end()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(!answer.contains("action"), "{answer}");
    }
    assert_unharmed(&mut bystander);
}

#[test]
fn requests_may_come_a_byte_at_a_time() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::connect(&server);
    let requests = format!("{}{}\n", login("mallory"), whoelse());
    for byte in requests.bytes() {
        mallory.send_raw(&[byte]);
    }
    assert_eq!(mallory.expect("login")["status"], "SUCCESS");
    assert_eq!(mallory.expect("whoelse")["reply"], json!(["bystander"]));
    assert_unharmed(&mut bystander);
}

#[test]
fn half_a_request_is_forgotten_with_its_connection() {
    let (server, mut bystander) = scene();
    let mut stranger = Peer::connect(&server);
    stranger.send_raw(b"{\"action\":\"login\",\"user");
    stranger.end();
    stranger.expect_end();
    let stranger = Peer::connect(&server);
    stranger.reset();
    let mut mallory = Peer::plain(&server, "mallory");
    mallory.send_raw(b"{\"action\":\"message\",\"user\":\"bystander\",\"message\":\"boo\"");
    mallory.end();
    mallory.expect_end();
    assert_unharmed(&mut bystander);
}

#[test]
fn everything_asked_before_half_closing_is_answered() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::connect(&server);
    mallory.send_all([login("mallory"), whoelse(), message("nobody", "x"), whoelse()]);
    mallory.end();
    assert_eq!(mallory.expect("login")["status"], "SUCCESS");
    assert_eq!(mallory.expect("whoelse")["reply"], json!(["bystander"]));
    assert_eq!(mallory.expect("message")["status"], "USER_NOT_EXIST");
    mallory.expect("whoelse");
    mallory.expect_end();
    assert_unharmed(&mut bystander);
}

#[test]
fn commands_behind_a_refused_login_are_refused() {
    let (server, mut bystander) = scene();
    let mut mallory = Peer::connect(&server);
    let mut wrong = login("mallory");
    wrong["password"] = json!("wrong");
    mallory.send_all([wrong, message("bystander", "boo"), login("mallory"), whoelse()]);
    assert_eq!(mallory.expect("login")["status"], "INVALID_PASSWORD");
    assert_eq!(mallory.expect("message")["status"], "NOT_LOGGED_IN");
    assert_eq!(mallory.expect("login")["status"], "SUCCESS");
    assert_eq!(mallory.expect("whoelse")["status"], "SUCCESS");
    assert_unharmed(&mut bystander);
}

#[test]
fn a_request_must_be_complete_within_ten_seconds() {
    let (server, mut bystander) = scene();
    let mut slow: Vec<Peer> =
        vec![Peer::connect(&server), Peer::connect(&server), Peer::plain(&server, "mallory")];
    for (peer, begin) in slow.iter_mut().zip(["{\"action\":", "GE", "{"]) {
        peer.send_raw(begin.as_bytes());
    }
    for peer in &mut slow {
        let answer = peer.expect("error");
        assert_eq!(answer["status"], "BAD_REQUEST");
        assert!(answer["message"].as_str().unwrap().contains("within 10 seconds"), "{answer}");
        peer.expect_end();
    }
    assert_unharmed(&mut bystander);
}

#[test]
fn the_oldest_of_too_many_strangers_makes_room() {
    let (server, mut bystander) = scene();
    let mut strangers: Vec<Peer> = (0..513).map(|_| Peer::connect(&server)).collect();
    strangers[0].expect_end();
    let last: &mut Peer = strangers.last_mut().unwrap();
    last.begin("mallory", json!({}));
    strangers[1].send(&whoelse());
    let answer: Value = strangers[1].hear();
    assert_eq!(answer["status"], "NOT_LOGGED_IN");
    assert_unharmed(&mut bystander);
}

#[test]
fn a_ceiling_for_requests_is_kept_and_told() {
    let server = setup(&["hans", "luke"]).flags(&["--rate", "5"]).start();
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = Peer::protocol(&server, "hans");
    luke.expect("login_broadcast");
    let refused =
        (0..100).map(|_| hans.ask(&whoelse())).find(|answer| answer["status"] != "SUCCESS");
    let refused = refused.unwrap();
    assert_eq!((&refused["status"], &refused["retry_after"]), (&json!("TOO_FAST"), &json!(1)));
    luke.expect_quiet();
}
