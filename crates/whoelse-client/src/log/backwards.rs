//! The lines of a file, the last first, without reading more of it than is wanted.

use std::io;

use super::storage::{Storage, read_exact_at};

/// How much is read at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Longest line that is read: what fits into a request does so in a line, though every character
/// be escaped. A longer one is skipped.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// Goes through the lines of a file from its end.
pub(super) struct Backwards<'f, S> {
    file: &'f S,
    /// Where the bytes in hand begin.
    at: u64,
    /// What was read of lines that are not done.
    bytes: Vec<u8>,
    /// How many of them, from the front, have not been searched for the end of a line.
    unsearched: usize,
    /// The line in hand is too long, and its beginning has yet to be found.
    skipping: bool,
}

impl<'f, S: Storage> Backwards<'f, S> {
    /// Begins at a length that ends with a line.
    pub(super) fn new(file: &'f S, length: u64) -> Self {
        Self { file, at: length, bytes: Vec::new(), unsearched: 0, skipping: false }
    }

    /// The line before those that were returned, without its end. One that is too long is empty.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // The line's own end does not begin it. Of a line that is skipped, it is gone already.
            let has_end = !self.skipping && self.bytes.last() == Some(&b'\n');
            let body = self.bytes.len() - usize::from(has_end);
            let searched = &self.bytes[..body.min(self.unsearched)];
            if let Some(end) = searched.iter().rposition(|byte| *byte == b'\n') {
                let line = self.bytes[end + 1..body].to_vec();
                self.bytes.truncate(end + 1);
                self.unsearched = end + 1;
                return Ok(Some(self.unless_skipped(line)));
            }
            if self.at == 0 {
                let mut line = std::mem::take(&mut self.bytes);
                line.truncate(body);
                return Ok(if line.is_empty() && !self.skipping {
                    None
                } else {
                    Some(self.unless_skipped(line))
                });
            }
            if self.bytes.len() > LINE_BYTES_MAX {
                self.skipping = true;
                self.bytes.clear();
            }
            self.read_block()?;
        }
    }

    fn unless_skipped(&mut self, line: Vec<u8>) -> Vec<u8> {
        if std::mem::take(&mut self.skipping) { Vec::new() } else { line }
    }

    fn read_block(&mut self) -> io::Result<()> {
        let wanted = self.at.min(BLOCK_BYTES as u64);
        let size = usize::try_from(wanted).unwrap_or(BLOCK_BYTES);
        let mut block = vec![0; size];
        read_exact_at(self.file, &mut block, self.at - wanted)?;
        block.append(&mut self.bytes);
        self.bytes = block;
        self.unsearched = size;
        self.at -= wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn backwards(content: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        let file = File::open(path).unwrap();
        let mut lines = Backwards::new(&file, content.len() as u64);
        std::iter::from_fn(|| lines.next_line().unwrap())
            .map(|line| String::from_utf8(line).unwrap())
            .collect()
    }

    #[test]
    fn lines_come_from_the_last_to_the_first() {
        for (content, lines) in [
            ("", &[][..]),
            ("a\n", &["a"]),
            ("a\nbc\n\nd\n", &["d", "", "bc", "a"]),
            ("a\nb", &["b", "a"]),
        ] {
            assert_eq!(backwards(content.as_bytes()), lines, "{content:?}");
        }
    }

    #[test]
    fn lines_that_cross_blocks_are_whole_wherever_they_do() {
        for first in [1, BLOCK_BYTES - 2, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1] {
            let lines = ["x".repeat(first), "y".repeat(BLOCK_BYTES * 2), "z".to_owned()];
            let content = lines.join("\n") + "\n";
            let mut read = backwards(content.as_bytes());
            read.reverse();
            assert!(read == lines, "{first}");
        }
    }

    #[test]
    fn a_line_that_nobody_can_have_written_costs_itself_and_no_memory() {
        for more in 0..3 {
            let long = "x".repeat(LINE_BYTES_MAX * 3 + more - 3);
            assert_eq!(backwards(format!("a\n{long}\nb\n").as_bytes()), ["b", "", "a"]);
            assert_eq!(backwards(format!("{long}\nb\n").as_bytes()), ["b", ""]);
        }
    }
}
