//! What is remembered of shares and gets from run to run.

use serde::{Deserialize, Serialize};

use crate::files::state::{Remembered, Source};
use crate::files::store::FileHash;

/// All that is remembered.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Shares that have a note.
    pub(super) shares: Vec<Kept>,
    /// Gets that are not over.
    pub(super) gets: Vec<Wanted>,
}

impl Remembered for Memory {
    const FILE: &str = "swarm.json";
}

/// A file of ours that is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) hash: FileHash,
    /// In bytes.
    pub(super) size: u64,
    /// Where it is, and when it was last changed when it was read.
    pub(super) source: Source,
    /// See [`crate::Node::note_share`].
    pub(super) note: String,
}

/// A file that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) hash: FileHash,
    /// In bytes, as whoever shares it says.
    pub(super) size: u64,
    /// Made harmless again before it is used.
    pub(super) name: String,
    pub(super) note: String,
}

impl Memory {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty() && self.gets.is_empty()
    }

    /// Remembers a share, instead of what was known of it.
    pub(super) fn share(&mut self, kept: Kept) {
        self.unshare(&kept.hash);
        self.shares.push(kept);
    }

    /// Forgets a share; says whether it was known.
    pub(super) fn unshare(&mut self, hash: &FileHash) -> bool {
        let before = self.shares.len();
        self.shares.retain(|kept| kept.hash != *hash);
        self.shares.len() < before
    }

    /// Remembers a get, instead of what was known of it.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.end(&wanted.hash);
        self.gets.push(wanted);
    }

    /// Forgets a get; says whether it was known.
    pub(super) fn end(&mut self, hash: &FileHash) -> bool {
        let before = self.gets.len();
        self.gets.retain(|wanted| wanted.hash != *hash);
        self.gets.len() < before
    }
}
