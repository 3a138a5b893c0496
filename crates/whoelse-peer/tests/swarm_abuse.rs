//! Sources that lie, damage, stall or die, and askers who want what is not theirs.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;

use iroh::EndpointId;
use iroh::endpoint::{Connection, SendStream};
use iroh_blobs::protocol::{ChunkRanges, ChunkRangesExt, GetRequest, ObserveRequest, Request};
use iroh_blobs::provider::{StreamPair, events::EventSender, handle_observe};
use iroh_blobs::store::mem::MemStore;
use support::home::{bytes, listing};
use support::raw::{Frame, Raw, card, endpoint};
use support::swarm::{Member, source};
use support::{LINK, PATIENCE};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};
use whoelse_peer::{Event, LinkId, SwarmEvent};
use whoelse_proto::FileHash;

fn hash_of(content: &[u8]) -> FileHash {
    FileHash(*iroh_blobs::Hash::new(content).as_bytes())
}

/// Links a client with somebody who says whatever a test wants, and calls that a source.
async fn stranger(a: &mut Member, hash: Option<FileHash>) -> (LinkId, Raw) {
    let endpoint = endpoint().await;
    let end = a.end().await;
    a.node.expect(end.link, card(&endpoint, &format!("vader{}", end.link.0)));
    let ways = end.card.addresses.iter().filter(|address| address.ip().is_loopback());
    let id = EndpointId::from_bytes(&end.card.endpoint.0).unwrap();
    let to = iroh::EndpointAddr::from_parts(id, ways.copied().map(iroh::TransportAddr::Ip));
    let connection = endpoint.connect(to, support::raw::ALPN).await.unwrap();
    let (send, receive) = connection.open_bi().await.unwrap();
    let mut raw = Raw { endpoint, connection, send, receive };
    raw.say(&Frame::Hello { version: 1, received: 0 }).await;
    a.up(end.link).await;
    if let Some(hash) = hash {
        a.node.add_source(hash, end.link, None);
    }
    (end.link, raw)
}

