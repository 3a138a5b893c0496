//! Makes the data of a new server out of a backup.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::age::{AgeError, Identity, Opener};
use super::parcel::{Header, PARTS, ParcelError, unpack};
use super::scratch::{NoScratch, Scratch};
use crate::config::default_data_folder;
use crate::database::{Contents, Database, DatabaseError};
use crate::failure::{Failure, Kind};
use crate::folder::{self, Folder};
use crate::store::{DATABASE_FILE, random_id};

/// Where a restore grows, within the folder it fills.
const SCRATCH: &str = "restore.unfinished";

/// Restores a backup into a folder that is empty or not there; none means the usual one. The key
/// that opens it, if it is encrypted, is in the file `key`.
///
/// Returns what it holds, and where it is now.
///
/// # Errors
/// When the folder holds anything, or the backup is not whole. Then the folder is as it was.
pub fn restore(
    file: &Path,
    folder: Option<PathBuf>,
    key: Option<&Path>,
) -> Result<(Header, PathBuf), Failure> {
    let path = folder.unwrap_or_else(default_data_folder);
    let identities = super::identities(key)?;
    let reader = open(file, &identities)?;
    refuse_if_filled(&path)?;
    let was_there = path.exists();
    let folder = Folder::open(&path)?;
    let result = fill(file, reader, &folder);
    if result.is_err() {
        // As it was, as far as we have changed it.
        fs::remove_file(path.join(folder::LOCK)).unwrap_or_default();
        if !was_there {
            fs::remove_dir(&path).unwrap_or_default();
        }
    }
    Ok((result?, path))
}

fn fill(file: &Path, reader: impl Read, folder: &Folder) -> Result<Header, Failure> {
    let path = folder.path().canonicalize().map_err(|error| disk(&error))?;
    // Somebody may have been quicker.
    refuse_if_filled(&path)?;
    let scratch = Scratch::make(path.join(SCRATCH)).map_err(|why| match why {
        NoScratch::Io(error) => disk(&error),
        NoScratch::InUse | NoScratch::Foreign => filled(&path, SCRATCH),
    })?;
    let id = random_id().map_err(|error| disk(&io::Error::other(error)))?;
    let remove_parts = || PARTS.map(|name| fs::remove_file(path.join(name)).unwrap_or_default());
    // What is there was put there by one that was killed.
    remove_parts();
    let (header, _) = unpack_from(file, reader, scratch.path(), &id)?;
    move_parts(scratch.path(), &path).map_err(|error| {
        remove_parts();
        disk(&error)
    })?;
    Ok(header)
}

