//! How much guessing one source address may do.
//!
//! The lock of an account is exact and knows no addresses; that alone would let one machine keep
//! somebody locked out for good, and try one password on everybody. So a source that fails too
//! often, or locks the same name again and again, is refused for a while before anything is
//! looked at. What was refused here is no failed login. Budgets do not survive a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use whoelse_proto::Refusal;

use crate::lockout::Subject;
use crate::record::Time;
use crate::rules::Rules;
use crate::{ConnectionId, Engine};

/// How long a client is asked to wait when its source has enough checks under way.
const BUSY_MS: u64 = 1_000;

/// Locks of the same name are counted over this time at least, in milliseconds.
const LOCKS_MS: u64 = 3_600_000;

/// And over so many times as long as a name is locked.
const LOCKS_WINDOW: u64 = 10;

/// After so long without a failure a source is like any other again.
const QUIET_MS: u64 = 24 * 3_600_000;

/// Where connections come from, as far as one person may command it: an IPv4 address, or a /64 of
/// IPv6, which is what one line is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    V4(u32),
    V6(u64),
}

/// What is known of one source.
#[derive(Default)]
struct Budget {
    /// Checks that wait or run; each may turn out to be a failure.
    checks: u32,
    /// When it failed lately, oldest first.
    failures: VecDeque<Time>,
    /// Which names it locked lately, oldest first.
    locks: VecDeque<(Subject, Time)>,
    paused_until: Option<Time>,
    /// How many pauses it has earned: each is twice as long as the one before.
    pauses: u32,
    heard: Time,
    failed: Time,
}

/// The budgets of all sources; bounded, the one heard of longest ago is forgotten.
#[derive(Default)]
pub(crate) struct Sources {
    budgets: BTreeMap<Source, Budget>,
    by_heard: BTreeSet<(Time, Source)>,
}

impl Source {
    /// The source of a canonical address; none if it has no budget.
    pub(crate) fn of(address: IpAddr, rules: &Rules) -> Option<Self> {
        if rules.loopback_is_exempt && address.is_loopback() {
            return None;
        }
        Some(match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let parts = [a, b, c, d].map(u64::from);
                Self::V6(parts.into_iter().fold(0, |prefix, part| prefix << 16 | part))
            }
        })
    }
}

impl Budget {
    /// Locks of one name are counted over this time: long enough for several of them to fall into it.
    fn locks_ms(rules: &Rules) -> u64 {
        LOCKS_MS.max(rules.block_ms.saturating_mul(LOCKS_WINDOW))
    }

    /// Forgets what no longer counts.
    fn forget_old(&mut self, now: Time, rules: &Rules) {
        while self.failures.front().is_some_and(|at| now.since(*at) >= rules.source_ms) {
            self.failures.pop_front();
        }
        while self.locks.front().is_some_and(|(_, at)| now.since(*at) >= Self::locks_ms(rules)) {
            self.locks.pop_front();
        }
        if now.since(self.failed) >= QUIET_MS {
            self.pauses = 0;
        }
    }

    fn is_blank(&self) -> bool {
        self.checks == 0 && self.failures.is_empty() && self.locks.is_empty() && self.pauses == 0
    }

    /// Attempts during a pause neither prolong it nor earn another.
    fn pause(&mut self, now: Time, rules: &Rules) {
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        let factor = 1_u64.checked_shl(self.pauses).unwrap_or(u64::MAX);
        // However long names are locked, whoever locks them is refused for longer.
        let least_ms = rules.source_pause_ms.max(rules.block_ms.saturating_mul(LOCKS_WINDOW));
        let most_ms = rules.source_pause_ms_max.max(least_ms);
        let pause_ms = least_ms.saturating_mul(factor).min(most_ms);
        self.paused_until = Some(now.plus(pause_ms));
        self.pauses = self.pauses.saturating_add(1);
    }
}

impl Sources {
    fn hear(&mut self, now: Time, source: Source, rules: &Rules) -> &mut Budget {
        if !self.budgets.contains_key(&source) && self.budgets.len() >= rules.sources_max {
            // Never one with checks under way: they are few.
            let is_idle = |(_, source): &&(Time, Source)| self.budgets[source].checks == 0;
            if let Some((heard, oldest)) = self.by_heard.iter().find(is_idle).copied() {
                self.by_heard.remove(&(heard, oldest));
                self.budgets.remove(&oldest);
            }
        }
        let budget = self.budgets.entry(source).or_default();
        self.by_heard.remove(&(budget.heard, source));
        budget.heard = now;
        self.by_heard.insert((now, source));
        budget.forget_old(now, rules);
        budget
    }

