//! How people come in, and what keeps them out: passwords, devices, locks, invites.

use whoelse_engine::{ConnectionId, Record};
use whoelse_proto::Role;

use super::{Ask, Entry, Expected, Invite, Model, Person, Session, answer};

/// What an order of the operator says, where the model expects it.
type Told = Vec<(String, std::collections::BTreeSet<ConnectionId>)>;

impl Model {
    /// Somebody who has not logged in asks something.
    pub(super) fn enter(&mut self, now: u64, connection: ConnectionId, ask: &Ask) -> Expected {
        match ask {
            Ask::Login { person, password, entry } => {
                self.login(now, connection, *person, password, entry)
            }
            Ask::Resume { person, is_proven, entry } => {
                let devices = self.people.get(*person).map(|person| &person.devices);
                let is_known = devices.is_some_and(|devices| {
                    devices.iter().any(|(key, _, _)| Some(*key) == entry.device)
                });
                if !is_known || !is_proven {
                    return answer("RESUME_REFUSED");
                }
                self.admit(now, connection, *person, entry, false)
            }
            Ask::Join { secret, password, entry } => {
                let good = self.invites.iter().find(|(_, invite)| {
                    let is_kept_out = self.people[invite.by].is_locked;
                    invite.secret == *secret && invite.expires > now && !is_kept_out
                });
                let Some((number, is_admin)) = good.map(|(number, found)| (*number, found.admin))
                else {
                    return answer("INVITE_INVALID");
                };
                self.invites.remove(&number);
                let password = password.clone();
                self.people.push(Person { password, is_admin, ..Person::default() });
                self.admit(now, connection, self.people.len() - 1, entry, true)
            }
            _ => answer("NOT_LOGGED_IN"),
        }
    }

    fn login(
        &mut self,
        now: u64,
        connection: ConnectionId,
        who: usize,
        password: &str,
        entry: &Entry,
    ) -> Expected {
        match self.check(now, who, password) {
            None => self.admit(now, connection, who, entry, true),
            Some(status) => answer(status),
        }
    }

