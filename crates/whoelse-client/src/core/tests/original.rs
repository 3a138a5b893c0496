//! A server of the original system.

use super::*;

#[test]
fn an_original_server_is_asked_one_thing_at_a_time_at_a_pace_it_can_follow() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    for text in ["one", "two", "three"] {
        client.messages("luke", text);
    }
    let mut sent = Vec::new();
    while let Some(at_ms) = client.core.deadline() {
        client.now_ms = client.now_ms.max(at_ms);
        client.core.tick(client.now_ms);
        while let Some(action) = client.core.next_action() {
            let Action::Send(bytes) = action else { panic!("{action:?}") };
            sent.push((client.now_ms, String::from_utf8(bytes).unwrap()));
        }
    }
    let times: Vec<u64> = sent.iter().map(|(at_ms, _)| *at_ms).collect();
    assert_eq!(times, [1_050, 1_100, 1_150], "50 ms after the login, and after each other");
    for (_, frame) in &sent {
        assert!(frame.ends_with('}') && !frame.contains("\"id\""), "{frame}");
    }
    client.hears(r#"{"action":"message","status":"SUCCESS"}"#);
    client.hears(r#"{"action":"message","status":"USER_BLOCKED"}"#);
    assert_eq!(
        client.notices(),
        [
            answered(message("luke", "one"), Answer::Done),
            answered(message("luke", "two"), Answer::Refused(Refusal::new(Why::UserBlocked)))
        ]
    );
}

#[test]
fn an_original_server_is_sent_nothing_twice() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    client.waits(100);
    client.messages("luke", "written");
    client.messages("luke", "not yet");
    client.done();
    client.loses_the_line();
    assert_eq!(client.notices()[1], Notice::Uncertain { command: message("luke", "written") });
    client.waits_for_connect();
    client.core.handle_connected(client.now_ms);
    client.hears(r#"{"action":"login","status":"ALREADY_LOGGED_IN"}"#);
    client.waits(2_000);
    client.done();
    client.hears(ORIGINAL_WELCOME);
    client.waits(1_000);
    let sent = client.done();
    assert!(sent.len() == 1 && sent[0].contains("not yet"), "{sent:?}");
}

#[test]
fn mail_of_an_original_server_is_told_and_not_acknowledged() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    assert_eq!(texts(&client.notices()), ["hi", "hi"]);
    client.waits(1_000);
    assert_eq!(client.done(), [""; 0]);
}
