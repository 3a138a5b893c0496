//! Meeting a server: who answers, what is remembered, and whether to go on.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use whoelse_proto::Fingerprint;

use super::{Connection, Driver, Options};
use crate::connect::{OpenError, Opened, Strictness, open};
use crate::core::Link;
use crate::known::{KnownServers, ServerName, without_brackets};
use crate::notice::{Security, Trouble};
use crate::profile::{Device, Profile};
use crate::tls::Shown;
use crate::trust::{Decision, Distrust, Kind, Known, Offer, Situation};

/// What is known of the one server that this client talks to.
pub(super) struct Meeting {
    host: String,
    port: u16,
    server: ServerName,
    state: Option<PathBuf>,
    expected: Option<Fingerprint>,
    /// That key stands in an invite.
    is_invited: bool,
    /// A person can be asked to compare keys.
    compares: bool,
    /// What this run has learnt, in case it cannot be kept.
    learnt: Option<Known>,
    /// The person is asked whether to trust this key.
    asked: Option<Link>,
}

impl Meeting {
    pub(super) fn new(options: &Options) -> Self {
        let place = &options.config.place;
        Self {
            host: place.host.clone(),
            port: place.port,
            server: ServerName::new(&place.host, place.port),
            state: options.state.clone(),
            expected: options.expected_key,
            is_invited: options.config.invite.is_some(),
            compares: options.compares,
            learnt: None,
            asked: None,
        }
    }

    fn situation(&self, loopback: bool) -> io::Result<Situation> {
        let kept = match &self.state {
            Some(state) => KnownServers::new(state).find(&self.server)?,
            None => None,
        };
        Ok(Situation {
            // A name that leads here by somebody else's word is no word of the person's.
            loopback: loopback && is_this_machine(&self.host),
            known: kept.or(self.learnt),
            expected: self.expected,
            interactive: self.compares,
        })
    }

    fn strictness(&self) -> io::Result<Strictness> {
        let situation = self.situation(true)?;
        Ok(Strictness {
            plain_on_loopback: situation.allows_plain(),
            stranger: situation.known.is_none(),
        })
    }

    /// Remembers the server. Says what is remembered from now on, and whether that failed to be
    /// kept for the next run.
    fn remember(&mut self, kind: Kind, key: Fingerprint) -> (Known, io::Result<()>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let new = Known { kind, key, since_s: now.as_secs() };
        let kept = match &self.state {
            Some(state) => KnownServers::new(state).remember(&self.server, new),
            None => Ok(new),
        };
        let (known, result) = match kept {
            Ok(known) => (known, Ok(())),
            Err(error) => (new, Err(error)),
        };
        self.learnt = Some(known);
        (known, result)
    }

    /// Whether something can be kept from run to run.
    pub(super) fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Whether the server is known here, and people on it.
    pub(super) fn has_profiles(&self) -> bool {
        let Some(state) = &self.state else { return false };
        let is_known = KnownServers::new(state).find(&self.server).is_ok_and(|it| it.is_some());
        is_known && Profile::has_any(state, &self.server)
    }

    /// The profile of a name and its device; a new one, if none was kept.
    pub(super) fn open_profile(&self, name: &str) -> io::Result<Option<(Profile, Device, bool)>> {
        let Some(state) = &self.state else { return Ok(None) };
        let Some(profile) = Profile::open(state, &self.server, name)? else { return Ok(None) };
        if let Some(device) = profile.device()? {
            return Ok(Some((profile, device, true)));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Some((profile, Device::new(seed), false)))
    }
}

impl Driver {
    /// Begins to open a connection.
    pub(super) fn connect(&mut self) {
        let strictness = match self.meeting.strictness() {
            Ok(strictness) => strictness,
            Err(error) => return self.core.handle_distrust(no_memory(&error)),
        };
        let (host, port) = (self.meeting.host.clone(), self.meeting.port);
        self.opening = Some(Box::pin(async move { open(&host, port, strictness).await }));
    }

