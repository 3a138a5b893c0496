//! A disk that does what real ones do when the power goes: forget, tear and reorder.
//!
//! It keeps what was synced, and beside it what the running system sees. Model: a sector of 512
//! bytes is written whole or not at all; a sync of one file says nothing about another; after a
//! failed sync, what was written is still seen and will not be written any more (as on Linux).
//! Not modelled: writes that go astray and disks that lie about syncs, except on request.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_server::journal::{Disk, DiskFile};

/// What goes wrong at a chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops in the middle of it: it and all later ones fail. See [`SimDisk::crash`].
    Stop,
    /// It fails, and what it should have done is done in part. Later ones work.
    Fail,
}

/// A disk in memory, to be shared with what runs on it.
///
/// The same seed and operations give the same disk.
pub struct SimDisk {
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    random: ChaCha8Rng,
    files: Vec<File>,
    /// Names as the running system sees them, and as they are on disk.
    names: BTreeMap<String, usize>,
    names_synced: BTreeMap<String, usize>,
    unsynced: Vec<FolderChange>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    stopped: bool,
    /// A planned [`Fault::Fail`] has happened, and at a sync.
    has_failed: bool,
    has_failed_sync: bool,
    /// There was no room for a file.
    is_full: bool,
    ignores_syncs: bool,
    bytes_free: u64,
    sector_bytes: usize,
}

#[derive(Clone)]
struct File {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum FolderChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State {
            random: ChaCha8Rng::seed_from_u64(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            names_synced: BTreeMap::new(),
            unsynced: Vec::new(),
            operations: 0,
            fault: None,
            stopped: false,
            has_failed: false,
            has_failed_sync: false,
            is_full: false,
            ignores_syncs: false,
            bytes_free: u64::MAX,
            sector_bytes: SECTOR_BYTES,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Lets it write other units whole than sectors of 512 bytes: smaller ones have more borders.
    pub fn set_sector(&self, bytes: usize) {
        self.lock().sector_bytes = bytes;
    }

    /// Lets something go wrong at the operation after this many more, counted from 0. Reading does
    /// not count.
    pub fn plan(&self, operations: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.operations + operations, fault));
    }

    /// Lets syncs do nothing and report success: for controls that must be seen to lose.
    pub fn ignore_syncs(&self) {
        self.lock().ignores_syncs = true;
    }

    /// Lets only so many more bytes be taken by new files.
    pub fn limit_space(&self, bytes: u64) {
        self.lock().bytes_free = bytes;
    }

    /// Whatever was planned does not happen any more.
    pub fn forget_faults(&self) {
        let mut state = self.lock();
        if !state.stopped {
            state.fault = None;
        }
    }

    /// How many operations there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether a planned [`Fault::Stop`] has happened.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Whether anything went wrong of which it was told that it would.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        let state = self.lock();
        state.stopped || state.has_failed || state.is_full
    }

    /// Whether a sync failed.
    #[must_use]
    pub fn has_failed_sync(&self) -> bool {
        self.lock().has_failed_sync
    }

    /// Whether there was no room for a file.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// The disk after the process was killed: everything written is there, not all of it safe.
    #[must_use]
    pub fn kill(&self) -> Arc<Self> {
        let mut state = self.lock().clone();
        self.lock().random.next_u64();
        state.forget_faults();
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The disk after the power went: what was not synced may be there, in part and in any order.
    #[must_use]
    pub fn crash(&self) -> Arc<Self> {
        let mut state = self.lock().clone();
        self.lock().random.next_u64();
        let State { random, files, sector_bytes, .. } = &mut state;
        for file in files.iter_mut() {
            file.lose(random, *sector_bytes);
        }
        for change in std::mem::take(&mut state.unsynced) {
            if state.random.random_bool(0.5) {
                change.apply(&mut state.names_synced);
            }
        }
        state.names = state.names_synced.clone();
        state.forget_faults();
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// What the running system sees of a file; nothing if there is none.
    #[must_use]
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.names.get(name).map_or_else(Vec::new, |file| state.files[*file].seen.clone())
    }

    /// Damages a file: changes its bytes at rest.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if let Some(file) = state.names.get(name).copied() {
            let file = &mut state.files[file];
            change(&mut file.seen);
            file.synced.clone_from(&file.seen);
            file.unsynced.clear();
        }
    }

    /// Damages the folder: a file is gone.
    pub fn lose_file(&self, name: &str) {
        let mut state = self.lock();
        state.names.remove(name);
        state.names_synced.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_faults(&mut self) {
        self.fault = None;
        self.stopped = false;
        self.has_failed = false;
        self.has_failed_sync = false;
        self.is_full = false;
    }

    /// Counts an operation; says what goes wrong in it.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.stopped {
            return Err(stopped());
        }
        let fault = self.fault.filter(|(at, _)| *at == self.operations).map(|(_, fault)| fault);
        self.operations += 1;
        self.stopped = fault == Some(Fault::Stop);
        self.has_failed |= fault == Some(Fault::Fail);
        Ok(fault)
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Changes the folder, or perhaps not if this is where something goes wrong.
    fn change_folder(&mut self, change: FolderChange, fault: Option<Fault>) -> io::Result<()> {
        if fault.is_none() || self.random.random_bool(0.5) {
            change.apply(&mut self.names);
            self.unsynced.push(change);
        }
        outcome(fault)
    }
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.seen, offset, bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            put(&mut self.synced, offset, &bytes);
        }
    }

    /// Lets each unsynced write reach the disk, or not, or in some of its sectors; the rest is
    /// forgotten.
    fn forget(&mut self, random: &mut ChaCha8Rng, sector_bytes: usize) {
        let mut writes = std::mem::take(&mut self.unsynced);
        while !writes.is_empty() {
            let (offset, bytes) = writes.swap_remove(random.random_range(0..writes.len()));
            match random.random_range(0..3) {
                0 => {}
                1 => put(&mut self.synced, offset, &bytes),
                _ => {
                    for sector in sectors(offset, bytes.len(), sector_bytes) {
                        if random.random_bool(0.7) {
                            put(&mut self.synced, offset + sector.start, &bytes[sector]);
                        }
                    }
                }
            }
        }
    }

    fn lose(&mut self, random: &mut ChaCha8Rng, sector_bytes: usize) {
        self.forget(random, sector_bytes);
        self.seen.clone_from(&self.synced);
    }
}

