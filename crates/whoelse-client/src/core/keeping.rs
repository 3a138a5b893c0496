//! What is kept in the log of the profile, and what waits for that.
//!
//! A message of the person is kept before it is sent. A message received is kept before it is told,
//! and that it was shown is kept before it is acknowledged. Where there is no log nothing waits, and
//! when the log cannot be written the person is told once and everything goes on without it.

use std::collections::{BTreeMap, HashSet, VecDeque};

use whoelse_proto::RequestId;

use super::{Action, Core, Line};
use crate::command::Command;
use crate::log::{Entry, Found, Mail, Remembered, UNCERTAIN, UNSENT, Unfinished, fingerprint};
use crate::notice::{Answer, NoLog, Notice, Refusal, Waiting, Why};
use crate::profile::Device;

/// A message that has waited longer than this for its confirmation is not sent again: the server
/// remembers ids for 7 days, and then could take it for a new one.
const RESEND_MS_MAX: u64 = 6 * 24 * 60 * 60 * 1000;

/// The word for that in the log.
const EXPIRED: &str = "EXPIRED";

/// Most received messages that are known again under another server id.
const SEEN_MAX: usize = 20_000;

/// What is kept, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    log: Log,
    /// To be kept with the next batch.
    staged: Vec<Entry>,
    /// The last batch that was begun, and the last that was answered.
    begun: u64,
    done: u64,
    /// Batches, and the first place in the order of what is told that waits for each.
    held: VecDeque<(u64, u64)>,
    /// Batches that say up to which number everything was shown.
    marks: VecDeque<(u64, u64)>,
    /// The number in the last of them that is kept.
    marked: u64,
    /// Told and not shown, with numbers that do not hold for the server of this session.
    others: VecDeque<(u64, Option<String>, u64)>,
    /// What the log says that was not taken up yet.
    remembered: Option<Remembered>,
    /// It said something.
    held_something: bool,
    /// For each server data, the number up to which everything was shown.
    shown: BTreeMap<String, u64>,
    /// What was received before.
    seen: HashSet<u64>,
    /// The last number of ours for mail without one.
    last_number: u64,
}

/// The log.
#[derive(Debug)]
enum Log {
    None(NoLog),
    Open {
        /// The last batch could not be kept.
        failing: bool,
    },
}

impl Default for Log {
    fn default() -> Self {
        Self::None(NoLog::Missing)
    }
}

impl Keeping {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.log, Log::Open { .. })
    }

    /// Whether earlier runs have left something in the log.
    pub(super) fn holds_something(&self) -> bool {
        self.held_something
    }

    /// Why there is no log, if there is none.
    pub(super) fn missing(&self) -> Option<NoLog> {
        match self.log {
            Log::None(why) => Some(why),
            Log::Open { .. } => None,
        }
    }

    /// Whether nothing waits to be kept.
    pub(super) fn is_idle(&self) -> bool {
        self.staged.is_empty() && self.begun == self.done
    }

    /// The last batch that is done with.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Takes an entry in, and says with which batch it will be kept; one that is done, if there is no
    /// log.
    pub(super) fn keep(&mut self, entry: Entry) -> u64 {
        if !self.is_open() {
            return self.done;
        }
        self.staged.push(entry);
        self.begun + 1
    }

    /// What is to be written now: all that waits, unless something is being written.
    pub(super) fn next_batch(&mut self) -> Option<Action> {
        if self.staged.is_empty() || self.begun > self.done {
            return None;
        }
        self.begun += 1;
        Some(Action::Keep { batch: self.begun, entries: std::mem::take(&mut self.staged) })
    }

    /// Whether what has this place in the order may be told.
    pub(super) fn may_tell(&self, sequence: u64) -> bool {
        self.held.front().is_none_or(|(_, held)| sequence < *held)
    }

    /// Up to which number of the mailbox may be acknowledged, if so much was shown.
    pub(super) fn acknowledged_max(&self) -> u64 {
        if self.marks.is_empty() { u64::MAX } else { self.marked }
    }

    /// Up to where the mail of a server was shown in this or an earlier run.
    pub(super) fn shown_of(&self, server: &str) -> u64 {
        self.shown.get(server).copied().unwrap_or(0)
    }

    /// Numbers mean other messages from now on.
    pub(super) fn forget_marks(&mut self) {
        self.marks.clear();
        self.marked = 0;
    }

    /// Begins anew, without a log. What waited waits no more.
    fn close(&mut self, why: NoLog) {
        let begun = self.begun;
        *self = Self { log: Log::None(why), begun, done: begun, ..Self::default() };
    }

    fn finish(&mut self, batch: u64) {
        self.done = batch;
        while self.held.pop_front_if(|(it, _)| *it <= batch).is_some() {}
        while let Some((_, number)) = self.marks.pop_front_if(|(it, _)| *it <= batch) {
            self.marked = number;
        }
    }
}

