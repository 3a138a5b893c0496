//! Engine, turns, journal, database and clients under one seed, with crashes at any step.
//!
//! After each input the engine's answer is compared with the model's; after each crash what was
//! recovered is compared with the model as it was at exactly that record; at the end everything
//! heals, and every confirmed message must have been shown once, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{
    AccountId, ConnectionId, Effect, Engine, Input, Now, Number, PasswordHash, Record, Rules, Time,
    Turn,
};
use whoelse_proto::{
    Action, Answer, Command, Event, Login, Name, Outcome, Request, RequestId,
};
use whoelse_server::database::{Database, Projector};
use whoelse_server::journal::{BatchNumber, Journal, JournalOptions, JournalStart};
use whoelse_server::store::Sequence;
use whoelse_server::tail::Tail;
use whoelse_server::turns::Turns;

use super::client::{SimClient, Unconfirmed};
use super::disk::{Fault, SimDisk};
use super::model::{Ask, Expected, Model, name};

const SERVER_ID: &str = "0123456789abcdef0123456789abcdef";
/// A Sunday in November 2026.
const START_MS: u64 = 1_795_000_000_000;
/// A page of mail from the database: small, so that there are many.
const PAGE_BYTES: usize = 500;

/// What a run has been through: a run in which nothing happened proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Steps taken.
    pub steps: u64,
    /// Messages confirmed to their senders.
    pub confirmed: u64,
    /// Messages shown to their readers.
    pub shown: u64,
    /// Repetitions that a client recognised.
    pub repeated: u64,
    /// Messages sent again under their id.
    pub resent: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Ends of the process alone.
    pub kills: u64,
    /// Stops in the middle of a disk operation.
    pub stops: u64,
    /// Records that a crash took back; none of them was promised to anybody.
    pub taken_back: u64,
    /// Transactions of the projector.
    pub projections: u64,
    /// Pages of mail read from the database.
    pub pages: u64,
    /// Logins refused because the name was locked.
    pub locked: u64,
}

impl Stats {
    /// Both added up.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            confirmed: self.confirmed + other.confirmed,
            shown: self.shown + other.shown,
            repeated: self.repeated + other.repeated,
            resent: self.resent + other.resent,
            crashes: self.crashes + other.crashes,
            kills: self.kills + other.kills,
            stops: self.stops + other.stops,
            taken_back: self.taken_back + other.taken_back,
            projections: self.projections + other.projections,
            pages: self.pages + other.pages,
            locked: self.locked + other.locked,
        }
    }
}

/// How often things happen, drawn for each seed: a rate that is the same everywhere hides bugs
/// that need a long quiet time, or none.
struct Rates {
    crash: f64,
    kill: f64,
    stop: f64,
    flush: f64,
    sync: f64,
    project: f64,
    drop: f64,
    wrong_password: f64,
    protocol: f64,
    time: f64,
    burst: u32,
}

impl Rates {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let mut pick = |rates: &[f64]| rates[random.random_range(0..rates.len())];
        Self {
            crash: pick(&[0.0, 0.002, 0.01, 0.05]),
            kill: pick(&[0.0, 0.005, 0.02]),
            stop: pick(&[0.0, 0.01, 0.05]),
            flush: pick(&[0.2, 0.5, 1.0]),
            sync: pick(&[0.1, 0.5, 1.0]),
            project: pick(&[0.0, 0.01, 0.2]),
            drop: pick(&[0.0, 0.01, 0.05]),
            wrong_password: pick(&[0.0, 0.1, 0.7]),
            protocol: pick(&[1.0, 1.0, 0.5]),
            time: pick(&[0.01, 0.1, 0.3]),
            burst: pick(&[1.0, 3.0, 10.0]) as u32,
        }
    }
}

/// What the hub knows of a connection.
struct Lane {
    who: usize,
    is_protocol: bool,
    mail: Option<(u64, u64)>,
}

/// The machine that the server runs on, and what of the server a crash takes.
struct Running {
    journal: Journal,
    engine: Engine,
    turns: Turns,
    tail: Tail,
    projector: Projector,
    turn: Turn,
    lanes: BTreeMap<ConnectionId, Lane>,
    /// Appends that are written and not synced: their number, last batch and records.
    unsynced: VecDeque<(Sequence, BatchNumber, Vec<Record>)>,
    /// The last append given to the projector.
    pushed: Sequence,
}

