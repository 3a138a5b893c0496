//! A server with a data folder of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Ended, Lines, Running};

/// A server to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    credentials: String,
    block_seconds: u32,
    idle_seconds: u32,
    flags: Vec<String>,
    open_files: Option<u32>,
    files: Vec<(String, String)>,
}

/// A server that runs.
pub struct Server {
    setup: Setup,
    folder: TempDir,
    running: Running,
    port: u16,
}

/// The password that [`Setup::people`] gives somebody.
#[must_use]
pub fn password_of(name: &str) -> String {
    format!("{name}'s secret")
}

impl Setup {
    /// A server without people, which locks for 60 s and never logs anybody out.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            credentials: String::new(),
            block_seconds: 60,
            idle_seconds: 0,
            flags: Vec::new(),
            open_files: None,
            files: Vec::new(),
        }
    }

    /// Puts a file into the folder it runs in.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// How many files, connections included, the system lets it have open.
    #[must_use]
    pub fn open_files(mut self, number: u32) -> Self {
        self.open_files = Some(number);
        self
    }

    /// Adds people whose passwords are [`password_of`] their names.
    #[must_use]
    pub fn people(mut self, names: &[&str]) -> Self {
        for name in names {
            writeln!(self.credentials, "{name} {}", password_of(name)).expect("to a string");
        }
        self
    }

    /// Adds people as a credentials file names them.
    #[must_use]
    pub fn credentials(mut self, text: &str) -> Self {
        self.credentials.push_str(text);
        self
    }

    /// How long three wrong passwords lock a name.
    #[must_use]
    pub fn block_seconds(mut self, seconds: u32) -> Self {
        self.block_seconds = seconds;
        self
    }

    /// After how long without a command somebody is logged out.
    #[must_use]
    pub fn idle_seconds(mut self, seconds: u32) -> Self {
        self.idle_seconds = seconds;
        self
    }

    /// Adds words to the command line.
    #[must_use]
    pub fn flags(mut self, words: &[&str]) -> Self {
        self.flags.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(self) -> Server {
        let folder = tempfile::tempdir().expect("the system has room for temporary files");
        std::fs::write(folder.path().join("people.txt"), &self.credentials)
            .expect("the folder was just made");
        for (name, text) in &self.files {
            std::fs::write(folder.path().join(name), text).expect("the folder was just made");
        }
        let (running, port) = self.launch(folder.path(), 0);
        Server { setup: self, folder, running, port }
    }

    fn launch(&self, folder: &Path, port: u16) -> (Running, u16) {
        let numbers = [u32::from(port), self.block_seconds, self.idle_seconds];
        let mut arguments = vec!["server".to_owned()];
        arguments.extend(numbers.map(|number| number.to_string()));
        arguments.extend(["--data".to_owned(), "data".to_owned()]);
        if !self.credentials.is_empty() {
            arguments.extend(["--credentials".to_owned(), "people.txt".to_owned()]);
        }
        arguments.extend(self.flags.iter().cloned());
        let running = match self.open_files {
            None => Running::start(&self.program, &arguments, folder),
            Some(number) => {
                let limited = format!("ulimit -n {number}; exec \"$0\" \"$@\"");
                let mut words = vec!["-c".to_owned(), limited];
                words.push(self.program.to_string_lossy().into_owned());
                words.extend(arguments);
                Running::start(Path::new("/bin/sh"), &words, folder)
            }
        };
        let port = ready(&running);
        (running, port)
    }
}

/// Waits until a server says that it is ready; returns its port.
fn ready(running: &Running) -> u16 {
    let wait = || running.out.wait_for("Ctrl-C ends it.");
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).is_err() {
        panic!("the server does not start:\n{}", running.err.all().join("\n"));
    }
    let line = running.out.wait_for("listening");
    let port = line.split_whitespace().find_map(|word| word.rsplit_once(':')?.1.parse().ok());
    port.unwrap_or_else(|| panic!("no port in: {line}"))
}

impl Server {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The program it runs.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.setup.program
    }

    /// The folder it runs in; its data are in `data`, its people in `people.txt`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its data are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it said when it became ready.
    #[must_use]
    pub fn greeting(&self) -> String {
        self.running.out.all().join("\n")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> Lines {
        self.running.err.clone()
    }

    /// How much memory it uses, in MiB.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        self.running.memory_mib()
    }

    /// The number of its process.
    #[must_use]
    pub fn process(&self) -> rustix::process::Pid {
        self.running.process()
    }

    /// How much time it has used, in hundredths of a second of a processor.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.running.ticks()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Kills it as a power cut would, as far as a process can tell.
    pub fn kill9(&mut self) {
        self.running.kill9();
    }

    /// Tells it to end, and waits until it has.
    pub fn terminate(&mut self) -> Ended {
        self.running.signal(Signal::TERM);
        self.running.wait()
    }

    /// Starts it again after its end, on the same data and the same port.
    pub fn restart(&mut self) {
        (self.running, self.port) = self.setup.launch(self.folder.path(), self.port);
    }

    /// Tries to start it again after its end, and waits until it has given up.
    #[must_use]
    pub fn restart_in_vain(&mut self) -> Ended {
        let arguments = ["server", "0", "--data", "data"];
        Running::start(&self.setup.program, &arguments, self.folder.path()).wait()
    }

    /// Kills it and starts it again.
    pub fn crash(&mut self) {
        self.kill9();
        self.restart();
    }

    /// Runs another command of the program in the server's folder until it ends, with `input` as
    /// its standard input.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let mut running = Running::start(&self.setup.program, arguments, self.folder.path());
        running.write(input);
        running.end_input();
        running.wait()
    }
}
