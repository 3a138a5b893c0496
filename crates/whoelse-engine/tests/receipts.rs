//! What an acknowledgement tells the writers, and what it can cost: a full mailbox, of many of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use whoelse_engine::{
    AccountId, AccountSnapshot, Aid, ConnectionId, Effect, Engine, Input, Now, Number,
    PasswordHash, Record, Rules, Snapshot, Time, Turn, WaitingSnapshot,
};
use whoelse_proto::codec::encode_event;
use whoelse_proto::limits::RECEIPTS_MAX;
use whoelse_proto::{Command, Dialect, Event, Login, Name, ReceiptKey, Request};

const MESSAGES: u64 = 10_000;

/// The first person has a full mailbox, from all the others.
fn full(writers: u64) -> Engine {
    let mut accounts: Vec<AccountSnapshot> = (0..=writers)
        .map(|number| {
            let name = Name::new(&format!("person{number}")).unwrap();
            AccountSnapshot::new(name, Some(PasswordHash("right".into())))
        })
        .collect();
    accounts[0].last_number = Number(MESSAGES);
    let writer = |number| AccountId(u32::try_from(1 + number % writers).unwrap());
    let receipt = |number| Some(ReceiptKey::from_u128(number));
    accounts[0].waiting = (0..MESSAGES)
        .map(|number| WaitingSnapshot {
            from: writer(number),
            bytes: 10,
            receipt: receipt(number.into()),
        })
        .collect();
    let snapshot = Snapshot { accounts, ..Snapshot::default() };
    Engine::new(Rules::default(), "server".into(), &snapshot)
}

fn handle(engine: &mut Engine, input: Input<'_>) -> Turn {
    let mut turn = Turn::default();
    engine.handle(Now { time: Time(1_000), wall_ms: 1_000 }, input, &mut turn);
    turn
}

fn log_in(engine: &mut Engine, number: u64) {
    let connection = ConnectionId(number);
    handle(engine, Input::Connected { connection, address: [127, 0, 0, 1].into() });
    let login = Login {
        username: format!("person{number}").into(),
        password: "right".into(),
        private_port: 0,
        protocol: Some(1),
        instance: None,
        takeover: false,
        device: None,
        receipts: true,
        links: false,
    };
    let request = Request { id: None, command: Command::Login(login) };
    let turn = handle(engine, Input::Request { connection, request, aid: Aid::None });
    let tickets = turn.effects.iter().filter_map(|effect| match effect {
        Effect::Check { ticket, .. } => Some(*ticket),
        _ => None,
    });
    for ticket in tickets {
        handle(engine, Input::Checked { ticket, matches: true });
    }
}

#[test]
fn an_acknowledgement_costs_no_more_than_the_mailbox_holds() {
    for writers in [5, 100, 2_000] {
        let mut engine = full(writers);
        (0..=writers).for_each(|number| log_in(&mut engine, number));
        let connection = ConnectionId(0);
        handle(&mut engine, Input::Sent { connection, number: Number(MESSAGES) });
        let command = Command::Ack { number: MESSAGES };
        let request = Request { id: None, command };
        let turn = handle(&mut engine, Input::Request { connection, request, aid: Aid::None });
        assert!(matches!(turn.records[..], [Record::Acknowledged { .. }]));
        let mut keys_by_writer: BTreeMap<ConnectionId, usize> = BTreeMap::new();
        let (mut bytes, mut events) = (Vec::new(), 0);
        for effect in &turn.effects {
            let Effect::Send { to, event } = effect else { panic!("nothing else is to be done") };
            let Event::Delivered { keys, .. } = event else { panic!("nothing else is told") };
            assert!((1..=RECEIPTS_MAX).contains(&keys.len()));
            *keys_by_writer.entry(*to).or_default() += keys.len();
            encode_event(event, Dialect::Protocol, &mut bytes);
            events += 1;
        }
        assert!(bytes.len() <= 512 << 10, "{} bytes for {writers} writers", bytes.len());
        assert_eq!(keys_by_writer.len() as u64, writers);
        assert_eq!(keys_by_writer.values().sum::<usize>() as u64, MESSAGES);
        let least = writers.max(MESSAGES / RECEIPTS_MAX as u64);
        assert!((least..=least + writers).contains(&events), "each is told in as few as can be");
        // What there was to tell is told; the next costs nothing.
        let command = Command::Ack { number: MESSAGES };
        let request = Request { id: None, command };
        let turn = handle(&mut engine, Input::Request { connection, request, aid: Aid::None });
        assert!(turn.effects.is_empty() && turn.records.is_empty());
    }
}

/// Found wanting by `cargo mutants`: every test acknowledged from the first message on.
#[test]
fn each_acknowledgement_tells_of_what_it_adds_only() {
    let mut engine = full(1);
    (0..=1).for_each(|number| log_in(&mut engine, number));
    let connection = ConnectionId(0);
    handle(&mut engine, Input::Sent { connection, number: Number(MESSAGES) });
    let mut told = |number: u64| -> Vec<ReceiptKey> {
        let request = Request { id: None, command: Command::Ack { number } };
        let turn = handle(&mut engine, Input::Request { connection, request, aid: Aid::None });
        let keys = turn.effects.iter().filter_map(|effect| match effect {
            Effect::Send { event: Event::Delivered { keys, .. }, .. } => Some(keys.clone()),
            _ => None,
        });
        keys.flatten().collect()
    };
    let keys = |numbers: std::ops::Range<u64>| -> Vec<ReceiptKey> {
        numbers.map(|number| ReceiptKey::from_u128(number.into())).collect()
    };
    assert_eq!(told(3), keys(0..3));
    assert_eq!(told(5), keys(3..5));
    assert_eq!(told(4), keys(0..0));
    assert_eq!(told(6), keys(5..6));
}
