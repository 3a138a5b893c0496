//! What two ends of a link say to each other: frames on one stream, each behind its length.
//!
//! A frame is a length of four bytes (big-endian) and so many bytes of postcard (its specification:
//! <https://postcard.jamesmunns.com/wire-format>). Whoever says anything else is not one of us.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::TEXT_BYTES_MAX;

/// The protocol, as QUIC negotiates it; what is incompatible gets another number.
pub(crate) const ALPN: &[u8] = b"whoelse-link/1";

/// What a [`Frame::Hello`] says of us. A higher one is compatible, else it would have another [`ALPN`].
pub(crate) const VERSION: u16 = 1;

/// Longest frame, in bytes, without its length.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;

const LENGTH_BYTES: usize = 4;

const _: () = assert!(TEXT_BYTES_MAX + 32 < FRAME_BYTES_MAX);

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame<'a> {
    /// The first of each side, of each connection.
    Hello {
        /// [`VERSION`].
        version: u16,
        /// The number of the last text that has come, over earlier connections of this link.
        received: u64,
    },
    /// A text.
    Text {
        /// 1, 2, 3, … in each direction.
        number: u64,
        /// What it says.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// All texts up to a number were shown.
    Ack {
        /// Which.
        number: u64,
    },
    /// Still here.
    Ping,
    /// The last frame.
    Bye,
    /// Something about a file.
    File(#[serde(borrow)] FileFrame<'a>),
}

/// What is said about a file. `token` names the transfer: random, chosen by the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileFrame<'a> {
    /// By the sender, again on each connection while the transfer is not over.
    Offer {
        token: [u8; 16],
        /// Anything; the receiver makes it harmless.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// In bytes.
        size: u64,
        /// BLAKE3 of it.
        hash: [u8; 32],
    },
    /// By the receiver, who fetches it now; again on each connection while the transfer is not over.
    Accept { token: [u8; 16] },
    /// By the receiver, who does not want it.
    Decline { token: [u8; 16] },
    /// By either: it is over.
    Cancel { token: [u8; 16] },
    /// By the receiver, now and then: so much has come.
    Have { token: [u8; 16], bytes: u64 },
    /// By the receiver: it has all, and has it safe.
    Done { token: [u8; 16] },
}

impl FileFrame<'_> {
    /// Which transfer it is about.
    pub(crate) fn token(&self) -> &[u8; 16] {
        match self {
            Self::Offer { token, .. }
            | Self::Accept { token }
            | Self::Decline { token }
            | Self::Cancel { token }
            | Self::Have { token, .. }
            | Self::Done { token } => token,
        }
    }

    /// The same, no longer borrowed from the bytes it came in.
    pub(crate) fn into_owned(self) -> FileFrame<'static> {
        match self {
            Self::Offer { token, name, size, hash } => {
                FileFrame::Offer { token, name: name.into_owned().into(), size, hash }
            }
            Self::Accept { token } => FileFrame::Accept { token },
            Self::Decline { token } => FileFrame::Decline { token },
            Self::Cancel { token } => FileFrame::Cancel { token },
            Self::Have { token, bytes } => FileFrame::Have { token, bytes },
            Self::Done { token } => FileFrame::Done { token },
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Its length is 0 or more than [`FRAME_BYTES_MAX`].
    Length,
    /// What follows the length means nothing.
    Content,
}

impl FrameError {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Length => "a frame is longer than allowed",
            Self::Content => "a frame is not in the language of links",
        }
    }
}

/// Appends a frame to what is to be written.
pub(crate) fn encode(frame: &Frame<'_>, bytes: &mut Vec<u8>) {
    let begin = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    // Writing to memory fails only if there is none left.
    if let Ok(written) = postcard::to_extend(frame, std::mem::take(bytes)) {
        *bytes = written;
    }
    let length = u32::try_from(bytes.len() - begin - LENGTH_BYTES).unwrap_or(u32::MAX);
    bytes[begin..begin + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// Finds frames in what comes.
#[derive(Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// How much of `bytes` is done with.
    done: usize,
}

impl Decoder {
    /// Takes in what has come. To be called only when [`Decoder::next`] has nothing more: so no more is held than a
    /// frame and what came with its end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if it is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = &self.bytes[self.done..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length =
            usize::try_from(u32::from_be_bytes(*length)).map_err(|_| FrameError::Length)?;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(FrameError::Length);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.done += LENGTH_BYTES + length;
        match postcard::take_from_bytes(&rest[..length]) {
            Ok((frame, [])) => Ok(Some(frame)),
            _ => Err(FrameError::Content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame<'static>> {
        vec![
            Frame::Hello { version: VERSION, received: 7 },
            Frame::Text { number: u64::MAX, text: "x".repeat(TEXT_BYTES_MAX).into() },
            Frame::Text { number: 1, text: "".into() },
            Frame::Ack { number: 3 },
            Frame::Ping,
            Frame::Bye,
            Frame::File(FileFrame::Offer {
                token: [1; 16],
                name: "a.txt".into(),
                size: 1 << 40,
                hash: [2; 32],
            }),
            Frame::File(FileFrame::Have { token: [1; 16], bytes: 5 }),
        ]
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        for frame in frames() {
            encode(&frame, &mut bytes);
        }
        for size in [1, 3, 1000, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                decoder.push(part);
                while let Some(frame) = decoder.next().unwrap() {
                    encode(&frame, &mut found);
                }
            }
            assert_eq!(found, bytes, "cut into {size}");
        }
    }

    #[test]
    fn the_bytes_of_frames_are_those_of_the_specification() {
        let mut bytes = Vec::new();
        encode(&Frame::Hello { version: 1, received: 300 }, &mut bytes);
        encode(&Frame::Text { number: 2, text: "hé".into() }, &mut bytes);
        encode(&Frame::Ack { number: 2 }, &mut bytes);
        encode(&Frame::Ping, &mut bytes);
        encode(&Frame::Bye, &mut bytes);
        let expected: &[u8] = b"\0\0\0\x04\x00\x01\xac\x02\0\0\0\x06\x01\x02\x03h\xc3\xa9\0\0\0\x02\x02\x02\0\0\0\x01\x03\0\0\0\x01\x04";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn garbage_is_refused_before_it_is_kept() {
        let cases: [(&[u8], FrameError); 6] = [
            (b"\0\0\0\0", FrameError::Length),
            (b"\0\x01\0\x01", FrameError::Length),
            (b"\xff\xff\xff\xff", FrameError::Length),
            (b"\0\0\0\x01\x63", FrameError::Content),
            (b"\0\0\0\x02\x03\x03", FrameError::Content),
            (b"\0\0\0\x04\x01\x01\x01\xff", FrameError::Content),
        ];
        for (bytes, error) in cases {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.next(), Err(error), "{bytes:?}");
        }
    }
}
