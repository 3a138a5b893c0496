//! The hub and its doors as they are, over lines, a store and a clock that a simulator has in hand.
//!
//! Nothing happens by itself here: time stands still until it is passed, and tasks run when
//! [`House::run`] is called, in the order in which they were woken. So a whole server is a value
//! that one seed moves, and that can end between any two of its steps.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::oneshot;
use whoelse_engine::{
    AccountId, AddRefusal, ConnectionId, Effect, Engine, Input, Now, Order, OrderRefusal, Ordered,
    PasswordHash, Record, Time,
};
use whoelse_proto::event::Meeting;
use whoelse_proto::{Name, Password, Role};

use crate::doors::native;
use crate::hub::{Bounds, Hub, HubEvent, Inbox, SharedHub};
use crate::nature::{Nature, Task};
use crate::passwords::{Hash, Passwords};
use crate::socket::Socket;
use crate::sources::Sources;
use crate::space::Space;
use crate::store::{Keep, StoreEvent};

pub use crate::nature::Simulated;
pub use crate::pipe::Pipe;

/// How many connections a house takes.
const CONNECTIONS_MAX: usize = 1_000;

/// Sees what the engine of a hub is told, and what it says to that.
pub trait Witness {
    /// It is told something.
    fn hears(&mut self, now: Now, input: &Input<'_>);

    /// That led to these.
    fn sees(&mut self, records: &[Record], effects: &[Effect]);
}

/// A server without sockets, threads and clocks.
pub struct House {
    hub: SharedHub,
    inbox: Arc<Inbox>,
    nature: Rc<Simulated>,
    scratch: native::Scratch,
    tasks: BTreeMap<u64, (Task, Waker)>,
    last_task: u64,
    awake: Arc<Awake>,
}

/// Tasks that were woken, in that order.
#[derive(Default)]
struct Awake(Mutex<VecDeque<u64>>);

/// What wakes one task.
struct Bell {
    task: u64,
    awake: Arc<Awake>,
}

impl House {
    /// Begins to serve with an engine to which everything recovered has been applied.
    #[must_use]
    pub fn start(
        engine: Engine,
        replayed: &[Record],
        store: Box<dyn Keep>,
        meeting: Meeting,
        nature: Rc<Simulated>,
        witness: Box<dyn Witness>,
    ) -> Self {
        let inbox = Arc::new(Inbox::default());
        let bounds = Bounds {
            sources: Sources::new(CONNECTIONS_MAX, true),
            space: Space::unwatched(),
            nature: Nature::Simulated(Rc::clone(&nature)),
            relay: None,
            witness: Some(witness),
        };
        let passwords = Passwords::by_hand();
        let its = Arc::clone(&inbox);
        let hub = Hub::start(engine, store, passwords, its, replayed, meeting, bounds);
        let mut house = Self {
            hub,
            inbox,
            nature,
            scratch: native::scratch(),
            tasks: BTreeMap::new(),
            last_task: 0,
            awake: Arc::default(),
        };
        let (hub, inbox) = (SharedHub::clone(&house.hub), Arc::clone(&house.inbox));
        house.add(Box::pin(async move {
            loop {
                inbox.bell.notified().await;
                hub.borrow_mut().run();
            }
        }));
        house
    }

    /// Somebody connects; none if there is no room.
    pub fn connect(&mut self, pipe: &Rc<Pipe>, address: IpAddr) -> Option<ConnectionId> {
        let arrival = self.hub.borrow_mut().arrive()?;
        let connection = arrival.connection;
        let mut hub = self.hub.borrow_mut();
        if !hub.comes_from(connection, address) {
            hub.lost(connection);
            return None;
        }
        let socket = Rc::new(Socket::piped(Rc::clone(pipe)));
        hub.connect(&arrival, Rc::clone(&socket), address);
        drop(hub);
        let hub = SharedHub::clone(&self.hub);
        let scratch = Rc::clone(&self.scratch);
        self.add(Box::pin(native::serve(hub, socket, connection, None, scratch)));
        Some(connection)
    }

    /// The store has something to say.
    pub fn tell(&self, event: StoreEvent) {
        self.inbox.post(HubEvent::Store(event));
    }

    /// The disk has come near its end, or has room again.
    pub fn disk_full(&self, is_full: bool) {
        self.inbox.post(HubEvent::DiskFull(is_full));
    }

    /// Hashes or checks the next password that waits; a hash is the password itself. Returns false
    /// if none waits.
    pub fn hash_one(&self) -> bool {
        let notify = |event| self.inbox.post(HubEvent::Password(event));
        self.hub.borrow().passwords().do_one(&mut Plain, &notify)
    }

    /// The operator wants something.
    pub fn order(&self, order: Order) -> oneshot::Receiver<Result<Ordered, OrderRefusal>> {
        self.hub.borrow_mut().order(order)
    }

    /// The operator adds a person.
    pub fn add_person(
        &self,
        name: Name,
        role: Role,
        password: Password,
    ) -> oneshot::Receiver<Result<AccountId, AddRefusal>> {
        self.hub.borrow_mut().add_person(name, role, password)
    }

    /// Runs what is awake and what is due, each once. Returns whether there was anything.
    pub fn run(&mut self) -> bool {
        let time = self.time();
        if self.hub.borrow().due().is_some_and(|due| due <= time) {
            self.inbox.bell.notify_one();
        }
        let awake = self.awake.take();
        for task in &awake {
            self.poll(*task);
            for spawned in self.nature.take_spawned() {
                self.add(spawned);
            }
        }
        !awake.is_empty()
    }

    /// The time of the engine.
    #[must_use]
    pub fn time(&self) -> Time {
        self.hub.borrow().time()
    }

    /// When [`Self::run`] is wanted though nothing happens, in the time of the engine.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        self.hub.borrow().due()
    }

    /// Why the server must end, if it must.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.hub.borrow().failure().map(str::to_owned)
    }

    /// How many effects wait for the disk.
    #[must_use]
    pub fn effects_waiting(&self) -> usize {
        self.hub.borrow().effects_waiting()
    }

    /// Looks at the engine.
    pub fn engine<T>(&self, look: impl FnOnce(&Engine) -> T) -> T {
        look(self.hub.borrow().engine())
    }

    /// Ends in order: sessions end on record, and everybody is let go.
    pub fn stop(&self) {
        self.hub.borrow_mut().stop();
    }

    fn add(&mut self, task: Task) {
        self.last_task += 1;
        let bell = Bell { task: self.last_task, awake: Arc::clone(&self.awake) };
        self.tasks.insert(self.last_task, (task, Arc::new(bell).into()));
        self.awake.push(self.last_task);
    }

    fn poll(&mut self, id: u64) {
        let Some((task, waker)) = self.tasks.get_mut(&id) else { return };
        if let Poll::Ready(()) = task.as_mut().poll(&mut Context::from_waker(waker)) {
            self.tasks.remove(&id);
        }
    }
}

impl Awake {
    fn push(&self, task: u64) {
        let mut awake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !awake.contains(&task) {
            awake.push_back(task);
        }
    }

    fn take(&self) -> VecDeque<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.awake.push(self.task);
    }
}

/// Passwords that nobody has to hide from.
struct Plain;

impl Hash for Plain {
    fn hash(&mut self, password: &Password) -> PasswordHash {
        PasswordHash(password.expose().into())
    }

    fn matches(&mut self, password: &Password, hash: Option<&PasswordHash>) -> bool {
        hash.is_some_and(|hash| *hash.0 == *password.expose())
    }
}
