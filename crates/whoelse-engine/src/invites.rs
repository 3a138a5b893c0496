//! Invites: single-use secrets, of which only a hash is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};
use whoelse_proto::event::{Meeting, OpenInvite};
use whoelse_proto::{InviteSecret, Outcome, Refusal, Role};

use crate::record::{AccountId, Record, Time};
use crate::snapshot::InviteSnapshot;
use crate::{Aid, Asker, Engine, Turn};

/// The invites that are open, and the number of the last one ever made.
#[derive(Default)]
pub(crate) struct Invites {
    open: BTreeMap<u64, InviteSnapshot>,
    number_by_hash: HashMap<[u8; 32], u64>,
    by_expiry: BTreeSet<(Time, u64)>,
    last: u64,
}

impl Invites {
    pub(crate) fn restore(saved: &[InviteSnapshot], last: u64) -> Self {
        let mut invites = Self { last, ..Self::default() };
        saved.iter().for_each(|invite| invites.insert(invite.clone()));
        invites
    }

    pub(crate) fn add(&mut self, invite: InviteSnapshot) {
        assert_eq!(invite.number, self.last + 1, "invites are dense");
        self.last = invite.number;
        self.insert(invite);
    }

    fn insert(&mut self, invite: InviteSnapshot) {
        self.number_by_hash.insert(invite.hash, invite.number);
        self.by_expiry.insert((invite.expires, invite.number));
        self.open.insert(invite.number, invite);
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let Some(invite) = self.open.remove(&number) else { return };
        self.number_by_hash.remove(&invite.hash);
        self.by_expiry.remove(&(invite.expires, number));
    }

    /// Forgets those that have expired.
    pub(crate) fn purge(&mut self, newest: Time) {
        while let Some((_, number)) =
            self.by_expiry.first().copied().filter(|(expires, _)| *expires <= newest)
        {
            self.remove(number);
        }
    }

    pub(crate) fn numbers(&self, fits: impl Fn(&InviteSnapshot) -> bool) -> Vec<u64> {
        self.open.values().filter(|invite| fits(invite)).map(|invite| invite.number).collect()
    }

    fn valid(&self, now: Time) -> impl Iterator<Item = &InviteSnapshot> {
        self.open.values().filter(move |invite| invite.expires > now)
    }

    pub(crate) fn get(&self, number: u64, now: Time) -> Option<&InviteSnapshot> {
        self.open.get(&number).filter(|invite| invite.expires > now)
    }

    fn find(&self, secret: &InviteSecret, now: Time) -> Option<&InviteSnapshot> {
        self.get(*self.number_by_hash.get(&hash(secret))?, now)
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn snapshot(&self) -> Vec<InviteSnapshot> {
        self.open.values().cloned().collect()
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.open.len(), self.number_by_hash.len());
        assert_eq!(self.open.len(), self.by_expiry.len());
        assert!(self.open.last_key_value().is_none_or(|(number, _)| *number <= self.last));
    }
}

impl Engine {
    /// The invites that may still be used, oldest first, as an administrator sees them.
    #[must_use]
    pub fn open_invites(&self, now: Time) -> Vec<OpenInvite> {
        self.state.invites.valid(now).map(|invite| self.shown(invite, now)).collect()
    }

    fn shown(&self, invite: &InviteSnapshot, now: Time) -> OpenInvite {
        OpenInvite {
            number: invite.number,
            role: invite.role,
            by: invite.by.map(|by| self.state.account(by).name.clone()),
            expires_in_ms: invite.expires.since(now),
        }
    }

    /// Says what an invite is worth, to somebody who may guess.
    pub(crate) fn invitation(
        &mut self,
        now: Time,
        asker: &Asker,
        secret: &InviteSecret,
        turn: &mut Turn,
    ) {
        let Some(invite) = self.invite_for(now, asker, secret, turn) else { return };
        let OpenInvite { role, by, expires_in_ms, .. } = self.shown(&invite, now);
        turn.answer(asker, Outcome::Invitation { role, by, expires_in_ms });
    }

