//! How people come in and leave: passwords, locks, devices, invites, lines that break.

use whoelse_proto::{DeviceKey, Name, check_new_password};

use super::{
    Ask, Attempt, Check, Device, Entry, Hashing, Lock, Model, Pending, Purpose, Said, Session,
    Subject, Word, tell_all,
};

const STRIKES_MAX: u8 = 3;

impl Model {
    /// Somebody who has not logged in asks something.
    pub(super) fn enter(&mut self, now: u64, line: u64, ask: &Ask, said: &mut Vec<Said>) {
        match ask {
            Ask::Login { .. } | Ask::Resume { .. } | Ask::Join { .. } if self.is_pending(line) => {
                answer(line, "BAD_REQUEST", said);
            }
            Ask::Login { name, password, entry } => {
                let subject = self.subject(name);
                let purpose = Purpose::Login(entry.clone());
                self.have_checked(
                    now,
                    subject,
                    Attempt { connection: line, purpose },
                    password,
                    said,
                );
            }
            Ask::Challenge => answer(line, "SUCCESS", said),
            Ask::Resume { name, is_proven, entry } => {
                let key = entry.device.as_ref().map(|(key, _)| *key);
                let known = self.find(name).filter(|who| {
                    *is_proven && self.people[*who].devices.iter().any(|it| Some(it.key) == key)
                });
                match known {
                    Some(who) => self.admit(now, who, line, entry, said),
                    None => answer(line, "RESUME_REFUSED", said),
                }
            }
            Ask::Invitation { secret } => {
                let Some(number) = self.good_invite(now, *secret) else {
                    return answer(line, "INVITE_INVALID", said);
                };
                let invite = &self.invites[&number];
                let by = &self.people[invite.by].name;
                answer(line, format!("by {by}, admin {}", invite.admin), said);
            }
            Ask::Join { secret, name, password, entry } => {
                if let Err(refusal) = self.join(now, line, *secret, name, password, entry, said) {
                    answer(line, refusal, said);
                }
            }
            _ => answer(line, "NOT_LOGGED_IN", said),
        }
    }

    fn subject(&self, name: &str) -> Subject {
        self.find(name).map_or_else(|| Subject::Stranger(name.to_owned()), Subject::Person)
    }

    fn lock(&mut self, subject: &Subject) -> &mut Lock {
        match subject {
            Subject::Person(who) => &mut self.people[*who].lock,
            Subject::Stranger(name) => self.strangers.entry(name.clone()).or_default(),
        }
    }

    pub(super) fn is_pending(&self, line: u64) -> bool {
        self.lines.get(&line).is_none_or(|line| line.pending.is_some())
    }

    fn set_pending(&mut self, line: u64, pending: Option<Pending>) {
        if let Some(line) = self.lines.get_mut(&line) {
            line.pending = pending;
        }
    }

    fn is_there(&self, line: u64) -> bool {
        self.lines.get(&line).is_some_and(|line| !line.is_closing)
    }

    pub(super) fn have_checked(
        &mut self,
        now: u64,
        subject: Subject,
        attempt: Attempt,
        password: &str,
        said: &mut Vec<Said>,
    ) {
        if self.lock(&subject).is_locked(now) {
            return answer(attempt.connection, "BLOCKED", said);
        }
        let line = attempt.connection;
        self.lock(&subject).waiting.push_back((attempt, password.to_owned()));
        self.set_pending(line, Some(Pending::Check(subject.clone())));
        self.start_checks(&subject, said);
    }

    /// Never more checks at once than failures are left.
    pub(super) fn start_checks(&mut self, subject: &Subject, said: &mut Vec<Said>) {
        loop {
            let lock = self.lock(subject);
            if lock.in_flight + lock.strikes >= STRIKES_MAX || lock.until.is_some() {
                return;
            }
            let Some((attempt, password)) = lock.waiting.pop_front() else { return };
            lock.in_flight += 1;
            let (is_right, version) = match subject {
                Subject::Person(who) => {
                    let person = &self.people[*who];
                    (person.password == password, person.version)
                }
                Subject::Stranger(_) => (false, 0),
            };
            self.tickets += 1;
            let check = Check { subject: subject.clone(), attempt, is_right, version };
            self.checks.insert(self.tickets, check);
            said.push(Said::Check(self.tickets));
        }
    }

