//! Backups: made from a running server or from data that no server uses, read back before they
//! count, and restored as the data of a new server.
//!
//! A server that runs only brings everything into the database; the copying is done here, in the
//! process of whoever asked, and holds nobody up. *Invariant.* What has the name of a backup is
//! whole: it gets that name when it has been restored once.

mod age;
mod bech32;
mod copying;
mod parcel;
mod restore;
mod scratch;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::config::default_data_folder;
use crate::database::{Database, DatabaseError};
use crate::failure::{Failure, Kind};
use crate::folder::Folder;
use crate::operation::{Operation, wall_ms};
use crate::people::{ask_server, server_of};
use crate::space;
use crate::store::{DATABASE_FILE, StoreError};
use crate::tls::{self, TlsFiles};

use age::{Identity, Recipient, Sealer};
pub(crate) use copying::copy_of_still;
pub use parcel::Header;
use parcel::{PARTS, pack};
pub(crate) use restore::look_into;
pub(crate) use restore::refuse_unfinished;
pub use restore::restore;
use scratch::NoScratch;
pub(crate) use scratch::Scratch;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Backup {
    /// What it holds.
    pub header: Header,
    /// Its size.
    pub bytes: u64,
    /// Whether a server runs on the data.
    pub is_running: bool,
}

/// Makes a backup of the data in a folder; none means the usual one. The file must not be there yet.
///
/// Everything that was confirmed before this was called is in it. With a key (`age1…`) it is
/// encrypted: nothing of it is ever beside the file in plain.
///
/// # Errors
/// When it cannot be made. Then nothing is left of it.
pub fn backup(
    folder: Option<PathBuf>,
    file: &Path,
    encrypt_to: Option<&str>,
) -> Result<Backup, Failure> {
    let recipient = encrypt_to.map(recipient).transpose()?;
    let folder = folder.unwrap_or_else(default_data_folder);
    if !folder.join(DATABASE_FILE).exists() {
        return Err(no_data(&folder));
    }
    if file.symlink_metadata().is_ok() {
        return Err(is_there(file));
    }
    let place = place_of(file)?;
    refuse_inside(&folder, &place)?;
    let scratch = scratch_beside(file)?;
    // What is encrypted because of where it goes must not go there in plain before.
    let hidden = match &recipient {
        Some(_) => Some(scratch_within(&folder)?),
        None => None,
    };
    let plain = hidden.as_ref().unwrap_or(&scratch).path();
    let (database, is_running) = match server_of(&folder)? {
        Some(server) => {
            ask_server(&server, &Operation::Settle)?;
            let source = copying::running(&folder).map_err(not_made)?;
            let bytes = source.bytes().map_err(|error| not_made(error.into()))?;
            refuse_without_room(&folder, &place, recipient.is_some(), bytes)?;
            (copying::copy_of(&source, plain).map_err(not_made)?, true)
        }
        None => {
            let _held = Folder::hold(&folder)?;
            (copy_of_still(&folder, plain).map_err(not_made)?.0, false)
        }
    };
    let expected = describe(&folder, &database).map_err(not_made)?;
    database.close().map_err(|error| not_made(error.into()))?;
    let finished = scratch.path().join("finished");
    let witness = match recipient {
        Some(recipient) => Some(Sealed::to(recipient).map_err(|error| disk(&error))?),
        None => None,
    };
    write(&folder, plain, &expected, &finished, witness.as_ref()).map_err(|error| disk(&error))?;
    let witness = witness.map(|sealed| sealed.witness);
    let header = verify(&finished, plain, &expected, witness.as_slice())?;
    let bytes = fs::metadata(&finished).map_err(|error| disk(&error))?.len();
    publish(&finished, file)?;
    Ok(Backup { header, bytes, is_running })
}

/// To whom a backup is encrypted.
struct Sealed {
    recipients: [Recipient; 2],
    /// A second key that opens it, known to this process only and forgotten with it: without one, it
    /// could not be read back.
    witness: Identity,
}

impl Sealed {
    fn to(recipient: Recipient) -> io::Result<Self> {
        let witness = Identity::fresh()?;
        Ok(Self { recipients: [recipient, witness.recipient()], witness })
    }
}

fn recipient(text: &str) -> Result<Recipient, Failure> {
    Recipient::parse(text).ok_or_else(|| {
        Failure::new(
            Kind::Refused,
            "that is not a key to encrypt to",
            "It begins with age1, and age-keygen prints it: Public key: age1...",
        )
    })
}

