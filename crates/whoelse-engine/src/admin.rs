//! What administrators may do in a session, and operators from outside.

use whoelse_proto::event::Reason;
use whoelse_proto::{Outcome, Refusal, Role};

use crate::lockout::Subject;
use crate::record::{AccountId, PasswordHash, Record};
use crate::{Asker, Engine, Now, Order, OrderRefusal, Ordered, Turn};

impl Engine {
    pub(crate) fn is_admin(&self, account: AccountId) -> bool {
        self.state.account(account).role == Role::Admin
    }

    /// Locks a person out, or lets it in again, for an administrator who is logged in.
    pub(crate) fn set_locked(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        (user, is_locked): (&str, bool),
        turn: &mut Turn,
    ) {
        if !self.is_admin(account) {
            return turn.refuse(asker, Refusal::NotAllowed);
        }
        let Some(other) = self.other(now.time, account, asker, user, turn) else { return };
        self.lock_account(now, other, is_locked, turn);
        turn.answer(asker, Outcome::Done);
    }

    /// Returns whether it was not so already.
    fn lock_account(
        &mut self,
        now: Now,
        account: AccountId,
        is_locked: bool,
        turn: &mut Turn,
    ) -> bool {
        if self.state.account(account).is_locked == is_locked {
            return false;
        }
        self.emit(turn, Record::Locked { account, is_locked });
        if is_locked {
            self.expel(now.time, account, Reason::Locked, turn);
        }
        true
    }

    /// Does what an operator wants.
    pub(crate) fn order(
        &mut self,
        now: Now,
        order: Order,
        turn: &mut Turn,
    ) -> Result<Ordered, OrderRefusal> {
        match order {
            Order::SetPassword { name, hash } => {
                let account = self.ordered(&name)?;
                self.replace_password(now, account, hash, turn);
                Ok(Ordered::Done)
            }
            Order::Lock { name } => {
                let account = self.ordered(&name)?;
                Ok(outcome(self.lock_account(now, account, true, turn)))
            }
            Order::Unlock { name } => {
                let account = self.ordered(&name)?;
                let was_locked = self.lock_account(now, account, false, turn);
                let had_strikes = self.unlock(now, account, turn);
                Ok(outcome(was_locked || had_strikes))
            }
            Order::Remove { name } => {
                let account = self.ordered(&name)?;
                self.remove(now, account, turn);
                Ok(Ordered::Done)
            }
            Order::SetRole { name, role } => {
                let account = self.ordered(&name)?;
                Ok(outcome(self.set_role(account, role, turn)))
            }
            Order::Invite { secret, role, valid_ms, is_first } => {
                if is_first {
                    self.revoke_invites(|invite| invite.is_first, turn);
                }
                let number =
                    // One that has expired when it is made would never be found again.
                    self.make_invite(now.time, &secret, None, role, valid_ms.max(1), is_first, turn);
                number.map(|number| Ordered::Invited { number }).ok_or(OrderRefusal::TooManyInvites)
            }
            Order::RevokeInvite { number } => {
                if self.state.invites.get(number, now.time).is_none() {
                    return Err(OrderRefusal::NoSuchInvite);
                }
                self.emit(turn, Record::InviteGone { number });
                Ok(Ordered::Done)
            }
        }
    }

    fn ordered(&self, name: &str) -> Result<AccountId, OrderRefusal> {
        self.state.find(name).ok_or(OrderRefusal::NoSuchPerson)
    }

    /// Whoever knew the password before has no way in any more.
    fn replace_password(
        &mut self,
        now: Now,
        account: AccountId,
        hash: PasswordHash,
        turn: &mut Turn,
    ) {
        self.change_password(account, hash, turn);
        self.expel(now.time, account, Reason::PasswordChanged, turn);
        self.revoke_devices(account, None, turn);
        self.unlock(now, account, turn);
    }

    /// Forgets wrong passwords. Returns whether there were any.
    fn unlock(&mut self, now: Now, account: AccountId, turn: &mut Turn) -> bool {
        let lockout = &mut self.state.account_mut(account).lockout;
        lockout.locked_for(now.time);
        let had_strikes = lockout.strikes > 0;
        self.forget_strikes(now, account, turn);
        self.start_checks(now.time, Subject::Account(account), turn);
        had_strikes
    }

    fn remove(&mut self, now: Now, account: AccountId, turn: &mut Turn) {
        self.expel(now.time, account, Reason::Removed, turn);
        self.forget_checks(now.time, account, turn);
        self.emit(turn, Record::Removed { account, time: now.time });
    }

    /// Returns whether it was not so already. Whoever is no administrator any more has made none.
    fn set_role(&mut self, account: AccountId, role: Role, turn: &mut Turn) -> bool {
        if self.state.account(account).role == role {
            return false;
        }
        self.emit(turn, Record::Role { account, role });
        self.revoke_invites(|invite| invite.by == Some(account) && invite.role > role, turn);
        true
    }
}

fn outcome(is_changed: bool) -> Ordered {
    if is_changed { Ordered::Done } else { Ordered::Unchanged }
}
