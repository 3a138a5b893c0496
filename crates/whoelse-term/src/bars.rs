//! How far files are: rows at the bottom of a terminal that are drawn again and again; elsewhere a line
//! now and then.

use std::time::{Duration, Instant};

use whoelse_client::Notice;
use whoelse_client::links::SwarmNotice;
use whoelse_client::links::files::{FileNotice, FileOf};
use whoelse_proto::FileHash;

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
    file: Which,
    number: u64,
    row: Text,
    /// When a line told of it, or it began.
    told: Instant,
}

/// Which file a row is about.
#[derive(Debug, PartialEq, Eq)]
enum Which {
    Transfer(FileOf),
    Get(FileHash),
}

impl Bars {
    /// Takes in what happens to a file. Says whether it is told by a bar, and not otherwise.
    pub(crate) fn learn(&mut self, notice: &Notice, render: &Render, now: Instant) -> bool {
        match notice {
            Notice::File(notice) => self.learn_file(notice, render, now),
            Notice::Swarm(notice) => self.learn_get(notice, render, now),
            _ => false,
        }
    }

    fn learn_file(&mut self, notice: &FileNotice, render: &Render, now: Instant) -> bool {
        match notice {
            FileNotice::Progress { number, file, progress } => {
                let row = render.bar(file, *progress);
                self.draw(*number, Which::Transfer(file.clone()), row, render, now)
            }
            FileNotice::Waiting { file, .. }
            | FileNotice::Received { file, .. }
            | FileNotice::Sent { file }
            | FileNotice::Failed { file, .. } => self.end(&Which::Transfer(file.clone())),
            _ => false,
        }
    }

    fn learn_get(&mut self, notice: &SwarmNotice, render: &Render, now: Instant) -> bool {
        match notice {
            SwarmNotice::Progress { number, file, progress } => {
                let row = render.get_bar(file, progress);
                self.draw(*number, Which::Get(file.hash), row, render, now)
            }
            SwarmNotice::Starving { file, .. }
            | SwarmNotice::Received { file, .. }
            | SwarmNotice::Failed { file, .. } => self.end(&Which::Get(file.hash)),
            _ => false,
        }
    }

    /// A row is another one now. Says whether that is all that is to be told of it.
    fn draw(&mut self, number: u64, file: Which, row: Text, render: &Render, now: Instant) -> bool {
        self.changed = true;
        let Some(bar) = self.files.iter_mut().find(|bar| bar.number == number) else {
            self.files.push(Bar { file, number, row, told: now });
            return true;
        };
        bar.row = row;
        let is_due = render.columns.is_none() && now.duration_since(bar.told) >= PAUSE;
        if is_due {
            bar.told = now;
        }
        !is_due
    }

    /// A file has no row any more; that is told otherwise, too.
    fn end(&mut self, file: &Which) -> bool {
        // Of two that are called the same, the other draws its own again.
        self.changed |= self.files.iter().any(|bar| bar.file == *file);
        self.files.retain(|bar| bar.file != *file);
        false
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
    use whoelse_client::links::swarm::{GetProgress, SwarmFile};
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

    #[test]
    fn a_file_from_many_has_a_row_until_it_is_there() {
        let (mut bars, render, now) = (Bars::default(), render(true), Instant::now());
        let file = SwarmFile { hash: FileHash([1; 32]), name: FileName::of("a"), size: 200 };
        let progress = GetProgress {
            done: 100,
            total: 200,
            bytes_per_second: 0,
            parts: 4,
            parts_done: 2,
            sources: 3,
        };
        let notice = SwarmNotice::Progress { number: 1, file: file.clone(), progress };
        assert!(bars.learn(&Notice::Swarm(notice), &render, now));
        let row = "  a 50 % of 200 bytes, 2/4 parts from 3 sources\n";
        assert_eq!(bars.around(Text::default(), 0, &render), row);
        let notice = SwarmNotice::Starving { number: 1, file, progress };
        assert!(!bars.learn(&Notice::Swarm(notice), &render, now));
        assert_eq!(bars.around(Text::default(), 0, &render), "\u{1b}[1A\u{1b}[J");
    }
}
