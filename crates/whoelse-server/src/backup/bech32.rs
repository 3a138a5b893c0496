//! Bech32 (BIP 173), as far as age's keys need it: 32 bytes under a known prefix.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const CHECK_CHARACTERS: usize = 6;

/// The 32 bytes in a text, if its prefix and its sum are right.
pub(super) fn decode(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let is_mixed = text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = zeroize::Zeroizing::new(text.to_ascii_lowercase());
    let data = lower.strip_prefix(prefix)?.strip_prefix('1').filter(|_| !is_mixed)?;
    let values: Option<Vec<u8>> = data
        .bytes()
        .map(|byte| ALPHABET.iter().position(|it| *it == byte))
        .map(|place| place.and_then(|place| u8::try_from(place).ok()))
        .collect();
    let values = zeroize::Zeroizing::new(values?);
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(values.iter().copied());
    if all.fold(1, step) != 1 {
        return None;
    }
    let (values, _) = values.split_at_checked(values.len().checked_sub(CHECK_CHARACTERS)?)?;
    to_bytes(values)
}

fn step(sum: u32, value: u8) -> u32 {
    let top = sum >> 25;
    let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
    (0..5).filter(|bit| top >> bit & 1 == 1).fold(sum, |sum, bit| sum ^ GENERATOR[bit])
}

/// From groups of 5 bits to bytes; what is left over must be zeros.
fn to_bytes(values: &[u8]) -> Option<[u8; 32]> {
    if values.len() != (32 * 8usize).div_ceil(5) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, value) in values.iter().enumerate() {
        for bit in 0..5 {
            let place = index * 5 + bit;
            let is_set = value >> (4 - bit) & 1 == 1;
            match bytes.get_mut(place / 8) {
                Some(byte) => *byte |= u8::from(is_set) << (7 - place % 8),
                None if is_set => return None,
                None => {}
            }
        }
    }
    Some(bytes)
}
