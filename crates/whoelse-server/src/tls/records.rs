//! Where TLS records begin and end among the bytes that were read.
//!
//! Whether a record has come in part is known to nobody else: rustls keeps the part, and the
//! socket no longer has it.

/// Bytes of a record before its body: type, version, length (RFC 8446, section 5.1).
const HEADER_BYTES: usize = 5;

/// Follows the records of one direction.
#[derive(Debug, Default)]
pub(crate) struct Records {
    header: [u8; HEADER_BYTES],
    /// How much of the header has come.
    came: usize,
    /// How much of the body is still to come.
    missing: usize,
}

impl Records {
    /// These bytes have come.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = self.missing.min(bytes.len());
                self.missing -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (HEADER_BYTES - self.came).min(bytes.len());
            self.header[self.came..self.came + taken].copy_from_slice(&bytes[..taken]);
            self.came += taken;
            bytes = &bytes[taken..];
            if self.came == HEADER_BYTES {
                self.came = 0;
                self.missing = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
            }
        }
    }

    /// Whether a record has begun and not ended.
    pub(crate) fn is_midway(&self) -> bool {
        self.came > 0 || self.missing > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a body of this length.
    fn record(length: u16) -> Vec<u8> {
        let mut bytes = vec![0x17, 3, 3];
        bytes.extend(length.to_be_bytes());
        bytes.extend(std::iter::repeat_n(b'x', usize::from(length)));
        bytes
    }

    #[test]
    fn a_record_ends_where_its_length_says_however_it_is_cut() {
        let bytes = [record(0), record(1), record(300), record(16_640)].concat();
        let ends = [5, 11, 316, 16_961];
        for step in [1, 2, 3, 5, 7, 4096, bytes.len()] {
            let mut records = Records::default();
            let mut fed = 0;
            for part in bytes.chunks(step) {
                records.feed(part);
                fed += part.len();
                assert_eq!(records.is_midway(), !ends.contains(&fed), "after {fed}, by {step}");
            }
        }
    }
}