/// A simulated world.
pub struct World {
    random: ChaCha8Rng,
    faults: ChaCha8Rng,
    rates: Rates,
    rules: Rules,
    now: u64,
    disk: Arc<SimDisk>,
    database: Database,
    running: Option<Running>,
    connections: u64,
    ids: u64,
    clients: Vec<SimClient>,
    model: Model,
    /// The model after so many records, since the last record that is safe.
    history: VecDeque<(usize, Model)>,
    /// All records ever emitted and not taken back by a crash.
    records: Vec<Record>,
    /// How many records there are up to the batches that end appends.
    records_at_batch: BTreeMap<u64, usize>,
    /// How many records are known to be safe.
    safe: usize,
    /// Texts of each person that were refused at least once, also in what a crash took back.
    refused: Vec<BTreeSet<String>>,
    /// What happened.
    pub stats: Stats,
}

type Fallible = Result<(), String>;

impl World {
    /// A world with a server that has just been set up.
    ///
    /// # Errors
    /// When even that fails.
    pub fn new(seed: u64) -> Result<Self, String> {
        // A stream for each purpose, so that a change to one does not change the others.
        let stream = |number: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number);
            random
        };
        let mut faults = stream(2);
        let rates = Rates::draw(&mut stream(3));
        let idle_ms = if stream(4).random_bool(0.3) { 60_000 } else { 0 };
        let rules = Rules {
            block_ms: 10_000,
            idle_ms,
            sender_messages_max: 40,
            broadcast_burst: u32::MAX,
            broadcast_interval_ms: 0,
            ..Rules::default()
        };
        let people = stream(5).random_range(2..=6);
        let disk = SimDisk::new(faults.random());
        let database = Database::open_in_memory(SERVER_ID).map_err(|error| error.to_string())?;
        let mut world = Self {
            random: stream(1),
            faults,
            rates,
            model: Model::new(people, &rules),
            rules,
            now: START_MS,
            disk,
            database,
            running: None,
            connections: 0,
            ids: 0,
            clients: (0..people).map(|_| SimClient::default()).collect(),
            history: VecDeque::new(),
            records: Vec::new(),
            records_at_batch: BTreeMap::from([(0, 0)]),
            safe: 0,
            refused: vec![BTreeSet::new(); people],
            stats: Stats::default(),
        };
        world.start(false)?;
        for who in 0..people {
            let name = Name::new(&name(who)).map_err(|error| error.to_string())?;
            let password = Some(PasswordHash("hash".into()));
            world.input(Input::AddAccount { ticket: 0, name, password, distinct: true })?;
        }
        world.flush()?;
        world.sync()?;
        Ok(world)
    }

    /// The same on a disk that lies about syncs: a control that must be seen to lose.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lying_disk(seed: u64) -> Result<Self, String> {
        let world = Self::new(seed)?;
        world.disk.ignore_syncs();
        Ok(world)
    }

    /// Lives for so many steps, then heals and is judged.
    ///
    /// # Errors
    /// Says what did not hold.
    pub fn live(&mut self, steps: u64) -> Fallible {
        for _ in 0..steps {
            self.step()?;
        }
        self.heal()?;
        self.judge()
    }

    fn step(&mut self) -> Fallible {
        self.stats.steps += 1;
        if self.random.random_bool(self.rates.time) {
            self.pass_time()?;
        }
        for _ in 0..self.random.random_range(1..=self.rates.burst) {
            let who = self.random.random_range(0..self.clients.len());
            self.act(who)?;
        }
        if self.faults.random_bool(self.rates.stop) {
            let after = self.faults.random_range(0..8);
            self.disk.plan(after, Fault::Stop);
        }
        if self.random.random_bool(self.rates.flush) {
            self.flush()?;
        }
        if self.random.random_bool(self.rates.sync) {
            self.sync()?;
        }
        if self.random.random_bool(self.rates.project) {
            self.project()?;
        }
        if self.faults.random_bool(self.rates.crash) {
            self.crash()?;
        } else if self.faults.random_bool(self.rates.kill) {
            self.kill()?;
        }
        if let Some(running) = &self.running {
            running.engine.check();
        }
        Ok(())
    }

    // ---- the machine ----------------------------------------------------------------------

    /// The power goes: what was not synced may be gone, in part and in any order.
    fn crash(&mut self) -> Fallible {
        self.stats.crashes += 1;
        self.disk = self.disk.crash();
        self.start(true)
    }

    /// The process ends: everything written is there.
    fn kill(&mut self) -> Fallible {
        self.stats.kills += 1;
        let written = self.running.as_ref().map(|running| running.journal.written().0);
        self.disk = self.disk.kill();
        self.start(true)?;
        let recovered = self.records_at_batch.last_key_value().map(|(batch, _)| *batch);
        if recovered < written.filter(|written| self.records_at_batch.contains_key(written)) {
            return Err(format!("written up to {written:?}, found up to {recovered:?}"));
        }
        Ok(())
    }

    fn start(&mut self, is_restart: bool) -> Fallible {
        self.running = None;
        for client in &mut self.clients {
            client.lose_line();
        }
        let position = self.database.position().map_err(|error| error.to_string())?;
        let start = JournalStart { server_id: SERVER_ID, position, existing: is_restart };
        let disk: Arc<SimDisk> = Arc::clone(&self.disk);
        let (journal, recovered) = Journal::open(disk, JOURNAL, &start)
            .map_err(|error| format!("cannot be opened after a crash: {error}"))?;
        let snapshot = self.database.load().map_err(|error| error.to_string())?;
        let mut engine = Engine::new(self.rules.clone(), SERVER_ID.into(), &snapshot);
        let mut tail = Tail::default();
        let mut projector = Projector::default();
        let mut found = self.records_at(position)?;
        for (batch, records) in recovered.batches {
            for record in &records {
                if self.records.get(found) != Some(record) {
                    return Err(format!("record {found} is not the one that was written: {record:?}"));
                }
                found += 1;
                engine.apply(record);
                tail.record(Sequence(0), record);
            }
            self.records_at_batch.insert(batch.0, found);
            projector.push(batch, records);
        }
        self.compare_recovered(found, &engine)?;
        self.running = Some(Running {
            journal,
            engine,
            turns: Turns::default(),
            tail,
            projector,
            turn: Turn::default(),
            lanes: BTreeMap::new(),
            unsynced: VecDeque::new(),
            pushed: Sequence(0),
        });
        self.input(Input::Started)?;
        self.remember();
        self.flush()
    }

    fn records_at(&self, batch: BatchNumber) -> Result<usize, String> {
        let known = self.records_at_batch.get(&batch.0).copied();
        known.ok_or_else(|| format!("the database is at batch {}, which ends no append", batch.0))
    }

    /// What was recovered must be what there was after exactly so many records, and no fewer than
    /// were promised.
    fn compare_recovered(&mut self, found: usize, engine: &Engine) -> Fallible {
        if found < self.safe {
            return Err(format!("{} records were safe, {found} were found", self.safe));
        }
        self.stats.taken_back += (self.records.len() - found) as u64;
        self.records.truncate(found);
        self.records_at_batch.retain(|_, records| *records <= found);
        self.safe = found;
        if self.history.is_empty() {
            return Ok(()); // the first start
        }
        let state = self.history.iter().rfind(|(records, _)| *records <= found);
        let Some((records, mut model)) = state.cloned() else {
            return Err(format!("no state is known after {found} records"));
        };
        // Several sessions may end by one input, and some of that may be lost.
        for record in &self.records[records..found] {
            match record {
                Record::Logout { account, time } => model.left(time.0, account.index()),
                Record::Heartbeat { .. } => {}
                other => return Err(format!("recovered in the middle of an input: {other:?}")),
            }
        }
        let newest = self.records.iter().filter_map(Record::time).max().unwrap_or_default().0;
        self.now = self.now.max(newest);
        self.model = model;
        self.model.restarted(self.now, newest);
        self.history.clear();
        // If even the ends of the sessions are lost again, the next start finds the same.
        self.history.push_back((found, self.model.clone()));
        if engine.newest().0 != newest {
            return Err(format!("newest is {}, not {newest}", engine.newest().0));
        }
        Ok(())
    }

    /// Notes the state of the model after the records there are.
    fn remember(&mut self) {
        let pending = self.running.as_ref().map_or(0, |running| running.turn.records.len());
        let records = self.records.len() + pending;
        if self.history.back().is_none_or(|(known, _)| *known < records) {
            self.history.push_back((records, self.model.clone()));
        }
    }

    /// Ends the turn: its records are written.
    fn flush(&mut self) -> Fallible {
        self.remember();
        let Some(running) = &mut self.running else { return Ok(()) };
        let turn = std::mem::take(&mut running.turn);
        if let Some((sequence, records)) = running.turns.end(turn) {
            for record in &records {
                running.tail.record(sequence, record);
            }
            self.records.extend(records.iter().cloned());
            match running.journal.append(std::slice::from_ref(&records)) {
                Ok(batch) => {
                    self.records_at_batch.insert(batch.0, self.records.len());
                    running.unsynced.push_back((sequence, batch, records));
                }
                Err(error) => return self.stopped(&error.to_string()),
            }
        }
        self.release()
    }

    fn sync(&mut self) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        let synced = match running.journal.sync() {
            Ok(synced) => synced,
            Err(error) => return self.stopped(&error.to_string()),
        };
        while let Some((sequence, batch, records)) =
            running.unsynced.pop_front_if(|(_, batch, _)| *batch <= synced)
        {
            running.turns.synced(sequence);
            running.projector.push(batch, records);
            running.pushed = sequence;
            self.safe = self.records_at_batch[&batch.0];
        }
        let safe = self.safe;
        while self.history.get(1).is_some_and(|(records, _)| *records <= safe) {
            self.history.pop_front();
        }
        self.release()
    }

    fn project(&mut self) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        if running.projector.is_empty() {
            return Ok(());
        }
        let project = running.projector.project(&mut self.database);
        let position = project.map_err(|error| error.to_string())?;
        self.stats.projections += 1;
        running.journal.release(position);
        running.tail.projected(running.pushed);
        while let Some(chore) = running.journal.chore() {
            let done = chore.run(&*self.disk);
            if let Err(error) = running.journal.chore_done(done) {
                return self.stopped(&error.to_string());
            }
        }
        Ok(())
    }

    /// The disk failed, which must have been our doing: the server ends at once, and the power goes.
    fn stopped(&mut self, why: &str) -> Fallible {
        if !self.disk.stopped() {
            return Err(format!("the journal failed on a disk that works: {why}"));
        }
        self.stats.stops += 1;
        self.crash()
    }

    // ---- the hub --------------------------------------------------------------------------

    /// Hands an input to the engine; returns what it led to, password checks included.
    fn input(&mut self, input: Input<'_>) -> Result<Vec<Effect>, String> {
        let now = Now { time: Time(self.now), wall_ms: self.now };
        let Some(running) = &mut self.running else { return Ok(Vec::new()) };
        let mut turn = Turn::default();
        running.engine.handle(now, input, &mut turn);
        let mut observed = Vec::new();
        let mut queue = VecDeque::from(turn.effects);
        while let Some(effect) = queue.pop_front() {
            if let Effect::Check { ticket, password, .. } = &effect {
                let matches = password.expose() == "right";
                let mut more = Turn::default();
                let checked = Input::Checked { ticket: *ticket, matches };
                running.engine.handle(now, checked, &mut more);
                turn.records.extend(more.records);
                queue.extend(more.effects);
            } else {
                observed.push(copy(&effect));
                running.turn.effects.push(effect);
            }
        }
        running.turn.records.extend(turn.records);
        Ok(observed)
    }

    /// Does the effects whose records are safe.
    fn release(&mut self) -> Fallible {
        while let Some(effects) = self.running.as_mut().and_then(|running| running.turns.next()) {
            for effect in effects {
                self.release_one(effect)?;
            }
        }
        Ok(())
    }

    fn release_one(&mut self, effect: Effect) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        match effect {
            Effect::Begin { connection, acknowledged, last, .. } => {
                let Some(lane) = running.lanes.get_mut(&connection) else { return Ok(()) };
                lane.mail = Some((acknowledged.0, last.0));
                let who = lane.who;
                if self.clients[who].connection == Some(connection) {
                    self.clients[who].is_in = true;
                }
            }
            Effect::Mail { to, last } => {
                if let Some((_, end)) = running.lanes.get_mut(&to).and_then(|lane| lane.mail.as_mut()) {
                    *end = last.0;
                }
            }
            Effect::Close { connection } => {
                if let Some(lane) = running.lanes.remove(&connection)
                    && self.clients[lane.who].connection == Some(connection)
                {
                    self.clients[lane.who].lose_line();
                }
                self.input(Input::Disconnected { connection })?;
            }
            Effect::Send { to, event: Event::Answer(answer) } => self.answered(to, &answer)?,
            Effect::Send { .. }
            | Effect::SendMany { .. }
            | Effect::Added { .. }
            | Effect::Check { .. } => {}
        }
        Ok(())
    }

    /// The client learns an answer.
    fn answered(&mut self, to: ConnectionId, answer: &Answer) -> Fallible {
        let client = self.clients.iter_mut().find(|client| client.connection == Some(to));
        let Some(client) = client else { return Ok(()) };
        if answer.action == Action::Message {
            let id = answer.id.as_ref().map_or("", RequestId::as_str);
            let is_confirmed = answer.outcome == Outcome::Done;
            client.answered(id, is_confirmed)?;
            self.stats.confirmed += u64::from(is_confirmed);
        }
        Ok(())
    }

    /// Hands mail over to a client, as much as it reads.
    fn deliver(&mut self, who: usize, most: u64) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        let mut page = VecDeque::new();
        for _ in 0..most {
            let Some(running) = &mut self.running else { return Ok(()) };
            let Some(lane) = running.lanes.get_mut(&connection) else { return Ok(()) };
            let Some((cursor, last)) = lane.mail.as_mut() else { return Ok(()) };
            if cursor >= last {
                break;
            }
            let account = AccountId(u32::try_from(who).expect("few people"));
            let next = Number(*cursor + 1);
            let message = match running.tail.get(account, next) {
                Some(message) => Arc::clone(message),
                None if running.engine.acknowledged(account) >= next => {
                    *cursor = running.engine.acknowledged(account).0;
                    continue;
                }
                None => {
                    if page.is_empty() {
                        self.stats.pages += 1;
                        let read = self.database.page(account, Number(*cursor), PAGE_BYTES);
                        page.extend(read.map_err(|error| error.to_string())?);
                    }
                    page.pop_front().ok_or_else(|| format!("mail {next:?} of {who} is nowhere"))?
                }
            };
            *cursor = message.number.0;
            let is_protocol = lane.is_protocol;
            let from = message.from.index();
            if is_protocol {
                self.clients[who].receive(from, message.number.0, &message.body)?;
            } else if message.number.0 == self.clients[who].shown + 1 {
                // A client that cannot acknowledge has no numbers: the world keeps them for it.
                self.clients[who].receive(from, message.number.0, &message.body)?;
            }
            let number = message.number;
            self.model.sent(connection, number.0);
            self.input(Input::Sent { connection, number })?;
        }
        Ok(())
    }

    // ---- people ---------------------------------------------------------------------------

    fn act(&mut self, who: usize) -> Fallible {
        if self.clients[who].connection.is_none() {
            return self.log_in(who);
        }
        if !self.clients[who].is_in {
            // A login that was refused, or whose answer has not come.
            return if self.random.random_bool(0.3) { self.drop_line(who) } else { Ok(()) };
        }
        if self.random.random_bool(self.rates.drop) {
            return self.drop_line(who);
        }
        let most = self.random.random_range(0..20);
        self.deliver(who, most)?;
        if self.resend(who)? {
            return Ok(());
        }
        let other = self.random.random_range(0..self.clients.len());
        match self.random.random_range(0..100) {
            0..60 => self.write(who, other),
            60..75 => self.acknowledge(who),
            75..80 => self.ask(who, Ask::Broadcast),
            80..84 => self.ask(who, Ask::Whoelse),
            84..88 => {
                let ms = self.random.random_range(0..200_000);
                self.ask(who, Ask::WhoelseSince { ms })
            }
            88..91 => self.ask(who, Ask::Block { who: other, begins: true }),
            91..96 => self.ask(who, Ask::Block { who: other, begins: false }),
            96..98 => self.ask(who, Ask::Logout),
            _ => self.intrude(who),
        }
    }

    fn log_in(&mut self, who: usize) -> Fallible {
        let right = !self.random.random_bool(self.rates.wrong_password);
        let protocol = self.random.random_bool(self.rates.protocol);
        let takeover = self.random.random_bool(0.2);
        self.connect(who)?;
        let instance = format!("{who}-{}", self.clients[who].instance);
        if let Some(lane) = self.lane(who) {
            lane.is_protocol = protocol;
        }
        self.ask(who, Ask::Login { person: who, right, protocol, instance, takeover })
    }

    /// A stranger tries to log in as somebody, over a line of its own.
    fn intrude(&mut self, who: usize) -> Fallible {
        let mine = std::mem::take(&mut self.clients[who]);
        self.connect(who)?;
        let (instance, right) = ("stranger".to_owned(), self.random.random_bool(0.1));
        let login = Ask::Login { person: who, right, protocol: true, instance, takeover: false };
        let asked = self.ask(who, login);
        let stranger = std::mem::replace(&mut self.clients[who], mine);
        asked?;
        match stranger.connection {
            Some(connection) => self.line_ends(connection),
            None => Ok(()),
        }
    }

    fn connect(&mut self, who: usize) -> Fallible {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.input(Input::Connected { connection, address })?;
        self.clients[who].connection = Some(connection);
        if let Some(running) = &mut self.running {
            running.lanes.insert(connection, Lane { who, is_protocol: true, mail: None });
        }
        Ok(())
    }

    fn lane(&mut self, who: usize) -> Option<&mut Lane> {
        let connection = self.clients[who].connection?;
        self.running.as_mut()?.lanes.get_mut(&connection)
    }

    fn drop_line(&mut self, who: usize) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        self.clients[who].lose_line();
        self.line_ends(connection)
    }

    fn line_ends(&mut self, connection: ConnectionId) -> Fallible {
        let expected = self.model.dropped(self.now, connection);
        if let Some(running) = &mut self.running {
            running.lanes.remove(&connection);
        }
        let observed = self.input(Input::Disconnected { connection })?;
        self.remember();
        compare("a line ended", &expected, &observe(&observed, None))
    }

    /// Sends what is not confirmed once more over a new line. Returns whether there was anything.
    fn resend(&mut self, who: usize) -> Result<bool, String> {
        let client = &mut self.clients[who];
        let Some(message) = client.outbox.get(client.sent).cloned() else { return Ok(false) };
        client.sent += 1;
        self.stats.resent += 1;
        self.send(who, &message)?;
        Ok(true)
    }

    fn write(&mut self, who: usize, to: usize) -> Fallible {
        self.ids += 1;
        let client = &mut self.clients[who];
        let written = client.written.entry(to).or_default();
        *written += 1;
        let text = format!("{who}>{to}#{written}");
        let message = Unconfirmed { to, id: format!("id{}", self.ids), text };
        client.outbox.push_back(message.clone());
        client.sent += 1;
        self.send(who, &message)
    }

    fn send(&mut self, who: usize, message: &Unconfirmed) -> Fallible {
        let Unconfirmed { to, id, text } = message.clone();
        self.ask(who, Ask::Message { to, id, text })
    }

    fn acknowledge(&mut self, who: usize) -> Fallible {
        let is_protocol = self.lane(who).is_some_and(|lane| lane.is_protocol);
        let shown = self.clients[who].shown;
        if is_protocol {
            let number = if self.random.random_bool(0.05) { shown + 1 } else { shown };
            return self.ask(who, Ask::Ack { number });
        }
        // The door vouches for what was written; here, for what was read.
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        if self.model.speaker(connection).is_some() {
            self.model.delivered(who, shown);
        }
        self.input(Input::Delivered { connection, number: Number(shown) })?;
        self.remember();
        Ok(())
    }

    fn ask(&mut self, who: usize, ask: Ask) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        let expected = self.model.ask(self.now, connection, &ask);
        if expected.answer.as_deref() == Some("BLOCKED") {
            self.stats.locked += 1;
        }
        if let (Ask::Message { text, .. }, Some(answer)) = (&ask, &expected.answer)
            && answer != "SUCCESS"
        {
            self.refused[who].insert(text.clone());
        }
        let request = request(&ask);
        let observed = self.input(Input::Request { connection, request })?;
        let described = format!("p{who} asks {ask:?}");
        self.remember();
        compare(&described, &expected, &observe(&observed, Some(connection)))
    }

    fn pass_time(&mut self) -> Fallible {
        let ms = match self.random.random_range(0..10) {
            0..6 => self.random.random_range(1..1_000),
            6..9 => self.random.random_range(1_000..25_000),
            _ => self.random.random_range(25_000..600_000),
        };
        let end = self.now + ms;
        loop {
            let due = self.running.as_ref().and_then(|running| running.engine.deadline());
            let model = self.model.due();
            let next = due.map(|due| due.0).into_iter().chain(model).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let told = self.model.tick(self.now);
            let observed = self.input(Input::Tick)?;
            self.remember();
            compare("time passes", &Expected { answer: None, told }, &observe(&observed, None))?;
        }
        self.now = end;
        Ok(())
    }

    // ---- the end --------------------------------------------------------------------------

    /// No more faults: everybody comes back, says what was left to say, and reads everything.
    fn heal(&mut self) -> Fallible {
        self.rates = Rates { wrong_password: 0.0, drop: 0.0, protocol: 1.0, ..Rates::draw(&mut self.faults) };
        self.disk = self.disk.kill(); // forgets a fault that was planned
        self.start(true)?;
        self.now += 600_000; // locks run out, those who are away leave
        self.model.tick(self.now);
        self.input(Input::Tick)?;
        for _ in 0..2 {
            for who in 0..self.clients.len() {
                if self.clients[who].connection.is_none() {
                    self.log_in(who)?;
                }
                self.flush()?;
                self.sync()?;
                while self.resend(who)? {
                    self.flush()?;
                    self.sync()?;
                }
            }
            for who in 0..self.clients.len() {
                self.deliver(who, u64::MAX)?;
                self.acknowledge(who)?;
            }
            self.flush()?;
            self.sync()?;
            self.project()?;
        }
        Ok(())
    }

    fn judge(&mut self) -> Fallible {
        let stats = &mut self.stats;
        for (reader, client) in self.clients.iter().enumerate() {
            if !client.outbox.is_empty() {
                return Err(format!("p{reader} never learnt of {:?}", client.outbox));
            }
            stats.repeated += client.dropped;
            for (from, texts) in &client.read {
                stats.shown += texts.len() as u64;
                let refused = &self.refused[*from];
                let numbers = texts.iter().filter(|text| !refused.contains(*text));
                let numbers: Vec<u64> = numbers.map(|text| counted(text)).collect();
                if !numbers.is_sorted_by(|one, other| one < other) {
                    return Err(format!("p{reader} read p{from} out of order or twice: {texts:?}"));
                }
            }
            for (to, confirmed) in &client.confirmed {
                let read = self.clients[*to].read.get(&reader);
                let read: BTreeSet<&String> = read.into_iter().flatten().collect();
                if let Some(lost) = confirmed.iter().find(|text| !read.contains(text)) {
                    return Err(format!("{lost} was confirmed and never shown"));
                }
            }
        }
        self.compare_lasting()
    }

    /// The engine's own account of what lasts, against the model's.
    fn compare_lasting(&self) -> Fallible {
        let Some(running) = &self.running else { return Ok(()) };
        for (who, account) in running.engine.snapshot().accounts.iter().enumerate() {
            let blocks: BTreeSet<usize> = account.blocks.iter().map(|id| id.index()).collect();
            // A lock that has run out is none, whether or not somebody has noticed.
            let is_locked = account.locked_until.is_none_or(|until| until.0 > self.now);
            let locked_until = account.locked_until.filter(|_| is_locked);
            let found = format!(
                "blocks {blocks:?}, strikes {}, locked {:?}, ended {:?}, mail {}, acknowledged {}",
                if is_locked { account.strikes } else { 0 },
                locked_until.map(|until| until.0),
                account.last_seen.filter(|_| !account.open).map(|at| at.0),
                account.last_number.0,
                account.acknowledged.0
            );
            let expected = self.model.lasting(self.now, who);
            if found != expected {
                return Err(format!("p{who}: expected {expected}\n    found {found}"));
            }
        }
        Ok(())
    }
}

