//! Each rule of the scheduler, with sources that do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use whoelse_proto::{Layout, PartMap};
use whoelse_swarm::{Download, Failure, Input, Order, RequestId, SourceId};

const PART: u64 = 64 * 1024;

/// A download, and what it has ordered and not taken back.
struct Stage {
    download: Download,
    now: Duration,
    asked: BTreeMap<RequestId, (SourceId, u32)>,
    cancelled: Vec<RequestId>,
    banned: Vec<SourceId>,
    starving: u32,
    spare: Vec<SourceId>,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn some(parts: u32, which: &[u32]) -> PartMap {
    let mut map = PartMap::none(parts);
    which.iter().for_each(|part| map.insert(*part));
    map
}

impl Stage {
    fn new(parts: u32) -> Self {
        let layout = Layout::of(u64::from(parts) * PART);
        assert_eq!(layout.parts(), parts);
        Self {
            download: Download::new(layout, PartMap::none(parts), 7),
            now: ms(0),
            asked: BTreeMap::new(),
            cancelled: Vec::new(),
            banned: Vec::new(),
            starving: 0,
            spare: Vec::new(),
        }
    }

    fn say(&mut self, input: Input) {
        self.download.handle(self.now, input);
        while let Some(order) = self.download.next() {
            match order {
                Order::Fetch { request, source, part } => {
                    let again = self.asked.values().any(|asked| *asked == (source, part));
                    assert!(!again, "{source:?} is asked twice for {part}");
                    self.asked.insert(request, (source, part));
                }
                Order::Cancel { request } => {
                    self.asked.remove(&request).expect("it was asked");
                    self.cancelled.push(request);
                }
                Order::Ban { source } => self.banned.push(source),
                Order::Starving => self.starving += 1,
                Order::Spare { source } => self.spare.push(source),
            }
        }
    }

    fn up(&mut self, source: u64, parts: PartMap) {
        self.say(Input::Coming { source: SourceId(source), claims: Some(parts) });
        self.say(Input::Up { source: SourceId(source) });
    }

    fn wait(&mut self, millis: u64) {
        self.now += ms(millis);
        self.say(Input::Tick);
    }

    fn at(&self, source: u64) -> Vec<(RequestId, u32)> {
        let theirs = self.asked.iter().filter(|(_, (it, _))| *it == SourceId(source));
        theirs.map(|(request, (_, part))| (*request, *part)).collect()
    }

    fn under_way(&self) -> BTreeSet<u32> {
        self.asked.values().map(|(_, part)| *part).collect()
    }

    fn give(&mut self, request: RequestId) {
        self.say(Input::Progress { request, bytes: PART });
        self.asked.remove(&request).expect("it was asked");
        self.say(Input::Done { request });
    }

    fn fail(&mut self, request: RequestId, why: Failure) {
        self.asked.remove(&request).expect("it was asked");
        self.say(Input::Failed { request, why });
    }

