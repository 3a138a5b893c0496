//! Files that people share: the server keeps what was said of them, as hints, and gives no byte.
//!
//! A *share* lasts, and is shown to those it was shared with, unless one of the two blocks the other.
//! A *claim*, that somebody can give parts, lasts as long as the session.

pub(crate) mod claims;
mod finding;
pub(crate) mod registry;

use std::borrow::Cow;
use std::sync::Arc;

use whoelse_proto::event::OwnShare;
use whoelse_proto::{DeviceKey, FileHash, Layout, Outcome, PartMap, Refusal, Scope, share};

use crate::record::{self, AccountId, Record, Time};
use crate::timers::Timer;
use crate::{Asker, Engine, Turn};

/// When very many expire at once, others have their turn after so many.
const EXPIRED_PER_TICK_MAX: usize = 1 << 10;

impl Engine {
    /// Offers a file, or changes the offer.
    pub(crate) fn share(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        share: share::Share<'_>,
        turn: &mut Turn,
    ) {
        let outcome = self.try_share(now, account, share, turn);
        turn.answer(asker, outcome.map_or_else(Outcome::Refused, |()| Outcome::Done));
    }

    fn try_share(
        &mut self,
        now: Time,
        account: AccountId,
        share: share::Share<'_>,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        let device = self.giving_device(account)?;
        let with = match share.with {
            Some(names) => Scope::People(self.scope_of(now, account, &names)?),
            None => Scope::Everyone,
        };
        if self.state.is_disk_full {
            return Err(Refusal::ServerFull);
        }
        let (owner, hash, size) = (account, share.hash, share.size);
        self.has_room_for(account, hash)?;
        let (name, signature) = (share.name, share.signature);
        let new = record::Share { owner, hash, size, name, with, device, signature, time: now };
        if !self.is_shared(&new) {
            self.emit(turn, Record::Share(Arc::new(new)));
            self.expect_expiry();
        }
        self.renew(now, account, hash, turn);
        let parts = PartMap::all(Layout::of(size).parts());
        self.state.claims.set(account, hash, parts);
        Ok(())
    }

    /// Whether a file is shared exactly so already, whenever that was.
    fn is_shared(&self, new: &record::Share) -> bool {
        let known = self.state.shares.get(new.owner, new.hash);
        known.is_some_and(|share| {
            let known = self.state.share_record(new.owner, new.hash, share);
            known == record::Share { time: share.time, ..new.clone() }
        })
    }

    /// Whether one more file may be shared, and its parts be claimed.
    fn has_room_for(&self, account: AccountId, hash: FileHash) -> Result<(), Refusal> {
        let (shares, rules) = (&self.state.shares, &self.rules);
        let is_new = shares.get(account, hash).is_none();
        let is_full = shares.len() >= rules.shares_in_all_max
            || shares.of(account).count() >= rules.shares_max;
        if is_new && is_full || !self.state.claims.has_room(account, hash, rules) {
            return Err(Refusal::TooManyFiles);
        }
        Ok(())
    }

