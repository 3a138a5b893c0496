//! The rules a second time, as naively as possible, to compare the engine with.
//!
//! It is told what the engine is told and says what the answer must be. Nothing is indexed, nothing
//! is forgotten, and people are plain numbers.

mod newcomers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use whoelse_engine::{ConnectionId, Rules};

pub use newcomers::welcome;

/// What somebody asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Begins a session by password.
    Login {
        /// As whom.
        person: usize,
        /// With which password.
        password: String,
        /// How.
        entry: Entry,
    },
    /// Begins a session by the key of a device, which is in the entry.
    Resume {
        /// As whom.
        person: usize,
        /// Whether the proof is right.
        is_proven: bool,
        /// How.
        entry: Entry,
    },
    /// Makes an account of the next number, and begins its first session.
    Join {
        /// Which invite.
        secret: u64,
        /// Its password.
        password: String,
        /// How.
        entry: Entry,
    },
    /// Makes an invite.
    Invite {
        /// What it is worth.
        secret: u64,
        /// For an administrator.
        admin: bool,
    },
    /// Takes an invite back.
    RevokeInvite {
        /// Which.
        number: u64,
    },
    /// Which devices may resume.
    Devices,
    /// Takes that from one.
    RevokeDevice {
        /// Its key.
        key: u8,
    },
    /// Changes the password.
    Passwd {
        /// The old one.
        old: String,
        /// The new one.
        new: String,
    },
    /// Keeps somebody out, or lets it in again.
    Lock {
        /// Whom.
        who: usize,
        /// Whether it is kept out.
        begins: bool,
    },
    /// A direct message.
    Message {
        /// To whom.
        to: usize,
        /// Its id.
        id: String,
        /// What it says; unique.
        text: String,
    },
    /// A word to everybody.
    Broadcast,
    /// A block, or the end of one.
    Block {
        /// Of whom.
        who: usize,
        /// Whether it begins.
        begins: bool,
    },
    /// Who is here.
    Whoelse,
    /// Who was here.
    WhoelseSince {
        /// For so long, in milliseconds.
        ms: u64,
    },
    /// Mail up to this number has arrived.
    Ack {
        /// The number.
        number: u64,
    },
    /// The end of the session.
    Logout {
        /// And of the device.
        forget: bool,
    },
}

/// How a session is to begin.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whether in our protocol.
    pub protocol: bool,
    /// Which running client.
    pub instance: String,
    /// Whether a session elsewhere is to end.
    pub takeover: bool,
    /// The key of the device, if it is one.
    pub device: Option<u8>,
}

/// What the model expects: the answer, and who is told about whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The status, with what else matters; none if there is no answer.
    pub answer: Option<String>,
    /// "person came" or "person left", and the connections that are told.
    pub told: Vec<(String, BTreeSet<ConnectionId>)>,
}

/// All that the rules are about.
#[derive(Clone)]
pub struct Model {
    /// Everybody.
    pub people: Vec<Person>,
    /// Lines whose session has ended: nothing further is heard from them.
    closing: BTreeSet<ConnectionId>,
    /// Invites that were not used or taken back, and how many there ever were.
    invites: BTreeMap<u64, Invite>,
    last_invite: u64,
    rules: Rules,
}

/// An invite.
#[derive(Clone)]
struct Invite {
    secret: u64,
    by: usize,
    admin: bool,
    expires: u64,
}

/// One person.
#[derive(Clone, Default)]
pub struct Person {
    /// Whom this one blocks.
    pub blocks: BTreeSet<usize>,
    /// What it logs in with.
    pub password: String,
    is_admin: bool,
    /// An administrator keeps it out.
    pub is_locked: bool,
    strikes: u8,
    locked_until: Option<u64>,
    /// Failures it was not told of.
    failed: u32,
    /// Key, when it was added, when it was used last.
    devices: Vec<(u8, u64, u64)>,
    session: Option<Session>,
    /// When the last session ended.
    ended_at: Option<u64>,
    /// All mail ever taken, number 1 first: sender and text.
    /// Shared with the models that are remembered, as are the ids: they are many.
    pub mail: Arc<Vec<(usize, Arc<str>)>>,
    /// How many of it are acknowledged.
    pub acknowledged: usize,
    ids: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

#[derive(Clone)]
struct Session {
    connection: Option<ConnectionId>,
    away_until: Option<u64>,
    instance: String,
    protocol: bool,
    device: Option<u8>,
    last_command: u64,
    /// Mail handed over.
    sent: u64,
}

impl Model {
    /// So many people, nobody online.
    #[must_use]
    pub fn new(people: usize, rules: &Rules) -> Self {
        let person = |number| Person {
            password: FIRST_PASSWORD.to_owned(),
            is_admin: number == 0,
            ..Person::default()
        };
        Self {
            people: (0..people).map(person).collect(),
            closing: BTreeSet::new(),
            invites: BTreeMap::new(),
            last_invite: 0,
            rules: rules.clone(),
        }
    }

