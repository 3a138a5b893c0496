//! Who says that it can give which parts of a file: in memory only, and only while a session lasts.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_proto::{FileHash, PartMap};

use crate::record::AccountId;
use crate::rules::Rules;

/// All claims, by file and by person.
#[derive(Default)]
pub(crate) struct Claims {
    by_file: BTreeMap<FileHash, BTreeMap<AccountId, PartMap>>,
    files: BTreeMap<AccountId, BTreeSet<FileHash>>,
    len: usize,
}

impl Claims {
    /// Whether somebody may claim parts of a file, by how many it claims already, and all do.
    pub(crate) fn has_room(&self, account: AccountId, hash: FileHash, rules: &Rules) -> bool {
        self.get(account, hash).is_some()
            || self.count(account) < rules.claims_max && self.len < rules.claims_in_all_max
    }

    /// Takes note of what somebody claims, in the place of what it claimed; of no parts: of nothing.
    pub(crate) fn set(&mut self, account: AccountId, hash: FileHash, parts: PartMap) {
        self.remove(account, hash);
        if parts.is_empty() {
            return;
        }
        self.by_file.entry(hash).or_default().insert(account, parts);
        self.files.entry(account).or_default().insert(hash);
        self.len += 1;
    }

    pub(crate) fn get(&self, account: AccountId, hash: FileHash) -> Option<&PartMap> {
        self.by_file.get(&hash)?.get(&account)
    }

    /// How many files somebody claims parts of.
    pub(crate) fn count(&self, account: AccountId) -> usize {
        self.files.get(&account).map_or(0, BTreeSet::len)
    }

    pub(crate) fn remove(&mut self, account: AccountId, hash: FileHash) {
        let Some(accounts) = self.by_file.get_mut(&hash) else { return };
        if accounts.remove(&account).is_none() {
            return;
        }
        if accounts.is_empty() {
            self.by_file.remove(&hash);
        }
        self.len -= 1;
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
        let accounts = self.by_file.get(&hash).into_iter().flat_map(BTreeMap::keys);
        for account in accounts.copied().collect::<Vec<_>>() {
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
        let accounts = self.by_file.get(&hash).into_iter();
        let turned = accounts.flat_map(move |it| it.range(from..).chain(it.range(..from)));
        turned.map(|(account, parts)| (*account, parts))
    }

    /// Who claims anything, and what.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, FileHash)> {
        self.files.iter().flat_map(|(account, files)| files.iter().map(|hash| (*account, *hash)))
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert_eq!(self.len, self.by_file.values().map(BTreeMap::len).sum::<usize>());
        assert_eq!(self.len, self.iter().count());
        assert!(self.len <= rules.claims_in_all_max);
        for (account, files) in &self.files {
            assert!((1..=rules.claims_max).contains(&files.len()));
            assert!(files.iter().all(|hash| self.get(*account, *hash).is_some()));
        }
        assert!(self.by_file.values().flat_map(BTreeMap::values).all(|parts| !parts.is_empty()));
    }
}
