//! Plain mode: lines in, lines out, for scripts, for screen readers and for simple terminals.

use std::io::{self, BufRead, Read};

use crate::compose::Text;

/// Longest line taken in. Longer ones would fit into no request either.
const LINE_BYTES_MAX: u64 = 256 * 1024;

/// What was typed, whatever it was typed into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line.
    Line(String),
    /// A line that is too long.
    TooLong,
    /// A line that is not text.
    NotUtf8,
    /// The key that clears the line; it was empty already.
    Interrupt {
        /// There was nothing to clear.
        empty: bool,
    },
    /// Nothing more will be typed.
    End,
}

/// Something that reads what is typed, line by line.
pub(crate) trait Lines {
    /// Waits for the next line.
    fn next(&mut self, prompt: &Text) -> Typed;
}

/// Reads lines from a file, a pipe, or a terminal that does the editing itself.
pub(crate) struct PlainLines<R>(pub(crate) R);

impl<R: BufRead> Lines for PlainLines<R> {
    fn next(&mut self, _: &Text) -> Typed {
        // What cannot be read any more has ended.
        self.read().unwrap_or(Typed::End)
    }
}

impl<R: BufRead> PlainLines<R> {
    fn read(&mut self) -> io::Result<Typed> {
        let mut bytes = Vec::new();
        let read = self.0.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(Typed::End);
        }
        if bytes.last() != Some(&b'\n') && bytes.len() as u64 == LINE_BYTES_MAX {
            self.skip_line()?;
            return Ok(Typed::TooLong);
        }
        Ok(match String::from_utf8(bytes) {
            Ok(mut line) => {
                line.truncate(line.trim_end_matches(['\r', '\n']).len());
                Typed::Line(line)
            }
            Err(_) => Typed::NotUtf8,
        })
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.0.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (skipped, done) = (end.map_or(buffer.len(), |at| at + 1), end.is_some());
            if skipped == 0 {
                return Ok(());
            }
            self.0.consume(skipped);
            if done {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Typed> {
        let mut lines = PlainLines(input);
        std::iter::from_fn(|| {
            Some(lines.next(&Text::default())).filter(|typed| *typed != Typed::End)
        })
        .collect()
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.into())
    }

    #[test]
    fn lines_end_with_line_feeds_and_the_last_need_not() {
        assert_eq!(lines(b"a\nb \r\n\nc"), [line("a"), line("b "), line(""), line("c")]);
    }

    #[test]
    fn what_is_not_text_costs_its_line() {
        assert_eq!(lines(b"a\n\xff\xfe\nb\n"), [line("a"), Typed::NotUtf8, line("b")]);
    }

    #[test]
    fn what_is_too_long_costs_its_line() {
        let mut input = vec![b'x'; LINE_BYTES_MAX as usize * 3];
        input.extend_from_slice(b"\nb\n");
        assert_eq!(lines(&input), [Typed::TooLong, line("b")]);
        assert_eq!(lines(&vec![b'x'; LINE_BYTES_MAX as usize]), [Typed::TooLong]);
    }
}
