//! The work of one transfer: reading a file of ours through, or fetching one of theirs until it is whole and in its place.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use iroh::endpoint::Connection;
use n0_future::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::landing;
use super::place::{Place, TRIES_MAX, Untaken};
use super::rate::Rate;
use super::state::{Source, Token};
use super::store::{Blobs, FetchError, FileHash, Present};
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

/// Everything there is to know for it.
pub(super) struct Plan {
    pub(super) transfer: TransferId,
    pub(super) token: Token,
    pub(super) place: Place,
    pub(super) connection: Connection,
    pub(super) frames: mpsc::Sender<FileFrame<'static>>,
    pub(super) events: mpsc::Sender<Event>,
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

impl From<Untaken> for Trouble {
    fn from(why: Untaken) -> Self {
        match why {
            Untaken::Gone(error) => Self::Gone(error),
            Untaken::Unlanded(why) => Self::Other(Unreceived::Unlanded(why)),
            Untaken::Failed(why) => Self::Other(Unreceived::Failed(why)),
        }
    }
}

impl From<FileFailure> for Unreceived {
    fn from(why: FileFailure) -> Self {
        Self::Failed(why)
    }
}

/// Reads a file of ours through, and keeps it in mind under a name, which may depend on what is found.
pub(crate) async fn read(
    blobs: &Blobs,
    path: PathBuf,
    name: impl Fn(&FileHash) -> String,
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
    let (hash, read) = blobs.add_as(path.clone(), name).await.map_err(told)?;
    if read != size || !source.is_unchanged(size) {
        return Err(FileFailure::Changed);
    }
    Ok((source, hash, size))
}

impl Plan {
    /// Fetches what is not there yet, and gives the file its place.
    pub(super) async fn receive(&self, blobs: &Blobs) -> Result<PathBuf, Unreceived> {
        let place = &self.place;
        place.has_place().map_err(Unreceived::Unlanded)?;
        if place.size == 0 {
            landing::empty(&place.whole).map_err(|error| place.local(error.to_string()))?;
        } else {
            blobs.keep(place.hash, &place.key).await.map_err(FileFailure::Unwritable)?;
            self.complete(blobs).await?;
        }
        place.land().await.map_err(Unreceived::Unlanded)
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
                        return Err(self.place.local(error).into());
                    }
                    self.place.renew(blobs).await?;
                }
            }
        }
    }

    async fn attempt(&self, blobs: &Blobs) -> Result<(), Trouble> {
        let place = &self.place;
        if place.waits(blobs).await? {
            return Ok(());
        }
        let present = blobs.present(place.hash, place.size).await;
        let present = present.map_err(|error| Unreceived::from(place.local(error)))?;
        self.fetch(blobs, &present).await?;
        Ok(place.take_out(blobs, &present).await?)
    }

    /// Fetches until nothing is missing.
    async fn fetch(&self, blobs: &Blobs, present: &Present) -> Result<(), Unreceived> {
        let missing = self.place.size - present.bytes(0..self.place.size);
        self.place.has_room(missing)?;
        let (counts, mut counted) = mpsc::channel(64);
        let mut rate = Rate::new(Instant::now(), self.place.size - missing);
        let mut told = Instant::now();
        let mut work = std::pin::pin!(self.parts(blobs, counts));
        loop {
            tokio::select! {
                biased;
                Some(bytes) = counted.recv() => {
                    rate.set(rate.done().saturating_add(bytes).min(self.place.size));
                    self.tell(&mut rate, &mut told);
                }
                done = &mut work => return done,
            }
        }
    }

    fn tell(&self, rate: &mut Rate, told: &mut Instant) {
        let now = Instant::now();
        if let Some(bytes_per_second) = rate.tell(now) {
            let (done, total) = (rate.done(), self.place.size);
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
        let mut begins = (0..self.place.size).step_by(usize::try_from(PART).unwrap_or(usize::MAX));
        let part = |begin: u64| begin..self.place.size.min(begin + PART);
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
            match blobs.fetch(&self.connection, self.place.hash, part.clone(), counts).await {
                Ok(()) => return Ok(()),
                Err(FetchError::Line) => return Err(Unreceived::Line),
                Err(FetchError::Wrong | FetchError::OtherSize) => {
                    return Err(FileFailure::NotAsOffered.into());
                }
                Err(FetchError::Unwritable(error)) => return Err(self.place.local(error).into()),
                Err(FetchError::Stalled) => {}
                Err(FetchError::Lacking) => {
                    let present = blobs.present(self.place.hash, self.place.size).await;
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
}
