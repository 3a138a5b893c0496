//! How far a transfer is and how fast, without telling it too often. A value.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How often it is told at most.
const STEP: Duration = Duration::from_millis(100);

/// Over how long the speed is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// Counts bytes.
pub(crate) struct Rate {
    done: u64,
    told: Option<Instant>,
    /// How much was done when, over the window.
    points: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Begins with what is there already.
    pub(crate) fn new(now: Instant, done: u64) -> Self {
        Self { done, told: None, points: VecDeque::from([(now, done)]) }
    }

    /// How much is done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// So much more, or less if it turned out to be nothing.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done;
    }

    /// Whether it is to be told now, and then how fast it is, in bytes per second.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now < told + STEP) {
            return None;
        }
        self.told = Some(now);
        self.points.push_back((now, self.done));
        while self.points.len() > 2 && now - self.points[1].0 >= WINDOW {
            self.points.pop_front();
        }
        let (begin, before) = self.points[0];
        let millis = u64::try_from((now - begin).as_millis()).unwrap_or(u64::MAX);
        let bytes = self.done.saturating_sub(before);
        Some(bytes.saturating_mul(1000).checked_div(millis).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_a_second_with_the_speed_of_the_last_seconds() {
        let begin = Instant::now();
        let mut rate = Rate::new(begin, 1_000_000);
        let mut told = Vec::new();
        for millis in 1..=10_000 {
            // A thousand bytes a millisecond for five seconds, then a hundred.
            let step = if millis <= 5_000 { 1000 } else { 100 };
            rate.set(rate.done() + step);
            told.extend(rate.tell(begin + Duration::from_millis(millis)));
        }
        assert_eq!(told.len(), 100);
        assert_eq!(told[40], 1_000_000);
        assert_eq!(told[99], 100_000);
        assert_eq!(rate.done(), 6_500_000);
    }
}
