//! Two clients on this machine that have been introduced.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod home;
pub(crate) mod raw;
pub(crate) mod relay;
pub(crate) mod swarm;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use whoelse_peer::{Event, LinkId, Node, Options, Peer};
use whoelse_proto::{EndpointKey, RelayTicket};

/// After this long a test has failed. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The link of each side.
pub(crate) const LINK: LinkId = LinkId(1);

/// One client.
pub(crate) struct Side {
    pub(crate) node: Node,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) endpoint: EndpointKey,
    pub(crate) ticket: RelayTicket,
    pub(crate) addresses: Vec<SocketAddr>,
    device: String,
    /// What was told before the link was prepared: of files of an earlier run.
    early: VecDeque<Event>,
}

/// Options of clients that both are on this machine.
pub(crate) fn here() -> Options {
    Options { loopback: true, ..Options::default() }
}

impl Side {
    /// Starts a client and prepares its link.
    pub(crate) async fn start(device: &str, options: Options) -> Self {
        Self::start_with_room(device, options, 64).await
    }

    pub(crate) async fn start_with_room(device: &str, options: Options, room: usize) -> Self {
        let (sender, mut events) = mpsc::channel(room);
        let node = Node::start(options, sender);
        node.prepare(LINK);
        let mut early = VecDeque::new();
        let (endpoint, ticket) = loop {
            match next(&mut events).await {
                Event::Prepared { link: LINK, endpoint, ticket } => break (endpoint, ticket),
                event @ (Event::File { .. } | Event::Swarm { .. }) => early.push_back(event),
                other => panic!("{other:?}"),
            }
        };
        let device = device.to_owned();
        Self { node, events, endpoint, ticket, addresses: Vec::new(), device, early }
    }

    pub(crate) async fn open(&mut self, with_relay: bool) {
        self.node.open(LINK, with_relay);
        match next(&mut self.events).await {
            Event::Opened { link: LINK, addresses } => self.addresses = addresses,
            other => panic!("{other:?}"),
        }
    }

    /// What the other side is told of this one.
    pub(crate) fn card(&self, relay: bool) -> Peer {
        Peer {
            endpoint: self.endpoint,
            addresses: self.addresses.clone(),
            relay,
            device: self.device.clone(),
        }
    }

    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.early.pop_front() {
            return event;
        }
        next(&mut self.events).await
    }

    /// Skips events until one is found for which there is an answer.
    pub(crate) async fn until<T>(&mut self, find: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.next().await;
            if let Some(found) = find(&event) {
                return found;
            }
        }
    }

    pub(crate) async fn up(&mut self) {
        self.until(|event| matches!(event, Event::Up { .. }).then_some(())).await;
    }

    /// The next text, which must have a number.
    pub(crate) async fn text(&mut self, number: u64) -> String {
        self.until(|event| match event {
            Event::Text { number: found, text, .. } => {
                assert_eq!(*found, number);
                Some(text.clone())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn acknowledged(&mut self, number: u64) {
        self.until(|event| match event {
            Event::Acknowledged { number: found, .. } if *found == number => Some(()),
            _ => None,
        })
        .await;
    }

    pub(crate) fn say(&self, number: u64, text: &str) {
        self.node.send(LINK, number, text.to_owned()).unwrap();
    }
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("nothing is told").expect("all is over")
}

/// Two clients, the first of which dials; both are up.
pub(crate) async fn pair() -> (Side, Side) {
    let (mut a, mut b) = (Side::start("luke", here()).await, Side::start("yoda", here()).await);
    introduce(&mut a, &mut b, false).await;
    (a, b)
}

/// Opens both ends, and lets the first dial.
pub(crate) async fn introduce(a: &mut Side, b: &mut Side, relay: bool) {
    tokio::join!(a.open(relay), b.open(relay));
    b.node.expect(LINK, a.card(relay));
    a.node.dial(LINK, b.card(relay));
    tokio::join!(a.up(), b.up());
}
