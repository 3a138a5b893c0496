//! What is due for connections. Whatever is due for one that is gone goes with it: a flood of short
//! connections leaves nothing behind.

use std::collections::BTreeSet;

use whoelse_engine::{ConnectionId, Number, Time};

use crate::line::Line;

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next object for an original client.
    Pace,
    /// A frame that has begun should have ended.
    Midway,
    /// Mail up to this number was written so long ago that it counts as arrived.
    Vouch(Number),
    /// A connection that was told to end has not.
    Linger,
}

/// What is due, for all connections in one order.
#[derive(Default)]
pub(super) struct Timers(BTreeSet<(Time, ConnectionId, Timer)>);

impl Timers {
    /// Something is to be looked at, at this time.
    pub(super) fn set(
        &mut self,
        line: &mut Line,
        connection: ConnectionId,
        at: Time,
        timer: Timer,
    ) {
        if self.0.insert((at, connection, timer)) {
            line.timed.push((at, timer));
        }
    }

    /// When the first of all is due.
    pub(super) fn first(&self) -> Option<Time> {
        self.0.first().map(|(at, _, _)| *at)
    }

    /// The first that is due by now.
    pub(super) fn take_due(&mut self, now: Time) -> Option<(Time, ConnectionId, Timer)> {
        let (at, connection, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some((at, connection, timer))
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, line: &Line, connection: ConnectionId) {
        for (at, timer) in &line.timed {
            self.0.remove(&(*at, connection, *timer));
        }
    }
}
