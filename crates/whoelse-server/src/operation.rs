//! What an operator can have done, and how it ended: the same for a server that runs and for data
//! that no server uses.
//!
//! These values travel over the operator's socket as they are. What they mean is decided here once:
//! [`plan`] looks at the engine and says what is to be done, [`outcome`] says in words what came of
//! it. Doing it is left to [`crate::people`] and [`crate::doors::admin`].

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use whoelse_engine::{AddRefusal, Engine, Order, OrderRefusal, Ordered, Time};
use whoelse_proto::event::Meeting;
use whoelse_proto::secret::check_new_password;
use whoelse_proto::{InviteLink, InviteSecret, Name, Password, Role};

use crate::config::PublicAddress;
use crate::failure::{Failure, Kind};

/// What an operator wants.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Lists everybody.
    List,
    /// Only says whether there is such a person, before more is asked.
    Find {
        /// Who.
        name: String,
    },
    /// Adds a person.
    Add {
        /// Who.
        name: String,
        /// What the person may do.
        role: Role,
        /// In plain text: the socket leads from one process of the owner's to another.
        #[serde(with = "plain")]
        password: Password,
    },
    /// Gives a person another password, which ends its session and revokes its devices.
    SetPassword {
        /// Whose.
        name: String,
        /// As for [`Operation::Add`].
        #[serde(with = "plain")]
        password: Password,
    },
    /// Keeps a person from logging in.
    Lock {
        /// Whom.
        name: String,
    },
    /// Takes that back, and a lock by wrong passwords.
    Unlock {
        /// Whom.
        name: String,
    },
    /// Erases a person and retires its name.
    Remove {
        /// Whom.
        name: String,
    },
    /// Says what a person may do.
    SetRole {
        /// Whose role.
        name: String,
        /// What it is from now on.
        role: Role,
    },
    /// Makes an invite.
    Invite {
        /// What whoever uses it becomes.
        role: Role,
        /// How long it is valid, in milliseconds.
        valid_ms: u64,
        /// Where it is to lead, instead of where the server says.
        address: Option<PublicAddress>,
    },
    /// Lists the invites that are open.
    Invites,
    /// Takes an invite back.
    RevokeInvite {
        /// Which.
        number: u64,
    },
    /// Brings everything that was confirmed into the database, which a backup then reads.
    Settle,
}

/// How an operation ended that was carried out.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It is done, and on disk.
    Done,
    /// It was so already.
    Unchanged,
    /// Everybody, in the order of their names.
    People(Vec<Person>),
    /// The invite that was made.
    Invited(Invited),
    /// The invites that are open, oldest first.
    Invites(Vec<Invite>),
}

/// A person, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// What it is called. May hold odd characters if it was imported.
    pub name: String,
    /// `member` or `admin`.
    pub role: String,
    /// It has a session, being away included.
    pub online: bool,
    /// An administrator locked it.
    pub locked: bool,
    /// For how many more milliseconds wrong passwords lock it.
    pub locked_for_ms: Option<u64>,
    /// When its last session began or ended, in milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// Devices that may resume.
    pub devices: usize,
    /// Messages that wait for it.
    pub waiting: usize,
}

/// An invite that was just made. The link holds the secret, which is said this once.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What it is called in the list.
    pub number: u64,
    /// What is to be passed on.
    pub link: String,
    /// Nobody said where the server can be reached: the address is a guess.
    pub is_guessed: bool,
}

impl fmt::Debug for Invited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Invited").field("number", &self.number).finish_non_exhaustive()
    }
}

/// An invite that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// What it is called.
    pub number: u64,
    /// `member` or `admin`: what whoever uses it becomes.
    pub role: String,
    /// Who made it; none if the operator did.
    pub by: Option<String>,
    /// How much longer it is valid, in milliseconds.
    pub expires_in_ms: u64,
}

/// Why an operation was not carried out, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// What was wrong, without a full stop.
    pub what: String,
    /// What to do, as a sentence.
    pub hint: String,
}

impl Denied {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::new(Kind::Refused, denied.what, denied.hint)
    }
}

/// What is to be done for an operation.
pub(crate) enum Work {
    /// Nothing: this is the answer.
    Told(Report),
    /// A person is to be added once the password is hashed.
    Add { name: Name, role: Role, password: Password },
    /// A password is to be set once it is hashed.
    SetPassword { name: String, password: Password },
    /// The store is to bring everything into the database.
    Settle,
    /// The engine is to carry out an order.
    Order(Order),
    /// The engine is to make an invite, which leads to this meeting.
    Invite { order: Order, secret: InviteSecret, meeting: Meeting },
}

