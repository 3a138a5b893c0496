//! TLS as a client speaks it that trusts anybody and remembers whom it met.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use sha2::{Digest, Sha256};
use whoelse_proto::Fingerprint;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// A line to a server, encrypted or not.
pub(super) enum Wire {
    Plain(TcpStream),
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// A client that has not begun its handshake: it does so when something is said.
    pub(super) fn secured(stream: TcpStream, version: Version) -> Self {
        Self::Secured(Box::new(StreamOwned::new(client(version), stream)))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secured(secured) => &secured.sock,
        }
    }

    /// Says that nothing more will come.
    pub(super) fn end(&mut self) {
        match self {
            // The other side may have broken the line already.
            Self::Plain(stream) => stream.shutdown(std::net::Shutdown::Write).unwrap_or_default(),
            Self::Secured(secured) => {
                secured.conn.send_close_notify();
                secured.flush().unwrap_or_default();
            }
        }
    }

    /// The key of whoever is at the other end.
    pub(super) fn key(&self) -> Option<Fingerprint> {
        let Self::Secured(secured) = self else { return None };
        let certificate = secured.conn.peer_certificates()?.first()?;
        let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
        Some(Fingerprint(Sha256::digest(&spki).into()))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secured(secured) => secured.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secured(secured) => secured.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secured(secured) => secured.flush(),
        }
    }
}

/// A client that takes any certificate.
///
/// # Panics
/// If the library lacks what it had when this was written.
#[must_use]
pub fn client(version: Version) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(client_config(version), name).expect("a configuration of ours")
}

/// The settings of such a client.
///
/// # Panics
/// If the library lacks what it had when this was written.
#[must_use]
pub fn client_config(version: Version) -> Arc<ClientConfig> {
    let provider = Arc::new(default_provider());
    let anybody = Anybody(provider.signature_verification_algorithms);
    let version = match version {
        Version::Tls12 => &TLS12,
        Version::Tls13 => &TLS13,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("both versions are built in")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
