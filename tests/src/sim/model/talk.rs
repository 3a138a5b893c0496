//! What people say to each other: messages, mail, blocks, who is here.

use std::sync::Arc;

use super::{Ask, Model, Person, Said, Sent, Waiting, Word, tell_all};

impl Model {
    #[expect(clippy::too_many_lines, reason = "an arm for each request")]
    pub(super) fn request(
        &mut self,
        now: u64,
        connection: u64,
        id: Option<&Arc<str>>,
        ask: &Ask,
        said: &mut Vec<Said>,
    ) {
        if self.lines.get(&connection).is_none_or(|line| line.is_closing) {
            return;
        }
        let Some(me) = self.speaker(connection) else {
            return self.enter(now, connection, ask, said);
        };
        let mut is_activity = true;
        let word: Word = match ask {
            Ask::Login { .. }
            | Ask::Challenge
            | Ask::Resume { .. }
            | Ask::Invitation { .. }
            | Ask::Join { .. } => "ALREADY_LOGGED_IN".into(),
            Ask::Message { to, text } => {
                let (status, is_new) = self.message(now, me, to, id, text, said);
                is_activity = is_new;
                status.into()
            }
            Ask::Broadcast { text } => self.broadcast(me, text, said),
            Ask::Block { name, begins } => self.block(me, name, *begins).into(),
            Ask::Whoelse => self.names(me, |person| person.session.is_some()),
            Ask::WhoelseSince { ms } => self.names(me, |person| {
                let since = now.saturating_sub(*ms);
                person.session.is_some() || person.ended_at.is_some_and(|at| at >= since)
            }),
            Ask::StartPrivate { name } => self.start_private(me, name),
            Ask::Ack { number } => {
                if let Some(refusal) = self.acknowledge(me, *number, said) {
                    said.push(Said::To(connection, refusal.into()));
                }
                return;
            }
            Ask::Receipts { ids } => {
                said.push(Said::To(connection, self.receipts(now, me, ids)));
                return;
            }
            Ask::Active => "SUCCESS".into(),
            Ask::Logout { forget } => {
                let device = self.device_of(me).filter(|_| *forget);
                self.end(now, me, said);
                self.people[me].devices.retain(|it| Some(it.key) != device);
                said.push(Said::To(connection, "SUCCESS".into()));
                said.push(Said::Close(connection));
                return;
            }
            Ask::Invite { secret, admin } => self.invite(now, me, *secret, *admin).into(),
            Ask::Invites => self.invites(now, me),
            Ask::RevokeInvite { number } => self.revoke_invite(now, me, *number).into(),
            Ask::Devices => self.devices(me),
            Ask::RevokeDevice { name } => self.revoke_device(now, me, name, said).into(),
            Ask::Passwd { old, new } => {
                self.passwd(now, connection, me, old, new, said);
                "".into()
            }
            Ask::Lock { name, begins } => self.set_locked(now, me, name, *begins, said).into(),
            Ask::Share(offer) => self.share(now, me, offer).into(),
            Ask::Unshare { hash } => self.unshare(me, *hash).into(),
            Ask::Shares => self.own_shares(me),
            Ask::SearchFiles { words } => self.search_files(me, words),
            Ask::Sources { hash } => {
                is_activity = false;
                self.sources(me, *hash)
            }
            Ask::Have { hash, parts } => {
                is_activity = false;
                self.have(now, me, *hash, parts).into()
            }
        };
        if !word.is_empty()
            || matches!(ask, Ask::Whoelse | Ask::WhoelseSince { .. } | Ask::Invites | Ask::Devices)
            || matches!(ask, Ask::Shares | Ask::SearchFiles { .. } | Ask::Sources { .. })
        {
            said.push(Said::To(connection, word));
        }
        if let Some(session) = self.people[me].session.as_mut().filter(|_| is_activity) {
            session.last_command = now;
        }
    }

    fn message(
        &mut self,
        now: u64,
        me: usize,
        to: &str,
        id: Option<&Arc<str>>,
        text: &Arc<str>,
        said: &mut Vec<Said>,
    ) -> (&'static str, bool) {
        let content: Arc<str> = format!("{to}\n{text}").into();
        if let Some(id) = id
            && let Some(earlier) = self.sent_under(now, me, id)
        {
            return if earlier.content == content {
                ("SUCCESS", false)
            } else {
                ("ID_CONFLICT", true)
            };
        }
        let to = match self.find(to) {
            Some(to) if to == me => return ("MESSAGE_SELF", true),
            Some(to) => to,
            None => return ("USER_NOT_EXIST", true),
        };
        if self.people[to].blocks.contains(&me) {
            return ("USER_BLOCKED", true);
        }
        if self.is_disk_full {
            return ("SERVER_FULL", true);
        }
        if !self.has_room(to, me, text.len()) {
            return ("MAILBOX_FULL", true);
        }
        let waiting = Waiting { from: me, bytes: text.len(), id: id.cloned() };
        self.people[to].waiting.push_back(waiting);
        let number = self.people[to].last();
        if let Some(id) = id {
            self.remember(me, id, Sent { content, at: now, to, number });
        }
        if let Some(connection) = self.people[to].session.as_ref().and_then(|it| it.connection) {
            said.push(Said::Mail(connection, number));
        }
        ("SUCCESS", true)
    }

