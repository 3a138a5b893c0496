//! The end that the person wants.

use super::*;

#[test]
fn logout_waits_until_what_was_sent_is_confirmed() {
    let mut client = Client::person().logged_in(WELCOME);
    client.messages("luke", "hi");
    let id = id_of(&client.done()[0]);
    client.wants(Command::Logout);
    assert_eq!(client.done(), [""; 0]);
    client.hears(&format!(r#"{{"action":"message","id":"{id}","status":"SUCCESS"}}"#));
    client.told();
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.hears(r#"{"action":"logout","status":"SUCCESS","reply":"logged out"}"#);
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn the_end_of_input_waits_for_mail_that_is_still_coming() {
    let mut client = Client::script().logged_in(WELCOME);
    client.core.handle_end_of_input(client.now_ms);
    client.waits(200);
    client.hears(&mail(1));
    assert_eq!(texts(&client.notices()), ["m1"]);
    client.waits(200);
    assert_eq!(client.done(), [r#"{"action":"ack","number":1}"#]);
    client.waits(100);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.loses_the_line();
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn what_is_not_confirmed_at_the_end_of_input_is_said_after_five_seconds() {
    let mut client = Client::script().logged_in(WELCOME);
    client.messages("luke", "hi");
    client.core.handle_end_of_input(client.now_ms);
    client.waits(5_000);
    assert_eq!(client.core.ending(), Some(&Ending::Unconfirmed { lost: false }));
    assert_eq!(client.notices()[0], Notice::Uncertain { command: message("luke", "hi") });
}

#[test]
fn leaving_without_a_connection_ends_at_once_unless_a_message_waits() {
    let mut client = Client::person().logged_in(WELCOME);
    client.loses_the_line();
    client.wants(Command::Logout);
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));

    let mut client = Client::person().logged_in(WELCOME);
    client.loses_the_line();
    client.messages("luke", "hi");
    client.wants(Command::Logout);
    assert_eq!(client.core.ending(), None);
    client.told();
    client.now_ms += 5_000;
    client.core.tick(client.now_ms);
    assert_eq!(client.core.ending(), Some(&Ending::Unconfirmed { lost: true }));
    assert_eq!(client.notices()[0], Notice::Unsent { command: message("luke", "hi") });
}
