//! Sessions: how they begin, break, come back and end.
//!
//! An account has at most one. Its line may be gone for a while (*away*) without the others
//! being told, if its client speaks our protocol and so can come back by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use whoelse_proto::event::Reason;
use whoelse_proto::{
    DeviceKey, Dialect, EndpointKey, Event, Join, Login, Outcome, Refusal, Resume,
};

use crate::record::{AccountId, Number, Record, Time};
use crate::state::Connection;
use crate::timers::Timer;
use crate::{Asker, ConnectionId, Effect, Engine, Now, Turn};

/// The version of our protocol that this engine speaks.
const PROTOCOL: u32 = 1;

/// When thousands leave at once everybody has to hear of each: after so many announcements the others
/// have their turn, and the rest is due at once after that.
const ANNOUNCED_PER_TICK_MAX: usize = 16 << 10;

pub(crate) struct Session {
    /// None while away.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) away_until: Option<Time>,
    pub(crate) dialect: Dialect,
    /// The version of our protocol that both sides speak.
    pub(crate) protocol: Option<u32>,
    pub(crate) instance: Option<Box<str>>,
    /// The device it comes from, if that may resume.
    pub(crate) device: Option<DeviceKey>,
    /// It wants to be told when messages of its person have reached their readers.
    pub(crate) receipts: bool,
    /// It said that it can make private links; see [`Session::has_links`].
    links: bool,
    /// Ends of its private links that may use the relay.
    pub(crate) relayed: BTreeSet<EndpointKey>,
    /// Where it listens for the original's private links.
    pub(crate) private_port: Option<u16>,
    pub(crate) last_command: Time,
    /// When the idle timer of this session fires; it may find that there was a command since.
    pub(crate) idle_at: Option<Time>,
    /// The last number of mail handed to it.
    pub(crate) sent: Number,
}

impl Session {
    /// Whether it can make private links: only a device that the server knows can be vouched for.
    pub(crate) fn has_links(&self) -> bool {
        self.links && self.device.is_some()
    }
}

/// How somebody wants a session to begin.
pub(crate) struct Entry {
    pub(crate) protocol: Option<u32>,
    pub(crate) private_port: u16,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) takeover: bool,
    /// The device it comes from, and what it wants to be called.
    pub(crate) device: Option<(DeviceKey, Box<str>)>,
    /// By the key of that device, not by a password.
    pub(crate) is_resume: bool,
    pub(crate) receipts: bool,
    pub(crate) links: bool,
}

impl Entry {
    pub(crate) fn of_login(login: &Login<'_>) -> Self {
        Self {
            protocol: login.protocol,
            private_port: login.private_port,
            instance: login.instance.as_deref().map(Into::into),
            takeover: login.takeover,
            device: login.device.as_ref().map(|device| (device.key, device.name.as_ref().into())),
            is_resume: false,
            receipts: login.receipts,
            links: login.links,
        }
    }

    pub(crate) fn of_join(join: &Join<'_>) -> Self {
        Self {
            protocol: Some(join.protocol),
            private_port: join.private_port,
            instance: join.instance.as_deref().map(Into::into),
            takeover: false,
            device: join.device.as_ref().map(|device| (device.key, device.name.as_ref().into())),
            is_resume: false,
            receipts: join.receipts,
            links: join.links,
        }
    }

    fn of_resume(resume: &Resume<'_>) -> Self {
        Self {
            protocol: Some(resume.protocol),
            private_port: resume.private_port,
            instance: resume.instance.as_deref().map(Into::into),
            takeover: resume.takeover,
            device: Some((resume.key, "".into())),
            is_resume: true,
            receipts: resume.receipts,
            links: resume.links,
        }
    }
}

