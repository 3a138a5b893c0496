//! A process of ours: started in a world of its own, ended for sure.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::Lines;

/// One start at a time: the pseudo-terminal library leaves pipes open for a moment that a process
/// started by another thread would inherit and keep.
static STARTING: Mutex<()> = Mutex::new(());

pub(super) fn starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that was started, with what it has written.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    /// Its standard output.
    pub out: Lines,
    /// Its standard error.
    pub err: Lines,
}

/// How a process has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: Vec<String>,
    /// Its standard error.
    pub err: Vec<String>,
}

impl Running {
    /// Starts a program in a folder that is also its home, without any other environment.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: &Path, arguments: &[impl AsRef<str>], home: &Path) -> Self {
        Self::spawn(command(program, arguments, home))
    }

    /// The same with a folder for what it keeps from run to run, instead of a new one.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with(
        program: &Path,
        arguments: &[impl AsRef<str>],
        home: &Path,
        state: &Path,
    ) -> Self {
        Self::spawn(command_with(program, arguments, home, state))
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let starting = starting();
        let mut child = command.spawn().expect("the program was built before its tests");
        drop(starting);
        let out = Lines::of(child.stdout.take().expect("it was made a pipe above"));
        let err = Lines::of(child.stderr.take().expect("it was made a pipe above"));
        let input = child.stdin.take();
        Self { child, input, out, err }
    }

    /// Writes to its standard input. If it has ended already, the test will find that out.
    pub fn write(&mut self, text: &str) {
        if let Some(input) = &mut self.input {
            input.write_all(text.as_bytes()).unwrap_or_default();
        }
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal)
            .expect("a process can be signalled until it is waited for");
    }

    /// Its number.
    #[must_use]
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How much memory it uses, in MiB.
    ///
    /// # Panics
    /// If it has ended and was waited for, or the system is not Linux.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("Linux tells the state of every process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("Linux tells the memory of every process") / 1024
    }

    /// How much time it has used, in hundredths of a second of a processor.
    ///
    /// # Panics
    /// If it has ended and was waited for, or the system is not Linux.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("Linux tells the state of every process");
        let (_, fields) = stat.rsplit_once(')').expect("the name of the program");
        let times = fields.split_whitespace().skip(11).take(2);
        times.filter_map(|time| time.parse::<u64>().ok()).sum()
    }

    /// Kills it as a power cut would, as far as a process can tell.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill9(&mut self) {
        self.child.kill().expect("our own process");
        self.child.wait().expect("our own process");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it takes too long.
    #[must_use]
    pub fn wait(&mut self) -> Ended {
        self.out.wait_end();
        self.err.wait_end();
        let status = self.child.wait().expect("our own process");
        Ended { code: status.code(), out: self.out.all(), err: self.err.all() }
    }
}

impl Drop for Running {
    /// # Panics
    /// If any part of the program has, even if the rest went on.
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        if !std::thread::panicking() {
            self.err.wait_end();
            let log = self.err.all().join("\n");
            assert!(!log.contains("panicked at"), "{log}");
        }
    }
}

/// The command line of a program that shall know nothing of the machine it runs on, nor of those
/// that ran before it.
pub(super) fn command(program: &Path, arguments: &[impl AsRef<str>], home: &Path) -> Command {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let state = home.join(format!(".state-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
    command_with(program, arguments, home, &state)
}

/// The same for a program that shall know what others have kept in this folder.
pub(super) fn command_with(
    program: &Path,
    arguments: &[impl AsRef<str>],
    home: &Path,
    state: &Path,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::as_ref)).current_dir(home);
    command.env_clear().env("HOME", home).env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
    command.env("XDG_STATE_HOME", state);
    command
}
