//! What is remembered of transfers from run to run: a small file that is replaced whole.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::store::FileHash;

/// How many transfers that are over are remembered, for a peer that did not hear of their end.
const OVER_MAX: usize = 256;

const LOCK: &str = "lock";

/// What a transfer is called by both sides: random, chosen by the sender.
pub(crate) type Token = [u8; 16];

/// What a small file remembers.
pub(crate) trait Remembered: Default + Serialize + DeserializeOwned {
    /// What the file is called.
    const FILE: &str;
}

impl Remembered for Memory {
    const FILE: &str = "transfers.json";
}

/// All that is remembered of transfers.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Which are not over.
    pub(crate) transfers: Vec<Kept>,
    /// Which are, the newest last.
    pub(crate) over: VecDeque<Over>,
}

/// A transfer that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) token: Token,
    /// See [`crate::Peer::device`].
    pub(crate) device: String,
    /// As it was called first; made harmless before it is used.
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) hash: FileHash,
    /// Of a file that we send: where it is, and when it was last changed when it was read.
    pub(crate) source: Option<Source>,
}

/// Our own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Seconds and nanoseconds.
    pub(crate) changed: (i64, i64),
}

/// A transfer that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Over {
    pub(crate) token: Token,
    pub(crate) device: String,
    /// It came whole.
    pub(crate) done: bool,
}

/// The folder it is in, which nobody else uses meanwhile.
#[derive(Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: Arc<File>,
}

impl Folder {
    /// Takes the folder, and makes it if there is none. What cannot be is told in words.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let path = std::path::absolute(path).map_err(told)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(told)?;
        let lock = private().create(true).truncate(false).open(path.join(LOCK)).map_err(told)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            format!("{} is in use by another whoelse; end that one first", path.display())
        })?;
        let folder = Self { path, lock: Arc::new(lock) };
        for place in [folder.pieces(), folder.whole(), folder.swarm(), folder.swarm_whole()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&place).map_err(told)?;
            fs::set_permissions(&place, Permissions::from_mode(0o700)).map_err(told)?;
        }
        Ok(folder)
    }

    /// Where whole files wait until they have their place; nobody else may look into it.
    pub(crate) fn whole(&self) -> PathBuf {
        self.path.join("whole")
    }

    /// Where pieces are of files that are shared or fetched from many. Apart, so that no transfer moves away what a share
    /// of the same file needs.
    pub(crate) fn swarm(&self) -> PathBuf {
        self.path.join("swarm")
    }

    /// What [`Folder::whole`] is for those.
    pub(crate) fn swarm_whole(&self) -> PathBuf {
        self.path.join("swarm-whole")
    }

    /// Removes what waits in a folder and is not wanted any more.
    pub(crate) fn sweep(folder: &Path, wanted: &HashSet<OsString>) -> io::Result<()> {
        for found in fs::read_dir(folder)? {
            let found = found?;
            if !wanted.contains(&found.file_name()) {
                fs::remove_file(found.path())?;
            }
        }
        Ok(())
    }

    /// Where pieces of files are.
    pub(crate) fn pieces(&self) -> PathBuf {
        self.path.join("pieces")
    }

    /// What was remembered. A file that cannot be understood is set aside: it costs what is unfinished, no more.
    pub(crate) fn read<T: Remembered>(&self) -> Result<T, String> {
        let path = self.path.join(T::FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                // If it cannot be renamed either, writing tells.
                drop(fs::rename(&path, path.with_extension("json.unreadable")));
                T::default()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Remembers. One at a time, else the older may come last.
    pub(crate) async fn write<T: Remembered>(&self, memory: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(memory)?;
        let (path, lock) = (self.path.clone(), Arc::clone(&self.lock));
        let written = spawn_blocking(move || {
            let written = replace(&path, T::FILE, &bytes);
            // Held until it is written, whatever becomes of us.
            drop(lock);
            written
        });
        written.await.map_err(io::Error::other)?
    }
}

impl Memory {
    /// Notes that a transfer is over; says whether it was remembered.
    pub(crate) fn end(&mut self, token: Token, done: bool) -> bool {
        let Some(index) = self.transfers.iter().position(|kept| kept.token == token) else {
            return false;
        };
        let device = self.transfers.remove(index).device;
        if self.over.len() >= OVER_MAX {
            self.over.pop_front();
        }
        self.over.push_back(Over { token, device, done });
        true
    }

    /// What is remembered of a transfer with a device that is not over.
    pub(crate) fn kept(&self, token: &Token, device: &str) -> Option<&Kept> {
        self.transfers.iter().find(|kept| kept.token == *token && kept.device == device)
    }

    /// Remembers a transfer, instead of what was known of it.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.transfers.retain(|other| other.token != kept.token);
        self.transfers.push(kept);
    }

    /// How a transfer with a device ended.
    pub(crate) fn ended(&self, token: &Token, device: &str) -> Option<bool> {
        let found = self.over.iter().find(|over| over.token == *token && over.device == device);
        found.map(|over| over.done)
    }
}

