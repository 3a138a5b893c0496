//! Sessions: how they begin, break, come back and end.
//!
//! An account has at most one. Its line may be gone for a while (*away*) without the others
//! being told, if its client speaks our protocol and so can come back by itself.

use std::net::IpAddr;

use whoelse_proto::{Dialect, Event, Outcome, Refusal};

use crate::lockout::LoginAttempt;
use crate::record::{AccountId, Number, Record, Time};
use crate::state::Connection;
use crate::timers::Timer;
use crate::{Asker, ConnectionId, Effect, Engine, Now, Turn};

/// The version of our protocol that this engine speaks.
const PROTOCOL: u32 = 1;

pub(crate) struct Session {
    /// None while away.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) away_until: Option<Time>,
    pub(crate) dialect: Dialect,
    pub(crate) instance: Option<Box<str>>,
    /// Where an original client listens for private links.
    pub(crate) private_port: Option<u16>,
    pub(crate) last_command: Time,
    /// When the idle timer of this session fires; it may find that there was a command since.
    pub(crate) idle_at: Option<Time>,
    /// The last number of mail handed to it.
    pub(crate) sent: Number,
}

impl Engine {
    /// Ends the sessions that the end of the last process left open, at the newest time known.
    pub(crate) fn start(&mut self, now: Now, turn: &mut Turn) {
        let newest = self.state.newest;
        for index in 0..self.state.accounts.len() {
            let account = &mut self.state.accounts[index];
            account.lockout.limit(now.time.plus(self.rules.block_ms));
            if account.open {
                let record = Record::Logout { account: account.id, time: newest };
                self.emit(turn, record);
            }
        }
    }

    /// Ends all sessions on record, without telling anybody: all lines are about to end.
    pub(crate) fn stop(&mut self, now: Now, turn: &mut Turn) {
        for account in std::mem::take(&mut self.state.online) {
            self.cancel_timers(account);
            let session = self.state.account_mut(account).session.take();
            if let Some(connection) = session.and_then(|session| session.connection) {
                self.detach(connection);
            }
            self.emit(turn, Record::Logout { account, time: now.time });
        }
        if let Some(at) = self.state.heartbeat_at.take() {
            self.state.timers.remove(at, Timer::Heartbeat);
        }
    }

    pub(crate) fn connected(&mut self, connection: ConnectionId, address: IpAddr) {
        let address = address.to_canonical();
        let made = Connection { address, account: None, logging_in: None, is_closing: false };
        self.state.connections.insert(connection, made);
    }

    /// The password is right: begins a session, or brings one back.
    pub(crate) fn admit(
        &mut self,
        now: Now,
        account: AccountId,
        attempt: LoginAttempt,
        turn: &mut Turn,
    ) {
        let (asker, instance) = (&attempt.asker, attempt.instance.as_deref());
        if !self.state.connections.contains_key(&asker.connection) {
            return;
        }
        let mut is_return = false;
        if let Some(session) = &self.state.account(account).session {
            let is_same = session.instance.is_some() && session.instance.as_deref() == instance;
            match session.connection {
                Some(_) if !is_same && !attempt.takeover => {
                    self.forget_strikes(now, account, turn);
                    return turn.refuse(asker, Refusal::AlreadyLoggedIn);
                }
                Some(old) => {
                    if !is_same {
                        turn.send(old, Event::TakenOver);
                    }
                    self.detach(old);
                    turn.effects.push(Effect::Close { connection: old });
                }
                None => {}
            }
            is_return = is_same;
            self.forget_strikes(now, account, turn);
            self.cancel_timers(account);
        } else {
            self.emit(turn, Record::Login { account, time: now.time });
            self.state.online.insert(account);
            self.start_heartbeat(now.time);
            let name = self.state.account(account).name.clone();
            self.announce(account, Event::LoggedIn { name }, turn);
        }
        self.attach(now.time, account, attempt, is_return, turn);
    }

