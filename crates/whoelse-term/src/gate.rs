//! Who may write to the terminal: the line editor, or what prints messages.
//!
//! The editor draws what is being typed, and takes text of others only through its printer
//! while it waits for a key. Around that there are moments when it owns the terminal and takes
//! nothing: from the call until the prompt stands, and from the key that ends the line until
//! the cursor is on the next. Text printed in one of those would land in the middle of a line.
//! The gate knows these moments, and makes the printer wait for them to pass.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after its beginning the end of a line waits for a print. After that the print is
/// itself waiting for the editor, and does no harm.
const HANDING_OVER_MAX: Duration = Duration::from_millis(2);

/// A key that ends the line does so in microseconds. If the editor is still there after this
/// time, it took the key for something else.
const LEAVING_MAX: Duration = Duration::from_millis(200);

/// Who owns the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody; text is written to it directly.
    Free,
    /// The editor has been called, and the prompt does not stand yet.
    Entering,
    /// The editor waits for keys, and for text to print.
    Editing,
    /// The editor has seen the key that ends the line.
    Leaving,
    /// A person is being asked for something; nothing is printed.
    Asking,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Text is being handed to the editor, since this moment.
    printing: Option<Instant>,
    /// There will be no editor any more.
    closed: bool,
    /// How often somebody else than the printer has had the terminal.
    turns: u64,
}

/// Tells whether text may be written, and how.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// A right to write to the terminal.
pub(crate) enum Way<'g> {
    /// Directly, while this is held.
    Direct(Free<'g>),
    /// By handing it to the editor, while this is held.
    Editor(Printing<'g>),
}

/// The terminal is free, and stays so while this is held.
pub(crate) struct Free<'g>(
    #[expect(dead_code, reason = "holding it is its use")] MutexGuard<'g, State>,
);

/// The end of the line waits a little for the print, while this is held.
pub(crate) struct Printing<'g>(&'g Gate);

impl Gate {
    pub(crate) fn new() -> Self {
        let state = State { phase: Phase::Free, printing: None, closed: false, turns: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The editor is about to be called.
    pub(crate) fn enter(&self) {
        self.set(Phase::Entering);
    }

    /// The editor draws its prompt; from now on it takes text.
    pub(crate) fn editing(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Entering {
            state.phase = Phase::Editing;
            self.changed.notify_all();
        }
    }

    /// The editor has seen a key that ends the line. Called by the editor, while it edits.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Editing {
            return;
        }
        state.phase = Phase::Leaving;
        while let Some(since) = state.printing
            && let Some(rest) = HANDING_OVER_MAX.checked_sub(since.elapsed())
        {
            (state, _) =
                self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The editor has returned, or the person has answered.
    pub(crate) fn free(&self) {
        self.take_turn();
        self.set(Phase::Free);
    }

    /// Somebody else than the printer writes to the terminal.
    pub(crate) fn take_turn(&self) {
        self.lock().turns += 1;
    }

    /// How often somebody else than the printer has had the terminal: as long as that stays the same,
    /// what was printed last stands at the bottom, above the line that is being typed.
    pub(crate) fn turns(&self) -> u64 {
        self.lock().turns
    }

    /// There will be no editor any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.set(Phase::Free);
    }

    /// A person is about to be asked.
    pub(crate) fn ask(&self) {
        self.set(Phase::Asking);
    }

    /// Whether a person is being asked.
    pub(crate) fn is_asking(&self) -> bool {
        self.lock().phase == Phase::Asking
    }

    /// Does something that ends the line, while the editor waits for keys and cannot leave.
    pub(crate) fn while_editing(&self, act: impl FnOnce()) {
        let state = self.lock();
        if state.phase == Phase::Editing {
            act();
        }
    }

    /// Whether there will be no editor any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether the editor has the terminal.
    pub(crate) fn is_editing(&self) -> bool {
        matches!(self.lock().phase, Phase::Editing | Phase::Leaving)
    }

    /// Waits until text may be written. With `in_order` the editor still holds text that must
    /// appear first, so that only it will do, as long as there is one.
    pub(crate) fn wait(&self, in_order: bool) -> Way<'_> {
        let mut state = self.lock();
        loop {
            match state.phase {
                _ if state.closed => return Way::Direct(Free(state)),
                Phase::Free if !in_order => return Way::Direct(Free(state)),
                Phase::Editing => {
                    state.printing = Some(Instant::now());
                    return Way::Editor(Printing(self));
                }
                Phase::Leaving => {
                    let (next, wait) = self
                        .changed
                        .wait_timeout_while(state, LEAVING_MAX, |state| {
                            state.phase == Phase::Leaving
                        })
                        .unwrap_or_else(PoisonError::into_inner);
                    state = next;
                    if wait.timed_out() {
                        state.phase = Phase::Editing;
                    }
                }
                Phase::Free | Phase::Entering | Phase::Asking => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Holds the terminal for the thread of the editor, while it is not editing.
    pub(crate) fn hold(&self) -> Free<'_> {
        Free(self.lock())
    }

    fn set(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete in itself, so that a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Printing<'_> {
    fn drop(&mut self) {
        self.0.lock().printing = None;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// How text would go out, as soon as it may.
    fn way(gate: &Gate, in_order: bool) -> &'static str {
        match gate.wait(in_order) {
            Way::Direct(_) => "direct",
            Way::Editor(_) => "editor",
        }
    }

    /// Waits in another thread, changes the gate, and says how the text went out.
    fn way_after(gate: &Gate, in_order: bool, change: impl FnOnce(&Gate)) -> &'static str {
        let (ready, waits) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                ready.send(()).unwrap();
                way(gate, in_order)
            });
            waits.recv().unwrap();
            change(gate);
            waiting.join().unwrap()
        })
    }

    #[test]
    fn text_is_written_directly_or_through_the_editor_and_never_in_between() {
        let gate = Gate::new();
        assert_eq!(way(&gate, false), "direct");
        gate.enter();
        assert_eq!(way_after(&gate, false, Gate::editing), "editor");
        gate.leave();
        assert_eq!(way_after(&gate, false, Gate::free), "direct");
    }

    #[test]
    fn nothing_is_printed_over_a_question() {
        let gate = Gate::new();
        gate.ask();
        assert!(gate.is_asking());
        assert_eq!(way_after(&gate, false, Gate::free), "direct");
    }

    #[test]
    fn text_the_editor_still_holds_comes_first() {
        let gate = Gate::new();
        let next_line = |gate: &Gate| {
            gate.enter();
            gate.editing();
        };
        assert_eq!(way_after(&gate, true, next_line), "editor");
        gate.free();
        assert_eq!(way_after(&gate, true, Gate::close), "direct");
    }

    #[test]
    fn the_end_of_a_line_waits_for_a_print_but_not_for_ever() {
        let gate = Gate::new();
        gate.enter();
        gate.editing();
        let Way::Editor(printing) = gate.wait(false) else { panic!() };
        gate.leave();
        drop(printing);
        assert_eq!(way_after(&gate, false, Gate::free), "direct");
    }

    #[test]
    fn a_key_that_did_not_end_the_line_after_all_holds_nothing_up() {
        let gate = Gate::new();
        gate.enter();
        gate.editing();
        gate.leave();
        assert_eq!(way(&gate, false), "editor");
    }

    #[test]
    fn a_late_drawing_of_the_prompt_does_not_reopen_a_line_that_ends() {
        let gate = Gate::new();
        gate.enter();
        gate.editing();
        gate.leave();
        gate.editing();
        assert_eq!(way_after(&gate, false, Gate::free), "direct");
    }
}
