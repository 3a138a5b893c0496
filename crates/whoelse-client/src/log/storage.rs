//! What a log is written to: a file, or what a simulator puts in its place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

/// Bytes that are appended to, and read from anywhere.
pub trait Storage: Sized {
    /// How many bytes there are.
    ///
    /// # Errors
    /// When the disk says so.
    fn length(&self) -> io::Result<u64>;

    /// Reads some of the bytes from a place on; 0 only behind the last one.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes behind the last byte, all or, if it fails, perhaps a part.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What was appended survives a power cut afterwards.
    ///
    /// # Errors
    /// When the disk fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes away what is behind a place.
    ///
    /// # Errors
    /// When the disk fails.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// The same bytes, for somebody else to read.
    ///
    /// # Errors
    /// When the system has no more handles.
    fn try_clone(&self) -> io::Result<Self>;
}

impl Storage for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, at)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Self::try_clone(self)
    }
}

/// Reads from the first byte up to a length.
pub(super) struct Ahead<'s, S> {
    storage: &'s S,
    at: u64,
    length: u64,
}

impl<'s, S: Storage> Ahead<'s, S> {
    pub(super) fn new(storage: &'s S, length: u64) -> Self {
        Self { storage, at: 0, length }
    }
}

impl<S: Storage> Read for Ahead<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let most = bytes.len().min(left);
        let read = self.storage.read_at(&mut bytes[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Reads exactly what was asked for.
pub(super) fn read_exact_at(
    storage: &impl Storage,
    mut bytes: &mut [u8],
    mut at: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match storage.read_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
