//! Rows as values: read with their sum checked, written with their sum.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use whoelse_engine::{AccountId, Message, Number, PasswordHash, RetryKey, SentSnapshot, Time};
use whoelse_proto::{Name, ReceiptKey, Role};

use super::DatabaseError;
use super::schema::{Sum, signed, unsigned};

/// The row of the table meta.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) server_id: Arc<str>,
    pub(super) position: u64,
    pub(super) newest: Time,
    pub(super) accounts: u64,
    pub(super) has_journal: bool,
    pub(super) invites: u64,
    pub(super) last_invite: u64,
    pub(super) strangers: u64,
    pub(super) shares: u64,
}

impl Meta {
    pub(super) fn new(server_id: &str) -> Self {
        Self {
            server_id: server_id.into(),
            position: 0,
            newest: Time(0),
            accounts: 0,
            has_journal: false,
            invites: 0,
            last_invite: 0,
            strangers: 0,
            shares: 0,
        }
    }

    fn sum(&self) -> u32 {
        Sum::of("meta")
            .bytes(self.server_id.as_bytes())
            .number(self.position)
            .number(self.newest.0)
            .number(self.accounts)
            .number(u64::from(self.has_journal))
            .later(&[self.invites, self.last_invite, self.strangers])
            .later(&[self.shares])
            .finish()
    }

    pub(super) fn read(connection: &Connection) -> Result<Self, DatabaseError> {
        let query = "SELECT server_id, position, newest, accounts, has_journal, invites, \
                     last_invite, strangers, shares, crc FROM meta";
        let row = connection.query_row(query, (), |row| {
            let meta = Self {
                server_id: row.get(0)?,
                position: number(row, 1)?,
                newest: Time(number(row, 2)?),
                accounts: number(row, 3)?,
                has_journal: row.get(4)?,
                invites: number(row, 5)?,
                last_invite: number(row, 6)?,
                strangers: number(row, 7)?,
                shares: number(row, 8)?,
            };
            Ok((row.get::<_, u32>(9)? == meta.sum()).then_some(meta))
        });
        let row = row.optional().map_err(DatabaseError::at("read"))?.flatten();
        row.ok_or_else(|| DatabaseError::damaged("meta", "altered or missing".to_owned()))
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let statement = "INSERT INTO meta (one, server_id, position, newest, accounts, \
                         has_journal, crc) VALUES (1, '', 0, 0, 0, 0, 0)";
        connection.execute(statement, ())?;
        self.update(connection)
    }

    pub(super) fn update(&self, connection: &Connection) -> rusqlite::Result<()> {
        let statement = "UPDATE meta SET server_id = ?1, position = ?2, newest = ?3, \
                         accounts = ?4, has_journal = ?5, invites = ?6, \
                         last_invite = ?7, strangers = ?8, shares = ?9, crc = ?10";
        connection.prepare_cached(statement)?.execute((
            &*self.server_id,
            signed(self.position),
            signed(self.newest.0),
            signed(self.accounts),
            self.has_journal,
            signed(self.invites),
            signed(self.last_invite),
            signed(self.strangers),
            signed(self.shares),
            self.sum(),
        ))?;
        Ok(())
    }
}

/// A row of the table accounts.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub(super) account: AccountId,
    pub(super) name: Name,
    pub(super) password: Option<PasswordHash>,
    pub(super) strikes: u8,
    pub(super) locked_until: Option<Time>,
    pub(super) last_seen: Option<Time>,
    pub(super) open: bool,
    pub(super) blocks: u64,
    pub(super) last_number: Number,
    pub(super) acknowledged: Number,
    pub(super) sent_last: u64,
    pub(super) sent_pruned: u64,
    pub(super) role: Role,
    pub(super) is_locked: bool,
    pub(super) is_removed: bool,
    pub(super) failed_logins: u32,
    pub(super) devices: u64,
}

/// The columns of [`AccountRow`], in its order.
pub(super) const ACCOUNT_COLUMNS: &str = "account, name, password, strikes, locked_until, \
     last_seen, open, blocks, last_number, acknowledged, sent_last, sent_pruned, role, is_locked, \
     is_removed, failed_logins, devices, crc";