/// Moves all parts to where they belong. The database comes last, when the others are there for
/// good: without it, the folder is none of a server's, and [`refuse_unfinished`] says so.
fn move_parts(from: &Path, to: &Path) -> io::Result<()> {
    let [database, others @ ..] = PARTS;
    let sync = || File::open(to)?.sync_all();
    for name in others {
        match fs::rename(from.join(name), to.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync()?;
    fs::rename(from.join(database), to.join(database))?;
    sync()
}

/// Refuses a folder that a restore was to fill and did not, because it was killed. What one left
/// that was done but for tidying up is removed.
pub(crate) fn refuse_unfinished(folder: &Path) -> Result<(), Failure> {
    let scratch = folder.join(SCRATCH);
    if !Scratch::is_left(&scratch) {
        return Ok(());
    }
    if !folder.join(DATABASE_FILE).exists() {
        return Err(Failure::new(
            Kind::Refused,
            format!("a restore into {} was not finished", folder.display()),
            "Restore the backup again: whoelse restore FILE --data FOLDER",
        ));
    }
    drop(Scratch::make(scratch));
    Ok(())
}

/// Reads a backup as a restore would, and counts what is in it.
pub(crate) fn look_into(
    file: &Path,
    identities: &[Identity],
    scratch: &Path,
) -> Result<(Header, Contents), Failure> {
    unpack_from(file, open(file, identities)?, scratch, "0")
}

/// Puts everything into a folder, the database as that of a new server, and goes through all of it.
fn unpack_from(
    file: &Path,
    reader: impl Read,
    folder: &Path,
    server_id: &str,
) -> Result<(Header, Contents), Failure> {
    let header = unpack(reader, folder).map_err(|error| unreadable(file, &error))?;
    let renew = || -> Result<Contents, DatabaseError> {
        let mut database = Database::open(&folder.join(DATABASE_FILE), server_id)?;
        database.become_new(server_id)?;
        let contents = database.examine()?;
        database.close()?;
        Ok(contents)
    };
    let contents = renew().map_err(|error| {
        let what = format!("cannot restore {}: {error}", file.display());
        Failure::new(Kind::Storage, what, error.hint())
    })?;
    Ok((header, contents))
}

/// Opens a backup, decrypting it if it is encrypted and there is a key.
fn open(file: &Path, identities: &[Identity]) -> Result<Box<dyn Read>, Failure> {
    let opened = File::open(file).and_then(|opened| {
        let is_file = opened.metadata()?.is_file();
        let mut reader = BufReader::with_capacity(1 << 16, opened);
        let is_encrypted = is_file && reader.fill_buf()?.starts_with(b"age-encryption.org/");
        if is_file { Ok((reader, is_encrypted)) } else { Err(io::Error::other("it is not a file")) }
    });
    let (reader, is_encrypted) = opened.map_err(|error| {
        Failure::new(
            Kind::Configuration,
            format!("cannot read the backup {}: {error}", file.display()),
            "Check the path and its permissions.",
        )
    })?;
    // Without a key, what was encrypted is told by its first bytes.
    if !is_encrypted || identities.is_empty() {
        return Ok(Box::new(reader));
    }
    let refused = |what: AgeError, hint| {
        Failure::new(Kind::Refused, format!("cannot open {}: {what}", file.display()), hint)
    };
    match Opener::new(reader, identities) {
        Ok(opener) => Ok(Box::new(opener)),
        Err(AgeError::OtherKey) => Err(refused(
            AgeError::OtherKey,
            "Name the file of the key it was encrypted to with --identity.",
        )),
        Err(AgeError::Passphrase) => Err(refused(
            AgeError::Passphrase,
            "Decrypt it first: age --decrypt --output plain.backup FILE",
        )),
        Err(AgeError::Damaged) => {
            Err(unreadable(file, &ParcelError::Damaged("its encryption is not whole")))
        }
        Err(AgeError::Io(error)) => Err(unreadable(file, &error.into())),
    }
}

fn unreadable(file: &Path, error: &ParcelError) -> Failure {
    let shown = file.display();
    let (kind, hint) = match error {
        ParcelError::Foreign => {
            (Kind::Configuration, "Name a file that whoelse backup has made.".to_owned())
        }
        ParcelError::Encrypted => {
            (Kind::Refused, "Name the file of its key with --identity.".to_owned())
        }
        ParcelError::Newer(_) => {
            (Kind::Storage, "Restore it with the version of whoelse that made it.".to_owned())
        }
        ParcelError::CutOff(_) | ParcelError::Damaged(_) => (
            Kind::Storage,
            "Nothing was restored. Use another backup, or another copy of this one.".to_owned(),
        ),
        ParcelError::Io(_) => (
            Kind::Storage,
            "Nothing was restored. Check the disk and the space left on it; a check restores into \
             TMPDIR."
                .to_owned(),
        ),
    };
    Failure::new(kind, format!("cannot restore {shown}: {error}"), hint)
}

/// What a folder may hold that counts as empty: what we leave there ourselves when we are killed.
fn refuse_if_filled(path: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| disk(&error))?,
    };
    // One that was killed may have come so far as to move everything but the database.
    let is_unfinished = Scratch::is_left(&path.join(SCRATCH)) && !path.join(DATABASE_FILE).exists();
    for entry in entries {
        let name = entry.map_err(|error| disk(&error))?.file_name();
        let is_part = PARTS.iter().any(|part| name == *part);
        if name != SCRATCH && name != folder::LOCK && !(is_unfinished && is_part) {
            return Err(filled(path, &name.to_string_lossy()));
        }
    }
    Ok(())
}

fn filled(path: &Path, what: &str) -> Failure {
    Failure::new(
        Kind::Refused,
        format!("{} is not empty: there is {what}", path.display()),
        "A restore replaces nothing: name a new folder with --data, or move away what is there.",
    )
}

fn disk(error: &io::Error) -> Failure {
    Failure::new(
        Kind::Storage,
        format!("the backup was not restored: {error}"),
        "Check the data folder, its permissions and the space left on its disk.",
    )
}
