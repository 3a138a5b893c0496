//! All that the engine remembers, and how records change it.
//!
//! Only [`State::apply`] changes what lasts; live operation and recovery go through the same
//! lines. Sessions, connections and timers do not last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use whoelse_proto::Name;

use crate::lockout::{Check, Lockout, Strangers, Subject};
use crate::mailbox::Mailbox;
use crate::rates::Allowance;
use crate::record::{AccountId, PasswordHash, Record, Time};
use crate::retries::Retries;
use crate::rules::Rules;
use crate::sessions::Session;
use crate::snapshot::{AccountSnapshot, Snapshot};
use crate::timers::Timers;
use crate::{ConnectionId, Ticket};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: Vec<Account>,
    pub(crate) account_by_name: HashMap<Name, AccountId>,
    pub(crate) newest: Time,
    /// Ended sessions by when they ended: the latest of each account.
    pub(crate) seen: BTreeSet<(Time, AccountId)>,
    /// Accounts with a session, being away included.
    pub(crate) online: BTreeSet<AccountId>,
    pub(crate) connections: FxHashMap<ConnectionId, Connection>,
    pub(crate) timers: Timers,
    pub(crate) checks: BTreeMap<Ticket, Check>,
    pub(crate) tickets: u64,
    /// Password checks that wait for their turn, over all accounts.
    pub(crate) checks_waiting: usize,
    pub(crate) strangers: Strangers,
    pub(crate) heartbeat_at: Option<Time>,
}

pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) name: Name,
    pub(crate) password: Option<PasswordHash>,
    pub(crate) lockout: Lockout,
    /// When its last session began or, if it has ended, ended.
    pub(crate) last_seen: Option<Time>,
    /// Whether a session is open as far as records tell.
    pub(crate) open: bool,
    pub(crate) blocks: BTreeSet<AccountId>,
    /// How many people block this one.
    pub(crate) blocked_by: usize,
    pub(crate) mailbox: Mailbox,
    pub(crate) retries: Retries,
    pub(crate) session: Option<Session>,
    pub(crate) broadcasts: Allowance,
    pub(crate) requests: Allowance,
}

pub(crate) struct Connection {
    pub(crate) address: IpAddr,
    pub(crate) account: Option<AccountId>,
    /// Whose password is being checked for it.
    pub(crate) logging_in: Option<Subject>,
    /// Its session has ended and it is to be closed: nothing further is heard.
    pub(crate) is_closing: bool,
}

impl State {
    pub(crate) fn restore(rules: &Rules, snapshot: &Snapshot) -> Self {
        let mut state = Self { newest: snapshot.newest, ..Self::default() };
        for saved in &snapshot.accounts {
            state.restore_account(rules, saved);
        }
        for (index, saved) in snapshot.accounts.iter().enumerate() {
            let blocker = state.accounts[index].id;
            for blocked in &saved.blocks {
                state.apply(rules, &Record::Block { blocker, blocked: *blocked });
            }
        }
        state
    }

    fn restore_account(&mut self, rules: &Rules, saved: &AccountSnapshot) {
        let account = self.push_account(saved.name.clone(), saved.password.clone());
        account.lockout.restore(saved.strikes, saved.locked_until);
        account.last_seen = saved.last_seen;
        account.open = saved.open;
        account.mailbox = Mailbox::restore(saved.last_number, saved.acknowledged, &saved.waiting);
        for sent in &saved.sent {
            account.retries.remember(sent.retry, sent.time, rules);
        }
        let id = account.id;
        if let (Some(time), false) = (saved.last_seen, saved.open) {
            self.seen.insert((time, id));
        }
    }

    fn push_account(&mut self, name: Name, password: Option<PasswordHash>) -> &mut Account {
        let id = self.next_account();
        self.account_by_name.insert(name.clone(), id);
        self.accounts.push(Account {
            id,
            name,
            password,
            lockout: Lockout::default(),
            last_seen: None,
            open: false,
            blocks: BTreeSet::new(),
            blocked_by: 0,
            mailbox: Mailbox::default(),
            retries: Retries::default(),
            session: None,
            broadcasts: Allowance::default(),
            requests: Allowance::default(),
        });
        self.accounts.last_mut().expect("one was just added")
    }

    pub(crate) fn next_account(&self) -> AccountId {
        AccountId(u32::try_from(self.accounts.len()).expect("fewer than 2^32 accounts"))
    }

