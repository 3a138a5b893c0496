//! What others fetch from us: who may have what, how much at once, and how much went out.
//!
//! Each connection has one task that takes requests from it, from its beginning to its end. A request of what is not allowed
//! (yet) waits a moment, since each side hears by itself that a link stands; then it is refused.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use iroh_blobs::protocol::{ERR_PERMISSION, GetRequest, ObserveItem, Request};
use iroh_blobs::provider::events::{EventSender, RequestTracker};
use iroh_blobs::provider::{StreamPair, handle_get};
use iroh_blobs::util;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::store::{Blobs, FileHash};
use crate::api::LinkId;

/// Most pieces that one peer is given at once.
const SERVED_MAX: usize = 8;

/// Most pieces that all peers are given at once: as many as all links may have that are let fetch, so that nobody who
/// takes nothing keeps others waiting.
const ALL_SERVED_MAX: usize = 128;

/// How long a peer may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// How long a request waits to be allowed.
const ALLOW_WAIT: Duration = Duration::from_secs(1);

/// Whoever takes nothing for so long of what it asked for is given nothing more.
const TAKE_WAIT: Duration = Duration::from_secs(15);

/// Most files that went wrong and wait to be looked at.
pub(crate) const TROUBLES_MAX: usize = 64;

/// Who may have what, of the files of this client.
pub(crate) struct Gate {
    rules: Mutex<Rules>,
    changed: watch::Sender<()>,
    room: Arc<Semaphore>,
    /// Where it is told that a file of ours cannot be read as it was.
    troubles: mpsc::Sender<FileHash>,
}

#[derive(Default)]
struct Rules {
    /// Where the files are that two devices send each other.
    files: Option<Blobs>,
    /// Where those are that many have.
    swarm: Option<Blobs>,
    /// Which of the former a device may fetch.
    offered: HashMap<String, HashSet<FileHash>>,
    /// Which of the latter may be fetched over a link.
    allowed: HashMap<LinkId, HashMap<FileHash, Permit>>,
}

/// A permission. Whatever goes on by it ends with it.
struct Permit {
    hold: watch::Sender<()>,
    given: Arc<AtomicU64>,
    /// How much of that was told.
    told: u64,
}

/// What a request may have.
struct Grant {
    blobs: Blobs,
    given: Arc<AtomicU64>,
    /// Ends with the permission; none if it lasts as long as the connection.
    hold: Option<watch::Receiver<()>>,
}

/// Who asks.
struct Asker {
    link: LinkId,
    device: String,
    stream: u64,
}

