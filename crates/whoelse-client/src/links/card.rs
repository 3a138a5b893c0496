//! A card: how one end of a link is reached, signed by the device whose link it is.
//!
//! The server passes cards on and cannot change or use them elsewhere: the signature names the
//! server, the link, who it is from and to, and which of the two asked.

use std::net::SocketAddr;

use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use whoelse_proto::limits::CARD_BYTES_MAX;
use whoelse_proto::{DeviceKey, EndpointKey, Fingerprint, InviteSecret, LinkName, Signature};

use super::PeerPlace;
use crate::profile::Device;

/// The version of cards that this client writes and reads.
const VERSION: u32 = 1;

/// Most addresses in a card.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Begins what is signed, so that no other signature of a device ever is one of these.
const CARD: &str = "whoelse-card-1";

/// Begins what proves that somebody has used an invite.
const VOUCH: &str = "whoelse-vouch-1";

/// Whose card it is, and what for. Both ends know all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'c> {
    /// The id of the server's data, as its login answer says it.
    pub(crate) server: &'c str,
    pub(crate) link: &'c LinkName,
    pub(crate) from: &'c str,
    pub(crate) to: &'c str,
    /// The one it is from has asked for the link.
    pub(crate) from_caller: bool,
}

/// Why a card is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CardError {
    /// It is no card of this version.
    Malformed,
    /// It is not of the device that was named.
    OtherDevice,
    /// The signature is wrong.
    Signature,
}

/// The card on the wire.
#[derive(Serialize, Deserialize)]
struct Card {
    v: u32,
    endpoint: String,
    addresses: Vec<SocketAddr>,
    relay: bool,
    device: String,
    signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouch: Option<String>,
}

/// Writes the card of this device. Addresses beyond [`ADDRESSES_MAX`] are left out.
pub(crate) fn make(
    context: Context<'_>,
    device: &Device,
    place: &PeerPlace,
    vouch: Option<[u8; 32]>,
) -> String {
    let mut addresses = place.addresses.clone();
    addresses.truncate(ADDRESSES_MAX);
    let text = signed_text(context, &place.endpoint, &addresses, place.relay);
    let card = Card {
        v: VERSION,
        endpoint: place.endpoint.to_string(),
        addresses,
        relay: place.relay,
        device: device.key().to_string(),
        signature: device.sign_bytes(&text).to_string(),
        vouch: vouch.map(|proof| Fingerprint(proof).to_string()),
    };
    serde_json::to_string(&card).expect("text and numbers can be written as JSON")
}

/// Reads a card that must be of this device, and says how it is reached and what else it proves.
///
/// # Errors
/// Says why it is worth nothing.
pub(crate) fn read(
    context: Context<'_>,
    device: DeviceKey,
    card: &str,
) -> Result<(PeerPlace, Option<[u8; 32]>), CardError> {
    if card.len() > CARD_BYTES_MAX {
        return Err(CardError::Malformed);
    }
    let card: Card = serde_json::from_str(card).map_err(|_| CardError::Malformed)?;
    if card.v != VERSION || card.addresses.len() > ADDRESSES_MAX {
        return Err(CardError::Malformed);
    }
    let parse = |text: &str| EndpointKey::parse(text).map_err(|_| CardError::Malformed);
    let endpoint = parse(&card.endpoint)?;
    if DeviceKey::parse(&card.device) != Ok(device) {
        return Err(CardError::OtherDevice);
    }
    let signature = Signature::parse(&card.signature).map_err(|_| CardError::Malformed)?;
    let text = signed_text(context, &endpoint, &card.addresses, card.relay);
    let key = UnparsedPublicKey::new(&ED25519, device.0);
    key.verify(&text, &signature.0).map_err(|_| CardError::Signature)?;
    let vouch = card.vouch.and_then(|vouch| Fingerprint::parse(&vouch).ok()).map(|proof| proof.0);
    Ok((PeerPlace { endpoint, addresses: card.addresses, relay: card.relay }, vouch))
}

/// Proves to the inviter that a device belongs to whoever used the invite with this secret.
pub(crate) fn vouch(
    secret: &InviteSecret,
    server: &str,
    name: &str,
    device: DeviceKey,
) -> [u8; 32] {
    let tag = hmac::sign(&vouch_key(secret), &vouch_text(server, name, device));
    tag.as_ref().try_into().expect("every such tag has 32 bytes")
}

/// Whether that proof was made with this secret.
pub(crate) fn is_vouched(
    proof: &[u8; 32],
    secret: &InviteSecret,
    server: &str,
    name: &str,
    device: DeviceKey,
) -> bool {
    hmac::verify(&vouch_key(secret), &vouch_text(server, name, device), proof).is_ok()
}

fn vouch_key(secret: &InviteSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose())
}

fn vouch_text(server: &str, name: &str, device: DeviceKey) -> Vec<u8> {
    [VOUCH, server, name, &device.to_string()].join("\0").into_bytes()
}

