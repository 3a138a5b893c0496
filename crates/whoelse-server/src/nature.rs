//! Time, chance and who runs tasks: the only place that reads clocks, and what a simulator replaces.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A task that somebody else is to run.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The system's, or that of a simulator.
#[derive(Clone)]
pub(crate) enum Nature {
    /// The system's; its monotonic clock counts from here.
    Real(Instant),
    /// Whatever a simulator wants.
    Simulated(Rc<Simulated>),
}

impl Nature {
    pub(crate) fn real() -> Self {
        Self::Real(Instant::now())
    }

    /// The wall clock in milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> u64 {
        match self {
            Self::Real(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds),
            Self::Simulated(simulated) => simulated.wall_ms.get(),
        }
    }

    /// A clock that never goes back, in milliseconds from wherever it began.
    pub(crate) fn monotonic_ms(&self) -> u64 {
        match self {
            Self::Real(begun) => milliseconds(begun.elapsed()),
            Self::Simulated(simulated) => simulated.monotonic_ms.get(),
        }
    }

    /// When that clock shows so much. Of no use in a simulator.
    pub(crate) fn instant(&self, monotonic_ms: u64) -> Instant {
        match self {
            Self::Real(begun) => *begun + Duration::from_millis(monotonic_ms),
            Self::Simulated(_) => Instant::now(),
        }
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Self::Real(_) => getrandom::fill(&mut bytes).expect("the system has random bytes"),
            Self::Simulated(simulated) => simulated.fill(&mut bytes),
        }
        bytes
    }

    /// Has a task run beside the others.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        match self {
            Self::Real(_) => drop(tokio::task::spawn_local(task)),
            Self::Simulated(simulated) => simulated.spawned.borrow_mut().push(Box::pin(task)),
        }
    }
}

/// A nature in which nothing happens by itself.
pub struct Simulated {
    wall_ms: Cell<u64>,
    monotonic_ms: Cell<u64>,
    random: Cell<u64>,
    spawned: RefCell<Vec<Task>>,
}

impl Simulated {
    /// A nature whose wall clock shows this. The seed makes what is random in it.
    #[must_use]
    pub fn new(wall_ms: u64, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            wall_ms: Cell::new(wall_ms),
            monotonic_ms: Cell::new(0),
            random: Cell::new(seed),
            spawned: RefCell::default(),
        })
    }

    /// The wall clock.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.wall_ms.get()
    }

    /// Time passes, on both clocks.
    pub fn pass(&self, ms: u64) {
        self.wall_ms.set(self.wall_ms.get().saturating_add(ms));
        self.monotonic_ms.set(self.monotonic_ms.get().saturating_add(ms));
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, ms: u64) {
        self.wall_ms.set(ms);
    }

    /// Tasks that were spawned since this was last asked.
    pub(crate) fn take_spawned(&self) -> Vec<Task> {
        std::mem::take(&mut self.spawned.borrow_mut())
    }

    /// SplitMix64: nothing here is secret.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.random.set(next);
            let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
