//! The line that is handed to somebody invited: where the server is, its key, and the secret.

use std::fmt;
use std::str::FromStr;

use crate::keys::{DeviceKey, Fingerprint, InviteSecret};

/// How every link begins.
const SCHEME: &str = "whoelse://";

/// The port of a link that names none.
const PORT: u16 = 12346;

/// The longest name of a machine (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// An invite as people pass it on: `whoelse://HOST:PORT/KEY/SECRET`, and if a person made it, behind
/// it `/DEVICE/SECRET`.
///
/// It holds no character that a shell or a chat program treats in a way of its own. Further
/// parts, behind another `/`, are left to later versions and skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteLink {
    /// Where the server is, for whoever is invited: a name or an address.
    pub place: Place,
    /// The server's key: whoever answers there must have it.
    pub key: Fingerprint,
    /// What the invite is worth.
    pub secret: InviteSecret,
    /// What lets inviter and invited know each other's devices; none in an invite of the operator.
    pub vouch: Option<Vouch>,
}

/// What an invite says of the person who made it. The server never sees it: people pass it on
/// themselves, so that a server that lies about keys is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// The device of the inviter.
    pub device: DeviceKey,
    /// What only the inviter and the invited know.
    pub secret: InviteSecret,
}

/// A machine and a port, written `name:12346`, `192.0.2.1:12346` or `[2001:db8::1]:12346`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name, or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// What is wrong with an invite or a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not begin as links do.
    #[error("an invite begins with '{SCHEME}'")]
    Scheme,
    /// Parts are missing.
    #[error("the invite is not whole: its end is missing; copy the whole line again")]
    Cut,
    /// The machine's name holds what names do not hold.
    #[error("'{0}' is neither the name nor the address of a machine")]
    Host(String),
    /// The port is no port.
    #[error("'{0}' is no port: a number from 1 to 65535")]
    Port(String),
    /// The key is damaged.
    #[error("the server's key in the invite is damaged; copy the whole line again")]
    Key,
    /// What the inviter's client added is damaged.
    #[error("the inviter's key in the invite is damaged; copy the whole line again")]
    Vouch,
    /// The secret is damaged.
    #[error("the secret in the invite is damaged; copy the whole line again")]
    Secret,
}

impl FromStr for Place {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong_host(text))?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or_else(|| wrong_host(text))?),
            };
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong_host(text))?;
            (host, port)
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(is_name) {
            return Err(wrong_host(host));
        }
        let port = match port {
            None => PORT,
            Some(text) => match text.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(LinkError::Port(quoted(text, 16))),
            },
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl InviteLink {
    /// Says whether a text is meant to be an invite, sound or not.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME))
    }

    /// The link as text. It holds the secret: only for whoever is to pass it on.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = format!("{SCHEME}{}/{}/{}", self.place, self.key, self.secret.expose_text());
        if let Some(Vouch { device, secret }) = &self.vouch {
            text.push_str(&format!("/{device}/{}", secret.expose_text()));
        }
        text
    }
}

impl FromStr for InviteLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if !Self::is_meant(text) {
            return Err(LinkError::Scheme);
        }
        let mut parts = text[SCHEME.len()..].split('/');
        let place = parts.next().unwrap_or_default().parse()?;
        let (Some(key), Some(secret)) = (parts.next(), parts.next()) else {
            return Err(LinkError::Cut);
        };
        let key = Fingerprint::parse(key).map_err(|_| LinkError::Key)?;
        let secret = InviteSecret::parse(secret).map_err(|_| LinkError::Secret)?;
        let vouch = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(_), None) => return Err(LinkError::Cut),
            (Some(device), Some(secret)) => Some(Vouch {
                device: DeviceKey::parse(device).map_err(|_| LinkError::Vouch)?,
                secret: InviteSecret::parse(secret).map_err(|_| LinkError::Vouch)?,
            }),
        };
        Ok(Self { place, key, secret, vouch })
    }
}

fn wrong_host(text: &str) -> LinkError {
    LinkError::Host(quoted(text, 64))
}

/// The beginning of a text as it may stand in a sentence on a terminal.
fn quoted(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(place: &str) -> InviteLink {
        InviteLink {
            place: place.parse().unwrap(),
            key: Fingerprint([3; 32]),
            secret: InviteSecret::new([9; 16]),
            vouch: None,
        }
    }

    fn vouched(place: &str) -> InviteLink {
        let (device, secret) = (DeviceKey([4; 32]), InviteSecret::new([5; 16]));
        InviteLink { vouch: Some(Vouch { device, secret }), ..link(place) }
    }

    #[test]
    fn links_survive_being_passed_on() {
        for place in ["chat.example.org:443", "192.0.2.7:12346", "[2001:db8::1]:12346"] {
            let link = link(place);
            let text = link.expose();
            assert!(text.starts_with(&format!("whoelse://{place}/")), "{text}");
            assert_eq!(text.parse(), Ok(link.clone()));
            assert_eq!(format!("  {text}\n").parse(), Ok(link.clone()), "copied with white space");
            let link = vouched(place);
            let text = link.expose();
            assert_eq!(text.parse(), Ok(link.clone()));
            assert_eq!(format!("{text}/later").parse(), Ok(link), "later versions may add parts");
        }
    }

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, host, port) in [
            ("example.org", "example.org", 12346),
            ("example.org:1", "example.org", 1),
            ("::1", "::1", 12346),
            ("[::1]", "::1", 12346),
            ("[::1]:7", "::1", 7),
        ] {
            assert_eq!(text.parse(), Ok(Place { host: host.into(), port }), "{text}");
        }
        for text in
            ["", ":1", "a b", "a:0", "a:70000", "a:", "[::1", "[x]:1", "[::1]7", "a/b", "a\u{1b}"]
        {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_place_is_said_without_steering_the_terminal() {
        for text in ["host:\u{1b}[2J", "ho\u{1b}[2Jst", "[::1]:\u{9b}2J", "host:\u{202e}1"] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.chars().all(|character| (' '..='~').contains(&character)), "{error:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_link_is_said() {
        let whole = link("example.org").expose();
        let (cut, _) = whole.rsplit_once('/').unwrap();
        let vouched = vouched("example.org").expose();
        let (half, _) = vouched.rsplit_once('/').unwrap();
        for (text, error) in [
            (half, LinkError::Cut),
            (&vouched[..vouched.len() - 1], LinkError::Vouch),
            (&vouched.replacen("/B", "/*", 1), LinkError::Vouch),
            ("http://example.org", LinkError::Scheme),
            ("whoelse://example.org", LinkError::Cut),
            (cut, LinkError::Cut),
            (&whole[..whole.len() - 1], LinkError::Secret),
            (&whole.replacen("/A", "/*", 1), LinkError::Key),
        ] {
            assert_eq!(text.parse::<InviteLink>(), Err(error), "{text}");
        }
    }
}
