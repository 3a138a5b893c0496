//! Devices: profiles on people's machines that resume by a key, without a password.

use std::sync::Arc;

use whoelse_proto::event::{KnownDevice, Reason};
use whoelse_proto::limits::NAME_CHARS_MAX;
use whoelse_proto::{DeviceKey, Outcome, Refusal};

use crate::record::{AccountId, Record, Time};
use crate::snapshot::DeviceSnapshot;
use crate::{Asker, Engine, Turn};

/// The devices of one account, by when they were added, and key.
#[derive(Default)]
pub(crate) struct Devices(Vec<DeviceSnapshot>);

impl Devices {
    pub(crate) fn get(&self, key: &DeviceKey) -> Option<&DeviceSnapshot> {
        self.0.iter().find(|device| device.key == *key)
    }

    pub(crate) fn add(&mut self, device: DeviceSnapshot) {
        self.remove(&device.key);
        let at =
            self.0.partition_point(|other| (other.added, other.key) < (device.added, device.key));
        self.0.insert(at, device);
    }

    pub(crate) fn set_used(&mut self, key: &DeviceKey, time: Time) {
        if let Some(device) = self.0.iter_mut().find(|device| device.key == *key) {
            device.used = time;
        }
    }

    pub(crate) fn remove(&mut self, key: &DeviceKey) {
        self.0.retain(|device| device.key != *key);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn snapshot(&self) -> Vec<DeviceSnapshot> {
        self.0.clone()
    }

    fn keys_except(&self, kept: Option<DeviceKey>) -> Vec<DeviceKey> {
        self.0.iter().map(|device| device.key).filter(|key| Some(*key) != kept).collect()
    }

    fn used_longest_ago(&self) -> Option<DeviceKey> {
        self.0.iter().min_by_key(|device| device.used).map(|device| device.key)
    }

    /// The name that a device wants, or one like it that no other has.
    fn free_name(&self, wanted: &str) -> Arc<str> {
        let is_free = |name: &str| self.0.iter().all(|device| *device.name != *name);
        let numbered = (2..).map(|number: usize| {
            let suffix = format!("-{number}");
            let room = NAME_CHARS_MAX - suffix.len();
            wanted.chars().take(room).collect::<String>() + &suffix
        });
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names.find(|name| is_free(name)).unwrap_or_default().into()
    }

    pub(crate) fn check(&self) {
        assert!(self.0.is_sorted_by_key(|device| (device.added, device.key)));
        for (index, device) in self.0.iter().enumerate() {
            let mut others = self.0[index + 1..].iter();
            assert!(others.all(|other| other.key != device.key && other.name != device.name));
        }
    }
}

impl Engine {
    /// A session of a device begins: from now on it may resume. Returns what it is called.
    pub(crate) fn register(
        &mut self,
        now: Time,
        account: AccountId,
        device: Option<&(DeviceKey, Box<str>)>,
        turn: &mut Turn,
    ) -> Option<Arc<str>> {
        let (key, wanted) = device?;
        let devices = &self.state.account(account).devices;
        if let Some(known) = devices.get(key) {
            let name = known.name.clone();
            self.emit(turn, Record::DeviceUsed { account, key: *key, time: now });
            return Some(name);
        }
        if devices.len() >= self.rules.devices_max
            && let Some(oldest) = devices.used_longest_ago()
        {
            self.emit(turn, Record::DeviceRevoked { account, key: oldest });
        }
        let name = self.state.account(account).devices.free_name(wanted);
        let record = Record::Device { account, key: *key, name: name.clone(), time: now };
        self.emit(turn, record);
        Some(name)
    }

    /// The device of the session of an account, if it has one.
    pub(crate) fn device_of(&self, account: AccountId) -> Option<DeviceKey> {
        self.state.account(account).session.as_ref()?.device
    }

    pub(crate) fn devices(&self, account: AccountId, asker: &Asker, turn: &mut Turn) {
        let this = self.device_of(account);
        let devices = self.state.account(account).devices.0.iter().map(|device| KnownDevice {
            name: device.name.clone(),
            key: device.key,
            added_ms: device.added.0,
            used_ms: device.used.0,
            is_this: Some(device.key) == this,
        });
        turn.answer(asker, Outcome::Devices(devices.collect()));
    }

    /// Takes from a device the right to resume. The session of the one that asks ends with it.
    pub(crate) fn revoke_device(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        name: &str,
        turn: &mut Turn,
    ) {
        let mut devices = self.state.account(account).devices.0.iter();
        let Some(key) = devices.find(|device| *device.name == *name).map(|device| device.key)
        else {
            return turn.refuse(asker, Refusal::DeviceNotExist);
        };
        let is_this = self.device_of(account) == Some(key);
        turn.answer(asker, Outcome::Done);
        if is_this {
            self.expel(now, account, Reason::DeviceRevoked, turn);
        }
        self.emit(turn, Record::DeviceRevoked { account, key });
    }

    /// Whoever knew the password may have registered a device: all go, except perhaps one.
    pub(crate) fn revoke_devices(
        &mut self,
        account: AccountId,
        kept: Option<DeviceKey>,
        turn: &mut Turn,
    ) {
        for key in self.state.account(account).devices.keys_except(kept) {
            self.emit(turn, Record::DeviceRevoked { account, key });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_name_are_numbered() {
        let mut devices = Devices::default();
        for number in 0..4 {
            let name = devices.free_name(&"ö".repeat(32));
            let (key, time) = (DeviceKey([number; 32]), Time(0));
            devices.add(DeviceSnapshot { key, name, added: time, used: time });
        }
        let names: Vec<String> = devices.0.iter().map(|device| device.name.to_string()).collect();
        let cut = "ö".repeat(30);
        assert_eq!(names[0], "ö".repeat(32));
        assert_eq!(names[1..], [2, 3, 4].map(|number| format!("{cut}-{number}")));
        devices.check();
    }
}
