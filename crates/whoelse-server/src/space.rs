//! Watches the free space where the data are, so that the disk is never filled to its end.
//!
//! A thread of its own asks the system, because a network's file system may take its time. It
//! sleeps while nothing is written.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tracing::{info, warn};

/// The space is looked at no more often than this, however much is written.
const PAUSE: Duration = Duration::from_secs(1);

/// While it is short it is looked at this often: somebody else may make room.
const PAUSE_WHILE_SHORT: Duration = Duration::from_secs(10);

/// Tells the watch that something is written. It ends when this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    written: Option<SyncSender<()>>,
}

impl Space {
    /// Nobody looks.
    pub(crate) fn unwatched() -> Self {
        Self { written: None }
    }

    /// Starts to watch a folder, and says when less than so many bytes are free there (`true`) and
    /// when there is room again. 0 bytes: nothing is watched.
    pub(crate) fn watch(
        folder: PathBuf,
        min_free: u64,
        tell: impl Fn(bool) + Send + 'static,
    ) -> std::io::Result<Self> {
        if min_free == 0 {
            return Ok(Self::unwatched());
        }
        let (written, notices) = mpsc::sync_channel(1);
        let mut judge = Judge { min_free, is_short: false };
        let mut look = move || {
            let free = free(&folder);
            let Some(change) = free.and_then(|free| judge.look(free)) else {
                return judge.is_short;
            };
            let (path, mib) = (folder.display(), free.unwrap_or_default() >> 20);
            if change {
                warn!(
                    "only {mib} MiB are free for {path}: nothing new is taken until there is room"
                );
            } else {
                info!("{mib} MiB are free for {path}: everything is taken again");
            }
            tell(change);
            change
        };
        let mut is_short = look(); // before the first message is taken
        std::thread::Builder::new().name("space".into()).spawn(move || {
            while wait(&notices, is_short) {
                is_short = look();
            }
        })?;
        Ok(Self { written: Some(written) })
    }

    /// Something is being written.
    pub(crate) fn note(&self) {
        if let Some(written) = &self.written {
            // If it cannot be told, it was told before and has not looked yet.
            written.try_send(()).unwrap_or_default();
        }
    }
}

/// Waits until it is time to look. Returns false if nobody watches any more.
fn wait(notices: &Receiver<()>, is_short: bool) -> bool {
    if is_short {
        return !matches!(
            notices.recv_timeout(PAUSE_WHILE_SHORT),
            Err(RecvTimeoutError::Disconnected)
        );
    }
    if notices.recv().is_err() {
        return false;
    }
    std::thread::sleep(PAUSE);
    true
}

/// How many bytes are free on the disk of a folder, for whoever is not root.
pub(crate) fn free(folder: &std::path::Path) -> Option<u64> {
    // A folder that cannot be looked at will be noticed by whoever writes to it.
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Decides what free space means.
#[derive(Debug)]
struct Judge {
    min_free: u64,
    is_short: bool,
}

impl Judge {
    /// Returns what has changed, if anything: whether space is short now.
    ///
    /// Room must be a quarter more before it counts as such again, so that it does not flicker.
    fn look(&mut self, free: u64) -> Option<bool> {
        let enough = self.min_free.saturating_add(self.min_free / 4);
        let is_short = if self.is_short { free <= enough } else { free < self.min_free };
        let has_changed = is_short != self.is_short;
        self.is_short = is_short;
        has_changed.then_some(is_short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_short_below_the_limit_until_there_is_a_quarter_more() {
        let mut judge = Judge { min_free: 100, is_short: false };
        let said: Vec<Option<bool>> =
            [500, 100, 99, 50, 100, 125, 126, 100, 99].map(|free| judge.look(free)).into();
        let (short, enough) = (Some(true), Some(false));
        assert_eq!(said, [None, None, short, None, None, None, enough, None, short]);
    }

    #[test]
    fn it_is_looked_at_once_at_the_start_and_told_only_if_short() {
        let folder = tempfile::tempdir().unwrap();
        for (min_free, expected) in [(0, false), (1, false), (u64::MAX / 2, true)] {
            let (told, heard) = mpsc::channel();
            let space = Space::watch(folder.path().to_owned(), min_free, move |short| {
                told.send(short).unwrap();
            });
            let space = space.unwrap();
            space.note();
            assert_eq!(heard.try_recv().is_ok(), expected, "{min_free}");
        }
    }
}
