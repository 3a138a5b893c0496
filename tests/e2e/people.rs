//! The operator's commands against the rules: what they change counts at once, and after a start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use whoelse_proto::InviteLink;
use whoelse_tests::program::{Ended, Peer, Running, Server, Setup, Signal, password_of};

use super::{PROGRAM, server, setup};

/// Runs a command on the server's data, which must succeed; returns what it said.
fn done(server: &Server, words: &[&str], input: &str) -> Vec<String> {
    let ended = server.run(&[words, &["--data", "data"]].concat(), input);
    assert_eq!((ended.code, ended.err.len()), (Some(0), 0), "{words:?}: {ended:?}");
    ended.out
}

/// Runs a command on the server's data, which must be refused with these texts.
fn refused(server: &Server, words: &[&str], texts: &[&str]) {
    let Ended { code, err, .. } = server.run(&[words, &["--data", "data"]].concat(), "");
    let complaint = err.iter().find(|line| line.starts_with("whoelse: ")).cloned();
    let complaint = complaint.unwrap_or_default();
    assert!(code == Some(1), "{words:?}: {code:?} {err:?}");
    for text in texts {
        assert!(complaint.contains(text), "'{text}' is missing: {complaint}");
    }
}

/// The columns of a person in the list.
fn listed(server: &Server, name: &str) -> Option<Value> {
    let text = done(server, &["user", "list", "--json"], "").join("\n");
    let people: Vec<Value> = serde_json::from_str(&text).unwrap();
    people.into_iter().find(|person| person["name"] == name)
}

/// What a login with a password is answered.
fn login(server: &Server, name: &str, password: &str) -> String {
    let login = json!({
        "action": "login", "username": name, "password": password, "protocol": 1
    });
    Peer::connect(server).status(&login)
}

/// The link in what was printed.
fn link(lines: &[String]) -> InviteLink {
    let link = lines.iter().find_map(|line| line.trim().strip_prefix("whoelse client "));
    let link = link.unwrap_or_else(|| panic!("no invite in: {lines:?}"));
    link.parse().unwrap_or_else(|error| panic!("{error}: {link}"))
}

/// What the invite is worth, by the status of whoever asks.
fn worth(server: &Server, link: &InviteLink) -> Value {
    let invite = link.secret.expose_text();
    Peer::connect(server).ask(&json!({"action": "invitation", "invite": invite}))
}

fn join(server: &Server, link: &InviteLink, name: &str) -> Value {
    let join = json!({
        "action": "join",
        "invite": link.secret.expose_text(),
        "username": name,
        "password": password_of(name),
        "protocol": 1,
    });
    Peer::connect(server).ask(&join)
}

/// The lines a server has printed.
fn printed(server: &Server) -> Vec<String> {
    server.greeting().lines().map(str::to_owned).collect()
}

#[test]
fn the_first_start_invites_an_administrator_and_later_ones_nobody() {
    let mut server = Setup::new(PROGRAM).start();
    let said = server.greeting();
    for words in ["people     nobody yet", "30 minutes", "one person", "administrator"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("guessed") && said.contains("--public-address"), "{said}");
    let first = link(&printed(&server));
    assert_eq!(first.place.port, server.port());

    // Another start without people takes it back.
    server.terminate();
    server.restart();
    let second = link(&printed(&server));
    assert_ne!(second.secret, first.secret);
    assert_eq!(worth(&server, &first)["status"], "INVITE_INVALID");
    let worth = worth(&server, &second);
    assert_eq!((&worth["status"], &worth["role"]), (&json!("SUCCESS"), &json!("admin")));
    assert_eq!(join(&server, &second, "leia")["role"], "admin");
    assert_eq!(listed(&server, "leia").unwrap()["role"], "admin");

    server.terminate();
    server.restart();
    let said = server.greeting();
    assert!(said.contains("people     1") && !said.contains("whoelse://"), "{said}");
}

#[test]
fn where_invites_lead_is_no_guess_when_it_was_said() {
    let server = Setup::new(PROGRAM).flags(&["--public-address", "chat.example.org"]).start();
    assert!(!server.greeting().contains("guessed"), "{}", server.greeting());
    let first = link(&printed(&server));
    assert_eq!(first.place.to_string(), format!("chat.example.org:{}", server.port()));
    let said = done(&server, &["invite"], "");
    assert_eq!(link(&said).place, first.place);
    assert_eq!(link(&said).key, first.key);
    let elsewhere = done(&server, &["invite", "--public-address", "[2001:db8::1]:443"], "");
    assert_eq!(link(&elsewhere).place.to_string(), "[2001:db8::1]:443");
}