impl Source {
    /// Notes how our file is now.
    pub(crate) fn of(path: PathBuf) -> io::Result<(Self, u64)> {
        let found = fs::metadata(&path)?;
        if !found.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let changed = (found.mtime(), found.mtime_nsec());
        Ok((Self { path, changed }, found.len()))
    }

    /// Whether our file is still what it was.
    pub(crate) fn is_unchanged(&self, size: u64) -> bool {
        Self::of(self.path.clone()).is_ok_and(|(now, found)| now == *self && found == size)
    }
}

/// Writes the whole of it beside, and lets that take its place.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let next = folder.join(format!("{name}.new"));
    let mut file = private().create(true).truncate(true).open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(token: u8) -> Kept {
        Kept {
            token: [token; 16],
            device: "luke".to_owned(),
            name: "a.txt".to_owned(),
            size: 7,
            hash: [token; 32],
            source: None,
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.read::<Memory>(), Ok(Memory::default()));
        let mut memory = Memory { transfers: vec![kept(1), kept(2)], ..Memory::default() };
        assert!(memory.end([1; 16], true));
        assert!(!memory.end([9; 16], true));
        folder.write(&memory).await.unwrap();
        assert_eq!(folder.read(), Ok(memory));
        assert_eq!(folder.read::<Memory>().unwrap().ended(&[1; 16], "luke"), Some(true));
        assert_eq!(folder.read::<Memory>().unwrap().ended(&[1; 16], "yoda"), None);
    }

    #[test]
    fn what_waits_is_for_nobody_else_and_goes_when_it_is_not_wanted() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let mode = fs::metadata(folder.whole()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        for name in ["old", "new"] {
            fs::write(folder.whole().join(name), name).unwrap();
        }
        Folder::sweep(&folder.whole(), &HashSet::from([OsString::from("new")])).unwrap();
        assert!(!folder.whole().join("old").exists() && folder.whole().join("new").exists());
    }

    #[test]
    fn one_folder_is_used_by_one() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let refused = Folder::open(place.path()).err().unwrap();
        assert!(refused.contains("in use by another whoelse"), "{refused}");
        drop(folder);
        assert!(Folder::open(place.path()).is_ok());
    }

    #[test]
    fn what_cannot_be_understood_is_set_aside() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::write(place.path().join(Memory::FILE), "{").unwrap();
        assert_eq!(folder.read::<Memory>(), Ok(Memory::default()));
        assert!(place.path().join("transfers.json.unreadable").exists());
    }

    #[test]
    fn no_more_ends_are_remembered_than_allowed() {
        let mut memory = Memory::default();
        for _ in 0..OVER_MAX + 10 {
            memory.transfers.push(kept(1));
            memory.end([1; 16], false);
        }
        assert_eq!(memory.over.len(), OVER_MAX);
        assert!(memory.transfers.is_empty());
    }
}
