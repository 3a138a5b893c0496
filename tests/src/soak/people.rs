//! People who are known to a server before it starts, with devices and passwords that cost nothing.

use std::path::Path;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as PhcHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use whoelse_engine::{AccountId, PasswordHash, Record, Time};
use whoelse_proto::Name;
use whoelse_server::store::{Store, StoreOptions};

use super::trouble::{Outcome, While};
use crate::program::Device;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "the same secret";

/// What the person with this number is called.
pub(crate) fn name(number: usize) -> String {
    format!("person{number}")
}

/// The number of somebody who is called so.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix("person")?.parse().ok()
}

/// The device of the person with this number.
pub(crate) fn device(number: usize) -> Device {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Device::new("soak", secret)
}

/// Makes a data folder that knows so many people.
///
/// Their passwords are hashed as cheaply as the format allows: what a check costs is not what is
/// looked at here.
pub(crate) fn settle(data: &Path, count: usize) -> Outcome<()> {
    std::fs::create_dir(data).during("making the data folder")?;
    let mut opened = Store::open(data, StoreOptions::default(), |_| {}).during("making data")?;
    let (hash, time) = (cheap_hash().during("hashing a password")?, Time(1));
    let mut records = Vec::new();
    for number in 0..count {
        let account = AccountId(u32::try_from(number).during("too many people")?);
        let password = Some(hash.clone());
        let owner = Name::new(&name(number)).during("making a name")?;
        records.push(Record::Account { account, name: owner, password, time });
        let key = device(number).key();
        records.push(Record::Device { account, key, name: Arc::from("soak"), time });
    }
    for part in records.chunks(100) {
        opened.store.append(part.to_vec());
    }
    opened.store.close().during("making data")
}

fn cheap_hash() -> argon2::Result<PasswordHash> {
    let params = Params::new(8, 1, 1, Some(32))?;
    let salt = [1; 16];
    let mut output = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()).hash_password_into(
        PASSWORD.as_bytes(),
        &salt,
        &mut output,
    )?;
    let sound = |_| argon2::Error::OutputTooShort;
    let hash = PhcHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(sound)?,
        salt: Some(Salt::new(&salt).map_err(|_| argon2::Error::SaltTooShort)?),
        hash: Some(Output::new(&output).map_err(|_| argon2::Error::OutputTooShort)?),
    };
    Ok(PasswordHash(hash.to_string().into()))
}
