//! What is known of one source: what it has, how fast it is, and whether it can be asked.

use std::time::Duration;

use whoelse_proto::PartMap;

use crate::api::{RequestId, Tally};

/// Requests under way at one source: enough that it never waits for us.
pub(crate) const DEPTH_MIN: usize = 2;
pub(crate) const DEPTH_MAX: usize = 8;

/// What is under way at a source should keep it busy for so long.
const AHEAD_MS: u64 = 250;

/// Its speed is measured over at least this long.
const SAMPLE: Duration = Duration::from_millis(250);

/// So many failures in a row, of one kind, and it is left alone for a while.
const FAILURES_MAX: u32 = 3;

const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// For so long parts are held back for somebody to whom a link is being made.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A link to it is being made.
    Coming,
    Up,
    /// It failed too often; it can be asked again from then on.
    Paused {
        until: Duration,
    },
    Gone,
    Banned,
}

pub(crate) struct Source {
    pub(crate) phase: Phase,
    /// Until then a part is held back for it, unless it says that it has none.
    pub(crate) awaited: Option<Duration>,
    /// What it says it has, without what it then did not give; none before it or the server has said.
    pub(crate) parts: Option<PartMap>,
    pub(crate) under_way: Vec<RequestId>,
    pub(crate) tally: Tally,
    /// Since when it can be asked.
    pub(crate) since: Duration,
    /// Bytes per second, once that is known.
    pub(crate) rate: Option<u64>,
    /// Since when, and how many bytes, for the next measurement.
    sample: Option<(Duration, u64)>,
    /// Half of what it would be given otherwise, once for each time it stood still.
    demoted: u32,
    stalls: u32,
    lacking: u32,
    pause: Duration,
}

impl Source {
    pub(crate) fn new(phase: Phase, parts: Option<PartMap>) -> Self {
        Self {
            phase,
            awaited: None,
            parts,
            under_way: Vec::new(),
            tally: Tally::default(),
            since: Duration::ZERO,
            rate: None,
            sample: None,
            demoted: 0,
            stalls: 0,
            lacking: 0,
            pause: PAUSE_MIN,
        }
    }

    pub(crate) fn has(&self, part: u32) -> bool {
        self.parts.as_ref().is_some_and(|parts| parts.contains(part))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// It has given nothing yet, and is about to give nothing.
    pub(crate) fn is_unused(&self) -> bool {
        self.tally.parts == 0 && self.under_way.is_empty()
    }

    /// How much it would have to give with one part more, in bytes.
    pub(crate) fn queued(&self, part_bytes: u64) -> u64 {
        let at_once = u64::try_from(self.under_way.len()).unwrap_or(u64::MAX);
        part_bytes.saturating_mul(at_once.saturating_add(1))
    }

    /// How many requests it gets at once.
    pub(crate) fn depth(&self, part_bytes: u64) -> usize {
        if self.demoted > 0 {
            return (DEPTH_MIN >> self.demoted.min(8)).max(1);
        }
        let ahead = self.rate.unwrap_or(0).saturating_mul(AHEAD_MS) / 1000;
        let parts = usize::try_from(ahead.div_ceil(part_bytes.max(1))).unwrap_or(DEPTH_MAX);
        parts.saturating_add(1).clamp(DEPTH_MIN, DEPTH_MAX)
    }

    /// Checked bytes have come.
    pub(crate) fn gives(&mut self, now: Duration, bytes: u64) {
        self.tally.bytes = self.tally.bytes.saturating_add(bytes);
        let (since, before) = self.sample.get_or_insert((now, 0));
        *before = before.saturating_add(bytes);
        let over = now.saturating_sub(*since);
        if over < SAMPLE {
            return;
        }
        let millis = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
        let measured = before.saturating_mul(1000) / millis;
        self.sample = Some((now, 0));
        self.rate = Some(self.rate.map_or(measured, |rate| rate / 2 + measured / 2));
    }

    /// Nothing is under way: the time until there is something does not count.
    pub(crate) fn rests(&mut self) {
        self.sample = None;
    }

    pub(crate) fn begins(&mut self, now: Duration) {
        self.sample.get_or_insert((now, 0));
    }

    pub(crate) fn completes(&mut self) {
        self.tally.parts += 1;
        (self.stalls, self.lacking) = (0, 0);
        self.demoted = self.demoted.saturating_sub(1);
        self.pause = PAUSE_MIN;
    }

    /// A request stood still. Says whether it is to be left alone for a while.
    pub(crate) fn stalls(&mut self) -> bool {
        self.stalls += 1;
        self.demoted += 1;
        self.rate = self.rate.map(|rate| rate / 2);
        self.stalls >= FAILURES_MAX
    }

    /// It does not give what it says it has. Says whether it is to be left alone for a while.
    pub(crate) fn lacks(&mut self) -> bool {
        self.lacking += 1;
        self.lacking >= FAILURES_MAX
    }

    pub(crate) fn pauses(&mut self, now: Duration) {
        self.phase = Phase::Paused { until: now + self.pause };
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        (self.stalls, self.lacking) = (0, 0);
    }

    /// When something changes by itself.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Paused { until } => Some(until),
            Phase::Coming | Phase::Up => self.awaited,
            Phase::Gone | Phase::Banned => None,
        }
    }

    /// The time for that has come. Says how it is from then on.
    pub(crate) fn is_due(&mut self) -> Phase {
        self.awaited = None;
        match self.phase {
            Phase::Paused { .. } => Phase::Up,
            Phase::Coming => Phase::Gone,
            phase @ (Phase::Up | Phase::Gone | Phase::Banned) => phase,
        }
    }
}
