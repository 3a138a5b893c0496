//! One file that is fetched from several at once: carries out what the scheduler orders, until all is here and in its place.
//!
//! What the caller is to be told waits in here when it has no time, so that nobody seems to stand still meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use iroh::endpoint::Connection;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use whoelse_proto::{FileHash, Layout, PartMap};
use whoelse_swarm::{Download, Failure, Input, Order as Do, RequestId, SourceId};

use super::watch::Watch;
use crate::api::{Event, FileFailure, LinkId, SwarmEvent};
use crate::files::landing;
use crate::files::meter::Meter;
use crate::files::place::{Place, TRIES_MAX, Untaken};
use crate::files::rate::Rate;
use crate::files::store::{Blobs, FetchError, Present, is_of_nothing};

/// How often it is told at most which parts others may have.
const PARTS_STEP: Duration = Duration::from_secs(2);

/// What was not told of how much has come is told after so long.
const PROGRESS_STEP: Duration = Duration::from_millis(100);

/// Most counts that wait to be taken.
const COUNTS_MAX: usize = 64;

/// What a get is told of its sources.
pub(super) enum Order {
    /// There is one more, of which the link may be up already.
    Source { link: LinkId, claims: Option<PartMap>, connection: Option<Connection> },
    /// A connection stands, perhaps instead of another.
    Up { link: LinkId, connection: Connection },
    /// Nothing is heard over it.
    Down { link: LinkId },
    /// The link is over.
    Gone { link: LinkId },
}

/// What came.
pub(super) struct Got {
    pub(super) path: PathBuf,
    pub(super) by: Vec<(LinkId, u64, u32)>,
}

/// Why nothing came.
pub(super) enum Ungot {
    /// Things here stand in the way; what there is stays good.
    Kept(FileFailure),
    Failed(FileFailure),
}

/// A get, and where it stands.
pub(super) struct Get {
    pub(super) place: Place,
    pub(super) blobs: Blobs,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// So that not everybody prefers the same parts.
    pub(super) seed: u64,
    pub(super) by: BTreeMap<LinkId, (u64, u32)>,
}

/// Why an attempt has failed.
enum Trouble {
    /// See [`Untaken::Gone`].
    Gone(String),
    Other(Ungot),
}

impl From<Ungot> for Trouble {
    fn from(why: Ungot) -> Self {
        Self::Other(why)
    }
}

impl From<Untaken> for Trouble {
    fn from(why: Untaken) -> Self {
        match why {
            Untaken::Gone(error) => Self::Gone(error),
            Untaken::Unlanded(why) => Self::Other(Ungot::Kept(why)),
            Untaken::Failed(why) => Self::Other(Ungot::Failed(why)),
        }
    }
}

impl Get {
    /// Fetches until it is whole and in its place.
    pub(super) async fn run(mut self) -> Result<Got, Ungot> {
        self.place.has_place().map_err(Ungot::Kept)?;
        let kept = self.blobs.keep(self.place.hash, &self.place.key).await;
        kept.map_err(|error| Ungot::Kept(FileFailure::Unwritable(error)))?;
        let mut tries = 0;
        loop {
            match self.attempt().await {
                Ok(()) => break,
                Err(Trouble::Other(why)) => return Err(why),
                Err(Trouble::Gone(error)) => {
                    tries += 1;
                    if tries >= TRIES_MAX {
                        return Err(Ungot::Kept(self.place.local(error)));
                    }
                    self.place.renew(&self.blobs).await.map_err(Ungot::Kept)?;
                }
            }
        }
        let path = self.place.land().await.map_err(Ungot::Kept)?;
        let by = self.by.into_iter().map(|(link, (bytes, parts))| (link, bytes, parts));
        Ok(Got { path, by: by.collect() })
    }

    /// Gets the file whole to where it waits.
    async fn attempt(&mut self) -> Result<(), Trouble> {
        if self.place.size == 0 {
            return self.empty();
        }
        if self.place.waits(&self.blobs).await? {
            return Ok(());
        }
        let (hash, size) = (self.place.hash, self.place.size);
        let present = self.blobs.present(hash, size).await;
        let present = present.map_err(|error| Ungot::Kept(self.place.local(error)))?;
        self.place.has_room(size - present.bytes(0..size)).map_err(Ungot::Kept)?;
        let mut fetching = Fetching::new(self, &present);
        let done = fetching.run().await;
        let by = fetching.by();
        for (link, bytes, parts) in by {
            let sum = self.by.entry(link).or_default();
            *sum = (sum.0.saturating_add(bytes), sum.1.saturating_add(parts));
        }
        done?;
        Ok(self.place.take_out(&self.blobs, &present).await?)
    }
}

