//! The work of one transfer: reading a file of ours through, or fetching one of theirs until it is whole and in its place.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iroh::endpoint::Connection;
use n0_future::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use whoelse_proto::FileName;

use super::landing::{self, Landing};
use super::rate::Rate;
use super::state::{Source, Token};
use super::store::{Blobs, ExportError, FetchError, FileHash, Present, SWEEP};
use super::text;
use crate::FILE_BYTES_MAX;
use crate::api::{Event, FileEvent, FileFailure, TransferId};
use crate::wire::FileFrame;

/// How much is asked for at once, in bytes.
const PART: u64 = 16 * 1024 * 1024;

/// How many parts are under way at once: while one ends, the next flows already.
const PARTS_AT_ONCE: usize = 2;

/// How often they may fail to give what they offered before we stop asking, without a byte in between.
const LACKING_MAX: u32 = 3;

/// How long after a part that failed it is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the other side is told how much has come.
const HAVE: Duration = Duration::from_millis(250);

/// How often what is there of a file and cannot be used is fetched anew.
const TRIES_MAX: u32 = 3;

/// Everything there is to know for it.
pub(super) struct Plan {
    pub(super) transfer: TransferId,
    pub(super) token: Token,
    pub(super) name: FileName,
    pub(super) size: u64,
    pub(super) hash: FileHash,
    pub(super) connection: Connection,
    pub(super) frames: mpsc::Sender<FileFrame<'static>>,
    pub(super) events: mpsc::Sender<Event>,
    /// Where the pieces are.
    pub(super) pieces: PathBuf,
    /// Where the whole waits.
    pub(super) whole: PathBuf,
    /// Where it goes.
    pub(super) downloads: PathBuf,
}

/// Why a file is not there.
pub(super) enum Unreceived {
    /// The connection is over; there may be another.
    Line,
    /// What is there of it can be used, but not be given its place as things are.
    Unlanded(FileFailure),
    Failed(FileFailure),
}

/// Why an attempt has failed.
enum Trouble {
    /// What is there of the file cannot be used, and why: the store knows it in a place where it is no more.
    Gone(String),
    Other(Unreceived),
}

impl From<Unreceived> for Trouble {
    fn from(why: Unreceived) -> Self {
        Self::Other(why)
    }
}

/// Tells work that cannot be given up that nobody waits for it any more, when dropped.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn not_as_offered() -> Trouble {
    Trouble::Other(FileFailure::NotAsOffered.into())
}

impl From<FileFailure> for Unreceived {
    fn from(why: FileFailure) -> Self {
        Self::Failed(why)
    }
}

/// Reads a file of ours through, and keeps it in mind under a name.
pub(super) async fn read(
    blobs: &Blobs,
    path: PathBuf,
    name: &str,
) -> Result<(Source, FileHash, u64), FileFailure> {
    let path = std::path::absolute(&path)
        .map_err(|error| FileFailure::Unreadable(format!("{}: {error}", path.display())))?;
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::IsADirectory => FileFailure::NotAFile,
        _ => FileFailure::Unreadable(format!("{}: {error}", path.display())),
    };
    let (source, size) = Source::of(path.clone()).map_err(told)?;
    if size > FILE_BYTES_MAX {
        return Err(FileFailure::TooLarge);
    }
    let (hash, read) = blobs.add(path.clone(), name).await.map_err(told)?;
    if read != size || !source.is_unchanged(size) {
        return Err(FileFailure::Changed);
    }
    Ok((source, hash, size))
}

impl Plan {
    /// Fetches what is not there yet, and gives the file its place.
    pub(super) async fn receive(&self, blobs: &Blobs) -> Result<PathBuf, Unreceived> {
        self.has_place().map_err(Unreceived::Unlanded)?;
        if self.size == 0 {
            landing::empty(&self.whole).map_err(|error| self.local(error.to_string()))?;
        } else {
            blobs.keep(self.hash, &text(&self.token)).await.map_err(FileFailure::Unwritable)?;
            self.complete(blobs).await?;
        }
        self.land().await.map_err(Unreceived::Unlanded)
    }

