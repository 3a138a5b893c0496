//! Several clients on this machine, any two of which may be linked.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use whoelse_peer::{Event, LinkId, Node, Options, Peer, SwarmEvent};
use whoelse_proto::{EndpointKey, FileHash, FileName, PartMap};

use super::PATIENCE;
use super::home::Home;

/// A client and where it keeps things.
pub(crate) struct Member {
    pub(crate) home: Home,
    pub(crate) node: Node,
    events: mpsc::Receiver<Event>,
    /// What was told and not asked for yet.
    told: Vec<Event>,
    links: u64,
    device: String,
}

/// One end of a link that is not up yet.
pub(crate) struct End {
    pub(crate) link: LinkId,
    pub(crate) card: Peer,
}

impl Member {
    pub(crate) fn new(device: &str) -> Self {
        Self::at(device, Home::new())
    }

    pub(crate) fn at(device: &str, home: Home) -> Self {
        let options = home.options();
        Self::with(device, home, options)
    }

    pub(crate) fn with(device: &str, home: Home, options: Options) -> Self {
        let (sender, events) = mpsc::channel(64);
        let node = Node::start(options, sender);
        Self { home, node, events, told: Vec::new(), links: 0, device: device.to_owned() }
    }

    /// Waits for something, told already or not; what else is told can be asked for later.
    pub(crate) async fn wait<T>(&mut self, find: impl Fn(&Event) -> Option<T>) -> T {
        if let Some((at, found)) =
            self.told.iter().enumerate().find_map(|(at, event)| Some((at, find(event)?)))
        {
            self.told.remove(at);
            return found;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let event = timeout_at(until, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("not told: {:?}", self.told)).unwrap();
            if let Some(found) = find(&event) {
                return found;
            }
            self.told.push(event);
        }
    }

    /// The same of files that are shared.
    pub(crate) async fn swarm<T>(&mut self, find: impl Fn(&SwarmEvent) -> Option<T>) -> T {
        self.wait(|event| match event {
            Event::Swarm { what, .. } => find(what),
            _ => None,
        })
        .await
    }

    /// What was told so far and not asked for.
    pub(crate) fn told(&mut self) -> &[Event] {
        while let Ok(event) = self.events.try_recv() {
            self.told.push(event);
        }
        &self.told
    }

    pub(crate) async fn share(&mut self, path: &Path) -> (FileHash, u64) {
        self.node.share(7, path.to_owned());
        self.wait(|event| match event {
            Event::Swarm { hash: Some(hash), what: SwarmEvent::Shared { number, size, .. } } => {
                assert_eq!(*number, Some(7));
                Some((*hash, *size))
            }
            Event::Swarm { what: what @ SwarmEvent::NotShared { .. }, .. } => panic!("{what:?}"),
            _ => None,
        })
        .await
    }

    /// Shares some bytes.
    pub(crate) async fn give(&mut self, content: &[u8]) -> FileHash {
        let path = self.home.file("shared", content);
        self.share(&path).await.0
    }

    pub(crate) fn get(&self, hash: FileHash, size: usize) {
        self.node.get(hash, size as u64, FileName::of("film"), "note".to_owned());
    }

    /// Where it came, and what from whom.
    pub(crate) async fn received(&mut self) -> (PathBuf, HashMap<LinkId, (u64, u32)>) {
        let (path, by) = self
            .swarm(|what| match what {
                SwarmEvent::Received { path, by } => Some((path.clone(), by.clone())),
                SwarmEvent::NotReceived { .. } => panic!("{what:?}"),
                _ => None,
            })
            .await;
        (path, by.into_iter().map(|(link, bytes, parts)| (link, (bytes, parts))).collect())
    }

    pub(crate) async fn receives(&mut self, content: &[u8]) -> HashMap<LinkId, (u64, u32)> {
        let (path, by) = self.received().await;
        assert!(fs::read(&path).unwrap() == content, "another file came");
        by
    }

    /// Waits until nobody can give what is missing, from now on: without any source that is told at once.
    pub(crate) async fn starves(&mut self) {
        let is_hunger =
            |event: &Event| matches!(event, Event::Swarm { what: SwarmEvent::Starving, .. });
        self.told();
        self.told.retain(|event| !is_hunger(event));
        self.wait(|event| is_hunger(event).then_some(())).await;
    }

    /// Waits until all parts are here but so many.
    pub(crate) async fn lacks(&mut self, count: u32) {
        self.swarm(|what| match what {
            SwarmEvent::Progress { parts, parts_done, .. } => {
                (*parts_done + count == *parts).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Waits until so much has come.
    pub(crate) async fn has(&mut self, least: u64) {
        self.swarm(|what| match what {
            SwarmEvent::Progress { done, .. } => (*done >= least).then_some(()),
            SwarmEvent::Received { .. } => panic!("too fast"),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn kept(&mut self) -> PartMap {
        self.swarm(|what| match what {
            SwarmEvent::Kept { name, note, done, .. } => {
                assert_eq!((name.as_str(), note.as_str()), ("film", "note"));
                Some(done.clone())
            }
            _ => None,
        })
        .await
    }

    /// Makes one end of a link.
    pub(crate) async fn end(&mut self) -> End {
        self.links += 1;
        let link = LinkId(self.links);
        self.node.prepare(link);
        let endpoint: EndpointKey = self
            .wait(|event| match event {
                Event::Prepared { link: found, endpoint, .. } if *found == link => Some(*endpoint),
                _ => None,
            })
            .await;
        self.node.open(link, false);
        let addresses = self
            .wait(|event| match event {
                Event::Opened { link: found, addresses } if *found == link => {
                    Some(addresses.clone())
                }
                _ => None,
            })
            .await;
        let card = Peer { endpoint, addresses, relay: false, device: self.device.clone() };
        End { link, card }
    }

    pub(crate) async fn up(&mut self, link: LinkId) {
        self.wait(|event| {
            matches!(event, Event::Up { link: found, .. } if *found == link).then_some(())
        })
        .await;
    }
}

/// Links two; the first dials. Gives what each calls the link.
pub(crate) async fn link(a: &mut Member, b: &mut Member) -> (LinkId, LinkId) {
    let (one, two) = tokio::join!(a.end(), b.end());
    b.node.expect(two.link, one.card);
    a.node.dial(one.link, two.card);
    tokio::join!(a.up(one.link), b.up(two.link));
    (one.link, two.link)
}

/// The first fetches from the second, who allows it.
pub(crate) async fn source(a: &mut Member, b: &mut Member, hash: FileHash) -> (LinkId, LinkId) {
    let (ours, theirs) = link(a, b).await;
    b.node.allow(theirs, hash);
    a.node.add_source(hash, ours, None);
    (ours, theirs)
}