    fn has_room(&self, to: usize, from: usize, bytes: usize) -> bool {
        let waiting = &self.people[to].waiting;
        let of_sender = || waiting.iter().filter(|it| it.from == from);
        let sum = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let all: usize = waiting.iter().map(|it| it.bytes).sum();
        let own: usize = of_sender().map(|it| it.bytes).sum();
        waiting.len() < self.rules.mailbox_messages_max
            && sum(all + bytes) <= self.rules.mailbox_bytes_max
            && of_sender().count() < self.rules.sender_messages_max
            && sum(own + bytes) <= self.rules.sender_bytes_max
    }

    /// Ids are kept in number and in time.
    fn remember(&mut self, me: usize, id: &Arc<str>, sent: Sent) {
        let (most, longest) = (self.rules.retries_max, self.rules.retry_ms);
        let now = sent.at;
        let ids = Arc::make_mut(&mut self.people[me].sent);
        ids.content.insert(Arc::clone(id), sent);
        ids.order.push_back((Arc::clone(id), now));
        while ids.order.len() > most || ids.order.front().is_some_and(|it| now - it.1 > longest) {
            let Some((id, at)) = ids.order.pop_front() else { return };
            if ids.content.get(&id).is_some_and(|sent| sent.at == at) {
                ids.content.remove(&id);
            }
        }
    }

    fn broadcast(&mut self, me: usize, text: &str, said: &mut Vec<Said>) -> Word {
        let to = self.lines_of(|other| other != me && !self.people[other].blocks.contains(&me));
        let blocked = self.people.iter().filter(|other| other.blocks.contains(&me)).count();
        let word = format!("{} sent, {blocked} blocked", to.len());
        tell_all(said, format!("{} says {text}", self.people[me].name), to);
        word.into()
    }

    fn block(&mut self, me: usize, name: &str, begins: bool) -> &'static str {
        let who = match self.find(name) {
            Some(who) if who == me => return "MESSAGE_SELF",
            Some(who) => who,
            None => return "USER_NOT_EXIST",
        };
        let is_full = self.is_disk_full;
        let blocks = &mut self.people[me].blocks;
        if !begins {
            return if blocks.remove(&who) { "SUCCESS" } else { "NOT_BLOCKED" };
        }
        if is_full && !blocks.contains(&who) {
            return "SERVER_FULL";
        }
        blocks.insert(who);
        "SUCCESS"
    }

    fn start_private(&self, me: usize, name: &str) -> Word {
        match self.find(name) {
            Some(who) if who == me => "USER_SELF".into(),
            None => "USER_NOT_EXIST".into(),
            Some(who) if self.people[who].blocks.contains(&me) => "USER_BLOCKED".into(),
            Some(who) => {
                let session = self.people[who].session.as_ref();
                let session = session.filter(|session| session.connection.is_some());
                match session.and_then(|session| session.port).filter(|port| *port >= 1024) {
                    Some(port) => format!("port {port}").into(),
                    None => "USER_OFFLINE".into(),
                }
            }
        }
    }

    fn acknowledge(
        &mut self,
        me: usize,
        number: u64,
        said: &mut Vec<Said>,
    ) -> Option<&'static str> {
        let sent = self.people[me].session.as_ref().map_or(0, |session| session.sent);
        if number > sent {
            return Some("BAD_NUMBER");
        }
        self.delivered(me, number, said);
        None
    }

    pub(super) fn sent(&mut self, connection: u64, number: u64) {
        let Some(who) = self.speaker(connection) else { return };
        if let Some(session) = &mut self.people[who].session {
            session.sent = session.sent.max(number);
        }
    }

    fn names(&self, me: usize, fits: impl Fn(&Person) -> bool) -> Word {
        let fitting =
            self.people.iter().enumerate().filter(|(other, person)| {
                *other != me && fits(person) && !person.blocks.contains(&me)
            });
        let mut names: Vec<&str> = fitting.map(|(_, person)| person.name.as_str()).collect();
        names.sort_unstable();
        names.join(" ").into()
    }
}

impl Person {
    /// The number of its last mail.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.acknowledged + self.waiting.len() as u64
    }
}
