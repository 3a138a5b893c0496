//! What there is of files, in pieces that are checked one by one: the only file that knows of iroh-blobs.
//!
//! A file is known by its hash (BLAKE3), which commits to each 16 KiB of it; so whatever comes is right or is refused at
//! once, from whomever it comes, and what is there of a file stays good when everything else breaks.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream};
use iroh_blobs::api::blobs::{
    AddPathOptions, AddProgressItem, BlobStatus, ExportMode, ExportOptions, ImportMode,
};
use iroh_blobs::api::remote::GetProgressItem;
use iroh_blobs::api::{Error as ApiError, RequestError, Store};
use iroh_blobs::get::GetError;
use iroh_blobs::get::fsm::DecodeError;
use iroh_blobs::protocol::{ChunkRanges, ChunkRangesExt, ERR_PERMISSION, GetRequest, Request};
use iroh_blobs::provider::{StreamPair, events::EventSender, handle_get, handle_observe};
use iroh_blobs::store::GcConfig;
use iroh_blobs::store::fs::{FsStore, options::Options};
use iroh_blobs::{BlobFormat, Hash, HashAndFormat};
use n0_future::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Names a file by what is in it.
pub(crate) type FileHash = [u8; 32];

/// How long it takes until what nobody wants to keep is gone.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

/// Most pieces that one peer is given at once.
const SERVED_MAX: usize = 8;

/// How long a peer may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Without any progress for this long a piece is asked for again.
const STALL: Duration = Duration::from_secs(3);

/// Why a piece did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The connection is over.
    Line,
    /// Nothing came for a while.
    Stalled,
    /// They do not have it, or do not give it.
    Lacking,
    /// What they sent is something else.
    Wrong,
    /// It could not be written here: what the system says.
    Unwritable(String),
}

/// Why a file did not get out of the store.
#[derive(Debug)]
pub(crate) enum ExportError {
    /// The store has it in a place where it is no more, and what the system says.
    Gone(String),
    /// There is more of it than was asked for.
    Partial,
    /// What the system says.
    Local(String),
}

/// The store of one client.
#[derive(Clone)]
pub(crate) struct Blobs {
    store: FsStore,
}

/// Which parts of a file are there.
pub(crate) struct Present(ChunkRanges);

