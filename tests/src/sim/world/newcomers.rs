//! How people come in, and what keeps them out.

use rand::RngExt;
use whoelse_engine::{Effect, Input, Order, Ordered, PasswordHash};

use super::people::{compare, observe};
use super::{Fallible, World};
use crate::sim::model::{Ask, Entry, Expected, name};

/// Each person uses one of so many devices.
const DEVICES: u8 = 4;

impl World {
    /// Somebody without a line comes, by whatever way there is.
    pub(super) fn come(&mut self, who: usize) -> Fallible {
        if who < self.model.people.len() {
            if self.model.people[who].is_locked && self.random.random_bool(0.2) {
                self.ordered_unlock(who)?;
            }
            return self.log_in(who);
        }
        if who == self.model.people.len() && self.ids > 0 && self.random.random_bool(0.3) {
            return self.join(who);
        }
        Ok(())
    }

    fn entry(&mut self, who: usize) -> Entry {
        let protocol = self.random.random_bool(self.rates.protocol);
        let takeover = self.random.random_bool(0.2);
        let instance = format!("{}-{}", name(who), self.clients[who].instance);
        let number = u8::try_from(who).expect("few people") * DEVICES;
        let has_device = self.random.random_bool(self.rates.device);
        let device = number + 1 + self.random.random_range(0..DEVICES);
        Entry { protocol, instance, takeover, device: has_device.then_some(device) }
    }

    pub(super) fn log_in(&mut self, who: usize) -> Fallible {
        let mut entry = self.entry(who);
        self.connect(who)?;
        let is_right = !self.random.random_bool(self.rates.wrong_password);
        let resumes = entry.device.is_some() && self.random.random_bool(0.5);
        entry.protocol |= resumes;
        if let Some(lane) = self.lane(who) {
            lane.is_protocol = entry.protocol;
        }
        if !resumes {
            let password = self.password(who, is_right);
            return self.ask(who, Ask::Login { person: who, password, entry });
        }
        self.ask(who, Ask::Resume { person: who, is_proven: is_right, entry: entry.clone() })?;
        // A client that is not known asks for the password next.
        let is_in = self.clients[who].connection.is_some_and(|line| {
            self.model.speaker(line) == Some(who) || self.model.is_closing(line)
        });
        if is_in {
            return Ok(());
        }
        let password = self.password(who, is_right);
        self.ask(who, Ask::Login { person: who, password, entry })
    }

    /// What somebody types.
    fn password(&self, who: usize, is_right: bool) -> String {
        if is_right { self.model.people[who].password.clone() } else { "wrong".into() }
    }

    fn join(&mut self, who: usize) -> Fallible {
        let mut entry = self.entry(who);
        (entry.protocol, entry.takeover) = (true, false);
        self.connect(who)?;
        let secret = self.ids - self.random.random_range(0..self.ids.min(40));
        let password = format!("password-{}", self.ids);
        let good = self.model.good_secret(self.now).filter(|_| !secret.is_multiple_of(4));
        let secret = good.unwrap_or(secret);
        self.ask(who, Ask::Join { secret, password, entry })
    }

    /// A stranger tries to get in as somebody, over a line of its own.
    pub(super) fn intrude(&mut self, who: usize) -> Fallible {
        let mine = std::mem::take(&mut self.clients[who]);
        self.connect(who)?;
        let mut entry = self.entry(who);
        (entry.protocol, entry.takeover, entry.instance) = (true, false, "stranger".to_owned());
        let ask = if entry.device.is_some() && self.random.random_bool(0.3) {
            Ask::Resume { person: who, is_proven: false, entry }
        } else {
            entry.device = None;
            let is_right = self.random.random_bool(0.1);
            Ask::Login { person: who, password: self.password(who, is_right), entry }
        };
        let asked = self.ask(who, ask);
        let stranger = std::mem::replace(&mut self.clients[who], mine);
        asked?;
        match stranger.connection {
            Some(connection) => self.line_ends(connection),
            None => Ok(()),
        }
    }

