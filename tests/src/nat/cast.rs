//! The real program in the places of a town: a server, and two people at home.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::town::Town;
use crate::program::{Lines, Running, password_of};
use crate::soak::{Outcome, Trouble};

/// The server's port.
const PORT: &str = "12346";

/// What waits for whoever is not heard.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and where it keeps its data.
pub(super) struct Server {
    running: Running,
    program: PathBuf,
    folder: TempDir,
    key: String,
}

impl Server {
    /// Starts one that knows the two people.
    pub(super) fn start(town: &Town, program: &Path) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| Trouble(error.to_string()))?;
        let people = ["hans", "luke"].map(|name| format!("{name} {}\n", password_of(name)));
        std::fs::write(folder.path().join("people.txt"), people.concat())
            .map_err(|error| Trouble(error.to_string()))?;
        let running = Self::launch(town, program, folder.path())?;
        let (_, line) = heard(&running.out, 0, &["  key "], PATIENCE)?;
        let key = line.split_whitespace().last().unwrap_or_default().to_owned();
        Ok(Self { running, program: program.to_owned(), folder, key })
    }

    /// Its key, as it says at its start.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn launch(town: &Town, program: &Path, folder: &Path) -> Outcome<Running> {
        let words = ["server", PORT, "--data", "data", "--credentials", "people.txt"];
        let (ip, words) = town.within("server", program, &words);
        let running = Running::start(&ip, &words, folder);
        heard(&running.out, 0, &["Ctrl-C ends it."], PATIENCE)?;
        Ok(running)
    }

    /// Kills it.
    pub(super) fn kill9(&mut self) {
        self.running.kill9();
    }

    /// Starts it again on the same data.
    pub(super) fn restart(&mut self, town: &Town) -> Outcome<()> {
        self.running = Self::launch(town, &self.program, self.folder.path())?;
        Ok(())
    }
}

/// A person's client.
pub(super) struct Person {
    name: &'static str,
    running: Running,
    heard: usize,
    /// Keeps what the client keeps.
    _folder: TempDir,
}

impl Person {
    /// Starts a client in a place, for a server called something there, and logs it in.
    pub(super) fn start(
        town: &Town,
        place: &str,
        program: &Path,
        name: &'static str,
        at: &str,
        flags: &[&str],
    ) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| Trouble(error.to_string()))?;
        let words = [&["client", at, PORT][..], flags].concat();
        let (ip, words) = town.within(place, program, &words);
        let mut running = Running::start(&ip, &words, folder.path());
        running.write(&format!("{name}\n{}\n", password_of(name)));
        let mut person = Self { name, running, heard: 0, _folder: folder };
        if let Err(Trouble(what)) = person.hear(&["logged in as"]) {
            return Err(Trouble(format!("{what}\n  {}", person.running.err.all().join("\n  "))));
        }
        Ok(person)
    }

    /// Types a line.
    pub(super) fn say(&mut self, line: &str) {
        self.running.write(&format!("{line}\n"));
    }

    /// Waits for the next line that holds all these texts.
    pub(super) fn hear(&mut self, texts: &[&str]) -> Outcome<String> {
        self.hear_within(texts, PATIENCE)
    }

    /// The same, for so long.
    pub(super) fn hear_within(&mut self, texts: &[&str], time: Duration) -> Outcome<String> {
        let (at, line) = heard(&self.running.out, self.heard, texts, time)
            .map_err(|Trouble(what)| Trouble(format!("{}: {what}", self.name)))?;
        self.heard = at + 1;
        Ok(line)
    }

    /// Waits until the client has said that its link is direct, now or before.
    pub(super) fn until_direct(&self, time: Duration) -> Outcome<()> {
        let texts = [self.other(), "private link", "direct"];
        heard(&self.running.out, 0, &texts, time)
            .map(drop)
            .map_err(|Trouble(what)| Trouble(format!("{}: {what}", self.name)))
    }

    /// Asks the client what its link is now.
    pub(super) fn must_be(&mut self, what: &str) -> Outcome<()> {
        self.say("links");
        self.hear(&[self.other(), what]).map(drop)
    }

    fn other(&self) -> &'static str {
        if self.name == "hans" { "luke" } else { "hans" }
    }

    /// How often a text was written until now.
    pub(super) fn count(&self, text: &str) -> usize {
        self.running.out.all().iter().filter(|line| line.contains(text)).count()
    }

    /// Kills the client.
    pub(super) fn kill9(&mut self) {
        self.running.kill9();
    }
}

/// Waits until a line from some place on holds all these texts.
fn heard(lines: &Lines, from: usize, texts: &[&str], time: Duration) -> Outcome<(usize, String)> {
    let until = Instant::now() + time;
    let look = |lines: &[String]| {
        let mut later = lines.iter().enumerate().skip(from);
        let found = later.find(|(_, line)| texts.iter().all(|text| line.contains(text)));
        found.map(|(at, line)| (at, line.clone()))
    };
    lines.wait_until(until, look).ok_or_else(|| {
        let all = lines.all().join("\n  ");
        Trouble(format!("did not hear {texts:?} within {time:?}; heard:\n  {all}"))
    })
}
