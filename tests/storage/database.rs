//! The database against the reference: any records, in any cuts, and damage to the file.

use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{AccountId, Message, Number, Record, RetryKey, Time};
use whoelse_proto::{DeviceKey, Name, Role};
use whoelse_server::database::{
    Database, DatabaseError, PAGE_MESSAGE_BYTES, PageReader, Projector, SENT_MAX, SENT_MS_MAX,
    STRANGERS_MAX,
};
use whoelse_server::journal::BatchNumber;

use crate::records::Source;
use crate::reference::Reference;

#[test]
fn records_in_any_cuts_add_up_to_the_same() {
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut database = Database::open_in_memory("id").unwrap();
        let (mut source, mut reference) = (Source::default(), Reference::default());
        let mut projector = Projector::default();
        let mut batch = 0;
        for _ in 0..random.random_range(1..8) {
            for _ in 0..random.random_range(1..20) {
                let count = random.random_range(1..20);
                let records: Vec<Record> = (0..count).map(|_| source.next(&mut random)).collect();
                records.iter().for_each(|record| reference.apply(record));
                batch += random.random_range(1..3);
                projector.push(BatchNumber(batch), records);
            }
            assert_eq!(projector.project(&mut database).unwrap(), BatchNumber(batch));
            assert!(projector.is_empty());
            assert_eq!(projector.bytes(), 0);
            assert_eq!(database.position().unwrap(), BatchNumber(batch));
            assert_eq!(database.load().unwrap(), reference.snapshot(), "seed {seed}");
            for _ in 0..5 {
                compare_page(&mut random, &database, &reference);
            }
        }
    }
}

fn compare_page(random: &mut ChaCha8Rng, database: &Database, reference: &Reference) {
    let snapshot = reference.snapshot();
    let account = AccountId(random.random_range(0..=snapshot.accounts.len() as u32));
    let Some(owner) = snapshot.accounts.get(account.index()) else {
        assert_eq!(database.page(account, Number(0), 1).unwrap(), []);
        return;
    };
    let after = Number(random.random_range(0..=owner.last_number.0 + 1));
    let bytes_max = random.random_range(0..3_000);
    let mut bytes = 0;
    let mut expected = reference.mail(account, after.max(owner.acknowledged));
    let fits = expected.iter().take_while(|message| {
        bytes += message.body.len() + PAGE_MESSAGE_BYTES;
        bytes <= bytes_max
    });
    let fits = fits.count().max(1);
    expected.truncate(fits);
    assert_eq!(database.page(account, after, bytes_max).unwrap(), expected);
}

#[test]
fn used_ids_are_kept_for_ten_thousand_messages_and_seven_days() {
    let mut database = Database::open_in_memory("id").unwrap();
    let mut reference = Reference::default();
    let mut sender = Sender { number: 0 };
    let mut records = accounts();
    let mut batch = 0;
    let day_ms = 24 * 60 * 60 * 1_000;
    let rounds = [
        (0, 1),
        (0, SENT_MAX - 1),
        (day_ms, 1),
        (day_ms, 3_000),
        (2 * day_ms, SENT_MAX),
        (2 * day_ms, SENT_MAX + 1),
        (3 * day_ms, 3 * SENT_MAX),
        (3 * day_ms, 5),
        (4 * day_ms, 5),
        (3 * day_ms + SENT_MS_MAX, 5),
        (3 * day_ms + SENT_MS_MAX + 1, 5),
        (4 * day_ms + SENT_MS_MAX + 1, 0),
        (30 * day_ms, 1),
    ];
    for (time_ms, count) in rounds {
        records.push(Record::Heartbeat { time: Time(time_ms) });
        records.extend((0..count).map(|_| sender.next(time_ms)));
        records.push(Record::Acknowledged { account: AccountId(1), number: Number(sender.number) });
        records.iter().for_each(|record| reference.apply(record));
        batch += 1;
        let mut projector = Projector::default();
        projector.push(BatchNumber(batch), std::mem::take(&mut records));
        projector.project(&mut database).unwrap();
        assert_eq!(database.load().unwrap(), reference.snapshot(), "{time_ms} {count}");
    }
    assert_eq!(database.load().unwrap().accounts[0].sent.len(), 1);
}