    /// Whoever speaks through a connection.
    #[must_use]
    pub fn speaker(&self, connection: ConnectionId) -> Option<usize> {
        self.people.iter().position(|person| {
            person.session.as_ref().is_some_and(|session| session.connection == Some(connection))
        })
    }

    /// Somebody asks something.
    pub fn ask(&mut self, now: u64, connection: ConnectionId, ask: &Ask) -> Expected {
        if self.closing.contains(&connection) {
            return Expected::default();
        }
        let Some(me) = self.speaker(connection) else {
            return self.enter(now, connection, ask);
        };
        let mut is_activity = true;
        let expected = match ask {
            Ask::Login { .. } | Ask::Resume { .. } | Ask::Join { .. } => {
                answer("ALREADY_LOGGED_IN")
            }
            Ask::Message { to, id, text } => {
                let (status, is_new) = self.message(me, *to, id, text);
                is_activity = is_new;
                answer(status)
            }
            Ask::Broadcast => {
                let sent =
                    self.lines(|other| other != me && !self.people[other].blocks.contains(&me));
                let blocked = self.people.iter().filter(|other| other.blocks.contains(&me)).count();
                answer(&format!("{} sent, {blocked} blocked", sent.len()))
            }
            Ask::Block { who, .. } if *who == me => answer("MESSAGE_SELF"),
            Ask::Block { who, .. } if *who >= self.people.len() => answer("USER_NOT_EXIST"),
            Ask::Block { who, begins: true } => {
                self.people[me].blocks.insert(*who);
                answer("SUCCESS")
            }
            Ask::Block { who, begins: false } => {
                answer(if self.people[me].blocks.remove(who) { "SUCCESS" } else { "NOT_BLOCKED" })
            }
            Ask::Whoelse => self.names(me, |person| person.session.is_some()),
            Ask::WhoelseSince { ms } => self.names(me, |person| {
                let since = now.saturating_sub(*ms);
                person.session.is_some() || person.ended_at.is_some_and(|at| at >= since)
            }),
            Ask::Ack { number } => {
                is_activity = false;
                self.acknowledge(me, *number)
            }
            Ask::Logout { forget } => {
                let device = self.device_of(me).filter(|_| *forget);
                let mut expected = answer("SUCCESS");
                expected.told = self.end(now, me);
                self.revoke(me, |key| Some(key) == device);
                return expected;
            }
            Ask::Invite { secret, admin } => self.invite(now, me, *secret, *admin),
            Ask::RevokeInvite { number } => self.revoke_invite(now, me, *number),
            Ask::Devices => self.devices(me),
            Ask::RevokeDevice { key } => self.revoke_device(now, me, *key),
            Ask::Passwd { old, new } => self.passwd(now, me, old, new),
            Ask::Lock { who, begins } => self.lock(now, me, *who, *begins),
        };
        if let Some(session) = self.people[me].session.as_mut().filter(|_| is_activity) {
            session.last_command = now;
        }
        expected
    }

    fn message(&mut self, me: usize, to: usize, id: &str, text: &str) -> (&'static str, bool) {
        match self.people[me].ids.get(id) {
            Some(earlier) if **earlier == *text => return ("SUCCESS", false),
            Some(_) => return ("ID_CONFLICT", true),
            None => {}
        }
        if to == me {
            return ("MESSAGE_SELF", true);
        }
        let Some(recipient) = self.people.get_mut(to) else { return ("USER_NOT_EXIST", true) };
        if recipient.blocks.contains(&me) {
            return ("USER_BLOCKED", true);
        }
        let waiting = &recipient.mail[recipient.acknowledged..];
        if waiting.iter().filter(|(from, _)| *from == me).count() >= self.rules.sender_messages_max
        {
            return ("MAILBOX_FULL", true);
        }
        let text: Arc<str> = text.into();
        Arc::make_mut(&mut recipient.mail).push((me, Arc::clone(&text)));
        Arc::make_mut(&mut self.people[me].ids).insert(id.into(), text);
        ("SUCCESS", true)
    }

    fn acknowledge(&mut self, me: usize, number: u64) -> Expected {
        let sent = self.people[me].session.as_ref().map_or(0, |session| session.sent);
        if number > sent {
            return answer("BAD_NUMBER");
        }
        self.delivered(me, number);
        Expected::default()
    }

    /// Mail up to a number has arrived, whoever says so.
    pub fn delivered(&mut self, who: usize, number: u64) {
        let number = usize::try_from(number).expect("few messages");
        let person = &mut self.people[who];
        person.acknowledged = person.acknowledged.max(number);
    }

    /// Mail up to a number was handed over.
    pub fn sent(&mut self, connection: ConnectionId, number: u64) {
        let Some(who) = self.speaker(connection) else { return };
        if let Some(session) = &mut self.people[who].session {
            session.sent = session.sent.max(number);
        }
    }

    /// A line has ended.
    pub fn dropped(&mut self, now: u64, connection: ConnectionId) -> Expected {
        let Some(who) = self.speaker(connection) else { return Expected::default() };
        let away_until = now + self.rules.away_ms;
        let Some(session) = &mut self.people[who].session else { return Expected::default() };
        if session.protocol {
            session.connection = None;
            session.away_until = Some(away_until);
            Expected::default()
        } else {
            Expected { answer: None, told: self.end(now, who) }
        }
    }

