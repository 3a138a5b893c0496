//! Our end of one link, as iroh has it: nothing is contacted but the relay we are told of and the peer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{
    AfterHandshakeOutcome, Connection, EndpointHooks, IdleTimeout, NetReportConfig,
    PortmapperConfig, QuicTransportConfig, VarInt, presets,
};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMap, RelayMode, SecretKey, TransportAddr};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::{Peer, Relay};
use crate::early::Early;
use crate::relay::{self, Place};
use crate::wire::ALPN;
use whoelse_proto::RelayTicket;

/// Why a connection is closed, as its other end is told.
pub(crate) mod code {
    /// All is said.
    pub(crate) const DONE: u32 = 0;
    /// There is a newer one.
    pub(crate) const REPLACED: u32 = 1;
    /// Not you.
    pub(crate) const REFUSED: u32 = 2;
    /// What was said is not our language.
    pub(crate) const PROTOCOL: u32 = 3;
}

/// Most addresses that are offered or tried.
const ADDRESSES_MAX: usize = 16;

/// How long an end waits for the relay, which also tells our address as others see it, before it offers what it has.
const RELAY_WAIT: Duration = Duration::from_millis(1500);

/// How long an end that is closed has to say so.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// After this long without a sign of life a connection is over.
const IDLE: Duration = Duration::from_secs(15);

/// After this long without a sign of life a way is given up for another.
const PATH_IDLE: Duration = Duration::from_secs(4);

const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Most bytes of one stream that wait to be read.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// Most bytes of a connection that wait to be read.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Most bytes of a connection that wait to be acknowledged by the other side.
const SEND_WINDOW: u64 = 8 * 1024 * 1024;

/// Most streams the other side may have open: the one of words, and those of files.
const STREAMS_MAX: u32 = 32;

/// How an end is made.
pub(crate) struct Plan {
    pub(crate) key: SecretKey,
    pub(crate) ticket: RelayTicket,
    pub(crate) with_relay: bool,
    pub(crate) hide_address: bool,
    pub(crate) loopback: bool,
    pub(crate) place: Place,
    /// Who is let in; nobody is while it is not known.
    pub(crate) admitted: watch::Receiver<Option<EndpointId>>,
}

/// Our end of one link.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    /// Whoever comes before it is known whether somebody is expected.
    pub(crate) early: Arc<Early>,
    loopback: bool,
}

impl Plan {
    /// Opens the sockets. What goes wrong is told as the system says it.
    pub(crate) async fn bind(&self) -> Result<End, String> {
        let mut builder = Endpoint::builder(presets::Minimal)
            .secret_key(self.key.clone())
            .alpns(vec![ALPN.to_vec()])
            .transport_config(transport())
            .relay_mode(self.relay_mode())
            .dns_resolver(relay::resolver(self.place.clone()))
            .ca_tls_config(relay::tls(self.place.clone()))
            .portmapper_config(PortmapperConfig::Disabled)
            .net_report_config(probes())
            .hooks(Door(self.admitted.clone()));
        if self.hide_address {
            builder = builder.clear_ip_transports();
        }
        let endpoint = builder.bind().await.map_err(|error| error.to_string())?;
        let early = Arc::new(Early::at(endpoint.clone()));
        Ok(End { endpoint, early, loopback: self.loopback })
    }

    fn relay_mode(&self) -> RelayMode {
        if !self.with_relay {
            // An end with neither addresses nor a relay reaches nobody, but it is one.
            return match self.hide_address {
                true => RelayMode::Custom(RelayMap::empty()),
                false => RelayMode::Disabled,
            };
        }
        // Without a relay yet there may be one later.
        let known = self.place.borrow().and_then(|relay| relay::config(&relay, &self.ticket));
        RelayMode::Custom(known.map_or_else(RelayMap::empty, RelayMap::from))
    }
}