/// Says whether a text can be the name of somebody new, before a password is asked for.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_name(name: &str) -> Result<Name, Failure> {
    new_name(name).map_err(Failure::from)
}

/// Says whether a password is fit for a person, before it is sent anywhere.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_password(name: &str, password: &Password) -> Result<(), Failure> {
    fit_password(name, password).map_err(Failure::from)
}

fn new_name(name: &str) -> Result<Name, Denied> {
    Name::new_account(name).map_err(|error| {
        let what = format!("'{}' cannot be a name: {error}", name.escape_debug());
        Denied::new(what, "Choose letters of one script, digits and simple punctuation.")
    })
}

fn fit_password(name: &str, password: &Password) -> Result<(), Denied> {
    check_new_password(name, password.expose()).map_err(|sentence| {
        let sentence = sentence.trim_end_matches('.');
        Denied::new(format!("the password does not fit: {sentence}"), "Choose another password.")
    })
}

/// Decides what an operation takes, and refuses what cannot be.
///
/// # Errors
/// When there is nothing to be done: what it names does not exist, or is not fit.
pub(crate) fn plan(
    engine: &Engine,
    now: Time,
    meeting: &Meeting,
    operation: Operation,
) -> Result<Work, Denied> {
    Ok(match operation {
        Operation::List => Work::Told(Report::People(people(engine, now))),
        Operation::Find { name } => {
            known(engine, &name)?;
            Work::Told(Report::Done)
        }
        Operation::Add { name, role, password } => {
            let new = new_name(&name)?;
            fit_password(&name, &password)?;
            Work::Add { name: new, role, password }
        }
        Operation::SetPassword { name, password } => {
            known(engine, &name)?;
            fit_password(&name, &password)?;
            Work::SetPassword { name, password }
        }
        Operation::Lock { name } => {
            known(engine, &name)?;
            Work::Order(Order::Lock { name })
        }
        Operation::Unlock { name } => {
            known(engine, &name)?;
            Work::Order(Order::Unlock { name })
        }
        Operation::Remove { name } => {
            known(engine, &name)?;
            Work::Order(Order::Remove { name })
        }
        Operation::SetRole { name, role } => {
            known(engine, &name)?;
            Work::Order(Order::SetRole { name, role })
        }
        Operation::Invite { role, valid_ms, address } => {
            let secret = fresh_secret();
            let order = Order::Invite { secret: secret.clone(), role, valid_ms, is_first: false };
            let meeting = address.map_or_else(|| meeting.clone(), |it| it.instead_of(meeting));
            Work::Invite { order, secret, meeting }
        }
        Operation::Invites => Work::Told(Report::Invites(invites(engine, now))),
        Operation::Settle => Work::Settle,
        Operation::RevokeInvite { number } => Work::Order(Order::RevokeInvite { number }),
    })
}

/// A secret that nobody knows yet.
pub(crate) fn fresh_secret() -> InviteSecret {
    let mut bytes = [0; InviteSecret::BYTES];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    InviteSecret::new(bytes)
}

/// Says what came of an order.
pub(crate) fn outcome(outcome: Result<Ordered, OrderRefusal>) -> Result<Report, Denied> {
    match outcome {
        Ok(Ordered::Done) => Ok(Report::Done),
        Ok(Ordered::Unchanged) => Ok(Report::Unchanged),
        // Only who asked for an invite knows its secret; see `invited`.
        Ok(Ordered::Invited { .. }) => Ok(Report::Done),
        Err(OrderRefusal::NoSuchPerson) => {
            Err(Denied::new("nobody has that name any more", "See who there is: whoelse user list"))
        }
        Err(OrderRefusal::NoSuchInvite) => Err(Denied::new(
            "there is no open invite of that number",
            "It may have been used or have run out. See what is open: whoelse invite list",
        )),
        Err(OrderRefusal::TooManyInvites) => Err(Denied::new(
            "as many invites are open as may be",
            "Take back what nobody needs: whoelse invite list, whoelse invite revoke NUMBER",
        )),
    }
}

