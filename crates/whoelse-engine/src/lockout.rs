//! Three wrong passwords in a row lock an account, from wherever they come.
//!
//! Checking a password takes milliseconds and happens elsewhere, so several checks of one
//! account may be under way. The rule stays exact because there are never more of them than
//! failures left, and because each is counted, in order, when its result returns. Names that
//! nobody has are counted the same way, so that an answer does not tell them apart. A wrong old
//! password at a change of password is a failure like any other.

use std::collections::{BTreeMap, VecDeque};

use whoelse_proto::{Login, Password, Refusal};

use crate::record::{AccountId, Record, Time};
use crate::rules::Rules;
use crate::sessions::Entry;
use crate::sources::Source;
use crate::strangers::stranger_key;
use crate::{Asker, ConnectionId, Effect, Engine, Now, Ticket, Turn};

/// How long a client is asked to wait when too many passwords wait to be checked.
const BUSY_MS: u64 = 1_000;

/// The failures of one name, and its checks under way.
#[derive(Default)]
pub(crate) struct Lockout {
    pub(crate) strikes: u8,
    pub(crate) locked_until: Option<Time>,
    pub(crate) in_flight: u8,
    pub(crate) waiting: VecDeque<(Attempt, Password)>,
}

/// Somebody claims to know a password, which is yet to be checked.
pub(crate) struct Attempt {
    pub(crate) asker: Asker,
    /// Whose budget it counts against; none for those who have none.
    pub(crate) source: Option<Source>,
    pub(crate) purpose: Purpose,
}

/// What a right password is to lead to.
pub(crate) enum Purpose {
    /// A session.
    Login(Entry),
    /// Another password.
    Passwd(Password),
}

/// A check under way.
pub(crate) struct Check {
    subject: Subject,
    attempt: Attempt,
    /// Which of the account's passwords it is checked against.
    version: u32,
}

/// Whose password an attempt claims to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Account(AccountId),
    /// A name that nobody has, hashed.
    Stranger(u128),
}

/// What a connection waits for.
#[derive(Clone, Copy)]
pub(crate) enum Pending {
    /// A password is being checked.
    Check(Subject),
    /// A password is being hashed.
    Hash,
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
    pub(crate) fn locked_for(&mut self, now: Time) -> Option<u64> {
        let until = self.locked_until?;
        if until > now {
            return Some(until.since(now));
        }
        self.restore(0, None);
        None
    }

    /// Whether nothing is lost if it is forgotten.
    pub(crate) fn is_blank(&self, now: Time) -> bool {
        let has_run_out = self.locked_until.is_some_and(|until| until <= now);
        self.is_idle() && (self.strikes == 0 || has_run_out)
    }

    /// Whether no lock ends early if it is forgotten.
    pub(crate) fn is_unlocked(&self, now: Time) -> bool {
        self.is_idle() && self.locked_until.is_none_or(|until| until <= now)
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }

    pub(crate) fn check(&self, rules: &Rules) {
        assert!(self.strikes <= rules.strikes_max);
        // A lock that began while checks were under way leaves those over.
        assert!(self.locked_until.is_some() || self.in_flight + self.strikes <= rules.strikes_max);
    }
}

impl Engine {
    pub(crate) fn login(&mut self, now: Now, asker: Asker, login: &Login<'_>, turn: &mut Turn) {
        if self.is_pending(&asker, turn) {
            return;
        }
        let source = self.source_of(asker.connection);
        if let Some(refusal) = self.source_refusal(now.time, source) {
            return turn.refuse(&asker, refusal);
        }
        let subject = match self.state.find(&login.username) {
            Some(account) => Subject::Account(account),
            None => Subject::Stranger(stranger_key(&login.username)),
        };
        let attempt = Attempt { asker, source, purpose: Purpose::Login(Entry::of_login(login)) };
        self.have_checked(now, subject, attempt, login.password.as_ref().into(), turn);
    }

    /// Refuses whoever still waits for a password to be checked or hashed.
    pub(crate) fn is_pending(&self, asker: &Asker, turn: &mut Turn) -> bool {
        let line = self.state.connections.get(&asker.connection);
        let is_pending = line.is_none_or(|line| line.pending.is_some());
        if is_pending {
            let why = "A password of this connection is being checked. Wait for the answer.";
            turn.refuse(asker, Refusal::BadRequest(why.into()));
        }
        is_pending
    }

