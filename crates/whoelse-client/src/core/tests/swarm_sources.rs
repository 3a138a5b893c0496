//! Over which links a file is fetched: how many, from whom, and when who fails is tried again.

use whoelse_proto::{DeviceKey, FileHash, Layout, PartMap, SharedName};

use super::links_world::{SILENCE, World};
use super::swarm::{FILM, fetching, film, offer, scope, world};
use super::*;
use crate::links::offer::{Offer, Terms};
use crate::links::{PeerEvent, PeerFailure, SwarmEvent, SwarmNotice, SwarmOrder};

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// A file of so many parts that hans fetches from ten others; nobody answers.
fn asking(parts: u64) -> World {
    let mut world = world();
    let name = SharedName::new("film.mkv").unwrap();
    let luke = offer("luke", 2, &[]);
    let terms = Terms { hash: FILM, size: parts * 65_536, name, with: scope(&[]) };
    let offer = Offer::make("s1", luke.owner, &Device::new([2; 32]), terms);
    world.found(&Offer { device_name: "luke".into(), ..offer });
    let all = PartMap::all(Layout::of(parts * 65_536).parts());
    let ten: Vec<_> = NAMES.iter().map(|name| (*name, 3, all.clone())).collect();
    world.sources_with(&ten);
    world.answers.insert((0, "startprivate"), SILENCE.into());
    world.gets("film.mkv");
    world
}

/// Who is asked for links.
fn asked(world: &mut World) -> Vec<String> {
    let requests = world.requests(0).into_iter();
    requests.filter_map(|it| it.strip_prefix("link ").map(str::to_owned)).collect()
}

#[test]
fn eight_are_asked_at_once_and_the_rest_when_one_fails() {
    let mut world = asking(100);
    assert_eq!(asked(&mut world), NAMES[..8]);
    let first = world.fetch_links()[0];
    let why = PeerFailure::NoRoute;
    world.ends[0].core.handle_peer(world.now_ms, PeerEvent::Failed { link: first, why });
    world.settle();
    assert_eq!(asked(&mut world), ["i"]);
    assert_eq!(world.fetch_links().len(), 8);
}

#[test]
fn no_more_are_asked_than_there_are_parts() {
    assert_eq!(asked(&mut asking(3)), NAMES[..3]);
    assert_eq!(asked(&mut asking(1)), NAMES[..1]);
}

#[test]
fn who_does_not_answer_makes_room() {
    let mut world = asking(100);
    asked(&mut world);
    world.wait(20_000);
    let mut others = asked(&mut world);
    others.truncate(2);
    assert_eq!(others, ["i", "j"]);
}

#[test]
fn who_fails_is_tried_again_after_ten_seconds_and_later_each_minute() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.source(&[("luke", 2)]);
    world.answers.insert((0, "startprivate"), "USER_OFFLINE".into());
    world.gets("film.mkv");
    let mut tries = vec![0];
    assert_eq!(asked(&mut world), ["luke"]);
    for second in 1..=150 {
        world.wait(1_000);
        tries.extend(asked(&mut world).iter().map(|_| second));
    }
    assert_eq!(tries, [0, 10, 20, 80, 140]);
    let silent = world.ends[0].screen.iter().all(|it| !matches!(it, Notice::Answered { .. }));
    assert!(silent, "nobody has asked for these links");
}

#[test]
fn who_has_nothing_that_is_missing_is_not_asked() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    let (mut first, mut bad) = (PartMap::none(4), PartMap::all(8));
    first.insert(0);
    bad.insert(1);
    world.sources_with(&[
        ("none", 3, PartMap::none(4)),
        ("bad", 4, bad),
        ("one", 5, first.clone()),
    ]);
    world.answers.insert((0, "startprivate"), SILENCE.into());
    world.gets("film.mkv");
    assert_eq!(asked(&mut world), ["one"]);
    world.swarm(0, SwarmEvent::Parts { parts: first });
    let link = world.fetch_links()[0];
    world.ends[0].core.handle_peer(world.now_ms, PeerEvent::Bye { link });
    world.wait(30_000);
    assert_eq!(asked(&mut world), Vec::<String>::new());
}

#[test]
fn sources_are_asked_for_every_three_seconds_until_there_are_enough() {
    let mut world = fetching(&[]);
    world.requests(0);
    world.wait(30_500);
    assert_eq!(world.requests(0), ["sources"; 10], "one of four");
    let mut world = asking(2);
    world.requests(0);
    world.wait(19_000);
    assert_eq!(world.requests(0), Vec::<String>::new());
    world.swarm(0, SwarmEvent::Starving);
    world.wait(500);
    world.swarm(0, SwarmEvent::Starving);
    world.wait(2_500);
    assert!(world.requests(0).contains(&"sources".to_owned()), "those are of no use");
}

