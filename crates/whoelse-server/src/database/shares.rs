//! Rows of files that people share, changed record by record.

use rusqlite::{Connection, Row};
use whoelse_engine::{AccountId, Share, Time};
use whoelse_proto::{DeviceKey, FileHash, Name, Scope, SharedName, Signature};

use super::DatabaseError;
use super::newcomers::array;
use super::projector::{Projection, contradiction};
use super::rows::{checked, number};
use super::schema::{Sum, signed};

/// The columns of the table shares.
pub(super) const SHARE_COLUMNS: &str =
    "owner, hash, size, name, people, device, signature, time, crc";

fn sum(share: &Share, people: Option<&str>) -> u32 {
    Sum::of("shares")
        .number(u64::from(share.owner.0))
        .bytes(&share.hash.0)
        .number(share.size)
        .bytes(share.name.as_str().as_bytes())
        .number(u64::from(people.is_some()))
        .bytes(people.unwrap_or_default().as_bytes())
        .bytes(&share.device.0)
        .bytes(&share.signature.0)
        .number(share.time.0)
        .finish()
}

/// Names hold no spaces, so they can be read with spaces between them.
fn people(scope: &Scope) -> Option<String> {
    let names = scope.names()?.iter().map(Name::as_str);
    Some(names.collect::<Vec<_>>().join(" "))
}

fn scope(people: Option<&str>) -> Option<Scope> {
    let Some(people) = people else { return Some(Scope::Everyone) };
    let names: Result<Box<[Name]>, _> = people.split(' ').map(Name::new).collect();
    names.ok().map(Scope::People)
}

/// Reads a row of [`SHARE_COLUMNS`].
pub(super) fn share_from_row(row: &Row<'_>) -> Result<Share, DatabaseError> {
    let read = || {
        let (hash, device, signature) = (array(row, 1)?, array(row, 5)?, array(row, 6)?);
        let (Some(hash), Some(device), Some(signature)) = (hash, device, signature) else {
            return Ok(None);
        };
        let Ok(name) = SharedName::new(row.get_ref(3)?.as_str()?) else { return Ok(None) };
        let people: Option<String> = row.get(4)?;
        let Some(with) = scope(people.as_deref()) else { return Ok(None) };
        let share = Share {
            owner: AccountId(row.get(0)?),
            hash: FileHash(hash),
            size: number(row, 2)?,
            name,
            with,
            device: DeviceKey(device),
            signature: Signature(signature),
            time: Time(number(row, 7)?),
        };
        Ok((row.get::<_, u32>(8)? == sum(&share, people.as_deref())).then_some(share))
    };
    checked("shares", row, read())
}

fn write(connection: &Connection, share: &Share) -> rusqlite::Result<()> {
    let people = people(&share.with);
    let statement = format!(
        "REPLACE INTO shares ({SHARE_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    );
    connection.prepare_cached(&statement)?.execute((
        share.owner.0,
        share.hash.0,
        signed(share.size),
        share.name.as_str(),
        people.as_deref(),
        share.device.0,
        share.signature.0,
        signed(share.time.0),
        sum(share, people.as_deref()),
    ))?;
    Ok(())
}

impl Projection<'_> {
    pub(super) fn share(&mut self, share: &Share) -> Result<(), DatabaseError> {
        self.settle(share.owner)?;
        self.unshare(share.owner, &share.hash)?;
        write(self.connection, share).map_err(at())?;
        self.meta.shares += 1;
        Ok(())
    }

    pub(super) fn share_renewed(
        &mut self,
        owner: AccountId,
        hash: &FileHash,
        time: Time,
    ) -> Result<(), DatabaseError> {
        let query = format!("SELECT {SHARE_COLUMNS} FROM shares WHERE owner = ?1 AND hash = ?2");
        let read = || {
            let mut statement = self.connection.prepare_cached(&query).map_err(at())?;
            let mut rows = statement.query((owner.0, hash.0)).map_err(at())?;
            rows.next().map_err(at())?.map(share_from_row).transpose()
        };
        let Some(share) = read()? else {
            return Err(contradiction(owner, "renews what it does not share"));
        };
        write(self.connection, &Share { time, ..share }).map_err(at())
    }

    pub(super) fn unshare(
        &mut self,
        owner: AccountId,
        hash: &FileHash,
    ) -> Result<(), DatabaseError> {
        let statement = "DELETE FROM shares WHERE owner = ?1 AND hash = ?2";
        let mut statement = self.connection.prepare_cached(statement).map_err(at())?;
        let deleted = statement.execute((owner.0, hash.0)).map_err(at())? as u64;
        self.forget_shares(deleted);
        Ok(())
    }

    /// Forgets what a device has shared, or all devices of somebody.
    pub(super) fn unshare_all(
        &mut self,
        owner: AccountId,
        device: Option<&DeviceKey>,
    ) -> Result<(), DatabaseError> {
        let statement = "DELETE FROM shares WHERE owner = ?1 AND device = coalesce(?2, device)";
        let mut statement = self.connection.prepare_cached(statement).map_err(at())?;
        let device = device.map(|device| device.0);
        let deleted = statement.execute((owner.0, device)).map_err(at())? as u64;
        self.forget_shares(deleted);
        Ok(())
    }

    fn forget_shares(&mut self, deleted: u64) {
        self.meta.shares = self.meta.shares.saturating_sub(deleted);
    }
}

fn at() -> impl FnOnce(rusqlite::Error) -> DatabaseError {
    DatabaseError::at("write")
}