    /// Finds the invite of a secret, or refuses it; a wrong one counts against its source.
    pub(crate) fn invite_for(
        &mut self,
        now: Time,
        asker: &Asker,
        secret: &InviteSecret,
        turn: &mut Turn,
    ) -> Option<InviteSnapshot> {
        let source = self.source_of(asker.connection);
        if let Some(refusal) = self.source_refusal(now, source) {
            turn.refuse(asker, refusal);
            return None;
        }
        let invite = self.state.invites.find(secret, now).filter(|invite| self.is_honoured(invite));
        let invite = invite.cloned();
        if invite.is_none() {
            self.state.sources.failed(now, source, &self.rules);
            turn.refuse(asker, Refusal::InviteInvalid);
        }
        invite
    }

    /// Whoever is locked out brings nobody in meanwhile.
    pub(crate) fn is_honoured(&self, invite: &InviteSnapshot) -> bool {
        invite.by.is_none_or(|by| !self.state.account(by).is_locked)
    }

    pub(crate) fn invite(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        role: Role,
        aid: Aid,
        turn: &mut Turn,
    ) {
        let is_admin = self.is_admin(account);
        if role == Role::Admin && !is_admin {
            return turn.refuse(asker, Refusal::NotAllowed);
        }
        if self.state.is_disk_full {
            return turn.refuse(asker, Refusal::ServerFull);
        }
        let Aid::Invite { secret, meeting } = aid else {
            return turn.refuse(asker, Refusal::BadRequest("There is nothing random.".into()));
        };
        let own = self.state.invites.valid(now).filter(|invite| invite.by == Some(account)).count();
        if !is_admin && own >= self.rules.member_invites_max {
            return turn.refuse(asker, Refusal::TooManyInvites);
        }
        let by = Some(account);
        let expires_in_ms = self.rules.invite_ms;
        match self.make_invite(now, &secret, by, role, expires_in_ms, false, turn) {
            Some(number) => {
                let invited = (number, secret, role, expires_in_ms);
                turn.answer(asker, invited_outcome(invited, meeting));
            }
            None => turn.refuse(asker, Refusal::TooManyInvites),
        }
    }

    /// Makes an invite and returns what it is called; none if there are too many.
    #[expect(clippy::too_many_arguments, reason = "what an invite is made of")]
    pub(crate) fn make_invite(
        &mut self,
        time: Time,
        secret: &InviteSecret,
        by: Option<AccountId>,
        role: Role,
        valid_ms: u64,
        is_first: bool,
        turn: &mut Turn,
    ) -> Option<u64> {
        // Members share a number; those who keep order must not be shut out by them.
        let is_member = by.is_some_and(|by| !self.is_admin(by));
        let most = self.rules.invites_max * if is_member { 1 } else { 2 };
        if self.state.invites.valid(time).count() >= most {
            return None;
        }
        let number = self.state.invites.last() + 1;
        let (hash, expires) = (hash(secret), time.plus(valid_ms));
        self.emit(turn, Record::Invite { number, hash, by, role, is_first, expires, time });
        Some(number)
    }

    /// Members see their own, administrators all.
    pub(crate) fn invites(&self, now: Time, account: AccountId, asker: &Asker, turn: &mut Turn) {
        let is_admin = self.is_admin(account);
        let seen = self.state.invites.valid(now);
        let seen = seen.filter(|invite| is_admin || invite.by == Some(account));
        turn.answer(asker, Outcome::Invites(seen.map(|invite| self.shown(invite, now)).collect()));
    }

    /// Members take back their own, administrators all; of others nobody learns whether they are.
    pub(crate) fn revoke_invite(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        number: u64,
        turn: &mut Turn,
    ) {
        let invite = self.state.invites.get(number, now);
        if !invite.is_some_and(|invite| self.is_admin(account) || invite.by == Some(account)) {
            return turn.refuse(asker, Refusal::InviteNotExist);
        }
        self.emit(turn, Record::InviteGone { number });
        turn.answer(asker, Outcome::Done);
    }

    /// Takes invites back.
    pub(crate) fn revoke_invites(
        &mut self,
        fits: impl Fn(&InviteSnapshot) -> bool,
        turn: &mut Turn,
    ) {
        for number in self.state.invites.numbers(fits) {
            self.emit(turn, Record::InviteGone { number });
        }
    }
}

fn invited_outcome(
    (number, secret, role, expires_in_ms): (u64, InviteSecret, Role, u64),
    meeting: Meeting,
) -> Outcome {
    Outcome::Invited { number, secret, role, expires_in_ms, meeting }
}

fn hash(secret: &InviteSecret) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}
