//! A relay that admits by ticket, as our server's does.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server,
    ServerConfig, TlsConfig,
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use whoelse_peer::Relay;
use whoelse_proto::Fingerprint;

use super::Side;

/// Who is admitted: by endpoint key, and what ticket they must show.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<Mutex<HashMap<[u8; 32], String>>>);

impl AccessControl for Gate {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let admitted = self.0.lock().unwrap();
        let ticket = admitted.get(request.endpoint_id().as_bytes());
        if ticket.is_some() && ticket == request.auth_token().as_ref() {
            Access::Allow
        } else {
            Access::Deny { reason: Some("no such ticket".to_owned()) }
        }
    }
}

/// A relay, which can die and come back.
pub(crate) struct TestRelay {
    gate: Gate,
    tls: rustls::ServerConfig,
    pub(crate) place: Relay,
    server: Option<Server>,
}

impl TestRelay {
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let spki = key.subject_public_key_info();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let tls = tls(certificate.der().clone(), key);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let place = Relay { address: port, key: Fingerprint(Sha256::digest(spki).into()) };
        let mut relay = Self { gate: Gate::default(), tls, place, server: None };
        relay.resume().await;
        relay
    }

    /// Comes back, at the same address, with nobody admitted.
    pub(crate) async fn resume(&mut self) {
        self.gate.0.lock().unwrap().clear();
        let mut relay = RelayConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let certificate = CertConfig::Manual { server_config: self.tls.clone() };
        relay.tls = Some(TlsConfig::new(self.place.address, certificate));
        relay.access = Arc::new(self.gate.clone());
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = Some(QuicConfig::new(self.place.address));
        self.server = Some(Server::spawn(config).await.unwrap());
    }

    pub(crate) async fn die(&mut self) {
        self.server.take().unwrap().shutdown().await.unwrap();
    }

    /// Does what the server does when a session registers a ticket.
    pub(crate) fn admit(&self, side: &Side) {
        let ticket = side.ticket.expose_text();
        self.gate.0.lock().unwrap().insert(side.endpoint.0, ticket);
    }
}

fn tls(certificate: CertificateDer<'static>, key: KeyPair) -> rustls::ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}