/// Says what came of an order that makes an invite.
pub(crate) fn invited(
    ordered: Result<Ordered, OrderRefusal>,
    secret: InviteSecret,
    meeting: &Meeting,
) -> Result<Report, Denied> {
    let Ok(Ordered::Invited { number }) = ordered else { return outcome(ordered) };
    let link =
        InviteLink { place: (*meeting.place).clone(), key: meeting.key, secret, vouch: None };
    let is_guessed = meeting.is_guessed;
    Ok(Report::Invited(Invited { number, link: link.expose(), is_guessed }))
}

/// Says why a person was not added.
pub(crate) fn not_added(name: &Name, refusal: &AddRefusal) -> Denied {
    let what = match refusal {
        AddRefusal::Exists { .. } => format!("there is a person called '{name}' already"),
        AddRefusal::LooksLike(other) => {
            format!("'{name}' could be taken for '{other}', who is here already")
        }
        AddRefusal::Retired => {
            format!("'{name}' was somebody who was removed; nobody else is ever called that")
        }
    };
    Denied::new(what, "Choose another name.")
}

/// Refuses a name that nobody has, with one that may have been meant.
fn known(engine: &Engine, name: &str) -> Result<(), Denied> {
    if engine.people().any(|person| person.name.as_str() == name) {
        return Ok(());
    }
    let what = format!("nobody is called '{}'", name.escape_debug());
    let people: Vec<_> = engine.people().map(|person| person.name).collect();
    Err(match similar(name, people.iter().map(Name::as_str)) {
        Some(other) => Denied::new(what, format!("Did you mean '{}'?", other.escape_debug())),
        None => Denied::new(what, "See who there is: whoelse user list"),
    })
}

/// The name that somebody most likely meant.
fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&wanted, &known.to_lowercase());
    names
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// How alike two names are, from 0 to 1, of which one may be a slip for the other.
const ALIKE: f64 = 0.8;

/// Everybody, by name.
fn people(engine: &Engine, now: Time) -> Vec<Person> {
    let mut people: Vec<Person> = engine
        .people()
        .map(|person| Person {
            name: person.name.to_string(),
            role: person.role.as_str().to_owned(),
            online: person.is_online,
            locked: person.is_locked,
            locked_for_ms: person
                .locked_until
                .map(|until| until.since(now))
                .filter(|milliseconds| *milliseconds > 0),
            last_seen_ms: person.last_seen.map(|time| time.0),
            devices: person.devices,
            waiting: person.waiting,
        })
        .collect();
    people.sort_by(|one, other| one.name.cmp(&other.name));
    people
}

/// The invites that are open, oldest first.
fn invites(engine: &Engine, now: Time) -> Vec<Invite> {
    let open = engine.open_invites(now).into_iter();
    open.map(|invite| Invite {
        number: invite.number,
        role: invite.role.as_str().to_owned(),
        by: invite.by.map(|name| name.to_string()),
        expires_in_ms: invite.expires_in_ms,
    })
    .collect()
}

/// The wall clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A day and a time of the wall clock, for people to read.
#[must_use]
pub fn date(wall_ms: u64) -> String {
    let time =
        i64::try_from(wall_ms).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
    time.map_or_else(|| "never".into(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A password as plain text.
mod plain {
    use serde::{Deserialize, Deserializer, Serializer};
    use whoelse_proto::Password;

    pub(super) fn serialize<S: Serializer>(
        password: &Password,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(password.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Password, D::Error> {
        String::deserialize(deserializer).map(Password::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = || ["hans", "luke", "anna-maria"].into_iter();
        assert_eq!(similar("hasn", names()), Some("hans"));
        assert_eq!(similar("Luke", names()), Some("luke"));
        assert_eq!(similar("annamaria", names()), Some("anna-maria"));
        assert_eq!(similar("zoe", names()), None);
        assert_eq!(similar("", names()), None);
    }

    #[test]
    fn an_operation_travels_as_a_line_of_json() {
        let operation = Operation::Add {
            name: "anna".into(),
            role: Role::Admin,
            password: Password::from("a \"secret\"\n"),
        };
        let line = serde_json::to_string(&operation).unwrap();
        assert!(!line.contains('\n'));
        let read: Operation = serde_json::from_str(&line).unwrap();
        assert!(
            matches!(read, Operation::Add { password, .. } if password.expose() == "a \"secret\"\n")
        );
        let report = Report::Invited(Invited { number: 7, link: "x".into(), is_guessed: true });
        let line = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
        assert!(!format!("{report:?}").contains('x'), "a link is a secret");
    }
}