impl Get {
    /// Of a file that is said to be empty nothing needs to come.
    fn empty(&self) -> Result<(), Trouble> {
        if !is_of_nothing(&self.place.hash) {
            return Err(Ungot::Failed(FileFailure::NotAsOffered).into());
        }
        let made = landing::empty(&self.place.whole);
        Ok(made.map_err(|error| Ungot::Kept(self.place.local(error.to_string())))?)
    }
}

/// Both ends, for whoever works here.
type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// The time in which parts come.
struct Fetching<'g> {
    get: &'g mut Get,
    layout: Layout,
    download: Download,
    /// From which on the scheduler counts.
    begin: Instant,
    sources: BTreeMap<LinkId, Source>,
    asked: HashMap<RequestId, Asked>,
    tasks: JoinSet<Result<(), FetchError>>,
    ids: HashMap<Id, RequestId>,
    watches: JoinSet<()>,
    counts: Channel<(u64, u64)>,
    said: Channel<(LinkId, PartMap)>,
    /// How much of each part is here, in bytes.
    here: Vec<u64>,
    rate: Rate,
    /// When to tell how much has come, if that was not told.
    late: Option<Instant>,
    /// Which parts were told, and when to tell more.
    told: Option<(u32, Instant)>,
    untold: VecDeque<SwarmEvent>,
}

/// Somebody who may have parts.
#[derive(Default)]
struct Source {
    connection: Option<Connection>,
    watch: Option<AbortHandle>,
}

/// A request under way.
struct Asked {
    link: LinkId,
    part: u32,
    /// How much of the part was here before, and has come since.
    bytes: u64,
    task: AbortHandle,
}

/// What happened.
enum Happened {
    Order(Option<Order>),
    Count(u64, u64),
    Said(LinkId, PartMap),
    Ended(Result<(Id, Result<(), FetchError>), JoinError>),
    Told,
    Time,
}

impl<'g> Fetching<'g> {
    fn new(get: &'g mut Get, present: &Present) -> Self {
        let layout = Layout::of(get.place.size);
        let have = present.parts(layout);
        let here: Vec<u64> =
            (0..layout.parts()).map(|part| present.bytes(layout.range(part))).collect();
        let begin = Instant::now();
        Self {
            download: Download::new(layout, have, get.seed),
            get,
            layout,
            begin,
            sources: BTreeMap::new(),
            asked: HashMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
            watches: JoinSet::new(),
            counts: mpsc::channel(COUNTS_MAX),
            said: mpsc::channel(COUNTS_MAX),
            rate: Rate::new(begin, here.iter().sum()),
            here,
            late: None,
            told: None,
            untold: VecDeque::new(),
        }
    }

    /// Runs until nothing is missing.
    async fn run(&mut self) -> Result<(), Ungot> {
        self.tell_progress();
        self.handle(Input::Tick);
        loop {
            self.tell_parts();
            if self.download.is_done() {
                return Ok(());
            }
            let happened = self.happens().await;
            self.take(happened).await?;
        }
    }

    async fn happens(&mut self) -> Happened {
        let deadline = self.deadline();
        let untold = !self.untold.is_empty();
        let (running, watching) = (!self.tasks.is_empty(), !self.watches.is_empty());
        loop {
            tokio::select! {
                // What has come counts before the time that has passed.
                biased;
                Some((request, bytes)) = self.counts.1.recv() => break Happened::Count(request, bytes),
                Some(ended) = self.tasks.join_next_with_id(), if running => break Happened::Ended(ended),
                order = self.get.orders.recv() => break Happened::Order(order),
                Some((link, parts)) = self.said.1.recv() => break Happened::Said(link, parts),
                Some(_) = self.watches.join_next(), if watching => {}
                Ok(permit) = self.get.events.reserve(), if untold => {
                    if let Some(what) = self.untold.pop_front() {
                        permit.send(event(self.get.place.hash, what));
                    }
                    break Happened::Told;
                }
                () = sleep_until(deadline) => break Happened::Time,
            }
        }
    }

