//! Records about who may come in, and about people who go, changed in the tables at once.

use rusqlite::Connection;
use whoelse_engine::{AccountId, DeviceSnapshot, InviteSnapshot, StrangerSnapshot, Time};
use whoelse_proto::{DeviceKey, Role};

use super::newcomers::{
    DeviceRow, InvitesWhere, delete_device, delete_invites, forget_strangers, insert_invite,
    write_stranger,
};
use super::projector::{Projection, contradiction};
use super::{DatabaseError, STRANGERS_MAX};

impl Projection<'_> {
    pub(super) fn device(
        &mut self,
        account: AccountId,
        device: DeviceSnapshot,
    ) -> Result<(), DatabaseError> {
        self.settle(account)?;
        let known = DeviceRow::read(self.connection, account, &device.key)?;
        DeviceRow { account, device }.write(self.connection).map_err(at())?;
        self.account(account)?.row.devices += u64::from(known.is_none());
        Ok(())
    }

    pub(super) fn device_revoked(
        &mut self,
        account: AccountId,
        key: &DeviceKey,
    ) -> Result<(), DatabaseError> {
        self.account(account)?;
        let deleted = delete_device(self.connection, account, key).map_err(at())?;
        let row = &mut self.account(account)?.row;
        row.devices = row.devices.saturating_sub(deleted);
        self.unshare_all(account, Some(key))
    }

    pub(super) fn device_used(
        &mut self,
        account: AccountId,
        key: &DeviceKey,
        time: Time,
    ) -> Result<(), DatabaseError> {
        let Some(mut row) = DeviceRow::read(self.connection, account, key)? else {
            return Err(contradiction(account, "uses a device it does not have"));
        };
        row.device.used = time;
        row.write(self.connection).map_err(at())
    }

    pub(super) fn invite(&mut self, invite: &InviteSnapshot) -> Result<(), DatabaseError> {
        if invite.number != self.meta.last_invite + 1 {
            let what = format!("invite {} is not the next one", invite.number);
            return Err(DatabaseError::Contradiction { what });
        }
        if let Some(by) = invite.by {
            self.settle(by)?;
        }
        insert_invite(self.connection, invite).map_err(at())?;
        self.meta.last_invite = invite.number;
        self.meta.invites += 1;
        Ok(())
    }

    pub(super) fn invites_gone(&mut self, which: InvitesWhere) -> Result<(), DatabaseError> {
        let deleted = delete_invites(self.connection, which).map_err(at())?;
        self.meta.invites = self.meta.invites.saturating_sub(deleted);
        Ok(())
    }

    pub(super) fn stranger(&mut self, stranger: &StrangerSnapshot) -> Result<(), DatabaseError> {
        let is_new = write_stranger(self.connection, stranger).map_err(at())?;
        self.meta.strangers += u64::from(is_new);
        Ok(())
    }

    /// A row that is new is written, so that others can refer to it.
    pub(super) fn settle(&mut self, account: AccountId) -> Result<(), DatabaseError> {
        let connection = self.connection;
        self.account(account)?.row.write(connection).map_err(at())
    }

    /// Nothing is left of a person but the name.
    pub(super) fn remove(&mut self, account: AccountId) -> Result<(), DatabaseError> {
        self.account(account)?;
        for blocker in blockers(self.connection, account).map_err(at())? {
            let row = &mut self.account(blocker)?.row;
            row.blocks = row.blocks.saturating_sub(1);
        }
        for statement in [
            "DELETE FROM blocks WHERE blocker = ?1 OR blocked = ?1",
            "DELETE FROM devices WHERE account = ?1",
            "DELETE FROM sent WHERE account = ?1",
        ] {
            self.connection.execute(statement, [account.0]).map_err(at())?;
        }
        self.invites_gone(InvitesWhere::By(account))?;
        self.unshare_all(account, None)?;
        let touched = self.account(account)?;
        touched.sent.clear();
        let row = &mut touched.row;
        row.is_removed = true;
        row.password = None;
        row.role = Role::Member;
        row.is_locked = false;
        row.strikes = 0;
        row.locked_until = None;
        row.failed_logins = 0;
        row.last_seen = None;
        row.open = false;
        row.blocks = 0;
        row.devices = 0;
        row.sent_pruned = row.sent_last;
        // The rows of its mail go when this is written, and are counted then.
        row.acknowledged = row.last_number;
        Ok(())
    }

    /// Forgets invites that have expired, and names that nobody has beyond how many are kept.
    pub(super) fn forget_newcomers(&mut self) -> rusqlite::Result<()> {
        let newest = self.meta.newest;
        let expired = delete_invites(self.connection, InvitesWhere::ExpiredAt(newest))?;
        self.meta.invites = self.meta.invites.saturating_sub(expired);
        let surplus = self.meta.strangers.saturating_sub(STRANGERS_MAX as u64);
        if surplus > 0 {
            self.meta.strangers -= forget_strangers(self.connection, surplus, newest)?;
        }
        Ok(())
    }
}

/// Who blocks somebody.
fn blockers(connection: &Connection, blocked: AccountId) -> rusqlite::Result<Vec<AccountId>> {
    let mut statement = connection.prepare("SELECT blocker FROM blocks WHERE blocked = ?1")?;
    let blockers = statement.query_map([blocked.0], |row| row.get(0).map(AccountId))?;
    blockers.collect()
}

fn at() -> impl FnOnce(rusqlite::Error) -> DatabaseError {
    DatabaseError::at("write")
}
