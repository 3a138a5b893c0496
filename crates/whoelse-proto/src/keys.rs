//! Keys, fingerprints and single-use secrets: fixed numbers of bytes, written as base64url.
//!
//! On the wire, in invites and on screens they look the same: base64 in its URL-safe alphabet
//! without padding (RFC 4648, section 5), so that they survive shells, chats and double clicks.

use std::fmt;
use std::hash::Hasher;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use zeroize::Zeroize;

use crate::request::RequestId;

/// The text is not what was expected: another length, or not base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it needs {characters} characters of A-Z, a-z, 0-9, '-' and '_'")]
pub struct KeyError {
    /// How many characters it would have.
    pub characters: usize,
}

macro_rules! bytes_type {
    ($(#[$doc:meta])* $name:ident, $bytes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Reads the base64url form.
            ///
            /// # Errors
            /// When the text has another length or other characters.
            pub fn parse(text: &str) -> Result<Self, KeyError> {
                decode(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&Base64UrlUnpadded::encode_string(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

bytes_type! {
    /// What people pin and compare of a server: SHA-256 of its public key (the DER of its
    /// `SubjectPublicKeyInfo`, RFC 5280; the same bytes that RFC 7469 pins).
    Fingerprint, 32
}

bytes_type! {
    /// The public Ed25519 key of a device (RFC 8032).
    #[derive(Serialize, Deserialize)]
    DeviceKey, 32
}

bytes_type! {
    /// Random bytes that a server asks a device to sign, once.
    Nonce, 32
}

bytes_type! {
    /// The public Ed25519 key of one end of one private link: made for it and forgotten after it.
    EndpointKey, 32
}

bytes_type! {
    /// Names a file by what is in it: BLAKE3 of its bytes
    /// (<https://github.com/BLAKE3-team/BLAKE3-specs>).
    #[derive(Serialize, Deserialize)]
    FileHash, 32
}

bytes_type! {
    /// An Ed25519 signature of a device (RFC 8032).
    Signature, 64
}

/// As two halves: serde knows no longer arrays.
impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [first, second]: [[u8; 32]; 2] =
            std::array::from_fn(|half| std::array::from_fn(|at| self.0[half * 32 + at]));
        (first, second).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let halves = <[[u8; 32]; 2]>::deserialize(deserializer)?;
        Ok(Self(std::array::from_fn(|at| halves[at / 32][at % 32])))
    }
}

/// What a receipt calls a message: the hash of the id that its sender gave it. The sender knows all
/// its ids and recognises it; it says nothing to anybody else.
///
/// As text it is a number of 32 hexadecimal digits, unlike keys, which people may have to copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptKey([u8; 16]); // as bytes, so that what holds one needs no alignment

impl ReceiptKey {
    /// The key of a message that was sent under an id: SipHash-1-3 with 128 bits of output and a
    /// key of zeros, over the bytes of the id. Servers store it, so it stays as it is.
    #[must_use]
    pub fn of(id: &RequestId) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(id.as_str().as_bytes());
        Self::from_u128(hasher.finish128().as_u128())
    }

    /// The key that is this number.
    #[must_use]
    pub fn from_u128(number: u128) -> Self {
        Self(number.to_le_bytes())
    }

    /// The number that this key is.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        u128::from_le_bytes(self.0)
    }

    /// Reads 32 hexadecimal digits, lower-case; nothing else is a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self::from_u128)
    }
}

impl fmt::Display for ReceiptKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.as_u128())
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceiptKey({self})")
    }
}

/// What an invite is worth: whoever knows it may make one account. Wiped when dropped.
///
/// It has no `Debug` and no `Display`, so that it does not get into logs by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret([u8; Self::BYTES]);

impl InviteSecret {
    /// How many bytes it has: 128 bits cannot be guessed.
    pub const BYTES: usize = 16;

    /// Makes a secret of random bytes.
    #[must_use]
    pub fn new(random: [u8; Self::BYTES]) -> Self {
        Self(random)
    }

    /// Reads the base64url form.
    ///
    /// # Errors
    /// When the text has another length or other characters.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }

    /// Shows the bytes to the code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The base64url form, for the line that is handed to the invited.
    #[must_use]
    pub fn expose_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }
}

impl Drop for InviteSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InviteSecret(..)")
    }
}

/// What lets one end of a private link into the server's relay: random bytes, chosen by the client,
/// good for one endpoint and session. Wiped when dropped.
///
/// It has no `Display`, and its `Debug` shows nothing, so that it does not get into logs by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayTicket([u8; Self::BYTES]);

impl RelayTicket {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// Makes a ticket of random bytes.
    #[must_use]
    pub fn new(random: [u8; Self::BYTES]) -> Self {
        Self(random)
    }

    /// Reads the base64url form.
    ///
    /// # Errors
    /// When the text has another length or other characters.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }

    /// Shows the bytes to the code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The base64url form, for the relay and the request that registers it.
    #[must_use]
    pub fn expose_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }
}

impl Drop for RelayTicket {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for RelayTicket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RelayTicket(..)")
    }
}

/// What a device signs to resume: the server it believes to talk to, the server's nonce, and whose
/// session it wants. Nobody can use the signature with another server, name or connection.
#[must_use]
pub fn resume_text(server: &Fingerprint, nonce: &Nonce, username: &str) -> Vec<u8> {
    let mut text = b"whoelse resume 1\0".to_vec();
    text.extend_from_slice(&server.0);
    text.extend_from_slice(&nonce.0);
    text.extend_from_slice(username.as_bytes());
    text
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    match Base64UrlUnpadded::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == N => Ok(bytes),
        _ => Err(KeyError { characters: (N * 8).div_ceil(6) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_read() {
        let key = DeviceKey(std::array::from_fn(|index| u8::try_from(index).unwrap() * 8));
        assert_eq!(key.to_string().len(), 43);
        assert_eq!(DeviceKey::parse(&key.to_string()), Ok(key));
        let secret = InviteSecret::new([0xff; 16]);
        assert_eq!(secret.expose_text(), "_____________________w");
        assert!(InviteSecret::parse(&secret.expose_text()).is_ok_and(|read| read == secret));
    }

    #[test]
    fn anything_else_is_refused() {
        let right = Fingerprint([7; 32]).to_string();
        for wrong in [
            String::new(),
            right[1..].to_owned(),
            format!("{right}A"),
            format!("{right}="),
            right.replace('B', "+"),
            right.replace('B', " "),
            // The same bytes written in a second way: unused bits set.
            format!("{}d", &right[..42]),
        ] {
            assert_eq!(Fingerprint::parse(&wrong), Err(KeyError { characters: 43 }), "{wrong:?}");
        }
    }

    #[test]
    fn a_signature_is_kept_in_two_halves() {
        let signature = Signature(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let kept = serde_json::to_string(&signature).unwrap();
        assert_eq!(serde_json::from_str::<Signature>(&kept).unwrap(), signature);
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", InviteSecret::new([1; 16])), "InviteSecret(..)");
        assert_eq!(format!("{:?}", RelayTicket::new([1; 32])), "RelayTicket(..)");
    }
}
