//! What a download is told, and what it says.

use whoelse_proto::PartMap;

/// Names somebody who may have parts; chosen by the caller, never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// Names a request; chosen by the download, never used twice in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What happens. What is said of sources and requests that are not known (any more) means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody may have parts, and a link to them is being made.
    Coming {
        /// Who.
        source: SourceId,
        /// What the server says that they have, if it does.
        claims: Option<PartMap>,
    },
    /// That link stands (again).
    Up {
        /// Whose.
        source: SourceId,
    },
    /// What a source says it has now, instead of what it said before.
    Parts {
        /// Who.
        source: SourceId,
        /// Which; one for another number of parts says nothing.
        parts: PartMap,
    },
    /// The link is gone. It may be [`Input::Up`] or [`Input::Coming`] again.
    Gone {
        /// Whose.
        source: SourceId,
    },
    /// So many bytes more have come, checked.
    Progress {
        /// Of which request.
        request: RequestId,
        /// How many since the last time.
        bytes: u64,
    },
    /// The part is here, whole and checked.
    Done {
        /// Of which request.
        request: RequestId,
    },
    /// It came to nothing.
    Failed {
        /// Which request.
        request: RequestId,
        /// Why.
        why: Failure,
    },
    /// Time has passed; see [`crate::Download::deadline`].
    Tick,
}

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection broke.
    Line,
    /// They do not have the part, or do not give it.
    Lacking,
    /// What they sent is something else.
    Wrong,
    /// It could not be kept here: nobody's fault over there.
    Here,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask a source for a part.
    Fetch {
        /// What the request is called.
        request: RequestId,
        /// Whom.
        source: SourceId,
        /// For which part.
        part: u32,
    },
    /// Stop a request. It is forgotten already; nothing more needs to be said of it.
    Cancel {
        /// Which.
        request: RequestId,
    },
    /// This source sends what is not the file. It is never asked for it again.
    Ban {
        /// Who.
        source: SourceId,
    },
    /// This source is of little use: it fails, has nothing that is missing, or is far slower than others.
    /// If links are scarce and somebody else may have parts, its link is better used for that one. Said
    /// every 10 s at most, of one source at a time.
    Spare {
        /// Who.
        source: SourceId,
    },
    /// Nobody known can give what is missing: find others. Said again every 10 s while it is so.
    Starving,
}

/// What came from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checked bytes, also of parts that another source completed first.
    pub bytes: u64,
    /// Parts that it completed.
    pub parts: u32,
}

/// What a measurement may switch off, to show what it is worth. Everybody else uses the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Rare parts are fetched first; else in an order of chance.
    pub rarest_first: bool,
    /// The last parts are asked of two sources.
    pub end_game: bool,
    /// Parts are held back for sources that have given none yet.
    pub reserve: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rarest_first: true, end_game: true, reserve: true }
    }
}
