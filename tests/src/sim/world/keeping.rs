//! What a client keeps on its own disk, and what must be true of that.
//!
//! The log is the real one, over a disk that forgets ([`ClientDisk`]); beside it stands what must be
//! in it ([`ClientLog`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use whoelse_client::NoLog;
use whoelse_client::command::Command;
use whoelse_client::log::{Entry, Found, Log, Look, Mail, fingerprint};
use whoelse_proto::codec::Incoming;

use super::{Fallible, START_MS, World};
use crate::sim::client_disk::{ClientDisk, Trouble};
use crate::sim::client_log::ClientLog;

const DAY_MS: i64 = 24 * 3_600_000;

/// The log of a person.
#[derive(Default)]
pub(super) struct Keeping {
    pub(super) log: ClientLog,
    /// How far the clock of the machine is off.
    clock_off: i64,
    /// All messages that were ever to be kept, by their ids: to whom, and what they say.
    written: BTreeMap<String, (String, Arc<str>)>,
}

/// What a client that runs has to do with it.
#[derive(Default)]
pub(super) struct Run {
    /// The log, if it is open.
    log: Option<Log<ClientDisk>>,
    /// Why this client has none, if it is to have none.
    pub(super) without: Option<NoLog>,
    /// The last batch could not be kept, and the person knows.
    is_failing: bool,
    pub(super) is_failure_told: bool,
    /// Whether there was a log when it was opened last.
    was_open: bool,
    /// Ids of messages that may be sent though they could not be kept.
    unkept: BTreeSet<String>,
    /// Mail that was kept, or could not be, and is to be told now.
    to_tell: VecDeque<Letter>,
    /// Mail that an earlier client has kept, and perhaps not shown.
    unshown: VecDeque<Letter>,
    /// Mail that was told: of which data, and its number.
    told: BTreeSet<(usize, u64)>,
    /// For each server data, the last number that this client has told.
    last: BTreeMap<usize, u64>,
    /// The same of what an earlier one had kept.
    last_again: BTreeMap<usize, u64>,
    /// Of the session: its data, and what was acknowledged when it began, or an earlier one of the
    /// same client.
    session: (usize, u64),
    /// What it has received, by its fingerprint, whether or not that could be kept.
    seen: BTreeSet<u64>,
    /// For each server data, up to where the log could not keep that it was shown.
    excused: BTreeMap<usize, u64>,
}

/// Mail on its way to a person.
struct Letter {
    epoch: usize,
    number: u64,
    from: String,
    text: String,
}

impl Letter {
    fn of(mail: &Mail) -> Option<Self> {
        let epoch = usize::from_str_radix(mail.server.as_ref()?, 16).ok()?;
        let (from, text) = (mail.from.clone(), mail.text.clone());
        Some(Self { epoch, number: mail.number, from, text })
    }

    fn says(&self, from: &str, text: &str) -> bool {
        self.from == from && self.text == text
    }
}

impl Run {
    pub(super) fn without(why: Option<NoLog>) -> Self {
        Self { without: why, ..Self::default() }
    }

    pub(super) fn has_log(&self) -> bool {
        self.log.is_some()
    }
}

impl World {
    /// The time of day where a person is.
    fn wall_of(&self, who: usize) -> u64 {
        (START_MS + self.now).saturating_add_signed(self.people[who].keeping.clock_off)
    }

