//! The socket of a connection, plain or with TLS over it.
//!
//! Reading and writing mean the same over both: what was written has left whole, what ended in
//! order ended in order, and what is silent has nothing more to say.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use whoelse_proto::Fingerprint;

use crate::tls::Tls;

/// A socket, shared by the hub, which writes, and its door, which reads.
pub(crate) struct Socket {
    stream: TcpStream,
    tls: Option<RefCell<Tls>>,
    /// Tells the door to look at its connection again.
    pub(crate) wake: Notify,
    /// Set off when the hub has forgotten the connection: all that wait for it end.
    pub(crate) gone: Gone,
}

impl Socket {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None, wake: Notify::new(), gone: Gone::default() }
    }

    /// A socket over which a handshake was made.
    pub(crate) fn secured(stream: TcpStream, tls: Tls) -> Self {
        Self { tls: Some(RefCell::new(tls)), ..Self::plain(stream) }
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// The key that the other side was shown, if any was.
    pub(crate) fn key(&self) -> Option<Fingerprint> {
        self.tls.as_ref().map(|tls| tls.borrow().key())
    }

    /// Returns when there is something to read, or may be.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.tls.as_ref().is_some_and(|tls| tls.borrow().is_ready()) {
            return Ok(()); // it left the system's socket long ago
        }
        self.stream.readable().await
    }

    /// Returns when something can be written, or may be.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Reads what has come. 0 is the end, in order; an end without a word, over TLS, is an error.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.stream.try_read(buffer),
            Some(tls) => tls.borrow_mut().read(&mut Raw(&self.stream), buffer),
        }
    }

    /// Writes what can be written. Returns how much has left whole.
    ///
    /// After [`ErrorKind::WouldBlock`] the same bytes must come again, as many or more: over TLS
    /// some of them may be under way.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.stream.try_write(bytes),
            Some(tls) => tls.borrow_mut().write(&mut Raw(&self.stream), bytes),
        }
    }

    /// Whether nothing the other side has sent waits to be read, its end and parts of records
    /// included.
    pub(crate) fn is_silent(&self) -> bool {
        if self.tls.as_ref().is_some_and(|tls| !tls.borrow().is_silent()) {
            return false;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.stream).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Whether the line is whole: what was written after the other side had gone comes back as an
    /// error.
    pub(crate) fn is_whole(&self) -> bool {
        // In TLS an orderly end says only that nothing more will be said: a library says it whether or
        // not it has read everything, and the system's word about what was thrown away comes later.
        self.tls.is_none() && matches!(self.stream.take_error(), Ok(None))
    }

    /// Whether a record of TLS has come in part.
    pub(crate) fn is_in_record(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().is_in_record())
    }

    /// Ends our half, in order. Only if the last word cannot be said now, it would block.
    pub(crate) fn shut_down_writing(&self) -> io::Result<()> {
        if let Some(tls) = &self.tls
            && let Err(error) = tls.borrow_mut().close(&mut Raw(&self.stream))
            && error.kind() == ErrorKind::WouldBlock
        {
            return Err(error);
        }
        // If the other side has gone already, there is nothing left to end.
        SockRef::from(&self.stream).shutdown(Shutdown::Write).unwrap_or_default();
        Ok(())
    }
}

/// A socket of the event loop, read and written without waiting.
pub(crate) struct Raw<'a>(pub(crate) &'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether something is no more, and a way to wait for that.
#[derive(Default)]
pub(crate) struct Gone {
    is_so: Cell<bool>,
    told: Notify,
}

impl Gone {
    pub(crate) fn set(&self) {
        self.is_so.set(true);
        self.told.notify_waiters();
    }

    /// Returns when it has gone.
    pub(crate) async fn wait(&self) {
        while !self.is_so.get() {
            self.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests;
