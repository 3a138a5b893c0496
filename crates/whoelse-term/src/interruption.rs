//! Calling a person away from the line it is typing, so that something can be asked unseen.
//!
//! A password must neither be typed into the line editor, which shows it, nor be the rest of a line
//! that was half typed when the question came. So the line ends at once, whatever is in it; the
//! thread that reads what is typed drops it, and lets the person confirm that an answer follows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use crate::screen::Screen;
use crate::terminal::Terminal;

/// How often the editor is told to end until it does.
const NUDGE: Duration = Duration::from_millis(20);

/// An interrupt that comes so soon after one of ours is taken for it.
const OURS_FOR: Duration = Duration::from_secs(1);

/// Calls a person away from the line it is typing.
#[derive(Default)]
pub(crate) struct Interruption {
    /// Questions that the thread which reads has not seen.
    unseen: AtomicUsize,
    /// When the editor was interrupted last.
    at: Mutex<Option<Instant>>,
}

impl Interruption {
    /// A question is about to be put to whoever types: whatever is typed until then is dropped.
    pub(crate) fn announce(&self, terminal: Option<&Terminal>) {
        self.unseen.fetch_add(1, Ordering::SeqCst);
        if let Some(terminal) = terminal {
            // Without an editor the terminal shows what is typed: from here on it does not.
            terminal.set_echo(false);
        }
    }

    /// Ends the line in the editor, however often it takes.
    pub(crate) fn insist(&self, screen: &Screen) {
        while self.is_announced() && !screen.gate.is_closed() {
            screen.gate.while_editing(|| {
                *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                // The editor takes an interrupt for Ctrl-C, and leaves the terminal in order.
                kill_process(getpid(), Signal::INT).unwrap_or_default();
            });
            thread::sleep(NUDGE);
        }
    }

    /// Whether a question is on its way to the thread that reads what is typed.
    pub(crate) fn is_announced(&self) -> bool {
        self.unseen.load(Ordering::SeqCst) > 0
    }

    /// The question is seen.
    pub(crate) fn seen(&self) {
        // Questions before the first session are announced by nobody.
        let less = |count: usize| Some(count.saturating_sub(1));
        self.unseen.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).unwrap_or_default();
    }

    /// Whether an interrupt that has come is none of the person's.
    pub(crate) fn is_ours(&self) -> bool {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < OURS_FOR)
    }
}

/// What the speaker needs to call somebody away.
pub(crate) struct Caller {
    pub(crate) interruption: Arc<Interruption>,
    pub(crate) screen: Arc<Screen>,
    /// Where there is no line editor.
    pub(crate) terminal: Option<Arc<Terminal>>,
}

impl Caller {
    /// A question is about to be put to whoever types.
    pub(crate) fn announce(&self) {
        self.interruption.announce(self.terminal.as_deref());
    }

    /// The question is put.
    pub(crate) fn insist(&self) {
        if self.terminal.is_none() {
            self.interruption.insist(&self.screen);
        }
    }
}
