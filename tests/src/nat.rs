//! Private links through routers: the real program in network namespaces.
//!
//! Needs Linux, the rights of an administrator, `ip` and `nft`. What cannot be run counts as failed.

mod cast;
mod rows;
mod town;

use std::path::Path;

pub use rows::{ROWS, Row};
pub use town::{Home, Router, Town};

use crate::soak::Outcome;

/// What a row found, as `key=value`.
pub type Figures = Vec<(&'static str, String)>;

/// Runs one row.
///
/// # Errors
/// Says what was not as it should be.
pub fn run(row: &Row, program: &Path) -> Outcome<Figures> {
    (row.run)(program)
}
