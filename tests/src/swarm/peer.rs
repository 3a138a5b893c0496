//! One of the swarm: its line, what it has, what it fetches, and whether it is honest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use whoelse_proto::PartMap;
use whoelse_swarm::{Download, RequestId};

/// What somebody does to those who fetch from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Honest,
    /// Sends what is not the file.
    Wrong,
    /// Says it has everything, and gives nothing.
    Nothing,
    /// Gives a little of each part, and stops.
    Stops,
    /// Gives a hundred bytes a second.
    Trickles,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Will come, or come back, then.
    Away {
        until: Duration,
    },
    Here,
    /// Has gone for good.
    Left,
}

pub(super) struct Peer {
    pub(super) nature: Nature,
    pub(super) presence: Presence,
    /// Bytes per second.
    pub(super) up: u64,
    pub(super) down: u64,
    /// Half of a round trip.
    pub(super) latency: Duration,
    /// It had the file from the beginning.
    pub(super) seeds: bool,
    pub(super) have: PartMap,
    /// How many parts that are.
    pub(super) count: u32,
    pub(super) download: Option<Download>,
    /// Links by which it fetches, by number.
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) requests: BTreeMap<RequestId, Fetch>,
    /// Whom it has banned.
    pub(super) banned: BTreeSet<usize>,
    pub(super) asks_at: Duration,
    pub(super) begun: Option<Duration>,
    pub(super) done: Option<Duration>,
    /// How many links lead to it.
    pub(super) serves: usize,
    pub(super) sent: u64,
    /// Useful bytes that came, by whom from.
    pub(super) from: BTreeMap<usize, u64>,
    /// At some moment two had something that it lacked, and could be reached.
    pub(super) had_choice: bool,
}

/// A link by which somebody fetches.
pub(super) struct Link {
    pub(super) source: usize,
    pub(super) up_at: Duration,
    pub(super) up: bool,
    /// How many parts the other had when that was said last.
    pub(super) said: Option<u32>,
}

/// A request under way.
pub(super) struct Fetch {
    pub(super) link: u64,
    pub(super) source: usize,
    pub(super) part: u32,
    pub(super) left: u64,
    /// The first byte comes then.
    pub(super) flows_at: Duration,
    pub(super) came: u64,
}

impl Peer {
    pub(super) fn new(
        nature: Nature,
        up: u64,
        down: u64,
        latency: Duration,
        have: PartMap,
    ) -> Self {
        let seeds = have.is_all();
        Self {
            nature,
            presence: Presence::Here,
            up,
            down,
            latency,
            seeds,
            count: have.count(),
            have,
            download: None,
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            banned: BTreeSet::new(),
            asks_at: Duration::ZERO,
            begun: None,
            done: None,
            serves: 0,
            sent: 0,
            from: BTreeMap::new(),
            had_choice: false,
        }
    }

    pub(super) fn is_here(&self) -> bool {
        self.presence == Presence::Here
    }

    pub(super) fn is_honest(&self) -> bool {
        self.nature == Nature::Honest
    }

    /// What it says it has.
    pub(super) fn says(&self) -> PartMap {
        match self.nature {
            Nature::Honest => self.have.clone(),
            _ => PartMap::all(self.have.parts()),
        }
    }

    /// How many parts it says it has.
    pub(super) fn says_count(&self) -> u32 {
        match self.nature {
            Nature::Honest => self.count,
            _ => self.have.parts(),
        }
    }

    pub(super) fn fetches_from(&self, other: usize) -> bool {
        self.links.values().any(|link| link.source == other)
    }
}
