//! Private links, one thing after the other.

use super::links_world::{NAMES, World, accept, private, start, stop};
use super::*;
use crate::command::SafetyStep;
use crate::links::notice::{LinkWhy, NoLinks};
use crate::links::{LinkEnd, LinkNotice, LinkOptions, LinkState, Private, Route, Trust};
use whoelse_proto::{LinkReason, Vouch};

fn hans() -> String {
    "hans".into()
}

fn luke() -> String {
    "luke".into()
}

/// A world in which hans has asked and luke accepted.
fn linked() -> World {
    let mut world = World::new(1);
    link(&mut world);
    world
}

fn link(world: &mut World) {
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    assert!(world.stands(0) && world.stands(1));
}

fn safety(user: &str, step: SafetyStep) -> Command {
    Command::Safety { user: user.into(), step }
}

fn refused(command: Command, why: LinkWhy) -> Notice {
    answered(command, Answer::Refused(Refusal::new(Why::Link(why))))
}

fn ended(user: String, end: LinkEnd, stood: bool) -> LinkNotice {
    LinkNotice::Ended { user, end, stood, texts: Vec::new() }
}

#[test]
fn who_hears_nothing_may_begin_anew_at_once() {
    let mut world = linked();
    world.silence();
    world.settle();
    assert!(matches!(world.ends[0].links()[..], [LinkState::Interrupted(_)]));
    world.ends[0].link_notices();
    world.wants(0, start("luke"));
    world.settle();
    let asked = LinkNotice::Being { user: luke(), asked: true };
    assert_eq!(world.ends[0].link_notices(), [ended(luke(), LinkEnd::Here, true), asked]);
    assert_eq!(world.ends[0].links(), [LinkState::Asked]);
}

#[test]
fn one_asks_the_other_accepts_and_both_are_told() {
    let mut world = World::new(1);
    world.wants(0, start("luke"));
    world.settle();
    let asked = LinkNotice::Being { user: luke(), asked: true };
    assert_eq!(world.ends[0].link_notices(), [asked]);
    let wanted = LinkNotice::Wanted { user: hans(), trust: Trust::New, hidden: false };
    assert_eq!(world.ends[1].link_notices(), [wanted]);
    assert_eq!(world.ends[1].links(), [LinkState::Wanted]);
    world.wants(1, accept("hans"));
    world.settle();
    let up = |user| LinkNotice::Up { user, route: Route::Direct, trust: Trust::New };
    assert_eq!(world.ends[0].link_notices(), [up(luke())]);
    let agreed = LinkNotice::Being { user: hans(), asked: false };
    assert_eq!(world.ends[1].link_notices(), [agreed, up(hans())]);
}

#[test]
fn a_text_counts_as_sent_when_the_other_screen_has_shown_it() {
    let mut world = linked();
    world.ends[0].screen.clear();
    world.wants(0, private("luke", "psst"));
    assert!(world.ends[0].screen.is_empty());
    world.settle();
    assert_eq!(world.ends[0].screen, [answered(private("luke", "psst"), Answer::Done)]);
    let text = LinkNotice::Text { from: hans(), text: "psst".into() };
    assert!(world.ends[1].link_notices().contains(&text));
}

#[test]
fn a_text_waits_for_a_link_that_is_being_made_and_is_refused_without_one() {
    let mut world = World::new(1);
    let no_link = Answer::Refused(Refusal::new(Why::NoLink));
    world.wants(0, private("luke", "early"));
    world.settle();
    assert_eq!(world.ends[0].screen, [answered(private("luke", "early"), no_link)]);
    world.wants(0, start("luke"));
    world.wants(0, private("luke", "soon"));
    world.settle();
    assert!(world.ends[0].link_notices().contains(&LinkNotice::Waits { user: luke() }));
    // Who is asked has a link with nobody yet.
    world.ends[1].screen.clear();
    world.wants(1, private("hans", "x"));
    world.settle();
    assert_eq!(world.ends[1].screen, [refused(private("hans", "x"), LinkWhy::Asks)]);
    world.wants(1, accept("hans"));
    world.settle();
    assert!(world.ends[0].screen.contains(&answered(private("luke", "soon"), Answer::Done)));
}

#[test]
fn no_more_texts_than_fit_wait() {
    let mut world = World::new(1);
    world.wants(0, start("luke"));
    for number in 0..=100 {
        world.wants(0, private("luke", &number.to_string()));
    }
    world.settle();
    let last = refused(private("luke", "100"), LinkWhy::TooManyTexts);
    assert!(world.ends[0].screen.contains(&last));
}

