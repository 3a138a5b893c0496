//! Copies a data folder's database with everything in it that is confirmed, and changes nothing.

use std::path::Path;

use crate::database::{Database, Projector, Still};
use crate::journal::{Examined, Journal, JournalStart, StillDisk};
use crate::store::{DATABASE_FILE, JOURNAL_FOLDER, StoreError};

/// Opens the database of a server that runs and has just settled, to be copied.
pub(crate) fn running(folder: &Path) -> Result<Still, StoreError> {
    Ok(Still::beside_server(&folder.join(DATABASE_FILE))?)
}

/// Copies a database into a folder.
pub(crate) fn copy_of(source: &Still, scratch: &Path) -> Result<Database, StoreError> {
    let copy = scratch.join(DATABASE_FILE);
    source.copy_to(&copy)?;
    Ok(Database::open(&copy, "")?)
}

/// Copies the database of a folder that nobody uses, and brings the copy to the end of the journal.
/// Also checks both, as far as that is not done by reading the copy.
pub(crate) fn copy_of_still(
    folder: &Path,
    scratch: &Path,
) -> Result<(Database, Examined), StoreError> {
    let copy = scratch.join(DATABASE_FILE);
    let still = Still::open(&folder.join(DATABASE_FILE), scratch)?;
    still.check_pages()?;
    still.copy_to(&copy)?;
    drop(still);
    let mut database = Database::open(&copy, "")?;
    let start = JournalStart {
        server_id: &database.server_id(),
        position: database.position()?,
        existing: database.has_journal()?,
    };
    let mut examined = Journal::examine(&StillDisk::of(&folder.join(JOURNAL_FOLDER)), &start)?;
    let mut projector = Projector::default();
    for (batch, records) in std::mem::take(&mut examined.recovered.batches) {
        projector.push(batch, records);
    }
    projector.project(&mut database)?;
    Ok((database, examined))
}