/// Says to have all of a file, pings, and answers each request for it in one way; what would be right is at hand.
fn pretend<F, A>(raw: Raw, content: &[u8], answer: F) -> JoinHandle<()>
where
    F: Fn(SendStream, Vec<u8>) -> A + Send + Sync + Clone + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let content = content.to_vec();
    tokio::spawn(async move {
        let store = MemStore::new();
        store.add_slice(&content).await.unwrap();
        let Raw { endpoint, connection, send, receive } = raw;
        let pings = tokio::spawn(ping(send));
        while let Ok((send, mut receive)) = connection.accept_bi().await {
            let (store, answer) = (store.clone(), answer.clone());
            tokio::spawn(async move {
                let (request, _) = Request::read_async(&mut receive).await.unwrap();
                match request {
                    Request::Observe(request) => {
                        let pair = StreamPair::new(1, receive, send, EventSender::DEFAULT);
                        drop(handle_observe(pair, store.into(), request).await);
                    }
                    Request::Get(request) => {
                        let ranges = request.ranges.iter_infinite().next().unwrap().clone();
                        let right = store.export_bao(request.hash, ranges).bao_to_vec().await;
                        answer(send, right.unwrap()).await;
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
        pings.abort();
        drop((endpoint, receive));
    })
}

async fn ping(mut send: SendStream) {
    loop {
        if send.write_all(&support::raw::bytes(&Frame::Ping)).await.is_err() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn is_ban(event: &Event) -> bool {
    matches!(event, Event::Swarm { what: SwarmEvent::Banned { .. }, .. })
}

async fn banned(a: &mut Member) -> LinkId {
    a.swarm(|what| match what {
        SwarmEvent::Banned { link } => Some(*link),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_something_else_is_banned_and_the_file_is_right() {
    let content = bytes(10_000_000, 1);
    let hash = hash_of(&content);
    // The right length, none, and more than there is in the world; and then anything.
    for size in [10_000_000, 0, 1, 10_000_001, 1 << 40, u64::MAX] {
        let mut a = Member::new("luke");
        a.get(hash, content.len());
        let (evil, raw) = stranger(&mut a, Some(hash)).await;
        let lies = pretend(raw, &content, move |mut send, _| async move {
            drop(send.write_all(&u64::to_le_bytes(size)).await);
            drop(send.write_all(&bytes(100_000, 7)).await);
        });
        assert_eq!(banned(&mut a).await, evil, "{size}");
        let mut b = Member::new("yoda");
        b.give(&content).await;
        let (good, _) = source(&mut a, &mut b, hash).await;
        let by = a.receives(&content).await;
        assert_eq!(by.keys().collect::<Vec<_>>(), [&good], "{size}");
        assert_eq!(listing(&a.home.downloads()), ["film"]);
        lies.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_another_length_gives_nothing_and_does_no_harm() {
    let content = bytes(4_000_000, 4);
    let hash = hash_of(&content);
    for size in [3_999_999, 4_000_001, 8_000_000, 1 << 40] {
        let mut a = Member::new("luke");
        a.get(hash, content.len());
        let (_, raw) = stranger(&mut a, Some(hash)).await;
        // What follows is true, as far as the two trees are the same.
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let lies = pretend(raw, &content, move |mut send, right| {
            let told = told.clone();
            async move {
                drop(send.write_all(&u64::to_le_bytes(size)).await);
                drop(send.write_all(&right[8..]).await);
                told.send(()).unwrap_or_default();
            }
        });
        heard.recv().await.unwrap();
        let mut b = Member::new("yoda");
        b.give(&content).await;
        let (good, _) = source(&mut a, &mut b, hash).await;
        let by = a.receives(&content).await;
        assert_eq!(by.keys().collect::<Vec<_>>(), [&good], "{size}");
        lies.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_right_and_then_wrong_keeps_what_was_right() {
    let content = bytes(4_000_000, 2);
    let hash = hash_of(&content);
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    let (evil, raw) = stranger(&mut a, Some(hash)).await;
    let lies = pretend(raw, &content, move |mut send, right| async move {
        drop(send.write_all(&right[..right.len() / 2]).await);
        drop(send.write_all(&bytes(100_000, 3)).await);
    });
    assert_eq!(banned(&mut a).await, evil);
    let mut b = Member::new("yoda");
    b.give(&content).await;
    source(&mut a, &mut b, hash).await;
    a.receives(&content).await;
    lies.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_to_have_all_and_gives_nothing_holds_nobody_up() {
    let content = bytes(30_000_000, 4);
    let hash = hash_of(&content);
    for finishes in [true, false] {
        let mut a = Member::new("luke");
        a.get(hash, content.len());
        let (_, raw) = stranger(&mut a, Some(hash)).await;
        let nothing = pretend(raw, &content, move |mut send, _| async move {
            if finishes {
                drop(send.finish());
            } else {
                sleep(PATIENCE).await;
                drop(send);
            }
        });
        let mut b = Member::new("yoda");
        b.give(&content).await;
        let (good, _) = source(&mut a, &mut b, hash).await;
        let begin = Instant::now();
        let by = a.receives(&content).await;
        assert_eq!(by.keys().collect::<Vec<_>>(), [&good]);
        assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
        nothing.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_source_does_not_hold_up_the_others() {
    let content = bytes(30_000_000, 5);
    let hash = hash_of(&content);
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    let (_, raw) = stranger(&mut a, Some(hash)).await;
    // Never nothing for long, but 32 kB a second.
    let slow = pretend(raw, &content, move |mut send, right| async move {
        for piece in right.chunks(16 * 1024) {
            if send.write_all(piece).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    });
    let mut b = Member::new("yoda");
    b.give(&content).await;
    let (good, _) = source(&mut a, &mut b, hash).await;
    let begin = Instant::now();
    let by = a.receives(&content).await;
    assert!(by[&good].1 > 400, "{by:?}");
    assert!(!a.told().iter().any(is_ban));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    slow.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_found_out_at_home_and_shared_no_more() {
    let content = bytes(20_000_000, 6);
    let (mut a, mut b, mut c) = (Member::new("luke"), Member::new("yoda"), Member::new("han"));
    let hash = b.give(&content).await;
    c.give(&content).await;
    let path = b.home.0.path().join("shared");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 8192], 9_000_000).unwrap();
    // As a disk does it: without a trace.
    file.set_modified(before).unwrap();
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    a.lacks(1).await;
    let (good, _) = source(&mut a, &mut c, hash).await;
    let by = a.receives(&content).await;
    assert!(by[&good].1 >= 1, "{by:?}");
    assert!(
        !a.told()
            .iter()
            .any(|event| { matches!(event, Event::Swarm { what: SwarmEvent::Banned { .. }, .. }) })
    );
    let changed = b
        .swarm(|what| match what {
            SwarmEvent::Changed { path } => Some(path.clone()),
            _ => None,
        })
        .await;
    assert_eq!(changed, path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_shared_from_two_places_is_given_when_one_of_them_changes() {
    let content = bytes(2_000_000, 8);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let (first, second) = (b.home.file("a", &content), b.home.file("b", &content));
    let (hash, _) = b.share(&first).await;
    assert_eq!(b.share(&second).await.0, hash);
    b.home.file("a", &bytes(2_000_000, 9));
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    a.receives(&content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asker_gets_what_it_is_allowed_and_no_more_at_once_than_that() {
    let content = bytes(5_000_000, 10);
    let mut b = Member::new("yoda");
    let hash = b.give(&content).await;
    let other = b.home.file("other", &bytes(1_000_000, 11));
    let (other, _) = b.share(&other).await;
    let (link, raw) = stranger(&mut b, None).await;
    b.node.allow(link, hash);
    let store = MemStore::new();
    let get = async |hash: FileHash, range: ChunkRanges| {
        let request = GetRequest::blob_ranges(iroh_blobs::Hash::from_bytes(hash.0), range);
        let got = store.remote().execute_get(raw.connection.clone(), request);
        timeout(PATIENCE, got).await.unwrap().is_ok()
    };
    assert!(get(hash, ChunkRanges::bytes(..100_000)).await);
    assert!(!get(other, ChunkRanges::bytes(..100_000)).await);
    assert!(!get(FileHash([3; 32]), ChunkRanges::bytes(..100_000)).await);
    assert!(observed(&raw.connection, hash).await);
    assert!(!observed(&raw.connection, other).await);
    // Past the end and everywhere at once, it costs them nothing but an answer.
    assert!(get(hash, ChunkRanges::bytes(1 << 50..)).await);
    // As many as it likes that are never read: one more client is served all the same.
    let mut held = Vec::new();
    for _ in 0..20 {
        let request = GetRequest::blob(iroh_blobs::Hash::from_bytes(hash.0));
        let (mut send, receive) = raw.connection.open_bi().await.unwrap();
        let request = postcard::to_stdvec(&request).unwrap();
        let mut wire = vec![0];
        wire.extend(request);
        send.write_all(&wire).await.unwrap();
        send.finish().unwrap();
        held.push(receive);
    }
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    a.receives(&content).await;
    b.node.disallow(link, hash);
    drop(held);
    assert!(!get(hash, ChunkRanges::bytes(2_000_000..2_100_000)).await);
}

async fn observed(connection: &Connection, hash: FileHash) -> bool {
    let store = MemStore::new();
    let request = ObserveRequest::new(iroh_blobs::Hash::from_bytes(hash.0));
    let found = store.remote().observe(connection.clone(), request);
    let mut found = std::pin::pin!(found);
    let next = n0_future::StreamExt::next(&mut found);
    timeout(PATIENCE, next).await.unwrap().is_some_and(|found| found.is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_about_what_somebody_has_is_harmless() {
    let content = bytes(3_000_000, 12);
    let hash = hash_of(&content);
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    let mut strangers = Vec::new();
    for nonsense in [
        vec![],
        vec![0xff; 64],
        // A megabyte of boundaries, and more than a megabyte.
        wire(&(1..200_000u64).collect::<Vec<_>>()),
        wire(&(1..2_000_000u64).rev().collect::<Vec<_>>()),
        wire(&[u64::MAX, u64::MAX, u64::MAX]),
        wire(&[0, 5, 3]),
    ] {
        let (_, raw) = stranger(&mut a, Some(hash)).await;
        strangers.push(tokio::spawn(async move {
            let Raw { endpoint, connection, send, receive } = raw;
            let pings = tokio::spawn(ping(send));
            while let Ok((mut send, _receive)) = connection.accept_bi().await {
                drop(send.write_all(&nonsense).await);
                drop(send.finish());
            }
            pings.abort();
            drop((endpoint, receive));
        }));
    }
    let mut b = Member::new("yoda");
    b.give(&content).await;
    source(&mut a, &mut b, hash).await;
    let by: HashMap<_, _> = a.receives(&content).await;
    assert_eq!(by.len(), 1, "{by:?}");
    strangers.iter().for_each(JoinHandle::abort);
}

/// A message as they are framed: its length, and a size with boundaries.
fn wire(numbers: &[u64]) -> Vec<u8> {
    let content = postcard::to_stdvec(&(7u64, numbers)).unwrap();
    let mut wire = postcard::to_stdvec(&(content.len() as u64)).unwrap();
    wire.extend(content);
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_files_can_be_talked_over_while_it_gives() {
    let content = bytes(60_000_000, 13);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let hash = b.give(&content).await;
    a.get(hash, content.len());
    let (ours, theirs) = source(&mut a, &mut b, hash).await;
    a.has(1_000_000).await;
    for number in 1..=3 {
        let begin = Instant::now();
        a.node.send(ours, number, "hello".to_owned()).unwrap();
        b.wait(|event| match event {
            Event::Text { link, number: found, .. } => {
                (*link == theirs && *found == number).then_some(())
            }
            _ => None,
        })
        .await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
    a.receives(&content).await;
    assert_eq!(ours, LINK);
}
