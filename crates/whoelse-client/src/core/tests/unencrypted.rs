//! Links with original clients, which nobody encrypts.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::links::notice::{LinkWhy, NotSent};
use crate::links::{LinkNotice, LinkOptions};
use crate::unencrypted::{Event, LineId, LineOrder};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn start() -> Command {
    Command::StartPrivate { user: "luke".into(), unencrypted: true }
}

fn private(text: &str) -> Command {
    Command::Private { user: "luke".into(), text: text.into() }
}

fn client(allow_unencrypted: bool) -> Client {
    let links = LinkOptions { allow_unencrypted, ..LinkOptions::default() };
    Client::of(Config { links, ..config(true) }).logged_in(WELCOME)
}

/// A client that has been told where luke is.
fn connecting() -> Client {
    let mut client = client(false);
    client.wants(start());
    let id = id_of(&client.done()[0]);
    client.hears(&format!(
        r#"{{"action":"startprivate","status":"SUCCESS","id":"{id}","address":"127.0.0.1","port":50001}}"#
    ));
    client
}

fn happens(client: &mut Client, event: Event) {
    client.core.handle_unencrypted(client.now_ms, event);
}

fn say(line: LineId, number: u64, text: &str) -> String {
    format!("{:?}", LineOrder::Say { line, number, from: "hans".into(), text: text.into() })
}

fn up(asked_us: bool) -> Notice {
    let user = "luke".into();
    Notice::Link(LinkNotice::UnencryptedUp { user, address: ADDRESS, asked_us })
}

fn ended(stood: bool, here: bool, trouble: Option<&str>, texts: &[(&str, bool)]) -> Notice {
    let not_sent = |(text, tried): &(&str, bool)| NotSent { text: (*text).into(), tried: *tried };
    Notice::Link(LinkNotice::UnencryptedEnded {
        user: "luke".into(),
        address: ADDRESS,
        stood,
        here,
        trouble: trouble.map(str::to_owned),
        texts: texts.iter().map(not_sent).collect(),
    })
}

fn text(line: LineId, from: &str, text: &str) -> Event {
    Event::Text { line, from: from.into(), text: text.into() }
}

fn refused(command: Command, why: LinkWhy) -> Notice {
    answered(command, Answer::Refused(Refusal::new(Why::Link(why))))
}

