//! TLS over a socket that does not block, so that the hub can write to it as to any other.

use std::io::{self, ErrorKind, Read, Write};

use rustls::{ProtocolVersion, ServerConnection};
use whoelse_proto::Fingerprint;

use super::records::Records;

/// Most plain text that is under way at once: what one record holds.
const RECORD_BYTES: usize = 16 * 1024;

/// Most records written over one connection of TLS 1.2, whose keys cannot be changed. Beyond twice
/// as many rustls would drop what it is given; whoever is cut here comes back with new keys.
const RECORDS_MAX: u64 = 1 << 23;

/// One end of a TLS connection; its socket comes with each call.
pub(crate) struct Tls {
    connection: ServerConnection,
    records: Records,
    /// Plain text that was decrypted and not read yet.
    plain: usize,
    /// Plain text that was encrypted and has not left whole.
    under_way: usize,
    written: u64,
    /// The other side has ended its half, in order.
    has_ended: bool,
    /// We have ended ours.
    is_closed: bool,
    key: Fingerprint,
}

impl Tls {
    /// Begins a handshake as the one who was called.
    #[cfg(test)]
    pub(crate) fn new(
        config: std::sync::Arc<rustls::ServerConfig>,
        key: Fingerprint,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::resume(ServerConnection::new(config)?, Records::default(), key))
    }

    /// Goes on with a handshake of which the first message was read.
    pub(super) fn resume(connection: ServerConnection, records: Records, key: Fingerprint) -> Self {
        Self {
            connection,
            records,
            plain: 0,
            under_way: 0,
            written: 0,
            has_ended: false,
            is_closed: false,
            key,
        }
    }

    /// The key that the other side was shown.
    pub(crate) fn key(&self) -> Fingerprint {
        self.key
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether something is encrypted that has not left.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether [`Self::read`] has something to say without the socket.
    pub(crate) fn is_ready(&self) -> bool {
        self.plain > 0 || self.has_ended
    }

    /// Whether a record has come in part.
    pub(crate) fn is_in_record(&self) -> bool {
        self.records.is_midway()
    }

    /// Whether nothing of what came waits to be read, and no record has come in part.
    pub(crate) fn is_silent(&self) -> bool {
        !self.is_ready() && !self.records.is_midway()
    }

    /// Reads plain text. 0 is the end, in order; the end without a word is an error.
    ///
    /// Reads from the socket at most once, however little that brings: then it was
    /// [`ErrorKind::Interrupted`], and the others have their turn.
    pub(crate) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if !self.is_ready() {
            self.take_in(socket)?;
        }
        if self.plain > 0 {
            let read = self.connection.reader().read(buffer)?;
            self.plain -= read;
            return Ok(read);
        }
        if self.has_ended { Ok(0) } else { Err(ErrorKind::Interrupted.into()) }
    }

    /// Reads from the socket once and decrypts what is whole.
    pub(crate) fn take_in(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        let records = &mut self.records;
        if self.connection.read_tls(&mut Followed { socket, records })? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.plain = state.plaintext_bytes_to_read();
                self.has_ended = state.peer_has_closed();
            }
            Err(error) => {
                // It is told why, if it still listens.
                self.flush(socket).unwrap_or_default();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        match self.flush(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()), // the rest leaves with whatever is written next
        }
    }

    /// Writes plain text. Returns how much has left whole: its last encrypted byte was taken by
    /// the system.
    ///
    /// After [`ErrorKind::WouldBlock`] the same bytes must come again, as many or more: some of them
    /// may be under way.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        if self.under_way == 0 {
            self.flush(socket)?;
            if self.written >= RECORDS_MAX
                && self.connection.protocol_version() != Some(ProtocolVersion::TLSv1_3)
            {
                return Err(io::Error::other("too many records for one key"));
            }
            let record = &bytes[..bytes.len().min(RECORD_BYTES)];
            self.under_way = self.connection.writer().write(record)?;
            self.written += 1;
        }
        debug_assert!(self.under_way <= bytes.len(), "what is under way was taken back");
        self.flush(socket)?;
        Ok(std::mem::take(&mut self.under_way))
    }

    /// Says that nothing more will come. To be called again after [`ErrorKind::WouldBlock`].
    pub(crate) fn close(&mut self, socket: &mut impl Write) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.connection.send_close_notify();
        }
        self.flush(socket)
    }

    /// Writes what is encrypted until nothing is left of it.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// A socket whose records are followed.
pub(super) struct Followed<'a, S> {
    pub(super) socket: &'a mut S,
    pub(super) records: &'a mut Records,
}

impl<S: Read> Read for Followed<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        self.records.feed(&buffer[..read]);
        Ok(read)
    }
}
