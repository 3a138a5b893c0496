//! The real client on a pseudo-terminal, with the screen a person would see.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use expectrl::Session;
use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use vt100::Parser;

use super::DEADLINE;
use super::running::{command, command_with, starting};

/// The size of the pseudo-terminal; the library's default.
const ROWS: NonZeroU16 = NonZeroU16::new(24).expect("not 0");
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).expect("not 0");

/// Lines kept that have left the screen at its top.
const SCROLLBACK: usize = 2_000;

/// A program on a pseudo-terminal of 24 lines and 80 columns.
pub struct Terminal {
    session: OsSession,
    shown: Arc<Shown>,
}

struct Shown {
    view: Mutex<View>,
    more: Condvar,
}

struct View {
    parser: Parser,
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Terminal {
    /// Starts a program with these words behind it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: &Path, words: &[&str], home: &Path) -> Self {
        Self::spawn(command(program, words, home))
    }

    /// The same with a folder for what it keeps from run to run, instead of a new one.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with(program: &Path, words: &[&str], home: &Path, state: &Path) -> Self {
        Self::spawn(command_with(program, words, home, state))
    }

    fn spawn(command: std::process::Command) -> Self {
        let starting = starting();
        let session = Session::spawn(command);
        drop(starting);
        let session = session.expect("the program was built before its tests");
        let output = session.get_process().get_raw_handle().expect("the terminal is open");
        let view = View {
            parser: Parser::new(ROWS, COLUMNS, SCROLLBACK),
            bytes: Vec::new(),
            has_ended: false,
        };
        let shown = Arc::new(Shown { view: Mutex::new(view), more: Condvar::new() });
        let watched = Arc::clone(&shown);
        std::thread::spawn(move || watch(output, &watched));
        Self { session, shown }
    }

    /// Types; `\r` is the Return key, `\t` the Tab key.
    ///
    /// # Panics
    /// If the terminal is closed.
    pub fn type_text(&mut self, text: &str) {
        self.session.write_all(text.as_bytes()).expect("the terminal is open");
        self.session.flush().expect("the terminal is open");
    }

    /// What is to be seen now.
    #[must_use]
    pub fn screen(&self) -> String {
        self.shown.lock().parser.screen().contents()
    }

    /// Everything that was ever to be seen and not overwritten: the screen, and what has left it.
    #[must_use]
    pub fn everything(&self) -> Vec<String> {
        self.shown.lock().everything()
    }

    /// Every byte the program has written.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.lock().bytes.clone()
    }

    /// Waits until a text is to be seen, on the screen or above it.
    pub fn wait_for(&self, text: &str) {
        self.wait(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Waits until the lines on the screen and above it are as wanted.
    pub fn wait(&self, what: &str, mut is_it: impl FnMut(&[String]) -> bool) {
        self.wait_until(what, |view| is_it(&view.everything()));
    }

    /// Waits until the line the cursor is on is as wanted.
    pub fn wait_for_cursor_line(&self, what: &str, mut is_it: impl FnMut(&str) -> bool) {
        self.wait_until(what, |view| is_it(&view.cursor_line()));
    }

    fn wait_until(&self, what: &str, mut is_it: impl FnMut(&View) -> bool) {
        let mut view = self.shown.lock();
        while !is_it(&view) {
            let screen = || view.parser.screen().contents();
            assert!(!view.has_ended, "ended without '{what}'; the screen:\n{}", screen());
            let waited = self.shown.more.wait_timeout(view, DEADLINE);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            view = next;
            let screen = || view.parser.screen().contents();
            assert!(!timeout.timed_out(), "waited for '{what}'; the screen:\n{}", screen());
        }
    }

    /// Waits until the program ends by itself; returns its exit code.
    ///
    /// # Panics
    /// If it does not, or a signal ends it.
    pub fn wait_exit(&mut self) -> i32 {
        let mut view = self.shown.lock();
        while !view.has_ended {
            let waited = self.shown.more.wait_timeout(view, DEADLINE);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            view = next;
            let screen = || view.parser.screen().contents();
            assert!(!timeout.timed_out(), "does not end; the screen:\n{}", screen());
        }
        drop(view);
        match self.session.get_process().wait() {
            Ok(WaitStatus::Exited(_, code)) => code,
            other => panic!("ended with {other:?}"),
        }
    }
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, View> {
        // A test that failed while it looked has changed nothing.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn everything(&self) -> Vec<String> {
        let mut screen = self.parser.screen().clone();
        let mut lines = Vec::new();
        for back in (1..=screen.scrollback_len()).rev() {
            screen.set_scrollback(back);
            lines.extend(screen.rows(0, COLUMNS.get()).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, COLUMNS.get()));
        lines
    }

    /// What stands on the line of the cursor, up to the cursor.
    fn cursor_line(&self) -> String {
        let screen = self.parser.screen();
        let (row, column) = screen.cursor_position();
        screen.contents_between(row, 0, row, column)
    }
}

/// Shows what comes until the program has ended.
fn watch(mut output: File, shown: &Shown) {
    let mut buffer = [0; 16 * 1024];
    // When the last program on a terminal has gone, reading it is an error.
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        let mut view = shown.lock();
        view.bytes.extend_from_slice(&buffer[..read]);
        view.parser.process(&buffer[..read]);
        drop(view);
        shown.more.notify_all();
    }
    shown.lock().has_ended = true;
    shown.more.notify_all();
}
