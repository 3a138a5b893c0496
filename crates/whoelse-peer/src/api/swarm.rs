//! Files from many to many: what a [`crate::Node`] tells of those that are shared and those that are fetched.

use std::path::PathBuf;

use whoelse_proto::{FileName, PartMap};

use super::{FileFailure, LinkId};

/// What happens to a file that is shared, or fetched from everybody who has it.
///
/// A share begins with `Shared` (also of an earlier run) and ends by [`crate::Node::unshare`] or with `Changed`. A get
/// begins by [`crate::Node::get`] or with `Kept`; exactly one of `Received`, `NotReceived` ends it.
#[derive(Clone, Debug, PartialEq)]
pub enum SwarmEvent {
    /// A file of ours was read through, and may be given to others: where it is, and nothing of it was copied.
    Shared {
        /// The number it was shared under; none of an earlier run, of which it is told at the start.
        number: Option<u64>,
        /// Where it is.
        path: PathBuf,
        /// What it is called, made harmless.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
        /// What [`crate::Node::note_share`] noted last; empty if nothing.
        note: String,
    },
    /// A file of ours cannot be shared.
    NotShared {
        /// The number it was shared under.
        number: u64,
        /// Why.
        why: FileFailure,
    },
    /// A file that is shared is not what it was, or is gone: it is shared no more.
    Changed {
        /// Where it is.
        path: PathBuf,
    },
    /// A get of an earlier run is not finished; it goes on as soon as there are sources. Told at the start.
    Kept {
        /// What it is called.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
        /// What was noted of it.
        note: String,
        /// Which parts are here.
        done: PartMap,
    },
    /// So far, at most 10 times a second.
    Progress {
        /// How much is here, in bytes.
        done: u64,
        /// How long the file is, in bytes.
        total: u64,
        /// How fast it was over the last seconds.
        bytes_per_second: u64,
        /// How many parts it has.
        parts: u32,
        /// How many of them are here.
        parts_done: u32,
        /// How many sources are up and give, or may.
        sources: u32,
    },
    /// Which parts of a file that is fetched others may have of us: at the start, and then at most every 2 s when
    /// there are more.
    Parts {
        /// Which.
        parts: PartMap,
    },
    /// No source can give what is missing. Told again every 10 s while so.
    Starving,
    /// A source is of little use: it fails, has nothing that is missing, or is far slower than others. If links are scarce, its
    /// link is better used for somebody else. Told at most every 10 s, of one at a time.
    Spare {
        /// The link to it.
        link: LinkId,
    },
    /// A source gave something else than the file: nothing more of this file is asked of it.
    Banned {
        /// The link to it.
        link: LinkId,
    },
    /// It is there whole, checked, in its place.
    Received {
        /// Where.
        path: PathBuf,
        /// What came from whom in this run: over which link, how many bytes, and how many whole parts.
        by: Vec<(LinkId, u64, u32)>,
    },
    /// It did not come. [`FileFailure::DiskFull`], [`FileFailure::Unwritable`] and [`FileFailure::Folder`] keep what there is:
    /// it is `Kept` in the next run, and goes on in this one if it is asked for again.
    NotReceived {
        /// Why.
        why: FileFailure,
    },
    /// So much of a file was given over a link since this was told last; at most once a second.
    Served {
        /// Over which.
        link: LinkId,
        /// How many bytes.
        bytes: u64,
    },
}
