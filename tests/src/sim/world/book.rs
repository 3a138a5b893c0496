//! What must be true: the model beside the engine, input by input, and all mail there is.
//!
//! The engine's hub has a witness here. Each input is given to the model as well, and what the
//! engine says to it must be what the model says. A second model follows behind: it has seen
//! exactly what is safe on disk, and is what a crash goes back to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use whoelse_engine::{Effect, Engine, Input, Now, Record, Rules};
use whoelse_proto::{Answer, Event, Name, Outcome, RequestId};
use whoelse_server::simulated::Witness;

use crate::sim::model::{Ask, Model, Op, Said, Word};
use crate::sim::stats::Stats;

/// One message in a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) from: String,
    pub(super) text: Arc<str>,
    /// Its place among all records.
    pub(super) record: usize,
    /// How often a client told it to its person.
    pub(super) told: u32,
}

/// All mail of everybody, number 1 first, by the reader's name.
pub(super) type Letters = BTreeMap<String, Vec<Letter>>;

/// What must be true.
pub(super) struct Book {
    /// The model that hears what the engine hears.
    pub(super) live: Model,
    /// The one that has heard what is safe.
    safe: Model,
    /// What is between the two: how many records there were after it, when it was, and what.
    between: VecDeque<(usize, u64, Op)>,
    /// All records that were emitted and not taken back.
    pub(super) records: Vec<Record>,
    /// How many of them are known to be on disk.
    pub(super) safe_records: usize,
    /// How many of them came of what the safe model has heard.
    heard_records: usize,
    pub(super) letters: Letters,
    /// Up to which number each person was told, over all its clients.
    pub(super) told: BTreeMap<String, u64>,
    /// Texts that were refused at least once, also where that was taken back or never heard: a
    /// repetition of one is a new message.
    pub(super) refused: BTreeSet<Arc<str>>,
    /// Under which id each text was taken first.
    ids: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// How many records there were when a share was taken, by the id it was asked under.
    pub(super) shared: BTreeMap<Arc<str>, usize>,
    /// What happened that must not.
    pub(super) fault: Option<String>,
    pub(super) newest: u64,
    /// The last reading of the engine's clock.
    pub(super) now: u64,
    /// Passwords that wait to be hashed or checked.
    pub(super) to_hash: usize,
    pub(super) stats: Stats,
    /// The input under way, and what must come of it.
    under_way: Option<(u64, Op, Vec<Said>)>,
    /// Says everything.
    pub(super) is_traced: bool,
}

pub(super) type SharedBook = Rc<RefCell<Book>>;

/// What the hub tells.
pub(super) struct Watch(pub(super) SharedBook);

impl Witness for Watch {
    fn hears(&mut self, now: Now, input: &Input<'_>) {
        self.0.borrow_mut().hears(now.time.0, input);
    }

    fn sees(&mut self, records: &[Record], effects: &[Effect]) {
        self.0.borrow_mut().sees(records, effects);
    }
}