/// What the device signs. No part holds a NUL: names and ids have no control characters.
fn signed_text(
    context: Context<'_>,
    endpoint: &EndpointKey,
    addresses: &[SocketAddr],
    relay: bool,
) -> Vec<u8> {
    let Context { server, link, from, to, from_caller } = context;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let parts = [
        CARD,
        server,
        link.as_str(),
        from,
        to,
        if from_caller { "caller" } else { "callee" },
        &endpoint.to_string(),
        &addresses.join(","),
        if relay { "relay" } else { "" },
    ];
    parts.join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> PeerPlace {
        PeerPlace {
            endpoint: EndpointKey([4; 32]),
            addresses: ["192.0.2.7:4242", "[2001:db8::1]:4242"]
                .map(|it| it.parse().unwrap())
                .into(),
            relay: true,
        }
    }

    fn context(link: &LinkName) -> Context<'_> {
        Context { server: "s1", link, from: "hans", to: "luke", from_caller: true }
    }

    #[test]
    fn a_card_says_how_its_device_is_reached() {
        let (device, link) = (Device::new([7; 32]), LinkName::new("l1").unwrap());
        let card = make(context(&link), &device, &place(), None);
        assert_eq!(read(context(&link), device.key(), &card), Ok((place(), None)));
        let card = make(context(&link), &device, &place(), Some([8; 32]));
        assert_eq!(read(context(&link), device.key(), &card), Ok((place(), Some([8; 32]))));
        assert!(card.len() < CARD_BYTES_MAX);
    }

    #[test]
    fn the_fullest_card_fits() {
        let (device, link) = (Device::new([7; 32]), LinkName::new(&"l".repeat(64)).unwrap());
        let address = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().unwrap();
        let place = PeerPlace { addresses: vec![address; 20], ..place() };
        let card = make(context(&link), &device, &place, Some([8; 32]));
        assert!(card.len() <= CARD_BYTES_MAX, "{}", card.len());
        let (read, _) = read(context(&link), device.key(), &card).unwrap();
        assert_eq!(read.addresses.len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_card_is_good_for_one_link_between_two_people_on_one_server() {
        let (device, link) = (Device::new([7; 32]), LinkName::new("l1").unwrap());
        let other = LinkName::new("l2").unwrap();
        let card = make(context(&link), &device, &place(), None);
        let right = context(&link);
        for (what, wrong) in [
            ("server", Context { server: "s2", ..right }),
            ("link", Context { link: &other, ..right }),
            ("from", Context { from: "yoda", ..right }),
            ("to", Context { to: "yoda", ..right }),
            ("role", Context { from_caller: false, ..right }),
        ] {
            assert_eq!(read(wrong, device.key(), &card), Err(CardError::Signature), "{what}");
        }
    }

    #[test]
    fn what_was_changed_on_the_way_is_worth_nothing() {
        let (device, link) = (Device::new([7; 32]), LinkName::new("l1").unwrap());
        let card = make(context(&link), &device, &place(), None);
        let key = device.key();
        let endpoint = EndpointKey([5; 32]).to_string();
        let other = Device::new([9; 32]).key();
        for (changed, error) in [
            (card.replace("192.0.2.7", "192.0.2.8"), CardError::Signature),
            (card.replace("true", "false"), CardError::Signature),
            (card.replace(&place().endpoint.to_string(), &endpoint), CardError::Signature),
            (card.replace(&key.to_string(), &other.to_string()), CardError::OtherDevice),
            (card.replace("\"v\":1", "\"v\":2"), CardError::Malformed),
            (card.replace("192.0.2.7:4242", "chat.example:4242"), CardError::Malformed),
            (card.clone() + &" ".repeat(CARD_BYTES_MAX), CardError::Malformed),
            (String::new(), CardError::Malformed),
            ("[]".into(), CardError::Malformed),
        ] {
            assert_eq!(read(context(&link), key, &changed), Err(error), "{changed}");
        }
        // Made by another device, in the name of the right one.
        let forged = make(context(&link), &Device::new([9; 32]), &place(), None)
            .replace(&other.to_string(), &key.to_string());
        assert_eq!(read(context(&link), key, &forged), Err(CardError::Signature));
    }

    #[test]
    fn only_who_knows_the_secret_of_an_invite_vouches() {
        let (secret, key) = (InviteSecret::new([1; 16]), DeviceKey([2; 32]));
        let proof = vouch(&secret, "s1", "luke", key);
        assert!(is_vouched(&proof, &secret, "s1", "luke", key));
        assert!(!is_vouched(&proof, &InviteSecret::new([3; 16]), "s1", "luke", key));
        assert!(!is_vouched(&proof, &secret, "s2", "luke", key));
        assert!(!is_vouched(&proof, &secret, "s1", "lukas", key));
        assert!(!is_vouched(&proof, &secret, "s1", "luke", DeviceKey([3; 32])));
    }
}
