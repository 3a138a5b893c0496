//! What stands in the place of the relay where whoelse was built without.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;

use crate::hub::RelayTable;
use crate::tls::Hello;

/// There is none.
pub(crate) enum Relay {}

/// Nobody is received.
pub(crate) enum Visit {}

impl Relay {
    pub(crate) fn start(_: &Arc<ServerConfig>, _: &[SocketAddr], _: u32) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn table(&self) -> Box<dyn RelayTable> {
        match *self {}
    }

    pub(crate) fn receive_tls(
        &self,
        _: std::net::TcpStream,
        _: Hello,
        _: Arc<ServerConfig>,
    ) -> Visit {
        match *self {}
    }

    pub(crate) fn receive_plain(&self, _: TcpStream) -> io::Result<Visit> {
        match *self {}
    }

    pub(crate) fn become_known_as(&self, _: &Arc<ServerConfig>) {
        match *self {}
    }
}

#[expect(clippy::unused_async, reason = "as where there is one")]
impl Visit {
    pub(crate) async fn welcomed(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) async fn over(&mut self) {
        match *self {}
    }
}
