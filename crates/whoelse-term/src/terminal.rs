//! The state of the terminal: kept at the start, given back at the end, whatever happened.

use std::io::{self, Write, stderr, stdin, stdout};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// How long it takes at most until a stop that was asked for has come.
const STOP_WAIT: Duration = Duration::from_millis(50);

/// Whether the terminal marks pasted text, so that a line feed in it does not end the line.
const PASTE_BRACKETS_OFF: &str = "\u{1b}[?2004l\r\n";
const PASTE_BRACKETS_ON: &str = "\u{1b}[?2004h";

/// The width of a terminal that does not tell.
const COLUMNS_DEFAULT: usize = 80;

/// The width of the window at this moment.
pub(crate) fn columns() -> usize {
    tcgetwinsize(stdout())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS_DEFAULT)
}

/// The width of the terminal at the standard error, if that is one.
pub(crate) fn error_columns() -> Option<usize> {
    let size = tcgetwinsize(stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The terminal at the standard input, if there is one. Dropped, it is as it was before.
#[derive(Debug)]
pub(crate) struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    /// Remembers the state of the terminal.
    pub(crate) fn new() -> Self {
        Self { before: tcgetattr(stdin()).ok() }
    }

    /// Gives the terminal back as it was.
    pub(crate) fn restore(&self) {
        if let Some(before) = &self.before {
            // If the terminal is gone, there is nothing to give back.
            tcsetattr(stdin(), OptionalActions::Now, before).unwrap_or_default();
        }
    }

    /// Shows what is typed, or not.
    pub(crate) fn set_echo(&self, echo: bool) {
        self.change(|modes| modes.local_modes.set(LocalModes::ECHO, echo));
    }

    /// Leaves everything that is typed to the line editor, also between two lines: there the
    /// terminal would show what is typed a second time, and take Ctrl-C for the end.
    pub(crate) fn leave_to_editor(&self) {
        self.change(|modes| {
            modes.local_modes &=
                !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        });
    }

    /// Gives the terminal back as it was, from the middle of a line that is being edited.
    pub(crate) fn restore_from_editor(&self) {
        // Pasted text comes without brackets again, and whoever is next begins a new line.
        self.write(PASTE_BRACKETS_OFF);
        self.restore();
    }

    /// Stops the program until the shell continues it, with the terminal given back meanwhile.
    pub(crate) fn suspend(&self) {
        let Ok(now) = tcgetattr(stdin()) else { return };
        self.restore_from_editor();
        kill_current_process_group(Signal::TSTP).unwrap_or_default();
        // With several threads the stop comes a moment after the call returns.
        thread::sleep(STOP_WAIT);
        tcsetattr(stdin(), OptionalActions::Now, &now).unwrap_or_default();
        self.write(PASTE_BRACKETS_ON);
    }

    fn write(&self, sequence: &'static str) {
        let mut out = stdout();
        // A terminal that is gone shows itself where it is read.
        out.write_all(sequence.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
    }

    fn change(&self, change: impl FnOnce(&mut Termios)) {
        let changed = || -> io::Result<()> {
            let mut modes = tcgetattr(stdin())?;
            change(&mut modes);
            Ok(tcsetattr(stdin(), OptionalActions::Now, &modes)?)
        };
        if self.before.is_some() {
            // A terminal that is gone shows itself where it is read.
            changed().unwrap_or_default();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}
