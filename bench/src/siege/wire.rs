//! Connections of an attack in one poll, each of which may break at any time, or be deaf.
//!
//! Unlike the bench's crowd, a connection that ends here is news, not the end of everything.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::failure::{Explain, Failure};
use crate::stream::{Left, LineReader, OutBuffer, SCRATCH_BYTES};

const EVENTS_MAX: usize = 16 * 1024;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What a deaf reader leaves the system to store on its behalf; the system's least is about this.
const DEAF_BUFFER_BYTES: usize = 4096;

/// What has happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News<'a> {
    /// A line came.
    Line(&'a [u8]),
    /// The other side has ended it, or it broke.
    Ended,
}

/// Many connections in one poll. Places of connections that ended are used again.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    ends: Vec<Option<End>>,
    /// Whose end was found while writing and is still to be told.
    broken: Vec<usize>,
    scratch: Vec<u8>,
}

/// Our end of a connection.
#[derive(Debug)]
struct End {
    socket: TcpStream,
    reader: LineReader,
    out: OutBuffer,
    is_deaf: bool,
}

impl Wire {
    /// Makes a wire without connections.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            address,
            poll: Poll::new().explain(|| "creating the poll".into())?,
            events: Events::with_capacity(EVENTS_MAX),
            ends: Vec::new(),
            broken: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Makes a connection; says at which place.
    pub(crate) fn connect(&mut self) -> Result<usize, Failure> {
        let place = self.ends.iter().position(Option::is_none).unwrap_or(self.ends.len());
        self.connect_at(place)?;
        Ok(place)
    }

    /// Makes a connection at a place of one's own choice, where there must be none.
    pub(crate) fn connect_at(&mut self, place: usize) -> Result<(), Failure> {
        // Connecting on loopback answers at once; waiting for it keeps every later write simple.
        let mut socket = std::net::TcpStream::connect_timeout(&self.address, CONNECT_PATIENCE)
            .and_then(|socket| {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                Ok(TcpStream::from_std(socket))
            })
            .explain(|| "connecting".into())?;
        self.poll
            .registry()
            .register(&mut socket, Token(place), BOTH)
            .explain(|| "registering a connection".into())?;
        if self.ends.len() <= place {
            self.ends.resize_with(place + 1, || None);
        }
        let (reader, out) = (LineReader::default(), OutBuffer::default());
        self.ends[place] = Some(End { socket, reader, out, is_deaf: false });
        Ok(())
    }

    /// Says something; whether the connection has ended is told by the next [`Wire::pump`].
    pub(crate) fn say(&mut self, place: usize, bytes: &[u8]) {
        if let Some(Some(end)) = self.ends.get_mut(place) {
            end.out.bytes().extend_from_slice(bytes);
            if end.out.flush(&mut end.socket).is_err() {
                self.broken.push(place);
            }
        }
    }

    /// Ends a connection from our side; nothing is told about it any more.
    pub(crate) fn close(&mut self, place: usize) {
        if let Some(end) = self.ends.get_mut(place) {
            *end = None;
        }
    }

    /// Says whether there is a connection at a place.
    pub(crate) fn is_open(&self, place: usize) -> bool {
        matches!(self.ends.get(place), Some(Some(_)))
    }

    /// Reads no more on a connection, and has the system store next to nothing for it.
    pub(crate) fn deafen(&mut self, place: usize) -> Result<(), Failure> {
        let Some(Some(end)) = self.ends.get_mut(place) else { return Ok(()) };
        end.is_deaf = true;
        set_socket_recv_buffer_size(&end.socket, DEAF_BUFFER_BYTES)
            .explain(|| "making a receive buffer small".into())
    }

    /// Reads one byte on a deaf connection, if there is one.
    pub(crate) fn sip(&mut self, place: usize) {
        let Some(Some(end)) = self.ends.get_mut(place) else { return };
        match end.socket.read(&mut [0]) {
            Ok(1) => {}
            Err(error) if is_passing(&error) => {}
            Ok(_) | Err(_) => self.broken.push(place),
        }
    }

    /// Waits for events at most once, and hands over all news with the place it came from.
    ///
    /// What `each` appends to the bytes it is given is said on the same connection.
    pub(crate) fn pump(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(usize, News<'_>, &mut Vec<u8>),
    ) -> Result<(), Failure> {
        let patience = if self.broken.is_empty() { patience } else { Duration::ZERO };
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.explain(|| "waiting for events".into())?,
        }
        for event in &self.events {
            let place = event.token().0;
            let Some(Some(end)) = self.ends.get_mut(place) else { continue };
            let has_ended = match end.heed(event, &mut self.scratch, |line, out| {
                each(place, News::Line(line), out);
            }) {
                Ok(Left::Nothing) => false,
                Ok(Left::Perhaps) => {
                    let registry = self.poll.registry();
                    registry.reregister(&mut end.socket, event.token(), BOTH).is_err()
                }
                Ok(Left::End) | Err(_) => true,
            };
            if has_ended {
                self.broken.push(place);
            }
        }
        for place in std::mem::take(&mut self.broken) {
            if self.is_open(place) {
                self.close(place);
                each(place, News::Ended, &mut Vec::new());
            }
        }
        Ok(())
    }
}

impl End {
    /// Reads and writes as far as an event says that it may be possible.
    fn heed(
        &mut self,
        event: &mio::event::Event,
        scratch: &mut [u8],
        mut each: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> io::Result<Left> {
        let mut left = Left::Nothing;
        if self.is_deaf {
            // Its end is out of sight behind all that it has not read; only a reset is seen.
            if event.is_error() {
                left = Left::End;
            }
        } else if event.is_readable() || event.is_read_closed() {
            let (reader, out) = (&mut self.reader, self.out.bytes());
            left = reader.read(&mut self.socket, scratch, event.is_read_closed(), |line| {
                each(line, out);
            })?;
        }
        if !self.out.is_empty() && left != Left::End {
            self.out.flush(&mut self.socket)?;
        }
        Ok(left)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// A wire and the listener it connects to.
    fn wired() -> (Wire, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        (Wire::new(listener.local_addr().unwrap()).unwrap(), listener)
    }

    /// Pumps until something comes or a while has passed.
    fn news(wire: &mut Wire) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..25 {
            wire.pump(Duration::from_millis(20), |place, news, out| {
                if news == News::Line(b"ping") {
                    out.extend_from_slice(b"pong\n");
                }
                all.push(match news {
                    News::Line(line) => format!("{place} {}", line.escape_ascii()),
                    News::Ended => format!("{place} ended"),
                });
            })
            .unwrap();
            if !all.is_empty() {
                break;
            }
        }
        all
    }

    #[test]
    fn lines_are_handed_over_and_answered() {
        let (mut wire, listener) = wired();
        let place = wire.connect().unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"ping\n").unwrap();
        assert_eq!(news(&mut wire), ["0 ping"]);
        let mut answer = [0; 5];
        other.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong\n");
        drop(other);
        assert_eq!(news(&mut wire), ["0 ended"]);
        assert!(!wire.is_open(place));
        assert_eq!(wire.connect().unwrap(), place, "the place is free again");
    }

    #[test]
    fn the_deaf_hear_nothing_but_can_sip() {
        let (mut wire, listener) = wired();
        let place = wire.connect().unwrap();
        wire.deafen(place).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"ping\n").unwrap();
        assert_eq!(news(&mut wire), [""; 0]);
        wire.sip(place);
        assert!(wire.is_open(place));
    }
}
