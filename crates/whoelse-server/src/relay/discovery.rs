//! Address discovery: a QUIC connection on which a client is told from which address it comes, so
//! that two behind ordinary home routers can reach each other (QAD, as iroh's clients ask for it).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iroh_relay::quic::ALPN_QUIC_ADDR_DISC;
use noq::crypto::rustls::QuicServerConfig;
use noq::{Endpoint, EndpointConfig, Incoming, TokioRuntime, TransportConfig};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Type};
use tokio::runtime::Handle;
use tokio::time::timeout;
use whoelse_proto::limits::HANDSHAKE_MS_MAX;

use crate::network::source;

/// Most connections of all clients; one more is ignored.
const CONNECTIONS_MAX: usize = 2048;

/// Most connections of one source. Each standing link has one, or one of IPv4 and one of IPv6.
const SOURCE_CONNECTIONS_MAX: usize = 64;

/// From so many connections on, clients must show that they are where they seem to be.
const UNVALIDATED_MAX: usize = 64;

/// Handshakes that wait to be begun, and how many bytes of each and of all are kept meanwhile.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: u64 = 16 * 1024;
const WAITING_BYTES_MAX_IN_ALL: u64 = 1024 * 1024;

/// A client that is not heard of for so long is gone, in milliseconds.
const SILENT_MS_MAX: u32 = 30_000;

/// Address discovery on one address. It ends with the runtime.
pub(super) struct Discovery {
    endpoint: Endpoint,
}

impl Discovery {
    pub(super) fn start(
        address: SocketAddr,
        config: &Arc<ServerConfig>,
        runtime: &Handle,
    ) -> io::Result<Self> {
        let config = server_config(config)?;
        let socket = bind(address)?;
        let guard = runtime.enter();
        let (endpoint_config, quic) = (EndpointConfig::default(), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new(endpoint_config, Some(config), socket, quic)?;
        drop(guard);
        runtime.spawn(accept(endpoint.clone()));
        Ok(Self { endpoint })
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    pub(super) fn become_known_as(&self, config: &Arc<ServerConfig>) -> io::Result<()> {
        self.endpoint.set_server_config(Some(server_config(config)?));
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 has a socket of its own
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn server_config(config: &Arc<ServerConfig>) -> io::Result<noq::ServerConfig> {
    let mut tls = ServerConfig::clone(config);
    tls.alpn_protocols = vec![ALPN_QUIC_ADDR_DISC.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(0_u8.into())
        .max_concurrent_bidi_streams(0_u8.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(noq::VarInt::from_u32(SILENT_MS_MAX).into()))
        .send_observed_address_reports(true);
    let mut server = noq::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(WAITING_BYTES_MAX)
        .incoming_buffer_size_total(WAITING_BYTES_MAX_IN_ALL);
    Ok(server)
}

async fn accept(endpoint: Endpoint) {
    let sources = Arc::new(Sources::default());
    while let Some(incoming) = endpoint.accept().await {
        let open = endpoint.open_connections();
        let place = Sources::take(&sources, incoming.remote_address().ip());
        match place {
            Some(place) if open <= CONNECTIONS_MAX => {
                if open > UNVALIDATED_MAX && !incoming.remote_address_validated() {
                    incoming.retry().unwrap_or_default();
                } else {
                    tokio::spawn(serve(incoming, place));
                }
            }
            _ => incoming.ignore(),
        }
    }
}

/// The transport says where the client is; nothing else is spoken.
async fn serve(incoming: Incoming, place: Place) {
    let time = Duration::from_millis(HANDSHAKE_MS_MAX);
    if let Ok(Ok(connection)) = timeout(time, incoming.into_future()).await {
        connection.closed().await;
    }
    drop(place);
}

/// How many connections each source has.
#[derive(Default)]
struct Sources(Mutex<BTreeMap<IpAddr, usize>>);

/// One of them; it is given back when dropped.
struct Place {
    source: IpAddr,
    sources: Arc<Sources>,
}

impl Sources {
    fn take(sources: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = source(address.to_canonical());
        let mut counts = sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= SOURCE_CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { source, sources: Arc::clone(sources) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_at_once() {
        let sources = Arc::new(Sources::default());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut places: Vec<_> =
            (0..SOURCE_CONNECTIONS_MAX).map_while(|_| Sources::take(&sources, one)).collect();
        assert_eq!(places.len(), SOURCE_CONNECTIONS_MAX);
        assert!(Sources::take(&sources, one).is_none());
        assert!(Sources::take(&sources, other).is_some());
        places.pop();
        assert!(Sources::take(&sources, one).is_some(), "one has gone");
        drop(places);
        assert!(sources.0.lock().unwrap().is_empty(), "nothing is kept of those who have gone");
    }
}
