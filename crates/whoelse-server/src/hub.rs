//! The one owner of the engine.
//!
//! Everything that waits when the hub wakes is one *turn*: it is handled at one reading of the
//! clock, its records go to the store in one append, and its effects leave, in order, when the
//! records they rest on are on disk. A turn that stores nothing waits only for those before it.
//! Nothing here blocks; everything runs on one thread and borrows the hub for a moment.

mod arrivals;
mod budget;
mod lines;
mod mail;
mod release;
mod timers;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};
use whoelse_engine::{
    AccountId, AddRefusal, ConnectionId, Effect, Engine, Input, Now, Order, OrderRefusal, Ordered,
    Record, Time, Turn,
};
use whoelse_proto::event::Meeting;
use whoelse_proto::limits::SILENT_MS_MAX;
use whoelse_proto::{EndpointKey, Name, Password, RelayTicket, Role};

use crate::clock::Clock;
use crate::line::Line;
use crate::nature::Nature;
use crate::operation::{self, Denied, Operation, Work};
use crate::passwords::{Check, PasswordEvent, Passwords};
use crate::simulated::Witness;
use crate::sources::Sources;
use crate::space::Space;
use crate::store::{Keep, Sequence, StoreError, StoreEvent};
use crate::tail::Tail;
use crate::turns::Turns;

pub(crate) use arrivals::Arrival;
pub(crate) use lines::Gate;
pub(crate) use timers::Timer;
use timers::Timers;

/// Most bytes of bodies outside the database; then input waits.
const TAIL_BYTES_MAX: usize = 64 << 20;

/// Most effects that wait for the disk; then input waits.
const PENDING_EFFECTS_MAX: usize = 64 << 10;

/// About how many bytes such effects may have; then input waits.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// What is said may lead to more being said; after so many rounds the doors have their turn.
const ROUNDS_PER_WAKE_UP: usize = 4;

/// What other threads tell the hub, and the bell that wakes it.
#[derive(Default)]
pub(crate) struct Inbox {
    events: Mutex<VecDeque<HubEvent>>,
    /// Rung when there is something to do.
    pub(crate) bell: Notify,
}

pub(crate) enum HubEvent {
    Store(StoreEvent),
    Password(PasswordEvent),
    /// Free space on the disk has become short, or is no longer.
    DiskFull(bool),
}

impl Inbox {
    pub(crate) fn post(&self, event: HubEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
        self.bell.notify_one();
    }

    fn take(&self) -> VecDeque<HubEvent> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What an operator's password is for, once it is hashed, and who waits to learn what came of it.
enum Hashing {
    /// Somebody new.
    Person { name: Name, role: Role, answer: oneshot::Sender<Result<AccountId, AddRefusal>> },
    /// A new password for somebody.
    Password { name: String, answer: oneshot::Sender<Result<Ordered, OrderRefusal>> },
}

/// Who may use the relay: written here, read there.
pub(crate) trait RelayTable {
    /// Lets one end of a private link in, by this ticket only.
    fn admit(&self, account: AccountId, endpoint: EndpointKey, ticket: &RelayTicket);

