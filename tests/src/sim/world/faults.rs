//! What goes wrong, and what the operator does.

use rand::RngExt;
use whoelse_engine::{Order, PasswordHash};
use whoelse_proto::Role;

use super::machine::{End, server_id};
use super::{Event, Fallible, World};
use crate::sim::disk::{Fault, SimDisk};

const DAY_MS: i64 = 24 * 3_600_000;

impl World {
    /// Something goes wrong, of the kinds that go wrong in this world.
    pub(super) fn fault(&mut self) -> Fallible {
        if self.is_healing {
            return Ok(());
        }
        let pause = 1 + self.chance.faults.random_range(0..=2 * self.rates.fault_ms);
        self.after(pause, Event::Fault);
        let sum: u32 = self.rates.weights.iter().sum();
        if sum == 0 {
            return Ok(());
        }
        let mut drawn = self.chance.faults.random_range(0..sum);
        let kind = self.rates.weights.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.wrapping_sub(*weight);
            is_it
        });
        match kind.unwrap_or(0) {
            0 => self.die(End::Power),
            1 => {
                self.blackouts = self.chance.faults.random_range(1..6);
                self.die(End::Power)
            }
            2 => self.die(End::Process),
            3 => self.plan(Fault::Stop),
            4 => self.plan(Fault::Fail),
            5 => self.fill_disk(),
            8..=10 => self.cut(),
            11 => {
                let who = self.chance.faults.random_range(0..self.people.len());
                self.crash_client(who);
                Ok(())
            }
            12 => self.set_clock(),
            13 => self.back_up_or_restore(),
            14 => self.hold_back(),
            15 => self.end_in_order(),
            _ => Ok(()),
        }
    }

    /// The power goes again, while what it left behind is hardly looked at.
    pub(super) fn blackout(&mut self) -> Fallible {
        if self.is_healing { Ok(()) } else { self.die(End::Power) }
    }

    /// One of the next operations of the disk goes wrong.
    fn plan(&mut self, fault: Fault) -> Fallible {
        let operations = self.chance.faults.random_range(0..8);
        self.disk.plan(operations, fault);
        Ok(())
    }

    /// There is no room for another file, for a while.
    fn fill_disk(&mut self) -> Fallible {
        let room = if self.chance.faults.random_bool(0.5) { 0 } else { u64::MAX };
        self.disk.limit_space(room);
        if let Some(server) = &self.server {
            server.house.disk_full(self.chance.faults.random_bool(0.5));
        }
        Ok(())
    }

    /// Somebody sets the wall clock, by a little or by days.
    fn set_clock(&mut self) -> Fallible {
        let random = &mut self.chance.faults;
        let most = [10_000, 2 * 3_600_000, 30 * DAY_MS][random.random_range(0..3)];
        let off = random.random_range(-most..=most);
        self.wall_off += off;
        self.stats.clock_back += u64::from(off < 0);
        self.stats.clock_forward += u64::from(off > 0);
        if let Some(server) = &self.server {
            server.nature.set_wall(server.nature.wall_ms().saturating_add_signed(off));
        }
        Ok(())
    }

    /// The store cannot follow for a while.
    fn hold_back(&mut self) -> Fallible {
        if let Some(server) = &self.server {
            let mut wishes = server.wishes.borrow_mut();
            wishes.is_full = !wishes.is_full;
            self.stats.store_full += 1;
        }
        Ok(())
    }

    /// The operator makes a backup, or brings one back.
    fn back_up_or_restore(&mut self) -> Fallible {
        let error = |error: whoelse_server::database::DatabaseError| error.to_string();
        if self.backup.is_none() || self.chance.faults.random_bool(0.6) {
            // Everything that is confirmed goes into the database first.
            self.write()?;
            if let Some(server) = &mut self.server {
                server.sync_now(self.now);
            }
            self.sync()?;
            self.project()?;
            let position = self.database.position().map_err(error)?;
            let is_all_in =
                self.records_at.get(&position.0) == Some(&self.book.borrow().safe_records);
            if is_all_in {
                let copy = self.database.copied_into_memory().map_err(error)?;
                self.backup = Some((copy, self.book.borrow().backup()));
            }
            return Ok(());
        }
        self.die(End::Process)?;
        let Some((mut copy, backup)) = self.backup.take() else { return Ok(()) };
        self.epoch += 1;
        copy.become_new(&server_id(self.epoch)).map_err(error)?;
        self.database = copy;
        self.disk = SimDisk::new(self.chance.faults.random());
        self.disk.set_sector(self.rates.sector_bytes);
        let mut book = self.book.borrow_mut();
        self.past.push(book.letters.clone());
        let before: usize = book.letters.values().map(Vec::len).sum();
        book.restore(&backup);
        let after: usize = book.letters.values().map(Vec::len).sum();
        self.stats.restores += 1;
        self.stats.restored_away += before.saturating_sub(after) as u64;
        self.records_at = [(0, book.records.len())].into();
        self.must_find = book.records.len();
        Ok(())
    }

    /// The operator ends the server, as it should be ended.
    fn end_in_order(&mut self) -> Fallible {
        let Some(server) = &mut self.server else { return Ok(()) };
        self.stats.stops += 1;
        server.house.stop();
        self.rates.busy = 0.0;
        self.settle()?;
        self.write()?;
        if let Some(server) = &mut self.server {
            server.sync_now(self.now);
        }
        self.sync()?;
        self.project()?;
        self.die(End::Process)
    }

    /// What an operator does.
    pub(super) fn operate(&mut self) {
        if self.is_healing {
            return;
        }
        let pause = 1 + self.chance.faults.random_range(0..=2 * self.rates.order_ms);
        self.after(pause, Event::Operate);
        let who = self.chance.faults.random_range(0..self.people.len());
        let name = self.people[who].name.clone();
        match self.chance.faults.random_range(0..10) {
            0 => self.order(Order::Lock { name }),
            1..7 => self.order(Order::Unlock { name }),
            7 | 8 => self.set_password(who, format!("operator-{}", self.now)),
            _ => {
                let is_admin = self.chance.faults.random_bool(0.5);
                let role = if is_admin { Role::Admin } else { Role::Member };
                self.order(Order::SetRole { name, role });
            }
        }
    }

    pub(super) fn order(&mut self, order: Order) {
        if let Some(server) = &self.server {
            drop(server.house.order(order));
        }
    }

    /// The operator gives somebody another password, and says so.
    pub(super) fn set_password(&mut self, who: usize, password: String) {
        let person = &mut self.people[who];
        let is_there = self.book.borrow().live.find(&person.name).is_some();
        if is_there && self.server.is_some() {
            let (name, hash) = (person.name.clone(), PasswordHash(password.as_str().into()));
            if self.is_healing {
                person.passwords.clear();
            }
            person.passwords.push(password);
            self.order(Order::SetPassword { name, hash });
        }
    }
}
