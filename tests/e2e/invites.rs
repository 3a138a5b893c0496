//! Invites: how the first person comes to a new server, and everybody after.

use serde_json::{Value, json};
use whoelse_proto::InviteLink;
use whoelse_tests::program::{Client, Device, Peer, Server, Setup};

use super::{PROGRAM, message};

/// A server that knows nobody, and the invite that it prints.
fn empty() -> (Server, InviteLink) {
    let server = Setup::new(PROGRAM).start();
    let link = link_in(&server.greeting());
    (server, link)
}

/// The link of the one line that can be typed.
fn link_in(text: &str) -> InviteLink {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("whoelse client "));
    let line = line.unwrap_or_else(|| panic!("no invite in: {text}"));
    line.trim().parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn join(link: &InviteLink, name: &str, password: &str) -> Value {
    json!({
        "action": "join",
        "invite": link.secret.expose_text(),
        "username": name,
        "password": password,
        "protocol": 1,
    })
}

fn invitation(link: &InviteLink) -> Value {
    json!({"action": "invitation", "invite": link.secret.expose_text()})
}

/// A new invite of a member.
fn invite(peer: &mut Peer, role: &str) -> InviteLink {
    let answer = peer.ask(&json!({"action": "invite", "role": role}));
    assert_eq!((&answer["status"], &answer["role"]), (&json!("SUCCESS"), &json!(role)), "{answer}");
    let member = |name: &str| answer[name].as_str().unwrap().to_owned();
    let (place, key, secret) = (member("place"), member("server_key"), member("invite"));
    format!("whoelse://{place}/{key}/{secret}").parse().unwrap()
}

#[test]
fn the_first_person_is_an_administrator_and_stays_one_over_a_crash() {
    let (mut server, link) = empty();
    assert_eq!(link.key, server.key());
    assert_eq!(link.place.port, server.port());
    let mut leia = Peer::connect(&server);
    let worth = leia.ask(&invitation(&link));
    assert_eq!((&worth["status"], &worth["role"]), (&json!("SUCCESS"), &json!("admin")));
    assert!((1790..=1800).contains(&worth["expires_in"].as_u64().unwrap()), "{worth}");
    let welcome = leia.ask(&join(&link, "leia", "a long password"));
    assert_eq!((&welcome["status"], &welcome["role"]), (&json!("SUCCESS"), &json!("admin")));
    server.crash();
    assert!(!server.greeting().contains("whoelse://"), "there are people now");
    let mut stranger = Peer::connect(&server);
    assert_eq!(stranger.status(&join(&link, "vader", "a long password")), "INVITE_INVALID");
    assert_eq!(stranger.status(&invitation(&link)), "INVITE_INVALID");
    let mut leia = Peer::connect(&server);
    let login = json!({"action": "login", "username": "leia", "password": "a long password"});
    assert_eq!(leia.status(&login), "SUCCESS");
    invite(&mut leia, "admin");
}

#[test]
fn an_invite_makes_one_account_however_many_try() {
    let (server, link) = empty();
    let names: Vec<String> = (0..8).map(|number| format!("person{number}")).collect();
    let mut peers: Vec<Peer> = names.iter().map(|_| Peer::connect(&server)).collect();
    for (peer, name) in peers.iter_mut().zip(&names) {
        peer.send(&join(&link, name, "a long password"));
    }
    let statuses: Vec<Value> = peers
        .iter_mut()
        .map(|peer| peer.until(|value| value["action"] == "join")["status"].clone())
        .collect();
    let joined = statuses.iter().filter(|status| *status == "SUCCESS").count();
    assert_eq!(joined, 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "INVITE_INVALID").count(), 7);
}

#[test]
fn what_is_wrong_with_a_name_or_a_password_leaves_the_invite_whole() {
    let (server, link) = empty();
    let mut leia = Peer::connect(&server);
    for (name, password, status) in [
        ("two words", "a long password", "BAD_NAME"),
        ("", "a long password", "BAD_NAME"),
        ("aliсe", "a long password", "BAD_NAME"),
        ("leia", "short", "BAD_PASSWORD"),
        ("leia-organa", "Leia-Organa", "BAD_PASSWORD"),
    ] {
        assert_eq!(leia.status(&join(&link, name, password)), status, "{name}");
    }
    assert_eq!(leia.status(&join(&link, "leia", "a long password")), "SUCCESS");
    let second = invite(&mut leia, "member");
    let mut luke = Peer::connect(&server);
    for name in ["leia", "Leia", "LEIA"] {
        assert_eq!(luke.status(&join(&second, name, "a long password")), "NAME_TAKEN", "{name}");
    }
    let welcome = luke.ask(&join(&second, "luke", "a long password"));
    assert_eq!((&welcome["status"], &welcome["role"]), (&json!("SUCCESS"), &Value::Null));
    leia.expect("login_broadcast");
    luke.message("leia", "here I am");
    leia.expect_message("luke", "here I am");
}

