//! Reads waiting mail, a page at a time.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use whoelse_engine::{AccountId, Message, Number};

use super::DatabaseError;
use super::rows::{AccountRow, MAIL_COLUMNS, message_from_row};
use super::schema::signed;

/// What a message counts for in a page beside its body, in bytes: about what it takes on the wire.
pub const PAGE_MESSAGE_BYTES: usize = 160;

/// A connection that only reads, beside the writer.
pub struct PageReader {
    connection: Connection,
}

impl PageReader {
    /// Opens a second connection to a database that is open.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.execute_batch(
                "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; \
                 PRAGMA busy_timeout = 5000;",
            )?;
            Ok(connection)
        };
        Ok(Self { connection: open().map_err(DatabaseError::at("open"))? })
    }

    /// Reads the messages after a number, as many as fit into `bytes_max`, counting each body and
    /// [`PAGE_MESSAGE_BYTES`]; at least one if there are any.
    ///
    /// Their numbers are consecutive; they begin after `after`, or after what has been acknowledged
    /// if that is later.
    ///
    /// # Errors
    /// When it cannot be read, or rows that should be there are altered or missing.
    pub fn page(
        &self,
        account: AccountId,
        after: Number,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Message>>, DatabaseError> {
        page(&self.connection, account, after, bytes_max)
    }
}

pub(super) fn page(
    connection: &Connection,
    account: AccountId,
    after: Number,
    bytes_max: usize,
) -> Result<Vec<Arc<Message>>, DatabaseError> {
    let at = || DatabaseError::at("read mail from");
    // One view for both questions: the writer may be at work.
    let view = connection.unchecked_transaction().map_err(at())?;
    let Some(owner) = AccountRow::read(&view, account)? else { return Ok(Vec::new()) };
    let mut last = after.max(owner.acknowledged);
    let query = format!(
        "SELECT {MAIL_COLUMNS} FROM mail WHERE account = ?1 AND number > ?2 ORDER BY number"
    );
    let mut statement = view.prepare_cached(&query).map_err(at())?;
    let mut rows = statement.query((account.0, signed(last.0))).map_err(at())?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while last < owner.last_number {
        let message = rows.next().map_err(at())?.map(message_from_row).transpose()?;
        let next = last.next();
        let Some(message) = message.filter(|message| message.number == next) else {
            let what = format!("row {} of account {} is missing", next.0, account.0);
            return Err(DatabaseError::damaged("mail", what));
        };
        bytes += message.body.len() + PAGE_MESSAGE_BYTES;
        if bytes > bytes_max && !messages.is_empty() {
            break;
        }
        messages.push(Arc::new(message));
        last = next;
    }
    Ok(messages)
}
