//! What the caller holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iroh::SecretKey;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use whoelse_proto::{EndpointKey, FileHash, FileName, PartMap, RelayTicket};

use crate::LINKS_MAX;
use crate::api::{Event, Failure, LinkId, Options, Peer, Relay, SendError, TransferId};
use crate::endpoint::Plan;
use crate::files::{self, Files, News, Numbers};
use crate::link::{Link, Order, Shared};
use crate::swarm;

/// How long all links together have to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// All links of one client.
///
/// No method waits, and what comes of it is told by an [`Event`]. While the caller does not take events, nothing more is
/// read of the network. What is asked of a link that does not exist (any more) does nothing. Dropped, it ends everything
/// without a word.
pub struct Node {
    options: Options,
    events: mpsc::Sender<Event>,
    place: watch::Sender<Option<Relay>>,
    links: Arc<Links>,
    tasks: Mutex<JoinSet<()>>,
    numbers: Numbers,
    orders: mpsc::UnboundedSender<files::Order>,
    news: mpsc::Sender<News>,
    files: JoinSet<()>,
}

/// Most that links have to tell about files before they wait.
const NEWS_MAX: usize = 64;

type Links = Mutex<HashMap<LinkId, Handle>>;

/// What there is of a link outside of its task.
struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

impl Node {
    /// Begins without a link.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(options: Options, events: mpsc::Sender<Event>) -> Self {
        // What a person orders needs no bound; what peers say has one.
        let (orders, ordered) = mpsc::unbounded_channel();
        let (news, heard) = mpsc::channel(NEWS_MAX);
        let numbers = Numbers::default();
        let mut files = JoinSet::new();
        let told = (options.clone(), events.clone(), numbers.clone());
        files.spawn(Files::run(told.0, told.1, told.2, ordered, heard));
        Self {
            options,
            events,
            place: watch::Sender::new(None),
            links: Arc::default(),
            tasks: Mutex::default(),
            numbers,
            orders,
            news,
            files,
        }
    }

    /// Makes the keys of a new link: [`Event::Prepared`], or [`Event::Failed`] when there are too many.
    pub fn prepare(&self, link: LinkId) {
        let mut tasks = lock(&self.tasks);
        // What is done is forgotten.
        while tasks.try_join_next().is_some() {}
        if lock(&self.links).len() >= LINKS_MAX {
            self.tell(&mut tasks, Event::Failed { link, why: Failure::TooMany });
            return;
        }
        let mut random = [0; RelayTicket::BYTES];
        if let Err(error) = getrandom::fill(&mut random) {
            let why = Failure::Socket(error.to_string());
            self.tell(&mut tasks, Event::Failed { link, why });
            return;
        }
        let ticket = RelayTicket::new(random);
        let key = SecretKey::generate();
        let endpoint = EndpointKey(*key.public().as_bytes());
        let prepared = Event::Prepared { link, endpoint, ticket: ticket.clone() };
        let (orders, admit) = (mpsc::unbounded_channel(), watch::Sender::new(None));
        let shared = Arc::new(Shared::default());
        let plan = Plan {
            key,
            ticket,
            with_relay: false,
            hide_address: self.options.hide_address,
            loopback: self.options.loopback,
            place: self.place.subscribe(),
            admitted: admit.subscribe(),
        };
        let made = Link {
            id: link,
            plan,
            admit,
            shared: Arc::clone(&shared),
            orders: orders.1,
            events: self.events.clone(),
            files: self.news.clone(),
        };
        lock(&self.links).insert(link, Handle { orders: orders.0, shared });
        let (links, events) = (Arc::clone(&self.links), self.events.clone());
        tasks.spawn(async move {
            // When nobody listens any more, all ends.
            drop(events.send(prepared).await);
            made.run().await;
            lock(&links).remove(&link);
        });
    }

    /// Says where the relay is. Each call, also with the same relay, makes every link with a relay try it within a second if it
    /// is not connected to it: so call it after each login, when the tickets are registered again.
    pub fn set_relay(&self, relay: Option<Relay>) {
        self.place.send_replace(relay);
    }

    /// Opens our end of a prepared link: [`Event::Opened`] or [`Event::Failed`].
    pub fn open(&self, link: LinkId, with_relay: bool) {
        self.order(link, Order::Open { with_relay });
    }

    /// Reaches for the other end of an open link, again and again, until [`Node::close`].
    pub fn dial(&self, link: LinkId, to: Peer) {
        self.order(link, Order::Dial(to));
    }

    /// Lets the other end of an open link in, and nobody else.
    pub fn expect(&self, link: LinkId, from: Peer) {
        self.order(link, Order::Expect(from));
    }

    /// Sends a text over a link, whether it is up already or not. `number` counts from 1.
    ///
    /// # Errors
    /// See [`SendError`]; the text was not taken then.
    pub fn send(&self, link: LinkId, number: u64, text: String) -> Result<(), SendError> {
        let links = lock(&self.links);
        let handle = links.get(&link).ok_or(SendError::NoLink)?;
        handle.shared.lock().push(number, text)?;
        handle.shared.wake.notify_one();
        Ok(())
    }

    /// Tells the other side that everything up to a number was shown.
    pub fn acknowledge(&self, link: LinkId, number: u64) {
        if let Some(handle) = lock(&self.links).get(&link) {
            handle.shared.lock().show(number);
            handle.shared.wake.notify_one();
        }
    }

    /// Ends a link: what was sent has a second to leave, then [`Event::Closed`].
    pub fn close(&self, link: LinkId) {
        self.order(link, Order::Close);
    }

    /// Offers a file over a link that is or was up.
    pub fn offer_file(&self, link: LinkId, path: PathBuf) -> TransferId {
        let transfer = self.numbers.next();
        self.file(files::Order::Offer { transfer, link, path });
        transfer
    }

    /// Takes a file that is offered.
    pub fn accept_file(&self, transfer: TransferId) {
        self.file(files::Order::Accept(transfer));
    }

    /// Refuses a file that is offered.
    pub fn decline_file(&self, transfer: TransferId) {
        self.file(files::Order::Decline(transfer));
    }

    /// Ends a transfer, of either direction, also one that waits for a link.
    pub fn cancel_file(&self, transfer: TransferId) {
        self.file(files::Order::Cancel(transfer));
    }

    /// Shares a file: reads it through, from its place, where it has to stay; nothing of it is copied. Tells
    /// [`SwarmEvent::Shared`] or [`SwarmEvent::NotShared`]. Nobody gets anything of it before [`Node::allow`]. Kept from
    /// run to run, once it has a note.
    ///
    /// [`SwarmEvent::Shared`]: crate::SwarmEvent::Shared
    /// [`SwarmEvent::NotShared`]: crate::SwarmEvent::NotShared
    pub fn share(&self, number: u64, path: PathBuf) {
        self.file(files::Order::Swarm(swarm::Order::Share { number, path }));
    }

    /// Keeps a text of the caller's with a share, instead of the one before; at most [`crate::NOTE_BYTES_MAX`] bytes, a longer one is
    /// not kept. A share without one is forgotten when the program ends.
    pub fn note_share(&self, hash: FileHash, note: String) {
        self.file(files::Order::Swarm(swarm::Order::Note { hash, note }));
    }

    /// Shares a file no more; whoever is fetching it gets nothing more. What was fetched and has come whole is served no more either. The file
    /// stays.
    pub fn unshare(&self, hash: FileHash) {
        self.file(files::Order::Swarm(swarm::Order::Unshare { hash }));
    }

    /// Fetches a file from whoever has it ([`Node::add_source`]), or goes on. What is shared here already is received at
    /// once. `note` is kept with it, at most [`crate::NOTE_BYTES_MAX`] bytes.
    pub fn get(&self, hash: FileHash, size: u64, name: FileName, note: String) {
        self.file(files::Order::Swarm(swarm::Order::Get { hash, size, name, note }));
    }

    /// Fetches a file over a link too, as soon as that is up; so it may be told when the link is begun. `claims` is which
    /// parts the other end is said to have; what it says itself counts more. It is no source any more when the link ends.
    pub fn add_source(&self, hash: FileHash, link: LinkId, claims: Option<PartMap>) {
        self.file(files::Order::Swarm(swarm::Order::Source { hash, link, claims }));
    }

    /// Fetches a file no more, and throws away what is there of it: [`FileFailure::Cancelled`].
    ///
    /// [`FileFailure::Cancelled`]: crate::FileFailure::Cancelled
    pub fn cancel_get(&self, hash: FileHash) {
        self.file(files::Order::Swarm(swarm::Order::Cancel { hash }));
    }

    /// The other end of a link may fetch what there is here of a file that is shared or fetched, now and later, until the
    /// link ends. It may be told before the link is up.
    pub fn allow(&self, link: LinkId, hash: FileHash) {
        self.file(files::Order::Swarm(swarm::Order::Allow { link, hash }));
    }

    /// The other end of a link may not fetch a file any more, and what it is being given ends.
    pub fn disallow(&self, link: LinkId, hash: FileHash) {
        self.file(files::Order::Swarm(swarm::Order::Disallow { link, hash }));
    }

    /// Ends all links, as [`Node::close`] does, and keeps what there is of unfinished files. Takes two seconds at most, if
    /// events are taken meanwhile or not.
    pub async fn shutdown(mut self) {
        for handle in lock(&self.links).values() {
            // A link that is gone needs no order.
            drop(handle.orders.send(Order::Close));
        }
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let Self { orders, files, .. } = &mut self;
        let over = async {
            while tasks.join_next().await.is_some() {}
            // Without anybody to order anything they end.
            *orders = mpsc::unbounded_channel().0;
            while files.join_next().await.is_some() {}
        };
        drop(timeout(SHUTDOWN, over).await);
    }

    fn file(&self, order: files::Order) {
        // It runs as long as this does.
        drop(self.orders.send(order));
    }

    fn order(&self, link: LinkId, order: Order) {
        if let Some(handle) = lock(&self.links).get(&link) {
            // A link that is about to end takes no orders.
            drop(handle.orders.send(order));
        }
    }

    fn tell(&self, tasks: &mut JoinSet<()>, event: Event) {
        let events = self.events.clone();
        tasks.spawn(async move { drop(events.send(event).await) });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
