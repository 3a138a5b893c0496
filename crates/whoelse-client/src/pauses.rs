//! How long to wait before connecting again: growing, and never the same for two clients.

/// The first pause is at most this long.
const FIRST_MS: u64 = 500;

/// No pause is longer than this.
const LONGEST_MS: u64 = 30_000;

/// Pauses that double from try to try, each shortened by up to half at random, so that people
/// whose server restarts do not all come back in the same moment.
#[derive(Debug)]
pub(crate) struct Pauses {
    tries: u32,
    random: u64,
}

impl Pauses {
    pub(crate) fn new(seed: u64) -> Self {
        Self { tries: 0, random: seed }
    }

    /// The next pause, in milliseconds.
    pub(crate) fn next(&mut self) -> u64 {
        let longest = self.longest();
        self.tries = self.tries.saturating_add(1);
        longest / 2 + self.draw() % (longest / 2 + 1)
    }

    /// Whether the pauses have stopped growing.
    pub(crate) fn full_grown(&self) -> bool {
        self.longest() == LONGEST_MS
    }

    /// Begins again with a short pause.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    fn longest(&self) -> u64 {
        FIRST_MS.saturating_mul(1 << self.tries.min(16)).min(LONGEST_MS)
    }

    /// SplitMix64: good enough to keep clients apart, and the same everywhere.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_differ_from_client_to_client() {
        let pauses = |seed| {
            let mut pauses = Pauses::new(seed);
            (0..12).map(|_| pauses.next()).collect::<Vec<_>>()
        };
        let (one, other) = (pauses(1), pauses(2));
        assert_ne!(one, other);
        for (tries, pause) in one.into_iter().chain(other).enumerate() {
            let longest = (FIRST_MS << (tries % 12)).min(LONGEST_MS);
            assert!((longest / 2..=longest).contains(&pause), "{pause} of {longest}");
        }
    }

    #[test]
    fn after_a_reset_the_pause_is_short_again() {
        let mut pauses = Pauses::new(7);
        for _ in 0..10 {
            pauses.next();
        }
        assert!(pauses.full_grown());
        pauses.reset();
        assert!(pauses.next() <= FIRST_MS);
    }
}
