//! TLS for a peer that speaks to a socket: a tunnel that believes any certificate.
//!
//! It carries the ends of both halves over: close_notify in, end of the half out, and the reverse.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::DEADLINE;

/// How long the tunnel waits for one side before it looks at the other.
const TURN: Duration = Duration::from_millis(2);

/// Opens a tunnel to a port of this machine; returns the port of its near end, for one connection.
///
/// # Errors
/// When nobody listens, or the handshake fails.
pub(super) fn open(port: u16) -> io::Result<u16> {
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    far.set_nodelay(true)?;
    far.set_read_timeout(Some(DEADLINE))?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(Arc::new(config()), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut far)?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near_port = listener.local_addr()?.port();
    thread::spawn(move || {
        // Its end is seen by both sides.
        listener.accept().and_then(|(near, _)| carry(near, far, tls)).unwrap_or_default();
    });
    Ok(near_port)
}

/// How a client believes any certificate.
///
/// # Panics
/// Never: the versions are those of the provider.
#[must_use]
pub(super) fn config() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider's own versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer(provider)))
        .with_no_client_auth()
}

fn carry(mut near: TcpStream, mut far: TcpStream, mut tls: ClientConnection) -> io::Result<()> {
    near.set_nodelay(true)?;
    near.set_read_timeout(Some(TURN))?;
    far.set_read_timeout(Some(TURN))?;
    let mut bytes = vec![0; 16 * 1024];
    let (mut near_has_ended, mut far_has_ended) = (false, false);
    while !(near_has_ended && far_has_ended) {
        if !near_has_ended {
            match near.read(&mut bytes) {
                Ok(0) => {
                    near_has_ended = true;
                    tls.send_close_notify();
                }
                Ok(read) => tls.writer().write_all(&bytes[..read])?,
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error), // drops both: broken, not ended
            }
        }
        while tls.wants_write() {
            tls.write_tls(&mut far)?;
        }
        if far_has_ended {
            continue;
        }
        match tls.read_tls(&mut far) {
            Ok(0) => {
                far_has_ended = true;
                near.shutdown(Shutdown::Write)?;
            }
            Ok(_) => {
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                if state.plaintext_bytes_to_read() > 0 {
                    let mut plain = vec![0; state.plaintext_bytes_to_read()];
                    tls.reader().read_exact(&mut plain)?;
                    near.write_all(&plain)?;
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Believes every certificate, but not a handshake that is not signed with its key.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
