//! Rows of who may come in: devices, invites, and names that nobody has.
//!
//! They are few and change seldom, so the projector changes their tables record by record.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use whoelse_engine::{AccountId, DeviceSnapshot, InviteSnapshot, StrangerSnapshot, Time};
use whoelse_proto::DeviceKey;

use super::DatabaseError;
use super::rows::{checked, number, optional, role_number, role_of};
use super::schema::{Sum, signed};

/// A row of the table devices.
#[derive(Clone, Debug)]
pub(super) struct DeviceRow {
    pub(super) account: AccountId,
    pub(super) device: DeviceSnapshot,
}

/// The columns of [`DeviceRow`].
pub(super) const DEVICE_COLUMNS: &str = "account, key, name, added, used, crc";

impl DeviceRow {
    fn sum(&self) -> u32 {
        Sum::of("devices")
            .number(u64::from(self.account.0))
            .bytes(&self.device.key.0)
            .bytes(self.device.name.as_bytes())
            .number(self.device.added.0)
            .number(self.device.used.0)
            .finish()
    }

    /// Reads a row of [`DEVICE_COLUMNS`].
    pub(super) fn from_row(row: &Row<'_>) -> Result<Self, DatabaseError> {
        let read = || {
            let Some(key) = array(row, 1)? else { return Ok(None) };
            let device = DeviceSnapshot {
                key: DeviceKey(key),
                name: row.get::<_, Arc<str>>(2)?,
                added: Time(number(row, 3)?),
                used: Time(number(row, 4)?),
            };
            let row_read = Self { account: AccountId(row.get(0)?), device };
            Ok((row.get::<_, u32>(5)? == row_read.sum()).then_some(row_read))
        };
        checked("devices", row, read())
    }

    pub(super) fn read(
        connection: &Connection,
        account: AccountId,
        key: &DeviceKey,
    ) -> Result<Option<Self>, DatabaseError> {
        let query = format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE account = ?1 AND key = ?2");
        let at = || DatabaseError::at("read");
        let mut statement = connection.prepare_cached(&query).map_err(at())?;
        let mut rows = statement.query((account.0, key.0)).map_err(at())?;
        rows.next().map_err(at())?.map(Self::from_row).transpose()
    }

    /// Inserts or replaces the row.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let statement =
            format!("REPLACE INTO devices ({DEVICE_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
        connection.prepare_cached(&statement)?.execute((
            self.account.0,
            self.device.key.0,
            &*self.device.name,
            signed(self.device.added.0),
            signed(self.device.used.0),
            self.sum(),
        ))?;
        Ok(())
    }
}

/// Deletes a device; returns how many rows that were.
pub(super) fn delete_device(
    connection: &Connection,
    account: AccountId,
    key: &DeviceKey,
) -> rusqlite::Result<u64> {
    let statement = "DELETE FROM devices WHERE account = ?1 AND key = ?2";
    Ok(connection.prepare_cached(statement)?.execute((account.0, key.0))? as u64)
}

/// The columns of the table invites.
pub(super) const INVITE_COLUMNS: &str = "number, hash, by, role, is_first, expires, crc";

fn invite_sum(invite: &InviteSnapshot) -> u32 {
    Sum::of("invites")
        .number(invite.number)
        .bytes(&invite.hash)
        .optional(invite.by.map(|by| u64::from(by.0)))
        .number(role_number(invite.role))
        .number(u64::from(invite.is_first))
        .number(invite.expires.0)
        .finish()
}

/// Reads a row of [`INVITE_COLUMNS`].
pub(super) fn invite_from_row(row: &Row<'_>) -> Result<InviteSnapshot, DatabaseError> {
    let read = || {
        let (Some(hash), Some(role)) = (array(row, 1)?, role_of(number(row, 3)?)) else {
            return Ok(None);
        };
        let invite = InviteSnapshot {
            number: number(row, 0)?,
            hash,
            by: row.get::<_, Option<u32>>(2)?.map(AccountId),
            role,
            is_first: row.get(4)?,
            expires: Time(number(row, 5)?),
        };
        Ok((row.get::<_, u32>(6)? == invite_sum(&invite)).then_some(invite))
    };
    checked("invites", row, read())
}

