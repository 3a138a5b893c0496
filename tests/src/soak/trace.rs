//! What the shim has written down: everything done to files and said to clients, in order.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::trouble::{Outcome, While, trouble};

/// The kinds of entries, as in `shim.c`.
pub(crate) mod kind {
    pub(crate) const OPEN: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const ZEROS: u32 = 3;
    pub(crate) const TRUNCATE: u32 = 4;
    pub(crate) const SYNC: u32 = 5;
    pub(crate) const SYNC_FOLDER: u32 = 6;
    pub(crate) const RENAME: u32 = 7;
    pub(crate) const UNLINK: u32 = 8;
    pub(crate) const SEND: u32 = 9;
    pub(crate) const START: u32 = 10;
    pub(crate) const FAULT: u32 = 11;
    pub(crate) const ACCEPT: u32 = 12;
    pub(crate) const MAKE_FOLDER: u32 = 13;
}

/// Something that was done. Data are a range of [`Trace::bytes`].
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A file was opened, and perhaps made.
    Open { file: u64, path: String, is_new: bool },
    /// Bytes were written.
    Write { file: u64, offset: u64, data: Range<usize> },
    /// Zeros were written.
    Zeros { file: u64, offset: u64, size: u64 },
    /// A file got another length.
    Truncate { file: u64, size: u64 },
    /// A file was synced.
    Sync { file: u64 },
    /// A folder was synced.
    SyncFolder { path: String },
    /// A file got another name.
    Rename { from: String, to: String },
    /// A file was removed.
    Unlink { path: String },
    /// A folder was made.
    MakeFolder { path: String },
    /// Something was said to a client, whole lines.
    Said { lines: Vec<Value> },
    /// A process began.
    Start,
    /// An operation was failed.
    Fault,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Trace {
    /// What the entries' ranges are of.
    pub(crate) bytes: Vec<u8>,
    /// In order.
    pub(crate) entries: Vec<Entry>,
}

const HEADER_BYTES: usize = 32;

impl Trace {
    /// Reads what a shim has written.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let bytes = std::fs::read(path).during("reading the log of the shim")?;
        let mut entries = Vec::new();
        let mut talks = Talks::default();
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
            let number = |from: usize| {
                let mut value = [0; 8];
                value.copy_from_slice(&header[from..from + 8]);
                u64::from_ne_bytes(value)
            };
            let first = number(0);
            let (kind, count) = (first as u32, (first >> 32) as usize);
            let data = at + HEADER_BYTES..at + HEADER_BYTES + count;
            let Some(content) = bytes.get(data.clone()) else { break };
            at = data.end;
            let text = || String::from_utf8_lossy(content).into_owned();
            let (file, offset, size) = (number(8), number(16), number(24));
            entries.push(match kind {
                kind::OPEN => Entry::Open { file, path: text(), is_new: offset != 0 },
                kind::WRITE => Entry::Write { file, offset, data },
                kind::ZEROS => Entry::Zeros { file, offset, size },
                kind::TRUNCATE => Entry::Truncate { file, size },
                kind::SYNC => Entry::Sync { file },
                kind::SYNC_FOLDER => Entry::SyncFolder { path: text() },
                kind::RENAME => {
                    let both = text();
                    let (from, to) = both.split_once('\n').during("a name without another")?;
                    Entry::Rename { from: from.to_owned(), to: to.to_owned() }
                }
                kind::UNLINK => Entry::Unlink { path: text() },
                kind::MAKE_FOLDER => Entry::MakeFolder { path: text() },
                kind::SEND if offset != 0 => {
                    talks.take_back(file, size as usize);
                    continue;
                }
                kind::SEND => {
                    let lines = talks.say(file, content);
                    if lines.is_empty() {
                        continue;
                    }
                    Entry::Said { lines }
                }
                kind::START => Entry::Start,
                kind::FAULT => Entry::Fault,
                kind::ACCEPT => {
                    talks.begin(file);
                    continue;
                }
                other => return trouble(format!("the shim wrote an entry of kind {other}")),
            });
        }
        Ok(Self { bytes, entries })
    }
}

/// The bytes said on each connection that are no whole line yet.
#[derive(Default)]
struct Talks {
    unfinished: HashMap<u64, Vec<u8>>,
}

impl Talks {
    fn begin(&mut self, connection: u64) {
        self.unfinished.insert(connection, Vec::new());
    }

    /// Something that was to be said was not taken by the system: it will be said again. What was
    /// whole before is claimed all the same, a moment early.
    fn take_back(&mut self, connection: u64, count: usize) {
        let unfinished = self.unfinished.entry(connection).or_default();
        unfinished.truncate(unfinished.len().saturating_sub(count));
    }

    fn say(&mut self, connection: u64, bytes: &[u8]) -> Vec<Value> {
        let unfinished = self.unfinished.entry(connection).or_default();
        unfinished.extend_from_slice(bytes);
        let Some(end) = unfinished.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = unfinished.split_off(end + 1);
        let lines = std::mem::replace(unfinished, rest);
        // A line that was taken back in part is none; it will come whole.
        let parsed = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        parsed.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}
