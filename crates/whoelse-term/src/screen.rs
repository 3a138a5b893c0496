//! Where lines go: straight to the output, or around the line that is being typed.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::ExternalPrinter;

use crate::compose::Text;
use crate::gate::{Gate, Way};

/// One row up and one down again: nothing to see, but text the editor must take like any other.
///
/// The editor keeps at most one text waiting. That it took this one proves that it took, and
/// therefore printed, the one before.
const PROBE: &str = "\u{1b}[A\n";

/// The output of the program.
pub(crate) struct Screen {
    pub(crate) gate: Gate,
    out: Mutex<Box<dyn Write + Send>>,
}

/// Prints from another thread than the one that reads what is typed.
pub(crate) struct Printer {
    screen: Arc<Screen>,
    editor: Option<Box<dyn ExternalPrinter + Send>>,
    /// Handed to the editor, and perhaps not printed yet.
    pending: Option<Text>,
}

impl Screen {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { gate: Gate::new(), out: Mutex::new(out) }
    }

    /// Prints from the thread that reads what is typed, while nothing is being typed.
    pub(crate) fn print(&self, text: &Text) -> io::Result<()> {
        self.gate.take_turn();
        let _held = self.gate.hold();
        self.write(text)
    }

    fn write(&self, text: &Text) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Printer {
    /// A printer that goes around the editor, if there is one.
    pub(crate) fn new(
        screen: Arc<Screen>,
        editor: Option<Box<dyn ExternalPrinter + Send>>,
    ) -> Self {
        Self { screen, editor, pending: None }
    }

    /// Prints a text, now or as soon as the editor takes it; see [`Printer::confirm`].
    pub(crate) fn print(&mut self, text: Text) -> io::Result<()> {
        let screen = Arc::clone(&self.screen);
        loop {
            match screen.gate.wait(self.pending.is_some()) {
                Way::Direct(_free) => {
                    // If the editor ended with a text in its hands, that comes first.
                    let pending = self.pending.take().unwrap_or_default();
                    return screen.write(&(pending + &text));
                }
                Way::Editor(_printing) => {
                    if self.hand_over(&text) {
                        self.pending = Some(text);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// See [`Gate::turns`].
    pub(crate) fn turns(&self) -> u64 {
        self.screen.gate.turns()
    }

    /// Waits until everything printed so far stands on the screen.
    pub(crate) fn confirm(&mut self) -> io::Result<()> {
        let screen = Arc::clone(&self.screen);
        while let Some(pending) = &self.pending {
            match screen.gate.wait(true) {
                Way::Direct(_free) => screen.write(pending)?,
                Way::Editor(_printing) => {
                    if !self.hand_over(PROBE) {
                        continue;
                    }
                }
            }
            self.pending = None;
        }
        Ok(())
    }

    /// Hands a text to the editor; if there is none any more, the gate learns of it.
    fn hand_over(&mut self, text: &str) -> bool {
        let taken = match &mut self.editor {
            Some(editor) => editor.print(text.to_owned()).is_ok(),
            None => false,
        };
        if !taken {
            self.screen.gate.close();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use rustyline::error::ReadlineError;

    use super::*;
    use crate::compose::{Line, Tone};

    /// What was written to the output and what the editor has printed, in order.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            self.0.lock().unwrap().replace(PROBE, "")
        }
    }

    /// Keeps one text waiting, as the real one does, until its editor takes it.
    struct Editor(mpsc::SyncSender<String>);

    impl ExternalPrinter for Editor {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| ReadlineError::from(io::ErrorKind::Other))
        }
    }

    fn screen() -> (Arc<Screen>, Paper) {
        let paper = Paper::default();
        (Arc::new(Screen::new(Box::new(paper.clone()))), paper)
    }

    type External = Option<Box<dyn ExternalPrinter + Send>>;

    fn print_all(screen: &Arc<Screen>, editor: External, count: usize) {
        let mut printer = Printer::new(Arc::clone(screen), editor);
        for number in 0..count {
            printer.print(Line::new().say(number).end(Tone::Plain, false)).unwrap();
        }
        printer.confirm().unwrap();
    }

    fn expected(count: usize) -> String {
        (0..count).map(|number| format!("{number}\n")).collect()
    }

    #[test]
    fn without_an_editor_text_is_written_at_once() {
        let (screen, paper) = screen();
        print_all(&screen, None, 3);
        assert_eq!(paper.text(), expected(3));
    }

    #[test]
    fn an_editor_prints_everything_in_order_over_many_lines() {
        const TEXTS: usize = 200;
        let (screen, mut paper) = screen();
        let (texts, editor) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            let printing = scope.spawn(|| print_all(&screen, Some(Box::new(Editor(texts))), TEXTS));
            while !printing.is_finished() {
                // A line is typed: two texts are printed meanwhile, if there are so many.
                screen.gate.enter();
                screen.gate.editing();
                for text in editor.try_iter().take(2) {
                    paper.write_all(text.as_bytes()).unwrap();
                }
                screen.gate.leave();
                screen.gate.free();
            }
        });
        assert_eq!(paper.text(), expected(TEXTS));
    }

    #[test]
    fn what_the_editor_held_when_it_ended_is_printed_after_all_and_in_order() {
        for taken in 0..4 {
            let (screen, mut paper) = screen();
            screen.gate.enter();
            screen.gate.editing();
            let (texts, editor) = mpsc::sync_channel(1);
            thread::scope(|scope| {
                scope.spawn(|| print_all(&screen, Some(Box::new(Editor(texts))), 5));
                for _ in 0..taken {
                    paper.write_all(editor.recv().unwrap().as_bytes()).unwrap();
                }
                drop(editor);
                screen.gate.close();
            });
            // What was taken in the very last moment may appear twice, but nothing is missing.
            let text = paper.text();
            let mut lines: Vec<&str> = text.lines().collect();
            lines.dedup();
            assert_eq!(lines, ["0", "1", "2", "3", "4"], "{text}");
        }
    }
}
