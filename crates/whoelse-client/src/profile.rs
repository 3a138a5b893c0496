//! A person on a server, as this machine knows it: a folder with the key of the device.
//!
//! The folder is locked as long as a client uses it. Whoever finds it locked goes on without a
//! device: two clients at once are two devices, and this is one.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use whoelse_proto::keys::resume_text;
use whoelse_proto::{DeviceKey, Fingerprint, Nonce, Signature};
use zeroize::Zeroizing;

use crate::folder;
use crate::known::ServerName;
use crate::links::Peers;

/// The file that holds the key, in the folder of the profile.
const KEY_FILE: &str = "device.key";

/// The file that holds the keys of other people's devices.
const PEERS_FILE: &str = "peers.json";

/// The file that holds whether others may have what was fetched here: `yes` or `no`.
const SEED_FILE: &str = "seed";

/// How many bytes make a key.
const SEED_BYTES: usize = 32;

/// A key that proves that this device was here before.
///
/// It has no `Debug`: what it is made of is nobody else's business.
pub struct Device {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

impl Device {
    /// The device that is made of these random bytes.
    #[must_use]
    pub fn new(seed: [u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .expect("32 bytes are what a seed must have, whichever they are");
        Self { pair, seed: Zeroizing::new(seed) }
    }

    /// What others know it by.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        let key = self.pair.public_key().as_ref();
        DeviceKey(key.try_into().expect("every such key has 32 bytes"))
    }

    /// Its proof, for one server, one connection and one name.
    #[must_use]
    pub fn sign(&self, server: &Fingerprint, nonce: &Nonce, username: &str) -> Signature {
        let signature = self.pair.sign(&resume_text(server, nonce, username));
        Signature(signature.as_ref().try_into().expect("every such signature has 64 bytes"))
    }

    /// Its signature under a text, which says itself what it is for.
    pub(crate) fn sign_bytes(&self, text: &[u8]) -> Signature {
        let signature = self.pair.sign(text);
        Signature(signature.as_ref().try_into().expect("every such signature has 64 bytes"))
    }

    /// Sixteen bytes that only this device can make of this purpose and text.
    pub(crate) fn derive(&self, purpose: &str, text: &str) -> [u8; 16] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.seed);
        let tag = hmac::sign(&key, [purpose, text].join("\0").as_bytes());
        std::array::from_fn(|at| tag.as_ref()[at])
    }
}

/// The folder of a profile, locked while this lives.
pub(crate) struct Profile {
    folder: PathBuf,
    _lock: File,
}

