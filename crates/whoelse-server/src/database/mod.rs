//! Keeps what must stay findable, in SQLite: accounts, blocks, waiting mail, ids used lately.
//!
//! It follows the journal; its position is part of each transaction. Every row carries a sum and
//! numbers are dense, so an altered or missing row is noticed when it is read. Threads and timing
//! are the business of [`crate::store`]; everything here is synchronous.

mod examine;
mod load;
mod newcomers;
mod pages;
mod projection;
mod projector;
mod rows;
mod schema;
mod shares;
mod still;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use examine::Contents;
pub use pages::{PAGE_MESSAGE_BYTES, PageReader};
pub use projector::Projector;
pub(crate) use projector::record_bytes;
use rows::Meta;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
pub(crate) use still::Still;
use whoelse_engine::{AccountId, Message, Number, Snapshot};

use crate::journal::BatchNumber;

/// How many used ids are kept for each account. Older ones are forgotten.
pub const SENT_MAX: usize = 10_000;

/// How long a used id is kept, in milliseconds. Then it is forgotten.
pub const SENT_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How many names that nobody has are kept with their failed logins. The oldest are forgotten.
pub const STRANGERS_MAX: usize = 10_000;

/// Why the database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file could not be made.
    #[error("cannot make the database: {0}")]
    Make(#[source] io::Error),
    /// SQLite could not do something.
    #[error("cannot {what} the database: {source}")]
    Sqlite {
        /// What was tried: a verb, perhaps with an object.
        what: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// This SQLite is known to corrupt.
    #[error("this program was built with SQLite {found}, which can corrupt a database")]
    Library {
        /// Its version.
        found: String,
    },
    /// A newer program wrote it.
    #[error("the database has version {found}, this program knows up to {}", schema::VERSION)]
    Newer {
        /// The version it has.
        found: i32,
    },
    /// It is the database of something else.
    #[error("the database was not made by whoelse")]
    Foreign,
    /// Rows are altered or missing.
    #[error("the database is damaged: table {table}: {what}")]
    Damaged {
        /// Where.
        table: &'static str,
        /// What was found, by account and number.
        what: String,
    },
    /// The file itself is damaged.
    #[error("the database is damaged: {said}")]
    Pages {
        /// What SQLite says.
        said: String,
    },
    /// Records do not follow from what is there.
    #[error("the journal contradicts the database: {what}")]
    Contradiction {
        /// How.
        what: String,
    },
}

impl DatabaseError {
    /// What a person can do about it, in a sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            // SQLite says the same of a disk that does not give its bytes back.
            Self::Sqlite { source, .. } if is_damage(source) => {
                "its file is damaged, or the disk cannot be read: look at the disk and start again; \
                 if that does not help, keep a copy of the data folder, and restore a backup"
            }
            Self::Sqlite { source, .. } if is_busy(source) => {
                "end the other program that has it open, then start again"
            }
            Self::Damaged { .. } | Self::Pages { .. } | Self::Contradiction { .. } => DAMAGE_HINT,
            Self::Make(_) | Self::Sqlite { .. } => {
                "check the disk and the space left on it, then start again: nothing confirmed is \
                 lost"
            }
            Self::Library { .. } => "build whoelse with the SQLite that comes with it",
            Self::Newer { .. } => {
                "nothing was changed: start the newer version of whoelse that wrote it"
            }
            Self::Foreign => "choose another data folder, or put back the file that belongs here",
        }
    }

    /// Whether something is wrong with what is there already.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => is_damage(source),
            Self::Make(_) | Self::Library { .. } => false,
            _ => true,
        }
    }

    fn at(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { what, source }
    }

    fn damaged(table: &'static str, what: String) -> Self {
        Self::Damaged { table, what }
    }
}

const DAMAGE_HINT: &str = "check the disk, keep a copy of the data folder, and restore a backup";

fn is_damage(error: &rusqlite::Error) -> bool {
    let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    error.sqlite_error_code().is_some_and(|code| damage.contains(&code))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let busy = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| busy.contains(&code))
}

