//! Who the server is to those who call it: its key and certificate, made at the first start or
//! given by the operator, and the TLS settings that follow.

mod expiry;
mod hello;
mod own;
mod records;
mod stream;
#[cfg(test)]
pub(crate) mod testing;

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, version};
use sha2::{Digest, Sha256};
use tracing::warn;
use whoelse_proto::Fingerprint;

use crate::failure::{Failure, Kind};

pub(crate) use hello::{Greeting, Hello};
pub(crate) use own::{names, own_files};
pub(crate) use stream::Tls;

/// The longest file of certificates or of a key that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate that ends so soon is warned about or, if it is our own, renewed, in seconds.
const SOON_SECONDS: i64 = 30 * 24 * 3600;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// What a server shows to those who connect.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) key: Fingerprint,
}

impl Identity {
    /// Reads certificate and key, and checks that they can be used together.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, Failure> {
        let provider = Arc::new(default_provider());
        let (certified, expiry) = certified(files, &provider)?;
        warn_of(files, expiry);
        let spki =
            certified.key.public_key().ok_or_else(|| unusable(&files.key, "no known kind"))?;
        let key = Fingerprint(Sha256::digest(&spki).into());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| unusable(&files.key, error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(Self { config: Arc::new(plain_sessions(config)), key })
    }
}

/// Every connection makes keys of its own: nothing is kept that could open an older one.
fn plain_sessions(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config
}

fn certified(
    files: &TlsFiles,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Option<Timestamp>), Failure> {
    let chain = CertificateDer::pem_reader_iter(open(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&files.certificate, error))?;
    let Some(first) = chain.first() else {
        return Err(unusable(&files.certificate, "there is no certificate in it"));
    };
    let expiry = expiry::expiry(first);
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)?)
        .map_err(|error| unusable(&files.key, error))?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Failure::new(
            Kind::Configuration,
            format!(
                "the key in {} does not belong to the certificate in {}",
                files.key.display(),
                files.certificate.display()
            ),
            "Name the two files that were made together; the server's own certificate comes first.",
        ),
        rustls::Error::InvalidCertificate(_) => unusable(&files.certificate, error),
        _ => unusable(&files.key, error),
    })?;
    Ok((certified, expiry))
}

fn open(path: &Path) -> Result<impl std::io::BufRead, Failure> {
    let file = File::open(path).map_err(|error| unusable(path, error))?;
    Ok(BufReader::new(file.take(FILE_BYTES_MAX)))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        Kind::Configuration,
        format!("cannot use {} for TLS: {why}", path.display()),
        "Certificate and key are files in PEM: they begin with -----BEGIN.",
    )
}

fn warn_of(files: &TlsFiles, expiry: Option<Timestamp>) {
    let mode = std::fs::metadata(&files.key).map_or(0, |data| data.permissions().mode());
    if mode & 0o077 != 0 {
        warn!("other users of this machine can read the private key {}", files.key.display());
    }
    let now = Timestamp::now().as_second();
    let left = expiry.map(|expiry| expiry.as_second() - now);
    match left {
        Some(..0) => warn!("the certificate {} has expired", files.certificate.display()),
        Some(left) if left < SOON_SECONDS => {
            let days = left / (24 * 3600);
            warn!("the certificate {} expires in {days} days", files.certificate.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// A certificate for this key, in PEM.
    fn certificate(key: &KeyPair) -> String {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.self_signed(key).unwrap().pem()
    }

    fn load(certificate: &str, key: &str) -> Result<Identity, String> {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        Identity::load(&files).map_err(|failure| failure.what)
    }

    #[test]
    fn a_certificate_and_its_key_are_taken_in_any_company() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let chain = format!("a note\n{}{}", certificate(&key), certificate(&other));
        let identity = load(&chain, &key.serialize_pem()).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(identity.key.0, <[u8; 32]>::from(Sha256::digest(spki)));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (pem, private) = (certificate(&key), key.serialize_pem());
        let garbage = pem.replace("MII", "AAA");
        for (certificate, key, says) in [
            ("", private.as_str(), "there is no certificate in it"),
            (private.as_str(), &private, "there is no certificate in it"),
            (&garbage, &private, "cert.pem"),
            (&pem, "", "key.pem"),
            (&pem, &pem, "key.pem"),
            (&pem, &other.serialize_pem(), "does not belong to the certificate"),
        ] {
            let what = load(certificate, key).err().unwrap();
            assert!(what.contains(says), "{what}");
        }
    }
}
