//! Time that never goes back.

use std::time::Instant;

use whoelse_engine::{Now, Time};

use crate::nature::Nature;

/// The wall clock at the start, but not before the newest record, and monotonic from then on.
#[derive(Clone)]
pub(crate) struct Clock {
    nature: Nature,
    start: Time,
    started_ms: u64,
}

impl Clock {
    /// Starts a clock that is ahead of everything recorded.
    #[must_use]
    pub(crate) fn start(nature: Nature, newest: Time) -> Self {
        let start = newest.max(Time(nature.wall_ms()));
        Self { start, started_ms: nature.monotonic_ms(), nature }
    }

    /// The time of the engine.
    #[must_use]
    pub(crate) fn time(&self) -> Time {
        self.start.plus(self.nature.monotonic_ms().saturating_sub(self.started_ms))
    }

    /// The time of the engine, with the wall clock beside it for people to see.
    #[must_use]
    pub(crate) fn now(&self) -> Now {
        Now { time: self.time(), wall_ms: self.nature.wall_ms() }
    }

    /// When a time of the engine comes.
    #[must_use]
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.nature.instant(self.started_ms.saturating_add(time.since(self.start)))
    }
}
