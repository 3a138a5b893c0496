//! What lasts: compared with the engine's own account of it, and brought back after a crash.

use whoelse_engine::{AccountId, AccountSnapshot, Record, Snapshot};
use whoelse_proto::Role;

use super::{Model, Person, Session};

impl Model {
    /// The server begins: whoever was online left at the newest time known, and whatever was under
    /// way is forgotten.
    pub(super) fn restarted(&mut self, now: u64, newest: u64) {
        let latest = now + self.rules.block_ms;
        let limit = |until: Option<u64>| until.map(|until| until.min(latest));
        for person in &mut self.people {
            if person.session.take().is_some() {
                person.ended_at = Some(newest);
            }
            person.lock.until = limit(person.lock.until);
        }
        for lock in self.strangers.values_mut() {
            lock.until = limit(lock.until);
        }
    }

    /// The server has ended: what it had only in memory is gone.
    pub fn crashed(&mut self) {
        let locks = self.people.iter_mut().map(|person| &mut person.lock);
        for lock in locks.chain(self.strangers.values_mut()) {
            lock.in_flight = 0;
            lock.waiting.clear();
            (lock.strikes, lock.until) = lock.recorded;
        }
        self.lines.clear();
        self.checks.clear();
        self.hashes.clear();
        self.tickets = 0;
        self.is_disk_full = false;
    }

    /// One of the records that one input led to, when a crash took back those after it.
    ///
    /// Returns false for a record that comes alone.
    pub fn replay(&mut self, record: &Record) -> bool {
        match record {
            Record::Heartbeat { .. } => {}
            Record::Logout { account, time } => {
                self.people[account.index()].session = None;
                self.people[account.index()].ended_at = Some(time.0);
            }
            Record::Login { account, .. } => {
                let person = &mut self.people[account.index()];
                person.lock.clear();
                person.begin();
            }
            Record::Resumed { account, .. } => self.people[account.index()].begin(),
            Record::Strikes { account, strikes: 0, .. } => {
                self.people[account.index()].lock.clear();
            }
            Record::Password { account, hash } => {
                self.people[account.index()].password = hash.0.to_string();
            }
            Record::Locked { account, is_locked } => {
                self.people[account.index()].is_locked = *is_locked;
            }
            Record::Device { account, key, name, time } => {
                self.register(time.0, account.index(), Some(&(*key, name.to_string())));
            }
            Record::DeviceUsed { account, key, time } => {
                self.register(time.0, account.index(), Some(&(*key, String::new())));
            }
            Record::DeviceRevoked { account, key } => {
                self.people[account.index()].devices.retain(|it| it.key != *key);
                self.forget_files();
            }
            Record::ShareRenewed { owner, hash, time } => {
                self.renew(time.0, owner.index(), *hash);
            }
            Record::Unshare { owner, hash } => {
                self.shares.remove(&(owner.index(), *hash));
            }
            Record::Account { name, password, .. } => {
                let password = password.as_ref().map_or("", |hash| &hash.0);
                self.add(name.as_str(), password, false);
            }
            Record::Role { account, role } => {
                self.people[account.index()].is_admin = *role == Role::Admin;
            }
            Record::InviteGone { number } => {
                self.invites.remove(number);
            }
            Record::Strikes { .. }
            | Record::Block { .. }
            | Record::Unblock { .. }
            | Record::Message(_)
            | Record::Acknowledged { .. }
            | Record::Guess { .. }
            | Record::Stranger { .. }
            | Record::Removed { .. }
            | Record::Invite { .. }
            | Record::Share(_) => return false,
        }
        true
    }

