//! Connections on their way in: no request has been heard of them yet.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use tracing::debug;
use whoelse_engine::{ConnectionId, Time};
use whoelse_proto::limits::STRANGERS_MAX;

use super::Hub;
use crate::line::Stage;
use crate::socket::Gone;

/// A connection on its way in. It is a stranger among the others, and may be dropped as they are.
pub(crate) struct Arrival {
    pub(crate) connection: ConnectionId,
    pub(crate) at: Time,
    /// Whom it counts for, once that is known, if for anybody.
    pub(crate) source: Cell<Option<IpAddr>>,
    /// Set off when it is to be let go of.
    pub(crate) gone: Gone,
}

impl Hub {
    /// Takes a new connection, unless there are as many as may be; the oldest stranger makes room if
    /// there are too many of those.
    pub(crate) fn arrive(&mut self) -> Option<Rc<Arrival>> {
        if !self.sources.arrive() {
            return None;
        }
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let at = self.clock.time();
        let arrival =
            Rc::new(Arrival { connection, at, source: Cell::new(None), gone: Gone::default() });
        self.arrivals.insert(connection, Rc::clone(&arrival));
        self.strangers.insert((at, connection));
        if self.strangers.len() > STRANGERS_MAX {
            self.drop_oldest_stranger();
        }
        self.ring(); // the hub has to wake when it has been silent for too long
        Some(arrival)
    }

    /// Of the source with the most strangers, the one that asked longest ago has to go: whoever comes
    /// in numbers pushes out its own. Not one that waits for us.
    fn drop_oldest_stranger(&mut self) {
        let busiest = self.sources.busiest(self.strangers.len());
        let fits = |connection: &ConnectionId| match self.lines.get(connection) {
            Some(line) => line.source == busiest && line.stage != Stage::LoggingIn,
            None => self.arrivals.get(connection).is_some_and(|it| it.source.get() == busiest),
        };
        let mut strangers = self.strangers.iter().map(|(_, connection)| *connection);
        if let Some(oldest) = strangers.find(fits) {
            debug!(connection = oldest.0, "dropped: too many are not logged in");
            self.lost(oldest);
        }
    }

    /// Says where a connection comes from. False if that source has as many as it may, or the
    /// connection was dropped.
    pub(crate) fn comes_from(&mut self, connection: ConnectionId, address: IpAddr) -> bool {
        let Some(arrival) = self.arrivals.get(&connection) else { return false };
        debug!(connection = connection.0, %address, "arrived");
        let counted = self.sources.count(address);
        if let Ok(source) = counted {
            arrival.source.set(source);
        }
        counted.is_ok()
    }

    /// The relay has let a connection in: it counts on, but no longer as a stranger.
    pub(crate) fn relayed(&mut self, arrival: &Arrival) {
        debug!(connection = arrival.connection.0, "uses the relay");
        self.is_no_stranger(arrival.at, arrival.connection, arrival.source.get());
    }

    pub(super) fn forget_arrival(&mut self, connection: ConnectionId) {
        let Some(arrival) = self.arrivals.remove(&connection) else { return };
        self.is_no_stranger(arrival.at, connection, arrival.source.get());
        self.sources.leave(arrival.source.get());
        arrival.gone.set();
    }

    /// A connection counts as a stranger no longer, if it did.
    pub(super) fn is_no_stranger(
        &mut self,
        asked_at: Time,
        connection: ConnectionId,
        source: Option<IpAddr>,
    ) {
        if self.strangers.remove(&(asked_at, connection)) {
            self.sources.logged_in(source);
        }
    }
}
