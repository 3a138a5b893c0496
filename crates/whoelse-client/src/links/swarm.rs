//! Files that many fetch from many: what a person is told of them.
//!
//! A **share** is a file that somebody offers from where it lies. A **get** is a file that is fetched
//! in parts from all who have it at the same time.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use whoelse_proto::{FileHash, FileName, PartMap, Scope};

use super::{FileFailure, Trust};
use crate::notice::Refusal;

/// A file that is shared or fetched, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwarmFile {
    /// What is in it.
    pub hash: FileHash,
    /// What it is called, made harmless.
    pub name: FileName,
    /// How long it is, in bytes.
    pub size: u64,
}

/// How far a get is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetProgress {
    /// So much is there, in bytes.
    pub done: u64,
    /// So long it is, in bytes.
    pub total: u64,
    /// So fast it was over the last seconds.
    pub bytes_per_second: u64,
    /// So many parts it has.
    pub parts: u32,
    /// So many of them are there, whole and checked.
    pub parts_done: u32,
    /// So many sources give parts now.
    pub sources: u32,
}

impl GetProgress {
    /// How many seconds it still takes at this rate; none while nothing comes.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.total.saturating_sub(self.done);
        (self.bytes_per_second > 0).then(|| left.div_ceil(self.bytes_per_second))
    }
}

/// What somebody gave of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Who.
    pub user: String,
    /// That person's device, as the server calls it.
    pub device: String,
    /// So many bytes.
    pub bytes: u64,
    /// So many parts.
    pub parts: u32,
}

/// Something a person is told of files that are shared or fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwarmNotice {
    /// Ours is read through, before it is shared.
    Reading {
        /// Where it is.
        path: PathBuf,
        /// Who may have it.
        with: Scope,
    },
    /// Ours is shared: others can find and fetch it as long as this client runs.
    Shared {
        /// Which.
        file: SwarmFile,
        /// Who may have it.
        with: Scope,
    },
    /// Ours is not shared.
    NotShared {
        /// What it was to be: a path, or a name.
        what: String,
        /// Why not.
        why: NotShared,
    },
    /// Files of an earlier run are shared again. Told once a run, if there are any.
    StillShared {
        /// How many.
        count: usize,
    },
    /// A shared file is not what it was any more. It is shared no longer.
    Changed {
        /// Where it is.
        path: PathBuf,
    },
    /// A file is fetched.
    Begun {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: SwarmFile,
        /// Who has signed what it is.
        from: String,
        /// What is known of the device that has signed.
        trust: Trust,
        /// So many others had parts of it, by the word of the server; none if it is not known yet.
        sources: Option<u32>,
    },
    /// A get of an earlier run goes on as soon as there is somebody who has parts.
    Kept {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: SwarmFile,
        /// How far it is.
        progress: GetProgress,
    },
    /// A get of an earlier run does not go on, as what it was begun with proves nothing any more.
    NotKept {
        /// Which.
        file: SwarmFile,
        /// Why.
        why: OfferFault,
    },
    /// It was to be fetched, and is not, since what the server says of it cannot be believed.
    Untrusted {
        /// What it is called.
        name: FileName,
        /// Who is said to share it.
        from: String,
        /// Why.
        why: OfferFault,
    },
    /// So far. Told often; only the last counts.
    Progress {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: SwarmFile,
        /// How far.
        progress: GetProgress,
    },
    /// Nobody who is there has what is missing. It goes on by itself when somebody has. Told once
    /// until something comes again.
    Starving {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: SwarmFile,
        /// How far.
        progress: GetProgress,
    },
    /// The client ends while it is fetched: what there is of it is kept, and it goes on in the next
    /// run.
    Waits {
        /// Which.
        file: SwarmFile,
        /// How far.
        progress: GetProgress,
    },
    /// Somebody gave something else than what was asked for. It was thrown away, and that device is
    /// asked for nothing more of this file.
    Banned {
        /// Which.
        file: SwarmFile,
        /// Who.
        user: String,
        /// That person's device, as the server calls it.
        device: String,
    },
    /// A source has another key than was known. It is not asked.
    SourceChanged {
        /// Which file.
        file: SwarmFile,
        /// Who.
        user: String,
        /// The device, as the server calls it.
        device: String,
    },
    /// It is here, whole and checked.
    Received {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: SwarmFile,
        /// Where.
        path: PathBuf,
        /// Who gave what of it in this run, the one that gave most first.
        by: Vec<Given>,
        /// Others may fetch it from here until this client ends.
        seeded: bool,
    },
    /// It came to nothing. What a full disk or an unwritable folder has stopped is kept.
    Failed {
        /// Which.
        file: SwarmFile,
        /// Why.
        why: FileFailure,
    },
    /// The first get begins, and nobody has decided whether others may fetch from here what was
    /// fetched: until [`crate::Command::Seed`] says so they may not. They would learn the address of
    /// this machine, unless it is hidden.
    AskSeed {
        /// It is hidden.
        hidden: bool,
    },
}

