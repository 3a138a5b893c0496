//! A lost line, and what comes of it.

use super::*;

#[test]
fn an_unconfirmed_message_is_sent_again_under_its_id_after_a_lost_line() {
    let mut client = Client::person().logged_in(WELCOME);
    client.messages("luke", "one");
    client.messages("luke", "two");
    let sent = client.done();
    let confirmed = id_of(&sent[0]);
    client.hears(&format!(r#"{{"action":"message","id":"{confirmed}","status":"SUCCESS"}}"#));
    client.told();
    client.loses_the_line();
    assert!(matches!(client.notices()[..], [Notice::Lost { loss: Loss::Closed, .. }]));

    client.messages("luke", "three");
    assert_eq!(client.notices(), [Notice::Kept { command: message("luke", "three") }]);
    client.waits_for_connect();
    client.connects();
    assert!(client.done().concat().contains(r#""password":"secret""#));
    client.now_ms += 500;
    client.hears(WELCOME);
    let again = client.done();
    assert_eq!(again[0], sent[1], "the same bytes, and so the same id");
    assert!(again[1].contains("three"));
    let notices = client.notices();
    assert!(matches!(notices[..], [Notice::Back { resent: 1, sent: 1, .. }]), "{notices:?}");

    let id = id_of(&again[0]);
    client.hears(&format!(r#"{{"action":"message","id":"{id}","status":"SUCCESS"}}"#));
    assert_eq!(client.notices(), [answered(message("luke", "two"), Answer::Done)]);
}

#[test]
fn what_is_not_a_message_is_never_sent_again_by_itself() {
    let mut client = Client::person().logged_in(WELCOME);
    let broadcast = Command::Broadcast { text: "all".into() };
    client.wants(broadcast.clone());
    client.wants(Command::Whoelse);
    client.done();
    client.loses_the_line();
    let notices = client.notices();
    assert!(matches!(notices[0], Notice::Lost { .. }), "first what explains the others");
    assert_eq!(notices[1], Notice::Uncertain { command: broadcast });
    assert_eq!(notices[2], Notice::Uncertain { command: Command::Whoelse });
    client.wants(Command::Whoelse);
    assert_eq!(client.notices(), [Notice::NotAsked { command: Command::Whoelse }]);
    client.waits_for_connect();
    client.connects();
    client.done();
    client.hears(WELCOME);
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn after_the_server_has_ended_a_session_nothing_is_tried_again() {
    let ended = |sentence: Option<&str>| Ending::Ended {
        reason: "LOCKED".into(),
        sentence: sentence.map(str::to_owned),
    };
    for (event, ending) in [
        (r#""timeout""#, Ending::Timeout),
        (r#""takeover""#, Ending::TakenOver),
        (r#""ended","reason":"LOCKED""#, ended(None)),
        (r#""ended","reason":"LOCKED","message":"Logged out."#, ended(Some("Logged out."))),
    ] {
        let event = format!(r#"{{"action":{event}"#);
        let end = if event.ends_with('.') { r#""}"# } else { "}" };
        let mut client = Client::person().logged_in(WELCOME);
        client.hears(&(event + end));
        client.loses_the_line();
        client.waits(1_000_000);
        assert_eq!(client.done(), ["disconnect"]);
        assert_eq!(client.notices(), [Notice::Ended { ending: ending.clone() }]);
        assert_eq!(client.core.ending(), Some(&ending));
    }
}

#[test]
fn a_person_is_reconnected_for_ever_with_growing_pauses_told_until_they_grow_no_more() {
    let mut client = Client::person().logged_in(WELCOME);
    client.loses_the_line();
    let mut reports = client.notices().len();
    for _ in 0..100 {
        client.waits_for_connect();
        client.core.handle_connect_failed(client.now_ms, Trouble::Refused);
        reports += client.notices().len();
    }
    assert!(client.now_ms > 1_000_000);
    assert!((5..10).contains(&reports), "{reports}");
    assert_eq!(client.core.ending(), None);
}

#[test]
fn a_script_gives_up_after_a_minute_and_says_what_was_not_sent() {
    let mut client = Client::script().logged_in(WELCOME);
    client.messages("luke", "hi");
    client.loses_the_line();
    assert!(!client.core.wants_input(), "its next commands wait");
    let lost_at_ms = client.now_ms;
    while client.core.ending().is_none() {
        if client.done() == ["connect"] {
            client.core.handle_connect_failed(client.now_ms, Trouble::Refused);
        }
        client.waits_for_deadline();
    }
    assert_eq!(client.now_ms, lost_at_ms + GIVE_UP_MS);
    let notices = client.notices();
    assert!(notices.contains(&Notice::Uncertain { command: message("luke", "hi") }));
    assert_eq!(notices.last(), Some(&Notice::Ended { ending: Ending::Lost }));
}

#[test]
fn garbage_ends_the_connection_and_not_the_client() {
    let mut client = Client::person().logged_in(WELCOME);
    client.core.handle_garbage(client.now_ms);
    assert_eq!(client.done(), ["disconnect"]);
    assert!(matches!(client.notices()[..], [Notice::Lost { loss: Loss::Garbage, .. }]));
    client.waits_for_connect();
}

#[test]
fn a_server_that_drops_us_after_each_login_is_not_hammered() {
    let mut client = Client::person().logged_in(WELCOME);
    let began_ms = client.now_ms;
    for _ in 0..20 {
        client.loses_the_line();
        client.waits_for_connect();
        client.connects();
        client.hears(WELCOME);
        client.done();
    }
    assert!(client.now_ms - began_ms > 100_000);
}

#[test]
fn messages_kept_without_a_connection_are_bounded() {
    let mut client = Client::person().logged_in(WELCOME);
    client.loses_the_line();
    for _ in 0..=KEPT_MAX {
        client.messages("luke", "hi");
    }
    let refused = Answer::Refused(Refusal::new(Why::TooManyKept));
    assert_eq!(client.notices().pop(), Some(answered(message("luke", "hi"), refused)));
}

/// Comes back some times to a server where each session goes the same way and ends; says how
/// long the last pause was.
fn last_pause_ms(session: impl Fn(&mut Client)) -> u64 {
    let mut client = Client::script().logged_in(WELCOME);
    let mut pause_ms = 0;
    for _ in 0..10 {
        session(&mut client);
        client.done();
        let lost_at_ms = client.now_ms;
        client.waits_for_connect();
        pause_ms = client.now_ms - lost_at_ms;
        client.connects();
        client.hears(WELCOME);
        client.done();
    }
    pause_ms
}

#[test]
fn pauses_are_short_again_after_an_answer_or_five_seconds_and_not_after_garbage() {
    fn is_answered(client: &mut Client) {
        client.messages("luke", "hi");
        let id = id_of(&client.done()[0]);
        client.hears(&format!(r#"{{"action":"message","id":"{id}","status":"SUCCESS"}}"#));
    }
    let after_an_answer = last_pause_ms(|client| {
        is_answered(client);
        client.loses_the_line();
    });
    let after_five_seconds = last_pause_ms(|client| {
        client.waits(5_000);
        client.loses_the_line();
    });
    let after_a_cut = last_pause_ms(Client::loses_the_line);
    let after_garbage = last_pause_ms(|client| {
        is_answered(client);
        client.core.handle_garbage(client.now_ms);
    });
    assert!(after_an_answer <= 500, "{after_an_answer}");
    assert!(after_five_seconds <= 500, "{after_five_seconds}");
    assert!(after_a_cut > 10_000, "{after_a_cut}");
    assert!(after_garbage > 10_000, "{after_garbage}");
}

#[test]
fn a_person_gets_the_names_of_those_online_with_each_session_and_nobody_waits_for_them() {
    let mut client = Client::person();
    client.connects();
    client.types_password("secret");
    client.done();
    client.told();
    for is_return in [false, true, true] {
        client.hears(WELCOME);
        if is_return {
            assert_eq!(client.done(), [""; 0], "it would look like a deed of the person");
            client.messages("luke", "hi");
            let id = id_of(&client.done()[0]);
            client.hears(&format!(r#"{{"action":"message","id":"{id}","status":"SUCCESS"}}"#));
        }
        let asked = client.done().concat();
        assert!(asked.contains(r#""action":"whoelse""#), "{asked}");
        client.told();
        let id = id_of(&asked);
        client.hears(&format!(r#"{{"action":"whoelse","id":"{id}","reply":["luke","yoda"]}}"#));
        let names = vec!["luke".to_owned(), "yoda".to_owned()];
        assert_eq!(client.notices(), [Notice::Present { names }]);
        client.loses_the_line();
        assert!(matches!(client.notices()[..], [Notice::Lost { .. }]));
        client.waits_for_connect();
        client.connects();
        client.done();
    }
    // It stays unanswered, and the end is an orderly one.
    let mut client = Client::person().logged_in(WELCOME);
    client.wants(Command::Logout);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.loses_the_line();
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn neither_a_script_nor_an_original_server_is_bothered_with_names() {
    for (mut client, welcome) in [(Client::script(), WELCOME), (Client::person(), ORIGINAL_WELCOME)]
    {
        client.connects();
        client.types_password("secret");
        client.done();
        client.hears(welcome);
        client.waits(1_000);
        assert_eq!(client.done(), [""; 0]);
    }
}
