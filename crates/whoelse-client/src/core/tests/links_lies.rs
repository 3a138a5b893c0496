//! A server that lies about whose key is whose, and one that is out to do harm otherwise.

use whoelse_proto::{DeviceKey, EndpointKey, InviteSecret, LinkName, RelayTicket};

use super::*;
use crate::command::SafetyStep;
use crate::links::card::{self, Context};
use crate::links::notice::LinkWhy;
use crate::links::{
    LinkId, LinkNotice, LinkOptions, LinkState, PRIVATE_BYTES_MAX, PeerEvent, PeerOrder, PeerPlace,
    Private, Route, TEXT_BYTES_MAX, TEXTS_MAX,
};
use crate::unencrypted::{self, LineId};

/// A device that may or may not be luke's.
fn device(seed: u8) -> Device {
    Device::new([seed; 32])
}

fn key(seed: u8) -> DeviceKey {
    device(seed).key()
}

fn accept() -> Command {
    Command::Accept { user: "luke".into() }
}

fn start() -> Command {
    Command::StartPrivate { user: "luke".into(), unencrypted: false }
}

fn safety(step: SafetyStep) -> Command {
    Command::Safety { user: "luke".into(), step }
}

fn refused(command: Command, why: LinkWhy) -> Notice {
    answered(command, Answer::Refused(Refusal::new(Why::Link(why))))
}

/// hans, whose server is not to be trusted.
fn hans(private: Private) -> Client {
    let links =
        LinkOptions { carried: true, private, allow_unencrypted: true, ..LinkOptions::default() };
    Client::of(Config { links, ..config(true) }).with_device(false).logged_in(WELCOME)
}

/// The server says that luke asks, with such a device.
fn asks(client: &mut Client, link: &str, seed: u8, name: &str) {
    client.hears(&format!(
        r#"{{"action":"private_request","from":"luke","link":"{link}","purpose":"talk","device":"{}","device_name":"{name}"}}"#,
        key(seed)
    ));
}

