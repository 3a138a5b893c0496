//! Links over a relay.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::time::{Duration, Instant};

use support::relay::TestRelay;
use support::{LINK, Side, here, introduce};
use whoelse_peer::{Event, Options, Peer, Relay, Route, Unreached};
use whoelse_proto::Fingerprint;

fn hidden() -> Options {
    Options { hide_address: true, ..here() }
}

async fn relayed_pair(relay: &TestRelay) -> (Side, Side) {
    let (mut a, mut b) = (Side::start("luke", hidden()).await, Side::start("yoda", hidden()).await);
    for side in [&a, &b] {
        relay.admit(side);
        side.node.set_relay(Some(relay.place));
    }
    introduce(&mut a, &mut b, true).await;
    (a, b)
}

#[tokio::test]
async fn two_who_hide_their_addresses_talk_over_the_relay() {
    let relay = TestRelay::start().await;
    let (mut a, mut b) = (Side::start("luke", hidden()).await, Side::start("yoda", hidden()).await);
    for side in [&a, &b] {
        relay.admit(side);
        side.node.set_relay(Some(relay.place));
    }
    tokio::join!(a.open(true), b.open(true));
    assert_eq!((a.addresses.len(), b.addresses.len()), (0, 0));
    b.node.expect(LINK, a.card(true));
    a.node.dial(LINK, b.card(true));
    match a
        .until(|event| match event {
            Event::Up { route, .. } => Some(*route),
            _ => None,
        })
        .await
    {
        Route::Relayed => {}
        Route::Direct => panic!("direct"),
    }
    a.say(1, "hello");
    assert_eq!(b.text(1).await, "hello");
    b.say(1, "welcome");
    assert_eq!(a.text(1).await, "welcome");
}

#[tokio::test]
async fn two_with_addresses_end_up_direct() {
    let relay = TestRelay::start().await;
    let (mut a, mut b) = (Side::start("luke", here()).await, Side::start("yoda", here()).await);
    for side in [&a, &b] {
        relay.admit(side);
        side.node.set_relay(Some(relay.place));
    }
    tokio::join!(a.open(true), b.open(true));
    b.node.expect(LINK, a.card(true));
    a.node.dial(LINK, b.card(true));
    a.until(|event| {
        matches!(
            event,
            Event::Up { route: Route::Direct, .. } | Event::Route { route: Route::Direct, .. }
        )
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_has_no_ticket_is_told_and_gets_in_with_one() {
    let relay = TestRelay::start().await;
    let (mut a, mut b) = (Side::start("luke", hidden()).await, Side::start("yoda", hidden()).await);
    relay.admit(&b);
    for side in [&a, &b] {
        side.node.set_relay(Some(relay.place));
    }
    tokio::join!(a.open(true), b.open(true));
    b.node.expect(LINK, a.card(true));
    a.node.dial(LINK, b.card(true));
    a.until(|event| match event {
        Event::Unreached { why: Unreached::RelayDenied, .. } => Some(()),
        Event::Up { .. } => panic!("let in without a ticket"),
        _ => None,
    })
    .await;
    relay.admit(&a);
    let begin = Instant::now();
    a.node.set_relay(Some(relay.place));
    tokio::join!(a.up(), b.up());
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_used() {
    let relay = TestRelay::start().await;
    let (mut a, mut b) = (Side::start("luke", hidden()).await, Side::start("yoda", hidden()).await);
    relay.admit(&a);
    relay.admit(&b);
    a.node.set_relay(Some(Relay { key: Fingerprint([7; 32]), ..relay.place }));
    b.node.set_relay(Some(relay.place));
    tokio::join!(a.open(true), b.open(true));
    b.node.expect(LINK, a.card(true));
    a.node.dial(LINK, b.card(true));
    a.until(|event| match event {
        Event::Unreached { .. } => Some(()),
        Event::Up { .. } => panic!("it was used"),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_link_survives_its_relay() {
    let mut relay = TestRelay::start().await;
    let (mut a, mut b) = relayed_pair(&relay).await;
    a.say(1, "before");
    assert_eq!(b.text(1).await, "before");
    relay.die().await;
    for number in 2..=20 {
        a.say(number, &number.to_string());
    }
    a.until(|event| matches!(event, Event::Silent { .. }).then_some(())).await;
    relay.resume().await;
    let begin = Instant::now();
    for side in [&a, &b] {
        relay.admit(side);
        side.node.set_relay(Some(relay.place));
    }
    for number in 2..=20 {
        assert_eq!(b.text(number).await, number.to_string());
    }
    a.until(|event| matches!(event, Event::Heard { .. }).then_some(())).await;
    b.node.acknowledge(LINK, 20);
    a.acknowledged(20).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_link_follows_its_relay_to_another_address() {
    let mut relay = TestRelay::start().await;
    let (mut a, mut b) = relayed_pair(&relay).await;
    relay.die().await;
    let other = TestRelay::start().await;
    a.say(1, "moved");
    for side in [&a, &b] {
        other.admit(side);
        side.node.set_relay(Some(other.place));
    }
    assert_eq!(b.text(1).await, "moved");
    b.node.acknowledge(LINK, 1);
    a.acknowledged(1).await;
}

#[tokio::test]
async fn without_a_relay_a_hidden_end_reaches_nobody() {
    let mut a = Side::start("luke", hidden()).await;
    let mut b = Side::start("yoda", here()).await;
    tokio::join!(a.open(false), b.open(false));
    a.node.dial(LINK, Peer { relay: false, ..b.card(false) });
    a.until(|event| match event {
        Event::Unreached { .. } => Some(()),
        Event::Up { .. } => panic!("reached"),
        _ => None,
    })
    .await;
}
