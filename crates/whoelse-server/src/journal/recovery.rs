//! Opens a journal: finds what is in it, tells an unfinished last write from damage.
//!
//! The rule: a batch is *proven* to have been synced if a segment begins after it or a whole batch
//! says so in `synced_through`. A proven batch that is not there is damage: nothing is overwritten.
//! If an unproven batch is not there, it and everything after it is a torn tail, about which
//! nobody was told: a confirmation needs a sync that covers everything before.

use std::collections::VecDeque;
use std::sync::Arc;

use whoelse_engine::Record;

use super::disk::{Disk, DiskFile};
use super::segment::{
    self, BATCHES_OFFSET, BLOCK_BYTES, FORMAT_VERSION, FoundBatch, HeaderFault, NUMBER_MAX,
    SEAL_OFFSET, Scan, Seal, SegmentHeader, ServerId,
};
use super::{
    BatchNumber, Journal, JournalError, JournalOptions, SEGMENT_BYTES_MIN, Segment, Soiled,
    io_error,
};

/// What a journal is opened with.
#[derive(Clone, Copy, Debug)]
pub struct JournalStart<'a> {
    /// The id of the data folder, at most 32 bytes.
    pub server_id: &'a str,
    /// The last batch that the database has.
    pub position: BatchNumber,
    /// Whether there must be a journal; else one is made when there is none.
    pub existing: bool,
}

/// What a journal held.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The batches after the position, in order and without gaps.
    pub batches: Vec<(BatchNumber, Vec<Record>)>,
    /// What was dropped.
    pub torn: Option<TornTail>,
}

/// What [`Journal::examine`] has seen.
#[derive(Debug, Default)]
pub struct Examined {
    /// What an opening would recover.
    pub recovered: Recovered,
    /// How many segments are needed.
    pub segments: u64,
    /// How many batches are in them.
    pub batches: u64,
    /// How many records are in what would be recovered.
    pub records: u64,
}

/// A last write that had not been synced and is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes of it can be recognised.
    pub bytes: u64,
}

/// A segment that has been used, and how it looks from outside.
struct Used {
    file: DiskFile,
    header: SegmentHeader,
    seal: Option<Seal>,
}

/// What is in the folder.
#[derive(Default)]
struct Folder {
    used: Vec<Used>,
    spares: Vec<DiskFile>,
    /// Segments whose headers say nothing.
    unreadable: Vec<DiskFile>,
    /// What an earlier process did not finish.
    unfinished: Vec<String>,
    next_file: u64,
}

/// What the batches after the position are.
struct Chain {
    batches: Vec<(BatchNumber, Vec<Record>)>,
    /// The last batch of the run without gaps, or the position.
    last: u64,
    /// All batches up to this one were synced.
    proven: u64,
    /// The last whole batch, wherever it is.
    end: u64,
    /// Where the run ends: index of the segment, offset in it.
    stop: (usize, usize),
}

/// The segment that was written to last.
#[derive(Default)]
struct Newest {
    bytes: Vec<u8>,
    scan: Scan,
}

/// All that was found, when it was found to be right.
struct Found {
    folder: Folder,
    /// Index of the first segment that is needed.
    first_live: usize,
    chain: Chain,
    newest: Newest,
    unreadable: Unreadable,
}

/// Reads everything and judges it. Nothing is changed.
fn find(disk: &dyn Disk, start: &JournalStart<'_>) -> Result<Found, JournalError> {
    let folder = look(disk, server_id_bytes(start.server_id))?;
    let first_live = check_segments(&folder.used, start)?;
    let live = &folder.used[first_live..];
    let (chain, newest) = read_chain(disk, live, start.position.0)?;
    check_chain(live, &chain, start.position.0)?;
    let unreadable = check_unreadable(disk, &folder.unreadable, chain.last)?;
    Ok(Found { folder, first_live, chain, newest, unreadable })
}

