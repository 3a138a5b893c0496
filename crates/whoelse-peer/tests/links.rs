//! Links between two clients on one machine, without a relay.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::time::{Duration, Instant};

use support::{LINK, Side, here, introduce, pair};
use tokio::sync::mpsc;
use whoelse_peer::{
    Event, Failure, LINKS_MAX, LinkId, Node, Options, Peer, Route, SendError, TEXT_BYTES_MAX,
    UNACKNOWLEDGED_MAX, Unreached,
};
use whoelse_proto::EndpointKey;

#[tokio::test]
async fn two_talk() {
    let (mut a, mut b) = pair().await;
    a.say(1, "hello");
    b.say(1, "welcome");
    a.say(2, &"x".repeat(TEXT_BYTES_MAX));
    assert_eq!(a.text(1).await, "welcome");
    assert_eq!(b.text(1).await, "hello");
    assert_eq!(b.text(2).await.len(), TEXT_BYTES_MAX);
    b.node.acknowledge(LINK, 2);
    a.acknowledged(2).await;
    a.node.close(LINK);
    b.until(|event| matches!(event, Event::Bye { link: LINK }).then_some(())).await;
    a.until(|event| matches!(event, Event::Closed { link: LINK }).then_some(())).await;
}

#[tokio::test]
async fn a_link_on_one_machine_is_direct_and_up_at_once() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    tokio::join!(a.open(false), b.open(false));
    assert!(a.addresses.iter().any(|address| address.ip().is_loopback()), "{:?}", a.addresses);
    b.node.expect(LINK, a.card(false));
    a.node.dial(LINK, b.card(false));
    match a.next().await {
        Event::Up { link: LINK, route: Route::Direct, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn texts_sent_before_the_link_is_up_arrive_in_order() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    for number in 1..=100 {
        a.say(number, &number.to_string());
    }
    introduce(&mut a, &mut b, false).await;
    for number in 1..=100 {
        assert_eq!(b.text(number).await, number.to_string());
    }
}

#[tokio::test]
async fn a_caller_who_comes_before_it_is_expected_is_let_in_when_it_is() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    tokio::join!(a.open(false), b.open(false));
    a.node.dial(LINK, b.card(false));
    // Long enough for the first packet to be there.
    tokio::task::yield_now().await;
    b.node.expect(LINK, a.card(false));
    tokio::join!(a.up(), b.up());
}

#[tokio::test]
async fn a_stranger_is_refused_and_learns_nothing() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    let mut stranger = Side::start("vader", here()).await;
    tokio::join!(a.open(false), b.open(false), stranger.open(false));
    b.node.expect(LINK, a.card(false));
    stranger.node.dial(LINK, b.card(false));
    match stranger.next().await {
        Event::Unreached { link: LINK, why: Unreached::Refused } => {}
        other => panic!("{other:?}"),
    }
    // The one who is expected is none the worse for it.
    a.node.dial(LINK, b.card(false));
    tokio::join!(a.up(), b.up());
}