impl AccountRow {
    pub(super) fn new(account: AccountId, name: Name, password: Option<PasswordHash>) -> Self {
        Self {
            account,
            name,
            password,
            strikes: 0,
            locked_until: None,
            last_seen: None,
            open: false,
            blocks: 0,
            last_number: Number(0),
            acknowledged: Number(0),
            sent_last: 0,
            sent_pruned: 0,
            role: Role::Member,
            is_locked: false,
            is_removed: false,
            failed_logins: 0,
            devices: 0,
        }
    }

    /// A session begins, and its person is told of failed logins.
    pub(super) fn begin(&mut self, time: Time) {
        self.open = true;
        self.last_seen = Some(time);
        self.failed_logins = 0;
    }

    fn sum(&self) -> u32 {
        let password = self.password.as_ref().map_or("", |hash| &hash.0);
        Sum::of("accounts")
            .number(u64::from(self.account.0))
            .bytes(self.name.as_str().as_bytes())
            .number(u64::from(self.password.is_some()))
            .bytes(password.as_bytes())
            .number(u64::from(self.strikes))
            .optional(self.locked_until.map(|time| time.0))
            .optional(self.last_seen.map(|time| time.0))
            .number(u64::from(self.open))
            .number(self.blocks)
            .number(self.last_number.0)
            .number(self.acknowledged.0)
            .number(self.sent_last)
            .number(self.sent_pruned)
            .later(&[
                role_number(self.role),
                u64::from(self.is_locked),
                u64::from(self.is_removed),
                u64::from(self.failed_logins),
                self.devices,
            ])
            .finish()
    }

    /// Reads a row of [`ACCOUNT_COLUMNS`].
    pub(super) fn from_row(row: &Row<'_>) -> Result<Self, DatabaseError> {
        let read = || {
            let Ok(name) = Name::new(row.get_ref(1)?.as_str()?) else { return Ok(None) };
            let Some(role) = role_of(number(row, 12)?) else { return Ok(None) };
            let account = Self {
                account: AccountId(row.get(0)?),
                name,
                password: row.get::<_, Option<Arc<str>>>(2)?.map(PasswordHash),
                strikes: row.get(3)?,
                locked_until: optional(row, 4)?.map(Time),
                last_seen: optional(row, 5)?.map(Time),
                open: row.get(6)?,
                blocks: number(row, 7)?,
                last_number: Number(number(row, 8)?),
                acknowledged: Number(number(row, 9)?),
                sent_last: number(row, 10)?,
                sent_pruned: number(row, 11)?,
                role,
                is_locked: row.get(13)?,
                is_removed: row.get(14)?,
                failed_logins: row.get(15)?,
                devices: number(row, 16)?,
            };
            Ok((row.get::<_, u32>(17)? == account.sum()).then_some(account))
        };
        checked("accounts", row, read())
    }

    pub(super) fn read(
        connection: &Connection,
        account: AccountId,
    ) -> Result<Option<Self>, DatabaseError> {
        let query = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE account = ?1");
        let at = || DatabaseError::at("read");
        let mut statement = connection.prepare_cached(&query).map_err(at())?;
        let mut rows = statement.query([account.0]).map_err(at())?;
        rows.next().map_err(at())?.map(Self::from_row).transpose()
    }

    /// Inserts or replaces the row.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        // Replacing would delete first, and what refers to it stands in the way of that.
        let statement = format!(
            "INSERT INTO accounts ({ACCOUNT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
             ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
             ON CONFLICT (account) DO UPDATE SET name = ?2, password = ?3, strikes = ?4, \
             locked_until = ?5, last_seen = ?6, open = ?7, blocks = ?8, last_number = ?9, \
             acknowledged = ?10, sent_last = ?11, sent_pruned = ?12, role = ?13, \
             is_locked = ?14, is_removed = ?15, failed_logins = ?16, devices = ?17, crc = ?18"
        );
        connection.prepare_cached(&statement)?.execute(params![
            self.account.0,
            self.name.as_str(),
            self.password.as_ref().map(|hash| &*hash.0),
            self.strikes,
            self.locked_until.map(|time| signed(time.0)),
            self.last_seen.map(|time| signed(time.0)),
            self.open,
            signed(self.blocks),
            signed(self.last_number.0),
            signed(self.acknowledged.0),
            signed(self.sent_last),
            signed(self.sent_pruned),
            signed(role_number(self.role)),
            self.is_locked,
            self.is_removed,
            self.failed_logins,
            signed(self.devices),
            self.sum(),
        ])?;
        Ok(())
    }
}