    /// Compares what lasts with what the engine says.
    ///
    /// # Errors
    /// Says what differs.
    pub fn compare(&self, now: u64, found: &Snapshot) -> Result<(), String> {
        if found.accounts.len() != self.people.len() {
            let (found, expected) = (found.accounts.len(), self.people.len());
            return Err(format!("{found} accounts, expected {expected}"));
        }
        let invites = found.invites.iter().filter(|invite| invite.expires.0 > now);
        let invites: Vec<_> = invites
            .map(|it| (it.number, it.by.map(AccountId::index), it.role, it.expires.0))
            .collect();
        let role = |admin| if admin { Role::Admin } else { Role::Member };
        let expected: Vec<_> = (self.invites.iter().filter(|(_, it)| it.expires > now))
            .map(|(number, it)| (*number, Some(it.by), role(it.admin), it.expires))
            .collect();
        self.compare_shares(found)?;
        same("invites", &(expected, self.last_invite), &(invites, found.last_invite))?;
        for (person, account) in self.people.iter().zip(&found.accounts) {
            person
                .compare(now, self.rules.retry_ms, account)
                .map_err(|fault| format!("{}: {fault}", person.name))?;
        }
        Ok(())
    }
}

impl Person {
    /// A session of which nothing is known but that it was there.
    fn begin(&mut self) {
        self.failed = 0;
        self.session = Some(Session {
            connection: None,
            away_until: None,
            instance: None,
            protocol: true,
            port: None,
            device: None,
            last_command: 0,
            sent: 0,
            receipts: false,
            links: false,
            claims: std::collections::BTreeMap::new(),
        });
    }

    fn compare(&self, now: u64, retry_ms: u64, found: &AccountSnapshot) -> Result<(), String> {
        let password = found.password.as_ref().map_or("", |hash| &hash.0);
        same("name", found.name.as_str(), self.name.as_str())?;
        same("password", self.password.as_str(), password)?;
        same("role", &self.is_admin, &(found.role == Role::Admin))?;
        same("locked out", &self.is_locked, &found.is_locked)?;
        // A lock that has run out is none, whether or not somebody has noticed.
        let lock = |strikes: u8, until: Option<u64>| match until {
            Some(until) if until <= now => (0, None),
            until => (strikes, until),
        };
        let found_until = found.locked_until.map(|until| until.0);
        same("lock", &lock(self.lock.strikes, self.lock.until), &lock(found.strikes, found_until))?;
        same("failed", &self.failed, &found.failed_logins)?;
        let ended = found.last_seen.filter(|_| !found.open).map(|at| at.0);
        same("ended", &self.ended_at.filter(|_| self.session.is_none()), &ended)?;
        same("online", &self.session.is_some(), &found.open)?;
        let blocks = found.blocks.iter().map(|id| id.index());
        same_all("blocks", self.blocks.iter().copied(), blocks)?;
        same("last mail", &self.last(), &found.last_number.0)?;
        same("acknowledged", &self.acknowledged, &found.acknowledged.0)?;
        let waiting = found.waiting.iter();
        let waiting = waiting.map(|it| (it.from.index(), it.bytes as usize, it.receipt));
        let expected = self.waiting.iter().map(|it| (it.from, it.bytes, it.key()));
        same_all("waiting mail", expected, waiting)?;
        let devices = found.devices.iter();
        let devices = devices.map(|it| (it.key, it.name.as_ref(), it.added.0, it.used.0));
        let own = self.devices.iter().map(|it| (it.key, it.name.as_str(), it.added, it.used));
        same_all("devices", own, devices)?;
        // Whoever no longer counts may be forgotten.
        let counts = |time: &u64| now.saturating_sub(*time) <= retry_ms;
        let times = self.sent.order.iter().map(|(_, time)| *time).filter(counts);
        same_all("ids", times, found.sent.iter().map(|it| it.time.0).filter(counts))
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}"))
}

pub(super) fn same_all<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: impl Iterator<Item = T> + Clone,
    found: impl Iterator<Item = T> + Clone,
) -> Result<(), String> {
    if expected.clone().eq(found.clone()) {
        return Ok(());
    }
    let (expected, found): (Vec<T>, Vec<T>) = (expected.collect(), found.collect());
    Err(format!("{what}: expected {expected:?}, found {found:?}"))
}
