//! What stays behind: logs without secrets, and files that only their owner can read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use whoelse_tests::program::{Device, Peer, Running, Server, login, password_of};

use super::setup;

/// Has everything said that should not be found again.
fn say_secrets(server: &Server) -> Vec<String> {
    let device = Device::new("laptop", [7; 32]);
    let mut hans = Peer::connect(server);
    hans.begin("hans", device.members("first"));
    hans.message("luke", "the table is for eight");
    hans.send_raw(b"{\"action\":\"message\",\"user\":\"luke\",\"message\":\"half a secret\n");
    hans.expect("message");
    hans.ask(&json!({"action": "broadcast", "message": "said to everybody"}));
    let invite = hans.ask(&json!({"action": "invite"}))["invite"].as_str().unwrap().to_owned();
    hans.ask(&json!({"action": "passwd", "old": "an old guess", "new": "a new password"}));
    hans.ask(&json!({"action": "passwd", "old": password_of("hans"), "new": "a new password"}));
    let mut stranger = Peer::connect(server);
    let mut guess = login("luke");
    guess["password"] = json!("a wrong guess");
    stranger.ask(&guess);
    stranger.ask(&json!({
        "action": "join", "invite": invite, "username": "leia", "password": "princess leia", "protocol": 1,
    }));
    let mut luke = Peer::plain(server, "luke");
    luke.expect_message("hans", "the table is for eight");
    luke.message("hans", "an answer");
    let mut phone = Peer::connect(server);
    let resumed = device.resume(&mut phone, server, "hans", "first");
    assert_eq!(resumed["status"], "SUCCESS", "{resumed}");
    vec![
        "the table is for eight".into(),
        "half a secret".into(),
        "said to everybody".into(),
        invite,
        "an old guess".into(),
        "a new password".into(),
        password_of("hans"),
        password_of("luke"),
        "a wrong guess".into(),
        "princess leia".into(),
        "an answer".into(),
        "$argon2id".into(),
    ]
}

#[test]
fn no_secret_and_no_word_is_ever_logged() {
    let mut server = setup(&["hans", "luke"]).flags(&["--debug"]).start();
    let secrets = say_secrets(&server);
    server.terminate();
    let said = format!("{}\n{}", server.greeting(), server.log().all().join("\n"));
    assert!(said.contains("logged in"), "it logs at all:\n{said}");
    for secret in secrets {
        assert!(!said.contains(&secret), "'{secret}' is in the log:\n{said}");
    }
}

#[test]
fn addresses_are_logged_for_those_only_who_ask_for_everything() {
    let mut server = setup(&["hans", "luke"]).start();
    say_secrets(&server);
    server.terminate();
    // Its own are not those of people.
    let log = server.log().all().into_iter().filter(|line| !line.contains("made a certificate"));
    let said = log.collect::<Vec<_>>().join("\n");
    assert!(!said.contains("127.0.0.1") && !said.contains("::1"), "{said}");
}

/// Files and folders below a folder that others may do anything with.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:o}", entry.path().display()));
        }
        if entry.file_type().unwrap().is_dir() {
            open.extend(open_to_others(&entry.path()));
        }
    }
    open
}

#[test]
fn everything_a_server_and_a_client_keep_is_theirs_alone_whatever_the_umask() {
    let server = setup(&["hans", "luke"]).start();
    say_secrets(&server);
    let home = tempfile::tempdir().unwrap();
    let words = |command: &str| {
        let program = server.program().display();
        ["-c".to_owned(), format!("umask 000; exec {program} {command}")]
    };
    let own = Running::start(Path::new("/bin/sh"), &words("server 0 --data data"), home.path());
    own.out.wait_for("Ctrl-C ends it.");
    let client = format!("client localhost {}", server.port());
    let mut client = Running::start(Path::new("/bin/sh"), &words(&client), home.path());
    client.write(&format!("luke\n{}\n", password_of("luke")));
    client.out.wait_for("logged in");
    client.end_input();
    assert_eq!(client.wait().code, Some(0));
    let mode = fs::metadata(home.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for entry in fs::read_dir(home.path()).unwrap() {
        assert_eq!(open_to_others(&entry.unwrap().path()), Vec::<String>::new());
    }
}
