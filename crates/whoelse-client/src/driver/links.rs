//! Carrying private links: the words of the core, in those of `whoelse-peer`.
//!
//! What carries links has a thread of its own, so that nobody who types waits for it, and it begins with
//! the first link. Its reports come through a bounded queue that is not read while the screen
//! is behind; then it reads nothing more from the network.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use whoelse_peer::{Event, Failure, Node, Options, Peer, Relay, SendError};
use whoelse_proto::Fingerprint;

use super::{Driver, swarm};
use crate::links::files::Progress;
use crate::links::{
    FileEvent, FileFailure, FileId, LinkId, LinkOptions, PRIVATE_BYTES_MAX, PeerEvent, PeerFailure,
    PeerOrder, PeerPlace, Route, TEXT_BYTES_MAX, TEXTS_MAX,
};

/// Reports that wait for the loop; then whatever carries links waits.
const EVENTS_MAX: usize = 64;

/// The folder in the profile for unfinished files.
const FILES: &str = "files";

/// How long the end of everything waits for goodbyes to leave.
const FAREWELL: Duration = Duration::from_secs(2);

const _: () = {
    assert!(PRIVATE_BYTES_MAX <= whoelse_peer::TEXT_BYTES_MAX);
    assert!(TEXTS_MAX <= whoelse_peer::UNACKNOWLEDGED_MAX);
    assert!(TEXT_BYTES_MAX <= whoelse_peer::UNACKNOWLEDGED_BYTES_MAX);
    use crate::links::{FETCHING_MAX, LINKS_MAX, SERVING_MAX};
    assert!(LINKS_MAX + FETCHING_MAX + SERVING_MAX <= whoelse_peer::LINKS_MAX);
};

/// What carries links, once there is one.
pub(super) struct Carrier {
    options: Options,
    running: Option<Running>,
    relay: Option<Relay>,
}

struct Running {
    node: Node,
    events: mpsc::Receiver<Event>,
    /// Where its tasks run, and what ends the thread below them when it goes.
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Carrier {
    pub(super) fn new(options: &LinkOptions) -> Self {
        let options = Options {
            hide_address: options.hide_address,
            downloads: options.downloads.clone(),
            ..Options::default()
        };
        Self { options, running: None, relay: None }
    }

    /// Where the profile is that keeps unfinished files, unless there is another already.
    pub(super) fn keep_files_in(&mut self, profile: &Path) {
        self.options.folder = Some(profile.join(FILES));
    }

    /// Whether files of an earlier run may be unfinished.
    fn has_files(&self) -> bool {
        self.options.folder.as_ref().is_some_and(|folder| folder.exists())
    }

    /// The next report.
    pub(super) async fn next(&mut self) -> PeerEvent {
        if let Some(running) = &mut self.running {
            while let Some(event) = running.events.recv().await {
                if let Some(event) = translate(event) {
                    return event;
                }
            }
        }
        std::future::pending().await
    }

    /// Lets goodbyes leave, and ends.
    pub(super) async fn end(&mut self) {
        let Some(Running { node, events, handle, _alive }) = self.running.take() else { return };
        // Nobody wants to hear more, and nothing is to wait for somebody to listen.
        drop(events);
        let farewell = handle.spawn(node.shutdown());
        // Whoever is not told by then finds out by the silence.
        timeout(FAREWELL, farewell).await.map(drop).unwrap_or_default();
    }

    /// The node; it begins with the first link. None if there can be no more threads.
    fn node(&mut self) -> Option<&Node> {
        if self.running.is_none() {
            self.running = Running::begin(self.options.clone()).ok();
            if let Some(running) = &self.running {
                running.node.set_relay(self.relay);
            }
        }
        self.running.as_ref().map(|running| &running.node)
    }
}

impl Running {
    fn begin(options: Options) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (alive, ends) = oneshot::channel::<()>();
        let node = {
            let _entered = handle.enter();
            Node::start(options, sender)
        };
        let run = move || {
            // It completes when the other half is dropped.
            runtime.block_on(ends).unwrap_or_default();
            runtime.shutdown_background();
        };
        thread::Builder::new().name("links".into()).spawn(run)?;
        Ok(Self { node, events, handle, _alive: alive })
    }
}

