//! What one power cut leaves of a write must not come back to life after the next.

use std::sync::Arc;

use whoelse_engine::{Record, Time};
use whoelse_server::journal::{BatchNumber, Journal, JournalOptions, JournalStart};
use whoelse_tests::sim::disk::SimDisk;

const FILE: &str = "00000000.segment";
const OPTIONS: JournalOptions =
    JournalOptions { segment_bytes: 16 << 10, batch_bytes_max: 8_000, spares: 1, free_max: 4 };

/// Where the last batch begins, eight bytes before the next sector.
const LAST: usize = 8192 + 504;
const BORDER: usize = 8192 + 512;

fn open(disk: &Arc<SimDisk>, existing: bool) -> (Journal, Vec<Record>) {
    let server_id = "0123456789abcdef0123456789abcdef";
    let start = JournalStart { server_id, position: BatchNumber(0), existing };
    let disk: Arc<SimDisk> = Arc::clone(disk);
    let (journal, recovered) = Journal::open(disk, OPTIONS, &start).unwrap();
    (journal, recovered.batches.into_iter().flat_map(|(_, records)| records).collect())
}

fn beats(times: std::ops::Range<u64>) -> Vec<Record> {
    times.map(|time| Record::Heartbeat { time: Time(1_795_000_000_000 + time) }).collect()
}

/// Found by the large simulator: two power cuts at the same place. The first took the sector with
/// the beginning of a batch and left its rest; the second brought the beginning of the batch that was
/// written there next, which is the same, and not its rest.
#[test]
fn what_a_power_cut_left_of_a_batch_is_not_completed_by_the_next_write() {
    let disk = SimDisk::new(1);
    let (mut journal, _) = open(&disk, false);
    // Seven batches of 48 bytes and three of 56.
    for number in 0..10 {
        let records = if number < 7 { 1 } else { 2 };
        journal.append(&[beats(10 * number..10 * number + records)]).unwrap();
        journal.sync().unwrap();
    }
    journal.append(&[beats(100..101)]).unwrap();
    drop(journal);
    let written = disk.contents(FILE);
    assert!(written[LAST..].starts_with(&written[8192..8196]), "a batch begins there");
    // The first power cut, before the sync.
    disk.damage(FILE, |bytes| bytes[LAST..BORDER].fill(0));
    let (mut journal, found) = open(&disk, true);
    assert_eq!(found.len(), 13, "nobody was told of the last one");
    journal.append(&[beats(200..201)]).unwrap();
    drop(journal);
    // The second, before the sync again.
    disk.damage(FILE, |bytes| bytes[BORDER..].copy_from_slice(&written[BORDER..]));
    let (_, found) = open(&disk, true);
    let old = &beats(100..101)[0];
    assert!(!found.contains(old), "it was dropped once, and others were promised since");
}
