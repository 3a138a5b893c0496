//! Files over links: who offered what to whom, what goes on when a link stands again, and how each ends.
//!
//! One task owns all of it. Links tell it what their other end says; fetching and reading through are tasks of their own.
//! What it knows of unfinished transfers is on disk before the other side relies on it.

mod fetch;
pub(crate) mod landing;
pub(crate) mod meter;
mod pace;
pub(crate) mod place;
pub(crate) mod rate;
pub(crate) mod receive;
mod said;
pub(crate) mod serve;
pub(crate) mod state;
pub(crate) mod store;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use iroh::endpoint::Connection;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use whoelse_proto::FileName;

use crate::TRANSFERS_MAX;
use crate::api::{Event, FileEvent, FileFailure, LinkId, Options, TransferId};
use crate::swarm::{self, Swarm};
use crate::wire::FileFrame;
use pace::Pace;
use place::Place;
use rate::Rate;
use receive::{Plan, Unreceived};
use serve::{Gate, TROUBLES_MAX, serve};
use state::{Folder, Kept, Memory, Source, Token};
use store::{Blobs, FileHash};

/// Most that waits to be said over one link; then nothing more is, until the next connection.
pub(crate) const FRAMES_MAX: usize = 256;

/// What the person wants.
pub(crate) enum Order {
    Offer { transfer: TransferId, link: LinkId, path: PathBuf },
    Accept(TransferId),
    Decline(TransferId),
    Cancel(TransferId),
    Swarm(swarm::Order),
}

