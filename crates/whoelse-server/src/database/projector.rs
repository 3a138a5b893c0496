//! Follows the journal into the database, in large transactions.
//!
//! What is sent and acknowledged between two of them never becomes a row. When to project is
//! decided by [`crate::store`], or by the simulator.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use whoelse_engine::{
    AccountId, DeviceSnapshot, InviteSnapshot, Message, Number, Record, SentSnapshot, Share,
    StrangerSnapshot, Time,
};

use super::newcomers::InvitesWhere;
use super::rows::{AccountRow, Meta, SentRow, block_sum, insert_message};
use super::schema::{signed, unsigned};
use super::{Database, DatabaseError, SENT_MAX, SENT_MS_MAX};
use crate::journal::BatchNumber;

/// Collects the records of batches until they are projected.
#[derive(Default)]
pub struct Projector {
    records: Vec<Vec<Record>>,
    last: Option<BatchNumber>,
    bytes: usize,
}

impl Projector {
    /// Takes the records that end with a batch. They must be safe in the journal.
    ///
    /// The records of an append may be spread over batches; all of them come with the last.
    pub fn push(&mut self, last: BatchNumber, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.bytes += records.iter().map(record_bytes).sum::<usize>();
        self.records.push(records);
        self.last = Some(last);
    }

    /// How much memory waits here, in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything waits here that may delete something or writes what may be deleted later.
    #[must_use]
    pub fn erases(&self) -> bool {
        self.records.iter().flatten().any(|record| !matches!(record, Record::Heartbeat { .. }))
    }

    /// Whether nothing waits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Projects everything that waits here in one transaction; returns the position then reached,
    /// behind which the journal may forget.
    ///
    /// # Errors
    /// When it cannot be written, or does not fit what is there. Then the database is as it was,
    /// and so is this.
    pub fn project(&mut self, database: &mut Database) -> Result<BatchNumber, DatabaseError> {
        let at = || DatabaseError::at("write");
        let Some(last) = self.last else { return database.position() };
        let transaction = database.connection.transaction().map_err(at())?;
        let mut projection = Projection::new(&transaction)?;
        for record in self.records.iter().flatten() {
            projection.take(record)?;
        }
        projection.write(last)?;
        give_back_pages(&transaction).map_err(at())?;
        transaction.commit().map_err(at())?;
        *self = Self::default();
        Ok(last)
    }
}

/// Unused pages that are kept for what comes next, 16 MiB of them.
const UNUSED_PAGES_MAX: u32 = 4096;

/// Most pages given back at once, so that it does not take long.
const PAGES_GIVEN_BACK_MAX: u32 = 8192;

/// Gives the system back what deleted mail took: else a disk that our own mail has filled would seem
/// full for ever. Files of earlier versions cannot shrink, and stay as they are.
fn give_back_pages(connection: &Connection) -> rusqlite::Result<()> {
    let unused: u32 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let surplus = unused.saturating_sub(UNUSED_PAGES_MAX).min(PAGES_GIVEN_BACK_MAX);
    if surplus > 0 {
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({surplus})"))?;
        let mut pages = statement.query(())?;
        while pages.next()?.is_some() {} // one page for each step
    }
    Ok(())
}

/// About how much memory a record takes, in bytes.
pub(crate) fn record_bytes(record: &Record) -> usize {
    let mut bytes = size_of::<Record>();
    if let Record::Message(message) = record {
        bytes += size_of::<Message>() + message.body.len();
    }
    if let Record::Share(share) = record {
        let names = share.with.names().unwrap_or_default();
        let name_bytes: usize = names.iter().map(|name| name.as_str().len()).sum();
        bytes += size_of::<Share>() + share.name.as_str().len();
        bytes += size_of_val(names) + name_bytes;
    }
    bytes
}

/// One transaction: the accounts it touches are changed in memory and written once each.
pub(super) struct Projection<'a> {
    pub(super) connection: &'a Connection,
    pub(super) meta: Meta,
    pub(super) touched: BTreeMap<AccountId, Touched>,
    messages: Vec<&'a Arc<Message>>,
}

/// An account as it will be, and what it was.
pub(super) struct Touched {
    pub(super) row: AccountRow,
    last_number_before: Number,
    acknowledged_before: Number,
    pub(super) sent: Vec<SentSnapshot>,
}

impl<'a> Projection<'a> {
    fn new(connection: &'a Connection) -> Result<Self, DatabaseError> {
        let meta = Meta::read(connection)?;
        Ok(Self { connection, meta, touched: BTreeMap::new(), messages: Vec::new() })
    }

