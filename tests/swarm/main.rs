//! A few simulated swarms in the ordinary tests; the many are run by the program `swarm`, see
//! `docs/simulator.md`.

use whoelse_swarm::Rules;
use whoelse_tests::swarm::{Scene, World};

fn scene(churn: bool, liars: usize) -> Scene {
    let rules = Rules::default();
    Scene { peers: 30, seeders: 1, liars, size: 8_000_000, churn, rules }
}

#[test]
fn everybody_gets_the_file_whatever_others_do() {
    for (churn, liars) in [(false, 0), (false, 8), (true, 8)] {
        for seed in 0..3 {
            let outcome = World::new(seed, scene(churn, liars)).run();
            let line = outcome.line();
            assert_eq!(outcome.faults(), Vec::<String>::new(), "seed {seed}: {line}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_swarm() {
    let line = |seed| World::new(seed, scene(true, 4)).run().line();
    assert_eq!(line(7), line(7));
    assert_ne!(line(7), line(8));
}