/// The one writer of the database.
pub struct Database {
    connection: Connection,
    server_id: Arc<str>,
}

impl Database {
    /// Opens the database in a file, making it (for its owner only) if there is none.
    ///
    /// `server_id` gives the id of a new one; an existing one keeps its own.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged, or of a newer version. Then nothing was
    /// changed.
    pub fn open(path: &Path, server_id: &str) -> Result<Self, DatabaseError> {
        schema::check_library()?;
        // SQLite would let others read it; the files it puts beside it get the same mode.
        let made = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        made.map_err(DatabaseError::Make)?;
        Self::set_up(connect(path)?, server_id)
    }

    /// What the journal has to fit if [`Self::open`] would upgrade the database in this file; else
    /// none. Nothing is changed.
    ///
    /// # Errors
    /// When it cannot be read or is damaged, or of a newer version.
    pub(crate) fn before_upgrade(path: &Path) -> Result<Option<BeforeUpgrade>, DatabaseError> {
        schema::check_library()?;
        if !path.exists() {
            return Ok(None);
        }
        let connection = connect(path)?;
        let version = schema::check_version(&connection)?;
        if version == 0 || version == schema::VERSION {
            return Ok(None);
        }
        let query = "SELECT server_id, position, has_journal FROM meta";
        let meta = connection.query_row(query, (), |row| {
            let position = BatchNumber(schema::unsigned(row.get(1)?));
            Ok(BeforeUpgrade { server_id: row.get(0)?, position, has_journal: row.get(2)? })
        });
        meta.map(Some).map_err(DatabaseError::at("read"))
    }

