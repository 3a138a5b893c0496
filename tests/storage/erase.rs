//! What was deleted is in no file of the data folder any more, soon after and without anything else
//! happening.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{AccountId, Message, Number, PasswordHash, Record, Time};
use whoelse_proto::{DeviceKey, Name};
use whoelse_server::store::{Opened, Sequence, Store, StoreEvent, StoreOptions};

const DEADLINE: Duration = Duration::from_secs(20);
const TIME: Time = Time(1_000);

/// A store whose people are two, and what it says.
struct Scene {
    opened: Opened,
    events: Receiver<StoreEvent>,
}

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        settle_ms: 5,
        lazy_sync_ms: 5,
        erase_ms: 20,
        ..Default::default()
    }
}

fn open(folder: &Path, options: StoreOptions) -> Scene {
    let (tell, events) = channel();
    let opened = Store::open(folder, options, move |event| drop(tell.send(event))).unwrap();
    Scene { opened, events }
}

impl Scene {
    fn append(&mut self, records: Vec<Record>) -> Sequence {
        self.opened.store.append(records)
    }

    fn until_projected(&self, wanted: Sequence) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).expect("an event before the deadline") {
                StoreEvent::Projected(sequence) if sequence >= wanted => return,
                StoreEvent::Failed(what) => panic!("{what}"),
                _ => {}
            }
        }
    }
}

fn account(index: u32, name: &str) -> Record {
    let password = Some(PasswordHash(format!("hash of {name}").into()));
    Record::Account {
        account: AccountId(index),
        name: Name::new(name).unwrap(),
        password,
        time: TIME,
    }
}

fn people() -> Vec<Record> {
    vec![account(0, "hans"), account(1, "luke")]
}

fn message(to: u32, number: u64, body: &str) -> Record {
    Record::Message(Arc::new(Message {
        to: AccountId(to),
        number: Number(number),
        from: AccountId(0),
        time: TIME,
        at_ms: 1,
        retry: None,
        body: body.into(),
    }))
}

fn acknowledged(account: u32, number: u64) -> Record {
    Record::Acknowledged { account: AccountId(account), number: Number(number) }
}

/// All files of the folder, also those below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The files that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut files = files(folder);
    files.retain(|path| {
        // Files come and go.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    });
    files
}

fn until_gone(folder: &Path, text: &str) {
    until(folder, text, |left| left.is_empty());
}

/// It is there: files are read one after another, and meanwhile it may move from one to another.
fn until_there(folder: &Path, text: &str) {
    until(folder, text, |found| !found.is_empty());
}

fn until(folder: &Path, text: &str, is_so: impl Fn(&[PathBuf]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = holding(folder, text);
        if is_so(&found) {
            return;
        }
        assert!(Instant::now() < deadline, "'{text}' is in {found:?}");
        std::thread::yield_now();
    }
}

#[test]
fn acknowledged_mail_is_gone_though_nothing_else_happens() {
    for late in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = open(folder.path(), options());
        scene.append(people());
        let sent = scene.append(vec![message(1, 1, "burn after reading")]);
        if late {
            scene.until_projected(sent);
            until_there(folder.path(), "burn after reading");
        }
        scene.append(vec![acknowledged(1, 1)]);
        until_gone(folder.path(), "burn after reading");
        // What waits is there.
        let sent = scene.append(vec![message(1, 2, "still to be read")]);
        scene.until_projected(sent);
        until_there(folder.path(), "still to be read");
        scene.opened.store.close().unwrap();
    }
}

#[test]
fn what_was_removed_with_a_person_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = open(folder.path(), options());
    scene.append(people());
    let (account, key) = (AccountId(1), DeviceKey([7; 32]));
    let device = Record::Device { account, key, name: "luke's laptop".into(), time: TIME };
    let sent = scene.append(vec![device, message(1, 1, "nobody will read this")]);
    scene.until_projected(sent);
    let texts = ["nobody will read this", "luke's laptop", "hash of luke"];
    for text in texts {
        until_there(folder.path(), text);
    }
    scene.append(vec![Record::Removed { account, time: TIME }]);
    for text in texts {
        until_gone(folder.path(), text);
    }
    until_there(folder.path(), "hash of hans");
    scene.opened.store.close().unwrap();
}

#[test]
fn after_a_proper_end_it_is_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let patient = StoreOptions { erase_ms: 3_600_000, ..options() };
    let mut scene = open(folder.path(), patient.clone());
    scene.append(people());
    let sent = scene.append(vec![message(1, 1, "burn after reading")]);
    scene.until_projected(sent);
    scene.append(vec![message(1, 2, "burn this as well"), acknowledged(1, 2)]);
    scene.opened.store.close().unwrap();
    for text in ["burn after reading", "burn this as well"] {
        assert_eq!(holding(folder.path(), text), Vec::<PathBuf>::new(), "{text}");
    }
    // The next start finds everything in order.
    let mut scene = open(folder.path(), patient);
    assert_eq!((scene.opened.report.records, scene.opened.snapshot.accounts.len()), (0, 2));
    assert_eq!(scene.opened.snapshot.accounts[1].last_number, Number(2));
    scene.append(vec![message(1, 3, "goes on")]);
    scene.opened.store.close().unwrap();
}

/// Rows are moved between pages as others come and go; no copy may stay behind.
#[test]
fn no_trace_is_left_in_the_pages_of_the_database() {
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut scene = open(folder.path(), StoreOptions { settle_ms: 0, ..options() });
        let readers = 12;
        let names: Vec<String> = (0..readers).map(|index| format!("reader{index}")).collect();
        scene.append((0..).zip(&names).map(|(index, name)| account(index, name)).collect());
        let mut boxes = vec![(0_u64, 0_u64); readers];
        let mut waiting = BTreeSet::new();
        let marker = |to: usize, number: u64| format!("<mark {to} {number}>");
        let mut last = Sequence(0);
        for _ in 0..250 {
            let mut records = Vec::new();
            for _ in 0..random.random_range(1..12) {
                let to = random.random_range(0..readers);
                let (end, acked) = &mut boxes[to];
                if random.random_bool(0.6) {
                    *end += 1;
                    let length = [10, 100, 1_000, 6_000][random.random_range(0..4)];
                    let body = format!("{}{}", marker(to, *end), "x".repeat(length));
                    records.push(message(to as u32, *end, &body));
                    waiting.insert((to, *end));
                } else if acked < end {
                    *acked = random.random_range(*acked + 1..=*end);
                    records.push(acknowledged(to as u32, *acked));
                    waiting.retain(|(reader, number)| *reader != to || *number > *acked);
                }
            }
            last = scene.append(records);
            if random.random_bool(0.5) {
                scene.until_projected(last);
                last = Sequence(0);
            }
        }
        if last > Sequence(0) {
            scene.until_projected(last);
        }
        scene.opened.store.close().unwrap();
        let mut found = BTreeSet::new();
        for path in files(folder.path()) {
            let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            for part in text.split("<mark ").skip(1) {
                let Some((numbers, _)) = part.split_once('>') else { continue };
                let mut numbers = numbers.split(' ').map(|it| it.parse::<u64>());
                if let (Some(Ok(to)), Some(Ok(number))) = (numbers.next(), numbers.next()) {
                    found.insert((to as usize, number));
                }
            }
        }
        let traces: Vec<_> = found.difference(&waiting).collect();
        assert!(
            traces.is_empty(),
            "seed {seed}: {} of acknowledged mail: {traces:?}",
            traces.len()
        );
        assert_eq!(found, waiting, "seed {seed}");
    }
}
