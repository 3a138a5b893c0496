//! The bytes of a segment: header, seal and batches.
//!
//! ```text
//! 0       header: what this use of the file holds
//! 4096    seal: written when the next segment has taken over
//! 8192    batches, one after another, each padded to 8 bytes; then zeros, or an earlier use
//! ```
//! All integers are little-endian. Each part carries a CRC-32C of all of it. Reading and writing
//! files is left to others.

/// What a header or seal keeps for itself: no write to it touches a sector of anything else.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Where the seal is.
pub(crate) const SEAL_OFFSET: usize = BLOCK_BYTES;

/// Where the batches begin.
pub(crate) const BATCHES_OFFSET: usize = 2 * BLOCK_BYTES;

/// What a batch needs beside its payload.
pub(crate) const BATCH_HEADER_BYTES: usize = 40;

/// The version of the format written here. Older ones must stay readable.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Nobody lives to write so many batches or segments: a larger number is not of our making, and
/// whatever counts on from this one cannot overflow.
pub(crate) const NUMBER_MAX: u64 = u64::MAX / 2;

const SEGMENT_MAGIC: [u8; 8] = *b"whoelse\xFF";
const SEAL_MAGIC: [u8; 8] = *b"whsealed";

/// 0xFF never occurs in UTF-8, so no name and no message text can look like a batch.
const BATCH_MAGIC: [u8; 4] = *b"\xFFwb\xFF";

const ALIGNMENT: usize = 8;

/// The id of the data folder in every segment, so that journals cannot be mixed up.
pub(crate) type ServerId = [u8; 32];

/// What one use of a file as a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) segment_bytes: u32,
    /// Which use of any segment this is, rising; 0: made, and not yet used.
    pub(crate) epoch: u64,
    /// The number of the first batch in it. All before it were synced when this was written.
    pub(crate) first: u64,
    pub(crate) server_id: ServerId,
}

/// Why a header says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// It is none, or not whole.
    Bad,
    /// A newer program wrote it.
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&SEGMENT_MAGIC);
        block[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&self.segment_bytes.to_le_bytes());
        block[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        block[24..32].copy_from_slice(&self.first.to_le_bytes());
        block[32..64].copy_from_slice(&self.server_id);
        let crc = crc32c::crc32c(&block[..64]);
        block[64..68].copy_from_slice(&crc.to_le_bytes());
        block
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = bytes.get(..68).filter(|bytes| bytes[..8] == SEGMENT_MAGIC) else {
            return Err(HeaderFault::Bad);
        };
        if crc32c::crc32c(&bytes[..64]) != u32_at(bytes, 64) {
            return Err(HeaderFault::Bad);
        }
        if u32_at(bytes, 8) != FORMAT_VERSION {
            return Err(HeaderFault::Newer(u32_at(bytes, 8)));
        }
        let mut server_id = ServerId::default();
        server_id.copy_from_slice(&bytes[32..64]);
        let (epoch, first) = (u64_at(bytes, 16), u64_at(bytes, 24));
        if epoch.max(first) > NUMBER_MAX {
            return Err(HeaderFault::Bad);
        }
        Ok(Self { segment_bytes: u32_at(bytes, 12), epoch, first, server_id })
    }
}

/// Says that a later segment has taken over, so that its loss is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Of the segment that is sealed; else it is left from an earlier use.
    pub(crate) epoch: u64,
    /// Of the segment that has taken over. Its header was synced when this was written.
    pub(crate) next_epoch: u64,
}

impl Seal {
    pub(crate) fn encode(self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&SEAL_MAGIC);
        block[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        block[16..24].copy_from_slice(&self.next_epoch.to_le_bytes());
        let crc = crc32c::crc32c(&block[..24]);
        block[24..28].copy_from_slice(&crc.to_le_bytes());
        block
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..28)?;
        let whole = bytes[..8] == SEAL_MAGIC && crc32c::crc32c(&bytes[..24]) == u32_at(bytes, 24);
        whole.then(|| Self { epoch: u64_at(bytes, 8), next_epoch: u64_at(bytes, 16) })
    }
}

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) version: u32,
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    /// All batches up to this number were synced when this one was written.
    pub(crate) synced_through: u64,
}

