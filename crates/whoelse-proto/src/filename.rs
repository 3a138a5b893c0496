//! Names of files that somebody else chose, made fit for a folder of ours.
//!
//! Such a name may try to leave the folder, to overwrite a hidden file, to be taken for an option
//! of a command, to be a device of Windows, or to look like another kind of file than it is. What
//! comes out is one part of a path that does none of that, on any system. Whether a file of that
//! name is there already is for whoever creates it to find out.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest name, in bytes: with room for a number that makes it different, it fits everywhere.
const BYTES_MAX: usize = 100;

/// Longest ending that is kept when a name is cut, in bytes, with its dot.
const ENDING_BYTES_MAX: usize = 16;

/// What a name becomes of which nothing is left.
const NAMELESS: &str = "file";

/// What stands for each character that a name must not hold.
const INSTEAD: char = '_';

/// Most accents on one letter.
const ACCENTS_MAX: usize = 4;

/// Names that are devices on Windows, whatever ending follows them.
const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];

/// The name of a file, harmless in any folder and on any terminal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Makes a name of what somebody else calls a file, a path perhaps. Something always comes
    /// out, and the same every time.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let last = text.rsplit(['/', '\\']).find(|part| !trim(part).is_empty()).unwrap_or_default();
        // Composed, as most systems write it: so two spellings are one name.
        let harmless = harmless(trim(&last.nfc().collect::<String>()));
        let mut name = cut(trim(&harmless));
        if is_device(&name) {
            name.insert(0, INSTEAD);
        }
        // The mark in front may have made it too long again.
        let name = trim(&cut(&name)).to_owned();
        Self(if name.is_empty() { NAMELESS.into() } else { name.into() })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Without what a name must not begin or end with: hidden files, options, and what Windows drops.
fn trim(text: &str) -> &str {
    text.trim_start_matches(|character: char| {
        matches!(character, '.' | '-' | '~') || is_blank(character) || is_combining_mark(character)
    })
    .trim_end_matches(|character: char| character == '.' || is_blank(character))
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Replaces what steers a terminal, a shell, a file system or the eye.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    let mut accents = 0;
    for character in text.chars() {
        accents = if is_combining_mark(character) { accents + 1 } else { 0 };
        let replaced = match character {
            _ if accents > ACCENTS_MAX => continue,
            ' ' => ' ',
            ':' | '*' | '?' | '"' | '<' | '>' | '|' | '/' | '\\' | '`' | '$' | '\'' | ';' | '&' => {
                INSTEAD
            }
            _ if looks_like_a_separator(character) || is_blank(character) => INSTEAD,
            _ => character,
        };
        harmless.push(replaced);
    }
    harmless
}

/// Slashes, dots and colons of other alphabets, by which an ending or a path can be faked.
fn looks_like_a_separator(character: char) -> bool {
    matches!(
        character,
        '\u{2024}' // one dot leader
        | '\u{2025}' | '\u{2026}' // dot leaders
        | '\u{2044}' // fraction slash
        | '\u{2215}' // division slash
        | '\u{2216}' // set minus
        | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' // operators like slashes
        | '\u{fe52}' | '\u{ff0e}' // small and wide stops
        | '\u{fe55}' | '\u{ff1a}' // small and wide colons
        | '\u{fe68}' | '\u{ff3c}' // small and wide backslashes
        | '\u{ff0f}' // wide slash
        | '\u{a789}' // a letter like a colon
    )
}

/// Controls, directions, joiners, fillers, tags, private use and what is no character.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffd}'
            | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{10ffff}'
        )
        || (u32::from(character) & 0xfffe) == 0xfffe
}

/// At most [`BYTES_MAX`] bytes, with the ending if that is a short one.
fn cut(name: &str) -> String {
    if name.len() <= BYTES_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').map_or("", |at| &name[at..]);
    let ending = if ending.len() <= ENDING_BYTES_MAX { ending } else { "" };
    let mut length = BYTES_MAX - ending.len();
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    let begin = name[..length].trim_end_matches(['.', ' ']);
    format!("{begin}{ending}")
}

