//! How many connections there are, in all and from where.

use std::collections::BTreeMap;
use std::net::IpAddr;

use whoelse_proto::limits::{SOURCE_CONNECTIONS_MAX, SOURCE_STRANGERS_MAX};

use crate::network::source;

/// Counts connections, and those of each source.
#[derive(Debug)]
pub(crate) struct Sources {
    connections: usize,
    connections_max: usize,
    /// Loopback addresses are not counted by themselves.
    loopback_is_exempt: bool,
    by_source: BTreeMap<IpAddr, Count>,
}

/// A source has as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

#[derive(Debug, Default)]
struct Count {
    connections: u32,
    strangers: u32,
}

impl Sources {
    pub(crate) fn new(connections_max: usize, loopback_is_exempt: bool) -> Self {
        Self { connections: 0, connections_max, loopback_is_exempt, by_source: BTreeMap::new() }
    }

    /// Takes one more connection, wherever it comes from; false if there are as many as may be.
    pub(crate) fn arrive(&mut self) -> bool {
        let has_room = self.connections < self.connections_max;
        self.connections += usize::from(has_room);
        has_room
    }

    /// Counts a connection that has arrived for its source, as a stranger, unless that has as many
    /// as it may. Returns what is to be named when it logs in and leaves.
    pub(crate) fn count(&mut self, address: IpAddr) -> Result<Option<IpAddr>, TooMany> {
        if self.loopback_is_exempt && address.is_loopback() {
            return Ok(None);
        }
        let source = source(address);
        let count = self.by_source.entry(source).or_default();
        if count.connections >= SOURCE_CONNECTIONS_MAX || count.strangers >= SOURCE_STRANGERS_MAX {
            return Err(TooMany);
        }
        count.connections += 1;
        count.strangers += 1;
        Ok(Some(source))
    }

    /// The source with the most strangers, of so many in all. Those that are not counted for anybody
    /// are one source together.
    pub(crate) fn busiest(&self, strangers: usize) -> Option<IpAddr> {
        let of_sources = self.by_source.values().map(|count| count.strangers as usize).sum();
        let uncounted = strangers.saturating_sub(of_sources);
        let most = self.by_source.iter().max_by_key(|(_, count)| count.strangers);
        most.filter(|(_, count)| count.strangers as usize > uncounted).map(|(source, _)| *source)
    }

    /// A connection of this source is a stranger no longer.
    pub(crate) fn logged_in(&mut self, source: Option<IpAddr>) {
        if let Some(count) = source.and_then(|source| self.by_source.get_mut(&source)) {
            count.strangers -= 1;
        }
    }

    /// A connection has ended that was no stranger.
    pub(crate) fn leave(&mut self, source: Option<IpAddr>) {
        self.connections -= 1;
        let Some(source) = source else { return };
        if let Some(count) = self.by_source.get_mut(&source) {
            count.connections -= 1;
            if count.connections == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_so_many_strangers_and_so_many_connections() {
        let mut sources = Sources::new(10_000, true);
        let (one, same, other) = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1");
        for _ in 0..SOURCE_STRANGERS_MAX {
            assert!(sources.arrive() && sources.count(address(one)).is_ok());
        }
        assert!(sources.count(address(same)).is_err(), "the same network");
        assert!(sources.count(address(other)).is_ok());
        let source = Some(address("2001:db8::"));
        for _ in SOURCE_STRANGERS_MAX..SOURCE_CONNECTIONS_MAX {
            sources.logged_in(source);
            assert!(sources.arrive());
            assert_eq!(sources.count(address(same)), Ok(source));
        }
        sources.logged_in(source);
        assert!(sources.count(address(one)).is_err(), "as many as it may have");
        sources.leave(source);
        assert!(sources.count(address(one)).is_ok());
    }

    #[test]
    fn the_source_with_the_most_strangers_is_found() {
        let mut sources = Sources::new(1000, true);
        assert_eq!(sources.busiest(0), None);
        for (text, times) in [("192.0.2.1", 3), ("192.0.2.2", 5)] {
            for _ in 0..times {
                assert!(sources.count(address(text)).is_ok());
            }
        }
        assert_eq!(sources.busiest(8), Some(address("192.0.2.2")));
        assert_eq!(sources.busiest(12), Some(address("192.0.2.2")), "4 of this machine");
        assert_eq!(sources.busiest(13), None, "5 of this machine");
    }

    #[test]
    fn loopback_is_exempt_from_that_but_not_from_the_total() {
        let mut sources = Sources::new(1000, true);
        for _ in 0..1000 {
            assert!(sources.arrive());
            assert_eq!(sources.count(address("127.0.0.1")), Ok(None));
        }
        assert!(!sources.arrive());
        sources.leave(None);
        assert!(sources.arrive());
        let mut sources = Sources::new(1000, false);
        let counted = (0..).take_while(|_| sources.count(address("127.0.0.1")).is_ok());
        assert_eq!(counted.count(), SOURCE_STRANGERS_MAX as usize);
    }

    #[test]
    fn who_has_gone_leaves_nothing_behind() {
        let mut sources = Sources::new(1000, true);
        for number in 0..500 {
            assert!(sources.arrive());
            let source = sources.count(address(&format!("192.0.2.{}", number % 250))).unwrap();
            sources.logged_in(source);
            sources.leave(source);
        }
        assert!(sources.by_source.is_empty() && sources.connections == 0);
    }
}
