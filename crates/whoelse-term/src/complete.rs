//! What the Tab key offers: commands first, then the names of people, or the paths of files.

use std::fs;
use std::path::{Path, PathBuf};
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
    /// What `~` stands for.
    pub(crate) home: Option<PathBuf>,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if let Some(found) = paths(&line[..position], self.home.as_deref()) {
            return Ok(found);
        }
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
                Some(Argument::User | Argument::Which) => people
                    .beginning_with(word)
                    .into_iter()
                    .map(|name| pair(name, wants_more(arguments)))
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
        (Some(command), Some(_)) if words.next().is_none() => {
            last_words(command, word).iter().map(|word| pair(word, false)).collect()
        }
        _ => Vec::new(),
    };
    pairs.truncate(CANDIDATES_MAX);
    (start, pairs)
}

/// Where the name of a file begins, and what it may become; none if none is being typed.
fn paths(typed: &str, home: Option<&Path>) -> Option<(usize, Vec<Pair>)> {
    let mut words = typed.trim_start().splitn(2, char::is_whitespace);
    let definition = find(words.next()?.trim_start_matches('/')).ok()?;
    let rest = words.next()?.trim_start();
    let path = match definition.arguments {
        [_, Argument::Path, ..] => rest.split_once(char::is_whitespace)?.1,
        // Behind the path there are people.
        [Argument::Share, ..] if !rest.contains(" with ") => rest,
        _ => return None,
    };
    let path = path.trim_start().trim_start_matches(['\'', '"']);
    let (folder, begin) = path.rsplit_once('/').map_or(("", path), |(folder, begin)| {
        // The root is a folder, too.
        (if folder.is_empty() { "/" } else { folder }, begin)
    });
    let place = match (folder, home) {
        ("", _) => PathBuf::from("."),
        ("~", Some(home)) => home.to_owned(),
        (folder, Some(home)) if folder.starts_with("~/") => home.join(&folder[2..]),
        (folder, _) => PathBuf::from(folder),
    };
    let mut pairs: Vec<Pair> = fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // What is hidden is offered to whoever asks for it, and what cannot be typed to nobody.
            let is_meant = name.starts_with(begin)
                && (!name.starts_with('.') || begin.starts_with('.'))
                && !name.contains(char::is_control);
            let is_folder = entry.path().is_dir();
            is_meant.then(|| Pair {
                replacement: if is_folder { format!("{name}/") } else { name.clone() },
                display: name,
            })
        })
        .collect();
    pairs.sort_by(|one, other| one.display.cmp(&other.display));
    pairs.truncate(CANDIDATES_MAX);
    Some((typed.len() - begin.len(), pairs))
}

/// Whether something follows a name that most people type.
fn wants_more(arguments: &[Argument]) -> bool {
    arguments.get(1).is_some_and(|argument| *argument != Argument::Unencrypted)
}

/// What may stand behind the name of a person.
fn last_words(command: &str, typed: &str) -> Vec<&'static str> {
    let words: &[&str] = match find(command.strip_prefix('/').unwrap_or(command)) {
        Ok(definition) if definition.arguments.contains(&Argument::Step) => &["confirm", "accept"],
        Ok(definition) if definition.arguments.contains(&Argument::Unencrypted) => {
            &["--unencrypted"]
        }
        _ => &[],
    };
    // Nobody is led to a link without encryption by mistake.
    let is_meant =
        |word: &&&str| word.starts_with(typed) && (!typed.is_empty() || !word.starts_with('-'));
    words.iter().filter(is_meant).copied().collect()
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
    fn files_behind_the_person_they_are_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["report.pdf", "report (2).pdf", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("re")).unwrap();
        let root = folder.path().to_str().unwrap();
        for (typed, offered) in [
            (format!("sendfile luke {root}/re"), Some(vec!["re/", "report (2).pdf", "report.pdf"])),
            (format!("/sendfile luke '{root}/report ("), Some(vec!["report (2).pdf"])),
            (format!("sendfile luke {root}/."), Some(vec![".hidden"])),
            ("sendfile luke ~/report.".into(), Some(vec!["report.pdf"])),
            ("sendfile luke ~/re/".into(), Some(vec![])),
            (format!("sendfile luke {root}/none/"), Some(vec![])),
            ("sendfile lu".into(), None),
            (format!("message luke {root}/re"), None),
            ("sendfile".into(), None),
        ] {
            let found = paths(&typed, Some(folder.path()));
            let found = found.map(|(start, pairs)| {
                assert!(typed.is_char_boundary(start));
                pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>()
            });
            let offered = offered.map(|it| it.into_iter().map(str::to_owned).collect());
            assert_eq!(found, offered, "{typed}");
        }
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
            ("help un", vec!["help unblock ", "help unshare "]),
            ("lo", vec!["logout"]),
            ("devices ", vec!["devices revoke "]),
            ("invite a", vec!["invite admin"]),
            ("accept lu", vec!["accept luke"]),
            ("safety lu", vec!["safety luke "]),
            ("safety luke ", vec!["safety luke confirm", "safety luke accept"]),
            ("startprivate luke ", vec![]),
            ("startprivate luke --", vec!["startprivate luke --unencrypted"]),
            ("private luke c", vec![]),
        ] {
            assert_eq!(completed(typed), becomes, "{typed}");
        }
        assert_eq!(completed("").len(), commands(false).count());
    }
}
