//! Simulated worlds in the ordinary tests: fixed seeds, so that a fault stays where it is.

#![expect(clippy::print_stdout, reason = "what worlds have been through is to be seen")]

use whoelse_tests::sim::run;
use whoelse_tests::sim::stats::Stats;
use whoelse_tests::sim::world::World;

fn hold(seeds: std::ops::Range<u64>) -> Stats {
    run::seeds(seeds, run::STEPS).unwrap_or_else(|fault| panic!("{fault}"))
}

/// A run in which nothing happened proves nothing.
fn assert_eventful(stats: &Stats) {
    println!("{stats:?}");
    for (what, count, least) in [
        ("confirmed", stats.confirmed, 10_000),
        ("shown", stats.shown, 10_000),
        ("repeated", stats.repeated, 1_000),
        ("resent", stats.resent, 1_000),
        ("crashes", stats.crashes, 500),
        ("kills", stats.kills, 200),
        ("stops", stats.stops, 200),
        ("taken back", stats.taken_back, 500),
        ("projections", stats.projections, 500),
        ("pages", stats.pages, 500),
        ("locked", stats.locked, 500),
        ("resumed", stats.resumed, 500),
        ("refused devices", stats.refused_devices, 200),
        ("devices revoked", stats.devices_revoked, 150),
        ("passwords changed", stats.passwords_changed, 200),
        ("shut out", stats.shut_out, 200),
        ("expelled", stats.expelled, 100),
        ("joined", stats.joined, 50),
        ("invites refused", stats.invites_refused, 50),
        ("told failures", stats.told_failures, 200),
        ("torn", stats.torn, 5),
    ] {
        assert!(count >= least, "{what}: {count}, at least {least} wanted");
    }
}

// In two halves, for machines with two processors.
#[test]
fn a_hundred_seeds_hold() {
    assert_eventful(&hold(0..100));
}

#[test]
fn another_hundred_seeds_hold() {
    assert_eventful(&hold(100..200));
}

#[test]
fn the_same_seed_is_the_same_life() {
    assert_eq!(format!("{:?}", hold(7..8)), format!("{:?}", hold(7..8)));
}

/// The control: if syncs did nothing, the simulator would have to notice.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found = (0..20).filter(|seed| {
        let mut world = World::with_lying_disk(*seed).expect("nothing is lost before a crash");
        world.live(run::STEPS).is_err()
    });
    let found = found.count();
    assert!(found >= 10, "seen in {found} of 20 worlds");
}
