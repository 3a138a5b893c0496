//! Changing one's password.
//!
//! The old one is checked as a login's is, then the new one is hashed; in between the session may
//! end, and then nothing changes.

use whoelse_proto::{Outcome, Passwd, Password, Refusal, check_new_password};

use crate::join::Joining;
use crate::lockout::{Attempt, Pending, Purpose, Subject};
use crate::record::{AccountId, PasswordHash};
use crate::{Asker, Effect, Engine, Now, Ticket, Turn};

/// A new password that is being hashed.
pub(crate) enum Hashing {
    /// Of somebody new.
    Join(Joining),
    /// Of somebody who knew the old one.
    Passwd {
        asker: Asker,
        account: AccountId,
        /// Which password it was.
        version: u32,
    },
}

impl Engine {
    pub(crate) fn passwd(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        passwd: &Passwd<'_>,
        turn: &mut Turn,
    ) {
        if self.is_pending(asker, turn) {
            return;
        }
        let name = self.state.account(account).name.as_str();
        if let Err(why) = check_new_password(name, &passwd.new) {
            return turn.refuse(asker, Refusal::BadPassword(why));
        }
        let interval_us = self.rules.passwd_interval_ms.saturating_mul(1000);
        let burst = self.rules.passwd_burst;
        let allowance = &mut self.state.account_mut(account).passwds;
        if let Err(retry_after_ms) = allowance.take(now.time, interval_us, burst) {
            return turn.refuse(asker, Refusal::TooFast { retry_after_ms });
        }
        // A person who is logged in is no stranger: no source answers for it.
        let purpose = Purpose::Passwd(passwd.new.as_ref().into());
        let attempt = Attempt { asker: asker.clone(), source: None, purpose };
        let old = passwd.old.as_ref().into();
        self.have_checked(now, Subject::Account(account), attempt, old, turn);
    }

    /// The old password was right: has the new one hashed.
    pub(crate) fn have_hashed(
        &mut self,
        now: Now,
        account: AccountId,
        asker: Asker,
        new: Password,
        turn: &mut Turn,
    ) {
        self.forget_strikes(now, account, turn);
        if self.state.account_of(asker.connection) != Some(account) {
            return; // its session has ended
        }
        let version = self.state.account(account).password_version;
        self.start_hash(Hashing::Passwd { asker, account, version }, new, turn);
    }

    pub(crate) fn start_hash(&mut self, hashing: Hashing, password: Password, turn: &mut Turn) {
        let ticket = self.next_ticket();
        let connection = match &hashing {
            Hashing::Join(joining) => joining.asker.connection,
            Hashing::Passwd { asker, .. } => asker.connection,
        };
        self.set_pending(connection, Some(Pending::Hash));
        self.state.hashes.insert(ticket, hashing);
        turn.effects.push(Effect::Hash { ticket, password });
    }

    /// A new password was hashed. Much may have happened since it was asked for.
    pub(crate) fn hashed(&mut self, now: Now, ticket: Ticket, hash: PasswordHash, turn: &mut Turn) {
        match self.state.hashes.remove(&ticket) {
            Some(Hashing::Join(joining)) => self.joined(now, joining, hash, turn),
            Some(Hashing::Passwd { asker, account, version }) => {
                self.set_pending(asker.connection, None);
                let is_there = self.state.account_of(asker.connection) == Some(account);
                if is_there && self.state.account(account).password_version == version {
                    self.change_password(account, hash, turn);
                    self.revoke_devices(account, self.device_of(account), turn);
                    turn.answer(&asker, Outcome::Done);
                }
            }
            None => {}
        }
    }
}
