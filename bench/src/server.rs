//! The programs under load, as child processes that cannot outlive the bench.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::dialect::{Dialect, name_of, password_of};
use crate::failure::{Explain, Failure};
use crate::process;

/// How long a server may take until its port accepts.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// A second with less than this is a second of rest.
const REST: Duration = Duration::from_millis(10);

/// A program under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// The bare relay.
    R,
    /// The bare relay with our JSON.
    J,
    /// The real server.
    Whoelse,
}

impl Program {
    /// Names the program in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::R => "R",
            Self::J => "J",
            Self::Whoelse => "whoelse",
        }
    }

    /// Names the language it speaks.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::R => Dialect::Bare,
            Self::J => Dialect::Json,
            Self::Whoelse => Dialect::Whoelse,
        }
    }
}

/// Where the real server is and where it may keep its data.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// This program.
    pub(crate) bench: PathBuf,
    /// The real server's program.
    pub(crate) whoelse: PathBuf,
    /// The folder that temporary folders are made in.
    pub(crate) folder: PathBuf,
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    program: Program,
    child: Child,
    folder: TempDir,
}

impl Paths {
    /// Finds this program, the real server and a folder; says how to build what is missing.
    pub(crate) fn find(
        whoelse: Option<&PathBuf>,
        folder: Option<&PathBuf>,
        is_server_wanted: bool,
    ) -> Result<Self, Failure> {
        let bench = env::current_exe().explain(|| "finding this program".into())?;
        let beside = bench.parent().map_or_else(PathBuf::new, PathBuf::from);
        let whoelse = whoelse.cloned().unwrap_or_else(|| beside.join("whoelse"));
        if is_server_wanted && !whoelse.is_file() {
            return Err(Failure::new(format!(
                "there is no {}; build it with `cargo build --release -p whoelse`",
                whoelse.display()
            )));
        }
        let folder = folder.cloned().unwrap_or(beside);
        Ok(Self { bench, whoelse, folder })
    }
}

impl Server {
    /// Starts a server that knows `people` people, and waits until it accepts connections.
    pub(crate) fn start(program: Program, people: usize, paths: &Paths) -> Result<Self, Failure> {
        Self::start_with(program, people, &[], paths)
    }

    /// Starts the real server with further arguments.
    pub(crate) fn start_whoelse(
        people: usize,
        arguments: &[&str],
        paths: &Paths,
    ) -> Result<Self, Failure> {
        Self::start_with(Program::Whoelse, people, arguments, paths)
    }

    fn start_with(
        program: Program,
        people: usize,
        arguments: &[&str],
        paths: &Paths,
    ) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("whoelse-bench-")
            .tempdir_in(&paths.folder)
            .explain(|| format!("making a folder in {}", paths.folder.display()))?;
        let port = free_port()?;
        let mut command = Command::new(&paths.bench);
        match program {
            Program::R => command.args(["relay-r", &port.to_string()]),
            Program::J => command.args(["relay-j", &port.to_string()]),
            Program::Whoelse => {
                let credentials = folder.path().join("credentials.txt");
                write_credentials(&credentials, people)?;
                command.arg("run").arg("--").arg(&paths.whoelse).arg("server");
                command.arg("--port").arg(port.to_string());
                command.arg("--data").arg(folder.path().join("data"));
                command.arg("--credentials").arg(credentials);
                command.args(["--idle-seconds", "0"])
            }
        };
        command.args(arguments);
        // A pipe that nobody reads would one day stop the server; a file does not.
        let log = File::create(folder.path().join("log")).explain(|| "making a log".into())?;
        let copy = log.try_clone().explain(|| "making a log".into())?;
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = command.spawn().explain(|| format!("starting {}", program.name()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { address, program, child, folder };
        server.wait_until_it_accepts()?;
        Ok(server)
    }

    /// Reads what the server has spent, to 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu_of(self.child.id())
    }

    /// Reads what the server's threads have spent, finely.
    pub(crate) fn fine_cpu(&self) -> Result<Duration, Failure> {
        process::fine_cpu_of(self.child.id())
    }

    /// Counts the files and sockets the server has open.
    pub(crate) fn descriptors(&self) -> Result<usize, Failure> {
        process::descriptors_of(self.child.id())
    }

    /// Adds up the server's database, in bytes, with what is not yet in its main file.
    pub(crate) fn database_bytes(&self) -> Result<u64, Failure> {
        let folder = self.folder.path().join("data");
        let mut bytes = 0;
        for entry in fs::read_dir(&folder).explain(|| "reading the server's folder".into())? {
            let entry = entry.explain(|| "reading the server's folder".into())?;
            if entry.file_name().to_string_lossy().starts_with("whoelse.db") {
                bytes += entry.metadata().explain(|| "reading the server's folder".into())?.len();
            }
        }
        Ok(bytes)
    }

    /// Reads the server's resident memory that no file is behind.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64, Failure> {
        process::anonymous_bytes_of(self.child.id())
    }

    /// Reads the server's resident memory.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failure> {
        process::resident_bytes_of(self.child.id())
    }

    /// Waits until the server has done next to nothing for a second, and says whether it has.
    ///
    /// `meanwhile` is called again and again and takes a moment each time.
    pub(crate) fn wait_until_at_rest(
        &self,
        patience: Duration,
        mut meanwhile: impl FnMut(Duration) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let before = self.fine_cpu()?;
            let second = Instant::now() + Duration::from_secs(1);
            while let Some(left) = second.checked_duration_since(Instant::now()) {
                meanwhile(left)?;
            }
            if self.fine_cpu()?.saturating_sub(before) < REST {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says whose failure it was, and what the server said last if it has ended.
    pub(crate) fn blame(&mut self, failure: &Failure) -> Failure {
        // A server that has just failed may need a moment to be gone.
        let deadline = Instant::now() + Duration::from_millis(500);
        while Instant::now() < deadline {
            if let Some(ended) = self.ended() {
                return ended;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Failure::new(format!("{}: {failure}", self.program.name()))
    }

    fn wait_until_it_accepts(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let (name, seconds) = (self.program.name(), START_PATIENCE.as_secs());
        Err(Failure::new(format!("{name} did not accept a connection within {seconds} s")))
    }

    fn ended(&mut self) -> Option<Failure> {
        let status = self.child.try_wait().ok()??;
        let name = self.program.name();
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let words = log.lines().rev().find(|line| !line.trim().is_empty());
        Some(Failure::new(match words {
            Some(words) => format!("{name} ended ({status}); its last words: {}", words.trim()),
            None => format!("{name} ended ({status}) without a word"),
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Has this process killed when the one that started it ends, for whatever reason.
///
/// The wish survives `exec`, so it reaches the real server too.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .explain(|| "asking to end with the bench".into())
}

/// Becomes another program and so returns only when that fails.
pub(crate) fn become_program(command: &[OsString]) -> Result<(), Failure> {
    let (program, arguments) = command.split_first().expect("the command line requires a program");
    let error = Command::new(program).args(arguments).exec();
    Err(error).explain(|| format!("starting {}", program.display()))
}

fn free_port() -> Result<u16, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .explain(|| "finding a free port".into())
}

fn write_credentials(path: &Path, people: usize) -> Result<(), Failure> {
    let mut text = String::new();
    for person in 0..people {
        text.push_str(&format!("{} {}\n", name_of(person), password_of(person)));
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .explain(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_one_person_a_line_and_nobody_elses_business() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.txt");
        write_credentials(&path, 2).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "u0000 p0\nu0001 p1\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
