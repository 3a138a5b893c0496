//! What the journal needs of a disk, and the real one.
//!
//! The simulator has another, which loses, tears and reorders what was not synced. So nothing else
//! in the journal may reach the file system.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, Mode};

/// A folder of files of fixed size.
///
/// What is written may be lost, in part and in any order, until the file is synced; a file made,
/// renamed or removed may not be so until the folder is synced.
pub trait Disk: Send + Sync {
    /// All files in the folder.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<DiskFile>>;

    /// Makes a file of this many zeros. They take their place on the disk now, so that writing
    /// over them later needs none.
    ///
    /// # Errors
    /// What the system says; also when there is such a file.
    fn create(&self, name: &str, bytes: u32) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Reads until the buffer is full or the file ends; returns how many bytes that were.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of the bytes over what is there.
    ///
    /// # Errors
    /// What the system says; then any part of them may have been written.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written to the file is on disk.
    ///
    /// # Errors
    /// What the system says. Then what was written may be lost even if a later sync succeeds.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Returns when everything that was made, renamed or removed is so on disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self) -> io::Result<()>;
}

/// A file of a [`Disk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// Its name within the folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A folder of the file system.
pub struct RealDisk {
    folder: PathBuf,
    folder_handle: File,
    /// Opened files stay open: there are few, and the one in use is written all the time.
    files: Mutex<BTreeMap<String, Arc<File>>>,
}

impl RealDisk {
    /// Opens a folder, making it (for its owner only) if there is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        match rustix::fs::mkdir(folder, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // A folder that is lost with the power takes everything in it along. An earlier process
        // may have made it and not come this far, so this is done every time.
        if let Some(parent) = folder.parent().filter(|path| !path.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        let folder_handle = File::open(folder)?;
        Ok(Self { folder: folder.to_owned(), folder_handle, files: Mutex::default() })
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(name) {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        let file = Arc::new(file);
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<DiskFile>> {
        list(&self.folder)
    }

    fn create(&self, name: &str, bytes: u32) -> io::Result<()> {
        let path = self.folder.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        // One extent if possible. Not every file system can, and the zeros below do the same.
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, u64::from(bytes)) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        // Space that was never written is marked as such, and each first write to it would change
        // that mark: one more thing to sync, at the worst time.
        let zeros = vec![0; ZEROS_BYTES];
        let mut offset = 0;
        while offset < u64::from(bytes) {
            let left = usize::try_from(u64::from(bytes) - offset).unwrap_or(ZEROS_BYTES);
            let part = &zeros[..left.min(ZEROS_BYTES)];
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(name.to_owned(), Arc::new(file));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::rename(self.folder.join(from), self.folder.join(to))?;
        files.remove(to);
        if let Some(file) = files.remove(from) {
            files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        std::fs::remove_file(self.folder.join(name))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_at(&*self.file(name)?, offset, buffer)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.folder_handle.sync_all()
    }
}

pub(super) fn list(folder: &Path) -> io::Result<Vec<DiskFile>> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if let (Ok(name), true) = (entry.file_name().into_string(), metadata.is_file()) {
            list.push(DiskFile { name, bytes: metadata.len() });
        }
    }
    list.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(list)
}

pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// How many zeros are written at once.
const ZEROS_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_of_zeros_and_keep_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&folder.path().join("journal")).unwrap();
        disk.create("a.new", 3 << 20).unwrap();
        disk.write_at("a.new", 5, b"hello").unwrap();
        disk.sync("a.new").unwrap();
        disk.rename("a.new", "a").unwrap();
        disk.sync_folder().unwrap();
        assert_eq!(disk.list().unwrap(), [DiskFile { name: "a".into(), bytes: 3 << 20 }]);
        let mut buffer = [1; 12];
        assert_eq!(disk.read_at("a", 0, &mut buffer).unwrap(), 12);
        assert_eq!(&buffer, b"\0\0\0\0\0hello\0\0");
        assert_eq!(disk.read_at("a", (3 << 20) - 2, &mut buffer).unwrap(), 2);
        disk.create("a", 1).unwrap_err();
        disk.remove("a").unwrap();
        assert_eq!(disk.list().unwrap(), []);
    }

    #[test]
    fn others_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let disk = RealDisk::open(&path).unwrap();
        disk.create("a", 4096).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("a")), 0o600);
    }
}
