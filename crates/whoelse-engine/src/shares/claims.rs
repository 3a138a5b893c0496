//! Who says that it can give which parts of a file: in memory only, and only while a session lasts.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_proto::{FileHash, PartMap};

use crate::record::AccountId;
use crate::rules::Rules;

/// All claims, by file and by person.
#[derive(Default)]
pub(crate) struct Claims {
    /// One map, not one for each file: of most files only their owner has anything.
    by_file: BTreeMap<(FileHash, AccountId), PartMap>,
    files: BTreeMap<AccountId, BTreeSet<FileHash>>,
}

impl Claims {
    /// Whether somebody may claim parts of a file, by how many it claims already, and all do.
    pub(crate) fn has_room(&self, account: AccountId, hash: FileHash, rules: &Rules) -> bool {
        self.get(account, hash).is_some()
            || self.count(account) < rules.claims_max
                && self.by_file.len() < rules.claims_in_all_max
    }

    /// Takes note of what somebody claims, in the place of what it claimed; of no parts: of nothing.
    pub(crate) fn set(&mut self, account: AccountId, hash: FileHash, parts: PartMap) {
        self.remove(account, hash);
        if parts.is_empty() {
            return;
        }
        self.by_file.insert((hash, account), parts);
        self.files.entry(account).or_default().insert(hash);
    }

    pub(crate) fn get(&self, account: AccountId, hash: FileHash) -> Option<&PartMap> {
        self.by_file.get(&(hash, account))
    }

    /// How many files somebody claims parts of.
    pub(crate) fn count(&self, account: AccountId) -> usize {
        self.files.get(&account).map_or(0, BTreeSet::len)
    }

    pub(crate) fn remove(&mut self, account: AccountId, hash: FileHash) {
        if self.by_file.remove(&(hash, account)).is_none() {
            return;
        }
        if let Some(files) = self.files.get_mut(&account) {
            files.remove(&hash);
            if files.is_empty() {
                self.files.remove(&account);
            }
        }
    }

    /// The session of somebody is no more.
    pub(crate) fn remove_of(&mut self, account: AccountId) {
        for hash in self.files.get(&account).cloned().unwrap_or_default() {
            self.remove(account, hash);
        }
    }

    /// Nobody shares a file any more.
    pub(crate) fn remove_file(&mut self, hash: FileHash) {
        let accounts: Vec<AccountId> =
            self.of_file(hash, AccountId(0)).map(|(account, _)| account).collect();
        for account in accounts {
            self.remove(account, hash);
        }
    }

    /// Who claims parts of a file, from one on and round: so those who ask do not all begin with
    /// the same.
    pub(crate) fn of_file(
        &self,
        hash: FileHash,
        from: AccountId,
    ) -> impl Iterator<Item = (AccountId, &PartMap)> {
        let (first, last) = (AccountId(0), AccountId(u32::MAX));
        let after = self.by_file.range((hash, from)..=(hash, last));
        let before = self.by_file.range((hash, first)..(hash, from));
        after.chain(before).map(|((_, account), parts)| (*account, parts))
    }

    /// Who claims anything, and what.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, FileHash)> {
        self.files.iter().flat_map(|(account, files)| files.iter().map(|hash| (*account, *hash)))
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert_eq!(self.by_file.len(), self.iter().count());
        assert!(self.by_file.len() <= rules.claims_in_all_max);
        for (account, files) in &self.files {
            assert!((1..=rules.claims_max).contains(&files.len()));
            assert!(files.iter().all(|hash| self.get(*account, *hash).is_some()));
        }
        assert!(self.by_file.values().all(|parts| !parts.is_empty()));
    }
}
