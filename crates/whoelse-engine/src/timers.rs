//! Points in time at which something is due, for all sessions in one ordered set.

use std::collections::BTreeSet;

use crate::record::{AccountId, Time};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Write the time down.
    Heartbeat,
    /// See whether a session has been idle for too long.
    Idle(AccountId),
    /// A session whose line broke has been away for too long.
    Away(AccountId),
    /// A private link has been in the making for too long.
    Introduction(u64),
    /// The oldest share may have expired.
    Shares,
}

#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Time, Timer)>);

impl Timers {
    pub(crate) fn add(&mut self, at: Time, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn remove(&mut self, at: Time, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn has(&self, at: Time, timer: Timer) -> bool {
        self.0.contains(&(at, timer))
    }

    pub(crate) fn first(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(crate) fn take_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        (at <= now).then(|| {
            self.0.remove(&(at, timer));
            timer
        })
    }
}
