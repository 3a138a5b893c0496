//! A folder for what is not finished: it goes when the work ends, however it ends.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder that only its owner can open, and that is removed with everything in it.
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked as long as somebody works here.
    _lock: File,
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

/// How often one is made anew that others took away while it was made.
const TRIES: u32 = 20;

impl Scratch {
    /// Makes the folder. What a process left there that was killed is removed.
    pub(crate) fn make(path: PathBuf) -> Result<Self, NoScratch> {
        for _ in 1..TRIES {
            match Self::attempt(path.clone()) {
                // Somebody else has just removed it, from under us.
                Err(NoScratch::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                made => return made,
            }
        }
        Self::attempt(path)
    }

    fn attempt(path: PathBuf) -> Result<Self, NoScratch> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => refuse_foreign(&path)?,
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
        let scratch = Self { path, _lock: lock };
        scratch.empty().map_err(NoScratch::Io)?;
        Ok(scratch)
    }

    /// Makes one where the system wants what is temporary, and removes those there of ours that were
    /// left by processes that were killed: there are copies of all data in them.
    pub(crate) fn temporary() -> io::Result<Self> {
        Self::temporary_in(&std::env::temp_dir())
    }

    fn temporary_in(folder: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            // Without a lock it may be one that is being made.
            if is_temporary(&entry.file_name().to_string_lossy()) && path.join(LOCK).is_file() {
                drop(Self::make(path));
            }
        }
        for _ in 0..TRIES {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let name = format!("{TEMPORARY}{:016x}", u64::from_le_bytes(bytes));
            match Self::make(folder.join(name)) {
                Ok(made) => return Ok(made),
                Err(NoScratch::Io(error)) => return Err(error),
                // Somebody who also makes one took ours, not locked yet, for one that was left.
                Err(NoScratch::InUse | NoScratch::Foreign) => {}
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Whether a process that made one here was killed before it was done.
    pub(crate) fn is_left(path: &Path) -> bool {
        path.join(LOCK).is_file()
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
        // The lock goes last, and then the folder: by it whoever comes next knows what is left now.
        if self.empty().is_ok() {
            fs::remove_dir_all(&self.path).unwrap_or_default();
        }
    }
}

/// What temporary folders are called; 16 hexadecimal digits follow.
const TEMPORARY: &str = "whoelse-";

fn is_temporary(name: &str) -> bool {
    let number = name.strip_prefix(TEMPORARY);
    number.is_some_and(|it| it.len() == 16 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Only a folder of ours may be emptied, and only to one of ours is anything written: where many may
/// write, somebody may have made it for us, to look into it.
fn refuse_foreign(path: &Path) -> Result<(), NoScratch> {
    let found = fs::symlink_metadata(path).map_err(NoScratch::Io)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(NoScratch::Foreign);
    }
    // Empty: whoever made it was killed before there was a lock.
    let mut entries = fs::read_dir(path).map_err(NoScratch::Io)?;
    if !path.join(LOCK).is_file() && entries.next().is_some() {
        return Err(NoScratch::Foreign);
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(NoScratch::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let scratch = Scratch::make(path).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_was_left_at_its_very_beginning_or_end_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.unfinished");
        fs::create_dir(&path).unwrap();
        let scratch = Scratch::make(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_somebody_else_has_laid_out_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (path, theirs) = (folder.path().join("x.unfinished"), folder.path().join("theirs"));
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(&theirs, &path).unwrap();
        assert!(matches!(Scratch::make(path), Err(NoScratch::Foreign)));
        // Only root can give something to another.
        if std::os::unix::fs::chown(&theirs, Some(65_534), None).is_ok() {
            assert!(matches!(Scratch::make(theirs.clone()), Err(NoScratch::Foreign)));
        }
        assert!(theirs.join(LOCK).exists());
    }

    #[test]
    fn many_at_the_same_moment_leave_each_other_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..100 {
                        let scratch = Scratch::temporary_in(folder.path()).unwrap();
                        fs::write(scratch.path().join("mine"), "").unwrap();
                        assert!(scratch.path().join("mine").exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_left_where_things_are_temporary_goes_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let used = Scratch::temporary_in(folder.path()).unwrap();
        fs::write(used.path().join("mine"), "").unwrap();
        for name in ["whoelse-0123456789abcdef", "whoelse-mine", "0123456789abcdef"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(LOCK), "").unwrap();
            fs::write(at(name).join("whoelse.db"), "all data").unwrap();
        }
        let scratch = Scratch::temporary_in(folder.path()).unwrap();
        assert!(!at("whoelse-0123456789abcdef").exists());
        assert!(at("whoelse-mine").exists() && at("0123456789abcdef").exists());
        assert!(used.path().join("mine").exists());
        drop((used, scratch));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