#[test]
fn an_answer_that_says_nothing_changes_nothing_but_the_time() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.source(&[("yoda", 3)]);
    world.answers.insert((0, "startprivate"), "USER_OFFLINE".into());
    world.gets("film.mkv");
    world.answers.insert((0, "sources"), r#"TOO_FAST ,"retry_after":7"#.into());
    world.wait(3_000);
    world.requests(0);
    world.wait(6_900);
    assert_eq!(world.requests(0), Vec::<String>::new());
    world.wait(100);
    assert_eq!(world.requests(0), ["sources", "link yoda"], "yoda is still there");
}

#[test]
fn new_sources_are_used_as_soon_as_they_are_told() {
    let mut world = fetching(&[]);
    world.requests(0);
    world.answers.insert((0, "startprivate"), SILENCE.into());
    world.source(&[("luke", 2), ("yoda", 3)]);
    world.wait(3_000);
    assert_eq!(world.requests(0), ["sources", "link yoda"], "and luke's link stays");
    assert_eq!(world.fetch_links().len(), 2);
}

#[test]
fn who_sends_something_else_is_never_asked_again() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    let link = world.fetch_links()[0];
    world.swarm(0, SwarmEvent::Banned { link });
    let (user, device) = ("luke".to_owned(), "luke".to_owned());
    assert_eq!(world.swarm_notices(0), [SwarmNotice::Banned { file: film(), user, device }]);
    assert_eq!(world.fetch_links(), []);
    world.requests(0);
    world.wait(200_000);
    assert_eq!(asked(&mut world), Vec::<String>::new());
    world.hang_up(0);
    world.wait(60_000);
    assert_eq!(asked(&mut world), Vec::<String>::new(), "nor in another session");
}

#[test]
fn a_source_of_little_use_makes_room_for_another() {
    let mut world = asking(100);
    asked(&mut world);
    let links = world.fetch_links();
    world.swarm(0, SwarmEvent::Spare { link: links[3] });
    assert_eq!(asked(&mut world), ["i"]);
    world.swarm(0, SwarmEvent::Spare { link: links[0] });
    assert_eq!(asked(&mut world), ["j"]);
    world.swarm(0, SwarmEvent::Spare { link: links[1] });
    assert_eq!(asked(&mut world), Vec::<String>::new(), "there is nobody else");
    assert_eq!(world.fetch_links().len(), 8);
}

#[test]
fn a_source_with_another_key_is_not_asked_and_told_once() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.source(&[("yoda", 3)]);
    world.ends[0].core.links_peers().unwrap().pin("yoda", DeviceKey([9; 32]), "x", true, 1);
    world.gets("film.mkv");
    world.wait(100_000);
    assert_eq!(asked(&mut world), Vec::<String>::new());
    let notices = world.swarm_notices(0);
    let changed = notices.iter().filter(|it| matches!(it, SwarmNotice::SourceChanged { .. }));
    assert_eq!(changed.count(), 1);
    for step in [crate::SafetyStep::Show, crate::SafetyStep::Accept] {
        world.wants(0, Command::Safety { user: "yoda".into(), step });
    }
    world.settle();
    assert_eq!(asked(&mut world), ["yoda"], "once the person has accepted it");
}

#[test]
fn links_are_divided_among_gets() {
    let mut world = asking(100);
    asked(&mut world);
    let name = SharedName::new("other").unwrap();
    let luke = offer("luke", 2, &[]);
    let terms = Terms { hash: FileHash([5; 32]), size: 100 * 65_536, name, with: scope(&[]) };
    let offer = Offer::make("s1", luke.owner, &Device::new([2; 32]), terms);
    world.found(&Offer { device_name: "luke".into(), ..offer });
    world.gets("other");
    assert_eq!(world.fetch_links().len(), 8, "no more than before");
    let of_other = world.ends[0].core.links.fetching_of(FileHash([5; 32]));
    assert_eq!(of_other.len(), 1);
}

#[test]
fn a_link_outlives_the_session_and_sources_are_asked_for_in_the_next() {
    let mut world = fetching(&[]);
    world.requests(0);
    world.orders(0);
    world.hang_up(0);
    world.wait(60_000);
    assert_eq!(world.fetch_links().len(), 1);
    assert_eq!(world.orders(0), [], "it is the same link");
    assert!(world.requests(0).contains(&"sources".to_owned()));
}

#[test]
fn nothing_is_due_for_files_without_a_session() {
    let mut world = asking(100);
    world.hang_up(0);
    world.cut = true;
    world.wait(60_000);
    let deadline = world.ends[0].core.deadline();
    assert!(deadline.is_none_or(|at_ms| at_ms > world.now_ms), "{deadline:?}");
    assert_eq!(world.fetch_links(), []);
}

#[test]
fn the_other_end_that_falls_silent_is_replaced() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    world.silence();
    world.settle();
    world.wait(8_000);
    assert_eq!(world.fetch_links(), []);
    assert_eq!(world.swarm_notices(0), [], "nobody talked there");
    world.wait(10_000);
    assert_eq!(world.fetch_links().len(), 1, "and tried again");
    let add = |it: &SwarmOrder| matches!(it, SwarmOrder::AddSource { .. });
    assert_eq!(world.orders(0).iter().filter(|it| add(it)).count(), 2);
}
