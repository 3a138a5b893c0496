//! The real client without a terminal: lines in, lines out, as scripts use it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::{Value, json};
use whoelse_tests::program::{Client, Ended, Peer, Server, password_of};

use super::{PROGRAM, ack, block, logout, server, setup};

/// A client that is logged in.
fn client(server: &Server, name: &str) -> Client {
    let port = server.port().to_string();
    let mut client = Client::start(server.program(), &["localhost", &port], server.folder());
    client.say(name);
    client.say(&password_of(name));
    client.hear(&format!("logged in as {name}"));
    client
}

/// What a client does with all its input at once.
fn script(server: &Server, input: &str) -> Ended {
    server.run(&["client", "localhost", &server.port().to_string()], input)
}

#[test]
fn two_people_talk() {
    let server = server(&["hans", "luke"]);
    let mut hans = client(&server, "hans");
    let mut luke = client(&server, "luke");
    hans.hear("luke logged in");
    hans.say("message luke hello");
    luke.hear("hans: hello");
    let sent = hans.hear("luke");
    assert!(sent.contains("message"), "{sent}");
    luke.say("broadcast hear ye");
    let heard = hans.hear("hear ye");
    assert!(heard.contains("luke") && !heard.contains("luke: hear ye"), "{heard}");
    luke.hear("broadcast");
    luke.say("logout");
    hans.hear("luke logged out");
    assert_eq!(luke.wait().code, Some(0));
    hans.end_input();
    let ended = hans.wait();
    assert_eq!((ended.code, ended.err), (Some(0), Vec::<String>::new()));
    assert!(!ended.out.concat().contains(char::is_control), "{:?}", ended.out);
}

#[test]
fn every_answer_names_the_command_and_the_person() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    assert_eq!(luke.status(&block("hans")), "SUCCESS");
    for (line, texts) in [
        ("message luke hello", ["message", "luke"]),
        ("block luke", ["block", "luke"]),
        ("unblock luke", ["unblock", "luke"]),
        ("unblock luke", ["unblock", "luke"]),
        ("message lucke hello", ["lucke", "luke"]),
        ("block nobody", ["block", "nobody"]),
        ("message hans hello", ["message", "yourself"]),
        ("block hans", ["block", "yourself"]),
        ("startprivate luke", ["startprivate", "luke"]),
        ("startprivate hans", ["startprivate", "yourself"]),
        ("private luke hello", ["private", "luke"]),
        ("stopprivate luke", ["stopprivate", "luke"]),
        ("mesage luke hello", ["mesage", "message"]),
        ("whoelsesince soon", ["whoelsesince", "soon"]),
        ("message", ["message", "<user>"]),
        ("help whoelse", ["whoelse", "online"]),
    ] {
        hans.say(line);
        let answer = hans.hear(texts[0]);
        assert!(answer.contains(texts[1]), "{line}: {answer}");
    }
}