impl Book {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            live: Model::new(rules),
            safe: Model::new(rules),
            between: VecDeque::new(),
            records: Vec::new(),
            safe_records: 0,
            heard_records: 0,
            letters: BTreeMap::new(),
            told: BTreeMap::new(),
            refused: BTreeSet::new(),
            ids: BTreeMap::new(),
            shared: BTreeMap::new(),
            fault: None,
            newest: 0,
            now: 0,
            to_hash: 0,
            stats: Stats::default(),
            under_way: None,
            is_traced: false,
        }
    }

    pub(super) fn fail(&mut self, fault: impl Into<String>) {
        self.fault.get_or_insert(fault.into());
    }

    fn hears(&mut self, now: u64, input: &Input<'_>) {
        if now < self.now {
            self.fail(format!("time went back from {} to {now}", self.now));
        }
        self.now = now;
        let Some(op) = Op::of(input, self.newest) else { return };
        self.check_acknowledgement(&op);
        let expected = self.live.op(now, &op);
        if self.is_traced {
            trace(format_args!("      {now}: {op:?}\n          -> {expected:?}"));
        }
        self.count(&op, &expected);
        self.under_way = Some((now, op, expected));
    }

    fn sees(&mut self, records: &[Record], effects: &[Effect]) {
        let Some((now, op, mut expected)) = self.under_way.take() else { return };
        let mut found: Vec<Said> = effects.iter().filter_map(said).collect();
        expected.sort_unstable();
        found.sort_unstable();
        if expected != found {
            self.fail(format!("{op:?}\n    expected {expected:?}\n    found    {found:?}"));
        }
        if let (Op::Request(_, id, Ask::Message { text, .. }), [Record::Message(_), ..]) =
            (&op, records)
        {
            let first = self.ids.entry(Arc::clone(text)).or_insert_with(|| id.clone());
            if first != id {
                // P2: every text is written once.
                let fault = format!("{text} was taken as {first:?} and again as {id:?}");
                self.fail(fault);
            }
        }
        for record in records {
            self.note(record);
            self.records.push(record.clone());
        }
        self.count_files(&op, records);
        self.between.push_back((self.records.len(), now, op));
    }

    fn count_files(&mut self, op: &Op, records: &[Record]) {
        if let (Op::Request(_, Some(id), Ask::Share(_)), [.., Record::Share(_)]) = (op, records) {
            self.shared.insert(Arc::clone(id), self.records.len());
        }
        if let Op::Tick = op {
            let count = |is_it: fn(&Record) -> bool| records.iter().filter(|it| is_it(it)).count();
            self.stats.files_expired += count(|it| matches!(it, Record::Unshare { .. })) as u64;
            self.stats.files_renewed +=
                count(|it| matches!(it, Record::ShareRenewed { .. })) as u64;
        }
    }

    fn note(&mut self, record: &Record) {
        self.newest = self.newest.max(record.time().unwrap_or_default().0);
        let Record::Message(message) = record else { return };
        let name = |index: usize| self.live.people[index].name.clone();
        let (to, from) = (name(message.to.index()), name(message.from.index()));
        let letters = self.letters.entry(to).or_default();
        let text = Arc::clone(&message.body);
        let record = self.records.len();
        letters.push(Letter { from, text, record, told: 0 });
        if letters.len() as u64 != message.number.0 {
            let fault = format!("number {} comes after {}", message.number.0, letters.len() - 1);
            self.fail(fault);
        }
    }

    /// P4: what is acknowledged was told before.
    fn check_acknowledgement(&mut self, op: &Op) {
        let Op::Request(connection, _, Ask::Ack { number }) = op else { return };
        let Some(who) = self.live.speaker(*connection) else { return };
        let name = &self.live.people[who].name;
        let told = self.told.get(name).copied().unwrap_or(0);
        if *number > told && *number <= self.live.people[who].last() {
            let fault = format!("{name} acknowledges {number} and was told {told}");
            self.fail(fault);
        }
    }

    /// The first so many records are on disk.
    pub(super) fn make_safe(&mut self, records: usize) {
        self.safe_records = records;
        while let Some((after, now, op)) =
            self.between.pop_front_if(|(after, _, _)| *after <= records)
        {
            self.safe.op(now, &op);
            self.heard_records = after;
        }
    }

    /// The model of what is safe.
    pub(super) fn safe_model(&self) -> &Model {
        &self.safe
    }

    /// A recovery found so many records: everything goes back to there.
    pub(super) fn go_back(&mut self, found: usize) -> Result<(), String> {
        if found < self.safe_records {
            return Err(format!("{} records were safe, {found} were found", self.safe_records));
        }
        self.stats.taken_back += (self.records.len() - found) as u64;
        self.make_safe(found);
        // Several records may come of one input, and the last of them may be lost.
        for index in self.heard_records..found {
            let record = self.records[index].clone();
            if !self.safe.replay(&record) {
                return Err(format!("recovered in the middle of an input: {record:?}"));
            }
            let is_usual = matches!(record, Record::Logout { .. } | Record::Heartbeat { .. });
            self.stats.torn_inputs += u64::from(!is_usual);
        }
        self.heard_records = found;
        self.records.truncate(found);
        for letters in self.letters.values_mut() {
            letters.truncate(letters.partition_point(|letter| letter.record < found));
        }
        self.between.clear();
        self.safe.crashed();
        self.live = self.safe.clone();
        self.under_way = None;
        self.to_hash = 0;
        let newest = self.records.iter().filter_map(Record::time).max();
        self.newest = newest.unwrap_or_default().0;
        self.now = 0;
        Ok(())
    }

    /// Everything goes back to a backup: the model of then, with so many records.
    pub(super) fn restore(&mut self, backup: &Backup) {
        self.safe = backup.model.clone();
        self.safe.forget_shares();
        self.records = backup.records.clone();
        self.letters = backup.letters.clone();
        self.safe_records = self.records.len();
        self.heard_records = self.safe_records;
        self.between.clear();
        self.told.clear();
    }

    /// What a backup made now would hold.
    pub(super) fn backup(&self) -> Backup {
        let mut letters = self.letters.clone();
        for letters in letters.values_mut() {
            letters.retain(|letter| letter.record < self.safe_records);
        }
        let records = self.records[..self.safe_records].to_vec();
        Backup { model: self.safe.clone(), records, letters }
    }

    /// Compares all that lasts with the engine.
    pub(super) fn compare(&mut self, engine: &Engine) {
        engine.check();
        if engine.newest().0 != self.newest {
            self.fail(format!(
                "the newest record is of {}, not {}",
                engine.newest().0,
                self.newest
            ));
        }
        if let Err(fault) = self.live.compare(self.now, &engine.snapshot()) {
            self.fail(fault);
        }
    }

    fn count(&mut self, op: &Op, expected: &[Said]) {
        if let Op::Request(connection, _, Ask::Message { text, .. }) = op
            && !expected.contains(&Said::To(*connection, "SUCCESS".into()))
        {
            self.refused.insert(Arc::clone(text));
        }
        let stats = &mut self.stats;
        stats.inputs += 1;
        let is_stranger = match op {
            Op::Checked(..) => self.live.was_stranger,
            _ => false,
        };
        for said in expected {
            match said {
                Said::Check(_) | Said::Hash(_) => self.to_hash += 1,
                Said::To(_, word) => stats.count_word(op, word, is_stranger),
                Said::ToAll(word, _) if word.ends_with(" came") => stats.came += 1,
                Said::ToAll(word, _) if word.ends_with(" left") => stats.left += 1,
                Said::ToAll(..) => stats.broadcasts += 1,
                _ => {}
            }
        }
    }
}

