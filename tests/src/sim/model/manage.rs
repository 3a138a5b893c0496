//! What is done seldom: passwords, devices, invites, locks by administrators, orders.

use whoelse_proto::check_new_password;

use super::entrance::answer;
use super::{Attempt, Invite, Model, Order, Purpose, Said, Subject, Word};

impl Model {
    pub(super) fn passwd(
        &mut self,
        now: u64,
        line: u64,
        me: usize,
        old: &str,
        new: &str,
        said: &mut Vec<Said>,
    ) {
        if self.is_pending(line) {
            return answer(line, "BAD_REQUEST", said);
        }
        if check_new_password(&self.people[me].name, new).is_err() {
            return answer(line, "BAD_PASSWORD", said);
        }
        let attempt = Attempt { connection: line, purpose: Purpose::Passwd };
        self.have_checked(now, Subject::Person(me), attempt, old, said);
    }

    pub(super) fn change_password(&mut self, who: usize, new: &str) {
        let person = &mut self.people[who];
        new.clone_into(&mut person.password);
        person.version += 1;
    }

    pub(super) fn devices(&self, me: usize) -> Word {
        let this = self.device_of(me);
        let devices = self.people[me].devices.iter().map(|device| {
            let mark = if Some(device.key) == this { "*" } else { "" };
            format!("{}{mark}", device.name)
        });
        devices.collect::<Vec<_>>().join(" ").into()
    }

    pub(super) fn revoke_device(
        &mut self,
        now: u64,
        me: usize,
        name: &str,
        said: &mut Vec<Said>,
    ) -> &'static str {
        let Some(key) = self.people[me].devices.iter().find(|it| it.name == name).map(|it| it.key)
        else {
            return "DEVICE_NOT_EXIST";
        };
        if self.device_of(me) == Some(key) {
            self.expel(now, me, "ended DEVICE_REVOKED", said);
        }
        self.people[me].devices.retain(|it| it.key != key);
        "SUCCESS"
    }

    pub(super) fn set_locked(
        &mut self,
        now: u64,
        me: usize,
        name: &str,
        begins: bool,
        said: &mut Vec<Said>,
    ) -> &'static str {
        if !self.people[me].is_admin {
            return "NOT_ALLOWED";
        }
        match self.find(name) {
            Some(who) if who == me => "MESSAGE_SELF",
            Some(who) => {
                self.lock_person(now, who, begins, said);
                "SUCCESS"
            }
            None => "USER_NOT_EXIST",
        }
    }

    fn lock_person(&mut self, now: u64, who: usize, begins: bool, said: &mut Vec<Said>) {
        if self.people[who].is_locked != begins {
            self.people[who].is_locked = begins;
            if begins {
                self.expel(now, who, "ended LOCKED", said);
            }
        }
    }

    pub(super) fn order(&mut self, now: u64, order: &Order, said: &mut Vec<Said>) {
        let (Order::SetPassword { name, .. }
        | Order::Lock { name }
        | Order::Unlock { name }
        | Order::SetRole { name, .. }) = order;
        let Some(who) = self.find(name) else { return said.push(Said::Ordered(false)) };
        match order {
            Order::SetPassword { password, .. } => {
                self.change_password(who, password);
                self.expel(now, who, "ended PASSWORD_CHANGED", said);
                self.people[who].devices.clear();
                self.unlock(now, who, said);
            }
            Order::Lock { .. } => self.lock_person(now, who, true, said),
            Order::Unlock { .. } => {
                self.lock_person(now, who, false, said);
                self.unlock(now, who, said);
            }
            Order::SetRole { admin, .. } => {
                if self.people[who].is_admin && !admin {
                    self.invites.retain(|_, invite| invite.by != who || !invite.admin);
                }
                self.people[who].is_admin = *admin;
            }
        }
        said.push(Said::Ordered(true));
    }

    fn unlock(&mut self, now: u64, who: usize, said: &mut Vec<Said>) {
        self.people[who].lock.is_locked(now);
        self.people[who].lock.forget();
        self.start_checks(&Subject::Person(who), said);
    }

    pub(super) fn is_good(&self, now: u64, invite: &Invite) -> bool {
        invite.expires > now && !self.people[invite.by].is_locked
    }

    pub(super) fn good_invite(&self, now: u64, secret: [u8; 16]) -> Option<u64> {
        let fits = |invite: &Invite| invite.secret == secret && self.is_good(now, invite);
        self.invites.iter().find(|(_, invite)| fits(invite)).map(|(number, _)| *number)
    }

    pub(super) fn invite(
        &mut self,
        now: u64,
        me: usize,
        secret: [u8; 16],
        admin: bool,
    ) -> &'static str {
        let is_admin = self.people[me].is_admin;
        if admin && !is_admin {
            return "NOT_ALLOWED";
        }
        if self.is_disk_full {
            return "SERVER_FULL";
        }
        let open = || self.invites.values().filter(|invite| invite.expires > now);
        let own = open().filter(|invite| invite.by == me).count();
        let is_over = !is_admin && own >= self.rules.member_invites_max;
        if is_over || open().count() >= self.rules.invites_max * if is_admin { 2 } else { 1 } {
            return "TOO_MANY_INVITES";
        }
        self.last_invite += 1;
        let expires = now + self.rules.invite_ms;
        self.invites.insert(self.last_invite, Invite { secret, by: me, admin, expires });
        "SUCCESS"
    }

    pub(super) fn invites(&self, now: u64, me: usize) -> Word {
        let is_seen =
            |invite: &Invite| invite.expires > now && (self.people[me].is_admin || invite.by == me);
        let seen = self.invites.iter().filter(|(_, invite)| is_seen(invite));
        let seen = seen.map(|(number, _)| format!("invite {number}"));
        seen.collect::<Vec<_>>().join(" ").into()
    }

    pub(super) fn revoke_invite(&mut self, now: u64, me: usize, number: u64) -> &'static str {
        let invite = self.invites.get(&number).filter(|invite| invite.expires > now);
        if !invite.is_some_and(|invite| invite.by == me || self.people[me].is_admin) {
            return "INVITE_NOT_EXIST";
        }
        self.invites.remove(&number);
        "SUCCESS"
    }
}