#[test]
fn whoelse_prints_one_name_a_line() {
    let server = server(&["hans", "luke", "yoda"]);
    let _luke = Peer::protocol(&server, "luke");
    let _yoda = Peer::protocol(&server, "yoda");
    let ended = script(&server, "hans\nhans's secret\nwhoelse\nwhoelsesince 100\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names: Vec<&String> =
        ended.out.iter().filter(|line| ["luke", "yoda"].contains(&line.as_str())).collect();
    assert_eq!(names, ["luke", "yoda", "luke", "yoda"], "{ended:?}");
}

#[test]
fn a_script_ends_when_everything_it_sent_is_confirmed() {
    let server = server(&["hans", "luke"]);
    let lines: String = (0..100).map(|number| format!("message luke line {number}\n")).collect();
    let ended = script(&server, &format!("hans\nhans's secret\n{lines}"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut luke = Peer::protocol(&server, "luke");
    for number in 0..100 {
        luke.expect_message("hans", &format!("line {number}"));
    }
}

#[test]
fn refused_commands_do_not_make_a_script_fail() {
    let server = server(&["hans"]);
    let ended = script(&server, "hans\nhans's secret\nmessage nobody hello\ndance\nlogout\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn waiting_mail_is_shown_once_and_is_harmless_to_a_terminal() {
    let server = server(&["hans", "luke"]);
    let mut luke = Peer::protocol(&server, "luke");
    luke.message("hans", "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m red\r\n* luke logged out");
    let ended = script(&server, "hans\nhans's secret\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = ended.out.join("\n");
    assert!(text.contains("luke: "), "{text}");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(!ended.out.iter().any(|line| line.starts_with("* luke logged out")), "{text}");
    let ended = script(&server, "hans\nhans's secret\n");
    assert!(!ended.out.iter().any(|line| line.contains("luke: ")), "{ended:?}");
}

#[test]
fn name_and_password_can_be_given_without_a_prompt() {
    let server = server(&["hans"]);
    fs::write(server.folder().join("password.txt"), "hans's secret\n").unwrap();
    let port = server.port().to_string();
    let words = ["client", "localhost", &port, "--user", "hans", "--password-file", "password.txt"];
    let ended = server.run(&words, "whoelse\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out[0].contains("first contact"), "before the password: {ended:?}");
    assert!(ended.out[1].contains("logged in as hans"), "{ended:?}");
    let words = ["client", "localhost", &port, "--user", "hans", "--password-file", "none.txt"];
    let ended = server.run(&words, "");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err[0].contains("none.txt"), "{ended:?}");
}

#[test]
fn no_server_is_exit_code_3() {
    let mut server = server(&["hans"]);
    server.kill9();
    let ended = script(&server, "hans\nhans's secret\n");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.err.len(), 1, "{ended:?}");
    assert!(ended.err[0].contains(&server.port().to_string()), "{ended:?}");
}

#[test]
fn refused_logins_are_exit_code_4() {
    let server = setup(&["hans"]).start();
    let here = Peer::protocol(&server, "hans");
    let ended = script(&server, "hans\nhans's secret\n");
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err[0].contains("logged in elsewhere"), "{ended:?}");
    here.hang_up();
    for says in ["2 tries left", "One more wrong try", "60 seconds", "60 seconds"] {
        let ended = script(&server, "hans\nwrong\nmessage luke not sent\n");
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert_eq!(ended.err.len(), 1, "{ended:?}");
        assert!(ended.err[0].contains("hans") && !ended.err[0].contains("wrong\n"), "{ended:?}");
        // The block may have begun a second ago.
        let says = says.replace("60 ", "");
        assert!(ended.err[0].contains(&says), "{ended:?}");
    }
}

#[test]
fn what_was_not_confirmed_when_the_server_died_arrives_once() {
    const COUNT: usize = 300;
    let mut server = server(&["hans", "luke"]);
    let mut luke = Peer::instance(&server, "luke", "one");
    let mut hans = client(&server, "hans");
    luke.expect("login_broadcast");
    for number in 1..=COUNT {
        hans.say(&format!("message luke line {number}"));
    }
    for number in 1..=3 {
        luke.expect_message("hans", &format!("line {number}"));
    }
    luke.send(&ack(3));
    server.crash();
    hans.hear("connection");
    hans.hear("back after");
    let mut luke = Peer::instance(&server, "luke", "one");
    let mut next = 1;
    while next <= COUNT {
        let mail = luke.until(|value| value["action"] == "receive_message");
        let number = usize::try_from(mail["number"].as_u64().unwrap()).unwrap();
        // The acknowledgement may have died with the server.
        assert!(number == next || (next == 1 && number == 4), "{mail} instead of {next}");
        assert_eq!(mail["message"], format!("line {number}"));
        next = number + 1;
    }
    hans.say("logout");
    assert_eq!(hans.wait().code, Some(0));
}

#[test]
fn a_server_that_stays_away_is_reported_and_survived() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = client(&server, "hans");
    server.kill9();
    hans.hear("connection lost");
    hans.hear("still no connection");
    hans.say("message luke written meanwhile");
    hans.end_input();
    server.restart();
    hans.hear("back after");
    hans.hear("message luke: sent");
    assert_eq!(hans.wait().code, Some(0));
    let mut luke = Peer::protocol(&server, "luke");
    luke.expect_message("hans", "written meanwhile");
    luke.expect_quiet();
}

/// Somebody else takes the session over: the client says so and does not come back by itself.
#[test]
fn a_takeover_ends_the_client() {
    let server = server(&["hans"]);
    let mut first = client(&server, "hans");
    let port = server.port().to_string();
    let words = ["localhost", &port, "--takeover"];
    let mut second = Client::start(server.program(), &words, server.folder());
    second.say("hans");
    second.say(&password_of("hans"));
    second.hear("logged in as hans");
    first.hear("elsewhere");
    let ended = first.wait();
    assert_ne!(ended.code, Some(0), "{ended:?}");
    second.say("whoelse");
    second.hear("whoelse");
}

/// Reads once, as an original server does: what comes is taken for one object.
fn receive(stream: &mut TcpStream) -> Value {
    let mut buffer = [0; 1024];
    let read = loop {
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result.unwrap(),
        }
    };
    let text = String::from_utf8_lossy(&buffer[..read]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: '{text}'"))
}

#[test]
fn the_client_can_use_an_original_server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let home = tempfile::tempdir().unwrap();
    let words = ["localhost", &port];
    let mut client = Client::start(std::path::Path::new(PROGRAM), &words, home.path());
    client.say("hans");
    client.say("falcon*solo");
    client.say("message luke one");
    client.say("message luke two");
    // It tries TLS first, which an original server takes for nonsense.
    let (mut first, _) = listener.accept().unwrap();
    assert_eq!(first.read(&mut [0; 1]).unwrap(), 1);
    drop(first);
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(whoelse_tests::program::DEADLINE)).unwrap();
    let login = receive(&mut server);
    assert_eq!(login["username"], "hans");
    assert!(login["private_port"].is_u64(), "{login}");
    server.write_all(br#"{"action":"login","status":"SUCCESS"}"#).unwrap();
    for text in ["one", "two"] {
        let request = receive(&mut server);
        assert_eq!((&request["user"], &request["message"]), (&json!("luke"), &json!(text)));
        server.write_all(br#"{"action":"message","status":"SUCCESS"}"#).unwrap();
        client.hear("message luke");
    }
    let event = br#"{"action":"receive_message","from":"luke","message":"hello"}"#;
    server.write_all(event).unwrap();
    client.hear("luke: hello");
    client.say("logout");
    assert_eq!(receive(&mut server)["action"], logout()["action"]);
    drop(server);
    assert_eq!(client.wait().code, Some(0));
}

#[test]
fn without_encryption_a_server_on_this_machine_will_do_unless_it_had_some() {
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = plain.local_addr().unwrap().port();
    // Whoever comes is hung up on, as by a server that knows no TLS.
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            drop(stream);
        }
    });
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let client = |words: &[&str]| {
        let program = std::path::Path::new(PROGRAM);
        let mut client = Client::start_with(program, words, home.path(), &state);
        client.say("hans\nhans's secret");
        client.end_input();
        client.wait()
    };
    let (shown, key) = (port.to_string(), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
    let ended = client(&["127.0.0.1", &shown]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(!ended.err[0].contains("encryption"), "it was tried: {ended:?}");

    let ended = client(&["127.0.0.1", &shown, "--fingerprint", key]);
    let refused = ["whoelse: The server offers no encryption. Nothing was sent."];
    assert_eq!((ended.code, &ended.err[..]), (Some(3), &refused.map(str::to_owned)[..]));
    let link = format!("whoelse://127.0.0.1:{port}/{key}/CQkJCQkJCQkJCQkJCQkJCQ");
    let ended = client(&[&link]);
    assert_eq!((ended.code, &ended.err[..]), (Some(3), &refused.map(str::to_owned)[..]));

    // Once it was seen with TLS, nothing is said to it without, until it is forgotten.
    fs::create_dir_all(state.join("whoelse")).unwrap();
    let known = format!("127.0.0.1 {port} key {key} 1700000000\n");
    fs::write(state.join("whoelse").join("known-servers"), known).unwrap();
    let with_tls = client(&["127.0.0.1", &shown]);
    assert_eq!(with_tls.code, Some(3), "{with_tls:?}");
    for forgotten in ["is forgotten", "Nothing was known"] {
        let ended = client(&["--forget", "127.0.0.1", &shown]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out[0].contains(forgotten), "{ended:?}");
    }
}

#[test]
fn an_invite_that_is_broken_is_explained() {
    let home = tempfile::tempdir().unwrap();
    for (link, why) in [
        ("whoelse://chat.example", "not whole"),
        ("whoelse://chat.example:70000/x/y", "no port"),
        ("whoelse://chat.example/short/CQkJCQkJCQkJCQkJCQkJCQ", "key in the invite is damaged"),
    ] {
        let program = std::path::Path::new(PROGRAM);
        let ended = Client::start(program, &[link], home.path()).wait();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.len() == 1 && ended.err[0].contains(why), "{ended:?}");
    }
}

#[test]
fn a_password_is_not_changed_where_others_could_read_it() {
    let server = server(&["hans"]);
    let mut hans = client(&server, "hans");
    hans.say("passwd");
    hans.hear("passwd: not done; it needs a terminal");
}

#[test]
fn a_variable_that_is_empty_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(words).env("XDG_STATE_HOME", folder.path());
        for name in ["PORT", "HOST", "FINGERPRINT", "USER", "PASSWORD_FILE", "DATA", "BIND", "RATE"]
        {
            command.env(format!("WHOELSE_{name}"), "");
        }
        command.env("XDG_DATA_HOME", folder.path()).output().unwrap()
    };
    let forgotten = run(&["client", "--forget", "nowhere.example"]);
    assert_eq!(forgotten.status.code(), Some(0), "{forgotten:?}");
    let refused = run(&["server", "--tls-cert", "missing.pem", "--tls-key", "missing.pem"]);
    assert_eq!(refused.status.code(), Some(7), "it went as far as that: {refused:?}");
    assert!(folder.path().join("whoelse").exists(), "the data are where they are by default");
}
