//! Text from strangers on its way to the screen: nothing that comes out can steer or deceive.

use whoelse_term::shown::Shown;

/// The longest way to write a character out: `\u{10ffff}`.
const ESCAPED_CHARS_MAX: usize = 10;

/// Most characters of a name, its ellipsis and what an accent at its beginning sits on.
const NAME_CHARS_MAX: usize = 64 * ESCAPED_CHARS_MAX + 2;

/// Takes the bytes as a line, as several, and as a name.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let line = Shown::line(&text);
    harmless(line.as_str());
    let length = |text: &str| text.chars().count();
    assert!(length(line.as_str()) <= length(&text) * ESCAPED_CHARS_MAX + 1);

    let lines = Shown::lines(&text);
    assert_eq!(lines.len(), text.split('\n').count());
    for line in lines {
        harmless(line.as_str());
    }

    let name = Shown::name(&text);
    harmless(name.as_str());
    assert!(!name.as_str().is_empty() && length(name.as_str()) <= NAME_CHARS_MAX);
    assert!(!name.as_str().contains(char::is_whitespace), "a name is one word");
    assert!(!name.as_str().ends_with(':'), "a name does not end as a speaker's does");
}

fn harmless(text: &str) {
    for character in text.chars() {
        assert!(!is_harmful(character), "{:?} in {}", character, text.escape_unicode());
    }
}

/// Said in other words than those of the sanitiser. Joiners and the selectors of emoji may stand
/// where they join.
fn is_harmful(character: char) -> bool {
    let value = u32::from(character);
    let is_control = value < 0x20 || (0x7f..0xa0).contains(&value);
    let is_direction =
        matches!(value, 0x200e | 0x200f | 0x061c | 0x202a..=0x202e | 0x2066..=0x2069);
    let is_invisible = matches!(
        value,
        0xad | 0x34f | 0x70f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b
            | 0x2028 | 0x2029 | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xfe00..=0xfe0d
    );
    let is_tag = (0xe0000..=0xe0fff).contains(&value);
    let is_private = matches!(value, 0xe000..=0xf8ff | 0xf0000..);
    is_control || is_direction || is_invisible || is_tag || is_private
}
