//! What was said, on this machine: one file in the profile, a line of JSON for each thing that
//! happened.
//!
//! It is only ever appended to. What a person wrote is in it before it is sent, and what a person
//! received before it is shown and acknowledged, so that a client that dies in between finds both
//! again. `entry` has the lines, `file` writes them, `remember` finds what is unfinished at a
//! start, `look` reads from the end for those who ask. `storage` is what the file is to them: a simulator
//! has another.

mod backwards;
mod entry;
mod file;
mod look;
mod remember;
mod storage;

pub use entry::{Entry, Mail};
pub use file::{Log, Reader};
pub use look::{Found, HISTORY_MAX, Look, SEARCH_MAX, Said, State};
pub use remember::{Remembered, Unfinished, fingerprint};
pub use storage::Storage;

/// Why an entry of a message says that it was refused, when no server said so: nobody knows
/// whether it arrived, and it is not sent again.
pub const UNCERTAIN: &str = "UNCERTAIN";

/// The same, when it never left.
pub const UNSENT: &str = "UNSENT";