    /// Lets it in no longer, and cuts it.
    fn expel(&self, account: AccountId, endpoint: EndpointKey);
}

/// What a hub watches over besides its engine.
pub(crate) struct Bounds {
    /// How many connections there may be, and from where.
    pub(crate) sources: Sources,
    /// Is told when something is written.
    pub(crate) space: Space,
    /// Where time and chance come from.
    pub(crate) nature: Nature,
    /// Who may use the relay, if there is one.
    pub(crate) relay: Option<Box<dyn RelayTable>>,
    /// Sees what the engine is told and says; none but in a simulator.
    pub(crate) witness: Option<Box<dyn Witness>>,
}

pub(crate) struct Hub {
    engine: Engine,
    clock: Clock,
    nature: Nature,
    witness: Option<Box<dyn Witness>>,
    /// None once it was closed.
    store: Option<Box<dyn Keep>>,
    passwords: Passwords,
    relay: Option<Box<dyn RelayTable>>,
    inbox: Arc<Inbox>,
    lines: FxHashMap<ConnectionId, Line>,
    connections: u64,
    /// Connections on their way in.
    arrivals: FxHashMap<ConnectionId, Rc<Arrival>>,
    sources: Sources,
    /// Bytes that wait for all readers together.
    output_bytes: usize,
    space: Space,
    /// Connections that have not logged in, by when they last asked something.
    strangers: BTreeSet<(Time, ConnectionId)>,
    /// The turn under way, and the clock's reading for it.
    turn: Turn,
    turn_now: Option<Now>,
    turns: Turns,
    tail: Tail,
    /// Connections to be written to at the end of this wake-up.
    dirty: Vec<ConnectionId>,
    /// Connections to be written to in turn, because what waits for them waits for a crowd.
    crowd: VecDeque<ConnectionId>,
    /// Doors that stopped reading because the hub was full.
    held: Vec<ConnectionId>,
    timers: Timers,
    hashing: HashMap<u64, Hashing>,
    hashes_asked: u64,
    /// Who waits to learn whether somebody was added.
    additions: HashMap<u64, oneshot::Sender<Result<AccountId, AddRefusal>>>,
    /// Who waits to learn what became of an order.
    orders: HashMap<u64, oneshot::Sender<Result<Ordered, OrderRefusal>>>,
    orders_made: u64,
    /// Who waits until everything is in the database.
    settling: HashMap<u64, oneshot::Sender<()>>,
    settlings: u64,
    meeting: Meeting,
    encoded: Vec<u8>,
    failure: Option<String>,
    is_draining: bool,
    is_rung: bool,
    this: std::rc::Weak<RefCell<Self>>,
}

pub(crate) type SharedHub = Rc<RefCell<Hub>>;

impl Hub {
    /// Begins to serve with an engine to which everything recovered has been applied.
    pub(crate) fn start(
        engine: Engine,
        store: Box<dyn Keep>,
        passwords: Passwords,
        inbox: Arc<Inbox>,
        replayed: &[Record],
        meeting: Meeting,
        bounds: Bounds,
    ) -> SharedHub {
        let Bounds { sources, space, nature, relay, witness } = bounds;
        let clock = Clock::start(nature.clone(), engine.newest());
        let mut tail = Tail::default();
        for record in replayed {
            tail.record(Sequence(0), record);
        }
        let hub = Rc::new_cyclic(|this| {
            RefCell::new(Self {
                engine,
                clock,
                nature,
                witness,
                store: Some(store),
                passwords,
                relay,
                inbox,
                lines: FxHashMap::default(),
                connections: 0,
                arrivals: FxHashMap::default(),
                sources,
                output_bytes: 0,
                space,
                strangers: BTreeSet::new(),
                turn: Turn::default(),
                turn_now: None,
                turns: Turns::default(),
                tail,
                dirty: Vec::new(),
                crowd: VecDeque::new(),
                held: Vec::new(),
                timers: Timers::default(),
                hashing: HashMap::new(),
                hashes_asked: 0,
                additions: HashMap::new(),
                orders: HashMap::new(),
                orders_made: 0,
                settling: HashMap::new(),
                settlings: 0,
                meeting,
                encoded: Vec::new(),
                failure: None,
                is_draining: false,
                is_rung: false,
                this: this.clone(),
            })
        });
        hub.borrow_mut().input(Input::Started);
        hub
    }

    /// Hands an input to the engine, as part of the turn under way.
    fn input(&mut self, input: Input<'_>) {
        let now = *self.turn_now.get_or_insert_with(|| self.clock.now());
        let Some(witness) = &mut self.witness else {
            self.engine.handle(now, input, &mut self.turn);
            return self.ring();
        };
        witness.hears(now, &input);
        let Turn { records, effects } = &self.turn;
        let (records, effects) = (records.len(), effects.len());
        self.engine.handle(now, input, &mut self.turn);
        witness.sees(&self.turn.records[records..], &self.turn.effects[effects..]);
        self.ring();
    }

    /// Has [`Self::run`] called soon: when everybody awake has had a say, so that all they asked is
    /// one turn.
    fn ring(&mut self) {
        if !self.is_rung {
            self.is_rung = true;
            self.inbox.bell.notify_one();
        }
    }

    /// Ends the turn under way and does whatever can be done now. Called once per wake-up.
    pub(crate) fn run(&mut self) {
        self.is_rung = true; // what comes up now is done now
        for event in self.inbox.take() {
            match event {
                HubEvent::Store(event) => self.store_event(event),
                HubEvent::Password(event) => self.password_event(event),
                HubEvent::DiskFull(is_full) => self.input(Input::DiskFull { is_full }),
            }
        }
        self.fire_timers();
        for _ in 0..ROUNDS_PER_WAKE_UP {
            self.end_turn();
            self.release();
            self.write_dirty();
            if self.is_idle() {
                break;
            }
        }
        self.write_crowd();
        self.let_doors_go_on();
        self.is_rung = false;
        if !self.is_at_rest() {
            self.ring();
        }
    }