    /// Three failures in a row lock for a while. Returns why a password was refused, if it was.
    fn check(&mut self, now: u64, who: usize, password: &str) -> Option<&'static str> {
        let person = &mut self.people[who];
        if person.locked_until.is_some_and(|until| until > now) {
            return Some("BLOCKED");
        }
        if person.locked_until.take().is_some() {
            person.strikes = 0;
        }
        if person.password == password {
            return None;
        }
        person.strikes += 1;
        person.failed += 1;
        if person.strikes == 3 {
            person.locked_until = Some(now + self.rules.block_ms);
            return Some("INVALID_PASSWORD_BLOCKED");
        }
        Some("INVALID_PASSWORD")
    }

    /// Whoever comes in has shown that it may.
    fn admit(
        &mut self,
        now: u64,
        connection: ConnectionId,
        who: usize,
        entry: &Entry,
        by_password: bool,
    ) -> Expected {
        let person = &mut self.people[who];
        if by_password {
            person.strikes = 0;
            person.locked_until = None;
        }
        if person.is_locked {
            return answer("LOCKED");
        }
        let mut last_command = now;
        let mut sent = person.acknowledged as u64;
        let mut told = Vec::new();
        match person.session.take() {
            Some(session) => {
                let is_same = session.instance == entry.instance;
                let is_its_own =
                    !by_password && session.device.is_some() && session.device == entry.device;
                let is_free = is_same || is_its_own || entry.takeover;
                if session.connection.is_some() && !is_free {
                    person.session = Some(session);
                    return answer("ALREADY_LOGGED_IN");
                }
                self.closing.extend(session.connection);
                if is_same {
                    last_command = session.last_command;
                    sent = sent.max(session.sent);
                }
            }
            None => told = vec![(format!("{who} came"), self.observers(who))],
        }
        let device = entry.device.filter(|_| entry.protocol);
        self.register(now, who, device);
        let person = &mut self.people[who];
        let failed = std::mem::take(&mut person.failed);
        let device_name = device.map_or("none".into(), |key| format!("d{key}"));
        let role = if person.is_admin { Role::Admin } else { Role::Member };
        person.session = Some(Session {
            connection: Some(connection),
            away_until: None,
            instance: entry.instance.clone(),
            protocol: entry.protocol,
            device,
            last_command,
            sent,
        });
        Expected { answer: Some(welcome(failed, role, &device_name)), told }
    }

    fn register(&mut self, now: u64, who: usize, device: Option<u8>) {
        let Some(key) = device else { return };
        let most = self.rules.devices_max;
        let devices = &mut self.people[who].devices;
        if let Some(known) = devices.iter_mut().find(|(known, _, _)| *known == key) {
            known.2 = now;
            return;
        }
        if devices.len() == most {
            let oldest = devices.iter().min_by_key(|(key, added, used)| (*used, *added, *key));
            let oldest = oldest.expect("there are some").0;
            devices.retain(|(key, _, _)| *key != oldest);
        }
        devices.push((key, now, now));
        devices.sort_by_key(|(key, added, _)| (*added, *key));
    }

    pub(super) fn device_of(&self, who: usize) -> Option<u8> {
        self.people[who].session.as_ref()?.device
    }

    pub(super) fn revoke(&mut self, who: usize, fits: impl Fn(u8) -> bool) {
        self.people[who].devices.retain(|(key, _, _)| !fits(*key));
    }

    pub(super) fn devices(&self, me: usize) -> Expected {
        let this = self.device_of(me);
        let devices = self.people[me].devices.iter().map(|(key, _, _)| {
            let mark = if Some(*key) == this { "*" } else { "" };
            format!("d{key}{mark}")
        });
        answer(&devices.collect::<Vec<_>>().join(" "))
    }

    pub(super) fn revoke_device(&mut self, now: u64, me: usize, revoked: u8) -> Expected {
        if !self.people[me].devices.iter().any(|(key, _, _)| *key == revoked) {
            return answer("DEVICE_NOT_EXIST");
        }
        let mut expected = answer("SUCCESS");
        if self.device_of(me) == Some(revoked) {
            expected.told = self.end(now, me);
        }
        self.revoke(me, |key| key == revoked);
        expected
    }

    pub(super) fn passwd(&mut self, now: u64, me: usize, old: &str, new: &str) -> Expected {
        if let Some(status) = self.check(now, me, old) {
            return answer(status);
        }
        let kept = self.device_of(me);
        self.revoke(me, |key| Some(key) != kept);
        self.people[me].strikes = 0;
        self.people[me].password = new.to_owned();
        answer("SUCCESS")
    }

    pub(super) fn lock(&mut self, now: u64, me: usize, who: usize, begins: bool) -> Expected {
        if !self.people[me].is_admin {
            return answer("NOT_ALLOWED");
        }
        if who == me {
            return answer("MESSAGE_SELF");
        }
        if who >= self.people.len() {
            return answer("USER_NOT_EXIST");
        }
        self.people[who].is_locked = begins;
        let mut expected = answer("SUCCESS");
        if begins {
            expected.told = self.ended(now, who);
        }
        expected
    }

    /// Ends somebody's session, if there is one. Returns who is told.
    pub fn ended(&mut self, now: u64, who: usize) -> Told {
        if self.people[who].session.is_some() { self.end(now, who) } else { Vec::new() }
    }

    /// The operator keeps somebody out.
    pub fn ordered_lock(&mut self, who: usize) {
        self.people[who].is_locked = true;
    }

    /// Whether a line's session has ended.
    #[must_use]
    pub fn is_closing(&self, connection: ConnectionId) -> bool {
        self.closing.contains(&connection)
    }

    /// The secret of an invite that is good, if there is one.
    #[must_use]
    pub fn good_secret(&self, now: u64) -> Option<u64> {
        self.invites.values().find(|invite| invite.expires > now).map(|invite| invite.secret)
    }

    /// The number of the last invite.
    #[must_use]
    pub fn last_invite(&self) -> u64 {
        self.last_invite
    }

    /// The operator lets somebody in again.
    pub fn ordered_unlock(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.is_locked = false;
        person.strikes = 0;
        person.locked_until = None;
    }

    /// The operator gives somebody another password. Returns who is told that it left.
    pub fn ordered_passwd(&mut self, now: u64, who: usize, new: &str) -> Told {
        self.revoke(who, |_| true);
        let person = &mut self.people[who];
        person.password = new.to_owned();
        person.strikes = 0;
        person.locked_until = None;
        self.ended(now, who)
    }

    pub(super) fn invite(&mut self, now: u64, me: usize, secret: u64, admin: bool) -> Expected {
        let is_admin = self.people[me].is_admin;
        if admin && !is_admin {
            return answer("NOT_ALLOWED");
        }
        let open = self.invites.values().filter(|invite| invite.expires > now);
        let own = open.clone().filter(|invite| invite.by == me).count();
        let is_over = !is_admin && own >= self.rules.member_invites_max;
        let most = self.rules.invites_max * if is_admin { 2 } else { 1 };
        if is_over || open.count() >= most {
            return answer("TOO_MANY_INVITES");
        }
        self.last_invite += 1;
        let expires = now + self.rules.invite_ms;
        self.invites.insert(self.last_invite, Invite { secret, by: me, admin, expires });
        answer("SUCCESS")
    }

    pub(super) fn revoke_invite(&mut self, now: u64, me: usize, number: u64) -> Expected {
        let invite = self.invites.get(&number).filter(|invite| invite.expires > now);
        let is_mine = invite.is_some_and(|invite| invite.by == me || self.people[me].is_admin);
        if !is_mine {
            return answer("INVITE_NOT_EXIST");
        }
        self.invites.remove(&number);
        answer("SUCCESS")
    }

    /// One of the records that one input led to, when a crash took back those after it.
    ///
    /// Returns false for a record that comes alone.
    pub fn replay(&mut self, record: &Record) -> bool {
        match record {
            Record::Heartbeat { .. } => {}
            Record::Logout { account, time } => self.left(time.0, account.index()),
            Record::Login { account, time: _ } => {
                let person = &mut self.people[account.index()];
                person.strikes = 0;
                person.locked_until = None;
                person.begin();
            }
            Record::Resumed { account, time: _ } => self.people[account.index()].begin(),
            Record::Strikes { account, strikes: 0, .. } => {
                let person = &mut self.people[account.index()];
                person.strikes = 0;
                person.locked_until = None;
            }
            Record::Password { account, hash } => {
                self.people[account.index()].password = hash.0.to_string();
            }
            Record::Locked { account, is_locked } => {
                self.people[account.index()].is_locked = *is_locked;
            }
            Record::Device { account, key, time, .. }
            | Record::DeviceUsed { account, key, time } => {
                self.register(time.0, account.index(), Some(key.0[0]));
            }
            Record::DeviceRevoked { account, key } => {
                self.revoke(account.index(), |known| known == key.0[0]);
            }
            Record::Account { password, .. } => {
                let password = password.as_ref().map_or(String::new(), |hash| hash.0.to_string());
                self.people.push(Person { password, ..Person::default() });
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
            | Record::Invite { .. } => return false,
        }
        true
    }
}

impl Person {
    /// A session of which nothing is known but that it was there.
    fn begin(&mut self) {
        self.failed = 0;
        self.session = Some(Session {
            connection: None,
            away_until: None,
            instance: String::new(),
            protocol: true,
            device: None,
            last_command: 0,
            sent: 0,
        });
    }
}

/// The welcome, as far as it is compared.
#[must_use]
pub fn welcome(failed: u32, role: Role, device: &str) -> String {
    format!("SUCCESS as {}, device {device}, {failed} failed", role.as_str())
}
