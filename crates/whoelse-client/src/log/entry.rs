//! The lines of the log, as values.
//!
//! A line holds nothing that could control a terminal: people look into their files.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::ser::{CharEscape, Formatter};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// The person wrote a message; what became of it follows.
    Out {
        /// The id of the request.
        id: String,
        /// To whom.
        to: String,
        /// What it says.
        text: String,
        /// When, as RFC 3339 writes it; set when it is written down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// The server has confirmed it.
    Sent {
        /// The id of the request.
        id: String,
    },
    /// It will not be sent any more.
    Refused {
        /// The id of the request.
        id: String,
        /// The server's word for the reason, or one of ours.
        status: String,
    },
    /// A device of the recipient has it.
    Delivered {
        /// The id of the request.
        id: String,
    },
    /// A message was received.
    In(Mail),
    /// Every message of this server up to this number was shown.
    Shown {
        /// The server data for which the number holds; none for numbers of ours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// The last number that was shown.
        number: u64,
    },
    /// The person was told that so many lines in all cannot be read.
    Damaged {
        /// How many.
        lines: usize,
    },
    /// Something that a later version has written.
    #[serde(other)]
    Unknown,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The server data for which the number holds; none for numbers of ours, which messages have
    /// that came without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its number.
    pub number: u64,
    /// What the server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who wrote it.
    pub from: String,
    /// What it says.
    pub text: String,
    /// When the server took it, as RFC 3339 writes it; if it does not say, when it was written
    /// down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Entry {
    /// Whether it must survive a power cut before anything that rests on it is done. What follows
    /// from an answer need not: a question that is asked again is answered again.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        matches!(self, Self::Out { .. } | Self::In(_))
    }

    /// Reads a line, without its end.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        // A start reads every line there is, and this way takes a third of the time.
        let flat = serde_json::from_slice(line).ok().and_then(Flat::entry);
        flat.or_else(|| serde_json::from_slice(line).ok())
    }

    /// Appends it as a line. `now` is when it is written down.
    pub(super) fn write(&self, now: &str, out: &mut Vec<u8>) {
        let mut stamped;
        let mut entry = self;
        if let Self::Out { at: None, .. } | Self::In(Mail { at: None, .. }) = self {
            stamped = self.clone();
            if let Self::Out { at, .. } | Self::In(Mail { at, .. }) = &mut stamped {
                *at = Some(now.to_owned());
            }
            entry = &stamped;
        }
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Harmless);
        entry.serialize(&mut serializer).expect("a vector takes all bytes, and keys are strings");
        out.push(b'\n');
    }
}

/// Every member of every line.
#[derive(Deserialize)]
struct Flat<'l> {
    kind: &'l str,
    id: Option<String>,
    to: Option<String>,
    text: Option<String>,
    at: Option<String>,
    status: Option<String>,
    server: Option<String>,
    number: Option<u64>,
    from: Option<String>,
    lines: Option<usize>,
}

impl Flat<'_> {
    fn entry(self) -> Option<Entry> {
        let Self { kind, id, to, text, at, status, server, number, from, lines } = self;
        Some(match kind {
            "out" => Entry::Out { id: id?, to: to?, text: text?, at },
            "sent" => Entry::Sent { id: id? },
            "refused" => Entry::Refused { id: id?, status: status? },
            "delivered" => Entry::Delivered { id: id? },
            "in" => Entry::In(Mail { server, number: number?, id, from: from?, text: text?, at }),
            "shown" => Entry::Shown { server, number: number? },
            "damaged" => Entry::Damaged { lines: lines? },
            _ => return None,
        })
    }
}

/// Writes JSON in which everything that is not plainly visible is escaped.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, character) in fragment.char_indices().filter(|(_, it)| is_hidden(*it)) {
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            plain_from = at + character.len_utf8();
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

