//! The data folder: made with the right permissions, used by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};

/// The file whose lock says who uses the folder.
pub(crate) const LOCK: &str = "lock";

/// A data folder that is ours as long as this lives.
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked; the system unlocks it when the process ends, however it ends.
    _lock: File,
}

/// Returns when a folder is on disk under its name.
fn sync_name(folder: &Path) -> io::Result<()> {
    let parent = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        // Whoever may not look into it has not made the folder in it either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

impl Folder {
    /// Keeps servers from a folder while it is read, and changes nothing in it.
    ///
    /// A folder without the file of the lock was not used by any server yet.
    pub(crate) fn hold(path: &Path) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        let unusable = |error: io::Error| {
            let what = format!("cannot read the data folder {shown}: {error}");
            Failure::new(Kind::Storage, what, "Use the account that runs the server.")
        };
        let lock = match File::open(path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(unusable)?,
        };
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Kind::Refused,
                format!("a whoelse server uses the data folder {shown}"),
                "Stop it first. What can be done while it runs is a backup, and to check that: \
                 whoelse backup FILE, whoelse check FILE",
            )),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Makes the folder if there is none, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unusable = |error: io::Error| {
            Failure::new(
                Kind::Storage,
                format!("cannot use the data folder {shown}: {error}"),
                "Check the path and its permissions, or choose another folder with --data.",
            )
        };
        let made: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        // A folder that is lost with the power takes everything in it along. An earlier process
        // may have made it and not come this far, so this is done every time.
        for path in made.into_iter().chain([path]) {
            sync_name(path).map_err(unusable)?;
        }
        let mode = fs::metadata(path).map_err(unusable)?.permissions().mode();
        // Only a folder of ours: somebody may have named one that others use.
        if mode & 0o077 != 0 && path.join("whoelse.db").exists() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Kind::Refused,
                format!("another whoelse server uses the data folder {shown}"),
                "Stop it, or choose another folder with --data.",
            )),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The credentials file that the data were made from, if they were made from one.
    pub(crate) fn source(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.path.join("imported-from")).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    }

    /// Remembers the credentials file that the data were made from.
    pub(crate) fn set_source(&self, source: &Path) -> io::Result<()> {
        let path = self.path.join("imported-from");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        writeln!(file, "{}", source.display())
    }
}
