//! What the operator can choose, after flags, environment and defaults were combined.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use whoelse_proto::Place;
use whoelse_proto::event::Meeting;
use whoelse_proto::invite::LinkError;

use whoelse_proto::limits::CONNECTIONS_MAX;

use crate::network::Network;
use crate::tls::TlsFiles;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The TCP port; 0 lets the system choose one.
    pub port: u16,
    /// How long three wrong passwords in a row lock a name, in seconds.
    pub block_seconds: u32,
    /// A session without a command for so many seconds ends; 0 means never.
    pub idle_seconds: u32,
    /// The folder that holds everything; none means [`default_data_folder`].
    pub data: Option<PathBuf>,
    /// A file of names and passwords to be imported; none means `credentials.txt` in the current
    /// folder, if there is one and the data come from it.
    pub credentials: Option<PathBuf>,
    /// Requests of one person per second; 0 means no ceiling.
    pub rate: u32,
    /// Where people find the server, for invites; none means that it is guessed.
    pub public_address: Option<PublicAddress>,
    /// A service manager keeps what is printed in its log: secrets go to a file instead.
    pub is_logged: bool,
    /// The address to listen on; none means all there are.
    pub bind: Option<IpAddr>,
    /// Certificate and key; none means that the server makes its own.
    pub tls: Option<TlsFiles>,
    /// Whether plain text is answered from everywhere, not from this machine alone.
    pub plain_text: bool,
    /// Connections from here begin with a header of the PROXY protocol, version 2, and nobody has
    /// privileges for being on this machine.
    pub behind_proxy: Option<Network>,
    /// Most connections at once, if the system allows as many.
    pub connections: usize,
    /// Whether private links are relayed, if this build can.
    pub relay: bool,
    /// What one person may send over relayed links, all together, in bytes per second.
    pub relay_rate: u32,
    /// With fewer free bytes on the disk nothing new is taken; 0 means it is not looked at.
    pub min_free_bytes: u64,
}

/// Where people find a server: a name or an address, and a port if it is not the server's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAddress {
    host: String,
    port: Option<u16>,
}

impl PublicAddress {
    /// The place it means for a server on this port.
    pub(crate) fn place(&self, port: u16) -> Place {
        Place { host: self.host.clone(), port: self.port.unwrap_or(port) }
    }

    /// A meeting with the same server, in this place.
    pub(crate) fn instead_of(&self, meeting: &Meeting) -> Meeting {
        let place = self.place(meeting.place.port).into();
        Meeting { place, is_guessed: false, key: meeting.key }
    }
}

impl FromStr for PublicAddress {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let place: Place = text.parse()?;
        let has_port = match text.rsplit_once(']') {
            Some((_, behind)) => !behind.is_empty(),
            None => text.contains(':') && text.parse::<Ipv6Addr>().is_err(),
        };
        Ok(Self { host: place.host, port: has_port.then_some(place.port) })
    }
}

impl Config {
    /// The defaults.
    pub const PORT: u16 = 12346;
    /// The default of [`Config::block_seconds`].
    pub const BLOCK_SECONDS: u32 = 60;
    /// The default of [`Config::idle_seconds`].
    pub const IDLE_SECONDS: u32 = 0;

    /// The default of [`Config::connections`].
    pub const CONNECTIONS: usize = CONNECTIONS_MAX;
    /// The default of [`Config::min_free_bytes`]: 256 MiB.
    pub const MIN_FREE_BYTES: u64 = 256 << 20;

    /// The default of [`Config::relay_rate`]: 4 MiB per second.
    pub const RELAY_RATE: u32 = 4 << 20;
    /// The least [`Config::relay_rate`]: below, links would be made and be of no use.
    pub const RELAY_RATE_MIN: u32 = 16 << 10;

    /// The longest [`Config::block_seconds`] and [`Config::idle_seconds`]: 90 days.
    pub const SECONDS_MAX: u32 = 90 * 24 * 3600;
}

/// Where a server keeps its data unless told otherwise: the XDG data folder of the user.
#[must_use]
pub fn default_data_folder() -> PathBuf {
    use etcetera::BaseStrategy;
    etcetera::choose_base_strategy()
        .map_or_else(|_| PathBuf::from("whoelse-data"), |base| base.data_dir().join("whoelse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_has_a_port_only_if_it_says_so() {
        for (text, place) in [
            ("chat.example.org", "chat.example.org:7"),
            ("chat.example.org:443", "chat.example.org:443"),
            ("192.0.2.7", "192.0.2.7:7"),
            ("2001:db8::1", "[2001:db8::1]:7"),
            ("[2001:db8::1]", "[2001:db8::1]:7"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            let address: PublicAddress = text.parse().unwrap();
            assert_eq!(address.place(7).to_string(), place, "{text}");
        }
        assert!("two words".parse::<PublicAddress>().is_err());
    }
}