/// Reads what a journal holds, as [`open`] would find it, and changes nothing. Other than there,
/// also what is not needed any more has to be whole as long as it is in a segment that is needed.
pub(super) fn examine(disk: &dyn Disk, start: &JournalStart<'_>) -> Result<Examined, JournalError> {
    let Found { folder, first_live, chain, newest, unreadable } = find(disk, start)?;
    let live = &folder.used[first_live..];
    let mut batches = 0;
    for (index, segment) in live.iter().enumerate() {
        let bytes = read_all(disk, &segment.file)?;
        let limit = live.get(index + 1).map_or(chain.last + 1, |next| next.header.first);
        let mut end = BATCHES_OFFSET;
        for number in segment.header.first..limit {
            let batch = segment::batch_at(&bytes, end);
            let is_it = |batch: &FoundBatch| {
                (batch.header.epoch, batch.header.number) == (segment.header.epoch, number)
            };
            let Some(batch) = batch.filter(is_it) else {
                let what = "a batch is not whole; the database has what was in it";
                return Err(damaged(&segment.file.name, end, number, what));
            };
            end = batch.end();
            batches += 1;
        }
    }
    let torn = torn_tail(live, &chain, &newest).or(unreadable.lost);
    let records = chain.batches.iter().map(|(_, records)| records.len() as u64).sum();
    let recovered = Recovered { batches: chain.batches, torn };
    Ok(Examined { recovered, segments: live.len() as u64, batches, records })
}

pub(super) fn check(disk: &dyn Disk, start: &JournalStart<'_>) -> Result<(), JournalError> {
    find(disk, start).map(drop)
}

/// Looks at the headers only.
pub(super) fn check_format(disk: &dyn Disk) -> Result<(), JournalError> {
    for file in disk.list().map_err(io_error("list", "."))? {
        if segment_number(&file.name).is_none() {
            continue;
        }
        let mut block = vec![0; BLOCK_BYTES];
        let read = disk.read_at(&file.name, 0, &mut block).map_err(io_error("read", &file.name))?;
        if let Err(HeaderFault::Newer(version)) = SegmentHeader::decode(&block[..read]) {
            return Err(JournalError::Newer { file: file.name, version });
        }
    }
    Ok(())
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    start: &JournalStart<'_>,
) -> Result<(Journal, Recovered), JournalError> {
    let options = JournalOptions {
        segment_bytes: options.segment_bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(4096),
        ..options
    };
    let server_id = server_id_bytes(start.server_id);
    let Found { mut folder, first_live, chain, newest, unreadable } = find(&*disk, start)?;

    // From here on things are written: all that counts is there.
    settle(&*disk, &folder.used, &chain, &newest)?;
    for name in &folder.unfinished {
        disk.remove(name).map_err(io_error("remove", name))?;
    }
    disk.sync_folder().map_err(io_error("sync", "."))?;
    let live = folder.used.split_off(first_live);
    let Unneeded { free, soiled, surplus } = unneeded(&mut folder, options);
    let torn = torn_tail(&live, &chain, &newest).or(unreadable.lost);
    let has_remains = has_remains(&chain, &newest);
    let epoch = live.iter().map(|used| used.header.epoch).max().unwrap_or(0).max(unreadable.epoch);
    let mut journal = Journal {
        disk,
        options,
        server_id,
        live: live.into_iter().map(Segment::from).collect::<VecDeque<_>>(),
        free,
        soiled,
        surplus,
        preparing: 0,
        next_file: folder.next_file,
        epoch,
        offset: chain.stop.1,
        written: chain.last,
        synced: chain.last,
        released: start.position,
        holds_promised: chain.stop.1 > BATCHES_OFFSET,
        buffer: Vec::new(),
        stopped: false,
    };
    // What is left of a torn tail stays where it is: a new use begins behind it.
    if journal.live.is_empty() || torn.is_some() || has_remains {
        journal.start_segment()?;
        journal.release(start.position);
    }
    Ok((journal, Recovered { batches: chain.batches, torn }))
}

impl From<Used> for Segment {
    fn from(used: Used) -> Self {
        Self {
            name: used.file.name,
            bytes: used.header.segment_bytes as usize,
            epoch: used.header.epoch,
            first: used.header.first,
            // An earlier version may have left something behind the batches.
            end: used.header.segment_bytes as usize,
        }
    }
}