/// Reads the keys that open a backup from a file, if one is named.
pub(crate) fn identities(file: Option<&Path>) -> Result<Vec<Identity>, Failure> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let unusable = |why: &str| {
        Failure::new(
            Kind::Configuration,
            format!("cannot use the key file {}: {why}", file.display()),
            "It holds lines that begin with AGE-SECRET-KEY-1, as age-keygen writes them.",
        )
    };
    let mut text = Zeroizing::new(String::new());
    let read =
        File::open(file).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| unusable(&error.to_string()))?;
    if text.starts_with("age-encryption.org/") || text.starts_with("-----BEGIN AGE ENCRYPTED") {
        return Err(unusable("it is encrypted itself: decrypt it with age first"));
    }
    Identity::parse_all(&text).ok_or_else(|| unusable("there is no such key in it"))
}

/// Nobody has so many keys, in bytes; who names a disk by mistake does not wait for it.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the plain copy is while an encrypted backup is made.
fn scratch_within(folder: &Path) -> Result<Scratch, Failure> {
    let folder = folder.canonicalize().map_err(|error| disk(&error))?;
    Scratch::make(folder.join("backup.unfinished")).map_err(|why| match why {
        NoScratch::Io(error) => disk(&error),
        NoScratch::InUse | NoScratch::Foreign => Failure::new(
            Kind::Refused,
            "an encrypted backup of these data is being made already",
            "Wait for it.",
        ),
    })
}

/// The folder that a file is to be in. SQLite and whoever changes folders need the whole path.
fn place_of(file: &Path) -> Result<PathBuf, Failure> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    folder.canonicalize().map_err(|error| disk(&error))
}

/// Refuses to put a backup among the data: it would be lost with them, keep what is deleted there,
/// and might be taken for one of the server's own files.
fn refuse_inside(folder: &Path, place: &Path) -> Result<(), Failure> {
    let folder = folder.canonicalize().map_err(|error| disk(&error))?;
    if !place.starts_with(&folder) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Refused,
        format!("{} is within the data folder", place.display()),
        "A backup there is lost with the data: choose another place, best on another disk.",
    ))
}

/// Refuses to fill the disk that the data are on, below a server that runs there and would have to end,
/// with a copy of so many bytes. Another disk may become full, that hurts nobody.
fn refuse_without_room(
    folder: &Path,
    place: &Path,
    is_sealed: bool,
    copy: u64,
) -> Result<(), Failure> {
    let device = |path: &Path| fs::metadata(path).map(|it| it.dev());
    let is_same = device(folder).and_then(|it| Ok(it == device(place)?));
    let needed = match is_same.map_err(|error| disk(&error))? {
        // The copy and what is made of it; then that and what is made of it as a trial.
        true => copy.saturating_mul(2),
        false if is_sealed => copy,
        false => return Ok(()),
    };
    let free = space::free(folder).unwrap_or(u64::MAX);
    if free >= needed.saturating_add(ROOM_LEFT) {
        return Ok(());
    }
    let (needed, free) = (needed.saturating_add(ROOM_LEFT).div_ceil(1 << 20), free >> 20);
    Err(Failure::new(
        Kind::Storage,
        format!(
            "the backup was not made: {needed} MiB are needed on the disk of the data, {free} are free"
        ),
        "Make room there, or choose a place on another disk.",
    ))
}

/// What a backup leaves free on the disk of the data, in bytes: a few segments of the journal.
const ROOM_LEFT: u64 = 32 << 20;

/// Where a backup grows: beside its place, so that it can be put there whole.
fn scratch_beside(file: &Path) -> Result<Scratch, Failure> {
    let Some(name) = file.file_name() else {
        return Err(Failure::new(
            Kind::Refused,
            format!("{} is not the name of a file", file.display()),
            "Say how the backup is to be called, as in whoelse backup monday.backup",
        ));
    };
    let mut name = name.to_owned();
    name.push(".unfinished");
    Scratch::make(place_of(file)?.join(name)).map_err(|why| match why {
        NoScratch::InUse => Failure::new(
            Kind::Refused,
            format!("a backup to {} is being made already", file.display()),
            "Wait for it, or choose another name.",
        ),
        NoScratch::Foreign => Failure::new(
            Kind::Refused,
            format!("there is a {}.unfinished that is not of a backup", file.display()),
            "Choose another name.",
        ),
        NoScratch::Io(error) => disk(&error),
    })
}

