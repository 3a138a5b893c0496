//! What is found and fetched: which file is meant, whose word is taken for what it is, and how far it is.

use std::path::PathBuf;

use whoelse_proto::{DeviceKey, FileHash, FileName, PartMap, SharedName};

use super::links_world::World;
use super::swarm::{FILM, SIZE, all, fetching, film, offer, options, scope, world};
use super::*;
use crate::links::offer::{Offer, Terms};
use crate::links::swarm::{GetLine, GetProgress, Given, Holder, Holders, OfferFault};
use crate::links::{
    FileFailure, LinkId, LinkOptions, Private, SwarmEvent, SwarmFile, SwarmNotice, SwarmOrder,
    SwarmWhy, Trust,
};

pub(super) fn get(which: &str) -> Command {
    Command::Get { which: which.into() }
}

/// An offer as the server tells it.
fn told(offer: &Offer) -> serde_json::Value {
    let mut told = serde_json::json!({
        "hash": offer.hash.to_string(), "size": offer.size, "name": offer.name.as_str(),
        "from": offer.owner.as_str(), "device": offer.device.to_string(),
        "device_name": offer.device_name, "signature": offer.signature.to_string(), "sources": 3,
    });
    if let Some(names) = offer.with.names() {
        told["with"] = names.iter().map(|name| name.as_str()).collect();
    }
    told
}

impl World {
    /// The server tells hans of this offer, whatever is searched for.
    pub(super) fn found(&mut self, offer: &Offer) {
        self.finds(&[told(offer)]);
    }