    /// Whether no more passwords may wait to be checked or hashed.
    pub(crate) fn is_full_of_checks(&self) -> bool {
        let state = &self.state;
        state.checks.len() + state.checks_waiting + state.hashes.len() >= self.rules.checks_max
    }

    pub(crate) fn refuse_busy(&self, asker: &Asker, turn: &mut Turn) {
        turn.refuse(asker, Refusal::Busy { retry_after_ms: BUSY_MS });
    }

    /// Has a password checked, now or in its turn, unless its name is locked.
    pub(crate) fn have_checked(
        &mut self,
        now: Now,
        subject: Subject,
        attempt: Attempt,
        password: Password,
        turn: &mut Turn,
    ) {
        let is_full = self.is_full_of_checks();
        // A name that is heard for the first time must not push another out of memory for nothing.
        let is_new = matches!(subject, Subject::Stranger(key) if !self.state.strangers.knows(key));
        if is_full && is_new {
            return self.refuse_busy(&attempt.asker, turn);
        }
        let Some(lockout) = self.lockout(now.time, subject) else {
            return self.refuse_busy(&attempt.asker, turn);
        };
        if let Some(retry_after_ms) = lockout.locked_for(now.time) {
            return turn.refuse(&attempt.asker, Refusal::Locked { retry_after_ms });
        }
        if is_full {
            return self.refuse_busy(&attempt.asker, turn);
        }
        let (connection, source) = (attempt.asker.connection, attempt.source);
        lockout.waiting.push_back((attempt, password));
        self.state.checks_waiting += 1;
        self.state.sources.begin(now.time, source, &self.rules);
        self.set_pending(connection, Some(Pending::Check(subject)));
        self.start_checks(now.time, subject, turn);
    }

    /// A check has returned: counts it, in the order of the results.
    pub(crate) fn checked(&mut self, now: Now, ticket: Ticket, matches: bool, turn: &mut Turn) {
        let Some(check) = self.state.checks.remove(&ticket) else { return };
        let Check { subject, attempt, version } = check;
        self.set_pending(attempt.asker.connection, None);
        self.state.sources.end(attempt.source);
        let Some(lockout) = self.lockout(now.time, subject) else { return };
        lockout.in_flight -= 1;
        if let Some(retry_after_ms) = lockout.locked_for(now.time) {
            // The third failure came first: a right password is refused as well.
            self.refuse_attempt(&attempt.asker, Refusal::Locked { retry_after_ms }, turn);
        } else {
            // What was right when it was asked is wrong if the password was changed since.
            match subject {
                Subject::Account(account)
                    if matches && version == self.state.account(account).password_version =>
                {
                    self.proven(now, account, attempt, turn);
                }
                Subject::Account(_) | Subject::Stranger(_) => {
                    self.strike(now, subject, &attempt, turn);
                }
            }
        }
        self.start_checks(now.time, subject, turn);
    }

    /// The password was right.
    fn proven(&mut self, now: Now, account: AccountId, attempt: Attempt, turn: &mut Turn) {
        match attempt.purpose {
            Purpose::Login(entry) => self.admit(now, account, &attempt.asker, entry, turn),
            Purpose::Passwd(new) => self.have_hashed(now, account, attempt.asker, new, turn),
        }
    }

    fn strike(&mut self, now: Now, subject: Subject, attempt: &Attempt, turn: &mut Turn) {
        let (strikes_max, block_ms) = (self.rules.strikes_max, self.rules.block_ms);
        let Some(lockout) = self.lockout(now.time, subject) else { return };
        let strikes = lockout.strikes + 1;
        let locked_until = (strikes >= strikes_max).then(|| now.time.plus(block_ms));
        let time = now.time;
        let record = match subject {
            Subject::Account(account) => Record::Strikes { account, strikes, locked_until, time },
            Subject::Stranger(key) => Record::Stranger { key, strikes, locked_until, time },
        };
        self.emit(turn, record);
        self.state.sources.failed(time, attempt.source, &self.rules);
        if locked_until.is_none() {
            let tries_left = strikes_max - strikes;
            let refusal = Refusal::InvalidPassword { tries_left };
            return self.refuse_attempt(&attempt.asker, refusal, turn);
        }
        self.state.sources.locked(time, attempt.source, subject, &self.rules);
        let refusal = Refusal::InvalidPasswordBlocked { retry_after_ms: block_ms };
        self.refuse_attempt(&attempt.asker, refusal, turn);
        self.refuse_waiting(time, subject, &Refusal::Locked { retry_after_ms: block_ms }, turn);
    }