    /// What is done seldom: passwords, devices, invites, locks.
    pub(super) fn manage(&mut self, who: usize, other: usize) -> Fallible {
        self.ids += 1;
        let is_right = self.random.random_bool(0.8);
        match self.random.random_range(0..18) {
            0 | 1 => {
                let (old, new) = (self.password(who, is_right), format!("password-{}", self.ids));
                self.ask(who, Ask::Passwd { old, new })
            }
            2 => self.ask(who, Ask::Devices),
            3 | 4 => {
                let number = u8::try_from(who).expect("few people") * DEVICES;
                let key = number + 1 + self.random.random_range(0..DEVICES);
                self.ask(who, Ask::RevokeDevice { key })
            }
            5..9 => {
                let admin = self.random.random_bool(0.3);
                self.ask(who, Ask::Invite { secret: self.ids, admin })
            }
            9 => {
                let number = self.random.random_range(0..=self.model.last_invite());
                self.ask(who, Ask::RevokeInvite { number })
            }
            10..13 => self.ask(who, Ask::Lock { who: other, begins: true }),
            13..15 => self.ask(who, Ask::Lock { who: other, begins: false }),
            _ if other >= self.model.people.len() => Ok(()),
            15 => self.ordered_passwd(other),
            _ => {
                self.model.ordered_lock(other);
                let told = self.model.ended(self.now, other);
                self.stats.expelled += u64::from(!told.is_empty());
                self.order(Order::Lock { name: name(other) }, told)
            }
        }
    }

    /// The operator lets somebody in again.
    pub(super) fn ordered_unlock(&mut self, who: usize) -> Fallible {
        self.model.ordered_unlock(who);
        self.order(Order::Unlock { name: name(who) }, Vec::new())
    }

    /// The operator gives somebody another password.
    fn ordered_passwd(&mut self, who: usize) -> Fallible {
        let password = format!("password-{}", self.ids);
        let told = self.model.ordered_passwd(self.now, who, &password);
        self.stats.passwords_changed += 1;
        self.stats.expelled += u64::from(!told.is_empty());
        let hash = PasswordHash(password.into());
        self.order(Order::SetPassword { name: name(who), hash }, told)
    }

    fn order(
        &mut self,
        order: Order,
        told: Vec<(String, std::collections::BTreeSet<whoelse_engine::ConnectionId>)>,
    ) -> Fallible {
        let observed = self.input(Input::Order { ticket: 0, order })?;
        self.remember();
        let is_done = |effect: &Effect| {
            matches!(
                effect,
                Effect::Ordered { outcome: Ok(Ordered::Done | Ordered::Unchanged), .. }
            )
        };
        if !observed.iter().any(is_done) {
            return Err("an order was not carried out".into());
        }
        compare("an order", &Expected { answer: None, told }, &observe(&observed, None))
    }

    /// Counts what is about to happen: a run without it proves nothing.
    pub(super) fn count(&mut self, ask: &Ask, expected: &Expected) {
        let Some(status) = expected.answer.as_deref() else { return };
        let stats = &mut self.stats;
        let is_done = status.starts_with("SUCCESS");
        match ask {
            Ask::Resume { .. } if is_done => stats.resumed += 1,
            Ask::Resume { .. } if status == "RESUME_REFUSED" => stats.refused_devices += 1,
            Ask::Join { .. } if is_done => stats.joined += 1,
            Ask::Join { .. } if status == "INVITE_INVALID" => stats.invites_refused += 1,
            Ask::Passwd { .. } if is_done => stats.passwords_changed += 1,
            Ask::RevokeDevice { .. } | Ask::Logout { forget: true } if is_done => {
                stats.devices_revoked += 1;
            }
            Ask::Lock { .. } if is_done && !expected.told.is_empty() => stats.expelled += 1,
            _ => {}
        }
        stats.shut_out += u64::from(status == "LOCKED");
        let tells = status.starts_with("SUCCESS as") && !status.ends_with(" 0 failed");
        stats.told_failures += u64::from(tells);
    }
}
