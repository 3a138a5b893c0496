//! Reads the state of all accounts at start, and checks that nothing is missing from it.

use std::collections::HashSet;

use rusqlite::{Connection, Row};
use whoelse_engine::{
    AccountId, AccountSnapshot, InviteSnapshot, Share, Snapshot, StrangerSnapshot, Time,
    WaitingSnapshot,
};
use whoelse_proto::Name;

use super::newcomers::{
    DEVICE_COLUMNS, DeviceRow, INVITE_COLUMNS, STRANGER_COLUMNS, invite_from_row, stranger_from_row,
};
use super::rows::{
    ACCOUNT_COLUMNS, AccountRow, Meta, SENT_COLUMNS, SentRow, block_sum, receipt_key,
};
use super::schema::unsigned;
use super::shares::{SHARE_COLUMNS, share_from_row};
use super::{DatabaseError, SENT_MAX, SENT_MS_MAX};

/// An account, and how far its rows in other tables have been read.
struct Loading {
    row: AccountRow,
    snapshot: AccountSnapshot,
    blocks: u64,
    devices: u64,
    sent: u64,
}

pub(super) fn load(connection: &Connection) -> Result<Snapshot, DatabaseError> {
    let view = connection.unchecked_transaction().map_err(DatabaseError::at("read"))?;
    let meta = Meta::read(&view)?;
    let mut accounts = load_accounts(&view, &meta)?;
    load_blocks(&view, &mut accounts)?;
    load_waiting(&view, &mut accounts)?;
    load_sent(&view, &mut accounts)?;
    load_devices(&view, &mut accounts)?;
    for loading in &mut accounts {
        check_complete(loading)?;
        forget_old(&mut loading.snapshot, meta.newest);
    }
    let accounts: Vec<_> = accounts.into_iter().map(|loading| loading.snapshot).collect();
    let invites = load_invites(&view, &meta)?;
    let strangers = load_strangers(&view, &meta)?;
    let (last_invite, newest) = (meta.last_invite, meta.newest);
    let shares = load_shares(&view, &meta, &accounts)?;
    Ok(Snapshot { accounts, invites, last_invite, shares, strangers, newest })
}

fn load_accounts(view: &Connection, meta: &Meta) -> Result<Vec<Loading>, DatabaseError> {
    let mut accounts: Vec<Loading> = Vec::new();
    let query = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts ORDER BY account");
    for_each(view, &query, |row| {
        let row = AccountRow::from_row(row)?;
        if row.account.index() != accounts.len() {
            return Err(missing("accounts", accounts.len() as u64, "its row"));
        }
        let snapshot = AccountSnapshot {
            role: row.role,
            is_locked: row.is_locked,
            is_removed: row.is_removed,
            failed_logins: row.failed_logins,
            strikes: row.strikes,
            locked_until: row.locked_until,
            last_seen: row.last_seen,
            open: row.open,
            last_number: row.last_number,
            acknowledged: row.acknowledged,
            ..AccountSnapshot::new(row.name.clone(), row.password.clone())
        };
        let sent = row.sent_pruned;
        accounts.push(Loading { row, snapshot, blocks: 0, devices: 0, sent });
        Ok(())
    })?;
    if accounts.len() as u64 != meta.accounts {
        return Err(missing("accounts", accounts.len() as u64, "its row"));
    }
    Ok(accounts)
}

fn load_blocks(view: &Connection, accounts: &mut [Loading]) -> Result<(), DatabaseError> {
    let query = "SELECT blocker, blocked, crc FROM blocks ORDER BY blocker, blocked";
    for_each(view, query, |row| {
        let (blocker, blocked) = (AccountId(column(row, 0)?), AccountId(column(row, 1)?));
        let whole = column::<u32>(row, 2)? == block_sum(blocker, blocked);
        let loading = accounts.get_mut(blocker.index()).filter(|_| whole);
        let loading = loading.ok_or_else(|| altered("blocks", u64::from(blocker.0)))?;
        loading.blocks += 1;
        loading.snapshot.blocks.push(blocked);
        Ok(())
    })
}

/// Reads senders, lengths and what receipts need; bodies, and with them the sums, are looked at when they are read.
fn load_waiting(view: &Connection, accounts: &mut [Loading]) -> Result<(), DatabaseError> {
    let query = "SELECT account, number, sender, octet_length(body), retry FROM mail \
                 ORDER BY account, number";
    for_each(view, query, |row| {
        let account = AccountId(column(row, 0)?);
        let loading = accounts.get_mut(account.index());
        let loading = loading.ok_or_else(|| altered("mail", u64::from(account.0)))?;
        let snapshot = &mut loading.snapshot;
        let expected = snapshot.acknowledged.0 + snapshot.waiting.len() as u64 + 1;
        if unsigned(column(row, 1)?) != expected {
            return Err(missing("mail", u64::from(account.0), "a message"));
        }
        let retry: Option<Vec<u8>> = column(row, 4)?;
        snapshot.waiting.push(WaitingSnapshot {
            from: AccountId(column(row, 2)?),
            bytes: column(row, 3)?,
            receipt: retry.as_deref().and_then(receipt_key),
        });
        Ok(())
    })
}

