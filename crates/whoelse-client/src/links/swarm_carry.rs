//! Files that many fetch from many: what whoever carries links is told to do, and reports.

use std::path::PathBuf;

use whoelse_proto::{FileHash, FileName, PartMap};

use super::swarm::GetProgress;
use super::{FileFailure, LinkId};

/// What whoever carries links is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwarmOrder {
    /// Read a file through, to give it from where it lies; report with [`SwarmEvent::Shared`] or
    /// [`SwarmEvent::NotShared`].
    Share {
        /// What this is called in the report.
        number: u64,
        /// Where it is.
        path: PathBuf,
    },
    /// Keep a text with a share. One without is forgotten in the next run.
    NoteShare {
        /// Which.
        hash: FileHash,
        /// The text.
        note: String,
    },
    /// Share a file no more.
    Unshare {
        /// Which.
        hash: FileHash,
    },
    /// Fetch a file, or go on with it.
    Get {
        /// Which.
        hash: FileHash,
        /// How long it is, in bytes.
        size: u64,
        /// What it is to be called.
        name: FileName,
        /// A text that is kept with it.
        note: String,
    },
    /// Fetch a file over this link, too.
    AddSource {
        /// Which.
        hash: FileHash,
        /// Over which.
        link: LinkId,
        /// Which parts the other end is said to have.
        claims: PartMap,
    },
    /// Fetch a file no more, and throw away what is there of it.
    CancelGet {
        /// Which.
        hash: FileHash,
    },
    /// Let the other end of a link fetch what is here of a file.
    Allow {
        /// Which file.
        hash: FileHash,
        /// Over which link.
        link: LinkId,
    },
}

/// What whoever carries links reports of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwarmEvent {
    /// It was read through, and can be given.
    Shared {
        /// What it was called in the order; none if it was shared in an earlier run.
        number: Option<u64>,
        /// Where it is.
        path: PathBuf,
        /// What it is called, made harmless.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
        /// What was kept with it; empty if nothing was.
        note: String,
    },
    /// It cannot be shared.
    NotShared {
        /// What it was called in the order.
        number: u64,
        /// Why.
        why: FileFailure,
    },
    /// A shared file is not what it was, or is gone. It is shared no more.
    Changed {
        /// Where it is.
        path: PathBuf,
    },
    /// A get of an earlier run is not finished.
    Kept {
        /// How long it is, in bytes.
        size: u64,
        /// What was kept with it.
        note: String,
        /// Which parts are here.
        done: PartMap,
    },
    /// So far.
    Progress(GetProgress),
    /// What others may have of us of a file that is fetched.
    Parts {
        /// Which.
        parts: PartMap,
    },
    /// No source can give what is missing. Told again while it is so.
    Starving,
    /// A source is of little use: its link is better used for somebody else, if there is somebody.
    Spare {
        /// The link to it.
        link: LinkId,
    },
    /// A source gave something else than the file. Nothing more of it is asked there.
    Banned {
        /// The link to it.
        link: LinkId,
    },
    /// It is here, whole and checked.
    Received {
        /// Where.
        path: PathBuf,
        /// What came over which link in this run: bytes, and whole parts.
        by: Vec<(LinkId, u64, u32)>,
    },
    /// It came to nothing, or cannot go on in this run.
    NotReceived {
        /// Why.
        why: FileFailure,
    },
    /// So many bytes were given since this was told last.
    Served {
        /// Over which link.
        link: LinkId,
        /// How many.
        bytes: u64,
    },
}