#[test]
fn names_that_nobody_has_are_kept_in_a_bounded_number_and_locked_ones_longest() {
    let mut database = Database::open_in_memory("id").unwrap();
    let stranger = |key: u64| {
        let locked_until = (key < 3).then_some(Time(1_000_000));
        Record::Stranger { key: key.into(), strikes: 3, locked_until, time: Time(key) }
    };
    let mut projector = Projector::default();
    let surplus = 20;
    let records = (0..STRANGERS_MAX as u64 + surplus).map(stranger).collect();
    projector.push(BatchNumber(1), records);
    projector.project(&mut database).unwrap();
    let strangers = database.load().unwrap().strangers;
    assert_eq!(strangers.len(), STRANGERS_MAX);
    let keys: Vec<u128> = strangers.iter().map(|stranger| stranger.key).take(4).collect();
    assert_eq!(keys, [0, 1, 2, u128::from(surplus) + 3]);
}

/// One who sends to another.
struct Sender {
    number: u64,
}

impl Sender {
    fn next(&mut self, time_ms: u64) -> Record {
        self.number += 1;
        Record::Message(Arc::new(Message {
            to: AccountId(1),
            number: Number(self.number),
            from: AccountId(0),
            time: Time(time_ms),
            at_ms: time_ms,
            retry: Some(RetryKey { id: u128::from(self.number), content: 1 }),
            body: "hello".into(),
        }))
    }
}

fn accounts() -> Vec<Record> {
    let account = |(index, name): (usize, &&str)| Record::Account {
        account: AccountId(index as u32),
        name: Name::new(name).unwrap(),
        password: None,
        time: Time(0),
    };
    ["hans", "luke"].iter().enumerate().map(account).collect()
}

#[test]
fn what_deleted_mail_took_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    let mut database = Database::open(&path, "id").unwrap();
    let mut projector = Projector::default();
    let body: Arc<str> = "x".repeat(60_000).into();
    let mail = (1..=600).map(|number| {
        Record::Message(Arc::new(Message {
            to: AccountId(1),
            number: Number(number),
            from: AccountId(0),
            time: Time(number),
            at_ms: number,
            retry: None,
            body: Arc::clone(&body),
        }))
    });
    projector.push(BatchNumber(1), accounts().into_iter().chain(mail).collect());
    projector.project(&mut database).unwrap();
    let read = Record::Acknowledged { account: AccountId(1), number: Number(600) };
    projector.push(BatchNumber(2), vec![read]);
    projector.project(&mut database).unwrap();
    database.close().unwrap();
    // 36 MB of mail were in it, of which 16 MiB of unused pages may stay.
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 18 << 20, "{bytes}");
}

