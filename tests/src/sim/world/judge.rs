//! The end of a world: everything heals, and is judged.

use std::collections::BTreeSet;

use whoelse_engine::{AccountId, Input};
use whoelse_proto::Role;

use super::{Fallible, Rates, World};
use crate::sim::model::{Lasting, lasting};

impl World {
    /// No more faults: everybody comes back, says what was left to say, and reads everything.
    pub(super) fn heal(&mut self) -> Fallible {
        self.rates = Rates {
            wrong_password: 0.0,
            drop: 0.0,
            protocol: 1.0,
            ..Rates::draw(&mut self.faults)
        };
        self.disk = self.disk.kill(); // forgets a fault that was planned
        self.start(true)?;
        self.now += 600_000; // locks run out, those who are away leave
        self.model.tick(self.now);
        self.input(Input::Tick)?;
        for who in 0..self.model.people.len() {
            self.ordered_unlock(who)?;
        }
        for _ in 0..2 {
            for who in 0..self.model.people.len() {
                if self.clients[who].connection.is_none() {
                    self.log_in(who)?;
                }
                self.flush()?;
                self.sync()?;
                while self.resend(who)? {
                    self.flush()?;
                    self.sync()?;
                }
            }
            for who in 0..self.clients.len() {
                self.deliver(who, u64::MAX)?;
                self.acknowledge(who)?;
            }
            self.flush()?;
            self.sync()?;
            self.project()?;
        }
        Ok(())
    }

    pub(super) fn judge(&mut self) -> Fallible {
        let stats = &mut self.stats;
        for (reader, client) in self.clients.iter().enumerate() {
            if !client.outbox.is_empty() {
                return Err(format!("p{reader} never learnt of {:?}", client.outbox));
            }
            stats.repeated += client.dropped;
            for (from, texts) in &client.read {
                stats.shown += texts.len() as u64;
                let refused = &self.refused[*from];
                let numbers = texts.iter().filter(|text| !refused.contains(*text));
                let numbers: Vec<u64> = numbers.map(|text| counted(text)).collect();
                if !numbers.is_sorted_by(|one, other| one < other) {
                    return Err(format!("p{reader} read p{from} out of order or twice: {texts:?}"));
                }
            }
            for (to, confirmed) in &client.confirmed {
                let read = self.clients[*to].read.get(&reader);
                let read: BTreeSet<&String> = read.into_iter().flatten().collect();
                if let Some(lost) = confirmed.iter().find(|text| !read.contains(text)) {
                    return Err(format!("{lost} was confirmed and never shown"));
                }
            }
        }
        self.compare_lasting()
    }

    /// The engine's own account of what lasts, against the model's.
    pub(super) fn compare_lasting(&self) -> Fallible {
        let Some(running) = &self.running else { return Ok(()) };
        let snapshot = running.engine.snapshot();
        if snapshot.accounts.len() != self.model.people.len() {
            return Err(format!("{} accounts", snapshot.accounts.len()));
        }
        let invites = snapshot.invites.iter().filter(|invite| invite.expires.0 > self.now);
        let invites = invites.map(|invite| {
            let by = invite.by.map(AccountId::index);
            (invite.number, by, invite.role == Role::Admin, invite.expires.0)
        });
        let found = format!("{:?} of {}", invites.collect::<Vec<_>>(), snapshot.last_invite);
        let expected = self.model.open_invites(self.now);
        if found != expected {
            return Err(format!("invites: expected {expected}\n    found {found}"));
        }
        for (who, account) in snapshot.accounts.iter().enumerate() {
            // A lock that has run out is none, whether or not somebody has noticed.
            let is_locked = account.locked_until.is_none_or(|until| until.0 > self.now);
            let devices = account.devices.iter();
            let found = lasting(&Lasting {
                blocks: account.blocks.iter().map(|id| id.index()).collect(),
                strikes: if is_locked { account.strikes } else { 0 },
                locked_until: account.locked_until.filter(|_| is_locked).map(|until| until.0),
                ended_at: account.last_seen.filter(|_| !account.open).map(|at| at.0),
                mail: account.last_number.0,
                acknowledged: account.acknowledged.0,
                password: account.password.as_ref().map_or(String::new(), |it| it.0.to_string()),
                is_admin: account.role == Role::Admin,
                is_locked: account.is_locked,
                failed: account.failed_logins,
                devices: devices
                    .map(|device| (device.key.0[0], device.added.0, device.used.0))
                    .collect(),
            });
            let expected = self.model.lasting(self.now, who);
            if found != expected {
                return Err(format!("p{who}: expected {expected}\n    found {found}"));
            }
        }
        Ok(())
    }
}

fn counted(text: &str) -> u64 {
    text.rsplit('#').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
