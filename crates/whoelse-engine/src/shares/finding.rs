//! Who may see which files, and who can give them now.
//!
//! Whether somebody is there shows only to those who may be introduced to it: neither of the two
//! blocks the other, and one of them shares the file with the other, or somebody with both.

use std::collections::BTreeSet;

use whoelse_proto::event::{FileSource, FoundFile};
use whoelse_proto::limits::{FILE_SOURCES_MAX, FOUND_FILES_MAX};
use whoelse_proto::share::folded;
use whoelse_proto::{FileHash, Outcome, PartMap, Refusal, Scope};

use super::registry::Share;
use crate::record::{self, AccountId, Time};
use crate::sessions::Session;
use crate::state::State;
use crate::{Asker, Engine, Turn};

/// Most people who are looked at to find [`FILE_SOURCES_MAX`] sources. Of a file that more claim,
/// nearly all can give it.
const LOOKED_AT_MAX: usize = 1024;

/// How far ahead all searches together may be of what they may cost, in microseconds.
const SEARCHED_BURST_US: u64 = 1_000_000;

/// Most shares of one file that are looked at to find those that somebody sees, and most of these that
/// count when it is found out whether another sees one of them, too.
const SHARES_LOOKED_AT_MAX: usize = 1024;
const SEEN_BY_BOTH_MAX: usize = 64;

/// Most words of a search that count.
const WORDS_MAX: usize = 16;

impl State {
    /// Whether somebody may see a share of somebody else.
    fn may_see(&self, account: AccountId, owner: AccountId, share: &Share) -> bool {
        account != owner && share.includes(account) && !self.is_block_between(account, owner)
    }

    /// Whether one of two has blocked the other.
    fn is_block_between(&self, one: AccountId, other: AccountId) -> bool {
        self.account(one).blocks.contains(&other) || self.account(other).blocks.contains(&one)
    }

    /// The shares of a file that somebody may see, without its own.
    pub(super) fn seen_by(
        &self,
        account: AccountId,
        hash: FileHash,
    ) -> impl Iterator<Item = (AccountId, &Share)> {
        self.shares.of_file(hash).filter(move |(owner, share)| self.may_see(account, *owner, share))
    }

    /// Whether somebody may be given parts of a file by another: it sees the share of it that is the
    /// other's; or, if the other has none, one that the other sees too, or the other sees its own; and
    /// neither has blocked the other.
    ///
    /// `seen` is [`Self::seen_at_most`] of the asker: made once, however many givers there are.
    fn may_fetch(
        &self,
        asker: AccountId,
        giver: AccountId,
        hash: FileHash,
        seen: &[(AccountId, &Share)],
    ) -> bool {
        if asker == giver || self.is_block_between(asker, giver) {
            return false;
        }
        if let Some(share) = self.shares.get(giver, hash) {
            // Whoever shares it gives it to those it is for, and is there for nobody else: to offer the same file
            // does not show who has it.
            return share.includes(asker);
        }
        let is_own = self.shares.get(asker, hash).is_some_and(|share| share.includes(giver));
        let sees = |(owner, share): &(AccountId, &Share)| self.may_see(giver, *owner, share);
        is_own || seen.iter().any(sees)
    }

    /// The shares of a file that somebody sees, as many as count.
    fn seen_at_most(&self, account: AccountId, hash: FileHash) -> Vec<(AccountId, &Share)> {
        let all = self.shares.of_file(hash).take(SHARES_LOOKED_AT_MAX);
        let seen = all.filter(|(owner, share)| self.may_see(account, *owner, share));
        seen.take(SEEN_BY_BOTH_MAX).collect()
    }

    /// With whom a file is shared, as it was signed.
    pub(crate) fn scope(&self, share: &Share) -> Scope {
        let name = |account: &AccountId| self.account(*account).name.clone();
        share
            .with
            .as_ref()
            .map_or(Scope::Everyone, |accounts| Scope::People(accounts.iter().map(name).collect()))
    }

    /// A share as a record says it.
    pub(crate) fn share_record(
        &self,
        owner: AccountId,
        hash: FileHash,
        share: &Share,
    ) -> record::Share {
        record::Share {
            owner,
            hash,
            size: share.size,
            name: share.name.clone(),
            with: self.scope(share),
            device: share.device,
            signature: share.signature,
            time: share.time,
        }
    }
}

