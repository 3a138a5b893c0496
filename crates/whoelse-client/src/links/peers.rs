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

/// A secret proves something for so long after its invite has expired, in seconds: who has joined on the
/// last day may make the first link some days later.
const GRACE_S: u64 = 7 * 24 * 60 * 60;

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
    invites: Vec<Kept>,
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

/// The secret of an invite that was made here, as it stands in the file: followed by a space and the
/// end, if that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Kept {
    secret: InviteSecret,
    /// The invite can be used until then, in seconds since 1970.
    until_s: Option<u64>,
}

impl Kept {
    fn is_over(&self, now_s: u64) -> bool {
        self.until_s.is_some_and(|until_s| until_s.saturating_add(GRACE_S) < now_s)
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        let secret = kept.secret.expose_text();
        match kept.until_s {
            Some(until_s) => format!("{secret} {until_s}"),
            None => secret,
        }
    }
}

impl TryFrom<String> for Kept {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (secret, until_s) = match text.split_once(' ') {
            Some((secret, until_s)) => (secret, Some(until_s)),
            None => (text.as_str(), None),
        };
        let secret = InviteSecret::parse(secret).map_err(|error| error.to_string())?;
        let until_s = until_s.map(str::parse).transpose();
        let until_s = until_s.map_err(|_| "the end of an invite is no number".to_owned())?;
        Ok(Self { secret, until_s })
    }
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

    /// Keeps the secret of an invite that was made here and can be used until then, in seconds since
    /// 1970, if that is known.
    pub fn keep_invite(&mut self, secret: InviteSecret, until_s: Option<u64>, now_s: u64) {
        self.file.invites.retain(|kept| !kept.is_over(now_s));
        if self.file.invites.len() >= INVITES_MAX {
            self.file.invites.remove(0);
        }
        self.file.invites.push(Kept { secret, until_s });
    }

    /// Whether this device has proven to be that of somebody who used an invite made here, which has
    /// not expired. It proves so once; [`Peers::use_invite`] takes the proof for used.
    #[must_use]
    pub fn is_vouched(
        &self,
        proof: &[u8; 32],
        server: &str,
        name: &str,
        key: DeviceKey,
        now_s: u64,
    ) -> bool {
        let at = self.proven(proof, server, name, key);
        at.is_some_and(|at| !self.file.invites[at].is_over(now_s))
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
        let proves = |kept: &Kept| card::is_vouched(proof, &kept.secret, server, name, key);
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
        peers.keep_invite(InviteSecret::new([3; 16]), None, 5);
        peers.keep_invite(InviteSecret::new([6; 16]), Some(9), 5);
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
            (r#"{"version":1,"people":{},"invites":["AwMDAwMDAwMDAwMDAwMDAw x"]}"#, "no number"),
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
            peers.keep_invite(InviteSecret::new([number; 16]), None, 0);
        }
        assert_eq!(peers.pins("luke").len(), PINS_MAX);
        assert_eq!(peers.judge("luke", ONE, "laptop"), Trust::Compared);
        assert_eq!(peers.file.invites.len(), INVITES_MAX);
    }

    #[test]
    fn invites_that_have_expired_make_room() {
        let mut peers = Peers::default();
        for number in 1..=10 {
            peers.keep_invite(InviteSecret::new([number; 16]), Some(100), 0);
        }
        peers.keep_invite(InviteSecret::new([11; 16]), Some(100), 101 + GRACE_S);
        assert_eq!(peers.file.invites.len(), 1);
    }

    #[test]
    fn a_secret_without_an_end_is_read_as_it_was_written_before() {
        let content = r#"{"version":1,"people":{},"invites":["AwMDAwMDAwMDAwMDAwMDAw"]}"#;
        let peers = Peers::read(content.as_bytes()).unwrap();
        assert_eq!(
            peers.file.invites,
            [Kept { secret: InviteSecret::new([3; 16]), until_s: None }]
        );
    }

    #[test]
    fn an_invite_vouches_once() {
        let (mut yoda, mut luke) = (Peers::default(), Peers::default());
        yoda.keep_invite(InviteSecret::new([4; 16]), None, 0);
        luke.join("yoda", &Vouch { device: TWO, secret: InviteSecret::new([4; 16]) }, 0);
        assert_eq!(luke.vouch_for("hans", "s1", "luke", ONE), None);
        let proof = luke.vouch_for("yoda", "s1", "luke", ONE).unwrap();
        assert!(yoda.is_vouched(&proof, "s1", "luke", ONE, 0));
        assert!(!yoda.is_vouched(&proof, "s1", "luke", TWO, 0));
        yoda.use_invite(&proof, "s1", "luke", ONE);
        assert!(!yoda.is_vouched(&proof, "s1", "luke", ONE, 0));
        assert!(luke.vouched("yoda"));
        assert!(!luke.vouched("yoda"));
        assert_eq!(luke.vouch_for("yoda", "s1", "luke", ONE), None);
    }
}
