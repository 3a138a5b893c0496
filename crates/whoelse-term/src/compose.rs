//! Lines for the screen, put together from parts that cannot do harm.
//!
//! A [`Line`] takes our own words, numbers, and [`Shown`] text; a string from the network does
//! not fit. What kind of line it is shows in its first word, which nobody else can choose:
//!
//! - `* ...`: the program speaks;
//! - `NAME: ...`: a direct message (a name holds no space and ends with no colon);
//! - `NAME (to everybody): ...`: a broadcast;
//! - `NAME (private): ...`: what came over a private link; `NAME (private, unencrypted, not proven):
//!   ...`: over one that anybody can read and be;
//! - `[TIME] NAME: ...`: a direct message that has waited;
//! - `[TIME] -> NAME (STATE): ...`: what this person wrote to somebody (a name ends with no colon,
//!   and `->:` would be somebody's);
//! - four spaces and a bar: the message above goes on;
//! - one word, or two spaces and words: what was asked for, people or help, or the program goes
//!   on.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::ops::{Add, AddAssign, Deref};

use anstyle::{AnsiColor, Style};

use whoelse_proto::Fingerprint;

use crate::shown::Shown;
use crate::wrap::wrap;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Something that can be put on a line without harm.
pub(crate) trait Harmless: Display {}

impl Harmless for &'static str {}
impl Harmless for &Shown {}
impl Harmless for Shown {}
impl Harmless for u64 {}
impl Harmless for usize {}
impl Harmless for u16 {}
impl Harmless for IpAddr {}
impl Harmless for Spoken {}
impl Harmless for Fingerprint {}
impl Harmless for jiff_local::fmt::strtime::Display<'_> {}

/// A time span in words.
pub(crate) struct Spoken {
    pub(crate) ms: u64,
}

impl Display for Spoken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ms < 1000 {
            // Nobody wants to know more precisely, and 0 s would be odd.
            write!(formatter, "0.{} s", (self.ms / 100).max(1))
        } else if self.ms < 2 * DAY_MS {
            formatter.write_str(&whoelse_proto::refusal::spoken(self.ms))
        } else {
            write!(formatter, "{} days", self.ms.div_ceil(DAY_MS))
        }
    }
}

impl Spoken {
    /// The same with `more` before its unit: `10 more seconds`.
    pub(crate) fn more(&self) -> Part {
        let words = self.to_string();
        Part(match words.split_once(' ') {
            Some((number, unit)) => format!("{number} more {unit}"),
            None => words,
        })
    }
}

/// A part that was put together like a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part(String);

impl Harmless for Part {}
impl Harmless for &Part {}

impl Deref for Part {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Finished lines, or a prompt: the one thing that the screen takes. It can be made of a [`Line`]
/// and of nothing else, and lines are made of what is [`Harmless`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// What takes away so many rows that were printed last and are still the last on the screen.
    pub(crate) fn instead_of(rows: usize) -> Self {
        Self(if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\u{1b}[J") })
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl Add<&Self> for Text {
    type Output = Self;

    fn add(mut self, more: &Self) -> Self {
        self += more;
        self
    }
}

impl AddAssign<&Self> for Text {
    fn add_assign(&mut self, more: &Self) {
        self.0 += &more.0;
    }
}

impl FromIterator<Self> for Text {
    fn from_iter<I: IntoIterator<Item = Self>>(texts: I) -> Self {
        texts.into_iter().fold(Self::default(), |all, text| all + &text)
    }
}

impl Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a line is coloured, as a whole, so that a colour never splits what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// What other people say to this person alone, and what was asked for.
    Plain,
    /// What other people say to everybody.
    Everybody,
    /// What went as expected.
    Quiet,
    /// What did not.
    Alert,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Everybody => AnsiColor::Cyan.on_default(),
            Self::Quiet => Style::new().dimmed(),
            Self::Alert => AnsiColor::Yellow.on_default(),
        }
    }
}

/// A line being put together.
#[must_use]
pub(crate) struct Line(String);

impl Line {
    /// An empty line.
    pub(crate) fn new() -> Self {
        Self(String::new())
    }

    /// A line on which the program speaks.
    pub(crate) fn system() -> Self {
        Self("* ".into())
    }

    /// Adds a part.
    pub(crate) fn say(mut self, part: impl Harmless) -> Self {
        write!(self.0, "{part}").expect("a string takes all text");
        self
    }

    /// Adds a number of things, in words: `1 message`, `2 messages`.
    pub(crate) fn count(self, count: usize, thing: &'static str) -> Self {
        self.say(count).say(" ").say(thing).say(if count == 1 { "" } else { "s" })
    }

    /// The finished text, to be a part of another line.
    pub(crate) fn part(self) -> Part {
        Part(self.0)
    }

    /// The finished text, behind which something is typed.
    pub(crate) fn prompt(self) -> Text {
        Text(self.0)
    }

    /// The finished line, with its end.
    pub(crate) fn end(self, tone: Tone, colour: bool) -> Text {
        finish(&self.0, tone, colour)
    }

