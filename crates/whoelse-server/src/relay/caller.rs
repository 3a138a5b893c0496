//! One connection to the relay, from its first byte until iroh's relay carries its packets.

use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::http::request::Parts;
use iroh_relay::http::{CLIENT_AUTH_HEADER, ProtocolVersion};
use iroh_relay::protos::handshake;
use iroh_relay::server::client::Config;
use iroh_relay::server::streams::{MaybeTlsStream, RelayedStream};
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId, DynAccessControl};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::StartHandshake;
use tracing::debug;
use whoelse_proto::limits::HANDSHAKE_MS_MAX;
use whoelse_proto::{EndpointKey, RelayTicket};

use super::frames::{Frames, Person};
use super::{Caller, Guest, House, http};

/// Packets that may wait for one reader; the next is dropped, as on any full line.
const PACKETS_WAITING_MAX: usize = 128;

/// Serves one caller until it was let in, or has ended. Whoever is not in by then is let go of.
pub(super) async fn serve(house: Arc<House>, caller: Caller, guest: Guest) {
    let cutter = guest.cutter.clone();
    let time = Duration::from_millis(HANDSHAKE_MS_MAX);
    let outcome = tokio::select! {
        biased;
        () = cutter.wait() => return,
        outcome = timeout(time, Box::pin(let_in(house, caller, guest))) => outcome,
    };
    if let Ok(Err(error)) = outcome {
        debug!(%error, "not let in to the relay");
    }
}

async fn let_in(house: Arc<House>, caller: Caller, guest: Guest) -> io::Result<()> {
    let line = match caller {
        Caller::Plain(stream) => MaybeTlsStream::Plain(TcpStream::from_std(stream)?),
        Caller::Tls { stream, hello, config } => {
            let stream = TcpStream::from_std(stream)?;
            let begun = StartHandshake::from_parts(hello.into_accepted(), stream);
            MaybeTlsStream::Tls(begun.into_stream(config).await?)
        }
    };
    match http::serve(line).await? {
        Some(upgraded) => {
            let http::Upgraded { line, version, parts } = upgraded;
            carry(house, line, version, parts, guest).await
        }
        None => Ok(()), // it has asked something else, and was answered
    }
}

/// Has the caller prove its key and its ticket, and hands it over.
async fn carry(
    house: Arc<House>,
    line: MaybeTlsStream,
    version: ProtocolVersion,
    parts: Parts,
    guest: Guest,
) -> io::Result<()> {
    let (own, person) = (house.admissions.allowance()?, Person::default());
    let mut frames = Frames::new(line, own, Person::clone(&person), &guest.cutter);
    let header = parts.headers.get(CLIENT_AUTH_HEADER).cloned();
    let proven = handshake::serverside(&mut frames, header).await.map_err(io::Error::other)?;
    let request = ClientRequest::new(proven.client_key, version, parts);
    let gate = Gate { house: Arc::clone(&house), guest, person, connection: OnceLock::new() };
    let gate: Arc<dyn DynAccessControl> = Arc::new(gate);
    let held = proven
        .authorize_with(&request, &gate, &mut frames)
        .await
        .map_err(|_| ErrorKind::PermissionDenied)?;
    let stream = RelayedStream::new(frames, house.keys.clone());
    let mut config = Config::new(held, stream, version);
    config.channel_capacity = PACKETS_WAITING_MAX;
    house.clients.register(config, Arc::clone(&house.metrics));
    Ok(())
}

/// Lets one connection in. It is kept for as long as that lasts, and its guest with it.
#[derive(Debug)]
struct Gate {
    house: Arc<House>,
    guest: Guest,
    /// Whose it is, for its frames.
    person: Person,
    /// Once it was let in.
    connection: OnceLock<ConnectionId>,
}

impl AccessControl for Gate {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let endpoint = EndpointKey(*request.endpoint_id().as_bytes());
        let ticket = request.auth_token().and_then(|text| RelayTicket::parse(&text).ok());
        let allowance = ticket.and_then(|ticket| {
            let admissions = &self.house.admissions;
            admissions.enter(endpoint, &ticket, request.connection_id(), &self.guest.cutter)
        });
        let Some(allowance) = allowance else {
            return Access::Deny { reason: Some("not admitted".into()) };
        };
        self.person.get_or_init(|| allowance);
        let connection = self.connection.get_or_init(|| request.connection_id());
        debug_assert_eq!(*connection, request.connection_id(), "a gate is for one connection");
        self.guest.welcome();
        Access::Allow
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get() {
            self.house.admissions.leave(*connection);
        }
    }
}