const JOURNAL: JournalOptions =
    JournalOptions { segment_bytes: 16 << 10, batch_bytes_max: 1 << 10, spares: 1, free_max: 4 };

fn counted(text: &str) -> u64 {
    text.rsplit('#').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn compare(what: &str, expected: &Expected, observed: &Expected) -> Fallible {
    let told = expected.told.iter().filter(|(_, connections)| !connections.is_empty());
    if expected.answer == observed.answer && told.eq(&observed.told) {
        return Ok(());
    }
    Err(format!("{what}\n    expected {expected:?}\n    found    {observed:?}"))
}

/// What effects say, in the model's words.
fn observe(effects: &[Effect], asker: Option<ConnectionId>) -> Expected {
    let mut observed = Expected::default();
    for effect in effects {
        match effect {
            Effect::Send { to, event: Event::Answer(answer) } if Some(*to) == asker => {
                observed.answer = Some(words(answer));
            }
            Effect::SendMany { to, event } => {
                let what = match event {
                    Event::LoggedIn { name } => format!("{} came", &name.as_str()[1..]),
                    Event::LoggedOut { name } => format!("{} left", &name.as_str()[1..]),
                    _ => continue,
                };
                observed.told.push((what, to.iter().copied().collect()));
            }
            _ => {}
        }
    }
    observed
}

fn words(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Refused(refusal) => refusal.status(answer.action).to_owned(),
        Outcome::Counted { n_sent, n_blocked } => format!("{n_sent} sent, {n_blocked} blocked"),
        Outcome::Names(names) => {
            names.iter().map(Name::as_str).collect::<Vec<&str>>().join(" ")
        }
        _ => "SUCCESS".into(),
    }
}

