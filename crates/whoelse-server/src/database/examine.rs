//! Goes through everything in a database, row by row.

use std::collections::BTreeMap;

use rusqlite::Connection;
use whoelse_engine::{AccountId, Message, Number};

use super::rows::{MAIL_COLUMNS, message_from_row};
use super::{Database, DatabaseError, load, schema, still};

/// What is in a database in which nothing is altered or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The version of its tables.
    pub version: i32,
    /// People who may log in.
    pub people: u64,
    /// People who were removed: their names stay retired.
    pub removed: u64,
    /// Devices that may resume.
    pub devices: u64,
    /// People who refuse others, in pairs.
    pub blocks: u64,
    /// Invites that are open.
    pub invites: u64,
    /// Files that are shared.
    pub shares: u64,
    /// Messages that wait.
    pub messages: u64,
    /// The bytes of their texts.
    pub message_bytes: u64,
}

impl Database {
    /// Checks the file, reads every row, checks its sum and that none is missing, and counts.
    ///
    /// # Errors
    /// When it cannot be read, or rows are altered or missing: the first of them.
    pub fn examine(&self) -> Result<Contents, DatabaseError> {
        still::check_pages(&self.connection)?;
        let snapshot = load::load(&self.connection)?;
        let mut contents = Contents {
            version: schema::VERSION,
            invites: snapshot.invites.len() as u64,
            shares: snapshot.shares.len() as u64,
            ..Contents::default()
        };
        let mut mail = BTreeMap::new();
        for (index, account) in snapshot.accounts.iter().enumerate() {
            if account.is_removed {
                contents.removed += 1;
            } else {
                contents.people += 1;
            }
            contents.devices += account.devices.len() as u64;
            contents.blocks += account.blocks.len() as u64;
            if account.last_number > account.acknowledged {
                mail.insert(index, (account.acknowledged, account.last_number));
            }
        }
        examine_mail(&self.connection, &mut mail, &mut contents)?;
        Ok(contents)
    }
}

/// The mail of everybody is there without gaps, and each message is whole.
fn examine_mail(
    connection: &Connection,
    expected: &mut BTreeMap<usize, (Number, Number)>,
    contents: &mut Contents,
) -> Result<(), DatabaseError> {
    let at = || DatabaseError::at("read mail from");
    let query = format!("SELECT {MAIL_COLUMNS} FROM mail ORDER BY account, number");
    let mut statement = connection.prepare(&query).map_err(at())?;
    let mut rows = statement.query(()).map_err(at())?;
    while let Some(row) = rows.next().map_err(at())? {
        let message: Message = message_from_row(row)?;
        let next = expected.get_mut(&message.to.index()).map(|(last, _)| last);
        match next {
            Some(last) if message.number == last.next() => *last = message.number,
            _ => return Err(missing(message.to, message.number)),
        }
        contents.messages += 1;
        contents.message_bytes += message.body.len() as u64;
    }
    match expected.iter().find(|(_, (last, end))| last < end) {
        Some((index, (last, _))) => {
            Err(missing(AccountId(u32::try_from(*index).unwrap_or(u32::MAX)), last.next()))
        }
        None => Ok(()),
    }
}

fn missing(account: AccountId, number: Number) -> DatabaseError {
    let what = format!("row {} of account {} is missing or not expected", number.0, account.0);
    DatabaseError::damaged("mail", what)
}
