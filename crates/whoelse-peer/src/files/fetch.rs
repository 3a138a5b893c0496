//! One part from one of several sources.
//!
//! The store lets ten commands for one file wait and refuses more, which looks like trouble with the disk; and with many sources
//! there are bursts of them. So every command waits for its turn ([`Turns`]), and it is made sure that the store has taken it
//! before the next one's turn.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::Connection;
use iroh_blobs::Hash;
use iroh_blobs::api::blobs::ImportBaoHandle;
use iroh_blobs::get::fsm::{self, AtBlobContent, BlobContentNext, ConnectedNext, DecodeError};
use iroh_blobs::protocol::{ChunkRanges, ChunkRangesExt, GetRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::meter::Meter;
use super::store::{Blobs, FetchError, FileHash};

/// How many commands may wait to be taken by the store: each may be two, and it lets ten wait.
const TURNS: usize = 4;

/// How often a command is given again that was refused, and how long after. By then it is no longer that the store is busy.
const AGAIN_MAX: u32 = 20;
const AGAIN: Duration = Duration::from_millis(25);

/// How many pieces wait to be written at most: 64 of 16 KiB and what proves them.
const PIECES_MAX: usize = 64;

/// Whose command may wait to be taken.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }
}

impl Turns {
    /// Waits for a turn. It is never closed.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// How often a command was refused.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to give it again; then it is time to.
    pub(super) async fn again(&mut self) -> bool {
        self.0 += 1;
        let may = self.0 <= AGAIN_MAX;
        if may {
            sleep(AGAIN).await;
        }
        may
    }
}

impl Blobs {
    /// Gets what is not there yet of a part of a file, however long that takes: somebody else watches whether anything
    /// comes. What has come stays, also if the rest does not.
    pub(crate) async fn fetch_watched(
        &self,
        connection: &Connection,
        hash: FileHash,
        size: u64,
        part: Range<u64>,
        meter: &mut Meter,
    ) -> Result<(), FetchError> {
        let Some((request, length)) = self.request(hash, size, part).await? else { return Ok(()) };
        let broken = |why| if connection.close_reason().is_some() { FetchError::Line } else { why };
        let (content, said) = ask(connection, request).await.ok_or(broken(FetchError::Lacking))?;
        // No file has this name and no length, but the empty one, which has no parts.
        let said = NonZeroU64::new(said).ok_or(FetchError::Wrong)?;
        if said.get() != size {
            // Another length is another tree: nothing of that goes to where the file is put together.
            return Err(broken(other_size(connection, hash, size).await));
        }
        let handle = self.begin(hash, said).await?;
        match write(content, handle, meter).await {
            // Whoever has a shorter file of this name says that this is all.
            Ok(come) if come < length => Err(FetchError::Lacking),
            Ok(_) => Ok(()),
            Err(FetchError::Lacking) => Err(broken(FetchError::Lacking)),
            Err(why) => Err(why),
        }
    }

    /// Begins to write. Nothing that has come is given to the store before it listens.
    async fn begin(&self, hash: FileHash, size: NonZeroU64) -> Result<ImportBaoHandle, FetchError> {
        let _turn = self.turns().take().await;
        let mut tries = Tries::default();
        loop {
            match self.try_begin(hash, size).await {
                Err(_) if tries.again().await => {}
                begun => return begun.map_err(FetchError::Unwritable),
            }
        }
    }

    async fn try_begin(&self, hash: FileHash, size: NonZeroU64) -> Result<ImportBaoHandle, String> {
        let begun = self.api().import_bao(Hash::from_bytes(hash), size, PIECES_MAX).await;
        let mut handle = begun.map_err(|error| format!("{error:#}"))?;
        // What is answered after it was asked after it.
        tokio::select! {
            biased;
            refused = &mut handle.rx => Err(match refused {
                Ok(Err(error)) => format!("{error:#}"),
                Ok(Ok(())) => "it ended early".to_owned(),
                Err(error) => format!("{error:#}"),
            }),
            taken = self.api().blobs().observe(Hash::from_bytes(hash)) => {
                taken.map(|_| handle).map_err(|error| format!("{error:#}"))
            }
        }
    }
}

/// Asks a peer, and hears how long it says the file is. None if it has nothing to say.
async fn ask(connection: &Connection, request: GetRequest) -> Option<(AtBlobContent, u64)> {
    let asked = fsm::start(connection.clone(), request, fsm::RequestCounters::default());
    match asked.next().await.ok()?.next().await.ok()? {
        ConnectedNext::StartRoot(root) => root.next().next().await.ok(),
        ConnectedNext::StartChild(_) | ConnectedNext::Closing(_) => None,
    }
}

/// A source says that a file has another length than was offered: it has to prove that by the end of it. Says
/// what the source is worth.
async fn other_size(connection: &Connection, hash: FileHash, size: u64) -> FetchError {
    let request = GetRequest::blob_ranges(Hash::from_bytes(hash), ChunkRanges::last_chunk());
    let Some((mut content, said)) = ask(connection, request).await else {
        return FetchError::Lacking;
    };
    let mut is_proven = false;
    loop {
        match content.next().await {
            BlobContentNext::More((next, Ok(_))) => {
                // Nothing was asked for but the end, and all that comes is proven.
                is_proven |= next.stats().payload_bytes_read > 0 && said != size;
                content = next;
            }
            BlobContentNext::More((_, Err(error))) => return why(&error),
            BlobContentNext::Done(_) if is_proven => return FetchError::OtherSize,
            BlobContentNext::Done(_) => return FetchError::Lacking,
        }
    }
}

/// Writes what comes, each piece after it is proven. Says how much it was in all.
async fn write(
    mut content: AtBlobContent,
    handle: ImportBaoHandle,
    meter: &mut Meter,
) -> Result<u64, FetchError> {
    let mut come = 0;
    let ended = loop {
        match content.next().await {
            BlobContentNext::More((next, item)) => {
                let item = match item {
                    Ok(item) => item,
                    Err(error) => break Err(why(&error)),
                };
                if handle.tx.send(item).await.is_err() {
                    // Why, it says itself.
                    break Ok(());
                }
                come = next.stats().payload_bytes_read;
                meter.set(come).await;
                content = next;
            }
            BlobContentNext::Done(_) => break Ok(()),
        }
    };
    drop(handle.tx);
    // What came before something went wrong is written all the same.
    let written = match handle.rx.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(FetchError::Unwritable(format!("{error:#}"))),
        Err(error) => Err(FetchError::Unwritable(format!("{error:#}"))),
    };
    ended.and(written).map(|()| come)
}

fn why(error: &DecodeError) -> FetchError {
    match error {
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            FetchError::Wrong
        }
        _ => FetchError::Lacking,
    }
}
