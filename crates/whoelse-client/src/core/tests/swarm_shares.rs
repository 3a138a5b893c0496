//! Files that are shared from here, when the server does not do what is wanted, or is away.

use std::path::PathBuf;

use super::links_world::World;
use super::swarm::{FILM, fetching, reason, share, world};
use super::*;
use crate::links::{SwarmEvent, SwarmNotice, SwarmOrder};

/// Luke's line ends, and another stands.
fn returns(world: &mut World) {
    world.hang_up(1);
    world.settle();
    world.connect(1);
    world.settle();
}

#[test]
fn who_is_meant_no_more_gets_nothing_before_the_server_has_heard_of_it() {
    let mut world = fetching(&[]);
    assert!(world.ends[1].core.links.any_stands());
    world.answers.insert((1, "share"), "TOO_FAST".into());
    world.orders(1);
    world.wants(1, share(&["yoda"]));
    world.settle();
    world.read(1);
    assert!(!world.ends[1].core.links.any_stands());
    world.asks_luke(9, "hans", 1);
    assert_eq!(reason(&mut world).as_deref(), Some("DECLINED"));
}

#[test]
fn what_the_server_does_not_want_to_hear_now_it_hears_later() {
    for (action, status) in
        [("have", "TOO_FAST"), ("have", "TOO_MANY_FILES"), ("share", "SERVER_FULL")]
    {
        let mut world = world();
        world.shares(&[]);
        world.answers.insert((1, "have"), "FILE_NOT_EXIST".into());
        world.answers.insert((1, action), status.into());
        returns(&mut world);
        world.requests(1);
        let told = |it: &Notice| matches!(it, Notice::Swarm(_));
        assert!(!world.ends[1].screen.iter().any(told), "{status}: nothing is lost");
        world.wait(5_000);
        assert_eq!(world.requests(1), Vec::<String>::new(), "{status}: not at once");
        world.answers.clear();
        world.wait(60_000);
        let requests = world.requests(1);
        assert!(requests.iter().any(|it| it.starts_with(action)), "{status}: {requests:?}");
    }
}

#[test]
fn what_is_shared_is_not_taken_back_with_what_was_fetched() {
    let mut world = fetching(&[]);
    world.answers(0, Command::Seed { yes: Some(true) });
    let path = PathBuf::from("/downloads/film.mkv");
    world.swarm(0, SwarmEvent::Received { path, by: Vec::new() });
    world.orders(0);
    world.wants(0, share(&[]));
    world.settle();
    world.read(0);
    world.requests(0);
    world.answers(0, Command::Seed { yes: Some(false) });
    world.settle();
    assert_eq!(world.requests(0), Vec::<String>::new(), "it is there for whoever wants it");
}

#[test]
fn without_a_server_an_offer_is_taken_back_all_the_same() {
    let mut world = fetching(&[]);
    world.hang_up(1);
    world.settle();
    let unshare = Command::Unshare { which: "film.mkv".into() };
    world.orders(1);
    assert_eq!(world.answers(1, unshare), Answer::Done);
    assert_eq!(world.orders(1), [SwarmOrder::Unshare { hash: FILM }]);
    assert!(!world.ends[1].core.links.any_stands(), "nobody gets more of it");
    world.requests(1);
    world.connect(1);
    world.settle();
    assert_eq!(world.requests(1), ["unshare"]);
}

#[test]
fn what_is_still_read_through_can_be_given_up() {
    let mut world = world();
    world.wants(1, share(&[]));
    world.settle();
    assert_eq!(world.answers(1, Command::Unshare { which: "film.mkv".into() }), Answer::Done);
    world.read(1);
    assert_eq!(world.orders(1), [SwarmOrder::Unshare { hash: FILM }]);
    assert_eq!(world.requests(1), Vec::<String>::new());
    let shared = |it: &Notice| matches!(it, Notice::Swarm(SwarmNotice::Shared { .. }));
    assert!(!world.ends[1].screen.iter().any(shared));
}