impl FolderChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<DiskFile>> {
        let state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let file = |(name, file): (&String, &usize)| DiskFile {
            name: name.clone(),
            bytes: state.files[*file].seen.len() as u64,
        };
        Ok(state.names.iter().map(file).collect())
    }

    fn create(&self, name: &str, bytes: u32) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let Some(left) = state.bytes_free.checked_sub(u64::from(bytes)) else {
            state.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        };
        state.bytes_free = left;
        let zeros = vec![0; bytes as usize];
        let unsynced = vec![(0, zeros.clone())];
        state.files.push(File { seen: zeros, synced: Vec::new(), unsynced });
        let change = FolderChange::Create(name.to_owned(), state.files.len() - 1);
        state.change_folder(change, fault)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        state.file(from)?;
        state.change_folder(FolderChange::Rename(from.to_owned(), to.to_owned()), fault)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        let bytes = state.files[state.file(name)?].seen.len() as u64;
        state.bytes_free = state.bytes_free.saturating_add(bytes);
        state.change_folder(FolderChange::Remove(name.to_owned()), fault)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let bytes = &state.files[state.file(name)?].seen;
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        let file = state.file(name)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let part = match fault {
            Some(_) => state.random.random_range(0..=bytes.len()),
            None => bytes.len(),
        };
        state.files[file].write(offset, &bytes[..part]);
        outcome(fault)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        let file = state.file(name)?;
        let ignored = state.ignores_syncs;
        let State { files, random, sector_bytes, .. } = &mut *state;
        match fault {
            None if ignored => {}
            None => files[file].sync(),
            Some(Fault::Fail) => {
                files[file].forget(random, *sector_bytes);
                state.has_failed_sync = true;
            }
            Some(Fault::Stop) => {}
        }
        outcome(fault)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.step()?;
        if fault.is_none() && !state.ignores_syncs {
            state.unsynced.clear();
            state.names_synced = state.names.clone();
        }
        outcome(fault)
    }
}

/// How many bytes reach a disk together or not at all, unless it is told otherwise.
const SECTOR_BYTES: usize = 512;

/// The parts of a write that are in different sectors, relative to its beginning.
fn sectors(offset: usize, length: usize, bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = length.min((offset + start + 1).next_multiple_of(bytes) - offset);
        let sector = start..end;
        start = end;
        (!sector.is_empty()).then_some(sector)
    })
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    if bytes.is_empty() && offset == 0 {
        bytes.extend_from_slice(part);
        return;
    }
    if bytes.len() < offset + part.len() {
        bytes.resize(offset + part.len(), 0);
    }
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

fn outcome(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::Fail) => Err(io::Error::other("input/output error (simulated)")),
        Some(Fault::Stop) => Err(stopped()),
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped (simulated)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(disk: &SimDisk, name: &str) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let count = disk.read_at(name, 0, &mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn what_is_synced_stays() {
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create("a", 2048).unwrap();
            disk.write_at("a", 100, &[1; 1500]).unwrap();
            disk.sync("a").unwrap();
            disk.sync_folder().unwrap();
            disk.write_at("a", 1600, &[2; 100]).unwrap();
            let before = contents(&disk, "a");
            assert_eq!(before, contents(&disk.kill(), "a"));
            let after = contents(&disk.crash(), "a");
            assert_eq!(before[..1536], after[..1536]);
        }
    }

    #[test]
    fn what_is_not_may_go_stay_or_tear() {
        let mut seen = [0; 3];
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create("a", 2048).unwrap();
            disk.sync("a").unwrap();
            disk.sync_folder().unwrap();
            disk.write_at("a", 0, &[1; 2048]).unwrap();
            let after = contents(&disk.crash(), "a");
            let kept = after.iter().filter(|byte| **byte == 1).count();
            assert_eq!(kept % SECTOR_BYTES, 0);
            seen[usize::from(kept > 0) + usize::from(kept == 2048)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    }

    #[test]
    fn a_failed_sync_loses_even_if_the_next_succeeds() {
        let mut lost = 0;
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create("a", 512).unwrap();
            disk.sync("a").unwrap();
            disk.sync_folder().unwrap();
            disk.write_at("a", 0, &[1; 512]).unwrap();
            disk.plan(0, Fault::Fail);
            disk.sync("a").unwrap_err();
            disk.sync("a").unwrap();
            assert_eq!(contents(&disk, "a")[0], 1);
            lost += usize::from(contents(&disk.crash(), "a")[0] == 0);
        }
        assert!(lost > 10);
    }

    #[test]
    fn it_stops_where_it_is_told() {
        let disk = SimDisk::new(1);
        disk.plan(1, Fault::Stop);
        disk.create("a", 512).unwrap();
        disk.write_at("a", 0, &[1]).unwrap_err();
        disk.sync("a").unwrap_err();
        disk.list().unwrap_err();
        assert!(disk.stopped());
        assert!(!disk.crash().stopped());
    }
}
