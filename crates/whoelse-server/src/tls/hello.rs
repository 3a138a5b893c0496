//! The first thing a TLS client says, read before it is decided who answers.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{ServerConfig, ServerConnection};
use whoelse_proto::Fingerprint;

use super::records::Records;
use super::stream::{Followed, Tls};

/// A first message that may have come in part.
#[derive(Default)]
pub(crate) struct Greeting {
    acceptor: Acceptor,
    records: Records,
}

/// A first message that is whole.
pub(crate) struct Hello {
    accepted: Accepted,
    records: Records,
}

impl Greeting {
    /// Reads from the socket once. Whoever makes no sense is told so, if it still listens.
    pub(crate) fn take_in(
        &mut self,
        socket: &mut (impl Read + Write),
    ) -> io::Result<Option<Hello>> {
        let records = &mut self.records;
        if self.acceptor.read_tls(&mut Followed { socket, records })? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.acceptor.accept() {
            Ok(accepted) => Ok(accepted
                .map(|accepted| Hello { accepted, records: std::mem::take(&mut self.records) })),
            Err((error, alert)) => Err(refused(error, alert, socket)),
        }
    }
}

impl Hello {
    /// Whom the client believes to call.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.accepted.client_hello().server_name().map(ToOwned::to_owned)
    }

    /// Goes on with the handshake as ourselves.
    pub(crate) fn answer(
        self,
        config: Arc<ServerConfig>,
        key: Fingerprint,
        socket: &mut impl Write,
    ) -> io::Result<Tls> {
        let Self { accepted, records } = self;
        let connection: ServerConnection = accepted
            .into_connection(config)
            .map_err(|(error, alert)| refused(error, alert, socket))?;
        Ok(Tls::resume(connection, records, key))
    }

    /// The same for somebody else to go on with.
    #[cfg(feature = "relay")]
    pub(crate) fn into_accepted(self) -> Accepted {
        self.accepted
    }
}

fn refused(error: rustls::Error, mut alert: AcceptedAlert, socket: &mut impl Write) -> io::Error {
    alert.write_all(socket).unwrap_or_default();
    io::Error::new(ErrorKind::InvalidData, error)
}
