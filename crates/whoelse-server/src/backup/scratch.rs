//! A folder for what is not finished: it goes when the work ends, however it ends.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder that only its owner can open, and that is removed with everything in it.
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked as long as somebody works here.
    _lock: Option<File>,
}

/// Why there is no scratch folder.
#[derive(Debug)]
pub(crate) enum NoScratch {
    /// Somebody else is at it.
    InUse,
    /// What has the name is none.
    Foreign,
    /// The system refused.
    Io(io::Error),
}

const LOCK: &str = "scratch-lock";

impl Scratch {
    /// Makes the folder. What a process left there that was killed is removed.
    pub(crate) fn make(path: PathBuf) -> Result<Self, NoScratch> {
        match DirBuilder::new().mode(0o700).create(&path) {
            // Only a folder of ours may be emptied.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !path.join(LOCK).is_file() {
                    return Err(NoScratch::Foreign);
                }
            }
            made => made.map_err(NoScratch::Io)?,
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(NoScratch::Io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NoScratch::InUse),
            Err(TryLockError::Error(error)) => return Err(NoScratch::Io(error)),
        }
        let scratch = Self { path, _lock: Some(lock) };
        scratch.empty().map_err(NoScratch::Io)?;
        Ok(scratch)
    }

    /// Makes one where the system wants what is temporary.
    pub(crate) fn temporary() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let name = format!("whoelse-{:016x}", u64::from_le_bytes(bytes));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, _lock: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever comes next removes what is left now.
        fs::remove_dir_all(&self.path).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_for_one_at_a_time_and_takes_over_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.unfinished");
        let scratch = Scratch::make(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(Scratch::make(path.clone()), Err(NoScratch::InUse)));
        drop(scratch);
        assert!(!path.exists());

        fs::create_dir_all(path.join("restored")).unwrap();
        fs::write(path.join("mine"), "").unwrap();
        assert!(matches!(Scratch::make(path.clone()), Err(NoScratch::Foreign)));
        fs::write(path.join(LOCK), "").unwrap();
        let scratch = Scratch::make(path.clone()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
