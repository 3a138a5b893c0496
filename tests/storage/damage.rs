//! Damage at rest: refused or harmless, never silently wrong.
//!
//! Only damage to the last sync cannot be told from a write that the power cut: it is dropped, and
//! reported.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{Record, Time};
use whoelse_server::journal::{
    BatchNumber, Disk, DiskFile, Journal, JournalError, JournalOptions, JournalStart, Recovered,
};
use whoelse_tests::sim::disk::SimDisk;

use crate::records::Source;

const SERVER_ID: &str = "0123456789abcdef0123456789abcdef";
const OPTIONS: JournalOptions =
    JournalOptions { segment_bytes: 24 << 10, batch_bytes_max: 8_000, spares: 2, free_max: 4 };

/// A journal at rest, and what is in it.
struct Intact {
    disk: Arc<SimDisk>,
    /// The records of each batch, and the batch up to which all was synced before its own sync.
    batches: Vec<(Vec<Record>, u64)>,
    position: u64,
}

impl Intact {
    /// Some segments full; parts of them are freed and used again.
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let (mut journal, _) = open(&disk, 0, false).unwrap();
        let mut source = Source::default();
        let mut batches = Vec::new();
        let mut position = 0;
        for round in 0..160 {
            let synced = journal.synced().0;
            for _ in 0..random.random_range(1..4) {
                let records: Vec<Record> =
                    (0..random.random_range(1..4)).map(|_| source.next(&mut random)).collect();
                journal.append(std::slice::from_ref(&records)).unwrap();
                batches.push((records, synced));
                assert_eq!(journal.written().0, batches.len() as u64);
            }
            journal.sync().unwrap();
            if round == 60 {
                position = journal.synced().0;
                journal.release(BatchNumber(position));
            }
            while let Some(chore) = journal.chore() {
                journal.chore_done(chore.run(&*disk)).unwrap();
            }
        }
        Self { disk, batches, position }
    }

    /// The batches that a sync of their own has not been followed by: a power cut could have torn
    /// them, as far as anybody can see.
    fn doubtful(&self) -> u64 {
        self.batches.last().unwrap().1
    }

    /// Opens a damaged copy and judges what comes; says whether it was refused.
    fn judge(&self, damaged: &Arc<SimDisk>, what: &str) -> bool {
        let operations = damaged.operations();
        match open(damaged, self.position, true) {
            Err(JournalError::Io { .. } | JournalError::Stopped) => panic!("{what}: io error"),
            Err(error) => {
                assert_eq!(damaged.operations(), operations, "{what}: written to: {error}");
                true
            }
            Ok((_, recovered)) => {
                self.judge_recovered(&recovered, what);
                false
            }
        }
    }

    fn judge_recovered(&self, recovered: &Recovered, what: &str) {
        let mut last = self.position;
        for (number, records) in &recovered.batches {
            last += 1;
            assert_eq!(number.0, last, "{what}: a gap");
            assert_eq!(*records, self.batches[last as usize - 1].0, "{what}: altered");
        }
        let all = last == self.batches.len() as u64;
        let reported = last >= self.doubtful() && recovered.torn.is_some();
        assert!(all || reported, "{what}: silently lost after batch {last}");
    }

    /// The files that hold something that is needed.
    fn live(&self) -> Vec<DiskFile> {
        let needed = |file: &DiskFile| {
            let bytes = self.disk.contents(&file.name);
            let number = |range: std::ops::Range<usize>| {
                u64::from_le_bytes(bytes[range].try_into().unwrap())
            };
            let (epoch, first) = (number(16..24), number(24..32));
            let newer = |other: &DiskFile| {
                let other = self.disk.contents(&other.name);
                let number = |range: std::ops::Range<usize>| {
                    u64::from_le_bytes(other[range].try_into().unwrap())
                };
                number(16..24) > epoch && number(24..32) <= self.position + 1
            };
            epoch > 0 && first > 0 && !self.disk.list().unwrap().iter().any(newer)
        };
        let mut files = self.disk.list().unwrap();
        files.retain(needed);
        files
    }
}

fn open(
    disk: &Arc<SimDisk>,
    position: u64,
    existing: bool,
) -> Result<(Journal, Recovered), JournalError> {
    open_as(disk, SERVER_ID, position, existing)
}

fn open_as(
    disk: &Arc<SimDisk>,
    server_id: &str,
    position: u64,
    existing: bool,
) -> Result<(Journal, Recovered), JournalError> {
    let start = JournalStart { server_id, position: BatchNumber(position), existing };
    Journal::open(Arc::clone(disk) as Arc<dyn Disk>, OPTIONS, &start)
}

