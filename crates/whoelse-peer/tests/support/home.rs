//! Clients that keep files, and what they tell of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use tempfile::TempDir;
use whoelse_peer::{Event, FileEvent, FileFailure, Options, TransferId};

use super::{LINK, PATIENCE, Side, here, introduce};

/// Where one client keeps things.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            folder: Some(self.0.path().join("unfinished")),
            downloads: Some(self.downloads()),
            ..here()
        }
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.0.path().join("downloads")
    }

    /// What a process leaves that was killed here. The store of one that ends in this process without a word is never
    /// closed, so it is used in another place.
    pub(crate) fn left(&self) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (left, before) = (Self::new(), self.files());
            for (path, ..) in &before {
                let to = left.0.path().join(path.strip_prefix(self.0.path()).unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                // One that is gone meanwhile makes another attempt.
                drop(fs::copy(path, to));
            }
            if self.files() == before {
                return left;
            }
            assert!(Instant::now() < deadline, "it changes all the time");
        }
    }

    pub(crate) fn files(&self) -> BTreeSet<(PathBuf, u64, SystemTime)> {
        let (mut folders, mut found) = (vec![self.0.path().to_owned()], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.metadata() {
                    Ok(about) if about.is_dir() => folders.push(entry.path()),
                    Ok(about) => {
                        found.insert((entry.path(), about.len(), about.modified().unwrap()));
                    }
                    Err(_) => {}
                }
            }
        }
        found
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Bytes that do not repeat.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Side {
    /// The next thing about files that is no progress.
    pub(crate) async fn file(&mut self) -> (TransferId, FileEvent) {
        self.until(|event| match event {
            Event::File { what: FileEvent::Progress { .. }, .. } => None,
            Event::File { transfer, what } => Some((*transfer, what.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn offered(&mut self) -> TransferId {
        match self.file().await {
            (transfer, FileEvent::Offered { link: LINK, .. }) => transfer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn received(&mut self, transfer: TransferId) -> PathBuf {
        loop {
            match self.file().await {
                (found, FileEvent::Received { path }) if found == transfer => return path,
                (
                    _,
                    FileEvent::Started { .. } | FileEvent::Waiting | FileEvent::Received { .. },
                ) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn sent(&mut self, transfer: TransferId) {
        self.until(|event| match event {
            Event::File { transfer: found, what: FileEvent::Sent } if *found == transfer => {
                Some(())
            }
            Event::File { what: what @ FileEvent::Failed(_), .. } => panic!("{what:?}"),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn failed(&mut self, transfer: TransferId) -> FileFailure {
        self.until(|event| match event {
            Event::File { transfer: found, what: FileEvent::Failed(why) } if *found == transfer => {
                Some(why.clone())
            }
            Event::File { what: FileEvent::Received { path }, .. } => panic!("{path:?}"),
            _ => None,
        })
        .await
    }
}

pub(crate) async fn homes() -> (Home, Home, Side, Side) {
    let (one, two) = (Home::new(), Home::new());
    let mut a = Side::start("luke", one.options()).await;
    let mut b = Side::start("yoda", two.options()).await;
    introduce(&mut a, &mut b, false).await;
    (one, two, a, b)
}

pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
