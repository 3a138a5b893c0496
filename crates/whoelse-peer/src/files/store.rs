//! What there is of files, in pieces that are checked one by one: the only file, with `serve`, that knows of iroh-blobs.
//!
//! A file is known by its hash (BLAKE3), which commits to each 16 KiB of it; so whatever comes is right or is refused at
//! once, from whomever it comes, and what is there of a file stays good when everything else breaks.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use iroh::endpoint::Connection;
use iroh_blobs::api::blobs::{
    AddPathOptions, AddProgressItem, Bitfield, BlobStatus, ExportMode, ExportOptions, ImportMode,
};
use iroh_blobs::api::remote::GetProgressItem;
use iroh_blobs::api::{Error as ApiError, RequestError, RequestResult, Store};
use iroh_blobs::get::GetError;
use iroh_blobs::get::fsm::DecodeError;
use iroh_blobs::protocol::{ChunkRanges, ChunkRangesExt, GetRequest, ObserveRequest};
use iroh_blobs::store::GcConfig;
use iroh_blobs::store::fs::{FsStore, options::Options};
use iroh_blobs::{BlobFormat, Hash, HashAndFormat};
use n0_future::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use whoelse_proto::{Layout, PartMap};

use super::fetch::{Tries, Turns};

/// Names a file by what is in it.
pub(crate) type FileHash = [u8; 32];

/// How long it takes until what nobody wants to keep is gone.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

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
    /// They have proven that the file has another length.
    OtherSize,
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
    turns: Turns,
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
        Ok(Self { store, turns: Turns::default() })
    }

    /// Reads a file through and keeps in mind where it is, under a name. Its bytes stay where they are.
    pub(crate) async fn add(&self, path: PathBuf, name: &str) -> io::Result<(FileHash, u64)> {
        self.add_as(path, |_| name.to_owned()).await
    }

    /// The same, under a name that may depend on what is found.
    pub(crate) async fn add_as(
        &self,
        path: PathBuf,
        name: impl Fn(&FileHash) -> String,
    ) -> io::Result<(FileHash, u64)> {
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
                    self.keep(hash, &name(&hash)).await.map_err(io::Error::other)?;
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
        let found = self.field(hash).await?;
        Ok(Present(found.ranges & ChunkRanges::bytes(..size)))
    }

    /// What the store has of a file, and how long it thinks that is.
    pub(super) async fn field(&self, hash: FileHash) -> Result<Bitfield, String> {
        let _turn = self.turns.take().await;
        let mut tries = Tries::default();
        loop {
            match self.store.blobs().observe(Hash::from_bytes(hash)).await {
                Err(_) if tries.again().await => {}
                found => return found.map_err(|error| format!("{error:#}")),
            }
        }
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Whether the store has noted that it has all of a file.
    pub(crate) async fn was_whole(&self, hash: FileHash) -> bool {
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
        let Some((request, _)) = self.request(hash, part.end, part).await? else { return Ok(()) };
        let mut before = 0;
        let steps = self.store.remote().execute_get(connection.clone(), request).stream();
        let mut steps = std::pin::pin!(steps);
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

    /// What to ask for, to have a part, and how many bytes that are; nothing if it is there.
    pub(super) async fn request(
        &self,
        hash: FileHash,
        size: u64,
        part: Range<u64>,
    ) -> Result<Option<(GetRequest, u64)>, FetchError> {
        let present = self.present(hash, size).await.map_err(FetchError::Unwritable)?;
        let length = part.end - part.start - present.bytes(part.clone());
        let wanted = ChunkRanges::bytes(part) - present.0;
        let request = || GetRequest::blob_ranges(Hash::from_bytes(hash), wanted.clone());
        Ok((!wanted.is_empty()).then(|| (request(), length)))
    }

    /// How long a file is, if that is proven.
    pub(crate) async fn proven_size(&self, hash: FileHash) -> Option<u64> {
        self.field(hash).await.ok()?.validated_size()
    }

    /// What somebody says to have of a file, now.
    pub(crate) async fn theirs(
        &self,
        connection: &Connection,
        hash: FileHash,
        size: u64,
    ) -> Option<Present> {
        let request = ObserveRequest::new(Hash::from_bytes(hash));
        let found = self.store.remote().observe(connection.clone(), request);
        let mut found = std::pin::pin!(found);
        let found = found.next().await?.ok()?;
        Some(Present(found.ranges & ChunkRanges::bytes(..size)))
    }

    /// The names under which files are kept.
    pub(crate) async fn names(&self) -> Vec<String> {
        let Ok(mut tags) = self.store.tags().list().await else { return Vec::new() };
        let mut names = Vec::new();
        while let Some(Ok(tag)) = tags.next().await {
            names.push(String::from_utf8_lossy(tag.name.as_ref()).into_owned());
        }
        names
    }

    /// The store itself, to give of it.
    pub(super) fn api(&self) -> Store {
        self.store.clone().into()
    }

    /// Moves a whole file out, to a path where none is, and says how long it is. It may be moved away from there later.
    pub(crate) async fn export(&self, hash: FileHash, target: PathBuf) -> Result<u64, ExportError> {
        let error = match self.try_export(hash, target).await {
            Ok(size) => return Ok(size),
            Err(error) => error,
        };
        if is_gone(&error) {
            return Err(ExportError::Gone(format!("{error:#}")));
        }
        match self.was_whole(hash).await {
            true => Err(ExportError::Local(format!("{error:#}"))),
            false => Err(ExportError::Partial),
        }
    }

    async fn try_export(&self, hash: FileHash, target: PathBuf) -> RequestResult<u64> {
        let _turn = self.turns.take().await;
        let (id, mut tries) = (Hash::from_bytes(hash), Tries::default());
        loop {
            let (mode, target) = (ExportMode::TryReference, target.clone());
            let options = ExportOptions { hash: id, mode, target };
            let error = match self.store.blobs().export_with_opts(options).finish().await {
                Ok(size) => return Ok(size),
                Err(error) => error,
            };
            // It may have all and not have noted that yet, or be busy.
            let field = self.store.blobs().observe(id).await;
            let is_partial = field.is_ok_and(|field| !field.is_complete());
            if is_partial || is_gone(&error) || !tries.again().await {
                return Err(error);
            }
        }
    }

    /// Brings all to disk.
    pub(crate) async fn shutdown(&self) {
        // Nothing is lost but time if it fails: what is there is found again.
        drop(self.store.shutdown().await);
    }
}

impl Present {
    /// Which parts are there whole.
    pub(crate) fn parts(&self, layout: Layout) -> PartMap {
        let mut parts = PartMap::none(layout.parts());
        let size = layout.size();
        for pair in self.0.boundaries().chunks(2) {
            let begin = pair[0].to_bytes();
            let end = pair.get(1).map_or(size, |end| end.to_bytes().min(size));
            let first = begin.div_ceil(layout.part_bytes());
            let last = if end == size { u64::MAX } else { end / layout.part_bytes() };
            let first = u32::try_from(first).unwrap_or(u32::MAX);
            let last = u32::try_from(last).unwrap_or(u32::MAX).min(layout.parts());
            (first..last).for_each(|part| parts.insert(part));
        }
        parts
    }

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

/// Whether a file of this name is empty.
pub(crate) fn is_of_nothing(hash: &FileHash) -> bool {
    Hash::from_bytes(*hash) == Hash::EMPTY
}

/// Whether the store does not find what it knows of.
fn is_gone(error: &RequestError) -> bool {
    match error {
        RequestError::Inner { source: ApiError::Io(error), .. } => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
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
