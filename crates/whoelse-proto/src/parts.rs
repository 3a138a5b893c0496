//! The parts of a file that many fetch from many: how it is cut, and who has which of them.

use std::fmt;
use std::ops::Range;

use base64ct::{Base64UrlUnpadded, Encoding};

/// Most parts of a file: what somebody has of it fits into 128 bytes.
pub const PARTS_MAX: u32 = 1024;

/// Shortest part, in bytes, but for the last of a file. A file up to this length has one part.
pub const PART_BYTES_MIN: u64 = 64 * 1024;

/// How a file is cut: into parts of one length, which follows from that of the file, and a last one
/// that may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    part: u64,
}

impl Layout {
    /// The layout of a file of so many bytes: the shortest power of two, not below
    /// [`PART_BYTES_MIN`], of which [`PARTS_MAX`] cover it.
    #[must_use]
    pub fn of(size: u64) -> Self {
        let least = size.div_ceil(u64::from(PARTS_MAX));
        // What is longer than any disk has one part.
        let part = least.checked_next_power_of_two().unwrap_or(u64::MAX).max(PART_BYTES_MIN);
        Self { size, part }
    }

    /// How long the file is, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many parts there are; none of an empty file.
    #[must_use]
    pub fn parts(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.part)).unwrap_or(PARTS_MAX)
    }

    /// How long a part is, in bytes, unless it is the last.
    #[must_use]
    pub fn part_bytes(&self) -> u64 {
        self.part
    }

    /// Which bytes of the file a part is; empty if there is no such part.
    #[must_use]
    pub fn range(&self, part: u32) -> Range<u64> {
        let begin = u64::from(part).saturating_mul(self.part).min(self.size);
        begin..begin.saturating_add(self.part).min(self.size)
    }

    /// How long a part is, in bytes; 0 if there is no such part.
    #[must_use]
    pub fn bytes(&self, part: u32) -> u64 {
        let range = self.range(part);
        range.end - range.start
    }
}

/// Text that tells no parts of this file: of another length, not base64url, or with parts behind the
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it needs {bytes} bytes in base64url, and no bit behind the last part")]
pub struct PartsError {
    /// How many bytes it would have.
    pub bytes: usize,
}

/// Some of the parts of a file.
///
/// As text it is base64url of as many bytes as needed, a bit for a part; the first part is the most
/// significant bit of the first byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PartMap {
    parts: u32,
    bits: Box<[u8]>,
}

impl PartMap {
    /// None of so many parts, at most [`PARTS_MAX`].
    #[must_use]
    pub fn none(parts: u32) -> Self {
        let parts = parts.min(PARTS_MAX);
        Self { parts, bits: vec![0; bytes_of(parts)].into() }
    }

    /// All of so many parts, at most [`PARTS_MAX`].
    #[must_use]
    pub fn all(parts: u32) -> Self {
        let mut all = Self::none(parts);
        (0..all.parts).for_each(|part| all.insert(part));
        all
    }

    /// Reads the text of some of so many parts.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, parts: u32) -> Result<Self, PartsError> {
        let bytes = bytes_of(parts.min(PARTS_MAX));
        let mut map = Self::none(parts);
        let decoded = Base64UrlUnpadded::decode(text, &mut map.bits);
        let is_whole = decoded.is_ok_and(|decoded| decoded.len() == bytes);
        let surplus = map.bits.last().map_or(0, |last| last.trailing_zeros());
        let unused = u32::try_from(bytes * 8).unwrap_or(u32::MAX) - map.parts;
        if !is_whole || surplus < unused {
            return Err(PartsError { bytes });
        }
        Ok(map)
    }

    /// How many parts the file has.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Whether a part is among these; one that the file does not have is not.
    #[must_use]
    pub fn contains(&self, part: u32) -> bool {
        self.place(part).is_some_and(|(byte, bit)| self.bits[byte] & bit != 0)
    }

    /// Adds a part; one that the file does not have is no part.
    pub fn insert(&mut self, part: u32) {
        if let Some((byte, bit)) = self.place(part) {
            self.bits[byte] |= bit;
        }
    }

    /// Takes a part away.
    pub fn remove(&mut self, part: u32) {
        if let Some((byte, bit)) = self.place(part) {
            self.bits[byte] &= !bit;
        }
    }

    /// How many these are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.bits.iter().map(|byte| byte.count_ones()).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|byte| *byte == 0)
    }

    /// These are all.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.count() == self.parts
    }

    /// The parts, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.parts).filter(|part| self.contains(*part))
    }

    fn place(&self, part: u32) -> Option<(usize, u8)> {
        let byte = usize::try_from(part / 8).ok()?;
        (part < self.parts).then_some((byte, 0x80 >> (part % 8)))
    }
}

impl fmt::Display for PartMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Base64UrlUnpadded::encode_string(&self.bits))
    }
}

impl fmt::Debug for PartMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PartMap({} of {})", self.count(), self.parts)
    }
}

fn bytes_of(parts: u32) -> usize {
    usize::try_from(parts.div_ceil(8)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_at_most_so_many_parts_that_cover_it() {
        const MIB: u64 = 1 << 20;
        let cases = [
            (0, 0, 64 * 1024),
            (1, 1, 64 * 1024),
            (64 * 1024, 1, 64 * 1024),
            (64 * 1024 + 1, 2, 64 * 1024),
            (64 * MIB, 1024, 64 * 1024),
            (64 * MIB + 1, 513, 128 * 1024),
            (500_000_000, 954, 512 * 1024),
            (1 << 40, 1024, 1 << 30),
            (u64::MAX, 1024, 1 << 54),
        ];
        for (size, parts, bytes) in cases {
            let layout = Layout::of(size);
            assert_eq!((layout.parts(), layout.part_bytes()), (parts, bytes), "{size}");
            let mut end = 0;
            for part in 0..parts {
                assert_eq!(layout.range(part).start, end);
                end = layout.range(part).end;
            }
            assert_eq!(end, size);
            assert_eq!(layout.bytes(parts), 0);
        }
    }

    #[test]
    fn parts_are_read_as_they_are_written() {
        let mut map = PartMap::none(11);
        for part in [0, 7, 8, 10, 11, 5000] {
            map.insert(part);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [0, 7, 8, 10]);
        assert_eq!(map.to_string(), "gaA");
        assert_eq!(PartMap::parse("gaA", 11), Ok(map.clone()));
        map.remove(7);
        assert!(!map.contains(7) && map.count() == 3 && !map.is_all() && !map.is_empty());
        assert!(PartMap::all(11).is_all() && PartMap::none(11).is_empty());
        for parts in [0, 1, 8, 9, 1023, PARTS_MAX] {
            let all = PartMap::all(parts);
            assert_eq!(PartMap::parse(&all.to_string(), parts), Ok(all));
        }
    }

    #[test]
    fn what_tells_no_parts_of_this_file_is_refused() {
        for (text, parts) in [
            ("", 1),
            ("gaA", 8),
            ("ga", 11),
            ("gaAA", 11),
            ("gbA", 3),
            ("gbB", 11),
            ("ga+", 11),
            ("_w", 7),
            ("AA", 0),
        ] {
            assert!(PartMap::parse(text, parts).is_err(), "{text} of {parts}");
        }
        assert_eq!(PartMap::parse("_w", 8), Ok(PartMap::all(8)));
        assert_eq!(PartMap::parse("", 0), Ok(PartMap::none(0)));
    }
}
