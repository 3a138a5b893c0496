//! The only place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use whoelse_engine::{Now, Time};

/// Time that never goes back: wall clock at the start, but not before the newest record, and
/// monotonic from then on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Time,
    started: Instant,
}

impl Clock {
    /// Starts a clock that is ahead of everything recorded.
    #[must_use]
    pub(crate) fn start(newest: Time) -> Self {
        Self { start: newest.max(Time(wall_ms())), started: Instant::now() }
    }

    /// The time of the engine.
    #[must_use]
    pub(crate) fn time(&self) -> Time {
        self.start.plus(milliseconds(self.started.elapsed()))
    }

    /// The time of the engine, with the wall clock beside it for people to see.
    #[must_use]
    pub(crate) fn now(&self) -> Now {
        Now { time: self.time(), wall_ms: wall_ms() }
    }

    /// When a time of the engine comes.
    #[must_use]
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.started + Duration::from_millis(time.since(self.start))
    }
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