/// The files that hold nothing that is needed.
#[derive(Default)]
struct Unneeded {
    free: Vec<String>,
    soiled: Vec<Soiled>,
    surplus: Vec<String>,
}

/// Divides what holds nothing that is needed into what can be used again, at once or when it is
/// wiped, and what cannot.
fn unneeded(folder: &mut Folder, options: JournalOptions) -> Unneeded {
    let spares = folder.spares.drain(..).map(|file| (file, false));
    let used = folder.used.drain(..).map(|used| used.file);
    let soiled = folder.unreadable.drain(..).chain(used).map(|file| (file, true));
    let mut unneeded = Unneeded::default();
    for (file, is_soiled) in spares.chain(soiled) {
        let usable = file.bytes == u64::from(options.segment_bytes);
        if !usable || unneeded.free.len() + unneeded.soiled.len() >= options.free_max {
            unneeded.surplus.push(file.name);
        } else if is_soiled {
            let end = options.segment_bytes as usize;
            unneeded.soiled.push(Soiled { name: file.name, end });
        } else {
            unneeded.free.push(file.name);
        }
    }
    unneeded
}

/// Reads the beginnings of all files.
fn look(disk: &dyn Disk, server_id: ServerId) -> Result<Folder, JournalError> {
    let mut folder = Folder::default();
    for file in disk.list().map_err(io_error("list", "."))? {
        if file.name.ends_with(UNFINISHED) {
            folder.unfinished.push(file.name);
            continue;
        }
        let Some(number) = segment_number(&file.name) else { continue };
        folder.next_file = folder.next_file.max(number + 1);
        let mut blocks = vec![0; BATCHES_OFFSET];
        let read =
            disk.read_at(&file.name, 0, &mut blocks).map_err(io_error("read", &file.name))?;
        blocks.truncate(read);
        match SegmentHeader::decode(&blocks) {
            Ok(header) if header.server_id != server_id => {
                return Err(JournalError::Foreign { file: file.name });
            }
            Ok(header) if header.epoch == 0 => folder.spares.push(file),
            Ok(header) => {
                let seal = blocks.get(SEAL_OFFSET..SEAL_OFFSET + BLOCK_BYTES);
                let seal = seal.and_then(Seal::decode).filter(|seal| seal.epoch == header.epoch);
                folder.used.push(Used { file, header, seal });
            }
            Err(HeaderFault::Newer(version)) => {
                return Err(JournalError::Newer { file: file.name, version });
            }
            Err(HeaderFault::Bad) => folder.unreadable.push(file),
        }
    }
    folder.used.sort_by_key(|used| used.header.epoch);
    Ok(folder)
}

/// Checks how the segments follow each other; returns the index of the first that is needed.
fn check_segments(used: &[Used], start: &JournalStart<'_>) -> Result<usize, JournalError> {
    let wanted = start.position.0 + 1;
    let missing = |what| JournalError::Missing { batch: wanted, what };
    let Some(newest) = used.last() else {
        let lost = start.existing || start.position.0 > 0;
        return if lost { Err(missing("there is no readable segment")) } else { Ok(0) };
    };
    for pair in used.windows(2) {
        let (older, newer) = (&pair[0], &pair[1]);
        if older.header.epoch == newer.header.epoch || older.header.first > newer.header.first {
            let what = "its header contradicts that of another segment";
            return Err(damaged(&newer.file.name, 0, newer.header.first, what));
        }
    }
    for segment in used {
        if segment.seal.is_some_and(|seal| seal.next_epoch > newest.header.epoch) {
            let what = "the segment that followed it cannot be found";
            return Err(damaged(&segment.file.name, SEAL_OFFSET, wanted, what));
        }
    }
    let first_live = used.iter().rposition(|segment| segment.header.first <= wanted);
    let first_live = first_live.ok_or_else(|| missing("the oldest segment begins later"))?;
    for segment in &used[first_live..] {
        if segment.file.bytes < u64::from(segment.header.segment_bytes) {
            let what = "the file has been cut short";
            return Err(damaged(&segment.file.name, segment.file.bytes as usize, wanted, what));
        }
    }
    Ok(first_live)
}

