//! Devices: in without a password, whatever strangers do, and out within a second.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whoelse_proto::{Fingerprint, Nonce};
use whoelse_tests::program::{Device, Peer, Server, password_of};

use super::{message, server};

fn laptop() -> Device {
    Device::new("laptop", [7; 32])
}

fn phone() -> Device {
    Device::new("phone", [8; 32])
}

/// Logs in with the password and registers the device.
fn begin(server: &Server, name: &str, device: &Device) -> Peer {
    let mut peer = Peer::connect(server);
    peer.begin(name, device.members("first"));
    peer
}

fn resumed(server: &Server, name: &str, device: &Device) -> (Peer, Value) {
    let mut peer = Peer::connect(server);
    let answer = device.resume(&mut peer, server, name, "second");
    (peer, answer)
}

/// The names of the devices on the list.
fn devices(peer: &mut Peer) -> Vec<String> {
    let answer = peer.ask(&json!({"action": "devices"}));
    let list = answer["devices"].as_array().unwrap();
    list.iter().map(|device| device["device_name"].as_str().unwrap().to_owned()).collect()
}

/// The session is told why it ends, and its line ends, within a second.
fn assert_ended(peer: &mut Peer, reason: &str, since: Instant) {
    let ended = peer.until(|value| value["action"] == "ended");
    assert_eq!(ended["reason"], reason);
    peer.expect_end();
    assert!(since.elapsed() < Duration::from_secs(1), "after {:?}", since.elapsed());
}

#[test]
fn the_example_of_the_specification_is_right() {
    let text = std::fs::read_to_string(super::repository().join("docs/PROTOCOL.md")).unwrap();
    let signature = laptop().sign(&Fingerprint([1; 32]), &Nonce([2; 32]), "hans");
    assert!(text.contains(&format!("device_key  {}\n", laptop().key())));
    assert!(text.contains(&format!("signature   {signature}\n")));
}

#[test]
fn a_device_comes_back_without_a_password_over_a_crash() {
    let mut server = server(&["hans", "luke"]);
    let hans = begin(&server, "hans", &laptop());
    assert_eq!(hans.welcome()["device_name"], "laptop");
    server.crash();
    let mut luke = Peer::protocol(&server, "luke");
    luke.message("hans", "are you back?");
    let (mut hans, welcome) = resumed(&server, "hans", &laptop());
    assert_eq!(
        (&welcome["status"], &welcome["device_name"]),
        (&json!("SUCCESS"), &json!("laptop"))
    );
    hans.expect_message("luke", "are you back?");
}

#[test]
fn nobodys_guesses_keep_a_device_out() {
    let server = server(&["hans", "luke"]);
    begin(&server, "hans", &laptop()).hang_up();
    let wrong = json!({"action": "login", "username": "hans", "password": "wrong"});
    let mut stranger = Peer::connect(&server);
    let statuses: Vec<String> = (0..4).map(|_| stranger.status(&wrong)).collect();
    let locked = ["INVALID_PASSWORD", "INVALID_PASSWORD", "INVALID_PASSWORD_BLOCKED", "BLOCKED"];
    assert_eq!(statuses, locked);
    let (mut hans, welcome) = resumed(&server, "hans", &laptop());
    assert_eq!(welcome["status"], "SUCCESS");
    hans.message("luke", "they try in vain");
    let right = json!({"action": "login", "username": "hans", "password": password_of("hans")});
    assert_eq!(stranger.status(&right), "BLOCKED", "the name stays locked for passwords");
}

#[test]
fn failed_guesses_are_told_at_the_next_login_once() {
    let server = server(&["hans"]);
    begin(&server, "hans", &laptop()).hang_up();
    let mut stranger = Peer::connect(&server);
    for _ in 0..2 {
        stranger.status(&json!({"action": "login", "username": "hans", "password": "wrong"}));
    }
    let mut hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.welcome()["failed_logins"], 2);
    hans.status(&json!({"action": "logout"}));
    let hans = Peer::protocol(&server, "hans");
    assert_eq!(hans.welcome()["failed_logins"], Value::Null);
}

#[test]
fn a_proof_is_good_for_one_connection_one_name_and_one_try() {
    let server = server(&["hans", "luke"]);
    begin(&server, "hans", &laptop()).hang_up();
    let mut peer = Peer::connect(&server);
    let request = laptop().request(&mut peer, &server, "hans", "second");
    let mut other = Peer::connect(&server);
    other.ask(&json!({"action": "challenge"}));
    assert_eq!(other.status(&request), "RESUME_REFUSED", "on another connection");
    let mut as_luke = laptop().request(&mut peer, &server, "hans", "second");
    as_luke["username"] = json!("luke");
    assert_eq!(peer.status(&as_luke), "RESUME_REFUSED", "under another name");
    assert_eq!(peer.status(&request), "RESUME_REFUSED", "with a nonce of before");
    let request = phone().request(&mut peer, &server, "hans", "second");
    assert_eq!(peer.status(&request), "RESUME_REFUSED", "by a device that nobody knows");
    assert_eq!(laptop().resume(&mut peer, &server, "hans", "second")["status"], "SUCCESS");
}

