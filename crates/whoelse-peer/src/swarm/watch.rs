//! What a source has, as it says itself, again and again.

use std::time::Duration;

use iroh::endpoint::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use whoelse_proto::{Layout, PartMap};

use crate::api::LinkId;
use crate::files::store::{Blobs, FileHash};

/// How often a source is asked that does not have all yet.
const OFTEN: Duration = Duration::from_millis(500);

/// How often one is asked that has. It is told again then: what failed may be tried again.
const SELDOM: Duration = Duration::from_secs(10);

/// How long after it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Whom to ask for what, and where to tell it.
pub(super) struct Watch {
    pub(super) blobs: Blobs,
    pub(super) connection: Connection,
    pub(super) hash: FileHash,
    pub(super) layout: Layout,
    pub(super) link: LinkId,
    pub(super) told: mpsc::Sender<(LinkId, PartMap)>,
}

impl Watch {
    /// Asks and tells, until it is stopped or the connection is over.
    pub(super) async fn run(self) {
        let mut last: Option<(PartMap, Instant)> = None;
        while self.connection.close_reason().is_none() {
            let asked = self.blobs.theirs(&self.connection, self.hash, self.layout.size());
            let Some(found) = timeout(ANSWER, asked).await.ok().flatten() else {
                sleep(AGAIN).await;
                continue;
            };
            let parts = found.parts(self.layout);
            let pause = if parts.is_all() { SELDOM } else { OFTEN };
            let is_old = |(told, at): &(PartMap, Instant)| *told == parts && at.elapsed() < SELDOM;
            if !last.as_ref().is_some_and(is_old) {
                if self.told.send((self.link, parts.clone())).await.is_err() {
                    return;
                }
                last = Some((parts, Instant::now()));
            }
            sleep(pause).await;
        }
    }
}