    fn take(&mut self, record: &'a Record) -> Result<(), DatabaseError> {
        self.meta.newest = self.meta.newest.max(record.time().unwrap_or_default());
        match record {
            Record::Account { account, name, password, time: _ } => {
                if u64::from(account.0) != self.meta.accounts {
                    return Err(contradiction(*account, "is not the next account"));
                }
                self.meta.accounts += 1;
                let row = AccountRow::new(*account, name.clone(), password.clone());
                self.touched.insert(*account, Touched::from(row));
                Ok(())
            }
            Record::Password { account, hash } => {
                self.change(*account, |row| row.password = Some(hash.clone()))
            }
            Record::Strikes { account, strikes, locked_until, time: _ } => {
                self.change(*account, |row| {
                    row.strikes = *strikes;
                    row.locked_until = *locked_until;
                    row.failed_logins += u32::from(*strikes > 0);
                })
            }
            Record::Block { blocker, blocked } => self.block(*blocker, *blocked, true),
            Record::Unblock { blocker, blocked } => self.block(*blocker, *blocked, false),
            Record::Message(message) => self.message(message),
            Record::Acknowledged { account, number } => {
                let row = &mut self.account(*account)?.row;
                if *number > row.last_number {
                    return Err(contradiction(*account, "acknowledges what it never got"));
                }
                row.acknowledged = row.acknowledged.max(*number);
                Ok(())
            }
            Record::Login { account, time } => self.change(*account, |row| {
                row.begin(*time);
                row.strikes = 0;
                row.locked_until = None;
            }),
            Record::Resumed { account, time } => self.change(*account, |row| row.begin(*time)),
            Record::Logout { account, time } => self.change(*account, |row| {
                row.open = false;
                row.last_seen = Some(*time);
            }),
            Record::Heartbeat { .. } | Record::Guess { .. } => Ok(()),
            Record::Role { account, role } => self.change(*account, |row| row.role = *role),
            Record::Locked { account, is_locked } => {
                self.change(*account, |row| row.is_locked = *is_locked)
            }
            Record::Removed { account, time: _ } => self.remove(*account),
            Record::Device { account, key, name, time } => {
                let (key, name, added, used) = (*key, name.clone(), *time, *time);
                self.device(*account, DeviceSnapshot { key, name, added, used })
            }
            Record::DeviceUsed { account, key, time } => self.device_used(*account, key, *time),
            Record::DeviceRevoked { account, key } => self.device_revoked(*account, key),
            Record::Invite { number, hash, by, role, is_first, expires, time: _ } => {
                let (number, hash, by, role) = (*number, *hash, *by, *role);
                let (is_first, expires) = (*is_first, *expires);
                self.invite(&InviteSnapshot { number, hash, by, role, is_first, expires })
            }
            Record::Share(share) => self.share(share),
            Record::ShareRenewed { owner, hash, time } => self.share_renewed(*owner, hash, *time),
            Record::Unshare { owner, hash } => self.unshare(*owner, hash),
            Record::InviteGone { number } => self.invites_gone(InvitesWhere::Number(*number)),
            Record::Stranger { key, strikes, locked_until, time } => {
                let (key, strikes, locked_until, time) = (*key, *strikes, *locked_until, *time);
                self.stranger(&StrangerSnapshot { key, strikes, locked_until, time })
            }
        }
    }

    fn change(
        &mut self,
        account: AccountId,
        change: impl FnOnce(&mut AccountRow),
    ) -> Result<(), DatabaseError> {
        change(&mut self.account(account)?.row);
        Ok(())
    }

    fn message(&mut self, message: &'a Arc<Message>) -> Result<(), DatabaseError> {
        let row = &mut self.account(message.to)?.row;
        if message.number != row.last_number.next() {
            return Err(contradiction(message.to, "gets a message out of order"));
        }
        row.last_number = message.number;
        let sender = self.account(message.from)?;
        if let Some(retry) = message.retry {
            let recipient = Some((message.to, message.number));
            sender.sent.push(SentSnapshot { retry, time: message.time, recipient });
        }
        self.messages.push(message);
        Ok(())
    }

    /// Changes the table at once: blocks are rare, and their rows need the accounts.
    fn block(
        &mut self,
        blocker: AccountId,
        blocked: AccountId,
        exists: bool,
    ) -> Result<(), DatabaseError> {
        self.account(blocked)?;
        self.account(blocker)?;
        let (connection, sum) = (self.connection, block_sum(blocker, blocked));
        let change = || {
            if exists {
                for touched in [blocker, blocked].iter().filter_map(|id| self.touched.get(id)) {
                    touched.row.write(connection)?;
                }
                let statement = "INSERT OR IGNORE INTO blocks VALUES (?1, ?2, ?3)";
                connection.prepare_cached(statement)?.execute((blocker.0, blocked.0, sum))
            } else {
                let statement = "DELETE FROM blocks WHERE blocker = ?1 AND blocked = ?2";
                connection.prepare_cached(statement)?.execute((blocker.0, blocked.0))
            }
        };
        let changed = change().map_err(DatabaseError::at("write"))? as u64;
        let row = &mut self.account(blocker)?.row;
        if exists {
            row.blocks += changed;
        } else {
            row.blocks = row.blocks.saturating_sub(changed);
        }
        Ok(())
    }