#[test]
fn what_contradicts_changes_nothing() {
    let mut database = Database::open_in_memory("id").unwrap();
    let mut projector = Projector::default();
    projector.push(BatchNumber(1), accounts());
    projector.project(&mut database).unwrap();
    let before = database.load().unwrap();
    let mut sender = Sender { number: 1 };
    let unknown = AccountId(7);
    let wrong = [
        sender.next(5),
        accounts().remove(0),
        Record::Login { account: unknown, time: Time(5) },
        Record::Block { blocker: AccountId(0), blocked: unknown },
        Record::Acknowledged { account: AccountId(0), number: Number(1) },
        Record::DeviceUsed { account: AccountId(0), key: DeviceKey([1; 32]), time: Time(5) },
        Record::Removed { account: unknown, time: Time(5) },
        Record::Invite {
            number: 2,
            hash: [0; 32],
            by: None,
            role: Role::Member,
            is_first: false,
            expires: Time(99),
            time: Time(5),
        },
    ];
    for record in wrong {
        let mut projector = Projector::default();
        let right = Record::Login { account: AccountId(0), time: Time(9) };
        projector.push(BatchNumber(2), vec![right, record]);
        let error = projector.project(&mut database).unwrap_err();
        assert!(matches!(error, DatabaseError::Contradiction { .. }), "{error}");
        assert!(!projector.is_empty());
        assert_eq!(database.load().unwrap(), before);
        assert_eq!(database.position().unwrap(), BatchNumber(1));
    }
    // Nor does a batch that was projected before.
    let mut projector = Projector::default();
    projector.push(BatchNumber(1), vec![Record::Login { account: AccountId(0), time: Time(9) }]);
    projector.project(&mut database).unwrap_err();
    assert_eq!(database.load().unwrap(), before);
}

/// A database in a file, closed, and what is in it.
fn filled(path: &Path, seed: u64) -> Reference {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut source, mut reference) = (Source::default(), Reference::default());
    let mut database = Database::open(path, "id").unwrap();
    for batch in 1..=10 {
        let records: Vec<Record> = (0..100).map(|_| source.next(&mut random)).collect();
        records.iter().for_each(|record| reference.apply(record));
        let mut projector = Projector::default();
        projector.push(BatchNumber(batch), records);
        projector.project(&mut database).unwrap();
    }
    database.close().unwrap();
    reference
}

#[test]
fn it_is_there_after_closing_and_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    let reference = filled(&path, 1);
    let database = Database::open(&path, "another id").unwrap();
    assert_eq!(&*database.server_id(), "id");
    assert_eq!(database.load().unwrap(), reference.snapshot());
    let reader = PageReader::open(&path).unwrap();
    for index in 0..reference.snapshot().accounts.len() {
        let account = AccountId(index as u32);
        let mail = reader.page(account, Number(0), usize::MAX).unwrap();
        assert_eq!(mail, reference.mail(account, Number(0)));
    }
}

/// Reads everything there is; says whether that was refused.
fn judge(path: &Path, reference: &Reference, what: &str) -> bool {
    let read = || {
        let database = Database::open(path, "new id")?;
        let snapshot = database.load()?;
        let mut mail = Vec::new();
        for index in 0..snapshot.accounts.len() {
            mail.extend(database.page(AccountId(index as u32), Number(0), usize::MAX)?);
        }
        let meta = (database.position()?, database.server_id().to_string());
        Ok::<_, DatabaseError>((snapshot, mail, meta))
    };
    let Ok((snapshot, mail, meta)) = read() else { return true };
    assert_eq!(snapshot, reference.snapshot(), "{what}");
    let accounts = 0..snapshot.accounts.len() as u32;
    let all = accounts.flat_map(|account| reference.mail(AccountId(account), Number(0)));
    assert_eq!(mail, all.collect::<Vec<_>>(), "{what}");
    assert_eq!(meta, (BatchNumber(10), "id".to_owned()), "{what}");
    false
}

#[test]
fn a_flipped_bit_or_cut_in_the_file_is_never_silently_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whoelse.db");
    let reference = filled(&path, 2);
    let intact = std::fs::read(&path).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut refused = 0;
    for round in 0..400 {
        let mut bytes = intact.clone();
        let what = if round % 10 == 0 {
            bytes.truncate(random.random_range(0..bytes.len()));
            format!("cut to {}", bytes.len())
        } else {
            let bit = random.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("bit {bit} flipped")
        };
        let damaged = folder.path().join(format!("{round}.db"));
        std::fs::write(&damaged, bytes).unwrap();
        refused += usize::from(judge(&damaged, &reference, &what));
    }
    assert!(!judge(&path, &reference, "intact"));
    assert!(refused > 100, "only {refused} refused");
}
