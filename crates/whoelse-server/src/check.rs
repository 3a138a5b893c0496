//! Goes through everything in a data folder or a backup, and changes nothing.

use std::path::{Path, PathBuf};

use crate::backup::{self, Scratch};
use crate::config::default_data_folder;
use crate::database::Contents;
use crate::failure::{Failure, Kind};
use crate::folder::Folder;
use crate::store::{DATABASE_FILE, StoreError};
use crate::tls::{Identity, TlsFiles};

/// What was found where nothing is wrong.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The folder or the file.
    pub path: PathBuf,
    /// What is in the database, everything in the journal included.
    pub contents: Contents,
    /// What is in the journal; none for a backup, which needs none.
    pub journal: Option<CheckedJournal>,
    /// The key that people know the server by, if it is there.
    pub key: Option<String>,
    /// When a backup was made, in milliseconds since the Unix epoch.
    pub taken_ms: Option<u64>,
}

/// What is in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedJournal {
    /// Segments that are needed.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// Records that the database has yet to take over: none after a proper end.
    pub records: u64,
    /// Bytes of a last write that was not finished. Nobody was told that it was done.
    pub torn_bytes: u64,
}

/// Checks the data in a folder that no server uses; none means the usual one.
///
/// # Errors
/// The first fault. Nothing was changed.
pub fn check_folder(folder: Option<PathBuf>) -> Result<Checked, Failure> {
    let path = folder.unwrap_or_else(default_data_folder);
    if !path.join(DATABASE_FILE).exists() {
        return Err(backup::no_data(&path));
    }
    let _held = Folder::hold(&path)?;
    let scratch = scratch()?;
    let (database, examined) =
        backup::copy_of_still(&path, scratch.path()).map_err(|error| fault(&path, &error))?;
    let contents = database.examine().map_err(|error| fault(&path, &error.into()))?;
    let journal = CheckedJournal {
        segments: examined.segments,
        batches: examined.batches,
        records: examined.records,
        torn_bytes: examined.recovered.torn.map_or(0, |torn| torn.bytes),
    };
    let key = server_key(&path)?;
    Ok(Checked { path, contents, journal: Some(journal), key, taken_ms: None })
}

/// Checks a backup by restoring it, to where it is forgotten at once. The key that opens it, if it is
/// encrypted, is in the file `key`.
///
/// # Errors
/// The first fault.
pub fn check_backup(file: &Path, key: Option<&Path>) -> Result<Checked, Failure> {
    let identities = backup::identities(key)?;
    let scratch = scratch()?;
    let (header, contents) = backup::look_into(file, &identities, scratch.path())?;
    let key = server_key(scratch.path())?;
    let taken_ms = Some(header.taken_ms);
    Ok(Checked { path: file.to_owned(), contents, journal: None, key, taken_ms })
}

/// The server's own key, with a certificate that fits. There is none if it never ran with its own.
fn server_key(folder: &Path) -> Result<Option<String>, Failure> {
    let files =
        TlsFiles { certificate: folder.join("tls-cert.pem"), key: folder.join("tls-key.pem") };
    if !files.key.exists() {
        return Ok(None);
    }
    let identity = Identity::load(&files)
        .map_err(|failure| Failure::new(Kind::Storage, failure.what, failure.hint))?;
    Ok(Some(identity.key.to_string()))
}

fn scratch() -> Result<Scratch, Failure> {
    Scratch::temporary().map_err(|error| {
        Failure::new(
            Kind::Storage,
            format!("cannot make a temporary folder: {error}"),
            "A check works on a copy. Name a folder with room for it in TMPDIR.",
        )
    })
}

fn fault(path: &Path, error: &StoreError) -> Failure {
    Failure::new(Kind::Storage, format!("{}: {error}", path.display()), error.hint())
}