impl Core {
    /// The log of the profile is open, and says this of earlier runs; or there is none.
    ///
    /// Wanted once after each [`Action::OpenProfile`], before `handle_device`; from the second on in a run it
    /// changes nothing.
    pub fn handle_log(&mut self, log: Result<Remembered, NoLog>) {
        // Once a run has begun, its log neither comes nor goes: one that cannot be opened again fails to
        // keep what is to be kept, and one that could not be opened before knows nothing of this run.
        if !self.has_begun() {
            self.take_log(log);
        }
    }

    fn take_log(&mut self, log: Result<Remembered, NoLog>) {
        self.receipts = super::receipts::Receipts::default();
        match log {
            Err(why) => self.keeping.close(why),
            Ok(mut remembered) => {
                self.keeping.close(NoLog::Missing);
                self.keeping.log = Log::Open { failing: false };
                self.keeping.held_something = remembered != Remembered::default();
                self.keeping.shown = std::mem::take(&mut remembered.shown);
                self.keeping.seen = std::mem::take(&mut remembered.seen);
                self.keeping.last_number = remembered.last_number;
                self.keeping.remembered = Some(remembered);
            }
        }
    }

    /// Whether the session was taken over from a client that may have had the profile, and has left
    /// it by now or is about to.
    pub(crate) fn waits_for_profile(&self) -> bool {
        self.profile_due && self.is_in_session()
    }

    /// The profile was opened after the session had begun; or another client still uses it.
    pub(crate) fn handle_profile_free(
        &mut self,
        now_ms: u64,
        log: Result<Remembered, NoLog>,
        device: Option<Device>,
        kept: bool,
    ) {
        self.profile_due = false;
        if let Some(who) = self.who.as_mut().filter(|_| kept && self.config.interactive) {
            who.resumes = true;
            who.device = device;
        }
        self.take_log(log);
        let server = self.mailbox.server().to_owned();
        self.mailbox.skip_shown(self.keeping.shown_of(&server));
        self.begin_receipts();
        self.take_up();
        self.write(now_ms);
        self.ask_for_receipts();
    }

    /// A batch is in the log, as durable as its entries want it.
    pub fn handle_kept(&mut self, now_ms: u64, batch: u64) {
        self.finish_batch(now_ms, batch, None);
    }

    /// A batch could not be kept.
    pub fn handle_keep_failed(&mut self, now_ms: u64, batch: u64, words: String) {
        self.finish_batch(now_ms, batch, Some(words));
    }

    fn finish_batch(&mut self, now_ms: u64, batch: u64, failure: Option<String>) {
        if batch != self.keeping.begun || self.keeping.begun == self.keeping.done {
            return;
        }
        self.keeping.finish(batch);
        if failure.is_some() {
            self.outbox.not_kept(batch);
        }
        if let Log::Open { failing } = &mut self.keeping.log {
            let failed_before = std::mem::replace(failing, failure.is_some());
            match failure {
                Some(words) if !failed_before => self.notice(Notice::NotLogged { words }),
                None if failed_before => {
                    self.notice(Notice::LoggedAgain);
                    self.keep_unkept();
                }
                _ => {}
            }
        }
        if self.ending.is_some() {
            return;
        }
        if matches!(self.line, Line::Session { .. }) {
            self.write(now_ms);
        }
        self.acknowledge();
        self.go_on_leaving(now_ms);
    }

