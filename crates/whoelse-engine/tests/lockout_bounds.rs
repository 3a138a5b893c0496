//! What the lock-out remembers, and what it may forget: found wanting by `cargo mutants`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Bench, START_MS, login};
use whoelse_engine::{
    AccountSnapshot, Aid, Engine, Input, Now, PasswordHash, Rules, Snapshot, Ticket, Time, Turn,
};
use whoelse_proto::{Name, Request, Role};

fn guess(bench: &mut Bench, name: &str) -> String {
    let line = bench.connect("127.0.0.1");
    bench.status(line, login(name, "wrong", 0))
}

fn bench(strangers_max: usize) -> Bench {
    Bench::new(Rules { strangers_max, ..Rules::default() })
}

#[test]
fn a_clock_that_was_wrong_locks_nobody_out_for_longer_than_a_lock_lasts() {
    let rules = Rules::default();
    let mut bench = Bench::new(rules.clone());
    let mut account =
        AccountSnapshot::new(Name::new("hans").unwrap(), Some(PasswordHash("right".into())));
    (account.strikes, account.locked_until) = (3, Some(Time(START_MS + 100 * rules.block_ms)));
    let snapshot = Snapshot { accounts: vec![account], ..Snapshot::default() };
    bench.engine = Engine::new(rules.clone(), "server".into(), &snapshot);
    bench.input(Input::Started);
    let line = bench.connect("127.0.0.1");
    assert_eq!(bench.status(line, login("hans", "right", 0)), "BLOCKED");
    bench.pass(rules.block_ms);
    assert_eq!(bench.status(line, login("hans", "right", 0)), "SUCCESS");
}

#[test]
fn a_name_that_is_locked_is_not_forgotten_for_one_that_is_not() {
    let mut bench = bench(2);
    for _ in 0..3 {
        guess(&mut bench, "locked");
    }
    bench.pass(1);
    guess(&mut bench, "struck");
    bench.pass(1);
    assert_eq!(guess(&mut bench, "new"), "INVALID_PASSWORD");
    assert_eq!(guess(&mut bench, "locked"), "BLOCKED");
}

#[test]
fn a_name_whose_lock_has_run_out_is_forgotten_before_one_that_was_struck() {
    let mut bench = bench(2);
    guess(&mut bench, "struck");
    guess(&mut bench, "struck");
    bench.pass(1);
    for _ in 0..3 {
        guess(&mut bench, "locked");
    }
    bench.pass(60_000);
    guess(&mut bench, "new");
    assert_eq!(guess(&mut bench, "struck"), "INVALID_PASSWORD_BLOCKED");
}

#[test]
fn where_all_are_locked_nobody_new_is_counted() {
    let mut bench = bench(2);
    for name in ["one", "other"] {
        for _ in 0..3 {
            guess(&mut bench, name);
        }
    }
    assert_eq!(guess(&mut bench, "new"), "BUSY");
    assert_eq!(guess(&mut bench, "one"), "BLOCKED");
    bench.pass(60_000);
    assert_eq!(guess(&mut bench, "new"), "INVALID_PASSWORD");
}

#[test]
fn a_name_is_not_forgotten_while_its_password_is_checked() {
    let mut bench = bench(1);
    bench.holds_checks = true;
    let line = bench.connect("127.0.0.1");
    bench.ask(line, login("checked", "wrong", 0));
    assert_eq!(guess(&mut bench, "new"), "BUSY");
}

#[test]
fn checks_under_way_count_as_those_that_wait() {
    let mut bench = Bench::new(Rules { checks_max: 2, ..Rules::default() });
    for name in ["a", "b", "c"] {
        bench.add(name, Role::Member);
    }
    bench.holds_checks = true;
    let mut status = |name| {
        let line = bench.connect("127.0.0.1");
        bench.status(line, login(name, "right", 0))
    };
    assert_eq!([status("a"), status("b"), status("c")], ["", "", "BUSY"]);
}

#[test]
fn checks_that_wait_for_another_of_their_name_count_as_well() {
    let mut bench = Bench::new(Rules { checks_max: 4, ..Rules::default() });
    for name in ["hans", "luke"] {
        bench.add(name, Role::Member);
    }
    bench.holds_checks = true;
    let mut status = |name| {
        let line = bench.connect("127.0.0.1");
        bench.status(line, login(name, "right", 0))
    };
    let four: Vec<String> = (0..4).map(|_| status("hans")).collect();
    assert_eq!((four.concat(), status("luke")), (String::new(), "BUSY".to_owned()));
    assert_eq!(bench.checks.len(), 3, "as many as failures are left");
}

#[test]
fn whoever_has_gone_has_no_password_checked_and_whoever_waits_behind_it_does() {
    let mut bench = Bench::new(Rules::default());
    bench.add("hans", Role::Member);
    bench.holds_checks = true;
    let lines: Vec<_> = (0..5).map(|_| bench.connect("127.0.0.1")).collect();
    for line in &lines {
        bench.ask(*line, login("hans", "right", 0));
    }
    assert_eq!(bench.checks.len(), 3, "as many as failures are left");
    bench.drop(lines[3]);
    bench.input(Input::Checked { ticket: Ticket(1), matches: true });
    assert_eq!(bench.checks.len(), 4);
    let said = bench.input(Input::Checked { ticket: Ticket(4), matches: false });
    let told: Vec<_> = said.iter().map(|said| (said.to, said.status)).collect();
    assert_eq!(told, [(lines[4], Some("INVALID_PASSWORD"))]);
}

#[test]
fn where_there_were_no_failures_nothing_is_written_of_forgetting_them() {
    let mut bench = Bench::new(Rules::default());
    bench.add("hans", Role::Member);
    let (first, second) = (bench.connect("127.0.0.1"), bench.connect("127.0.0.1"));
    assert_eq!(bench.status(first, login("hans", "right", 0)), "SUCCESS");
    bench.holds_checks = true;
    bench.ask(second, login("hans", "right", 0));
    let now = Now { time: Time(bench.now), wall_ms: bench.now };
    let mut turn = Turn::default();
    bench.engine.handle(now, Input::Checked { ticket: Ticket(2), matches: true }, &mut turn);
    assert!(turn.records.is_empty(), "refused because of the first: {:?}", turn.records);
    let request = Request { id: None, command: login("hans", "right", 0) };
    let input = Input::Request { connection: second, request, aid: Aid::None };
    bench.engine.handle(now, input, &mut turn);
    assert_eq!(turn.effects.len(), 2, "the refusal, and another check");
}
