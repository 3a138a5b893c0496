//! One download: takes in what happens, and keeps everybody who has something busy.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use whoelse_proto::{Layout, PartMap};

use crate::api::{Failure, Input, Order, RequestId, Rules, SourceId, Tally};
use crate::parts::Parts;
use crate::source::{GRACE, Phase, Source};

/// Without a byte for this long a request is taken back and made elsewhere.
const STALL: Duration = Duration::from_secs(3);

/// How often it is said that nobody known can give what is missing.
const HUNGER: Duration = Duration::from_secs(10);

/// How often it is looked whether a source is of little use, and for how long each has had to show that
/// it is not.
const LOOK: Duration = Duration::from_secs(10);

/// One file on its way from several sources.
pub struct Download {
    pub(crate) rules: Rules,
    pub(crate) parts: Parts,
    pub(crate) sources: BTreeMap<SourceId, Source>,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    orders: VecDeque<Order>,
    made: u64,
    /// When to say again that nobody can give what is missing.
    hungry: Option<Duration>,
    /// When to look next whether somebody is of little use.
    look: Duration,
}

/// A request under way.
pub(crate) struct Request {
    pub(crate) source: SourceId,
    pub(crate) part: u32,
    pub(crate) bytes: u64,
    /// When it was made.
    pub(crate) made: Duration,
    /// When it was made, or gave something last.
    heard: Duration,
}

impl Download {
    /// Begins, or goes on, with the parts that are here already. Of two downloads of one file with
    /// different seeds each prefers other parts, so that they have something for each other.
    #[must_use]
    pub fn new(layout: Layout, have: PartMap, seed: u64) -> Self {
        Self::with_rules(layout, have, seed, Rules::default())
    }

    /// The same, for measuring what a rule is worth.
    #[must_use]
    pub fn with_rules(layout: Layout, have: PartMap, seed: u64, rules: Rules) -> Self {
        Self {
            rules,
            parts: Parts::new(layout, have, seed),
            sources: BTreeMap::new(),
            requests: BTreeMap::new(),
            orders: VecDeque::new(),
            made: 0,
            hungry: None,
            look: LOOK,
        }
    }

