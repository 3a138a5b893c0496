//! Keeps records: append-only segments, synced in groups, recovered at start.
//!
//! Synchronous and deterministic over a [`Disk`]: no thread, no clock, no randomness. When to sync
//! is decided by [`crate::store`]; what the records mean, by others.
//!
//! What a freed segment held is overwritten with zeros before it is used again, so that deleted mail
//! does not lie about.
//!
//! *Invariants.* A file whose header says that it is not in use holds nothing else. A batch that [`Journal::sync`] has returned for is recovered by every later
//! [`Journal::open`], or that one fails. After a failed write or sync nothing is written any more.

mod disk;
mod recovery;
mod segment;
mod still;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

pub use disk::{Disk, DiskFile, RealDisk};
pub use recovery::{Examined, JournalStart, Recovered, TornTail};
use segment::{
    BATCH_HEADER_BYTES, BATCHES_OFFSET, BatchHeader, FORMAT_VERSION, SEAL_OFFSET, Seal,
    SegmentHeader, ServerId,
};
pub(crate) use still::StillDisk;
use whoelse_engine::Record;

/// The number of a batch: dense, from 1, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNumber(pub u64);

/// How a journal behaves.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Size of a segment in bytes, at least [`SEGMENT_BYTES_MIN`]. Existing ones keep theirs.
    pub segment_bytes: u32,
    /// Largest payload of a batch in bytes; less if a segment is smaller.
    pub batch_bytes_max: usize,
    /// How many segments are kept ready ahead of need.
    pub spares: usize,
    /// How many freed segments are kept for use again; more are removed.
    pub free_max: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, batch_bytes_max: 1 << 20, spares: 1, free_max: 16 }
    }
}

/// Smallest segment, in bytes: two blocks, and room for a few batches.
pub const SEGMENT_BYTES_MIN: u32 = 4 * segment::BLOCK_BYTES as u32;

/// Why the journal could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system could not do something.
    #[error("cannot {operation} journal file {file}: {source}")]
    Io {
        /// What was tried: a verb.
        operation: &'static str,
        /// The file, or `.` for the folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something that had been synced is not there any more.
    #[error("journal file {file} is damaged at byte {offset}, batch {batch}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The first batch that is missing.
        batch: u64,
        /// What was found.
        what: &'static str,
    },
    /// Segments or all of the journal are gone.
    #[error("part of the journal is missing: {what}, from batch {batch}")]
    Missing {
        /// The first batch that is missing.
        batch: u64,
        /// What was found.
        what: &'static str,
    },
    /// A file belongs to another data folder.
    #[error("journal file {file} belongs to another data folder")]
    Foreign {
        /// The file.
        file: String,
    },
    /// A newer program wrote it.
    #[error("journal file {file} has format {version}, this program knows {FORMAT_VERSION}")]
    Newer {
        /// The file.
        file: String,
        /// The version it has.
        version: u32,
    },
    /// The bytes are whole and mean nothing to this program.
    #[error("journal file {file} holds records this program does not know at byte {offset}")]
    Unknown {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// A record does not fit into a segment.
    #[error("a record of {bytes} bytes does not fit into a segment")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A write or sync failed before; it is never tried again.
    #[error("the journal has stopped after an earlier failure")]
    Stopped,
}

impl JournalError {
    /// What a person can do about it, in a sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::TooLarge { .. } | Self::Stopped => {
                "check the disk and the space left on it, then start again: nothing confirmed is \
                 lost"
            }
            Self::Damaged { .. } | Self::Missing { .. } => {
                "nothing was changed: check the disk, keep a copy of the data folder, and restore \
                 a backup"
            }
            Self::Foreign { .. } => {
                "data folders cannot be mixed: put back the files that belong to this one"
            }
            Self::Newer { .. } | Self::Unknown { .. } => {
                "nothing was changed: start the newer version of whoelse that wrote it"
            }
        }
    }
}

/// An append-only log of records.
pub struct Journal {
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    server_id: ServerId,
    /// Segments with batches that are still needed, oldest first; the last is written to.
    live: VecDeque<Segment>,
    /// Files that may be used as segments. They hold nothing.
    free: Vec<String>,
    /// Files that will be free when what they hold is overwritten.
    soiled: Vec<Soiled>,
    /// Files that are to be removed.
    surplus: Vec<String>,
    preparing: usize,
    next_file: u64,
    epoch: u64,
    /// Where in the last live segment the next batch goes.
    offset: usize,
    written: u64,
    synced: u64,
    /// The position that was released last.
    released: BatchNumber,
    /// Whether the segment in use holds more than what anybody may know for ever.
    holds_promised: bool,
    /// Where batches are put together. Its memory is kept.
    buffer: Vec<u8>,
    stopped: bool,
}

