//! How often somebody may ask.
//!
//! The generic cell rate algorithm (ITU-T I.371): one point in time per person says how far the
//! allowance is used up.

use whoelse_proto::Command;

use crate::Engine;
use crate::record::{AccountId, Time};

/// How far somebody has used an allowance up; the default is not at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    /// When it will be whole again.
    whole_at: Time,
}

impl Allowance {
    /// Takes one, or says after how many milliseconds one may be taken.
    pub(crate) fn take(&mut self, now: Time, interval_ms: u64, burst: u32) -> Result<(), u64> {
        let used_ms = self.whole_at.since(now);
        let most_ms = interval_ms.saturating_mul(u64::from(burst.max(1) - 1));
        if used_ms > most_ms {
            return Err(used_ms - most_ms);
        }
        self.whole_at = self.whole_at.max(now).plus(interval_ms);
        Ok(())
    }
}

impl Engine {
    /// Says how long to wait if this person asks more than `--rate` allows, in milliseconds.
    pub(crate) fn over_request_rate(
        &mut self,
        now: Time,
        account: AccountId,
        command: &Command<'_>,
    ) -> Option<u64> {
        let per_second = self.rules.requests_per_second;
        // What ends or confirms something makes room for others.
        if per_second == 0 || matches!(command, Command::Ack { .. } | Command::Logout) {
            return None;
        }
        let interval_ms = u64::from(1000_u32.div_ceil(per_second));
        self.state.account_mut(account).requests.take(now, interval_ms, per_second).err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_per_interval() {
        let mut allowance = Allowance::default();
        let mut now = Time(1_000_000);
        for _ in 0..3 {
            assert_eq!(allowance.take(now, 100, 3), Ok(()));
        }
        assert_eq!(allowance.take(now, 100, 3), Err(100));
        now = now.plus(99);
        assert_eq!(allowance.take(now, 100, 3), Err(1));
        now = now.plus(1);
        assert_eq!(allowance.take(now, 100, 3), Ok(()));
        assert_eq!(allowance.take(now, 100, 3), Err(100));
        now = now.plus(10_000);
        for _ in 0..3 {
            assert_eq!(allowance.take(now, 100, 3), Ok(()));
        }
        assert!(allowance.take(now, 100, 3).is_err(), "an allowance does not pile up");
    }
}