    fn finds(&mut self, offers: &[serde_json::Value]) {
        let files = serde_json::Value::from(offers);
        self.answers.insert((0, "search_files"), format!(r#"SUCCESS ,"files":{files}"#));
    }

    /// The server tells hans that these have the film, each with a device of this seed.
    pub(super) fn source(&mut self, sources: &[(&str, u8)]) {
        let all: Vec<(&str, u8, PartMap)> =
            sources.iter().map(|(user, device)| (*user, *device, all())).collect();
        self.sources_with(&all);
    }

    pub(super) fn sources_with(&mut self, sources: &[(&str, u8, PartMap)]) {
        let sources = sources.iter().map(|(user, device, parts)| {
            let key = Device::new([*device; 32]).key().to_string();
            let parts = parts.to_string();
            serde_json::json!({"user": user, "device": key, "device_name": user, "parts": parts})
        });
        let sources = serde_json::Value::from_iter(sources);
        self.answers.insert((0, "sources"), format!(r#"SUCCESS ,"sources":{sources}"#));
    }

    /// Hans fetches a file.
    pub(super) fn gets(&mut self, which: &str) {
        self.wants(0, get(which));
        self.settle();
    }

    fn get_lines(&mut self) -> Vec<GetLine> {
        match self.answers(0, Command::Files) {
            Answer::Files { gets, .. } => gets,
            other => panic!("{other:?}"),
        }
    }
}

/// An offer of luke's.
fn other(name: &str, byte: u8) -> Offer {
    let name = SharedName::new(name).unwrap();
    let terms = Terms { hash: FileHash([byte; 32]), size: SIZE, name, with: scope(&[]) };
    let luke = offer("luke", 2, &[]);
    let offer = Offer::make("s1", luke.owner, &Device::new([2; 32]), terms);
    Offer { device_name: "luke".into(), ..offer }
}

fn progress(parts_done: u32) -> GetProgress {
    let done = u64::from(parts_done) * 65_536;
    let (total, parts) = (SIZE, 4);
    GetProgress { done, total, bytes_per_second: 65_536, parts, parts_done, sources: 1 }
}

#[test]
fn a_file_is_meant_by_number_name_owner_or_hash() {
    let hash = FILM.to_string();
    for which in ["2", "film.mkv", "luke/film.mkv", &hash, &hash[..8], "FILM.mkv"] {
        let mut world = world();
        world.finds(&[told(&other("another", 9)), told(&offer("luke", 2, &[]))]);
        world.wants(0, Command::SearchFiles { words: "f".into() });
        world.settle();
        let searched = world.ends[0].screen.pop();
        let Some(Notice::Answered { answer: Answer::SharedFiles { files, more: false }, .. }) =
            searched
        else {
            panic!("{searched:?}")
        };
        assert_eq!((files.len(), files[1].file.clone(), files[1].sources), (2, film(), 3));
        world.gets(which);
        let orders = world.orders(0);
        assert!(matches!(orders[..], [SwarmOrder::Get { hash: FILM, .. }]), "{which} {orders:?}");
        assert_eq!(world.requests(0), ["search f", "sources"], "{which}");
    }
    let mut world = world();
    assert_eq!(world.refuses(0, get("1")), Why::Swarm(SwarmWhy::NoNumber));
    assert_eq!(world.refuses(0, get("0")), Why::Swarm(SwarmWhy::NoNumber));
}

#[test]
fn what_was_not_found_yet_is_searched_for() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.gets("luke/film.mkv");
    assert_eq!(world.requests(0), ["search film.mkv", "sources"]);
    assert_eq!(world.orders(0).len(), 1);
    let mut world = self::world();
    world.found(&offer("luke", 2, &[]));
    assert_eq!(world.refuses(0, get("film")), Why::Swarm(SwarmWhy::NotFound));
    let nobody = world.refuses(0, get("somebody/film.mkv"));
    assert_eq!(nobody, Why::Swarm(SwarmWhy::NotFound));
    assert!(world.orders(0).is_empty());
    world.answers.insert((0, "search_files"), "TOO_FAST".into());
    assert_eq!(world.refuses(0, get("x")), Why::Other("TOO_FAST".into()));
}

#[test]
fn several_files_of_a_name_are_told_apart_by_number() {
    let mut world = world();
    let twice = [told(&other("film.mkv", 9)), told(&offer("luke", 2, &[]))];
    world.finds(&[&[told(&other("a", 1))], &twice[..]].concat());
    let Answer::SeveralFiles(files) = world.answers(0, get("film.mkv")) else { panic!() };
    assert_eq!(files.len(), 2);
    assert!(world.orders(0).is_empty());
    world.gets("2");
    assert!(matches!(world.orders(0)[..], [SwarmOrder::Get { hash: FILM, .. }]));
}

#[test]
fn a_file_that_several_share_is_one_and_who_lies_is_passed_over() {
    let mut world = world();
    let mut forged = told(&offer("ben", 3, &[]));
    forged["size"] = (SIZE + 1).into();
    world.finds(&[forged, told(&offer("luke", 2, &[]))]);
    world.gets("film.mkv");
    assert!(matches!(world.orders(0)[..], [SwarmOrder::Get { size: SIZE, .. }]));
    let notices = world.swarm_notices(0);
    let [SwarmNotice::Begun { from, trust: Trust::New, .. }, SwarmNotice::AskSeed { .. }] =
        &notices[..]
    else {
        panic!("{notices:?}")
    };
    assert_eq!(from, "luke");
}

#[test]
fn what_is_not_signed_or_not_for_us_is_not_fetched() {
    let mut forged = told(&offer("luke", 2, &[]));
    forged["name"] = "other.mkv".into();
    let mut world = world();
    world.finds(&[forged]);
    world.gets("other.mkv");
    let (name, from) = (FileName::of("other.mkv"), "luke".to_owned());
    let why = OfferFault::Unsigned;
    assert_eq!(world.swarm_notices(0), [SwarmNotice::Untrusted { name, from, why }]);
    world.found(&offer("luke", 2, &["yoda"]));
    world.gets("film.mkv");
    let notices = world.swarm_notices(0);
    let [SwarmNotice::Untrusted { why: OfferFault::NotForUs, .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert!(world.orders(0).is_empty());
}

#[test]
fn another_key_than_was_known_fetches_nothing_until_it_is_accepted() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.ends[0].core.links_peers().unwrap().pin("luke", DeviceKey([9; 32]), "luke", false, 1);
    world.gets("film.mkv");
    let notices = world.swarm_notices(0);
    let [SwarmNotice::Untrusted { why: OfferFault::Changed { .. }, .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert!(world.orders(0).is_empty());
    for step in [crate::SafetyStep::Show, crate::SafetyStep::Accept] {
        let answer = world.answers(0, Command::Safety { user: "luke".into(), step });
        assert!(!matches!(answer, Answer::Refused(_)), "{answer:?}");
    }
    world.gets("film.mkv");
    assert_eq!(world.orders(0).len(), 1);
}

#[test]
fn the_first_contact_is_remembered_and_told() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    world.gets("film.mkv");
    let key = Device::new([2; 32]).key();
    assert_eq!(world.ends[0].peers.judge("luke", key, "x"), Trust::NotCompared);
}

#[test]
fn a_get_needs_a_folder_links_and_is_begun_once() {
    let mut world = World::with(1, [LinkOptions { downloads: None, ..options() }, options()]);
    world.found(&offer("luke", 2, &[]));
    assert_eq!(world.refuses(0, get("film.mkv")), Why::Swarm(SwarmWhy::NoFolder));
    let never = LinkOptions { private: Private::Never, ..options() };
    let mut world = World::with(1, [never, options()]);
    assert_eq!(world.refuses(0, get("film.mkv")), Why::Swarm(SwarmWhy::Unwanted));
    let mut world = self::world();
    world.found(&offer("luke", 2, &[]));
    world.gets("film.mkv");
    assert_eq!(world.refuses(0, get("film.mkv")), Why::Swarm(SwarmWhy::BeingFetched));
    let many: Vec<_> = (10..18).map(|at| told(&other(&format!("f{at}"), at))).collect();
    world.finds(&many);
    world.wants(0, Command::SearchFiles { words: String::new() });
    world.settle();
    (1..8).for_each(|number| world.gets(&number.to_string()));
    assert_eq!(world.refuses(0, get("8")), Why::Swarm(SwarmWhy::TooManyGets));
}

#[test]
fn progress_starving_and_the_end_are_told() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    let number = world.get_lines()[0].number;
    world.swarm(0, SwarmEvent::Progress(progress(1)));
    world.swarm(0, SwarmEvent::Starving);
    world.swarm(0, SwarmEvent::Starving);
    let starving = GetProgress { bytes_per_second: 0, ..progress(1) };
    let lines = world.get_lines();
    let line = GetLine { number, file: film(), progress: starving, starving: true };
    assert_eq!(lines, [line]);
    world.swarm(0, SwarmEvent::Progress(progress(2)));
    assert!(!world.get_lines()[0].starving);
    let path = PathBuf::from("/downloads/film.mkv");
    let by = vec![(LinkId(99), 5, 1), (world.fetch_links()[0], SIZE, 4)];
    world.swarm(0, SwarmEvent::Received { path: path.clone(), by });
    assert_eq!(world.get_lines(), []);
    let (user, device) = ("luke".to_owned(), "luke".to_owned());
    let by = vec![Given { user, device, bytes: SIZE, parts: 4 }];
    let file = film();
    assert_eq!(
        world.swarm_notices(0),
        [
            SwarmNotice::Progress { number, file: file.clone(), progress: progress(1) },
            SwarmNotice::Starving { number, file: file.clone(), progress: starving },
            SwarmNotice::Progress { number, file: file.clone(), progress: progress(2) },
            SwarmNotice::Received { number, file, path, by, seeded: false },
        ]
    );
}

#[test]
fn a_get_is_cancelled_by_its_number() {
    let mut world = fetching(&[]);
    world.orders(0);
    let number = world.get_lines()[0].number;
    world.ends[0].screen.clear();
    world.wants(0, Command::Cancel { which: number.to_string() });
    world.settle();
    assert_eq!(world.orders(0), [SwarmOrder::CancelGet { hash: FILM }]);
    let failed = SwarmNotice::Failed { file: film(), why: FileFailure::Cancelled };
    assert_eq!(world.swarm_notices(0), [failed]);
    assert!(!world.ends[0].core.links.any_stands());
    world.swarm(0, SwarmEvent::NotReceived { why: FileFailure::Cancelled });
    assert_eq!(world.swarm_notices(0), [], "that is known");
}

#[test]
fn what_came_to_nothing_can_be_fetched_again() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    let why = FileFailure::DiskFull { needed: 2, free: 1 };
    world.swarm(0, SwarmEvent::NotReceived { why: why.clone() });
    assert_eq!(world.swarm_notices(0), [SwarmNotice::Failed { file: film(), why }]);
    world.orders(0);
    world.gets("film.mkv");
    assert!(matches!(world.orders(0)[0], SwarmOrder::Get { .. }));
}

fn kept(note: String, done: &[u32]) -> SwarmEvent {
    let mut map = PartMap::none(4);
    done.iter().for_each(|part| map.insert(*part));
    SwarmEvent::Kept { size: SIZE, note, done: map }
}

#[test]
fn a_get_of_an_earlier_run_goes_on_by_itself() {
    let mut world = world();
    world.source(&[("luke", 2)]);
    world.shares(&[]);
    world.swarm(0, kept(offer("luke", 2, &[]).written(), &[0, 2]));
    let notices = world.swarm_notices(0);
    let [SwarmNotice::Kept { progress, .. }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((progress.done, progress.parts_done, progress.parts), (2 * 65_536, 2, 4));
    let orders = world.orders(0);
    assert!(matches!(orders[..], [SwarmOrder::AddSource { .. }]), "{orders:?}");
}

#[test]
fn a_get_of_an_earlier_run_is_checked_again() {
    let written = offer("luke", 2, &[]).written();
    let of_other = other("a", 9).written();
    for note in [String::new(), of_other] {
        let mut world = world();
        world.swarm(0, kept(note, &[]));
        assert_eq!(world.orders(0), [SwarmOrder::CancelGet { hash: FILM }]);
    }
    let mut world = world();
    world.swarm(0, kept(written.replace("film.mkv", "film.exe"), &[]));
    assert_eq!(world.orders(0), [SwarmOrder::CancelGet { hash: FILM }]);
    let notices = world.swarm_notices(0);
    assert!(matches!(&notices[..], [SwarmNotice::NotKept { why: OfferFault::Unsigned, .. }]));
    let mut world = self::world();
    world.ends[0].core.links_peers().unwrap().pin("luke", DeviceKey([9; 32]), "x", true, 1);
    world.swarm(0, kept(written, &[]));
    assert_eq!(world.orders(0), [], "the person may still accept the key");
    let notices = world.swarm_notices(0);
    let [SwarmNotice::NotKept { why: OfferFault::Changed { .. }, .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
}

#[test]
fn at_the_end_what_is_fetched_waits_for_the_next_run() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    world.orders(0);
    world.ends[0].core.handle_interrupt();
    world.settle();
    let waits = |it: &Notice| matches!(it, Notice::Swarm(SwarmNotice::Waits { .. }));
    assert!(world.ends[0].screen.iter().any(waits));
    assert_eq!(world.orders(0), [], "and is not cancelled");
}

#[test]
fn others_may_have_what_was_fetched_only_if_the_person_says_so() {
    let mut world = fetching(&["hans", "yoda"]);
    let questions = |world: &mut World| {
        let notices = world.swarm_notices(0);
        notices.iter().filter(|it| matches!(it, SwarmNotice::AskSeed { hidden: false })).count()
    };
    assert_eq!(questions(&mut world), 1);
    world.requests(0);
    let mut parts = PartMap::none(4);
    parts.insert(1);
    world.swarm(0, SwarmEvent::Parts { parts: parts.clone() });
    assert_eq!(world.requests(0), Vec::<String>::new());
    assert_eq!(world.answers(0, Command::Seed { yes: None }), Answer::Seed(None));
    assert!(!world.asks_hans("yoda", 3), "nobody has decided");
    assert_eq!(world.answers(0, Command::Seed { yes: Some(true) }), Answer::Seed(Some(true)));
    assert_eq!(world.requests(0), [format!("have {parts}")]);
    assert!(world.asks_hans("yoda", 3));
    assert!(world.asks_hans("luke", 2), "who shares may have it back");
    assert!(!world.asks_hans("ben", 4), "the sharer has not signed that");
    world.swarm(0, SwarmEvent::Received { path: "/downloads/film.mkv".into(), by: Vec::new() });
    assert_eq!(world.requests(0), [format!("have {}", all())]);
    assert!(world.asks_hans("yoda", 3), "it is given until the client ends");
    let Answer::Shares(lines) = world.answers(0, Command::Shares) else { panic!() };
    assert_eq!((lines[0].file.clone(), lines[0].with.clone()), (film(), None));
    world.requests(0);
    world.hang_up(0);
    world.wait(60_000);
    assert_eq!(world.requests(0), [format!("have {}", all())], "the new session does not know");
    world.ends[0].screen.clear();
    world.answers(0, Command::Seed { yes: Some(false) });
    assert_eq!(world.requests(0), [format!("have {}", PartMap::none(4))]);
    assert!(!world.asks_hans("yoda", 3));
    assert!(world.ends[0].core.list_gets().is_empty());
}

impl World {
    /// Somebody asks hans for the film; says whether hans agrees.
    fn asks_hans(&mut self, user: &str, device: u8) -> bool {
        let key = Device::new([device; 32]).key();
        let event = format!(
            r#"{{"action":"private_request","from":"{user}","link":"x{user}","purpose":"file","file":"{FILM}","device":"{key}","device_name":"x"}}"#
        );
        let incoming = Incoming::decode(event.as_bytes()).unwrap();
        self.ends[0].core.handle_incoming(self.now_ms, incoming);
        let mut declined = false;
        while let Some(action) = self.ends[0].core.next_action() {
            if let Action::Send(bytes) = action {
                declined |= String::from_utf8(bytes.to_vec()).unwrap().contains("DECLINED");
            }
        }
        !declined
    }

    /// The links over which hans fetches.
    pub(super) fn fetch_links(&self) -> Vec<LinkId> {
        let swarm = &self.ends[0].core.links;
        swarm.fetching()
    }
}

#[test]
fn a_decision_of_an_earlier_run_is_not_asked_for_again() {
    for seed in [true, false] {
        let mut world = world();
        world.ends[0].core.handle_seed(Some(seed));
        world.found(&offer("luke", 2, &[]));
        world.gets("film.mkv");
        let notices = world.swarm_notices(0);
        assert!(matches!(notices[..], [SwarmNotice::Begun { .. }]), "{notices:?}");
        assert_eq!(world.answers(0, Command::Seed { yes: None }), Answer::Seed(Some(seed)));
    }
}

#[test]
fn who_has_parts_is_told_of_what_is_asked_for() {
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    let mut last = PartMap::none(4);
    last.insert(3);
    world.sources_with(&[("luke", 2, all()), ("yoda", 3, last.clone())]);
    world.answers(0, Command::SearchFiles { words: String::new() });
    let ask = |parts| Command::SearchParts { which: "film.mkv".into(), parts };
    let holder = |user: &str, parts: &PartMap| Holder {
        user: user.into(),
        device: user.into(),
        parts: parts.clone(),
    };
    let expected =
        |asked, holders| Answer::Holders(Holders { file: film(), parts: 4, asked, holders });
    let (luke, yoda) = (holder("luke", &all()), holder("yoda", &last));
    let asked = vec![1..=2, 4..=4];
    let both = vec![luke.clone(), yoda];
    assert_eq!(world.answers(0, ask(asked.clone())), expected(asked, both.clone()));
    assert_eq!(world.answers(0, ask(vec![1..=3])), expected(vec![1..=3], vec![luke]));
    assert_eq!(world.answers(0, ask(Vec::new())), expected(Vec::new(), both));
    for parts in [vec![0..=1], vec![1..=5]] {
        assert_eq!(world.refuses(0, ask(parts)), Why::Swarm(SwarmWhy::NoParts));
    }
}

#[test]
fn the_words_of_the_original_system_fetch_a_file_that_is_known() {
    let download = |file: &str, part: &str| Command::Private {
        user: "luke".into(),
        text: format!("download {file} {part}"),
    };
    let mut world = world();
    world.found(&offer("luke", 2, &[]));
    assert_eq!(world.refuses(0, download("film.mkv", "3")), Why::NoLink, "it is a text");
    world.answers(0, Command::SearchFiles { words: String::new() });
    assert_eq!(world.refuses(0, download("film.mkv", "all")), Why::NoLink);
    world.wants(0, download("film.mkv", "3"));
    world.settle();
    assert!(matches!(world.orders(0)[..], [SwarmOrder::Get { hash: FILM, .. }]));
    let file = SwarmFile { hash: FILM, name: FileName::of("film.mkv"), size: SIZE };
    assert_eq!(film(), file);
}
