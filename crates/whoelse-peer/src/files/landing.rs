//! A file that has come whole gets its place among the files of the person: never over another, never half.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whoelse_proto::FileName;

/// Most files of one name.
const SAME_NAME_MAX: u32 = 10_000;

/// What is left free on a disk, in bytes.
const SPARE: u64 = 64 * 1024 * 1024;

/// How much is copied at once.
const COPIED: u64 = 4 * 1024 * 1024;

/// Where a file waited in earlier versions, among those of the person.
pub(crate) fn former_place(downloads: &Path, transfer: &str) -> PathBuf {
    downloads.join(format!(".whoelse-{transfer}.part"))
}

/// Where a file waits on the disk where it is to be, if that is another: a folder that nobody else may look into.
pub(crate) fn own_folder(downloads: &Path, transfer: &str) -> PathBuf {
    downloads.join(format!(".whoelse-{transfer}"))
}

/// Makes sure that files can be made among those of the person.
pub(crate) fn try_out(downloads: &Path, transfer: &str) -> io::Result<()> {
    fs::create_dir_all(downloads)?;
    let own = own_folder(downloads, transfer);
    make_own(&own)?;
    fs::remove_dir(own)
}

/// A file that waits whole, and where it is to go.
pub(crate) struct Landing {
    pub(crate) waiting: PathBuf,
    pub(crate) size: u64,
    pub(crate) downloads: PathBuf,
    /// See [`own_folder`].
    pub(crate) own: PathBuf,
    pub(crate) name: FileName,
    /// Nobody wants it any more.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Landing {
    /// Gives the file its name, or the next that is free, and makes that last. It may still be where it waited then, too.
    pub(crate) fn land(&self) -> io::Result<PathBuf> {
        if fs::metadata(&self.waiting)?.nlink() > 1 {
            // It has a name among the files of the person already, which is to be a file of its own.
            return self.copy_and_name();
        }
        fs::set_permissions(&self.waiting, Permissions::from_mode(0o600))?;
        File::open(&self.waiting)?.sync_all()?;
        match self.name(&self.waiting) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => self.copy_and_name(),
            done => done,
        }
    }

    fn copy_and_name(&self) -> io::Result<PathBuf> {
        make_own(&self.own)?;
        let done = self.copy().and_then(|copied| self.name(&copied));
        // If it stays, the end of the transfer tries again.
        drop(fs::remove_dir_all(&self.own));
        done
    }

    /// Brings it to the other disk.
    fn copy(&self) -> io::Result<PathBuf> {
        let path = self.own.join("whole");
        let mut from = File::open(&self.waiting)?;
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut copied = 0;
        loop {
            self.is_wanted()?;
            match io::copy(&mut Read::by_ref(&mut from).take(COPIED), &mut to)? {
                0 => break,
                bytes => copied += bytes,
            }
        }
        if copied != self.size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        to.sync_all()?;
        Ok(path)
    }

    fn name(&self, waiting: &Path) -> io::Result<PathBuf> {
        for count in 1..=SAME_NAME_MAX {
            self.is_wanted()?;
            let path = self.downloads.join(numbered(self.name.as_str(), count));
            match place(waiting, &path) {
                Ok(()) => {
                    File::open(&self.downloads)?.sync_all()?;
                    return Ok(path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn is_wanted(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }
}

fn make_own(own: &Path) -> io::Result<()> {
    // Of an attempt that was killed.
    drop(fs::remove_dir_all(own));
    DirBuilder::new().mode(0o700).create(own)
}

/// An empty file, waiting.
pub(crate) fn empty(waiting: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(waiting).map(drop)
}

/// Whether a file need not be copied from one folder to the other. If it cannot be found out, it is said so too: then trying tells.
pub(crate) fn is_same_disk(one: &Path, other: &Path) -> bool {
    let disk = |path| fs::metadata(path).map(|about| about.dev()).ok();
    disk(one) == disk(other)
}

/// How much more room than there is it takes to write so many bytes into a folder; none if there is enough. The second
/// number is what is free.
pub(crate) fn lacking(folder: &Path, bytes: u64) -> io::Result<Option<(u64, u64)>> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok((bytes.saturating_add(SPARE) > free).then_some((bytes, free)))
}

/// Gives a file a name that is free, else `AlreadyExists`; on another disk `CrossesDevices`.
fn place(waiting: &Path, path: &Path) -> io::Result<()> {
    let Err(error) = fs::hard_link(waiting, path) else { return Ok(()) };
    if matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::CrossesDevices | ErrorKind::NotFound
    ) {
        return Err(error);
    }
    // Not every file system has links; then an empty file of ours takes the name first.
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
    fs::rename(waiting, path).inspect_err(|_| drop(fs::remove_file(path)))
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

    fn landing(waits: &Path, downloads: &Path, name: &str, content: &[u8]) -> Landing {
        let waiting = waits.join("1");
        fs::write(&waiting, content).unwrap();
        Landing {
            waiting,
            size: content.len() as u64,
            downloads: downloads.to_owned(),
            own: own_folder(downloads, "1"),
            name: FileName::of(name),
            stop: Arc::default(),
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let waits = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "theirs").unwrap();
        let mut found = Vec::new();
        for copied in [false, true] {
            let landing = landing(waits.path(), folder.path(), "a.txt", b"new");
            fs::set_permissions(&landing.waiting, Permissions::from_mode(0o644)).unwrap();
            let path = if copied { landing.copy_and_name() } else { landing.land() };
            let path = path.unwrap();
            fs::remove_file(&landing.waiting).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(found, ["a (2).txt", "a (3).txt"]);
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_land_waits_on() {
        let (folder, waits) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let no_folder = folder.path().join("file");
        fs::write(&no_folder, "").unwrap();
        let mut landing = landing(waits.path(), &no_folder, "a", b"new");
        assert!(landing.land().is_err() && landing.copy_and_name().is_err());
        landing.downloads = folder.path().to_owned();
        landing.own = own_folder(folder.path(), "1");
        landing.stop.store(true, Ordering::Relaxed);
        assert!(landing.land().is_err() && landing.copy_and_name().is_err());
        landing.stop.store(false, Ordering::Relaxed);
        landing.size = 4;
        assert_eq!(landing.copy_and_name().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(fs::read(&landing.waiting).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn on_another_disk_it_waits_where_nobody_else_looks() {
        let (folder, waits) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let landing = landing(waits.path(), folder.path(), "a", b"new");
        fs::create_dir(&landing.own).unwrap();
        fs::write(landing.own.join("whole"), "half").unwrap();
        make_own(&landing.own).unwrap();
        let copied = landing.copy().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&landing.own), mode(&copied)), (0o700, 0o600));
        assert_eq!(fs::read(copied).unwrap(), b"new");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_name_that_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let waits = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("a")).unwrap();
        let landing = landing(waits.path(), folder.path(), "a", b"");
        empty(&landing.waiting).unwrap();
        let path = landing.land().unwrap();
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
