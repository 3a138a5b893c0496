//! Who is asked next, and for what.

use std::time::Duration;

use crate::api::SourceId;
use crate::download::{Download, Request};
use crate::parts::FLIGHTS_MAX;
use crate::source::{Phase, Source};

/// A part is asked a second time only if that promises to be this much sooner, in milliseconds.
const GAIN_MS: u64 = 50;

/// For so long nobody else is asked for the first part that a source is to give.
const FIRST: Duration = Duration::from_secs(1);

/// How long a source has to show that it is of use.
const PROBATION: Duration = Duration::from_secs(10);

/// A source that is so many times slower than the fastest is of little use.
const FAR_SLOWER: u64 = 8;

/// What a source whose speed is not known yet is taken to need for a part, in milliseconds.
const UNKNOWN_MS: u64 = 1_000;

impl Download {
    /// The next request that is worth making, if there is one.
    pub(crate) fn pick(&self, now: Duration) -> Option<(SourceId, u32)> {
        if self.is_done() {
            return None;
        }
        let part_bytes = self.parts.layout.part_bytes();
        let mut free: Vec<(usize, SourceId)> = self
            .sources
            .iter()
            .filter(|(_, source)| {
                source.is_up() && source.under_way.len() < source.depth(part_bytes)
            })
            .map(|(id, source)| (source.under_way.len(), *id))
            .collect();
        // Whoever has least to do is first: so all begin, before anybody gets more.
        free.sort_unstable();
        free.into_iter().find_map(|(_, id)| {
            let source = &self.sources[&id];
            self.first_time(id, source)
                .or_else(|| self.second_time(now, source))
                .map(|part| (id, part))
        })
    }

    /// A part that nobody is asked for.
    fn first_time(&self, id: SourceId, source: &Source) -> Option<u32> {
        if self.parts.idle() == 0 {
            return None;
        }
        if self.rules.reserve && !source.is_unused() && self.parts.idle() <= self.reserved(id) {
            return None;
        }
        let parts = source.parts.as_ref()?;
        let rarest = self.rules.rarest_first;
        let idle = parts.iter().filter(|part| self.parts.is_idle(*part));
        let best = idle.min_by_key(|part| self.parts.wanted(*part, rarest))?;
        (!self.is_better_elsewhere(source, best)).then_some(best)
    }

    /// How many other sources have a right to a part of those that nobody is asked for: who has not
    /// given any yet, and could.
    fn reserved(&self, except: SourceId) -> u32 {
        let others =
            self.sources.iter().filter(|(id, source)| **id != except && source.is_unused());
        let count = others
            .filter(|(_, source)| match (source.phase, &source.parts) {
                (Phase::Coming | Phase::Up, None) => source.awaited.is_some(),
                (Phase::Coming | Phase::Up, Some(parts)) => {
                    parts.iter().any(|part| self.parts.is_idle(part))
                }
                _ => false,
            })
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether somebody else will have given this part, and all the others everything else, long
    /// before this source has given it. Of those who have a part, the one who is soonest does not
    /// leave it to anybody.
    fn is_better_elsewhere(&self, source: &Source, part: u32) -> bool {
        let Some(rate) = source.rate.filter(|_| !source.is_unused()) else { return false };
        let bytes = self.parts.layout.part_bytes();
        let others = self
            .sources
            .values()
            .filter(|other| other.is_up() && other.has(part) && !std::ptr::eq(*other, source));
        let others = others.filter_map(|other| Some((other, other.rate?)));
        let (mut together, mut soonest_ms) = (rate, u64::MAX);
        for (other, rate) in others {
            together = together.saturating_add(rate);
            soonest_ms = soonest_ms.min(millis(other.queued(bytes), rate));
        }
        let all_ms = millis(bytes.saturating_mul(u64::from(self.parts.missing())), together);
        let here_ms = millis(source.queued(bytes), rate);
        here_ms > all_ms.max(soonest_ms).saturating_add(GAIN_MS)
    }

    /// A part that somebody slower is asked for already: in the end, when nothing else is left.
    fn second_time(&self, now: Duration, source: &Source) -> Option<u32> {
        if !self.rules.end_game || self.parts.idle() > 0 {
            return None;
        }
        let bytes = self.parts.layout.part_bytes();
        let here_ms = source.rate.map_or(UNKNOWN_MS, |rate| millis(bytes, rate));
        let mine =
            |part: u32| source.under_way.iter().any(|request| self.requests[request].part == part);
        let late = self.requests.values().filter(|request| {
            source.has(request.part)
                && self.parts.flights(request.part) < FLIGHTS_MAX
                && !mine(request.part)
                && !self.is_first(now, request)
        });
        let (left_ms, part) = late.map(|request| (self.left_ms(request), request.part)).max()?;
        (left_ms > here_ms.saturating_add(GAIN_MS)).then_some(part)
    }

    /// Who would be missed least, if there is somebody of whom little is to be expected: who failed too
    /// often, then who has nothing that is missing, then who is far slower than the fastest.
    pub(crate) fn least_useful(&self, now: Duration) -> Option<SourceId> {
        let fastest = self.sources.values().filter_map(|source| source.rate).max().unwrap_or(0);
        let reason = |source: &Source| match source.phase {
            Phase::Paused { .. } => Some((0, 0)),
            Phase::Up if now < source.since + PROBATION => None,
            Phase::Up if !self.has_any(source) => Some((1, 0)),
            Phase::Up => {
                let rate = source.rate.unwrap_or(0);
                (rate < fastest / FAR_SLOWER).then_some((2, rate))
            }
            Phase::Coming | Phase::Gone | Phase::Banned => None,
        };
        let found = self.sources.iter().filter_map(|(id, source)| Some((reason(source)?, *id)));
        found.min().map(|(_, id)| id)
    }

    fn has_any(&self, source: &Source) -> bool {
        let parts = source.parts.as_ref();
        parts.is_some_and(|parts| parts.iter().any(|part| self.parts.is_missing(part)))
    }

    /// Whether a source that has given nothing yet is about to give its first part.
    fn is_first(&self, now: Duration, request: &Request) -> bool {
        let unproven = |source: &Source| source.tally.parts == 0;
        self.rules.reserve
            && now < request.made + FIRST
            && self.sources.get(&request.source).is_some_and(unproven)
    }

    /// How long a request will take from here on, in milliseconds, as far as that can be said.
    fn left_ms(&self, request: &Request) -> u64 {
        let left = self.parts.layout.bytes(request.part).saturating_sub(request.bytes);
        let Some(source) = self.sources.get(&request.source) else { return 0 };
        // What it was asked for before comes first, in part.
        let at_once = u64::try_from(source.under_way.len()).unwrap_or(u64::MAX);
        match source.rate {
            Some(rate) => millis(left.saturating_mul(at_once), rate),
            None => UNKNOWN_MS.saturating_mul(2),
        }
    }
}

/// How long so many bytes take at this speed, in milliseconds.
fn millis(bytes: u64, rate: u64) -> u64 {
    bytes.saturating_mul(1000) / rate.max(1)
}
