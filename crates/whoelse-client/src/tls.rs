//! TLS over a socket that does not block, with rustls as it is: no task and no copy in between.
//!
//! The handshake is let through with any certificate, as long as whoever answers proves to hold
//! its key; whether that is the right one is decided afterwards, by [`crate::trust`], before
//! anything of ours is sent. So this file only finds out who answers.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use whoelse_proto::Fingerprint;

/// Most bytes waiting inside of TLS to be written.
const UNWRITTEN_BYTES_MAX: usize = 64 * 1024;

/// Why there is no TLS with who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeError {
    /// It closed the connection.
    Closed,
    /// What it says is not TLS.
    NotTls,
    /// It speaks TLS, but not with us.
    Failed(String),
}

/// Lets every certificate pass whose key signed the handshake.
#[derive(Debug)]
struct ProofOfKey(Arc<CryptoProvider>);

impl ServerCertVerifier for ProofOfKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Decided later, when a person can be asked: see the top of this file.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection that speaks TLS.
pub(crate) struct Tls(Box<ClientConnection>);

/// What the other side has shown of itself.
pub(crate) struct Shown {
    /// The fingerprint of its key.
    pub(crate) key: Fingerprint,
    chain: Vec<CertificateDer<'static>>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Speaks TLS over a connection until it is known who answers.
    pub(crate) async fn begin(
        stream: &TcpStream,
        host: &str,
    ) -> Result<(Self, Shown), HandshakeError> {
        let failed = |error: rustls::Error| HandshakeError::Failed(error.to_string());
        // Certificates know nothing of the dot that ends a whole name.
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).ok();
        let called = match &name {
            Some(name) => name.clone(),
            // What was typed is no name, so its address has to do.
            None => {
                let peer = stream.peer_addr().map_err(|_| HandshakeError::Closed)?;
                ServerName::IpAddress(IpAddr::from(peer.ip()))
            }
        };
        let mut connection =
            ClientConnection::new(Arc::new(config().map_err(failed)?), called).map_err(failed)?;
        connection.set_buffer_limit(Some(UNWRITTEN_BYTES_MAX));
        let mut tls = Self(Box::new(connection));
        tls.shake_hands(stream).await?;
        let chain: Vec<_> = tls.0.peer_certificates().unwrap_or_default().to_vec();
        let key = chain
            .first()
            .and_then(fingerprint)
            .ok_or_else(|| HandshakeError::Failed("the certificate cannot be read".to_owned()))?;
        Ok((tls, Shown { key, chain, name }))
    }

    async fn shake_hands(&mut self, stream: &TcpStream) -> Result<(), HandshakeError> {
        loop {
            while self.0.wants_write() {
                match self.0.write_tls(&mut Socket(stream)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        stream.writable().await.map_err(|_| HandshakeError::Closed)?;
                    }
                    Err(_) => return Err(HandshakeError::Closed),
                }
            }
            if !self.0.is_handshaking() {
                return Ok(());
            }
            match self.0.read_tls(&mut Socket(stream)) {
                Ok(0) => return Err(HandshakeError::Closed),
                Ok(_) => self.0.process_new_packets().map(drop).map_err(|error| {
                    // It is told why, if it still listens.
                    self.0.write_tls(&mut Socket(stream)).map(drop).unwrap_or_default();
                    match error {
                        // The alert is how a server says that it has no TLS; ours said so, once.
                        rustls::Error::InvalidMessage(_)
                        | rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
                            HandshakeError::NotTls
                        }
                        error => HandshakeError::Failed(error.to_string()),
                    }
                })?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    stream.readable().await.map_err(|_| HandshakeError::Closed)?;
                }
                Err(_) => return Err(HandshakeError::Closed),
            }
        }
    }

    /// Whether there is something to write.
    pub(crate) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Reads once, and appends what it means to `unread`. Nothing more comes after `Ok(0)`; that
    /// the other side did not say so first is an error, because anybody can cut a line.
    pub(crate) fn read(&mut self, stream: &TcpStream, unread: &mut Vec<u8>) -> io::Result<usize> {
        let read = self.0.read_tls(&mut Socket(stream))?;
        let state = match self.0.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                self.0.write_tls(&mut Socket(stream)).map(drop).unwrap_or_default();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        };
        let before = unread.len();
        unread.resize(before + state.plaintext_bytes_to_read(), 0);
        self.0.reader().read_exact(&mut unread[before..])?;
        if state.peer_has_closed() {
            return Ok(0);
        }
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
    }

    /// Writes what there is room for, and takes it out of `unwritten`.
    pub(crate) fn write(&mut self, stream: &TcpStream, unwritten: &mut Vec<u8>) -> io::Result<()> {
        loop {
            while self.0.wants_write() {
                self.0.write_tls(&mut Socket(stream))?;
            }
            if unwritten.is_empty() {
                return Ok(());
            }
            let taken = self.0.writer().write(unwritten)?;
            unwritten.drain(..taken);
        }
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&mut self, stream: &TcpStream) {
        self.0.send_close_notify();
        // If it cannot be said, the end of the connection says it.
        self.write(stream, &mut Vec::new()).unwrap_or_default();
    }
}

impl Shown {
    /// Whether the machine's roots vouch that the key belongs to the name that was asked for.
    pub(crate) fn has_valid_chain(&self) -> bool {
        let (Some(name), Some((first, rest))) = (&self.name, self.chain.split_first()) else {
            return false;
        };
        // A machine without roots vouches for nothing.
        let Ok(verifier) = rustls_platform_verifier::Verifier::new(provider()) else {
            return false;
        };
        vouches(&verifier, first, rest, name)
    }
}

fn vouches(
    verifier: &dyn ServerCertVerifier,
    first: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> bool {
    let Ok(since) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
    verifier.verify_server_cert(first, rest, name, &[], UnixTime::since_unix_epoch(since)).is_ok()
}

/// What people pin and compare of a server: see [`Fingerprint`].
fn fingerprint(certificate: &CertificateDer<'_>) -> Option<Fingerprint> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(Fingerprint(Sha256::digest(parsed.subject_public_key_info()).into()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ProofOfKey(provider)))
        .with_no_client_auth();
    // Each connection proves the key anew; a handshake costs a fraction of a millisecond.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A socket as rustls wants it.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
