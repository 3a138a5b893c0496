//! Lines in and bytes out of a non-blocking socket: what relays and load generator share.
//!
//! Readiness is edge-triggered. A short read proves that the socket is empty, so the usual last
//! read that only says "nothing more" is saved; at one message per wake-up that is a system call
//! per message.

use std::io::{self, ErrorKind, Read, Write};

use memchr::memchr_iter;

/// Size of the one read buffer of a thread, and with it the longest line.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// How often one wake-up fills the buffer before other connections get their turn.
const FILLS_MAX: usize = 64;

/// What a socket had left when reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: the next bytes raise a new event.
    Nothing,
    /// Perhaps more: no event will come for it unless the socket is registered again.
    Perhaps,
    /// The other side has closed.
    End,
}

/// Splits what a socket delivers into lines; keeps only an unfinished one between reads.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    partial: Vec<u8>,
}

impl LineReader {
    /// Reads until the socket is empty and hands over each line without its newline.
    ///
    /// `closing` says that the event announced the end of the stream: then a short read proves
    /// nothing, because no further event would bring us back to read that end.
    pub(crate) fn read(
        &mut self,
        source: &mut impl Read,
        scratch: &mut [u8],
        closing: bool,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<Left> {
        for _ in 0..FILLS_MAX {
            let kept = self.partial.len();
            scratch[..kept].copy_from_slice(&self.partial);
            let room = scratch.len() - kept;
            if room == 0 {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is too long"));
            }
            let count = match source.read(&mut scratch[kept..]) {
                Ok(0) => return Ok(Left::End),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Left::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.split(&scratch[..kept + count], kept, &mut each);
            if count < room && !closing {
                return Ok(Left::Nothing);
            }
        }
        Ok(Left::Perhaps)
    }

    /// Hands over the lines of `filled`, whose first `kept` bytes are known to hold no newline.
    fn split(&mut self, filled: &[u8], kept: usize, each: &mut impl FnMut(&[u8])) {
        let mut start = 0;
        for offset in memchr_iter(b'\n', &filled[kept..]) {
            each(&filled[start..kept + offset]);
            start = kept + offset + 1;
        }
        self.partial.clear();
        self.partial.extend_from_slice(&filled[start..]);
    }
}

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct OutBuffer {
    bytes: Vec<u8>,
    written: usize,
}

impl OutBuffer {
    /// Gives the buffer to append to.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Says whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Counts the bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Writes what the socket takes; the rest waits for the socket to become writable.
    pub(crate) fn flush(&mut self, sink: &mut impl Write) -> io::Result<()> {
        while self.written < self.bytes.len() {
            match sink.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that delivers the given pieces, one per read, then nothing.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    /// A socket that takes a few bytes, then is full.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read_all(reader: &mut LineReader, pieces: &mut Pieces, scratch_bytes: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut scratch = vec![0; scratch_bytes];
        for _ in 0..10 {
            reader
                .read(pieces, &mut scratch, false, |line| {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                })
                .unwrap();
        }
        lines
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut reader = LineReader::default();
        let mut pieces = Pieces(vec![b"on", b"e\ntwo\nth", b"re", b"e", b"\n\nfour"]);
        assert_eq!(read_all(&mut reader, &mut pieces, 64), ["one", "two", "three", ""]);
        assert_eq!(reader.partial, b"four");
    }

    #[test]
    fn a_full_read_is_followed_by_another() {
        let mut reader = LineReader::default();
        let mut pieces = Pieces(vec![b"abc\n", b"de\n"]);
        let mut lines = 0;
        let left = reader.read(&mut pieces, &mut [0; 4], false, |_| lines += 1).unwrap();
        assert_eq!((lines, left), (2, Left::Nothing));
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_an_error() {
        let mut reader = LineReader::default();
        let mut pieces = Pieces(vec![b"abcd", b"e"]);
        assert!(reader.read(&mut pieces, &mut [0; 4], false, |_| {}).is_err());
    }

    #[test]
    fn the_end_of_the_stream_is_read_when_it_was_announced() {
        let mut reader = LineReader::default();
        let mut pieces = Pieces(vec![b"a\n", b""]);
        let left = reader.read(&mut pieces, &mut [0; 64], true, |_| {}).unwrap();
        assert_eq!(left, Left::End);
    }

    #[test]
    fn what_a_full_socket_refuses_waits() {
        let mut out = OutBuffer::default();
        out.bytes().extend_from_slice(b"abcdef");
        let mut narrow = Narrow { taken: Vec::new(), room: 4 };
        out.flush(&mut narrow).unwrap();
        assert_eq!((out.len(), out.is_empty()), (2, false));
        narrow.room = 4;
        out.flush(&mut narrow).unwrap();
        assert_eq!((narrow.taken.as_slice(), out.is_empty()), (&b"abcdef"[..], true));
    }
}
