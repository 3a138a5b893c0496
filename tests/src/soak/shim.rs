//! The preloaded library `tests/preload/shim.c`: builds it, and moves its switches.
//!
//! The switches are numbers in a file that the server maps into its memory; writing them into the
//! file is enough.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::trouble::{Outcome, While, trouble};

const SOURCE: &str = include_str!("../../preload/shim.c");

/// The numbers in the control file, in the order of `struct control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// How many operations counted so far.
    Operations,
    /// The operation that fails, from 1; 0: none.
    FailAt,
    /// The errno it fails with.
    Error,
    /// Whether all after it fail too.
    IsLasting,
    /// The operation before which the process ends; 0: none.
    KillAt,
    /// Which files' operations count: 0 all, or [`DATABASE_FILES`].
    Files,
    /// How many operations were failed.
    Failed,
    /// What is added to the wall clock, in nanoseconds.
    WallNs,
    /// Where the wall clock stands still; 0: it does not.
    WallAtNs,
    /// What is added to the clock that never goes back, in nanoseconds.
    MonotonicNs,
    /// How many reads counted so far.
    Reads,
    /// The read that fails, from 1, with [`Self::Error`] and, if [`Self::IsLasting`], all after it;
    /// 0: none.
    FailReadAt,
    /// How many reads were failed.
    ReadsFailed,
    /// How much faster the clock runs that never goes back; 0: it does not.
    Speed,
}

const SWITCHES: usize = 14;

/// [`Switch::Files`]: only the database and its log count.
pub(crate) const DATABASE_FILES: i64 = 1;

/// The library, built.
#[derive(Clone, Debug)]
pub(crate) struct Shim {
    library: PathBuf,
}

impl Shim {
    /// Builds it in a folder.
    pub(crate) fn build(folder: &Path) -> Outcome<Self> {
        let source = folder.join("shim.c");
        let library = folder.join("shim.so");
        std::fs::write(&source, SOURCE).during("writing the shim's source")?;
        let built = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .output()
            .during("running cc, which the tests need")?;
        if !built.status.success() {
            return trouble(format!("cc: {}", String::from_utf8_lossy(&built.stderr)));
        }
        Ok(Self { library })
    }

    /// Makes switches for a server whose data are in the folder `data` of `ground`, all off;
    /// everything it does is written to `log`, if any.
    pub(crate) fn switches(&self, ground: &Path, log: Option<&Path>) -> Outcome<Switches> {
        let path = ground.join("switches");
        let file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path);
        let file = file.during("making the switches")?;
        file.write_all_at(&[0; SWITCHES * 8], 0).during("making the switches")?;
        let mut environment = vec![
            ("LD_PRELOAD".to_owned(), self.library.clone()),
            ("SHIM_CONTROL".to_owned(), path),
            ("SHIM_GROUND".to_owned(), ground.to_owned()),
        ];
        environment.extend(log.map(|log| ("SHIM_LOG".to_owned(), log.to_owned())));
        Ok(Switches { file, environment })
    }
}

/// The switches of one server.
#[derive(Debug)]
pub(crate) struct Switches {
    file: File,
    environment: Vec<(String, PathBuf)>,
}

impl Switches {
    /// What a server must find in its environment.
    pub(crate) fn environment(&self) -> &[(String, PathBuf)] {
        &self.environment
    }

    /// Sets a number.
    pub(crate) fn set(&self, switch: Switch, value: i64) -> Outcome<()> {
        let written = self.file.write_all_at(&value.to_ne_bytes(), switch as u64 * 8);
        written.during("setting a switch")
    }

    /// Reads a number.
    pub(crate) fn read(&self, switch: Switch) -> Outcome<i64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, switch as u64 * 8).during("reading a switch")?;
        Ok(i64::from_ne_bytes(bytes))
    }
}
