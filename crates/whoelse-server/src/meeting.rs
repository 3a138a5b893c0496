//! Where people find this server: the address that invites carry, and the key that proves it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use whoelse_proto::event::Meeting;
use whoelse_proto::{Fingerprint, Place};

use crate::config::PublicAddress;
use crate::failure::{Failure, Kind};

/// The server's certificate, made at its first start.
pub(crate) const CERTIFICATE: &str = "tls-cert.pem";

/// Addresses of the documentation (RFC 5737, RFC 3849): whatever leads there leads outside.
const OUTSIDE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// Where invites lead: as the operator says, else as well as can be guessed.
pub(crate) fn meeting(address: Option<&PublicAddress>, port: u16, key: Fingerprint) -> Meeting {
    let (place, is_guessed) = match address {
        Some(address) => (address.place(port), false),
        None => (Place { host: guess(), port }, true),
    };
    Meeting { place: Arc::new(place), is_guessed, key }
}

/// The name or address under which others may reach this machine.
fn guess() -> String {
    if let Some(address) = OUTSIDE.iter().find_map(leading_to) {
        return address.to_string();
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // What cannot stand in a link is of no use.
    if name.parse::<PublicAddress>().is_ok() { name } else { "localhost".into() }
}

/// The address of the interface that leads to another. Nothing is sent.
fn leading_to(outside: &SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match outside {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(outside).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// The fingerprint of the key in a data folder: SHA-256 of its `SubjectPublicKeyInfo`.
///
/// # Errors
/// When no server has made one yet, and when it cannot be read.
pub(crate) fn server_key(folder: &Path) -> Result<Fingerprint, Failure> {
    let path = folder.join(CERTIFICATE);
    let shown = path.display();
    if !path.exists() {
        return Err(Failure::new(
            Kind::Refused,
            format!(
                "the server of {} has no key yet, which an invite must carry",
                folder.display()
            ),
            format!("Start it once: whoelse server --data {}", folder.display()),
        ));
    }
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Configuration,
            format!("cannot read the certificate {shown}: {why}"),
            "Restore it together with tls-key.pem: people know the server by its key.",
        )
    };
    let certificate = CertificateDer::from_pem_file(&path).map_err(|error| damaged(&error))?;
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate)
        .map_err(|error| damaged(&error))?;
    Ok(Fingerprint(Sha256::digest(parsed.subject_public_key_info().as_ref()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_that_of_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let missing = server_key(folder.path()).unwrap_err();
        assert!(missing.hint.contains("Start it once"), "{missing}");

        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(folder.path().join(CERTIFICATE), certificate.pem()).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let expected = Fingerprint(Sha256::digest(spki).into());
        assert_eq!(server_key(folder.path()), Ok(expected));

        std::fs::write(folder.path().join(CERTIFICATE), "nothing").unwrap();
        assert_eq!(server_key(folder.path()).unwrap_err().kind, Kind::Configuration);
    }

    #[test]
    fn what_the_operator_says_is_no_guess() {
        let key = Fingerprint([1; 32]);
        let said = "chat.example.org".parse().unwrap();
        let known = meeting(Some(&said), 7, key);
        assert_eq!(
            (known.place.to_string(), known.is_guessed),
            ("chat.example.org:7".into(), false)
        );
        let guessed = meeting(None, 7, key);
        assert!(guessed.is_guessed && guessed.place.port == 7);
        assert!(guessed.place.to_string().parse::<Place>().is_ok(), "{}", guessed.place);
    }
}
