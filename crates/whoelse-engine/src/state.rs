//! All that the engine remembers, and how records change it.
//!
//! Only [`State::apply`] changes what lasts; live operation and recovery go through the same
//! lines. Sessions, connections and timers do not last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use whoelse_proto::share::folded;
use whoelse_proto::{FileHash, Name, ReceiptKey, Role};

use crate::devices::Devices;
use crate::invites::Invites;
use crate::links::Asked;
use crate::links::introductions::Introductions;
use crate::lockout::{Check, Lockout, Pending};
use crate::mailbox::Mailbox;
use crate::passwd::Hashing;
use crate::rates::Allowance;
use crate::record::{self, AccountId, Message, PasswordHash, Record, Time};
use crate::retries::Retries;
use crate::rules::Rules;
use crate::sessions::Session;
use crate::shares::claims::Claims;
use crate::shares::registry::{Share, Shares};
use crate::snapshot::{
    AccountSnapshot, DeviceSnapshot, InviteSnapshot, SentSnapshot, Snapshot, StrangerSnapshot,
    WaitingSnapshot,
};
use crate::sources::Sources;
use crate::strangers::Strangers;
use crate::timers::{Timer, Timers};
use crate::{ConnectionId, Ticket};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: Vec<Account>,
    /// Names of people who were removed are in it, too: they are never given again.
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
    /// New passwords that are being hashed.
    pub(crate) hashes: BTreeMap<Ticket, Hashing>,
    pub(crate) strangers: Strangers,
    pub(crate) sources: Sources,
    /// How far all who join have used up what they may cost together.
    pub(crate) joins: Allowance,
    pub(crate) invites: Invites,
    /// Private links that are being made.
    pub(crate) introductions: Introductions,
    /// What people share.
    pub(crate) shares: Shares,
    /// When the oldest share expires, if somebody waits for that.
    pub(crate) expiry_at: Option<Time>,
    /// Who can give what of it now.
    pub(crate) claims: Claims,
    /// How far all who search have used up what they may cost together.
    pub(crate) searches: Allowance,
    /// Nothing may be taken that makes the data grow for good.
    pub(crate) is_disk_full: bool,
    pub(crate) heartbeat_at: Option<Time>,
}

pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) name: Name,
    pub(crate) password: Option<PasswordHash>,
    /// Counts its changes since the start: a check of an earlier one proves nothing.
    pub(crate) password_version: u32,
    pub(crate) role: Role,
    /// An administrator keeps the person from logging in.
    pub(crate) is_locked: bool,
    /// Nothing is left but the name.
    pub(crate) is_removed: bool,
    pub(crate) lockout: Lockout,
    /// Failed logins that the person was not told of.
    pub(crate) failed_logins: u32,
    pub(crate) devices: Devices,
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
    pub(crate) passwds: Allowance,
    pub(crate) suggestions: Allowance,
    pub(crate) searches: Allowance,
    /// Whom it has asked for private links lately.
    pub(crate) asked: Asked,
}

pub(crate) struct Connection {
    pub(crate) address: IpAddr,
    pub(crate) account: Option<AccountId>,
    /// A password is being checked or hashed for it.
    pub(crate) pending: Option<Pending>,
    /// Its session has ended and it is to be closed: nothing further is heard.
    pub(crate) is_closing: bool,
}

impl State {
    pub(crate) fn restore(rules: &Rules, snapshot: &Snapshot) -> Self {
        let invites = Invites::restore(&snapshot.invites, snapshot.last_invite);
        let mut state = Self { newest: snapshot.newest, invites, ..Self::default() };
        for saved in &snapshot.strangers {
            state.strangers.apply(*saved, rules);
        }
        for saved in &snapshot.accounts {
            state.restore_account(rules, saved);
        }
        for (index, saved) in snapshot.accounts.iter().enumerate() {
            let blocker = state.accounts[index].id;
            for blocked in &saved.blocks {
                state.apply(rules, &Record::Block { blocker, blocked: *blocked });
            }
        }
        snapshot.shares.iter().for_each(|share| state.add_share(share));
        state
    }

