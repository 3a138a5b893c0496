//! What the operator can choose, after flags, environment and defaults were combined.

use std::net::IpAddr;
use std::path::PathBuf;

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
    /// With fewer free bytes on the disk nothing new is taken; 0 means it is not looked at.
    pub min_free_bytes: u64,
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