    /// Lets sources give as fast as they can, in bytes per millisecond each, until all is there.
    fn flow(&mut self, rates: &[(u64, u64)]) -> Duration {
        let begin = self.now;
        let mut credit = BTreeMap::new();
        for _ in 0..1_000_000 {
            if self.download.is_done() {
                return self.now - begin;
            }
            self.wait(1);
            for (source, rate) in rates {
                let credit = credit.entry(*source).or_insert(0);
                *credit = (*credit + rate).min(PART * 2);
                while let Some((request, _)) = self.at(*source).first().copied() {
                    if *credit < PART {
                        break;
                    }
                    *credit -= PART;
                    self.give(request);
                }
            }
        }
        panic!("it does not come to an end");
    }
}

#[test]
fn every_part_is_asked_for_once_and_the_download_ends() {
    let mut stage = Stage::new(40);
    stage.up(1, PartMap::all(40));
    let mut asked = Vec::new();
    while let Some((request, part)) = stage.at(1).first().copied() {
        asked.push(part);
        stage.now += ms(1);
        stage.give(request);
    }
    asked.sort_unstable();
    assert_eq!(asked, (0..40).collect::<Vec<_>>());
    assert!(stage.download.is_done() && stage.download.deadline().is_none());
    let tally = stage.download.tallies().next().unwrap().1;
    assert_eq!((tally.parts, tally.bytes), (40, 40 * PART));
}

#[test]
fn what_is_here_already_is_not_asked_for() {
    let layout = Layout::of(3 * PART);
    let mut download = Download::new(layout, some(3, &[0, 2]), 1);
    download.handle(ms(0), Input::Coming { source: SourceId(1), claims: Some(PartMap::all(3)) });
    download.handle(ms(0), Input::Up { source: SourceId(1) });
    let asked: Vec<_> = std::iter::from_fn(|| download.next()).collect();
    assert!(matches!(asked[..], [Order::Fetch { part: 1, .. }]), "{asked:?}");
}

#[test]
fn rare_parts_come_first() {
    let mut stage = Stage::new(100);
    let common: Vec<u32> = (0..100).filter(|part| ![17, 71].contains(part)).collect();
    for source in 2..6 {
        stage.say(Input::Coming { source: SourceId(source), claims: Some(some(100, &common)) });
        stage.say(Input::Up { source: SourceId(source) });
    }
    stage.up(1, PartMap::all(100));
    let first: Vec<u32> = stage.at(1).into_iter().map(|(_, part)| part).take(2).collect();
    assert_eq!(first.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([17, 71]));
}

#[test]
fn two_who_begin_at_once_prefer_different_parts() {
    let first = |seed| {
        let mut download = Download::new(Layout::of(1000 * PART), PartMap::none(1000), seed);
        let source = SourceId(1);
        download.handle(ms(0), Input::Coming { source, claims: Some(PartMap::all(1000)) });
        download.handle(ms(0), Input::Up { source });
        download.next()
    };
    assert_ne!(first(1), first(2));
    assert_eq!(first(1), first(1));
}

#[test]
fn nobody_gives_everything_while_somebody_else_has_some() {
    // The second is there, and slow: one part of few is left to it.
    let mut stage = Stage::new(3);
    stage.up(1, PartMap::all(3));
    stage.up(2, PartMap::all(3));
    stage.flow(&[(1, 1_000_000), (2, 1_000)]);
    let parts: Vec<u32> = stage.download.tallies().map(|(_, tally)| tally.parts).collect();
    assert!(parts.iter().all(|parts| *parts > 0), "{parts:?}");
}

#[test]
fn for_somebody_who_is_coming_a_part_is_held_back_for_three_seconds() {
    let mut stage = Stage::new(4);
    stage.say(Input::Coming { source: SourceId(2), claims: None });
    stage.up(1, PartMap::all(4));
    while let Some((request, _)) = stage.at(1).first().copied() {
        stage.give(request);
    }
    assert_eq!(stage.download.have().count(), 3);
    stage.wait(2_900);
    assert!(stage.asked.is_empty());
    stage.wait(200);
    assert_eq!(stage.at(1).len(), 1, "nobody has come");

    let mut stage = Stage::new(4);
    stage.say(Input::Coming { source: SourceId(2), claims: None });
    stage.up(1, PartMap::all(4));
    while let Some((request, _)) = stage.at(1).first().copied() {
        stage.give(request);
    }
    stage.wait(1_000);
    stage.say(Input::Up { source: SourceId(2) });
    stage.say(Input::Parts { source: SourceId(2), parts: PartMap::all(4) });
    assert_eq!(stage.at(2).len(), 1, "it has come");
    assert!(stage.at(1).is_empty());
}

#[test]
fn work_is_divided_by_speed_so_that_all_end_together() {
    let mut stage = Stage::new(500);
    for source in 1..=3 {
        stage.up(source, PartMap::all(500));
    }
    let rates = [(1, 20_000), (2, 10_000), (3, 1_000)];
    let took = stage.flow(&rates).as_millis();
    let ideal = u128::from(500 * PART / 31_000);
    assert!(took * 100 <= ideal * 110, "{took} of {ideal} ms");
    let bytes: Vec<u64> = stage.download.tallies().map(|(_, tally)| tally.bytes).collect();
    assert!(bytes[0] > bytes[1] && bytes[1] > bytes[2] * 5, "{bytes:?}");
    assert!(stage.cancelled.len() <= 10, "{}", stage.cancelled.len());
}

#[test]
fn the_last_part_of_somebody_slow_is_asked_of_somebody_else_too_and_the_first_wins() {
    let mut stage = Stage::new(20);
    stage.up(1, PartMap::all(20));
    stage.up(2, PartMap::all(20));
    for _ in 0..400 {
        stage.wait(10);
        if let Some((request, _)) = stage.at(1).first().copied() {
            stage.give(request);
        }
        for (request, _) in stage.at(2) {
            stage.say(Input::Progress { request, bytes: 1 });
        }
    }
    assert!(stage.download.is_done());
    // What the slow one was still giving was taken back from it.
    assert!(!stage.cancelled.is_empty() && stage.asked.is_empty());
    assert!(stage.now < ms(5_000));
}

#[test]
fn whoever_stands_still_for_three_seconds_loses_what_it_was_asked_and_is_left_alone_in_the_end() {
    let mut stage = Stage::new(100);
    stage.up(1, PartMap::all(100));
    let before = stage.under_way();
    stage.wait(2_999);
    assert!(stage.cancelled.is_empty());
    stage.wait(1);
    assert_eq!(stage.cancelled.len(), before.len());
    for _ in 0..4 {
        stage.wait(3_000);
    }
    assert!(stage.asked.is_empty());
    assert!(stage.starving > 0, "somebody else is needed");
    let cancelled = stage.cancelled.len();
    stage.wait(10_000);
    assert!(!stage.asked.is_empty(), "it gets another chance");
    stage.wait(3_000);
    assert!(stage.cancelled.len() > cancelled);
}

#[test]
fn what_a_lost_source_was_asked_goes_to_another_at_once() {
    let mut stage = Stage::new(10);
    stage.up(1, PartMap::all(10));
    let lost = stage.under_way();
    stage.up(2, PartMap::all(10));
    stage.say(Input::Gone { source: SourceId(1) });
    assert!(stage.at(1).is_empty());
    while let Some((request, _)) = stage.at(2).first().copied() {
        stage.give(request);
    }
    assert!(lost.iter().all(|part| stage.download.have().contains(*part)));
    assert!(stage.download.is_done());
}

#[test]
fn whoever_sends_something_else_is_banned_for_good() {
    let mut stage = Stage::new(10);
    stage.up(1, PartMap::all(10));
    let (request, _) = stage.at(1)[0];
    stage.fail(request, Failure::Wrong);
    assert_eq!(stage.banned, [SourceId(1)]);
    assert!(stage.asked.is_empty());
    stage.up(1, PartMap::all(10));
    stage.wait(100_000);
    assert!(stage.asked.is_empty());
    stage.up(2, PartMap::all(10));
    assert!(!stage.at(2).is_empty());
}

#[test]
fn whoever_does_not_give_what_it_says_it_has_is_asked_less_and_less() {
    let mut stage = Stage::new(1000);
    stage.up(1, PartMap::all(1000));
    let mut failed = 0;
    for _ in 0..100 {
        while let Some((request, _)) = stage.at(1).first().copied() {
            stage.fail(request, Failure::Lacking);
            stage.say(Input::Parts { source: SourceId(1), parts: PartMap::all(1000) });
            failed += 1;
        }
        stage.wait(1_000);
    }
    assert!((3..=20).contains(&failed), "{failed} in 100 s");
    assert!(stage.banned.is_empty(), "it may be honest");
}

#[test]
fn nobody_who_can_give_what_is_missing_is_said_again_and_again() {
    let mut stage = Stage::new(4);
    stage.say(Input::Tick);
    assert_eq!(stage.starving, 1);
    stage.wait(9_000);
    assert_eq!(stage.starving, 1);
    stage.wait(1_000);
    assert_eq!(stage.starving, 2);
    stage.up(1, some(4, &[0, 1]));
    while let Some((request, _)) = stage.at(1).first().copied() {
        stage.give(request);
    }
    assert_eq!(stage.starving, 3);
    stage.say(Input::Parts { source: SourceId(1), parts: some(4, &[0, 1, 3]) });
    assert_eq!(stage.at(1).len(), 1);
}

#[test]
fn claims_of_another_length_say_nothing() {
    let mut stage = Stage::new(4);
    stage.up(1, PartMap::all(9));
    assert!(stage.asked.is_empty());
    stage.say(Input::Parts { source: SourceId(1), parts: PartMap::all(5) });
    assert!(stage.asked.is_empty());
}

#[test]
fn somebody_takes_the_last_part_however_slow_all_are() {
    let mut stage = Stage::new(7);
    stage.up(1, PartMap::all(7));
    stage.up(2, PartMap::all(7));
    let took = stage.flow(&[(1, 60), (2, 40)]);
    assert!(took < ms(9_000), "{took:?}");
}

#[test]
fn who_is_of_little_use_is_named_every_ten_seconds() {
    let mut stage = Stage::new(1024);
    for source in 1..=3 {
        stage.up(source, PartMap::all(1024));
    }
    stage.up(4, some(1024, &[]));
    let flow = |stage: &mut Stage, tenths: u32| {
        for _ in 0..tenths {
            stage.wait(100);
            for (source, bytes) in [(1, 60_000), (2, 40_000), (3, 1_000)] {
                let (request, _) = stage.at(source)[0];
                stage.say(Input::Progress { request, bytes });
                if source == 1 {
                    stage.give(request);
                }
            }
        }
    };
    flow(&mut stage, 210);
    // The fourth has nothing; when its link is used for somebody else, the third is slow.
    assert_eq!(stage.spare, [SourceId(4); 2]);
    stage.say(Input::Gone { source: SourceId(4) });
    flow(&mut stage, 100);
    assert_eq!(stage.spare[2..], [SourceId(3)]);
}