#[derive(Clone, Debug)]
struct Segment {
    name: String,
    bytes: usize,
    epoch: u64,
    first: u64,
    /// Behind here are zeros. Counts once it is not written to any more.
    end: usize,
}

/// A file with something in it that nobody needs.
#[derive(Clone, Debug)]
struct Soiled {
    name: String,
    /// Behind here are zeros.
    end: usize,
}

impl Journal {
    /// Opens the journal, making it if there is none and none is expected, and returns the records
    /// after the position of the database.
    ///
    /// All that is returned is on disk.
    ///
    /// # Errors
    /// When the disk fails, or when something is missing that had been synced. Then nothing was
    /// overwritten.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        start: &JournalStart<'_>,
    ) -> Result<(Self, Recovered), JournalError> {
        recovery::open(disk, options, start)
    }

    /// Reads everything that [`Self::open`] would, and changes nothing. It is stricter: also batches
    /// that the database has must be whole while they share a segment with others.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn examine(disk: &dyn Disk, start: &JournalStart<'_>) -> Result<Examined, JournalError> {
        recovery::examine(disk, start)
    }

    /// Refuses what a newer program wrote; changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is of a newer version.
    pub(crate) fn check_format(disk: &dyn Disk) -> Result<(), JournalError> {
        recovery::check_format(disk)
    }

    /// Refuses what [`Self::open`] would refuse; changes nothing.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub(crate) fn check(disk: &dyn Disk, start: &JournalStart<'_>) -> Result<(), JournalError> {
        recovery::check(disk, start)
    }

    /// Writes the records of some appends, in order; returns the number of their last batch.
    ///
    /// They survive the end of the process, and after the next [`Self::sync`] that of the machine.
    /// What belongs to one append becomes one batch, unless it is larger than a batch may be.
    ///
    /// # Errors
    /// When the disk fails, now or before.
    pub fn append(&mut self, appends: &[Vec<Record>]) -> Result<BatchNumber, JournalError> {
        self.guard(|journal| journal.append_unguarded(appends))
    }

    /// Makes all that was written safe; returns the number of the last batch.
    ///
    /// # Errors
    /// When the disk fails, now or before. It is never tried again: what a failed sync leaves
    /// behind is not known.
    pub fn sync(&mut self) -> Result<BatchNumber, JournalError> {
        self.guard(|journal| {
            if journal.synced < journal.written {
                journal.sync_file(&journal.active().name)?;
                journal.synced = journal.written;
            }
            Ok(BatchNumber(journal.synced))
        })
    }

    /// Frees the segments that hold nothing after a position that the database has committed.
    pub fn release(&mut self, position: BatchNumber) {
        self.released = self.released.max(position);
        while self.live.get(1).is_some_and(|next| next.first <= self.released.0 + 1) {
            let Some(segment) = self.live.pop_front() else { break };
            let usable = segment.bytes == self.options.segment_bytes as usize;
            let unused = self.free.len() + self.soiled.len() + self.preparing;
            if usable && unused < self.options.free_max {
                self.soiled.push(Soiled { name: segment.name, end: segment.end });
            } else {
                self.surplus.push(segment.name);
            }
        }
    }

    /// Whether the segment in use holds promised records: texts, names, passwords. What is deleted
    /// is gone from the journal only when that segment is not in use any more.
    #[must_use]
    pub fn holds_promised(&self) -> bool {
        self.holds_promised
    }

    /// Takes another segment into use, so that the one in use now can be freed. All that was
    /// written is synced by that.
    ///
    /// # Errors
    /// When the disk fails, now or before.
    pub fn turn_over(&mut self) -> Result<(), JournalError> {
        self.guard(|journal| {
            if journal.offset > BATCHES_OFFSET {
                journal.start_segment()?;
                journal.release(journal.released);
            }
            Ok(())
        })
    }

    /// Returns work that is better done beside the writing, if there is any. Its outcome goes to
    /// [`Self::chore_done`].
    pub fn chore(&mut self) -> Option<Chore> {
        if self.stopped {
            return None;
        }
        if let Some(name) = self.surplus.pop() {
            return Some(Chore(Task::Remove { name }));
        }
        if let Some(soiled) = self.soiled.pop() {
            self.preparing += 1;
            return Some(Chore(self.wiping(soiled)));
        }
        if self.free.len() + self.preparing < self.options.spares {
            self.preparing += 1;
            return Some(Chore(self.preparation()));
        }
        None
    }

    /// Takes the outcome of a [`Chore`].
    ///
    /// # Errors
    /// The one it failed with, which stops the journal as a failed write does.
    pub fn chore_done(
        &mut self,
        done: Result<ChoreDone, JournalError>,
    ) -> Result<(), JournalError> {
        self.guard(|journal| {
            if let Some(name) = done?.prepared {
                journal.preparing -= 1;
                journal.free.push(name);
            }
            Ok(())
        })
    }

    /// The number of the last batch written.
    #[must_use]
    pub fn written(&self) -> BatchNumber {
        BatchNumber(self.written)
    }

    /// The number of the last batch that is safe.
    #[must_use]
    pub fn synced(&self) -> BatchNumber {
        BatchNumber(self.synced)
    }

    /// Does something unless a failure came before, and remembers a failure.
    fn guard<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.stopped {
            return Err(JournalError::Stopped);
        }
        let result = action(self);
        self.stopped = result.is_err();
        result
    }

    fn append_unguarded(&mut self, appends: &[Vec<Record>]) -> Result<BatchNumber, JournalError> {
        let promised = appends.iter().flatten().any(|record| !record.is_lazy());
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER_BYTES, 0);
        for records in appends {
            let mut append_start = self.buffer.len();
            for record in records {
                let mut record_start = self.buffer.len();
                self.encode(record)?;
                while self.buffer.len() - BATCH_HEADER_BYTES > self.payload_bytes_max() {
                    let cut =
                        if append_start > BATCH_HEADER_BYTES { append_start } else { record_start };
                    self.write_batch_until(cut)?;
                    append_start = BATCH_HEADER_BYTES;
                    record_start -= cut - BATCH_HEADER_BYTES;
                }
            }
        }
        if self.buffer.len() > BATCH_HEADER_BYTES {
            self.write_batch_until(self.buffer.len())?;
        }
        self.holds_promised |= promised;
        Ok(BatchNumber(self.written))
    }

    fn encode(&mut self, record: &Record) -> Result<(), JournalError> {
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = postcard::to_extend(record, buffer)
            .map_err(|error| io_error("encode for", ".")(io::Error::other(error)))?;
        Ok(())
    }

    fn payload_bytes_max(&self) -> usize {
        let room = self.options.segment_bytes as usize - BATCHES_OFFSET - BATCH_HEADER_BYTES - 8;
        room.min(self.options.batch_bytes_max)
    }

    /// Writes the front of the buffer as a batch; what is behind the cut stays, as the beginning
    /// of the next.
    fn write_batch_until(&mut self, cut: usize) -> Result<(), JournalError> {
        if cut == BATCH_HEADER_BYTES {
            return Err(JournalError::TooLarge { bytes: self.buffer.len() - cut });
        }
        let rest = self.buffer.split_off(cut);
        let mut batch = std::mem::take(&mut self.buffer);
        let needed = segment::batch_bytes(cut - BATCH_HEADER_BYTES);
        if self.offset + needed > self.active().bytes {
            self.start_segment()?;
        }
        let header = BatchHeader {
            version: FORMAT_VERSION,
            epoch: self.active().epoch,
            number: self.written + 1,
            synced_through: self.synced,
        };
        segment::finish_batch(&mut batch, header);
        self.write(&self.active().name, self.offset, &batch)?;
        self.offset += batch.len();
        self.written += 1;
        batch.truncate(BATCH_HEADER_BYTES);
        batch.extend_from_slice(&rest);
        self.buffer = batch;
        Ok(())
    }

    /// Takes another segment into use. Everything written before is synced first, so that its
    /// header proves that.
    fn start_segment(&mut self) -> Result<(), JournalError> {
        let previous = self.live.back().cloned();
        if let Some(previous) = &previous {
            self.sync_file(&previous.name)?;
        }
        self.synced = self.written;
        let name = match (self.free.pop(), self.soiled.pop()) {
            (Some(name), soiled) => {
                self.soiled.extend(soiled);
                name
            }
            (None, soiled) => {
                let task = match soiled {
                    Some(soiled) => self.wiping(soiled),
                    None => self.preparation(),
                };
                Chore(task).run(&*self.disk)?.prepared.unwrap_or_default()
            }
        };
        self.epoch += 1;
        let header = SegmentHeader {
            segment_bytes: self.options.segment_bytes,
            epoch: self.epoch,
            first: self.written + 1,
            server_id: self.server_id,
        };
        self.write(&name, 0, &header.encode())?;
        self.sync_file(&name)?;
        if let Some(previous) = previous {
            let seal = Seal { epoch: previous.epoch, next_epoch: self.epoch };
            self.write(&previous.name, SEAL_OFFSET, &seal.encode())?;
            self.sync_file(&previous.name)?;
        }
        if let Some(previous) = self.live.back_mut() {
            previous.end = previous.end.max(self.offset);
        }
        let (bytes, epoch) = (self.options.segment_bytes as usize, self.epoch);
        let first = header.first;
        self.live.push_back(Segment { name, bytes, epoch, first, end: BATCHES_OFFSET });
        self.offset = BATCHES_OFFSET;
        self.holds_promised = false;
        Ok(())
    }

    fn preparation(&mut self) -> Task {
        self.next_file += 1;
        let header = self.unused_header();
        Task::Prepare { name: recovery::segment_name(self.next_file - 1), header }
    }

    fn wiping(&self, soiled: Soiled) -> Task {
        Task::Wipe { name: soiled.name, end: soiled.end, header: self.unused_header() }
    }

    /// The header of a file that holds nothing.
    fn unused_header(&self) -> SegmentHeader {
        SegmentHeader {
            segment_bytes: self.options.segment_bytes,
            epoch: 0,
            first: 0,
            server_id: self.server_id,
        }
    }

    fn active(&self) -> &Segment {
        self.live.back().expect("recovery starts a segment when there is none, and one is kept")
    }

    fn write(&self, name: &str, offset: usize, bytes: &[u8]) -> Result<(), JournalError> {
        self.disk.write_at(name, offset as u64, bytes).map_err(io_error("write", name))
    }

    fn sync_file(&self, name: &str) -> Result<(), JournalError> {
        self.disk.sync(name).map_err(io_error("sync", name))
    }
}

