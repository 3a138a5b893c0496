//! One link from its keys to its end: a task that owns our end of it, the connection that stands, and all that waits.

mod standing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iroh::EndpointId;
use tokio::sync::{Notify, mpsc, watch};
use whoelse_proto::EndpointKey;

use crate::api::{Event, Failure, LinkId, Peer};
use crate::endpoint::{End, Plan};
use crate::files::News;
use crate::texts::Texts;
use standing::Standing;

/// What a link shares with whoever calls.
#[derive(Default)]
pub(crate) struct Shared {
    texts: Mutex<Texts>,
    /// There is something to write.
    pub(crate) wake: Notify,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of a link, at most once each; so the queue of them needs no bound.
pub(crate) enum Order {
    Open { with_relay: bool },
    Dial(Peer),
    Expect(Peer),
    Close,
}

/// What a link is made of.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) plan: Plan,
    /// Tells the door who is let in.
    pub(crate) admit: watch::Sender<Option<EndpointId>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) files: mpsc::Sender<News>,
}

/// How a link ended.
enum Ending {
    Closed,
    /// They said so, and that is told already.
    Told,
    Failed(Failure),
}

/// Whom a link leads to.
struct Target {
    peer: Peer,
    id: EndpointId,
    /// We reach for them, and not they for us.
    dials: bool,
}

impl Link {
    /// Runs the link to its end, and tells that.
    pub(crate) async fn run(mut self) {
        let link = self.id;
        let (mut last, ending) = self.live().await;
        last.extend(match ending {
            Ending::Closed => Some(Event::Closed { link }),
            Ending::Failed(why) => Some(Event::Failed { link, why }),
            Ending::Told => None,
        });
        // When nobody listens any more, all ends.
        drop(self.files.send(News::Gone { link }).await);
        for event in last {
            drop(self.events.send(event).await);
        }
    }

    async fn live(&mut self) -> (VecDeque<Event>, Ending) {
        let nothing = VecDeque::new();
        let Some(with_relay) = self.opened().await else { return (nothing, Ending::Closed) };
        self.plan.with_relay = with_relay;
        let end = match self.plan.bind().await {
            Ok(end) => end,
            Err(error) => return (nothing, Ending::Failed(Failure::Socket(error))),
        };
        match self.target(&end).await {
            Ok(target) => {
                self.admit.send_replace(Some(target.id));
                Standing::new(self, end, target).live().await
            }
            Err(ending) => {
                end.close().await;
                (nothing, ending)
            }
        }
    }

    async fn opened(&mut self) -> Option<bool> {
        loop {
            match self.orders.recv().await? {
                Order::Open { with_relay } => return Some(with_relay),
                Order::Close => return None,
                Order::Dial(_) | Order::Expect(_) => {}
            }
        }
    }

    /// Tells where our end can be reached, and waits for where theirs can.
    async fn target(&mut self, end: &End) -> Result<Target, Ending> {
        let link = self.id;
        let with_relay = self.plan.with_relay && self.plan.place.borrow().is_some();
        let events = self.events.clone();
        let tell = async {
            let addresses = end.addresses(with_relay).await;
            drop(events.send(Event::Opened { link, addresses }).await);
            std::future::pending::<()>().await;
        };
        let (peer, dials) = tokio::select! {
            () = tell => return Err(Ending::Closed),
            asked = asked(&mut self.orders) => asked.ok_or(Ending::Closed)?,
        };
        let EndpointKey(key) = peer.endpoint;
        let id = EndpointId::from_bytes(&key).map_err(|_| Ending::Failed(Failure::BadKey))?;
        if id == self.plan.key.public() {
            return Err(Ending::Failed(Failure::BadKey));
        }
        Ok(Target { peer, id, dials })
    }
}

async fn asked(orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<(Peer, bool)> {
    loop {
        match orders.recv().await? {
            Order::Dial(peer) => return Some((peer, true)),
            Order::Expect(peer) => return Some((peer, false)),
            Order::Close => return None,
            Order::Open { .. } => {}
        }
    }
}