    /// There is room again for messages that had none, and are not confirmed yet.
    fn keep_unkept(&mut self) {
        let batch = self.keeping.begun + 1;
        for (id, command) in self.outbox.take_unkept(batch) {
            self.keep_message(&id, &command);
        }
    }

    /// What was looked for in the log.
    pub fn handle_found(&mut self, now_ms: u64, command: Command, found: Result<Found, String>) {
        self.looking = self.looking.saturating_sub(1);
        let answer = match found {
            Ok(found) => Answer::Found(found),
            Err(words) => Answer::Refused(Refusal::new(Why::NotReadable(words))),
        };
        self.notice(Notice::Answered { command, answer });
        self.go_on_leaving(now_ms);
    }

    /// Does what concerns this machine only; gives back what does not.
    pub(super) fn do_here(&mut self, command: Command) -> Option<Command> {
        let answer = match (&command, self.keeping.missing()) {
            (Command::Outbox, _) => Answer::Waiting(self.waiting()),
            (Command::History { .. } | Command::Search { .. }, None) => {
                self.looking += 1;
                self.actions.push_back(Action::Look { command });
                return None;
            }
            (Command::History { .. } | Command::Search { .. }, Some(why)) => {
                Answer::Refused(Refusal::new(Why::NoLog(why)))
            }
            _ => return Some(command),
        };
        self.notice(Notice::Answered { command, answer });
        None
    }

    fn waiting(&self) -> Vec<Waiting> {
        // Before the first session those of earlier runs are not taken up yet.
        let earlier = self.keeping.remembered.iter().flat_map(|it| &it.unfinished);
        let earlier = earlier.filter(|it| !self.outbox.knows(&it.id));
        let earlier = earlier.map(|it| (it.to.as_str(), it.text.as_str(), true));
        earlier
            .chain(self.outbox.messages())
            .map(|(user, text, tried)| Waiting {
                user: user.to_owned(),
                text: text.to_owned(),
                tried,
            })
            .collect()
    }

    /// Takes a request in, to be written once it is kept.
    pub(super) fn take_in(&mut self, command: Command) {
        let id = self.outbox.make_id();
        let batch = self.keep_message(&id, &command);
        let is_kept = batch > self.keeping.done;
        self.outbox.push(id, command, batch, is_kept);
    }

    /// Keeps a request, if it is a message. Says with which batch.
    fn keep_message(&mut self, id: &RequestId, command: &Command) -> u64 {
        let Command::Message { user, text } = command else { return 0 };
        let (id, to, text) = (id.as_str().to_owned(), user.clone(), text.clone());
        self.keeping.keep(Entry::Out { id, to, text, at: None })
    }

    /// Notes what became of a request, if it was a message.
    pub(super) fn keep_outcome(&mut self, id: &RequestId, command: &Command, outcome: Outcome<'_>) {
        if !matches!(command, Command::Message { .. }) {
            return;
        }
        let id = id.as_str().to_owned();
        let entry = match outcome {
            Outcome::Sent => Entry::Sent { id },
            Outcome::Refused(status) => Entry::Refused { id, status: status.to_owned() },
            Outcome::Uncertain => Entry::Refused { id, status: UNCERTAIN.to_owned() },
            Outcome::Unsent => Entry::Refused { id, status: UNSENT.to_owned() },
        };
        self.keeping.keep(entry);
    }

    /// Keeps a message that was received, and then tells it.
    pub(super) fn tell_mail(&mut self, mail: Mail) {
        let place = self.last_sequence + 1;
        let notice = Notice::Message {
            from: mail.from.clone(),
            text: mail.text.clone(),
            at: mail.at.clone(),
        };
        if self.keeping.is_open() {
            if let Some(print) = fingerprint(&mail)
                && self.keeping.seen.len() < SEEN_MAX
            {
                self.keeping.seen.insert(print);
            }
            let batch = self.keeping.keep(Entry::In(mail));
            self.keeping.held.push_back((batch, place));
        }
        self.notice(notice);
    }