/// Reads the segments that are needed and follows the numbers from the position.
fn read_chain(
    disk: &dyn Disk,
    live: &[Used],
    position: u64,
) -> Result<(Chain, Newest), JournalError> {
    let mut chain =
        Chain { batches: Vec::new(), last: position, proven: 0, end: 0, stop: (0, BATCHES_OFFSET) };
    let mut newest = Newest::default();
    let mut broken = false;
    for (index, segment) in live.iter().enumerate() {
        let limit = live.get(index + 1).map_or(u64::MAX, |next| next.header.first);
        let bytes = read_all(disk, &segment.file)?;
        let mut scan = segment::scan(&bytes, segment.header.epoch);
        scan.batches.retain(|batch| batch.header.number < limit);
        chain.proven = chain.proven.max(segment.header.first.saturating_sub(1));
        chain.end = chain.end.max(segment.header.first.saturating_sub(1));
        if !broken {
            chain.stop = (index, BATCHES_OFFSET);
        }
        for batch in &scan.batches {
            chain.proven = chain.proven.max(batch.header.synced_through);
            chain.end = chain.end.max(batch.header.number);
            broken |= batch.header.number > chain.last + 1;
            if broken {
                continue;
            }
            chain.stop = (index, batch.end());
            if batch.header.number == chain.last + 1 {
                let records = decode_batch(&segment.file.name, &bytes, batch)?;
                chain.batches.push((BatchNumber(batch.header.number), records));
                chain.last = batch.header.number;
            }
        }
        newest = Newest { bytes, scan };
    }
    Ok((chain, newest))
}

/// Decides whether what is missing may be missing.
fn check_chain(live: &[Used], chain: &Chain, position: u64) -> Result<(), JournalError> {
    if live.is_empty() {
        return Ok(());
    }
    if chain.proven > chain.last {
        let what = "a batch that had been synced is not whole";
        let file = &live[chain.stop.0].file.name;
        return Err(damaged(file, chain.stop.1, chain.last + 1, what));
    }
    if chain.end < position {
        let what = "the database has more than the journal";
        return Err(JournalError::Missing { batch: chain.end + 1, what });
    }
    Ok(())
}

/// What segments hold whose headers say nothing.
#[derive(Default)]
struct Unreadable {
    /// The largest epoch of what is in them: a new use must not take that for its own.
    epoch: u64,
    /// What would have followed the run: of a segment that had just been begun when its header was
    /// damaged. Nothing proves that it was synced.
    lost: Option<TornTail>,
}

/// A segment whose header is not whole was about to be used again, unless it holds proof.
fn check_unreadable(
    disk: &dyn Disk,
    unreadable: &[DiskFile],
    last: u64,
) -> Result<Unreadable, JournalError> {
    let mut found = Unreadable::default();
    for file in unreadable {
        let bytes = read_all(disk, file)?;
        for batch in segment::scan_any(&bytes) {
            if batch.header.epoch <= NUMBER_MAX {
                found.epoch = found.epoch.max(batch.header.epoch);
            }
            if batch.header.number > last && batch.header.synced_through > last {
                return Err(damaged(&file.name, 0, last + 1, "its header is not whole"));
            }
            if batch.header.number > last {
                let (file, offset) = (file.name.clone(), BATCHES_OFFSET as u64);
                let bytes = batch.end().saturating_sub(BATCHES_OFFSET) as u64;
                found.lost = Some(TornTail { file, offset, bytes });
            }
        }
    }
    Ok(found)
}

/// Makes everything that was found safe.
///
/// A process that died of a failed sync leaves behind what looks written, and is not: the system
/// does not try again by itself. So whatever is not proven is written once more.
fn settle(
    disk: &dyn Disk,
    used: &[Used],
    chain: &Chain,
    newest: &Newest,
) -> Result<(), JournalError> {
    let Some(last) = used.last() else { return Ok(()) };
    let name = &last.file.name;
    if chain.last < last.header.first {
        disk.write_at(name, 0, &last.header.encode()).map_err(io_error("write", name))?;
        disk.sync(name).map_err(io_error("sync", name))?;
        if let [.., previous, _] = used {
            let name = &previous.file.name;
            let seal = Seal { epoch: previous.header.epoch, next_epoch: last.header.epoch };
            disk.write_at(name, SEAL_OFFSET as u64, &seal.encode())
                .map_err(io_error("write", name))?;
            disk.sync(name).map_err(io_error("sync", name))?;
        }
        return Ok(());
    }
    let unproven = |batch: &&FoundBatch| {
        batch.header.number > chain.proven && batch.header.number <= chain.last
    };
    for batch in newest.scan.batches.iter().filter(unproven) {
        let bytes = &newest.bytes[batch.offset..batch.end()];
        disk.write_at(name, batch.offset as u64, bytes).map_err(io_error("write", name))?;
    }
    disk.sync(name).map_err(io_error("sync", name))
}