    /// Those who wait need not wait any longer.
    pub(crate) fn refuse_waiting(
        &mut self,
        now: Time,
        subject: Subject,
        refusal: &Refusal,
        turn: &mut Turn,
    ) {
        let Some(lockout) = self.lockout(now, subject) else { return };
        let waiting = std::mem::take(&mut lockout.waiting);
        self.state.checks_waiting -= waiting.len();
        for (attempt, _) in waiting {
            self.set_pending(attempt.asker.connection, None);
            self.state.sources.end(attempt.source);
            self.refuse_attempt(&attempt.asker, refusal.clone(), turn);
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
    pub(crate) fn start_checks(&mut self, now: Time, subject: Subject, turn: &mut Turn) {
        let strikes_max = self.rules.strikes_max;
        loop {
            let Some(lockout) = self.lockout(now, subject) else { return };
            if lockout.in_flight + lockout.strikes >= strikes_max || lockout.locked_until.is_some()
            {
                return;
            }
            let Some((attempt, password)) = lockout.waiting.pop_front() else { return };
            lockout.in_flight += 1;
            self.state.checks_waiting -= 1;
            let ticket = self.next_ticket();
            let (account, hash, version) = match subject {
                Subject::Account(id) => {
                    let account = self.state.account(id);
                    (Some(id), account.password.clone(), account.password_version)
                }
                Subject::Stranger(_) => (None, None, 0),
            };
            self.state.checks.insert(ticket, Check { subject, attempt, version });
            turn.effects.push(Effect::Check { ticket, account, hash, password });
        }
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.state.tickets += 1;
        Ticket(self.state.tickets)
    }

    /// Whoever has gone does not have a password checked; a check under way still counts.
    pub(crate) fn forget_waiting(&mut self, now: Time, connection: ConnectionId) {
        let line = self.state.connections.get(&connection);
        let Some(Pending::Check(subject)) = line.and_then(|line| line.pending) else { return };
        let Some(lockout) = self.lockout(now, subject) else { return };
        let is_theirs = |(attempt, _): &(Attempt, Password)| attempt.asker.connection == connection;
        let Some(at) = lockout.waiting.iter().position(is_theirs) else { return };
        let Some((attempt, _)) = lockout.waiting.remove(at) else { return };
        self.state.checks_waiting -= 1;
        self.state.sources.end(attempt.source);
    }

    /// The name of an account has become one that nobody has: whoever is trying it is told what
    /// one is told there, and the results are not awaited.
    pub(crate) fn forget_checks(&mut self, now: Time, account: AccountId, turn: &mut Turn) {
        let subject = Subject::Account(account);
        let refusal = Refusal::InvalidPassword { tries_left: self.rules.strikes_max - 1 };
        self.refuse_waiting(now, subject, &refusal, turn);
        self.state.account_mut(account).lockout.in_flight = 0;
        let (theirs, others) = std::mem::take(&mut self.state.checks)
            .into_iter()
            .partition(|(_, check)| check.subject == subject);
        self.state.checks = others;
        for Check { attempt, .. } in BTreeMap::<Ticket, Check>::into_values(theirs) {
            self.set_pending(attempt.asker.connection, None);
            self.state.sources.end(attempt.source);
            self.refuse_attempt(&attempt.asker, refusal.clone(), turn);
        }
    }

    /// Refuses an attempt, if whoever made it is still there to be told.
    fn refuse_attempt(&self, asker: &Asker, refusal: Refusal, turn: &mut Turn) {
        let line = self.state.connections.get(&asker.connection);
        if line.is_some_and(|line| !line.is_closing) {
            turn.refuse(asker, refusal);
        }
    }

    pub(crate) fn set_pending(&mut self, connection: ConnectionId, pending: Option<Pending>) {
        if let Some(line) = self.state.connections.get_mut(&connection) {
            line.pending = pending;
        }
    }

    pub(crate) fn lockout(&mut self, now: Time, subject: Subject) -> Option<&mut Lockout> {
        match subject {
            Subject::Account(account) => Some(&mut self.state.account_mut(account).lockout),
            Subject::Stranger(key) => self.state.strangers.get(key, now, self.rules.strangers_max),
        }
    }
}