    /// A client opens its profile, as its driver does.
    pub(super) fn open_profile(&mut self, who: usize) -> Fallible {
        let (now, wall) = (self.now, self.wall_of(who));
        let person = &mut self.people[who];
        let (device, is_known) = (person.device(), person.is_known);
        let Some(client) = person.client.as_mut() else { return Ok(()) };
        // A device that was refused is replaced; the log is the same.
        let is_again = client.run.has_log() && client.core.was_logged_in();
        client.run.log = None;
        person.keeping.log.about_to_open();
        // A log that comes or goes while a client runs is more than that client can make sense of yet:
        // what it had from it, or did without it, would be judged as if it had begun anew.
        if client.core.was_logged_in() {
            if client.run.was_open {
                person.keeping.log.disk.heal();
            } else {
                client.run.without.get_or_insert(NoLog::Missing);
            }
        }
        let has_trouble = person.keeping.log.disk.has_trouble();
        let log = match client.run.without {
            Some(why) => Err(why),
            None => match Log::over(person.keeping.log.disk.clone(), wall) {
                Ok((log, remembered)) => {
                    let is_clock_right = person.keeping.clock_off == 0;
                    person.keeping.log.compare(&remembered, is_clock_right)?;
                    client.run.log = Some(log);
                    let texts = remembered.unfinished.iter().map(|it| it.text.clone());
                    if !is_again {
                        person.unanswered = texts.collect();
                    }
                    Ok(remembered)
                }
                Err(error) if has_trouble => {
                    client.core.handle_not_kept(error.to_string());
                    Err(NoLog::Missing)
                }
                Err(error) => return Err(format!("a log cannot be opened: {error}")),
            },
        };
        self.tell(|| format!("p{who} opens its log: {log:?}"));
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return Ok(()) };
        self.stats.logs_opened += u64::from(log.is_ok());
        client.run.was_open = log.is_ok();
        if log.is_ok() && !is_again {
            let kept = &person.keeping.log;
            client.run.unshown = kept.unshown().into_iter().filter_map(Letter::of).collect();
            client.run.seen.clone_from(&kept.seen);
            client.run.is_failing = false;
            client.run.is_failure_told = false;
            self.stats.taken_up += person.unanswered.len() as u64;
        }
        client.core.handle_log(log);
        client.core.handle_device(now, Some(device), is_known);
        Ok(())
    }

    /// A client wants something kept.
    pub(super) fn keep(&mut self, who: usize, batch: u64, entries: &[Entry]) -> Fallible {
        let (now, wall) = (self.now, self.wall_of(who));
        let random = &mut self.chance.clients;
        let is_end = !self.is_healing && random.random_bool(self.rates.keep_crash);
        let is_trouble = !self.is_healing && random.random_bool(self.rates.keep_fails);
        let disk = &self.people[who].keeping.log.disk;
        if is_end || (is_trouble && !disk.has_trouble()) {
            let after = random.random_range(0..3);
            let count = if is_end { u32::MAX } else { random.random_range(1..6) };
            disk.plan(Trouble { after, count, done: random.random_range(0..=1_000) });
        }
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return Ok(()) };
        let Some(log) = client.run.log.as_mut() else {
            return Err("a client without a log wants something kept".into());
        };
        for entry in entries {
            if let Entry::Out { id, to, text, .. } = entry {
                let text = text.as_str().into();
                person.keeping.written.insert(id.clone(), (to.clone(), text));
            }
        }
        let (before, had_trouble) =
            (person.keeping.log.end(), person.keeping.log.disk.has_trouble());
        let kept = log.append(entries, wall);
        match &kept {
            Ok(()) => person.keeping.log.appended(before, entries)?,
            Err(error) if !had_trouble => return Err(format!("a log failed: {error}")),
            Err(_) => self.stats.logs_failed += 1,
        }
        self.tell(|| format!("p{who} keeps {entries:?}: {kept:?}"));
        if is_end {
            self.stats.ends_while_kept += 1;
            self.crash_client(who);
            return Ok(());
        }
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        client.run.is_failing = kept.is_err();
        for entry in entries {
            self.kept(who, entry, kept.is_ok())?;
        }
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        match kept {
            Ok(()) => client.core.handle_kept(now, batch),
            Err(error) => client.core.handle_keep_failed(now, batch, error.to_string()),
        }
        Ok(())
    }

    /// An entry is in the log, or could not be.
    fn kept(&mut self, who: usize, entry: &Entry, is_kept: bool) -> Fallible {
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return Ok(()) };
        match entry {
            Entry::Out { id, .. } if !is_kept => {
                client.run.unkept.insert(id.clone());
            }
            Entry::In(mail) => {
                let letter = Letter::of(mail).ok_or("mail of no server")?;
                if let Some(print) = fingerprint(mail)
                    && !client.run.seen.insert(print)
                {
                    return Err(format!("a client takes for new what it has: {mail:?}"));
                }
                client.run.to_tell.push_back(letter);
                self.stats.dropped = self.stats.dropped.saturating_sub(1);
            }
            Entry::Shown { server: Some(server), number } if !is_kept => {
                let epoch = usize::from_str_radix(server, 16).map_err(|error| error.to_string())?;
                let excused = client.run.excused.entry(epoch).or_default();
                *excused = (*excused).max(*number);
            }
            Entry::Delivered { id } => {
                let Some((to, text)) = person.keeping.written.get(id) else {
                    return Err(format!("{id} is delivered, and was never written"));
                };
                let (to, text) = (to.clone(), Arc::clone(text));
                self.stats.delivered += 1;
                let reader = self.people.iter().find(|person| person.name == to);
                // After a restore an odd client may have said another thing under the same id.
                let odd = text.replace('#', "%");
                let has = |reader: &super::Person| {
                    reader.told_texts.contains(&text) || reader.told_texts.contains(odd.as_str())
                };
                if !reader.is_some_and(has) {
                    return Err(format!("{to} is said to have what it was never told: {text}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Something leaves a client: what has to be in the log before is there.
    pub(super) fn check_send(&self, who: usize, bytes: &[u8]) -> Fallible {
        let Some(client) = self.people[who].client.as_ref() else { return Ok(()) };
        if !client.run.has_log() {
            return Ok(());
        }
        let is_message = bytes.starts_with(b"{\"action\":\"message\"");
        let is_ack = bytes.starts_with(b"{\"action\":\"ack\"");
        if !is_message && !is_ack {
            return Ok(());
        }
        let frame = String::from_utf8_lossy(bytes);
        if is_message {
            let id = frame.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
            let ids = &self.people[who].keeping.log.ids;
            let may_leave = |id: &str| ids.contains(id) || client.run.unkept.contains(id);
            if !id.is_some_and(may_leave) {
                return Err(format!("sent before it was kept: {frame}"));
            }
        }
        if is_ack {
            let number = frame.split("\"number\":").nth(1).map(|rest| {
                rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>()
            });
            let number = number.and_then(Result::ok).ok_or("it acknowledges no number")?;
            let (epoch, acknowledged) = client.run.session;
            let shown = self.shown_of(who, epoch);
            let excused = client.run.excused.get(&epoch).copied().unwrap_or(0);
            if number > acknowledged.max(shown).max(excused) {
                let name = &self.people[who].name;
                return Err(format!(
                    "{name} acknowledges {number}, and its log says that {shown} was shown"
                ));
            }
        }
        Ok(())
    }

    /// Up to where the log says that mail was shown.
    fn shown_of(&self, who: usize, epoch: usize) -> u64 {
        let shown = &self.people[who].keeping.log.shown;
        shown.get(&super::machine::server_id(epoch)).copied().unwrap_or(0)
    }

    /// A client hears something: mail that it knows is no news.
    pub(super) fn hear_first(&mut self, who: usize, epoch: usize, incoming: &Incoming) {
        let shown = self.shown_of(who, epoch);
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return };
        if incoming.server.is_some() {
            // A server whose disk forgot an acknowledgement says less than it did.
            let before = Some(client.run.session).filter(|session| session.0 == epoch);
            let acknowledged = incoming.acknowledged.unwrap_or(0);
            client.run.session = (epoch, before.map_or(0, |it| it.1).max(acknowledged));
        }
        let Some(number) = incoming.number.filter(|_| incoming.action == "receive_message") else {
            return;
        };
        if !client.run.has_log() || !client.core.was_logged_in() {
            return;
        }
        // Taken back if it is kept.
        self.stats.dropped += 1;
        let is_it = |it: &Letter| it.epoch == epoch && it.number == number;
        let is_known = client.run.told.contains(&(epoch, number))
            || number <= shown.max(client.run.session.1)
            || client.run.unshown.iter().chain(&client.run.to_tell).any(is_it);
        let mail = Mail {
            server: None,
            number,
            id: incoming.id.clone(),
            from: incoming.from.clone().unwrap_or_default(),
            text: incoming.message.clone().unwrap_or_default(),
            at: incoming.at.clone(),
        };
        let was_seen = fingerprint(&mail).is_some_and(|print| client.run.seen.contains(&print));
        if is_known || !was_seen {
            return;
        }
        // The same message as of an earlier data of the server.
        self.stats.known_again += 1;
        client.run.told.insert((epoch, number));
        if epoch == self.epoch {
            let mut book = self.book.borrow_mut();
            let told = book.told.entry(person.name.clone()).or_default();
            *told = number.max(*told);
            let letters = book.letters.get_mut(&person.name);
            let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
            if let Some(letter) = letters.and_then(|letters| letters.get_mut(place)) {
                letter.told += 1;
            }
        }
    }

    /// Of which data, and which number, mail is that a client tells its person.
    ///
    /// `number` is that of the mail that came in last, which is told at once where there is no log.
    pub(super) fn place_of(
        &mut self,
        who: usize,
        line: (usize, Option<u64>),
        from: &str,
        text: &str,
    ) -> Result<(usize, u64), String> {
        let name = self.people[who].name.clone();
        let (epoch, number) = match self.take_letter(who, from, text)? {
            Some((letter, is_again)) => {
                let Some(client) = self.people[who].client.as_mut() else {
                    return Err("nobody is told something".into());
                };
                if is_again {
                    self.stats.told_late += 1;
                    let last = client.run.last_again.entry(letter.epoch).or_default();
                    *last = (*last).max(letter.number);
                }
                (letter.epoch, letter.number)
            }
            None => (line.0, line.1.ok_or_else(|| format!("{name} is told what it never got"))?),
        };
        let acknowledged = self.book.borrow().live.find(&name);
        let acknowledged =
            acknowledged.map(|who| self.book.borrow().live.people[who].acknowledged).unwrap_or(0);
        let shown = self.shown_of(who, epoch);
        let is_past = epoch < self.epoch;
        let Some(client) = self.people[who].client.as_mut() else { return Ok((epoch, number)) };
        let run = &mut client.run;
        let last = run.last.get(&epoch).copied().unwrap_or(0);
        let last_again = run.last_again.get(&epoch).copied().unwrap_or(0);
        if !run.told.insert((epoch, number)) || (number <= last && number >= last_again.max(1)) {
            // What an earlier client could not keep comes after what it has kept.
            if number != last_again || last > last_again {
                return Err(format!("{name} was told {number} after {last}"));
            }
        }
        // What is left out was acknowledged, or shown, by an earlier client of the same person.
        let known = last.max(acknowledged).max(shown);
        let is_left_out = |number| !run.told.contains(&(epoch, number));
        if !is_past && number != last_again && (known + 1..number).any(is_left_out) {
            return Err(format!("{name} was told {number} after {last} of {acknowledged}"));
        }
        run.last.insert(epoch, last.max(number));
        Ok((epoch, number))
    }

    /// Takes mail out of what is kept and waits to be told; says whether an earlier client kept it.
    fn take_letter(
        &mut self,
        who: usize,
        from: &str,
        text: &str,
    ) -> Result<Option<(Letter, bool)>, String> {
        let Some(client) = self.people[who].client.as_mut() else { return Ok(None) };
        let run = &mut client.run;
        if let Some(letter) = run.to_tell.pop_front_if(|it| it.says(from, text)) {
            return Ok(Some((letter, false)));
        }
        // A message that came once more after a week, or the months of a clock, is two.
        let (epoch, acknowledged) = run.session;
        let is_acknowledged = |it: &Letter| it.epoch == epoch && it.number <= acknowledged;
        let is_due = |it: &Letter| it.says(from, text) && !is_acknowledged(it);
        let at = run.unshown.iter().position(is_due);
        let at = at.or_else(|| run.unshown.iter().position(|it| it.says(from, text)));
        if let Some(letter) = at.and_then(|at| run.unshown.remove(at)) {
            if is_acknowledged(&letter) {
                return Err(format!("{} was acknowledged, and is told again", letter.number));
            }
            return Ok(Some((letter, true)));
        }
        if run.has_log() {
            return Err(format!("told before it was kept: {from}: {text}"));
        }
        Ok(None)
    }

    /// What is to be told is told, and whoever has no log any more knows.
    pub(super) fn check_told(&self, who: usize) -> Fallible {
        let Some(client) = self.people[who].client.as_ref() else { return Ok(()) };
        let name = &self.people[who].name;
        if client.run.has_log() && client.run.is_failing != client.run.is_failure_told {
            return Err(format!("{name} does not know whether its log works"));
        }
        match client.run.to_tell.front() {
            Some(letter) => Err(format!("{name} was not told {}", letter.number)),
            None => Ok(()),
        }
    }

    /// A message is left to the next client: it has to find it.
    pub(super) fn check_waits(&self, who: usize, text: &str) -> Fallible {
        match self.people[who].keeping.log.is_unfinished(text) {
            true => Ok(()),
            false => Err(format!("the next client is to send what no log has: {text}")),
        }
    }

    /// Somebody looks into a log.
    pub(super) fn look(&mut self, who: usize, command: Command) -> Fallible {
        let now = self.now;
        let look = match &command {
            Command::Search { words } => Look::Search { words: words.clone() },
            Command::History { user, count } => Look::History { user: user.clone(), count: *count },
            _ => return Err(format!("nothing is found by {command:?}")),
        };
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        let log = client.run.log.as_ref().ok_or("a client without a log looks into it")?;
        let found = log.reader().and_then(|reader| reader.look(&look));
        let found: Found = found.map_err(|error| error.to_string())?;
        self.people[who].keeping.log.compare_found(&look, &found)?;
        self.stats.looks += 1;
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        client.core.handle_found(now, command, Ok(found));
        Ok(())
    }

    /// A person that starts its client removes a log first that is long and of no use any more.
    pub(super) fn tidy_up(&mut self, who: usize) {
        let person = &mut self.people[who];
        let keeping = &mut person.keeping;
        if person.unanswered.is_empty() && keeping.log.is_old() {
            keeping.log = ClientLog::default();
            self.stats.logs_removed += 1;
        }
    }

    /// What is left of a log when its client has ended without a word.
    pub(super) fn crash_log(&mut self, who: usize) {
        let random = &mut self.chance.clients;
        let keeping = &mut self.people[who].keeping;
        let is_power = random.random_bool(0.5);
        let left = keeping.log.disk.crash(is_power, random);
        keeping.log.crashed(left);
        if random.random_bool(0.03) {
            keeping.clock_off += random.random_range(-10 * DAY_MS..=10 * DAY_MS);
        }
    }
}
