//! The yardstick: a file over bare TCP, from disk to disk.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

/// How much is read and written at once.
const STEP: usize = 256 * 1024;

/// Gives the file to whoever connects.
pub(super) fn copy_out(file: &Path, listener: &TcpListener) -> io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    pump(&mut File::open(file)?, &mut socket)
}

/// Takes a file, and syncs it.
pub(super) fn copy_in(from: SocketAddr, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    pump(&mut TcpStream::connect(from)?, &mut file)?;
    file.sync_all()
}

/// Makes a file that nothing compresses.
pub(super) fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut state = 1_u64;
    for _ in 0..bytes / 8 {
        // Marsaglia's xorshift (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}

fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; STEP];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => to.write_all(&buffer[..bytes])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
