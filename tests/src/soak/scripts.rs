//! Two of the real clients, driven through pipes, that write to each other over all crashes.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::people;
use super::trouble::{Outcome, While, trouble};

/// How many messages one may have on the way.
const WINDOW: usize = 20;

/// Two clients.
pub(crate) struct Scripts {
    ends: [Script; 2],
}

/// What became of their messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScriptCounts {
    /// How many were written.
    pub(crate) written: u64,
    /// How many of them never came.
    pub(crate) lost: u64,
    /// How many came again or in another order.
    pub(crate) disordered: u64,
    /// How many clients did not end as a script whose every message was confirmed.
    pub(crate) unconfirmed: u64,
}

/// One of the clients.
struct Script {
    child: Child,
    own: usize,
    other: usize,
    written: usize,
    out: PathBuf,
}

impl Scripts {
    /// Starts them as the people with these numbers.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        address: SocketAddr,
        people: [usize; 2],
    ) -> Outcome<Self> {
        let [one, other] = people;
        let first = Script::start(program, folder, address, one, other)?;
        let mut ends = [first, Script::start(program, folder, address, other, one)?];
        ends.iter_mut().try_for_each(Script::wait_until_in)?;
        Ok(Self { ends })
    }

    /// Has each write what it may.
    pub(crate) fn write(&mut self) -> Outcome<()> {
        self.ends.iter_mut().try_for_each(Script::write)
    }

    /// Waits until everything has come, and ends them.
    pub(crate) fn drain(mut self, patience: Duration) -> Outcome<ScriptCounts> {
        let deadline = Instant::now() + patience;
        let [one, other] = &mut self.ends;
        while Instant::now() < deadline
            && (one.read()?.len() < other.written || other.read()?.len() < one.written)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut counts = ScriptCounts::default();
        for (reader, written) in [(&*one, other.written), (&*other, one.written)] {
            let read = reader.read()?;
            let expected = (1..=written).collect::<Vec<_>>();
            counts.written += written as u64;
            counts.lost += expected.iter().filter(|number| !read.contains(number)).count() as u64;
            let is_next = |pair: &&[usize]| pair[1] == pair[0] + 1;
            let in_order = read.windows(2).filter(is_next).count();
            counts.disordered += (read.len().saturating_sub(1) - in_order) as u64;
        }
        for script in [one, other] {
            drop(script.child.stdin.take());
            counts.unconfirmed += u64::from(!script.ends_well(deadline)?);
        }
        Ok(counts)
    }
}

impl Script {
    fn start(
        program: &Path,
        folder: &Path,
        address: SocketAddr,
        own: usize,
        other: usize,
    ) -> Outcome<Self> {
        let home = folder.join(format!("home-{own}"));
        std::fs::create_dir_all(&home).during("making a home")?;
        let password = home.join("password");
        std::fs::write(&password, people::PASSWORD).during("writing a password")?;
        let out = home.join("out");
        let file = std::fs::File::create(&out).during("making an output")?;
        let errors = std::fs::File::create(home.join("err")).during("making an output")?;
        let child = Command::new(program)
            .args(["client", "127.0.0.1", &address.port().to_string()])
            .args(["--user", &people::name(own), "--password-file"])
            .arg(&password)
            .current_dir(&home)
            .env_clear()
            .envs([("HOME", home.as_os_str()), ("XDG_STATE_HOME", home.as_os_str())])
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .during("starting a client")?;
        Ok(Self { child, own, other, written: 0, out })
    }

    /// Waits until it is logged in: one that never was gives up when its line breaks.
    fn wait_until_in(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.output()?.contains("logged in as") {
            if Instant::now() > deadline || !self.is_alive() {
                return trouble(format!("client {} does not log in", self.own));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn output(&self) -> Outcome<String> {
        let bytes = std::fs::read(&self.out).during("reading what a client printed")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The messages it has shown, in order.
    fn read(&self) -> Outcome<Vec<usize>> {
        let mark = format!("{}: note ", people::name(self.other));
        let number = |line: &str| line.split_once(&mark)?.1.split_whitespace().next()?.parse().ok();
        Ok(self.output()?.lines().filter_map(number).collect())
    }

    /// How many it says were sent.
    fn sent(&self) -> Outcome<usize> {
        let mark = format!("message {}: sent", people::name(self.other));
        Ok(self.output()?.lines().filter(|line| line.contains(&mark)).count())
    }

    fn write(&mut self) -> Outcome<()> {
        if !self.is_alive() {
            return trouble(format!("client {} has ended", self.own));
        }
        let may = self.sent()? + WINDOW;
        let mut lines = String::new();
        while self.written < may {
            self.written += 1;
            lines += &format!("message {} note {}\n", people::name(self.other), self.written);
        }
        let input = self.child.stdin.as_mut().during("a client has no input")?;
        input.write_all(lines.as_bytes()).during(format!("writing to client {}", self.own))
    }

    /// Waits until it has ended; says whether it did with everything confirmed.
    fn ends_well(&mut self, deadline: Instant) -> Outcome<bool> {
        loop {
            if let Some(status) = self.child.try_wait().during("waiting for a client")? {
                return Ok(status.success());
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
