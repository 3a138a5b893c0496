//! Requests, their answers, and what others do.

use super::*;

#[test]
fn answers_find_their_requests_by_id_in_any_order() {
    let mut client = Client::person().logged_in(WELCOME);
    client.messages("luke", "hi");
    client.messages("yoda", "ho");
    let sent = client.done();
    let (luke, yoda) = (id_of(&sent[0]), id_of(&sent[1]));
    client.hears(&format!(
        r#"{{"action":"message","id":"{yoda}","status":"USER_NOT_EXIST","suggestion":"yoga"}}"#
    ));
    client.hears(&format!(r#"{{"action":"message","id":"{luke}","status":"SUCCESS"}}"#));
    let mut refusal = Refusal::new(Why::UserNotExist);
    refusal.suggestion = Some("yoga".into());
    assert_eq!(
        client.notices(),
        [
            answered(message("yoda", "ho"), Answer::Refused(refusal)),
            answered(message("luke", "hi"), Answer::Done)
        ]
    );
}

#[test]
fn private_commands_are_answered_without_the_server() {
    let mut client = Client::person().logged_in(WELCOME);
    for (user, why) in [("luke", Why::NoLink), ("hans", Why::Yourself)] {
        let command = Command::Private { user: user.into(), text: "psst".into() };
        client.wants(command.clone());
        let refused = Answer::Refused(Refusal::new(why));
        assert_eq!(client.notices(), [answered(command, refused)]);
    }
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn a_message_that_fits_no_frame_is_refused_here() {
    let mut client = Client::person().logged_in(WELCOME);
    client.messages("luke", &"x".repeat(FRAME_BYTES_MAX));
    let notices = client.notices();
    let Notice::Answered { answer: Answer::Refused(refusal), .. } = &notices[0] else {
        panic!("{notices:?}")
    };
    assert!(matches!(refusal.why, Why::TooLong { .. }));
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn input_waits_while_many_answers_are_missing() {
    let mut client = Client::script().logged_in(WELCOME);
    for _ in 0..UNANSWERED_MAX {
        assert!(client.core.wants_input());
        client.messages("luke", "hi");
    }
    assert!(!client.core.wants_input());
}

#[test]
fn other_peoples_doings_are_told() {
    let mut client = Client::person().logged_in(WELCOME);
    client.hears(r#"{"action":"login_broadcast","from":"luke","message":""}"#);
    client.hears(r#"{"action":"receive_broadcast","from":"luke","message":"hello all"}"#);
    client.hears(r#"{"action":"logout_broadcast","from":"luke","message":""}"#);
    client.hears(r#"{"action":"of_a_later_protocol","from":"luke"}"#);
    client.hears(r#"{"action":"receive_message","from":7}"#);
    assert_eq!(
        client.notices(),
        [
            Notice::Came { name: "luke".into() },
            Notice::Broadcast { from: "luke".into(), text: "hello all".into() },
            Notice::Left { name: "luke".into() }
        ]
    );
}

#[test]
fn answers_of_each_kind() {
    let address = "10.0.0.7".parse().ok();
    for (command, fields, answer) in [
        (Command::Whoelse, r#""reply":["a","b"]"#, Answer::Names(vec!["a".into(), "b".into()])),
        (
            Command::Broadcast { text: "x".into() },
            r#""n_sent":2,"n_blocked":1"#,
            Answer::Counted { n_sent: 2, n_blocked: 1 },
        ),
        (
            Command::StartPrivate { user: "luke".into(), unencrypted: true },
            r#""reply":"SUCCESS","address":"10.0.0.7","username":"luke""#,
            Answer::Address { address, port: None },
        ),
        (
            Command::StartPrivate { user: "luke".into(), unencrypted: true },
            r#""reply":"USER_SELF""#,
            Answer::Refused(Refusal::new(Why::Yourself)),
        ),
        (
            Command::Unblock { user: "luke".into() },
            r#""status":"NOT_BLOCKED""#,
            Answer::Refused(Refusal::new(Why::NotBlocked)),
        ),
    ] {
        let mut client = Client::person().logged_in(WELCOME);
        client.wants(command.clone());
        let id = id_of(&client.done()[0]);
        client.hears(&format!(r#"{{"action":"{}","id":"{id}",{fields}}}"#, command.word()));
        assert_eq!(client.notices(), [answered(command, answer)]);
    }
}
