//! What is known of each part: whether it is here, how often it is under way, how rare it is.

use whoelse_proto::{Layout, PartMap};

/// Two requests for one part at once, and no more: the second makes sure, a third only costs.
pub(crate) const FLIGHTS_MAX: u8 = 2;

pub(crate) struct Parts {
    pub(crate) layout: Layout,
    pub(crate) have: PartMap,
    missing: u32,
    /// How many requests are under way for each.
    flights: Vec<u8>,
    /// How many sources that can be asked say they have it.
    holders: Vec<u16>,
    /// An order of chance, so that many who begin at once fetch different parts.
    rank: Vec<u32>,
    /// How many parts are missing and under way nowhere.
    idle: u32,
}

impl Parts {
    pub(crate) fn new(layout: Layout, have: PartMap, seed: u64) -> Self {
        let count = layout.parts();
        let have = if have.parts() == count { have } else { PartMap::none(count) };
        let missing = count - have.count();
        let places = usize::try_from(count).unwrap_or_default();
        let mut rank: Vec<u32> = (0..count).collect();
        let mut state = seed;
        for end in (1..places).rev() {
            let bound = u64::try_from(end).unwrap_or_default() + 1;
            let at = usize::try_from(next(&mut state) % bound).unwrap_or_default();
            rank.swap(end, at);
        }
        Self {
            layout,
            have,
            missing,
            flights: vec![0; places],
            holders: vec![0; places],
            rank,
            idle: missing,
        }
    }

    /// How many parts are not here.
    pub(crate) fn missing(&self) -> u32 {
        self.missing
    }

    /// How many of these are under way nowhere.
    pub(crate) fn idle(&self) -> u32 {
        self.idle
    }

    pub(crate) fn is_missing(&self, part: u32) -> bool {
        part < self.layout.parts() && !self.have.contains(part)
    }

    pub(crate) fn is_idle(&self, part: u32) -> bool {
        self.is_missing(part) && self.flights(part) == 0
    }

    pub(crate) fn flights(&self, part: u32) -> u8 {
        self.flights.get(place(part)).copied().unwrap_or_default()
    }

    pub(crate) fn takes_off(&mut self, part: u32) {
        let was_idle = self.is_idle(part);
        if let Some(flights) = self.flights.get_mut(place(part)) {
            *flights = flights.saturating_add(1);
            self.idle -= u32::from(was_idle);
        }
    }

    pub(crate) fn lands(&mut self, part: u32) {
        if let Some(flights) = self.flights.get_mut(place(part)).filter(|flights| **flights > 0) {
            *flights -= 1;
            self.idle += u32::from(self.is_idle(part));
        }
    }

    /// A part is here.
    pub(crate) fn arrives(&mut self, part: u32) {
        if self.is_missing(part) {
            self.idle -= u32::from(self.is_idle(part));
            self.have.insert(part);
            self.missing -= 1;
        }
    }

    /// Somebody who can be asked has these parts, or has or can no more.
    pub(crate) fn count(&mut self, parts: &PartMap, more: bool) {
        for part in parts.iter() {
            self.count_one(part, more);
        }
    }

    pub(crate) fn count_one(&mut self, part: u32, more: bool) {
        if let Some(holders) = self.holders.get_mut(place(part)) {
            *holders = if more { holders.saturating_add(1) } else { holders.saturating_sub(1) };
        }
    }

    /// The order in which parts are wanted: the smallest first.
    pub(crate) fn wanted(&self, part: u32, rarest_first: bool) -> (u16, u32) {
        let holders = if rarest_first { self.holders[place(part)] } else { 0 };
        (holders, self.rank[place(part)])
    }
}

fn place(part: u32) -> usize {
    usize::try_from(part).unwrap_or(usize::MAX)
}

/// The next number of chance (splitmix64, Steele, Lea and Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
