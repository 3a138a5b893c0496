//! How many questions one device may put to the person. A value.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Most new offers of one device within [`WHILE`].
const OFFERS_MAX: usize = 16;

const WHILE: Duration = Duration::from_secs(60);

/// When who offered something new.
#[derive(Debug, Default)]
pub(crate) struct Pace(HashMap<String, VecDeque<Instant>>);

impl Pace {
    /// Whether one more may be passed on now; then it counts.
    pub(crate) fn take(&mut self, device: &str, now: Instant) -> bool {
        self.0.retain(|_, offers| {
            while offers.front().is_some_and(|&first| now >= first + WHILE) {
                offers.pop_front();
            }
            !offers.is_empty()
        });
        let offers = self.0.entry(device.to_owned()).or_default();
        let may = offers.len() < OFFERS_MAX;
        if may {
            offers.push_back(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_minute_from_each_device() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        for second in 0..16 {
            assert!(pace.take("luke", at(second)));
        }
        assert!(!pace.take("luke", at(16)));
        assert!(pace.take("yoda", at(16)));
        assert!(pace.take("luke", at(60)));
        assert!(!pace.take("luke", at(60)));
        assert!(pace.take("luke", at(61)));
        assert!(pace.take("luke", at(1000)));
        assert_eq!(pace.0.len(), 1);
    }
}