#[test]
fn a_declined_question_is_told_with_what_was_not_sent() {
    let mut world = World::new(1);
    world.wants(0, start("luke"));
    world.wants(0, private("luke", "psst"));
    world.settle();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wants(1, Command::Decline { user: hans() });
    world.settle();
    let LinkNotice::Ended { end, stood, texts, .. } = &world.ends[0].link_notices()[0] else {
        panic!("it has ended")
    };
    assert_eq!((end, stood), (&LinkEnd::Refused(LinkReason::Declined), &false));
    assert!(texts.len() == 1 && !texts[0].tried);
    assert_eq!(world.ends[1].screen, [answered(Command::Decline { user: hans() }, Answer::Done)]);
}

#[test]
fn a_question_that_is_taken_back_is_gone_on_both_sides() {
    let mut world = World::new(1);
    world.wants(0, start("luke"));
    world.settle();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wants(0, stop("luke"));
    world.settle();
    assert_eq!(world.ends[0].link_notices(), [ended(luke(), LinkEnd::Here, false)]);
    let gone = LinkNotice::NotWanted { user: hans(), reason: LinkReason::Withdrawn };
    assert_eq!(world.ends[1].link_notices(), [gone]);
    world.wants(1, accept("hans"));
    world.settle();
    assert_eq!(world.ends[1].screen, [refused(accept("hans"), LinkWhy::NotAsked)]);
}

#[test]
fn stopping_ends_it_on_both_sides_after_what_was_said() {
    let mut world = linked();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wants(0, private("luke", "bye"));
    world.wants(0, stop("luke"));
    world.settle();
    assert_eq!(
        world.ends[0].screen,
        [
            answered(private("luke", "bye"), Answer::Done),
            Notice::Link(ended(luke(), LinkEnd::Here, true))
        ]
    );
    let text = LinkNotice::Text { from: hans(), text: "bye".into() };
    let there = ended(hans(), LinkEnd::There, true);
    assert_eq!(world.ends[1].link_notices(), [text, there]);
    let no_link = Answer::Refused(Refusal::new(Why::NoLink));
    world.wants(1, stop("hans"));
    world.settle();
    assert_eq!(world.ends[1].screen, [answered(stop("hans"), no_link)]);
}

#[test]
fn settings_answer_in_place_of_the_person() {
    let private = |private| LinkOptions { carried: true, private, ..LinkOptions::default() };
    let mut world = World::with(1, [private(Private::Ask), private(Private::Never)]);
    world.wants(0, start("luke"));
    world.settle();
    let end = LinkEnd::Refused(LinkReason::NotWanted);
    assert_eq!(world.ends[0].link_notices().last(), Some(&ended(luke(), end, false)));
    let away = LinkNotice::TurnedAway { user: hans(), reason: LinkReason::NotWanted };
    assert_eq!(world.ends[1].link_notices(), [away]);
    // Who takes none may still ask.
    world.wants(1, start("hans"));
    world.settle();
    world.wants(0, accept("luke"));
    world.settle();
    assert!(world.stands(0) && world.stands(1));
}

#[test]
fn a_client_that_makes_none_says_why() {
    let mut client = Client::person().with_device(false).logged_in(WELCOME);
    client.wants(start("luke"));
    let why = LinkWhy::NoLinks(NoLinks::NotBuilt);
    assert_eq!(client.notices(), [refused(start("luke"), why)]);
    let links = LinkOptions { carried: true, ..LinkOptions::default() };
    let mut client = Client::of(Config { links: links.clone(), ..config(true) });
    client.core.handle_peers(0, 0, Err("damaged".into()));
    let mut client = client.with_device(false).logged_in(WELCOME);
    client.wants(start("luke"));
    let why = LinkWhy::NoLinks(NoLinks::PeersDamaged("damaged".into()));
    assert_eq!(client.notices(), [refused(start("luke"), why)]);
    // Without a profile there is no device.
    let mut client = Client::of(Config { links, ..config(true) }).logged_in(WELCOME);
    client.wants(start("luke"));
    assert_eq!(client.notices(), [refused(start("luke"), LinkWhy::NoLinks(NoLinks::NoDevice))]);
    client.loses_the_line();
    client.notices();
    client.wants(start("luke"));
    assert_eq!(client.notices(), [refused(start("luke"), LinkWhy::NoConnection)]);
}