impl Profile {
    /// Whether somebody has a profile on a server.
    pub(crate) fn has_any(state: &Path, server: &ServerName) -> bool {
        let folder = state.join("profiles").join(server.file_name());
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Opens the profile of a name on a server; none if another client uses it.
    pub(crate) fn open(state: &Path, server: &ServerName, name: &str) -> io::Result<Option<Self>> {
        let profiles = state.join("profiles");
        let folder = profiles.join(server.file_name()).join(folder::file_name(name));
        folder::make(&folder)?;
        folder::close_to_others(&folder)?;
        let lock = folder::open_lock(&folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { folder, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Where everything of this profile is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The device that was kept here, if there is one.
    pub(crate) fn device(&self) -> io::Result<Option<Device>> {
        let bytes = match std::fs::read(self.key_file()) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A damaged key is as good as none: the password makes a new one.
        Ok(<[u8; SEED_BYTES]>::try_from(bytes.as_slice()).ok().map(Device::new))
    }

    /// Keeps a device.
    pub(crate) fn keep(&self, device: &Device) -> io::Result<()> {
        folder::replace(&self.key_file(), &*device.seed)
    }

    /// Forgets the device.
    pub(crate) fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(self.key_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What is remembered of other people's devices. A file that cannot be read is an error, and not
    /// nothing.
    pub(crate) fn peers(&self) -> Result<Peers, String> {
        match std::fs::read(self.folder.join(PEERS_FILE)) {
            Ok(content) => Peers::read(&content),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Peers::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Keeps what is remembered of other people's devices.
    pub(crate) fn keep_peers(&self, peers: &Peers) -> io::Result<()> {
        folder::replace(&self.folder.join(PEERS_FILE), &peers.written())
    }

    /// Whether others may have what was fetched here, if the person has decided that.
    pub(crate) fn seed(&self) -> Option<bool> {
        // What cannot be read was not decided.
        let content = std::fs::read_to_string(self.folder.join(SEED_FILE)).ok()?;
        match content.trim() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        }
    }

    /// Keeps what the person has decided about that.
    pub(crate) fn keep_seed(&self, yes: bool) -> io::Result<()> {
        let content: &[u8] = if yes { b"yes\n" } else { b"no\n" };
        folder::replace(&self.folder.join(SEED_FILE), content)
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join(KEY_FILE)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_device_is_kept_for_one_name_on_one_server_and_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let open = |host: &str, name: &str| {
            Profile::open(state.path(), &ServerName::new(host, 1), name).unwrap()
        };
        let profile = open("a", "hans").unwrap();
        assert!(profile.device().unwrap().is_none());
        let device = Device::new([7; 32]);
        profile.keep(&device).unwrap();
        assert_eq!(profile.device().unwrap().unwrap().key(), device.key());
        let mode = profile.key_file().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (host, name) in [("a", "Hans"), ("b", "hans"), ("a", "../hans"), ("a", ".."), ("a", "")]
        {
            assert!(open(host, name).unwrap().device().unwrap().is_none(), "{host} {name}");
        }
        profile.forget().unwrap();
        profile.forget().unwrap();
        assert!(profile.device().unwrap().is_none());
    }

    #[test]
    fn what_is_known_of_others_is_kept_and_a_damaged_file_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        let profile = Profile::open(state.path(), &ServerName::new("a", 1), "hans");
        let profile = profile.unwrap().unwrap();
        assert_eq!(profile.peers(), Ok(Peers::default()));
        let mut peers = Peers::default();
        peers.pin("luke", DeviceKey([1; 32]), "laptop", true, 5);
        profile.keep_peers(&peers).unwrap();
        assert_eq!(profile.peers(), Ok(peers));
        let file = profile.folder.join(PEERS_FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(file, "{").unwrap();
        assert!(profile.peers().is_err());
    }

    #[test]
    fn what_was_decided_about_others_is_kept_and_nonsense_decides_nothing() {
        let state = tempfile::tempdir().unwrap();
        let profile = Profile::open(state.path(), &ServerName::new("a", 1), "hans");
        let profile = profile.unwrap().unwrap();
        assert_eq!(profile.seed(), None);
        for yes in [true, false] {
            profile.keep_seed(yes).unwrap();
            assert_eq!(profile.seed(), Some(yes));
        }
        std::fs::write(profile.folder.join(SEED_FILE), "maybe").unwrap();
        assert_eq!(profile.seed(), None);
    }

    #[test]
    fn what_a_device_derives_depends_on_purpose_and_text() {
        let device = Device::new([7; 32]);
        let derived = device.derive("a", "b");
        assert_eq!(derived, Device::new([7; 32]).derive("a", "b"));
        for other in [device.derive("a", "c"), device.derive("b", "b"), device.derive("a\0b", "")] {
            assert_ne!(derived, other);
        }
    }

    #[test]
    fn only_one_client_at_a_time_is_the_device() {
        let state = tempfile::tempdir().unwrap();
        let open = || Profile::open(state.path(), &ServerName::new("a", 1), "hans").unwrap();
        let first = open().unwrap();
        assert!(open().is_none());
        drop(first);
        assert!(open().is_some());
    }

    #[test]
    fn a_damaged_key_is_none() {
        let state = tempfile::tempdir().unwrap();
        let profile = Profile::open(state.path(), &ServerName::new("a", 1), "hans");
        let profile = profile.unwrap().unwrap();
        std::fs::write(profile.key_file(), b"short").unwrap();
        assert!(profile.device().unwrap().is_none());
    }

    #[test]
    fn a_proof_is_for_one_server_one_nonce_and_one_name() {
        let device = Device::new([7; 32]);
        let (server, nonce) = (Fingerprint([1; 32]), Nonce([2; 32]));
        let proof = device.sign(&server, &nonce, "hans");
        let key = UnparsedPublicKey::new(&ED25519, device.key().0);
        assert!(key.verify(&resume_text(&server, &nonce, "hans"), &proof.0).is_ok());
        assert!(key.verify(&resume_text(&server, &nonce, "hansi"), &proof.0).is_err());
        let other = resume_text(&Fingerprint([3; 32]), &nonce, "hans");
        assert!(key.verify(&other, &proof.0).is_err());
    }
}
