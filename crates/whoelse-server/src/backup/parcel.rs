//! The file that a backup is: what it holds, the parts, and a sum over everything.
//!
//! ```text
//! "whoelse backup\n\0"   16 bytes
//! version                u32
//! length of the header   u32
//! header                 JSON: Header
//! parts                  one after another, as the header says
//! SHA-256                32 bytes, of all bytes before
//! ```
//! Integers are little-endian.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MAGIC: [u8; 16] = *b"whoelse backup\n\0";

/// The version written here.
const VERSION: u32 = 1;

/// Longest header, in bytes.
const HEADER_BYTES_MAX: u32 = 1 << 20;

/// The files of a data folder that are in a backup. No other name is ever written at a restore.
pub(super) const PARTS: [&str; 5] =
    ["whoelse.db", "tls-key.pem", "tls-cert.pem", "meeting", "imported-from"];

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// When everything in it was so, in milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// The version of the program that made it.
    pub program: String,
    /// The id of the server it was made of.
    pub server_id: String,
    /// The last batch of that server's journal that is in it.
    pub position: u64,
    /// The version of the database.
    pub database: i32,
    /// People who may log in.
    pub people: u64,
    /// Messages that wait.
    pub messages: u64,
    /// Devices that may resume.
    pub devices: u64,
    /// The server's key, as people compare it, if it is in it.
    pub key: Option<String>,
    /// What follows.
    pub(super) parts: Vec<Part>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParcelError {
    /// It is something else.
    #[error("it is no backup of whoelse")]
    Foreign,
    /// It is a backup, encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// A newer program made it.
    #[error("it has backup format {0}, this program knows up to {VERSION}")]
    Newer(u32),
    /// It ends too early.
    #[error("it is cut off: {0} is not whole")]
    CutOff(String),
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The system could not read or write.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ParcelError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever decrypts says so.
            io::ErrorKind::InvalidData => {
                Self::Damaged("a part of it is altered or cut off and cannot be decrypted")
            }
            _ => Self::Io(error),
        }
    }
}

/// Writes a backup of these files; their sizes go into the header.
pub(super) fn pack(
    to: impl Write,
    mut header: Header,
    parts: &[(&'static str, PathBuf)],
) -> io::Result<()> {
    let mut files = Vec::new();
    for (name, path) in parts {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        header.parts.push(Part { name: (*name).to_owned(), bytes });
        files.push(file.take(bytes));
    }
    let mut to = Summing { inner: to, sum: Sha256::new() };
    let json = serde_json::to_vec(&header)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    to.write_all(&MAGIC)?;
    to.write_all(&VERSION.to_le_bytes())?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&json)?;
    for (mut file, part) in files.into_iter().zip(&header.parts) {
        if io::copy(&mut file, &mut to)? != part.bytes {
            return Err(io::Error::other(format!("{} has become shorter", part.name)));
        }
    }
    let Summing { mut inner, sum } = to;
    inner.write_all(&sum.finalize())?;
    inner.flush()
}

/// Reads a backup, writes its parts as files into a folder, synced, and checks the sum.
///
/// Until this returns, nothing of what was written may be relied on.
pub(super) fn unpack(from: impl Read, folder: &Path) -> Result<Header, ParcelError> {
    let mut from = Summing { inner: from, sum: Sha256::new() };
    let mut magic = [0; MAGIC.len()];
    read_whole(&mut from, &mut magic, "its beginning")?;
    if magic != MAGIC {
        let is_encrypted = magic.starts_with(b"age-encryption.o");
        return Err(if is_encrypted { ParcelError::Encrypted } else { ParcelError::Foreign });
    }
    let version = read_u32(&mut from)?;
    if version == 0 {
        return Err(ParcelError::Damaged("it has no version"));
    }
    if version > VERSION {
        return Err(ParcelError::Newer(version));
    }
    let length = read_u32(&mut from)?;
    if length > HEADER_BYTES_MAX {
        return Err(ParcelError::Damaged("the header is too long"));
    }
    let mut json = vec![0; length as usize];
    read_whole(&mut from, &mut json, "the header")?;
    let header: Header = serde_json::from_slice(&json)
        .map_err(|_| ParcelError::Damaged("the header cannot be read"))?;
    for part in &header.parts {
        let Some(name) = PARTS.into_iter().find(|name| *name == part.name) else {
            return Err(ParcelError::Damaged("it holds a file that does not belong there"));
        };
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        if io::copy(&mut (&mut from).take(part.bytes), &mut file)? != part.bytes {
            return Err(ParcelError::CutOff(name.to_owned()));
        }
        file.sync_all()?;
    }
    let Summing { mut inner, sum } = from;
    let mut expected = [0; 32];
    read_whole(&mut inner, &mut expected, "its end")?;
    if sum.finalize()[..] != expected {
        return Err(ParcelError::Damaged("the sum at its end does not fit"));
    }
    match inner.read(&mut [0])? {
        0 => Ok(header),
        _ => Err(ParcelError::Damaged("something follows its end")),
    }
}

fn read_u32(from: &mut impl Read) -> Result<u32, ParcelError> {
    let mut bytes = [0; 4];
    read_whole(from, &mut bytes, "its beginning")?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_whole(from: &mut impl Read, buffer: &mut [u8], what: &str) -> Result<(), ParcelError> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ParcelError::CutOff(what.to_owned()),
        _ => error.into(),
    })
}