/// A whole batch in the bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundBatch {
    pub(crate) header: BatchHeader,
    pub(crate) offset: usize,
    pub(crate) payload_bytes: usize,
}

impl FoundBatch {
    pub(crate) fn payload<'a>(&self, segment: &'a [u8]) -> &'a [u8] {
        let start = self.offset + BATCH_HEADER_BYTES;
        &segment[start..start + self.payload_bytes]
    }

    /// Where the next batch is.
    pub(crate) fn end(&self) -> usize {
        self.offset + batch_bytes(self.payload_bytes)
    }
}

/// How many bytes a batch with such a payload takes.
pub(crate) fn batch_bytes(payload_bytes: usize) -> usize {
    (BATCH_HEADER_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

/// Completes a batch: the buffer holds room for the header and the payload after it.
pub(crate) fn finish_batch(buffer: &mut Vec<u8>, header: BatchHeader) {
    let payload_bytes = u32::try_from(buffer.len() - BATCH_HEADER_BYTES)
        .expect("a payload is bounded by the size of a segment, which is a u32");
    buffer[..4].copy_from_slice(&BATCH_MAGIC);
    buffer[4..8].copy_from_slice(&header.version.to_le_bytes());
    buffer[8..16].copy_from_slice(&header.epoch.to_le_bytes());
    buffer[16..24].copy_from_slice(&header.number.to_le_bytes());
    buffer[24..32].copy_from_slice(&header.synced_through.to_le_bytes());
    buffer[32..36].copy_from_slice(&payload_bytes.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
    let crc = batch_crc(buffer);
    buffer[36..40].copy_from_slice(&crc.to_le_bytes());
}

/// Over all of a batch, padding too, without the place of the sum itself.
fn batch_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&batch[..36]), &batch[BATCH_HEADER_BYTES..])
}

/// Reads the batch at an offset, if a whole one is there.
pub(crate) fn batch_at(segment: &[u8], offset: usize) -> Option<FoundBatch> {
    let rest = segment.get(offset..)?;
    if rest.len() < BATCH_HEADER_BYTES || rest[..4] != BATCH_MAGIC {
        return None;
    }
    let payload_bytes = u32_at(rest, 32) as usize;
    let batch = rest.get(..batch_bytes(payload_bytes))?;
    if batch_crc(batch) != u32_at(batch, 36) {
        return None;
    }
    let header = BatchHeader {
        version: u32_at(batch, 4),
        epoch: u64_at(batch, 8),
        number: u64_at(batch, 16),
        synced_through: u64_at(batch, 24),
    };
    Some(FoundBatch { header, offset, payload_bytes })
}

/// What is in the bytes of a segment.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// All whole batches of this use, by rising number, wherever they are.
    pub(crate) batches: Vec<FoundBatch>,
    /// Where something begins that looks like a batch of this use and is not whole.
    pub(crate) broken: Vec<usize>,
}

/// Finds the batches of one use in the bytes of a segment, also behind broken ones.
pub(crate) fn scan(segment: &[u8], epoch: u64) -> Scan {
    let mut found = Scan::default();
    let mut last = 0;
    let mut offset = BATCHES_OFFSET;
    while let Some(candidate) = next_magic(segment, offset) {
        offset = candidate + ALIGNMENT;
        if segment.len() < candidate + 16 || u64_at(segment, candidate + 8) != epoch {
            continue;
        }
        match batch_at(segment, candidate) {
            Some(batch) if batch.header.number > last => {
                last = batch.header.number;
                offset = batch.end();
                found.batches.push(batch);
            }
            Some(_) | None => found.broken.push(candidate),
        }
    }
    found
}

/// Finds whole batches of any use in the bytes of a segment whose header says nothing.
pub(crate) fn scan_any(segment: &[u8]) -> Vec<FoundBatch> {
    let mut found = Vec::new();
    let mut offset = BATCHES_OFFSET;
    while let Some(candidate) = next_magic(segment, offset) {
        offset = candidate + ALIGNMENT;
        found.extend(batch_at(segment, candidate));
    }
    found
}

fn next_magic(segment: &[u8], from: usize) -> Option<usize> {
    let places = segment.get(from..)?.chunks_exact(ALIGNMENT);
    let skipped = places.into_iter().position(|place| place[..4] == BATCH_MAGIC)?;
    Some(from + skipped * ALIGNMENT)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(value)
}