    pub(super) fn checked(&mut self, now: u64, ticket: u64, matches: bool, said: &mut Vec<Said>) {
        let Some(Check { subject, attempt, is_right, version }) = self.checks.remove(&ticket)
        else {
            return;
        };
        if is_right != matches {
            said.push(Said::Check(0)); // a result that is not this password's
        }
        self.was_stranger = matches!(subject, Subject::Stranger(_));
        self.set_pending(attempt.connection, None);
        self.lock(&subject).in_flight -= 1;
        if self.lock(&subject).is_locked(now) {
            self.refuse(attempt.connection, "BLOCKED", said);
        } else {
            match subject {
                Subject::Person(who) if is_right && version == self.people[who].version => {
                    self.proven(now, who, attempt, said);
                }
                _ => self.strike(now, &subject, &attempt, said),
            }
        }
        self.start_checks(&subject, said);
    }

    fn strike(&mut self, now: u64, subject: &Subject, attempt: &Attempt, said: &mut Vec<Said>) {
        let block_ms = self.rules.block_ms;
        if let Subject::Person(who) = subject {
            self.people[*who].failed += 1;
        }
        let lock = self.lock(subject);
        lock.strikes += 1;
        lock.recorded = (lock.strikes, None);
        if lock.strikes < STRIKES_MAX {
            return self.refuse(attempt.connection, "INVALID_PASSWORD", said);
        }
        lock.until = Some(now + block_ms);
        lock.recorded = (lock.strikes, lock.until);
        let waiting = std::mem::take(&mut lock.waiting);
        self.refuse(attempt.connection, "INVALID_PASSWORD_BLOCKED", said);
        for (attempt, _) in waiting {
            self.set_pending(attempt.connection, None);
            self.refuse(attempt.connection, "BLOCKED", said);
        }
    }

    /// Refuses, if anybody is left to be told.
    fn refuse(&self, line: u64, word: &'static str, said: &mut Vec<Said>) {
        if self.is_there(line) {
            answer(line, word, said);
        }
    }

    fn proven(&mut self, now: u64, who: usize, attempt: Attempt, said: &mut Vec<Said>) {
        match attempt.purpose {
            Purpose::Login(entry) => self.admit(now, who, attempt.connection, &entry, said),
            Purpose::Passwd => {
                self.people[who].lock.forget();
                if self.speaker(attempt.connection) == Some(who) {
                    let version = self.people[who].version;
                    let connection = attempt.connection;
                    let hashing = Hashing::Passwd { connection, person: who, version };
                    self.start_hash(connection, hashing, said);
                }
            }
        }
    }

    pub(super) fn start_hash(&mut self, line: u64, hashing: Hashing, said: &mut Vec<Said>) {
        self.tickets += 1;
        self.set_pending(line, Some(Pending::Hash));
        self.hashes.insert(self.tickets, hashing);
        said.push(Said::Hash(self.tickets));
    }

