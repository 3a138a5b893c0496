//! Files from many to many: whole clients but for their screens, on one machine with a real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use whoelse_client::core::Config;
use whoelse_client::driver::{Ended, Input, Options, run};
use whoelse_client::links::swarm::{Given, ShareLine};
use whoelse_client::links::{LinkOptions, Seed, SwarmNotice};
use whoelse_client::{Answer, Command, Notice, Question, Tell, Told};
use whoelse_proto::{Password, Place};
use whoelse_tests::program::{DEADLINE, Server, password_of};

use super::server;

/// A client without a screen.
struct Person {
    name: String,
    inputs: mpsc::Sender<Input>,
    notices: std_mpsc::Receiver<Notice>,
    thread: Option<JoinHandle<Ended>>,
}

fn machine(server: &Server, name: &str) -> PathBuf {
    server.folder().join(format!("{name}'s machine"))
}

impl Person {
    /// Logged in, on a machine of its own.
    fn new(server: &Server, name: &str, seed: Seed) -> Self {
        let machine = machine(server, name);
        let links = LinkOptions {
            carried: true,
            seed,
            downloads: Some(machine.join("downloads")),
            ..LinkOptions::default()
        };
        let config = Config {
            interactive: true,
            takeover: false,
            invite: None,
            place: Place { host: "localhost".into(), port: server.port() },
            device_name: "laptop".into(),
            vouch: None,
            links,
        };
        let options = Options {
            config,
            state: Some(machine),
            expected_key: Some(server.key()),
            compares: false,
            store: true,
        };
        let (inputs, typed) = mpsc::channel(64);
        let (sender, notices) = std_mpsc::channel();
        let (me, secret, keys) = (name.to_owned(), password_of(name), inputs.clone());
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let (told, mut tells) = mpsc::channel::<Told>(64);
                let (shown, has_shown) = watch::channel(0);
                let screen = async move {
                    while let Some(told) = tells.recv().await {
                        shown.send(told.sequence).ok();
                        match told.tell {
                            Tell::Notice(notice) => drop(sender.send(notice)),
                            Tell::Question(Question::Name) => {
                                drop(keys.send(Input::Name(me.clone())).await);
                            }
                            Tell::Question(Question::Password) => {
                                let password = Password::from(secret.as_str());
                                drop(keys.send(Input::Password(password)).await);
                            }
                            Tell::Question(other) => panic!("{other:?}"),
                        }
                    }
                };
                let client = run(options, typed, told, has_shown, std::future::pending());
                tokio::join!(client, screen).0
            })
        });
        let mut person = Self { name: name.to_owned(), inputs, notices, thread: Some(thread) };
        person.hears(|notice| matches!(notice, Notice::LoggedIn { .. }).then_some(()));
        person
    }

    fn wants(&self, command: Command) {
        self.inputs.blocking_send(Input::Command(command)).unwrap();
    }

    /// Waits for a notice in which there is something.
    fn hears<T>(&mut self, mut look: impl FnMut(&Notice) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        let mut heard = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(notice) = self.notices.recv_timeout(left) else {
                panic!("{} has heard only {heard:#?}", self.name);
            };
            if let Some(found) = look(&notice) {
                return found;
            }
            heard.push(notice);
        }
    }

    fn shares(&mut self, path: &Path, with: &[&str]) {
        let with = with.iter().map(|name| (*name).to_owned()).collect();
        self.wants(Command::Share { path: path.to_owned(), with });
        self.hears(|notice| {
            matches!(notice, Notice::Swarm(SwarmNotice::Shared { .. })).then_some(())
        });
    }

    fn gets(&self, which: &str) {
        self.wants(Command::Get { which: which.into() });
    }

    /// Where what was fetched lies, and who gave what of it.
    fn receives(&mut self) -> (PathBuf, Vec<Given>) {
        self.hears(|notice| match notice {
            Notice::Swarm(SwarmNotice::Received { path, by, .. }) => {
                Some((path.clone(), by.clone()))
            }
            _ => None,
        })
    }

    fn lists(&mut self) -> Vec<ShareLine> {
        self.wants(Command::Shares);
        self.hears(|notice| match notice {
            Notice::Answered { answer: Answer::Shares(lines), .. } => Some(lines.clone()),
            _ => None,
        })
    }

    fn leaves(mut self) {
        self.inputs.blocking_send(Input::Leave).unwrap();
        let thread = self.thread.take().unwrap();
        let ended = thread.join().unwrap();
        assert!(ended.logged_in, "{ended:?}");
    }
}

/// A file of so many bytes, of which none is like the next.
fn file(folder: &Path, name: &str, bytes: usize) -> (PathBuf, Vec<u8>) {
    let mut content = Vec::with_capacity(bytes + 8);
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    while content.len() < bytes {
        word = word.wrapping_mul(0xd129_0d3a_6fb1_4a2b).wrapping_add(1);
        content.extend_from_slice(&(word ^ word >> 29).to_le_bytes());
    }
    content.truncate(bytes);
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, &content).unwrap();
    (path, content)
}

