//! How much a mailbox holds, to the byte: found wanting by `cargo mutants`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Bench, login};
use whoelse_engine::{Aid, ConnectionId, Input, Now, Number, Rules, Time, Turn};
use whoelse_proto::{Command, Request, RequestId, Role};

/// Two who write, one who reads and is here.
fn bench(rules: Rules) -> (Bench, [ConnectionId; 3]) {
    let mut bench = Bench::new(rules);
    let lines = ["one", "other", "reader"].map(|name| {
        bench.add(name, Role::Member);
        let line = bench.connect("127.0.0.1");
        assert_eq!(bench.status(line, login(name, "right", 0)), "SUCCESS");
        line
    });
    (bench, lines)
}

fn write(bench: &mut Bench, line: ConnectionId, bytes: usize) -> String {
    let message = "x".repeat(bytes);
    bench.status(line, Command::Message { user: "reader".into(), message: message.into() })
}

fn acknowledge(bench: &mut Bench, line: ConnectionId, number: u64) {
    bench.input(Input::Sent { connection: line, number: Number(number) });
    assert_eq!(bench.status(line, Command::Ack { number }), "");
}

#[test]
fn a_mailbox_holds_so_many_bytes_and_has_room_again_for_what_was_read() {
    let (mut bench, [one, other, reader]) =
        bench(Rules { mailbox_bytes_max: 10, ..Rules::default() });
    assert_eq!(write(&mut bench, one, 4), "SUCCESS");
    assert_eq!(write(&mut bench, other, 4), "SUCCESS");
    assert_eq!(write(&mut bench, one, 3), "MAILBOX_FULL");
    assert_eq!(write(&mut bench, one, 2), "SUCCESS");
    acknowledge(&mut bench, reader, 1);
    assert_eq!(write(&mut bench, one, 5), "MAILBOX_FULL");
    assert_eq!(write(&mut bench, other, 4), "SUCCESS");
    bench.engine.check();
}

#[test]
fn one_sender_has_its_share_of_the_bytes() {
    let (mut bench, [one, other, reader]) =
        bench(Rules { sender_bytes_max: 10, ..Rules::default() });
    assert_eq!(write(&mut bench, one, 4), "SUCCESS");
    assert_eq!(write(&mut bench, one, 4), "SUCCESS");
    assert_eq!(write(&mut bench, one, 3), "MAILBOX_FULL");
    assert_eq!(write(&mut bench, other, 10), "SUCCESS");
    acknowledge(&mut bench, reader, 1);
    assert_eq!(write(&mut bench, one, 7), "MAILBOX_FULL");
    assert_eq!(write(&mut bench, one, 6), "SUCCESS");
    acknowledge(&mut bench, reader, 4);
    assert_eq!(write(&mut bench, one, 10), "SUCCESS");
    bench.engine.check();
}

#[test]
fn a_mailbox_and_a_sender_have_so_many_messages() {
    let rules = Rules { mailbox_messages_max: 3, sender_messages_max: 2, ..Rules::default() };
    let (mut bench, [one, other, reader]) = bench(rules);
    assert_eq!(write(&mut bench, one, 1), "SUCCESS");
    assert_eq!(write(&mut bench, one, 1), "SUCCESS");
    assert_eq!(write(&mut bench, one, 1), "MAILBOX_FULL");
    assert_eq!(write(&mut bench, other, 1), "SUCCESS");
    assert_eq!(write(&mut bench, other, 1), "MAILBOX_FULL");
    acknowledge(&mut bench, reader, 2);
    assert_eq!(write(&mut bench, one, 1), "SUCCESS");
    assert_eq!(write(&mut bench, one, 1), "SUCCESS");
    bench.engine.check();
}

#[test]
fn what_was_acknowledged_before_is_not_written_down_again() {
    let (mut bench, [one, _, reader]) = bench(Rules::default());
    assert_eq!(write(&mut bench, one, 1), "SUCCESS");
    acknowledge(&mut bench, reader, 1);
    let now = Now { time: Time(bench.now), wall_ms: bench.now };
    let mut turn = Turn::default();
    let request = Request { id: None, command: Command::Ack { number: 1 } };
    let input = Input::Request { connection: reader, request, aid: Aid::None };
    bench.engine.handle(now, input, &mut turn);
    assert!(turn.records.is_empty() && turn.effects.is_empty());
}

/// Sends a text to the reader under an id.
fn write_as(bench: &mut Bench, line: ConnectionId, id: &str, text: &str) -> &'static str {
    let command = Command::Message { user: "reader".into(), message: text.to_owned().into() };
    let request = Request { id: RequestId::new(id), command };
    let said = bench.input(Input::Request { connection: line, request, aid: Aid::None });
    said.iter().find_map(|said| said.status).unwrap()
}

#[test]
fn an_id_counts_to_the_end_of_its_time_and_no_longer() {
    let (mut bench, [one, _, _]) = bench(Rules { retry_ms: 1_000, ..Rules::default() });
    assert_eq!(write_as(&mut bench, one, "id", "first"), "SUCCESS");
    bench.pass(1_000);
    assert_eq!(write_as(&mut bench, one, "another", "text"), "SUCCESS");
    assert_eq!(write_as(&mut bench, one, "id", "other"), "ID_CONFLICT");
    bench.pass(1);
    assert_eq!(write_as(&mut bench, one, "id", "other"), "SUCCESS");
    assert_eq!(write_as(&mut bench, one, "id", "first"), "ID_CONFLICT");
}

#[test]
fn so_many_ids_count_and_the_oldest_is_forgotten_first() {
    let (mut bench, [one, _, _]) = bench(Rules { retries_max: 2, ..Rules::default() });
    for id in ["1", "2", "3"] {
        assert_eq!(write_as(&mut bench, one, id, "first"), "SUCCESS");
        bench.pass(1);
    }
    assert_eq!(write_as(&mut bench, one, "3", "other"), "ID_CONFLICT");
    assert_eq!(write_as(&mut bench, one, "2", "other"), "ID_CONFLICT");
    assert_eq!(write_as(&mut bench, one, "1", "other"), "SUCCESS");
    assert_eq!(write_as(&mut bench, one, "2", "other"), "SUCCESS");
}
