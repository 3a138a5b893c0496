//! A disk as it is after a power cut, made from what was done to it.
//!
//! Model: what was written to a file before its last sync is there; of what came after, anything
//! may be, in whole, in part, or in sectors of 512 bytes. Names of files made, renamed and removed
//! are as they were at the last sync of their folder, or as any of the later changes made them.
//! Not in it: writes that go astray, and disks that lie about syncs, except on request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use whoelse_server::journal::{Disk, DiskFile};

use super::inspect::{self, Found, Unusable};
use super::trace::{Entry, Trace};
use super::trouble::While;

const SECTOR: usize = 512;

/// Which syncs the disk lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// None.
    No,
    /// Those of all files, not those of folders.
    Files,
    /// Those of the journal's files.
    Journal,
    /// Those of folders.
    Folders,
}

/// A disk on which things are done.
#[derive(Debug)]
pub(crate) struct Worked<'a> {
    trace: &'a Trace,
    lies: Lies,
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    /// Names as the running system sees them, and as they are on disk.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    synced_folders: BTreeSet<String>,
    /// Changes of names that were not synced, in order.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct File {
    synced: Arc<Vec<u8>>,
    /// What was done since, as indices of entries.
    unsynced: Vec<usize>,
    is_lied_about: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Unlink(String),
    Folder(String),
}

/// What becomes of something that was not synced.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// All of it is gone.
    Gone,
    /// All of it is there.
    There,
    /// What was done first is there.
    First(f64),
    /// Each thing is there or not.
    Some(f64),
    /// Each sector of each write is there or not.
    Sectors,
}

impl<'a> Worked<'a> {
    /// An empty disk with a folder in it.
    pub(crate) fn new(trace: &'a Trace, lies: Lies) -> Self {
        Self {
            trace,
            lies,
            files: Vec::new(),
            by_inode: HashMap::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            synced_folders: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// Puts a file there that was there before the trace began, in folders that were.
    pub(crate) fn put(&mut self, path: &str, inode: u64, content: Vec<u8>) {
        let is_lied_about = self.lies_about(path);
        let unsynced = Vec::new();
        self.files.push(File { synced: Arc::new(content), unsynced, is_lied_about });
        let file = self.files.len() - 1;
        self.by_inode.insert(inode, file);
        self.names.insert(path.to_owned(), file);
        self.synced_names.insert(path.to_owned(), file);
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        self.synced_folders.extend(parents);
    }

    fn lies_about(&self, path: &str) -> bool {
        match self.lies {
            Lies::No | Lies::Folders => false,
            Lies::Files => true,
            Lies::Journal => path.starts_with("data/journal"),
        }
    }

    /// Does what an entry says.
    pub(crate) fn work(&mut self, index: usize) {
        let trace = self.trace;
        match &trace.entries[index] {
            Entry::Open { file, path, is_new } => self.open(*file, path, *is_new),
            Entry::Write { file, .. }
            | Entry::Zeros { file, .. }
            | Entry::Truncate { file, .. } => {
                if let Some(file) = self.by_inode.get(file) {
                    self.files[*file].unsynced.push(index);
                }
            }
            Entry::Sync { file } => {
                if let Some(file) = self.by_inode.get(file).copied() {
                    self.sync(file);
                }
            }
            Entry::SyncFolder { path } => self.sync_folder(path),
            Entry::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
                self.changes.push(Change::Rename(from.clone(), to.clone()));
            }
            Entry::Unlink { path } => {
                self.names.remove(path);
                self.changes.push(Change::Unlink(path.clone()));
            }
            Entry::MakeFolder { path } => self.changes.push(Change::Folder(path.clone())),
            Entry::Said { .. } | Entry::Start | Entry::Fault => {}
        }
    }

    fn open(&mut self, inode: u64, path: &str, is_new: bool) {
        if !is_new && self.by_inode.contains_key(&inode) {
            return;
        }
        let is_lied_about = self.lies_about(path);
        self.files.push(File { synced: Arc::default(), unsynced: Vec::new(), is_lied_about });
        let file = self.files.len() - 1;
        self.by_inode.insert(inode, file);
        self.names.insert(path.to_owned(), file);
        self.changes.push(Change::Create(path.to_owned(), file));
    }

    fn sync(&mut self, file: usize) {
        let trace = self.trace;
        let file = &mut self.files[file];
        if file.is_lied_about {
            return;
        }
        let content = Arc::make_mut(&mut file.synced);
        for index in file.unsynced.drain(..) {
            apply(content, trace, index, |_| true);
        }
    }

    fn sync_folder(&mut self, folder: &str) {
        let is_in = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent) == folder;
        if self.lies == Lies::Folders {
            return;
        }
        for change in std::mem::take(&mut self.changes) {
            let path = match &change {
                Change::Create(path, _) | Change::Unlink(path) | Change::Folder(path) => path,
                Change::Rename(_, to) => to,
            };
            if is_in(path) {
                apply_change(&mut self.synced_names, &mut self.synced_folders, &change);
            } else {
                self.changes.push(change);
            }
        }
    }

    /// The disk after a power cut now.
    pub(crate) fn cut(&self, random: &mut ChaCha8Rng) -> Image {
        let fate = |random: &mut ChaCha8Rng| match random.random_range(0..5) {
            0 => Fate::Gone,
            1 => Fate::There,
            2 => Fate::First(random.random()),
            3 => Fate::Some(random.random()),
            _ => Fate::Sectors,
        };
        let of_names = fate(random);
        let of_content = fate(random);
        self.cut_so(of_names, of_content, random)
    }

