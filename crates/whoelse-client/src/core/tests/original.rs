//! A server of the original system.

use super::*;

#[test]
fn an_original_server_is_asked_one_thing_at_a_time_at_a_pace_it_can_follow() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    for text in ["one", "two", "three"] {
        client.messages("luke", text);
    }
    let mut times = Vec::new();
    for (answer_after_ms, status) in [(20, "SUCCESS"), (90, "USER_BLOCKED")] {
        client.waits_for_deadline();
        times.push(client.now_ms);
        let Some(Action::Send(bytes)) = client.core.next_action() else { panic!() };
        let frame = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(frame.ends_with('}') && !frame.contains("\"id\""), "{frame}");
        assert_eq!(client.core.deadline(), None, "nothing before the answer");
        client.waits(answer_after_ms);
        assert_eq!(client.done(), [""; 0]);
        client.hears(&format!(r#"{{"action":"message","status":"{status}"}}"#));
    }
    assert_eq!(times, [1_050, 1_100], "50 ms after the login, and after each other");
    assert_eq!(client.done().len(), 1, "the answer came late, so that the next goes at once");
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
    client.connects();
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

#[test]
fn what_an_original_server_cannot_read_at_once_is_refused_here() {
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    client.waits(100);
    client.messages("luke", "");
    let frame = client.done().concat();
    client.hears(r#"{"action":"message","status":"SUCCESS"}"#);
    client.told();
    client.waits(100);
    let fits = "x".repeat(1024 - frame.len());
    client.messages("luke", &fits);
    assert_eq!(client.done().concat().len(), 1024);
    let too_long = fits + "x";
    client.messages("luke", &too_long);
    let why = Why::TooLong { bytes: 1025, bytes_max: 1024 };
    let refused = Answer::Refused(Refusal::new(why));
    assert_eq!(client.notices(), [answered(message("luke", &too_long), refused)]);
}