#[test]
fn under_a_service_manager_the_invite_is_in_a_file_of_the_owners() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("data/first-invite");
    let start = |variable: &str| {
        let words = [variable, PROGRAM, "server", "0", "--data", "data"];
        let mut running = Running::start(Path::new("/usr/bin/env"), &words, home.path());
        running.out.wait_for("Ctrl-C");
        running.signal(Signal::TERM);
        running.wait()
    };
    for variable in ["INVOCATION_ID=1", "JOURNAL_STREAM=1:2"] {
        let ended = start(variable);
        let all = [ended.out.clone(), ended.err.clone()].concat().join("\n");
        assert!(!all.contains("whoelse://"), "the log holds a secret: {all}");
        assert!(all.contains("data/first-invite") && all.contains("30 minutes"), "{all}");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1);
        link(&[text]);
    }
    // A terminal, or whoever reads a pipe, may see it; the file has lost its worth.
    let ended = start("OTHER=1");
    link(&ended.out);
    assert!(!file.exists());
    start("INVOCATION_ID=1");
    assert!(file.exists());
    fs::write(home.path().join("password.txt"), "a good password\n").unwrap();
    let add = ["user", "add", "anna", "--data", "data", "--password-file", "password.txt"];
    assert_eq!(Running::start(Path::new(PROGRAM), &add, home.path()).wait().code, Some(0));
    start("INVOCATION_ID=1");
    assert!(!file.exists(), "there are people");
}

#[test]
fn invites_are_made_listed_used_and_taken_back_whether_the_server_runs_or_not() {
    let mut server = server(&["hans"]);
    let member = done(&server, &["invite"], "");
    assert!(member.iter().any(|line| line.contains("a member; valid for 7 days")), "{member:?}");
    assert!(member.iter().any(|line| line.contains("whoelse invite revoke 1")), "{member:?}");
    let admin = link(&done(&server, &["invite", "--admin", "--valid", "1"], ""));
    let list = done(&server, &["invite", "list"], "");
    assert_eq!(list.len(), 3, "{list:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&list[0]), ["NUMBER", "ROLE", "BY", "VALID", "FOR"]);
    assert_eq!(words(&list[1])[..3], ["1", "member", "(operator)"]);
    assert_eq!(words(&list[2])[..3], ["2", "admin", "(operator)"]);

    assert_eq!(join(&server, &link(&member), "luke")["status"], "SUCCESS");
    assert_eq!(listed(&server, "luke").unwrap()["role"], "member");
    refused(&server, &["invite", "revoke", "1"], &["no open invite", "whoelse invite list"]);
    assert_eq!(done(&server, &["invite", "revoke", "2"], ""), ["Invite 2 is taken back."]);
    assert_eq!(worth(&server, &admin)["status"], "INVITE_INVALID");
    assert_eq!(done(&server, &["invite", "list"], "").len(), 1);

    assert_eq!(server.terminate().code, Some(0));
    let offline = link(&done(&server, &["invite", "--admin"], ""));
    assert_eq!(offline.key, admin.key, "the same server, whoever asks");
    let revoked = link(&done(&server, &["invite"], ""));
    assert!(
        done(&server, &["invite", "revoke", "4"], "")[0].starts_with("Invite 4 is taken back.")
    );
    server.restart();
    assert_eq!(worth(&server, &revoked)["status"], "INVITE_INVALID");
    assert_eq!(join(&server, &offline, "leia")["role"], "admin");
    let text = done(&server, &["invite", "list", "--json"], "").join("\n");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!([]));
}

#[test]
fn somebody_locked_is_out_at_once_and_mail_waits() {
    let mut server = server(&["hans", "luke"]);
    let mut hans = Peer::protocol(&server, "hans");
    done(&server, &["user", "lock", "hans"], "");
    assert_eq!(hans.expect("ended")["reason"], "LOCKED");
    hans.expect_end();
    assert_eq!(login(&server, "hans", &password_of("hans")), "LOCKED");
    assert_eq!(login(&server, "hans", "wrong"), "INVALID_PASSWORD", "only after the right one");
    assert_eq!(listed(&server, "hans").unwrap()["locked"], true);
    let list = done(&server, &["user", "list"], "");
    assert!(list[1].contains("locked by an administrator"), "{list:?}");
    assert!(done(&server, &["user", "lock", "hans"], "")[0].contains("was locked already"));
    Peer::protocol(&server, "luke").message("hans", "hello");

    server.crash();
    assert_eq!(login(&server, "hans", &password_of("hans")), "LOCKED");
    assert_eq!(server.terminate().code, Some(0));
    assert!(done(&server, &["user", "unlock", "hans"], "")[0].contains("may log in again"));
    assert!(done(&server, &["user", "unlock", "hans"], "")[0].contains("was not locked"));
    server.restart();
    Peer::protocol(&server, "hans").expect_message("luke", "hello");
}

