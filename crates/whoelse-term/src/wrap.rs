//! Lines in rows that fit into the window.
//!
//! A terminal breaks a long line at its edge, and what follows begins a row like a line of its
//! own. Whoever knows the width could therefore write rows that look like other people's. So the
//! breaks are ours to make, and the row after a break begins with a mark.

use unicode_width::UnicodeWidthChar;

/// Columns of text a row has at least, however narrow the window.
const TEXT_COLUMNS_MIN: usize = 8;

/// The rows of a line, broken between words where that is possible. Spaces at a break are left
/// out.
pub(crate) fn wrap(line: &str, columns: usize, mark: &str) -> Vec<String> {
    let columns = columns.max(width(mark) + TEXT_COLUMNS_MIN);
    let mut rows = Vec::new();
    // What a line begins with is not a place to break it.
    let begin = [mark, "* "].into_iter().find(|begin| line.starts_with(begin));
    let blank = line.len() - line.trim_start_matches(' ').len();
    let (mut row, mut begin) = (String::new(), begin.map_or(blank, str::len));
    let mut rest = line;
    loop {
        let room = columns - width(&row);
        let Some(full) = fitting(rest, room) else {
            row.push_str(rest);
            rows.push(row);
            return rows;
        };
        let end = break_before(rest, full, begin, columns - width(mark));
        row.push_str(rest[..end].trim_end_matches(' '));
        rows.push(row);
        rest = rest[end..].trim_start_matches(' ');
        if rest.is_empty() {
            return rows;
        }
        (row, begin) = (mark.to_owned(), 0);
    }
}

/// Where the text must end to fit into so many columns; nothing if all of it fits.
fn fitting(text: &str, room: usize) -> Option<usize> {
    let mut used = 0;
    text.char_indices().find_map(|(at, character)| {
        used += columns_of(character);
        (used > room).then_some(at)
    })
}

/// Where to break a text of which so much fits: before the word that does not, unless it is the
/// only one, or too long for the next row as well.
fn break_before(text: &str, full: usize, begin: usize, next_room: usize) -> usize {
    if text[full..].starts_with(' ') {
        return full;
    }
    let Some(space) = text[..full].rfind(' ').filter(|space| *space >= begin) else { return full };
    let word = text[space + 1..].split(' ').next().unwrap_or_default();
    if width(word) > next_room { full } else { space + 1 }
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The columns of a character. Terminals disagree about characters that are joined to one; a
/// row that is a little short does no harm, while one that is too long would.
fn columns_of(character: char) -> usize {
    if character == '\u{fe0f}' { 1 } else { character.width().unwrap_or(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "    | ";

    #[test]
    fn rows_end_between_words() {
        for (line, columns, rows) in [
            ("", 20, &[""][..]),
            ("hans: twenty columns", 20, &["hans: twenty columns"]),
            ("hans: twenty columns ", 20, &["hans: twenty columns"]),
            ("hans: twenty columns!", 20, &["hans: twenty", "    | columns!"]),
            ("hans: and two spaces  here", 20, &["hans: and two spaces", "    | here"]),
            ("    | one two three four", 20, &["    | one two three", "    | four"]),
        ] {
            assert_eq!(wrap(line, columns, MARK), rows, "{line}");
        }
    }

    #[test]
    fn words_that_fit_nowhere_are_broken_where_the_row_is_full() {
        assert_eq!(
            wrap("hans: abcdefghijklmnopqrstuvwxyz", 20, MARK),
            ["hans: abcdefghijklmn", "    | opqrstuvwxyz"]
        );
        assert_eq!(
            wrap("hans: 日本語日本語日本語日本語", 20, MARK),
            ["hans: 日本語日本語日", "    | 本語日本語"]
        );
        assert_eq!(wrap("    | abcdefgh", 1, MARK), ["    | abcdefgh"]);
    }

    #[test]
    fn no_row_is_too_wide_and_all_but_the_first_are_marked() {
        for text in
            ["a b  c ", "日本 ", "e\u{301}\u{301}x ", "👩\u{200d}👩\u{200d}👧", "☺\u{fe0f} ", " "]
        {
            for columns in 14..40 {
                let line = format!("hans: {}luke: hello", text.repeat(30));
                let rows = wrap(&line, columns, MARK);
                assert!(rows.iter().all(|row| width(row) <= columns), "{rows:?}");
                assert!(rows[1..].iter().all(|row| row.starts_with(MARK)), "{rows:?}");
                let letters = |text: &str| text.replace([' ', '|'], "");
                assert_eq!(letters(&rows.concat()), letters(&line));
            }
        }
    }
}
