//! Files from device to device: what whoever carries them reports, and what a person is told.

use std::path::PathBuf;

use whoelse_proto::FileName;

/// What a transfer is called by whoever carries it; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// What happens to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// They offer one.
    Offered {
        /// Over which link.
        link: super::LinkId,
        /// What it is called, made harmless.
        name: FileName,
        /// How long it is, in bytes, as they say.
        size: u64,
    },
    /// One of an earlier run is not finished. It goes on by itself over the next link with that device.
    Kept {
        /// The device, as [`super::PeerOrder::Dial`] names it.
        device: String,
        /// What it is called.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
        /// It is sent from here.
        sending: bool,
    },
    /// Ours was read through, and is offered.
    Asked {
        /// What it is called.
        name: FileName,
        /// How long it is, in bytes.
        size: u64,
    },
    /// It begins, or goes on.
    Started,
    /// So far.
    Progress(Progress),
    /// Its link is gone; it goes on with the next to the same device.
    Waiting,
    /// It is here, whole and checked.
    Received {
        /// Where.
        path: PathBuf,
    },
    /// They have all of it.
    Sent,
    /// It came to nothing.
    Failed(FileFailure),
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// So much is there, in bytes.
    pub done: u64,
    /// So long it is, in bytes.
    pub total: u64,
    /// So fast it was over the last seconds.
    pub bytes_per_second: u64,
}

/// Why a file did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFailure {
    /// The link ended before it was accepted.
    NoLink,
    /// There is no folder for it.
    NoFolder,
    /// The folder for unfinished files cannot be used: what was wrong.
    Folder(String),
    /// Our file cannot be read: what the system says.
    Unreadable(String),
    /// There is nothing of that name.
    NotThere,
    /// What was named is no file.
    NotAFile,
    /// It is longer than any may be.
    TooLarge,
    /// There are as many transfers as there may be.
    TooMany,
    /// They do not want it.
    Declined,
    /// It was cancelled here.
    Cancelled,
    /// They cancelled it.
    CancelledByPeer,
    /// They do not have it any more, or what they send is not what they offered.
    NotAsOffered,
    /// Our own file is not any more what was offered.
    Changed,
    /// There is no room on the disk.
    DiskFull {
        /// How much it needs, in bytes.
        needed: u64,
        /// How much is free.
        free: u64,
    },
    /// It cannot be written: what the system says.
    Unwritable(String),
}

/// A transfer, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOf {
    /// With whom.
    pub user: String,
    /// What it is called.
    pub name: FileName,
    /// It is sent from here.
    pub sending: bool,
}

/// Something a person is told of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileNotice {
    /// Somebody offers one, and waits for an answer.
    Wanted {
        /// Which.
        file: FileOf,
        /// How long it is, in bytes, as they say.
        size: u64,
    },
    /// Ours waits for a link that is being made.
    Waits {
        /// Which.
        file: FileOf,
    },
    /// Ours is offered.
    Asked {
        /// Which.
        file: FileOf,
        /// How long it is, in bytes.
        size: u64,
    },
    /// It begins.
    Started {
        /// Which.
        file: FileOf,
        /// It had begun before.
        again: bool,
    },
    /// So far. Told often; only the last counts.
    Progress {
        /// Its number in the list of files.
        number: u64,
        /// Which.
        file: FileOf,
        /// How far.
        progress: Progress,
    },
    /// It is interrupted, and goes on with the next link.
    Waiting {
        /// Which.
        file: FileOf,
        /// How far it was.
        progress: Progress,
    },
    /// It is not finished since an earlier run.
    Kept {
        /// Which.
        file: FileOf,
        /// How long it is, in bytes.
        size: u64,
    },
    /// It is here, whole and checked.
    Received {
        /// Which.
        file: FileOf,
        /// Where.
        path: PathBuf,
    },
    /// They have all of it.
    Sent {
        /// Which.
        file: FileOf,
    },
    /// It came to nothing.
    Failed {
        /// Which.
        file: FileOf,
        /// Why.
        why: FileFailure,
    },
}

/// A transfer in the list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// Its number, by which it is cancelled.
    pub number: u64,
    /// Which.
    pub file: FileOf,
    /// How far it is.
    pub state: FileState,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It waits for a link that is being made.
    Waits,
    /// It is read through.
    Reading,
    /// It is offered, and not answered.
    Asked {
        /// How long it is, in bytes.
        size: u64,
    },
    /// It is under way.
    Going(Progress),
    /// It goes on with the next link.
    Interrupted(Progress),
}
