//! What people share, as records say: by whom, by what is in the file, by name and by age.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use whoelse_proto::share::folded;
use whoelse_proto::{DeviceKey, FileHash, SharedName, Signature};

use crate::record::{AccountId, Time};

/// A share, without what it is found by.
pub(crate) struct Share {
    pub(crate) size: u64,
    pub(crate) name: SharedName,
    /// As searches compare it.
    pub(crate) folded: Arc<str>,
    /// Who may see it, in the order in which it was signed; none is everyone.
    pub(crate) with: Option<Box<[AccountId]>>,
    /// Which of the owner's devices signed it.
    pub(crate) device: DeviceKey,
    pub(crate) signature: Signature,
    /// When it was last shared, or claimed by its owner.
    pub(crate) time: Time,
}

impl Share {
    /// Whether somebody is among those it was shared with.
    pub(crate) fn includes(&self, account: AccountId) -> bool {
        self.with.as_ref().is_none_or(|accounts| accounts.contains(&account))
    }
}

/// All of them. A person shares a file once.
#[derive(Default)]
pub(crate) struct Shares {
    by_owner: BTreeMap<(AccountId, FileHash), Share>,
    /// One set, not one for each file: nearly all files have one owner.
    by_hash: BTreeSet<(FileHash, AccountId)>,
    by_name: BTreeSet<(Arc<str>, AccountId, FileHash)>,
    by_age: BTreeSet<(Time, AccountId, FileHash)>,
}

impl Shares {
    /// Adds a share, in the place of one of the same file by the same person.
    pub(crate) fn add(&mut self, owner: AccountId, hash: FileHash, share: Share) {
        self.remove(owner, hash);
        self.by_hash.insert((hash, owner));
        self.by_name.insert((share.folded.clone(), owner, hash));
        self.by_age.insert((share.time, owner, hash));
        self.by_owner.insert((owner, hash), share);
    }

    pub(crate) fn remove(&mut self, owner: AccountId, hash: FileHash) {
        let Some(share) = self.by_owner.remove(&(owner, hash)) else { return };
        self.by_name.remove(&(share.folded, owner, hash));
        self.by_age.remove(&(share.time, owner, hash));
        self.by_hash.remove(&(hash, owner));
    }

    /// Its owner has shown that it lives.
    pub(crate) fn renew(&mut self, owner: AccountId, hash: FileHash, time: Time) {
        if let Some(share) = self.by_owner.get_mut(&(owner, hash)) {
            self.by_age.remove(&(share.time, owner, hash));
            self.by_age.insert((time, owner, hash));
            share.time = time;
        }
    }

    pub(crate) fn get(&self, owner: AccountId, hash: FileHash) -> Option<&Share> {
        self.by_owner.get(&(owner, hash))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_owner.len()
    }

    /// Those of one person, by hash.
    pub(crate) fn of(&self, owner: AccountId) -> impl Iterator<Item = (FileHash, &Share)> {
        let all = (owner, FileHash([0; 32]))..=(owner, FileHash([u8::MAX; 32]));
        self.by_owner.range(all).map(|((_, hash), share)| (*hash, share))
    }

    /// Those that a device signed.
    pub(crate) fn of_device(&self, owner: AccountId, device: &DeviceKey) -> Vec<FileHash> {
        let signed = self.of(owner).filter(|(_, share)| share.device == *device);
        signed.map(|(hash, _)| hash).collect()
    }

    /// Those of one file, by owner.
    pub(crate) fn of_file(&self, hash: FileHash) -> impl Iterator<Item = (AccountId, &Share)> {
        let owners = self.by_hash.range((hash, AccountId(0))..=(hash, AccountId(u32::MAX)));
        owners.filter_map(move |(_, owner)| Some((*owner, self.get(*owner, hash)?)))
    }

    /// Whether anybody shares a file.
    pub(crate) fn has(&self, hash: FileHash) -> bool {
        self.of_file(hash).next().is_some()
    }

    /// All, by name, owner and hash.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&str, AccountId, FileHash)> {
        self.by_name.iter().map(|(name, owner, hash)| (&**name, *owner, *hash))
    }

    /// All, by owner and hash.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, FileHash, &Share)> {
        self.by_owner.iter().map(|((owner, hash), share)| (*owner, *hash, share))
    }

    /// The one whose owner has said nothing of it for longest.
    pub(crate) fn oldest(&self) -> Option<(Time, AccountId, FileHash)> {
        self.by_age.first().copied()
    }

    pub(crate) fn check(&self) {
        let counts = [self.by_name.len(), self.by_age.len(), self.by_hash.len()];
        assert_eq!(counts, [self.len(); 3], "each is found by everything");
        for ((owner, hash), share) in &self.by_owner {
            assert!(self.by_hash.contains(&(*hash, *owner)));
            assert!(self.by_age.contains(&(share.time, *owner, *hash)));
            assert!(self.by_name.contains(&(share.folded.clone(), *owner, *hash)));
            assert_eq!(*share.folded, *folded(share.name.as_str()));
        }
    }
}
