//! A device with a key of its own, as a client of ours has one.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use whoelse_proto::keys::resume_text;
use whoelse_proto::{DeviceKey, Fingerprint, Nonce, Signature};

use super::{Peer, Server};

/// A device.
pub struct Device {
    pair: Ed25519KeyPair,
    name: String,
}

impl Device {
    /// Makes a device whose secret key is these 32 bytes.
    ///
    /// # Panics
    /// Never: any 32 bytes are a key.
    #[must_use]
    pub fn new(name: &str, secret: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&secret).expect("any 32 bytes are a key");
        Self { pair, name: name.to_owned() }
    }

    /// Its public key.
    ///
    /// # Panics
    /// Never: such keys have 32 bytes.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        DeviceKey(self.pair.public_key().as_ref().try_into().expect("32 bytes"))
    }

    /// What it adds to a login so that it may resume later.
    #[must_use]
    pub fn members(&self, instance: &str) -> Value {
        json!({
            "protocol": 1,
            "instance": instance,
            "device_key": self.key().to_string(),
            "device_name": self.name,
        })
    }

    /// Its proof.
    ///
    /// # Panics
    /// Never: such signatures have 64 bytes.
    #[must_use]
    pub fn sign(&self, server: &Fingerprint, nonce: &Nonce, name: &str) -> Signature {
        self.sign_text(&resume_text(server, nonce, name))
    }

    /// Its signature of any text.
    ///
    /// # Panics
    /// Never: such signatures have 64 bytes.
    #[must_use]
    pub fn sign_text(&self, text: &[u8]) -> Signature {
        Signature(self.pair.sign(text).as_ref().try_into().expect("64 bytes"))
    }

    /// Asks for a challenge and answers it with a proof for this server; returns what came of it.
    pub fn resume(&self, peer: &mut Peer, server: &Server, name: &str, instance: &str) -> Value {
        let request = self.request(peer, server, name, instance);
        peer.ask(&request)
    }

    /// Asks for a challenge and returns the request that answers it.
    ///
    /// # Panics
    /// If there is no nonce.
    pub fn request(&self, peer: &mut Peer, server: &Server, name: &str, instance: &str) -> Value {
        let nonce = peer.ask(&json!({"action": "challenge"}));
        let nonce = Nonce::parse(nonce["nonce"].as_str().expect("a nonce")).expect("a nonce");
        json!({
            "action": "resume",
            "username": name,
            "protocol": 1,
            "instance": instance,
            "device_key": self.key().to_string(),
            "signature": self.sign(&server.key(), &nonce, name).to_string(),
        })
    }
}