    /// Why a source is refused now, if it is.
    fn refusal(&mut self, now: Time, source: Source, rules: &Rules) -> Option<Refusal> {
        let budget = self.budgets.get_mut(&source)?;
        budget.forget_old(now, rules);
        if let Some(until) = budget.paused_until.filter(|until| *until > now) {
            return Some(Refusal::SlowDown { retry_after_ms: until.since(now) });
        }
        let most = rules.source_failures_max as usize;
        if budget.failures.len() >= most {
            let oldest = budget.failures.front().copied().unwrap_or(now);
            let retry_after_ms = oldest.plus(rules.source_ms).since(now);
            return Some(Refusal::SlowDown { retry_after_ms });
        }
        if budget.failures.len() + budget.checks as usize >= most {
            return Some(Refusal::Busy { retry_after_ms: BUSY_MS });
        }
        None
    }

    /// A check is to be made for a source.
    pub(crate) fn begin(&mut self, now: Time, source: Option<Source>, rules: &Rules) {
        if let Some(source) = source {
            self.hear(now, source, rules).checks += 1;
        }
    }

    /// A check has been made, or never will be.
    pub(crate) fn end(&mut self, source: Option<Source>) {
        let Some(source) = source else { return };
        let Some(budget) = self.budgets.get_mut(&source) else { return };
        budget.checks = budget.checks.saturating_sub(1);
        if budget.is_blank() {
            let heard = budget.heard;
            self.budgets.remove(&source);
            self.by_heard.remove(&(heard, source));
        }
    }

    /// A password or an invite of a source was wrong.
    pub(crate) fn failed(&mut self, now: Time, source: Option<Source>, rules: &Rules) {
        let Some(source) = source else { return };
        let budget = self.hear(now, source, rules);
        budget.failed = now;
        budget.failures.push_back(now);
        if budget.failures.len() >= rules.source_failures_max as usize {
            budget.pause(now, rules);
        }
    }

    /// A source locked a name by a failure of its own.
    pub(crate) fn locked(
        &mut self,
        now: Time,
        source: Option<Source>,
        subject: Subject,
        rules: &Rules,
    ) {
        let Some(source) = source else { return };
        let budget = self.hear(now, source, rules);
        budget.locks.push_back((subject, now));
        let same = budget.locks.iter().filter(|(locked, _)| *locked == subject).count();
        if same >= rules.source_locks_max as usize {
            budget.pause(now, rules);
        }
    }

    /// How many checks wait or run for all sources.
    pub(crate) fn checks(&self) -> usize {
        self.budgets.values().map(|budget| budget.checks as usize).sum()
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert_eq!(self.budgets.len(), self.by_heard.len());
        assert!(self.budgets.len() <= rules.sources_max.max(rules.checks_max + 1));
        for (source, budget) in &self.budgets {
            assert!(self.by_heard.contains(&(budget.heard, *source)));
            assert!(budget.failures.len() <= rules.source_failures_max as usize);
        }
    }
}

impl Engine {
    /// Where a connection comes from; none if that has no budget.
    pub(crate) fn source_of(&self, connection: ConnectionId) -> Option<Source> {
        Source::of(self.state.connections.get(&connection)?.address, &self.rules)
    }

    /// Why a source may not try anything now, whatever it tries.
    pub(crate) fn source_refusal(&mut self, now: Time, source: Option<Source>) -> Option<Refusal> {
        self.state.sources.refusal(now, source?, &self.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, loopback_is_exempt: bool) -> Option<Source> {
        let rules = Rules { loopback_is_exempt, ..Rules::default() };
        Source::of(text.parse().unwrap(), &rules)
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        assert_eq!(source("127.0.0.9", true), None);
        assert_eq!(source("::1", true), None);
        assert!(source("127.0.0.9", false).is_some() && source("::1", false).is_some());
        assert_ne!(source("192.0.2.1", true), source("192.0.2.2", true));
        assert_eq!(source("2001:db8:0:7::1", true), source("2001:db8:0:7:ffff::2", true));
        assert_ne!(source("2001:db8:0:7::1", true), source("2001:db8:0:8::1", true));
    }

    #[test]
    fn the_source_heard_of_longest_ago_is_forgotten() {
        let rules = Rules { sources_max: 2, ..Rules::default() };
        let mut sources = Sources::default();
        let of = |number| Some(Source::V4(number));
        sources.failed(Time(1), of(1), &rules);
        sources.begin(Time(2), of(2), &rules);
        sources.failed(Time(3), of(3), &rules);
        sources.failed(Time(4), of(4), &rules);
        sources.check(&rules);
        let known: Vec<Source> = sources.budgets.keys().copied().collect();
        assert_eq!(known, [Source::V4(2), Source::V4(4)], "checks under way are never forgotten");
    }
}