impl Gate {
    pub(crate) fn new(troubles: mpsc::Sender<FileHash>) -> Self {
        Self {
            rules: Mutex::default(),
            changed: watch::Sender::new(()),
            room: Arc::new(Semaphore::new(ALL_SERVED_MAX)),
            troubles,
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files that two devices send each other are here.
    pub(crate) fn files_are(&self, blobs: &Blobs) {
        self.rules().files = Some(blobs.clone());
    }

    /// Files that many have are here.
    pub(crate) fn swarm_is(&self, blobs: &Blobs) {
        self.rules().swarm = Some(blobs.clone());
    }

    /// A device may fetch a file that is for it.
    pub(crate) fn offer(&self, device: &str, hash: FileHash) {
        self.rules().offered.entry(device.to_owned()).or_default().insert(hash);
        self.changed.send_replace(());
    }

    /// It may not any more.
    pub(crate) fn withdraw(&self, device: &str, hash: &FileHash) {
        if let Some(hashes) = self.rules().offered.get_mut(device) {
            hashes.remove(hash);
        }
    }

    /// A file that many have may be fetched over a link.
    pub(crate) fn allow(&self, link: LinkId, hash: FileHash) {
        let permit = || Permit { hold: watch::Sender::new(()), given: Arc::default(), told: 0 };
        self.rules().allowed.entry(link).or_default().entry(hash).or_insert_with(permit);
        self.changed.send_replace(());
    }

    /// It may not any more; says how much went out since that was told last.
    pub(crate) fn disallow(&self, link: LinkId, hash: &FileHash) -> u64 {
        let mut rules = self.rules();
        let permit = rules.allowed.get_mut(&link).and_then(|hashes| hashes.remove(hash));
        permit.map_or(0, |mut permit| permit.news())
    }

    /// A file may not be fetched any more by anybody.
    pub(crate) fn disallow_all(&self, hash: &FileHash) {
        for hashes in self.rules().allowed.values_mut() {
            hashes.remove(hash);
        }
    }

    /// A link is over: how much of what went out over it since that was told last.
    pub(crate) fn close(&self, link: LinkId) -> Vec<(FileHash, u64)> {
        let permits = self.rules().allowed.remove(&link).unwrap_or_default();
        let news = permits.into_iter().map(|(hash, mut permit)| (hash, permit.news()));
        news.filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// How much of what went out over which link since that was told last; now it is.
    pub(crate) fn news(&self) -> Vec<(LinkId, FileHash, u64)> {
        let mut rules = self.rules();
        let links = rules.allowed.iter_mut();
        let permits =
            links.flat_map(|(link, hashes)| hashes.iter_mut().map(|(hash, it)| (*link, *hash, it)));
        let news = permits.map(|(link, hash, permit)| (link, hash, permit.news()));
        news.filter(|(.., bytes)| *bytes > 0).collect()
    }

    fn grant(&self, asker: &Asker, hash: &FileHash) -> Option<Grant> {
        let rules = self.rules();
        let permit = rules.allowed.get(&asker.link).and_then(|hashes| hashes.get(hash));
        if let (Some(permit), Some(blobs)) = (permit, &rules.swarm) {
            let hold = Some(permit.hold.subscribe());
            return Some(Grant { blobs: blobs.clone(), given: Arc::clone(&permit.given), hold });
        }
        let is_theirs = rules.offered.get(&asker.device).is_some_and(|all| all.contains(hash));
        let blobs = rules.files.as_ref().filter(|_| is_theirs)?;
        Some(Grant { blobs: blobs.clone(), given: Arc::default(), hold: None })
    }

    async fn wait(&self, asker: &Asker, hash: &FileHash) -> Option<Grant> {
        let until = Instant::now() + ALLOW_WAIT;
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(grant) = self.grant(asker, hash) {
                return Some(grant);
            }
            timeout_at(until, changed.changed()).await.ok()?.ok()?;
        }
    }
}

impl Permit {
    fn news(&mut self) -> u64 {
        let given = self.given.load(Ordering::Relaxed);
        given - std::mem::replace(&mut self.told, given)
    }
}

/// Gives a peer what it may have, until its connection ends.
pub(crate) async fn serve(gate: Arc<Gate>, link: LinkId, device: String, connection: Connection) {
    let room = Arc::new(Semaphore::new(SERVED_MAX));
    let mut served = JoinSet::new();
    while let Ok((send, receive)) = connection.accept_bi().await {
        while served.try_join_next().is_some() {}
        // What is asked for meanwhile waits in the connection, which takes only so much.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = connection.stable_id() as u64;
        let asker = Asker { link, device: device.clone(), stream };
        let gate = Arc::clone(&gate);
        served.spawn(async move {
            answer(&gate, &asker, send, receive).await;
            drop(place);
        });
    }
}

type Pair = StreamPair<RecvStream, Counted>;

async fn answer(gate: &Gate, asker: &Asker, send: SendStream, receive: RecvStream) {
    let flow = Arc::new(Flow::default());
    let send = Counted { send, flow: Arc::clone(&flow), given: None };
    let mut pair = StreamPair::new(asker.stream, receive, send, EventSender::DEFAULT);
    // Dropped, its end hears of it.
    let Ok(Ok(request)) = timeout(REQUEST_WAIT, pair.read_request()).await else { return };
    let hash = match &request {
        Request::Get(request) if request.ranges.is_blob() => request.hash,
        Request::Observe(request) => request.hash,
        _ => return refuse(pair).await,
    };
    let Some(mut grant) = gate.wait(asker, hash.as_bytes()).await else {
        return refuse(pair).await;
    };
    flow.counts(&grant.given);
    let mut hold = grant.hold.take();
    tokio::select! {
        () = give(gate, pair, grant.blobs, request, &flow) => {}
        () = ends(&mut hold) => {}
    }
}

/// Gives what is asked for. What goes wrong, the other end hears by the end of the stream.
async fn give(gate: &Gate, pair: Pair, blobs: Blobs, request: Request, flow: &Flow) {
    match request {
        Request::Get(request) => {
            let Ok(_place) = gate.room.acquire().await else { return };
            let hash = *request.hash.as_bytes();
            tokio::select! {
                done = give_blob(pair, &blobs, request, flow) => {
                    // Somebody who went away is no sign that our file is not what it was.
                    if !done && flow.has_begun() && !flow.is_broken() {
                        // While many wait to be looked at, others may tell of this one later.
                        gate.troubles.try_send(hash).unwrap_or_default();
                    }
                }
                () = flow.stands() => {}
            }
        }
        Request::Observe(request) => {
            let told = tell(pair, &blobs, *request.hash.as_bytes());
            timeout(TAKE_WAIT, told).await.unwrap_or_default();
        }
        _ => {}
    }
}

/// Gives a piece; says whether that went well.
async fn give_blob(pair: Pair, blobs: &Blobs, request: GetRequest, flow: &Flow) -> bool {
    // A file that was not looked at for a while is opened first.
    if blobs.field(*request.hash.as_bytes()).await.is_err() {
        return false;
    }
    // The store takes only so many commands at once, and this one is taken when it has something to say.
    let turn = blobs.turns().take().await;
    let mut given = std::pin::pin!(handle_get(pair, blobs.api(), request));
    tokio::select! {
        done = &mut given => return done.is_ok(),
        () = flow.begins.notified() => drop(turn),
    }
    given.await.is_ok()
}

/// Tells once what we have. Whoever wants to know more asks again.
async fn tell(pair: Pair, blobs: &Blobs, hash: FileHash) {
    let Ok(field) = blobs.field(hash).await else { return };
    let Ok(item) = postcard::to_stdvec(&ObserveItem::from(&field)) else { return };
    let Ok(mut message) = postcard::to_stdvec(&item.len()) else { return };
    message.extend(item);
    if let Ok(mut writer) = pair.into_writer(RequestTracker::NONE).await {
        // It is over already then.
        drop(util::SendStream::send(&mut writer.inner, &message).await);
    }
}

async fn refuse(pair: Pair) {
    if let Ok(mut writer) = pair.into_writer(RequestTracker::NONE).await {
        // It is over already then.
        drop(writer.inner.send.reset(ERR_PERMISSION));
    }
}

/// Waits until a permission is taken back.
async fn ends(hold: &mut Option<watch::Receiver<()>>) {
    match hold {
        Some(hold) => while hold.changed().await.is_ok() {},
        None => std::future::pending().await,
    }
}

/// What goes out for one request.
#[derive(Default)]
struct Flow {
    bytes: AtomicU64,
    /// There is something to write, whether the other side takes it or not.
    begins: Notify,
    /// The other side takes nothing more.
    broken: AtomicBool,
    /// What is counted for its permission.
    given: Mutex<Option<Arc<AtomicU64>>>,
}

impl Flow {
    fn counts(&self, given: &Arc<AtomicU64>) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(given));
    }

