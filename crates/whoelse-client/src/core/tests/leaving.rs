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

#[test]
fn what_a_lost_line_left_uncertain_is_no_orderly_end() {
    let block = || Command::Block { user: "luke".into() };
    let broadcast = || Command::Broadcast { text: "all".into() };
    for (welcome, command) in [
        (WELCOME, broadcast()),
        (WELCOME, block()),
        (ORIGINAL_WELCOME, broadcast()),
        (ORIGINAL_WELCOME, message("luke", "hi")),
    ] {
        for mut client in [Client::script(), Client::person()] {
            client = client.logged_in(welcome);
            client.waits(100);
            client.wants(command.clone());
            client.core.handle_end_of_input(client.now_ms);
            client.loses_the_line();
            client.core.tick(client.now_ms);
            assert_eq!(client.core.ending(), Some(&Ending::Unconfirmed { lost: true }));
        }
    }
    let mut client = Client::person().logged_in(WELCOME);
    client.loses_the_line();
    client.wants(broadcast());
    client.wants(Command::Logout);
    assert_eq!(client.core.ending(), Some(&Ending::Unconfirmed { lost: true }));
}

#[test]
fn only_a_person_who_is_back_may_leave_what_was_uncertain_behind() {
    let unconfirmed = Ending::Unconfirmed { lost: true };
    for (mut client, ending) in
        [(Client::script(), unconfirmed), (Client::person(), Ending::LoggedOut)]
    {
        client = client.logged_in(WELCOME);
        client.wants(Command::Broadcast { text: "all".into() });
        client.loses_the_line();
        client.waits_for_connect();
        client.connects();
        client.hears(WELCOME);
        client.told();
        client.wants(Command::Logout);
        client.hears(r#"{"action":"logout","status":"SUCCESS","reply":"logged out"}"#);
        assert_eq!(client.core.ending(), Some(&ending));
    }
}

#[test]
fn a_refusal_is_an_answer_and_the_end_an_orderly_one() {
    let mut client = Client::script().logged_in(WELCOME);
    client.messages("nobody", "hi");
    let id = id_of(&client.done()[0]);
    client.hears(&format!(r#"{{"action":"message","id":"{id}","status":"USER_NOT_EXIST"}}"#));
    client.told();
    client.wants(Command::Logout);
    client.loses_the_line();
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn mail_that_comes_after_the_logout_was_sent_is_left_for_the_next_login() {
    let mut client = Client::person().logged_in(WELCOME);
    client.wants(Command::Logout);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.hears(&mail(1));
    assert_eq!((client.notices(), client.done()), (vec![], vec![]));

    // An original server keeps nothing.
    let mut client = Client::person().logged_in(ORIGINAL_WELCOME);
    client.waits(100);
    client.wants(Command::Logout);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    assert_eq!(texts(&client.notices()), ["hi"]);
}
