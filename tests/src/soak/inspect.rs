//! Opens data as the server does and says what is in them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use whoelse_engine::{AccountId, Message, Number, Record, Snapshot};
use whoelse_server::database::Database;
use whoelse_server::journal::{BatchNumber, Disk, Journal, JournalOptions, JournalStart, RealDisk};
use whoelse_server::store::{DATABASE_FILE, JOURNAL_FOLDER};

use super::said::{Letter, letter_of, place_of};
use super::trouble::{Outcome, Trouble, While, trouble};

/// What was found in data.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The state that the database holds.
    pub(crate) snapshot: Snapshot,
    /// What the journal adds.
    pub(crate) replay: Vec<Record>,
    /// What waits, by reader and number.
    pub(crate) mail: BTreeMap<(AccountId, Number), Arc<Message>>,
    /// The reader and number of every letter that waits.
    pub(crate) letters: HashMap<Letter, (AccountId, u64)>,
    /// What each reader has acknowledged.
    pub(crate) acknowledged: BTreeMap<AccountId, Number>,
    /// The most that any reader has.
    pub(crate) acknowledged_max: u64,
    /// What SQLite says is wrong with the file, if anything.
    pub(crate) fault: Option<String>,
    /// Whether something unfinished at the end of the journal was dropped.
    pub(crate) is_torn: bool,
}

/// Why data cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// They are refused: a sentence.
    Refused(String),
    /// They were opened and are wrong.
    Wrong(String),
}

impl From<Trouble> for Unusable {
    fn from(trouble: Trouble) -> Self {
        Self::Refused(trouble.0)
    }
}

/// Opens the data in a folder.
pub(crate) fn open(folder: &Path) -> Result<Found, Unusable> {
    let disk = RealDisk::open(&folder.join(JOURNAL_FOLDER)).during("opening the journal")?;
    open_on(folder, Arc::new(disk))
}

/// The same with the journal on another disk.
pub(crate) fn open_on(folder: &Path, disk: Arc<dyn Disk>) -> Result<Found, Unusable> {
    let path = folder.join(DATABASE_FILE);
    let database = Database::open(&path, &"0".repeat(32)).during("database")?;
    let existing = database.has_journal().during("database")?;
    let snapshot = database.load().during("database")?;
    let mut mail = BTreeMap::new();
    let mut acknowledged = BTreeMap::new();
    for (index, account) in snapshot.accounts.iter().enumerate() {
        let owner = AccountId(u32::try_from(index).unwrap_or(u32::MAX));
        acknowledged.insert(owner, account.acknowledged);
        let page = database.page(owner, Number(0), usize::MAX).during("database")?;
        mail.extend(page.into_iter().map(|message| ((owner, message.number), message)));
    }
    let position = database.position().during("database")?;
    let id = database.server_id();
    let start = JournalStart { server_id: &id, position, existing };
    let (journal, recovered) =
        Journal::open(disk, JournalOptions::default(), &start).during("journal")?;
    drop(journal);
    let fault = integrity_fault(&path);
    drop(database);
    let dense = recovered.batches.iter().zip(position.0 + 1..);
    if let Some(((number, _), expected)) =
        dense.into_iter().find(|((number, _), expected)| *number != BatchNumber(*expected))
    {
        return Err(Unusable::Wrong(format!("batch {} comes instead of {expected}", number.0)));
    }
    let is_torn = recovered.torn.is_some();
    let replay: Vec<Record> =
        recovered.batches.into_iter().flat_map(|(_, records)| records).collect();
    let mut found = Found { snapshot, mail, acknowledged, is_torn, fault, ..Found::default() };
    found.apply(&replay)?;
    found.replay = replay;
    found.sum_up()?;
    Ok(found)
}

/// What SQLite finds wrong with a database as a whole.
fn integrity_fault(path: &Path) -> Option<String> {
    let check = || -> rusqlite::Result<String> {
        let connection = Connection::open(path)?;
        connection.query_row("PRAGMA integrity_check", (), |row| row.get(0))
    };
    match check() {
        Ok(word) if word == "ok" => None,
        Ok(word) => Some(word),
        Err(error) => Some(error.to_string()),
    }
}

impl Found {
    fn apply(&mut self, replay: &[Record]) -> Result<(), Unusable> {
        for record in replay {
            match record {
                Record::Message(message) => {
                    let key = (message.to, message.number);
                    if self.mail.insert(key, Arc::clone(message)).is_some() {
                        return Err(Unusable::Wrong(format!("{key:?} was given twice")));
                    }
                }
                Record::Acknowledged { account, number } => {
                    self.acknowledged.insert(*account, *number);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets what is acknowledged, and checks that what waits is dense and in order.
    fn sum_up(&mut self) -> Result<(), Unusable> {
        let acknowledged = &self.acknowledged;
        let reached = |owner: &AccountId| acknowledged.get(owner).copied().unwrap_or_default();
        self.mail.retain(|(owner, number), _| *number > reached(owner));
        self.acknowledged_max = acknowledged.values().map(|number| number.0).max().unwrap_or(0);
        let mut last = BTreeMap::new();
        let mut places = HashMap::new();
        for ((owner, number), message) in &self.mail {
            let before = last.insert(*owner, *number).unwrap_or_else(|| reached(owner));
            if *number != before.next() {
                let what = format!("{owner:?} lacks a number between {before:?} and {number:?}");
                return Err(Unusable::Wrong(what));
            }
            let Some((place, _)) = place_of(&message.body) else { continue };
            let pair = (message.from, *owner);
            if places.insert(pair, place).is_some_and(|before| before >= place) {
                return Err(Unusable::Wrong(format!("{pair:?}: {place} is out of order")));
            }
            if let Some(letter) = letter_of(&message.body)
                && self.letters.insert(letter, (*owner, number.0)).is_some()
            {
                return Err(Unusable::Wrong(format!("{letter:?} is there twice")));
            }
        }
        Ok(())
    }
}

/// What waits for the person with this number, in order.
pub(crate) fn waiting(found: &Found, person: usize) -> Outcome<Vec<Arc<Message>>> {
    let Ok(account) = u32::try_from(person) else { return trouble("too many people") };
    let range = (AccountId(account), Number(0))..=(AccountId(account), Number(u64::MAX));
    Ok(found.mail.range(range).map(|(_, message)| Arc::clone(message)).collect())
}