    fn has_begun(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > 0
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Waits until nothing was taken for a while.
    async fn stands(&self) {
        loop {
            let before = self.bytes.load(Ordering::Relaxed);
            sleep(TAKE_WAIT).await;
            if self.bytes.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// A stream of which it is known how much has gone into it.
struct Counted {
    send: SendStream,
    flow: Arc<Flow>,
    given: Option<Arc<AtomicU64>>,
}

impl Counted {
    fn count<T>(&mut self, bytes: usize, done: io::Result<T>) -> io::Result<T> {
        if done.is_err() {
            self.flow.broken.store(true, Ordering::Relaxed);
            return done;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.flow.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.given.is_none() {
            let given = self.flow.given.lock().unwrap_or_else(PoisonError::into_inner);
            self.given.clone_from(&given);
        }
        if let Some(given) = &self.given {
            given.fetch_add(bytes, Ordering::Relaxed);
        }
        done
    }
}

impl util::SendStream for Counted {
    async fn send_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        self.flow.begins.notify_one();
        let length = bytes.len();
        let done = util::SendStream::send_bytes(&mut self.send, bytes).await;
        self.count(length, done)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flow.begins.notify_one();
        let done = util::SendStream::send(&mut self.send, bytes).await;
        self.count(bytes.len(), done)
    }

    async fn sync(&mut self) -> io::Result<()> {
        util::SendStream::sync(&mut self.send).await
    }

    fn reset(&mut self, code: VarInt) -> io::Result<()> {
        util::SendStream::reset(&mut self.send, code)
    }

    async fn stopped(&mut self) -> io::Result<Option<VarInt>> {
        util::SendStream::stopped(&mut self.send).await
    }

    fn id(&self) -> u64 {
        util::SendStream::id(&self.send)
    }
}