impl Blobs {
    /// Opens the store in a folder of its own.
    pub(crate) async fn open(folder: &Path) -> Result<Self, String> {
        let mut options = Options::new(folder);
        options.gc = Some(GcConfig { interval: SWEEP, add_protected: None });
        let store = FsStore::load_with_opts(folder.join("blobs.db"), options)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self { store })
    }

    /// Reads a file through and keeps in mind where it is, under a name. Its bytes stay where they are.
    pub(crate) async fn add(&self, path: PathBuf, name: &str) -> io::Result<(FileHash, u64)> {
        let options =
            AddPathOptions { path, format: BlobFormat::Raw, mode: ImportMode::TryReference };
        let mut steps = self.store.blobs().add_path_with_opts(options).stream().await;
        let mut size = 0;
        while let Some(step) = steps.next().await {
            match step {
                AddProgressItem::Size(found) => size = found,
                AddProgressItem::Error(error) => return Err(error),
                AddProgressItem::Done(tag) => {
                    let hash = *tag.hash().as_bytes();
                    self.keep(hash, name).await.map_err(io::Error::other)?;
                    return Ok((hash, size));
                }
                _ => {}
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Keeps what there is of a file until the name is forgotten.
    pub(crate) async fn keep(&self, hash: FileHash, name: &str) -> Result<(), String> {
        let kept = HashAndFormat { hash: Hash::from_bytes(hash), format: BlobFormat::Raw };
        self.store.tags().set(name, kept).await.map_err(|error| error.to_string())
    }

    /// What was kept under a name goes, unless it is kept under another.
    pub(crate) async fn forget(&self, name: &str) {
        // If the store is in trouble, so is what comes next, which tells.
        drop(self.store.tags().delete(name).await);
    }

    /// What is there of a file. If it was there whole and cannot be opened, taking it out tells.
    pub(crate) async fn present(&self, hash: FileHash, size: u64) -> Result<Present, String> {
        match self.observe(hash, size).await {
            Err(_) if self.was_whole(hash).await => Ok(Present(ChunkRanges::bytes(..size))),
            found => found,
        }
    }

    async fn observe(&self, hash: FileHash, size: u64) -> Result<Present, String> {
        let found = self.store.blobs().observe(Hash::from_bytes(hash)).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(Present(found.ranges & ChunkRanges::bytes(..size)))
    }

    /// Whether the store has noted that it has all of a file.
    async fn was_whole(&self, hash: FileHash) -> bool {
        let status = self.store.blobs().status(Hash::from_bytes(hash)).await;
        matches!(status, Ok(BlobStatus::Complete { .. }))
    }

    /// Whether all of a file is there.
    pub(crate) async fn is_whole(&self, hash: FileHash, size: u64) -> bool {
        self.observe(hash, size).await.is_ok_and(|present| present.bytes(0..size) == size)
    }

    /// Gets what is not there yet of a part of a file from a peer, and tells how much of it has come. What has come stays, also if the rest does not.
    pub(crate) async fn fetch(
        &self,
        connection: &Connection,
        hash: FileHash,
        part: Range<u64>,
        progress: &mpsc::Sender<u64>,
    ) -> Result<(), FetchError> {
        let size = part.end;
        let present = self.present(hash, size).await.map_err(FetchError::Unwritable)?;
        let wanted = ChunkRanges::bytes(part) - present.0;
        if wanted.is_empty() {
            return Ok(());
        }
        let request = GetRequest::blob_ranges(Hash::from_bytes(hash), wanted);
        let steps = self.store.remote().execute_get(connection.clone(), request).stream();
        let mut steps = std::pin::pin!(steps);
        let mut before = 0;
        loop {
            let step = timeout(STALL, steps.next()).await.map_err(|_| FetchError::Stalled)?;
            match step {
                Some(GetProgressItem::Progress(bytes)) => {
                    // Whoever counts is gone only when all is.
                    progress.send(bytes.saturating_sub(before)).await.unwrap_or_default();
                    before = bytes;
                }
                Some(GetProgressItem::Done(_)) => return Ok(()),
                Some(GetProgressItem::Error(error)) => return Err(why(&error, connection)),
                None => return Err(FetchError::Line),
            }
        }
    }

    /// Gives a peer what it may have, until its connection ends.
    pub(crate) async fn serve<F>(&self, connection: Connection, may: F)
    where
        F: Fn(&FileHash) -> bool + Send + Sync + 'static,
    {
        let may = Arc::new(may);
        let room = Arc::new(Semaphore::new(SERVED_MAX));
        let mut served = JoinSet::new();
        while let Ok((send, receive)) = connection.accept_bi().await {
            while served.try_join_next().is_some() {}
            // What is asked for meanwhile waits in the connection, which takes only so much.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let (store, may) = (self.store.clone(), Arc::clone(&may));
            let id = connection.stable_id() as u64;
            served.spawn(async move {
                answer(&store, id, send, receive, may.as_ref()).await;
                drop(place);
            });
        }
    }

    /// Moves a whole file out, to a path where none is, and says how long it is. It may be moved away from there later.
    pub(crate) async fn export(&self, hash: FileHash, target: PathBuf) -> Result<u64, ExportError> {
        let options =
            ExportOptions { hash: Hash::from_bytes(hash), mode: ExportMode::TryReference, target };
        let error = match self.store.blobs().export_with_opts(options).finish().await {
            Ok(size) => return Ok(size),
            Err(error) => error,
        };
        if let RequestError::Inner { source: ApiError::Io(error), .. } = &error
            && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        {
            return Err(ExportError::Gone(error.to_string()));
        }
        match self.was_whole(hash).await {
            true => Err(ExportError::Local(error.to_string())),
            false => Err(ExportError::Partial),
        }
    }

    /// Brings all to disk.
    pub(crate) async fn shutdown(&self) {
        // Nothing is lost but time if it fails: what is there is found again.
        drop(self.store.shutdown().await);
    }
}

impl Present {
    /// How many bytes of a part are there.
    pub(crate) fn bytes(&self, part: Range<u64>) -> u64 {
        let chunks = self.0.clone() & ChunkRanges::bytes(part.clone());
        let mut bytes = 0;
        for pair in chunks.boundaries().chunks(2) {
            let begin = pair[0].to_bytes().max(part.start);
            let end = pair.get(1).map_or(part.end, |end| end.to_bytes().min(part.end));
            bytes += end.saturating_sub(begin);
        }
        bytes
    }
}

async fn answer<F>(store: &Store, id: u64, send: SendStream, receive: RecvStream, may: &F)
where
    F: Fn(&FileHash) -> bool,
{
    let mut pair = StreamPair::new(id, receive, send, EventSender::DEFAULT);
    // Dropped, its end hears of it.
    let Ok(Ok(request)) = timeout(REQUEST_WAIT, pair.read_request()).await else { return };
    let may = |hash: &Hash| may(hash.as_bytes());
    // What goes wrong, the other end hears by the end of the stream.
    match request {
        Request::Get(request) if request.ranges.is_blob() && may(&request.hash) => {
            drop(handle_get(pair, store.clone(), request).await);
        }
        Request::Observe(request) if may(&request.hash) => {
            drop(handle_observe(pair, store.clone(), request).await);
        }
        _ => refuse(pair).await,
    }
}

async fn refuse(pair: StreamPair) {
    let none = iroh_blobs::provider::events::RequestTracker::NONE;
    if let Ok(mut writer) = pair.into_writer(none).await {
        // It is over already then.
        drop(writer.inner.reset(ERR_PERMISSION));
    }
}

fn why(error: &GetError, connection: &Connection) -> FetchError {
    if connection.close_reason().is_some() {
        return FetchError::Line;
    }
    match error {
        GetError::Decode {
            source: DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. },
            ..
        } => FetchError::Wrong,
        GetError::Decode { source: DecodeError::Write { source, .. }, .. } => {
            FetchError::Unwritable(source.to_string())
        }
        GetError::LocalFailure { source, .. } => FetchError::Unwritable(source.to_string()),
        GetError::IrpcSend { source, .. } => FetchError::Unwritable(source.to_string()),
        _ => FetchError::Lacking,
    }
}
