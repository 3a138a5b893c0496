//! Making accounts, setting their passwords, and what an operator sees of them.

use whoelse_proto::{Name, Role};

use crate::record::{AccountId, PasswordHash, Record, Time};
use crate::{Engine, Turn};

/// Why an account was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddRefusal {
    /// There is one of this name.
    Exists {
        /// Which.
        account: AccountId,
        /// Whether it has a password.
        has_password: bool,
    },
    /// People could take the name for this other one.
    LooksLike(Name),
    /// It was somebody's who was removed; nobody else is ever called that.
    Retired,
}

/// What an operator sees of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What the person is called.
    pub name: Name,
    /// What the person may do.
    pub role: Role,
    /// Whether an administrator keeps the person from logging in.
    pub is_locked: bool,
    /// Until when wrong passwords keep everybody from logging in under this name. It may be over.
    pub locked_until: Option<Time>,
    /// Whether there is a session, being away included.
    pub is_online: bool,
    /// When the last session began or, if it has ended, ended; none if there never was one.
    pub last_seen: Option<Time>,
    /// How many devices may resume.
    pub devices: usize,
    /// How many messages wait.
    pub waiting: usize,
}

impl Engine {
    /// Everybody who was not removed, in the order in which they were added.
    pub fn people(&self) -> impl Iterator<Item = Person> {
        self.state.accounts.iter().filter(|account| !account.is_removed).map(|account| Person {
            name: account.name.clone(),
            role: account.role,
            is_locked: account.is_locked,
            locked_until: account.lockout.locked_until,
            is_online: account.session.is_some(),
            last_seen: account.last_seen,
            devices: account.devices.len(),
            waiting: account.mailbox.len(),
        })
    }

    pub(crate) fn add_account(
        &mut self,
        now: Time,
        name: Name,
        password: Option<PasswordHash>,
        distinct: bool,
        role: Role,
        turn: &mut Turn,
    ) -> Result<AccountId, AddRefusal> {
        self.check_name_is_free(&name, distinct)?;
        let account = self.state.next_account();
        self.emit(turn, Record::Account { account, name, password, time: now });
        if role != Role::default() {
            self.emit(turn, Record::Role { account, role });
        }
        Ok(account)
    }

    /// Says whether somebody new may take a name. Those of people who were removed are taken.
    pub(crate) fn check_name_is_free(
        &self,
        name: &Name,
        is_distinct: bool,
    ) -> Result<(), AddRefusal> {
        if let Some(account) = self.state.account_by_name.get(name) {
            let other = self.state.account(*account);
            if other.is_removed {
                return Err(AddRefusal::Retired);
            }
            let has_password = other.password.is_some();
            return Err(AddRefusal::Exists { account: *account, has_password });
        }
        let mut others = self.state.accounts.iter().map(|account| &account.name);
        match others.find(|other| is_distinct && name.looks_like(other)) {
            Some(other) => Err(AddRefusal::LooksLike(other.clone())),
            None => Ok(()),
        }
    }

    /// The first password of somebody imported was hashed. By now there may be another.
    pub(crate) fn set_first_password(
        &mut self,
        account: AccountId,
        hash: PasswordHash,
        turn: &mut Turn,
    ) {
        let person = self.state.account(account);
        if person.password.is_none() && !person.is_removed {
            self.emit(turn, Record::Password { account, hash });
        }
    }

    /// Gives an account another password: checks of the one before admit nobody any more.
    pub(crate) fn change_password(
        &mut self,
        account: AccountId,
        hash: PasswordHash,
        turn: &mut Turn,
    ) {
        self.emit(turn, Record::Password { account, hash });
        self.state.account_mut(account).password_version += 1;
    }

    /// Applies a record and has it stored.
    pub(crate) fn emit(&mut self, turn: &mut Turn, record: Record) {
        self.state.apply(&self.rules, &record);
        turn.records.push(record);
    }
}
