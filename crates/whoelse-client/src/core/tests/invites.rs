//! Invites: using one, and making one.

use whoelse_proto::codec::{IncomingDevice, IncomingInvite};
use whoelse_proto::{InviteLink, Role};

use super::*;

const JOINED: &str = r#"{"action":"join","status":"SUCCESS","protocol":1,"server":"s1","acknowledged":0,"device_name":"laptop"}"#;

fn invited(interactive: bool) -> Client {
    let invite = Some(InviteSecret::new([9; 16]));
    Client::of(Config { invite, ..config(interactive) }).with_device(false)
}

/// Invited, and asked for a name.
fn welcome(interactive: bool) -> Client {
    let mut client = invited(interactive);
    client.connects();
    let asked = r#"{"action":"invitation","invite":"CQkJCQkJCQkJCQkJCQkJCQ"}"#;
    assert_eq!(client.done(), [asked]);
    assert_eq!(client.told(), []);
    client.hears(
        r#"{"action":"invitation","status":"SUCCESS","role":"member","by":"hans","expires_in":9}"#,
    );
    let by = Some("hans".to_owned());
    assert_eq!(
        client.told(),
        [Tell::Notice(Notice::Invited { by, admin: false }), Tell::Question(Question::NewName)]
    );
    client
}

#[test]
fn an_invite_makes_an_account_and_begins_its_first_session() {
    for interactive in [true, false] {
        let mut client = welcome(interactive);
        client.types_name("anna");
        assert_eq!(client.told(), [Tell::Question(Question::NewPassword)]);
        client.types_password("long enough");
        let join = client.done().concat();
        for part in [
            r#""action":"join""#,
            r#""invite":"CQkJCQkJCQkJCQkJCQkJCQ""#,
            r#""username":"anna""#,
            r#""password":"long enough""#,
        ] {
            assert!(join.contains(part), "{join}");
        }
        assert_eq!(join.contains(r#""device_name":"laptop""#), interactive, "{join}");
        client.hears(JOINED);
        assert_eq!(client.done().first().is_some_and(|it| it == "keep the device"), interactive);
        let mut told = vec![Notice::LoggedIn { name: "anna".into(), admin: false }];
        if interactive {
            told.push(Notice::WayBack { place: config(true).place });
        }
        assert_eq!(client.notices(), told);
        // A way back is a way back, not a second account.
        client.loses_the_line();
        client.waits_for_connect();
        client.connects();
        let word = if interactive { "challenge" } else { "login" };
        assert!(client.done().concat().contains(&format!(r#""action":"{word}""#)));
    }
}

#[test]
fn a_known_device_of_another_account_does_not_keep_anybody_from_joining() {
    let mut client = welcome(true).with_device(true);
    client.types_name("anna");
    assert_eq!(client.told(), [Tell::Question(Question::NewPassword)]);
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn a_name_or_password_that_will_not_do_is_asked_for_again() {
    let refused = |status: &str| {
        let mut client = welcome(true);
        client.types_name("hans");
        client.types_password("long enough");
        client.told();
        client.done();
        client.hears(&format!(r#"{{"action":"join","status":"{status}","message":"No."}}"#));
        client
    };
    for status in ["BAD_NAME", "NAME_TAKEN"] {
        let mut client = refused(status);
        let no = Tell::Notice(Notice::JoinRefused { sentence: "No.".into() });
        assert_eq!(client.told(), [no, Tell::Question(Question::NewName)]);
        client.types_name("anna");
        assert_eq!(client.told(), [Tell::Question(Question::NewPassword)]);
    }
    let mut client = refused("BAD_PASSWORD");
    assert_eq!(client.told().last(), Some(&Tell::Question(Question::NewPassword)));
    client.types_password("much longer than that");
    let join = client.done().concat();
    assert!(join.contains(r#""username":"hans""#) && join.contains("much longer"), "{join}");

    let mut client = welcome(false);
    client.types_name("hans");
    client.types_password("long enough");
    client.hears(r#"{"action":"join","status":"NAME_TAKEN","message":"No."}"#);
    let refusal = LoginRefusal::JoinRefused { sentence: "No.".into() };
    assert_eq!(client.core.ending(), Some(&Ending::Refused(refusal)));
}

#[test]
fn whoever_is_not_told_whether_the_account_was_made_is_told_that() {
    for interactive in [true, false] {
        for loss in [Loss::Closed, Loss::Cut, Loss::Garbage, Loss::Broken("reset".into())] {
            let mut client = welcome(interactive);
            client.types_name("anna");
            client.types_password("long enough");
            client.core.handle_disconnected(client.now_ms, loss);
            assert_eq!(client.core.ending(), Some(&Ending::JoinUncertain));
        }
        let mut client = welcome(interactive);
        client.types_name("anna");
        client.types_password("long enough");
        client.waits(30_000);
        assert_eq!(client.core.ending(), Some(&Ending::JoinUncertain), "silence");
    }
    // Before the account is asked for, nothing can have been made.
    let mut client = invited(true);
    client.connects();
    client.loses_the_line();
    assert_eq!(client.core.ending(), Some(&Ending::Unreachable(Trouble::Closed)));
}

#[test]
fn an_invite_that_is_worth_nothing_is_the_end() {
    let mut client = invited(true);
    client.connects();
    client.hears(r#"{"action":"invitation","status":"INVITE_INVALID","message":"Used."}"#);
    let refusal = LoginRefusal::InviteInvalid { sentence: Some("Used.".into()) };
    assert_eq!(client.core.ending(), Some(&Ending::Refused(refusal)));
    assert_eq!(client.told(), []);
}

#[test]
fn somebody_who_thinks_long_about_a_name_is_not_bothered_by_a_server_that_hung_up() {
    let mut client = welcome(true);
    client.loses_the_line();
    client.types_name("anna");
    assert_eq!(client.told(), [Tell::Question(Question::NewPassword)]);
    client.types_password("long enough");
    assert_eq!(client.done(), ["connect"]);
    client.connects();
    assert!(client.done().concat().contains(r#""action":"join""#));
}

/// What comes of asking for an invite.
fn asks_for_an_invite(link: Link, guessed: bool) -> (InviteLink, bool, Option<Place>) {
    let mut client = Client::person();
    client.core.handle_connected(client.now_ms, link);
    client.types_password("secret");
    client.hears(WELCOME);
    client.done();
    client.told();
    client.wants(Command::Invite { role: Role::Member });
    let sent = client.done().concat();
    assert!(sent.contains(r#""role":"member""#), "{sent}");
    let id = id_of(&sent);
    let key = Fingerprint([8; 32]);
    client.hears(&format!(
        r#"{{"action":"invite","id":"{id}","status":"SUCCESS","number":1,
            "invite":"CQkJCQkJCQkJCQkJCQkJCQ","role":"member","expires_in":604800,
            "place":"10.0.0.7:12346","guessed":{guessed},"server_key":"{key}"}}"#
    ));
    match client.notices().remove(0) {
        Notice::Answered {
            answer: Answer::Invited { link, expires_in_s, guessed, here }, ..
        } => {
            assert_eq!(expires_in_s, 604_800);
            assert_eq!(link.secret, InviteSecret::new([9; 16]));
            (*link, guessed, here)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invite_leads_where_the_server_says_or_else_where_we_got_through() {
    let here = Link { loopback: true, ..LINK };
    for (link, guessed, place, still_guessed) in [
        (LINK, true, "chat.example:443", false),
        (LINK, false, "10.0.0.7:12346", false),
        (here, true, "10.0.0.7:12346", true),
        (here, false, "10.0.0.7:12346", false),
    ] {
        let (invite, guessed, here) = asks_for_an_invite(link, guessed);
        // Whoever passes on our key with another's place is to know it.
        assert_eq!(here, (place != "chat.example:443").then(|| config(true).place));
        // The key that was seen, whatever the server says of itself.
        assert_eq!((invite.place.to_string().as_str(), invite.key), (place, SERVER));
        assert_eq!(guessed, still_guessed);
    }
}

#[test]
fn invites_and_devices_are_listed_and_taken_back() {
    let invite = IncomingInvite { number: 4, role: "member".into(), by: None, expires_in: 60 };
    let device = IncomingDevice { device_name: "laptop".into(), ..IncomingDevice::default() };
    for (command, action, fields, answer) in [
        (
            Command::Invites,
            "invites",
            r#","invites":[{"number":4,"role":"member","expires_in":60}]"#,
            Answer::Invites(vec![invite]),
        ),
        (
            Command::Devices,
            "devices",
            r#","devices":[{"device_name":"laptop"}]"#,
            Answer::Devices(vec![device]),
        ),
        (Command::RevokeInvite { number: 4 }, "revoke_invite", "", Answer::Done),
        (Command::RevokeDevice { name: "laptop".into() }, "revoke_device", "", Answer::Done),
        (Command::Lock { user: "luke".into() }, "lock", "", Answer::Done),
        (Command::Unlock { user: "luke".into() }, "unlock", "", Answer::Done),
    ] {
        let mut client = Client::person().logged_in(WELCOME);
        client.wants(command.clone());
        let sent = client.done().concat();
        assert!(sent.contains(&format!(r#""action":"{action}""#)), "{sent}");
        let id = id_of(&sent);
        client.hears(&format!(r#"{{"action":"{action}","id":"{id}","status":"SUCCESS"{fields}}}"#));
        assert_eq!(client.notices()[0], answered(command, answer));
    }
}

#[test]
fn an_original_server_is_not_asked_for_what_it_does_not_know() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    client.waits(100);
    client.wants(Command::Devices);
    let refused = Answer::Refused(Refusal::new(Why::Original));
    assert_eq!(client.notices(), [answered(Command::Devices, refused)]);
    assert_eq!(client.done(), [""; 0]);
}