/// Why a file is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotShared {
    /// It cannot be read, or is none.
    File(FileFailure),
    /// Nothing can be shared under such a name: it is too long, or has control characters.
    Name,
    /// There is nothing in it.
    Empty,
    /// Everybody it was for is gone.
    NobodyLeft,
    /// The server does not list it.
    Refused(Refusal),
}

/// Why an offer is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferFault {
    /// It is not signed by the device that is said to have signed it.
    Unsigned,
    /// It is not for this person.
    NotForUs,
    /// The sharer has another key than was known.
    Changed {
        /// The device, as the server calls it.
        device: String,
        /// The device whose key was known, since when (in seconds since 1970), and whether it was
        /// compared.
        known: Option<(String, u64, bool)>,
    },
    /// What there is of it makes no sense.
    Unreadable,
}

/// Why something about files that are shared was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwarmWhy {
    /// Nobody who may be seen shares such a file.
    NotFound,
    /// What was found last has no such number.
    NoNumber,
    /// What is shared from here has no such file.
    NotShared,
    /// Several files that are shared from here are meant: the number in the list of them helps.
    SeveralShares,
    /// It is being fetched already.
    BeingFetched,
    /// There are as many gets as there may be.
    TooManyGets,
    /// The server lists as many files as it may, of this person or of all.
    TooManyShares,
    /// There is no folder for what is fetched.
    NoFolder,
    /// This client takes no private links, and so it neither shares nor fetches.
    Unwanted,
    /// This file has no such parts.
    NoParts,
    /// It is for more people than can be named.
    TooManyNames,
}

/// A file that others share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Which; the name is that of the sharer, made harmless.
    pub file: SwarmFile,
    /// Who shares it.
    pub from: String,
    /// Who may have it, as far as the server says.
    pub with: Scope,
    /// So many who are there now have parts of it.
    pub sources: u64,
}

/// A file that is shared from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareLine {
    /// Its place in this list, counted from 1.
    pub number: u64,
    /// Which.
    pub file: SwarmFile,
    /// Who may have it; none if it was fetched from others and is passed on.
    pub with: Option<Scope>,
    /// So many others who are there now have parts of it; none if nobody was asked.
    pub sources: Option<u64>,
    /// So many bytes were given in this run.
    pub given: u64,
    /// It lies here. What another device of this person shares is in the list, too.
    pub here: bool,
}

/// A get in the list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLine {
    /// Its number, by which it is cancelled.
    pub number: u64,
    /// Which.
    pub file: SwarmFile,
    /// How far.
    pub progress: GetProgress,
    /// Nobody who is there has what is missing.
    pub starving: bool,
}

/// Who has parts of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// Which.
    pub file: SwarmFile,
    /// How many parts it has.
    pub parts: u32,
    /// Which of them were asked for; none are all.
    pub asked: Vec<RangeInclusive<u32>>,
    /// Those who have any of these, by their own word.
    pub holders: Vec<Holder>,
}

/// Somebody who has parts of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub user: String,
    /// That person's device, as the server calls it.
    pub device: String,
    /// Which of all parts, counted from 0.
    pub parts: PartMap,
}
