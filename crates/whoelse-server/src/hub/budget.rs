//! What waits for readers, of all connections together.

use tracing::warn;
use whoelse_engine::ConnectionId;
use whoelse_proto::limits::OUTPUT_BYTES_MAX_IN_ALL;

use super::Hub;

/// When too much waits, readers are cut until so much less does, so that it is not done for each
/// event anew.
const RELIEF_BYTES: usize = OUTPUT_BYTES_MAX_IN_ALL / 8;

impl Hub {
    /// Counts anew what waits for a connection.
    pub(super) fn recount(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let bytes = line.outbox.bytes();
        self.output_bytes = self.output_bytes - line.counted + bytes;
        line.counted = bytes;
    }

    /// If too much waits for all together, writes what can be written, then cuts those for whom
    /// most waits. They lose nothing that is kept.
    pub(super) fn relieve(&mut self) {
        if self.output_bytes <= OUTPUT_BYTES_MAX_IN_ALL {
            return;
        }
        self.write_everybody();
        if self.output_bytes <= OUTPUT_BYTES_MAX_IN_ALL {
            return;
        }
        let waiting =
            self.lines.iter().map(|(connection, line)| (line.counted, *connection)).collect();
        let slowest = slowest(waiting, self.output_bytes);
        warn!(
            "cut {} connections that read too slowly: too much waited for all together",
            slowest.len()
        );
        for connection in slowest {
            self.lost(connection);
        }
    }
}

/// Those for whom most waits, so many that the rest leaves room for a while.
fn slowest(mut waiting: Vec<(usize, ConnectionId)>, mut bytes: usize) -> Vec<ConnectionId> {
    waiting.sort_unstable_by(|one, other| other.cmp(one));
    let is_needed = |(waits, _): &(usize, ConnectionId)| {
        let is_needed = bytes > OUTPUT_BYTES_MAX_IN_ALL - RELIEF_BYTES;
        bytes = bytes.saturating_sub(*waits);
        is_needed
    };
    waiting.into_iter().take_while(is_needed).map(|(_, connection)| connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_for_whom_most_waits_are_cut_first_and_no_more_than_needed() {
        let part = RELIEF_BYTES / 4;
        let waiting: Vec<_> = [1, 3, 0, 2, 1]
            .iter()
            .zip(1..)
            .map(|(parts, id)| (parts * part, ConnectionId(id)))
            .collect();
        let cut = |parts: usize| {
            let bytes = OUTPUT_BYTES_MAX_IN_ALL - RELIEF_BYTES + parts * part;
            slowest(waiting.clone(), bytes).iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(cut(1), [2]);
        assert_eq!(cut(3), [2]);
        assert_eq!(cut(4), [2, 4]);
        assert_eq!(cut(6), [2, 4, 5]);
        assert_eq!(cut(0), [] as [u64; 0]);
    }
}
