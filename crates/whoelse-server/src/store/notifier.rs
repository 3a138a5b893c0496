//! Tells events, one at a time, until a failure: that is the last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreEvent;

pub(super) struct Notifier {
    notify: Box<dyn Fn(StoreEvent) + Send + Sync>,
    /// Held while an event is told, so that none can come after the failure.
    failure: Mutex<Option<String>>,
}

impl Notifier {
    pub(super) fn new(notify: Box<dyn Fn(StoreEvent) + Send + Sync>) -> Self {
        Self { notify, failure: Mutex::new(None) }
    }

    pub(super) fn tell(&self, event: StoreEvent) {
        let failure = self.lock();
        if failure.is_none() {
            (self.notify)(event);
        }
        drop(failure);
    }

    /// Tells what went wrong and what to do; only the first time.
    pub(super) fn fail(&self, error: &dyn std::fmt::Display, hint: &str) {
        let mut failure = self.lock();
        if failure.is_none() {
            let text = format!("{error}; {hint}");
            tracing::error!(text, "store failed");
            *failure = Some(text.clone());
            (self.notify)(StoreEvent::Failed(text));
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the body of a thread. If it panics, that is a failure: the others would wait for ever.
pub(super) fn guarded(notifier: &Arc<Notifier>, body: Box<dyn FnOnce() + Send>) {
    struct Guard<'a>(&'a Notifier);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.fail(&"the store has a bug", "start again: nothing confirmed is lost");
            }
        }
    }
    let guard = Guard(notifier);
    body();
    drop(guard);
}
