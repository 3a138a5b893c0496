//! The network, the server's hints, and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_proto::{Layout, PartMap};
use whoelse_swarm::{Download, Failure, Input, Order, RequestId, Rules, SourceId};

use super::outcome::Outcome;
use super::peer::{Fetch, Link, Nature, Peer, Presence};

const STEP: Duration = Duration::from_millis(20);

/// As in the client: links by which it fetches, and by which it gives.
const FETCHED_MAX: usize = 8;
const SERVED_MAX: usize = 16;

/// How often a client asks the server for sources: when it has as many links as it may, and when it has
/// fewer. How old the server's claims may be.
const ASK: Duration = Duration::from_secs(10);
const ASK_SOON: Duration = Duration::from_secs(3);
const CLAIM: Duration = Duration::from_secs(2);

/// How often what somebody has is told over its links.
const LOOK: Duration = Duration::from_millis(200);

/// Most sources the server names.
const NAMED_MAX: usize = 64;

/// How much of a wrong part comes before it is seen: what BLAKE3 checks at once.
const CHECKED: u64 = 16 * 1024;

/// Who is in a swarm, and what befalls it.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// How many there are.
    pub peers: usize,
    /// How many of them have the file from the beginning.
    pub seeders: usize,
    /// How many of them lie.
    pub liars: usize,
    /// How long the file is, in bytes.
    pub size: u64,
    /// People come over a minute, leave in the middle, come back, and leave when they have it.
    pub churn: bool,
    /// The rules that are on.
    pub rules: Rules,
}

/// A swarm.
pub struct World {
    scene: Scene,
    layout: Layout,
    rng: ChaCha8Rng,
    now: Duration,
    peers: Vec<Peer>,
    /// What the server thinks that everybody has.
    claims: Vec<PartMap>,
    links: u64,
    /// Who has sent something else to somebody.
    tricked: BTreeSet<usize>,
    outcome: Outcome,
}

impl World {
    /// Makes a swarm of a seed.
    #[must_use]
    pub fn new(seed: u64, scene: Scene) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let layout = Layout::of(scene.size);
        let mut peers = Vec::new();
        for number in 0..scene.peers {
            // Lines of homes and of offices, in bytes per second.
            let (up, down) = match rng.random_range(0..10) {
                0..4 => (1_250_000, 6_250_000),
                4..7 => (2_500_000, 12_500_000),
                7..9 => (5_000_000, 12_500_000),
                _ => (12_500_000, 25_000_000),
            };
            let is_seeder = number < scene.seeders;
            let is_liar = !is_seeder && number < scene.seeders + scene.liars;
            let nature = match is_liar {
                true => {
                    [Nature::Wrong, Nature::Nothing, Nature::Stops, Nature::Trickles][number % 4]
                }
                false => Nature::Honest,
            };
            let have = match is_seeder {
                true => PartMap::all(layout.parts()),
                false => PartMap::none(layout.parts()),
            };
            let latency = Duration::from_millis(rng.random_range(5..60));
            let mut peer = Peer::new(nature, up, down, latency, have);
            if scene.churn && !is_seeder && !is_liar {
                let until = Duration::from_millis(rng.random_range(0..60_000));
                peer.presence = Presence::Away { until };
            }
            peers.push(peer);
        }
        let claims = peers.iter().map(Peer::says).collect();
        Self {
            scene,
            layout,
            rng,
            now: Duration::ZERO,
            peers,
            claims,
            links: 0,
            tricked: BTreeSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Lets it run until everybody honest has the file, or so long that nobody waits any more.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let patience = Duration::from_secs(3600);
        while self.now < patience && !self.is_over() {
            self.step();
        }
        self.conclude()
    }

    fn is_over(&self) -> bool {
        self.peers.iter().all(|peer| !peer.is_honest() || peer.seeds || peer.done.is_some())
    }

    fn step(&mut self) {
        self.now += STEP;
        let millis = self.now.as_millis();
        if millis.is_multiple_of(CLAIM.as_millis()) {
            for (claim, peer) in self.claims.iter_mut().zip(&self.peers) {
                *claim = peer.says();
            }
        }
        for peer in 0..self.peers.len() {
            self.come_and_go(peer);
            self.find_sources(peer);
            self.mind_links(peer);
            self.tick(peer);
        }
        self.flow();
    }

