//! How far files are: rows at the bottom of a terminal that are drawn again and again; elsewhere a line
//! now and then.

use std::time::{Duration, Instant};

use whoelse_client::Notice;
use whoelse_client::links::files::{FileNotice, FileOf};

use crate::compose::Text;
use crate::render::Render;

/// Most rows at the bottom.
const ROWS_MAX: usize = 4;

/// How often a line tells of a file where there are no rows.
const PAUSE: Duration = Duration::from_secs(10);

/// What is drawn of files under way.
#[derive(Default)]
pub(crate) struct Bars {
    /// The oldest first.
    files: Vec<Bar>,
    /// So many rows were drawn last.
    drawn: usize,
    /// Whose turn it was then; see [`crate::gate::Gate::turns`].
    turns: u64,
    /// Something has changed since.
    changed: bool,
}

struct Bar {
    file: FileOf,
    number: u64,
    row: Text,
    /// When a line told of it, or it began.
    told: Instant,
}

impl Bars {
    /// Takes in what happens to a file. Says whether it is told by a bar, and not otherwise.
    pub(crate) fn learn(&mut self, notice: &Notice, render: &Render, now: Instant) -> bool {
        let Notice::File(notice) = notice else { return false };
        match notice {
            FileNotice::Progress { number, file, progress } => {
                let row = render.bar(file, *progress);
                self.changed = true;
                let Some(bar) = self.files.iter_mut().find(|bar| bar.number == *number) else {
                    self.files.push(Bar { file: file.clone(), number: *number, row, told: now });
                    return true;
                };
                bar.row = row;
                let is_due = render.columns.is_none() && now.duration_since(bar.told) >= PAUSE;
                if is_due {
                    bar.told = now;
                }
                !is_due
            }
            FileNotice::Waiting { file, .. }
            | FileNotice::Received { file, .. }
            | FileNotice::Sent { file }
            | FileNotice::Failed { file, .. } => {
                // Of two that are called the same, the other draws its own again.
                self.changed |= self.files.iter().any(|bar| bar.file == *file);
                self.files.retain(|bar| bar.file != *file);
                false
            }
            _ => false,
        }
    }

    /// The text to print, with rows below it that replace those of the last time, if these are still
    /// at the bottom.
    pub(crate) fn around(&mut self, text: Text, turns: u64, render: &Render) -> Text {
        if render.columns.is_none() || (text.is_empty() && !self.changed) {
            return text;
        }
        let before = if turns == self.turns { self.drawn } else { 0 };
        let rows = self.files.iter().take(ROWS_MAX);
        self.drawn = rows.len();
        (self.turns, self.changed) = (turns, false);
        Text::instead_of(before) + &text + &rows.map(|bar| bar.row.clone()).collect()
    }

    /// The same with nothing below it: something else is about to be there.
    pub(crate) fn away(&mut self, text: Text, turns: u64) -> Text {
        let before = if turns == self.turns { self.drawn } else { 0 };
        self.drawn = 0;
        Text::instead_of(before) + &text
    }
}

#[cfg(test)]
mod tests {
    use jiff_local::tz::TimeZone;
    use whoelse_client::links::files::Progress;
    use whoelse_proto::FileName;

    use super::*;

    fn render(terminal: bool) -> Render {
        Render {
            colour: false,
            columns: terminal.then_some((|| 60) as fn() -> usize),
            person: terminal,
            zone: TimeZone::UTC,
        }
    }

    fn file(name: &str) -> FileOf {
        FileOf { user: "luke".into(), name: FileName::of(name), sending: true }
    }

    fn progress(number: u64, name: &str, done: u64) -> Notice {
        let progress = Progress { done, total: 200, bytes_per_second: 10 };
        Notice::File(FileNotice::Progress { number, file: file(name), progress })
    }

    fn sent(name: &str) -> Notice {
        Notice::File(FileNotice::Sent { file: file(name) })
    }

    #[test]
    fn rows_are_drawn_over_each_other_below_everything_else() {
        let (mut bars, render, now) = (Bars::default(), render(true), Instant::now());
        assert_eq!(bars.around(Text::default(), 0, &render), "");
        assert!(bars.learn(&progress(1, "a", 20), &render, now));
        let first = "  a to luke 10 % of 200 bytes, 10 bytes/s, 18 seconds left\n";
        assert_eq!(bars.around(Text::default(), 0, &render), first);
        assert_eq!(bars.around(Text::default(), 0, &render), "");
        assert!(bars.learn(&progress(2, "b", 100), &render, now));
        let second = "  b to luke 50 % of 200 bytes, 10 bytes/s, 10 seconds left\n";
        let over = |rows: usize| format!("\u{1b}[{rows}A\u{1b}[J");
        let text =
            crate::compose::Line::new().say("luke: hi").end(crate::compose::Tone::Plain, false);
        let expected = over(1) + "luke: hi\n" + first + second;
        assert_eq!(&*bars.around(text, 0, &render), expected);
        // A line was typed: what stands above it stays.
        assert!(bars.learn(&progress(2, "b", 100), &render, now));
        assert_eq!(&*bars.around(Text::default(), 1, &render), first.to_owned() + second);
        assert!(!bars.learn(&sent("a"), &render, now));
        assert_eq!(&*bars.around(Text::default(), 1, &render), over(2) + second);
        assert_eq!(&*bars.away(Text::default(), 1), over(1));
    }

    #[test]
    fn without_a_terminal_a_line_now_and_then_is_enough() {
        let (mut bars, render, now) = (Bars::default(), render(false), Instant::now());
        for (after_s, told) in [(0, false), (9, false), (10, true), (11, false), (20, true)] {
            let now = now + Duration::from_secs(after_s);
            assert_eq!(!bars.learn(&progress(1, "a", 20), &render, now), told, "{after_s}");
        }
        assert_eq!(bars.around(Text::default(), 0, &render), "");
    }
}
