//! A few simulated worlds in the ordinary tests: fixed seeds, so that a fault stays where it is.
//!
//! The many are run by the program `sim`, see `docs/simulator.md`.

use whoelse_tests::sim::run::{self, Many};
use whoelse_tests::sim::world::World;

/// Short lives: this runs unoptimised.
const STEPS: u64 = 1_500;

#[test]
fn forty_worlds_hold() {
    let many = Many { seeds: 0..40, steps: STEPS, threads: 2, time: None };
    let outcome = many.run().unwrap_or_else(|fault| panic!("{fault}"));
    println!("{}", outcome.line());
    let stats = outcome.stats;
    for (what, count, least) in [
        ("acked", stats.acked, 2_000),
        ("told", stats.told, 2_000),
        ("dropped", stats.dropped, 20),
        ("crashes", stats.crashes, 20),
        ("kills", stats.kills, 20),
        ("cuts", stats.cuts, 10),
        ("returns", stats.returns, 20),
        ("pages", stats.pages, 100),
        ("restores", stats.restores, 1),
    ] {
        assert!(count >= least, "{what}: {count}, at least {least} wanted");
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    let life = || run::seed(7, STEPS, false).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(life(), life());
}

/// The control: if syncs did nothing, the simulator would have to notice.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found = (0..24).filter(|seed| {
        let mut world = World::with_lying_disk(*seed).expect("nothing is lost before a crash");
        world.live(STEPS).is_err()
    });
    let found = found.count();
    assert!(found >= 4, "seen in {found} of 24 worlds");
}