#[test]
fn members_see_and_take_back_their_own_invites_and_administrators_all() {
    let (server, link) = empty();
    let mut leia = Peer::connect(&server);
    assert_eq!(leia.status(&join(&link, "leia", "a long password")), "SUCCESS");
    let for_luke = invite(&mut leia, "member");
    let mut luke = Peer::connect(&server);
    assert_eq!(luke.status(&join(&for_luke, "luke", "a long password")), "SUCCESS");
    leia.expect("login_broadcast");
    let (of_leia, of_luke) = (invite(&mut leia, "admin"), invite(&mut luke, "member"));
    let list = |peer: &mut Peer| {
        let answer = peer.ask(&json!({"action": "invites"}));
        let invites = answer["invites"].as_array().unwrap().clone();
        invites
            .into_iter()
            .map(|one| (one["number"].as_u64().unwrap(), one["by"].clone()))
            .collect::<Vec<_>>()
    };
    let (all, own) = (list(&mut leia), list(&mut luke));
    assert_eq!(
        all.iter().map(|(_, by)| by.clone()).collect::<Vec<_>>(),
        [json!("leia"), json!("luke")]
    );
    assert_eq!(own, all[1..]);
    let revoke = |number: u64| json!({"action": "revoke_invite", "number": number});
    assert_eq!(luke.status(&revoke(all[0].0)), "INVITE_NOT_EXIST", "it is not his");
    assert_eq!(leia.status(&revoke(all[1].0)), "SUCCESS");
    let mut stranger = Peer::connect(&server);
    assert_eq!(stranger.status(&invitation(&of_luke)), "INVITE_INVALID");
    let worth = stranger.ask(&invitation(&of_leia));
    assert_eq!((&worth["by"], &worth["role"]), (&json!("leia"), &json!("admin")));
    assert_eq!(luke.status(&message("stranger", "x")), "USER_NOT_EXIST");
}

#[test]
fn two_commands_and_a_name_are_all_it_takes() {
    let (server, link) = empty();
    let home = server.folder().join("leia");
    std::fs::create_dir(&home).unwrap();
    let text = link.expose();
    let mut leia = Client::start(server.program(), &[&text], &home);
    for line in ["leia", "a long password", "invite", "whoelse"] {
        leia.say(line);
    }
    let line = leia.hear("whoelse client whoelse://");
    leia.hear("whoelse");
    leia.end_input();
    assert_eq!(leia.wait().code, Some(0), "{:?}", leia.errors());
    let second = link_in(&line);
    assert_eq!(second.key, server.key());
    let home = server.folder().join("luke");
    std::fs::create_dir(&home).unwrap();
    let mut luke = Client::start(server.program(), &[&second.expose()], &home);
    for line in ["luke", "another password", "message leia I am here"] {
        luke.say(line);
    }
    luke.hear("sent");
    luke.end_input();
    assert_eq!(luke.wait().code, Some(0), "{:?}", luke.errors());
}

#[test]
fn somebody_who_joins_with_a_device_resumes_with_it() {
    let (server, link) = empty();
    let device = Device::new("laptop", [5; 32]);
    let mut peer = Peer::connect(&server);
    let mut request = join(&link, "leia", "a long password");
    let (Value::Object(request_members), Value::Object(members)) =
        (&mut request, device.members("first"))
    else {
        panic!("objects")
    };
    request_members.extend(members);
    assert_eq!(peer.ask(&request)["device_name"], "laptop");
    peer.hang_up();
    let mut peer = Peer::connect(&server);
    assert_eq!(device.resume(&mut peer, &server, "leia", "second")["status"], "SUCCESS");
}

#[test]
fn the_operator_invites_too() {
    let (server, _) = empty();
    for (words, role) in [(["invite"].as_slice(), "member"), (&["invite", "--admin"], "admin")] {
        let ended = server.run(&[words, &["--data", "data"]].concat(), "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let link = link_in(&ended.out.join("\n"));
        assert_eq!(link.key, server.key());
        let mut stranger = Peer::connect(&server);
        assert_eq!(stranger.ask(&invitation(&link))["role"], role);
    }
    let public = ["invite", "--public-address", "chat.example.org:443", "--data", "data"];
    let link = link_in(&server.run(&public, "").out.join("\n"));
    assert_eq!(link.place.to_string(), "chat.example.org:443");
    let list = server.run(&["invite", "list", "--data", "data"], "").out.join("\n");
    assert!(list.contains("member") && list.contains("admin"), "{list}");
}