/// A backup, as the book knows it.
pub(super) struct Backup {
    model: Model,
    records: Vec<Record>,
    letters: Letters,
}

/// An effect in the model's words.
fn said(effect: &Effect) -> Option<Said> {
    Some(match effect {
        Effect::Send { to, event } => Said::To(to.0, word(event)),
        Effect::SendMany { to, event } => {
            let mut lines: Vec<u64> = to.iter().map(|line| line.0).collect();
            lines.sort_unstable();
            Said::ToAll(word(event), lines)
        }
        Effect::Begin { connection, acknowledged, last, .. } => {
            Said::Begin(connection.0, acknowledged.0, last.0)
        }
        Effect::Mail { to, last } => Said::Mail(to.0, last.0),
        Effect::Admit { .. } | Effect::Expel { .. } => return None,
        Effect::Close { connection } => Said::Close(connection.0),
        Effect::Check { ticket, .. } => Said::Check(ticket.0),
        Effect::Hash { ticket, .. } => Said::Hash(ticket.0),
        Effect::Ordered { outcome, .. } => Said::Ordered(outcome.is_ok()),
        Effect::Added { outcome, .. } => Said::Added(outcome.is_ok()),
    })
}

fn word(event: &Event) -> Word {
    match event {
        Event::Answer(answer) => answer_word(answer),
        Event::Broadcast { from, message } => format!("{from} says {message}").into(),
        Event::LoggedIn { name } => format!("{name} came").into(),
        Event::LoggedOut { name } => format!("{name} left").into(),
        Event::Delivered { user, keys } => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!("{user} has {}", keys.join(" ")).into()
        }
        Event::PrivateRequest { from, .. } => format!("{from} asks for a link").into(),
        Event::PrivateAnswer { from, .. } => format!("{from} answers for a link").into(),
        Event::PrivateCard { from, .. } => format!("card of {from}").into(),
        Event::PrivateEnded { from, .. } => format!("no link with {from}").into(),
        Event::Timeout => "timeout".into(),
        Event::TakenOver => "taken over".into(),
        Event::Ended(reason) => format!("ended {}", reason.as_str()).into(),
        Event::Malformed(_) => "malformed".into(),
    }
}

