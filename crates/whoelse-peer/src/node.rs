//! What the caller holds.

use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::api::{Event, LinkId, Options, Peer, Relay, SendError, TransferId};

/// All links of one client.
///
/// No method waits, and what comes of it is told by an [`Event`]. While the caller does not take events, nothing more is
/// read of the network. What is asked of a link that does not exist (any more) does nothing.
pub struct Node {}

impl Node {
    /// Begins without a link.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(options: Options, events: mpsc::Sender<Event>) -> Self {
        drop((options, events));
        Self {}
    }

    /// Makes the keys of a new link: [`Event::Prepared`].
    pub fn prepare(&self, link: LinkId) {
        let _ = link;
    }

    /// Says where the relay is. Each call, also with the same relay, makes every link with a relay that is not
    /// connected to it try at once: after a new login, when the tickets are registered again.
    pub fn set_relay(&self, relay: Option<Relay>) {
        let _ = relay;
    }

    /// Opens our end of a prepared link: [`Event::Opened`] or [`Event::Failed`].
    pub fn open(&self, link: LinkId, with_relay: bool) {
        let _ = (link, with_relay);
    }

    /// Reaches for the other end of an open link, again and again, until [`Node::close`].
    pub fn dial(&self, link: LinkId, to: Peer) {
        drop((link, to));
    }

    /// Lets the other end of an open link in, and nobody else.
    pub fn expect(&self, link: LinkId, from: Peer) {
        drop((link, from));
    }

    /// Sends a text over a link, whether it is up already or not. `number` counts from 1.
    ///
    /// # Errors
    /// See [`SendError`]; the text was not taken then.
    pub fn send(&self, link: LinkId, number: u64, text: String) -> Result<(), SendError> {
        drop((link, number, text));
        Ok(())
    }

    /// Tells the other side that everything up to a number was shown.
    pub fn acknowledge(&self, link: LinkId, number: u64) {
        let _ = (link, number);
    }

    /// Ends a link: what was sent has a second to leave, then [`Event::Closed`].
    pub fn close(&self, link: LinkId) {
        let _ = link;
    }

    /// Offers a file over a link.
    pub fn offer_file(&self, link: LinkId, path: PathBuf) -> TransferId {
        drop((link, path));
        TransferId(0)
    }

    /// Takes a file that is offered.
    pub fn accept_file(&self, transfer: TransferId) {
        let _ = transfer;
    }

    /// Refuses a file that is offered.
    pub fn decline_file(&self, transfer: TransferId) {
        let _ = transfer;
    }

    /// Ends a transfer, of either direction, also one that waits for a link.
    pub fn cancel_file(&self, transfer: TransferId) {
        let _ = transfer;
    }

    /// Ends all links, as [`Node::close`] does, and keeps what there is of unfinished files. Takes two seconds at most.
    #[expect(clippy::unused_async, reason = "soon")]
    pub async fn shutdown(self) {}
}
