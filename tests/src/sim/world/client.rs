//! A person with a real client: its core as it is, over simulated lines, screens and disks.
//!
//! This is the one place that knows what a [`Core`] wants done. What a client keeps on its own
//! disk outlives it here as the fields of [`Person`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use whoelse_client::command::Command;
use whoelse_client::core::{Action, Config};
use whoelse_client::links::LinkOptions;
use whoelse_client::profile::Device;
use whoelse_client::{Answer, Core, Ending, NoLog, Notice, Question, Tell};
use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::EVENT_BYTES_MAX;
use whoelse_proto::splitter::{Splitter, Step};

use super::keeping::{Keeping, Run};
use super::{Event, Fallible, World};

/// How many requests are remembered, to be sent once more.
const FRAMES_MAX: usize = 150;

/// Somebody.
pub(super) struct Person {
    pub(super) name: String,
    /// What may be the password, the likeliest last.
    pub(super) passwords: Vec<String>,
    tries: usize,
    /// Makes the keys of its devices.
    seed: u64,
    devices: u64,
    /// The server knows the device, as far as the profile knows.
    pub(super) is_known: bool,
    pub(super) client: Option<Client>,
    pub(super) runs: u64,
    /// It starts no client before this.
    pub(super) asleep_until: u64,
    /// Messages written to anybody.
    pub(super) written: u64,
    /// Frames of messages that were sent, as they were.
    pub(super) frames: VecDeque<Vec<u8>>,
    /// Texts that were neither confirmed nor given up.
    pub(super) unanswered: BTreeSet<String>,
    /// Texts that were answered. Where the log could not keep that, they are sent again.
    answered: BTreeSet<String>,
    /// Texts of mail that it was told.
    pub(super) told_texts: BTreeSet<Arc<str>>,
    pub(super) keeping: Keeping,
}

/// A client that runs.
pub(super) struct Client {
    pub(super) core: Core,
    pub(super) line: Option<u32>,
    pub(super) is_opening: bool,
    splitter: Splitter,
    unread: Vec<u8>,
    tick_at: Option<u64>,
    /// What was told and not shown: its place, and its number if it is mail.
    screen: VecDeque<(u64, Option<(usize, u64)>)>,
    has_shown: bool,
    pub(super) run: Run,
    /// The record of the last message confirmed, for each reader.
    confirmed: BTreeMap<String, (usize, usize)>,
    pub(super) is_joining: bool,
    new_password: String,
    has_tried_name: bool,
}

impl Person {
    pub(super) fn new(name: String, seed: u64) -> Self {
        Self {
            name,
            passwords: Vec::new(),
            tries: 0,
            seed,
            devices: 0,
            is_known: false,
            client: None,
            runs: 0,
            asleep_until: 0,
            written: 0,
            frames: VecDeque::new(),
            unanswered: BTreeSet::new(),
            answered: BTreeSet::new(),
            told_texts: BTreeSet::new(),
            keeping: Keeping::default(),
        }
    }

    /// The device of the profile.
    pub(super) fn device(&self) -> Device {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.devices.to_le_bytes());
        let name = self.name.as_bytes();
        seed[16..16 + name.len()].copy_from_slice(name);
        Device::new(seed)
    }

    /// Has an account, as far as it knows.
    pub(super) fn is_member(&self) -> bool {
        !self.passwords.is_empty()
    }
}

impl World {
    /// A person starts its client.
    pub(super) fn start_client(&mut self, who: usize) -> Fallible {
        self.tidy_up(who);
        let mut seed = [0; 16];
        self.chance.clients.fill(&mut seed);
        let person = &mut self.people[who];
        person.runs += 1;
        let mut invite = None;
        if !person.is_member() {
            let good = self.invites.len().saturating_sub(3);
            let Some(found) = self.invites.get(good..).and_then(|last| last.first()) else {
                return Ok(());
            };
            invite = Some(found.clone());
        }
        let is_joining = invite.is_some();
        let interactive = is_joining || !self.chance.clients.random_bool(self.rates.script);
        let config = Config {
            interactive,
            takeover: self.chance.clients.random_bool(self.rates.takeover),
            invite,
            place: "localhost".parse().map_err(|_| "it is a place")?,
            device_name: format!("d{}", person.runs % 3),
            vouch: None,
            // A script with a device of its own would be another kind of client.
            links: LinkOptions { carried: interactive, ..LinkOptions::default() },
        };
        let core = Core::new(config, seed);
        let random = &mut self.chance.clients;
        let is_without = !self.is_healing && random.random_bool(self.rates.no_log);
        let why = [NoLog::Unwanted, NoLog::InUse][random.random_range(0..2)];
        let run = Run::without(is_without.then_some(why));
        person.client = Some(Client {
            core,
            line: None,
            is_opening: false,
            splitter: Splitter::default(),
            unread: Vec::new(),
            tick_at: None,
            screen: VecDeque::new(),
            has_shown: false,
            run,
            confirmed: BTreeMap::new(),
            is_joining,
            new_password: "password-join".into(),
            has_tried_name: false,
        });
        self.follow(who)
    }