    /// When something is due next, if anything is.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let sessions = self.people.iter().filter_map(|person| person.session.as_ref());
        sessions.filter_map(|session| self.ends_at(session)).min()
    }

    fn ends_at(&self, session: &Session) -> Option<u64> {
        let idle = (self.rules.idle_ms > 0).then(|| session.last_command + self.rules.idle_ms);
        idle.into_iter().chain(session.away_until).min()
    }

    /// Time has passed: sessions end, the earliest first.
    pub fn tick(&mut self, now: u64) -> Vec<(String, BTreeSet<ConnectionId>)> {
        let mut told = Vec::new();
        loop {
            let ends = |person: &Person| self.ends_at(person.session.as_ref()?);
            let due = self
                .people
                .iter()
                .enumerate()
                .filter_map(|(who, person)| Some((ends(person)?, who)));
            let Some((_, who)) = due.filter(|(at, _)| *at <= now).min() else { return told };
            told.extend(self.end(now, who));
        }
    }

    /// The server was gone: whoever was online left at the newest time known.
    pub fn restarted(&mut self, now: u64, newest: u64) {
        for person in &mut self.people {
            if person.session.take().is_some() {
                person.ended_at = Some(newest);
            }
            let latest = now + self.rules.block_ms;
            person.locked_until = person.locked_until.map(|until| until.min(latest));
        }
    }

    /// Somebody left at this time, and nobody is told.
    pub fn left(&mut self, at: u64, who: usize) {
        let session = self.people[who].session.take();
        self.closing.extend(session.and_then(|session| session.connection));
        self.people[who].ended_at = Some(at);
    }

    fn end(&mut self, now: u64, who: usize) -> Vec<(String, BTreeSet<ConnectionId>)> {
        self.left(now, who);
        vec![(format!("{who} left"), self.observers(who))]
    }

    /// The lines of all who learn of somebody's coming and going.
    fn observers(&self, who: usize) -> BTreeSet<ConnectionId> {
        self.lines(|other| other != who && !self.people[who].blocks.contains(&other))
    }

    fn lines(&self, fits: impl Fn(usize) -> bool) -> BTreeSet<ConnectionId> {
        let fitting = self.people.iter().enumerate().filter(|(other, _)| fits(*other));
        fitting.filter_map(|(_, person)| person.session.as_ref()?.connection).collect()
    }

    fn names(&self, me: usize, fits: impl Fn(&Person) -> bool) -> Expected {
        let fitting =
            self.people.iter().enumerate().filter(|(other, person)| {
                *other != me && fits(person) && !person.blocks.contains(&me)
            });
        let names: Vec<String> = fitting.map(|(other, _)| name(other)).collect();
        answer(&names.join(" "))
    }

    /// What must be the same in the engine's memory and after each recovery, as text.
    #[must_use]
    pub fn lasting(&self, now: u64, who: usize) -> String {
        let person = &self.people[who];
        let is_locked = person.locked_until.is_none_or(|until| until > now);
        lasting(&Lasting {
            blocks: person.blocks.iter().copied().collect(),
            strikes: if is_locked { person.strikes } else { 0 },
            locked_until: person.locked_until.filter(|_| is_locked),
            ended_at: person.ended_at.filter(|_| person.session.is_none()),
            mail: person.mail.len() as u64,
            acknowledged: person.acknowledged as u64,
            password: person.password.clone(),
            is_admin: person.is_admin,
            is_locked: person.is_locked,
            failed: person.failed,
            devices: person.devices.clone(),
        })
    }

    /// The invites that are good, as text.
    #[must_use]
    pub fn open_invites(&self, now: u64) -> String {
        let open = self.invites.iter().filter(|(_, invite)| invite.expires > now);
        let open =
            open.map(|(number, invite)| (*number, Some(invite.by), invite.admin, invite.expires));
        format!("{:?} of {}", open.collect::<Vec<_>>(), self.last_invite)
    }
}

/// What lasts of one person.
#[derive(Debug)]
#[expect(missing_docs, reason = "as of the model's and the engine's")]
pub struct Lasting {
    pub blocks: Vec<usize>,
    pub strikes: u8,
    pub locked_until: Option<u64>,
    pub ended_at: Option<u64>,
    pub mail: u64,
    pub acknowledged: u64,
    pub password: String,
    pub is_admin: bool,
    pub is_locked: bool,
    pub failed: u32,
    pub devices: Vec<(u8, u64, u64)>,
}

/// It as text, to compare and to show.
#[must_use]
pub fn lasting(lasting: &Lasting) -> String {
    format!("{lasting:?}")
}

/// The password that everybody begins with.
pub const FIRST_PASSWORD: &str = "password-0";

/// The name of a person; alphabetical order is the order of the numbers.
#[must_use]
pub fn name(who: usize) -> String {
    format!("p{who}")
}

fn answer(text: &str) -> Expected {
    Expected { answer: Some(text.to_owned()), told: Vec::new() }
}
