//! Small files in a folder that only their owner may read: written whole or not at all.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Longest text that stands in a file's name as it is. File systems allow 255 bytes, of which
/// others want some.
const NAME_BYTES_MAX: usize = 150;

/// How much of a longer one stands in front of its hash.
const NAME_BYTES_KEPT: usize = 100;

/// Makes a folder, and those above it, for its owner only.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes from others what they may do with a folder that was there before.
pub(crate) fn close_to_others(folder: &Path) -> io::Result<()> {
    let permissions = folder.metadata()?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(permissions.mode() & 0o700))
}

/// Opens a file to lock it.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Writes a file so that, whatever happens, either the old or the new content is there.
///
/// Only one at a time may do so with one file: a lock sees to that.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    // A left-over of a crash may have been made with other permissions.
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// A text as the name of a file, which is different for each text, and never empty.
pub(crate) fn file_name(text: &str) -> String {
    let encoded = encode(text);
    match encoded.len() {
        0 => "%".to_owned(),
        1..=NAME_BYTES_MAX => encoded,
        _ => Sha256::digest(text)[..16].iter().fold(
            format!("{}%", &encoded[..NAME_BYTES_KEPT]),
            |mut name, byte| {
                write!(name, "{byte:02x}").expect("a string takes all text");
                name
            },
        ),
    }
}

/// A text of letters, digits, dots and dashes: what is unfit for one is written `%` and two digits.
///
/// Letters keep their case, so that names that differ in case only need a file system that
/// tells them apart; an uppercase letter is therefore unfit, too.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().enumerate().fold(String::new(), |mut encoded, (at, byte)| {
        let fits = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || byte == b'-'
            || (byte == b'.' && at > 0);
        if fits {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02x}").expect("a string takes all text");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_harmless_and_never_the_same() {
        for (text, encoded) in [
            ("hans", "hans"),
            ("Hans", "%48ans"),
            ("..", "%2e."),
            ("a.b-c", "a.b-c"),
            ("a/b", "a%2fb"),
            ("a_b%", "a%5fb%25"),
            ("é", "%c3%a9"),
            ("::1", "%3a%3a1"),
        ] {
            assert_eq!((encode(text), file_name(text)), (encoded.to_owned(), encoded.to_owned()));
        }
        assert_eq!(file_name(""), "%");
        let long = |last: &str| file_name(&format!("{}{last}", "名".repeat(31)));
        assert_ne!(long("前"), long("字"));
        assert_eq!(long("前").len(), 133);
    }

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("file");
        make(path.parent().unwrap()).unwrap();
        std::fs::write(folder.path().join("a").join("file.new"), "left over").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
