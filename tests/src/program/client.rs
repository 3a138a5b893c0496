//! The real client, driven through pipes.

use std::path::Path;

use rustix::process::Signal;

use super::{Ended, Running};

/// A client whose standard input and output are not a terminal.
pub struct Client {
    running: Running,
    heard: usize,
}

impl Client {
    /// Starts `whoelse client` with these words behind it, and nothing on its standard input yet.
    #[must_use]
    pub fn start(program: &Path, words: &[&str], home: &Path) -> Self {
        let words = [&["client"], words].concat();
        Self { running: Running::start(program, &words, home), heard: 0 }
    }

    /// The same with a folder for what it keeps from run to run, instead of a new one.
    #[must_use]
    pub fn start_with(program: &Path, words: &[&str], home: &Path, state: &Path) -> Self {
        let words = [&["client"], words].concat();
        Self { running: Running::start_with(program, &words, home, state), heard: 0 }
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        self.running.write(&format!("{line}\n"));
    }

    /// Waits for the next line, after the one heard last, that contains a text.
    pub fn hear(&mut self, text: &str) -> String {
        let from = self.heard;
        let (at, line) = self.running.out.wait(&format!("'{text}'"), |lines| {
            let at = from + lines.get(from..)?.iter().position(|line| line.contains(text))?;
            Some((at, lines[at].clone()))
        });
        self.heard = at + 1;
        line
    }

    /// Waits for a line that contains a text, whatever was heard before or after.
    #[must_use]
    pub fn wait_for(&self, text: &str) -> String {
        self.running.out.wait_for(text)
    }

    /// Everything it has written to standard output.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.running.out.all()
    }

    /// Everything it has written to standard error.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.running.err.all()
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.running.end_input();
    }

    /// Waits until it ends by itself.
    #[must_use]
    pub fn wait(&mut self) -> Ended {
        self.running.wait()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Kills it.
    pub fn kill9(&mut self) {
        self.running.kill9();
    }
}
