//! What the fuzzer tries, as functions of bytes.
//!
//! Each target panics if something does not hold for the bytes it is given. libFuzzer calls them
//! (`fuzz/fuzz_targets`), and so does an ordinary test, with the inputs that were kept
//! (`fuzz/corpus`).

mod choices;
pub mod client_state;
pub mod engine;
pub mod event;
pub mod framing;
pub mod invite_link;
pub mod journal;
pub mod name;
pub mod record;
pub mod request;
pub mod sanitiser;

/// What a target is called, and the target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("client_state", client_state::run),
    ("engine", engine::run),
    ("event", event::run),
    ("framing", framing::run),
    ("invite_link", invite_link::run),
    ("journal", journal::run),
    ("name", name::run),
    ("record", record::run),
    ("request", request::run),
    ("sanitiser", sanitiser::run),
];
