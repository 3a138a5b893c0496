//! A journal's folder that is only read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, list, read_at};

/// A folder in which nothing can be changed. If there is none it counts as empty.
pub(crate) struct StillDisk {
    folder: PathBuf,
}

impl StillDisk {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the journal is only read")
}

impl Disk for StillDisk {
    fn list(&self) -> io::Result<Vec<DiskFile>> {
        match list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_at(&File::open(self.folder.join(name))?, offset, buffer)
    }

    fn create(&self, _: &str, _: u32) -> io::Result<()> {
        Err(refused())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(refused())
    }

    fn write_at(&self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        Err(refused())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Err(refused())
    }
}