    /// Changes what lasts. The only place that does.
    pub(crate) fn apply(&mut self, rules: &Rules, record: &Record) {
        if let Some(time) = record.time() {
            self.newest = self.newest.max(time);
        }
        match record {
            Record::Account { account, name, password, time: _ } => {
                assert_eq!(*account, self.next_account(), "accounts are dense");
                self.push_account(name.clone(), password.clone());
            }
            Record::Password { account, hash } => {
                self.account_mut(*account).password = Some(hash.clone());
            }
            Record::Strikes { account, strikes, locked_until, time: _ } => {
                self.account_mut(*account).lockout.restore(*strikes, *locked_until);
            }
            Record::Block { blocker, blocked } => {
                if self.account_mut(*blocker).blocks.insert(*blocked) {
                    self.account_mut(*blocked).blocked_by += 1;
                }
            }
            Record::Unblock { blocker, blocked } => {
                if self.account_mut(*blocker).blocks.remove(blocked) {
                    self.account_mut(*blocked).blocked_by -= 1;
                }
            }
            Record::Message(message) => {
                let bytes = u32::try_from(message.body.len()).expect("a body fits a frame");
                let mailbox = &mut self.account_mut(message.to).mailbox;
                assert_eq!(message.number, mailbox.last().next(), "numbers are dense");
                mailbox.push(message.from, bytes);
                if let Some(retry) = message.retry {
                    self.account_mut(message.from).retries.remember(retry, message.time, rules);
                }
            }
            Record::Acknowledged { account, number } => {
                self.account_mut(*account).mailbox.acknowledge(*number);
            }
            Record::Login { account, time } => {
                self.set_seen(*account, *time, true);
                self.account_mut(*account).lockout.restore(0, None);
            }
            Record::Logout { account, time } => self.set_seen(*account, *time, false),
            _ => {}
        }
    }

    fn set_seen(&mut self, id: AccountId, time: Time, open: bool) {
        let account = &mut self.accounts[id.index()];
        if let (Some(before), false) = (account.last_seen, account.open) {
            self.seen.remove(&(before, id));
        }
        account.last_seen = Some(time);
        account.open = open;
        if !open {
            self.seen.insert((time, id));
        }
    }

    pub(crate) fn account(&self, id: AccountId) -> &Account {
        &self.accounts[id.index()]
    }

    pub(crate) fn account_mut(&mut self, id: AccountId) -> &mut Account {
        &mut self.accounts[id.index()]
    }

    /// The account a connection has logged in to.
    pub(crate) fn account_of(&self, connection: ConnectionId) -> Option<AccountId> {
        self.connections.get(&connection)?.account
    }

    /// The session's person did something.
    pub(crate) fn touch(&mut self, account: AccountId, now: Time) {
        if let Some(session) = &mut self.account_mut(account).session {
            session.last_command = now;
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let accounts = self.accounts.iter().map(|account| AccountSnapshot {
            name: account.name.clone(),
            password: account.password.clone(),
            strikes: account.lockout.strikes,
            locked_until: account.lockout.locked_until,
            last_seen: account.last_seen,
            open: account.open,
            blocks: account.blocks.iter().copied().collect(),
            last_number: account.mailbox.last(),
            acknowledged: account.mailbox.acknowledged(),
            waiting: account.mailbox.waiting(),
            sent: account.retries.snapshot(),
        });
        Snapshot { accounts: accounts.collect(), newest: self.newest }
    }

    pub(crate) fn check(&self, rules: &Rules) {
        let mut blocked_by = vec![0; self.accounts.len()];
        for (index, account) in self.accounts.iter().enumerate() {
            assert_eq!(account.id.index(), index);
            assert_eq!(self.account_by_name.get(account.name.as_str()), Some(&account.id));
            account.mailbox.check();
            account.lockout.check(rules);
            for blocked in &account.blocks {
                assert_ne!(*blocked, account.id, "nobody blocks oneself");
                blocked_by[blocked.index()] += 1;
            }
            assert_eq!(account.session.is_some(), self.online.contains(&account.id));
            if let Some(session) = &account.session {
                assert!(account.open, "a session is on record");
                assert!(session.sent <= account.mailbox.last());
                assert_eq!(session.connection.is_none(), session.away_until.is_some());
                if let Some(connection) = session.connection {
                    assert_eq!(self.account_of(connection), Some(account.id));
                }
            }
            let ended = account.last_seen.filter(|_| !account.open);
            assert_eq!(
                ended.is_some_and(|time| self.seen.contains(&(time, account.id))),
                ended.is_some()
            );
        }
        for account in &self.accounts {
            assert_eq!(account.blocked_by, blocked_by[account.id.index()]);
        }
        let waiting: usize =
            self.accounts.iter().map(|account| account.lockout.waiting.len()).sum();
        assert_eq!(self.checks_waiting, waiting + self.strangers.waiting());
        assert!(self.checks_waiting + self.checks.len() <= rules.checks_max);
        assert_eq!(self.heartbeat_at.is_some(), !self.online.is_empty());
    }
}