#[test]
fn a_file_comes_from_all_who_share_it_and_is_what_it_was() {
    let server = server(&["hans", "luke", "yoda", "ben"]);
    let names = ["luke", "yoda", "ben"];
    let mut content = Vec::new();
    let mut sharers = Vec::new();
    for name in names {
        let mut person = Person::new(&server, name, Seed::Ask);
        let (path, bytes) = file(&machine(&server, name), "film.mkv", 24_000_000);
        person.shares(&path, &[]);
        content = bytes;
        sharers.push(person);
    }
    let mut hans = Person::new(&server, "hans", Seed::Ask);
    hans.gets("film.mkv");
    let (path, by) = hans.receives();
    assert!(fs::read(path).unwrap() == content);
    assert_eq!(by.len(), names.len(), "{by:?}");
    // The last parts may come from two.
    let bytes = by.iter().map(|given| given.bytes).sum::<u64>();
    assert!((24_000_000..26_000_000).contains(&bytes), "{by:?}");
    for sharer in &mut sharers {
        let lines = sharer.lists();
        assert!(lines[0].here && lines[0].sources == Some(2), "{lines:?}");
    }
    sharers.into_iter().chain([hans]).for_each(Person::leaves);
}

#[test]
fn who_fetches_gives_to_others_what_it_has() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut luke = Person::new(&server, "luke", Seed::Ask);
    let (path, content) = file(&machine(&server, "luke"), "film.mkv", 3_000_000);
    luke.shares(&path, &["hans", "yoda"]);
    let mut hans = Person::new(&server, "hans", Seed::Always);
    hans.gets("luke/film.mkv");
    hans.receives();
    luke.leaves();
    let mut yoda = Person::new(&server, "yoda", Seed::Ask);
    yoda.gets("film.mkv");
    let (path, by) = yoda.receives();
    assert!(fs::read(path).unwrap() == content);
    assert_eq!(by.iter().map(|given| given.user.as_str()).collect::<Vec<_>>(), ["hans"]);
    [hans, yoda].into_iter().for_each(Person::leaves);
}

#[test]
fn shares_and_gets_go_on_after_the_clients_were_started_anew() {
    let server = server(&["hans", "luke"]);
    let mut luke = Person::new(&server, "luke", Seed::Ask);
    let (path, content) = file(&machine(&server, "luke"), "film.mkv", 40_000_000);
    luke.shares(&path, &["hans"]);
    let mut hans = Person::new(&server, "hans", Seed::Ask);
    hans.gets("film.mkv");
    hans.hears(|notice| match notice {
        Notice::Swarm(SwarmNotice::Progress { progress, .. }) if progress.parts_done > 0 => {
            Some(())
        }
        _ => None,
    });
    luke.leaves();
    hans.leaves();
    let mut hans = Person::new(&server, "hans", Seed::Ask);
    let before = hans.hears(|notice| match notice {
        Notice::Swarm(SwarmNotice::Kept { progress, .. }) => Some(progress.parts_done),
        _ => None,
    });
    assert!(before > 0, "what was there is still there");
    let mut luke = Person::new(&server, "luke", Seed::Ask);
    luke.hears(|notice| {
        matches!(notice, Notice::Swarm(SwarmNotice::StillShared { count: 1 })).then_some(())
    });
    let (path, by) = hans.receives();
    assert!(fs::read(path).unwrap() == content);
    assert!(by[0].bytes < 40_000_000, "only what was missing came");
    [hans, luke].into_iter().for_each(Person::leaves);
}

#[test]
fn a_source_that_leaves_in_the_middle_is_replaced_by_the_others() {
    let server = server(&["hans", "luke", "yoda"]);
    let mut sharers = Vec::new();
    let mut content = Vec::new();
    for name in ["luke", "yoda"] {
        let mut person = Person::new(&server, name, Seed::Ask);
        let (path, bytes) = file(&machine(&server, name), "film.mkv", 60_000_000);
        person.shares(&path, &[]);
        content = bytes;
        sharers.push(person);
    }
    let mut hans = Person::new(&server, "hans", Seed::Ask);
    hans.gets("film.mkv");
    hans.hears(|notice| match notice {
        Notice::Swarm(SwarmNotice::Progress { progress, .. }) if progress.sources == 2 => Some(()),
        _ => None,
    });
    let begin = Instant::now();
    sharers.remove(0).leaves();
    let (path, _) = hans.receives();
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(fs::read(path).unwrap() == content);
    sharers.into_iter().chain([hans]).for_each(Person::leaves);
}
