//! Finds where one JSON object ends and the next begins.
//!
//! Objects follow each other with white space or nothing between them. The splitter counts
//! brackets and strings; whether an object is *valid* is the codec's question. It remembers how
//! far it looked, so a client that sends a byte at a time costs no more than one that does not.

use memchr::{memchr, memchr3};

/// What stands at the beginning of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This many bytes are of no interest; drop them and look again.
    Skip(usize),
    /// This many bytes are one object.
    Frame(usize),
    /// This many bytes are the beginning of something that is not a frame; say so, drop them and
    /// look again. What else belongs to it is skipped by the following steps.
    Bad(usize, Fault),
    /// An object has begun and not ended, or there is nothing; wait for more bytes.
    More,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin with `{`.
    NotAnObject,
    /// The line ended before the object did.
    Unfinished,
    /// It is longer than allowed.
    TooLong,
}

/// How the rest of something bad is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discard {
    Nothing,
    /// Up to the end of the line or, without `lines`, the beginning of an object.
    Garbage,
    /// Up to the end of the object, which is being counted on.
    Object,
}

/// Finds the ends of objects in a stream of bytes.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// Bytes of the current object looked at so far.
    scanned: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
    discard: Discard,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { scanned: 0, depth: 0, in_string: false, escaped: false, discard: Discard::Nothing }
    }
}

impl Splitter {
    /// Looks at the bytes that were not dropped yet.
    ///
    /// `bytes_max` is the longest frame. With `lines` an object must end on the line it began on,
    /// so that a bad line costs that line only.
    pub fn step(&mut self, bytes: &[u8], bytes_max: usize, lines: bool) -> Step {
        match self.discard {
            Discard::Nothing => {}
            Discard::Garbage => return self.skip_bad(bytes, lines),
            Discard::Object => return self.skip_object(bytes, lines),
        }
        if self.scanned == 0 {
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if blank > 0 {
                return Step::Skip(blank);
            }
            match bytes.first() {
                None => return Step::More,
                Some(b'{' | b'[') => {}
                Some(_) => {
                    self.discard = Discard::Garbage;
                    return Step::Bad(1, Fault::NotAnObject);
                }
            }
        }
        match self.scan(bytes, lines) {
            Scan::End(end) if end > bytes_max => Step::Bad(end, Fault::TooLong),
            Scan::End(end) if bytes.first() == Some(&b'[') => Step::Bad(end, Fault::NotAnObject),
            Scan::End(end) => Step::Frame(end),
            // Whichever way the bytes came in, the same is said of them.
            Scan::LineEnd(at) if at > bytes_max => Step::Bad(at + 1, Fault::TooLong),
            Scan::LineEnd(at) => Step::Bad(at + 1, Fault::Unfinished),
            Scan::More if bytes.len() > bytes_max => {
                self.scanned = 0;
                self.discard = Discard::Object;
                Step::Bad(bytes.len(), Fault::TooLong)
            }
            Scan::More => Step::More,
        }
    }

    /// Whether something has begun that has not ended.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.depth > 0 || self.discard != Discard::Nothing
    }

    fn skip_bad(&mut self, bytes: &[u8], lines: bool) -> Step {
        let end = match (memchr(b'\n', bytes), memchr(b'{', bytes)) {
            (Some(line), Some(object)) if !lines => Some((line + 1).min(object)),
            (None, Some(object)) if !lines => Some(object),
            (line, _) => line.map(|at| at + 1),
        };
        if let Some(end) = end {
            self.discard = Discard::Nothing;
            Step::Skip(end)
        } else if bytes.is_empty() {
            Step::More
        } else {
            Step::Skip(bytes.len())
        }
    }

    fn skip_object(&mut self, bytes: &[u8], lines: bool) -> Step {
        match self.scan(bytes, lines) {
            Scan::End(end) => {
                self.discard = Discard::Nothing;
                Step::Skip(end)
            }
            Scan::LineEnd(at) => {
                self.discard = Discard::Nothing;
                Step::Skip(at + 1)
            }
            Scan::More => {
                self.scanned = 0;
                if bytes.is_empty() { Step::More } else { Step::Skip(bytes.len()) }
            }
        }
    }

    fn scan(&mut self, bytes: &[u8], lines: bool) -> Scan {
        let mut at = self.scanned;
        while at < bytes.len() {
            if self.escaped {
                if bytes[at] == b'\n' {
                    return self.finish(Scan::LineEnd(at)); // no escape reaches over a line's end
                }
                self.escaped = false;
                at += 1;
            } else if self.in_string {
                let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) else {
                    break;
                };
                at += found;
                match bytes[at] {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => return self.finish(Scan::LineEnd(at)),
                }
                at += 1;
            } else {
                match bytes[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return self.finish(Scan::End(at + 1));
                        }
                    }
                    b'\n' if lines => return self.finish(Scan::LineEnd(at)),
                    _ => {}
                }
                at += 1;
            }
        }
        self.scanned = bytes.len();
        Scan::More
    }

    fn finish(&mut self, scan: Scan) -> Scan {
        self.scanned = 0;
        self.depth = 0;
        self.in_string = false;
        self.escaped = false;
        scan
    }
}

