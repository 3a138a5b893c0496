//! The lines a program has written so far.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::DEADLINE;

/// What a program writes, line by line, as it comes.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    has_ended: bool,
}

impl Lines {
    /// Reads lines from a pipe until it ends, on a thread of its own.
    pub fn of(source: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let lines = Self { shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                shared.lock().lines.push(text);
                shared.more.notify_all();
                line.clear();
            }
            shared.lock().has_ended = true;
            shared.more.notify_all();
        });
        lines
    }

    /// All lines until now.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.shared.lock().lines.clone()
    }

    /// Waits until something can be found among the lines.
    ///
    /// # Panics
    /// If it cannot before the deadline or the end.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[String]) -> Option<T>) -> T {
        let mut written = self.shared.lock();
        loop {
            if let Some(found) = look(&written.lines) {
                return found;
            }
            let so_far = || written.lines.join("\n");
            assert!(!written.has_ended, "ended without {what}; it wrote:\n{}", so_far());
            let waited = self.shared.more.wait_timeout(written, DEADLINE);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            written = next;
            let so_far = || written.lines.join("\n");
            assert!(!timeout.timed_out(), "waited in vain for {what}; it wrote:\n{}", so_far());
        }
    }

    /// Waits until something can be found among the lines; none if it cannot until then, or the end.
    pub fn wait_until<T>(
        &self,
        until: Instant,
        mut look: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        let mut written = self.shared.lock();
        loop {
            if let Some(found) = look(&written.lines) {
                return Some(found);
            }
            let time = until.checked_duration_since(Instant::now())?;
            if written.has_ended {
                return None;
            }
            let waited = self.shared.more.wait_timeout(written, time);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line that contains a text, and returns the first one.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait(&format!("'{text}'"), |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }

    /// Waits until nothing more can come.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_end(&self) {
        let mut written = self.shared.lock();
        while !written.has_ended {
            let waited = self.shared.more.wait_timeout(written, DEADLINE);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            written = next;
            assert!(!timeout.timed_out(), "did not end; it wrote:\n{}", written.lines.join("\n"));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Written> {
        // A test that failed while it looked has changed nothing.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