    /// Whether nothing is left to do before somebody asks or the disk answers.
    fn is_idle(&self) -> bool {
        self.turn.effects.is_empty() && self.turn.records.is_empty() && self.dirty.is_empty()
    }

    /// Whether everybody was written to, too.
    fn is_at_rest(&self) -> bool {
        self.is_idle() && self.crowd.is_empty()
    }

    /// When [`Self::run`] is next wanted without a bell.
    pub(crate) fn deadline(&self) -> Option<std::time::Instant> {
        self.due().map(|due| self.clock.instant(due))
    }

    /// The same in the time of the engine.
    pub(crate) fn due(&self) -> Option<Time> {
        let timer = self.timers.first();
        let silent = self.strangers.first().map(|(asked_at, _)| asked_at.plus(SILENT_MS_MAX));
        [self.engine.deadline(), timer, silent].into_iter().flatten().min()
    }

    /// The time of the engine.
    pub(crate) fn time(&self) -> Time {
        self.clock.time()
    }

    /// The rules and what they remember.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What hashes.
    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// How many effects wait for the disk.
    pub(crate) fn effects_waiting(&self) -> usize {
        self.turns.effects()
    }

    /// Why the store has failed, if it has: the server must end.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether no input may be taken for now: too much waits for the disk.
    fn is_full(&self) -> bool {
        self.turns.effects() > PENDING_EFFECTS_MAX
            || self.turns.bytes() > PENDING_BYTES_MAX
            || self.tail.bytes() > TAIL_BYTES_MAX
            || self.store.as_ref().is_none_or(|store| store.is_full())
            || self.failure.is_some()
            || self.is_draining
    }

    /// Takes no further input; what was taken is still answered.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether everything that was taken is answered.
    pub(crate) fn is_drained(&self) -> bool {
        self.turns.effects() == 0
            && self.turn.effects.is_empty()
            && self.lines.values().all(|line| line.outbox.is_empty())
    }

    /// Imports people: those who are new, and those whose password was not hashed in time.
    ///
    /// Returns how many are new.
    pub(crate) fn import(&mut self, people: Vec<(Name, Password)>) -> usize {
        let mut new = 0;
        let mut hashed = Vec::new();
        for (name, password) in people {
            let role = Role::Member;
            let add = Input::AddAccount { ticket: 0, name, password: None, distinct: false, role };
            self.input(add);
            match self.turn.effects.pop() {
                Some(Effect::Added { outcome: Ok(account), .. }) => {
                    new += 1;
                    hashed.push((account, password));
                }
                Some(Effect::Added {
                    outcome: Err(AddRefusal::Exists { account, has_password: false }),
                    ..
                }) => hashed.push((account, password)),
                _ => {}
            }
        }
        self.passwords.import(hashed);
        new
    }

    /// Adds a person; the answer comes when the account is on disk.
    pub(crate) fn add_person(
        &mut self,
        name: Name,
        role: Role,
        password: Password,
    ) -> oneshot::Receiver<Result<AccountId, AddRefusal>> {
        let (answer, receiver) = oneshot::channel();
        self.hash_for(Hashing::Person { name, role, answer }, password);
        receiver
    }

    /// Gives a person another password; the answer comes when it is on disk.
    pub(crate) fn set_password(
        &mut self,
        name: String,
        password: Password,
    ) -> oneshot::Receiver<Result<Ordered, OrderRefusal>> {
        let (answer, receiver) = oneshot::channel();
        self.hash_for(Hashing::Password { name, answer }, password);
        receiver
    }

    fn hash_for(&mut self, hashing: Hashing, password: Password) {
        self.hashes_asked += 1;
        self.hashing.insert(self.hashes_asked, hashing);
        self.passwords.hash(self.hashes_asked, password);
    }

    /// Decides what an operator's wish takes.
    pub(crate) fn plan(&self, operation: Operation) -> Result<Work, Denied> {
        operation::plan(&self.engine, self.clock.time(), &self.meeting, operation)
    }

    /// Has the engine do what the operator wants; the answer comes when it is on disk.
    pub(crate) fn order(
        &mut self,
        order: Order,
    ) -> oneshot::Receiver<Result<Ordered, OrderRefusal>> {
        let (answer, receiver) = oneshot::channel();
        self.order_for(order, answer);
        receiver
    }

