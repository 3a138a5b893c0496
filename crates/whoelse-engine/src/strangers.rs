//! Failed logins of names that nobody has.
//!
//! They are counted and locked as those of accounts are, and last as long: otherwise an answer, or
//! a restart, would tell who is here. Bounded; what is forgotten first is what shows least.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::lockout::Lockout;
use crate::record::Time;
use crate::rules::Rules;
use crate::snapshot::StrangerSnapshot;

/// Most names that are looked at to find one that may be forgotten.
const LOOKED_AT_MAX: usize = 64;

/// The names that nobody has, hashed, with their failures.
#[derive(Default)]
pub(crate) struct Strangers {
    known: BTreeMap<u128, Stranger>,
    /// By when each was last struck or, before that, first heard of.
    order: BTreeSet<(Time, u128)>,
}

#[derive(Default)]
struct Stranger {
    lockout: Lockout,
    at: Time,
}

impl Strangers {
    /// The failures of a name; none if all that are remembered are locked or being checked.
    pub(crate) fn get(
        &mut self,
        key: u128,
        now: Time,
        strangers_max: usize,
    ) -> Option<&mut Lockout> {
        if !self.known.contains_key(&key) {
            if self.known.len() >= strangers_max {
                let oldest = self.forgettable(now)?;
                self.forget(oldest);
            }
            self.order.insert((now, key));
            self.known.insert(key, Stranger { lockout: Lockout::default(), at: now });
        }
        self.known.get_mut(&key).map(|stranger| &mut stranger.lockout)
    }

    /// A record says how many failures there are.
    pub(crate) fn apply(&mut self, saved: StrangerSnapshot, rules: &Rules) {
        let StrangerSnapshot { key, strikes, locked_until, time } = saved;
        if !self.known.contains_key(&key) && self.known.len() >= rules.strangers_max {
            let oldest = self.forgettable(time).or_else(|| self.order.first().copied());
            oldest.into_iter().for_each(|oldest| self.forget(oldest));
        }
        let stranger = self.known.entry(key).or_default();
        stranger.lockout.restore(strikes, locked_until);
        self.order.remove(&(stranger.at, key));
        stranger.at = time;
        self.order.insert((time, key));
    }

    /// Forgetting failures would tell a name that nobody has from one that somebody has.
    fn forgettable(&self, now: Time) -> Option<(Time, u128)> {
        // The oldest of all are the likeliest, and nobody must wait for a walk through all of them.
        let find = |fits: fn(&Lockout, Time) -> bool| {
            let mut oldest = self.order.iter().take(LOOKED_AT_MAX);
            oldest.find(|(_, key)| fits(&self.known[key].lockout, now)).copied()
        };
        find(Lockout::is_blank).or_else(|| find(Lockout::is_unlocked))
    }

    fn forget(&mut self, (at, key): (Time, u128)) {
        self.order.remove(&(at, key));
        self.known.remove(&key);
    }

    pub(crate) fn knows(&self, key: u128) -> bool {
        self.known.contains_key(&key)
    }

    /// As [`Lockout::limit`], for all of them.
    pub(crate) fn limit(&mut self, latest: Time) {
        self.known.values_mut().for_each(|stranger| stranger.lockout.limit(latest));
    }

    pub(crate) fn waiting(&self) -> usize {
        self.known.values().map(|stranger| stranger.lockout.waiting.len()).sum()
    }

    pub(crate) fn snapshot(&self) -> Vec<StrangerSnapshot> {
        let saved = self.order.iter().map(|(time, key)| {
            let Lockout { strikes, locked_until, .. } = self.known[key].lockout;
            StrangerSnapshot { key: *key, strikes, locked_until, time: *time }
        });
        saved.filter(|saved| saved.strikes > 0).collect()
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert_eq!(self.known.len(), self.order.len());
        assert!(self.known.len() <= rules.strangers_max.max(1));
        for (at, key) in &self.order {
            assert_eq!(self.known[key].at, *at);
            self.known[key].lockout.check(rules);
        }
    }
}

/// The key of a name; stays the same from release to release, because it is stored.
pub(crate) fn stranger_key(name: &str) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish128().as_u128()
}
