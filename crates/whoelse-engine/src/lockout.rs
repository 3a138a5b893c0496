//! Three wrong passwords in a row lock an account, from wherever they come.
//!
//! Checking a password takes milliseconds and happens elsewhere, so several checks of one
//! account may be under way. The rule stays exact because there are never more of them than
//! failures left, and because each is counted, in order, when its result returns. Names that
//! nobody has are counted the same way, so that an answer does not tell them apart.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use whoelse_proto::{Dialect, Login, Password, Refusal};

use crate::record::{AccountId, Record, Time};
use crate::rules::Rules;
use crate::{Asker, ConnectionId, Effect, Engine, Now, Ticket, Turn};

/// How long a client is asked to wait when too many passwords wait to be checked.
const BUSY_MS: u64 = 1_000;

/// The failures of one name, and its checks under way.
#[derive(Default)]
pub(crate) struct Lockout {
    pub(crate) strikes: u8,
    pub(crate) locked_until: Option<Time>,
    pub(crate) in_flight: u8,
    pub(crate) waiting: VecDeque<(LoginAttempt, Password)>,
}

/// A login whose password is yet to be checked.
pub(crate) struct LoginAttempt {
    pub(crate) asker: Asker,
    pub(crate) protocol: Option<u32>,
    pub(crate) private_port: u16,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) takeover: bool,
}

/// A check under way.
pub(crate) struct Check {
    subject: Subject,
    attempt: LoginAttempt,
}

/// Whose password a login claims to know.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Account(AccountId),
    /// A name that nobody has, hashed.
    Stranger(u128),
}

/// Failures of names that nobody has; bounded, the oldest is forgotten first.
#[derive(Default)]
pub(crate) struct Strangers {
    lockouts: BTreeMap<u128, Lockout>,
    order: VecDeque<u128>,
}

impl LoginAttempt {
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of_login(self.protocol, self.private_port)
    }
}

impl Lockout {
    pub(crate) fn restore(&mut self, strikes: u8, locked_until: Option<Time>) {
        self.strikes = strikes;
        self.locked_until = locked_until;
    }

    /// A clock that was wrong before a restart must not lock anybody out for longer.
    pub(crate) fn limit(&mut self, latest: Time) {
        self.locked_until = self.locked_until.map(|until| until.min(latest));
    }

    /// How much longer the account is locked, in milliseconds; lifts a lock that has run out.
    fn locked_for(&mut self, now: Time) -> Option<u64> {
        let until = self.locked_until?;
        if until > now {
            return Some(until.since(now));
        }
        self.restore(0, None);
        None
    }

    /// Whether nothing is lost if it is forgotten.
    fn is_blank(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.strikes == 0
    }

    /// Whether no lock ends early if it is forgotten.
    fn is_unlocked(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.locked_until.is_none()
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert!(self.strikes <= rules.strikes_max);
        // A lock that began while checks were under way leaves those over.
        assert!(self.locked_until.is_some() || self.in_flight + self.strikes <= rules.strikes_max);
    }
}

impl Strangers {
    /// The failures of a name; none if all that are remembered are being checked.
    fn get(&mut self, key: u128, strangers_max: usize) -> Option<&mut Lockout> {
        if !self.lockouts.contains_key(&key) {
            if self.order.len() >= strangers_max {
                // Forgetting failures would tell a name that nobody has from one that somebody has.
                let find = |fits: fn(&Lockout) -> bool| {
                    self.order.iter().position(|key| fits(&self.lockouts[key]))
                };
                let oldest = find(Lockout::is_blank).or_else(|| find(Lockout::is_unlocked))?;
                if let Some(forgotten) = self.order.remove(oldest) {
                    self.lockouts.remove(&forgotten);
                }
            }
            self.order.push_back(key);
        }
        Some(self.lockouts.entry(key).or_default())
    }

    fn knows(&self, key: u128) -> bool {
        self.lockouts.contains_key(&key)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lockouts.values().map(|lockout| lockout.waiting.len()).sum()
    }
}

impl Engine {
    pub(crate) fn login(&mut self, now: Now, asker: Asker, login: &Login<'_>, turn: &mut Turn) {
        let Some(line) = self.state.connections.get_mut(&asker.connection) else { return };
        if line.logging_in.is_some() {
            let why = "A login of this connection is being checked. Wait for its answer.";
            return turn.refuse(&asker, Refusal::BadRequest(why.into()));
        }
        let subject = match self.state.account_by_name.get(login.username.as_ref()) {
            Some(account) => Subject::Account(*account),
            None => Subject::Stranger(stranger_key(&login.username)),
        };
        let is_full = self.state.checks.len() + self.state.checks_waiting >= self.rules.checks_max;
        // A name that is heard for the first time must not push another out of memory for nothing.
        let is_new = matches!(subject, Subject::Stranger(key) if !self.state.strangers.knows(key));
        if is_full && is_new {
            return turn.refuse(&asker, Refusal::Busy { retry_after_ms: BUSY_MS });
        }
        let Some(lockout) = self.lockout(subject) else {
            return turn.refuse(&asker, Refusal::Busy { retry_after_ms: BUSY_MS });
        };
        if let Some(retry_after_ms) = lockout.locked_for(now.time) {
            return turn.refuse(&asker, Refusal::Locked { retry_after_ms });
        }
        if is_full {
            return turn.refuse(&asker, Refusal::Busy { retry_after_ms: BUSY_MS });
        }
        let connection = asker.connection;
        let attempt = LoginAttempt {
            asker,
            protocol: login.protocol,
            private_port: login.private_port,
            instance: login.instance.as_deref().map(Into::into),
            takeover: login.takeover,
        };
        lockout.waiting.push_back((attempt, Password::from(login.password.as_ref())));
        self.state.checks_waiting += 1;
        self.set_logging_in(connection, Some(subject));
        self.start_checks(subject, turn);
    }

