//! A stream of bytes gives the same frames, however it is cut into pieces on its way.

use whoelse_proto::splitter::{Splitter, Step};

use crate::choices::Choices;

/// Cuts the bytes into pieces, of lengths that some of them tell, and compares with the whole.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let lines = choices.truth();
    let bytes_max = choices.one_of(&[8, 32, 4096]);
    let mut lengths = choices.bytes().iter().map(|length| usize::from(*length));
    let stream = data.get(3..).unwrap_or_default();

    let whole = Stream::default().take(stream, bytes_max, lines);
    let mut cut = Stream::default();
    let mut rest = stream;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(1).clamp(1, rest.len());
        let (piece, behind) = rest.split_at(length);
        frames.extend(cut.take(piece, bytes_max, lines));
        rest = behind;
    }
    assert_eq!(frames, whole);
}

/// What a door does: it keeps what has not been used, and no more than a frame of it.
#[derive(Default)]
struct Stream {
    splitter: Splitter,
    kept: Vec<u8>,
}

impl Stream {
    fn take(&mut self, piece: &[u8], bytes_max: usize, lines: bool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        self.kept.extend_from_slice(piece);
        let mut idle = 0;
        loop {
            let used = match self.splitter.step(&self.kept, bytes_max, lines) {
                Step::More => break,
                Step::Skip(bytes) | Step::Bad(bytes, _) => bytes,
                Step::Frame(bytes) => {
                    assert!(bytes <= bytes_max, "a frame is longer than allowed");
                    frames.push(self.kept[..bytes].to_vec());
                    bytes
                }
            };
            // Where what is skipped ends, it may say so once without going on.
            idle = if used > 0 { 0 } else { idle + 1 };
            assert!(idle < 2, "it does not go on");
            self.kept.drain(..used);
        }
        assert!(self.kept.len() <= bytes_max, "more than a frame is kept");
        frames
    }
}
