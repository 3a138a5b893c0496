//! Files from many: what a server that lies can make of people and their keys.

use whoelse_proto::DeviceKey;

use super::links_world::World;
use super::swarm::{FILM, fetching, offer, reason, world};
use super::swarm_gets::{get, kept, other, told};
use super::*;
use crate::links::offer::Offer;
use crate::links::swarm::OfferFault;
use crate::links::{SwarmNotice, SwarmOrder, SwarmWhy, Trust};

/// The offer of the film by somebody the server has made up.
fn of_mallory() -> Offer {
    offer("mallory", 66, &[])
}

#[test]
fn a_link_for_a_file_that_is_for_everyone_makes_nobody_known() {
    let world = fetching(&[]);
    assert!(world.ends[1].core.links.any_stands());
    assert!(!world.ends[1].core.has_met("hans"));
    assert_eq!(world.ends[1].screen, []);
    // Nor does a source, whoever it is.
    let mut world = self::world();
    world.shares(&[]);
    world.found(&offer("yoda", 3, &[]));
    world.source(&[("luke", 2)]);
    world.gets("film.mkv");
    assert_eq!(world.fetch_links().len(), 1);
    assert!(world.ends[0].core.has_met("yoda") && !world.ends[0].core.has_met("luke"));
}

#[test]
fn what_is_for_some_goes_to_no_unknown_device_of_somebody_known() {
    for (with, refused) in [(&["hans"][..], true), (&[], false)] {
        let mut world = world();
        world.shares(with);
        let known = DeviceKey([9; 32]);
        world.ends[1].core.links_peers().unwrap().pin("hans", known, "other", false, 1);
        world.asks_luke(1, "hans", 1);
        let why = refused.then_some("KEY_CHANGED");
        assert_eq!(reason(&mut world).as_deref(), why);
        world.settle();
        let notices = world.swarm_notices(1);
        let told = matches!(&notices[..], [SwarmNotice::AskerRefused { known: None, .. }]);
        assert_eq!(told, refused, "{notices:?}");
        // It may be a new device of that person, who can say so.
        for step in [crate::SafetyStep::Show, crate::SafetyStep::Accept] {
            world.answers(1, Command::Safety { user: "hans".into(), step });
        }
        world.asks_luke(2, "hans", 1);
        assert_eq!(reason(&mut world), None);
    }
}

#[test]
fn a_number_means_the_word_of_the_one_it_was_shown_with() {
    let mut world = world();
    let mut forged = told(&offer("luke", 2, &[]));
    forged["size"] = 7.into();
    world.finds(&[forged, told(&of_mallory())]);
    world.wants(0, Command::SearchFiles { words: String::new() });
    world.settle();
    world.ends[0].screen.clear();
    world.gets("1");
    let notices = world.swarm_notices(0);
    let [SwarmNotice::Untrusted { from, why: OfferFault::Unsigned, .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert_eq!(from, "luke");
    assert_eq!(world.orders(0), []);
}

#[test]
fn of_several_who_vouch_for_the_same_the_best_known_counts() {
    let mut world = world();
    let key = Device::new([2; 32]).key();
    world.ends[0].core.links_peers().unwrap().pin("luke", key, "luke", true, 1);
    world.finds(&[told(&of_mallory()), told(&offer("luke", 2, &[]))]);
    world.gets("film.mkv");
    let notices = world.swarm_notices(0);
    let Some(SwarmNotice::Begun { from, trust: Trust::Compared, .. }) = notices.first() else {
        panic!("{notices:?}")
    };
    assert_eq!(from, "luke");
}

#[test]
fn a_search_that_nobody_sees_changes_no_numbers() {
    let mut world = world();
    world.finds(&[told(&other("a", 5)), told(&other("b", 6))]);
    world.wants(0, Command::SearchFiles { words: String::new() });
    world.settle();
    world.finds(&[told(&other("c", 7)), told(&other("d", 8))]);
    world.gets("c");
    world.orders(0);
    world.gets("2");
    let orders = world.orders(0);
    let [SwarmOrder::Get { hash, .. }] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!(*hash, other("b", 6).hash);
}

#[test]
fn what_is_not_among_the_first_may_still_be_there() {
    let mut world = world();
    let files = serde_json::json!([told(&other("a", 5))]);
    world.answers.insert((0, "search_files"), format!(r#"SUCCESS ,"more":true,"files":{files}"#));
    assert_eq!(world.refuses(0, get(&FILM.to_string())), Why::Swarm(SwarmWhy::NotAmongSome));
}

#[test]
fn somebody_who_is_blocked_is_not_asked_for_parts() {
    let mut world = world();
    world.answers(0, Command::Block { user: "luke".into() });
    world.found(&offer("yoda", 3, &[]));
    world.source(&[("luke", 2)]);
    world.gets("film.mkv");
    assert_eq!(world.fetch_links(), []);
}

/// Hans is no person, but a script.
fn script() -> World {
    let mut world = world();
    world.ends[0].core.config.interactive = false;
    world
}

#[test]
fn a_kept_get_that_nobody_gives_holds_no_script_up() {
    let mut world = script();
    world.shares(&[]);
    world.swarm(0, kept(offer("luke", 2, &[]).written(), &[]));
    world.ends[0].core.handle_end_of_input(world.now_ms);
    world.wait(4_000);
    assert_eq!(world.ends[0].core.ending(), Some(&Ending::LoggedOut));
}

#[test]
fn a_script_whose_file_did_not_come_does_not_end_well() {
    let mut world = script();
    world.found(&offer("luke", 2, &[]));
    world.gets("film.mkv");
    world.ends[0].core.handle_end_of_input(world.now_ms);
    world.wait(30_000);
    let ending = world.ends[0].core.ending();
    assert!(matches!(ending, Some(Ending::Unconfirmed { .. })), "{ending:?}");
}