    pub(super) fn account(&mut self, account: AccountId) -> Result<&mut Touched, DatabaseError> {
        use std::collections::btree_map::Entry;
        match self.touched.entry(account) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let row = AccountRow::read(self.connection, account)?;
                let row = row.ok_or_else(|| contradiction(account, "does not exist"))?;
                Ok(entry.insert(Touched::from(row)))
            }
        }
    }

    fn write(mut self, position: BatchNumber) -> Result<(), DatabaseError> {
        if position.0 <= self.meta.position {
            let what = format!("batch {} comes again", position.0);
            return Err(DatabaseError::Contradiction { what });
        }
        self.meta.position = position.0;
        let at = || DatabaseError::at("write");
        // In the order of the key, so that each page of the tree is touched once.
        self.messages.sort_unstable_by_key(|message| (message.to, message.number));
        for touched in self.touched.values_mut() {
            touched.take_sent();
            touched.forget_sent(self.connection, self.meta.newest).map_err(at())?;
            touched.row.write(self.connection).map_err(at())?;
        }
        for touched in self.touched.values() {
            touched.delete_acknowledged(self.connection)?;
            touched.write_sent(self.connection).map_err(at())?;
        }
        for message in &self.messages {
            let acknowledged = self.touched.get(&message.to).map(|to| to.row.acknowledged);
            if acknowledged < Some(message.number) {
                insert_message(self.connection, message).map_err(at())?;
            }
        }
        self.forget_newcomers().map_err(at())?;
        self.meta.update(self.connection).map_err(at())
    }
}

impl From<AccountRow> for Touched {
    fn from(row: AccountRow) -> Self {
        Self {
            last_number_before: row.last_number,
            acknowledged_before: row.acknowledged,
            row,
            sent: Vec::new(),
        }
    }
}

impl Touched {
    /// Counts the new ids; of more than are ever kept, only the last stay.
    fn take_sent(&mut self) {
        self.row.sent_last += self.sent.len() as u64;
        if self.sent.len() > SENT_MAX {
            self.sent.drain(..self.sent.len() - SENT_MAX);
        }
    }

    fn write_sent(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let (account, last) = (self.row.account, self.row.sent_last);
        SentRow { account, last, entries: self.sent.clone() }.insert(connection)
    }

    /// Deletes the rows of which every id is too old or one too many.
    fn forget_sent(&mut self, connection: &Connection, newest: Time) -> rusqlite::Result<()> {
        let surplus = self.row.sent_last.saturating_sub(SENT_MAX as u64);
        let query = "SELECT last, newest FROM sent WHERE account = ?1 ORDER BY last LIMIT 1";
        let delete = "DELETE FROM sent WHERE account = ?1 AND last = ?2";
        loop {
            let oldest = connection.prepare_cached(query)?.query_row([self.row.account.0], |row| {
                Ok((unsigned(row.get(0)?), Time(unsigned(row.get(1)?))))
            });
            let Some((last, time)) = oldest.optional()? else { break };
            if last > surplus && newest.since(time) <= SENT_MS_MAX {
                break;
            }
            connection.prepare_cached(delete)?.execute((self.row.account.0, signed(last)))?;
            self.row.sent_pruned = last;
        }
        // When more came at once than are kept, some of them never became a row.
        if !self.sent.is_empty() {
            let kept_from = self.row.sent_last - self.sent.len() as u64;
            if self.sent.len() == SENT_MAX {
                self.row.sent_pruned = kept_from;
            }
        }
        Ok(())
    }

    /// Deletes what was waiting and has been acknowledged; it must all have been there.
    fn delete_acknowledged(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let until = self.row.acknowledged.min(self.last_number_before);
        let expected = until.0.saturating_sub(self.acknowledged_before.0);
        if expected == 0 {
            return Ok(());
        }
        let statement = "DELETE FROM mail WHERE account = ?1 AND number <= ?2";
        let delete = || {
            let mut statement = connection.prepare_cached(statement)?;
            statement.execute((self.row.account.0, signed(until.0)))
        };
        let deleted = delete().map_err(DatabaseError::at("write"))?;
        if deleted as u64 == expected {
            return Ok(());
        }
        let what = format!("a message of account {} is missing", self.row.account.0);
        Err(DatabaseError::damaged("mail", what))
    }
}

pub(super) fn contradiction(account: AccountId, what: &str) -> DatabaseError {
    DatabaseError::Contradiction { what: format!("account {} {what}", account.0) }
}
