//! Bytes that claim to come from a server: the client's decoder never panics.

use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::EVENT_BYTES_MAX;
use whoelse_proto::splitter::{Splitter, Step};

/// Tries the bytes as one object, and as a stream of them.
pub fn run(data: &[u8]) {
    object(data);
    let mut splitter = Splitter::default();
    let mut rest = data;
    loop {
        let used = match splitter.step(rest, EVENT_BYTES_MAX, false) {
            Step::More => return,
            Step::Skip(bytes) | Step::Bad(bytes, _) => bytes,
            Step::Frame(bytes) => {
                object(&rest[..bytes]);
                bytes
            }
        };
        rest = &rest[used..];
    }
}

fn object(frame: &[u8]) {
    let Ok(incoming) = Incoming::decode(frame) else { return };
    // What stands in `status` counts more than what stands in `reply`.
    if let Some(status) = &incoming.status {
        assert_eq!(incoming.outcome(), Some(status.as_str()));
    }
    assert_eq!(Incoming::decode(frame).ok(), Some(incoming));
}
