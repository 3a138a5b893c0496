//! What one person may use of the relay, over all ends of links and connections: a rate, and room for
//! what waits for slow readers. Whoever wants more waits or loses packets, and nobody else does.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use iroh_relay::server::streams::Bucket;
use tokio::time::Instant;

/// What may come at once after a silence, as a part of a second.
const BURST: u32 = 10;

/// How often what may come is refilled.
const REFILL: Duration = Duration::from_millis(100);

/// What a frame costs besides its bytes, in bytes: whoever sends many small ones pays for the work.
const FRAME_COST: usize = 100;

/// Most bytes that one person has sent and their readers have not taken; what comes then is lost.
pub(super) const HELD_BYTES_MAX: usize = 4 << 20;

/// The same of all people.
pub(super) const HELD_BYTES_MAX_IN_ALL: usize = 64 << 20;

/// From here on everybody may hold an eighth of that, so that a few who hold much leave room for others.
const SCARCE_BYTES: usize = HELD_BYTES_MAX_IN_ALL / 2;

/// What somebody may use, and has used.
#[derive(Debug)]
pub(super) struct Allowance {
    bucket: Mutex<Bucket>,
    held: AtomicUsize,
    held_in_all: Arc<AtomicUsize>,
}

impl Allowance {
    /// For somebody new; what all hold together is counted there.
    pub(super) fn new(bytes_per_second: u32, held_in_all: &Arc<AtomicUsize>) -> io::Result<Self> {
        let burst = i64::from(bytes_per_second / BURST).max(1);
        let bucket = Bucket::new(burst, i64::from(bytes_per_second), REFILL)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let held_in_all = Arc::clone(held_in_all);
        Ok(Self { bucket: Mutex::new(bucket), held: AtomicUsize::new(0), held_in_all })
    }

    /// Counts a frame that has come. If that is more than may, the next is to be read then.
    pub(super) fn consume(&self, bytes: usize) -> Option<Instant> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.consume(bytes + FRAME_COST).err()
    }

    /// A copy of a frame that counts for as long as anything of it is kept; none if there is no room.
    pub(super) fn hold(self: &Arc<Self>, frame: &[u8]) -> Option<Bytes> {
        let cost = frame.len() + FRAME_COST;
        // Dropped if there is no room: then what was added is taken away again.
        let mut held = Held { frame: Box::default(), cost, allowance: Arc::clone(self) };
        let own = self.held.fetch_add(cost, Ordering::Relaxed) + cost;
        let in_all = self.held_in_all.fetch_add(cost, Ordering::Relaxed) + cost;
        let own_max = if in_all > SCARCE_BYTES { HELD_BYTES_MAX / 8 } else { HELD_BYTES_MAX };
        if own > own_max || in_all > HELD_BYTES_MAX_IN_ALL {
            return None;
        }
        held.frame = frame.into();
        Some(Bytes::from_owner(held))
    }
}

/// A frame on its way.
struct Held {
    frame: Box<[u8]>,
    cost: usize,
    allowance: Arc<Allowance>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Allowance { held, held_in_all, .. } = &*self.allowance;
        held.fetch_sub(self.cost, Ordering::Relaxed);
        held_in_all.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_counted_until_it_is_gone() {
        let in_all = Arc::new(AtomicUsize::new(0));
        let allowance = Arc::new(Allowance::new(1 << 20, &in_all).unwrap());
        let frame = vec![7; 60_000];
        let mut held: Vec<Bytes> = std::iter::from_fn(|| allowance.hold(&frame)).collect();
        assert_eq!(held.len(), HELD_BYTES_MAX / (60_000 + FRAME_COST));
        assert_eq!(held[0], frame);
        let part = held[0].slice(10..20);
        held.clear();
        assert_eq!(in_all.load(Ordering::Relaxed), 60_000 + FRAME_COST, "a part of it is kept");
        assert!(allowance.hold(&frame).is_some());
        drop(part);
        assert_eq!(in_all.load(Ordering::Relaxed), 0);
        assert_eq!(allowance.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_together_hold_so_much() {
        let in_all = Arc::new(AtomicUsize::new(HELD_BYTES_MAX_IN_ALL - 1_000));
        let allowance = Arc::new(Allowance::new(1 << 20, &in_all).unwrap());
        assert!(allowance.hold(&[0; 1_000]).is_none());
        let small = allowance.hold(&[0; 100]);
        assert!(small.is_some());
        drop(small);
        assert_eq!(in_all.load(Ordering::Relaxed), HELD_BYTES_MAX_IN_ALL - 1_000);
    }

    #[test]
    fn a_few_who_hold_much_leave_room_for_others() {
        let in_all = Arc::new(AtomicUsize::new(0));
        let held_by = |allowance: &Arc<Allowance>| -> Vec<Bytes> {
            std::iter::from_fn(|| allowance.hold(&[0; 60_000])).collect()
        };
        let new = || Arc::new(Allowance::new(1 << 20, &in_all).unwrap());
        let many: Vec<_> = (0..20).map(|_| held_by(&new())).collect();
        let later = held_by(&new());
        assert_eq!(later.len(), HELD_BYTES_MAX / 8 / (60_000 + FRAME_COST), "{}", many.len());
    }

    #[tokio::test(start_paused = true)]
    async fn small_frames_cost_as_much_as_the_work_they_make() {
        let allowance = Allowance::new(1 << 20, &Arc::default()).unwrap();
        let began = Instant::now();
        for _ in 0..100_000 {
            if let Some(until) = allowance.consume(1) {
                tokio::time::sleep_until(until).await;
            }
        }
        // 101 bytes each, at a megabyte a second.
        assert_eq!(began.elapsed().as_secs(), 9);
    }
}