/// How a role is stored. A number once given is never given to another.
pub(super) fn role_number(role: Role) -> u64 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
    }
}

/// The inverse of [`role_number`].
pub(super) fn role_of(number: u64) -> Option<Role> {
    [Role::Member, Role::Admin].into_iter().find(|role| role_number(*role) == number)
}

/// The sum of a row of the table blocks.
pub(super) fn block_sum(blocker: AccountId, blocked: AccountId) -> u32 {
    Sum::of("blocks").number(u64::from(blocker.0)).number(u64::from(blocked.0)).finish()
}

/// The columns that [`message_from_row`] reads.
pub(super) const MAIL_COLUMNS: &str = "account, number, sender, time, at_ms, retry, body, crc";

/// Reads a row of [`MAIL_COLUMNS`].
pub(super) fn message_from_row(row: &Row<'_>) -> Result<Message, DatabaseError> {
    let read = || {
        let retry = match row.get_ref(5)? {
            ValueRef::Null => None,
            bytes => match retry_key(bytes.as_blob()?) {
                Some(retry) => Some(retry),
                None => return Ok(None),
            },
        };
        let message = Message {
            to: AccountId(row.get(0)?),
            number: Number(number(row, 1)?),
            from: AccountId(row.get(2)?),
            time: Time(number(row, 3)?),
            at_ms: number(row, 4)?,
            retry,
            body: row.get_ref(6)?.as_str()?.into(),
        };
        Ok((row.get::<_, u32>(7)? == message_sum(&message)).then_some(message))
    };
    checked("mail", row, read())
}

pub(super) fn insert_message(connection: &Connection, message: &Message) -> rusqlite::Result<()> {
    let statement =
        format!("INSERT INTO mail ({MAIL_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    connection.prepare_cached(&statement)?.execute((
        message.to.0,
        signed(message.number.0),
        message.from.0,
        signed(message.time.0),
        signed(message.at_ms),
        message.retry.map(retry_bytes),
        &*message.body,
        message_sum(message),
    ))?;
    Ok(())
}

fn message_sum(message: &Message) -> u32 {
    let retry = message.retry.map(retry_bytes);
    Sum::of("mail")
        .number(u64::from(message.to.0))
        .number(message.number.0)
        .number(u64::from(message.from.0))
        .number(message.time.0)
        .number(message.at_ms)
        .bytes(retry.as_ref().map_or(&[], |bytes| &bytes[..]))
        .bytes(message.body.as_bytes())
        .finish()
}

/// A row of the table sent: ids that one account used.
#[derive(Debug)]
pub(super) struct SentRow {
    pub(super) account: AccountId,
    pub(super) last: u64,
    pub(super) entries: Vec<SentSnapshot>,
}

/// The columns of [`SentRow`].
pub(super) const SENT_COLUMNS: &str = "account, last, newest, entries, is_wide, crc";

impl SentRow {
    /// Reads a row of [`SENT_COLUMNS`].
    pub(super) fn from_row(row: &Row<'_>) -> Result<Self, DatabaseError> {
        let read = || {
            let (account, last) = (AccountId(row.get(0)?), number(row, 1)?);
            let bytes = row.get_ref(3)?.as_blob()?;
            let is_wide = row.get(4)?;
            let sum = sent_sum(account, last, number(row, 2)?, bytes, is_wide);
            let entry_bytes = if is_wide { SENT_BYTES } else { NARROW_SENT_BYTES };
            let whole = row.get::<_, u32>(5)? == sum && bytes.len() % entry_bytes == 0;
            let entries = bytes.chunks_exact(entry_bytes).filter_map(sent_entry).collect();
            Ok(whole.then_some(Self { account, last, entries }))
        };
        checked("sent", row, read())
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut bytes = Vec::with_capacity(self.entries.len() * SENT_BYTES);
        for entry in &self.entries {
            bytes.extend_from_slice(&retry_bytes(entry.retry));
            bytes.extend_from_slice(&entry.time.0.to_le_bytes());
            let (account, number) = entry.recipient.unwrap_or((NOBODY, Number(0)));
            bytes.extend_from_slice(&account.0.to_le_bytes());
            bytes.extend_from_slice(&number.0.to_le_bytes());
        }
        let newest = self.entries.last().map_or(0, |entry| entry.time.0);
        let statement =
            format!("INSERT INTO sent ({SENT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, TRUE, ?5)");
        connection.prepare_cached(&statement)?.execute((
            self.account.0,
            signed(self.last),
            signed(newest),
            &bytes,
            sent_sum(self.account, self.last, newest, &bytes, true),
        ))?;
        Ok(())
    }
}

