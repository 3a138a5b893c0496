//! What is remembered of other people's devices, in `peers.json` of the profile.
//!
//! Losing it would make every changed key look like a first contact. So one that cannot be read is no
//! empty one: there are no private links until somebody has looked at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use whoelse_proto::keys::KeyError;
use whoelse_proto::{DeviceKey, InviteSecret, Vouch};

use super::card;
use super::trust::{Pin, Trust, judge};

/// The version of the file that this client writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Most devices remembered of one person; then the one that was met first, and not compared, goes.
const PINS_MAX: usize = 32;

/// Most invites whose secrets are kept; then the oldest goes.
const INVITES_MAX: usize = 64;

/// What is remembered of other people's devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    file: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    version: u32,
    /// Devices, by the name of whose they are.
    people: BTreeMap<String, Vec<Pin>>,
    /// Secrets in invites that were made here, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    invites: Vec<Secret>,
    /// Who made the invite that was used here, and what proves to them that it was used here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invited: Option<Invited>,
}

impl Default for Content {
    fn default() -> Self {
        Self { version: VERSION, people: BTreeMap::new(), invites: Vec::new(), invited: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Invited {
    by: String,
    secret: Secret,
}

/// A secret as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Secret(InviteSecret);

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0.expose_text()
    }
}

impl TryFrom<String> for Secret {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        InviteSecret::parse(&text).map(Self)
    }
}