    async fn take(&mut self, happened: Happened) -> Result<(), Ungot> {
        match happened {
            Happened::Order(Some(order)) => self.order(order),
            // Nobody wants it any more.
            Happened::Order(None) => return Err(Ungot::Kept(FileFailure::Cancelled)),
            Happened::Count(request, bytes) => self.count(RequestId(request), bytes),
            Happened::Said(link, parts) => {
                self.handle(Input::Parts { source: SourceId(link.0), parts });
            }
            Happened::Ended(ended) => self.ended(ended).await?,
            Happened::Told => {}
            Happened::Time => {
                self.handle(Input::Tick);
                if self.late.is_some_and(|late| Instant::now() >= late) {
                    self.tell_progress();
                }
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(3600);
        let due = self.download.deadline().map(|due| self.begin + due);
        let parts = self.told.filter(|(count, _)| *count < self.download.have().count());
        [due, self.late, parts.map(|(_, at)| at)].into_iter().flatten().fold(idle, Instant::min)
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Source { link, claims, connection } => {
                self.sources.entry(link).or_default();
                self.handle(Input::Coming { source: SourceId(link.0), claims });
                if let Some(connection) = connection {
                    self.up(link, connection);
                }
            }
            Order::Up { link, connection } => self.up(link, connection),
            Order::Down { link } => self.down(link),
            Order::Gone { link } => {
                self.down(link);
                self.sources.remove(&link);
            }
        }
    }

    fn up(&mut self, link: LinkId, connection: Connection) {
        let Some(source) = self.sources.get(&link) else { return };
        if let Some(before) = &source.connection {
            if before.stable_id() == connection.stable_id() {
                return;
            }
            self.down(link);
        }
        let watch = Watch {
            blobs: self.get.blobs.clone(),
            connection: connection.clone(),
            hash: self.get.place.hash,
            layout: self.layout,
            link,
            told: self.said.0.clone(),
        };
        let watch = self.watches.spawn(watch.run());
        self.sources.insert(link, Source { connection: Some(connection), watch: Some(watch) });
        self.handle(Input::Up { source: SourceId(link.0) });
    }

    fn down(&mut self, link: LinkId) {
        let Some(source) = self.sources.get_mut(&link) else { return };
        source.connection = None;
        if let Some(watch) = source.watch.take() {
            watch.abort();
        }
        self.handle(Input::Gone { source: SourceId(link.0) });
    }

    fn count(&mut self, request: RequestId, bytes: u64) {
        let Some(asked) = self.asked.get_mut(&request) else { return };
        asked.bytes = asked.bytes.saturating_add(bytes).min(self.layout.bytes(asked.part));
        self.has(request);
        self.handle(Input::Progress { request, bytes });
        self.tell_progress();
    }

    /// Notes what a request has brought.
    fn has(&mut self, request: RequestId) {
        let Some(asked) = self.asked.get(&request) else { return };
        if let Some(here) = usize::try_from(asked.part).ok().and_then(|at| self.here.get_mut(at)) {
            *here = asked.bytes.max(*here);
        }
    }

    async fn ended(
        &mut self,
        ended: Result<(Id, Result<(), FetchError>), JoinError>,
    ) -> Result<(), Ungot> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            // What makes our own machinery stumble is no fault of the source.
            Err(error) => (error.id(), Err(FetchError::Line)),
        };
        let Some(request) = self.ids.remove(&id) else { return Ok(()) };
        let Some(asked) = self.asked.get_mut(&request) else { return Ok(()) };
        let why = match result {
            Ok(()) => {
                asked.bytes = self.layout.bytes(asked.part);
                self.has(request);
                self.asked.remove(&request);
                self.handle(Input::Done { request });
                self.tell_progress();
                return Ok(());
            }
            Err(FetchError::Line | FetchError::Stalled) => Failure::Line,
            Err(FetchError::Wrong) => Failure::Wrong,
            Err(FetchError::OtherSize) => return Err(Ungot::Failed(FileFailure::NotAsOffered)),
            Err(FetchError::Lacking) => {
                self.is_as_offered().await?;
                Failure::Lacking
            }
            Err(FetchError::Unwritable(error)) => {
                return Err(Ungot::Kept(self.get.place.local(error)));
            }
        };
        self.asked.remove(&request);
        self.handle(Input::Failed { request, why });
        Ok(())
    }

    /// Whether the file can still have the length that it was said to have.
    async fn is_as_offered(&self) -> Result<(), Ungot> {
        let place = &self.get.place;
        match self.get.blobs.proven_size(place.hash).await {
            Some(size) if size != place.size => Err(Ungot::Failed(FileFailure::NotAsOffered)),
            _ => Ok(()),
        }
    }

    /// Tells the scheduler, and does what it orders.
    fn handle(&mut self, input: Input) {
        let now = self.begin.elapsed();
        self.download.handle(now, input);
        while let Some(order) = self.download.next() {
            match order {
                Do::Fetch { request, source, part } => self.fetch(request, LinkId(source.0), part),
                Do::Cancel { request } => {
                    if let Some(asked) = self.asked.remove(&request) {
                        asked.task.abort();
                    }
                }
                Do::Ban { source } => {
                    self.untold.push_back(SwarmEvent::Banned { link: LinkId(source.0) });
                }
                Do::Spare { source } => {
                    let what = SwarmEvent::Spare { link: LinkId(source.0) };
                    if !self.untold.contains(&what) {
                        self.untold.push_back(what);
                    }
                }
                Do::Starving if !self.untold.contains(&SwarmEvent::Starving) => {
                    self.untold.push_back(SwarmEvent::Starving);
                }
                Do::Starving => {}
            }
        }
    }

    fn fetch(&mut self, request: RequestId, link: LinkId, part: u32) {
        let connection = self.sources.get(&link).and_then(|source| source.connection.clone());
        let (blobs, hash, size) = (self.get.blobs.clone(), self.get.place.hash, self.layout.size());
        let range = self.layout.range(part);
        let mut meter = Meter::new(request.0, self.counts.0.clone());
        let task = self.tasks.spawn(async move {
            // The scheduler hears of it as of any other break.
            let Some(connection) = connection else { return Err(FetchError::Line) };
            let done = blobs.fetch_watched(&connection, hash, size, range, &mut meter).await;
            meter.tell().await;
            done
        });
        self.ids.insert(task.id(), request);
        let bytes = usize::try_from(part).ok().and_then(|at| self.here.get(at).copied());
        self.asked.insert(request, Asked { link, part, bytes: bytes.unwrap_or(0), task });
    }

    fn tell_progress(&mut self) {
        self.rate.set(self.here.iter().sum());
        let now = Instant::now();
        let Some(bytes_per_second) = self.rate.tell(now) else {
            self.late.get_or_insert(now + PROGRESS_STEP);
            return;
        };
        self.late = None;
        let giving: BTreeSet<_> = self.asked.values().map(|asked| asked.link).collect();
        let what = SwarmEvent::Progress {
            done: self.rate.done(),
            total: self.layout.size(),
            bytes_per_second,
            parts: self.layout.parts(),
            parts_done: self.download.have().count(),
            sources: u32::try_from(giving.len()).unwrap_or(u32::MAX),
        };
        // Progress that nobody has time for is no loss.
        drop(self.get.events.try_send(event(self.get.place.hash, what)));
    }

    /// Tells which parts others may have, if it is time.
    fn tell_parts(&mut self) {
        let (have, now) = (self.download.have(), Instant::now());
        if self.told.is_some_and(|(count, at)| count == have.count() || now < at) {
            return;
        }
        self.told = Some((have.count(), now + PARTS_STEP));
        let parts = have.clone();
        // Only the newest is of interest.
        self.untold.retain(|what| !matches!(what, SwarmEvent::Parts { .. }));
        self.untold.push_back(SwarmEvent::Parts { parts });
    }

    fn by(&self) -> Vec<(LinkId, u64, u32)> {
        let tallies = self.download.tallies().filter(|(_, tally)| tally.bytes > 0);
        tallies.map(|(source, tally)| (LinkId(source.0), tally.bytes, tally.parts)).collect()
    }
}

fn event(hash: [u8; 32], what: SwarmEvent) -> Event {
    Event::Swarm { hash: Some(FileHash(hash)), what }
}
