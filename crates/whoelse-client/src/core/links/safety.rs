//! Whether a device is whose the server says: the number to compare, and what people decide.

use whoelse_proto::{DeviceKey, InviteSecret};

use crate::command::SafetyStep;
use crate::core::Core;
use crate::links::notice::{LinkWhy, NoLinks, SafetyNumber};
use crate::links::trust::{contradicted, safety_number};
use crate::links::{Pin, Safety, Trust};
use crate::notice::{Answer, Why};

/// The keys that there are to compare with a person. What a person confirms or accepts is what was
/// shown: between the two the server can bring in another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// Of the device that a link stands with; else of all that are known.
    keys: Vec<DeviceKey>,
    /// That was refused.
    refused: Option<DeviceKey>,
}

impl Core {
    /// What is known of a device of a person.
    pub(super) fn judge(&self, user: &str, key: DeviceKey, device: &str) -> Trust {
        match &self.links.peers {
            Ok(peers) => peers.judge(user, key, device),
            // There are no links without what is known.
            Err(_) => Trust::Changed,
        }
    }

    /// The device that speaks against a changed key: its name, since when it is known, and whether it
    /// was compared.
    pub(super) fn contradicted(&self, user: &str, device: &str) -> Option<(String, u64, bool)> {
        let pin = contradicted(self.links.peers.as_ref().ok()?.pins(user), device)?;
        Some((pin.device.clone(), pin.since_s, pin.compared))
    }

