//! How the relay is found and known: no name is looked up, and no certificate authority is asked.
//!
//! All call it by one name of a domain that does not exist (RFC 2606); a resolver of ours says that it is where our
//! connection to the server goes to, and a verifier of ours that it must have the server's key. Both ask anew each
//! time, because the server may move while links stand.

use std::future::{Future, ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;

use iroh::dns::{BoxIter, DnsError, DnsResolver, Resolver, TxtRecordData};
use iroh::{RelayConfig, RelayUrl};
use iroh_relay::RelayQuicConfig;
use iroh_relay::tls::CaTlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use whoelse_proto::{Fingerprint, RelayTicket};

use crate::api::Relay;

/// What everybody calls the relay.
const HOST: &str = "relay.whoelse.invalid";

/// Where the relay is now, as whoever uses this crate says.
pub(crate) type Place = watch::Receiver<Option<Relay>>;

/// What the relay is called, with its port.
pub(crate) fn url(relay: &Relay) -> Option<RelayUrl> {
    format!("https://{HOST}:{}/", relay.address.port()).parse().ok()
}

/// How iroh is told of the relay.
pub(crate) fn config(relay: &Relay, ticket: &RelayTicket) -> Option<RelayConfig> {
    let quic = Some(RelayQuicConfig::new(relay.address.port()));
    Some(RelayConfig::new(url(relay)?, quic).with_auth_token(ticket.expose_text()))
}

/// Resolves the one name there is.
pub(crate) fn resolver(place: Place) -> DnsResolver {
    DnsResolver::custom(OneName(place))
}

/// Checks the relay's key.
pub(crate) fn tls(place: Place) -> CaTlsConfig {
    CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| {
        Ok(Arc::new(OneKey { place: place.clone(), provider }))
    }))
}

#[derive(Clone, Debug)]
struct OneName(Place);

type Answer<T> = Pin<Box<dyn Future<Output = Result<BoxIter<T>, DnsError>> + Send>>;

impl OneName {
    fn address(&self, host: &str) -> Option<IpAddr> {
        let host = host.strip_suffix('.').unwrap_or(host);
        (host == HOST).then(|| self.0.borrow().map(|relay| relay.address.ip()))?
    }
}

fn answer<T: Send + 'static>(found: Option<T>) -> Answer<T> {
    let found: BoxIter<T> = Box::new(found.into_iter());
    Box::pin(ready(Ok(found)))
}

impl Resolver for OneName {
    fn lookup_ipv4(&self, host: String) -> Answer<Ipv4Addr> {
        answer(match self.address(&host) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        })
    }

    fn lookup_ipv6(&self, host: String) -> Answer<Ipv6Addr> {
        answer(match self.address(&host) {
            Some(IpAddr::V6(address)) => Some(address),
            _ => None,
        })
    }

    fn lookup_txt(&self, _: String) -> Answer<TxtRecordData> {
        answer(None)
    }

    fn clear_cache(&self) {}

    fn reset(&self) -> Box<dyn Resolver> {
        Box::new(self.clone())
    }
}

/// Lets only the server's key pass, whatever its certificate says.
#[derive(Debug)]
struct OneKey {
    place: Place,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = ParsedCertificate::try_from(certificate)?;
        let shown = Fingerprint(Sha256::digest(shown.subject_public_key_info()).into());
        let expected = self.place.borrow().map(|relay| relay.key);
        if expected == Some(shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
