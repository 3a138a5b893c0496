//! The door for JSON over TCP, for our clients, original ones and netcat.
//!
//! One task for each connection, asleep until there is something to read. All share one read
//! buffer; a connection keeps bytes of its own only while a frame is incomplete.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use whoelse_engine::ConnectionId;
use whoelse_proto::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN, REQUESTS_PER_WAKE_UP};
use whoelse_proto::splitter::{Splitter, Step};

use super::sniff::{Speech, sniff};
use crate::hub::{Gate, SharedHub};
use crate::socket::Socket;

/// The read buffer that all connections share.
pub(crate) type Scratch = Rc<RefCell<Box<[u8]>>>;

/// Makes the read buffer.
pub(crate) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; FRAME_BYTES_MAX].into_boxed_slice()))
}

/// What a door has read and not yet handed in.
#[derive(Default)]
struct Inbound {
    bytes: Vec<u8>,
    splitter: Splitter,
    /// A record of TLS has come in part, and its rest has as long as that of a request.
    is_in_record: bool,
    is_known: bool,
    /// What JSON is answered with instead of being looked at.
    refusal: Option<String>,
    /// Reads and frames since others last had their turn.
    done: usize,
}

/// What a door does next.
enum Next {
    /// Read more.
    Read,
    /// Wait until the hub says that something has changed.
    Wait,
    /// Let the others have their turn, then go on.
    Yield,
    /// Nothing: the connection is no more.
    End,
}

/// Serves one connection until it ends. With a refusal nothing is looked at but what is spoken.
pub(crate) async fn serve(
    hub: SharedHub,
    socket: Rc<Socket>,
    connection: ConnectionId,
    refusal: Option<String>,
    scratch: Scratch,
) {
    let mut inbound = Inbound { refusal, ..Inbound::default() };
    let mut has_ended = false;
    loop {
        // A socket that always has more to read never puts its task to sleep by itself.
        if inbound.done >= REQUESTS_PER_WAKE_UP {
            tokio::task::yield_now().await;
            inbound.done = 0;
        }
        match inbound.hand_in(&hub, connection) {
            Next::End => return,
            Next::Yield => {}
            Next::Wait => socket.wake.notified().await,
            Next::Read if has_ended => socket.wake.notified().await,
            Next::Read => {
                tokio::select! {
                    biased;
                    () = socket.wake.notified() => {}
                    ready = socket.readable() => {
                        let read = ready.and_then(|()| inbound.read(&socket, &scratch, &hub, connection));
                        match read {
                            Ok(true) => {}
                            Ok(false) => {
                                has_ended = true;
                                hub.borrow_mut().ended(connection);
                            }
                            Err(_) => hub.borrow_mut().lost(connection),
                        }
                    }
                }
            }
        }
    }
}

impl Inbound {
    /// Reads what is there and hands in what is complete. Returns false at the end.
    fn read(
        &mut self,
        socket: &Socket,
        scratch: &Scratch,
        hub: &SharedHub,
        connection: ConnectionId,
    ) -> io::Result<bool> {
        let mut scratch = scratch.borrow_mut();
        self.done += 1;
        // A stranger's bytes may have to be kept while a login is decided: few at a time.
        let room = match hub.borrow_mut().gate(connection) {
            Gate::Open { bytes_max, .. } => bytes_max,
            Gate::Shut | Gate::Deaf | Gate::Gone => FRAME_BYTES_MAX_BEFORE_LOGIN,
        };
        let read = socket.try_read(&mut scratch[..room]);
        self.is_in_record = socket.is_in_record();
        let read = match read {
            Ok(0) => return Ok(false),
            Ok(read) => &scratch[..read],
            Err(error) if is_passing(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        if self.bytes.is_empty() {
            let (used, _) = self.frames(read, hub, connection);
            self.bytes = read[used..].to_vec();
        } else {
            self.bytes.extend_from_slice(read);
        }
        hub.borrow_mut().caught_up(connection, !self.bytes.is_empty());
        Ok(true)
    }

    /// Hands in what was read before, as far as the hub takes it.
    fn hand_in(&mut self, hub: &SharedHub, connection: ConnectionId) -> Next {
        let bytes = std::mem::take(&mut self.bytes);
        let (used, next) = self.frames(&bytes, hub, connection);
        if used < bytes.len() {
            self.bytes = bytes;
            self.bytes.drain(..used);
        }
        if used > 0 {
            hub.borrow_mut().caught_up(connection, !self.bytes.is_empty());
        }
        next
    }

    /// Hands in the frames at the beginning of the bytes; returns how many bytes that were.
    fn frames(&mut self, bytes: &[u8], hub: &SharedHub, connection: ConnectionId) -> (usize, Next) {
        let mut hub = hub.borrow_mut();
        let mut used = 0;
        loop {
            let (bytes_max, lines) = match hub.gate(connection) {
                Gate::Open { bytes_max, lines } => (bytes_max, lines),
                Gate::Deaf => return (bytes.len(), Next::Read),
                Gate::Shut => return (used, Next::Wait),
                Gate::Gone => return (bytes.len(), Next::End),
            };
            let rest = &bytes[used..];
            if !self.is_known {
                match sniff(rest) {
                    Speech::Json => match self.refusal.take() {
                        None => self.is_known = true,
                        Some(refusal) => {
                            hub.turn_away(connection, refusal.as_bytes());
                            continue;
                        }
                    },
                    Speech::Unclear => {
                        hub.midway(connection, !rest.is_empty());
                        return (used, Next::Read);
                    }
                    Speech::Foreign(answer) => {
                        hub.turn_away(connection, answer);
                        continue;
                    }
                }
            }
            if self.done >= REQUESTS_PER_WAKE_UP {
                return (used, Next::Yield);
            }
            match self.splitter.step(rest, bytes_max, lines) {
                Step::Skip(skipped) => used += skipped,
                Step::Frame(length) => {
                    hub.frame(connection, &rest[..length]);
                    used += length;
                    self.done += 1;
                }
                Step::Bad(length, fault) => {
                    hub.fault(connection, fault, &rest[..length], bytes_max);
                    used += length;
                    self.done += 1;
                }
                Step::More => {
                    hub.midway(connection, self.splitter.is_midway() || self.is_in_record);
                    return (used, Next::Read);
                }
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