    /// Gives the whole its place.
    async fn land(&self) -> Result<PathBuf, FileFailure> {
        let stop = Stop::default();
        let landing = Landing {
            waiting: self.whole.clone(),
            size: self.size,
            downloads: self.downloads.clone(),
            own: landing::own_folder(&self.downloads, &text(&self.token)),
            name: self.name.clone(),
            stop: Arc::clone(&stop.0),
        };
        let landed = spawn_blocking(move || landing.land()).await;
        landed.map_err(std::io::Error::other).flatten().map_err(|error| self.unlanded(&error))
    }

    /// Gets the file whole to where it waits.
    async fn complete(&self, blobs: &Blobs) -> Result<(), Unreceived> {
        let mut tries = 0;
        loop {
            match self.attempt(blobs).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Other(why)) => return Err(why),
                Err(Trouble::Gone(error)) => {
                    tries += 1;
                    if tries >= TRIES_MAX {
                        return Err(self.local(error).into());
                    }
                    self.renew(blobs).await?;
                }
            }
        }
    }

    async fn attempt(&self, blobs: &Blobs) -> Result<(), Trouble> {
        if self.waits(blobs).await? {
            return Ok(());
        }
        let present = blobs.present(self.hash, self.size).await;
        let present = present.map_err(|error| Unreceived::from(self.local(error)))?;
        self.fetch(blobs, &present).await?;
        let size = match blobs.export(self.hash, self.whole.clone()).await {
            Ok(size) => size,
            Err(ExportError::Gone(error)) => return Err(Trouble::Gone(error)),
            Err(ExportError::Partial) => return Err(not_as_offered()),
            Err(ExportError::Local(error)) => {
                return Err(Unreceived::Unlanded(self.local(error)).into());
            }
        };
        if size != self.size {
            return Err(not_as_offered());
        }
        // What was there before was right once; it may be a file of the person that was changed since.
        let is_new = present.bytes(0..self.size) < self.size;
        if is_new || self.waits(blobs).await? {
            return Ok(());
        }
        Err(Trouble::Gone("it was changed".to_owned()))
    }

    /// Whether the file waits whole already, as it does when the program ended before it was given its place. The store
    /// reads it through, and may have lost it otherwise.
    async fn waits(&self, blobs: &Blobs) -> Result<bool, Unreceived> {
        let Ok(about) = std::fs::symlink_metadata(&self.whole) else { return Ok(false) };
        if about.is_file() && about.len() == self.size {
            let name = text(&self.token);
            let found = blobs.add(self.whole.clone(), &name).await;
            // It may be kept as something else now.
            blobs.keep(self.hash, &name).await.map_err(FileFailure::Unwritable)?;
            match found {
                Ok((hash, _)) if hash == self.hash => return Ok(true),
                Ok(_) => {}
                Err(error) => return Err(Unreceived::Unlanded(self.local(error.to_string()))),
            }
        }
        // Half of one is of no use: the store has the pieces.
        drop(std::fs::remove_file(&self.whole));
        Ok(false)
    }

    /// The same bytes came before and were moved away since: forgets them, which happens by and by once nobody wants
    /// to keep them.
    async fn renew(&self, blobs: &Blobs) -> Result<(), FileFailure> {
        drop(std::fs::remove_file(&self.whole));
        blobs.forget(&text(&self.token)).await;
        sleep(SWEEP + PAUSE).await;
        blobs.keep(self.hash, &text(&self.token)).await.map_err(FileFailure::Unwritable)
    }

    /// Fetches until nothing is missing.
    async fn fetch(&self, blobs: &Blobs, present: &Present) -> Result<(), Unreceived> {
        let missing = self.size - present.bytes(0..self.size);
        self.has_room(missing)?;
        let (counts, mut counted) = mpsc::channel(64);
        let mut rate = Rate::new(Instant::now(), self.size - missing);
        let mut told = Instant::now();
        let mut work = std::pin::pin!(self.parts(blobs, counts));
        loop {
            tokio::select! {
                biased;
                Some(bytes) = counted.recv() => {
                    rate.set(rate.done().saturating_add(bytes).min(self.size));
                    self.tell(&mut rate, &mut told);
                }
                done = &mut work => return done,
            }
        }
    }

    fn tell(&self, rate: &mut Rate, told: &mut Instant) {
        let now = Instant::now();
        if let Some(bytes_per_second) = rate.tell(now) {
            let (done, total) = (rate.done(), self.size);
            let what = FileEvent::Progress { done, total, bytes_per_second };
            // Progress that nobody has time for is no loss.
            drop(self.events.try_send(Event::File { transfer: self.transfer, what }));
        }
        if now >= *told + HAVE {
            *told = now;
            let have = FileFrame::Have { token: self.token, bytes: rate.done() };
            drop(self.frames.try_send(have));
        }
    }

    /// Fetches all parts, each again until it is there.
    async fn parts(&self, blobs: &Blobs, counts: mpsc::Sender<u64>) -> Result<(), Unreceived> {
        let mut begins = (0..self.size).step_by(usize::try_from(PART).unwrap_or(usize::MAX));
        let part = |begin: u64| begin..self.size.min(begin + PART);
        let mut under_way = FuturesUnordered::new();
        for begin in begins.by_ref().take(PARTS_AT_ONCE) {
            under_way.push(self.part(blobs, part(begin), &counts));
        }
        while let Some(done) = under_way.next().await {
            done?;
            if let Some(begin) = begins.next() {
                under_way.push(self.part(blobs, part(begin), &counts));
            }
        }
        Ok(())
    }

    async fn part(
        &self,
        blobs: &Blobs,
        part: Range<u64>,
        counts: &mpsc::Sender<u64>,
    ) -> Result<(), Unreceived> {
        let mut lacking = 0;
        let mut before = None;
        loop {
            match blobs.fetch(&self.connection, self.hash, part.clone(), counts).await {
                Ok(()) => return Ok(()),
                Err(FetchError::Line) => return Err(Unreceived::Line),
                Err(FetchError::Wrong) => return Err(FileFailure::NotAsOffered.into()),
                Err(FetchError::Unwritable(error)) => return Err(self.local(error).into()),
                Err(FetchError::Stalled) => {}
                Err(FetchError::Lacking) => {
                    let present = blobs.present(self.hash, self.size).await;
                    let there = present.ok().map(|present| present.bytes(part.clone()));
                    lacking = if there > before { 1 } else { lacking + 1 };
                    before = there;
                    if lacking >= LACKING_MAX {
                        return Err(FileFailure::NotAsOffered.into());
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the whole can be given its place as things are now.
    fn has_place(&self) -> Result<(), FileFailure> {
        landing::try_out(&self.downloads, &text(&self.token))
            .map_err(|error| self.unlanded(&error))?;
        if landing::is_same_disk(&self.pieces, &self.downloads) {
            return Ok(());
        }
        // Where it cannot be asked, writing tells.
        match landing::lacking(&self.downloads, self.size).ok().flatten() {
            Some((needed, free)) => Err(FileFailure::DiskFull { needed, free }),
            None => Ok(()),
        }
    }

    /// Why the whole could not be given its place.
    fn unlanded(&self, error: &std::io::Error) -> FileFailure {
        let lacking = landing::lacking(&self.downloads, 0).ok().flatten();
        match lacking.filter(|_| error.kind() == ErrorKind::StorageFull) {
            Some((_, free)) => FileFailure::DiskFull { needed: self.size, free },
            None => FileFailure::Unwritable(format!("{}: {error}", self.downloads.display())),
        }
    }

    /// Whether there is room for what is missing.
    fn has_room(&self, missing: u64) -> Result<(), FileFailure> {
        // Where it cannot be asked, writing tells.
        let lacking = landing::lacking(&self.pieces, missing).ok().flatten();
        match lacking {
            Some((needed, free)) => Err(FileFailure::DiskFull { needed, free }),
            None => Ok(()),
        }
    }

    /// Why something could not be written here.
    fn local(&self, error: String) -> FileFailure {
        match landing::lacking(&self.pieces, 0).ok().flatten() {
            Some((_, free)) => FileFailure::DiskFull { needed: self.size, free },
            None => FileFailure::Unwritable(error),
        }
    }
}