fn describe(folder: &Path, database: &Database) -> Result<Header, StoreError> {
    let contents = database.examine()?;
    let files =
        TlsFiles { certificate: folder.join("tls-cert.pem"), key: folder.join("tls-key.pem") };
    Ok(Header {
        taken_ms: wall_ms(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        server_id: database.server_id().to_string(),
        position: database.position()?.0,
        database: contents.version,
        people: contents.people,
        messages: contents.messages,
        devices: contents.devices,
        // A server that was given its key from elsewhere may have none here.
        key: tls::Identity::load(&files).ok().map(|identity| identity.key.to_string()),
        parts: Vec::new(),
    })
}

/// Writes the backup under a name that nobody looks for.
fn write(
    folder: &Path,
    plain: &Path,
    header: &Header,
    to: &Path,
    sealed: Option<&Sealed>,
) -> io::Result<()> {
    let mut parts = Vec::new();
    for name in PARTS {
        let path = if name == DATABASE_FILE { plain } else { folder }.join(name);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => parts.push((name, found.map(|_| path)?)),
        }
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    match sealed {
        Some(sealed) => {
            let mut sealer = Sealer::new(&mut writer, &sealed.recipients)?;
            pack(&mut sealer, header.clone(), &parts)?;
            sealer.finish()?;
        }
        None => pack(&mut writer, header.clone(), &parts)?,
    }
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    // What is read back should come from the disk. Not every file system can be told so.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap_or_default();
    fs::remove_file(plain.join(DATABASE_FILE))
}

/// Restores what was written, and compares.
fn verify(
    finished: &Path,
    plain: &Path,
    expected: &Header,
    witness: &[Identity],
) -> Result<Header, Failure> {
    let restored = plain.join("restored");
    fs::create_dir(&restored).map_err(|error| disk(&error))?;
    let (header, contents) = look_into(finished, witness, &restored)?;
    let found = (contents.people, contents.messages, contents.devices);
    if found == (expected.people, expected.messages, expected.devices)
        && (header.taken_ms, header.position) == (expected.taken_ms, expected.position)
    {
        return Ok(header);
    }
    Err(Failure::new(
        Kind::Storage,
        "the backup was written and could not be restored: something is missing",
        "Nothing was left behind. Check the disk it was to be on.",
    ))
}

/// Gives it its name, without replacing anything.
fn publish(finished: &Path, file: &Path) -> Result<(), Failure> {
    let renamed = match renameat_with(CWD, finished, CWD, file, RenameFlags::NOREPLACE) {
        // Not every file system can be told not to replace.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if file.symlink_metadata().is_err() => {
            fs::rename(finished, file)
        }
        result => result.map_err(io::Error::from),
    };
    renamed.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(file),
        _ => disk(&error),
    })?;
    let folder = finished.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| {
        // Its name might not outlast a power cut, and we say that nothing was left behind.
        fs::remove_file(file).unwrap_or_default();
        disk(&error)
    })
}

fn is_there(file: &Path) -> Failure {
    Failure::new(
        Kind::Refused,
        format!("{} is there already", file.display()),
        "A backup replaces nothing: choose another name, or move the file away.",
    )
}

pub(crate) fn no_data(folder: &Path) -> Failure {
    Failure::new(
        Kind::Refused,
        format!("there are no data in {}", folder.display()),
        "Name the server's folder with --data.",
    )
}

/// What could not be copied: the data are damaged, or there is no room for the copy.
fn not_made(error: StoreError) -> Failure {
    let hint = match &error {
        StoreError::Database(DatabaseError::Sqlite { .. } | DatabaseError::Make(_))
        | StoreError::System { .. }
            if !error.is_damage() =>
        {
            NO_ROOM
        }
        _ => error.hint(),
    };
    Failure::new(Kind::Storage, format!("the backup was not made: {error}"), hint)
}

fn disk(error: &io::Error) -> Failure {
    Failure::new(Kind::Storage, format!("the backup was not made: {error}"), NO_ROOM)
}

const NO_ROOM: &str = "Nothing was left behind, and the data are as they were. Check the disk it \
                       was to be on and the space left there.";
