//! The profile and its log, as the core wants them.
//!
//! Appending waits for the disk, as does all that rests on it. Looking into a long log takes its time,
//! and does it on a thread of its own.

use std::future::pending;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{JoinHandle, spawn_blocking};

use super::Driver;
use crate::command::Command;
use crate::links::Peers;
use crate::log::{Entry, Found, Log, Look, Remembered};
use crate::notice::NoLog;
use crate::profile::{Device, Profile};

/// How long a client on this machine may take to leave after its session was taken over, and how
/// often it is looked whether it has.
const TAKEOVER_WAIT: Duration = Duration::from_secs(2);
const TAKEOVER_NUDGE: Duration = Duration::from_millis(10);

/// What is being looked for, and the thread that does it.
pub(super) struct Looking {
    command: Command,
    thread: JoinHandle<io::Result<Found>>,
}

impl Driver {
    /// Opens the profile of a name. Without one everything works, but for the password that has
    /// to be typed each time, and for what is to be kept of what is said.
    pub(super) fn open_profile(&mut self, name: &str) {
        let now_ms = self.now_ms();
        // It may be the same, and we would find it locked by ourselves.
        self.log = None;
        self.profile = None;
        let (log, device, kept) = self.try_profile(name);
        self.core.handle_log(log);
        self.core.handle_device(now_ms, device, kept);
    }

    /// Opens the profile once the client has left that had it: the session was taken over from it.
    /// Nothing else is done meanwhile, so that whatever comes in this session is kept.
    pub(super) fn take_profile_over(&mut self) {
        let Some(name) = self.core.name().map(str::to_owned) else { return };
        let until = Instant::now() + TAKEOVER_WAIT;
        loop {
            let (log, device, kept) = self.try_profile(&name);
            if log != Err(NoLog::InUse) || Instant::now() > until {
                return self.core.handle_profile_free(self.now_ms(), log, device, kept);
            }
            std::thread::sleep(TAKEOVER_NUDGE);
        }
    }

    fn try_profile(&mut self, name: &str) -> (Result<Remembered, NoLog>, Option<Device>, bool) {
        let (mut device, mut kept, mut why) = (None, false, NoLog::Missing);
        match self.meeting.open_profile(name) {
            Ok(Some((profile, new, was_kept))) => {
                self.carrier.keep_files_in(profile.folder());
                self.profile = Some(profile);
                (device, kept) = (Some(new), was_kept);
            }
            Ok(None) if self.meeting.has_state() => why = NoLog::InUse,
            Ok(None) => {}
            Err(error) => self.core.handle_not_kept(error.to_string()),
        }
        let peers = self.profile.as_ref().map_or(Ok(Peers::default()), Profile::peers);
        let now_ms = self.now_ms();
        self.core.handle_peers(now_ms, wall_ms() / 1000, peers);
        self.core.handle_seed(self.profile.as_ref().and_then(Profile::seed));
        (self.open_log(why), device, kept)
    }

    fn open_log(&mut self, why: NoLog) -> Result<Remembered, NoLog> {
        if !self.store {
            return Err(NoLog::Unwanted);
        }
        let Some(profile) = &self.profile else { return Err(why) };
        match Log::open(profile.folder(), wall_ms()) {
            Ok((log, remembered)) => {
                self.log = Some(log);
                Ok(remembered)
            }
            Err(error) => {
                self.core.handle_not_kept(error.to_string());
                Err(NoLog::Missing)
            }
        }
    }

    pub(super) fn change_profile(
        &mut self,
        change: impl FnOnce(&Profile, Option<&Device>) -> io::Result<()>,
    ) {
        let Some(profile) = &self.profile else { return };
        if let Err(error) = change(profile, self.core.device()) {
            self.core.handle_not_kept(error.to_string());
        }
    }

    /// Appends a batch to the log.
    pub(super) fn keep(&mut self, batch: u64, entries: &[Entry]) {
        let kept = match &mut self.log {
            Some(log) => log.append(entries, wall_ms()),
            // The profile has been opened anew, and nobody waits for this any more.
            None => Ok(()),
        };
        let now_ms = self.now_ms();
        match kept {
            Ok(()) => self.core.handle_kept(now_ms, batch),
            Err(error) => self.core.handle_keep_failed(now_ms, batch, error.to_string()),
        }
    }

    /// Begins to look into the log, after whatever is being looked for.
    pub(super) fn look(&mut self, command: Command) {
        let reader = match &self.log {
            Some(log) => log.reader(),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let look = match &command {
            Command::Search { words } => Look::Search { words: words.clone() },
            Command::History { user, count } => Look::History { user: user.clone(), count: *count },
            _ => return,
        };
        let thread = spawn_blocking(move || reader?.look(&look));
        self.looking.push_back(Looking { command, thread });
    }

    /// Tells what was found.
    pub(super) fn handle_found(&mut self, found: io::Result<Found>) {
        let Some(looking) = self.looking.pop_front() else { return };
        let now_ms = self.now_ms();
        let found = found.map_err(|error| error.to_string());
        self.core.handle_found(now_ms, looking.command, found);
    }
}

/// Waits for what is found first.
pub(super) async fn found(looking: Option<&mut Looking>) -> io::Result<Found> {
    match looking {
        Some(looking) => (&mut looking.thread).await.unwrap_or_else(|error| Err(error.into())),
        None => pending().await,
    }
}

/// The time of day, by which people know when something was said.
fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
