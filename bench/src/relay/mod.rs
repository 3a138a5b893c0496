//! The loop that both yardsticks share: one thread, one epoll, one read buffer, and one write per
//! connection that got something in a turn.
//!
//! What the lines mean is left to [`Rules`]. Nothing is stored and nothing is checked beyond what
//! a relay needs to find the receiver.

pub(crate) mod j;
pub(crate) mod r;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::failure::{Explain, Failure};
use crate::stream::{Left, LineReader, OutBuffer, SCRATCH_BYTES};

const LISTENER: Token = Token(usize::MAX);
const EVENTS_MAX: usize = 1024;
const ACCEPTS_MAX: usize = 1024;
const CONNECTIONS_MAX: usize = 100_000;
/// A reader this far behind is cut.
const OUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the lines of a relay mean. Connections are known by their place in the relay's table.
pub(crate) trait Rules {
    /// Acts on one line, given without its newline.
    fn line(&mut self, from: usize, line: &[u8], outbox: &mut Outbox);

    /// Forgets a connection that has ended; its place will be given to another.
    fn gone(&mut self, who: usize);
}

/// The output buffers of all connections, and which of them wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffers: Vec<OutBuffer>,
    dirty: Vec<usize>,
}

impl Outbox {
    /// Gives the buffer of a connection to append to, and marks the connection dirty.
    pub(crate) fn of(&mut self, who: usize) -> &mut Vec<u8> {
        let buffer = &mut self.buffers[who];
        if buffer.is_empty() {
            self.dirty.push(who);
        }
        buffer.bytes()
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    reader: LineReader,
}

/// Serves one set of rules on a loopback port until the process is ended.
pub(crate) fn serve(port: u16, rules: impl Rules) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).explain(|| format!("listening on {address}"))?;
    let mut relay = Relay {
        poll: Poll::new().explain(|| "creating the poll".into())?,
        listener,
        connections: Vec::new(),
        free: Vec::new(),
        outbox: Outbox::default(),
        scratch: vec![0; SCRATCH_BYTES],
        rules,
    };
    relay.listen()?;
    relay.run()
}

struct Relay<R> {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    outbox: Outbox,
    scratch: Vec<u8>,
    rules: R,
}

impl<R: Rules> Relay<R> {
    fn listen(&mut self) -> Result<(), Failure> {
        self.poll
            .registry()
            .register(&mut self.listener, LISTENER, Interest::READABLE)
            .explain(|| "registering the listener".into())
    }

    /// Turns for ever: the parent ends this process.
    fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.explain(|| "waiting for events".into())?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let who = event.token().0;
                if event.is_readable() || event.is_read_closed() {
                    self.read(who, event.is_read_closed());
                }
                // Dirty connections are written at the end of the turn anyway.
                if event.is_writable() && !self.outbox.buffers[who].is_empty() {
                    self.outbox.dirty.push(who);
                }
            }
            self.write_dirty();
        }
    }

    fn accept(&mut self) -> Result<(), Failure> {
        for _ in 0..ACCEPTS_MAX {
            match self.listener.accept() {
                Ok((socket, _)) => self.admit(socket)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A connection that died before it was accepted is not ours to mourn.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error).explain(|| "accepting".into()),
            }
        }
        // Registering again raises a new event for those still waiting.
        self.poll
            .registry()
            .reregister(&mut self.listener, LISTENER, Interest::READABLE)
            .explain(|| "registering the listener".into())
    }

    fn admit(&mut self, mut socket: TcpStream) -> Result<(), Failure> {
        let who = match self.free.pop() {
            Some(who) => who,
            None if self.connections.len() == CONNECTIONS_MAX => return Ok(()),
            None => {
                self.connections.push(None);
                self.outbox.buffers.push(OutBuffer::default());
                self.connections.len() - 1
            }
        };
        socket.set_nodelay(true).explain(|| "setting TCP_NODELAY".into())?;
        self.poll
            .registry()
            .register(&mut socket, Token(who), Interest::READABLE | Interest::WRITABLE)
            .explain(|| "registering a connection".into())?;
        self.connections[who] = Some(Connection { socket, reader: LineReader::default() });
        Ok(())
    }

    fn read(&mut self, who: usize, closing: bool) {
        let Some(connection) = &mut self.connections[who] else { return };
        let (rules, outbox) = (&mut self.rules, &mut self.outbox);
        let left =
            connection.reader.read(&mut connection.socket, &mut self.scratch, closing, |line| {
                rules.line(who, line, outbox);
            });
        let interest = Interest::READABLE | Interest::WRITABLE;
        match left {
            Ok(Left::Nothing) => {}
            Ok(Left::Perhaps) => {
                let registry = self.poll.registry();
                if registry.reregister(&mut connection.socket, Token(who), interest).is_err() {
                    self.close(who);
                }
            }
            Ok(Left::End) | Err(_) => self.close(who),
        }
    }

    fn write_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.outbox.dirty);
        for who in dirty.drain(..) {
            let Some(connection) = &mut self.connections[who] else { continue };
            let buffer = &mut self.outbox.buffers[who];
            if buffer.flush(&mut connection.socket).is_err() || buffer.len() > OUT_BYTES_MAX {
                self.close(who);
            }
        }
        self.outbox.dirty = dirty;
    }

    /// Dropping the socket closes it and takes it out of the poll.
    fn close(&mut self, who: usize) {
        if self.connections[who].take().is_some() {
            self.outbox.buffers[who] = OutBuffer::default();
            self.rules.gone(who);
            self.free.push(who);
        }
    }
}