/// Control characters (those below 32 are escaped anyway), and what changes the direction of text
/// or hides in it.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(entry: &Entry) -> String {
        let mut out = Vec::new();
        entry.write("2026-01-01T00:00:00.000Z", &mut out);
        String::from_utf8(out).unwrap()
    }

    fn out(text: &str) -> Entry {
        Entry::Out { id: "a-1".into(), to: "luke".into(), text: text.into(), at: None }
    }

    #[test]
    fn lines_are_what_the_architecture_says() {
        let mail = |server: Option<&str>, at: Option<&str>| {
            Entry::In(Mail {
                server: server.map(str::to_owned),
                number: 7,
                id: server.map(|_| "1-7".to_owned()),
                from: "luke".into(),
                text: "hi".into(),
                at: at.map(str::to_owned),
            })
        };
        let shown =
            |server: Option<&str>| Entry::Shown { server: server.map(str::to_owned), number: 7 };
        for (entry, wanted) in [
            (
                out("hi"),
                r#"{"kind":"out","id":"a-1","to":"luke","text":"hi","at":"2026-01-01T00:00:00.000Z"}"#,
            ),
            (Entry::Sent { id: "a-1".into() }, r#"{"kind":"sent","id":"a-1"}"#),
            (
                Entry::Refused { id: "a-1".into(), status: "USER_BLOCKED".into() },
                r#"{"kind":"refused","id":"a-1","status":"USER_BLOCKED"}"#,
            ),
            (Entry::Delivered { id: "a-1".into() }, r#"{"kind":"delivered","id":"a-1"}"#),
            (
                mail(Some("s1"), Some("2025-12-31T23:59:59.000Z")),
                r#"{"kind":"in","server":"s1","number":7,"id":"1-7","from":"luke","text":"hi","at":"2025-12-31T23:59:59.000Z"}"#,
            ),
            (
                mail(None, None),
                r#"{"kind":"in","number":7,"from":"luke","text":"hi","at":"2026-01-01T00:00:00.000Z"}"#,
            ),
            (shown(Some("s1")), r#"{"kind":"shown","server":"s1","number":7}"#),
            (shown(None), r#"{"kind":"shown","number":7}"#),
            (Entry::Damaged { lines: 3 }, r#"{"kind":"damaged","lines":3}"#),
        ] {
            assert_eq!(line(&entry), format!("{wanted}\n"));
            let read = Entry::read(wanted.as_bytes()).unwrap();
            assert_eq!(line(&read), format!("{wanted}\n"));
            assert_eq!(serde_json::from_str::<Entry>(wanted).unwrap(), read, "either way");
        }
    }

    #[test]
    fn a_line_is_one_line_that_controls_no_terminal_and_is_read_as_it_was() {
        for text in [
            "\u{1b}[2J\r\n* luke logged out\0",
            "\u{9b}31m \u{7f}\u{202e}evil\u{2066}\u{200b}\u{feff}\u{e0041}",
            "\"quoted\" \\ \u{2028}",
            "日本語 é 😀",
        ] {
            let written = line(&out(text));
            let body = written.strip_suffix('\n').unwrap();
            assert!(!body.chars().any(|it| it.is_control() || is_hidden(it)), "{body}");
            let Some(Entry::Out { text: read, .. }) = Entry::read(body.as_bytes()) else {
                panic!("{body}")
            };
            assert_eq!(read, text);
        }
        assert!(line(&out("日本語 é 😀")).contains("日本語 é 😀"), "readable where it is harmless");
    }

    #[test]
    fn what_a_later_version_wrote_is_no_damage_and_what_is_damaged_is() {
        assert_eq!(Entry::read(br#"{"kind":"seen","id":3}"#), Some(Entry::Unknown));
        for line in ["", "{}", "[]", r#"{"kind":"sent"}"#, r#"{"kind":"sent","id":"a"#, "\0\0\0"] {
            assert_eq!(Entry::read(line.as_bytes()), None, "{line}");
        }
    }
}
