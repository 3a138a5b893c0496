//! Files of ours that others may have: read through where they are, and looked after.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use whoelse_proto::FileName;

use super::memory::Kept;
use super::{Done, Hash, Swarm, Wish, get_key, text};
use crate::api::{Event, FileFailure, SwarmEvent};
use crate::files::receive;
use crate::files::state::Source;
use crate::files::store::{Blobs, SWEEP};
use crate::{NOTE_BYTES_MAX, SHARES_MAX};

/// How often it is looked whether what is shared is what it was.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// How often a file is read again at most because somebody did not get what it was.
const MEND: Duration = Duration::from_secs(60);

/// A file that is shared.
pub(super) struct Share {
    pub(super) source: Source,
    pub(super) size: u64,
    note: String,
    /// When it was read again last.
    mended: Option<Instant>,
}

/// The name under which the store keeps it.
pub(super) fn key(hash: &Hash) -> String {
    format!("share-{}", text(hash))
}

impl Swarm {
    /// Reads a file through, to share it.
    pub(super) async fn share(&mut self, number: u64, path: PathBuf) {
        let blobs = match self.blobs().await {
            Ok(_) if self.shares.len() + self.reading >= SHARES_MAX => Err(FileFailure::TooMany),
            blobs => blobs,
        };
        let blobs = match blobs {
            Ok(blobs) => blobs,
            Err(why) => return self.refuse(number, why).await,
        };
        self.reading += 1;
        let readings = Arc::clone(&self.readings);
        self.tasks.spawn(async move {
            // It is never closed.
            let place = readings.acquire().await;
            let outcome = receive::read(&blobs, path, key).await;
            drop(place);
            Done::Read(number, outcome)
        });
    }

    async fn refuse(&self, number: u64, why: FileFailure) {
        let what = SwarmEvent::NotShared { number, why };
        drop(self.events.send(Event::Swarm { hash: None, what }).await);
    }

    /// A file was read through.
    pub(super) async fn read(
        &mut self,
        number: u64,
        outcome: Result<(Source, Hash, u64), FileFailure>,
    ) {
        self.reading = self.reading.saturating_sub(1);
        let (source, hash, size) = match outcome {
            Ok(found) => found,
            Err(why) => return self.refuse(number, why).await,
        };
        let note = self.shares.remove(&hash).map(|share| share.note).unwrap_or_default();
        let share = Share { source, size, note, mended: None };
        let what = share.told(Some(number));
        let path = share.source.path.clone();
        self.shares.insert(hash, share);
        self.keep(&hash).await;
        self.tell(hash, what).await;
        self.have(hash, path).await;
    }

    /// What was to be fetched is here.
    async fn have(&mut self, hash: Hash, path: PathBuf) {
        let Some(Wish::Running { task, .. }) = self.gets.get(&hash) else { return };
        task.abort();
        self.gets.remove(&hash);
        self.memory.end(&hash);
        drop(self.remember().await);
        self.clear(&hash).await;
        self.tell(hash, SwarmEvent::Received { path, by: Vec::new() }).await;
    }

    pub(super) async fn note(&mut self, hash: Hash, note: String) {
        let Some(share) = self.shares.get_mut(&hash).filter(|_| note.len() <= NOTE_BYTES_MAX)
        else {
            return;
        };
        if share.note != note {
            share.note = note;
            self.keep(&hash).await;
        }
    }

    /// Remembers a share, if it has a note.
    async fn keep(&mut self, hash: &Hash) {
        let Some(share) = self.shares.get(hash).filter(|share| !share.note.is_empty()) else {
            return;
        };
        let (source, note) = (share.source.clone(), share.note.clone());
        self.memory.share(Kept { hash: *hash, size: share.size, source, note });
        // If it cannot be noted, it is shared in this run only.
        drop(self.remember().await);
    }

    pub(super) async fn unshare(&mut self, hash: Hash) {
        if matches!(self.gets.get(&hash), Some(Wish::Whole { .. })) {
            self.gets.remove(&hash);
            self.clear(&hash).await;
        }
        self.end_share(&hash).await;
    }