    /// Reads the names a file is shared with: others, each once, who all are there.
    fn scope_of(
        &mut self,
        now: Time,
        account: AccountId,
        names: &[Cow<'_, str>],
    ) -> Result<Box<[whoelse_proto::Name]>, Refusal> {
        let mut accounts = Vec::with_capacity(names.len());
        for name in names {
            let Some(other) = self.state.find(name) else {
                let suggestion = self.suggestion(now, account, name);
                let user = name.chars().take(whoelse_proto::limits::NAME_CHARS_MAX).collect();
                return Err(Refusal::UserUnknown { user, suggestion });
            };
            if other == account {
                let why = "'with' names you: you need not share with yourself.";
                return Err(Refusal::BadRequest(why.into()));
            }
            if accounts.contains(&other) {
                return Err(Refusal::BadRequest("'with' names somebody twice.".into()));
            }
            accounts.push(other);
        }
        Ok(accounts.iter().map(|other| self.state.account(*other).name.clone()).collect())
    }

    /// Takes an offer back.
    pub(crate) fn unshare(
        &mut self,
        account: AccountId,
        asker: &Asker,
        hash: FileHash,
        turn: &mut Turn,
    ) {
        if self.state.shares.get(account, hash).is_none() {
            return turn.refuse(asker, Refusal::FileNotExist);
        }
        self.emit(turn, Record::Unshare { owner: account, hash });
        self.state.claims.remove(account, hash);
        self.expect_expiry();
        turn.answer(asker, Outcome::Done);
    }

    /// Lists what somebody shares, by name.
    pub(crate) fn shares(&mut self, now: Time, account: AccountId, asker: &Asker, turn: &mut Turn) {
        if let Err(retry_after_ms) = self.take_search(now, account) {
            return turn.refuse(asker, Refusal::TooFast { retry_after_ms });
        }
        let mut shares: Vec<_> = self.state.shares.of(account).collect();
        shares.sort_unstable_by_key(|(hash, share)| (share.folded.clone(), *hash));
        let files = shares.into_iter().map(|(hash, share)| OwnShare {
            hash,
            size: share.size,
            name: share.name.clone(),
            with: self.state.scope(share),
            sources: self.count_givers(account, hash),
        });
        turn.answer(asker, Outcome::Shares(files.collect()));
    }

    /// Takes note of which parts of a file somebody can give.
    pub(crate) fn have(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        (hash, parts): (FileHash, &str),
        turn: &mut Turn,
    ) {
        let outcome = self.try_have(now, account, hash, parts, turn);
        turn.answer(asker, outcome.map_or_else(Outcome::Refused, |()| Outcome::Done));
    }

    fn try_have(
        &mut self,
        now: Time,
        account: AccountId,
        hash: FileHash,
        parts: &str,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        self.giving_device(account)?;
        let parts = self.parts_of(account, hash, parts)?;
        if parts.is_empty() {
            self.state.claims.remove(account, hash);
            return Ok(());
        }
        if !self.state.claims.has_room(account, hash, &self.rules) {
            return Err(Refusal::TooManyFiles);
        }
        self.state.claims.set(account, hash, parts);
        self.renew(now, account, hash, turn);
        Ok(())
    }

    /// Reads what somebody has of a file that it shares or may see. Who says another size than the
    /// others lies, and nobody here knows who: the first that fits will do.
    fn parts_of(&self, account: AccountId, hash: FileHash, text: &str) -> Result<PartMap, Refusal> {
        let own = self.state.shares.get(account, hash).into_iter();
        let seen = self.state.seen_by(account, hash).map(|(_, share)| share);
        let mut refusal = Refusal::FileNotExist;
        for share in own.chain(seen) {
            match PartMap::parse(text, Layout::of(share.size).parts()) {
                Ok(parts) => return Ok(parts),
                Err(error) => {
                    let why = format!("'parts' is not of a file of that size: {error}.");
                    refusal = Refusal::BadRequest(why);
                }
            }
        }
        Err(refusal)
    }

    /// Notes that a share lives, if that was not noted lately. Of a file that somebody does not share
    /// there is nothing to note.
    fn renew(&mut self, now: Time, owner: AccountId, hash: FileHash, turn: &mut Turn) {
        let Some(share) = self.state.shares.get(owner, hash) else { return };
        if now.since(share.time) >= self.rules.share_renewal_ms {
            self.emit(turn, Record::ShareRenewed { owner, hash, time: now });
            self.expect_expiry();
        }
    }

    /// The device of a session that can give and fetch files.
    pub(super) fn giving_device(&self, account: AccountId) -> Result<DeviceKey, Refusal> {
        let device = self.device_of(account).filter(|_| self.has_links(account));
        device.ok_or_else(|| {
            let why = "Shared files need a device, and 'links' when the session begins.";
            Refusal::BadRequest(why.into())
        })
    }

    /// Sees to it that the timer fires when the next share expires.
    pub(crate) fn expect_expiry(&mut self) {
        let oldest = self.state.shares.oldest();
        let at = oldest.map(|(time, ..)| time.plus(self.rules.share_ms));
        if at == self.state.expiry_at {
            return;
        }
        if let Some(before) = self.state.expiry_at {
            self.state.timers.remove(before, Timer::Shares);
        }
        if let Some(at) = at {
            self.state.timers.add(at, Timer::Shares);
        }
        self.state.expiry_at = at;
    }

    /// The oldest shares have expired, but for those whose owners are there and can still give them.
    pub(crate) fn shares_timer(&mut self, now: Time, turn: &mut Turn) {
        self.state.expiry_at = None;
        for _ in 0..EXPIRED_PER_TICK_MAX {
            let Some((time, owner, hash)) = self.state.shares.oldest() else { break };
            if time.plus(self.rules.share_ms) > now {
                break;
            }
            let record = match self.state.claims.get(owner, hash) {
                Some(_) => Record::ShareRenewed { owner, hash, time: now },
                None => Record::Unshare { owner, hash },
            };
            self.emit(turn, record);
        }
        self.expect_expiry();
    }
}
