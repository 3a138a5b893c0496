//! The file of the log: appended to, and made whole again after a crash.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::backwards::Backwards;
use super::entry::Entry;
use super::look::{Found, Look};
use super::remember::{Remembered, remember};
use super::storage::{Storage, read_exact_at};

/// The file, in the folder of the profile.
const FILE: &str = "messages.jsonl";

/// The log of a profile, open for appending. The profile's lock keeps others out.
pub struct Log<S = File> {
    file: S,
    /// Where the last whole batch ends.
    length: u64,
    /// More may stand behind that place, left by a write that failed.
    torn: bool,
}

impl Log {
    /// Opens the log, or makes it, and finds what is unfinished in it.
    pub(crate) fn open(folder: &Path, now_ms: u64) -> io::Result<(Self, Remembered)> {
        let path = folder.join(FILE);
        let is_new = !path.try_exists()?;
        let file =
            OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
        if is_new {
            // A file that is gone after a power cut keeps nothing.
            File::open(folder)?.sync_all()?;
        }
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Self::over(file, now_ms)
    }
}

impl<S: Storage> Log<S> {
    /// Takes up what was written before, and finds what is unfinished in it. `now_ms` is the time of
    /// day, in milliseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be read, or its torn end not be taken away.
    pub fn over(file: S, now_ms: u64) -> io::Result<(Self, Remembered)> {
        let length = whole_length(&file)?;
        let mut log = Self { file, length, torn: true };
        log.mend()?;
        let remembered = remember(&log.file, length, now_ms)?;
        Ok((log, remembered))
    }

    /// Appends entries, in one write; those that are promised are on disk afterwards. Either all are
    /// in the log or, after a failure, none. `now_ms` is the time of day, as in [`Self::over`].
    ///
    /// # Errors
    /// When they could not be written, or not be synced.
    pub fn append(&mut self, entries: &[Entry], now_ms: u64) -> io::Result<()> {
        self.mend()?;
        let now = rfc3339(now_ms);
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write(&now, &mut bytes));
        self.torn = true;
        let written = self.file.append(&bytes).and_then(|()| {
            if entries.iter().any(Entry::is_promised) { self.file.sync() } else { Ok(()) }
        });
        if written.is_ok() {
            self.length += bytes.len() as u64;
            self.torn = false;
        } else {
            // At the next try, if it cannot be done now.
            self.mend().unwrap_or_default();
        }
        written
    }

    /// A reader of what is in the log now, which may go on in another thread.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn reader(&self) -> io::Result<Reader<S>> {
        Ok(Reader { file: self.file.try_clone()?, length: self.length })
    }

    /// Takes away what a write that failed has left behind the last whole batch.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn && self.file.length()? > self.length {
            self.file.truncate(self.length)?;
        }
        self.torn = false;
        Ok(())
    }
}

/// The log up to a place.
pub struct Reader<S = File> {
    file: S,
    length: u64,
}

impl<S: Storage> Reader<S> {
    /// Looks for what somebody wants to see.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&self, look: &Look) -> io::Result<Found> {
        super::look::look(Backwards::new(&self.file, self.length), look)
    }
}

/// Up to where the file consists of whole lines: a torn one was never reported as kept.
fn whole_length(file: &impl Storage) -> io::Result<u64> {
    let mut end = file.length()?;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        read_exact_at(file, bytes, start)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A point in time, as it stands in the log.
fn rfc3339(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::log::entry::Mail;

    fn out(id: &str) -> Entry {
        Entry::Out { id: id.into(), to: "luke".into(), text: "hi".into(), at: None }
    }

    fn unfinished(folder: &Path) -> Vec<String> {
        let (_, remembered) = Log::open(folder, 0).unwrap();
        remembered.unfinished.into_iter().map(|it| it.id).collect()
    }

    #[test]
    fn what_was_appended_is_there_at_the_next_start_and_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut log, remembered) = Log::open(folder.path(), 0).unwrap();
        assert_eq!(remembered, Remembered::default());
        log.append(&[out("a-1"), out("a-2")], 0).unwrap();
        log.append(&[Entry::Sent { id: "a-1".into() }], 0).unwrap();
        drop(log);
        assert_eq!(unfinished(folder.path()), ["a-2"]);
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(unfinished(folder.path()), ["a-2"]);
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_torn_tail_goes_wherever_it_was_torn_and_nothing_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut log, _) = Log::open(folder.path(), 0).unwrap();
        log.append(&[out("a-1")], 0).unwrap();
        let whole = std::fs::read(&path).unwrap();
        log.append(&[out("a-2")], 0).unwrap();
        drop(log);
        let both = std::fs::read(&path).unwrap();
        for length in whole.len()..both.len() {
            std::fs::write(&path, &both[..length]).unwrap();
            assert_eq!(unfinished(folder.path()), ["a-1"]);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{length}");
        }
        for tail in
            [vec![0; 10_000], vec![b'x'; 5_000], b"{\"kind\":\"sent\",\"id\":\"a-1\"}".to_vec()]
        {
            std::fs::write(&path, [whole.clone(), tail].concat()).unwrap();
            assert_eq!(unfinished(folder.path()), ["a-1"]);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, b"no line at all").unwrap();
        assert_eq!(unfinished(folder.path()), [""; 0]);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn after_a_write_that_failed_the_log_goes_on_behind_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut log, _) = Log::open(folder.path(), 0).unwrap();
        log.append(&[out("a-1")], 0).unwrap();
        // As a disk that is full leaves it: a part has been written.
        log.file.write_all(b"{\"kind\":\"out\",\"id\":\"a-2\",\"te").unwrap();
        log.torn = true;
        log.append(&[out("a-3")], 0).unwrap();
        drop(log);
        assert_eq!(unfinished(folder.path()), ["a-1", "a-3"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        drop(Log::open(folder.path(), 0).unwrap());
        let file = File::open(folder.path().join(FILE)).unwrap();
        let mut log = Log { file, length: 0, torn: false };
        assert!(log.append(&[out("a-1")], 0).is_err());
        assert!(log.append(&[Entry::Sent { id: "a-1".into() }], 0).is_err());
    }

    #[test]
    fn what_is_written_down_without_a_time_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), 0).unwrap();
        let mail = Mail {
            server: None,
            number: 1,
            id: None,
            from: "luke".into(),
            text: "hi".into(),
            at: None,
        };
        log.append(&[out("a-1"), Entry::In(mail)], 1_767_225_600_123).unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text.matches(r#""at":"2026-01-01T00:00:00.123Z""#).count(), 2, "{text}");
    }
}
