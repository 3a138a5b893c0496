//! One source against one name, over days and with every block time an operator may choose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Bench, login};
use whoelse_engine::Rules;
use whoelse_proto::Role;

const MINUTE_MS: u64 = 60_000;

/// One address keeps a name locked for good if the operator chose a block time of half an hour or
/// more: it never fails ten times in ten minutes, nor locks three times in an hour.
#[test]
fn one_source_does_not_lock_a_name_for_good_however_long_the_block_is() {
    for minutes in [1, 10, 30, 60, 240] {
        let rules = Rules { block_ms: minutes * MINUTE_MS, ..Rules::default() };
        let mut bench = Bench::new(rules);
        bench.add("victim", Role::Member);
        let attacker = bench.connect("192.0.2.1");
        let (mut locked, mut looks) = (0, 0);
        for _ in 0..3 * 24 * 60 {
            for _ in 0..3 {
                bench.ask(attacker, login("victim", "wrong", 0));
            }
            let until = bench.engine.people().next().unwrap().locked_until;
            locked += u32::from(until.is_some_and(|until| until.0 > bench.now));
            looks += 1;
            bench.pass(MINUTE_MS);
        }
        let percent = locked * 100 / looks;
        println!("a block of {minutes} minutes: locked {percent} % of three days by one address");
        assert!(percent <= 50, "a block of {minutes} minutes: locked {percent} % of the time");
    }
}