#[test]
fn the_server_hears_that_a_client_makes_links() {
    for (private, interactive, told) in [
        (Private::Ask, true, true),
        (Private::Never, true, true),
        (Private::Ask, false, true),
        // A script that wants none needs no device either.
        (Private::Never, false, false),
    ] {
        let links = LinkOptions { carried: true, private, ..LinkOptions::default() };
        let mut client = Client::of(Config { links, ..config(interactive) }).with_device(false);
        client.connects();
        client.types_password("secret");
        let login = client.done().concat();
        assert_eq!(login.contains(r#""links":1"#), told, "{login}");
        assert_eq!(login.contains("device_key"), told, "{login}");
    }
}

#[test]
fn silence_is_told_and_ends_it_eight_seconds_after_it_began() {
    let mut world = linked();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.silence();
    world.wait(3_900);
    let interrupted = |user| LinkNotice::Interrupted { user, server_away: false };
    assert_eq!(world.ends[0].link_notices(), [interrupted(luke())]);
    assert_eq!(world.ends[1].link_notices(), [interrupted(hans())]);
    // It was silent for four seconds when that was told.
    world.wait(200);
    assert_eq!(world.ends[0].link_notices(), [ended(luke(), LinkEnd::Silent, true)]);
    assert_eq!(world.ends[1].link_notices(), [ended(hans(), LinkEnd::Silent, true)]);
}

#[test]
fn what_was_said_in_a_silence_arrives_after_it_or_is_told() {
    let mut world = linked();
    world.silence();
    world.settle();
    world.wants(0, private("luke", "heard?"));
    world.wait(1_000);
    world.hear();
    world.settle();
    assert!(world.ends[0].screen.contains(&answered(private("luke", "heard?"), Answer::Done)));
    let back = LinkNotice::Back { user: hans(), route: Route::Direct };
    assert!(world.ends[1].link_notices().contains(&back));
    world.silence();
    world.settle();
    world.wants(0, private("luke", "and now?"));
    world.ends[0].screen.clear();
    world.wait(10_000);
    let notices = world.ends[0].link_notices();
    let Some(LinkNotice::Ended { texts, .. }) = notices.last() else { panic!("{notices:?}") };
    assert!(texts.len() == 1 && texts[0].tried && texts[0].text == "and now?");
}

#[test]
fn a_relayed_link_waits_for_the_server_and_its_ticket_is_known_again() {
    let mut world = World::new(1);
    world.route = Route::Relayed;
    link(&mut world);
    world.cut = true;
    world.hang_up(0);
    world.hang_up(1);
    world.silence();
    world.settle();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wait(600_000);
    assert_eq!(world.ends[0].links(), [LinkState::Interrupted(Route::Relayed)]);
    world.cut = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!(world.registered_again, 2);
    world.wait(9_000);
    world.hear();
    world.settle();
    for at in [0, 1] {
        let user = NAMES[1 - at].to_owned();
        let back = LinkNotice::Back { user, route: Route::Relayed };
        assert_eq!(world.ends[at].link_notices(), [back]);
    }
}

#[test]
fn a_relayed_link_waits_for_the_other_client_to_be_back_as_well() {
    let mut world = World::new(1);
    world.route = Route::Relayed;
    link(&mut world);
    // Ours is back before it has noticed any silence.
    world.wait(60_000);
    world.cut = true;
    world.hang_up(0);
    world.hang_up(1);
    world.connect(0);
    world.settle();
    world.silence();
    world.settle();
    world.wait(30_000);
    assert_eq!(world.ends[0].links(), [LinkState::Interrupted(Route::Relayed)]);
    world.connect(1);
    world.settle();
    world.hear();
    world.settle();
    assert_eq!(world.ends[0].links(), [LinkState::Standing(Route::Relayed)]);
}

#[test]
fn a_relayed_link_that_stays_silent_after_the_return_ends() {
    let mut world = World::new(1);
    world.route = Route::Relayed;
    link(&mut world);
    world.cut = true;
    world.hang_up(0);
    world.hang_up(1);
    world.silence();
    world.settle();
    world.wait(60_000);
    world.cut = false;
    world.connect(0);
    world.settle();
    world.wait(44_900);
    assert!(world.stands(0));
    world.wait(200);
    assert!(!world.stands(0));
}

#[test]
fn a_direct_link_survives_the_server() {
    let mut world = linked();
    world.cut = true;
    world.hang_up(0);
    world.hang_up(1);
    world.wants(0, private("luke", "still here"));
    world.settle();
    assert!(world.ends[0].screen.contains(&answered(private("luke", "still here"), Answer::Done)));
    world.wants(0, start("luke"));
    world.settle();
    assert!(world.ends[0].screen.contains(&refused(start("luke"), LinkWhy::NoConnection)));
}

#[test]
fn a_link_that_finds_no_way_is_given_up() {
    let mut world = World::new(1);
    world.lost = true;
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wait(31_000);
    assert_eq!(world.ends[0].link_notices(), [ended(luke(), LinkEnd::NotMade, false)]);
    assert_eq!(world.ends[1].link_notices(), [ended(hans(), LinkEnd::NotMade, false)]);
}

#[test]
fn without_relay_and_address_there_is_no_way() {
    let hidden = LinkOptions { carried: true, hide_address: true, ..LinkOptions::default() };
    let mut world = World::with(1, [hidden.clone(), LinkOptions { hide_address: false, ..hidden }]);
    world.has_relay = false;
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    let notices = world.ends[0].link_notices();
    let end = LinkEnd::Failed(crate::links::PeerFailure::NoRoute);
    assert_eq!(notices.last(), Some(&ended(luke(), end, false)));
    // The other side is told by the server.
    assert!(!world.stands(1) && world.ends[1].links().is_empty());
    // With a relay it is found there, and nowhere else.
    world.has_relay = true;
    link(&mut world);
    assert!(world.places[1].addresses.is_empty() && world.places[1].relay, "{:?}", world.places);
    assert!(!world.places[0].addresses.is_empty());
}

#[test]
fn who_confirms_is_compared_from_then_on() {
    let mut world = linked();
    world.ends[0].screen.clear();
    world.wants(0, safety("luke", SafetyStep::Show));
    world.wants(1, safety("hans", SafetyStep::Show));
    world.settle();
    let numbers = [0, 1].map(|at| {
        let shown = world.ends[at].screen.iter().find_map(|notice| match notice {
            Notice::Answered { answer: Answer::Safety(safety), .. } => Some(safety.clone()),
            _ => None,
        });
        shown.unwrap().numbers[0].groups.clone()
    });
    assert_eq!(numbers[0], numbers[1]);
    world.wants(0, safety("luke", SafetyStep::Confirm));
    world.wants(0, stop("luke"));
    world.settle();
    world.ends[0].screen.clear();
    link(&mut world);
    let up = LinkNotice::Up { user: luke(), route: Route::Direct, trust: Trust::Compared };
    assert!(world.ends[0].link_notices().contains(&up));
    // That is what it is to one side only.
    let up = LinkNotice::Up { user: hans(), route: Route::Direct, trust: Trust::NotCompared };
    assert!(world.ends[1].link_notices().contains(&up));
}

#[test]
fn a_changed_key_stops_on_either_side_until_it_is_accepted() {
    for hans_asks in [true, false] {
        let mut world = linked();
        world.wants(0, safety("luke", SafetyStep::Show));
        world.wants(0, safety("luke", SafetyStep::Confirm));
        world.wants(0, stop("luke"));
        world.settle();
        let peers = world.ends[1].peers.clone();
        world.restart(1, 7, peers);
        world.ends[0].screen.clear();
        let asks = |world: &mut World| match hans_asks {
            true => world.wants(0, start("luke")),
            false => world.wants(1, start("hans")),
        };
        asks(&mut world);
        world.settle();
        let changed = world.ends[0].link_notices();
        let is_told = |notice: &LinkNotice| {
            matches!(notice, LinkNotice::Changed { user, known: Some((_, _, true)), asked_us, .. }
                if user == "luke" && *asked_us != hans_asks)
        };
        assert!(matches!(&changed[..], [notice] if is_told(notice)), "{changed:?}");
        assert!(world.ends.iter().all(|end| end.links().is_empty()));
        if !hans_asks {
            let end = LinkEnd::Refused(LinkReason::KeyChanged);
            assert_eq!(world.ends[1].link_notices().last(), Some(&ended(hans(), end, false)));
        }
        world.wants(0, safety("luke", SafetyStep::Show));
        world.wants(0, safety("luke", SafetyStep::Accept));
        asks(&mut world);
        world.settle();
        world.wants(0, accept("luke"));
        world.wants(1, accept("hans"));
        world.settle();
        assert!(world.stands(0) && world.stands(1), "hans asks: {hans_asks}");
        let up = LinkNotice::Up { user: luke(), route: Route::Direct, trust: Trust::NotCompared };
        assert!(world.ends[0].link_notices().contains(&up));
        world.wants(0, safety("luke", SafetyStep::Accept));
        world.settle();
        let no_key = refused(safety("luke", SafetyStep::Accept), LinkWhy::NoKeyRefused);
        assert!(world.ends[0].screen.contains(&no_key));
    }
}

#[test]
fn a_card_that_was_changed_on_the_way_makes_no_link() {
    let mut world = World::new(1);
    world.forges = true;
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    assert_eq!(world.ends[0].link_notices().last(), Some(&ended(luke(), LinkEnd::BadCard, false)));
    assert!(world.ends.iter().all(|end| end.links().is_empty()));
}

#[test]
fn two_whom_an_invite_brought_together_are_compared_from_the_start() {
    let mut world = World::new(1);
    // hans has made the invite, luke has joined with it.
    let secret = InviteSecret::new([5; 16]);
    let vouch = Vouch { device: world.ends[0].device().key(), secret: secret.clone() };
    if let Ok(peers) = world.ends[0].core.links_peers() {
        peers.keep_invite(secret, None, 0);
    }
    if let Ok(peers) = world.ends[1].core.links_peers() {
        peers.join("hans", &vouch, 0);
    }
    link(&mut world);
    let up = |user| LinkNotice::Up { user, route: Route::Direct, trust: Trust::Compared };
    let notices = world.ends[0].link_notices();
    assert!(notices.contains(&LinkNotice::ByInvite { user: luke() }), "{notices:?}");
    assert!(notices.contains(&up(luke())), "{notices:?}");
    assert!(world.ends[1].link_notices().contains(&up(hans())));
    // It is proven once.
    world.wants(0, stop("luke"));
    world.settle();
    link(&mut world);
    assert!(world.ends[0].link_notices().contains(&up(luke())));
    assert!(world.ends[0].core.links_peers().unwrap().pins("luke")[0].compared);
}

#[test]
fn who_asks_anew_replaces_what_there_was() {
    let mut world = linked();
    // luke's machine has crashed and is back; hans has not noticed yet.
    let peers = world.ends[1].peers.clone();
    world.restart(1, 2, peers);
    world.ends[0].screen.clear();
    world.wants(1, start("hans"));
    world.settle();
    world.wants(0, accept("luke"));
    world.settle();
    let notices = world.ends[0].link_notices();
    assert!(notices.contains(&ended(luke(), LinkEnd::Replaced, true)), "{notices:?}");
    assert!(world.stands(0) && world.stands(1));
}

#[test]
fn leaving_waits_for_what_was_said_and_then_ends_all() {
    let mut world = linked();
    world.ends.iter_mut().for_each(|end| end.screen.clear());
    world.wants(0, private("luke", "last words"));
    world.ends[0].core.handle_leave(world.now_ms);
    world.settle();
    assert!(world.ends[0].screen.contains(&answered(private("luke", "last words"), Answer::Done)));
    assert_eq!(world.ends[0].core.ending(), Some(&Ending::LoggedOut));
    assert!(world.ends[1].link_notices().contains(&ended(hans(), LinkEnd::There, true)));
}

#[test]
fn leaving_does_not_wait_for_ever_and_says_what_was_lost() {
    let mut world = linked();
    world.silence();
    world.settle();
    world.wants(0, private("luke", "hello?"));
    world.ends[0].core.handle_leave(world.now_ms);
    world.wait(6_000);
    let ending = world.ends[0].core.ending();
    assert!(matches!(ending, Some(Ending::Unconfirmed { .. })), "{ending:?}");
    let notices = world.ends[0].link_notices();
    let told = |notice: &LinkNotice| matches!(notice, LinkNotice::Ended { texts, .. } if texts.iter().any(|it| it.text == "hello?"));
    assert!(notices.iter().any(told), "{notices:?}");
}

#[test]
fn talking_keeps_the_session_from_timing_out() {
    let mut world = linked();
    let before = world.active;
    for _ in 0..5 {
        world.wants(0, private("luke", "x"));
        world.settle();
    }
    assert_eq!(world.active, before + 1, "once in ten seconds");
    world.wait(10_000);
    world.wants(0, private("luke", "x"));
    world.settle();
    assert_eq!(world.active, before + 2);
}

#[test]
fn oneself_is_nobody_to_link_with() {
    let mut world = World::new(1);
    for command in [start("hans"), private("hans", "x"), stop("hans")] {
        world.ends[0].screen.clear();
        world.wants(0, command.clone());
        world.settle();
        let yourself = Answer::Refused(Refusal::new(Why::Yourself));
        assert_eq!(world.ends[0].screen, [answered(command, yourself)]);
    }
}
