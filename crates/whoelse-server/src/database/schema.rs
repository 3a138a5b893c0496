//! The tables, their versions, and the sums that tell whether a row was altered.

use rusqlite::{Connection, Transaction};

use super::DatabaseError;

/// Marks a file as ours in its header.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"whls");

/// What to run to come from one version to the next; the first makes everything.
///
/// A step that was ever released is never changed.
const STEPS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

/// The version that this program reads and writes.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// The oldest SQLite that is safe: before it, a checkpoint beside a writer can corrupt the file.
const LIBRARY_VERSION_MIN: i32 = 3_051_003;

/// Refuses libraries that are known to corrupt.
pub(super) fn check_library() -> Result<(), DatabaseError> {
    let found = rusqlite::version_number();
    if found < LIBRARY_VERSION_MIN {
        return Err(DatabaseError::Library { found: rusqlite::version().to_owned() });
    }
    Ok(())
}

/// Refuses, before anything is changed, what another or a newer program made. Returns the version,
/// 0 if the file is still empty.
pub(super) fn check_version(connection: &Connection) -> Result<i32, DatabaseError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read =
        |result: rusqlite::Result<i32>| result.map_err(DatabaseError::at("read the version"));
    let version = read(pragma("user_version"))?;
    let application = read(pragma("application_id"))?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables = read(connection.query_row(tables, (), |row| row.get::<_, i32>(0)))?;
    if version == 0 && application == 0 && tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID || version < 1 {
        return Err(DatabaseError::Foreign);
    }
    if version > VERSION {
        return Err(DatabaseError::Newer { found: version });
    }
    Ok(version)
}

/// Brings the tables from a version to [`VERSION`], all or nothing.
pub(super) fn upgrade(transaction: &Transaction<'_>, version: i32) -> rusqlite::Result<()> {
    let done = usize::try_from(version).unwrap_or_default();
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)
}

/// Sums up a row, field by field, so that an altered one is noticed.
#[derive(Clone, Copy)]
pub(super) struct Sum(u32);

impl Sum {
    /// Begins with the table, so that rows cannot change places.
    pub(super) fn of(table: &str) -> Self {
        Self(crc32c::crc32c(table.as_bytes()))
    }

    pub(super) fn number(self, value: u64) -> Self {
        Self(crc32c::crc32c_append(self.0, &value.to_le_bytes()))
    }

    /// Tells nothing from 0.
    pub(super) fn optional(self, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(1).number(value),
            None => self.number(0),
        }
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let length = self.number(value.len() as u64);
        Self(crc32c::crc32c_append(length.0, value))
    }

    /// Sums up what a later version added, if it says anything: rows from before keep their sums.
    pub(super) fn later(self, values: &[u64]) -> Self {
        if values.iter().all(|value| *value == 0) {
            return self;
        }
        values.iter().fold(self, |sum, value| sum.number(*value))
    }

    pub(super) fn finish(self) -> u32 {
        self.0
    }
}

/// SQLite knows signed numbers only. Ours stay far below the border, except hashes.
pub(super) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

/// The inverse of [`signed`].
pub(super) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}
