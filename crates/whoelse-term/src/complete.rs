//! What the Tab key offers: commands first, then the names of people.

use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use crate::commands::{Argument, commands, find};
use crate::people::People;

/// Most candidates offered at once; with more, more letters are needed anyway.
const CANDIDATES_MAX: usize = 60;

/// What the line editor asks for help.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub(crate) struct Completion {
    pub(crate) people: Arc<Mutex<People>>,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(candidates(&line[..position], &people))
    }
}

/// Where the word to complete begins, and what it may become.
fn candidates(typed: &str, people: &People) -> (usize, Vec<Pair>) {
    let start = typed
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
    let word = &typed[start..];
    let mut words = typed[..start].split_whitespace();
    let pair = |name: &str, more: bool| Pair {
        display: name.to_owned(),
        replacement: if more { format!("{name} ") } else { name.to_owned() },
    };
    let commands = |word: &str| -> Vec<Pair> {
        commands(people.is_admin())
            .filter(|definition| definition.word.starts_with(word))
            .map(|definition| pair(definition.word, !definition.arguments.is_empty()))
            .collect()
    };
    let mut pairs = match (words.next(), words.next()) {
        (None, _) => {
            let slash = usize::from(word.starts_with('/'));
            return (start + slash, commands(&word[slash..]));
        }
        (Some(command), None) => {
            let arguments = find(command.strip_prefix('/').unwrap_or(command))
                .map_or::<&[Argument], _>(&[], |definition| definition.arguments);
            match arguments.first() {
                Some(Argument::User) => people
                    .beginning_with(word)
                    .into_iter()
                    .map(|name| pair(name, arguments.len() > 1))
                    .collect(),
                Some(Argument::Word) => commands(word),
                Some(Argument::Admin) if "admin".starts_with(word) => vec![pair("admin", false)],
                Some(Argument::RevokeNumber | Argument::RevokeName)
                    if "revoke".starts_with(word) =>
                {
                    vec![pair("revoke", true)]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    };
    pairs.truncate(CANDIDATES_MAX);
    (start, pairs)
}

#[cfg(test)]
mod tests {
    use whoelse_client::Notice;

    use super::*;

    /// What a typed text may become.
    fn completed(typed: &str) -> Vec<String> {
        let mut people = People::default();
        for name in ["luke", "lando", "Leia", "名前"] {
            people.learn(&Notice::Came { name: name.into() });
        }
        let (start, pairs) = candidates(typed, &people);
        pairs.into_iter().map(|pair| format!("{}{}", &typed[..start], pair.replacement)).collect()
    }

    #[test]
    fn commands_then_people() {
        for (typed, becomes) in [
            ("mes", vec!["message "]),
            ("/mes", vec!["/message "]),
            ("whoelse", vec!["whoelse", "whoelsesince "]),
            ("message l", vec!["message lando ", "message luke ", "message Leia "]),
            ("/block lu", vec!["/block luke"]),
            ("private 名", vec!["private 名前 "]),
            ("block\u{3000}lu", vec!["block\u{3000}luke"]),
            ("message luke lu", vec![]),
            ("broadcast lu", vec![]),
            ("whoelsesince 1", vec![]),
            ("nonsense lu", vec![]),
            ("help un", vec!["help unblock "]),
            ("lo", vec!["logout"]),
            ("devices ", vec!["devices revoke "]),
            ("invite a", vec!["invite admin"]),
        ] {
            assert_eq!(completed(typed), becomes, "{typed}");
        }
        assert_eq!(completed("").len(), commands(false).count());
    }
}