    /// A check has returned: counts it, in the order of the results.
    pub(crate) fn checked(&mut self, now: Now, ticket: Ticket, matches: bool, turn: &mut Turn) {
        let Some(Check { subject, attempt }) = self.state.checks.remove(&ticket) else { return };
        self.set_logging_in(attempt.asker.connection, None);
        let Some(lockout) = self.lockout(subject) else { return };
        lockout.in_flight -= 1;
        if let Some(retry_after_ms) = lockout.locked_for(now.time) {
            // The third failure came first: a right password is refused as well.
            self.refuse_login(&attempt, Refusal::Locked { retry_after_ms }, turn);
        } else if !matches {
            self.strike(now, subject, &attempt, turn);
        } else if let Subject::Account(account) = subject {
            self.admit(now, account, attempt, turn);
        }
        self.start_checks(subject, turn);
    }

    fn strike(&mut self, now: Now, subject: Subject, attempt: &LoginAttempt, turn: &mut Turn) {
        let (strikes_max, block_ms) = (self.rules.strikes_max, self.rules.block_ms);
        let Some(lockout) = self.lockout(subject) else { return };
        let strikes = lockout.strikes + 1;
        let locked_until = (strikes >= strikes_max).then(|| now.time.plus(block_ms));
        lockout.restore(strikes, locked_until);
        let time = now.time;
        let record = match subject {
            Subject::Account(account) => Record::Strikes { account, strikes, locked_until, time },
            Subject::Stranger(_) => Record::Guess { time },
        };
        self.emit(turn, record);
        if locked_until.is_none() {
            let tries_left = strikes_max - strikes;
            return self.refuse_login(attempt, Refusal::InvalidPassword { tries_left }, turn);
        }
        let refusal = Refusal::InvalidPasswordBlocked { retry_after_ms: block_ms };
        self.refuse_login(attempt, refusal, turn);
        let Some(lockout) = self.lockout(subject) else { return };
        let waiting = std::mem::take(&mut lockout.waiting);
        self.state.checks_waiting -= waiting.len();
        for (attempt, _) in waiting {
            self.set_logging_in(attempt.asker.connection, None);
            self.refuse_login(&attempt, Refusal::Locked { retry_after_ms: block_ms }, turn);
        }
    }

    /// A right password ends the row of failures, even if no session begins.
    pub(crate) fn forget_strikes(&mut self, now: Now, account: AccountId, turn: &mut Turn) {
        if self.state.account(account).lockout.strikes > 0 {
            let record =
                Record::Strikes { account, strikes: 0, locked_until: None, time: now.time };
            self.emit(turn, record);
        }
    }

    /// Starts the checks that may run, in the order in which they were asked for.
    fn start_checks(&mut self, subject: Subject, turn: &mut Turn) {
        let strikes_max = self.rules.strikes_max;
        loop {
            let Some(lockout) = self.lockout(subject) else { return };
            if lockout.in_flight + lockout.strikes >= strikes_max || lockout.locked_until.is_some()
            {
                return;
            }
            let Some((attempt, password)) = lockout.waiting.pop_front() else { return };
            lockout.in_flight += 1;
            self.state.checks_waiting -= 1;
            self.state.tickets += 1;
            let ticket = Ticket(self.state.tickets);
            let (account, hash) = match subject {
                Subject::Account(account) => {
                    (Some(account), self.state.account(account).password.clone())
                }
                Subject::Stranger(_) => (None, None),
            };
            self.state.checks.insert(ticket, Check { subject, attempt });
            turn.effects.push(Effect::Check { ticket, account, hash, password });
        }
    }

    /// Whoever has gone does not have a password checked; a check under way still counts.
    pub(crate) fn forget_waiting_login(&mut self, connection: ConnectionId) {
        let line = self.state.connections.get(&connection);
        let Some(subject) = line.and_then(|line| line.logging_in) else { return };
        let Some(lockout) = self.lockout(subject) else { return };
        let before = lockout.waiting.len();
        lockout.waiting.retain(|(attempt, _)| attempt.asker.connection != connection);
        self.state.checks_waiting -= before - lockout.waiting.len();
    }

    fn refuse_login(&self, attempt: &LoginAttempt, refusal: Refusal, turn: &mut Turn) {
        if self.state.connections.contains_key(&attempt.asker.connection) {
            turn.refuse(&attempt.asker, refusal);
        }
    }

    fn set_logging_in(&mut self, connection: ConnectionId, logging_in: Option<Subject>) {
        if let Some(line) = self.state.connections.get_mut(&connection) {
            line.logging_in = logging_in;
        }
    }

    fn lockout(&mut self, subject: Subject) -> Option<&mut Lockout> {
        match subject {
            Subject::Account(account) => Some(&mut self.state.account_mut(account).lockout),
            Subject::Stranger(key) => self.state.strangers.get(key, self.rules.strangers_max),
        }
    }
}

fn stranger_key(name: &str) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish128().as_u128()
}
