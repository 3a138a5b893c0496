//! A journal's folder in which anything may have happened to the bytes.
//!
//! A journal is written as ours is, then bytes are changed, files vanish or are cut, and parts are
//! forged so that their sums are right. Opening it gives records or says what is wrong. Nothing is
//! overwritten if it is refused, and what is taken can be gone on with.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whoelse_engine::{AccountId, Number, Record, Time};
use whoelse_server::journal::{
    BatchNumber, Disk, DiskFile, Journal, JournalError, JournalOptions, JournalStart,
    SEGMENT_BYTES_MIN,
};

use crate::choices::Choices;

const OPTIONS: JournalOptions = JournalOptions {
    segment_bytes: SEGMENT_BYTES_MIN,
    batch_bytes_max: 4096,
    spares: 1,
    free_max: 2,
};

/// Where things are in a segment; see the module of that name.
const SEAL_OFFSET: usize = 4096;
const BATCHES_OFFSET: usize = 8192;

/// Versions of the format: nearly always the one there is.
const VERSIONS: [u32; 8] = [1, 1, 1, 1, 1, 1, 0, 2];

/// Most changes to the bytes, and most batches written before them.
const STEPS_MAX: usize = 24;

/// Writes a journal, changes it and opens it, as the bytes say.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let disk = Arc::new(Memory::default());
    write(&mut choices, &disk);
    let mut is_forged = false;
    for _ in 0..STEPS_MAX {
        if choices.is_over() {
            break;
        }
        is_forged |= change(&mut choices, &disk);
    }
    let position = BatchNumber(if choices.is_over() { 0 } else { choices.any_number() >> 2 });
    open(&disk, position, choices.truth(), is_forged);
}

fn write(choices: &mut Choices<'_>, disk: &Arc<Memory>) {
    let start = JournalStart { server_id: "fuzz", position: BatchNumber(0), existing: false };
    let opened = Journal::open(Arc::clone(disk) as Arc<dyn Disk>, OPTIONS, &start);
    let (mut journal, recovered) = opened.expect("an empty folder holds nothing wrong");
    assert!(recovered.batches.is_empty());
    for number in 0..choices.below(STEPS_MAX) {
        let body = "x".repeat(usize::from(choices.byte()) * 8);
        let record = Record::Message(Arc::new(whoelse_engine::Message {
            to: AccountId(0),
            number: Number(number as u64 + 1),
            from: AccountId(1),
            time: Time(number as u64),
            at_ms: 0,
            retry: None,
            body: body.into(),
        }));
        let written = journal.append(&[vec![record, Record::Heartbeat { time: Time(1) }]]);
        let written = written.expect("the disk works");
        match choices.below(4) {
            0 => {}
            1 => journal.release(BatchNumber(written.0.saturating_sub(1))),
            _ => assert_eq!(journal.sync().ok(), Some(written)),
        }
        while let Some(chore) = journal.chore() {
            journal.chore_done(chore.run(&**disk)).expect("the disk works");
        }
    }
}

/// Something happens to the folder. Returns whether it is nothing that an accident could do.
fn change(choices: &mut Choices<'_>, disk: &Memory) -> bool {
    let mut files = disk.files();
    let names: Vec<String> = files.keys().cloned().collect();
    let Some(name) = names.get(choices.below(names.len().max(1))).cloned() else { return false };
    let Some(file) = files.get_mut(&name) else { return false };
    let offset = place(choices);
    let what = choices.below(8);
    match what {
        0 => over(file, offset, choices.bytes()),
        1 => {
            let header = header(choices);
            over(file, 0, &header);
        }
        2 => {
            let seal = seal(choices);
            over(file, SEAL_OFFSET, &seal);
        }
        3 => {
            let batch = batch(choices);
            over(file, offset & !7, &batch);
        }
        4 => file.truncate(offset),
        5 => {
            let copy = file.clone();
            files.insert(format!("{:08}.segment", choices.any_number()), copy);
        }
        6 => drop(files.remove(&name)),
        _ => {
            files.insert(choices.text(), Vec::new());
        }
    }
    matches!(what, 1..=3)
}

