//! Proof on the real program: it is killed, cut off from power, disk and network, and everything
//! it has confirmed must be there afterwards, once and in order.
//!
//! Each row of the table in `docs/reliability-results.md` is a file here and prints one line.
//! Nothing here panics: what goes wrong is a sentence, and the other rows go on.

mod disk;
mod faults;
mod ground;
mod inspect;
mod kill;
mod line;
mod people;
mod post;
mod power;
mod projector;
mod said;
mod scripts;
mod shim;
mod talk;
mod trace;
mod trouble;
mod verdict;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use kill::Extent as Kills;
pub use power::Cuts;
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

    /// Row 5: the power goes.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn power(&self, extent: Cuts) -> Outcome<Verdict> {
        power::run(self, extent)
    }

    /// Row 7: the disk fails at each of so many points, in one way or in all.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn failing_disk(&self, points: i64, is_thorough: bool) -> Outcome<Verdict> {
        faults::run(self, points, is_thorough)
    }

    /// Row 7: the disk fills up.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn full_disk(&self) -> Outcome<Verdict> {
        faults::run_full(self)
    }

    /// Row 4: the process is killed while it writes to the database.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn projector(&self, at_start: i64, at_end: i64) -> Outcome<Verdict> {
        projector::run(self, at_start, at_end)
    }
}