impl End {
    /// Where this end can be reached, as far as that is known after a moment.
    pub(crate) async fn addresses(&self, with_relay: bool) -> Vec<SocketAddr> {
        if with_relay {
            // Without the relay the addresses of this machine have to do.
            drop(timeout(RELAY_WAIT, self.endpoint.online()).await);
        }
        let mut found: BTreeSet<SocketAddr> = self.endpoint.addr().ip_addrs().copied().collect();
        if self.loopback {
            found.extend(self.endpoint.bound_sockets().into_iter().map(on_this_machine));
        }
        let mut found: Vec<_> =
            found.into_iter().filter(|address| is_usable(address, self.loopback)).collect();
        // Those that many can reach first.
        found.sort_by_key(|address| is_of_a_home(address.ip()));
        found.truncate(ADDRESSES_MAX);
        found
    }

    /// How iroh is told where the other end is.
    pub(crate) fn target(
        &self,
        id: EndpointId,
        peer: &Peer,
        relay: Option<&Relay>,
    ) -> EndpointAddr {
        let usable = peer.addresses.iter().filter(|address| is_usable(address, self.loopback));
        let ways = usable.take(ADDRESSES_MAX).copied().map(TransportAddr::Ip);
        let relay = relay.filter(|_| peer.relay).and_then(relay::url).map(TransportAddr::Relay);
        EndpointAddr::from_parts(id, ways.chain(relay))
    }

    /// Closes all, telling the other end if it can be told within a second.
    pub(crate) async fn close(self) {
        drop(timeout(CLOSE_WAIT, self.endpoint.close()).await);
    }
}

/// Turns everybody away but the one who is expected.
///
/// It knows who somebody is only when hands were shaken; before that nobody does.
#[derive(Debug)]
struct Door(watch::Receiver<Option<EndpointId>>);

impl EndpointHooks for Door {
    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        if *self.0.borrow() == Some(connection.remote_id()) {
            return AfterHandshakeOutcome::accept();
        }
        AfterHandshakeOutcome::Reject {
            error_code: VarInt::from_u32(code::REFUSED),
            reason: b"not expected".to_vec(),
        }
    }
}

fn transport() -> QuicTransportConfig {
    let idle = IdleTimeout::try_from(IDLE).ok();
    QuicTransportConfig::builder()
        .max_idle_timeout(idle)
        .default_path_max_idle_timeout(PATH_IDLE)
        .keep_alive_interval(KEEP_ALIVE)
        .default_path_keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .build()
}

fn probes() -> NetReportConfig {
    let mut probes = NetReportConfig::minimal();
    // Where UDP does not pass, they alone find the relay.
    probes.https_probes = true;
    probes
}

fn on_this_machine(bound: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Whether a link may lead to an address that somebody says to have.
fn is_usable(address: &SocketAddr, loopback: bool) -> bool {
    let ip = address.ip().to_canonical();
    let nobody = match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        // Addresses of one cable mean nothing without the name of the interface.
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local(),
    };
    !nobody && address.port() != 0 && (loopback || !ip.is_loopback())
}

fn is_of_a_home(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_machines_are_used() {
        let cases = [
            ("192.0.2.7:4242", true),
            ("10.1.2.3:1", true),
            ("[2001:db8::1]:4242", true),
            ("192.0.2.7:0", false),
            ("0.0.0.0:4242", false),
            ("[::]:4242", false),
            ("224.0.0.1:4242", false),
            ("255.255.255.255:4242", false),
            ("[ff02::1]:4242", false),
            ("[fe80::1]:4242", false),
        ];
        for (address, usable) in cases {
            assert_eq!(is_usable(&address.parse().unwrap(), false), usable, "{address}");
        }
        for address in ["127.0.0.1:4242", "[::1]:4242", "[::ffff:127.0.0.1]:4242"] {
            assert!(!is_usable(&address.parse().unwrap(), false), "{address}");
            assert!(is_usable(&address.parse().unwrap(), true), "{address}");
        }
    }
}