    /// Tells a message that has no number, or none that holds.
    pub(super) fn tell_unnumbered(&mut self, from: String, text: String, at: Option<String>) {
        self.keeping.last_number += 1;
        let number = self.keeping.last_number;
        if self.keeping.is_open() {
            self.keeping.others.push_back((self.last_sequence + 1, None, number));
        }
        self.tell_mail(Mail { server: None, number, id: None, from, text, at });
    }

    /// Whether the log has this message, under another server id.
    pub(super) fn was_seen(&self, mail: &Mail) -> bool {
        fingerprint(mail).is_some_and(|print| self.keeping.seen.contains(&print))
    }

    /// Notes in the log up to where everything was shown.
    pub(super) fn keep_shown(&mut self) {
        while let Some((_, server, number)) =
            self.keeping.others.pop_front_if(|(place, ..)| *place <= self.shown_sequence)
        {
            self.keeping.keep(Entry::Shown { server, number });
        }
        let Some(number) = self.mailbox.newly_shown() else { return };
        if !self.keeping.is_open() {
            return;
        }
        let server = self.mailbox.server().to_owned();
        self.keeping.shown.insert(server.clone(), number);
        let batch = self.keeping.keep(Entry::Shown { server: Some(server), number });
        self.keeping.marks.push_back((batch, number));
    }

    /// Takes up what earlier runs have left unfinished, at the beginning of the first session.
    pub(super) fn take_up(&mut self) {
        let is_in_use = self.keeping.missing() == Some(NoLog::InUse);
        if self.config.interactive && is_in_use && !self.profile_due {
            self.notice(Notice::NoLog);
        }
        let Some(remembered) = self.keeping.remembered.take() else { return };
        if remembered.damaged > remembered.damaged_told {
            self.notice(Notice::LogDamaged { lines: remembered.damaged });
            // Once is enough: nobody can do anything about it.
            self.keeping.keep(Entry::Damaged { lines: remembered.damaged });
        }
        for mail in remembered.unshown {
            self.tell_again(mail);
        }
        for (id, user) in remembered.undelivered {
            self.await_old_receipt(&id, user);
        }
        let mut again = Vec::new();
        for message in remembered.unfinished {
            // In mid-session the log was read again, and knows those that wait here, too.
            if !self.outbox.knows(&message.id) {
                again.extend(self.again_if_harmless(message));
            }
        }
        if !again.is_empty() {
            self.notice(Notice::TakenUp { count: again.len() });
        }
        // The oldest ends up in front.
        for (id, command) in again.into_iter().rev() {
            self.outbox.restore(id, command);
        }
    }

    /// Tells what was received and kept, but perhaps not shown.
    fn tell_again(&mut self, mail: Mail) {
        let place = self.last_sequence + 1;
        let Mail { server, number, from, text, at, .. } = mail;
        if !self.original && server.as_deref() == Some(self.mailbox.server()) {
            // What was acknowledged was shown.
            if !self.mailbox.take_kept(number, place) {
                return;
            }
        } else {
            self.keeping.others.push_back((place, server, number));
        }
        self.notice(Notice::Message { from, text, at });
    }

    /// A message of an earlier run, if it can be sent again without harm.
    fn again_if_harmless(&mut self, message: Unfinished) -> Option<(RequestId, Command)> {
        let Unfinished { id, to: user, text, age_ms } = message;
        let is_harmless = !self.original && age_ms <= RESEND_MS_MAX;
        if let Some(id) = RequestId::new(&id).filter(|_| is_harmless) {
            return Some((id, Command::Message { user, text }));
        }
        let status = if self.original { UNCERTAIN } else { EXPIRED };
        self.keeping.keep(Entry::Refused { id, status: status.to_owned() });
        self.notice(Notice::NotConfirmed { user, text });
        None
    }
}

/// What became of a message.
#[derive(Clone, Copy)]
pub(super) enum Outcome<'s> {
    Sent,
    /// For this reason.
    Refused(&'s str),
    Uncertain,
    Unsent,
}