impl Engine {
    /// Ends the sessions that the end of the last process left open, at the newest time known.
    pub(crate) fn start(&mut self, now: Now, turn: &mut Turn) {
        // Who reads the log of an earlier start must not become administrator now.
        self.revoke_invites(|invite| invite.is_first, turn);
        let newest = self.state.newest;
        self.expect_expiry();
        self.state.strangers.limit(now.time.plus(self.rules.block_ms));
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
        self.forget_introductions();
        for account in std::mem::take(&mut self.state.online) {
            self.cancel_timers(account);
            self.state.claims.remove_of(account);
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
        let made = Connection { address, account: None, pending: None, is_closing: false };
        self.state.connections.insert(connection, made);
    }

    /// Begins a session by proof of a device's key: outside of locks by wrong passwords, so that
    /// strangers' guesses keep nobody out. Whatever is not known gets one answer.
    pub(crate) fn resume(
        &mut self,
        now: Now,
        asker: &Asker,
        resume: &Resume<'_>,
        is_proven: bool,
        turn: &mut Turn,
    ) {
        if self.is_pending(asker, turn) {
            return;
        }
        let account = self.state.find(&resume.username).filter(|account| {
            is_proven && self.state.account(*account).devices.get(&resume.key).is_some()
        });
        match account {
            Some(account) => self.admit(now, account, asker, Entry::of_resume(resume), turn),
            None => turn.refuse(asker, Refusal::ResumeRefused),
        }
    }

    /// The password or the proof is right: begins a session, or brings one back.
    pub(crate) fn admit(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        entry: Entry,
        turn: &mut Turn,
    ) {
        if !self.state.connections.contains_key(&asker.connection) {
            return;
        }
        if self.state.account(account).is_locked {
            return self.refuse_proven(now, account, asker, &entry, Refusal::AccountLocked, turn);
        }
        let mut is_return = false;
        let failed_logins = self.state.account(account).failed_logins;
        if let Some(session) = &self.state.account(account).session {
            let instance = entry.instance.as_deref();
            is_return = session.instance.is_some() && session.instance.as_deref() == instance;
            // The profile of a device is locked while in use: its earlier client is dead.
            let is_same_device = entry.is_resume
                && session.device.is_some()
                && session.device == entry.device.as_ref().map(|(key, _)| *key);
            if let Some(old) = session.connection {
                if !is_return && !is_same_device && !entry.takeover {
                    let refusal = Refusal::AlreadyLoggedIn;
                    return self.refuse_proven(now, account, asker, &entry, refusal, turn);
                }
                if !is_return {
                    turn.send(old, Event::TakenOver);
                }
                self.end_introductions(account, turn);
                self.detach(old);
                turn.effects.push(Effect::Close { connection: old });
            }
            let strikes = self.state.account(account).lockout.strikes;
            if failed_logins > 0 || strikes > 0 && !entry.is_resume {
                self.emit_begin(now.time, account, &entry, turn);
            }
            self.cancel_timers(account);
        } else {
            self.emit_begin(now.time, account, &entry, turn);
            self.state.online.insert(account);
            self.start_heartbeat(now.time);
            let name = self.state.account(account).name.clone();
            self.announce(account, Event::LoggedIn { name }, turn);
        }
        let device = self.register(now.time, account, entry.device.as_ref(), turn);
        self.attach(now.time, account, asker.connection, entry, is_return, turn);
        self.welcome(account, asker, failed_logins, device, turn);
    }

    /// Whoever has the password is told why no session begins, and ends the row of failures.
    fn refuse_proven(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        entry: &Entry,
        refusal: Refusal,
        turn: &mut Turn,
    ) {
        if !entry.is_resume {
            self.forget_strikes(now, account, turn);
        }
        turn.refuse(asker, refusal);
    }

    /// Has it stored that a session began, and that its person is told of failed logins.
    fn emit_begin(&mut self, time: Time, account: AccountId, entry: &Entry, turn: &mut Turn) {
        let record = if entry.is_resume {
            Record::Resumed { account, time }
        } else {
            Record::Login { account, time }
        };
        self.emit(turn, record);
    }

    /// Ties a session to its new line. A client that comes back by itself is not activity.
    fn attach(
        &mut self,
        now: Time,
        account: AccountId,
        connection: ConnectionId,
        entry: Entry,
        is_return: bool,
        turn: &mut Turn,
    ) {
        let dialect = Dialect::of_login(entry.protocol, entry.private_port);
        let before = self.state.account_mut(account).session.take();
        let acknowledged = self.state.account(account).mailbox.acknowledged();
        let mut session = Session {
            connection: Some(connection),
            away_until: None,
            dialect,
            protocol: entry.protocol.map(|version| version.min(PROTOCOL)),
            instance: entry.instance,
            device: entry.device.map(|(key, _)| key),
            receipts: entry.receipts,
            links: entry.links,
            relayed: BTreeSet::new(),
            private_port: (entry.private_port > 0).then_some(entry.private_port),
            last_command: now,
            idle_at: None,
            sent: acknowledged,
        };
        if let Some(mut before) = before {
            if is_return {
                session.last_command = before.last_command;
                session.sent = session.sent.max(before.sent);
            }
            let goes_on = is_return && session.has_links();
            if goes_on {
                session.relayed = std::mem::take(&mut before.relayed);
            }
            if !goes_on || session.device != before.device {
                self.state.claims.remove_of(account);
            }
            expel_all(account, before.relayed, turn);
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
    }

    fn welcome(
        &self,
        account: AccountId,
        asker: &Asker,
        failed_logins: u32,
        device: Option<Arc<str>>,
        turn: &mut Turn,
    ) {
        let account = self.state.account(account);
        let outcome = Outcome::Welcome {
            protocol: account.session.as_ref().and_then(|session| session.protocol),
            server: self.server.clone(),
            acknowledged: account.mailbox.acknowledged().0,
            role: account.role,
            failed_logins,
            device,
        };
        turn.answer(asker, outcome);
    }

    /// A line ended. Whoever can come back is away for a while; the others have left.
    pub(crate) fn disconnected(&mut self, now: Now, connection: ConnectionId, turn: &mut Turn) {
        self.forget_waiting(now.time, connection);
        let Some(line) = self.state.connections.remove(&connection) else { return };
        let Some(account) = line.account else { return };
        self.end_introductions(account, turn);
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

    pub(crate) fn logout(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        forget: bool,
        turn: &mut Turn,
    ) {
        let session = self.state.account(account).session.as_ref();
        let device = session.and_then(|session| session.device).filter(|_| forget);
        self.end_session(now, account, turn);
        if let Some(key) = device {
            self.emit(turn, Record::DeviceRevoked { account, key });
        }
        turn.answer(asker, Outcome::Goodbye);
        turn.effects.push(Effect::Close { connection: asker.connection });
    }

    /// Ends a session, if there is one, that its person did not end, and says why.
    pub(crate) fn expel(&mut self, now: Time, account: AccountId, reason: Reason, turn: &mut Turn) {
        let session = self.state.account(account).session.as_ref();
        if let Some(connection) = session.and_then(|session| session.connection) {
            turn.send(connection, Event::Ended(reason));
            turn.effects.push(Effect::Close { connection });
        }
        self.end_session(now, account, turn);
    }

    pub(crate) fn tick(&mut self, now: Now, turn: &mut Turn) {
        let (mut announced, mut is_expiry_due) = (0, false);
        while announced < ANNOUNCED_PER_TICK_MAX {
            let Some(timer) = self.state.timers.take_due(now.time) else { break };
            let before = self.state.online.len();
            match timer {
                Timer::Heartbeat => {
                    self.emit(turn, Record::Heartbeat { time: now.time });
                    self.state.heartbeat_at = None;
                    self.start_heartbeat(now.time);
                }
                Timer::Away(account) => self.end_session(now.time, account, turn),
                Timer::Idle(account) => self.idle_timer(now.time, account, turn),
                Timer::Introduction(number) => self.introduction_timer(number, turn),
                Timer::Shares => is_expiry_due = true,
            }
            announced += if self.state.online.len() < before { before } else { 0 };
        }
        // Whose session ends now can give nothing now.
        if is_expiry_due {
            self.shares_timer(now.time, turn);
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
        self.end_introductions(account, turn);
        let Some(session) = self.state.account_mut(account).session.take() else { return };
        expel_all(account, session.relayed, turn);
        self.state.claims.remove_of(account);
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

/// The ends of private links of a session that is no more have no business in the relay.
fn expel_all(account: AccountId, endpoints: BTreeSet<EndpointKey>, turn: &mut Turn) {
    let expelled = endpoints.into_iter().map(|endpoint| Effect::Expel { account, endpoint });
    turn.effects.extend(expelled);
}