enum Scan {
    /// The object ends before this byte.
    End(usize),
    /// A line ends at this byte, which the object cannot contain.
    LineEnd(usize),
    More,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of a stream that arrives in pieces of `piece` bytes.
    fn split(stream: &[u8], piece: usize, bytes_max: usize, lines: bool) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            loop {
                match splitter.step(&buffer, bytes_max, lines) {
                    Step::More => break,
                    Step::Skip(bytes) => drop(buffer.drain(..bytes)),
                    Step::Frame(bytes) => {
                        let frame = buffer.drain(..bytes).collect();
                        seen.push(String::from_utf8(frame).unwrap());
                    }
                    Step::Bad(bytes, fault) => {
                        buffer.drain(..bytes);
                        seen.push(format!("{fault:?}"));
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn objects_are_found_whatever_stands_between_them() {
        for piece in [1, 2, 3, 7, 1000] {
            for lines in [false, true] {
                assert_eq!(
                    split(b"{\"a\":1}{\"b\":\"}{\\\"\"}\r\n \t{\"c\":[{}]}\n", piece, 100, lines),
                    ["{\"a\":1}", "{\"b\":\"}{\\\"\"}", "{\"c\":[{}]}"]
                );
            }
        }
    }

    #[test]
    fn garbage_costs_its_line_once() {
        for piece in [1, 4, 1000] {
            assert_eq!(
                split(b"hello there\n{\"a\":1}\n\"str\"\n17\n{\"b\":2}\n", piece, 100, true),
                ["NotAnObject", "{\"a\":1}", "NotAnObject", "NotAnObject", "{\"b\":2}"]
            );
        }
    }

    #[test]
    fn without_lines_garbage_ends_where_an_object_begins() {
        assert_eq!(split(b"garbage{\"a\":1}", 100, 100, false), ["NotAnObject", "{\"a\":1}"]);
    }

    #[test]
    fn an_array_is_refused_whole() {
        assert_eq!(
            split(b"[{\"action\":\"logout\"}]{\"a\":1}", 100, 100, false),
            ["NotAnObject", "{\"a\":1}"]
        );
    }

    #[test]
    fn a_line_break_ends_a_bad_string_and_in_lines_a_bad_object() {
        assert_eq!(split(b"{\"a\":\"x\n{\"b\":2}\n", 100, 100, false), ["Unfinished", "{\"b\":2}"]);
        assert_eq!(split(b"{\"a\":\n{\"b\":2}\n", 100, 100, true), ["Unfinished", "{\"b\":2}"]);
        assert_eq!(split(b"{\"a\":\n1}", 100, 100, false), ["{\"a\":\n1}"]);
    }

    #[test]
    fn a_backslash_at_the_end_of_a_line_does_not_take_the_next_one_with_it() {
        for lines in [false, true] {
            let stream = b"{\"a\":\"x\\\n{\"b\":2}\n{\"c\":3}\n";
            assert_eq!(split(stream, 100, 100, lines), ["Unfinished", "{\"b\":2}", "{\"c\":3}"]);
        }
    }

    #[test]
    fn what_is_too_long_is_skipped_to_its_end() {
        let long = format!("{{\"a\":\"{}\"}}{{\"b\":2}}", "x".repeat(500));
        for piece in [1, 30, 64, 1000] {
            assert_eq!(split(long.as_bytes(), piece, 64, false), ["TooLong", "{\"b\":2}"]);
        }
    }
}
