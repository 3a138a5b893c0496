//! Files from several clients at once, on one machine.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use support::PATIENCE;
use support::home::{Home, bytes, listing};
use support::swarm::{Member, link, source};
use tokio::runtime::Runtime;
use tokio::time::{Duration, Instant};
use whoelse_peer::{Event, FileFailure, LinkId, SwarmEvent};
use whoelse_proto::{FileHash, FileName, Layout};

fn hash_of(content: &[u8]) -> FileHash {
    FileHash(*iroh_blobs::Hash::new(content).as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_comes_from_one_two_three_and_five() {
    let content = bytes(20_000_000, 1);
    for count in [1, 2, 3, 5] {
        let mut a = Member::new("luke");
        let mut links = Vec::new();
        let mut others = Vec::new();
        for number in 0..count {
            let mut b = Member::new(&format!("yoda{number}"));
            let hash = b.give(&content).await;
            assert_eq!(hash, hash_of(&content));
            others.push(b);
        }
        a.get(hash_of(&content), content.len());
        for b in &mut others {
            links.push(source(&mut a, b, hash_of(&content)).await.0);
        }
        let by = a.receives(&content).await;
        assert_eq!(listing(&a.home.downloads()), ["film"]);
        let parts: u32 = by.values().map(|(_, parts)| parts).sum();
        assert_eq!(parts, Layout::of(content.len() as u64).parts(), "{by:?}");
        assert!(by.keys().all(|link| links.contains(link)), "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_all_when_others_have_some() {
    let content = bytes(50_000_000, 2);
    let (mut a, mut b, mut c) = (Member::new("luke"), Member::new("yoda"), Member::new("han"));
    let hash = b.give(&content).await;
    c.give(&content).await;
    let (to_b, b_end) = link(&mut a, &mut b).await;
    let (to_c, c_end) = link(&mut a, &mut c).await;
    b.node.allow(b_end, hash);
    c.node.allow(c_end, hash);
    a.get(hash, content.len());
    a.node.add_source(hash, to_b, None);
    a.node.add_source(hash, to_c, None);
    let by = a.receives(&content).await;
    assert!(by[&to_b].1 > 0 && by[&to_c].1 > 0, "{by:?}");
    for (side, end) in [(&mut b, b_end), (&mut c, c_end)] {
        let bytes = side
            .swarm(|what| match what {
                SwarmEvent::Served { link, bytes } if *link == end => Some(*bytes),
                _ => None,
            })
            .await;
        assert!(bytes > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_may_be_named_before_its_link_is_up() {
    let content = bytes(1_000_000, 3);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let hash = b.give(&content).await;
    a.get(hash, content.len());
    let (ours, theirs) = tokio::join!(a.end(), b.end());
    a.node.add_source(hash, ours.link, None);
    b.node.allow(theirs.link, hash);
    b.node.expect(theirs.link, ours.card);
    a.node.dial(ours.link, theirs.card);
    a.receives(&content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_on_the_disk_once_and_others_may_have_it_of_us() {
    let content = bytes(5_000_000, 4);
    let (mut a, mut b, mut c) = (Member::new("luke"), Member::new("yoda"), Member::new("han"));
    let hash = b.give(&content).await;
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    a.receives(&content).await;
    let shared = fs::metadata(b.home.0.path().join("shared")).unwrap();
    assert_eq!((shared.nlink(), copies(&b.home, content.len())), (1, 1));
    assert_eq!(copies(&a.home, content.len()), 1);
    drop(b);
    c.get(hash, content.len());
    source(&mut c, &mut a, hash).await;
    c.receives(&content).await;
    // It was served for this run only, and leaves nothing.
    a.node.shutdown().await;
    assert_eq!(listing(&a.home.0.path().join("unfinished/swarm-whole")), Vec::<String>::new());
    assert_eq!(copies(&a.home, content.len()), 1);
}

/// In how many places on the disk there is something as long as a file.
fn copies(home: &Home, length: usize) -> usize {
    let files = home.files().into_iter().filter(|(_, size, _)| *size >= length as u64);
    let places: std::collections::BTreeSet<u64> =
        files.map(|(path, ..)| fs::metadata(path).unwrap().ino()).collect();
    places.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_can_be_had_of_us_while_it_comes() {
    let content = bytes(60_000_000, 5);
    let (mut a, mut b, mut c) = (Member::new("luke"), Member::new("yoda"), Member::new("han"));
    let hash = a.give(&content).await;
    b.get(hash, content.len());
    c.get(hash, content.len());
    let (_, c_of_b) = source(&mut c, &mut b, hash).await;
    source(&mut b, &mut a, hash).await;
    b.swarm(|what| match what {
        SwarmEvent::Parts { parts } => (!parts.is_empty()).then_some(()),
        _ => None,
    })
    .await;
    let by = c.receives(&content).await;
    assert_eq!(by.len(), 1, "{by:?}");
    b.receives(&content).await;
    b.node.disallow(c_of_b, hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_have_half_each_have_all_together() {
    let content = bytes(40_000_000, 6);
    let half = content.len() as u64 / 3;
    let mut whole = Member::new("yoda");
    let hash = whole.give(&content).await;
    let (mut b, mut c) = (Member::new("han"), Member::new("leia"));
    for member in [&mut b, &mut c] {
        member.get(hash, content.len());
        let (_, theirs) = source(member, &mut whole, hash).await;
        member.has(half).await;
        whole.node.disallow(theirs, hash);
    }
    drop(whole);
    // What each lacks comes from the other, and a third has all of both.
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    source(&mut a, &mut c, hash).await;
    a.starves().await;
    let mut last = Member::new("chewie");
    last.give(&content).await;
    source(&mut a, &mut last, hash).await;
    let by = a.receives(&content).await;
    assert_eq!(by.len(), 3, "{by:?}");
}

#[tokio::test]
async fn whoever_is_killed_goes_on_with_what_was_there() {
    let content = bytes(150_000_000, 7);
    let mut b = Member::new("yoda");
    let hash = b.give(&content).await;
    let program = Runtime::new().unwrap();
    let length = content.len();
    let start = async move {
        let mut a = Member::new("luke");
        a.get(hash, length);
        source(&mut a, &mut b, hash).await;
        a.has(30_000_000).await;
        (a, b)
    };
    let (a, b) = program.spawn(start).await.unwrap();
    let home = {
        let Member { home, node, .. } = a;
        drop(node);
        home
    };
    drop(b);
    tokio::task::spawn_blocking(|| program.shutdown_timeout(PATIENCE)).await.unwrap();
    let mut a = Member::at("luke", home.left());
    let done = a.kept().await;
    assert!(done.count() > 50, "{done:?}");
    let mut b = Member::new("yoda");
    b.give(&content).await;
    let (link, _) = source(&mut a, &mut b, hash).await;
    let by = a.receives(&content).await;
    let layout = Layout::of(content.len() as u64);
    assert_eq!(by[&link].1, layout.parts() - done.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_source_is_gone_the_others_give_its_parts() {
    let content = bytes(100_000_000, 8);
    let mut a = Member::new("luke");
    let mut c = Member::new("han");
    let hash = c.give(&content).await;
    let dying = Runtime::new().unwrap();
    let shared = content.clone();
    let start = async move {
        let mut b = Member::new("yoda");
        b.give(&shared).await;
        b
    };
    let mut b = dying.spawn(start).await.unwrap();
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    source(&mut a, &mut c, hash).await;
    a.has(10_000_000).await;
    // Without a word, as when it is killed.
    tokio::task::spawn_blocking(|| dying.shutdown_timeout(Duration::from_millis(10)))
        .await
        .unwrap();
    let begin = Instant::now();
    a.receives(&content).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    drop(b);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_is_not_given() {
    let content = bytes(3_000_000, 9);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let hash = b.give(&content).await;
    a.get(hash, content.len());
    let (ours, theirs) = link(&mut a, &mut b).await;
    a.node.add_source(hash, ours, None);
    // Another file being allowed changes nothing.
    b.node.allow(theirs, FileHash([1; 32]));
    a.starves().await;
    let got = a.told().iter().any(|event| match event {
        Event::Swarm { what: SwarmEvent::Progress { done, .. }, .. } => *done > 0,
        _ => false,
    });
    assert!(!got);
    b.node.allow(theirs, hash);
    a.receives(&content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_any_more_stops_at_once() {
    let content = bytes(300_000_000, 10);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let hash = b.give(&content).await;
    a.get(hash, content.len());
    let (_, theirs) = source(&mut a, &mut b, hash).await;
    a.has(5_000_000).await;
    b.node.disallow(theirs, hash);
    a.starves().await;
    assert!(
        !a.told().iter().any(|event| {
            matches!(event, Event::Swarm { what: SwarmEvent::Received { .. }, .. })
        })
    );
    a.node.cancel_get(hash);
    let why = a.not_received().await;
    assert_eq!(why, FileFailure::Cancelled);
}

impl Member {
    async fn not_received(&mut self) -> FileFailure {
        self.swarm(|what| match what {
            SwarmEvent::NotReceived { why } => Some(why.clone()),
            SwarmEvent::Received { .. } => panic!("{what:?}"),
            _ => None,
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_with_a_note_are_kept_and_those_that_changed_are_told() {
    let home = Home::new();
    let mut a = Member::at("luke", home);
    let mut hashes = Vec::new();
    for (name, note) in [("one", "with all"), ("two", "with yoda"), ("three", "")] {
        let path = a.home.file(name, &bytes(200_000, name.len() as u64 * 31 + note.len() as u64));
        let (hash, _) = a.share(&path).await;
        hashes.push(hash);
        if !note.is_empty() {
            a.node.note_share(hash, note.to_owned());
        }
    }
    let Member { home, node, .. } = a;
    node.shutdown().await;
    home.file("two", b"something else");
    let mut a = Member::at("luke", home);
    let shared = a
        .wait(|event| match event {
            Event::Swarm {
                hash: Some(hash),
                what: SwarmEvent::Shared { number: None, name, note, size: 200_000, .. },
            } => Some((*hash, name.to_string(), note.clone())),
            _ => None,
        })
        .await;
    assert_eq!(shared, (hashes[0], "one".to_owned(), "with all".to_owned()));
    let changed = a
        .swarm(|what| match what {
            SwarmEvent::Changed { path } => Some(path.clone()),
            _ => None,
        })
        .await;
    assert_eq!(changed, a.home.0.path().join("two"));
    // It can be had at once, and what is forgotten cannot.
    let mut b = Member::new("yoda");
    b.get(hashes[0], 200_000);
    source(&mut b, &mut a, hashes[0]).await;
    b.received().await;
    assert!(
        !a.told()
            .iter()
            .any(|event| matches!(event, Event::Swarm { what: SwarmEvent::Shared { .. }, .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_already_is_received_at_once_and_twice_is_once() {
    let content = bytes(300_000, 11);
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    let hash = a.give(&content).await;
    let again = a.give(&content).await;
    assert_eq!(hash, again);
    a.get(hash, content.len());
    let (path, by) = a.received().await;
    assert_eq!((path, by.len()), (a.home.0.path().join("shared"), 0));
    b.get(hash, content.len());
    b.get(hash, content.len());
    source(&mut b, &mut a, hash).await;
    let (path, _) = b.received().await;
    b.get(hash, content.len());
    assert_eq!(b.received().await.0, path);
    assert_eq!(listing(&b.home.downloads()), ["film"]);
    // Sharing what is being fetched ends the fetching.
    let other = bytes(2_000_000, 12);
    b.get(hash_of(&other), other.len());
    b.give(&other).await;
    assert_eq!(b.received().await.0, b.home.0.path().join("shared"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_and_empty_ones_come_too() {
    let (mut a, mut b) = (Member::new("luke"), Member::new("yoda"));
    for length in [0, 1, 1024, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 64 * 1024 + 1] {
        let content = bytes(length, length as u64);
        let hash = b.give(&content).await;
        a.get(hash, length);
        source(&mut a, &mut b, hash).await;
        a.receives(&content).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_moved_away_and_comes_again_is_another_one() {
    let content = bytes(300_000, 15);
    let mut b = Member::new("yoda");
    let hash = b.give(&content).await;
    let mut a = Member::new("luke");
    a.get(hash, content.len());
    source(&mut a, &mut b, hash).await;
    a.receives(&content).await;
    let (film, moved) = (a.home.downloads().join("film"), a.home.downloads().join("moved"));
    fs::rename(&film, &moved).unwrap();
    a.get(hash, content.len());
    a.receives(&content).await;
    fs::write(&film, b"something else").unwrap();
    assert_eq!(fs::read(&moved).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_length_than_was_said_is_refused() {
    let content = bytes(3_000_000, 13);
    let mut b = Member::new("yoda");
    let hash = b.give(&content).await;
    for length in [0, 2_900_000, 2_999_999, 3_000_001, 3_100_000, 30_000_000] {
        let mut a = Member::new("luke");
        a.get(hash, length);
        source(&mut a, &mut b, hash).await;
        assert_eq!(a.not_received().await, FileFailure::NotAsOffered, "{length}");
        assert_eq!(listing(&a.home.downloads()), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_folder_nothing_is_shared_or_fetched() {
    let home = Home::new();
    let mut a = Member::with("luke", home, support::here());
    a.node.share(1, a.home.file("x", b"x"));
    let why = a
        .swarm(|what| match what {
            SwarmEvent::NotShared { number: 1, why } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert_eq!(why, FileFailure::NoFolder);
    a.node.get(FileHash([1; 32]), 1, FileName::of("x"), String::new());
    assert_eq!(a.not_received().await, FileFailure::NoFolder);
    // A folder that another program has.
    let b = Member::new("yoda");
    let options = b.home.options();
    let mut c = Member::with("yoda", Home::new(), options);
    c.node.share(1, c.home.file("x", b"x"));
    let why = c
        .swarm(|what| match what {
            SwarmEvent::NotShared { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(matches!(why, FileFailure::Folder(words) if words.contains("in use by another")));
    let none = LinkId(99);
    b.node.allow(none, FileHash([1; 32]));
    b.node.disallow(none, FileHash([1; 32]));
}