    fn come_and_go(&mut self, at: usize) {
        let leaves = self.scene.churn && self.rng.random_ratio(1, 6_000);
        let stays_away = Duration::from_millis(self.rng.random_range(1_000..30_000));
        let peer = &mut self.peers[at];
        match peer.presence {
            Presence::Away { until } if until <= self.now => {
                peer.presence = Presence::Here;
            }
            Presence::Here if peer.is_honest() && !peer.seeds && leaves => {
                // Some have it, and go for good; some come back with what they have.
                peer.presence = match peer.done {
                    Some(_) => Presence::Left,
                    None => Presence::Away { until: self.now + stays_away },
                };
                return self.leave(at);
            }
            _ => {}
        }
        let peer = &mut self.peers[at];
        let wants = peer.is_here() && peer.is_honest() && !peer.have.is_all();
        if wants && peer.download.is_none() {
            let seed = self.rng.random();
            let rules = self.scene.rules;
            peer.download = Some(Download::with_rules(self.layout, peer.have.clone(), seed, rules));
            peer.begun.get_or_insert(self.now);
            peer.asks_at = self.now;
        }
    }

    /// Somebody's machine is gone, as suddenly as it pleases.
    fn leave(&mut self, at: usize) {
        let links: Vec<u64> = self.peers[at].links.keys().copied().collect();
        links.into_iter().for_each(|link| self.close(at, link));
        self.peers[at].download = None;
        self.peers[at].requests.clear();
        for other in 0..self.peers.len() {
            let theirs = self.peers[other].links.iter().filter(|(_, link)| link.source == at);
            let theirs: Vec<u64> = theirs.map(|(link, _)| *link).collect();
            for link in theirs {
                self.close(other, link);
                self.tell(other, Input::Gone { source: SourceId(link) });
            }
        }
    }

    fn close(&mut self, at: usize, link: u64) {
        if let Some(link) = self.peers[at].links.remove(&link) {
            self.peers[link.source].serves -= 1;
        }
        let ended = self.peers[at].requests.extract_if(.., |_, fetch| fetch.link == link);
        self.outcome.lost += ended.map(|(_, fetch)| fetch.came).sum::<u64>();
    }

    fn find_sources(&mut self, at: usize) {
        let peer = &self.peers[at];
        if peer.download.is_none() || peer.asks_at > self.now {
            return;
        }
        let count = self.peers.len();
        // As the server names them: each asker begins at another place.
        let named = (1..count)
            .map(|step| (at + step) % count)
            .filter(|other| self.peers[*other].is_here() && !self.claims[*other].is_empty());
        let mut named: Vec<usize> = named.take(NAMED_MAX).collect();
        named.shuffle(&mut self.rng);
        for other in named {
            if self.peers[at].links.len() >= FETCHED_MAX {
                break;
            }
            if !self.could_ask(at, other) {
                continue;
            }
            self.links += 1;
            let makes = Duration::from_millis(self.rng.random_range(50..1_500));
            let link = Link { source: other, up_at: self.now + makes, up: false, said: None };
            self.peers[at].links.insert(self.links, link);
            self.peers[other].serves += 1;
            let (source, claims) = (SourceId(self.links), Some(self.claims[other].clone()));
            self.tell(at, Input::Coming { source, claims });
        }
        let is_full = self.peers[at].links.len() >= FETCHED_MAX;
        self.peers[at].asks_at = self.now + if is_full { ASK } else { ASK_SOON };
    }

    /// Whether the server would name somebody who is not asked yet.
    fn is_somebody_else(&self, at: usize) -> bool {
        (0..self.peers.len()).any(|other| self.could_ask(at, other))
    }

    fn could_ask(&self, at: usize, other: usize) -> bool {
        let (peer, there) = (&self.peers[at], &self.peers[other]);
        let useful = || self.claims[other].iter().any(|part| !peer.have.contains(part));
        other != at
            && there.is_here()
            && there.serves < SERVED_MAX
            && !peer.banned.contains(&other)
            && !peer.fetches_from(other)
            && useful()
    }

    /// Links come up, and tell what the other has.
    fn mind_links(&mut self, at: usize) {
        let mut news = Vec::new();
        let (mut able, looks) = (0, self.now.as_millis().is_multiple_of(LOOK.as_millis()));
        for (number, link) in &self.peers[at].links {
            let source = SourceId(*number);
            if link.up_at > self.now {
                continue;
            }
            let other = &self.peers[link.source];
            let count = other.says_count();
            if !link.up {
                news.push((*number, count, Input::Up { source }));
            }
            if link.said != Some(count) && (looks || !link.up) {
                news.push((*number, count, Input::Parts { source, parts: other.says() }));
            }
            if looks && !self.peers[at].had_choice && other.is_honest() {
                let gives = |part| !self.peers[at].have.contains(part);
                able += u32::from(other.have.iter().any(gives));
            }
        }
        self.peers[at].had_choice |= able > 1;
        for (number, count, input) in news {
            if let Some(link) = self.peers[at].links.get_mut(&number) {
                link.up = true;
                if matches!(input, Input::Parts { .. }) {
                    link.said = Some(count);
                }
            }
            self.tell(at, input);
        }
    }

