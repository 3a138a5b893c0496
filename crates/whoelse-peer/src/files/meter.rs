//! How much has come by one request, told now and then: each step of 16 KiB would be tens of thousands a second.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// From so many bytes on it is told.
const STEP: u64 = 64 * 1024;

/// However little it is, it is told after so long.
const WHILE: Duration = Duration::from_millis(100);

/// Counts for one request.
pub(crate) struct Meter {
    request: u64,
    told: mpsc::Sender<(u64, u64)>,
    /// How much was told, of how much.
    sent: u64,
    come: u64,
    at: Instant,
}

impl Meter {
    /// Of a request it is told how many bytes more have come.
    pub(crate) fn new(request: u64, told: mpsc::Sender<(u64, u64)>) -> Self {
        // The first bytes are told at once.
        Self { request, told, sent: 0, come: 0, at: Instant::now() - WHILE }
    }

    /// So much has come in all.
    pub(crate) async fn set(&mut self, come: u64) {
        self.come = come;
        if come.saturating_sub(self.sent) >= STEP || self.at.elapsed() >= WHILE {
            self.tell().await;
        }
    }

    /// Tells the rest.
    pub(crate) async fn tell(&mut self) {
        let more = self.come.saturating_sub(self.sent);
        if more > 0 {
            // Whoever counts is gone only when all is.
            self.told.send((self.request, more)).await.unwrap_or_default();
            (self.sent, self.at) = (self.come, Instant::now());
        }
    }
}
