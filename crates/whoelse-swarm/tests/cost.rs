//! What a step costs at most: a file of the most parts, from as many sources as a client has.
//!
//! ```text
//! cargo test --release -p whoelse-swarm --test cost -- --nocapture
//! ```

#![allow(clippy::print_stdout, reason = "what it prints is for whoever asks")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use whoelse_proto::{Layout, PartMap};
use whoelse_swarm::{Download, Failure, Input, Order, RequestId, SourceId};

/// The most that a file is cut into.
const PARTS_MAX: u32 = 1024;

const PART_BYTES: u64 = 64 * 1024;
const SOURCES: u64 = 8;

/// Times of the steps of one kind.
#[derive(Default)]
struct Times(Vec<Duration>);

struct Bench {
    download: Download,
    now: Duration,
    asked: BTreeMap<RequestId, (SourceId, u32)>,
    times: BTreeMap<&'static str, Times>,
    steps: u64,
    fetches: u64,
}

impl Bench {
    fn step(&mut self, kind: &'static str, input: Input) {
        let begin = Instant::now();
        self.download.handle(self.now, input);
        while let Some(order) = self.download.next() {
            match order {
                Order::Fetch { request, source, part } => {
                    self.fetches += 1;
                    self.asked.insert(request, (source, part));
                }
                Order::Cancel { request } => drop(self.asked.remove(&request)),
                _ => {}
            }
        }
        let due = self.download.deadline();
        self.times.entry(kind).or_default().0.push(begin.elapsed());
        self.steps += 1;
        assert!(self.download.is_done() || due.is_some_and(|due| due > self.now));
    }

    /// The oldest request of each source in turn gives a little, and is done or not given.
    fn run(&mut self, lacking: bool) {
        let mut turn = 0;
        while !self.download.is_done() {
            turn += 1;
            self.now += Duration::from_millis(1);
            let source = SourceId(turn % SOURCES);
            if turn % 63 == 0 {
                // It says again what it has, as those do who are fetching too.
                self.step("parts", Input::Parts { source, parts: PartMap::all(PARTS_MAX) });
            }
            let found = self.asked.iter().find(|(_, (it, _))| *it == source);
            let Some((request, _)) = found else {
                assert!(turn < 10_000_000, "it never ends");
                if self.download.deadline().is_some_and(|due| due <= self.now) {
                    self.step("tick", Input::Tick);
                }
                continue;
            };
            let request = *request;
            self.step("progress", Input::Progress { request, bytes: PART_BYTES / 4 });
            if !self.asked.contains_key(&request) {
                continue;
            }
            self.asked.remove(&request);
            if lacking && turn % 5 == 0 {
                self.step("failed", Input::Failed { request, why: Failure::Lacking });
            } else {
                self.step("done", Input::Done { request });
            }
        }
    }
}

fn bench(name: &str, claims: bool, silent: u64, lacking: bool) -> u64 {
    let layout = Layout::of(u64::from(PARTS_MAX) * PART_BYTES);
    let mut bench = Bench {
        download: Download::new(layout, PartMap::none(PARTS_MAX), 1),
        now: Duration::ZERO,
        asked: BTreeMap::new(),
        times: BTreeMap::new(),
        steps: 0,
        fetches: 0,
    };
    for source in (0..SOURCES).map(SourceId) {
        let claims = claims.then(|| PartMap::all(PARTS_MAX));
        bench.step("coming", Input::Coming { source, claims });
        if source.0 >= silent {
            bench.step("up", Input::Up { source });
            bench.step("parts", Input::Parts { source, parts: PartMap::all(PARTS_MAX) });
        }
    }
    bench.run(lacking);
    println!("{name}: {} steps, {} requests", bench.steps, bench.fetches);
    for (kind, Times(times)) in &mut bench.times {
        times.sort();
        let all: Duration = times.iter().sum();
        let mean = all / u32::try_from(times.len()).unwrap_or(u32::MAX);
        let p99 = times[times.len() * 99 / 100];
        println!("  {kind}: n {} mean {mean:?} p99 {p99:?} all {all:?}", times.len());
    }
    bench.fetches
}

#[test]
fn a_step_is_cheap_and_only_the_last_parts_are_asked_for_twice() {
    // In the end, at most eight requests of each source are under way.
    let most = u64::from(PARTS_MAX) + SOURCES * 8;
    let fetches = bench("all give", true, 0, false);
    assert!(fetches <= most, "{fetches}");
    let fetches = bench("half are coming, and never come", true, 4, false);
    assert!(fetches <= most, "{fetches}");
    // A fifth of the requests is refused, and made again.
    let fetches = bench("some do not give", true, 0, true);
    assert!(fetches <= most * 3 / 2, "{fetches}");
}
