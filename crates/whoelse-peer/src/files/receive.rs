//! The work of one transfer: reading a file of ours through, or fetching one of theirs until it is whole and in its place.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use iroh::endpoint::Connection;
use n0_future::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use whoelse_proto::FileName;

use super::landing;
use super::rate::Rate;
use super::state::{Source, Token};
use super::store::{Blobs, FetchError, FileHash, Present, SWEEP};
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
    /// Where the whole goes.
    pub(super) downloads: PathBuf,
}

/// Why a file is not there.
pub(super) enum Unreceived {
    /// The connection is over; there may be another.
    Line,
    Failed(FileFailure),
}

/// Why an attempt has failed.
enum Trouble {
    /// What is there of the file cannot be used, and why: the store knows it in a place where it is no more.
    Gone(String),
    Other(Unreceived),
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
        let waiting = landing::waiting_place(&self.downloads, &text(&self.token));
        let unwritable = |error: std::io::Error| {
            FileFailure::Unwritable(format!("{}: {error}", self.downloads.display()))
        };
        if self.size == 0 {
            landing::empty(&waiting).map_err(unwritable)?;
        } else {
            blobs.keep(self.hash, &text(&self.token)).await.map_err(FileFailure::Unwritable)?;
            self.fetch_and_export(blobs, &waiting).await?;
        }
        let (downloads, name) = (self.downloads.clone(), self.name.clone());
        let landed = spawn_blocking(move || landing::land(&waiting, &downloads, &name)).await;
        let landed = landed.map_err(|error| FileFailure::Unwritable(error.to_string()))?;
        Ok(landed.map_err(unwritable)?)
    }

    async fn fetch_and_export(
        &self,
        blobs: &Blobs,
        waiting: &std::path::Path,
    ) -> Result<(), Unreceived> {
        let mut tries = 0;
        loop {
            match self.attempt(blobs, waiting).await {
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

    async fn attempt(&self, blobs: &Blobs, waiting: &std::path::Path) -> Result<(), Trouble> {
        let present = blobs.present(self.hash, self.size).await.map_err(Trouble::Gone)?;
        self.fetch(blobs, &present).await.map_err(Trouble::Other)?;
        blobs.export(self.hash, waiting.to_owned()).await.map_err(Trouble::Gone)
    }

    /// The same bytes came before and were moved away since: forgets them, which happens by and by once nobody wants
    /// to keep them.
    async fn renew(&self, blobs: &Blobs) -> Result<(), FileFailure> {
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

    /// Whether there is room for what is missing, and once more if the whole goes to another disk.
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