    /// Has everything that was confirmed so far brought into the database; the answer comes when it
    /// is there.
    pub(crate) fn settle(&mut self) -> oneshot::Receiver<()> {
        let (answer, receiver) = oneshot::channel();
        self.settlings += 1;
        if let Some(store) = &self.store {
            self.settling.insert(self.settlings, answer);
            store.settle(self.settlings);
        }
        receiver
    }

    fn order_for(&mut self, order: Order, answer: oneshot::Sender<Result<Ordered, OrderRefusal>>) {
        self.orders_made += 1;
        self.orders.insert(self.orders_made, answer);
        self.input(Input::Order { ticket: self.orders_made, order });
    }

    /// Says where invites lead from now on, and which key devices sign for.
    pub(crate) fn set_meeting(&mut self, meeting: Meeting) {
        self.meeting = meeting;
    }

    /// Where invites lead.
    pub(crate) fn meeting(&self) -> &Meeting {
        &self.meeting
    }

    /// Ends all sessions on record and lets go of all lines.
    pub(crate) fn stop(&mut self) {
        self.input(Input::Stopping);
        self.end_turn();
        self.release();
        self.write_everybody();
        let lines: Vec<ConnectionId> = self.lines.keys().copied().collect();
        for connection in lines {
            if let Some(line) = self.lines.get(&connection) {
                // Whoever does not take the last word now goes without it.
                line.socket.shut_down_writing().unwrap_or_default();
            }
            self.forget(connection);
        }
        let arrivals: Vec<ConnectionId> = self.arrivals.keys().copied().collect();
        for connection in arrivals {
            self.forget_arrival(connection);
        }
    }

    /// Syncs and projects everything. The hub is of no use after this.
    pub(crate) fn close_store(&mut self) -> Result<(), StoreError> {
        self.store.take().map_or(Ok(()), Keep::close)
    }

    /// How many people there are.
    pub(crate) fn people(&self) -> usize {
        self.engine.accounts().count()
    }

    fn store_event(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Synced(sequence) => self.turns.synced(sequence),
            StoreEvent::Projected(sequence) => self.tail.projected(sequence),
            StoreEvent::Page { ticket, messages } => {
                self.page(ConnectionId(ticket), &messages);
            }
            StoreEvent::Settled { ticket } => {
                if let Some(answer) = self.settling.remove(&ticket) {
                    // Whoever asked may have gone.
                    answer.send(()).unwrap_or_default();
                }
            }
            StoreEvent::Failed(why) => self.failure = Some(why),
        }
    }

    fn password_event(&mut self, event: PasswordEvent) {
        match event {
            PasswordEvent::Checked { ticket, matches } => {
                self.input(Input::Checked { ticket, matches });
            }
            PasswordEvent::Imported { account, hash } => {
                self.input(Input::SetPassword { account, hash });
            }
            PasswordEvent::Hashed { ticket, hash } => match self.hashing.remove(&ticket) {
                Some(Hashing::Person { name, role, answer }) => {
                    let password = Some(hash);
                    self.additions.insert(ticket, answer);
                    self.input(Input::AddAccount { ticket, name, password, distinct: true, role });
                }
                Some(Hashing::Password { name, answer }) => {
                    self.order_for(Order::SetPassword { name, hash }, answer);
                }
                None => {}
            },
            PasswordEvent::HashedForEngine { ticket, hash } => {
                self.input(Input::Hashed { ticket, hash });
            }
        }
    }

    /// Gives the turn's records to the store and lets its effects wait for them.
    fn end_turn(&mut self) {
        self.turn_now = None;
        if self.turn.records.is_empty() && self.turn.effects.is_empty() {
            return;
        }
        let mut turn = std::mem::take(&mut self.turn);
        turn.effects = self.start_checks(turn.effects);
        if let Some((sequence, records)) = self.turns.end(turn) {
            for record in &records {
                self.tail.record(sequence, record);
            }
            if let Some(store) = &mut self.store {
                let appended = store.append(records);
                debug_assert_eq!(appended, sequence);
                self.space.note();
            }
        }
    }

    /// Password checks claim nothing, so they do not wait for the disk.
    fn start_checks(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let is_work =
            |effect: &Effect| matches!(effect, Effect::Check { .. } | Effect::Hash { .. });
        if !effects.iter().any(is_work) {
            return effects;
        }
        let mut others = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Check { ticket, account, hash, password } => {
                    self.passwords.check(Check { ticket, account, hash, password });
                }
                Effect::Hash { ticket, password } => {
                    self.passwords.hash_for_engine(ticket, password);
                }
                other => others.push(other),
            }
        }
        others
    }
}