    async fn end_share(&mut self, hash: &Hash) -> Option<Share> {
        let share = self.shares.remove(hash);
        if self.memory.unshare(hash) {
            drop(self.remember().await);
        }
        self.withhold(hash);
        if let Some(blobs) = &self.blobs {
            blobs.forget(&key(hash)).await;
        }
        share
    }

    /// A file is not what it was.
    pub(super) async fn changed(&mut self, hash: Hash) {
        if let Some(share) = self.end_share(&hash).await {
            self.tell(hash, SwarmEvent::Changed { path: share.source.path }).await;
        }
    }

    /// Takes up what an earlier run shared.
    pub(super) async fn recall_shares(&mut self, blobs: &Blobs) {
        for kept in self.memory.shares.clone() {
            let Kept { hash, size, source, note } = kept;
            let is_unchanged = source.is_unchanged(size);
            let share = Share { source, size, note, mended: None };
            let what = share.told(None);
            self.shares.insert(hash, share);
            if is_unchanged {
                self.tell(hash, what).await;
            } else {
                self.changed(hash).await;
            }
        }
        // A program that was killed may have told it before the store had noted it.
        let (blobs, hashes) = (blobs.clone(), self.shares.keys().copied().collect::<Vec<_>>());
        self.tasks.spawn(async move {
            let mut lost = Vec::new();
            for hash in hashes {
                if !blobs.was_whole(hash).await {
                    lost.push(hash);
                }
            }
            Done::Lost(lost)
        });
    }

    /// Somebody did not get what we have.
    pub(super) fn suspect(&mut self, hash: Hash) {
        let Some(share) = self.shares.get_mut(&hash) else { return };
        if share.mended.is_some_and(|mended| mended.elapsed() < MEND) {
            return;
        }
        share.mended = Some(Instant::now());
        self.mend(hash, true);
    }

    /// Reads a file again: it may be another now, or the store looks for it where it is no more. `known` says that the
    /// store has something of it, which has to be forgotten first.
    pub(super) fn mend(&mut self, hash: Hash, known: bool) {
        let (Some(share), Some(blobs)) = (self.shares.get(&hash), self.blobs.clone()) else {
            return;
        };
        let (source, size) = (share.source.clone(), share.size);
        let readings = Arc::clone(&self.readings);
        self.tasks.spawn(async move {
            let is_same = |(source, size): (Source, u64)| source.is_unchanged(size);
            let looked = (source.clone(), size);
            if !spawn_blocking(move || is_same(looked)).await.unwrap_or(true) {
                return Done::Changed(vec![hash]);
            }
            if known {
                blobs.forget(&key(&hash)).await;
                blobs.forget(&get_key(&hash)).await;
                sleep(SWEEP + Duration::from_secs(1)).await;
            }
            let place = readings.acquire().await;
            let found = receive::read(&blobs, source.path, key).await;
            drop(place);
            Done::Mended(hash, matches!(found, Ok((_, found, _)) if found == hash))
        });
    }

    /// Looks whether everything that is shared is what it was.
    pub(super) fn look_at_shares(&mut self) {
        self.look = None;
        let shares = self.shares.iter();
        let shares = shares.map(|(hash, share)| (*hash, share.source.clone(), share.size));
        let shares: Vec<_> = shares.collect();
        self.tasks.spawn(async move {
            let looked = spawn_blocking(move || {
                let changed = shares.into_iter().filter(|(_, it, size)| !it.is_unchanged(*size));
                changed.map(|(hash, ..)| hash).collect()
            });
            Done::Looked(looked.await.unwrap_or_default())
        });
    }
}

impl Share {
    fn told(&self, number: Option<u64>) -> SwarmEvent {
        let path = self.source.path.clone();
        let name = FileName::of(&path.file_name().unwrap_or_default().to_string_lossy());
        SwarmEvent::Shared { number, path, name, size: self.size, note: self.note.clone() }
    }
}
