//! Files from many to many: real clients of one real server, on one machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use whoelse_tests::program::{Client, Server, Signal, password_of};

use super::server;

/// A file that nobody can guess, of so many MiB.
fn content(mebibytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes())
    });
    words.take(mebibytes << 17).flatten().collect()
}

/// Somebody, the folder of its machine, and its client.
struct Somebody {
    name: &'static str,
    machine: PathBuf,
    client: Client,
}

impl Somebody {
    fn new(server: &Server, name: &'static str, flags: &[&str]) -> Self {
        let machine = server.folder().join(format!("{name}'s machine"));
        fs::create_dir_all(machine.join("downloads")).unwrap();
        let client = log_in(server, name, &machine, flags);
        Self { name, machine, client }
    }

    /// The same person, after whatever has ended its client.
    fn again(&mut self, server: &Server, flags: &[&str]) {
        self.client = log_in(server, self.name, &self.machine, flags);
    }

    fn has(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.machine.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn shares(&mut self, path: &Path, with: &str) {
        self.client.say(&format!("share '{}'{with}", path.display()));
        self.client.hear("can be fetched by");
    }

    /// Waits until a file is there as it has to be; tells who gave parts of it.
    fn receives(&mut self, name: &str, bytes: &[u8]) -> BTreeSet<String> {
        let line = self.client.hear(&format!("received {name}: "));
        let there = fs::read(self.machine.join("downloads").join(name)).unwrap();
        assert!(there == bytes, "{} has something else", self.name);
        let givers = line.rsplit_once(" (").map_or("", |(_, givers)| givers);
        let giver =
            |part: &str| Some(part.split_once(" from ")?.1.trim_end_matches(')').to_owned());
        givers.split(')').next().unwrap_or_default().split(", ").filter_map(giver).collect()
    }
}

fn log_in(server: &Server, name: &str, machine: &Path, flags: &[&str]) -> Client {
    let port = server.port().to_string();
    let downloads = machine.join("downloads");
    let words = ["localhost", &port, "--downloads", downloads.to_str().unwrap()];
    let words = [&words, flags].concat();
    let mut client = Client::start_with(server.program(), &words, server.folder(), machine);
    client.say(name);
    client.say(&password_of(name));
    client.hear(&format!("logged in as {name}"));
    client
}

#[test]
fn two_people_one_shares_the_other_finds_and_fetches() {
    let server = server(&["hans", "luke"]);
    let bytes = content(3, 1);
    let mut hans = Somebody::new(&server, "hans", &[]);
    let mut luke = Somebody::new(&server, "luke", &[]);
    let path = hans.has("a film.mkv", &bytes);
    hans.shares(&path, "");
    luke.client.say("search-files FILM");
    luke.client.hear("1 file; get and the number fetches one");
    luke.client.hear("1: a film.mkv, 3.1 MB, from hans, 1 person has parts of it");
    luke.client.say("get 1");
    luke.client.hear("get a film.mkv: 3.1 MB, signed by hans (first contact)");
    assert_eq!(luke.receives("a film.mkv", &bytes), BTreeSet::from(["hans".into()]));
    hans.client.say("shares");
    hans.client.hear("1: a film.mkv, 3.1 MB, for everyone whom you do not block");
    // What is there already is not fetched twice under one name.
    luke.client.say("get hans/a film.mkv");
    luke.client.hear("received a film.mkv: ");
    hans.client.say("unshare 1");
    hans.client.hear("nobody can fetch it from you any more");
    luke.client.say("get a film.mkv");
    luke.client.hear("nobody shares such a file with you now");
}

#[test]
fn the_words_of_the_original_system_do_the_same() {
    let server = server(&["hans", "luke"]);
    let bytes = content(1, 2);
    let mut hans = Somebody::new(&server, "hans", &[]);
    let mut luke = Somebody::new(&server, "luke", &[]);
    let path = hans.has("film.mkv", &bytes);
    hans.client.say(&format!("register {}", path.display()));
    hans.client.hear("can be fetched by everyone");
    luke.client.say("searchFile film");
    luke.client.hear("1: film.mkv");
    luke.client.say("searchChunk film.mkv 1-3");
    luke.client.hear("hans (");
    luke.client.say("private hans download film.mkv 3");
    luke.receives("film.mkv", &bytes);
}

#[test]
fn who_is_not_meant_and_who_is_blocked_finds_nothing_and_gets_nothing() {
    let server = server(&["hans", "luke", "yoda"]);
    let bytes = content(1, 3);
    let mut hans = Somebody::new(&server, "hans", &[]);
    let mut luke = Somebody::new(&server, "luke", &[]);
    let mut yoda = Somebody::new(&server, "yoda", &[]);
    let path = hans.has("film.mkv", &bytes);
    hans.shares(&path, " with luke");
    yoda.client.say("search-files");
    yoda.client.hear("nobody shares such a file with you now");
    luke.client.say("search-files");
    luke.client.hear("1: film.mkv");
    hans.client.say("block luke");
    hans.client.hear("luke is blocked now");
    luke.client.say("get 1");
    luke.client.hear("get film.mkv: ");
    luke.client.say("search-files film");
    luke.client.hear("nobody shares such a file with you now");
    hans.client.say("unblock luke");
    hans.client.hear("luke is no longer blocked");
    // It goes on by itself.
    luke.receives("film.mkv", &bytes);
}

#[test]
fn five_people_three_give_and_one_of_them_is_killed() {
    let server = server(&["hans", "luke", "yoda", "lando", "leia"]);
    let bytes = content(96, 4);
    let mut leia = Somebody::new(&server, "leia", &[]);
    let mut givers: Vec<Somebody> =
        ["hans", "yoda", "lando"].map(|name| Somebody::new(&server, name, &[])).into();
    for giver in &mut givers {
        let path = giver.has("film.mkv", &bytes);
        giver.shares(&path, "");
    }
    let mut luke = Somebody::new(&server, "luke", &[]);
    leia.client.say("get film.mkv");
    leia.client.hear("get film.mkv: 100 MB, signed by ");
    givers[2].client.kill9();
    let from = leia.receives("film.mkv", &bytes);
    assert!(from.contains("hans") && from.contains("yoda"), "{from:?}");
    // With nobody killed all give something.
    givers[2].again(&server, &[]);
    givers[2].client.hear("1 file of yours can be fetched again");
    luke.client.say("get film.mkv");
    let from = luke.receives("film.mkv", &bytes);
    assert_eq!(from, ["hans", "lando", "yoda"].map(str::to_owned).into());
}

#[test]
fn a_fetch_goes_on_after_a_kill_of_who_fetches_and_of_who_gives() {
    let mut server = server(&["hans", "luke"]);
    let bytes = content(8, 5);
    let mut hans = Somebody::new(&server, "hans", &[]);
    let mut luke = Somebody::new(&server, "luke", &[]);
    let path = hans.has("film.mkv", &bytes);
    hans.shares(&path, "");
    luke.client.say("search-files");
    luke.client.hear("1: film.mkv");
    hans.client.signal(Signal::STOP);
    luke.client.say("get 1");
    luke.client.hear("get film.mkv: ");
    luke.client.kill9();
    server.kill9();
    server.restart();
    hans.client.signal(Signal::CONT);
    hans.client.hear("back after");
    hans.client.kill9();
    luke.again(&server, &[]);
    luke.client.hear("unfinished: film.mkv");
    hans.again(&server, &[]);
    luke.receives("film.mkv", &bytes);
}

#[test]
fn ten_people_fetch_from_each_other() {
    const NAMES: [&str; 10] =
        ["hans", "luke", "yoda", "lando", "leia", "chewie", "vader", "jabba", "greedo", "wedge"];
    let server = server(&NAMES);
    let bytes = content(24, 6);
    let mut all: Vec<Somebody> =
        NAMES.map(|name| Somebody::new(&server, name, &["--seed", "always"])).into();
    let path = all[0].has("film.mkv", &bytes);
    all[0].shares(&path, "");
    let (last, fetchers) = all[1..].split_last_mut().unwrap();
    for fetcher in fetchers.iter_mut() {
        fetcher.client.say("get film.mkv");
    }
    for fetcher in fetchers.iter_mut() {
        let from = fetcher.receives("film.mkv", &bytes);
        assert!(!from.is_empty());
    }
    // The one who comes last has many to choose from.
    last.client.say("get film.mkv");
    let from = last.receives("film.mkv", &bytes);
    assert!(from.len() >= 3, "{from:?}");
    drop(all);
}
