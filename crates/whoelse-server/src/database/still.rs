//! Looks at a database without changing anything of it, and copies it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{DatabaseError, schema};

/// A database that is read and left as it is: its file, and what lies beside it.
pub(crate) struct Still {
    connection: Connection,
}

impl Still {
    /// Opens a database that nobody else has open, in a folder that is locked.
    ///
    /// What a crash left beside the file belongs to it, and SQLite would merge the two: then a copy
    /// in `scratch`, a folder of the caller's, is opened instead.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, DatabaseError> {
        let has_more = beside(path).iter().any(|it| fs::metadata(it).is_ok_and(|it| it.len() > 0));
        if !has_more {
            return Self::connect(&format!("file:{}?mode=ro&immutable=1", escaped(path)));
        }
        let copy = scratch.join("as-found.db");
        for (from, to) in std::iter::once((path.to_owned(), copy.clone()))
            .chain(beside(path).into_iter().zip(beside(&copy)))
        {
            copy_file(&from, &to).map_err(DatabaseError::Make)?;
        }
        Self::connect(&format!("file:{}?mode=rw", escaped(&copy)))
    }

    /// Opens a database that a server has open.
    pub(crate) fn beside_server(path: &Path) -> Result<Self, DatabaseError> {
        Self::connect(&format!("file:{}?mode=ro", escaped(path)))
    }

    fn connect(address: &str) -> Result<Self, DatabaseError> {
        schema::check_library()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(address, flags)?;
            connection.execute_batch(
                "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; \
                 PRAGMA busy_timeout = 5000;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(DatabaseError::at("open"))?;
        if schema::check_version(&connection)? == 0 {
            return Err(DatabaseError::damaged("meta", "the file is empty".to_owned()));
        }
        Ok(Self { connection })
    }

    /// Checks the file as such: that every page and every entry of an index is where it belongs.
    pub(crate) fn check_pages(&self) -> Result<(), DatabaseError> {
        check_pages(&self.connection)
    }

    /// About how large a copy is, in bytes: what is used of the file.
    pub(crate) fn bytes(&self) -> Result<u64, DatabaseError> {
        let read = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        let read = |name| -> rusqlite::Result<u32> { read(name) };
        let bytes = || {
            let used = read("page_count")?.saturating_sub(read("freelist_count")?);
            Ok(u64::from(used) * u64::from(read("page_size")?))
        };
        bytes().map_err(DatabaseError::at("read"))
    }

    /// Copies everything, as of one moment, into a new file for its owner only. Nothing that was
    /// deleted is in it.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), DatabaseError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(DatabaseError::Make)?;
        let path = path.to_string_lossy();
        let copied = self.connection.execute("VACUUM INTO ?1", [&*path]);
        copied.map(drop).map_err(DatabaseError::at("copy"))
    }
}

pub(super) fn check_pages(connection: &Connection) -> Result<(), DatabaseError> {
    let at = || DatabaseError::at("check");
    let query = "PRAGMA integrity_check(1)";
    let said: String = connection.query_row(query, (), |row| row.get(0)).map_err(at())?;
    if said == "ok" {
        return Ok(());
    }
    // Some of its sentences have several lines.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(DatabaseError::Pages { said })
}

/// What SQLite may have put beside a file that belongs to it.
fn beside(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = match fs::File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target).map(drop)
}

/// A path as part of an address.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                text.push(char::from(*byte));
            }
            _ => write!(text, "%{byte:02X}").unwrap_or_default(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_no_parameters() {
        assert_eq!(escaped(Path::new("/a b/c?mode=rw#%")), "/a%20b/c%3Fmode%3Drw%23%25");
    }
}