#[tokio::test]
async fn somebody_else_at_the_right_address_is_not_talked_to() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    let mut c = Side::start("vader", here()).await;
    tokio::join!(a.open(false), b.open(false), c.open(false));
    c.node.expect(LINK, a.card(false));
    a.node.dial(LINK, Peer { addresses: c.addresses.clone(), ..b.card(false) });
    match a.next().await {
        Event::Unreached { link: LINK, why: Unreached::WrongPeer } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_any_address_it_is_said_at_once() {
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    tokio::join!(a.open(false), b.open(false));
    a.node.dial(LINK, Peer { addresses: Vec::new(), ..b.card(false) });
    match a.next().await {
        Event::Unreached { link: LINK, why: Unreached::NoAddress } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn loopback_is_offered_and_dialled_only_when_that_is_wanted() {
    let mut b = Side::start("yoda", here()).await;
    let mut a = Side::start("luke", Options::default()).await;
    tokio::join!(a.open(false), b.open(false));
    assert!(a.addresses.iter().all(|address| !address.ip().is_loopback()), "{:?}", a.addresses);
    let loopback = b.addresses.iter().copied().filter(|address| address.ip().is_loopback());
    a.node.dial(LINK, Peer { addresses: loopback.collect(), ..b.card(false) });
    match a.next().await {
        Event::Unreached { link: LINK, why: Unreached::NoAddress } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hidden_address_is_not_offered() {
    let options = Options { hide_address: true, ..here() };
    let mut a = Side::start("luke", options).await;
    a.open(false).await;
    assert_eq!(a.addresses, []);
}

#[tokio::test]
async fn one_who_is_killed_falls_silent_in_four_seconds() {
    let (a, mut b) = pair().await;
    let killed = Instant::now();
    drop(a);
    b.until(|event| matches!(event, Event::Silent { link: LINK }).then_some(())).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn what_was_said_last_is_heard_and_its_receipt_too() {
    let (mut a, mut b) = pair().await;
    for number in 1..=50 {
        a.say(number, "last");
    }
    a.node.close(LINK);
    let shows = async {
        for number in 1..=50 {
            assert_eq!(b.text(number).await, "last");
        }
        b.until(|event| matches!(event, Event::Bye { .. }).then_some(())).await;
        b.node.acknowledge(LINK, 50);
    };
    tokio::join!(shows, a.acknowledged(50));
    a.until(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_link_that_is_closed_ends_within_a_second_though_nobody_hears() {
    let (mut a, b) = pair().await;
    drop(b);
    a.say(1, "nobody");
    let begin = Instant::now();
    a.node.close(LINK);
    a.until(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn shutting_down_says_good_bye() {
    let (a, mut b) = pair().await;
    tokio::join!(
        a.node.shutdown(),
        b.until(|event| matches!(event, Event::Bye { link: LINK }).then_some(()))
    );
}

#[tokio::test]
async fn a_link_may_be_closed_before_it_is_open_or_up() {
    let mut a = Side::start("luke", here()).await;
    a.node.close(LINK);
    assert_eq!(a.next().await, Event::Closed { link: LINK });
    let mut b = Side::start("yoda", here()).await;
    b.open(false).await;
    b.node.close(LINK);
    assert_eq!(b.next().await, Event::Closed { link: LINK });
    assert_eq!(b.node.send(LINK, 1, String::new()), Err(SendError::NoLink));
}

#[tokio::test]
async fn no_more_links_than_allowed() {
    let (sender, mut events) = mpsc::channel(64);
    let node = Node::start(here(), sender);
    for link in 1..=LINKS_MAX as u64 + 1 {
        node.prepare(LinkId(link));
    }
    let mut refused = Vec::new();
    for _ in 0..=LINKS_MAX {
        if let Some(Event::Failed { link, why: Failure::TooMany }) = events.recv().await {
            refused.push(link);
        }
    }
    assert_eq!(refused, [LinkId(LINKS_MAX as u64 + 1)]);
}

#[tokio::test]
async fn a_key_that_is_none_and_our_own_are_refused() {
    for own in [false, true] {
        let mut a = Side::start("luke", here()).await;
        a.open(false).await;
        // No point of the curve has 2 as its y.
        let none = EndpointKey(std::array::from_fn(|at| if at == 0 { 2 } else { 0 }));
        let endpoint = if own { a.endpoint } else { none };
        a.node.dial(LINK, Peer { endpoint, ..a.card(false) });
        assert_eq!(a.next().await, Event::Failed { link: LINK, why: Failure::BadKey }, "{own}");
    }
}

#[tokio::test]
async fn texts_that_cannot_be_taken_are_refused() {
    let a = Side::start("luke", here()).await;
    let send = |number, text: String| a.node.send(LINK, number, text);
    assert_eq!(send(1, "x".repeat(TEXT_BYTES_MAX + 1)), Err(SendError::TooLong));
    assert_eq!(send(2, String::new()), Err(SendError::WrongNumber));
    for number in 1..=UNACKNOWLEDGED_MAX as u64 {
        send(number, String::new()).unwrap();
    }
    assert_eq!(send(UNACKNOWLEDGED_MAX as u64 + 1, String::new()), Err(SendError::TooMany));
}