impl Engine {
    /// Looks for files of others by words of their names.
    pub(crate) fn search_files(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        words: &str,
        turn: &mut Turn,
    ) {
        if let Err(retry_after_ms) = self.take_search(now, account) {
            return turn.refuse(asker, Refusal::TooFast { retry_after_ms });
        }
        let words = folded(words);
        let words: BTreeSet<&str> = words.split_whitespace().take(WORDS_MAX).collect();
        let mut looked_at = 0_u64;
        let all = self.state.shares.by_name().inspect(|_| looked_at += 1);
        let named = all.filter(|(name, ..)| words.iter().all(|word| name.contains(word)));
        let seen = named.filter_map(|(_, owner, hash)| {
            let share = self.state.shares.get(owner, hash)?;
            self.state.may_see(account, owner, share).then_some((owner, hash, share))
        });
        let found: Vec<_> = seen.take(FOUND_FILES_MAX + 1).collect();
        let more = found.len() > FOUND_FILES_MAX;
        let files = found.iter().take(FOUND_FILES_MAX);
        let files =
            files.filter_map(|(owner, hash, share)| self.found_file(account, *owner, *hash, share));
        let outcome = Outcome::Found { files: files.collect(), more };
        turn.answer(asker, outcome);
        let cost_us = looked_at.saturating_mul(1_000_000) / self.rules.searched_per_second.max(1);
        self.state.searches.add(now, cost_us);
    }

    fn found_file(
        &self,
        asker: AccountId,
        owner: AccountId,
        hash: FileHash,
        share: &Share,
    ) -> Option<FoundFile> {
        let from = self.state.account(owner);
        let device = from.devices.get(&share.device)?;
        Some(FoundFile {
            hash,
            size: share.size,
            name: share.name.clone(),
            with: self.state.scope(share),
            from: from.name.clone(),
            device: device.key,
            device_name: device.name.clone(),
            signature: share.signature,
            sources: self.count_givers(asker, hash),
        })
    }

    /// Says who can give parts of a file now.
    pub(crate) fn sources(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        hash: FileHash,
        turn: &mut Turn,
    ) {
        if let Err(refusal) = self.giving_device(account) {
            return turn.refuse(asker, refusal);
        }
        if let Err(retry_after_ms) = self.take_search(now, account) {
            return turn.refuse(asker, Refusal::TooFast { retry_after_ms });
        }
        let is_own = self.state.shares.get(account, hash).is_some();
        if !is_own && self.state.seen_by(account, hash).next().is_none() {
            return turn.refuse(asker, Refusal::FileNotExist);
        }
        let sources = self.givers(account, hash).filter_map(|(giver, parts)| {
            let (device, device_name) = self.linking_device(giver)?;
            let (user, parts) = (self.state.account(giver).name.clone(), parts.clone());
            Some(FileSource { user, device, device_name, parts })
        });
        let outcome = Outcome::Sources(sources.collect());
        turn.answer(asker, outcome);
    }

    /// Whether somebody may be introduced to another because of a file. Whether the other has a line
    /// makes no difference to this.
    pub(crate) fn may_fetch(&self, asker: AccountId, giver: AccountId, hash: FileHash) -> bool {
        let seen = self.state.seen_at_most(asker, hash);
        self.state.claims.get(giver, hash).is_some()
            && self.state.may_fetch(asker, giver, hash, &seen)
    }

    /// How many can give parts of a file to somebody now, as far as one would be told.
    pub(super) fn count_givers(&self, asker: AccountId, hash: FileHash) -> usize {
        self.givers(asker, hash).count()
    }

    /// Those who can give parts of a file to somebody now, beginning with another for each who asks.
    fn givers(
        &self,
        asker: AccountId,
        hash: FileHash,
    ) -> impl Iterator<Item = (AccountId, &PartMap)> {
        let first = asker.0.wrapping_mul(0x9e37_79b9) % self.state.next_account().0.max(1);
        // Those who block the asker do not count: else a place that one of them takes would show.
        let claims = self.state.claims.of_file(hash, AccountId(first));
        let claims = claims.filter(move |(giver, _)| !self.state.is_block_between(asker, *giver));
        let is_there = |giver: AccountId| {
            let session = self.state.account(giver).session.as_ref();
            session.is_some_and(|it| it.connection.is_some() && Session::has_links(it))
        };
        let seen = self.state.seen_at_most(asker, hash);
        let may = move |giver| self.state.may_fetch(asker, giver, hash, &seen);
        claims
            .take(LOOKED_AT_MAX)
            .filter(move |(giver, _)| is_there(*giver) && may(*giver))
            .take(FILE_SOURCES_MAX)
    }

    /// Searches cost everybody: each person has an allowance, and all together have one.
    pub(super) fn take_search(&mut self, now: Time, account: AccountId) -> Result<(), u64> {
        let interval_us = self.rules.search_interval_ms.saturating_mul(1000);
        let burst = self.rules.search_burst;
        self.state.searches.is_left(now, SEARCHED_BURST_US)?;
        self.state.account_mut(account).searches.take(now, interval_us, burst)
    }
}