    fn tick(&mut self, at: usize) {
        let due = self.peers[at].download.as_ref().and_then(Download::deadline);
        if due.is_some_and(|due| due <= self.now) {
            self.tell(at, Input::Tick);
        }
    }

    fn tell(&mut self, at: usize, input: Input) {
        let now = self.now;
        let Some(download) = &mut self.peers[at].download else { return };
        download.handle(now, input);
        let orders: Vec<Order> = std::iter::from_fn(|| download.next()).collect();
        for order in orders {
            self.obey(at, order);
        }
    }

    fn obey(&mut self, at: usize, order: Order) {
        match order {
            Order::Fetch { request, source, part } => {
                self.outcome.requests += 1;
                let Some(link) = self.peers[at].links.get(&source.0) else { return };
                let other = link.source;
                let there = self.peers[at].latency + self.peers[other].latency;
                let flows_at = self.now + there * 2;
                let left = self.layout.bytes(part);
                let fetch = Fetch { link: source.0, source: other, part, left, flows_at, came: 0 };
                self.peers[at].requests.insert(request, fetch);
            }
            Order::Cancel { request } => {
                if let Some(fetch) = self.peers[at].requests.remove(&request) {
                    match self.peers[at].have.contains(fetch.part) {
                        true => self.outcome.twice += fetch.came,
                        false => self.outcome.lost += fetch.came,
                    }
                }
            }
            Order::Ban { source } => {
                let Some(link) = self.peers[at].links.get(&source.0) else { return };
                let other = link.source;
                self.peers[at].banned.insert(other);
                self.close(at, source.0);
                self.tell(at, Input::Gone { source });
            }
            Order::Spare { source } => {
                let peer = &self.peers[at];
                if peer.links.len() < FETCHED_MAX || !self.is_somebody_else(at) {
                    return;
                }
                self.close(at, source.0);
                self.tell(at, Input::Gone { source });
                self.peers[at].asks_at = self.now;
            }
            Order::Starving => {
                let soon = self.now + Duration::from_secs(2);
                self.peers[at].asks_at = self.peers[at].asks_at.min(soon);
            }
        }
    }

    /// Bytes go over the lines.
    fn flow(&mut self) {
        let millis = u64::try_from(STEP.as_millis()).unwrap_or_default();
        // Who gives to how many links, and whom each link would give how much.
        let mut active: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        for (at, peer) in self.peers.iter().enumerate() {
            let mut links: Vec<u64> = Vec::new();
            for fetch in peer.requests.values().filter(|fetch| fetch.flows_at <= self.now) {
                if !links.contains(&fetch.link) {
                    links.push(fetch.link);
                    active.entry(fetch.source).or_default().push((at, fetch.link));
                }
            }
        }
        let mut offered: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
        for (source, links) in active {
            let peer = &self.peers[source];
            let bytes = match peer.nature {
                Nature::Trickles => 100 * millis / 1000 * links.len() as u64,
                _ => peer.up * millis / 1000,
            };
            let share = (bytes / links.len() as u64).max(1);
            for (at, link) in links {
                offered.entry(at).or_default().push((link, share));
            }
        }
        for (at, links) in offered {
            let all: u64 = links.iter().map(|(_, share)| share).sum();
            let room = self.peers[at].down * millis / 1000;
            for (link, share) in links {
                let share = if all > room { share * room / all } else { share };
                self.give(at, link, share);
            }
        }
    }