    /// As much of the line as fits into a row of so many columns, which is to be replaced soon.
    pub(crate) fn cut(self, columns: usize, colour: bool) -> Text {
        let rows = wrap(&self.0, columns, "");
        finish(rows.first().map_or("", String::as_str), Tone::Quiet, colour)
    }

    /// The finished line in rows that fit into so many columns, so that the terminal need not
    /// break it where its author wants; rows after the first begin with `mark`.
    pub(crate) fn rows(self, columns: usize, mark: &str, tone: Tone, colour: bool) -> Text {
        wrap(&self.0, columns, mark).iter().map(|row| finish(row, tone, colour)).collect()
    }
}

/// Sentences in which keys and commands stand. Those are there to be compared and copied, and are
/// therefore never broken: where lines have a width, each stands on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Speech(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Words(String),
    Whole(String),
}

impl Speech {
    /// Begins with these words.
    pub(crate) fn new(line: Line) -> Self {
        Self(vec![Piece::Words(line.0)])
    }

    /// Goes on in these words. A comma or stop at their beginning belongs to what is on one line.
    pub(crate) fn words(mut self, line: Line) -> Self {
        match self.0.last_mut() {
            Some(Piece::Words(words)) => words.push_str(&line.0),
            _ => self.0.push(Piece::Words(line.0)),
        }
        self
    }

    /// Goes on with a key or a command.
    pub(crate) fn whole(mut self, line: Line) -> Self {
        self.0.push(Piece::Whole(line.0));
        self
    }

    /// Goes on as another one does.
    pub(crate) fn then(self, more: Self) -> Self {
        more.0.into_iter().fold(self, |speech, piece| match piece {
            Piece::Words(words) => speech.words(Line(words)),
            Piece::Whole(whole) => speech.whole(Line(whole)),
        })
    }

    /// Whether a stop is at its end already.
    pub(crate) fn has_stop(&self) -> bool {
        matches!(self.0.last(), Some(Piece::Words(words)) if words.ends_with('.'))
    }

    /// All of it as one line.
    pub(crate) fn line(self) -> Line {
        Line(self.0.into_iter().map(|(Piece::Words(text) | Piece::Whole(text))| text).collect())
    }

    /// All of it in rows; those after the first begin with `mark`, keys and commands with spaces.
    pub(crate) fn rows(self, columns: usize, mark: &str, tone: Tone, colour: bool) -> Text {
        let mut lines = Text::default();
        for piece in self.0 {
            match piece {
                Piece::Whole(whole) => lines += &finish(&format!("  {whole}"), tone, colour),
                Piece::Words(words) => {
                    let is_first = lines.is_empty();
                    let words = if is_first { words } else { mark.to_owned() + bare(&words) };
                    if is_first || words.len() > mark.len() {
                        lines +=
                            &Line(words.trim_end().to_owned()).rows(columns, mark, tone, colour);
                    }
                }
            }
        }
        lines
    }
}

/// Words as they stand at the beginning of a row.
fn bare(words: &str) -> &str {
    words.trim_start_matches([',', '.', ';', ' '])
}

fn finish(row: &str, tone: Tone, colour: bool) -> Text {
    let style = tone.style();
    if colour && style != Style::new() {
        Text(format!("{style}{row}{style:#}\n"))
    } else {
        Text(format!("{row}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_surround_a_line_and_never_split_it() {
        let line = || Line::system().say("luke").say(" logged in");
        assert_eq!(&*line().end(Tone::Quiet, false), "* luke logged in\n");
        assert_eq!(&*line().end(Tone::Quiet, true), "\u{1b}[2m* luke logged in\u{1b}[0m\n");
        assert_eq!(&*line().end(Tone::Plain, true), "* luke logged in\n");
    }

    #[test]
    fn keys_and_commands_are_never_broken_in_rows() {
        let key = "abcdefghijklmnopqrstuvwxyz0123456789";
        let speech = || {
            let line = Line::system().say("the key of somebody was ");
            Speech::new(line)
                .whole(Line::new().say(key))
                .words(Line::new().say(", now it is "))
                .whole(Line::new().say("x"))
                .words(Line::new().say(". "))
                .words(Line::new().say("Run: "))
                .whole(Line::new().say("whoelse client --forget a 7"))
                .words(Line::new().say("."))
        };
        assert_eq!(
            &*speech().line().end(Tone::Plain, false),
            format!(
                "* the key of somebody was {key}, now it is x. Run: whoelse client --forget a 7.\n"
            )
        );
        assert_eq!(
            &*speech().rows(20, "  ", Tone::Plain, false),
            format!(
                "* the key of\n  somebody was\n  {key}\n  now it is\n  x\n  Run:\n  whoelse client \
                 --forget a 7\n"
            )
        );
    }

    #[test]
    fn spans_are_spoken() {
        for (ms, words) in [
            (0, "0.1 s"),
            (470, "0.4 s"),
            (1_000, "1 second"),
            (9_001, "10 seconds"),
            (36 * 60 * 60 * 1000, "36 hours"),
            (7 * DAY_MS - 1, "7 days"),
        ] {
            assert_eq!(Spoken { ms }.to_string(), words);
        }
    }
}
