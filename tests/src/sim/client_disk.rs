//! The file that a client's log is on, on a disk that fills up, fails, and forgets when the power
//! goes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use whoelse_client::log::Storage;

/// A file in memory. It outlives the client that has it open.
#[derive(Clone, Default)]
pub struct ClientDisk(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// What the running system sees.
    bytes: Vec<u8>,
    /// How much of it survives a power cut for certain.
    synced: usize,
    /// What was written and taken away again since the last sync, and where it stood: it may be on
    /// disk all the same.
    taken_away: Option<(usize, Vec<u8>)>,
    trouble: Option<Trouble>,
}

/// Operations that fail.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// So many more succeed before.
    pub after: u32,
    /// So many fail.
    pub count: u32,
    /// How much of a write that fails is done, in thousandths.
    pub done: usize,
}

/// What a crash has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// What was there, up to a length.
    Beginning(usize),
    /// What was there up to a length, and behind that something else.
    Other(usize),
}

impl ClientDisk {
    /// Lets operations fail.
    pub fn plan(&self, trouble: Trouble) {
        self.0.borrow_mut().trouble = Some(trouble);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.0.borrow_mut().trouble = None;
    }

    /// Whether something has failed, or will.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        self.0.borrow().trouble.is_some()
    }

    /// How many bytes there are, and how many of them are certain.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        let state = self.0.borrow();
        (state.bytes.len(), state.synced)
    }

    /// Looks at the bytes from a place on.
    pub fn from<T>(&self, at: usize, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.0.borrow().bytes[at..])
    }

    /// The process of the client has ended; with it perhaps the power, which takes a part of what was
    /// not synced.
    pub fn crash(&self, is_power: bool, random: &mut ChaCha8Rng) -> Left {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        state.trouble = None;
        let whole = state.bytes.len();
        if !is_power {
            return Left::Beginning(whole);
        }
        let kept = random.random_range(state.synced..=whole);
        let mut left = Left::Beginning(kept);
        let rest = state.bytes.split_off(kept);
        if let Some((at, bytes)) = state.taken_away.take()
            && at <= kept
            && random.random_bool(0.5)
        {
            // The file was not made shorter yet.
            let kept = random.random_range(0..=bytes.len());
            state.bytes.truncate(at);
            state.bytes.extend(&bytes[..kept]);
            left = Left::Other(at);
        } else if !rest.is_empty() && random.random_bool(0.3) {
            // Its length was written, and what stands there only in part.
            let zeros = random.random_range(0..=rest.len());
            state.bytes.extend(vec![0; zeros]);
            state.bytes.extend(&rest[zeros..]);
            left = Left::Other(kept);
        }
        state.synced = state.bytes.len();
        left
    }
}

impl State {
    /// Whether the next operation works.
    fn operate(&mut self) -> io::Result<()> {
        let Some(trouble) = &mut self.trouble else { return Ok(()) };
        if trouble.after > 0 {
            trouble.after -= 1;
            return Ok(());
        }
        trouble.count = trouble.count.saturating_sub(1);
        if trouble.count == 0 {
            self.trouble = None;
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Storage for ClientDisk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.borrow().bytes.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.0.borrow();
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(state.bytes.len());
        let read = bytes.len().min(state.bytes.len() - at);
        bytes[..read].copy_from_slice(&state.bytes[at..at + read]);
        Ok(read)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let done = state.trouble.map_or(0, |trouble| bytes.len() * trouble.done / 1_000);
        let outcome = state.operate();
        state.bytes.extend(if outcome.is_ok() { bytes } else { &bytes[..done] });
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operate()?;
        state.synced = state.bytes.len();
        state.taken_away = None;
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operate()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(state.bytes.len());
        let gone = state.bytes.split_off(length);
        state.synced = state.synced.min(length);
        state.taken_away = Some((length, gone));
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}
