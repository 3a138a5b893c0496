//! The relay of private links: carries what two devices have encrypted for each other when they cannot
//! reach each other, and tells them their public addresses.
//!
//! It runs beside the hub, on threads of its own, and learns from it alone whom to let in: ends of
//! links whose client has registered a ticket, for as long as its session lasts. A connection comes
//! here from the entrance, counted there for as long as it lives; nothing here listens on TCP.

mod admissions;
mod allowance;
mod caller;
mod discovery;
mod frames;
mod http;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use iroh_relay::KeyCache;
use iroh_relay::server::Metrics;
use iroh_relay::server::clients::Clients;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tracing::warn;
use whoelse_engine::AccountId;
use whoelse_proto::{EndpointKey, RelayTicket};

use crate::hub::RelayTable;
use crate::tls::Hello;
use admissions::Admissions;
use discovery::Discovery;

/// Threads that carry packets.
const THREADS: usize = 2;

/// Keys that were checked lately are kept, so that each packet costs no curve arithmetic.
const KEYS_KEPT: usize = 1024;

/// The relay. It ends when this is dropped, and all it carries with it.
pub(crate) struct Relay {
    runtime: Option<Runtime>,
    house: Arc<House>,
    discovery: Vec<Discovery>,
}

/// What all connections to the relay share.
#[derive(Debug)]
struct House {
    clients: Clients,
    keys: KeyCache,
    metrics: Arc<Metrics>,
    admissions: Admissions,
}

impl Relay {
    /// Starts its threads, and address discovery on UDP of these addresses where that is free.
    pub(crate) fn start(
        config: &Arc<ServerConfig>,
        addresses: &[SocketAddr],
        bytes_per_second: u32,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("relay")
            .enable_all()
            .build()?;
        let mut discovery = Vec::new();
        for address in addresses {
            match Discovery::start(*address, config, runtime.handle()) {
                Ok(started) => discovery.push(started),
                Err(error) => warn!(
                    "UDP of {address} cannot be used ({error}): private links work, but more of \
                     them through this server"
                ),
            }
        }
        let house = Arc::new(House {
            clients: Clients::default(),
            keys: KeyCache::new(KEYS_KEPT),
            metrics: Arc::default(),
            admissions: Admissions::new(bytes_per_second),
        });
        Ok(Self { runtime: Some(runtime), house, discovery })
    }

    /// Where the hub says whom to let in.
    pub(crate) fn table(&self) -> Box<dyn RelayTable> {
        Box::new(Table(Arc::clone(&self.house)))
    }

    /// Receives somebody who has begun a TLS handshake and wants the relay.
    pub(crate) fn receive_tls(
        &self,
        stream: std::net::TcpStream,
        hello: Hello,
        config: Arc<ServerConfig>,
    ) -> Visit {
        self.receive(Caller::Tls { stream, hello: Box::new(hello), config })
    }

    /// Receives somebody who speaks HTTP without TLS, and of whom nothing was read.
    pub(crate) fn receive_plain(&self, stream: TcpStream) -> io::Result<Visit> {
        Ok(self.receive(Caller::Plain(stream.into_std()?)))
    }

    fn receive(&self, caller: Caller) -> Visit {
        let (guest, visit) = visit();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(caller::serve(Arc::clone(&self.house), caller, guest));
        }
        visit
    }

    /// Has address discovery show this certificate from now on; the relay gets it with each caller.
    pub(crate) fn become_known_as(&self, config: &Arc<ServerConfig>) {
        for discovery in &self.discovery {
            if let Err(error) = discovery.become_known_as(config) {
                warn!("address discovery keeps the certificate it had: {error}");
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Somebody who wants the relay.
enum Caller {
    Tls { stream: std::net::TcpStream, hello: Box<Hello>, config: Arc<ServerConfig> },
    Plain(std::net::TcpStream),
}

/// Ends a connection from anywhere.
#[derive(Clone, Debug)]
struct Cutter(Arc<watch::Sender<bool>>);

impl Default for Cutter {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cutter {
    fn cut(&self) {
        self.0.send_replace(true);
    }

    /// Returns when it was cut.
    async fn wait(&self) {
        let mut is_cut = self.0.subscribe();
        // The sender is in `self`: it cannot be gone.
        drop(is_cut.wait_for(|is_cut| *is_cut).await);
    }
}

/// A connection to the relay, kept by whatever serves it.
#[derive(Debug)]
struct Guest {
    told: Mutex<Option<oneshot::Sender<()>>>,
    _lasts: oneshot::Sender<Infallible>,
    cutter: Cutter,
}

impl Guest {
    /// It was let in.
    fn welcome(&self) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(told) = told {
            told.send(()).unwrap_or_default(); // whoever waited for it cuts it
        }
    }
}

/// The same connection, as the entrance sees it. It ends when this is dropped.
pub(crate) struct Visit {
    welcomed: oneshot::Receiver<()>,
    over: oneshot::Receiver<Infallible>,
    cutter: Cutter,
}

impl Visit {
    /// Returns when it was let in, or has ended without.
    pub(crate) async fn welcomed(&mut self) -> io::Result<()> {
        (&mut self.welcomed).await.map_err(|_| ErrorKind::PermissionDenied.into())
    }

    /// Returns when it has ended.
    pub(crate) async fn over(&mut self) {
        let Err(_) = (&mut self.over).await;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.cutter.cut();
    }
}

/// Both sides of a connection that comes to the relay.
fn visit() -> (Guest, Visit) {
    let (told, welcomed) = oneshot::channel();
    let (lasts, over) = oneshot::channel();
    let cutter = Cutter::default();
    let guest = Guest { told: Mutex::new(Some(told)), _lasts: lasts, cutter: cutter.clone() };
    (guest, Visit { welcomed, over, cutter })
}

/// The hub's way to the table.
struct Table(Arc<House>);

impl RelayTable for Table {
    fn admit(&self, account: AccountId, endpoint: EndpointKey, ticket: &RelayTicket) {
        self.0.admissions.admit(account, endpoint, ticket);
    }

    fn expel(&self, account: AccountId, endpoint: EndpointKey) {
        self.0.admissions.expel(account, endpoint);
    }
}