#[test]
fn unlocking_forgets_wrong_passwords_too() {
    let server = server(&["hans"]);
    for _ in 0..3 {
        login(&server, "hans", "wrong");
    }
    assert_eq!(login(&server, "hans", &password_of("hans")), "BLOCKED");
    let list = done(&server, &["user", "list"], "");
    assert!(list[1].contains(" s after wrong passwords"), "{list:?}");
    done(&server, &["user", "unlock", "hans"], "");
    assert_eq!(login(&server, "hans", &password_of("hans")), "SUCCESS");
}

#[test]
fn a_new_password_ends_the_session_and_is_the_only_one_from_then_on() {
    let mut server = server(&["hans"]);
    let from_input = ["user", "passwd", "hans", "--password-file", "-"];
    let mut hans = Peer::protocol(&server, "hans");
    refused(&server, &from_input, &["password does not fit"]);
    let said = done(&server, &from_input, "another secret\n");
    assert!(said[0].contains("hans has a new password"), "{said:?}");
    assert_eq!(hans.expect("ended")["reason"], "PASSWORD_CHANGED");
    hans.expect_end();
    assert_eq!(login(&server, "hans", &password_of("hans")), "INVALID_PASSWORD");
    assert_eq!(login(&server, "hans", "another secret"), "SUCCESS");

    assert_eq!(server.terminate().code, Some(0));
    done(&server, &from_input, "a third secret\n");
    server.restart();
    assert_eq!(login(&server, "hans", "another secret"), "INVALID_PASSWORD");
    assert_eq!(login(&server, "hans", "a third secret"), "SUCCESS");
}

#[test]
fn somebody_removed_is_gone_for_good_and_so_is_the_name() {
    let mut server = server(&["hans", "luke", "yoda"]);
    let mut hans = Peer::protocol(&server, "hans");
    Peer::protocol(&server, "luke").message("yoda", "from luke");
    let said = done(&server, &["user", "remove", "hans", "--yes"], "");
    assert!(said[0].contains("the name is retired"), "{said:?}");
    assert_eq!(hans.until(|heard| heard["action"] == "ended")["reason"], "REMOVED");
    hans.expect_end();
    for is_running in [true, false] {
        assert_eq!(listed(&server, "hans"), None);
        refused(&server, &["user", "remove", "hans", "--yes"], &["nobody is called 'hans'"]);
        if is_running {
            assert_eq!(login(&server, "hans", &password_of("hans")), "INVALID_PASSWORD");
            assert_eq!(server.terminate().code, Some(0));
        }
    }
    done(&server, &["user", "remove", "luke", "--yes"], "");
    let add = ["user", "add", "hans", "--data", "data", "--password-file", "-"];
    let again = server.run(&add, "a good password\n");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err[0].contains("'hans'"), "{again:?}");
    // An import that still names them brings nobody back.
    server.restart();
    assert!(server.greeting().contains("people     1"), "{}", server.greeting());
    Peer::protocol(&server, "yoda").expect_message("luke", "from luke");
}

#[test]
fn roles_are_given_and_taken() {
    let mut server = setup(&["hans"]).start();
    assert_eq!(listed(&server, "hans").unwrap()["role"], "member");
    let role = |server: &Server, role: &str| done(server, &["user", "role", "hans", role], "");
    assert!(role(&server, "admin")[0].contains("is an administrator now"));
    assert!(role(&server, "admin")[0].contains("was an administrator already"));
    assert_eq!(Peer::protocol(&server, "hans").welcome()["role"], "admin");
    let add = ["user", "add", "anna", "--admin", "--password-file", "-"];
    done(&server, &add, "a good password\n");
    assert_eq!(listed(&server, "anna").unwrap()["role"], "admin");
    assert_eq!(server.terminate().code, Some(0));
    assert!(role(&server, "member")[0].contains("is a member now"));
    server.restart();
    assert_eq!(listed(&server, "hans").unwrap()["role"], "member");
    assert!(
        Peer::protocol(&server, "hans").welcome().get("role").is_none(),
        "a member's is not said"
    );
}