    /// The process of a client ends: what it had only in memory is gone.
    pub(super) fn crash_client(&mut self, who: usize) {
        if self.people[who].client.is_some() {
            self.stats.client_crashes += 1;
            self.abandon(who);
            self.people[who].client = None;
            self.crash_log(who);
        }
    }

    /// A client reads.
    pub(super) fn receive(&mut self, who: usize, line: u32, bytes: &[u8]) -> Fallible {
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if client.line != Some(line) {
            return Ok(());
        }
        client.unread.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
            if client.line != Some(line) {
                return Ok(());
            }
            let rest = &client.unread[done..];
            match client.splitter.step(rest, EVENT_BYTES_MAX, false) {
                Step::More => {
                    client.unread.drain(..done);
                    break;
                }
                Step::Skip(bytes) => done += bytes,
                Step::Bad(..) => return Err("a client cannot make sense of its server".into()),
                Step::Frame(bytes) => {
                    let incoming = Incoming::decode(&rest[..bytes]).map_err(|it| it.to_string())?;
                    done += bytes;
                    self.hear(who, line, incoming)?;
                }
            }
        }
        let now = self.now;
        if let Some(client) = self.people[who].client.as_mut() {
            client.core.tick(now);
        }
        self.follow(who)
    }

    fn hear(&mut self, who: usize, line: u32, incoming: Incoming) -> Fallible {
        let now = self.now;
        let number = incoming.number.filter(|_| incoming.action == "receive_message");
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        let has_log = client.run.has_log();
        let epoch = self.lines.get(&line).map_or(self.epoch, |line| line.epoch);
        self.hear_first(who, epoch, &incoming);
        self.hear_of_files(epoch, &incoming)?;
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        client.core.handle_incoming(now, incoming);
        let told_before = self.stats.told;
        self.hear_told(who, epoch, number)?;
        if number.is_some() && self.stats.told == told_before && !has_log {
            self.stats.dropped += 1;
        }
        Ok(())
    }

    /// Does what a client wants done, and hears what it tells.
    pub(super) fn follow(&mut self, who: usize) -> Fallible {
        self.hear_told(who, self.epoch, None)?;
        while let Some(action) =
            self.people[who].client.as_mut().and_then(|client| client.core.next_action())
        {
            self.act(who, action)?;
            self.hear_told(who, self.epoch, None)?;
        }
        self.check_told(who)?;
        let now = self.now;
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if client.core.ending().is_some() {
            return Ok(());
        }
        if let Some(at) = client.core.deadline().map(|at| at.max(now + 1))
            && client.tick_at.is_none_or(|planned| at < planned || planned <= now)
        {
            client.tick_at = Some(at);
            self.after(at - now, Event::Tick(who));
        }
        Ok(())
    }

    fn act(&mut self, who: usize, action: Action) -> Fallible {
        match action {
            Action::Connect => {
                if let Some(client) = self.people[who].client.as_mut() {
                    client.is_opening = true;
                    client.splitter = Splitter::default();
                    client.unread.clear();
                }
                let delay = self.chance.network.random_range(0..=self.rates.delay_ms + 1);
                self.after(delay, Event::Open(who));
            }
            Action::Disconnect => self.close(who),
            Action::Send(bytes) => {
                self.check_send(who, &bytes)?;
                self.keep_frame(who, &bytes);
                self.send(who, &bytes);
            }
            Action::OpenProfile { .. } => self.open_profile(who)?,
            Action::KeepDevice => self.people[who].is_known = true,
            Action::ForgetDevice => {
                self.people[who].is_known = false;
                self.people[who].devices += 1;
            }
            Action::Trust => return Err("nobody was asked whether to trust".into()),
            Action::KeepPeers(_)
            | Action::KeepSeed(_)
            | Action::Peer(_)
            | Action::Unencrypted(_) => {}
            Action::Keep { batch, entries } => self.keep(who, batch, &entries)?,
            Action::Look { command } => self.look(who, command)?,
        }
        Ok(())
    }

    fn keep_frame(&mut self, who: usize, bytes: &[u8]) {
        if bytes.starts_with(b"{\"action\":\"message\"") {
            let frames = &mut self.people[who].frames;
            frames.push_back(bytes.to_vec());
            if frames.len() > FRAMES_MAX {
                frames.pop_front();
            }
        }
    }

    fn hear_told(&mut self, who: usize, epoch: usize, number: Option<u64>) -> Fallible {
        while let Some(told) =
            self.people[who].client.as_mut().and_then(|client| client.core.next_told())
        {
            let mut mail = None;
            match told.tell {
                Tell::Notice(Notice::Message { from, text, .. }) => {
                    let place = self.place_of(who, (epoch, number), &from, &text)?;
                    self.read_mail(who, place, &from, &text)?;
                    mail = Some(place);
                }
                Tell::Notice(notice) => self.read_notice(who, epoch, notice)?,
                Tell::Question(question) => self.answer(who, question),
            }
            let pause = self.chance.clients.random_range(0..=self.rates.screen_ms);
            let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
            client.screen.push_back((told.sequence, mail));
            if !std::mem::replace(&mut client.has_shown, true) {
                self.after(pause, Event::Shown(who));
            }
        }
        Ok(())
    }

    /// The screen has caught up.
    pub(super) fn shown(&mut self, who: usize) -> Fallible {
        let (now, epoch) = (self.now, self.epoch);
        let name = self.people[who].name.clone();
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        client.has_shown = false;
        let mut last = None;
        let mut book = self.book.borrow_mut();
        for (sequence, mail) in client.screen.drain(..) {
            last = Some(sequence);
            if let Some((_, number)) = mail.filter(|(of, _)| *of == epoch) {
                let told = book.told.entry(name.clone()).or_default();
                *told = number.max(*told);
            }
        }
        drop(book);
        if let Some(last) = last {
            client.core.handle_shown(now, last);
        }
        self.follow(who)
    }

    /// A message is told to its reader: it must be the right one.
    fn read_mail(
        &mut self,
        who: usize,
        (epoch, number): (usize, u64),
        from: &str,
        text: &str,
    ) -> Fallible {
        let name = self.people[who].name.clone();
        let mut book = self.book.borrow_mut();
        let is_past = epoch < self.epoch;
        let letters =
            if is_past { &mut self.past[epoch] } else { &mut book.letters }.get_mut(&name);
        let place = usize::try_from(number - 1).map_err(|error| error.to_string())?;
        let letter = letters.and_then(|letters| letters.get_mut(place));
        let Some(letter) = letter.filter(|it| it.from == from && *it.text == *text) else {
            return Err(format!("{name} was told {number} from {from}, which is not so: {text}"));
        };
        letter.told += 1;
        self.stats.told += 1;
        self.stats.told_again += u64::from(letter.told > 1);
        let text = Arc::clone(&letter.text);
        drop(book);
        self.people[who].told_texts.insert(text);
        Ok(())
    }

    fn read_notice(&mut self, who: usize, epoch: usize, notice: Notice) -> Fallible {
        match notice {
            Notice::Answered { command: Command::Message { user, text }, answer } => {
                self.message_answered(who, epoch, &user, &text, &answer)?;
            }
            Notice::Answered { command: Command::Passwd(passwords), answer: Answer::Done } => {
                let new = passwords.new.expose().to_owned();
                self.people[who].passwords.retain(|password| *password != new);
                self.people[who].passwords.push(new);
            }
            Notice::Answered { answer: Answer::Invited { link, .. }, .. } => {
                self.invites.push(link.secret);
            }
            Notice::Missing { first, last } => {
                let name = &self.people[who].name;
                return Err(format!("{name} misses {first} to {last}"));
            }
            Notice::Unsent { command: Command::Message { text, .. } }
            | Notice::Uncertain { command: Command::Message { text, .. } }
            | Notice::NotAsked { command: Command::Message { text, .. } }
            | Notice::NotConfirmed { text, .. } => {
                self.people[who].unanswered.remove(&text);
            }
            Notice::Waits { command: Command::Message { text, .. } } => {
                self.stats.waits += 1;
                self.check_waits(who, &text)?;
            }
            Notice::NotLogged { .. } => self.note_failure(who, true),
            Notice::LoggedAgain => self.note_failure(who, false),
            Notice::LogDamaged { .. } => self.stats.logs_damaged += 1,
            Notice::LoggedIn { .. } => {
                self.people[who].tries = 0;
                let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
                if std::mem::take(&mut client.is_joining) {
                    let password = client.new_password.clone();
                    self.people[who].passwords = vec![password];
                    self.stats.joined += 1;
                }
            }
            Notice::Back { .. } => self.stats.returns += 1,
            Notice::ServerSays { .. } => self.stats.malformed += 1,
            _ => {}
        }
        Ok(())
    }

    /// The person learns whether its log works.
    fn note_failure(&mut self, who: usize, is_failing: bool) {
        if let Some(client) = self.people[who].client.as_mut() {
            client.run.is_failure_told = is_failing;
        }
    }

    /// P1 and P3: what is confirmed is on disk, and in the order in which it is delivered.
    fn message_answered(
        &mut self,
        who: usize,
        epoch: usize,
        user: &str,
        text: &str,
        answer: &Answer,
    ) -> Fallible {
        let name = self.people[who].name.clone();
        self.people[who].unanswered.remove(text);
        let is_first = self.people[who].answered.insert(text.to_owned());
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if *answer != Answer::Done || epoch < self.epoch {
            return Ok(());
        }
        self.stats.acked += 1;
        let book = self.book.borrow();
        let letters = book.letters.get(user).map_or(&[][..], Vec::as_slice);
        let mut same = letters.iter().rev().filter(|it| it.from == name && *it.text == *text);
        let Some(letter) = same.next() else {
            return Err(format!("{text} was confirmed and does not exist"));
        };
        if letter.record >= book.safe_records {
            return Err(format!("{text} was confirmed before it was on disk"));
        }
        // An id that was forgotten meanwhile makes a second message of a repetition, and so does a
        // refusal of which nobody heard. What was answered before has its place from then.
        if same.next().is_some() || book.refused.contains(text) || !is_first {
            return Ok(());
        }
        let before = client.confirmed.insert(user.to_owned(), (epoch, letter.record));
        if before.is_some_and(|(of, record)| of == epoch && record >= letter.record) {
            return Err(format!("{text} was confirmed later than one that is delivered after it"));
        }
        Ok(())
    }

    /// What a person types when it is asked.
    fn answer(&mut self, who: usize, question: Question) {
        let now = self.now;
        let is_wrong = self.chance.clients.random_bool(self.rates.wrong_password);
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return };
        match question {
            Question::NewName if client.has_tried_name => {
                // The name is taken: perhaps by an earlier try of its own, which nobody confirmed.
                person.passwords.push(client.new_password.clone());
                client.core.handle_interrupt();
            }
            Question::Name | Question::NewName => {
                client.has_tried_name = true;
                client.core.handle_name(person.name.clone());
            }
            Question::NewPassword => {
                client.core.handle_password(now, client.new_password.as_str().into());
            }
            Question::Password if is_wrong => client.core.handle_password(now, "wrong".into()),
            Question::Password => {
                let known = person.passwords.len().max(1);
                let password = person.passwords.iter().rev().nth(person.tries % known);
                person.tries += 1;
                client.core.handle_password(now, password.map_or("none", String::as_str).into());
            }
            Question::Trust => client.core.handle_trust(true),
        }
    }

    /// A client's time has come.
    pub(super) fn tick(&mut self, who: usize) -> Fallible {
        let now = self.now;
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if client.tick_at != Some(now) {
            return Ok(());
        }
        client.tick_at = None;
        client.core.tick(now);
        self.follow(who)
    }

    /// Lets go of a client that has ended. Returns whether there is none now.
    pub(super) fn has_no_client(&mut self, who: usize) -> bool {
        let Some(client) = &self.people[who].client else { return true };
        let Some(ending) = client.core.ending() else { return false };
        if let Ending::Refused(_) = ending {
            self.people[who].tries += 1;
        }
        self.stats.endings += 1;
        self.people[who].asleep_until = self.now + self.chance.clients.random_range(0..5_000);
        self.close(who);
        self.people[who].client = None;
        true
    }
}
