//! What somebody with the right key can do who does not keep to the protocol: end the link, and nothing else.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::time::{Duration, Instant};

use support::raw::{ALPN, FileFrame, Frame, Raw, bytes, card, dial, endpoint, narrow_endpoint};
use support::{LINK, PATIENCE, Side, here};
use tokio::time::timeout;
use whoelse_peer::{Event, Failure};

async fn fails(mut side: Side) -> &'static str {
    side.until(|event| match event {
        Event::Failed { link: LINK, why: Failure::Protocol(what) } => Some(*what),
        Event::Failed { why, .. } => panic!("{why:?}"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn garbage_ends_the_link() {
    let long = vec![b'x'; 61 * 1024];
    let text = String::from_utf8(long).unwrap();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("no length", vec![0; 4], "longer than allowed"),
        ("too long", vec![0xff; 4], "longer than allowed"),
        ("nothing known", b"\0\0\0\x01\x77".to_vec(), "not in the language"),
        ("hello again", bytes(&Frame::Hello { version: 1, received: 0 }), "hello twice"),
        ("a gap", bytes(&Frame::Text { number: 2, text: "x".to_owned() }), "gap"),
        ("number 0", bytes(&Frame::Text { number: 0, text: "x".to_owned() }), "gap"),
        ("long text", bytes(&Frame::Text { number: 1, text }), "longer than allowed"),
        ("never sent", bytes(&Frame::Ack { number: 1 }), "was not sent"),
    ];
    for (name, bytes, expected) in cases {
        let (side, mut raw) = Raw::pair(Side::start("yoda", here()).await).await;
        raw.write(&bytes).await;
        let what = fails(side).await;
        assert!(what.contains(expected), "{name}: {what}");
        let closed = timeout(PATIENCE, raw.connection.closed()).await.unwrap();
        assert!(closed.to_string().contains('3'), "{name}: {closed}");
    }
}

#[tokio::test]
async fn a_wrong_beginning_ends_the_link() {
    let cases = [
        bytes(&Frame::Ping),
        bytes(&Frame::Hello { version: 0, received: 0 }),
        bytes(&Frame::Hello { version: 1, received: 1 }),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for bytes in cases {
        let mut side = Side::start("yoda", here()).await;
        let endpoint = endpoint().await;
        side.open(false).await;
        side.node.expect(LINK, card(&endpoint, "vader"));
        let connection = dial(&endpoint, &side, ALPN).await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        fails(side).await;
    }
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let mut side = Side::start("yoda", here()).await;
    let endpoint = endpoint().await;
    side.open(false).await;
    side.node.expect(LINK, card(&endpoint, "vader"));
    assert!(dial(&endpoint, &side, b"whoelse-link/0").await.is_none());
    let _raw = Raw::call(endpoint, &side).await;
    side.up().await;
}

#[tokio::test]
async fn a_flood_waits_with_whoever_sends_it() {
    let (mut side, mut raw) = Raw::pair(Side::start_with_room("yoda", here(), 4).await).await;
    // Nothing is taken, so at some point nothing more is read, and then nothing more can be written.
    let text = "x".repeat(50_000);
    let mut written = 0;
    loop {
        let frame = bytes(&Frame::Text { number: written + 1, text: text.clone() });
        let Ok(result) = timeout(Duration::from_secs(2), raw.send.write_all(&frame)).await else {
            break;
        };
        result.unwrap();
        written += 1;
        assert!(written < 1000, "everything is read");
    }
    assert!(written < 400, "{written} texts of 50 kB are held");
    // All of it is there when it is wanted, and the link is as it was.
    for number in 1..=written {
        side.text(number).await;
    }
}

#[tokio::test]
async fn one_who_never_reads_costs_little_and_the_link_can_be_ended() {
    let (mut side, raw) = Raw::pair(Side::start("yoda", here()).await).await;
    let text = "x".repeat(60_000);
    let taken = (1..).take_while(|&number| side.node.send(LINK, number, text.clone()).is_ok());
    assert!(taken.count() < 100);
    let begin = Instant::now();
    side.node.close(LINK);
    side.until(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop(raw);
}

#[tokio::test]
async fn one_who_says_good_bye_and_never_reads_does_not_hold_the_link() {
    let narrow = narrow_endpoint(1024).await;
    let (side, mut raw) = Raw::pair_from(Side::start("yoda", here()).await, narrow).await;
    side.say(1, &"x".repeat(60_000));
    // The hello and a little of the text: the rest cannot leave any more.
    raw.read(&mut [0; 100]).await;
    raw.say(&Frame::Bye).await;
    let begin = Instant::now();
    timeout(PATIENCE, raw.connection.closed()).await.unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(side);
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let (mut side, mut first) = Raw::pair(Side::start("yoda", here()).await).await;
    side.say(1, "one");
    assert_eq!(first.hear().await, Frame::Hello { version: 1, received: 0 });
    assert_eq!(first.hear().await, Frame::Text { number: 1, text: "one".to_owned() });
    first.say(&Frame::Text { number: 1, text: "first".to_owned() }).await;
    assert_eq!(side.text(1).await, "first");
    let mut second = Raw::call(first.endpoint.clone(), &side).await;
    // What came is known, what was not acknowledged comes again.
    assert_eq!(second.hear().await, Frame::Hello { version: 1, received: 1 });
    assert_eq!(second.hear().await, Frame::Text { number: 1, text: "one".to_owned() });
    timeout(PATIENCE, first.connection.closed()).await.unwrap();
    second.say(&Frame::Text { number: 1, text: "again".to_owned() }).await;
    second.say(&Frame::Text { number: 2, text: "second".to_owned() }).await;
    assert_eq!(side.text(2).await, "second");
}

#[tokio::test]
async fn many_connections_cost_the_link_nothing() {
    let (mut side, first) = Raw::pair(Side::start("yoda", here()).await).await;
    let mut last = first;
    for _ in 0..20 {
        last = Raw::call(last.endpoint.clone(), &side).await;
    }
    last.say(&Frame::Text { number: 1, text: "still here".to_owned() }).await;
    assert_eq!(side.text(1).await, "still here");
}

#[tokio::test]
async fn one_who_only_keeps_quiet_is_silent_after_four_seconds_and_heard_again() {
    let (mut side, mut raw) = Raw::pair(Side::start("yoda", here()).await).await;
    let begin = Instant::now();
    side.until(|event| matches!(event, Event::Silent { .. }).then_some(())).await;
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
    raw.say(&Frame::Ping).await;
    side.until(|event| matches!(event, Event::Heard { .. }).then_some(())).await;
}

#[tokio::test]
async fn words_about_files_that_nobody_knows_are_harmless() {
    let (mut side, mut raw) = Raw::pair(Side::start("yoda", here()).await).await;
    let token = [1; 16];
    for frame in [
        FileFrame::Accept { token },
        FileFrame::Decline { token },
        FileFrame::Cancel { token },
        FileFrame::Have { token, bytes: u64::MAX },
        FileFrame::Done { token },
        FileFrame::Offer { token, name: "x".to_owned(), size: 1, hash: [0; 32] },
    ] {
        raw.say(&Frame::File(frame)).await;
    }
    raw.say(&Frame::Text { number: 1, text: "still here".to_owned() }).await;
    assert_eq!(side.text(1).await, "still here");
    assert_eq!(raw.hear().await, Frame::Hello { version: 1, received: 0 });
    assert_eq!(raw.hear().await, Frame::File(FileFrame::Cancel { token }));
    // Without a folder no file is taken.
    assert_eq!(raw.hear().await, Frame::File(FileFrame::Decline { token }));
}
