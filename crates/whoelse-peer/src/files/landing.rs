//! A file that has come whole gets its place among the files of the person: never over another, never half.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use whoelse_proto::FileName;

/// Most files of one name.
const SAME_NAME_MAX: u32 = 10_000;

/// What is left free on a disk, in bytes.
const SPARE: u64 = 64 * 1024 * 1024;

/// Where a file waits on the disk where it is to be, until it is safe there.
pub(crate) fn waiting_place(downloads: &Path, transfer: &str) -> PathBuf {
    downloads.join(format!(".whoelse-{transfer}.part"))
}

/// Gives a file that waits its name, or the next that is free, and makes that last.
pub(crate) fn land(waiting: &Path, downloads: &Path, name: &FileName) -> io::Result<PathBuf> {
    fs::set_permissions(waiting, Permissions::from_mode(0o600))?;
    File::open(waiting)?.sync_all()?;
    for count in 1..=SAME_NAME_MAX {
        let path = downloads.join(numbered(name.as_str(), count));
        match place(waiting, &path) {
            Ok(()) => {
                File::open(downloads)?.sync_all()?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// An empty file, waiting.
pub(crate) fn empty(waiting: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(waiting).map(drop)
}

/// How much more room than there is it takes to write so many bytes into a folder; none if there is enough. The second
/// number is what is free.
pub(crate) fn lacking(folder: &Path, bytes: u64) -> io::Result<Option<(u64, u64)>> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok((bytes.saturating_add(SPARE) > free).then_some((bytes, free)))
}

/// Moves a file to a name that is free, else `AlreadyExists`.
fn place(waiting: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(waiting, path) {
        Ok(()) => fs::remove_file(waiting),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links; then an empty file of ours takes the name first.
        Err(_) => {
            drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
            fs::rename(waiting, path)
        }
    }
}

fn numbered(name: &str, count: u32) -> String {
    if count == 1 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem} ({count}).{ending}"),
        _ => format!("{name} ({count})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = waiting_place(folder.path(), "1");
        fs::write(folder.path().join("a.txt"), "theirs").unwrap();
        let mut found = Vec::new();
        for _ in 0..2 {
            fs::write(&waiting, "new").unwrap();
            let path = land(&waiting, folder.path(), &FileName::of("a.txt")).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(found, ["a (2).txt", "a (3).txt"]);
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"theirs");
        assert!(!waiting.exists());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_name_that_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = waiting_place(folder.path(), "1");
        empty(&waiting).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("a")).unwrap();
        let path = land(&waiting, folder.path(), &FileName::of("a")).unwrap();
        assert_eq!(path, folder.path().join("a (2)"));
    }

    #[test]
    fn numbers_go_before_the_ending() {
        for (name, expected) in [
            ("a.txt", "a (2).txt"),
            ("a", "a (2)"),
            ("a.tar.gz", "a.tar (2).gz"),
            (".hidden", ".hidden (2)"),
        ] {
            assert_eq!(numbered(name, 2), expected);
        }
    }

    #[test]
    fn no_disk_has_room_for_everything() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lacking(folder.path(), 1).unwrap(), None);
        let (needed, free) = lacking(folder.path(), u64::MAX / 2).unwrap().unwrap();
        assert!(needed == u64::MAX / 2 && free > 0);
    }
}