/// Somewhere in a segment; most of it is where batches are.
fn place(choices: &mut Choices<'_>) -> usize {
    match choices.byte() {
        byte @ 0..64 => usize::from(byte),
        byte @ 64..96 => SEAL_OFFSET + usize::from(byte) - 64,
        _ => BATCHES_OFFSET + usize::from(choices.number()) % BATCHES_OFFSET,
    }
}

fn over(file: &mut [u8], offset: usize, bytes: &[u8]) {
    let room = file.len().saturating_sub(offset).min(bytes.len());
    if room > 0 {
        file[offset..offset + room].copy_from_slice(&bytes[..room]);
    }
}

fn header(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = b"whoelse\xff".to_vec();
    bytes.extend(choices.one_of(&VERSIONS).to_le_bytes());
    let segment_bytes = match choices.byte() {
        0..=0xf0 => SEGMENT_BYTES_MIN,
        _ => choices.any_number() as u32,
    };
    bytes.extend(segment_bytes.to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    let mut id = [0; 32];
    id[..4].copy_from_slice(if choices.below(16) == 15 { b"none" } else { b"fuzz" });
    bytes.extend(id);
    let sum = crc32c::crc32c(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn seal(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = b"whsealed".to_vec();
    bytes.extend(choices.any_number().to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    let sum = crc32c::crc32c(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn batch(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = b"\xffwb\xff".to_vec();
    bytes.extend(choices.one_of(&VERSIONS).to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    bytes.extend(choices.any_number().to_le_bytes());
    let payload = choices.bytes();
    bytes.extend((payload.len() as u32).to_le_bytes());
    let mut padded = payload.to_vec();
    padded.resize((bytes.len() + 4 + payload.len()).next_multiple_of(8) - bytes.len() - 4, 0);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes), &padded);
    bytes.extend(sum.to_le_bytes());
    bytes.extend(padded);
    bytes
}

fn open(disk: &Arc<Memory>, position: BatchNumber, existing: bool, is_forged: bool) {
    let start = JournalStart { server_id: "fuzz", position, existing };
    let before = disk.files().clone();
    let opened = Journal::open(Arc::clone(disk) as Arc<dyn Disk>, OPTIONS, &start);
    let (mut journal, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            let is_disk = matches!(error, JournalError::Io { .. } | JournalError::TooLarge { .. });
            assert!(is_disk || *disk.files() == before, "refused, and something was changed");
            return;
        }
    };
    for ((number, _), expected) in recovered.batches.iter().zip(position.0 + 1..) {
        assert_eq!(number.0, expected, "batches are dense");
    }
    let more = vec![Record::Heartbeat { time: Time(2) }];
    if journal.append(std::slice::from_ref(&more)).is_err() {
        return;
    }
    let last = journal.sync().expect("the disk works");
    drop(journal);
    if is_forged {
        return; // what is true of accidents need not be of a header made up to look unused
    }
    let start = JournalStart { existing: true, ..start };
    let (_, again) = Journal::open(Arc::clone(disk) as Arc<dyn Disk>, OPTIONS, &start)
        .unwrap_or_else(|error| panic!("what we wrote is refused: {error}"));
    let mut expected = recovered.batches;
    expected.push((last, more));
    let numbers = |batches: &[(BatchNumber, Vec<Record>)]| -> Vec<(u64, usize)> {
        batches.iter().map(|(number, records)| (number.0, records.len())).collect()
    };
    assert!(
        again.batches == expected,
        "what was synced is not there: {:?}, not {:?}",
        numbers(&again.batches),
        numbers(&expected)
    );
}

/// A disk that keeps everything, in memory.
#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.files().get_mut(name).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<DiskFile>> {
        let file = |(name, bytes): (&String, &Vec<u8>)| DiskFile {
            name: name.clone(),
            bytes: bytes.len() as u64,
        };
        Ok(self.files().iter().map(file).collect())
    }

    fn create(&self, name: &str, bytes: u32) -> io::Result<()> {
        match self.files().insert(name.to_owned(), vec![0; bytes as usize]) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files().remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(name, |file| {
            let rest = file.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            read
        })
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| {
            let end = offset as usize + bytes.len();
            file.resize(file.len().max(end), 0);
            file[offset as usize..end].copy_from_slice(bytes);
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with(name, |_| ())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}
