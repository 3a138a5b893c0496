//! Data folders that are copied while they are used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

const DEADLINE: Duration = Duration::from_secs(60);

/// Copies a folder once nothing changes in it: a process is killed at one moment, and files are
/// copied one after the other. What one process alone may have, shared memory, is left out.
pub(crate) fn copy(from: &Path, to: &Path) {
    let deadline = Instant::now() + DEADLINE;
    let mut before = None;
    let files = loop {
        let now = look(from).ok();
        match now {
            Some(files) if before.as_ref() == Some(&files) => break files,
            _ => before = now,
        }
        assert!(Instant::now() < deadline, "it changes all the time");
    };
    for (path, bytes) in files {
        let place = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        if !place.to_string_lossy().ends_with("-shm") {
            fs::write(place, bytes).unwrap();
        }
    }
}

/// Every file of a folder, with what is in it.
pub(crate) fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    look(folder).unwrap()
}

/// The same of one that may be changed meanwhile.
fn look(folder: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(look(&path)?);
        } else {
            all.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(all)
}