    /// Ties a session to its new line. A client that comes back by itself is not activity.
    fn attach(
        &mut self,
        now: Time,
        account: AccountId,
        attempt: LoginAttempt,
        is_return: bool,
        turn: &mut Turn,
    ) {
        let connection = attempt.asker.connection;
        let dialect = attempt.dialect();
        let before = self.state.account_mut(account).session.take();
        let acknowledged = self.state.account(account).mailbox.acknowledged();
        let mut session = Session {
            connection: Some(connection),
            away_until: None,
            dialect,
            instance: attempt.instance,
            private_port: (dialect == Dialect::Original).then_some(attempt.private_port),
            last_command: now,
            idle_at: None,
            sent: acknowledged,
        };
        if let Some(before) = before.filter(|_| is_return) {
            session.last_command = before.last_command;
            session.sent = session.sent.max(before.sent);
        }
        if self.rules.idle_ms > 0 {
            let idle_at = session.last_command.plus(self.rules.idle_ms);
            session.idle_at = Some(idle_at);
            self.state.timers.add(idle_at, Timer::Idle(account));
        }
        self.state.account_mut(account).session = Some(session);
        if let Some(line) = self.state.connections.get_mut(&connection) {
            line.account = Some(account);
        }
        let last = self.state.account(account).mailbox.last();
        turn.effects.push(Effect::Begin { connection, account, dialect, acknowledged, last });
        let outcome = Outcome::Welcome {
            protocol: attempt.protocol.map(|version| version.min(PROTOCOL)),
            server: self.server.clone(),
            acknowledged: acknowledged.0,
            role: whoelse_proto::Role::Member,
            failed_logins: 0,
            device: None,
        };
        turn.answer(&attempt.asker, outcome);
    }

    /// A line ended. Whoever can come back is away for a while; the others have left.
    pub(crate) fn disconnected(&mut self, now: Now, connection: ConnectionId, turn: &mut Turn) {
        self.forget_waiting_login(connection);
        let Some(line) = self.state.connections.remove(&connection) else { return };
        let Some(account) = line.account else { return };
        let away_until = now.time.plus(self.rules.away_ms);
        let Some(session) = &mut self.state.account_mut(account).session else { return };
        if session.dialect == Dialect::Protocol {
            session.connection = None;
            session.away_until = Some(away_until);
            self.state.timers.add(away_until, Timer::Away(account));
        } else {
            self.end_session(now.time, account, turn);
        }
    }

    pub(crate) fn logout(&mut self, now: Time, account: AccountId, asker: &Asker, turn: &mut Turn) {
        self.end_session(now, account, turn);
        turn.answer(asker, Outcome::Goodbye);
        turn.effects.push(Effect::Close { connection: asker.connection });
    }

    pub(crate) fn tick(&mut self, now: Now, turn: &mut Turn) {
        while let Some(timer) = self.state.timers.take_due(now.time) {
            match timer {
                Timer::Heartbeat => {
                    self.emit(turn, Record::Heartbeat { time: now.time });
                    self.state.heartbeat_at = None;
                    self.start_heartbeat(now.time);
                }
                Timer::Away(account) => self.end_session(now.time, account, turn),
                Timer::Idle(account) => self.idle_timer(now.time, account, turn),
            }
        }
    }

    fn idle_timer(&mut self, now: Time, account: AccountId, turn: &mut Turn) {
        let idle_ms = self.rules.idle_ms;
        let Some(session) = &mut self.state.account_mut(account).session else { return };
        let due = session.last_command.plus(idle_ms);
        if due > now {
            session.idle_at = Some(due);
            self.state.timers.add(due, Timer::Idle(account));
            return;
        }
        session.idle_at = None;
        if let Some(connection) = session.connection {
            turn.send(connection, Event::Timeout);
            turn.effects.push(Effect::Close { connection });
        }
        self.end_session(now, account, turn);
    }

    fn end_session(&mut self, now: Time, account: AccountId, turn: &mut Turn) {
        self.cancel_timers(account);
        let Some(session) = self.state.account_mut(account).session.take() else { return };
        if let Some(connection) = session.connection {
            self.detach(connection);
        }
        self.emit(turn, Record::Logout { account, time: now });
        self.state.online.remove(&account);
        if self.state.online.is_empty()
            && let Some(at) = self.state.heartbeat_at.take()
        {
            self.state.timers.remove(at, Timer::Heartbeat);
        }
        let name = self.state.account(account).name.clone();
        self.announce(account, Event::LoggedOut { name }, turn);
    }

    /// A connection no longer speaks for an account; it may still be there to be closed.
    fn detach(&mut self, connection: ConnectionId) {
        if let Some(line) = self.state.connections.get_mut(&connection) {
            line.account = None;
            line.is_closing = true;
        }
    }

    fn cancel_timers(&mut self, account: AccountId) {
        let Some(session) = &mut self.state.accounts[account.index()].session else { return };
        if let Some(at) = session.idle_at.take() {
            self.state.timers.remove(at, Timer::Idle(account));
        }
        if let Some(at) = session.away_until {
            self.state.timers.remove(at, Timer::Away(account));
        }
    }

    fn start_heartbeat(&mut self, now: Time) {
        if self.state.heartbeat_at.is_none() {
            let at = now.plus(self.rules.heartbeat_ms);
            self.state.heartbeat_at = Some(at);
            self.state.timers.add(at, Timer::Heartbeat);
        }
    }
}