#[test]
fn what_is_said_before_the_line_stands_waits_and_counts_as_sent_when_written_only() {
    let mut client = connecting();
    let line = LineId::Ours(1);
    let to = (ADDRESS, 50_001).into();
    assert_eq!(client.done(), [format!("{:?}", LineOrder::Connect { line, to })]);
    client.wants(private("one"));
    assert!(client.done()[0].contains(r#""action":"active""#), "nothing else");
    happens(&mut client, Event::Up(line));
    assert_eq!(client.done(), [say(line, 1, "one")]);
    client.wants(private("two"));
    assert_eq!(client.done(), [say(line, 2, "two")]);
    assert_eq!(
        client.notices(),
        [Notice::Link(LinkNotice::Waits { user: "luke".into() }), up(false)]
    );
    happens(&mut client, Event::Written { line, number: 1 });
    assert_eq!(client.notices(), [answered(private("one"), Answer::Unconfirmed)]);
    happens(&mut client, text(line, "luke", "what?"));
    let said = LinkNotice::UnencryptedText { from: "luke".into(), text: "what?".into() };
    assert_eq!(client.notices(), [Notice::Link(said)]);
    happens(&mut client, Event::Ended { line, trouble: None });
    assert_eq!(client.notices(), [ended(true, false, None, &[("two", true)])]);
    client.wants(private("three"));
    assert_eq!(
        client.notices(),
        [answered(private("three"), Answer::Refused(Refusal::new(Why::NoLink)))]
    );
}

#[test]
fn a_line_that_does_not_open_gives_back_what_waited_for_it() {
    let mut client = connecting();
    client.wants(private("one"));
    client.notices();
    let trouble = Some("nothing there".to_owned());
    happens(&mut client, Event::Ended { line: LineId::Ours(1), trouble });
    assert_eq!(client.notices(), [ended(false, false, Some("nothing there"), &[("one", false)])]);
}

#[test]
fn there_is_one_line_with_a_person_and_none_that_tells_a_hidden_address() {
    let mut client = connecting();
    client.wants(start());
    happens(&mut client, Event::Up(LineId::Ours(1)));
    client.wants(start());
    assert_eq!(
        client.notices(),
        [refused(start(), LinkWhy::LinkBeing), up(false), refused(start(), LinkWhy::LinkStands)]
    );
    let links = LinkOptions { hide_address: true, ..LinkOptions::default() };
    let mut client = Client::of(Config { links, ..config(true) }).logged_in(WELCOME);
    client.wants(start());
    assert_eq!(client.notices(), [refused(start(), LinkWhy::AddressHidden)]);
    assert_eq!(client.done(), [""; 0]);
}

#[test]
fn somebody_who_opens_a_line_is_told_of_with_the_first_word_and_can_be_answered() {
    let mut client = client(true);
    let line = LineId::Theirs(1);
    happens(&mut client, Event::Incoming { line, address: ADDRESS });
    assert_eq!(client.told(), []);
    happens(&mut client, text(line, "luke", "psst"));
    let said = LinkNotice::UnencryptedText { from: "luke".into(), text: "psst".into() };
    assert_eq!(client.notices(), [up(true), Notice::Link(said)]);
    client.done();
    client.wants(private("what?"));
    assert_eq!(client.done()[0], say(line, 1, "what?"));
    client.wants(Command::StopPrivate { user: "luke".into() });
    assert_eq!(client.notices(), [ended(true, true, None, &[("what?", true)])]);
    assert_eq!(client.done(), [format!("{:?}", LineOrder::Close { line })]);
}

#[test]
fn nobody_changes_names_on_a_line_or_takes_ours_or_one_that_is_none() {
    for (first, then) in [("luke", "yoda"), ("hans", ""), ("two words", ""), ("", "")] {
        let mut client = client(true);
        let line = LineId::Theirs(1);
        happens(&mut client, Event::Incoming { line, address: ADDRESS });
        happens(&mut client, text(line, first, "one"));
        happens(&mut client, text(line, then, "two"));
        assert_eq!(client.done(), [format!("{:?}", LineOrder::Close { line })], "{first}");
        let told = client.notices();
        assert_eq!(told.len(), if first == "luke" { 3 } else { 0 }, "{told:?}");
    }
}

#[test]
fn of_lines_without_a_name_the_oldest_makes_room() {
    let mut client = client(true);
    for number in 1..=5 {
        happens(&mut client, Event::Incoming { line: LineId::Theirs(number), address: ADDRESS });
    }
    let close = LineOrder::Close { line: LineId::Theirs(1) };
    assert_eq!(client.done(), [format!("{close:?}")]);
}

#[test]
fn the_server_is_told_where_lines_may_be_opened() {
    let links = LinkOptions { allow_unencrypted: true, ..LinkOptions::default() };
    let mut client = Client::of(Config { links, ..config(true) });
    client.core.handle_listening(Ok(50_001));
    client.connects();
    client.types_password("secret");
    let login = client.done().pop().unwrap();
    assert!(login.contains(r#""private_port":50001"#), "{login}");
}

#[test]
fn what_is_too_long_for_an_original_client_is_not_taken() {
    let mut client = connecting();
    let long = "x".repeat(1000);
    client.wants(private(&long));
    let why = Why::TooLong { bytes: 1000 + 28, bytes_max: 1024 };
    assert_eq!(client.notices(), [answered(private(&long), Answer::Refused(Refusal::new(why)))]);
}

#[test]
fn leaving_ends_all_lines() {
    let mut client = connecting();
    happens(&mut client, Event::Up(LineId::Ours(1)));
    client.done();
    client.notices();
    client.core.handle_interrupt();
    assert_eq!(client.notices()[0], ended(true, true, None, &[]));
    let close = LineOrder::Close { line: LineId::Ours(1) };
    assert!(client.done().contains(&format!("{close:?}")));
}

/// Somebody has opened a line and says something there under luke's name.
fn pretends(client: &mut Client, number: u64) {
    let line = LineId::Theirs(number);
    happens(client, Event::Incoming { line, address: ADDRESS });
    happens(client, text(line, "luke", "tell me all"));
}

#[test]
fn nobody_takes_the_place_of_somebody_on_a_line() {
    let close = format!("{:?}", LineOrder::Close { line: LineId::Theirs(2) });
    let turned = LinkNotice::UnencryptedTurnedAway { user: "luke".into(), address: ADDRESS };
    // Not of one that hans has asked for, open or not.
    for is_up in [false, true] {
        let mut client = connecting();
        if is_up {
            happens(&mut client, Event::Up(LineId::Ours(1)));
        }
        client.done();
        client.notices();
        pretends(&mut client, 2);
        assert_eq!(client.done(), std::slice::from_ref(&close));
        assert_eq!(client.notices(), [Notice::Link(turned.clone())]);
        client.wants(private("psst"));
        if !is_up {
            happens(&mut client, Event::Up(LineId::Ours(1)));
        }
        assert!(client.done().contains(&say(LineId::Ours(1), 1, "psst")));
    }
    // Nor of one of another who has come first.
    let mut client = client(true);
    pretends(&mut client, 1);
    client.notices();
    pretends(&mut client, 2);
    assert_eq!(client.notices(), [Notice::Link(turned)]);
    client.done();
    client.wants(private("psst"));
    assert!(client.done().contains(&say(LineId::Theirs(1), 1, "psst")));
}

#[test]
fn a_line_that_was_asked_for_takes_the_place_of_one_that_came_meanwhile() {
    let mut client = client(true);
    client.wants(start());
    let id = id_of(&client.done()[0]);
    pretends(&mut client, 1);
    client.notices();
    client.hears(&format!(
        r#"{{"action":"startprivate","status":"SUCCESS","id":"{id}","address":"127.0.0.1","port":50001}}"#
    ));
    assert_eq!(client.notices(), [ended(true, true, None, &[])]);
    happens(&mut client, Event::Up(LineId::Ours(1)));
    client.done();
    client.wants(private("psst"));
    assert!(client.done().contains(&say(LineId::Ours(1), 1, "psst")));
}

/// A stranger with this number says something under a name of its own.
fn comes(client: &mut Client, number: u64) {
    let line = LineId::Theirs(number);
    happens(client, Event::Incoming { line, address: ADDRESS });
    happens(client, text(line, &format!("n{number}"), "hello"));
}

/// Those whose line has ended, and those for whom there was no room.
fn gone(client: &mut Client) -> (Vec<String>, usize) {
    let (mut ended, mut full) = (Vec::new(), 0);
    for notice in client.notices() {
        match notice {
            Notice::Link(LinkNotice::UnencryptedEnded { user, .. }) => ended.push(user),
            Notice::Link(LinkNotice::UnencryptedFull { .. }) => full += 1,
            _ => {}
        }
    }
    (ended, full)
}

#[test]
fn whoever_has_been_silent_longest_makes_room_unless_somebody_here_has_answered() {
    let mut client = client(true);
    (1..=8).for_each(|number| comes(&mut client, number));
    happens(&mut client, text(LineId::Theirs(1), "n1", "still here"));
    client.wants(Command::Private { user: "n2".into(), text: "hello".into() });
    assert_eq!(gone(&mut client), (Vec::new(), 0));
    client.done();
    comes(&mut client, 9);
    assert_eq!(gone(&mut client), (vec!["n3".to_owned()], 0));
    assert_eq!(client.done(), [format!("{:?}", LineOrder::Close { line: LineId::Theirs(3) })]);
    // Nobody makes room who is talked to; that there is none is told once.
    for number in [1, 4, 5, 6, 7, 8, 9] {
        client.wants(Command::Private { user: format!("n{number}"), text: "hello".into() });
    }
    client.notices();
    client.done();
    (10..=12).for_each(|number| comes(&mut client, number));
    assert_eq!(gone(&mut client), (Vec::new(), 1));
    let close = |number| format!("{:?}", LineOrder::Close { line: LineId::Theirs(number) });
    assert_eq!(client.done(), [close(10), close(11), close(12)]);
    happens(&mut client, Event::Ended { line: LineId::Theirs(4), trouble: None });
    comes(&mut client, 13);
    comes(&mut client, 14);
    assert_eq!(gone(&mut client), (vec!["n4".to_owned(), "n13".to_owned()], 0));
    client.wants(Command::Private { user: "n14".into(), text: "hello".into() });
    comes(&mut client, 15);
    assert_eq!(gone(&mut client), (Vec::new(), 1));
}