    /// The disk after a power cut that took all that was not synced.
    pub(crate) fn cut_hard(&self, random: &mut ChaCha8Rng) -> Image {
        self.cut_so(Fate::Gone, Fate::Gone, random)
    }

    fn cut_so(&self, of_names: Fate, of_content: Fate, random: &mut ChaCha8Rng) -> Image {
        let mut names = self.synced_names.clone();
        let mut folders = self.synced_folders.clone();
        for (index, change) in self.changes.iter().enumerate() {
            if is_there(of_names, index, self.changes.len(), random) {
                apply_change(&mut names, &mut folders, change);
            }
        }
        let mut image = Image::default();
        for (name, file) in names {
            let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
            // The journal's folder is made by a call that is not seen.
            let is_known = parent.is_empty() || parent == "data/journal";
            let has_data = folders.contains("data");
            if has_data && (is_known || folders.contains(parent)) {
                image.files.insert(name, self.content(file, of_content, random));
            }
        }
        image
    }

    fn content(&self, file: usize, fate: Fate, random: &mut ChaCha8Rng) -> Arc<Vec<u8>> {
        let file = &self.files[file];
        if file.unsynced.is_empty() || matches!(fate, Fate::Gone) {
            return Arc::clone(&file.synced);
        }
        let mut content = file.synced.to_vec();
        for (index, entry) in file.unsynced.iter().enumerate() {
            if matches!(fate, Fate::Sectors) {
                apply(&mut content, self.trace, *entry, |_| random.random_bool(0.7));
            } else if is_there(fate, index, file.unsynced.len(), random) {
                apply(&mut content, self.trace, *entry, |_| true);
            }
        }
        Arc::new(content)
    }
}

fn is_there(fate: Fate, index: usize, count: usize, random: &mut ChaCha8Rng) -> bool {
    match fate {
        Fate::Gone => false,
        Fate::There => true,
        Fate::First(share) => (index as f64) < share * count as f64,
        Fate::Some(chance) => random.random_bool(chance),
        Fate::Sectors => random.random_bool(0.7),
    }
}

fn apply_change(
    names: &mut BTreeMap<String, usize>,
    folders: &mut BTreeSet<String>,
    change: &Change,
) {
    match change {
        Change::Create(path, file) => {
            names.insert(path.clone(), *file);
        }
        Change::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Change::Unlink(path) => {
            names.remove(path);
        }
        Change::Folder(path) => {
            folders.insert(path.clone());
        }
    }
}

/// Does one thing to a content; of what is written, only the sectors that are kept.
fn apply(content: &mut Vec<u8>, trace: &Trace, index: usize, keep: impl FnMut(usize) -> bool) {
    match &trace.entries[index] {
        Entry::Write { offset, data, .. } => {
            let bytes = &trace.bytes[data.clone()];
            write(content, *offset as usize, bytes.len(), keep, |range, at| {
                range.copy_from_slice(&bytes[at..at + range.len()]);
            });
        }
        Entry::Zeros { offset, size, .. } => {
            write(content, *offset as usize, *size as usize, keep, |range, _| range.fill(0));
        }
        Entry::Truncate { size, .. } => content.resize(*size as usize, 0),
        _ => {}
    }
}

fn write(
    content: &mut Vec<u8>,
    offset: usize,
    count: usize,
    mut keep: impl FnMut(usize) -> bool,
    mut fill: impl FnMut(&mut [u8], usize),
) {
    if content.len() < offset + count {
        content.resize(offset + count, 0);
    }
    let mut at = 0;
    while at < count {
        let place = offset + at;
        let part = (SECTOR - place % SECTOR).min(count - at);
        if keep(place / SECTOR) {
            fill(&mut content[place..place + part], at);
        }
        at += part;
    }
}

/// The files on a disk after a power cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<String, Arc<Vec<u8>>>,
}

impl Image {
    /// Opens it as the server would, with the database in an empty folder.
    pub(crate) fn open(&self, folder: &Path) -> Result<Found, Unusable> {
        for (path, content) in &self.files {
            let name = path.strip_prefix("data/").filter(|name| name.starts_with("whoelse.db"));
            if let Some(name) = name {
                std::fs::write(folder.join(name), content.as_slice()).during("making an image")?;
            }
        }
        inspect::open_on(folder, Arc::new(self.journal()))
    }

    /// The journal in it, to be opened.
    pub(crate) fn journal(&self) -> ImageDisk {
        let named = self.files.iter().filter_map(|(path, content)| {
            Some((path.strip_prefix("data/journal/")?.to_owned(), Arc::clone(content)))
        });
        ImageDisk { files: Mutex::new(named.collect()) }
    }
}

/// A journal's folder in memory, shared with others until it is written to.
pub(crate) struct ImageDisk {
    files: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
}

impl ImageDisk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Vec<u8>>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for ImageDisk {
    fn list(&self) -> io::Result<Vec<DiskFile>> {
        let file = |(name, content): (&String, &Arc<Vec<u8>>)| DiskFile {
            name: name.clone(),
            bytes: content.len() as u64,
        };
        Ok(self.lock().iter().map(file).collect())
    }

    fn create(&self, name: &str, bytes: u32) -> io::Result<()> {
        let mut files = self.lock();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(name.to_owned(), Arc::new(vec![0; bytes as usize]));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.lock();
        let file = files.remove(from).ok_or_else(missing)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name).map(drop).ok_or_else(missing)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let files = self.lock();
        let content = files.get(name).ok_or_else(missing)?;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.lock();
        let content = Arc::make_mut(files.get_mut(name).ok_or_else(missing)?);
        let end = offset as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}
