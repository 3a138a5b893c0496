//! Proof on the real program: it is killed, cut off from power, disk and network, and everything
//! it has confirmed must be there afterwards, once and in order.
//!
//! Each row of the table in `docs/reliability-results.md` is a file here and prints one line.
//! Nothing here panics: what goes wrong is a sentence, and the other rows go on.

mod ground;
mod kill;
mod line;
mod people;
mod scripts;
mod shim;
mod talk;
mod trouble;
mod verdict;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use kill::Extent as Kills;
use shim::Shim;
use trouble::While;
pub use trouble::{Outcome, Trouble};
pub use verdict::Verdict;

/// What every row needs.
#[derive(Debug)]
pub struct Field {
    program: PathBuf,
    seed: u64,
    shim: Shim,
    _folder: TempDir,
}

impl Field {
    /// Prepares to run rows against this program.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn new(program: &Path, seed: u64) -> Outcome<Self> {
        let folder = tempfile::tempdir().during("making a folder")?;
        let shim = Shim::build(folder.path())?;
        Ok(Self { program: program.to_owned(), seed, shim, _folder: folder })
    }

    /// Row 4: kill -9 under load.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn kill(&self, extent: Kills) -> Outcome<Verdict> {
        kill::run(self, extent)
    }
}