fn answer_word(answer: &Answer) -> Word {
    match &answer.outcome {
        Outcome::Refused(refusal) => refusal.status(answer.action).into(),
        Outcome::Counted { n_sent, n_blocked } => {
            format!("{n_sent} sent, {n_blocked} blocked").into()
        }
        Outcome::Names(names) => {
            names.iter().map(Name::as_str).collect::<Vec<&str>>().join(" ").into()
        }
        Outcome::Welcome { failed_logins, role, device, .. } => {
            let device = device.as_deref().unwrap_or("none");
            format!("SUCCESS as {}, device {device}, {failed_logins} failed", role.as_str()).into()
        }
        Outcome::Devices(devices) => {
            let mark = |is_this| if is_this { "*" } else { "" };
            let names = devices.iter().map(|it| format!("{}{}", it.name, mark(it.is_this)));
            names.collect::<Vec<String>>().join(" ").into()
        }
        Outcome::Invites(invites) => {
            let numbers = invites.iter().map(|invite| format!("invite {}", invite.number));
            numbers.collect::<Vec<String>>().join(" ").into()
        }
        Outcome::Receipts { delivered, unknown } => {
            let words = |ids: &[RequestId]| {
                ids.iter().map(RequestId::as_str).collect::<Vec<&str>>().join(" ")
            };
            format!("delivered {}, unknown {}", words(delivered), words(unknown)).into()
        }
        Outcome::Invitation { role, by, .. } => {
            let by = by.as_ref().map_or("nobody", |by| by.as_str());
            format!("by {by}, admin {}", *role == whoelse_proto::Role::Admin).into()
        }
        Outcome::Address { port, .. } => format!("port {port}").into(),
        Outcome::Asked { user, .. } => format!("{user} is asked").into(),
        Outcome::Shares(files) => {
            let files = files.iter().map(|file| format!("{} {}", file.hash.0[0], file.sources));
            files.collect::<Vec<String>>().join(" ").into()
        }
        Outcome::Found { files, .. } => {
            let files = files.iter();
            let files = files.map(|it| format!("{} {} {}", it.hash.0[0], it.from, it.sources));
            files.collect::<Vec<String>>().join(" ").into()
        }
        Outcome::Sources(sources) => {
            let sources = sources.iter().map(|it| format!("{} {}", it.user, it.parts));
            let mut sources: Vec<String> = sources.collect();
            sources.sort_unstable(); // those who come first differ, and nobody relies on it
            sources.join(" ").into()
        }
        Outcome::Done | Outcome::Goodbye | Outcome::Nonce(_) | Outcome::Invited { .. } => {
            "SUCCESS".into()
        }
    }
}

#[expect(clippy::print_stdout, reason = "asked for by whoever replays a seed")]
pub(super) fn trace(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