    /// So many bytes come over a link: for its requests, the oldest first.
    fn give(&mut self, at: usize, link: u64, mut bytes: u64) {
        while bytes > 0 {
            let mut open = self.peers[at].requests.iter();
            let first = open.find(|(_, fetch)| fetch.link == link && fetch.flows_at <= self.now);
            let Some((request, fetch)) = first else { return };
            let (request, source, part, came) = (*request, fetch.source, fetch.part, fetch.came);
            match self.peers[source].nature {
                Nature::Wrong if came + bytes >= CHECKED => {
                    self.outcome.wrong += CHECKED;
                    self.tricked.insert(source);
                    self.peers[at].requests.remove(&request);
                    return self.tell(at, Input::Failed { request, why: Failure::Wrong });
                }
                Nature::Nothing => return self.refuse(at, request),
                Nature::Honest if !self.peers[source].have.contains(part) => {
                    return self.refuse(at, request);
                }
                Nature::Stops if came >= 2 * CHECKED => return,
                _ => {}
            }
            let lies = self.peers[source].nature == Nature::Wrong;
            let Some(fetch) = self.peers[at].requests.get_mut(&request) else { return };
            if lies {
                // Nothing of it counts before it is checked.
                fetch.came += bytes;
                return;
            }
            let came = bytes.min(fetch.left);
            fetch.left -= came;
            fetch.came += came;
            bytes -= came;
            let (is_whole, all) = (fetch.left == 0, fetch.came);
            self.peers[source].sent += came;
            self.tell(at, Input::Progress { request, bytes: came });
            if is_whole {
                self.peers[at].requests.remove(&request);
                self.arrive(at, request, source, part, all);
            }
        }
    }

    fn refuse(&mut self, at: usize, request: RequestId) {
        self.outcome.refused += 1;
        self.peers[at].requests.remove(&request);
        self.tell(at, Input::Failed { request, why: Failure::Lacking });
    }

    fn arrive(&mut self, at: usize, request: RequestId, source: usize, part: u32, bytes: u64) {
        let peer = &mut self.peers[at];
        peer.have.insert(part);
        peer.count += 1;
        *peer.from.entry(source).or_default() += bytes;
        self.outcome.useful += bytes;
        self.tell(at, Input::Done { request });
        let peer = &mut self.peers[at];
        if peer.have.is_all() {
            peer.done = Some(self.now);
            peer.download = None;
            let links: Vec<u64> = peer.links.keys().copied().collect();
            links.into_iter().for_each(|link| self.close(at, link));
        }
    }

    fn conclude(mut self) -> Outcome {
        let fetchers = || self.peers.iter().filter(|peer| peer.is_honest() && !peer.seeds);
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.wanted = fetchers().count() as u64;
        outcome.completed = fetchers().filter(|peer| peer.done.is_some()).count() as u64;
        outcome.took = fetchers().filter_map(|peer| peer.done).max().unwrap_or(self.now);
        outcome.bound = (!self.scene.churn).then(|| self.bound());
        let banned = |at: usize| self.peers.iter().any(|peer| peer.banned.contains(&at));
        for (_, peer) in self.peers.iter().enumerate().filter(|(at, _)| banned(*at)) {
            match peer.nature {
                Nature::Wrong => outcome.banned_rightly += 1,
                _ => outcome.banned_wrongly += 1,
            }
        }
        outcome.wrong_senders = self.tricked.len() as u64;
        let shares: Vec<f64> = fetchers()
            .filter(|peer| peer.had_choice)
            .filter_map(|peer| {
                let all: u64 = peer.from.values().sum();
                let most = *peer.from.values().max()?;
                Some(most as f64 / all.max(1) as f64)
            })
            .collect();
        outcome.alone = fetchers()
            .filter(|peer| peer.had_choice && peer.done.is_some() && peer.from.len() < 2)
            .count() as u64;
        outcome.largest_share = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        let given: Vec<f64> = fetchers().map(|peer| peer.sent as f64 / peer.up as f64).collect();
        let (sum, squares) = given
            .iter()
            .fold((0.0, 0.0), |(sum, squares), given| (sum + given, squares + given * given));
        outcome.evenness = sum * sum / (given.len().max(1) as f64 * squares).max(f64::MIN_POSITIVE);
        outcome
    }

    /// No way of sharing can be sooner (Kumar and Ross 2006): the seeders have to send all of it once, the
    /// slowest line has to take all of it in, and all lines together have to send it to everybody.
    fn bound(&self) -> Duration {
        let honest = || self.peers.iter().filter(|peer| peer.is_honest());
        let fetchers = || honest().filter(|peer| !peer.seeds);
        let size = self.scene.size as f64;
        let seeders: u64 = honest().filter(|peer| peer.seeds).map(|peer| peer.up).sum();
        let all: u64 = honest().map(|peer| peer.up).sum();
        let slowest = fetchers().map(|peer| peer.down).min().unwrap_or(1);
        let seconds = (size / seeders as f64)
            .max(size / slowest as f64)
            .max(size * fetchers().count() as f64 / all as f64);
        Duration::from_secs_f64(seconds)
    }
}
