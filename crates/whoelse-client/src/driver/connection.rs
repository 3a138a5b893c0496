//! An open connection with its two buffers, with TLS or without.

use std::io::{self, ErrorKind};
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;
use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::EVENT_BYTES_MAX;
use whoelse_proto::splitter::{Splitter, Step};
use zeroize::{Zeroize, Zeroizing};

use crate::notice::Loss;
use crate::tls::Tls;

/// Most bytes read at once, so that the screen is served in between.
const READ_BYTES_MAX: usize = 64 * 1024;

/// An open connection with its two buffers.
pub(super) struct Connection {
    stream: TcpStream,
    tls: Option<Tls>,
    /// Read and not yet understood.
    unread: Vec<u8>,
    /// How much of `unread` is done with.
    done: usize,
    splitter: Splitter,
    /// A password may be in it.
    unwritten: Zeroizing<Vec<u8>>,
}

/// The other side sent what is no frame of the protocol, or too long a one.
pub(super) struct Garbage;

impl Connection {
    pub(super) fn new(stream: TcpStream, tls: Option<Tls>) -> Self {
        Self {
            stream,
            tls,
            unread: Vec::new(),
            done: 0,
            splitter: Splitter::default(),
            unwritten: Zeroizing::default(),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether something waits to be written.
    pub(super) fn wants_write(&self) -> bool {
        !self.unwritten.is_empty() || self.tls.as_ref().is_some_and(Tls::wants_write)
    }

    /// Writes these bytes, now or as soon as there is room. A failure shows itself at the next
    /// read, after what still came in.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        append_wiping(&mut self.unwritten, bytes);
        self.write().unwrap_or_default();
    }

    /// Reads a bounded amount; says so when the connection is over.
    pub(super) fn read(&mut self) -> Option<Loss> {
        let mut wanted = READ_BYTES_MAX;
        while wanted > 0 {
            match self.read_once(wanted) {
                Ok(0) => return Some(Loss::Closed),
                Ok(bytes) => wanted = wanted.saturating_sub(bytes),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return None,
                    ErrorKind::Interrupted => {}
                    ErrorKind::UnexpectedEof => return Some(Loss::Cut),
                    _ => return Some(Loss::Broken(error.to_string())),
                },
            }
        }
        None
    }

    fn read_once(&mut self, wanted: usize) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&self.stream, &mut self.unread),
            None => {
                self.unread.reserve(wanted.min(8 * 1024));
                self.stream.try_read_buf(&mut self.unread)
            }
        }
    }

    pub(super) fn write(&mut self) -> Result<(), Loss> {
        loop {
            match self.write_once() {
                Ok(()) => {
                    // What was written is still in the memory behind the end.
                    self.unwritten.zeroize();
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => {}
                    _ => return Err(Loss::Broken(error.to_string())),
                },
            }
        }
    }

    fn write_once(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.write(&self.stream, &mut self.unwritten);
        }
        while !self.unwritten.is_empty() {
            let written = self.stream.try_write(&self.unwritten)?;
            self.unwritten.drain(..written);
        }
        Ok(())
    }

    pub(super) fn next_frame(&mut self) -> Option<Result<Incoming, Garbage>> {
        loop {
            let rest = &self.unread[self.done..];
            match self.splitter.step(rest, EVENT_BYTES_MAX, false) {
                Step::More => {
                    self.unread.drain(..self.done);
                    self.done = 0;
                    return None;
                }
                Step::Skip(bytes) => self.done += bytes,
                Step::Bad(..) => return Some(Err(Garbage)),
                Step::Frame(bytes) => {
                    let incoming = Incoming::decode(&rest[..bytes]).map_err(|_| Garbage);
                    self.done += bytes;
                    return Some(incoming);
                }
            }
        }
    }

    /// Closes it in order, with what was written on its way.
    pub(super) fn close(mut self) {
        self.write().unwrap_or_default();
        if let Some(tls) = &mut self.tls {
            tls.close(&self.stream);
        }
        // It may be closed already.
        SockRef::from(&self.stream).shutdown(Shutdown::Write).unwrap_or_default();
    }
}

/// Appends to a buffer. What grows by itself leaves a copy of what it held behind; this does not.
fn append_wiping(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if buffer.capacity() - buffer.len() < bytes.len() {
        let room = (buffer.len() + bytes.len()).next_power_of_two();
        let mut larger = Zeroizing::new(Vec::with_capacity(room));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_grows_without_losing_or_moving_unseen() {
        let mut buffer = Zeroizing::default();
        let mut wanted = Vec::new();
        for number in 0..200_u8 {
            let bytes = vec![number; usize::from(number)];
            append_wiping(&mut buffer, &bytes);
            wanted.extend_from_slice(&bytes);
        }
        assert_eq!(*buffer, wanted);
        buffer.zeroize();
        assert!(buffer.is_empty() && buffer.capacity() >= wanted.len());
    }
}
