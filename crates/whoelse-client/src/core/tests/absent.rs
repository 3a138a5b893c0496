//! Starts without the server.

use super::*;
use crate::log::{Remembered, Unfinished};
use crate::notice::Waiting;

fn history() -> Command {
    Command::History { user: "luke".into(), count: 20 }
}

/// A start of somebody whose log says this, and whose server is not there.
fn absent(remembered: Remembered, kept: bool) -> Client {
    let mut client = Client::person().with_device(kept);
    client.core.allow_absent();
    client.core.handle_connect_failed(client.now_ms, Trouble::Refused);
    let told = client.told();
    let place = config(true).place;
    let absent = Notice::Absent { place, trouble: Trouble::Refused };
    assert_eq!(told, [Tell::Notice(absent), Tell::Question(Question::Name)]);
    client.core.handle_name("hans".into());
    assert_eq!(client.core.actions.pop_back(), Some(Action::OpenProfile { name: "hans".into() }));
    client.core.handle_log(Ok(remembered));
    client.log = Some(Vec::new());
    let device = client.seed.map(Device::new);
    client.core.handle_device(client.now_ms, device, kept);
    client
}

fn unfinished() -> Remembered {
    let old = Unfinished { id: "old-1".into(), to: "luke".into(), text: "old".into(), age_ms: 5 };
    Remembered { unfinished: vec![old], ..Remembered::default() }
}

#[test]
fn whoever_was_here_before_reads_what_is_kept_and_writes_what_waits() {
    let mut client = absent(unfinished(), true);
    let [Notice::WithoutServer { name, .. }] = &client.notices()[..] else { panic!() };
    assert_eq!(name, "hans");
    assert!(client.core.wants_input() && client.core.was_logged_in());
    client.wants(history());
    client.messages("luke", "new");
    client.wants(Command::Whoelse);
    assert_eq!(client.done(), ["look for history"]);
    client.notices();
    client.core.handle_found(client.now_ms, history(), Ok(crate::log::Found::default()));
    client.notices();
    client.wants(Command::Outbox);
    let waiting = |text: &str, tried| Waiting { user: "luke".into(), text: text.into(), tried };
    let all = Answer::Waiting(vec![waiting("old", true), waiting("new", false)]);
    assert_eq!(client.notices(), [answered(Command::Outbox, all)]);

    client.waits_for_connect();
    client.core.handle_connect_failed(client.now_ms, Trouble::NoAnswer);
    assert!(matches!(client.notices()[..], [Notice::StillLost { .. }]));
    client.waits_for_connect();
    client.connects();
    assert_eq!(client.done(), [r#"{"action":"challenge"}"#]);
    client.hears(&format!(
        r#"{{"action":"challenge","status":"SUCCESS","nonce":"{}"}}"#,
        whoelse_proto::Nonce([5; 32])
    ));
    client.hears(&WELCOME.replace("login", "resume"));
    let notices = client.notices();
    assert!(
        matches!(notices[..], [Notice::LoggedIn { .. }, Notice::TakenUp { count: 1 }]),
        "{notices:?}"
    );
    let sent: Vec<_> =
        client.done().into_iter().filter(|it| it.contains(r#""message":"#)).collect();
    assert!(sent[0].contains("old-1") && sent[1].contains("new"), "{sent:?}");
}

#[test]
fn without_a_device_the_password_is_asked_when_the_server_is_back() {
    let mut client = absent(unfinished(), false);
    client.told();
    client.waits_for_connect();
    client.connects();
    assert_eq!(client.told(), [Tell::Question(Question::Password)]);
    client.loses_the_line();
    assert_eq!(client.done(), [""; 0], "it waits for the answer");
    client.types_password("secret");
    assert_eq!(client.done(), ["connect"]);
}

#[test]
fn leaving_without_the_server_keeps_what_was_written() {
    let mut client = absent(unfinished(), true);
    client.core.handle_leave(client.now_ms);
    assert_eq!(client.core.ending(), Some(&Ending::LoggedOut));

    let mut client = absent(unfinished(), true);
    client.notices();
    client.messages("luke", "new");
    client.notices();
    client.core.handle_leave(client.now_ms);
    client.waits(10_000);
    assert_eq!(
        client.notices().last(),
        Some(&Notice::Ended { ending: Ending::Unconfirmed { lost: true } })
    );

    let mut client = absent(unfinished(), true);
    client.wants(Command::Logout);
    assert!(client.done().contains(&"forget the device".to_owned()));
}

#[test]
fn whoever_was_not_here_before_is_told_that_there_is_no_server() {
    let client = absent(Remembered::default(), false);
    assert_eq!(client.core.ending(), Some(&Ending::Unreachable(Trouble::Refused)));
    assert!(!client.core.was_logged_in());
    for mut client in [Client::person(), Client::script()] {
        if !client.core.config.interactive {
            client.core.allow_absent();
        }
        client.core.handle_connect_failed(client.now_ms, Trouble::Refused);
        assert_eq!(client.core.ending(), Some(&Ending::Unreachable(Trouble::Refused)));
        assert!(client.told().is_empty());
    }
}

#[test]
fn what_keeps_it_from_coming_back_is_told_at_the_prompt() {
    let mut client = absent(unfinished(), true);
    client.waits_for_connect();
    client.core.handle_distrust(Distrust::Declined);
    let notices = client.notices();
    assert!(matches!(notices.last(), Some(Notice::Ended { .. })), "{notices:?}");
}