pub(super) fn insert_invite(
    connection: &Connection,
    invite: &InviteSnapshot,
) -> rusqlite::Result<()> {
    let statement =
        format!("INSERT INTO invites ({INVITE_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    connection.prepare_cached(&statement)?.execute((
        signed(invite.number),
        invite.hash,
        invite.by.map(|by| by.0),
        signed(role_number(invite.role)),
        invite.is_first,
        signed(invite.expires.0),
        invite_sum(invite),
    ))?;
    Ok(())
}

/// Deletes some invites; returns how many rows that were.
pub(super) fn delete_invites(
    connection: &Connection,
    which: InvitesWhere,
) -> rusqlite::Result<u64> {
    let (condition, value) = match which {
        InvitesWhere::Number(number) => ("number = ?1", number),
        InvitesWhere::By(account) => ("by = ?1", u64::from(account.0)),
        InvitesWhere::ExpiredAt(time) => ("expires <= ?1", time.0),
    };
    let statement = format!("DELETE FROM invites WHERE {condition}");
    Ok(connection.prepare_cached(&statement)?.execute([signed(value)])? as u64)
}

/// Which invites are meant.
#[derive(Clone, Copy)]
pub(super) enum InvitesWhere {
    Number(u64),
    By(AccountId),
    ExpiredAt(Time),
}

/// The columns of the table strangers.
pub(super) const STRANGER_COLUMNS: &str = "key, strikes, locked_until, time, crc";

fn stranger_sum(stranger: &StrangerSnapshot) -> u32 {
    Sum::of("strangers")
        .bytes(&stranger.key.to_le_bytes())
        .number(u64::from(stranger.strikes))
        .optional(stranger.locked_until.map(|until| until.0))
        .number(stranger.time.0)
        .finish()
}

/// Reads a row of [`STRANGER_COLUMNS`].
pub(super) fn stranger_from_row(row: &Row<'_>) -> Result<StrangerSnapshot, DatabaseError> {
    let read = || {
        let Some(key) = array(row, 0)? else { return Ok(None) };
        let stranger = StrangerSnapshot {
            key: u128::from_le_bytes(key),
            strikes: row.get(1)?,
            locked_until: optional(row, 2)?.map(Time),
            time: Time(number(row, 3)?),
        };
        Ok((row.get::<_, u32>(4)? == stranger_sum(&stranger)).then_some(stranger))
    };
    checked("strangers", row, read())
}

/// Inserts or replaces a row; returns whether there was none of that name.
pub(super) fn write_stranger(
    connection: &Connection,
    stranger: &StrangerSnapshot,
) -> rusqlite::Result<bool> {
    let key = stranger.key.to_le_bytes();
    let query = "SELECT 1 FROM strangers WHERE key = ?1";
    let known = connection.prepare_cached(query)?.query_row([key], |_| Ok(())).optional()?;
    let statement =
        format!("REPLACE INTO strangers ({STRANGER_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)");
    connection.prepare_cached(&statement)?.execute((
        key,
        stranger.strikes,
        stranger.locked_until.map(|until| signed(until.0)),
        signed(stranger.time.0),
        stranger_sum(stranger),
    ))?;
    Ok(known.is_none())
}

/// Forgets so many names, the oldest first, and those that are locked last.
pub(super) fn forget_strangers(
    connection: &Connection,
    surplus: u64,
    newest: Time,
) -> rusqlite::Result<u64> {
    let statement = "DELETE FROM strangers WHERE key IN (SELECT key FROM strangers \
                     ORDER BY coalesce(locked_until, 0) > ?1, time, key LIMIT ?2)";
    let mut statement = connection.prepare_cached(statement)?;
    Ok(statement.execute((signed(newest.0), signed(surplus)))? as u64)
}

/// Bytes of a fixed length; none if there are more or fewer.
pub(super) fn array<const N: usize>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<[u8; N]>> {
    Ok(row.get_ref(column)?.as_blob()?.try_into().ok())
}
