//! Whatever happens, in whatever order: no panic, no part asked twice of one source, nothing asked
//! that is here, and what somebody can give is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use whoelse_proto::{Layout, PartMap};
use whoelse_swarm::{Download, Failure, Input, Order, RequestId, SourceId};

const PARTS: u32 = 24;

#[derive(Clone, Debug)]
enum Step {
    Coming(u64, Option<u32>),
    Up(u64),
    Parts(u64, u32),
    Gone(u64),
    Progress(usize, u64),
    Done(usize),
    Failed(usize, Failure),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let source = 0..6_u64;
    let why = prop_oneof![
        Just(Failure::Line),
        Just(Failure::Lacking),
        Just(Failure::Wrong),
        Just(Failure::Here)
    ];
    prop_oneof![
        (source.clone(), any::<Option<u32>>()).prop_map(|(it, parts)| Step::Coming(it, parts)),
        source.clone().prop_map(Step::Up),
        (source.clone(), any::<u32>()).prop_map(|(it, parts)| Step::Parts(it, parts)),
        source.prop_map(Step::Gone),
        (any::<usize>(), 0..100_000_u64).prop_map(|(at, bytes)| Step::Progress(at, bytes)),
        any::<usize>().prop_map(Step::Done),
        (any::<usize>(), why).prop_map(|(at, why)| Step::Failed(at, why)),
        (0..5_000_u64).prop_map(Step::Wait),
    ]
}

fn map(bits: u32) -> PartMap {
    let mut map = PartMap::none(PARTS);
    (0..PARTS).filter(|part| bits & (1 << part) != 0).for_each(|part| map.insert(part));
    map
}

struct World {
    download: Download,
    asked: BTreeMap<RequestId, (SourceId, u32)>,
    up: BTreeMap<SourceId, PartMap>,
    banned: Vec<SourceId>,
    now: Duration,
}

impl World {
    fn say(&mut self, input: Input) {
        self.download.handle(self.now, input);
        while let Some(order) = self.download.next() {
            match order {
                Order::Fetch { request, source, part } => {
                    assert!(part < PARTS && !self.download.have().contains(part));
                    assert!(!self.banned.contains(&source), "a banned one is asked");
                    assert!(self.up[&source].contains(part), "{source:?} does not have {part}");
                    assert!(self.asked.values().all(|it| *it != (source, part)), "asked twice");
                    let flights = self.asked.values().filter(|(_, it)| *it == part).count();
                    assert!(flights < 2, "more than two for one part");
                    assert!(self.asked.insert(request, (source, part)).is_none());
                    let at_once = self.asked.values().filter(|(it, _)| *it == source).count();
                    assert!(at_once <= 8, "{at_once} at once");
                }
                Order::Cancel { request } => {
                    assert!(self.asked.remove(&request).is_some(), "{request:?} is not under way");
                }
                Order::Ban { source } => self.banned.push(source),
                Order::Spare { source } => assert!(self.up.contains_key(&source)),
                Order::Starving => assert!(self.asked.is_empty()),
            }
        }
        let due = self.download.deadline();
        assert!(due.is_none_or(|due| due > self.now), "{due:?} is due at {:?}", self.now);
    }

    fn nth(&self, at: usize) -> Option<RequestId> {
        let count = self.asked.len();
        (count > 0).then(|| *self.asked.keys().nth(at % count).expect("it is one of them"))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Coming(source, parts) => {
                let (source, claims) = (SourceId(source), parts.map(map));
                self.say(Input::Coming { source, claims });
            }
            Step::Up(source) => {
                // What it had before it was gone is not known here.
                self.up.insert(SourceId(source), PartMap::all(PARTS));
                self.say(Input::Up { source: SourceId(source) });
            }
            Step::Parts(source, parts) => {
                let (source, parts) = (SourceId(source), map(parts));
                if self.up.contains_key(&source) {
                    self.up.insert(source, parts.clone());
                }
                self.say(Input::Parts { source, parts });
            }
            Step::Gone(source) => {
                self.say(Input::Gone { source: SourceId(source) });
                assert!(self.asked.values().all(|(it, _)| *it != SourceId(source)));
                self.up.remove(&SourceId(source));
            }
            Step::Progress(at, bytes) => {
                if let Some(request) = self.nth(at) {
                    self.say(Input::Progress { request, bytes });
                }
            }
            Step::Done(at) => {
                if let Some(request) = self.nth(at) {
                    let (_, part) = self.asked.remove(&request).expect("it is under way");
                    self.say(Input::Done { request });
                    assert!(self.download.have().contains(part));
                    assert!(self.asked.values().all(|(_, it)| *it != part), "it is here");
                }
            }
            Step::Failed(at, why) => {
                if let Some(request) = self.nth(at) {
                    self.asked.remove(&request);
                    self.say(Input::Failed { request, why });
                }
            }
            Step::Wait(millis) => {
                let until = self.now + Duration::from_millis(millis);
                while let Some(due) = self.download.deadline().filter(|due| *due <= until) {
                    self.now = due.max(self.now);
                    self.say(Input::Tick);
                }
                self.now = until;
                self.say(Input::Tick);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_is_asked_that_should_not_be_and_an_honest_source_ends_it(
        steps in prop::collection::vec(steps(), 0..200),
        seed in any::<u64>(),
    ) {
        let layout = Layout::of(u64::from(PARTS) * 64 * 1024);
        let mut world = World {
            download: Download::new(layout, PartMap::none(PARTS), seed),
            asked: BTreeMap::new(),
            up: BTreeMap::new(),
            banned: Vec::new(),
            now: Duration::ZERO,
        };
        steps.into_iter().for_each(|step| world.take(step));
        // Somebody comes who has everything and gives it.
        let honest = SourceId(99);
        world.up.insert(honest, PartMap::all(PARTS));
        world.say(Input::Coming { source: honest, claims: Some(PartMap::all(PARTS)) });
        world.say(Input::Up { source: honest });
        for _ in 0..10_000 {
            if world.download.is_done() {
                break;
            }
            let theirs = world.asked.iter().find(|(_, (source, _))| *source == honest);
            match theirs.map(|(request, _)| *request) {
                Some(request) => {
                    world.asked.remove(&request);
                    world.say(Input::Progress { request, bytes: 64 * 1024 });
                    world.say(Input::Done { request });
                }
                None => world.take(Step::Wait(500)),
            }
        }
        prop_assert!(world.download.is_done(), "{:?} is missing", world.download.have());
        prop_assert!(world.asked.is_empty());
    }
}
