//! Whom a private link is with: what is known of the devices of a person, and the number that two
//! people compare.
//!
//! The server says which device is whose. Its word is taken at first contact, and remembered: a
//! server that lies later is found out. Comparing the number finds one out that lied from the start.

use ring::digest::{SHA512, digest};
use serde::{Deserialize, Serialize};
use whoelse_proto::DeviceKey;

/// The number begins what is hashed, so that nothing else ever has the same hash.
const SAFETY: &[u8] = b"whoelse-safety-1\0";

/// Groups of five digits in a safety number: about 199 bits.
const GROUPS: usize = 12;

/// A device of somebody else, as it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its key.
    #[serde(with = "as_text")]
    pub key: DeviceKey,
    /// What the server called it.
    pub device: String,
    /// When it was first met, in seconds since 1970.
    pub since_s: u64,
    /// The person has compared this key, or got it by an invite.
    pub compared: bool,
}

/// What is known of a device that wants a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing is known of that person: only the server says that the key is theirs.
    New,
    /// The person is known, the device is new: only the server says that it is theirs.
    NewDevice,
    /// The key is known, and was never compared.
    NotCompared,
    /// The key is known, and was compared.
    Compared,
    /// Another key was known. There is no link until the person has decided.
    Changed,
}

/// Judges a key that the server says belongs to a person, of whom these devices are known.
///
/// Once a device of a person was compared, every unknown key is a changed one, under whatever name
/// of a device: the name is the server's word, and one that lies would just invent a name.
#[must_use]
pub fn judge(pins: &[Pin], key: DeviceKey, device: &str) -> Trust {
    match pins.iter().find(|pin| pin.key == key) {
        Some(Pin { compared: true, .. }) => Trust::Compared,
        Some(_) => Trust::NotCompared,
        None if pins.is_empty() => Trust::New,
        None if pins.iter().any(|pin| pin.compared || pin.device == device) => Trust::Changed,
        None => Trust::NewDevice,
    }
}

/// The pin that speaks against a changed key: that of the same device, else a compared one.
#[must_use]
pub fn contradicted<'p>(pins: &'p [Pin], device: &str) -> Option<&'p Pin> {
    pins.iter().find(|pin| pin.device == device).or_else(|| pins.iter().find(|pin| pin.compared))
}

/// The number that two people see who have these names and devices: 60 digits in groups of five,
/// the same on both sides.
#[must_use]
pub fn safety_number(one: (&str, DeviceKey), other: (&str, DeviceKey)) -> [String; GROUPS] {
    let mut ends = [one, other].map(|(name, key)| [name.as_bytes(), b"\0", &key.0].concat());
    ends.sort();
    let hash = digest(&SHA512, &[SAFETY, &ends[0], &ends[1]].concat());
    let bytes = hash.as_ref();
    std::array::from_fn(|at| {
        let group = bytes[at * 5..at * 5 + 5].iter();
        let number = group.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    })
}

/// A key in the file, as people see it elsewhere.
mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use whoelse_proto::DeviceKey;

    pub(super) fn serialize<S: Serializer>(key: &DeviceKey, to: S) -> Result<S::Ok, S::Error> {
        key.to_string().serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<DeviceKey, D::Error> {
        DeviceKey::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(key: u8, device: &str, compared: bool) -> Pin {
        Pin { key: DeviceKey([key; 32]), device: device.into(), since_s: 0, compared }
    }

    #[test]
    fn every_row_of_the_table_of_states() {
        let not_compared = [pin(1, "laptop", false)];
        let compared = [pin(1, "laptop", true)];
        let both = [pin(1, "laptop", true), pin(2, "phone", false)];
        for (row, pins, key, device, trust) in [
            ("nothing is known", &[][..], 1, "laptop", Trust::New),
            ("the key is known", &not_compared, 1, "laptop", Trust::NotCompared),
            ("the key under another name", &not_compared, 1, "tablet", Trust::NotCompared),
            ("the key was compared", &compared, 1, "laptop", Trust::Compared),
            ("compared, under another name", &compared, 1, "tablet", Trust::Compared),
            ("another key of a known device", &not_compared, 9, "laptop", Trust::Changed),
            ("another key of a compared device", &compared, 9, "laptop", Trust::Changed),
            ("another device, none compared", &not_compared, 9, "phone", Trust::NewDevice),
            ("another device, one compared", &compared, 9, "phone", Trust::Changed),
            ("the one that was not compared", &both, 2, "phone", Trust::NotCompared),
            ("the one that was", &both, 1, "laptop", Trust::Compared),
            ("a third, one compared", &both, 9, "tablet", Trust::Changed),
        ] {
            assert_eq!(judge(pins, DeviceKey([key; 32]), device), trust, "{row}");
        }
    }

    #[test]
    fn a_changed_key_is_held_against_the_device_of_that_name_first() {
        let pins = [pin(1, "laptop", true), pin(2, "phone", false)];
        assert_eq!(contradicted(&pins, "phone"), Some(&pins[1]));
        assert_eq!(contradicted(&pins, "tablet"), Some(&pins[0]));
        assert_eq!(contradicted(&pins[1..], "tablet"), None);
    }

    #[test]
    fn the_number_is_the_same_on_both_sides_and_as_documented() {
        let hans = ("hans", DeviceKey([1; 32]));
        let luke = ("luke", DeviceKey([2; 32]));
        let number = safety_number(hans, luke);
        assert_eq!(number, safety_number(luke, hans));
        assert_eq!(number.join(" "), VECTOR);
        for other in [("lukas", luke.1), ("luke", DeviceKey([3; 32]))] {
            assert_ne!(number, safety_number(hans, other));
        }
        // The smaller end is the smaller name, whoever asks.
        assert_ne!(safety_number(("hans", luke.1), ("luke", hans.1)), number);
    }

    /// Stands in `docs/PROTOCOL.md`.
    const VECTOR: &str = "03593 44702 41319 20029 37450 90282 06071 45328 66312 86172 20480 14050";
}