impl Peers {
    /// Reads the content of the file.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(content: &[u8]) -> Result<Self, String> {
        let file: Content = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if file.version > VERSION {
            return Err(format!("it is of a later version ({}) than this program", file.version));
        }
        Ok(Self { file })
    }

    /// The content of the file.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        let mut content =
            serde_json::to_vec_pretty(&self.file).expect("text and numbers can be written as JSON");
        content.push(b'\n');
        content
    }

    /// The devices of a person.
    #[must_use]
    pub fn pins(&self, user: &str) -> &[Pin] {
        self.file.people.get(user).map_or(&[], Vec::as_slice)
    }

    /// What is known of a device that the server says belongs to a person.
    #[must_use]
    pub fn judge(&self, user: &str, key: DeviceKey, device: &str) -> Trust {
        judge(self.pins(user), key, device)
    }

    /// Remembers a device that has proven its key, and that it was compared, if it was.
    pub fn pin(&mut self, user: &str, key: DeviceKey, device: &str, compared: bool, now_s: u64) {
        let pins = self.file.people.entry(user.to_owned()).or_default();
        if let Some(pin) = pins.iter_mut().find(|pin| pin.key == key) {
            pin.compared |= compared;
            return;
        }
        if pins.len() >= PINS_MAX {
            pins.remove(pins.iter().position(|pin| !pin.compared).unwrap_or(0));
        }
        pins.push(Pin { key, device: device.to_owned(), since_s: now_s, compared });
    }

    /// Takes a changed key for good, as one that was not compared. What was known of the device of
    /// that name is forgotten.
    pub fn accept(&mut self, user: &str, key: DeviceKey, device: &str, now_s: u64) {
        if let Some(pins) = self.file.people.get_mut(user) {
            pins.retain(|pin| pin.device != device);
        }
        self.pin(user, key, device, false, now_s);
    }

    /// Keeps the secret of an invite that was made here.
    pub fn keep_invite(&mut self, secret: InviteSecret) {
        if self.file.invites.len() >= INVITES_MAX {
            self.file.invites.remove(0);
        }
        self.file.invites.push(Secret(secret));
    }

    /// Whether this device has proven to be that of somebody who used an invite made here. It proves
    /// so once; [`Peers::use_invite`] takes the proof for used.
    #[must_use]
    pub fn is_vouched(&self, proof: &[u8; 32], server: &str, name: &str, key: DeviceKey) -> bool {
        self.proven(proof, server, name, key).is_some()
    }

    /// The invite with which that was proven is used up.
    pub fn use_invite(&mut self, proof: &[u8; 32], server: &str, name: &str, key: DeviceKey) {
        if let Some(at) = self.proven(proof, server, name, key) {
            self.file.invites.remove(at);
        }
    }

    /// Somebody has joined with an invite: whoever made it is known, and compared.
    pub fn join(&mut self, by: &str, vouch: &Vouch, now_s: u64) {
        self.pin(by, vouch.device, "", true, now_s);
        self.file.invited =
            Some(Invited { by: by.to_owned(), secret: Secret(vouch.secret.clone()) });
    }

    /// What proves to a person that its invite was used here, if it was and that is not done yet.
    #[must_use]
    pub fn vouch_for(
        &self,
        user: &str,
        server: &str,
        name: &str,
        key: DeviceKey,
    ) -> Option<[u8; 32]> {
        let invited = self.file.invited.as_ref().filter(|invited| invited.by == user)?;
        Some(card::vouch(&invited.secret.0, server, name, key))
    }

    /// That person has had the proof. Says whether it was still to be had.
    pub fn vouched(&mut self, user: &str) -> bool {
        self.file.invited.take_if(|invited| invited.by == user).is_some()
    }

    fn proven(&self, proof: &[u8; 32], server: &str, name: &str, key: DeviceKey) -> Option<usize> {
        let proves = |secret: &Secret| card::is_vouched(proof, &secret.0, server, name, key);
        self.file.invites.iter().position(proves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DeviceKey = DeviceKey([1; 32]);
    const TWO: DeviceKey = DeviceKey([2; 32]);

    #[test]
    fn what_is_remembered_survives_being_written_and_read() {
        let mut peers = Peers::default();
        assert_eq!(Peers::read(&peers.written()), Ok(peers.clone()));
        peers.pin("luke", ONE, "laptop", false, 5);
        peers.keep_invite(InviteSecret::new([3; 16]));
        peers.join("yoda", &Vouch { device: TWO, secret: InviteSecret::new([4; 16]) }, 6);
        assert_eq!(Peers::read(&peers.written()), Ok(peers.clone()));
        assert_eq!(peers.pins("luke").len(), 1);
        assert_eq!(peers.judge("yoda", TWO, "laptop"), Trust::Compared);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        for (content, words) in [
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"version":1,"people":{"luke":[{"key":"x"}]}}"#, "43 characters"),
            (r#"{"version":9,"people":{}}"#, "later version"),
            (r#"{"version":1,"people":{},"invites":["short"]}"#, "22 characters"),
        ] {
            let error = Peers::read(content.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{content}: {error}");
        }
    }

    #[test]
    fn a_changed_key_that_is_accepted_is_not_compared() {
        let mut peers = Peers::default();
        peers.pin("luke", ONE, "laptop", true, 0);
        assert_eq!(peers.judge("luke", TWO, "laptop"), Trust::Changed);
        peers.accept("luke", TWO, "laptop", 1);
        assert_eq!(peers.judge("luke", TWO, "laptop"), Trust::NotCompared);
        // The old one is a stranger's from now on.
        assert_eq!(peers.judge("luke", ONE, "laptop"), Trust::Changed);
    }

    #[test]
    fn another_device_that_is_accepted_takes_nothing_from_the_compared_one() {
        let mut peers = Peers::default();
        peers.pin("luke", ONE, "laptop", true, 0);
        peers.accept("luke", TWO, "phone", 1);
        assert_eq!(peers.judge("luke", ONE, "laptop"), Trust::Compared);
        assert_eq!(peers.judge("luke", TWO, "phone"), Trust::NotCompared);
    }

    #[test]
    fn comparing_is_never_undone_by_meeting_again() {
        let mut peers = Peers::default();
        peers.pin("luke", ONE, "laptop", false, 0);
        peers.pin("luke", ONE, "laptop", true, 1);
        peers.pin("luke", ONE, "laptop", false, 2);
        assert_eq!(
            peers.pins("luke"),
            [Pin { key: ONE, device: "laptop".into(), since_s: 0, compared: true }]
        );
    }

    #[test]
    fn devices_and_invites_are_bounded_and_what_was_compared_stays() {
        let mut peers = Peers::default();
        peers.pin("luke", ONE, "laptop", true, 0);
        for number in 10..=250 {
            peers.pin("luke", DeviceKey([number; 32]), &format!("d{number}"), false, 0);
            peers.keep_invite(InviteSecret::new([number; 16]));
        }
        assert_eq!(peers.pins("luke").len(), PINS_MAX);
        assert_eq!(peers.judge("luke", ONE, "laptop"), Trust::Compared);
        assert_eq!(peers.file.invites.len(), INVITES_MAX);
    }

    #[test]
    fn an_invite_vouches_once() {
        let (mut yoda, mut luke) = (Peers::default(), Peers::default());
        yoda.keep_invite(InviteSecret::new([4; 16]));
        luke.join("yoda", &Vouch { device: TWO, secret: InviteSecret::new([4; 16]) }, 0);
        assert_eq!(luke.vouch_for("hans", "s1", "luke", ONE), None);
        let proof = luke.vouch_for("yoda", "s1", "luke", ONE).unwrap();
        assert!(yoda.is_vouched(&proof, "s1", "luke", ONE));
        assert!(!yoda.is_vouched(&proof, "s1", "luke", TWO));
        yoda.use_invite(&proof, "s1", "luke", ONE);
        assert!(!yoda.is_vouched(&proof, "s1", "luke", ONE));
        assert!(luke.vouched("yoda"));
        assert!(!luke.vouched("yoda"));
        assert_eq!(luke.vouch_for("yoda", "s1", "luke", ONE), None);
    }
}
