//! Files between two clients on one machine.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use iroh_blobs::protocol::Request;
use iroh_blobs::provider::{StreamPair, events::EventSender, handle_get};
use iroh_blobs::store::mem::MemStore;
use support::home::{Home, bytes, homes, listing};
use support::raw::{FileFrame, Frame, Raw};
use support::{LINK, PATIENCE, Side, here, introduce};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use whoelse_peer::{
    Event, FILE_BYTES_MAX, FileEvent, FileFailure, LinkId, Options, Peer, TransferId,
};

#[tokio::test]
async fn a_file_arrives_whole() {
    let (one, two, mut a, mut b) = homes().await;
    let content = bytes(3_000_000, 1);
    let sent = a.node.offer_file(LINK, one.file("report.pdf", &content));
    let asked = match b.file().await {
        (asked, FileEvent::Offered { name, size: 3_000_000, .. }) => {
            assert_eq!(name.as_str(), "report.pdf");
            asked
        }
        other => panic!("{other:?}"),
    };
    b.node.accept_file(asked);
    let path = b.received(asked).await;
    assert_eq!(path, two.downloads().join("report.pdf"));
    assert_eq!(fs::read(&path).unwrap(), content);
    a.sent(sent).await;
    assert_eq!(listing(&two.downloads()), ["report.pdf"]);
}