fn sent_sum(account: AccountId, last: u64, newest: u64, entries: &[u8], is_wide: bool) -> u32 {
    Sum::of("sent")
        .number(u64::from(account.0))
        .number(last)
        .number(newest)
        .bytes(entries)
        .later(&[u64::from(is_wide)])
        .finish()
}

const RETRY_BYTES: usize = 24;
/// An entry of a row that does not say where the message went.
const NARROW_SENT_BYTES: usize = RETRY_BYTES + 8;
const SENT_BYTES: usize = NARROW_SENT_BYTES + 4 + 8;

/// Stands for a recipient that is not known.
const NOBODY: AccountId = AccountId(u32::MAX);

fn sent_entry(bytes: &[u8]) -> Option<SentSnapshot> {
    let (retry, rest) = bytes.split_at_checked(RETRY_BYTES)?;
    let (time, recipient) = rest.split_at_checked(8)?;
    let time = Time(u64::from_le_bytes(time.try_into().ok()?));
    Some(SentSnapshot { retry: retry_key(retry)?, time, recipient: sent_recipient(recipient) })
}

fn sent_recipient(bytes: &[u8]) -> Option<(AccountId, Number)> {
    let (account, number) = bytes.split_at_checked(4)?;
    let account = AccountId(u32::from_le_bytes(account.try_into().ok()?));
    let number = Number(u64::from_le_bytes(number.try_into().ok()?));
    (account != NOBODY).then_some((account, number))
}

/// What a receipt calls a message: the first part of what makes its repetition recognisable.
pub(super) fn receipt_key(retry: &[u8]) -> Option<ReceiptKey> {
    retry_key(retry).map(|retry| ReceiptKey::from_u128(retry.id))
}

fn retry_bytes(retry: RetryKey) -> [u8; RETRY_BYTES] {
    let mut bytes = [0; RETRY_BYTES];
    bytes[..16].copy_from_slice(&retry.id.to_le_bytes());
    bytes[16..].copy_from_slice(&retry.content.to_le_bytes());
    bytes
}

fn retry_key(bytes: &[u8]) -> Option<RetryKey> {
    let (id, content) = bytes.split_at_checked(16)?;
    let (id, content) = (id.try_into().ok()?, content.try_into().ok()?);
    Some(RetryKey { id: u128::from_le_bytes(id), content: u64::from_le_bytes(content) })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(unsigned)
}

pub(super) fn optional(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(unsigned))
}

/// A row whose sum or types are wrong was altered. Says which one by its first two columns.
pub(super) fn checked<T>(
    table: &'static str,
    row: &Row<'_>,
    read: rusqlite::Result<Option<T>>,
) -> Result<T, DatabaseError> {
    match read {
        Ok(Some(value)) => Ok(value),
        Err(error) if error.sqlite_error_code().is_some() => Err(DatabaseError::at("read")(error)),
        Ok(None) | Err(_) => {
            let column = |index| row.get::<_, i64>(index).unwrap_or(-1);
            let what = match table {
                "accounts" => format!("account {} is altered", column(0)),
                "devices" => format!("a device of account {} is altered", column(0)),
                "shares" => format!("a file shared by account {} is altered", column(0)),
                "invites" => format!("invite {} is altered", column(0)),
                "strangers" => "a row is altered".to_owned(),
                _ => format!("row {} of account {} is altered", column(1), column(0)),
            };
            Err(DatabaseError::damaged(table, what))
        }
    }
}
