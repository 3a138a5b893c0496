//! The system's limit on open files, which connections use up.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors that are kept for everything but connections: data, listeners, the operator.
const KEPT: u64 = 64;

/// Raises the limit as far as the system lets us. Returns how many connections there may be of as
/// many as are wanted.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // If the system does not let us, the lower one counts.
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap_or_default();
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else { return wanted };
    let possible = usize::try_from(limit.saturating_sub(KEPT)).unwrap_or(usize::MAX).max(1);
    if possible < wanted / 2 {
        warn!(
            "only {possible} connections at once, not {wanted}: the system allows {limit} open \
             files (ulimit -n, LimitNOFILE)"
        );
    }
    possible.min(wanted)
}

/// A descriptor that is let go of when there is no other.
pub(crate) struct Reserve(Option<File>);

impl Reserve {
    pub(crate) fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Lets it go, so that something else can be opened.
    pub(crate) fn let_go(&mut self) {
        self.0 = None;
    }

    /// Takes it back, if there is one to be had.
    pub(crate) fn take_back(&mut self) {
        self.0 = File::open("/dev/null").ok();
    }
}

/// Whether there are no more descriptors, of this process or of the system.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}