    pub(super) fn safety(
        &mut self,
        now_ms: u64,
        user: &str,
        step: SafetyStep,
    ) -> Result<Option<Answer>, Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        if let Err(words) = &self.links.peers {
            return Err(Why::Link(LinkWhy::NoLinks(NoLinks::PeersDamaged(words.clone()))));
        }
        match step {
            SafetyStep::Show => self.show_safety(user),
            SafetyStep::Confirm => self.confirm_safety(now_ms, user),
            SafetyStep::Accept => self.accept_key(now_ms, user),
        }
    }

    fn show_safety(&mut self, user: &str) -> Result<Option<Answer>, Why> {
        let mine = self.device().ok_or(Why::Link(LinkWhy::NoLinks(NoLinks::NoDevice)))?.key();
        let me = self.name().unwrap_or_default();
        let number = |key, device: &str, pin: Option<&Pin>| SafetyNumber {
            device: device.to_owned(),
            groups: safety_number((me, mine), (user, key)),
            compared: pin.is_some_and(|pin| pin.compared),
            since_s: pin.map(|pin| pin.since_s),
        };
        let meant = self.meant(user);
        let pins = self.pins(user).iter().filter(|pin| meant.keys.contains(&pin.key));
        let numbers: Vec<_> = pins.map(|pin| number(pin.key, &pin.device, Some(pin))).collect();
        let refused = self.links.refused.get(user);
        let refused = refused.map(|(key, device)| Box::new(number(*key, device, None)));
        if numbers.is_empty() && refused.is_none() {
            return Err(Why::Link(LinkWhy::NotMet));
        }
        self.links.shown.insert(user.to_owned(), meant);
        Ok(Some(Answer::Safety(Safety { numbers, refused })))
    }

    fn meant(&self, user: &str) -> Meant {
        let linked = self.linked_device(user);
        // With whom one talks is the one meant.
        let meant = self.pins(user).iter().map(|pin| pin.key);
        let keys = meant.filter(|key| linked.is_none_or(|linked| linked == *key)).collect();
        Meant { keys, refused: self.links.refused.get(user).map(|(key, _)| *key) }
    }

    /// Whether what there is to compare now is what the person has seen.
    fn was_shown(&self, user: &str) -> Result<(), Why> {
        match self.links.shown.get(user) {
            None => Err(Why::Link(LinkWhy::LookFirst)),
            Some(shown) if *shown != self.meant(user) => Err(Why::Link(LinkWhy::LookAgain)),
            Some(_) => Ok(()),
        }
    }

    fn confirm_safety(&mut self, now_ms: u64, user: &str) -> Result<Option<Answer>, Why> {
        let meant = self.meant(user);
        let key = match (meant.keys.as_slice(), meant.refused) {
            // Whichever number was compared, it was shown beside another.
            (_, Some(_)) => return Err(Why::Link(LinkWhy::KeyRefused)),
            ([], None) => return Err(Why::Link(LinkWhy::NotMet)),
            ([key], None) => *key,
            _ => return Err(Why::Link(LinkWhy::SeveralDevices)),
        };
        self.was_shown(user)?;
        let pin = self.pins(user).iter().find(|pin| pin.key == key);
        let device = pin.map(|pin| pin.device.clone()).unwrap_or_default();
        let now_s = self.links.now_s(now_ms);
        if let Ok(peers) = &mut self.links.peers {
            peers.pin(user, key, &device, true, now_s);
        }
        for link in self.links.all.iter_mut().filter(|link| link.user == user) {
            if link.device.as_ref().is_some_and(|(other, _)| *other == key) {
                link.trust = Trust::Compared;
            }
        }
        self.keep_peers();
        Ok(Some(Answer::Done))
    }

    fn accept_key(&mut self, now_ms: u64, user: &str) -> Result<Option<Answer>, Why> {
        if !self.links.refused.contains_key(user) {
            return Err(Why::Link(LinkWhy::NoKeyRefused));
        }
        self.was_shown(user)?;
        let Some((key, device)) = self.links.refused.remove(user) else { return Ok(None) };
        let now_s = self.links.now_s(now_ms);
        if let Ok(peers) = &mut self.links.peers {
            peers.accept(user, key, &device, now_s);
        }
        self.keep_peers();
        self.trust_sources(now_ms, user);
        Ok(Some(Answer::Done))
    }

    /// Keeps what an invite that was made here will prove, and that expires in so many seconds.
    pub(in crate::core) fn keep_invite(
        &mut self,
        now_ms: u64,
        secret: InviteSecret,
        expires_in_s: Option<u64>,
    ) {
        let now_s = self.links.now_s(now_ms);
        let until_s = expires_in_s.map(|expires_in_s| now_s.saturating_add(expires_in_s));
        if let Ok(peers) = &mut self.links.peers {
            peers.keep_invite(secret, until_s, now_s);
        }
        self.keep_peers();
    }

    /// This person has joined with an invite: whoever made it is known.
    pub(in crate::core) fn join_links(&mut self, now_ms: u64) {
        let now_s = self.links.now_s(now_ms);
        let (Some(by), Some(vouch)) = (self.invited_by.take(), self.config.vouch.take()) else {
            return;
        };
        if self.device().is_none() {
            return;
        }
        if let Ok(peers) = &mut self.links.peers {
            peers.join(&by, &vouch, now_s);
        }
        self.keep_peers();
    }

    #[cfg(test)]
    pub(in crate::core) fn links_peers(&mut self) -> Result<&mut crate::links::Peers, String> {
        self.links.peers.as_mut().map_err(|words| words.clone())
    }

    /// Whether a device of that person has proven itself, here or by an invite; if nothing can be read,
    /// anybody may have.
    pub(in crate::core) fn has_met(&self, user: &str) -> bool {
        self.links.peers.as_ref().map_or(true, |peers| !peers.pins(user).is_empty())
    }

    fn pins(&self, user: &str) -> &[Pin] {
        self.links.peers.as_ref().map_or(&[], |peers| peers.pins(user))
    }

    /// The device that a link stands with.
    fn linked_device(&self, user: &str) -> Option<DeviceKey> {
        let link = self.links.talks().find(|link| link.user == user && link.stage.stands())?;
        link.device.as_ref().map(|(key, _)| *key)
    }
}
