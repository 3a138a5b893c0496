//! Files from many to many: what is shared, what is fetched from several at once, and who may have what.
//!
//! One task owns all of it; each get and each reading is a task of its own. What it knows is on disk before the caller
//! relies on it, in a store of its own.

mod get;
mod memory;
mod share;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::Connection;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use whoelse_proto::{FileHash, FileName, Layout, PartMap};

use crate::api::{Event, FileFailure, LinkId, SwarmEvent};
use crate::files::landing;
use crate::files::place::Place;
use crate::files::serve::Gate;
use crate::files::state::{Folder, Source};
use crate::files::store::Blobs;
use crate::{FILE_BYTES_MAX, GETS_MAX, NOTE_BYTES_MAX};
use get::{Get, Got, Ungot};
use memory::{Memory, Wanted};
use share::Share;

/// How often it is told what went out.
const SERVED_STEP: Duration = Duration::from_secs(1);

/// How many files are read through at once.
const READINGS_MAX: usize = 2;

type Hash = [u8; 32];

/// What the person wants, see [`crate::Node`]; and what links tell.
pub(crate) enum Order {
    Share { number: u64, path: PathBuf },
    Note { hash: FileHash, note: String },
    Unshare { hash: FileHash },
    Get { hash: FileHash, size: u64, name: FileName, note: String },
    Source { hash: FileHash, link: LinkId, claims: Option<PartMap> },
    Cancel { hash: FileHash },
    Allow { link: LinkId, hash: FileHash },
    Disallow { link: LinkId, hash: FileHash },
    Up { link: LinkId, connection: Connection },
    Down { link: LinkId },
    Gone { link: LinkId },
}

/// See above.
pub(crate) struct Swarm {
    events: mpsc::Sender<Event>,
    downloads: Option<PathBuf>,
    folder: Result<Folder, FileFailure>,
    gate: Arc<Gate>,
    memory: Memory,
    /// Opened when it is needed first.
    blobs: Option<Blobs>,
    /// Those without a note too.
    shares: BTreeMap<Hash, Share>,
    gets: BTreeMap<Hash, Wish>,
    lines: HashMap<LinkId, Connection>,
    readings: Arc<Semaphore>,
    /// How many files are about to be shared.
    reading: usize,
    /// When to look next whether what is shared is what it was; none while it is looked.
    look: Option<Instant>,
    tasks: JoinSet<Done>,
}

/// A get.
enum Wish {
    Running {
        orders: mpsc::UnboundedSender<get::Order>,
        task: AbortHandle,
    },
    /// It came in this run, and is served on.
    Whole {
        source: Source,
        size: u64,
    },
}

/// A task is done.
enum Done {
    Read(u64, Result<(Source, Hash, u64), FileFailure>),
    Got(Hash, Result<Got, Ungot>),
    /// What was shared is not what it was.
    Changed(Vec<Hash>),
    /// All that is shared was looked at; so much was not as it was.
    Looked(Vec<Hash>),
    /// The store has lost these.
    Lost(Vec<Hash>),
    /// A file was read again: whether it is the same.
    Mended(Hash, bool),
    Settled,
}

impl Swarm {
    pub(crate) fn new(
        events: &mpsc::Sender<Event>,
        downloads: Option<PathBuf>,
        folder: Result<Folder, FileFailure>,
        gate: &Arc<Gate>,
    ) -> Self {
        Self {
            events: events.clone(),
            downloads,
            folder,
            gate: Arc::clone(gate),
            memory: Memory::default(),
            blobs: None,
            shares: BTreeMap::new(),
            gets: BTreeMap::new(),
            lines: HashMap::new(),
            readings: Arc::new(Semaphore::new(READINGS_MAX)),
            reading: 0,
            look: Some(Instant::now() + share::LOOK),
            tasks: JoinSet::new(),
        }
    }

