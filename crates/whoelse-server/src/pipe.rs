//! A line that leaves no memory: what a socket is in a simulator.
//!
//! This end is the server's. The other end is moved by the simulator, which may be slow, cut the
//! line after any byte, and close it in order or without a word.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use tokio::sync::Notify;
use whoelse_proto::Fingerprint;

/// Both ends of a line.
pub struct Pipe {
    key: Option<Fingerprint>,
    state: RefCell<State>,
    readable: Notify,
    writable: Notify,
}

#[derive(Default)]
struct State {
    /// What has arrived and was not read.
    inbound: VecDeque<u8>,
    /// The other side will send no more.
    has_ended: bool,
    /// What was written and has not left yet.
    outbound: Vec<u8>,
    /// How much of that there may be.
    outbound_max: usize,
    /// The server will send no more.
    is_shut_down: bool,
    is_broken: bool,
}

impl Pipe {
    /// A line that holds so many bytes on their way out. With a key it passes for one with TLS.
    #[must_use]
    pub fn new(key: Option<Fingerprint>, outbound_max: usize) -> Rc<Self> {
        let state = State { outbound_max, ..State::default() };
        Rc::new(Self {
            key,
            state: RefCell::new(state),
            readable: Notify::new(),
            writable: Notify::new(),
        })
    }

    /// Bytes arrive at the server.
    pub fn arrive(&self, bytes: &[u8]) {
        self.state.borrow_mut().inbound.extend(bytes);
        self.readable.notify_one();
    }

    /// The other side has ended its half, in order.
    pub fn end(&self) {
        self.state.borrow_mut().has_ended = true;
        self.readable.notify_one();
    }

    /// The line breaks, and the server learns of it. What had arrived is gone.
    pub fn cut(&self) {
        let mut state = self.state.borrow_mut();
        state.is_broken = true;
        state.inbound.clear();
        drop(state);
        self.readable.notify_one();
        self.writable.notify_one();
    }

    /// Takes so many bytes, at most, that were written to the other side.
    pub fn take(&self, most: usize) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        let most = most.min(state.outbound.len());
        let taken = state.outbound.drain(..most).collect();
        drop(state);
        self.writable.notify_one();
        taken
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.borrow().outbound.len()
    }

    /// How many bytes have arrived that the server has not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.state.borrow().inbound.len()
    }

    /// Whether the server has ended its half, and everything before that was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.is_shut_down && state.outbound.is_empty()
    }

    pub(crate) fn key(&self) -> Option<Fingerprint> {
        self.key
    }

    pub(crate) async fn readable(&self) {
        while self.is_silent() {
            self.readable.notified().await;
        }
    }

    pub(crate) async fn writable(&self) {
        while !self.has_room() {
            self.writable.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let state = self.state.borrow();
        state.is_broken || state.outbound.len() < state.outbound_max
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.is_broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if state.inbound.is_empty() {
            return if state.has_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        io::Read::read(&mut state.inbound, buffer)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.is_broken || state.is_shut_down {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = state.outbound_max.saturating_sub(state.outbound.len());
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let written = room.min(bytes.len());
        state.outbound.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    pub(crate) fn shut_down_writing(&self) {
        self.state.borrow_mut().is_shut_down = true;
    }

    /// As of a socket: nothing waits to be read, an end included.
    pub(crate) fn is_silent(&self) -> bool {
        let state = self.state.borrow();
        state.inbound.is_empty() && !state.has_ended && !state.is_broken
    }

    pub(crate) fn is_whole(&self) -> bool {
        !self.state.borrow().is_broken
    }
}
