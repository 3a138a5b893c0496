//! A folder for a server, people who are known to it, and its process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use whoelse_proto::Fingerprint;

use super::shim::Switches;
use super::trouble::{Outcome, While, trouble};

/// How long a server may take to be ready, however much it has to recover.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a data folder in it, and the port its server listens on.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: Place,
    program: PathBuf,
    port: u16,
    flags: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

#[derive(Debug)]
enum Place {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Ground {
    /// Makes an empty one.
    pub(crate) fn new(program: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("whoelse-soak-").tempdir();
        Self::at(program, Place::Temporary(folder.during("making a folder")?))
    }

    /// The same in a folder that is there and that somebody else removes.
    pub(crate) fn within(program: &Path, folder: &Path) -> Outcome<Self> {
        Self::at(program, Place::Given(folder.to_owned()))
    }

    fn at(program: &Path, folder: Place) -> Outcome<Self> {
        let flags = Vec::new();
        let port = free_port()?;
        let program = program.to_owned();
        Ok(Self { folder, program, port, flags, environment: Vec::new() })
    }

    /// Adds words to the server's command line.
    pub(crate) fn flags(mut self, words: &[&str]) -> Self {
        self.flags.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Puts the server on switches.
    pub(crate) fn switch(&mut self, switches: &Switches) {
        switches.environment().clone_into(&mut self.environment);
    }

    /// Takes the server off its switches.
    pub(crate) fn unswitch(&mut self) {
        self.environment.clear();
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        match &self.folder {
            Place::Temporary(folder) => folder.path(),
            Place::Given(path) => path,
        }
    }

    /// The data folder in it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Starts the server, and does not wait until it is ready.
    pub(crate) fn launch(&self) -> Outcome<Process> {
        let mut command = Command::new(&self.program);
        command.arg("server").args(["--port", &self.port.to_string(), "--data"]).arg(self.data());
        command.args(&self.flags).current_dir(self.path()).env_clear().env("HOME", self.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = self.path().join("log");
        let err = File::create(&log).during("making a log")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(err);
        let started = Instant::now();
        let spawning = SPAWNING.lock();
        let mut child = command.spawn().during("starting the server")?;
        drop(spawning);
        let out = lines(child.stdout.take().during("the server has no output")?);
        Ok(Process { child, out, said: Vec::new(), log, started })
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(&self) -> Outcome<Process> {
        let mut process = self.launch()?;
        process.wait_until_ready()?;
        Ok(process)
    }
}

fn lines(out: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Held while a process is started: until it runs its program it has whatever this one has open,
/// such as the socket with which another thread finds out whether a port is free.
static SPAWNING: Mutex<()> = Mutex::new(());

/// Below the ports that the system gives to those who connect: a client that tries again and again
/// would else one day be given the very port it connects to, and speak with itself.
fn free_port() -> Outcome<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    let _spawning = SPAWNING.lock();
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset);
        let port = FIRST + next % COUNT;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    trouble("no port is free")
}

/// A server's process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: Receiver<String>,
    said: Vec<String>,
    log: PathBuf,
    started: Instant,
}

/// How a process has ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// What it has logged.
    pub(crate) log: String,
    /// How long it took from when it was waited for.
    pub(crate) after: Duration,
}

impl Process {
    /// Waits until the server is ready, or has ended: then how.
    pub(crate) fn ready_or_end(&mut self) -> Outcome<Option<End>> {
        match self.is_ready_within(START_PATIENCE) {
            Ok(true) => Ok(None),
            Ok(false) => trouble("the server is not ready in time"),
            Err(_) => self.wait(START_PATIENCE).map(Some),
        }
    }

    /// Waits until the server is ready; returns how long that took from its start.
    pub(crate) fn wait_until_ready(&mut self) -> Outcome<Duration> {
        if self.is_ready_within(START_PATIENCE)? {
            return Ok(self.started.elapsed());
        }
        trouble("the server is not ready in time")
    }

    /// Waits so long for the server to be ready; an end is trouble.
    pub(crate) fn is_ready_within(&mut self, patience: Duration) -> Outcome<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.out.recv_timeout(left) {
                Ok(line) => {
                    let is_last = line.contains("Ctrl-C ends it.");
                    self.said.push(line);
                    if is_last {
                        return Ok(true);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => {
                    let end = self.wait(START_PATIENCE)?;
                    return trouble(format!("the server ended ({}): {}", end.status, end.log));
                }
            }
        }
    }

    /// What it has said on its standard output.
    pub(crate) fn said(&self) -> String {
        self.said.join("\n")
    }

    /// The fingerprint of its key.
    pub(crate) fn key(&self) -> Outcome<Fingerprint> {
        let mut words = self.said.iter().flat_map(|line| line.split_whitespace());
        words.find_map(|word| Fingerprint::parse(word).ok()).during("the server says no key")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        // One that has ended is found out by who waits for it.
        kill_process(process, signal).unwrap_or_default();
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill9(&mut self) -> Outcome<()> {
        self.child.kill().during("killing the server")?;
        self.child.wait().during("waiting for the server").map(drop)
    }

    /// Tells it to end and waits until it has.
    pub(crate) fn terminate(&mut self) -> Outcome<End> {
        self.signal(Signal::TERM);
        self.wait(START_PATIENCE)
    }

    /// What it has logged so far.
    pub(crate) fn logged(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).trim().to_owned()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> Outcome<End> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().during("waiting for the server")? {
                let after = began.elapsed();
                let log = self.logged();
                if log.contains("panicked at") {
                    return trouble(format!("the server panicked: {log}"));
                }
                return Ok(End { status, log, after });
            }
            if began.elapsed() > patience {
                let log = self.logged();
                return trouble(format!("the server does not end within {patience:?}: {log}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