    /// Runs until nobody can order anything any more.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut troubles: mpsc::Receiver<Hash>,
    ) {
        self.recall().await;
        let mut ticks = interval(SERVED_STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.order(order).await,
                    None => break,
                },
                Some(Ok((task, done))) = self.tasks.join_next_with_id() => self.done(task, done).await,
                Some(hash) = troubles.recv() => self.suspect(hash),
                _ = ticks.tick() => self.tick(),
            }
        }
        self.end().await;
    }

    /// What came whole was served for this run only.
    async fn end(mut self) {
        self.tasks.shutdown().await;
        let Some(blobs) = &self.blobs else { return };
        for (hash, wish) in &self.gets {
            if matches!(wish, Wish::Whole { .. }) {
                self.clear(hash).await;
            }
        }
        blobs.shutdown().await;
    }

    /// Takes up what an earlier run left.
    async fn recall(&mut self) {
        let Ok(folder) = &self.folder else { return };
        match folder.read() {
            Ok(memory) => self.memory = memory,
            Err(error) => {
                self.folder = Err(FileFailure::Folder(error));
                return;
            }
        }
        self.tidy(folder);
        if self.memory.is_empty() {
            return;
        }
        let blobs = match self.blobs().await {
            Ok(blobs) => blobs,
            Err(why) => {
                self.folder = Err(why);
                return;
            }
        };
        self.recall_shares(&blobs).await;
        for wanted in self.memory.gets.clone() {
            let hash = wanted.hash;
            let present = blobs.present(hash, wanted.size).await.ok();
            let layout = Layout::of(wanted.size);
            let done = present
                .map_or_else(|| PartMap::none(layout.parts()), |present| present.parts(layout));
            let (name, note) = (FileName::of(&wanted.name), wanted.note.clone());
            self.tell(hash, SwarmEvent::Kept { name, size: wanted.size, note, done }).await;
            if let Err(why) = self.begin(&wanted).await {
                self.tell(hash, SwarmEvent::NotReceived { why }).await;
            }
        }
    }

    /// Removes what a run that was killed left where nobody asks for it any more.
    fn tidy(&self, folder: &Folder) {
        let keys = || self.memory.gets.iter().map(|wanted| get_key(&wanted.hash));
        // What cannot be removed is in the way of nothing.
        drop(Folder::sweep(&folder.swarm_whole(), &keys().map(Into::into).collect()));
        for key in keys() {
            if let Some(downloads) = &self.downloads {
                drop(std::fs::remove_dir_all(landing::own_folder(downloads, &key)));
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Share { number, path } => self.share(number, path).await,
            Order::Note { hash, note } => self.note(hash.0, note).await,
            Order::Unshare { hash } => self.unshare(hash.0).await,
            Order::Get { hash, size, name, note } => {
                let note = if note.len() > NOTE_BYTES_MAX { String::new() } else { note };
                let wanted = Wanted { hash: hash.0, size, name: name.to_string(), note };
                if let Err(why) = self.get(wanted).await {
                    self.tell(hash.0, SwarmEvent::NotReceived { why }).await;
                }
            }
            Order::Source { hash, link, claims } => {
                let connection = self.lines.get(&link).cloned();
                if let Some(Wish::Running { orders, .. }) = self.gets.get(&hash.0) {
                    // One that is about to end needs no source.
                    drop(orders.send(get::Order::Source { link, claims, connection }));
                }
            }
            Order::Cancel { hash } => {
                if matches!(self.gets.get(&hash.0), Some(Wish::Running { .. }))
                    || self.memory.gets.iter().any(|wanted| wanted.hash == hash.0)
                {
                    self.fail(hash.0, FileFailure::Cancelled).await;
                }
            }
            Order::Allow { link, hash } => self.gate.allow(link, hash.0),
            Order::Disallow { link, hash } => {
                let bytes = self.gate.disallow(link, &hash.0);
                self.served(link, hash.0, bytes);
            }
            Order::Up { link, connection } => {
                self.lines.insert(link, connection.clone());
                self.pass_on(|| get::Order::Up { link, connection: connection.clone() });
            }
            Order::Down { link } => {
                self.lines.remove(&link);
                self.pass_on(|| get::Order::Down { link });
            }
            Order::Gone { link } => {
                self.lines.remove(&link);
                self.pass_on(|| get::Order::Gone { link });
                for (hash, bytes) in self.gate.close(link) {
                    self.served(link, hash, bytes);
                }
            }
        }
    }

    fn pass_on(&self, order: impl Fn() -> get::Order) {
        for wish in self.gets.values() {
            if let Wish::Running { orders, .. } = wish {
                drop(orders.send(order()));
            }
        }
    }

    /// Begins to fetch, or goes on.
    async fn get(&mut self, wanted: Wanted) -> Result<(), FileFailure> {
        let hash = wanted.hash;
        let here = match (self.shares.get(&hash), self.gets.get(&hash)) {
            (Some(share), _) => Some((&share.source, share.size)),
            (None, Some(Wish::Whole { source, size })) => Some((source, *size)),
            (None, Some(Wish::Running { .. })) => return Ok(()),
            (None, None) => None,
        };
        if let Some((source, _)) = here.filter(|(source, size)| source.is_unchanged(*size)) {
            let what = SwarmEvent::Received { path: source.path.clone(), by: Vec::new() };
            self.tell(hash, what).await;
            return Ok(());
        }
        if wanted.size > FILE_BYTES_MAX {
            return Err(FileFailure::TooLarge);
        }
        if self.memory.gets.len() >= GETS_MAX
            && self.memory.gets.iter().all(|known| known.hash != hash)
        {
            return Err(FileFailure::TooMany);
        }
        self.folder.as_ref().map_err(Clone::clone)?;
        self.downloads.as_ref().ok_or(FileFailure::NoFolder)?;
        self.memory.want(wanted.clone());
        self.remember().await?;
        self.begin(&wanted).await
    }

    async fn begin(&mut self, wanted: &Wanted) -> Result<(), FileFailure> {
        let downloads = self.downloads.clone().ok_or(FileFailure::NoFolder)?;
        let blobs = self.blobs().await?;
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let key = get_key(&wanted.hash);
        let place = Place {
            pieces: folder.swarm(),
            whole: folder.swarm_whole().join(&key),
            downloads,
            key,
            name: FileName::of(&wanted.name),
            size: wanted.size,
            hash: wanted.hash,
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| FileFailure::Folder(error.to_string()))?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let get = Get {
            place,
            blobs,
            events: self.events.clone(),
            orders: ordered,
            seed: u64::from_le_bytes(seed),
            by: BTreeMap::new(),
        };
        let hash = wanted.hash;
        let task = self.tasks.spawn(async move { Done::Got(hash, get.run().await) });
        self.gets.insert(hash, Wish::Running { orders, task });
        Ok(())
    }

    async fn done(&mut self, task: Id, done: Done) {
        match done {
            // It was cancelled when it was done already, and perhaps begun anew.
            Done::Got(hash, _) if !self.is_run_by(&hash, task) => {}
            Done::Read(number, outcome) => self.read(number, outcome).await,
            Done::Got(hash, Ok(got)) => self.got(hash, got).await,
            Done::Got(hash, Err(Ungot::Kept(why))) => {
                if self.gets.remove(&hash).is_some() {
                    self.tell(hash, SwarmEvent::NotReceived { why }).await;
                }
            }
            Done::Got(hash, Err(Ungot::Failed(why))) => self.fail(hash, why).await,
            Done::Changed(hashes) => {
                for hash in hashes {
                    self.changed(hash).await;
                }
            }
            Done::Looked(hashes) => {
                self.look = Some(Instant::now() + share::LOOK);
                for hash in hashes {
                    self.changed(hash).await;
                }
            }
            Done::Lost(hashes) => hashes.into_iter().for_each(|hash| self.mend(hash, false)),
            Done::Mended(_, true) | Done::Settled => {}
            Done::Mended(hash, false) => self.changed(hash).await,
        }
    }

    fn is_run_by(&self, hash: &Hash, task: Id) -> bool {
        let running = self.gets.get(hash);
        matches!(running, Some(Wish::Running { task: it, .. }) if it.id() == task)
    }

    /// A file is in its place.
    async fn got(&mut self, hash: Hash, got: Got) {
        self.memory.end(&hash);
        // If it cannot be noted, it is found whole in the next run, and comes again: no harm.
        drop(self.remember().await);
        match Source::of(got.path.clone()) {
            Ok((source, size)) => {
                self.gets.insert(hash, Wish::Whole { source, size });
                self.settle(hash, got.path.clone());
            }
            // It is moved away already.
            Err(_) => {
                self.gets.remove(&hash);
                self.clear(&hash).await;
            }
        }
        self.tell(hash, SwarmEvent::Received { path: got.path, by: got.by }).await;
    }

    /// Lets what has landed be served from where it is, if the store has it elsewhere: it is not to be there twice.
    fn settle(&mut self, hash: Hash, path: PathBuf) {
        let (Ok(folder), Some(blobs)) = (&self.folder, self.blobs.clone()) else { return };
        let key = get_key(&hash);
        let waiting = folder.swarm_whole().join(&key);
        if is_same_file(&waiting, &path) {
            return;
        }
        self.tasks.spawn(async move {
            // If it cannot be read, it is served no more.
            let kept = blobs.add(path, &key).await;
            if !matches!(kept, Ok((found, _)) if found == hash) {
                blobs.forget(&key).await;
            }
            drop(std::fs::remove_file(waiting));
            Done::Settled
        });
    }

    /// A get is over, and nothing of it stays.
    async fn fail(&mut self, hash: Hash, why: FileFailure) {
        if let Some(Wish::Running { task, .. }) = self.gets.remove(&hash) {
            task.abort();
        }
        self.memory.end(&hash);
        drop(self.remember().await);
        self.withhold(&hash);
        self.clear(&hash).await;
        self.tell(hash, SwarmEvent::NotReceived { why }).await;
    }

    /// A file may not be fetched any more, unless we have it otherwise too.
    fn withhold(&self, hash: &Hash) {
        if !self.shares.contains_key(hash) && !self.gets.contains_key(hash) {
            self.gate.disallow_all(hash);
        }
    }

    /// What there is of a get goes.
    async fn clear(&self, hash: &Hash) {
        let key = get_key(hash);
        if let Some(downloads) = &self.downloads {
            drop(std::fs::remove_dir_all(landing::own_folder(downloads, &key)));
        }
        if let Ok(folder) = &self.folder {
            drop(std::fs::remove_file(folder.swarm_whole().join(&key)));
        }
        if let Some(blobs) = &self.blobs {
            blobs.forget(&key).await;
        }
    }

    fn tick(&mut self) {
        // Whoever has no time is told later, and more.
        if self.events.capacity() > 0 {
            for (link, hash, bytes) in self.gate.news() {
                self.served(link, hash, bytes);
            }
        }
        if self.look.is_some_and(|look| Instant::now() >= look) {
            self.look_at_shares();
        }
    }

    fn served(&self, link: LinkId, hash: Hash, bytes: u64) {
        if bytes > 0 {
            let what = SwarmEvent::Served { link, bytes };
            // A count that nobody has time for is no loss.
            drop(self.events.try_send(Event::Swarm { hash: Some(FileHash(hash)), what }));
        }
    }

    async fn blobs(&mut self) -> Result<Blobs, FileFailure> {
        if let Some(blobs) = &self.blobs {
            return Ok(blobs.clone());
        }
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let blobs = Blobs::open(&folder.swarm()).await.map_err(FileFailure::Folder)?;
        for name in blobs.names().await {
            if !self.is_kept(&name) {
                blobs.forget(&name).await;
            }
        }
        self.gate.swarm_is(&blobs);
        self.blobs = Some(blobs.clone());
        Ok(blobs)
    }

    /// Whether the store keeps something under this name for the next run.
    fn is_kept(&self, name: &str) -> bool {
        self.memory.gets.iter().any(|wanted| get_key(&wanted.hash) == name)
            || self.memory.shares.iter().any(|kept| share::key(&kept.hash) == name)
    }

    async fn remember(&self) -> Result<(), FileFailure> {
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let written = folder.write(&self.memory).await;
        written.map_err(|error| FileFailure::Folder(error.to_string()))
    }

    async fn tell(&self, hash: Hash, what: SwarmEvent) {
        // When nobody listens any more, all ends.
        drop(self.events.send(Event::Swarm { hash: Some(FileHash(hash)), what }).await);
    }
}

/// The name under which the store keeps what is fetched.
fn get_key(hash: &Hash) -> String {
    format!("get-{}", text(hash))
}

fn text(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path| std::fs::metadata(path).map(|about| (about.dev(), about.ino())).ok();
    file(one).is_some_and(|one| Some(one) == file(other))
}