    /// Decides whether to speak to who answers.
    pub(super) fn meet(&mut self, now_ms: u64, opened: Result<Opened, OpenError>) {
        let opened = match opened {
            Ok(opened) => opened,
            Err(OpenError::Trouble(trouble)) => {
                return self.core.handle_connect_failed(now_ms, trouble);
            }
            // Who is in between today may be gone tomorrow; nothing was sent to it.
            Err(OpenError::NoEncryption) if self.core.was_logged_in() => {
                return self.core.handle_connect_failed(now_ms, Trouble::Foreign);
            }
            Err(OpenError::NoEncryption) => {
                return self.core.handle_distrust(Distrust::NoEncryption);
            }
        };
        let Opened { stream, loopback, tls } = opened;
        let Some((tls, shown)) = tls else {
            self.connection = Some(Connection::new(stream, None));
            let link = Link { security: Security::Plain, key: None, loopback };
            return self.core.handle_connected(now_ms, link);
        };
        let address = stream.peer_addr();
        let connection = Connection::new(stream, Some(tls));
        let judged = self.judge(&shown, loopback);
        if let (Ok(address), Ok(_)) = (address, &judged) {
            self.note_relay(address, shown.key, loopback);
        }
        match judged {
            Err(distrust) => {
                connection.close();
                self.core.handle_distrust(distrust);
            }
            Ok(None) => {
                let security = Security::Trusted;
                let link = Link { security, key: Some(shown.key), loopback };
                self.meeting.asked = Some(link);
                self.connection = Some(connection);
                self.core.handle_stranger(shown.key);
            }
            Ok(Some(security)) => {
                self.connection = Some(connection);
                let link = Link { security, key: Some(shown.key), loopback };
                self.core.handle_connected(now_ms, link);
            }
        }
    }

    /// Whether to trust a server that speaks TLS; `None` means that the person is to be asked.
    fn judge(&mut self, shown: &Shown, loopback: bool) -> Result<Option<Security>, Distrust> {
        let key = shown.key;
        let situation = self.meeting.situation(loopback).map_err(|error| no_memory(&error))?;
        let chain_valid = situation.wants_chain() && shown.has_valid_chain();
        let offer = Offer { key, chain_valid };
        let kind = match situation.decide(&offer) {
            Decision::Stop(distrust) => return Err(distrust),
            Decision::Ask => return Ok(None),
            Decision::Accept { remember: None } => return Ok(Some(Security::Known)),
            Decision::Accept { remember: Some(kind) } => kind,
        };
        let known = self.remember(kind, key);
        // Another client may have met another server there, a moment ago.
        match (Situation { known: Some(known), ..situation }).decide(&offer) {
            Decision::Stop(distrust) => Err(distrust),
            _ if kind == Kind::Certificate => Ok(Some(Security::Known)),
            _ if situation.expected.is_some() => {
                Ok(Some(Security::Verified { by_invite: self.meeting.is_invited }))
            }
            _ => Ok(Some(Security::FirstContact { key })),
        }
    }

    fn remember(&mut self, kind: Kind, key: Fingerprint) -> Known {
        let (known, kept) = self.meeting.remember(kind, key);
        if let Err(error) = kept {
            self.core.handle_not_kept(error.to_string());
        }
        known
    }

    /// The person trusts the server it was asked about.
    pub(super) fn trust(&mut self) {
        let Some((link, key)) = self.meeting.asked.take().and_then(|it| Some((it, it.key?))) else {
            return;
        };
        let known = self.remember(Kind::Pinned, key);
        if known.key != key {
            let Known { key: pinned, since_s, .. } = known;
            return self.core.handle_distrust(Distrust::Changed { pinned, since_s, offered: key });
        }
        if self.connection.is_some() {
            self.core.handle_connected(self.now_ms(), link);
        }
    }
}

fn no_memory(error: &io::Error) -> Distrust {
    Distrust::NoMemory { words: error.to_string() }
}

/// Whether a person who types this means its own machine, whatever the name leads to.
fn is_this_machine(host: &str) -> bool {
    let host = without_brackets(host);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_what_is_typed_as_this_machine_is_meant_so() {
        for host in
            ["localhost", "LocalHost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["vm", "0.0.0.0", "localhost.example", "notlocalhost", "192.0.2.1", "127.1"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