/// What a link tells.
pub(crate) enum News {
    /// A connection stands, perhaps instead of another.
    Up {
        link: LinkId,
        device: String,
        connection: Connection,
        frames: mpsc::Sender<FileFrame<'static>>,
    },
    /// It broke; there may be another.
    Down { link: LinkId },
    /// Nothing is heard of the other end, though the connection stands.
    Silent { link: LinkId },
    /// It is heard again.
    Heard { link: LinkId },
    /// The other end says something.
    Said { link: LinkId, frame: FileFrame<'static> },
    /// The link is over.
    Gone { link: LinkId },
}

/// The names of transfers, given out by whoever needs one.
#[derive(Clone, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(crate) fn next(&self) -> TransferId {
        TransferId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// See above.
pub(crate) struct Files {
    events: mpsc::Sender<Event>,
    numbers: Numbers,
    downloads: Option<PathBuf>,
    folder: Result<Folder, FileFailure>,
    memory: Memory,
    /// Opened when it is needed first.
    blobs: Option<Blobs>,
    lines: HashMap<LinkId, Line>,
    /// How many connections came up.
    ups: u64,
    transfers: BTreeMap<TransferId, Transfer>,
    gate: Arc<Gate>,
    swarm: mpsc::UnboundedSender<swarm::Order>,
    pace: Pace,
    tasks: JoinSet<Done>,
}

/// A link that was up once.
struct Line {
    device: String,
    connection: Option<Connection>,
    frames: mpsc::Sender<FileFrame<'static>>,
    serving: AbortHandle,
    /// Later ones have higher numbers.
    order: u64,
}

struct Transfer {
    token: Token,
    device: String,
    name: FileName,
    size: u64,
    hash: FileHash,
    stage: Stage,
}

enum Stage {
    /// Ours; it is read through.
    Reading(AbortHandle),
    /// Ours; they know, or will.
    Sending { rate: Option<Rate>, waiting: bool },
    /// Theirs; the person has not answered yet.
    Asked(LinkId),
    /// Theirs, and wanted. Without a task it waits for a link.
    Receiving(Option<AbortHandle>),
}

/// A task is done.
enum Done {
    Read(TransferId, Result<(Source, FileHash, u64), FileFailure>),
    Received(TransferId, Result<PathBuf, Unreceived>),
    Served,
}

impl Files {
    /// Runs until nobody can order anything any more.
    pub(crate) async fn run(
        options: Options,
        events: mpsc::Sender<Event>,
        numbers: Numbers,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut news: mpsc::Receiver<News>,
    ) {
        let folder = match &options.folder {
            Some(path) => Folder::open(path).map_err(FileFailure::Folder),
            None => Err(FileFailure::NoFolder),
        };
        let (troubles, troubled) = mpsc::channel(TROUBLES_MAX);
        let gate = Arc::new(Gate::new(troubles));
        // What a person orders needs no bound, and links tell of themselves only now and then.
        let (swarm, ordered) = mpsc::unbounded_channel();
        let many = Swarm::new(&events, options.downloads.clone(), folder.clone(), &gate);
        let mut others = JoinSet::new();
        others.spawn(many.run(ordered, troubled));
        let mut files = Self::new(options.downloads, events, numbers, folder, gate, swarm);
        files.recall().await;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        // Whoever orders has heard what links told before: an offer needs its link.
                        for _ in 0..news.len() {
                            let Ok(news) = news.try_recv() else { break };
                            files.hear(news).await;
                        }
                        files.order(order).await;
                    }
                    None => break,
                },
                Some(news) = news.recv() => files.hear(news).await,
                Some(Ok(done)) = files.tasks.join_next() => files.done(done).await,
            }
        }
        files.tasks.shutdown().await;
        if let Some(blobs) = files.blobs {
            blobs.shutdown().await;
        }
        // Without anybody to order anything they end.
        drop(files.swarm);
        while others.join_next().await.is_some() {}
    }

    fn new(
        downloads: Option<PathBuf>,
        events: mpsc::Sender<Event>,
        numbers: Numbers,
        folder: Result<Folder, FileFailure>,
        gate: Arc<Gate>,
        swarm: mpsc::UnboundedSender<swarm::Order>,
    ) -> Self {
        Self {
            events,
            numbers,
            downloads,
            folder,
            memory: Memory::default(),
            blobs: None,
            lines: HashMap::new(),
            ups: 0,
            transfers: BTreeMap::new(),
            gate,
            swarm,
            pace: Pace::default(),
            tasks: JoinSet::new(),
        }
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
        self.tidy();
        for kept in self.memory.transfers.clone() {
            let transfer = self.numbers.next();
            let (name, sending) = (FileName::of(&kept.name), kept.source.is_some());
            let what = FileEvent::Kept {
                device: kept.device.clone(),
                name: name.clone(),
                size: kept.size,
                sending,
            };
            let stage = if sending {
                Stage::Sending { rate: None, waiting: true }
            } else {
                Stage::Receiving(None)
            };
            let Kept { token, device, size, hash, .. } = kept;
            let found = Transfer { token, device, name, size, hash, stage };
            self.transfers.insert(transfer, found);
            self.tell(transfer, what).await;
        }
    }

    /// Removes what a run that was killed left where nobody asks for it any more.
    fn tidy(&self) {
        let tokens = || self.memory.transfers.iter().map(|kept| text(&kept.token));
        if let Ok(folder) = &self.folder {
            // What cannot be removed is in the way of nothing.
            drop(Folder::sweep(&folder.whole(), &tokens().map(Into::into).collect()));
        }
        for token in tokens() {
            if let Some(downloads) = &self.downloads {
                drop(std::fs::remove_dir_all(landing::own_folder(downloads, &token)));
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Offer { transfer, link, path } => {
                if let Err(why) = self.offer(transfer, link, path).await {
                    self.tell(transfer, FileEvent::Failed(why)).await;
                }
            }
            Order::Accept(transfer) => {
                if let Err(why) = self.accept(transfer).await {
                    if self.is_kept(transfer) {
                        self.set_aside(transfer, why).await;
                    } else {
                        self.give_up(transfer, why).await;
                    }
                }
            }
            Order::Decline(transfer) => {
                let asked = self.transfers.get(&transfer);
                if asked.is_some_and(|found| matches!(found.stage, Stage::Asked(_))) {
                    self.give_up(transfer, FileFailure::Declined).await;
                }
            }
            Order::Cancel(transfer) => self.give_up(transfer, FileFailure::Cancelled).await,
            Order::Swarm(order) => self.swarm(order),
        }
    }

    fn swarm(&self, order: swarm::Order) {
        // It runs as long as this does.
        drop(self.swarm.send(order));
    }

    async fn offer(
        &mut self,
        transfer: TransferId,
        link: LinkId,
        path: PathBuf,
    ) -> Result<(), FileFailure> {
        let line = self.lines.get(&link).ok_or(FileFailure::NoLink)?;
        let device = line.device.clone();
        if self.has_many() {
            return Err(FileFailure::TooMany);
        }
        let blobs = self.blobs().await?;
        let mut token = Token::default();
        getrandom::fill(&mut token).map_err(|error| FileFailure::Folder(error.to_string()))?;
        let called = path.file_name().unwrap_or_default().to_string_lossy();
        let name = FileName::of(&called);
        let task = self.tasks.spawn(async move {
            Done::Read(transfer, receive::read(&blobs, path, |_| text(&token)).await)
        });
        let stage = Stage::Reading(task);
        let found = Transfer { token, device, name, size: 0, hash: FileHash::default(), stage };
        self.transfers.insert(transfer, found);
        Ok(())
    }

    /// Our file was read through.
    async fn read(
        &mut self,
        transfer: TransferId,
        source: Source,
        hash: FileHash,
        size: u64,
    ) -> Result<(), FileFailure> {
        let Some(found) = self.transfers.get_mut(&transfer) else { return Ok(()) };
        found.stage = Stage::Sending { rate: None, waiting: false };
        let device = found.device.clone();
        if self.memory.transfers.iter().any(|kept| kept.token == found.token) {
            // It was offered before.
            if (found.hash, found.size) != (hash, size) {
                return Err(FileFailure::Changed);
            }
            self.present(transfer, &device);
            return Ok(());
        }
        (found.hash, found.size) = (hash, size);
        let what = FileEvent::Asked { name: found.name.clone(), size };
        let kept = Kept {
            token: found.token,
            device: found.device.clone(),
            name: found.name.to_string(),
            size,
            hash,
            source: Some(source),
        };
        self.memory.keep(kept);
        self.remember().await?;
        self.tell(transfer, what).await;
        self.present(transfer, &device);
        Ok(())
    }

    /// Offers a file of ours, if the one it is for can be heard.
    fn present(&mut self, transfer: TransferId, device: &str) {
        let Some(found) = self.transfers.get(&transfer) else { return };
        let frame = FileFrame::Offer {
            token: found.token,
            name: found.name.as_str().to_owned().into(),
            size: found.size,
            hash: found.hash,
        };
        self.gate.offer(device, found.hash);
        self.say(device, frame);
    }

    /// Whether there is no room for one more, beside those that were set aside.
    fn has_many(&self) -> bool {
        self.transfers.len().max(self.memory.transfers.len()) >= TRANSFERS_MAX
    }

    async fn accept(&mut self, transfer: TransferId) -> Result<(), FileFailure> {
        let Some(found) = self.transfers.get_mut(&transfer) else { return Ok(()) };
        if !matches!(found.stage, Stage::Asked(_)) {
            return Ok(());
        }
        let downloads = self.downloads.clone().ok_or(FileFailure::NoFolder)?;
        let unwritable = |error: std::io::Error| {
            FileFailure::Unwritable(format!("{}: {error}", downloads.display()))
        };
        landing::try_out(&downloads, &text(&found.token)).map_err(unwritable)?;
        let lacking = landing::lacking(&downloads, found.size).map_err(unwritable)?;
        // What is here already may need no more.
        let is_new = self.memory.kept(&found.token, &found.device).is_none();
        if let Some((needed, free)) = lacking.filter(|_| is_new) {
            return Err(FileFailure::DiskFull { needed, free });
        }
        let kept = Kept {
            token: found.token,
            device: found.device.clone(),
            name: found.name.to_string(),
            size: found.size,
            hash: found.hash,
            source: None,
        };
        found.stage = Stage::Receiving(None);
        self.blobs().await?;
        self.memory.keep(kept);
        self.remember().await?;
        self.fetch(transfer).await
    }

    /// Begins to fetch, if it is not under way and the one who has it can be heard.
    async fn fetch(&mut self, transfer: TransferId) -> Result<(), FileFailure> {
        let Some(found) = self.transfers.get(&transfer) else { return Ok(()) };
        if !matches!(found.stage, Stage::Receiving(None)) {
            return Ok(());
        }
        let Some((link, connection, frames)) = self.line(&found.device) else {
            self.tell(transfer, FileEvent::Waiting).await;
            return Ok(());
        };
        let downloads = self.downloads.clone().ok_or(FileFailure::NoFolder)?;
        let blobs = self.blobs().await?;
        let Ok(folder) = &self.folder else { return Err(FileFailure::NoFolder) };
        let Some(found) = self.transfers.get_mut(&transfer) else { return Ok(()) };
        // If it is full, the next connection says it.
        drop(frames.try_send(FileFrame::Accept { token: found.token }));
        let key = text(&found.token);
        let place = Place {
            pieces: folder.pieces(),
            whole: folder.whole().join(&key),
            downloads,
            key,
            name: found.name.clone(),
            size: found.size,
            hash: found.hash,
        };
        let (token, events) = (found.token, self.events.clone());
        let plan = Plan { transfer, token, place, connection, frames, events };
        let task =
            self.tasks.spawn(async move { Done::Received(transfer, plan.receive(&blobs).await) });
        found.stage = Stage::Receiving(Some(task));
        self.tell(transfer, FileEvent::Started { link }).await;
        Ok(())
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Served => {}
            Done::Read(transfer, Ok((source, hash, size))) => {
                if let Err(why) = self.read(transfer, source, hash, size).await {
                    self.give_up(transfer, why).await;
                }
            }
            Done::Read(transfer, Err(why)) => self.give_up(transfer, why).await,
            Done::Received(transfer, Ok(path)) => {
                self.finish(transfer, FileEvent::Received { path }, true).await;
            }
            Done::Received(transfer, Err(Unreceived::Line)) => {
                if let Some(Transfer { stage: Stage::Receiving(task), .. }) =
                    self.transfers.get_mut(&transfer)
                {
                    *task = None;
                }
                if let Err(why) = self.fetch(transfer).await {
                    self.give_up(transfer, why).await;
                }
            }
            Done::Received(transfer, Err(Unreceived::Unlanded(why))) => {
                self.set_aside(transfer, why).await;
            }
            Done::Received(transfer, Err(Unreceived::Failed(why))) => {
                self.give_up(transfer, why).await;
            }
        }
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Up { link, device, connection, frames } => {
                let serving =
                    serve(Arc::clone(&self.gate), link, device.clone(), connection.clone());
                let serving = self.tasks.spawn(async move {
                    serving.await;
                    Done::Served
                });
                self.swarm(swarm::Order::Up { link, connection: connection.clone() });
                let line = Line {
                    device: device.clone(),
                    connection: Some(connection),
                    frames,
                    serving,
                    order: self.ups,
                };
                self.ups += 1;
                if let Some(before) = self.lines.insert(link, line) {
                    before.stop();
                }
                self.take_up(&device).await;
            }
            News::Silent { link } => self.swarm(swarm::Order::Down { link }),
            News::Heard { link } => {
                let connection = self.lines.get(&link).and_then(|line| line.connection.clone());
                if let Some(connection) = connection {
                    self.swarm(swarm::Order::Up { link, connection });
                }
            }
            News::Down { link } => {
                self.swarm(swarm::Order::Down { link });
                if let Some(line) = self.lines.get_mut(&link) {
                    line.connection = None;
                }
            }
            News::Gone { link } => {
                self.swarm(swarm::Order::Gone { link });
                let Some(line) = self.lines.remove(&link) else { return };
                line.stop();
                self.lose(link, &line.device).await;
            }
            News::Said { link, frame } => {
                if let Some(line) = self.lines.get(&link) {
                    let device = line.device.clone();
                    self.said(link, &device, frame).await;
                }
            }
        }
    }

    /// A device can be heard: what waited for it goes on.
    async fn take_up(&mut self, device: &str) {
        let theirs: Vec<_> = self.of(device);
        for transfer in theirs {
            let Some(found) = self.transfers.get_mut(&transfer) else { continue };
            match &mut found.stage {
                Stage::Sending { waiting, .. } => {
                    *waiting = false;
                    if let Err(why) = self.offer_again(transfer, device).await {
                        self.give_up(transfer, why).await;
                    }
                }
                // They offer it again when they are ready, or say that they know nothing of it.
                Stage::Receiving(None) => {
                    let token = found.token;
                    self.say(device, FileFrame::Accept { token });
                }
                Stage::Reading(_) | Stage::Asked(_) | Stage::Receiving(Some(_)) => {}
            }
        }
    }

    async fn offer_again(&mut self, transfer: TransferId, device: &str) -> Result<(), FileFailure> {
        let Some(found) = self.transfers.get(&transfer) else { return Ok(()) };
        let kept = self.memory.transfers.iter().find(|kept| kept.token == found.token);
        let source = kept.and_then(|kept| kept.source.as_ref());
        let Some(source) = source.filter(|source| source.is_unchanged(found.size)) else {
            return Err(FileFailure::Changed);
        };
        let (name, path) = (text(&found.token), source.path.clone());
        let (hash, size) = (found.hash, found.size);
        let blobs = self.blobs().await?;
        if blobs.keep(hash, &name).await.is_ok() && blobs.is_whole(hash, size).await {
            self.present(transfer, device);
            return Ok(());
        }
        // The program was killed before the store had noted it.
        let task = self.tasks.spawn(async move {
            Done::Read(transfer, receive::read(&blobs, path, |_| name.clone()).await)
        });
        let Some(found) = self.transfers.get_mut(&transfer) else { return Ok(()) };
        found.stage = Stage::Reading(task);
        Ok(())
    }

    /// A link is over.
    async fn lose(&mut self, link: LinkId, device: &str) {
        for transfer in self.of(device) {
            let heard = self.line(device).is_some();
            let Some(found) = self.transfers.get_mut(&transfer) else { continue };
            match &mut found.stage {
                Stage::Asked(asked) if *asked == link => {
                    self.transfers.remove(&transfer);
                    self.tell(transfer, FileEvent::Failed(FileFailure::NoLink)).await;
                }
                Stage::Sending { rate, waiting } if !heard && !*waiting => {
                    (*rate, *waiting) = (None, true);
                    self.tell(transfer, FileEvent::Waiting).await;
                }
                _ => {}
            }
        }
    }

    /// Ends a transfer for a reason of ours, and tells the other side.
    async fn give_up(&mut self, transfer: TransferId, why: FileFailure) {
        let Some(found) = self.transfers.get(&transfer) else { return };
        let token = found.token;
        let frame = match found.stage {
            Stage::Asked(_) => FileFrame::Decline { token },
            _ => FileFrame::Cancel { token },
        };
        let device = found.device.clone();
        self.say(&device, frame);
        self.finish(transfer, FileEvent::Failed(why), false).await;
    }

    /// A transfer cannot end well as things are here, but nothing of it is lost: it is over for now, and the other side
    /// is told nothing. It goes on when they offer it again and it is wanted again, or by itself in the next run.
    async fn set_aside(&mut self, transfer: TransferId, why: FileFailure) {
        if self.transfers.remove(&transfer).is_some() {
            self.tell(transfer, FileEvent::Failed(why)).await;
        }
    }

    /// They take back what was set aside.
    async fn forget(&mut self, token: &Token, device: &str) {
        if self.memory.kept(token, device).is_some() {
            self.memory.end(*token, false);
            drop(self.remember().await);
            self.clear(token).await;
        }
    }

    /// A transfer is over.
    async fn finish(&mut self, transfer: TransferId, what: FileEvent, done: bool) {
        let Some(found) = self.transfers.remove(&transfer) else { return };
        if let Stage::Reading(task) | Stage::Receiving(Some(task)) = &found.stage {
            task.abort();
        }
        let received = matches!(found.stage, Stage::Receiving(_));
        // Of what was never wanted there is nothing: whoever only asks costs no writing.
        let nothing = matches!(found.stage, Stage::Asked(_));
        self.withdraw(&found);
        if self.memory.end(found.token, done) || !nothing {
            // If it cannot be noted, the other side's question about it may come again: no harm.
            drop(self.remember().await);
            self.clear(&found.token).await;
        }
        if done && received {
            self.say(&found.device, FileFrame::Done { token: found.token });
        }
        self.tell(transfer, what).await;
    }

    /// What there is of a file goes.
    async fn clear(&self, token: &Token) {
        let token = &text(token);
        // Most have none of these.
        if let Some(downloads) = &self.downloads {
            drop(std::fs::remove_file(landing::former_place(downloads, token)));
            drop(std::fs::remove_dir_all(landing::own_folder(downloads, token)));
        }
        if let Ok(folder) = &self.folder {
            drop(std::fs::remove_file(folder.whole().join(token)));
        }
        if let Some(blobs) = &self.blobs {
            blobs.forget(token).await;
        }
    }

    /// What was offered is no longer served, unless it is offered a second time.
    fn withdraw(&self, over: &Transfer) {
        let again = self.of(&over.device).into_iter().any(|transfer| {
            let other = &self.transfers[&transfer];
            other.hash == over.hash && matches!(other.stage, Stage::Sending { .. })
        });
        if !again {
            self.gate.withdraw(&over.device, &over.hash);
        }
    }

    async fn blobs(&mut self) -> Result<Blobs, FileFailure> {
        if let Some(blobs) = &self.blobs {
            return Ok(blobs.clone());
        }
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let blobs = Blobs::open(&folder.pieces()).await.map_err(FileFailure::Folder)?;
        self.gate.files_are(&blobs);
        self.blobs = Some(blobs.clone());
        Ok(blobs)
    }

    async fn remember(&self) -> Result<(), FileFailure> {
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let written = folder.write(&self.memory).await;
        written.map_err(|error| FileFailure::Folder(error.to_string()))
    }

    /// The last connection that came up with a device: of one that was killed and is back, the one before seems to
    /// stand for some seconds.
    fn line(&self, device: &str) -> Option<(LinkId, Connection, mpsc::Sender<FileFrame<'static>>)> {
        let theirs = self.lines.iter().filter_map(|(&link, line)| {
            let connection = line.connection.as_ref().filter(|_| line.device == device)?;
            let stands = connection.close_reason().is_none();
            stands.then_some((link, connection, line))
        });
        let (link, connection, line) = theirs.max_by_key(|(.., line)| line.order)?;
        Some((link, connection.clone(), line.frames.clone()))
    }

    fn say(&self, device: &str, frame: FileFrame<'static>) {
        if let Some((_, _, frames)) = self.line(device) {
            // A link that takes nothing more is about to break; the next connection says it again.
            drop(frames.try_send(frame));
        }
    }

    fn of(&self, device: &str) -> Vec<TransferId> {
        let theirs = self.transfers.iter().filter(|(_, found)| found.device == device);
        theirs.map(|(&transfer, _)| transfer).collect()
    }

    fn find(&self, token: &Token, device: &str) -> Option<TransferId> {
        let mut all = self.transfers.iter();
        let found = all.find(|(_, found)| found.token == *token && found.device == device);
        found.map(|(&transfer, _)| transfer)
    }

    /// Whether it is remembered, so that something of it may be here.
    fn is_kept(&self, transfer: TransferId) -> bool {
        let found = self.transfers.get(&transfer);
        found.is_some_and(|found| self.memory.kept(&found.token, &found.device).is_some())
    }

    fn is_sending(&self, transfer: TransferId) -> bool {
        let found = self.transfers.get(&transfer);
        found.is_some_and(|found| matches!(found.stage, Stage::Sending { .. }))
    }

    async fn tell(&self, transfer: TransferId, what: FileEvent) {
        // When nobody listens any more, all ends.
        drop(self.events.send(Event::File { transfer, what }).await);
    }
}

impl Line {
    fn stop(&self) {
        self.serving.abort();
    }
}

/// A token as part of a name.
fn text(token: &Token) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}
