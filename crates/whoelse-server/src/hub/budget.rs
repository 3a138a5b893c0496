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
        for connection in std::mem::take(&mut self.dirty) {
            if let Some(line) = self.lines.get_mut(&connection) {
                line.is_dirty = false;
                self.write(connection);
            }
        }
        if self.output_bytes <= OUTPUT_BYTES_MAX_IN_ALL {
            return;
        }
        let mut lines: Vec<(usize, ConnectionId)> =
            self.lines.iter().map(|(connection, line)| (line.counted, *connection)).collect();
        lines.sort_unstable_by(|one, other| other.cmp(one));
        let mut cut = 0;
        for (_, connection) in lines {
            if self.output_bytes <= OUTPUT_BYTES_MAX_IN_ALL - RELIEF_BYTES {
                break;
            }
            self.lost(connection);
            cut += 1;
        }
        warn!("cut {cut} connections that read too slowly: too much waited for all together");
    }
}