impl Driver {
    /// Where the server is from now on: its relay is there, too.
    pub(super) fn note_relay(&mut self, address: SocketAddr, key: Fingerprint, loopback: bool) {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        self.carrier.relay = Some(Relay { address, key });
        // Others on this machine reach it by addresses that nobody else does.
        self.carrier.options.loopback = loopback;
    }

    /// Does what the core wants of what carries links.
    pub(super) fn carry(&mut self, order: PeerOrder) {
        let link = match order {
            PeerOrder::Relay => {
                // With files of an earlier run it begins now: it tells of them.
                let relay = self.carrier.relay;
                let begins = self.carrier.running.is_some() || self.carrier.has_files();
                if let Some(node) = begins.then(|| self.carrier.node()).flatten() {
                    node.set_relay(relay);
                }
                return;
            }
            PeerOrder::Prepare { link }
            | PeerOrder::Open { link, .. }
            | PeerOrder::Dial { link, .. }
            | PeerOrder::Expect { link, .. }
            | PeerOrder::Send { link, .. }
            | PeerOrder::Acknowledge { link, .. }
            | PeerOrder::Close { link } => link,
            PeerOrder::CheckFile { .. }
            | PeerOrder::OfferFile { .. }
            | PeerOrder::AcceptFile { .. }
            | PeerOrder::DeclineFile { .. }
            | PeerOrder::CancelFile { .. }
            | PeerOrder::Swarm(_) => return self.carry_file(order),
        };
        let done = match self.carrier.node() {
            Some(node) => carry_out(node, order),
            None => Err("there can be no more threads"),
        };
        if let Err(words) = done {
            let why = PeerFailure::Other(words.to_owned());
            self.core.handle_peer(self.now_ms(), PeerEvent::Failed { link, why });
        }
    }

    fn carry_file(&mut self, order: PeerOrder) {
        let now_ms = self.now_ms();
        if let PeerOrder::CheckFile { number, path } = &order {
            return self.core.handle_file_checked(now_ms, *number, check(path));
        }
        // Whoever has no thread for it has no link either.
        let Some(node) = self.carrier.node() else { return };
        match order {
            PeerOrder::OfferFile { number, link, path } => {
                let file = FileId(node.offer_file(theirs(link), path).0);
                self.core.handle_peer(now_ms, PeerEvent::Offering { number, file });
            }
            PeerOrder::AcceptFile { file } => node.accept_file(transfer(file)),
            PeerOrder::DeclineFile { file } => node.decline_file(transfer(file)),
            PeerOrder::CancelFile { file } => node.cancel_file(transfer(file)),
            PeerOrder::Swarm(order) => swarm::carry(node, order),
            _ => {}
        }
    }
}

fn carry_out(node: &Node, order: PeerOrder) -> Result<(), &'static str> {
    match order {
        PeerOrder::Prepare { link } => node.prepare(theirs(link)),
        PeerOrder::Open { link, relay } => node.open(theirs(link), relay),
        PeerOrder::Dial { link, to, device } => node.dial(theirs(link), peer(to, device)),
        PeerOrder::Expect { link, from, device } => node.expect(theirs(link), peer(from, device)),
        PeerOrder::Acknowledge { link, number } => node.acknowledge(theirs(link), number),
        PeerOrder::Close { link } => node.close(theirs(link)),
        PeerOrder::Send { link, number, text } => {
            return match node.send(theirs(link), number, text) {
                // Why there is none any more is on its way.
                Ok(()) | Err(SendError::NoLink) => Ok(()),
                Err(SendError::TooLong) => Err("a text was too long"),
                Err(SendError::TooMany) => Err("too many texts wait to be confirmed"),
                Err(SendError::WrongNumber) => Err("a text was out of order"),
            };
        }
        // Carried out elsewhere.
        PeerOrder::Relay
        | PeerOrder::CheckFile { .. }
        | PeerOrder::OfferFile { .. }
        | PeerOrder::AcceptFile { .. }
        | PeerOrder::DeclineFile { .. }
        | PeerOrder::CancelFile { .. }
        | PeerOrder::Swarm(_) => {}
    }
    Ok(())
}

/// Whether there is such a file, and it can be read.
fn check(path: &Path) -> Result<(), FileFailure> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileFailure::NotThere,
        _ => FileFailure::Unreadable(error.to_string()),
    };
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(FileFailure::NotAFile);
    }
    File::open(path).map(drop).map_err(unreadable)
}

fn transfer(file: FileId) -> whoelse_peer::TransferId {
    whoelse_peer::TransferId(file.0)
}

