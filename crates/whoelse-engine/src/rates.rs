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
    /// When it will be whole again, in microseconds: a rate may be above a thousand a second.
    whole_at_us: u64,
}

impl Allowance {
    /// Takes one, or says after how many milliseconds one may be taken.
    pub(crate) fn take(&mut self, now: Time, interval_us: u64, burst: u32) -> Result<(), u64> {
        let now_us = now.0.saturating_mul(1000);
        let used_us = self.whole_at_us.saturating_sub(now_us);
        let most_us = interval_us.saturating_mul(u64::from(burst.max(1) - 1));
        if used_us > most_us {
            return Err((used_us - most_us).div_ceil(1000));
        }
        self.whole_at_us = self.whole_at_us.max(now_us).saturating_add(interval_us);
        Ok(())
    }

    /// Says after how many milliseconds there is something left of an allowance by cost.
    pub(crate) fn is_left(&self, now: Time, most_us: u64) -> Result<(), u64> {
        let used_us = self.whole_at_us.saturating_sub(now.0.saturating_mul(1000));
        if used_us > most_us { Err((used_us - most_us).div_ceil(1000)) } else { Ok(()) }
    }

    /// Takes a cost, which is known only afterwards.
    pub(crate) fn add(&mut self, now: Time, cost_us: u64) {
        let now_us = now.0.saturating_mul(1000);
        self.whole_at_us = self.whole_at_us.max(now_us).saturating_add(cost_us);
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
        let makes_room = matches!(command, Command::Ack { .. } | Command::Logout { .. })
            || self.ends_something(account, command);
        if per_second == 0 || makes_room {
            return None;
        }
        let interval_us = u64::from(1_000_000_u32.div_ceil(per_second));
        self.state.account_mut(account).requests.take(now, interval_us, per_second).err()
    }

    /// Whether there is what this ends: what ends something makes room for others, what ends nothing does not.
    fn ends_something(&self, account: AccountId, command: &Command<'_>) -> bool {
        if let Command::EndPrivate { link } = command {
            return self.state.introductions.find(account, link).is_some();
        }
        if let Command::Relay { endpoint, ticket: None } = command {
            let session = self.state.account(account).session.as_ref();
            return session.is_some_and(|session| session.relayed.contains(endpoint));
        }
        if let Command::Unshare { hash } = command {
            return self.state.shares.get(account, *hash).is_some();
        }
        false
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
            assert_eq!(allowance.take(now, 100_000, 3), Ok(()));
        }
        assert_eq!(allowance.take(now, 100_000, 3), Err(100));
        now = now.plus(99);
        assert_eq!(allowance.take(now, 100_000, 3), Err(1));
        now = now.plus(1);
        assert_eq!(allowance.take(now, 100_000, 3), Ok(()));
        assert_eq!(allowance.take(now, 100_000, 3), Err(100));
        now = now.plus(10_000);
        for _ in 0..3 {
            assert_eq!(allowance.take(now, 100_000, 3), Ok(()));
        }
        assert!(allowance.take(now, 100_000, 3).is_err(), "an allowance does not pile up");
        let mut fast = Allowance::default();
        let taken = (0..10_000).filter(|_| fast.take(now, 250, 4_000).is_ok()).count();
        assert_eq!(taken, 4_000, "four thousand a second, over a burst of as many");
    }
}
