//! The rules a second time, as naively as possible, to compare the engine with.
//!
//! It is told what the engine is told and says what the answer must be. Nothing is indexed, nothing
//! is forgotten, and people are plain numbers.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_engine::{ConnectionId, Rules};

/// What somebody asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Begins a session, with the right password or not.
    Login {
        /// As whom.
        person: usize,
        /// Whether the password is right.
        right: bool,
        /// Whether in our protocol.
        protocol: bool,
        /// Which running client.
        instance: String,
        /// Whether a session elsewhere is to end.
        takeover: bool,
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
    Logout,
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
    block_ms: u64,
    idle_ms: u64,
    away_ms: u64,
    share: usize,
}

/// One person.
#[derive(Clone, Default)]
pub struct Person {
    /// Whom this one blocks.
    pub blocks: BTreeSet<usize>,
    strikes: u8,
    locked_until: Option<u64>,
    session: Option<Session>,
    /// When the last session ended.
    ended_at: Option<u64>,
    /// All mail ever taken, number 1 first: sender and text.
    pub mail: Vec<(usize, String)>,
    /// How many of it are acknowledged.
    pub acknowledged: usize,
    ids: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Session {
    connection: Option<ConnectionId>,
    away_until: Option<u64>,
    instance: String,
    protocol: bool,
    last_command: u64,
    /// Mail handed over.
    sent: u64,
}

impl Model {
    /// So many people, nobody online.
    #[must_use]
    pub fn new(people: usize, rules: &Rules) -> Self {
        Self {
            people: vec![Person::default(); people],
            closing: BTreeSet::new(),
            block_ms: rules.block_ms,
            idle_ms: rules.idle_ms,
            away_ms: rules.away_ms,
            share: rules.sender_messages_max,
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
            return match ask {
                Ask::Login { person, right, protocol, instance, takeover } => {
                    self.login(now, connection, (*person, *right, *protocol, instance, *takeover))
                }
                _ => answer("NOT_LOGGED_IN"),
            };
        };
        let mut is_activity = true;
        let expected = match ask {
            Ask::Login { .. } => answer("ALREADY_LOGGED_IN"),
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
            Ask::Logout => {
                let mut expected = answer("SUCCESS");
                expected.told = self.end(now, me);
                return expected;
            }
        };
        if let Some(session) = self.people[me].session.as_mut().filter(|_| is_activity) {
            session.last_command = now;
        }
        expected
    }

    fn login(
        &mut self,
        now: u64,
        connection: ConnectionId,
        (who, right, protocol, instance, takeover): (usize, bool, bool, &str, bool),
    ) -> Expected {
        let person = &mut self.people[who];
        if person.locked_until.is_some_and(|until| until > now) {
            return answer("BLOCKED");
        }
        if person.locked_until.take().is_some() {
            person.strikes = 0;
        }
        if !right {
            person.strikes += 1;
            if person.strikes == 3 {
                person.locked_until = Some(now + self.block_ms);
                return answer("INVALID_PASSWORD_BLOCKED");
            }
            return answer("INVALID_PASSWORD");
        }
        person.strikes = 0;
        let mut last_command = now;
        let mut sent = person.acknowledged as u64;
        let mut told = Vec::new();
        match person.session.take() {
            Some(session) => {
                let is_same = session.instance == instance;
                if session.connection.is_some() && !is_same && !takeover {
                    person.session = Some(session);
                    return answer("ALREADY_LOGGED_IN");
                }
                self.closing.extend(session.connection);
                if is_same {
                    last_command = session.last_command;
                    sent = sent.max(session.sent);
                }
            }
            None => told = vec![(format!("{who} came"), self.observers(who))],
        }
        self.people[who].session = Some(Session {
            connection: Some(connection),
            away_until: None,
            instance: instance.to_owned(),
            protocol,
            last_command,
            sent,
        });
        Expected { answer: Some("SUCCESS".into()), told }
    }

    fn message(&mut self, me: usize, to: usize, id: &str, text: &str) -> (&'static str, bool) {
        match self.people[me].ids.get(id) {
            Some(earlier) if earlier == text => return ("SUCCESS", false),
            Some(_) => return ("ID_CONFLICT", true),
            None => {}
        }
        let recipient = &mut self.people[to];
        if to == me {
            return ("MESSAGE_SELF", true);
        }
        if recipient.blocks.contains(&me) {
            return ("USER_BLOCKED", true);
        }
        let waiting = &recipient.mail[recipient.acknowledged..];
        if waiting.iter().filter(|(from, _)| *from == me).count() >= self.share {
            return ("MAILBOX_FULL", true);
        }
        recipient.mail.push((me, text.to_owned()));
        self.people[me].ids.insert(id.to_owned(), text.to_owned());
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
        let away_until = now + self.away_ms;
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
        let idle = (self.idle_ms > 0).then(|| session.last_command + self.idle_ms);
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
            let latest = now + self.block_ms;
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
        format!(
            "blocks {:?}, strikes {}, locked {:?}, ended {:?}, mail {}, acknowledged {}",
            person.blocks,
            if is_locked { person.strikes } else { 0 },
            person.locked_until.filter(|_| is_locked),
            person.ended_at.filter(|_| person.session.is_none()),
            person.mail.len(),
            person.acknowledged
        )
    }
}

/// The name of a person; alphabetical order is the order of the numbers.
#[must_use]
pub fn name(who: usize) -> String {
    format!("p{who}")
}

fn answer(text: &str) -> Expected {
    Expected { answer: Some(text.to_owned()), told: Vec::new() }
}
