//! The rules a second time, as naively as possible, to compare the engine with.
//!
//! It hears what the engine hears ([`Op`]) and says what must come of it ([`Said`]). Nothing is
//! indexed that need not be, and people are plain numbers, in the order of their accounts.

mod entrance;
mod files;
mod manage;
mod op;
mod past;
mod receipts;
mod talk;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use whoelse_engine::Rules;
use whoelse_proto::{DeviceKey, FileHash, Signature};

pub use op::{Ask, Entry, Offer, Op, Order};

/// A word of an answer or event: its status, with what else matters.
pub type Word = Cow<'static, str>;

/// What the engine must say or want done. The order among those of one input does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A word to one connection.
    To(u64, Word),
    /// A word to several, in the order of their numbers.
    ToAll(Word, Vec<u64>),
    /// A connection has logged in, with mail after the first number up to the second.
    Begin(u64, u64, u64),
    /// A connection is to be closed.
    Close(u64),
    /// There is mail up to this number for a connection.
    Mail(u64, u64),
    /// A password is to be checked.
    Check(u64),
    /// A password is to be hashed.
    Hash(u64),
    /// An order was carried out, or refused.
    Ordered(bool),
    /// Somebody was added, or refused.
    Added(bool),
}

/// All that the rules are about.
#[derive(Clone)]
pub struct Model {
    /// Everybody, in the order of their accounts.
    pub people: Vec<Person>,
    rules: Rules,
    lines: BTreeMap<u64, Line>,
    strangers: BTreeMap<String, Lock>,
    invites: BTreeMap<u64, Invite>,
    last_invite: u64,
    tickets: u64,
    checks: BTreeMap<u64, Check>,
    hashes: BTreeMap<u64, Hashing>,
    is_disk_full: bool,
    /// What people share.
    shares: BTreeMap<(usize, FileHash), Shared>,
    /// The last password that was checked was for a name that nobody has.
    pub(super) was_stranger: bool,
}

/// One person.
#[derive(Clone, Default)]
pub struct Person {
    /// What it is called.
    pub name: String,
    /// Whom this one blocks.
    pub blocks: BTreeSet<usize>,
    /// What it logs in with.
    pub password: String,
    /// Counts its changes.
    version: u32,
    /// It may do what administrators may.
    pub is_admin: bool,
    /// An administrator keeps it out.
    pub is_locked: bool,
    lock: Lock,
    /// Failures it was not told of.
    failed: u32,
    devices: Vec<Device>,
    session: Option<Session>,
    /// When the last session ended.
    ended_at: Option<u64>,
    /// Mail that waits.
    waiting: VecDeque<Waiting>,
    /// How much mail was ever acknowledged.
    pub acknowledged: u64,
    /// The messages it sent under ids.
    sent: Arc<Ids>,
}

/// Mail that waits for its reader.
#[derive(Clone)]
struct Waiting {
    from: usize,
    bytes: usize,
    /// The id it was sent under.
    id: Option<Arc<str>>,
}

/// The ids of a sender, and what was sent under them.
#[derive(Clone, Default)]
struct Ids {
    order: VecDeque<(Arc<str>, u64)>,
    content: BTreeMap<Arc<str>, Sent>,
}

/// What was sent under an id.
#[derive(Clone)]
struct Sent {
    content: Arc<str>,
    at: u64,
    to: usize,
    number: u64,
}

/// Wrong passwords of one name.
#[derive(Clone, Default)]
struct Lock {
    strikes: u8,
    until: Option<u64>,
    /// The two as they were last recorded: that a lock has run out is not.
    recorded: (u8, Option<u64>),
    in_flight: u8,
    waiting: VecDeque<(Attempt, String)>,
}

#[derive(Clone)]
struct Session {
    connection: Option<u64>,
    away_until: Option<u64>,
    instance: Option<String>,
    /// It speaks our protocol.
    protocol: bool,
    /// Where an original client listens.
    port: Option<u16>,
    device: Option<DeviceKey>,
    last_command: u64,
    /// Mail handed over.
    sent: u64,
    /// It wants to be told what has arrived.
    receipts: bool,
    /// It can make private links.
    links: bool,
    /// The parts it can give, by file.
    claims: BTreeMap<FileHash, String>,
}

/// A file that somebody shares.
#[derive(Clone, PartialEq)]
struct Shared {
    size: u64,
    name: String,
    with: Option<Vec<usize>>,
    device: DeviceKey,
    signature: Signature,
    time: u64,
}

#[derive(Clone)]
struct Device {
    key: DeviceKey,
    name: String,
    added: u64,
    used: u64,
}

#[derive(Clone)]
struct Invite {
    secret: [u8; 16],
    by: usize,
    admin: bool,
    expires: u64,
}