/// Work on the journal's folder that need not hold up the writing.
pub struct Chore(Task);

enum Task {
    Prepare { name: String, header: SegmentHeader },
    Wipe { name: String, end: usize, header: SegmentHeader },
    Remove { name: String },
}

/// The outcome of a [`Chore`].
pub struct ChoreDone {
    prepared: Option<String>,
}

impl Chore {
    /// Does the work. Takes as long as writing a segment.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn run(self, disk: &dyn Disk) -> Result<ChoreDone, JournalError> {
        match self.0 {
            Task::Remove { name } => {
                disk.remove(&name).map_err(io_error("remove", &name))?;
                Ok(ChoreDone { prepared: None })
            }
            Task::Wipe { name, end, header } => {
                let write_error = || io_error("write", &name);
                let zeros = vec![0; WIPED_AT_ONCE.min(end)];
                for offset in (SEAL_OFFSET..end).step_by(WIPED_AT_ONCE) {
                    let part = &zeros[..WIPED_AT_ONCE.min(end - offset)];
                    disk.write_at(&name, offset as u64, part).map_err(write_error())?;
                }
                // Whoever reads the header may rely on the rest: that comes first.
                disk.sync(&name).map_err(io_error("sync", &name))?;
                disk.write_at(&name, 0, &header.encode()).map_err(write_error())?;
                disk.sync(&name).map_err(io_error("sync", &name))?;
                Ok(ChoreDone { prepared: Some(name) })
            }
            Task::Prepare { name, header } => {
                // Under another name until it is whole: a segment that is not whole is damaged.
                let unfinished = recovery::unfinished_name(&name);
                disk.create(&unfinished, header.segment_bytes)
                    .map_err(io_error("make", &unfinished))?;
                disk.write_at(&unfinished, 0, &header.encode())
                    .map_err(io_error("write", &unfinished))?;
                disk.sync(&unfinished).map_err(io_error("sync", &unfinished))?;
                disk.rename(&unfinished, &name).map_err(io_error("rename", &unfinished))?;
                disk.sync_folder().map_err(io_error("sync", "."))?;
                Ok(ChoreDone { prepared: Some(name) })
            }
        }
    }
}

/// How many zeros are written at once.
const WIPED_AT_ONCE: usize = 1 << 20;

fn io_error(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { operation, file: file.to_owned(), source }
}