pub(super) fn theirs(link: LinkId) -> whoelse_peer::LinkId {
    whoelse_peer::LinkId(link.0)
}

pub(super) fn ours(link: whoelse_peer::LinkId) -> LinkId {
    LinkId(link.0)
}

fn peer(place: PeerPlace, device: String) -> Peer {
    let PeerPlace { endpoint, addresses, relay } = place;
    Peer { endpoint, addresses, relay, device }
}

fn way(route: whoelse_peer::Route) -> Route {
    match route {
        whoelse_peer::Route::Direct => Route::Direct,
        whoelse_peer::Route::Relayed => Route::Relayed,
    }
}

/// A report in the words of the core; none if it is of no interest there.
fn translate(event: Event) -> Option<PeerEvent> {
    Some(match event {
        Event::Prepared { link, endpoint, ticket } => {
            PeerEvent::Prepared { link: ours(link), endpoint, ticket }
        }
        Event::Opened { link, addresses } => PeerEvent::Opened { link: ours(link), addresses },
        Event::Up { link, route, .. } => PeerEvent::Up { link: ours(link), route: way(route) },
        Event::Route { link, route } => PeerEvent::Route { link: ours(link), route: way(route) },
        Event::Silent { link } => PeerEvent::Silent { link: ours(link) },
        Event::Heard { link } => PeerEvent::Heard { link: ours(link) },
        Event::Text { link, number, text } => PeerEvent::Text { link: ours(link), number, text },
        Event::Acknowledged { link, number } => {
            PeerEvent::Acknowledged { link: ours(link), number }
        }
        Event::Bye { link } => PeerEvent::Bye { link: ours(link) },
        Event::Failed { link, why } => PeerEvent::Failed { link: ours(link), why: failure(why) },
        Event::File { transfer, what } => {
            PeerEvent::File { file: FileId(transfer.0), event: happening(what) }
        }
        event @ Event::Swarm { .. } => return swarm::translate(event),
        Event::Unreached { .. } | Event::Closed { .. } => return None,
    })
}

fn happening(what: whoelse_peer::FileEvent) -> FileEvent {
    use whoelse_peer::FileEvent as Theirs;
    match what {
        Theirs::Offered { link, name, size } => FileEvent::Offered { link: ours(link), name, size },
        Theirs::Kept { device, name, size, sending } => {
            FileEvent::Kept { device, name, size, sending }
        }
        Theirs::Asked { name, size } => FileEvent::Asked { name, size },
        Theirs::Started { .. } => FileEvent::Started,
        Theirs::Progress { done, total, bytes_per_second } => {
            FileEvent::Progress(Progress { done, total, bytes_per_second })
        }
        Theirs::Waiting => FileEvent::Waiting,
        Theirs::Received { path } => FileEvent::Received { path },
        Theirs::Sent => FileEvent::Sent,
        Theirs::Failed(why) => FileEvent::Failed(file_failure(why)),
    }
}

pub(super) fn file_failure(why: whoelse_peer::FileFailure) -> FileFailure {
    use whoelse_peer::FileFailure as Theirs;
    match why {
        Theirs::NoLink => FileFailure::NoLink,
        Theirs::NoFolder => FileFailure::NoFolder,
        Theirs::Folder(words) => FileFailure::Folder(words),
        Theirs::Unreadable(words) => FileFailure::Unreadable(words),
        Theirs::NotAFile => FileFailure::NotAFile,
        Theirs::TooLarge => FileFailure::TooLarge,
        Theirs::TooMany => FileFailure::TooMany,
        Theirs::Declined => FileFailure::Declined,
        Theirs::Cancelled => FileFailure::Cancelled,
        Theirs::CancelledByPeer => FileFailure::CancelledByPeer,
        Theirs::NotAsOffered => FileFailure::NotAsOffered,
        Theirs::Changed => FileFailure::Changed,
        Theirs::DiskFull { needed, free } => FileFailure::DiskFull { needed, free },
        Theirs::Unwritable(words) => FileFailure::Unwritable(words),
    }
}

fn failure(failure: Failure) -> PeerFailure {
    match failure {
        Failure::Socket(words) => PeerFailure::Other(words),
        Failure::TooMany => PeerFailure::Other("there are too many links".to_owned()),
        Failure::BadKey => PeerFailure::WrongIdentity,
        Failure::Protocol(_) => PeerFailure::Protocol,
    }
}