#[test]
fn a_revoked_device_is_out_within_a_second_and_stays_out() {
    let server = server(&["hans"]);
    begin(&server, "hans", &laptop()).hang_up();
    let mut peer = Peer::connect(&server);
    let mut members = phone().members("third");
    members["takeover"] = json!(true);
    peer.begin("hans", members);
    assert_eq!(devices(&mut peer), ["laptop", "phone"]);
    let revoke = |name: &str| json!({"action": "revoke_device", "device_name": name});
    assert_eq!(peer.status(&revoke("laptop")), "SUCCESS");
    assert_eq!(peer.status(&revoke("laptop")), "DEVICE_NOT_EXIST");
    assert_eq!(resumed(&server, "hans", &laptop()).1["status"], "RESUME_REFUSED");
    let since = Instant::now();
    peer.send(&revoke("phone"));
    assert_ended(&mut peer, "DEVICE_REVOKED", since);
    assert_eq!(resumed(&server, "hans", &phone()).1["status"], "RESUME_REFUSED");
}

#[test]
fn a_new_password_throws_all_other_devices_out() {
    let mut server = server(&["hans"]);
    begin(&server, "hans", &laptop()).hang_up();
    let mut peer = Peer::connect(&server);
    let mut members = phone().members("third");
    members["takeover"] = json!(true);
    peer.begin("hans", members);
    let passwd =
        |old: &str, new: &str| json!({"action": "passwd", "old": old, "new": new, "id": "p"});
    assert_eq!(peer.status(&passwd("a guess", "millennium falcon")), "INVALID_PASSWORD");
    assert_eq!(peer.status(&passwd(&password_of("hans"), "short")), "BAD_PASSWORD");
    assert_eq!(peer.status(&passwd(&password_of("hans"), "millennium falcon")), "SUCCESS");
    assert_eq!(devices(&mut peer), ["phone"]);
    server.crash();
    assert_eq!(resumed(&server, "hans", &laptop()).1["status"], "RESUME_REFUSED");
    let login =
        |password: &str| json!({"action": "login", "username": "hans", "password": password});
    let mut peer = Peer::connect(&server);
    assert_eq!(peer.status(&login(&password_of("hans"))), "INVALID_PASSWORD");
    assert_eq!(peer.status(&login("millennium falcon")), "SUCCESS");
}

/// The operator does something, and the session of this name ends for this reason.
fn assert_operator_ends(server: &Server, name: &str, password: &str, words: &[&str], reason: &str) {
    let mut peer = Peer::connect(server);
    let mut login = laptop().members("first");
    login["password"] = json!(password);
    peer.begin(name, login);
    let words = [words, &["--data", "data"]].concat();
    let since = Instant::now();
    let done = server.run(&words, "");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_ended(&mut peer, reason, since);
}

#[test]
fn what_the_operator_takes_ends_sessions_within_a_second() {
    let server = server(&["hans", "luke"]);
    let refused = |name: &str| resumed(&server, name, &laptop()).1["status"].clone();
    let changed = "millennium falcon";
    std::fs::write(server.folder().join("new.txt"), changed).unwrap();
    let passwd = ["user", "passwd", "hans", "--password-file", "new.txt"];
    assert_operator_ends(&server, "hans", &password_of("hans"), &passwd, "PASSWORD_CHANGED");
    assert_eq!(refused("hans"), "RESUME_REFUSED");
    assert_operator_ends(
        &server,
        "luke",
        &password_of("luke"),
        &["user", "lock", "luke"],
        "LOCKED",
    );
    assert_eq!(refused("luke"), "LOCKED");
    let remove = ["user", "remove", "hans", "--yes"];
    assert_operator_ends(&server, "hans", changed, &remove, "REMOVED");
    assert_eq!(refused("hans"), "RESUME_REFUSED");
    let unlocked = server.run(&["user", "unlock", "luke", "--data", "data"], "");
    assert_eq!(unlocked.code, Some(0), "{unlocked:?}");
    let (mut luke, welcome) = resumed(&server, "luke", &laptop());
    assert_eq!(welcome["status"], "SUCCESS");
    assert_eq!(luke.status(&message("hans", "x")), "USER_NOT_EXIST");
}