#[test]
fn an_intact_journal_is_read_whole() {
    for seed in 0..20 {
        let intact = Intact::new(seed);
        assert!(intact.live().len() > 2);
        assert!(!intact.judge(&intact.disk.kill(), "intact"));
        assert!(!intact.judge(&intact.disk.crash(), "synced"));
    }
}

#[test]
fn a_flipped_bit_is_never_silently_wrong() {
    let mut refused = 0;
    for seed in 0..20 {
        let intact = Intact::new(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let files = intact.disk.list().unwrap();
        for _ in 0..200 {
            let file = &files[random.random_range(0..files.len())];
            let bit = random.random_range(0..file.bytes * 8);
            let damaged = intact.disk.kill();
            damaged.damage(&file.name, |bytes| flip(bytes, bit));
            let what = format!("seed {seed}, bit {bit} of {}", file.name);
            refused += usize::from(intact.judge(&damaged, &what));
        }
    }
    assert!(refused > 400, "only {refused} refused");
}

/// Stronger than the one before: not only is it not silent, it is refused.
#[test]
fn a_flipped_bit_in_any_synced_batch_but_the_last_is_refused() {
    for seed in 0..5 {
        let intact = Intact::new(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tried = 0;
        for file in intact.live() {
            let bytes = intact.disk.contents(&file.name);
            for offset in (8_192..bytes.len() - 40).step_by(8) {
                let field = |at: usize| {
                    u64::from_le_bytes(bytes[offset + at..offset + at + 8].try_into().unwrap())
                };
                let here = bytes[offset..offset + 4] == *b"\xFFwb\xFF";
                let same_use = bytes[16..24] == bytes[offset + 8..offset + 16];
                let needed = intact.position + 1..=intact.doubtful();
                if !here || !same_use || !needed.contains(&field(16)) {
                    continue;
                }
                let length = 40 + u64::from(field(32) as u32);
                let bit = offset as u64 * 8 + random.random_range(0..length * 8);
                let damaged = intact.disk.kill();
                damaged.damage(&file.name, |bytes| flip(bytes, bit));
                let what = format!("seed {seed}, batch {}", field(16));
                assert!(intact.judge(&damaged, &what), "{what}: not refused");
                tried += 1;
            }
        }
        assert!(tried > 50, "only {tried} tried");
    }
}

/// Also where the damage makes it unrecognisable: in what every batch of this use begins with.
#[test]
fn each_flipped_bit_in_the_last_batch_is_reported() {
    let intact = Intact::new(1);
    let files = intact.live();
    let epoch = |file: &&DiskFile| {
        u64::from_le_bytes(intact.disk.contents(&file.name)[16..24].try_into().unwrap())
    };
    let newest = &files.iter().max_by_key(epoch).unwrap().name;
    let bytes = intact.disk.contents(newest);
    let end = 1 + bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let is_batch = |offset: &usize| bytes[*offset..].starts_with(b"\xFFwb\xFF");
    let last = (8_192..end).step_by(8).rfind(is_batch).unwrap();
    for bit in last as u64 * 8..end as u64 * 8 {
        let damaged = intact.disk.kill();
        damaged.damage(newest, |bytes| flip(bytes, bit));
        assert!(!intact.judge(&damaged, &format!("bit {bit}")), "refused");
    }
}

#[test]
fn a_header_that_is_not_whole_is_refused() {
    for seed in 0..5 {
        let intact = Intact::new(seed);
        for file in intact.live() {
            for bit in 0..68 * 8 {
                let damaged = intact.disk.kill();
                damaged.damage(&file.name, |bytes| flip(bytes, bit));
                let what = format!("seed {seed}, header of {}, bit {bit}", file.name);
                assert!(intact.judge(&damaged, &what), "{what}: not refused");
            }
        }
    }
}

/// The seal of the segment before usually tells that one is missing. It may be damaged as well: then a
/// segment that holds the last sync alone is dropped, and reported.
#[test]
fn a_header_that_is_not_whole_is_refused_even_without_seals() {
    let (mut tried, mut refused) = (0, 0);
    for seed in 0..60 {
        let intact = Intact::new(seed);
        for file in intact.live() {
            let damaged = intact.disk.kill();
            for any in damaged.list().unwrap() {
                damaged.damage(&any.name, |bytes| bytes[4_096..8_192].fill(0));
            }
            damaged.damage(&file.name, |bytes| flip(bytes, 100));
            let what = format!("seed {seed}, header of {}, no seals", file.name);
            tried += 1;
            refused += u32::from(intact.judge(&damaged, &what));
        }
    }
    assert!(refused >= tried - 2, "{refused} of {tried} refused");
}

#[test]
fn a_file_cut_short_is_refused() {
    for seed in 0..5 {
        let intact = Intact::new(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for file in intact.live() {
            let lengths = (0..20).map(|_| random.random_range(0..file.bytes as usize));
            for length in lengths.chain([0, 511, 4096, 8192]) {
                let damaged = intact.disk.kill();
                damaged.damage(&file.name, |bytes| bytes.truncate(length));
                let what = format!("seed {seed}, {} cut to {length}", file.name);
                assert!(intact.judge(&damaged, &what), "{what}: not refused");
            }
        }
    }
}

#[test]
fn a_lost_file_is_refused() {
    for seed in 0..20 {
        let intact = Intact::new(seed);
        for file in intact.live() {
            // Also what makes the loss visible must have been synced.
            let damaged = intact.disk.crash();
            damaged.lose_file(&file.name);
            let what = format!("seed {seed}, {} lost", file.name);
            assert!(intact.judge(&damaged, &what), "{what}: not refused");
        }
        let damaged = intact.disk.kill();
        for file in damaged.list().unwrap() {
            damaged.lose_file(&file.name);
        }
        assert!(intact.judge(&damaged, "all lost"));
    }
}

#[test]
fn files_that_are_not_needed_may_be_lost() {
    let intact = Intact::new(1);
    let live = intact.live();
    for file in intact.disk.list().unwrap().iter().filter(|file| !live.contains(file)) {
        let damaged = intact.disk.kill();
        damaged.lose_file(&file.name);
        assert!(!intact.judge(&damaged, "a spare lost"));
    }
}

#[test]
fn a_database_that_does_not_fit_the_journal_is_refused() {
    let intact = Intact::new(1);
    let end = intact.batches.len() as u64;
    open(&intact.disk.kill(), end, true).map(drop).unwrap();
    for position in [end + 1, end + 2, end + 1_000] {
        let error = open(&intact.disk.kill(), position, true).map(drop).unwrap_err();
        assert!(matches!(error, JournalError::Missing { .. }), "{error}");
    }
    // The segments of the beginning have been used again.
    let error = open(&intact.disk.kill(), 0, true).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Missing { batch: 1, .. }), "{error}");
    let error = open_as(&intact.disk.kill(), "another", 0, false).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let intact = Intact::new(1);
    let file = intact.live().pop().unwrap().name;
    let newer = intact.disk.kill();
    newer.damage(&file, |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
    });
    let error = open(&newer, intact.position, true).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Newer { version: 2, .. }), "{error}");

    let newer = intact.disk.kill();
    newer.damage(&file, |bytes| {
        let length = 40 + u32::from_le_bytes(bytes[8_224..8_228].try_into().unwrap()) as usize;
        let batch = &mut bytes[8_192..8_192 + length.next_multiple_of(8)];
        batch[4] = 3;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&batch[..36]), &batch[40..]);
        batch[36..40].copy_from_slice(&crc.to_le_bytes());
    });
    let error = open(&newer, intact.position, true).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Newer { version: 3, .. }), "{error}");
}

