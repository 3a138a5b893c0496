//! Bytes that claim to be requests: decoding them never panics, and never means two things.

use whoelse_proto::Request;
use whoelse_proto::codec::{self, Fault};
use whoelse_proto::limits::{FRAME_BYTES_MAX, MEMBERS_MAX};
use whoelse_proto::splitter::{Splitter, Step};

/// Tries the bytes as one frame, and as a stream of them.
pub fn run(data: &[u8]) {
    frame(data);
    for lines in [false, true] {
        let mut splitter = Splitter::default();
        let mut rest = data;
        loop {
            match splitter.step(rest, FRAME_BYTES_MAX, lines) {
                Step::Skip(bytes) => rest = &rest[bytes..],
                Step::Frame(bytes) => {
                    frame(&rest[..bytes]);
                    rest = &rest[bytes..];
                }
                Step::Bad(bytes, _) => {
                    drop(codec::salvage(&rest[..bytes], "Why."));
                    rest = &rest[bytes..];
                }
                Step::More => break,
            }
        }
    }
}

fn frame(frame: &[u8]) {
    let Ok(request) = codec::decode(frame) else { return };
    agrees_with_the_thorough_way(frame, &request);
    survives_being_written_and_read(&request);
}

/// A member that means nothing keeps the quick way from being taken, and changes nothing else.
fn agrees_with_the_thorough_way(frame: &[u8], request: &Request<'_>) {
    let begin = frame.iter().position(|byte| *byte == b'{').expect("a request is an object");
    let mut longer = frame[..=begin].to_vec();
    longer.extend_from_slice(b"\"_ \":0,");
    longer.extend_from_slice(&frame[begin + 1..]);
    match codec::decode(&longer) {
        Ok(thorough) => assert_eq!(encoded(&thorough), encoded(request)),
        Err(malformed) => match malformed.fault {
            // It may have been the last straw, or it was there already.
            Fault::Bad(sentence)
                if sentence == format!("More than {MEMBERS_MAX} members.")
                    || sentence == "A member stands there twice." => {}
            fault => panic!("the thorough way refuses what the quick way takes: {fault:?}"),
        },
    }
}

fn survives_being_written_and_read(request: &Request<'_>) {
    let once = encoded(request);
    match codec::decode(&once) {
        Ok(again) => assert_eq!(encoded(&again), once),
        Err(malformed) => panic!("what was decoded cannot be decoded again: {malformed:?}"),
    }
}

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_request(request, false, &mut bytes);
    bytes
}
