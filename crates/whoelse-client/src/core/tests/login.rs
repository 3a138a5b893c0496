//! The beginning of a session.

use super::*;

#[test]
fn it_connects_first_and_then_asks_who_is_there() {
    let mut client = Client::person();
    client.connects();
    assert_eq!(client.told(), [Tell::Question(Question::Name)]);
    client.types_name("hans");
    assert_eq!(client.told(), [Tell::Question(Question::Password)]);
    client.types_password("secret");
    let sent = client.done().concat();
    for part in [
        r#""action":"login""#,
        r#""username":"hans""#,
        r#""password":"secret""#,
        r#""protocol":1"#,
        r#""private_port":0"#,
        r#""instance":"30313233343536373839616263646566""#,
    ] {
        assert!(sent.contains(part), "{sent}");
    }
    assert!(!sent.contains("takeover"));
    client.hears(WELCOME);
    assert_eq!(client.notices(), [Notice::LoggedIn { name: "hans".into(), admin: false }]);
}

#[test]
fn a_wrong_password_asks_only_for_the_password_and_the_third_ends() {
    let mut client = Client::person();
    client.connects();
    client.told();
    client.types_name("hans");
    client.told();
    for _ in 0..2 {
        client.types_password("wrong");
        client.hears(r#"{"action":"login","status":"INVALID_PASSWORD","message":"2 tries left."}"#);
        let sentence = Some("2 tries left.".to_owned());
        assert_eq!(
            client.told(),
            [
                Tell::Notice(Notice::WrongPassword { name: "hans".into(), sentence }),
                Tell::Question(Question::Password)
            ]
        );
    }
    client.types_password("wrong");
    client.hears(r#"{"action":"login","status":"INVALID_PASSWORD_BLOCKED","retry_after":60}"#);
    let locked = LoginRefusal::Locked { now: true, retry_after: Some(60) };
    assert_eq!(client.core.ending(), Some(&Ending::Refused(locked)));
    assert_eq!(client.notices(), []);
}

#[test]
fn a_script_with_a_wrong_password_ends() {
    let mut client = Client::script();
    client.connects();
    client.types_password("wrong");
    client.hears(r#"{"action":"login","status":"INVALID_PASSWORD"}"#);
    let refused = LoginRefusal::WrongPassword { sentence: None };
    assert_eq!(client.core.ending(), Some(&Ending::Refused(refused)));
}

#[test]
fn a_busy_server_is_asked_again_after_the_time_it_says() {
    let mut client = Client::script();
    client.connects();
    client.types_password("secret");
    client.done();
    client.hears(r#"{"action":"login","status":"BUSY","retry_after":3}"#);
    assert_eq!(client.core.deadline(), Some(client.now_ms + 3_000));
    client.waits(2_999);
    assert_eq!(client.done(), [""; 0]);
    client.waits(1);
    assert!(client.done().concat().contains("secret"));
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_the_end() {
    for trouble in [Trouble::Refused, Trouble::UnknownHost, Trouble::NoAnswer] {
        let mut client = Client::person();
        client.core.handle_connect_failed(client.now_ms, trouble.clone());
        assert_eq!(client.core.ending(), Some(&Ending::Unreachable(trouble)));
    }
}

#[test]
fn a_slow_typist_is_not_bothered_by_a_server_that_hung_up() {
    let mut client = Client::person();
    client.connects();
    client.told();
    client.waits(120_000);
    client.loses_the_line();
    assert_eq!((client.notices(), client.done()), (vec![], vec![]));
    client.types_name("hans");
    assert_eq!(client.told(), [Tell::Question(Question::Password)]);
    assert_eq!(client.done(), [""; 0]);
    client.types_password("secret");
    assert_eq!(client.done(), ["connect"]);
    client.connects();
    assert!(client.done().concat().contains("secret"));
}

#[test]
fn who_answers_a_login_with_something_else_is_no_server_of_ours() {
    let mut client = Client::person();
    client.connects();
    client.types_password("secret");
    client.core.handle_garbage(client.now_ms);
    assert_eq!(client.core.ending(), Some(&Ending::Unreachable(Trouble::Foreign)));

    let mut client = Client::person();
    client.connects();
    client.types_password("secret");
    client.waits(30_000);
    assert_eq!(client.core.ending(), Some(&Ending::Unreachable(Trouble::NoAnswer)));
}

#[test]
fn a_name_that_is_locked_or_taken_while_away() {
    let back = |answer: &str| {
        let mut client = Client::person().logged_in(WELCOME);
        client.loses_the_line();
        client.waits_for_connect();
        client.connects();
        client.told();
        client.done();
        client.hears(answer);
        client
    };
    let mut client = back(r#"{"action":"login","status":"BLOCKED","retry_after":42}"#);
    assert_eq!(client.notices(), [Notice::LoginLater { locked: true, retry_ms: 42_000 }]);
    client.waits(42_000);
    assert!(client.done().concat().contains("secret"));

    let client = back(r#"{"action":"login","status":"ALREADY_LOGGED_IN"}"#);
    assert_eq!(client.core.ending(), Some(&Ending::Refused(LoginRefusal::AlreadyLoggedIn)));

    let mut client = back(r#"{"action":"login","status":"INVALID_PASSWORD"}"#);
    assert_eq!(client.told().last(), Some(&Tell::Question(Question::Password)));
    client.types_password("new");
    assert!(client.done().concat().contains(r#""password":"new""#));
}

#[test]
fn nobody_is_made_to_wait_for_a_login_for_ever() {
    for (status, retry_after, waits) in [
        ("SLOW_DOWN", 60, true),
        ("SLOW_DOWN", 61, false),
        ("TOO_FAST", 3600, false),
        ("BUSY", 5, true),
    ] {
        let mut client = Client::person();
        client.connects();
        client.types_password("secret");
        client.hears(&format!(
            r#"{{"action":"login","status":"{status}","message":"Hm.","retry_after":{retry_after}}}"#
        ));
        let sentence = Some("Hm.".to_owned());
        let refused = Ending::Refused(LoginRefusal::SlowDown { retry_after, sentence });
        let ending = Some(&refused).filter(|_| !waits);
        assert_eq!(client.core.ending(), ending, "{status} {retry_after}");
    }
}

#[test]
fn somebody_locked_out_by_an_administrator_is_told_so() {
    let mut client = Client::person();
    client.connects();
    client.types_password("secret");
    client.hears(r#"{"action":"login","status":"LOCKED","message":"Locked."}"#);
    let barred = LoginRefusal::Barred { sentence: Some("Locked.".into()) };
    assert_eq!(client.core.ending(), Some(&Ending::Refused(barred)));
}

#[test]
fn a_person_is_told_once_what_matters_for_its_safety() {
    let with = |security| Link { security, ..LINK };
    let first = Security::FirstContact { key: SERVER };
    for (link, told) in [
        (LINK, vec![]),
        (with(first), vec![Notice::Security(first)]),
        (Link { key: None, ..with(Security::Plain) }, vec![Notice::Security(Security::Plain)]),
    ] {
        let mut client = Client::script();
        client.core.handle_connected(client.now_ms, link);
        let told: Vec<_> = told.into_iter().map(Tell::Notice).collect();
        let before: Vec<_> = client.told();
        assert_eq!(before, [told, vec![Tell::Question(Question::Name)]].concat());
        client.types_password("secret");
        client.told();
        client.hears(
            r#"{"action":"login","status":"SUCCESS","protocol":1,"role":"admin","failed_logins":3}"#,
        );
        let mut notices = client.notices();
        assert_eq!(notices.remove(0), Notice::LoggedIn { name: "hans".into(), admin: true });
        assert_eq!(notices.pop(), Some(Notice::FailedLogins { count: 3 }));
        assert_eq!(notices, []);
        client.loses_the_line();
        client.waits_for_connect();
        let again = if link.key.is_some() { LINK } else { link };
        client.core.handle_connected(client.now_ms, again);
        client.told();
        client.hears(WELCOME);
        assert!(matches!(client.notices()[..], [Notice::Back { .. }]));
    }
}

#[test]
fn a_server_nobody_knows_is_told_nothing_before_the_person_says_yes() {
    let stranger = || {
        let mut client = Client::person();
        client.core.handle_stranger(SERVER);
        let asked = Tell::Question(Question::Trust);
        assert_eq!(
            client.told(),
            [Tell::Notice(Notice::Stranger { place: config(true).place, key: SERVER }), asked]
        );
        assert!(client.core.wants_input());
        client.hears(r#"{"action":"error","message":"Listen to me!"}"#);
        client.hears(WELCOME);
        assert_eq!((client.told(), client.done()), (vec![], vec![]));
        client
    };
    let mut client = stranger();
    client.core.handle_trust(true);
    assert_eq!(client.done(), ["trust"]);
    client.connects();
    assert_eq!(client.told(), [Tell::Question(Question::Name)]);

    let mut client = stranger();
    client.core.handle_trust(false);
    assert_eq!(client.core.ending(), Some(&distrusted(Distrust::Declined)));
    assert_eq!(client.done(), ["disconnect"]);

    // The server did not want to wait so long.
    let mut client = stranger();
    client.loses_the_line();
    assert_eq!((client.told(), client.done()), (vec![], vec![]));
    client.core.handle_trust(true);
    assert_eq!(client.done(), ["trust", "connect"]);
}

#[test]
fn a_server_that_has_become_another_ends_a_session_for_good() {
    let mut client = Client::person().logged_in(WELCOME);
    client.messages("luke", "hi");
    client.loses_the_line();
    client.waits_for_connect();
    let changed = Distrust::Changed { pinned: SERVER, since_s: 1, offered: Fingerprint([2; 32]) };
    client.core.handle_distrust(changed.clone());
    assert_eq!(client.core.ending(), Some(&distrusted(changed.clone())));
    assert_eq!(client.done(), ["disconnect"]);
    let ended = Notice::Ended { ending: distrusted(changed) };
    assert_eq!(client.notices().last(), Some(&ended));
}

#[test]
fn how_safe_the_connection_is_is_told_before_anything_is_asked_and_once() {
    let plain = Link { security: Security::Plain, key: None, loopback: true };
    let first = Link { security: Security::FirstContact { key: SERVER }, ..LINK };
    let invited = Link { security: Security::Verified { by_invite: true }, ..LINK };
    for link in [plain, first, invited] {
        let mut client = Client::person();
        client.core.handle_connected(client.now_ms, link);
        let safety = Tell::Notice(Notice::Security(link.security));
        assert_eq!(client.told(), [safety, Tell::Question(Question::Name)]);
        // The server does not wait for slow typists.
        client.loses_the_line();
        client.types_name("hans");
        client.types_password("secret");
        client.told();
        client.core.handle_connected(client.now_ms, link);
        assert_eq!(client.told(), []);
        client.hears(WELCOME);
        assert_eq!(client.notices(), [Notice::LoggedIn { name: "hans".into(), admin: false }]);
    }
    let mut client = Client::person();
    client.connects();
    assert_eq!(client.told(), [Tell::Question(Question::Name)], "what is known is not told");
}
