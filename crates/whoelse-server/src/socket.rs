//! The socket of a connection, plain or with TLS over it.
//!
//! Reading and writing mean the same over both: what was written has left whole, what ended in
//! order ended in order, and what is silent has nothing more to say.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use whoelse_proto::Fingerprint;

use crate::pipe::Pipe;
use crate::tls::Tls;

/// A socket, shared by the hub, which writes, and its door, which reads.
pub(crate) struct Socket {
    way: Way,
    /// The system has said that the line is broken. It does so once, to whoever asks first; after
    /// that the end looks as if it had come in order.
    is_broken: Cell<bool>,
    /// Tells the door to look at its connection again.
    pub(crate) wake: Notify,
    /// Set off when the hub has forgotten the connection: all that wait for it end.
    pub(crate) gone: Gone,
}

/// What carries the bytes.
#[expect(clippy::large_enum_variant, reason = "each is on the heap, and most are secured")]
enum Way {
    Plain(TcpStream),
    Secured(TcpStream, RefCell<Tls>),
    /// Memory, in a simulator.
    Pipe(Rc<Pipe>),
}

impl Socket {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::over(Way::Plain(stream))
    }

    /// A socket over which a handshake was made.
    pub(crate) fn secured(stream: TcpStream, tls: Tls) -> Self {
        Self::over(Way::Secured(stream, RefCell::new(tls)))
    }

    /// A line that leaves no memory.
    pub(crate) fn piped(pipe: Rc<Pipe>) -> Self {
        Self::over(Way::Pipe(pipe))
    }

    fn over(way: Way) -> Self {
        let (wake, gone) = (Notify::new(), Gone::default());
        Self { way, is_broken: Cell::new(false), wake, gone }
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.key().is_some()
    }

    /// The key that the other side was shown, if any was.
    pub(crate) fn key(&self) -> Option<Fingerprint> {
        match &self.way {
            Way::Plain(_) => None,
            Way::Secured(_, tls) => Some(tls.borrow().key()),
            Way::Pipe(pipe) => pipe.key(),
        }
    }

    /// Returns when there is something to read, or may be.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.way {
            // It left the system's socket long ago.
            Way::Secured(_, tls) if tls.borrow().is_ready() => Ok(()),
            Way::Plain(stream) | Way::Secured(stream, _) => stream.readable().await,
            Way::Pipe(pipe) => {
                pipe.readable().await;
                Ok(())
            }
        }
    }

    /// Returns when something can be written, or may be.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match &self.way {
            Way::Plain(stream) | Way::Secured(stream, _) => stream.writable().await,
            Way::Pipe(pipe) => {
                pipe.writable().await;
                Ok(())
            }
        }
    }

    /// Reads what has come. 0 is the end, in order; an end without a word, over TLS, is an error.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.way {
            Way::Plain(stream) => stream.try_read(buffer),
            Way::Secured(stream, tls) => tls.borrow_mut().read(&mut Raw(stream), buffer),
            Way::Pipe(pipe) => pipe.try_read(buffer),
        }
    }

    /// Writes what can be written. Returns how much has left whole.
    ///
    /// After [`ErrorKind::WouldBlock`] the same bytes must come again, as many or more: over TLS
    /// some of them may be under way.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.way {
            Way::Plain(stream) => stream.try_write(bytes),
            Way::Secured(stream, tls) => tls.borrow_mut().write(&mut Raw(stream), bytes),
            Way::Pipe(pipe) => pipe.try_write(bytes),
        }
    }

    /// Whether nothing the other side has sent waits to be read, its end and parts of records
    /// included.
    pub(crate) fn is_silent(&self) -> bool {
        let stream = match &self.way {
            Way::Secured(_, tls) if !tls.borrow().is_silent() => return false,
            Way::Plain(stream) | Way::Secured(stream, _) => stream,
            Way::Pipe(pipe) => return pipe.is_silent(),
        };
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match SockRef::from(stream).peek(&mut byte) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => {
                self.is_broken.set(self.is_broken.get() || error.kind() != ErrorKind::Interrupted);
                false
            }
        }
    }

    /// Whether the line is whole: what was written after the other side had gone comes back as an
    /// error.
    pub(crate) fn is_whole(&self) -> bool {
        // In TLS an orderly end says only that nothing more will be said: a library says it whether or
        // not it has read everything, and the system's word about what was thrown away comes later.
        match &self.way {
            Way::Plain(stream) => {
                let is_whole = matches!(stream.take_error(), Ok(None));
                self.is_broken.set(self.is_broken.get() || !is_whole);
                !self.is_broken.get()
            }
            Way::Secured(..) => false,
            Way::Pipe(pipe) => pipe.key().is_none() && pipe.is_whole(),
        }
    }

    /// Whether a record of TLS has come in part.
    pub(crate) fn is_in_record(&self) -> bool {
        matches!(&self.way, Way::Secured(_, tls) if tls.borrow().is_in_record())
    }

    /// Ends our half, in order. Only if the last word cannot be said now, it would block.
    pub(crate) fn shut_down_writing(&self) -> io::Result<()> {
        let stream = match &self.way {
            Way::Plain(stream) => stream,
            Way::Secured(stream, tls) => {
                if let Err(error) = tls.borrow_mut().close(&mut Raw(stream))
                    && error.kind() == ErrorKind::WouldBlock
                {
                    return Err(error);
                }
                stream
            }
            Way::Pipe(pipe) => {
                pipe.shut_down_writing();
                return Ok(());
            }
        };
        // If the other side has gone already, there is nothing left to end.
        SockRef::from(stream).shutdown(Shutdown::Write).unwrap_or_default();
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