/// A copy of an effect as far as observers look at it.
fn copy(effect: &Effect) -> Effect {
    match effect {
        Effect::Send { to, event } => Effect::Send { to: *to, event: event.clone() },
        Effect::SendMany { to, event } => Effect::SendMany { to: to.clone(), event: event.clone() },
        Effect::Begin { connection, .. }
        | Effect::Close { connection }
        | Effect::Mail { to: connection, .. } => Effect::Close { connection: *connection },
        Effect::Check { .. } | Effect::Added { .. } => Effect::Close { connection: ConnectionId(0) },
    }
}

fn request(ask: &Ask) -> Request<'_> {
    let mut id = None;
    let command = match ask {
        Ask::Login { person, right, protocol, instance, takeover } => Command::Login(Login {
            username: name(*person).into(),
            password: if *right { "right" } else { "wrong" }.into(),
            private_port: 0,
            protocol: protocol.then_some(1),
            instance: Some(instance.as_str().into()),
            takeover: *takeover,
        }),
        Ask::Message { to, id: message_id, text } => {
            id = RequestId::new(message_id);
            Command::Message { user: name(*to).into(), message: text.as_str().into() }
        }
        Ask::Broadcast => Command::Broadcast { message: "hello".into() },
        Ask::Block { who, begins: true } => Command::Block { user: name(*who).into() },
        Ask::Block { who, begins: false } => Command::Unblock { user: name(*who).into() },
        Ask::Whoelse => Command::Whoelse,
        Ask::WhoelseSince { ms } => Command::WhoelseSince { since_ms: *ms },
        Ask::Ack { number } => Command::Ack { number: *number },
        Ask::Logout => Command::Logout,
    };
    Request { id, command }
}