    pub(super) fn hashed(&mut self, now: u64, ticket: u64, password: &str, said: &mut Vec<Said>) {
        match self.hashes.remove(&ticket) {
            Some(Hashing::Passwd { connection, person, version }) => {
                self.set_pending(connection, None);
                let is_there = self.speaker(connection) == Some(person);
                if is_there && self.people[person].version == version {
                    self.change_password(person, password);
                    let kept = self.device_of(person);
                    self.people[person].devices.retain(|it| Some(it.key) == kept);
                    answer(connection, "SUCCESS", said);
                }
            }
            Some(Hashing::Join { connection, invite, name, entry }) => {
                self.set_pending(connection, None);
                if !self.lines.contains_key(&connection) {
                    return;
                }
                let good = self.invites.get(&invite).filter(|it| self.is_good(now, it));
                let Some(admin) = good.map(|invite| invite.admin) else {
                    return answer(connection, "INVITE_INVALID", said);
                };
                if self.is_disk_full {
                    return answer(connection, "SERVER_FULL", said);
                }
                if self.find(&name).is_some() {
                    return answer(connection, "NAME_TAKEN", said);
                }
                self.add(&name, password, admin);
                self.invites.remove(&invite);
                self.admit(now, self.people.len() - 1, connection, &entry, said);
            }
            None => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the request has fields")]
    fn join(
        &mut self,
        now: u64,
        line: u64,
        secret: [u8; 16],
        name: &str,
        password: &str,
        entry: &Entry,
        said: &mut Vec<Said>,
    ) -> Result<(), &'static str> {
        let invite = self.good_invite(now, secret).ok_or("INVITE_INVALID")?;
        if self.is_disk_full {
            return Err("SERVER_FULL");
        }
        let name = Name::new_account(name).map_err(|_| "BAD_NAME")?;
        if self.find(name.as_str()).is_some() {
            return Err("NAME_TAKEN");
        }
        check_new_password(name.as_str(), password).map_err(|_| "BAD_PASSWORD")?;
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        self.start_hash(line, Hashing::Join { connection: line, invite, name, entry }, said);
        Ok(())
    }

    /// Whoever comes in has shown that it may.
    fn admit(&mut self, now: u64, who: usize, line: u64, entry: &Entry, said: &mut Vec<Said>) {
        if !self.lines.contains_key(&line) {
            return;
        }
        if self.people[who].is_locked {
            return self.refuse_proven(who, line, entry, "LOCKED", said);
        }
        let failed = self.people[who].failed;
        let mut last_command = now;
        let mut sent = self.people[who].acknowledged;
        let mut claims = std::collections::BTreeMap::new();
        match self.people[who].session.take() {
            Some(session) => {
                let is_return = session.instance.is_some() && session.instance == entry.instance;
                let device = entry.device.as_ref().map(|(key, _)| *key);
                let is_same_device =
                    entry.is_resume && session.device.is_some() && session.device == device;
                if let Some(old) = session.connection {
                    if !is_return && !is_same_device && !entry.takeover {
                        self.people[who].session = Some(session);
                        return self.refuse_proven(who, line, entry, "ALREADY_LOGGED_IN", said);
                    }
                    if !is_return {
                        answer(old, "taken over", said);
                    }
                    self.close(old, said);
                }
                if is_return && session.device == device && device.is_some() && entry.links {
                    claims = session.claims;
                }
                if is_return {
                    last_command = session.last_command;
                    sent = sent.max(session.sent);
                }
                if failed > 0 || self.people[who].lock.strikes > 0 && !entry.is_resume {
                    self.begun(who, entry);
                }
            }
            None => {
                self.begun(who, entry);
                tell_all(said, format!("{} came", self.people[who].name), self.observers(who));
            }
        }
        let device = self.register(now, who, entry.device.as_ref());
        let role = if self.people[who].is_admin { "admin" } else { "member" };
        let person = &mut self.people[who];
        person.session = Some(Session {
            connection: Some(line),
            away_until: None,
            instance: entry.instance.clone(),
            protocol: entry.protocol,
            port: entry.port,
            device: entry.device.as_ref().map(|(key, _)| *key),
            last_command,
            sent,
            receipts: entry.receipts,
            links: entry.links,
            claims,
        });
        said.push(Said::Begin(line, person.acknowledged, person.last()));
        let device = device.as_deref().unwrap_or("none");
        answer(line, format!("SUCCESS as {role}, device {device}, {failed} failed"), said);
    }

    fn begun(&mut self, who: usize, entry: &Entry) {
        self.people[who].failed = 0;
        if !entry.is_resume {
            self.people[who].lock.clear();
        }
    }

    fn refuse_proven(
        &mut self,
        who: usize,
        line: u64,
        entry: &Entry,
        word: &'static str,
        said: &mut Vec<Said>,
    ) {
        if !entry.is_resume {
            self.people[who].lock.forget();
        }
        answer(line, word, said);
    }

    /// A session of a device begins. Returns what it is called.
    pub(super) fn register(
        &mut self,
        now: u64,
        who: usize,
        device: Option<&(DeviceKey, String)>,
    ) -> Option<String> {
        let (key, wanted) = device?;
        let most = self.rules.devices_max;
        let devices = &mut self.people[who].devices;
        if let Some(known) = devices.iter_mut().find(|known| known.key == *key) {
            known.used = now;
            return Some(known.name.clone());
        }
        if devices.len() >= most {
            let oldest = devices.iter().min_by_key(|it| (it.used, it.added, it.key))?.key;
            devices.retain(|it| it.key != oldest);
        }
        let is_taken = |name: &String| devices.iter().any(|it| it.name == *name);
        let mut names = std::iter::once(wanted.clone())
            .chain((2..).map(|number: u32| format!("{wanted}-{number}")));
        let name = names.find(|name| !is_taken(name))?;
        devices.push(Device { key: *key, name: name.clone(), added: now, used: now });
        devices.sort_by_key(|it| (it.added, it.key));
        Some(name)
    }

    /// A line has ended.
    pub(super) fn gone(&mut self, now: u64, line: u64, said: &mut Vec<Said>) {
        if let Some(Pending::Check(subject)) =
            self.lines.get(&line).and_then(|line| line.pending.clone())
        {
            self.lock(&subject).waiting.retain(|(attempt, _)| attempt.connection != line);
        }
        let speaker = self.speaker(line);
        self.lines.remove(&line);
        let Some(who) = speaker else { return };
        let away_until = now + self.rules.away_ms;
        let Some(session) = &mut self.people[who].session else { return };
        if session.protocol {
            session.connection = None;
            session.away_until = Some(away_until);
        } else {
            self.end(now, who, said);
        }
    }

    /// Time has passed: sessions end, the earliest first.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        while let Some((at, is_away, who)) = self.first_to_end() {
            if at > now {
                break;
            }
            let session = self.people[who].session.as_ref();
            if let Some(line) = session.and_then(|session| session.connection)
                && !is_away
            {
                answer(line, "timeout", said);
                said.push(Said::Close(line));
            }
            self.end(now, who, said);
        }
        self.expire(now);
    }

    fn first_to_end(&self) -> Option<(u64, bool, usize)> {
        let sessions = self.people.iter().enumerate();
        let ends = sessions.filter_map(|(who, person)| {
            let session = person.session.as_ref()?;
            let idle = (self.rules.idle_ms > 0)
                .then(|| (session.last_command + self.rules.idle_ms, false, who));
            idle.into_iter().chain(session.away_until.map(|at| (at, true, who))).min()
        });
        ends.min()
    }

    /// All sessions end, and nobody is left to be told.
    pub(super) fn stop(&mut self, now: u64) {
        for who in 0..self.people.len() {
            self.end(now, who, &mut Vec::new());
        }
    }

    /// Ends a session and tells the others.
    pub(super) fn end(&mut self, now: u64, who: usize, said: &mut Vec<Said>) {
        let Some(session) = self.people[who].session.take() else { return };
        if let Some(line) = session.connection.and_then(|line| self.lines.get_mut(&line)) {
            line.is_closing = true;
        }
        self.people[who].ended_at = Some(now);
        tell_all(said, format!("{} left", self.people[who].name), self.observers(who));
    }

    /// Ends a session that its person did not end, and says why.
    pub(super) fn expel(&mut self, now: u64, who: usize, why: &'static str, said: &mut Vec<Said>) {
        let session = self.people[who].session.as_ref();
        if let Some(line) = session.and_then(|session| session.connection) {
            answer(line, why, said);
            said.push(Said::Close(line));
        }
        self.end(now, who, said);
    }

    fn close(&mut self, line: u64, said: &mut Vec<Said>) {
        said.push(Said::Close(line));
        if let Some(line) = self.lines.get_mut(&line) {
            line.is_closing = true;
        }
    }

    pub(super) fn device_of(&self, who: usize) -> Option<DeviceKey> {
        self.people[who].session.as_ref()?.device
    }
}

impl Lock {
    /// Whether no password counts; a lock that has run out is lifted.
    pub(super) fn is_locked(&mut self, now: u64) -> bool {
        let is_locked = self.until.is_some_and(|until| until > now);
        if !is_locked && self.until.is_some() {
            (self.strikes, self.until) = (0, None);
        }
        is_locked
    }

    pub(super) fn clear(&mut self) {
        (self.strikes, self.until) = (0, None);
        self.recorded = (0, None);
    }

    /// A right password ends the row of failures.
    pub(super) fn forget(&mut self) {
        if self.strikes > 0 {
            self.clear();
        }
    }
}

pub(super) fn answer(line: u64, word: impl Into<Word>, said: &mut Vec<Said>) {
    said.push(Said::To(line, word.into()));
}