    fn restore_account(&mut self, rules: &Rules, saved: &AccountSnapshot) {
        let account = self.push_account(saved.name.clone(), saved.password.clone());
        account.role = saved.role;
        account.is_locked = saved.is_locked;
        account.is_removed = saved.is_removed;
        account.lockout.restore(saved.strikes, saved.locked_until);
        account.failed_logins = saved.failed_logins;
        saved.devices.iter().for_each(|device| account.devices.add(device.clone()));
        account.last_seen = saved.last_seen;
        account.open = saved.open;
        account.mailbox = Mailbox::restore(saved.last_number, saved.acknowledged, &saved.waiting);
        for sent in &saved.sent {
            account.retries.remember(*sent, rules);
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
            password_version: 0,
            role: Role::default(),
            is_locked: false,
            is_removed: false,
            lockout: Lockout::default(),
            failed_logins: 0,
            devices: Devices::default(),
            last_seen: None,
            open: false,
            blocks: BTreeSet::new(),
            blocked_by: 0,
            mailbox: Mailbox::default(),
            retries: Retries::default(),
            session: None,
            broadcasts: Allowance::default(),
            requests: Allowance::default(),
            passwds: Allowance::default(),
            suggestions: Allowance::default(),
            searches: Allowance::default(),
            asked: Asked::default(),
        });
        self.accounts.last_mut().expect("one was just added")
    }

    pub(crate) fn next_account(&self) -> AccountId {
        AccountId(u32::try_from(self.accounts.len()).expect("fewer than 2^32 accounts"))
    }

    /// The account of somebody who is there.
    pub(crate) fn find(&self, name: &str) -> Option<AccountId> {
        let account = *self.account_by_name.get(name)?;
        (!self.account(account).is_removed).then_some(account)
    }

    /// Changes what lasts. The only place that does.
    pub(crate) fn apply(&mut self, rules: &Rules, record: &Record) {
        if let Some(time) = record.time() {
            self.newest = self.newest.max(time);
            self.invites.purge(self.newest);
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
                let account = self.account_mut(*account);
                account.lockout.restore(*strikes, *locked_until);
                account.failed_logins += u32::from(*strikes > 0);
            }
            Record::Stranger { key, strikes, locked_until, time } => {
                let (key, strikes, locked_until, time) = (*key, *strikes, *locked_until, *time);
                let saved = StrangerSnapshot { key, strikes, locked_until, time };
                self.strangers.apply(saved, rules);
            }
            Record::Block { blocker, blocked } => self.set_blocked(*blocker, *blocked, true),
            Record::Unblock { blocker, blocked } => self.set_blocked(*blocker, *blocked, false),
            Record::Message(message) => self.apply_message(rules, message),
            Record::Acknowledged { account, number } => {
                self.account_mut(*account).mailbox.acknowledge(*number);
            }
            Record::Login { account, time } => {
                self.account_mut(*account).lockout.restore(0, None);
                self.began(*account, *time);
            }
            Record::Resumed { account, time } => self.began(*account, *time),
            Record::Logout { account, time } => self.set_seen(*account, *time, false),
            Record::Heartbeat { .. } | Record::Guess { .. } => {}
            Record::Device { account, key, name, time } => {
                let (key, name, time) = (*key, name.clone(), *time);
                let device = DeviceSnapshot { key, name, added: time, used: time };
                self.account_mut(*account).devices.add(device);
            }
            Record::DeviceUsed { account, key, time } => {
                self.account_mut(*account).devices.set_used(key, *time);
            }
            Record::DeviceRevoked { account, key } => {
                self.account_mut(*account).devices.remove(key);
                for hash in self.shares.of_device(*account, key) {
                    self.remove_share(*account, hash);
                }
            }
            Record::Role { account, role } => self.account_mut(*account).role = *role,
            Record::Locked { account, is_locked } => {
                self.account_mut(*account).is_locked = *is_locked;
            }
            Record::Removed { account, time: _ } => self.remove(*account),
            Record::Invite { number, hash, by, role, is_first, expires, time: _ } => {
                let (number, hash, by, role) = (*number, *hash, *by, *role);
                let (is_first, expires) = (*is_first, *expires);
                self.invites.add(InviteSnapshot { number, hash, by, role, is_first, expires });
            }
            Record::InviteGone { number } => self.invites.remove(*number),
            Record::Share(share) => self.add_share(share),
            Record::ShareRenewed { owner, hash, time } => self.shares.renew(*owner, *hash, *time),
            Record::Unshare { owner, hash } => self.remove_share(*owner, *hash),
        }
    }

    fn set_blocked(&mut self, blocker: AccountId, blocked: AccountId, is_blocked: bool) {
        let blocks = &mut self.account_mut(blocker).blocks;
        if is_blocked && blocks.insert(blocked) {
            self.account_mut(blocked).blocked_by += 1;
        } else if !is_blocked && blocks.remove(&blocked) {
            self.account_mut(blocked).blocked_by -= 1;
        }
    }

    fn add_share(&mut self, share: &record::Share) {
        let account = |name: &Name| {
            *self.account_by_name.get(name).expect("a file is shared with people of this server")
        };
        let added = Share {
            size: share.size,
            name: share.name.clone(),
            folded: folded(share.name.as_str()).into(),
            with: share.with.names().map(|names| names.iter().map(account).collect()),
            device: share.device,
            signature: share.signature,
            time: share.time,
        };
        self.shares.add(share.owner, share.hash, added);
    }

    /// Of a file that nobody shares nobody need know who has it.
    fn remove_share(&mut self, owner: AccountId, hash: FileHash) {
        self.shares.remove(owner, hash);
        if !self.shares.has(hash) {
            self.claims.remove_file(hash);
        }
    }

    fn apply_message(&mut self, rules: &Rules, message: &Message) {
        let bytes = u32::try_from(message.body.len()).expect("a body fits a frame");
        let mailbox = &mut self.account_mut(message.to).mailbox;
        assert_eq!(message.number, mailbox.last().next(), "numbers are dense");
        let receipt = message.retry.map(|retry| ReceiptKey::from_u128(retry.id));
        mailbox.push(WaitingSnapshot { from: message.from, bytes, receipt });
        if let Some(retry) = message.retry {
            let recipient = Some((message.to, message.number));
            let sent = SentSnapshot { retry, time: message.time, recipient };
            self.account_mut(message.from).retries.remember(sent, rules);
        }
    }

    /// A session began, and its person was told of failed logins.
    fn began(&mut self, account: AccountId, time: Time) {
        self.set_seen(account, time, true);
        self.account_mut(account).failed_logins = 0;
    }

    /// Nothing is left but the name, so that nobody else is ever called that.
    fn remove(&mut self, id: AccountId) {
        for blocked in std::mem::take(&mut self.account_mut(id).blocks) {
            self.account_mut(blocked).blocked_by -= 1;
        }
        for account in &mut self.accounts {
            account.blocks.remove(&id);
        }
        for number in self.invites.numbers(|invite| invite.by == Some(id)) {
            self.invites.remove(number);
        }
        let shared: Vec<FileHash> = self.shares.of(id).map(|(hash, _)| hash).collect();
        for hash in shared {
            self.remove_share(id, hash);
        }
        let account = &mut self.accounts[id.index()];
        if let (Some(ended), false) = (account.last_seen.take(), account.open) {
            self.seen.remove(&(ended, id));
        }
        let last = account.mailbox.last();
        account.mailbox.acknowledge(last);
        account.is_removed = true;
        account.open = false;
        account.blocked_by = 0;
        account.password = None;
        account.role = Role::default();
        account.is_locked = false;
        account.lockout.restore(0, None);
        account.failed_logins = 0;
        account.devices = Devices::default();
        account.retries = Retries::default();
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
            role: account.role,
            is_locked: account.is_locked,
            is_removed: account.is_removed,
            failed_logins: account.failed_logins,
            devices: account.devices.snapshot(),
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
        let shares = self.shares.iter();
        Snapshot {
            shares: shares.map(|(owner, hash, it)| self.share_record(owner, hash, it)).collect(),
            accounts: accounts.collect(),
            invites: self.invites.snapshot(),
            last_invite: self.invites.last(),
            strangers: self.strangers.snapshot(),
            newest: self.newest,
        }
    }

    pub(crate) fn check(&self, rules: &Rules) {
        let mut blocked_by = vec![0; self.accounts.len()];
        for (index, account) in self.accounts.iter().enumerate() {
            assert_eq!(account.id.index(), index);
            assert_eq!(self.account_by_name.get(account.name.as_str()), Some(&account.id));
            account.mailbox.check();
            account.lockout.check(rules);
            account.devices.check();
            assert!(account.devices.len() <= rules.devices_max);
            assert!(!account.is_removed || account.is_blank(), "nothing is left but the name");
            for blocked in &account.blocks {
                assert_ne!(*blocked, account.id, "nobody blocks oneself");
                blocked_by[blocked.index()] += 1;
            }
            assert_eq!(account.session.is_some(), self.online.contains(&account.id));
            if let Some(session) = &account.session {
                assert!(account.open, "a session is on record");
                assert!(!account.is_locked && !account.is_removed);
                assert!(session.device.is_none_or(|key| account.devices.get(&key).is_some()));
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
        self.check_passwords(rules);
        self.check_links(rules);
        self.check_shares(rules);
        self.invites.check();
        for invite in self.invites.snapshot() {
            assert!(invite.expires > self.newest, "what has expired is forgotten");
            assert!(invite.by.is_none_or(|by| !self.account(by).is_removed));
        }
        assert_eq!(self.heartbeat_at.is_some(), !self.online.is_empty());
    }

    /// Private links that are being made, and who may use the relay.
    fn check_links(&self, rules: &Rules) {
        self.introductions.check(rules);
        for (number, introduction) in self.introductions.iter() {
            let [caller, callee] = introduction.parties().map(|party| self.account(party));
            for (party, other) in [(caller, callee), (callee, caller)] {
                let session = party.session.as_ref().expect("both are there");
                assert!(session.connection.is_some() && session.has_links());
                assert!(!party.blocks.contains(&other.id), "a block ends it");
            }
            assert!(self.timers.has(introduction.expires, Timer::Introduction(number)));
        }
        for account in &self.accounts {
            let Some(session) = &account.session else { continue };
            assert!(session.relayed.len() <= rules.relayed_max);
            assert!(session.relayed.is_empty() || session.has_links() && rules.has_relay);
        }
    }

    /// What is shared, and who claims parts of it.
    fn check_shares(&self, rules: &Rules) {
        self.shares.check();
        self.claims.check(rules);
        assert!(self.shares.len() <= rules.shares_in_all_max);
        for (owner, hash, share) in self.shares.iter() {
            let account = self.account(owner);
            assert!(account.devices.get(&share.device).is_some(), "it can be said who signed it");
            assert!(!share.with.as_ref().is_some_and(|with| with.contains(&owner)));
            assert!(self.shares.has(hash));
        }
        for account in &self.accounts {
            assert!(self.shares.of(account.id).count() <= rules.shares_max);
        }
        for (account, hash) in self.claims.iter() {
            let session = self.account(account).session.as_ref();
            assert!(session.is_some_and(Session::has_links), "a claim is of a session");
            assert!(self.shares.has(hash), "of what nobody shares nobody has anything");
        }
        assert!(self.expiry_at.is_none_or(|at| self.timers.has(at, Timer::Shares)));
    }

    /// What is being checked and hashed, by all counts of it.
    fn check_passwords(&self, rules: &Rules) {
        let waiting: usize =
            self.accounts.iter().map(|account| account.lockout.waiting.len()).sum();
        assert_eq!(self.checks_waiting, waiting + self.strangers.waiting());
        let all = self.checks_waiting + self.checks.len() + self.hashes.len();
        assert!(all <= rules.checks_max);
        assert!(self.sources.checks() <= self.checks_waiting + self.checks.len());
        self.strangers.check(rules);
        self.sources.check(rules);
    }
}

impl Account {
    /// Whether nothing lasts of it but the name.
    fn is_blank(&self) -> bool {
        self.password.is_none()
            && self.blocks.is_empty()
            && self.blocked_by == 0
            && self.devices.len() == 0
            && self.mailbox.len() == 0
            && self.session.is_none()
            && !self.open
            && self.last_seen.is_none()
            && self.lockout.strikes == 0
            && self.failed_logins == 0
            && self.role == Role::default()
    }
}