fn ended(link: &str) -> String {
    format!(r#"{{"action":"private_ended","from":"luke","link":"{link}","reason":"WITHDRAWN"}}"#)
}

/// The link that is about to be made.
fn prepared(client: &mut Client) -> Option<LinkId> {
    let mut actions = std::iter::from_fn(|| client.core.next_action());
    actions.find_map(|action| match action {
        Action::Peer(PeerOrder::Prepare { link }) => Some(link),
        _ => None,
    })
}

/// Gives a link its keys; returns the request for the relay.
fn gets_keys(client: &mut Client, link: LinkId) -> String {
    client.done();
    let byte = u8::try_from(link.0).unwrap();
    let (endpoint, ticket) = (EndpointKey([byte; 32]), RelayTicket::new([byte; 32]));
    client.core.handle_peer(client.now_ms, PeerEvent::Prepared { link, endpoint, ticket });
    client.done().pop().unwrap()
}

/// The server does what was asked, if it is the last that was.
fn is_done(client: &mut Client, request: &str) {
    let (action, id) = (Incoming::decode(request.as_bytes()).unwrap().action, id_of(request));
    client.hears(&format!(r#"{{"action":"{action}","status":"SUCCESS","id":"{id}"}}"#));
}

/// Goes on to where hans has answered with a card, and the server has not confirmed that.
fn has_answered(client: &mut Client, link: LinkId) -> String {
    let relay = gets_keys(client, link);
    is_done(client, &relay);
    let addresses = vec!["192.0.2.1:4242".parse().unwrap()];
    client.core.handle_peer(client.now_ms, PeerEvent::Opened { link, addresses });
    let card = client.done().pop().unwrap();
    assert!(card.contains("answer_private"), "{card}");
    card
}

fn is_answered(client: &mut Client, link: LinkId) {
    let card = has_answered(client, link);
    is_done(client, &card);
}

/// The card of luke, who has asked, with that device.
fn has_card(client: &mut Client, name: &str, seed: u8, vouch: Option<[u8; 32]>) {
    let link = LinkName::new(name).unwrap();
    let context =
        Context { server: "s1", link: &link, from: "luke", to: "hans", from_caller: true };
    let endpoint = EndpointKey([200; 32]);
    let addresses = vec!["192.0.2.2:4242".parse().unwrap()];
    let place = PeerPlace { endpoint, addresses, relay: true };
    let card = card::make(context, &device(seed), &place, vouch);
    let card = serde_json::Value::from(card);
    client.hears(&format!(
        r#"{{"action":"private_card","from":"luke","link":"{name}","card":{card}}}"#
    ));
}

fn stands(client: &mut Client, link: LinkId) {
    let route = Route::Direct;
    client.core.handle_peer(client.now_ms, PeerEvent::Up { link, route });
}

/// Goes on to where the link with that device stands.
fn goes_on(client: &mut Client, link: LinkId, name: &str, seed: u8) {
    is_answered(client, link);
    has_card(client, name, seed, None);
    stands(client, link);
    let route = Route::Direct;
    assert_eq!(states(client).first(), Some(&LinkState::Standing(route)));
}

/// luke has asked with that device, and a link stands.
fn linked(client: &mut Client, name: &str, seed: u8) -> LinkId {
    asks(client, name, seed, "laptop");
    client.wants(accept());
    let link = prepared(client).unwrap();
    goes_on(client, link, name, seed);
    link
}

fn states(client: &Client) -> Vec<LinkState> {
    client.core.list_links().into_iter().map(|line| line.state).collect()
}

fn compares(client: &mut Client) {
    client.wants(safety(SafetyStep::Show));
    client.wants(safety(SafetyStep::Confirm));
    assert_eq!(client.notices().last(), Some(&answered(safety(SafetyStep::Confirm), Answer::Done)));
}

fn is_compared(client: &mut Client, seed: u8) -> bool {
    let pins = client.core.links_peers().unwrap().pins("luke");
    pins.iter().any(|pin| pin.key == key(seed) && pin.compared)
}

fn is_known(client: &mut Client, seed: u8) -> bool {
    client.core.links_peers().unwrap().pins("luke").iter().any(|pin| pin.key == key(seed))
}

/// Nothing but that the key has changed was told, and the question was declined for that.
fn has_stopped(client: &mut Client) {
    let notices = client.notices();
    let [Notice::Link(LinkNotice::Changed { .. })] = &notices[..] else { panic!("{notices:?}") };
    let done = client.done().concat();
    assert!(done.contains("KEY_CHANGED") && !done.contains("Prepare"), "{done}");
    assert!(!is_known(client, 2));
}

/// Two questions, of which the server has made up the second; the key of the first was compared
/// after both had come.
fn compared_between_two_questions() -> Client {
    let mut client = hans(Private::Ask);
    asks(&mut client, "q1", 1, "laptop");
    asks(&mut client, "q2", 2, "laptop");
    client.wants(accept());
    let link = prepared(&mut client).unwrap();
    goes_on(&mut client, link, "q1", 1);
    client.notices();
    compares(&mut client);
    client.done();
    client
}

#[test]
fn a_question_that_waited_while_another_key_was_compared_stops_when_it_is_accepted() {
    let mut client = compared_between_two_questions();
    client.wants(accept());
    has_stopped(&mut client);
    // What stands is not ended for that.
    assert_eq!(states(&client), [LinkState::Standing(Route::Direct)]);
    // The same if hans asks, which accepts what was asked.
    let mut client = compared_between_two_questions();
    client.wants(Command::StopPrivate { user: "luke".into() });
    client.notices();
    client.done();
    client.wants(start());
    has_stopped(&mut client);
    assert_eq!(states(&client), []);
}

#[test]
fn a_file_does_not_wait_for_a_link_that_was_stopped() {
    let mut client = compared_between_two_questions();
    client.wants(Command::StopPrivate { user: "luke".into() });
    client.notices();
    client.wants(Command::SendFile { user: "luke".into(), path: "plan.txt".into() });
    let number = client.core.list_files()[0].number;
    client.core.handle_file_checked(client.now_ms, number, Ok(()));
    let notices = client.notices();
    assert!(matches!(notices[0], Notice::Link(LinkNotice::Changed { .. })), "{notices:?}");
    assert!(client.core.list_files().is_empty());
}

#[test]
fn a_question_that_waited_stops_when_the_server_says_that_both_ask() {
    let mut client = hans(Private::Ask);
    linked(&mut client, "q1", 1);
    client.wants(Command::StopPrivate { user: "luke".into() });
    client.done();
    client.wants(start());
    let ask = client.done().pop().unwrap();
    asks(&mut client, "q2", 2, "phone");
    client.notices();
    compares(&mut client);
    let id = id_of(&ask);
    client.hears(&format!(
        r#"{{"action":"startprivate","status":"SUCCESS","id":"{id}","user":"luke","link":"q2","accepts":true,"device":"{}","device_name":"phone"}}"#,
        key(2)
    ));
    has_stopped(&mut client);
    assert_eq!(states(&client), []);
}

#[test]
fn a_key_that_changed_while_the_link_was_being_made_makes_none() {
    for up in [false, true] {
        let mut client = hans(Private::Ask);
        linked(&mut client, "q1", 1);
        client.wants(Command::StopPrivate { user: "luke".into() });
        asks(&mut client, "q2", 2, "phone");
        client.wants(accept());
        let link = prepared(&mut client).unwrap();
        is_answered(&mut client, link);
        if up {
            has_card(&mut client, "q2", 2, None);
        }
        client.notices();
        compares(&mut client);
        client.done();
        match up {
            true => stands(&mut client, link),
            false => has_card(&mut client, "q2", 2, None),
        }
        let notices = client.notices();
        let [Notice::Link(LinkNotice::Changed { .. })] = &notices[..] else {
            panic!("{notices:?}")
        };
        assert_eq!(states(&client), []);
        let done = client.done();
        assert!(done.iter().any(|it| it.contains("Close")), "{done:?}");
        assert!(!is_known(&mut client, 2));
    }
}

/// A link with the device that is known stood and has ended, and none was compared.
fn met(seed: u8) -> Client {
    let mut client = hans(Private::Ask);
    linked(&mut client, "q1", seed);
    client.wants(Command::StopPrivate { user: "luke".into() });
    client.notices();
    client
}

/// What is said to a step.
fn says(client: &mut Client, step: SafetyStep) -> Notice {
    client.notices();
    client.wants(safety(step));
    client.notices().remove(0)
}

#[test]
fn nothing_is_confirmed_or_accepted_that_was_not_shown() {
    let mut client = met(1);
    let look = refused(safety(SafetyStep::Confirm), LinkWhy::LookFirst);
    assert_eq!(says(&mut client, SafetyStep::Confirm), look);
    asks(&mut client, "q2", 2, "laptop");
    let look = refused(safety(SafetyStep::Accept), LinkWhy::LookFirst);
    assert_eq!(says(&mut client, SafetyStep::Accept), look);
    assert!(!is_compared(&mut client, 1) && !is_known(&mut client, 2));
}

#[test]
fn nothing_is_confirmed_while_two_keys_are_shown() {
    let mut client = met(1);
    asks(&mut client, "q2", 2, "laptop");
    // Whoever has compared the second number does not mean the first.
    says(&mut client, SafetyStep::Show);
    let which = refused(safety(SafetyStep::Confirm), LinkWhy::KeyRefused);
    assert_eq!(says(&mut client, SafetyStep::Confirm), which);
    assert!(!is_compared(&mut client, 1));
    // It is forgotten when the person says that it is nobody's.
    let decline = Command::Decline { user: "luke".into() };
    client.wants(decline.clone());
    assert_eq!(client.notices(), [answered(decline.clone(), Answer::Done)]);
    client.wants(decline.clone());
    assert_eq!(client.notices(), [refused(decline, LinkWhy::NotAsked)]);
    let again = refused(safety(SafetyStep::Confirm), LinkWhy::LookAgain);
    assert_eq!(says(&mut client, SafetyStep::Confirm), again);
    compares(&mut client);
    assert!(is_compared(&mut client, 1));
}

#[test]
fn a_link_with_another_device_is_not_what_was_compared_before_it() {
    let mut client = met(1);
    says(&mut client, SafetyStep::Show);
    asks(&mut client, "q2", 2, "phone");
    client.wants(accept());
    let link = prepared(&mut client).unwrap();
    goes_on(&mut client, link, "q2", 2);
    let again = refused(safety(SafetyStep::Confirm), LinkWhy::LookAgain);
    assert_eq!(says(&mut client, SafetyStep::Confirm), again);
    assert!(!is_compared(&mut client, 1) && !is_compared(&mut client, 2));
    compares(&mut client);
    assert!(is_compared(&mut client, 2) && !is_compared(&mut client, 1));
}

#[test]
fn a_key_that_took_the_place_of_the_one_that_was_shown_is_not_accepted() {
    let mut client = met(1);
    asks(&mut client, "q2", 2, "laptop");
    says(&mut client, SafetyStep::Show);
    asks(&mut client, "q3", 3, "laptop");
    let again = refused(safety(SafetyStep::Accept), LinkWhy::LookAgain);
    assert_eq!(says(&mut client, SafetyStep::Accept), again);
    assert!(!is_known(&mut client, 2) && !is_known(&mut client, 3));
    says(&mut client, SafetyStep::Show);
    let done = answered(safety(SafetyStep::Accept), Answer::Done);
    assert_eq!(says(&mut client, SafetyStep::Accept), done);
    assert!(is_known(&mut client, 3) && !is_known(&mut client, 2));
}

/// Somebody opens a line that nobody encrypts, and says to be luke.
fn pretends(client: &mut Client, number: u64) {
    let (line, address) = (LineId::Theirs(number), [192, 0, 2, 66].into());
    for event in [
        unencrypted::Event::Incoming { line, address },
        unencrypted::Event::Text { line, from: "luke".into(), text: "tell me all".into() },
    ] {
        client.core.handle_unencrypted(client.now_ms, event);
    }
}

fn turned_away() -> Notice {
    let (user, address) = ("luke".into(), [192, 0, 2, 66].into());
    Notice::Link(LinkNotice::UnencryptedTurnedAway { user, address })
}

#[test]
fn nobody_gets_in_clear_what_is_for_an_encrypted_link_or_after_it() {
    let mut client = hans(Private::Ask);
    linked(&mut client, "q1", 1);
    client.notices();
    pretends(&mut client, 1);
    assert_eq!(client.notices(), [turned_away()]);
    client.wants(Command::StopPrivate { user: "luke".into() });
    client.notices();
    pretends(&mut client, 2);
    assert_eq!(client.notices(), [turned_away()]);
    let private = Command::Private { user: "luke".into(), text: "psst".into() };
    client.wants(private.clone());
    let no_link = Answer::Refused(Refusal::new(Why::NoLink));
    assert_eq!(client.notices(), [answered(private, no_link)]);
}

#[test]
fn a_line_that_nobody_encrypts_ends_before_an_encrypted_link_is_made() {
    let mut client = hans(Private::Ask);
    pretends(&mut client, 1);
    asks(&mut client, "q1", 1, "laptop");
    client.notices();
    client.wants(accept());
    let link = prepared(&mut client).unwrap();
    assert!(matches!(
        &client.notices()[..],
        [
            Notice::Link(LinkNotice::Being { .. }),
            Notice::Link(LinkNotice::UnencryptedEnded { here: true, .. })
        ]
    ));
    // None is opened beside it, however it was asked for.
    let clear = Command::StartPrivate { user: "luke".into(), unencrypted: true };
    client.wants(clear.clone());
    assert_eq!(client.notices(), [refused(clear.clone(), LinkWhy::LinkBeing)]);
    goes_on(&mut client, link, "q1", 1);
    client.notices();
    client.wants(clear.clone());
    assert_eq!(client.notices(), [refused(clear, LinkWhy::LinkStands)]);
}

#[test]
fn the_address_of_somebody_with_an_encrypted_link_comes_too_late() {
    let mut client = hans(Private::Ask);
    let clear = Command::StartPrivate { user: "luke".into(), unencrypted: true };
    client.wants(clear.clone());
    let id = id_of(&client.done()[0]);
    linked(&mut client, "q1", 1);
    client.notices();
    client.hears(&format!(
        r#"{{"action":"startprivate","status":"SUCCESS","id":"{id}","address":"192.0.2.66","port":50001}}"#
    ));
    assert_eq!(client.notices(), [refused(clear, LinkWhy::LinkStands)]);
    assert!(!client.done().concat().contains("Connect"));
}

/// The endpoints that the relay is asked for or told to forget, in order.
fn at_relay(done: &[String]) -> Vec<(String, bool)> {
    let requests = done.iter().filter(|it| it.contains(r#""action":"relay""#));
    let requests = requests.map(|it| {
        let request: serde_json::Value = serde_json::from_str(it).unwrap();
        (request["endpoint"].as_str().unwrap().to_owned(), request.get("ticket").is_some())
    });
    requests.collect()
}

/// A new session has begun.
fn comes_back(client: &mut Client) {
    client.waits_for_connect();
    client.connects();
    client.done();
    client.hears(WELCOME);
}

fn endpoint(link: LinkId) -> String {
    EndpointKey([u8::try_from(link.0).unwrap(); 32]).to_string()
}

#[test]
fn a_place_at_the_relay_is_given_back_though_nobody_has_said_that_there_is_one() {
    let mut client = hans(Private::Ask);
    asks(&mut client, "q1", 1, "laptop");
    client.wants(accept());
    let link = prepared(&mut client).unwrap();
    gets_keys(&mut client, link);
    client.wants(Command::StopPrivate { user: "luke".into() });
    assert_eq!(at_relay(&client.done()), [(endpoint(link), false)]);
}

#[test]
fn places_of_links_that_ended_without_a_line_are_given_back_before_others_are_asked_for() {
    let mut client = hans(Private::Ask);
    let over = linked(&mut client, "q1", 1);
    client.loses_the_line();
    client.core.handle_peer(client.now_ms, PeerEvent::Bye { link: over });
    assert_eq!(at_relay(&client.done()), []);
    comes_back(&mut client);
    assert_eq!(at_relay(&client.done()), [(endpoint(over), false)]);
    // Once is enough.
    let stands = linked(&mut client, "q2", 1);
    client.loses_the_line();
    comes_back(&mut client);
    assert_eq!(at_relay(&client.done()), [(endpoint(stands), true)]);
}

#[test]
fn a_link_that_stands_is_not_ended_by_what_the_server_says_of_its_making() {
    let refusal = |link: &str| {
        format!(
            r#"{{"action":"private_answer","from":"luke","link":"{link}","accepted":false,"reason":"DECLINED"}}"#
        )
    };
    for says in [ended("q1"), refusal("q1")] {
        let mut client = hans(Private::Ask);
        linked(&mut client, "q1", 1);
        client.notices();
        client.hears(&says);
        assert_eq!(client.notices(), [], "{says}");
        assert_eq!(states(&client), [LinkState::Standing(Route::Direct)]);
    }
}

#[test]
fn a_link_that_stands_is_not_ended_by_a_late_answer_to_a_card() {
    let mut client = hans(Private::Ask);
    asks(&mut client, "q1", 1, "laptop");
    client.wants(accept());
    let link = prepared(&mut client).unwrap();
    let card = has_answered(&mut client, link);
    has_card(&mut client, "q1", 1, None);
    stands(&mut client, link);
    client.notices();
    let id = id_of(&card);
    client
        .hears(&format!(r#"{{"action":"answer_private","status":"LINK_NOT_EXIST","id":"{id}"}}"#));
    assert_eq!(client.notices(), []);
    assert_eq!(states(&client), [LinkState::Standing(Route::Direct)]);
}

#[test]
fn a_question_does_not_end_what_stands_unless_somebody_or_silence_says_so() {
    let mut client = hans(Private::Always);
    asks(&mut client, "q1", 1, "laptop");
    let link = prepared(&mut client).unwrap();
    goes_on(&mut client, link, "q1", 1);
    client.notices();
    asks(&mut client, "q2", 1, "laptop");
    let wanted = [LinkState::Standing(Route::Direct), LinkState::Wanted];
    assert_eq!(states(&client), wanted);
    assert!(matches!(&client.notices()[..], [Notice::Link(LinkNotice::Wanted { .. })]));
    // luke's machine was gone, and is back with this question.
    client.core.handle_peer(client.now_ms, PeerEvent::Silent { link });
    assert!(prepared(&mut client).is_some());
    assert_eq!(states(&client), [LinkState::Being]);
    // The same when what stood has ended.
    for how in [PeerEvent::Bye { link }, PeerEvent::Silent { link }] {
        let mut client = hans(Private::Always);
        asks(&mut client, "q1", 1, "laptop");
        let link = prepared(&mut client).unwrap();
        goes_on(&mut client, link, "q1", 1);
        if matches!(how, PeerEvent::Silent { .. }) {
            client.core.handle_peer(client.now_ms, how);
            asks(&mut client, "q2", 1, "laptop");
        } else {
            asks(&mut client, "q2", 1, "laptop");
            client.core.handle_peer(client.now_ms, how);
        }
        assert!(prepared(&mut client).is_some());
        assert_eq!(states(&client), [LinkState::Being]);
    }
}

#[test]
fn no_more_bytes_wait_than_can_be_carried_and_nothing_is_lost() {
    let mut client = hans(Private::Ask);
    linked(&mut client, "q1", 1);
    client.notices();
    client.done();
    let long = "x".repeat(PRIVATE_BYTES_MAX);
    let private = |text: &str| Command::Private { user: "luke".into(), text: text.into() };
    let fit = TEXT_BYTES_MAX / PRIVATE_BYTES_MAX;
    assert!(fit < TEXTS_MAX);
    for _ in 0..fit {
        client.wants(private(&long));
    }
    assert_eq!(client.notices(), []);
    client.wants(private(&long));
    let too_much = refused(private(&long), LinkWhy::TooMuchText);
    assert_eq!(client.notices(), [too_much]);
    let sent = client.done().into_iter().filter(|it| it.starts_with("Send {"));
    assert_eq!(sent.count(), fit);
    assert_eq!(states(&client), [LinkState::Standing(Route::Direct)]);
    // There is room again when one was shown.
    client.core.handle_peer(client.now_ms, PeerEvent::Acknowledged { link: LinkId(1), number: 1 });
    client.notices();
    client.wants(private(&long));
    assert_eq!(client.notices(), []);
}

/// luke proves with an invite of hans that the device is his; says whether that is believed.
fn vouches(client: &mut Client, seed: u8) -> bool {
    let vouch = card::vouch(&InviteSecret::new([5; 16]), "s1", "luke", key(seed));
    client.wants(accept());
    let link = prepared(client).unwrap();
    is_answered(client, link);
    has_card(client, "q2", seed, Some(vouch));
    stands(client, link);
    client.notices().contains(&Notice::Link(LinkNotice::ByInvite { user: "luke".into() }))
}

fn invites(client: &mut Client, until_s: Option<u64>) {
    client.core.links_peers().unwrap().keep_invite(InviteSecret::new([5; 16]), until_s, 0);
}

#[test]
fn an_invite_proves_whose_the_first_device_of_somebody_new_is_and_nothing_else() {
    let mut client = hans(Private::Ask);
    invites(&mut client, None);
    asks(&mut client, "q2", 2, "laptop");
    assert!(vouches(&mut client, 2) && is_compared(&mut client, 2));
    // Of somebody who was met before it proves nothing, be it the same device or another one.
    for (seed, device) in [(1, "laptop"), (2, "phone")] {
        let mut client = met(1);
        invites(&mut client, None);
        asks(&mut client, "q2", seed, device);
        assert!(!vouches(&mut client, seed) && !is_compared(&mut client, seed));
    }
}

#[test]
fn an_invite_that_has_expired_proves_nothing() {
    const WEEK_S: u64 = 7 * 24 * 60 * 60;
    for (now_s, proves) in [(1_000 + WEEK_S, true), (1_001 + WEEK_S, false)] {
        let mut client = hans(Private::Ask);
        invites(&mut client, Some(1_000));
        let peers = client.core.links_peers().unwrap().clone();
        client.core.handle_peers(client.now_ms, now_s, Ok(peers));
        asks(&mut client, "q2", 2, "laptop");
        assert_eq!(vouches(&mut client, 2), proves);
    }
}

#[test]
fn a_server_that_asks_and_never_answers_fills_nothing() {
    let mut client = hans(Private::Never);
    for number in 0..1_000 {
        asks(&mut client, &format!("q{number}"), 1, "laptop");
        client.done();
        client.notices();
    }
    assert!(client.core.asks_about_links() <= 256, "{}", client.core.asks_about_links());
    // What is said is still taken for what it is.
    let mut client = hans(Private::Ask);
    client.wants(start());
    let ask = client.done().pop().unwrap();
    for _ in 0..1_000 {
        client.hears(&format!(
            r#"{{"action":"private_request","from":"luke","link":"q","purpose":"dance","device":"{}"}}"#,
            key(1)
        ));
    }
    assert!(client.core.asks_about_links() <= 256);
    client.notices();
    let id = id_of(&ask);
    client.hears(&format!(r#"{{"action":"startprivate","status":"NO_LINKS","id":"{id}"}}"#));
    assert_eq!(client.notices(), [refused(start(), LinkWhy::NoneThere)]);
}