    /// Takes in what has happened. `now` comes from a clock that never goes back.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Coming { source, claims } => self.comes(now, source, claims),
            Input::Up { source } => {
                let found = self.sources.entry(source);
                found.or_insert_with(|| Source::new(Phase::Gone, None));
                self.turn(now, source, Phase::Up);
            }
            Input::Parts { source, parts } => self.says(source, parts),
            Input::Gone { source } => {
                self.let_go(source);
                self.turn(now, source, Phase::Gone);
            }
            Input::Progress { request, bytes } => return self.progress(now, request, bytes),
            Input::Done { request } => self.done(request),
            Input::Failed { request, why } => self.failed(now, request, why),
            Input::Tick => {}
        }
        self.watch(now);
        while let Some((source, part)) = self.pick(now) {
            self.ask(now, source, part);
        }
        self.starve(now);
        self.look(now);
    }

    /// What to do next; to be called until there is nothing more.
    #[expect(clippy::should_implement_trait, reason = "there may be more after none")]
    pub fn next(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When [`Input::Tick`] is due, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_done() {
            return None;
        }
        let stalls = self.requests.values().map(|request| request.heard + STALL);
        let sources = self.sources.values().filter_map(Source::deadline);
        let known = self.sources.values().any(|source| source.phase != Phase::Gone);
        let look = known.then_some(self.look);
        stalls.chain(sources).chain(self.hungry).chain(look).min()
    }

    /// Which parts are here.
    #[must_use]
    pub fn have(&self) -> &PartMap {
        &self.parts.have
    }

    /// Everything is here.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.parts.missing() == 0
    }

    /// What came from whom.
    pub fn tallies(&self) -> impl Iterator<Item = (SourceId, Tally)> {
        self.sources.iter().map(|(id, source)| (*id, source.tally))
    }

    /// How many sources are being asked.
    #[must_use]
    pub fn giving(&self) -> usize {
        self.sources.values().filter(|source| !source.under_way.is_empty()).count()
    }

    fn comes(&mut self, now: Duration, id: SourceId, claims: Option<PartMap>) {
        let claims = claims.filter(|claims| claims.parts() == self.parts.layout.parts());
        let source = self.sources.entry(id).or_insert_with(|| Source::new(Phase::Gone, None));
        if source.phase != Phase::Gone {
            // What it says itself counts more than what others say of it.
            return;
        }
        source.phase = Phase::Coming;
        source.awaited = Some(now + GRACE);
        if claims.is_some() {
            source.parts = claims;
        }
    }

    fn says(&mut self, id: SourceId, parts: PartMap) {
        if parts.parts() != self.parts.layout.parts() {
            return;
        }
        let Some(source) = self.sources.get_mut(&id) else { return };
        if source.is_up() {
            if let Some(before) = &source.parts {
                self.parts.count(before, false);
            }
            self.parts.count(&parts, true);
        }
        source.parts = Some(parts);
        if source.is_up() {
            source.awaited = None;
        }
    }

    /// A source begins or ceases to be one that can be asked.
    fn turn(&mut self, now: Duration, id: SourceId, phase: Phase) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        if source.phase == Phase::Banned {
            return;
        }
        let (before, after) = (source.is_up(), phase == Phase::Up);
        source.phase = phase;
        if !before {
            source.since = now;
        }
        if before != after
            && let Some(parts) = &source.parts
        {
            self.parts.count(parts, after);
        }
    }

    fn progress(&mut self, now: Duration, id: RequestId, bytes: u64) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if bytes == 0 {
            return;
        }
        request.heard = now;
        request.bytes = request.bytes.saturating_add(bytes);
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.gives(now, bytes);
        }
    }

    fn done(&mut self, id: RequestId) {
        let Some(request) = self.forget(id) else { return };
        self.parts.arrives(request.part);
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.completes();
        }
        self.cancel(|other| other.part == request.part);
    }

    fn failed(&mut self, now: Duration, id: RequestId, why: Failure) {
        let Some(request) = self.forget(id) else { return };
        let Some(source) = self.sources.get_mut(&request.source) else { return };
        let pauses = match why {
            Failure::Wrong => {
                self.orders.push_back(Order::Ban { source: request.source });
                self.let_go(request.source);
                return self.turn(now, request.source, Phase::Banned);
            }
            Failure::Line => source.stalls(),
            Failure::Lacking => {
                if let Some(parts) = &mut source.parts
                    && parts.contains(request.part)
                {
                    parts.remove(request.part);
                    if source.phase == Phase::Up {
                        self.parts.count_one(request.part, false);
                    }
                }
                source.lacks()
            }
            Failure::Here => true,
        };
        if pauses {
            self.pause(now, request.source);
        }
    }

    fn pause(&mut self, now: Duration, id: SourceId) {
        self.let_go(id);
        self.turn(now, id, Phase::Gone);
        if let Some(source) = self.sources.get_mut(&id).filter(|it| it.phase == Phase::Gone) {
            source.pauses(now);
        }
    }

    /// Takes back what stands still, and remembers who may be asked again.
    fn watch(&mut self, now: Duration) {
        let due = |request: &Request| now >= request.heard + STALL;
        let stalled = self.requests.iter().filter(|(_, request)| due(request));
        let stalled: Vec<RequestId> = stalled.map(|(id, _)| *id).collect();
        for id in stalled {
            let Some(request) = self.forget(id) else { continue };
            self.orders.push_back(Order::Cancel { request: id });
            let pauses = self.sources.get_mut(&request.source).is_some_and(Source::stalls);
            if pauses {
                self.pause(now, request.source);
            }
        }
        let over = |source: &Source| source.deadline().is_some_and(|until| until <= now);
        let over: Vec<SourceId> =
            self.sources.iter().filter(|(_, source)| over(source)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(phase) = self.sources.get_mut(&id).map(Source::is_due) {
                self.turn(now, id, phase);
            }
        }
    }

    fn ask(&mut self, now: Duration, source: SourceId, part: u32) {
        self.made += 1;
        let request = RequestId(self.made);
        self.parts.takes_off(part);
        self.requests.insert(request, Request { source, part, bytes: 0, made: now, heard: now });
        if let Some(found) = self.sources.get_mut(&source) {
            found.under_way.push(request);
            found.begins(now);
        }
        self.orders.push_back(Order::Fetch { request, source, part });
    }

    fn forget(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.parts.lands(request.part);
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.under_way.retain(|other| *other != id);
            if source.under_way.is_empty() {
                source.rests();
            }
        }
        Some(request)
    }

    fn cancel(&mut self, which: impl Fn(&Request) -> bool) {
        let found = self.requests.iter().filter(|(_, request)| which(request));
        let found: Vec<RequestId> = found.map(|(id, _)| *id).collect();
        for id in found {
            self.forget(id);
            self.orders.push_back(Order::Cancel { request: id });
        }
    }

    /// Takes back all that a source was asked.
    fn let_go(&mut self, source: SourceId) {
        self.cancel(|request| request.source == source);
    }

    fn starve(&mut self, now: Duration) {
        let fed = self.is_done()
            || !self.requests.is_empty()
            || self.sources.values().any(|source| self.may_give(source));
        if fed {
            self.hungry = None;
        } else if self.hungry.is_none_or(|due| due <= now) {
            self.hungry = Some(now + HUNGER);
            self.orders.push_back(Order::Starving);
        }
    }

    fn look(&mut self, now: Duration) {
        if now < self.look {
            return;
        }
        self.look = now + LOOK;
        let spare = self.least_useful(now).filter(|_| !self.is_done());
        self.orders.extend(spare.map(|source| Order::Spare { source }));
    }

    /// Whether a source has, or is about to say that it has, something that is missing.
    fn may_give(&self, source: &Source) -> bool {
        match source.phase {
            Phase::Coming => true,
            Phase::Up => match &source.parts {
                Some(parts) => parts.iter().any(|part| self.parts.is_missing(part)),
                None => source.awaited.is_some(),
            },
            Phase::Paused { .. } | Phase::Gone | Phase::Banned => false,
        }
    }
}