#[test]
fn numbers_that_nobody_reaches_are_no_numbers() {
    // Found by fuzzing: what counts on from the last number there is, overflowed.
    let intact = Intact::new(1);
    let last = format!("{}.segment", u64::MAX);
    let folder = intact.disk.kill();
    folder.create(&last, 4096).unwrap();
    let (mut journal, recovered) = open(&folder, intact.position, true).unwrap();
    assert_eq!(recovered.batches.len() as u64, intact.batches.len() as u64 - intact.position);
    for _ in 0..100 {
        journal.append(&[vec![Record::Heartbeat { time: Time(1) }; 400]]).unwrap();
    }

    let file = intact.live().pop().unwrap().name;
    for place in [16, 24] {
        let forged = intact.disk.kill();
        forged.damage(&file, |bytes| {
            bytes[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..64]);
            bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        });
        let error = open(&forged, intact.position, true).map(drop).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    }
}

#[test]
fn what_was_in_a_file_without_a_header_does_not_come_back() {
    // Found by fuzzing: the file was used again, in the same epoch as what it still held.
    let disk = SimDisk::new(1);
    let (mut journal, _) = open(&disk, 0, false).unwrap();
    let record = || vec![Record::Heartbeat { time: Time(1) }];
    for _ in 0..5 {
        journal.append(&[record()]).unwrap();
    }
    let disk = disk.kill();
    disk.damage("00000000.segment", |bytes| flip(bytes, 0));
    let (mut journal, recovered) = open(&disk, 0, false).unwrap();
    assert!(recovered.batches.is_empty(), "nobody was told of them");
    journal.append(&[record()]).unwrap();
    journal.sync().unwrap();
    let (_, recovered) = open(&disk.kill(), 0, true).unwrap();
    assert_eq!(recovered.batches, [(BatchNumber(1), record())]);
}

fn flip(bytes: &mut [u8], bit: u64) {
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
}