/// A connection.
#[derive(Clone, Default)]
struct Line {
    pending: Option<Pending>,
    /// Its session has ended: nothing further is heard.
    is_closing: bool,
}

#[derive(Clone)]
enum Pending {
    Check(Subject),
    Hash,
}

/// Whose password somebody claims to know.
#[derive(Clone, PartialEq, Eq)]
enum Subject {
    Person(usize),
    Stranger(String),
}

#[derive(Clone)]
struct Attempt {
    connection: u64,
    purpose: Purpose,
}

#[derive(Clone)]
enum Purpose {
    Login(Entry),
    Passwd,
}

#[derive(Clone)]
struct Check {
    subject: Subject,
    attempt: Attempt,
    is_right: bool,
    version: u32,
}

#[derive(Clone)]
enum Hashing {
    Passwd { connection: u64, person: usize, version: u32 },
    Join { connection: u64, invite: u64, name: String, entry: Entry },
}

impl Model {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            people: Vec::new(),
            rules: rules.clone(),
            lines: BTreeMap::new(),
            strangers: BTreeMap::new(),
            invites: BTreeMap::new(),
            last_invite: 0,
            tickets: 0,
            checks: BTreeMap::new(),
            hashes: BTreeMap::new(),
            is_disk_full: false,
            shares: BTreeMap::new(),
            was_stranger: false,
        }
    }

    /// Something happens.
    pub fn op(&mut self, now: u64, op: &Op) -> Vec<Said> {
        let mut said = Vec::new();
        match op {
            Op::Started { newest } => self.restarted(now, *newest),
            Op::Connected(connection) => {
                self.lines.insert(*connection, Line::default());
            }
            Op::Gone(connection) => self.gone(now, *connection, &mut said),
            Op::Request(connection, id, ask) => {
                self.request(now, *connection, id.as_ref(), ask, &mut said);
            }
            Op::Sent(connection, number) => self.sent(*connection, *number),
            Op::Delivered(connection, number) => {
                if let Some(who) = self.speaker(*connection) {
                    self.delivered(who, *number, &mut said);
                }
            }
            Op::Checked(ticket, matches) => self.checked(now, *ticket, *matches, &mut said),
            Op::Hashed(ticket, password) => self.hashed(now, *ticket, password, &mut said),
            Op::Add { name, password, admin } => {
                let is_free = self.find(name).is_none();
                if is_free {
                    self.add(name, password, *admin);
                }
                said.push(Said::Added(is_free));
            }
            Op::Order(order) => self.order(now, order, &mut said),
            Op::DiskFull(is_full) => self.is_disk_full = *is_full,
            Op::Tick => self.tick(now, &mut said),
            Op::Stopping => self.stop(now),
        }
        self.forget_files();
        said
    }

    /// The number of a person, by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.people.iter().position(|person| person.name == name)
    }

    /// Whoever speaks through a connection.
    #[must_use]
    pub fn speaker(&self, connection: u64) -> Option<usize> {
        self.people.iter().position(|person| {
            person.session.as_ref().is_some_and(|session| session.connection == Some(connection))
        })
    }

    /// Whether somebody is logged in, being away included.
    #[must_use]
    pub fn is_online(&self, who: usize) -> bool {
        self.people[who].session.is_some()
    }

    /// Since when somebody is gone who was here.
    #[must_use]
    pub fn gone_since(&self, who: usize) -> Option<u64> {
        let person = &self.people[who];
        person.ended_at.filter(|_| person.session.is_none())
    }

    fn add(&mut self, name: &str, password: &str, is_admin: bool) {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.people.push(Person { name, password, is_admin, ..Person::default() });
    }

    /// The lines of all who learn of somebody's coming and going.
    fn observers(&self, who: usize) -> Vec<u64> {
        self.lines_of(|other| other != who && !self.people[who].blocks.contains(&other))
    }

    fn lines_of(&self, fits: impl Fn(usize) -> bool) -> Vec<u64> {
        let fitting = self.people.iter().enumerate().filter(|(other, _)| fits(*other));
        let lines = fitting.filter_map(|(_, person)| person.session.as_ref()?.connection);
        let mut lines: Vec<u64> = lines.collect();
        lines.sort_unstable();
        lines
    }
}

fn tell_all(said: &mut Vec<Said>, word: impl Into<Word>, to: Vec<u64>) {
    if !to.is_empty() {
        said.push(Said::ToAll(word.into(), to));
    }
}

/// The password that everybody begins with.
pub const FIRST_PASSWORD: &str = "password-0";

/// The name of a person.
#[must_use]
pub fn name(who: usize) -> String {
    format!("p{who}")
}