fn load_sent(view: &Connection, accounts: &mut [Loading]) -> Result<(), DatabaseError> {
    let query = format!("SELECT {SENT_COLUMNS} FROM sent ORDER BY account, last");
    for_each(view, &query, |row| {
        let row = SentRow::from_row(row)?;
        let loading = accounts.get_mut(row.account.index());
        let loading = loading.ok_or_else(|| altered("sent", u64::from(row.account.0)))?;
        loading.sent += row.entries.len() as u64;
        if loading.sent != row.last {
            return Err(missing("sent", u64::from(row.account.0), "an id"));
        }
        loading.snapshot.sent.extend(row.entries);
        Ok(())
    })
}

fn load_devices(view: &Connection, accounts: &mut [Loading]) -> Result<(), DatabaseError> {
    let query = format!("SELECT {DEVICE_COLUMNS} FROM devices ORDER BY account, added, key");
    for_each(view, &query, |row| {
        let row = DeviceRow::from_row(row)?;
        let loading = accounts.get_mut(row.account.index());
        let loading = loading.ok_or_else(|| altered("devices", u64::from(row.account.0)))?;
        loading.devices += 1;
        loading.snapshot.devices.push(row.device);
        Ok(())
    })
}

fn load_invites(view: &Connection, meta: &Meta) -> Result<Vec<InviteSnapshot>, DatabaseError> {
    let mut invites = Vec::new();
    let query = format!("SELECT {INVITE_COLUMNS} FROM invites ORDER BY number");
    for_each(view, &query, |row| {
        invites.push(invite_from_row(row)?);
        Ok(())
    })?;
    if invites.len() as u64 != meta.invites {
        return Err(DatabaseError::damaged("invites", "a row is missing".to_owned()));
    }
    Ok(invites)
}

fn load_strangers(view: &Connection, meta: &Meta) -> Result<Vec<StrangerSnapshot>, DatabaseError> {
    let mut strangers = Vec::new();
    let query = format!("SELECT {STRANGER_COLUMNS} FROM strangers");
    for_each(view, &query, |row| {
        strangers.push(stranger_from_row(row)?);
        Ok(())
    })?;
    if strangers.len() as u64 != meta.strangers {
        return Err(DatabaseError::damaged("strangers", "a row is missing".to_owned()));
    }
    strangers.sort_unstable_by_key(|stranger: &StrangerSnapshot| (stranger.time, stranger.key));
    Ok(strangers)
}

fn load_shares(
    view: &Connection,
    meta: &Meta,
    accounts: &[AccountSnapshot],
) -> Result<Vec<Share>, DatabaseError> {
    let names: HashSet<&Name> = accounts.iter().map(|account| &account.name).collect();
    let mut shares: Vec<Share> = Vec::new();
    let query = format!("SELECT {SHARE_COLUMNS} FROM shares ORDER BY owner, hash");
    for_each(view, &query, |row| {
        let share = share_from_row(row)?;
        let owner = accounts.get(share.owner.index());
        let is_vouched =
            |owner: &AccountSnapshot| owner.devices.iter().any(|device| device.key == share.device);
        let mut with = share.with.names().unwrap_or_default().iter();
        if !owner.is_some_and(is_vouched) || !with.all(|name| names.contains(name)) {
            return Err(altered("shares", u64::from(share.owner.0)));
        }
        shares.push(share);
        Ok(())
    })?;
    if shares.len() as u64 != meta.shares {
        return Err(DatabaseError::damaged("shares", "a row is missing".to_owned()));
    }
    Ok(shares)
}

/// What is missing at an end shows only in the counts.
fn check_complete(loading: &Loading) -> Result<(), DatabaseError> {
    let (row, snapshot) = (&loading.row, &loading.snapshot);
    let account = u64::from(row.account.0);
    if loading.blocks != row.blocks {
        return Err(missing("blocks", account, "a block"));
    }
    if loading.devices != row.devices {
        return Err(missing("devices", account, "a device"));
    }
    if snapshot.acknowledged.0 + snapshot.waiting.len() as u64 != row.last_number.0 {
        return Err(missing("mail", account, "a message"));
    }
    if loading.sent != row.sent_last {
        return Err(missing("sent", account, "an id"));
    }
    Ok(())
}

/// Rows of used ids are forgotten as a whole and at leisure; here the bounds are exact.
fn forget_old(snapshot: &mut AccountSnapshot, newest: Time) {
    let surplus = snapshot.sent.len().saturating_sub(SENT_MAX);
    snapshot.sent.drain(..surplus);
    snapshot.sent.retain(|sent| newest.since(sent.time) <= SENT_MS_MAX);
}

fn for_each(
    view: &Connection,
    query: &str,
    mut action: impl FnMut(&Row<'_>) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let at = || DatabaseError::at("read");
    let mut statement = view.prepare(query).map_err(at())?;
    let mut rows = statement.query(()).map_err(at())?;
    while let Some(row) = rows.next().map_err(at())? {
        action(row)?;
    }
    Ok(())
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, DatabaseError> {
    row.get(index).map_err(DatabaseError::at("read"))
}

fn missing(table: &'static str, account: u64, what: &str) -> DatabaseError {
    DatabaseError::damaged(table, format!("{what} of account {account} is missing"))
}

fn altered(table: &'static str, account: u64) -> DatabaseError {
    DatabaseError::damaged(table, format!("a row of account {account} is altered"))
}
