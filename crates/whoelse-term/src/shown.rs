//! Text from elsewhere, made harmless.
//!
//! What a stranger wrote may hold sequences that move the cursor, change colours, write the
//! clipboard, reverse the order of letters or hide. [`Shown`] is the one type that text from the
//! network can take on its way to the screen, and everything it is made of passes the functions
//! here: what is not plainly visible is written out as `\u{...}`.

use std::fmt::{self, Write as _};
use std::iter::Peekable;

use unicode_normalization::char::is_combining_mark;

/// Most invisible companions (accents, joiners, variation selectors) of one character.
const COMPANIONS_MAX: usize = 4;

/// Most characters shown of a name. Servers of ours allow half of that.
const NAME_CHARS_MAX: usize = 64;

/// Most characters shown of a sentence. Those of our servers are half as long.
const SENTENCE_CHARS_MAX: usize = 300;

/// What a tab becomes: it must not line text up with what stands above it.
const TAB: &str = "    ";

/// A line of text without anything that a terminal or an eye could be deceived by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// A text of several lines, each for itself.
    #[must_use]
    pub fn lines(text: &str) -> Vec<Self> {
        text.split('\n').map(|line| Self::line(line.strip_suffix('\r').unwrap_or(line))).collect()
    }

    /// A text that is to stand on one line, whatever it holds.
    #[must_use]
    pub fn line(text: &str) -> Self {
        let mut shown = Self(String::with_capacity(text.len()));
        let mut companions = 0;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '\t' {
                shown.0.push_str(TAB);
                companions = 0;
            } else if is_companion(character) {
                companions += 1;
                shown.accompany(character, companions, &mut characters);
            } else {
                companions = 0;
                shown.push(character);
            }
        }
        shown
    }

    /// A sentence of somebody else's program, which has no business to be a long one.
    #[must_use]
    pub fn sentence(text: &str) -> Self {
        Self::brief(text, SENTENCE_CHARS_MAX)
    }

    /// The beginning of a text that is to stand on one line.
    #[must_use]
    pub fn brief(text: &str, chars_max: usize) -> Self {
        match text.char_indices().nth(chars_max) {
            None => Self::line(text),
            Some((end, _)) => {
                let mut shown = Self::line(&text[..end]);
                shown.0.push('…');
                shown
            }
        }
    }

    /// The name of a person: one word, which neither spaces nor a colon at its end can make
    /// look like something else.
    #[must_use]
    pub fn name(name: &str) -> Self {
        if name.is_empty() {
            return Self("(nameless)".into());
        }
        let mut shown = Self(String::with_capacity(name.len()));
        let mut companions = 0;
        let mut characters = name.chars().take(NAME_CHARS_MAX).peekable();
        while let Some(character) = characters.next() {
            if is_combining_mark(character) && !is_deceptive(character) {
                companions += 1;
                shown.accompany(character, companions, &mut characters);
                continue;
            }
            companions = 0;
            let last = characters.peek().is_none();
            if character.is_whitespace() || is_companion(character) || (last && character == ':') {
                shown.escape(character);
            } else {
                shown.push(character);
            }
        }
        if name.chars().nth(NAME_CHARS_MAX).is_some() {
            shown.0.push('…');
        }
        shown
    }

    /// Whether showing this name changes nothing about it, so that it can be typed as it looks.
    #[must_use]
    pub fn is_plain_name(name: &str) -> bool {
        Self::name(name).0 == name
    }

    /// The text, which is safe to print.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn push(&mut self, character: char) {
        if is_deceptive(character) {
            self.escape(character);
        } else {
            self.0.push(character);
        }
    }

    /// Adds what joins itself to the character before it, if there is one that wants it.
    fn accompany(
        &mut self,
        character: char,
        companions: usize,
        rest: &mut Peekable<impl Iterator<Item = char>>,
    ) {
        if companions > COMPANIONS_MAX {
            return;
        }
        let before = self.0.chars().next_back().filter(|before| !before.is_whitespace());
        let joins = |character: &char| {
            !character.is_ascii() && (is_companion(*character) || !is_deceptive(*character))
        };
        // One behind another would show nothing: two texts would look the same.
        let is_joiner = |character: &char| matches!(character, '\u{200c}' | '\u{200d}');
        let is_bare =
            |character: &char| is_joiner(character) || matches!(character, '\u{fe0e}' | '\u{fe0f}');
        match character {
            // Joiners belong between letters of some scripts and between emoji, nowhere else.
            '\u{200c}' | '\u{200d}' => {
                let before = before.filter(|before| joins(before) && !is_joiner(before));
                let next = rest.peek().filter(|next| joins(next) && !is_bare(next));
                if before.is_some() && next.is_some() {
                    self.0.push(character);
                } else {
                    self.escape(character);
                }
            }
            '\u{fe0e}' | '\u{fe0f}' => match before {
                Some(before)
                    if joins(&before) && !is_bare(&before) || "0123456789#*".contains(before) =>
                {
                    self.0.push(character);
                }
                _ => self.escape(character),
            },
            _ => {
                if before.is_none() {
                    // An accent needs something to sit on that is not ours.
                    self.0.push('◌');
                }
                self.0.push(character);
            }
        }
    }

    fn escape(&mut self, character: char) {
        write!(self.0, "\\u{{{:x}}}", u32::from(character)).expect("a string takes all text");
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a character joins itself to the one before it.
fn is_companion(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
        || (is_combining_mark(character) && !is_deceptive(character))
}

/// Whether a character steers the terminal, the direction or the eye instead of being seen.
fn is_deceptive(character: char) -> bool {
    character.is_control() // C0, DEL and C1
        || matches!(
            character,
            '\u{ad}' // soft hyphen
            | '\u{34f}' // grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{70f}' // Syriac abbreviation mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers, which are blank
            | '\u{17b4}' | '\u{17b5}' // invisible Khmer vowels
            | '\u{180b}'..='\u{180f}' // Mongolian selectors
            | '\u{200b}'..='\u{200f}' // zero width, joiners, direction marks
            | '\u{2028}'..='\u{202e}' // line and paragraph ends, direction embeddings, overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, direction isolates
            | '\u{2800}' // a Braille pattern without dots
            | '\u{e000}'..='\u{f8ff}' // private use: looks like anything
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}' // byte order mark
            | '\u{fff0}'..='\u{fffb}' // annotations
            | '\u{13430}'..='\u{1343f}' // joiners of hieroglyphs
            | '\u{1bca0}'..='\u{1bca3}' // shorthand controls
            | '\u{1d173}'..='\u{1d17a}' // musical controls
            | '\u{e0000}'..='\u{10ffff}' // tags, further selectors, private use
        )
        || (u32::from(character) & 0xfffe) == 0xfffe // no characters at all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "",
            "hello, hans!",
            "back\\slash \\u{1b}",
            "naïve café e\u{301}",
            "日本語 テキスト　全角",
            "עברית العربية فارسی",
            "می\u{200c}خواهم", // Persian, with the non-joiner it needs
            "क\u{94d}\u{200d}ष हिन्दी",
            "ไทยน้ำ",
            "👩\u{200d}👩\u{200d}👧\u{200d}👦 👩🏽\u{200d}💻 🏳\u{fe0f}\u{200d}🌈 ❤\u{fe0f} 1\u{fe0f}\u{20e3} 🇩🇪",
            "no\u{a0}break",
            "box ─│┌ math ∑∫ arrows →",
        ] {
            assert_eq!(Shown::line(text).as_str(), text);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        for (text, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),                            // CSI: clear
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"), // colours
            ("\u{1b}[1A\u{1b}[2K", "\\u{1b}[1A\\u{1b}[2K"),         // over the line above
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),       // OSC 0
            ("\u{1b}]52;c;aGk=\u{7}", "\\u{1b}]52;c;aGk=\\u{7}"),   // OSC 52: clipboard
            ("\u{1b}]8;;http://x\u{1b}\\l", "\\u{1b}]8;;http://x\\u{1b}\\l"), // OSC 8: link
            ("\u{1b}P$q\"p\u{1b}\\", "\\u{1b}P$q\"p\\u{1b}\\"),     // DCS
            ("\u{1b}_Gi=1\u{1b}\\", "\\u{1b}_Gi=1\\u{1b}\\"),       // APC
            ("\u{1b}^pm\u{1b}\\", "\\u{1b}^pm\\u{1b}\\"),           // PM
            ("\u{1b}c", "\\u{1b}c"),                                // reset
            ("\u{9b}31m", "\\u{9b}31m"),                            // CSI in one byte
            ("\u{9d}0;t\u{9c}", "\\u{9d}0;t\\u{9c}"),               // OSC and ST
            ("\u{90}q\u{9c}", "\\u{90}q\\u{9c}"),                   // DCS
            ("\u{85}", "\\u{85}"),                                  // next line
            ("a\rb", "a\\u{d}b"),
            ("a\u{8}b", "a\\u{8}b"),
            ("a\u{b}b\u{c}c", "a\\u{b}b\\u{c}c"),
            ("\0\u{7}\u{e}\u{f}\u{7f}", "\\u{0}\\u{7}\\u{e}\\u{f}\\u{7f}"),
            ("a\nb", "a\\u{a}b"),
            ("a\tb", "a    b"),
        ] {
            assert_eq!(Shown::line(text).as_str(), shown);
        }
    }

    #[test]
    fn what_deceives_the_eye_is_written_out() {
        for (text, shown) in [
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("\u{202a}\u{202b}\u{202c}\u{202d}", "\\u{202a}\\u{202b}\\u{202c}\\u{202d}"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("\u{2067}\u{2068}", "\\u{2067}\\u{2068}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            ("\u{feff}a", "\\u{feff}a"),
            ("pass\u{200b}word", "pass\\u{200b}word"),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen"),
            ("word\u{2060}joiner", "word\\u{2060}joiner"),
            ("\u{e0041}\u{e007f}", "\\u{e0041}\\u{e007f}"),
            ("a\u{e0100}", "a\\u{e0100}"),
            ("\u{3164}", "\\u{3164}"),
            ("\u{70f}\u{13430}", "\\u{70f}\\u{13430}"),
            ("\u{e000}\u{f0000}", "\\u{e000}\\u{f0000}"),
            ("\u{ffff}\u{fffe}", "\\u{ffff}\\u{fffe}"),
            ("a\u{200d}b", "a\\u{200d}b"), // a joiner that joins nothing
            ("\u{200d}", "\\u{200d}"),
            ("👩\u{200d}", "👩\\u{200d}"),
            ("x\u{fe0f}", "x\\u{fe0f}"),
            ("👩\u{200d}\u{200d}👩", "👩\\u{200d}\\u{200d}👩"),
            ("ن\u{200c}\u{fe0f}ن", "ن\\u{200c}\\u{fe0f}ن"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}"),
            (" \u{301}a", " ◌\u{301}a"),
            ("\u{301}", "◌\u{301}"),
            ("\u{34f}\u{34f}", "\\u{34f}\\u{34f}"),
        ] {
            assert_eq!(Shown::line(text).as_str(), shown, "{}", text.escape_unicode());
        }
    }

    #[test]
    fn accents_do_not_pile_up() {
        let pile = format!("z{}y", "\u{301}".repeat(50));
        assert_eq!(Shown::line(&pile).as_str(), format!("z{}y", "\u{301}".repeat(4)));
        let joined = "é\u{301}\u{200d}\u{301}".repeat(9) + &"\u{fe0f}\u{301}".repeat(50);
        let shown = Shown::line(&joined);
        let mut companions = 0;
        for character in shown.as_str().chars() {
            companions = if is_companion(character) { companions + 1 } else { 0 };
            assert!(companions <= COMPANIONS_MAX);
        }
        assert_eq!(Shown::name(&pile).as_str(), format!("z{}y", "\u{301}".repeat(4)));
    }

    #[test]
    fn lines_are_split_at_line_feeds_only() {
        let lines = |text| Shown::lines(text).iter().map(Shown::to_string).collect::<Vec<_>>();
        assert_eq!(lines("a\nb\r\nc"), ["a", "b", "c"]);
        assert_eq!(lines(""), [""]);
        assert_eq!(lines("a\rb\u{85}c\u{2028}d"), ["a\\u{d}b\\u{85}c\\u{2028}d"]);
    }

    #[test]
    fn sentences_end() {
        assert_eq!(Shown::sentence("No.\u{1b}").as_str(), "No.\\u{1b}");
        let long = Shown::sentence(&"é".repeat(5_000));
        assert_eq!(long.as_str(), format!("{}…", "é".repeat(SENTENCE_CHARS_MAX)));
        assert_eq!(Shown::brief("日本語", 3).as_str(), "日本語");
        assert_eq!(Shown::brief("日本語", 2).as_str(), "日本…");
    }

    #[test]
    fn names_are_one_word_without_a_colon_at_the_end() {
        for (name, shown) in [
            ("hans", "hans"),
            ("o'neill", "o'neill"),
            ("名前", "名前"),
            ("a:b", "a:b"),
            ("hans:", "hans\\u{3a}"),
            ("hans: hi", "hans:\\u{20}hi"),
            ("hans\u{3000}x", "hans\\u{3000}x"),
            ("hans\u{a0}", "hans\\u{a0}"),
            ("\u{1b}[2Jhans", "\\u{1b}[2Jhans"),
            ("\u{9b}hans", "\\u{9b}hans"),
            ("snah\u{202e}", "snah\\u{202e}"),
            ("ha\nns", "ha\\u{a}ns"),
            ("ha\tns", "ha\\u{9}ns"),
            ("ha\u{200d}ns", "ha\\u{200d}ns"),
            ("👩\u{200d}💻", "👩\\u{200d}💻"),
            ("\u{301}hans", "◌\u{301}hans"),
            ("", "(nameless)"),
        ] {
            assert_eq!(Shown::name(name).as_str(), shown);
            assert_eq!(Shown::is_plain_name(name), name == shown);
        }
        assert_eq!(Shown::name(&"x".repeat(5_000)).as_str().chars().count(), NAME_CHARS_MAX + 1);
    }

    #[test]
    fn nothing_that_comes_out_can_steer_a_terminal() {
        for value in (0..=0x2_0000_u32).chain(0xe_0000..=0xe_0200).chain(0x10_ff00..=0x10_ffff) {
            let Some(character) = char::from_u32(value) else { continue };
            for text in [format!("é{character}é"), format!("a{character}")] {
                for shown in [Shown::line(&text), Shown::name(&text)] {
                    let bad = shown
                        .as_str()
                        .chars()
                        .find(|character| is_deceptive(*character) && !is_companion(*character));
                    assert_eq!(bad, None, "{}", text.escape_unicode());
                }
            }
        }
    }
}