    /// Makes a database in memory, for the simulator.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn open_in_memory(server_id: &str) -> Result<Self, DatabaseError> {
        schema::check_library()?;
        let connection = Connection::open_in_memory().map_err(DatabaseError::at("open"))?;
        Self::set_up(connection, server_id)
    }

    fn set_up(mut connection: Connection, server_id: &str) -> Result<Self, DatabaseError> {
        let version = schema::check_version(&connection)?;
        let set_up = |connection: &mut Connection| {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            if version == 0 {
                // Only a file without tables can be told so.
                connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
            }
            connection.execute_batch(PRAGMAS)?;
            use_log(connection)?;
            connection.set_prepared_statement_cache_capacity(32);
            // A transaction costs a sync, also when it changes nothing that matters.
            if version == schema::VERSION {
                return Ok(());
            }
            let transaction = connection.transaction()?;
            schema::upgrade(&transaction, version)?;
            if version == 0 {
                Meta::new(server_id).insert(&transaction)?;
            }
            transaction.commit()
        };
        set_up(&mut connection).map_err(DatabaseError::at("set up"))?;
        let server_id = Meta::read(&connection)?.server_id;
        Ok(Self { connection, server_id })
    }

    /// The random id of the data folder.
    #[must_use]
    pub fn server_id(&self) -> Arc<str> {
        Arc::clone(&self.server_id)
    }

    /// The last batch of the journal that is in here.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn position(&self) -> Result<BatchNumber, DatabaseError> {
        Ok(BatchNumber(Meta::read(&self.connection)?.position))
    }

    /// Whether there must be a journal: one was made after this database.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn has_journal(&self) -> Result<bool, DatabaseError> {
        Ok(Meta::read(&self.connection)?.has_journal)
    }

    /// Remembers that there is a journal, so that its loss will be noticed.
    ///
    /// # Errors
    /// When it cannot be written or is damaged.
    pub fn set_has_journal(&mut self) -> Result<(), DatabaseError> {
        let meta = Meta { has_journal: true, ..Meta::read(&self.connection)? };
        meta.update(&self.connection).map_err(DatabaseError::at("write"))
    }

    /// Makes this the database of a new server with the same people and mail: under another id,
    /// and with a journal that has yet to begin.
    ///
    /// Whoever has seen numbers under the old id does not take new mail for old: a number counts
    /// only together with the id. So does the signature of a share: those are left behind, and
    /// clients share again.
    ///
    /// # Errors
    /// When it cannot be written or is damaged.
    pub fn become_new(&mut self, server_id: &str) -> Result<(), DatabaseError> {
        let meta = Meta {
            server_id: server_id.into(),
            position: 0,
            has_journal: false,
            shares: 0,
            ..Meta::read(&self.connection)?
        };
        let mut renew = || {
            let transaction = self.connection.transaction()?;
            transaction.execute("DELETE FROM shares", ())?;
            meta.update(&transaction)?;
            transaction.commit()
        };
        renew().map_err(DatabaseError::at("write"))?;
        self.server_id = meta.server_id;
        Ok(())
    }

    /// Lets the file grow to so many pages, or not at all if it has as many: a full disk, for the
    /// simulator.
    ///
    /// # Errors
    /// When it cannot be told so.
    pub fn limit_pages(&self, pages: u32) -> Result<(), DatabaseError> {
        let limit = format!("PRAGMA max_page_count = {pages}");
        let limited = self.connection.query_row(&limit, (), |_| Ok(()));
        limited.map_err(DatabaseError::at("limit"))
    }

    /// A copy in memory, as of now, for the simulator.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn copied_into_memory(&self) -> Result<Self, DatabaseError> {
        let copy = || {
            let mut copy = Connection::open_in_memory()?;
            let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy)?;
            backup.step(-1)?;
            drop(backup);
            Ok(copy)
        };
        Self::set_up(copy().map_err(DatabaseError::at("copy"))?, &self.server_id)
    }

    /// The sum of all records up to the position.
    ///
    /// # Errors
    /// When it cannot be read, or rows are altered or missing.
    pub fn load(&self) -> Result<Snapshot, DatabaseError> {
        load::load(&self.connection)
    }

    /// Reads mail as [`PageReader::page`] does.
    ///
    /// # Errors
    /// When it cannot be read, or rows are altered or missing.
    pub fn page(
        &self,
        account: AccountId,
        after: Number,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Message>>, DatabaseError> {
        pages::page(&self.connection, account, after, bytes_max)
    }

    /// Brings into the file what SQLite keeps beside it, and empties that: older states, in which
    /// there is what was deleted since. Returns false if somebody still reads an older state.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn merge(&mut self) -> Result<bool, DatabaseError> {
        let merge = || {
            // Nobody is waited for: others wait for us.
            self.connection.busy_timeout(Duration::ZERO)?;
            let query = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_busy = self.connection.query_row(query, (), |row| row.get::<_, bool>(0));
            self.connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok(!is_busy?)
        };
        merge().map_err(DatabaseError::at("write"))
    }

    /// Closes the file; everything is then in it, and none beside it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close(self) -> Result<(), DatabaseError> {
        self.connection.close().map_err(|(_, source)| DatabaseError::at("close")(source))
    }
}

/// Has SQLite write to a log first.
///
/// That is a transaction, which is committed after the answer was given: only who reads on hears
/// that it failed. Other failures are told by naming the mode that stays.
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query(())?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode == "wal" || mode == "memory" {
        return Ok(());
    }
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    let what = format!("it cannot have a log beside it (its mode stays '{mode}')");
    Err(rusqlite::Error::SqliteFailure(error, Some(what)))
}

/// What a database of an earlier version says about its journal.
pub(crate) struct BeforeUpgrade {
    pub(crate) server_id: String,
    pub(crate) position: BatchNumber,
    pub(crate) has_journal: bool,
}

fn connect(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        // Until it is known to be ours, leave it alone also when it is closed.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection)
    };
    open().map_err(DatabaseError::at("open"))
}

/// FULL: a commit is on disk when it returns. What is deleted is overwritten with zeros.
const PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA cache_size = -8192;
    PRAGMA busy_timeout = 5000;
";

/// As in [`PRAGMAS`].
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
