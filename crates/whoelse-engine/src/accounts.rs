//! Making accounts and setting their passwords.

use whoelse_proto::Name;

use crate::record::{AccountId, PasswordHash, Record};
use crate::{Engine, Now, Turn};

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
}

impl Engine {
    pub(crate) fn add_account(
        &mut self,
        now: Now,
        name: Name,
        password: Option<PasswordHash>,
        distinct: bool,
        turn: &mut Turn,
    ) -> Result<AccountId, AddRefusal> {
        if let Some(account) = self.state.account_by_name.get(&name) {
            let has_password = self.state.account(*account).password.is_some();
            return Err(AddRefusal::Exists { account: *account, has_password });
        }
        if distinct {
            let mut others = self.state.accounts.iter().map(|account| &account.name);
            if let Some(other) = others.find(|other| name.looks_like(other)) {
                return Err(AddRefusal::LooksLike(other.clone()));
            }
        }
        let account = self.state.next_account();
        self.emit(turn, Record::Account { account, name, password, time: now.time });
        Ok(account)
    }

    pub(crate) fn set_password(&mut self, account: AccountId, hash: PasswordHash, turn: &mut Turn) {
        self.emit(turn, Record::Password { account, hash });
    }

    /// Applies a record and has it stored.
    pub(crate) fn emit(&mut self, turn: &mut Turn, record: Record) {
        self.state.apply(&self.rules, &record);
        turn.records.push(record);
    }
}