/// What there is of the newest segment's use behind the end of the run.
fn torn_tail(live: &[Used], chain: &Chain, newest: &Newest) -> Option<TornTail> {
    let (last, offset) = (live.last()?, chain.stop.1);
    let whole = newest.scan.batches.iter().filter(|batch| batch.header.number > chain.last);
    let broken = newest.scan.broken.iter().filter(|place| **place >= offset);
    let ends = whole.map(FoundBatch::end).chain(broken.map(|place| place + 8));
    let end = ends.max().or_else(|| unrecognisable(&newest.bytes, offset))?;
    let bytes = (end - offset) as u64;
    Some(TornTail { file: last.file.name.clone(), offset: offset as u64, bytes })
}

/// Where what nothing tells from rubbish ends, behind the run: a last write that has lost what each
/// batch begins with. What an earlier use of the file left behind, as earlier versions did, is none.
fn unrecognisable(bytes: &[u8], offset: usize) -> Option<usize> {
    let end = offset + 1 + bytes.get(offset..)?.iter().rposition(|byte| *byte != 0)?;
    let is_behind = |batch: &FoundBatch| batch.offset >= offset;
    (!segment::scan_any(bytes).iter().any(is_behind)).then_some(end)
}

/// Whether there is anything at all behind the end of the run.
///
/// A power cut may leave the rest of a batch without its beginning, which nothing tells from rubbish.
/// But batches begin alike: the beginning of the next one to be written there, torn at the same
/// place, would make it whole again.
fn has_remains(chain: &Chain, newest: &Newest) -> bool {
    newest.bytes.get(chain.stop.1..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
}

fn decode_batch(
    file: &str,
    segment: &[u8],
    batch: &FoundBatch,
) -> Result<Vec<Record>, JournalError> {
    if batch.header.version != FORMAT_VERSION {
        let version = batch.header.version;
        return Err(JournalError::Newer { file: file.to_owned(), version });
    }
    let mut records = Vec::new();
    let mut rest = batch.payload(segment);
    while !rest.is_empty() {
        let (record, after) = postcard::take_from_bytes(rest).map_err(|_| {
            JournalError::Unknown { file: file.to_owned(), offset: batch.offset as u64 }
        })?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn read_all(disk: &dyn Disk, file: &DiskFile) -> Result<Vec<u8>, JournalError> {
    let bytes = usize::try_from(file.bytes.min(u64::from(u32::MAX))).unwrap_or_default();
    let mut buffer = vec![0; bytes];
    let read = disk.read_at(&file.name, 0, &mut buffer).map_err(io_error("read", &file.name))?;
    buffer.truncate(read);
    Ok(buffer)
}

fn damaged(file: &str, offset: usize, batch: u64, what: &'static str) -> JournalError {
    JournalError::Damaged { file: file.to_owned(), offset: offset as u64, batch, what }
}

fn server_id_bytes(server_id: &str) -> ServerId {
    let mut bytes = ServerId::default();
    let length = server_id.len().min(bytes.len());
    bytes[..length].copy_from_slice(&server_id.as_bytes()[..length]);
    bytes
}

const EXTENSION: &str = ".segment";
const UNFINISHED: &str = ".new";

/// The name of a file that is used as a segment; the number only tells files apart.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:08}{EXTENSION}")
}

/// What it is called while it is made.
pub(super) fn unfinished_name(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.parse().ok().filter(|number| *number <= NUMBER_MAX)
}