/// Sums up what passes.
struct Summing<T> {
    inner: T,
    sum: Sha256,
}

impl<T: Write> Write for Summing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            taken_ms: 1,
            program: "0.0.0".into(),
            server_id: "id".into(),
            position: 7,
            database: 2,
            people: 3,
            messages: 4,
            devices: 5,
            key: None,
            parts: Vec::new(),
        }
    }

    fn packed(folder: &Path) -> Vec<u8> {
        let files = [("whoelse.db", "all of it"), ("meeting", "")];
        let parts = files.map(|(name, text)| {
            std::fs::write(folder.join(name), text).unwrap();
            (name, folder.join(name))
        });
        let mut bytes = Vec::new();
        pack(&mut bytes, header(), &parts).unwrap();
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<(Header, String), ParcelError> {
        let folder = tempfile::tempdir().unwrap();
        let header = unpack(bytes, folder.path())?;
        Ok((header, std::fs::read_to_string(folder.path().join("whoelse.db")).unwrap()))
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let (found, text) = unpacked(&packed(folder.path())).unwrap();
        assert_eq!((found.parts.len(), text.as_str()), (2, "all of it"));
        assert_eq!(Header { parts: Vec::new(), ..found }, header());
    }

    #[test]
    fn every_altered_bit_and_every_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = packed(folder.path());
        for length in 0..bytes.len() {
            let error = unpacked(&bytes[..length]).unwrap_err();
            assert!(matches!(error, ParcelError::CutOff(_)), "{length}: {error}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            unpacked(&altered).unwrap_err();
        }
        let error = unpacked(&[bytes.as_slice(), b"x"].concat()).unwrap_err();
        assert!(matches!(error, ParcelError::Damaged(_)), "{error}");
    }

    #[test]
    fn what_it_is_not_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut newer = packed(folder.path());
        newer[16] = 9;
        assert!(matches!(unpacked(&newer), Err(ParcelError::Newer(9))));
        assert!(matches!(unpacked(&[0; 99]), Err(ParcelError::Foreign)));
        let age = b"age-encryption.org/v1\n-> X25519 ";
        assert!(matches!(unpacked(age), Err(ParcelError::Encrypted)));
    }

    #[test]
    fn no_file_is_written_but_those_of_a_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "x").unwrap();
        for name in ["../x", "/tmp/x", "lock", ""] {
            let mut bytes = Vec::new();
            pack(&mut bytes, header(), &[(name, path.clone())]).unwrap();
            assert!(matches!(unpacked(&bytes), Err(ParcelError::Damaged(_))), "{name}");
        }
    }
}
