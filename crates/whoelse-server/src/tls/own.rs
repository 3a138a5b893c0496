//! The key and the certificate that a server makes for itself.
//!
//! The key stays as long as the data do, because people pin it. The certificate around it is made
//! again when it would end soon or lacks a name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tracing::info;

use super::{SOON_SECONDS, TlsFiles, expiry::expiry};
use crate::failure::{Failure, Kind};

/// How long a certificate is valid, in years: it proves nothing but that it belongs to the key.
const YEARS: i16 = 20;

/// When all certificates begin: clocks of small machines are wrong at their first start.
const FIRST_YEAR: i16 = 2024;

/// Sees to it that the data folder holds a key and a certificate for these names.
pub(crate) fn own_files(folder: &Path, names: &[String]) -> Result<TlsFiles, Failure> {
    let files =
        TlsFiles { certificate: folder.join("tls-cert.pem"), key: folder.join("tls-key.pem") };
    let key = match fs::read_to_string(&files.key) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| damaged(&files.key, &error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
                .map_err(|error| damaged(&files.key, &error))?;
            write(folder, "tls-key.pem", &key.serialize_pem())?;
            key
        }
        Err(error) => return Err(unwritten(&files.key, &error)),
    };
    if !is_good(&files.certificate, names, &key) {
        let certificate =
            certificate(&key, names).map_err(|error| damaged(&files.certificate, &error))?;
        write(folder, "tls-cert.pem", &certificate)?;
        info!("made a certificate for {}", names.join(", "));
    }
    Ok(files)
}

/// Whether a certificate can be used on: it is of this key, has all names and does not end soon.
fn is_good(path: &Path, names: &[String], key: &KeyPair) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_file(path) else { return false };
    let Ok(parsed) = ParsedCertificate::try_from(&certificate) else { return false };
    let spki = rcgen::PublicKeyData::subject_public_key_info(key);
    let soon = Timestamp::now().as_second() + SOON_SECONDS;
    expiry(&certificate).is_some_and(|expiry| expiry.as_second() > soon)
        && parsed.subject_public_key_info().as_ref() == spki
        && names.iter().all(|name| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        })
}

fn certificate(key: &KeyPair, names: &[String]) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let year = Timestamp::now().to_zoned(TimeZone::UTC).year().max(FIRST_YEAR);
    params.not_before = date_time_ymd(FIRST_YEAR.into(), 1, 1);
    params.not_after = date_time_ymd((year + YEARS).into(), 1, 1);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "whoelse");
    Ok(params.self_signed(key)?.pem())
}

/// Writes a file for the owner's eyes, whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let temporary = folder.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        // What an earlier start left unfinished may have other permissions.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(name))?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| unwritten(&folder.join(name), &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Kind::Storage,
        format!("cannot read or write {}: {error}", path.display()),
        "Check the data folder and its permissions.",
    )
}

fn damaged(path: &Path, error: &rcgen::Error) -> Failure {
    Failure::new(
        Kind::Storage,
        format!("cannot use {}: {error}", path.display()),
        "Bring the file back from a backup. Without it the server gets a new key, and everybody \
         who knows it is warned: to do that, remove the file.",
    )
}

/// The names by which the machine is known to itself, and those that are given.
pub(crate) fn names(given: impl IntoIterator<Item = String>) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), host];
    names.extend(given);
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok());
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn read(files: &TlsFiles) -> (String, String) {
        let read = |path| fs::read_to_string(path).unwrap();
        (read(&files.key), read(&files.certificate))
    }

    #[test]
    fn the_key_stays_and_the_certificate_as_long_as_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let at = |names: &[&str]| own_files(folder.path(), &named(names)).unwrap();
        let files = at(&["localhost", "127.0.0.1", "::1"]);
        for path in [&files.key, &files.certificate] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let first = read(&files);
        let second = read(&at(&["localhost", "::1"]));
        assert_eq!(first, second, "nothing to do");
        let third = read(&at(&["localhost", "chat.example"]));
        assert!(first.0 == third.0 && first.1 != third.1, "a name is new");
        // One that ends soon.
        let key = KeyPair::from_pem(&first.0).unwrap();
        let mut params = CertificateParams::new(named(&["localhost"])).unwrap();
        params.not_after = date_time_ymd(2024, 6, 1);
        let old = params.self_signed(&key).unwrap().pem();
        fs::write(&files.certificate, &old).unwrap();
        let fourth = read(&at(&["localhost"]));
        assert!(first.0 == fourth.0 && fourth.1 != old, "it had ended");
        // One of another key, or none at all.
        for bad in [
            certificate(&KeyPair::generate().unwrap(), &named(&["localhost"])).unwrap(),
            String::new(),
        ] {
            fs::write(&files.certificate, &bad).unwrap();
            assert!(read(&at(&["localhost"])).1 != bad);
        }
        let identity = super::super::Identity::load(&files).unwrap();
        assert_eq!(identity.config.send_tls13_tickets, 0);
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls-key.pem"), "gone").unwrap();
        let failure = own_files(folder.path(), &named(&["localhost"])).err().unwrap();
        assert!(failure.to_string().contains("from a backup"), "{failure}");
        assert_eq!(fs::read_to_string(folder.path().join("tls-key.pem")).unwrap(), "gone");
    }

    #[test]
    fn names_that_cannot_be_in_a_certificate_are_left_out() {
        let names = names(["chat.example".to_owned(), "no name".to_owned(), String::new()]);
        assert!(names.contains(&"chat.example".to_owned()) && names.contains(&"::1".to_owned()));
        assert!(!names.iter().any(|name| name.contains(' ')));
    }
}
