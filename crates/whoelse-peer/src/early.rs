//! Whoever comes to an end of ours before somebody is expected there, or though nobody ever is.
//!
//! Left alone they would wait where iroh lets tens of thousands wait, with all they send.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use iroh::Endpoint;
use iroh::endpoint::Incoming;
use tokio::task::AbortHandle;

/// Most who wait. Whoever is expected later is often among them, for its card goes a longer way; if not, it knocks again
/// within seconds.
const WAITING_MAX: usize = 4;

/// Takes whoever comes to an end, from its beginning on.
pub(crate) struct Early {
    waiting: Arc<Waiting>,
    task: AbortHandle,
}

/// The newest, while it is not known whether somebody is expected.
#[derive(Default)]
struct Waiting(Mutex<Option<VecDeque<Incoming>>>);

impl Early {
    pub(crate) fn at(endpoint: Endpoint) -> Self {
        let waiting = Arc::new(Waiting(Mutex::new(Some(VecDeque::new()))));
        let task = tokio::spawn(take(endpoint, Arc::clone(&waiting))).abort_handle();
        Self { waiting, task }
    }

    /// Somebody is expected: gives those who wait away. From now on the caller takes whoever comes.
    pub(crate) fn end(&self) -> VecDeque<Incoming> {
        self.task.abort();
        self.waiting.decided()
    }

    /// Nobody is expected, ever: none of those who come gets an answer.
    pub(crate) fn ignore(&self) {
        self.waiting.decided().into_iter().for_each(Incoming::ignore);
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.task.abort();
        self.ignore();
    }
}

impl Waiting {
    fn add(&self, incoming: Incoming) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = waiting.as_mut() else { return incoming.ignore() };
        waiting.push_back(incoming);
        if waiting.len() > WAITING_MAX
            && let Some(first) = waiting.pop_front()
        {
            first.ignore();
        }
    }

    fn decided(&self) -> VecDeque<Incoming> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take().unwrap_or_default()
    }
}

async fn take(endpoint: Endpoint, waiting: Arc<Waiting>) {
    while let Some(incoming) = endpoint.accept().await {
        waiting.add(incoming);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use iroh::EndpointAddr;
    use iroh::endpoint::presets;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    impl Early {
        fn count(&self) -> Option<usize> {
            self.waiting.0.lock().unwrap().as_ref().map(VecDeque::len)
        }
    }

    async fn endpoint() -> Endpoint {
        Endpoint::builder(presets::Minimal).alpns(vec![b"x".to_vec()]).bind().await.unwrap()
    }

    /// Many who come to an end.
    async fn crowd(to: &Endpoint) -> JoinSet<bool> {
        let mut crowd = JoinSet::new();
        let from = endpoint().await;
        for _ in 0..3 * WAITING_MAX {
            let (from, to): (_, EndpointAddr) = (from.clone(), to.addr());
            crowd.spawn(async move { from.connect(to, b"x").await.is_ok() });
        }
        crowd
    }

    #[tokio::test]
    async fn few_wait_and_are_given_away() {
        let to = endpoint().await;
        let early = Early::at(to.clone());
        let mut crowd = crowd(&to).await;
        let full = async {
            while early.count() != Some(WAITING_MAX) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, full).await.unwrap();
        let waiting = early.end();
        assert_eq!(waiting.len(), WAITING_MAX);
        let connections: Vec<_> =
            waiting.into_iter().map(|incoming| tokio::spawn(async { incoming.await })).collect();
        assert_eq!(timeout(PATIENCE, crowd.join_next()).await.unwrap().unwrap().ok(), Some(true));
        drop(connections);
    }

    #[tokio::test]
    async fn where_nobody_is_expected_nobody_waits_or_learns_anything() {
        let to = endpoint().await;
        let early = Early::at(to.clone());
        early.ignore();
        let mut crowd = crowd(&to).await;
        assert!(timeout(Duration::from_millis(500), crowd.join_next()).await.is_err());
        assert_eq!(early.count(), None);
        // None of them waits anywhere.
        assert!(timeout(Duration::from_millis(1), to.accept()).await.is_err());
    }
}