#[tokio::test]
async fn a_hundred_megabytes_arrive_with_progress() {
    let (one, _two, mut a, mut b) = homes().await;
    let content = bytes(100_000_000, 2);
    let sent = a.node.offer_file(LINK, one.file("film", &content));
    let asked = b.offered().await;
    b.node.accept_file(asked);
    let mut before = 0;
    let path = loop {
        match b.next().await {
            Event::File { what: FileEvent::Progress { done, total, .. }, .. } => {
                assert!(done >= before && done <= total, "{done} after {before} of {total}");
                assert_eq!(total, 100_000_000);
                before = done;
            }
            Event::File { what: FileEvent::Received { path }, .. } => break path,
            Event::File { what: FileEvent::Started { .. }, .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(fs::read(path).unwrap() == content);
    a.sent(sent).await;
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (one, _two, mut a, mut b) = homes().await;
    let sent = a.node.offer_file(LINK, one.file("empty", b""));
    let asked = b.offered().await;
    b.node.accept_file(asked);
    assert_eq!(fs::read(b.received(asked).await).unwrap(), b"");
    a.sent(sent).await;
}

#[tokio::test]
async fn several_at_once_and_both_ways() {
    let (one, two, mut a, mut b) = homes().await;
    let mut sent = Vec::new();
    for number in 0..5u8 {
        let content = bytes(1_000_000 + usize::from(number), u64::from(number) + 10);
        sent.push(a.node.offer_file(LINK, one.file(&format!("a{number}"), &content)));
    }
    let back = b.node.offer_file(LINK, two.file("back", &bytes(500_000, 99)));
    let mut received = 0;
    while received < 5 {
        match b.file().await {
            (asked, FileEvent::Offered { .. }) => b.node.accept_file(asked),
            (_, FileEvent::Received { .. }) => received += 1,
            (_, FileEvent::Failed(why)) => panic!("{why:?}"),
            _ => {}
        }
    }
    let mut over = 0;
    while over < 6 {
        match a.file().await {
            (asked, FileEvent::Offered { .. }) => a.node.accept_file(asked),
            (_, FileEvent::Sent | FileEvent::Received { .. }) => over += 1,
            (_, FileEvent::Failed(why)) => panic!("{why:?}"),
            _ => {}
        }
    }
    b.sent(back).await;
    assert_eq!(listing(&two.downloads()), ["a0", "a1", "a2", "a3", "a4"]);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let (one, two, a, mut b) = homes().await;
    fs::create_dir(two.downloads()).unwrap();
    fs::write(two.downloads().join("a.txt"), "mine").unwrap();
    for (content, expected) in [("one", "a (2).txt"), ("two", "a (3).txt"), ("two", "a (4).txt")] {
        a.node.offer_file(LINK, one.file("a.txt", content.as_bytes()));
        let asked = b.offered().await;
        b.node.accept_file(asked);
        let path = b.received(asked).await;
        assert_eq!(path, two.downloads().join(expected));
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
    assert_eq!(fs::read_to_string(two.downloads().join("a.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn the_same_large_file_may_come_twice() {
    let (one, two, mut a, mut b) = homes().await;
    let content = bytes(1_000_000, 3);
    let path = one.file("twice", &content);
    for expected in ["twice", "twice (2)"] {
        let sent = a.node.offer_file(LINK, path.clone());
        let asked = b.offered().await;
        b.node.accept_file(asked);
        let path = b.received(asked).await;
        assert_eq!(path, two.downloads().join(expected));
        assert!(fs::read(path).unwrap() == content);
        a.sent(sent).await;
    }
    assert!(fs::read(path).unwrap() == content);
}

#[tokio::test]
async fn a_file_that_is_not_wanted_is_not_sent() {
    let (one, two, mut a, mut b) = homes().await;
    let sent = a.node.offer_file(LINK, one.file("spam", b"spam"));
    let asked = b.offered().await;
    b.node.decline_file(asked);
    assert_eq!(b.failed(asked).await, FileFailure::Declined);
    assert_eq!(a.failed(sent).await, FileFailure::Declined);
    assert!(!two.downloads().exists());
}

#[tokio::test]
async fn either_side_may_end_it() {
    let (one, two, mut a, mut b) = homes().await;
    let path = one.file("large", &bytes(50_000_000, 4));
    for ours in [true, false] {
        let sent = a.node.offer_file(LINK, path.clone());
        let asked = b.offered().await;
        b.node.accept_file(asked);
        b.until(|event| {
            matches!(event, Event::File { what: FileEvent::Started { .. }, .. }).then_some(())
        })
        .await;
        if ours {
            a.node.cancel_file(sent);
        } else {
            b.node.cancel_file(asked);
        }
        let (mine, theirs) = (a.failed(sent).await, b.failed(asked).await);
        let expected = (FileFailure::Cancelled, FileFailure::CancelledByPeer);
        assert_eq!(if ours { (mine, theirs) } else { (theirs, mine) }, expected);
    }
    assert_eq!(listing(&two.downloads()), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_file_is_said_at_once() {
    let (one, _two, mut a, _b) = homes().await;
    let folder = a.node.offer_file(LINK, one.0.path().to_owned());
    assert_eq!(a.failed(folder).await, FileFailure::NotAFile);
    let none = a.node.offer_file(LINK, one.0.path().join("none"));
    assert!(matches!(a.failed(none).await, FileFailure::Unreadable(_)));
    let other = a.node.offer_file(LinkId(9), one.file("a", b"a"));
    assert_eq!(a.failed(other).await, FileFailure::NoLink);
}

#[tokio::test]
async fn without_a_folder_there_are_no_files() {
    let one = Home::new();
    let mut a = Side::start("luke", here()).await;
    let mut b = Side::start("yoda", here()).await;
    introduce(&mut a, &mut b, false).await;
    let sent = a.node.offer_file(LINK, one.file("a", b"a"));
    assert_eq!(a.failed(sent).await, FileFailure::NoFolder);
}

#[tokio::test]
async fn a_folder_that_is_in_use_is_refused_with_a_reason() {
    let (one, two, mut a, _b) = homes().await;
    let mut c = Side::start("luke", one.options()).await;
    let mut d = Side::start("vader", two.options()).await;
    introduce(&mut c, &mut d, false).await;
    let sent = c.node.offer_file(LINK, one.file("a", b"a"));
    match c.failed(sent).await {
        FileFailure::Folder(why) => assert!(why.contains("in use by another whoelse"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The first goes on.
    let sent = a.node.offer_file(LINK, one.file("b", b"b"));
    match a.file().await {
        (found, FileEvent::Asked { .. }) => assert_eq!(found, sent),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_is_killed_goes_on_where_it_was() {
    for receiver in [true, false] {
        // What runs there ends with it, as with a process.
        let programs = Runtime::new().unwrap();
        let (one, two, a, mut b) = programs.spawn(homes()).await.unwrap();
        let content = bytes(200_000_000, 5);
        a.node.offer_file(LINK, one.file("long", &content));
        let asked = b.offered().await;
        b.node.accept_file(asked);
        b.until(|event| match event {
            Event::File { what: FileEvent::Progress { done, .. }, .. } => (*done > 0).then_some(()),
            Event::File { what: FileEvent::Received { .. }, .. } => panic!("too fast"),
            _ => None,
        })
        .await;
        // Both programs end without a word; the one that matters here comes back first.
        drop(a);
        drop(b);
        tokio::task::spawn_blocking(|| programs.shutdown_timeout(PATIENCE)).await.unwrap();
        let (one_left, two_left) = (one.left(), two.left());
        let mut a = Side::start("luke", one_left.options()).await;
        let mut b = Side::start("yoda", two_left.options()).await;
        assert_eq!(kept(&mut a).await, ("yoda".to_owned(), true), "{receiver}");
        assert_eq!(kept(&mut b).await, ("luke".to_owned(), false), "{receiver}");
        // Who dials is the other now.
        if receiver {
            introduce(&mut b, &mut a, false).await;
        } else {
            introduce(&mut a, &mut b, false).await;
        }
        let path = b
            .until(|event| match event {
                Event::File { what: FileEvent::Received { path }, .. } => Some(path.clone()),
                Event::File { what: what @ FileEvent::Failed(_), .. } => panic!("{what:?}"),
                _ => None,
            })
            .await;
        assert!(fs::read(path).unwrap() == content);
        a.until(|event| matches!(event, Event::File { what: FileEvent::Sent, .. }).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn whoever_comes_back_is_spoken_to_over_the_new_link() {
    let (one, two) = (Home::new(), Home::new());
    let mut a = Side::start("luke", one.options()).await;
    let program = Runtime::new().unwrap();
    let options = two.options();
    let start = async move {
        let mut b = Side::start("yoda", options).await;
        b.open(false).await;
        b
    };
    let mut b = program.spawn(start).await.unwrap();
    a.open(false).await;
    a.node.expect(LINK, b.card(false));
    b.node.dial(LINK, a.card(false));
    tokio::join!(a.up(), b.up());
    let content = bytes(100_000_000, 6);
    let sent = a.node.offer_file(LINK, one.file("long", &content));
    let asked = b.offered().await;
    b.node.accept_file(asked);
    b.until(|event| match event {
        Event::File { what: FileEvent::Progress { done, .. }, .. } => (*done > 0).then_some(()),
        _ => None,
    })
    .await;
    drop(b);
    tokio::task::spawn_blocking(|| program.shutdown_timeout(PATIENCE)).await.unwrap();
    // It takes seconds until the old link is known to be dead.
    let left = two.left();
    let mut b = Side::start("yoda", left.options()).await;
    b.open(false).await;
    let again = LinkId(2);
    a.node.prepare(again);
    let endpoint = a
        .until(|event| match event {
            Event::Prepared { link, endpoint, .. } if *link == again => Some(*endpoint),
            _ => None,
        })
        .await;
    a.node.open(again, false);
    let addresses = a
        .until(|event| match event {
            Event::Opened { link, addresses } if *link == again => Some(addresses.clone()),
            _ => None,
        })
        .await;
    b.node.expect(LINK, Peer { endpoint, addresses, ..a.card(false) });
    a.node.dial(again, b.card(false));
    let path = b
        .until(|event| match event {
            Event::File { what: FileEvent::Received { path }, .. } => Some(path.clone()),
            _ => None,
        })
        .await;
    assert!(fs::read(path).unwrap() == content);
    a.sent(sent).await;
}

/// What an earlier run left: of whom, and whether we send it.
async fn kept(side: &mut Side) -> (String, bool) {
    side.until(|event| match event {
        Event::File { what: FileEvent::Kept { device, sending, .. }, .. } => {
            Some((device.clone(), *sending))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_not_sent() {
    let (one, two, a, mut b) = homes().await;
    let path = one.file("draft", &bytes(100_000, 6));
    a.node.offer_file(LINK, path.clone());
    b.offered().await;
    a.node.shutdown().await;
    b.node.shutdown().await;
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    let mut a = Side::start("luke", one.options()).await;
    let mut b = Side::start("yoda", two.options()).await;
    introduce(&mut a, &mut b, false).await;
    a.until(|event| match event {
        Event::File { what: FileEvent::Failed(FileFailure::Changed), .. } => Some(()),
        Event::File { what: what @ FileEvent::Failed(_), .. } => panic!("{what:?}"),
        _ => None,
    })
    .await;
}

/// Somebody offers a file and does not keep the promise.
async fn promised(home: &Home, name: &str, size: u64, hash: [u8; 32]) -> (Side, Raw, TransferId) {
    let side = Side::start("yoda", home.options()).await;
    let (mut side, mut raw) = Raw::pair(side).await;
    let offer = FileFrame::Offer { token: [7; 16], name: name.to_owned(), size, hash };
    raw.say(&Frame::File(offer)).await;
    let asked = side.offered().await;
    (side, raw, asked)
}

#[tokio::test]
async fn what_is_not_as_offered_is_thrown_away() {
    let home = Home::new();
    let (mut side, raw, asked) = promised(&home, "evil", 5_000_000, [9; 32]).await;
    side.node.accept_file(asked);
    let garbage = tokio::spawn(async move {
        while let Ok((mut send, _receive)) = raw.connection.accept_bi().await {
            // The right length, and then anything.
            drop(send.write_all(&5_000_000u64.to_le_bytes()).await);
            drop(send.write_all(&bytes(100_000, 7)).await);
        }
        drop(raw);
    });
    assert_eq!(side.failed(asked).await, FileFailure::NotAsOffered);
    assert_eq!(listing(&home.downloads()), Vec::<String>::new());
    garbage.abort();
}

#[tokio::test]
async fn whoever_has_nothing_to_give_is_given_up() {
    let home = Home::new();
    let (mut side, raw, asked) = promised(&home, "nothing", 5_000_000, [9; 32]).await;
    side.node.accept_file(asked);
    let nothing = tokio::spawn(async move {
        while let Ok((mut send, _receive)) = raw.connection.accept_bi().await {
            drop(send.finish());
        }
        drop(raw);
    });
    assert_eq!(side.failed(asked).await, FileFailure::NotAsOffered);
    nothing.abort();
}

/// Gives somebody what it asks for.
fn serve(raw: &Raw, content: &[u8]) -> tokio::task::JoinHandle<()> {
    let (connection, content) = (raw.connection.clone(), content.to_vec());
    tokio::spawn(async move {
        let store = MemStore::new();
        store.add_slice(&content).await.unwrap();
        while let Ok((send, receive)) = connection.accept_bi().await {
            let mut pair = StreamPair::new(1, receive, send, EventSender::DEFAULT);
            if let Ok(Request::Get(request)) = pair.read_request().await {
                drop(handle_get(pair, store.clone().into(), request).await);
            }
        }
    })
}

#[tokio::test]
async fn a_file_of_another_length_than_offered_is_thrown_away() {
    for length in [30_000, 3_000_000] {
        let content = bytes(length, 11);
        let hash = *iroh_blobs::Hash::new(&content).as_bytes();
        for (offered, right) in [(length, true), (length + 50_000, false), (length - 17_000, false)]
        {
            let home = Home::new();
            let (mut side, raw, asked) = promised(&home, "long", offered as u64, hash).await;
            let serving = serve(&raw, &content);
            side.node.accept_file(asked);
            if right {
                assert!(fs::read(side.received(asked).await).unwrap() == content);
            } else {
                let why = side.failed(asked).await;
                assert_eq!(why, FileFailure::NotAsOffered, "{offered} of {length}");
                assert_eq!(listing(&home.downloads()), Vec::<String>::new());
            }
            serving.abort();
        }
    }
}

/// A program that ended after all had come, and before it had its place: what waits is the file, or not.
#[tokio::test]
async fn what_waits_whole_is_not_fetched_again() {
    let content = bytes(1_000_000, 12);
    let hash = *iroh_blobs::Hash::new(&content).as_bytes();
    for right in [true, false] {
        let home = Home::new();
        let (side, raw, asked) = promised(&home, "waits", 1_000_000, hash).await;
        side.node.accept_file(asked);
        side.node.shutdown().await;
        drop(raw);
        let waits = if right { content.clone() } else { bytes(1_000_000, 13) };
        fs::write(home.0.path().join("unfinished/whole").join("07".repeat(16)), waits).unwrap();
        let side = Side::start("yoda", home.options()).await;
        let (mut side, mut raw) = Raw::pair(side).await;
        let offer =
            FileFrame::Offer { token: [7; 16], name: "waits".to_owned(), size: 1_000_000, hash };
        raw.say(&Frame::File(offer)).await;
        let serving = (!right).then(|| serve(&raw, &content));
        let path = side
            .until(|event| match event {
                Event::File { what: FileEvent::Received { path }, .. } => Some(path.clone()),
                Event::File { what: what @ FileEvent::Failed(_), .. } => panic!("{what:?}"),
                _ => None,
            })
            .await;
        assert!(fs::read(path).unwrap() == content);
        assert_eq!(listing(&home.downloads()), ["waits"]);
        assert_eq!(listing(&home.0.path().join("unfinished/whole")), Vec::<String>::new());
        drop(serving);
    }
}

#[tokio::test]
async fn what_cannot_have_its_place_is_kept_until_it_can() {
    let content = bytes(20_000_000, 14);
    let hash = *iroh_blobs::Hash::new(&content).as_bytes();
    let home = Home::new();
    let (mut side, raw, asked) = promised(&home, "late", 20_000_000, hash).await;
    side.node.accept_file(asked);
    side.until(|event| {
        matches!(event, Event::File { what: FileEvent::Started { .. }, .. }).then_some(())
    })
    .await;
    // Nothing has come yet, and now there is no folder any more.
    fs::remove_dir(home.downloads()).unwrap();
    fs::write(home.downloads(), "").unwrap();
    let serving = serve(&raw, &content);
    assert!(matches!(side.failed(asked).await, FileFailure::Unwritable(_)));
    serving.abort();
    side.node.shutdown().await;
    fs::remove_file(home.downloads()).unwrap();
    drop(raw);
    // They offer it again, to the next run; they need not give any of it again.
    let side = Side::start("yoda", home.options()).await;
    let (mut side, mut raw) = Raw::pair(side).await;
    let offer = |token| FileFrame::Offer { token, name: "late".to_owned(), size: 20_000_000, hash };
    raw.say(&Frame::File(offer([7; 16]))).await;
    let path = side
        .until(|event| match event {
            Event::File { what: FileEvent::Received { path }, .. } => Some(path.clone()),
            Event::File { what: what @ FileEvent::Failed(_), .. } => panic!("{what:?}"),
            _ => None,
        })
        .await;
    assert!(fs::read(path).unwrap() == content);
}

#[tokio::test]
async fn what_was_set_aside_is_asked_about_again_and_goes_when_it_is_taken_back() {
    let content = bytes(1_000_000, 15);
    let hash = *iroh_blobs::Hash::new(&content).as_bytes();
    let home = Home::new();
    let (mut side, mut raw, asked) = promised(&home, "late", 1_000_000, hash).await;
    side.node.accept_file(asked);
    side.until(|event| {
        matches!(event, Event::File { what: FileEvent::Started { .. }, .. }).then_some(())
    })
    .await;
    fs::remove_dir(home.downloads()).unwrap();
    fs::write(home.downloads(), "").unwrap();
    let serving = serve(&raw, &content);
    let kept = || fs::read_to_string(home.0.path().join("unfinished/transfers.json")).unwrap();
    assert!(matches!(side.failed(asked).await, FileFailure::Unwritable(_)));
    assert!(kept().contains("late"));
    // Wanted again too early, it still stays.
    let name = || "late".to_owned();
    let offer = FileFrame::Offer { token: [7; 16], name: name(), size: 1_000_000, hash };
    raw.say(&Frame::File(offer)).await;
    let asked = side.offered().await;
    side.node.accept_file(asked);
    assert!(matches!(side.failed(asked).await, FileFailure::Unwritable(_)));
    assert!(kept().contains("late"));
    raw.say(&Frame::File(FileFrame::Cancel { token: [7; 16] })).await;
    // What comes after it is heard after it.
    let offer = FileFrame::Offer { token: [8; 16], name: name(), size: 1, hash };
    raw.say(&Frame::File(offer)).await;
    side.offered().await;
    assert!(!kept().contains("late"));
    assert_eq!(listing(&home.0.path().join("unfinished/whole")), Vec::<String>::new());
    serving.abort();
}

#[tokio::test]
async fn a_file_may_go_to_another_disk() {
    let (home, memory) = (Home::new(), Path::new("/dev/shm"));
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let place = place.unwrap();
    let options = Options { downloads: Some(place.path().to_owned()), ..home.options() };
    let content = bytes(10_000_000, 16);
    let hash = *iroh_blobs::Hash::new(&content).as_bytes();
    let (mut side, mut raw) = Raw::pair(Side::start("yoda", options).await).await;
    let offer = FileFrame::Offer { token: [7; 16], name: "far".to_owned(), size: 10_000_000, hash };
    raw.say(&Frame::File(offer)).await;
    let serving = serve(&raw, &content);
    let asked = side.offered().await;
    side.node.accept_file(asked);
    let path = side.received(asked).await;
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(listing(place.path()), ["far"]);
    serving.abort();
}

#[tokio::test]
async fn what_has_no_room_is_not_begun() {
    let home = Home::new();
    let (mut side, mut raw, asked) = promised(&home, "huge", FILE_BYTES_MAX, [9; 32]).await;
    side.node.accept_file(asked);
    match side.failed(asked).await {
        FileFailure::DiskFull { needed, free } => assert!(needed > free, "{needed} of {free}"),
        other => panic!("{other:?}"),
    }
    raw.hear().await;
    let told = raw.hear().await;
    assert_eq!(told, Frame::File(FileFrame::Decline { token: [7; 16] }));
    // What is longer than any file may be is not even asked about.
    let offer = FileFrame::Offer {
        token: [8; 16],
        name: "larger".to_owned(),
        size: FILE_BYTES_MAX + 1,
        hash: [9; 32],
    };
    raw.say(&Frame::File(offer)).await;
    assert_eq!(raw.hear().await, Frame::File(FileFrame::Decline { token: [8; 16] }));
}

#[tokio::test]
async fn a_name_leads_nowhere_else() {
    let home = Home::new();
    let (mut side, mut raw, first) = promised(&home, "../../etc/passwd", 0, [0; 32]).await;
    side.node.accept_file(first);
    let path = side.received(first).await;
    assert_eq!(path, home.downloads().join("passwd"));
    for (number, name) in ["/abs", "..", "a\0b\u{202e}c", "CON", ".bashrc"].iter().enumerate() {
        let token = [u8::try_from(number).unwrap() + 20; 16];
        let name = (*name).to_owned();
        let offer = FileFrame::Offer { token, name, size: 0, hash: [0; 32] };
        raw.say(&Frame::File(offer)).await;
        let asked = side.offered().await;
        side.node.accept_file(asked);
        let path = side.received(asked).await;
        assert_eq!(path.parent().unwrap(), home.downloads());
        assert!(path.is_file());
    }
}

#[tokio::test]
async fn offers_without_end_are_declined() {
    let home = Home::new();
    let (mut side, mut raw, _) = promised(&home, "first", 1, [9; 32]).await;
    for number in 0..40u8 {
        let offer = FileFrame::Offer {
            token: [number + 50; 16],
            name: "more".to_owned(),
            size: 1,
            hash: [9; 32],
        };
        raw.say(&Frame::File(offer)).await;
    }
    raw.hear().await;
    for _ in 0..25 {
        let told = raw.hear().await;
        assert!(matches!(told, Frame::File(FileFrame::Decline { .. })), "{told:?}");
    }
    for _ in 0..15 {
        side.offered().await;
    }
}

#[tokio::test]
async fn offers_that_are_taken_back_are_not_asked_about_without_end_and_cost_no_writing() {
    let home = Home::new();
    let (_side, mut raw, _) = promised(&home, "first", 1, [9; 32]).await;
    let mut declined = 0;
    for number in 0..40u8 {
        let token = [number + 50; 16];
        let name = "more".to_owned();
        raw.say(&Frame::File(FileFrame::Offer { token, name, size: 1, hash: [9; 32] })).await;
        raw.say(&Frame::File(FileFrame::Cancel { token })).await;
    }
    raw.hear().await;
    while declined < 25 {
        let told = raw.hear().await;
        assert!(matches!(told, Frame::File(FileFrame::Decline { .. })), "{told:?}");
        declined += 1;
    }
    assert!(!home.0.path().join("unfinished/transfers.json").exists());
}

#[tokio::test]
async fn only_what_was_offered_is_served() {
    let home = Home::new();
    let side = Side::start("yoda", home.options()).await;
    let (mut side, mut raw) = Raw::pair(side).await;
    side.node.offer_file(LINK, home.file("open", &bytes(100_000, 8)));
    raw.hear().await;
    let hash = match raw.hear().await {
        Frame::File(FileFrame::Offer { hash, .. }) => hash,
        other => panic!("{other:?}"),
    };
    assert!(asks(&raw, hash).await > 100_000);
    assert_eq!(asks(&raw, [1; 32]).await, 0);
    side.node.close(LINK);
    side.until(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}

/// How many bytes come when a file is asked for.
async fn asks(raw: &Raw, hash: [u8; 32]) -> usize {
    let request = iroh_blobs::protocol::GetRequest::blob(iroh_blobs::Hash::from_bytes(hash));
    let (mut send, mut receive) = raw.connection.open_bi().await.unwrap();
    // The kind of request is its first byte.
    let mut bytes = vec![0];
    bytes.extend(postcard::to_stdvec(&request).unwrap());
    send.write_all(&bytes).await.unwrap();
    send.finish().unwrap();
    let read = receive.read_to_end(1_000_000);
    timeout(PATIENCE, read).await.unwrap().map_or(0, |bytes| bytes.len())
}