/// Whether Windows takes a name for a device: up to its first dot, whatever the case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|device| {
        stem.strip_prefix(device).is_some_and(|number| {
            let mut digits = number.chars();
            let digit = digits.next().is_some_and(|digit| "0123456789¹²³".contains(digit));
            digit && digits.next().is_none()
        })
    });
    numbered || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stranger may call a file, and what it becomes.
    const HOSTILE: &[(&str, &str)] = &[
        ("", "file"),
        (".", "file"),
        ("..", "file"),
        ("...", "file"),
        ("/", "file"),
        ("////", "file"),
        ("\\", "file"),
        ("   ", "file"),
        ("\t\n", "file"),
        ("\u{200b}", "file"),
        ("\0", "file"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("..\\..\\windows\\system32\\cmd.exe", "cmd.exe"),
        ("C:\\Users\\hans\\notes.txt", "notes.txt"),
        ("C:notes.txt", "C_notes.txt"),
        ("\\\\server\\share\\x.doc", "x.doc"),
        ("a/../..", "a"),
        ("folder/", "folder"),
        ("folder/.", "folder"),
        (".bashrc", "bashrc"),
        (".ssh/authorized_keys", "authorized_keys"),
        ("..hidden", "hidden"),
        (". .hidden", "hidden"),
        ("-rf", "rf"),
        ("--help", "help"),
        ("- x", "x"),
        (".-.-x", "x"),
        ("~root", "root"),
        ("name.", "name"),
        ("name. . .", "name"),
        ("name ", "name"),
        (" name", "name"),
        ("name.txt.", "name.txt"),
        ("con", "_con"),
        ("CON", "_CON"),
        ("Con.txt", "_Con.txt"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("aux .c", "_aux .c"),
        ("prn", "_prn"),
        ("COM1", "_COM1"),
        ("com¹.log", "_com¹.log"),
        ("lpt9.", "_lpt9"),
        ("CONIN$", "CONIN_"),
        ("clock$.x", "clock_.x"),
        (".con", "_con"),
        ("console", "console"),
        ("com10", "com10"),
        ("file.txt:hidden.exe", "file.txt_hidden.exe"),
        ("file::$DATA", "file___DATA"),
        ("what?.txt", "what_.txt"),
        ("a*b|c<d>e\"f", "a_b_c_d_e_f"),
        ("$(reboot).sh", "_(reboot).sh"),
        ("`id`;ls&", "_id__ls_"),
        ("it's", "it_s"),
        ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
        ("\u{202e}txt.exe", "txt.exe"),
        ("in\u{2066}side\u{2069}.txt", "in_side_.txt"),
        ("zero\u{200b}width\u{feff}.txt", "zero_width_.txt"),
        ("soft\u{ad}hyphen", "soft_hyphen"),
        ("new\nline\r.txt", "new_line_.txt"),
        ("bell\u{7}", "bell"),
        ("\u{1b}[2Jgone", "[2Jgone"),
        ("\u{9b}31mred", "31mred"),
        ("a\0b.txt", "a_b.txt"),
        ("photo.jpg\u{2024}exe", "photo.jpg_exe"),
        ("up\u{2215}and\u{ff0f}away", "up_and_away"),
        ("wide\u{ff0e}exe", "wide_exe"),
        ("tag\u{e0041}ged", "tag_ged"),
        ("signs\u{600}\u{70f}\u{13430}x", "signs___x"),
        ("private\u{e000}use", "private_use"),
        ("line\u{2028}end", "line_end"),
        ("tabs\tand\u{a0}spaces", "tabs_and_spaces"),
        ("blank\u{2800}s", "blank_s"),
        ("\u{301}accent", "accent"),
        ("e\u{301}t\u{e9}.txt", "\u{e9}t\u{e9}.txt"),
        ("x\u{337}\u{337}\u{337}\u{337}\u{337}\u{337}\u{337}", "x\u{337}\u{337}\u{337}\u{337}"),
        ("\u{fffd}\u{ffff}", "file"),
    ];

    #[test]
    fn hostile_names_become_harmless() {
        assert!(HOSTILE.len() >= 60);
        for (text, name) in HOSTILE {
            assert_eq!(FileName::of(text).as_str(), *name, "{text:?}");
        }
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in
            ["notes.txt", "My Photo (3).jpeg", "größe.pdf", "日本語.txt", "a.tar.gz", "x", "_con"]
        {
            assert_eq!(FileName::of(name).as_str(), name);
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_ending() {
        let long = "x".repeat(300);
        assert_eq!(
            FileName::of(&format!("{long}.jpeg")).as_str(),
            format!("{}.jpeg", "x".repeat(95))
        );
        assert_eq!(FileName::of(&long).as_str(), "x".repeat(100));
        let wide = "語".repeat(100);
        assert_eq!(
            FileName::of(&format!("{wide}.txt")).as_str(),
            format!("{}.txt", "語".repeat(32))
        );
        let name = FileName::of(&format!("a.{long}"));
        assert_eq!(name.as_str().len(), 100);
        let dots = FileName::of(&format!("{}{}.txt", "y".repeat(50), ". ".repeat(100)));
        assert_eq!(dots.as_str(), format!("{}.txt", "y".repeat(50)));
    }

    #[test]
    fn whatever_comes_in_the_same_holds_of_what_comes_out() {
        let pieces = [
            ".",
            "-",
            "/",
            "\\",
            " ",
            "con",
            "COM1",
            ":",
            "\u{202e}",
            "\u{301}",
            "é",
            "語",
            "a",
            "\0",
            "\u{1b}",
            "nul.",
            "~",
            "\u{2024}",
            "$",
            "\u{e0041}",
        ];
        let mut texts = vec![String::new()];
        for _ in 0..3 {
            texts = texts
                .iter()
                .flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}")))
                .collect();
        }
        texts.extend(texts.clone().iter().map(|text| format!("{}{text}", "z".repeat(97))));
        texts.extend(HOSTILE.iter().map(|(text, _)| (*text).to_owned()));
        for text in texts {
            let name = FileName::of(&text);
            let name = name.as_str();
            assert!((1..=BYTES_MAX).contains(&name.len()), "{text:?}");
            assert!(!name.starts_with(['.', '-', '~', ' ']), "{text:?}: {name:?}");
            assert!(!name.ends_with(['.', ' ']), "{text:?}: {name:?}");
            assert!(
                !name.contains(['/', '\\', ':']) && !name.chars().any(is_invisible),
                "{name:?}"
            );
            assert!(!is_device(name), "{text:?}: {name:?}");
            assert_eq!(FileName::of(name).as_str(), name, "again it stays: {text:?}");
        }
    }
}
