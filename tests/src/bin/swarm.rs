//! Runs simulated swarms; `docs/simulator.md` says how.
//!
//! ```text
//! swarm [--seeds FROM..TO] [--peers N] [--gates] [--baselines]
//! ```

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use whoelse_swarm::Rules;
use whoelse_tests::swarm::{Scene, Total, World};

const USAGE: &str = "usage: swarm [--seeds FROM..TO] [--peers N] [--gates] [--baselines]";

struct Wish {
    seeds: Range<u64>,
    peers: usize,
    gates: bool,
    baselines: bool,
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let Some(wish) = wish(std::env::args().skip(1)) else {
        writeln!(std::io::stderr(), "{USAGE}").unwrap_or_default();
        return ExitCode::from(2);
    };
    let mut faults = 0;
    let rules = Rules::default();
    for (name, churn, liars) in
        [("calm", false, 0), ("liars", false, wish.peers / 10), ("churn", true, wish.peers / 10)]
    {
        let mut total = Total::default();
        for seed in wish.seeds.clone() {
            let outcome = World::new(seed, scene(wish.peers, churn, liars, rules)).run();
            for fault in outcome.faults() {
                faults += 1;
                writeln!(out, "SWARM fault scene={name} seed={seed}: {fault}; {}", outcome.line())
                    .unwrap_or_default();
            }
            total.add(outcome);
        }
        writeln!(out, "SWARM scene={name} peers={} {}", wish.peers, total.line())
            .unwrap_or_default();
    }
    if wish.baselines {
        baselines(&wish, &mut out);
    }
    if wish.gates && faults > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What each rule is worth: the same swarms without it.
fn baselines(wish: &Wish, out: &mut impl Write) {
    let all = Rules::default();
    for (name, rules) in [
        ("random-order", Rules { rarest_first: false, ..all }),
        ("no-end-game", Rules { end_game: false, ..all }),
        ("no-reserve", Rules { reserve: false, ..all }),
    ] {
        for (scene_name, churn, liars) in [("calm", false, 0), ("churn", true, wish.peers / 10)] {
            let mut total = Total::default();
            for seed in wish.seeds.clone() {
                total.add(World::new(seed, scene(wish.peers, churn, liars, rules)).run());
            }
            let line = total.line();
            writeln!(out, "SWARM scene={scene_name} without={name} {line}").unwrap_or_default();
        }
    }
}

fn scene(peers: usize, churn: bool, liars: usize, rules: Rules) -> Scene {
    Scene { peers, seeders: (peers / 40).max(1), liars, size: 100_000_000, churn, rules }
}

fn wish(mut words: impl Iterator<Item = String>) -> Option<Wish> {
    let mut wish = Wish { seeds: 0..10, peers: 100, gates: false, baselines: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--gates" => wish.gates = true,
            "--baselines" => wish.baselines = true,
            "--peers" => wish.peers = words.next()?.parse().ok().filter(|peers| *peers >= 2)?,
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                wish.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            _ => return None,
        }
    }
    Some(wish)
}
