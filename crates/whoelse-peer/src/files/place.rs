//! From the store to its place: what is common to every file that is fetched, from one or from many.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use whoelse_proto::FileName;

use super::landing::{self, Landing};
use super::store::{Blobs, ExportError, FileHash, Present, SWEEP};
use crate::api::FileFailure;

/// How often what is there of a file and cannot be used is fetched anew.
pub(crate) const TRIES_MAX: u32 = 3;

/// How much longer than the store says it takes to forget.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a file waits and where it goes.
pub(crate) struct Place {
    /// Where its pieces are.
    pub(crate) pieces: PathBuf,
    /// Where the whole waits.
    pub(crate) whole: PathBuf,
    /// Where it goes.
    pub(crate) downloads: PathBuf,
    /// The name under which the store keeps it, unlike any other; fit to be a part of the name of a file.
    pub(crate) key: String,
    pub(crate) name: FileName,
    pub(crate) size: u64,
    pub(crate) hash: FileHash,
}

/// Why a file did not get out of the store.
pub(crate) enum Untaken {
    /// What is there of it cannot be used, and why: the store knows it in a place where it is no more.
    Gone(String),
    /// What is there of it can be used, but not be taken out as things are.
    Unlanded(FileFailure),
    /// It is not what was offered, or not any more to be had.
    Failed(FileFailure),
}

/// Tells work that cannot be given up that nobody waits for it any more, when dropped.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Place {
    /// Whether the whole can be given its place as things are now.
    pub(crate) fn has_place(&self) -> Result<(), FileFailure> {
        landing::try_out(&self.downloads, &self.key).map_err(|error| self.unlanded(&error))?;
        if landing::is_same_disk(&self.pieces, &self.downloads) {
            return Ok(());
        }
        // Where it cannot be asked, writing tells.
        match landing::lacking(&self.downloads, self.size).ok().flatten() {
            Some((needed, free)) => Err(FileFailure::DiskFull { needed, free }),
            None => Ok(()),
        }
    }

    /// Whether there is room for what is missing.
    pub(crate) fn has_room(&self, missing: u64) -> Result<(), FileFailure> {
        // Where it cannot be asked, writing tells.
        let lacking = landing::lacking(&self.pieces, missing).ok().flatten();
        match lacking {
            Some((needed, free)) => Err(FileFailure::DiskFull { needed, free }),
            None => Ok(()),
        }
    }

    /// Whether the file waits whole already, as it does when the program ended before it was given its place. The store
    /// reads it through, and may have lost it otherwise.
    pub(crate) async fn waits(&self, blobs: &Blobs) -> Result<bool, Untaken> {
        let Ok(about) = std::fs::symlink_metadata(&self.whole) else { return Ok(false) };
        if about.is_file() && about.len() == self.size {
            let found = blobs.add(self.whole.clone(), &self.key).await;
            // It may be kept as something else now.
            let kept = blobs.keep(self.hash, &self.key).await;
            // What came whole stays, whatever the disk says now.
            kept.map_err(|error| Untaken::Unlanded(self.local(error)))?;
            match found {
                Ok((hash, _)) if hash == self.hash => return Ok(true),
                Ok(_) => {}
                Err(error) => return Err(Untaken::Unlanded(self.local(error.to_string()))),
            }
        }
        // Half of one is of no use: the store has the pieces.
        drop(std::fs::remove_file(&self.whole));
        Ok(false)
    }

    /// Takes the whole out to where it waits. `before` is what was there of it before anything was fetched now.
    pub(crate) async fn take_out(&self, blobs: &Blobs, before: &Present) -> Result<(), Untaken> {
        let size = match blobs.export(self.hash, self.whole.clone()).await {
            Ok(size) => size,
            Err(ExportError::Gone(error)) => return Err(Untaken::Gone(error)),
            Err(ExportError::Partial) => return Err(Untaken::Failed(FileFailure::NotAsOffered)),
            Err(ExportError::Local(error)) => return Err(Untaken::Unlanded(self.local(error))),
        };
        if size != self.size {
            return Err(Untaken::Failed(FileFailure::NotAsOffered));
        }
        // What was there before was right once; it may be a file of the person that was changed since.
        let is_new = before.bytes(0..self.size) < self.size;
        if is_new || self.waits(blobs).await? {
            return Ok(());
        }
        Err(Untaken::Gone("it was changed".to_owned()))
    }

    /// The same bytes came before and were moved away since: forgets them, which happens by and by once nobody wants
    /// to keep them.
    pub(crate) async fn renew(&self, blobs: &Blobs) -> Result<(), FileFailure> {
        drop(std::fs::remove_file(&self.whole));
        blobs.forget(&self.key).await;
        sleep(SWEEP + PAUSE).await;
        blobs.keep(self.hash, &self.key).await.map_err(FileFailure::Unwritable)
    }

    /// Gives the whole its place.
    pub(crate) async fn land(&self) -> Result<PathBuf, FileFailure> {
        let stop = Stop::default();
        let landing = Landing {
            waiting: self.whole.clone(),
            size: self.size,
            downloads: self.downloads.clone(),
            own: landing::own_folder(&self.downloads, &self.key),
            name: self.name.clone(),
            stop: Arc::clone(&stop.0),
        };
        let landed = spawn_blocking(move || landing.land()).await;
        landed.map_err(std::io::Error::other).flatten().map_err(|error| self.unlanded(&error))
    }

    /// Why the whole could not be given its place.
    pub(crate) fn unlanded(&self, error: &std::io::Error) -> FileFailure {
        let lacking = landing::lacking(&self.downloads, 0).ok().flatten();
        match lacking.filter(|_| error.kind() == ErrorKind::StorageFull) {
            Some((_, free)) => FileFailure::DiskFull { needed: self.size, free },
            None => FileFailure::Unwritable(format!("{}: {error}", self.downloads.display())),
        }
    }

    /// Why something could not be written here.
    pub(crate) fn local(&self, error: String) -> FileFailure {
        match landing::lacking(&self.pieces, 0).ok().flatten() {
            Some((_, free)) => FileFailure::DiskFull { needed: self.size, free },
            None => FileFailure::Unwritable(error),
        }
    }
}
