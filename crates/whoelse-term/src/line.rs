//! Line mode: a line editor below, what happens above it.
//!
//! Three settings of the editor matter. Its buffer is kept from line to line (feature
//! `buffer-redux`), or what was typed ahead would be lost. A lone Escape waits 50 ms for the
//! rest of a sequence instead of for ever, during which nothing could be printed. Completion
//! lists at once instead of cycling or waiting for a second Tab, for the same reason, and keys
//! that wait for another key do nothing.
//!
//! Two gaps are known. When the terminal is made narrower while the input wraps and a message
//! arrives in the same moment, the editor clears a row too many or too few; the message is on the
//! server until it was shown, not longer. And while the history is searched (Ctrl-R, Ctrl-S) or a
//! count is typed (Alt with a digit or a minus, which the editor takes before it looks at our
//! keys), nothing is printed until the search or the count ends; no message is lost by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, KeyCode, KeyEvent, Modifiers, Prompt, RepeatCount,
};

use crate::complete::Completion;
use crate::compose::Text;
use crate::plain::{Lines, Typed};
use crate::screen::Screen;
use crate::terminal::Terminal;

/// How long an Escape waits for the rest of a key sequence, in milliseconds.
const ESCAPE_MS: u16 = 50;

/// Lines kept for the arrow keys, in memory only.
const HISTORY_MAX: usize = 1000;

/// The line editor.
pub(crate) struct EditedLines {
    editor: Editor<Completion, MemHistory>,
    screen: Arc<Screen>,
    terminal: Arc<Terminal>,
    colour: bool,
    /// The line was empty when the last key that may end it was pressed.
    empty: Arc<AtomicBool>,
    /// The next interrupt comes from the program: nothing more is to be typed.
    stopping: Arc<AtomicBool>,
}

impl EditedLines {
    /// An editor, and what prints above it; none if the terminal cannot do that.
    pub(crate) fn new(
        screen: &Arc<Screen>,
        terminal: &Arc<Terminal>,
        completion: Completion,
        colour: bool,
        stopping: &Arc<AtomicBool>,
    ) -> Option<(Self, Box<dyn ExternalPrinter + Send>)> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .completion_prompt_limit(usize::MAX)
            .keyseq_timeout(Some(ESCAPE_MS))
            .bracketed_paste(true)
            .max_history_size(HISTORY_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .ok()?
            .history_ignore_space(true)
            .auto_add_history(true)
            .color_mode(if colour { ColorMode::Enabled } else { ColorMode::Disabled })
            .build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).ok()?;
        editor.set_helper(Some(completion));
        let printer = editor.create_external_printer().ok()?;
        let empty = Arc::new(AtomicBool::new(true));
        for key in [
            KeyEvent::new('\r', Modifiers::NONE),
            KeyEvent::ctrl('J'),
            KeyEvent::ctrl('C'),
            KeyEvent::ctrl('\\'),
            KeyEvent::ctrl('D'),
        ] {
            let handler = LastKey { screen: Arc::clone(screen), empty: Arc::clone(&empty) };
            editor.bind_sequence(key, EventHandler::Conditional(Box::new(handler)));
        }
        for key in withholding_keys() {
            editor.bind_sequence(key, EventHandler::Simple(Cmd::Noop));
        }
        let suspend = Suspend { terminal: Arc::clone(terminal) };
        let suspend = EventHandler::Conditional(Box::new(suspend));
        editor.bind_sequence(KeyEvent::ctrl('Z'), suspend);
        let lines = Self {
            editor,
            screen: Arc::clone(screen),
            terminal: Arc::clone(terminal),
            colour,
            empty,
            stopping: Arc::clone(stopping),
        };
        Some((lines, Box::new(printer)))
    }
}

/// Keys after which the editor would wait for another one, and print nothing meanwhile.
fn withholding_keys() -> [KeyEvent; 5] {
    [
        KeyEvent::ctrl('X'),
        KeyEvent::ctrl('V'),
        KeyEvent::ctrl('Q'),
        KeyEvent::ctrl(']'),
        KeyEvent(KeyCode::Char(']'), Modifiers::CTRL_ALT),
    ]
}

impl Lines for EditedLines {
    fn next(&mut self, prompt: &Text) -> Typed {
        loop {
            let prompt = GatedPrompt {
                raw: prompt.to_string(),
                styled: if self.colour {
                    format!("\u{1b}[1m{}\u{1b}[0m", &**prompt)
                } else {
                    prompt.to_string()
                },
                screen: &self.screen,
            };
            self.terminal.leave_to_editor();
            self.screen.gate.enter();
            let read = self.editor.readline(&prompt);
            self.screen.gate.free();
            return match read {
                _ if self.stopping.load(Ordering::SeqCst) => Typed::End,
                Ok(line) => Typed::Line(line),
                Err(ReadlineError::Interrupted) => {
                    Typed::Interrupt { empty: self.empty.load(Ordering::SeqCst) }
                }
                Err(ReadlineError::Io(error))
                    if error.kind() == std::io::ErrorKind::InvalidData =>
                {
                    Typed::NotUtf8
                }
                // A window that changed its size is drawn anew by the editor itself.
                Err(ReadlineError::Signal(_)) => continue,
                Err(_) => Typed::End,
            };
        }
    }
}

impl Drop for EditedLines {
    fn drop(&mut self) {
        // From now on Ctrl-C ends the program again.
        self.terminal.restore();
    }
}

/// A prompt that opens the gate when the editor first looks at it.
struct GatedPrompt<'s> {
    raw: String,
    styled: String,
    screen: &'s Screen,
}

impl Prompt for GatedPrompt<'_> {
    fn raw(&self) -> &str {
        // By now the editor has the terminal to itself, so that text must go through it.
        self.screen.gate.editing();
        &self.raw
    }

    fn styled(&self) -> &str {
        &self.styled
    }
}

/// Closes the gate when a key ends the line. What the key does is left to the editor.
struct LastKey {
    screen: Arc<Screen>,
    empty: Arc<AtomicBool>,
}

impl ConditionalEventHandler for LastKey {
    fn handle(
        &self,
        event: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let empty = context.line().is_empty();
        self.empty.store(empty, Ordering::SeqCst);
        // On a line with text, Ctrl-D deletes a character.
        if empty || event.get(0) != Some(&KeyEvent::ctrl('D')) {
            self.screen.gate.leave();
        }
        None
    }
}

/// Stops the program, in place of the editor, which would give the terminal back half changed.
struct Suspend {
    terminal: Arc<Terminal>,
}

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.terminal.suspend();
        Some(Cmd::Repaint)
    }
}
