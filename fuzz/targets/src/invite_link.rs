//! Texts that claim to be invites, places or keys.

use whoelse_proto::{DeviceKey, Fingerprint, InviteLink, InviteSecret, Nonce, Place, Signature};
use whoelse_server::PublicAddress;

/// Tries the bytes as each of them. Whatever is taken is the same once written and read again.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(link) = text.parse::<InviteLink>() {
        assert!(InviteLink::is_meant(text.trim()));
        let written = link.expose();
        assert!(written.is_ascii() && !written.contains(char::is_whitespace), "{written:?}");
        assert_eq!(written.parse(), Ok(link));
    }
    let place = text.parse::<Place>();
    assert_eq!(place.is_ok(), text.parse::<PublicAddress>().is_ok());
    match place {
        Ok(place) => {
            assert!(place.port > 0);
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    macro_rules! keys {
        ($($kind:ident),*) => {
            $(if let Ok(key) = $kind::parse(&text) {
                assert_eq!(key.to_string(), text);
            })*
        };
    }
    keys!(Fingerprint, DeviceKey, Nonce, Signature);
    if let Ok(secret) = InviteSecret::parse(&text) {
        assert_eq!(secret.expose_text(), text);
    }
}
