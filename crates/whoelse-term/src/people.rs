//! The people seen so far: for completion, and for "did you mean".

use std::collections::BTreeSet;

use strsim::damerau_levenshtein;
use whoelse_client::links::LinkNotice;
use whoelse_client::{Answer, Notice};

use crate::shown::Shown;

/// Most names remembered; then no more are.
const NAMES_MAX: usize = 1000;

/// Most changed letters between what was typed and what may have been meant.
const DISTANCE_MAX: usize = 2;

/// Names of people that were seen.
#[derive(Debug, Default)]
pub(crate) struct People {
    names: BTreeSet<String>,
    /// Whoever is logged in here may do what administrators may.
    admin: bool,
}

impl People {
    /// Remembers the names in a notice.
    pub(crate) fn learn(&mut self, notice: &Notice) {
        match notice {
            Notice::LoggedIn { admin, .. } => self.admin = *admin,
            Notice::Came { name: from }
            | Notice::Left { name: from }
            | Notice::Message { from, .. }
            | Notice::Broadcast { from, .. }
            | Notice::Link(
                LinkNotice::Wanted { user: from, .. } | LinkNotice::Up { user: from, .. },
            ) => self.add(from),
            Notice::Present { names } | Notice::Answered { answer: Answer::Names(names), .. } => {
                names.iter().for_each(|name| self.add(name));
            }
            Notice::Answered { command, answer: Answer::Done } => {
                command.user().into_iter().for_each(|name| self.add(name));
            }
            _ => {}
        }
    }

    /// Names that begin like this, whatever their case; those with the same case first.
    pub(crate) fn beginning_with(&self, prefix: &str) -> Vec<&str> {
        let lower = prefix.to_lowercase();
        let mut names: Vec<&str> = self
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| name.to_lowercase().starts_with(&lower))
            .collect();
        names.sort_by_key(|name| !name.starts_with(prefix));
        names
    }

    /// Whether commands for administrators are offered.
    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }

    /// The name most like this one, if one is like it.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names.iter().map(String::as_str).filter(|known| *known != name))
    }

    /// Only names that look like what they are can be typed or offered.
    fn add(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX && Shown::is_plain_name(name) {
            self.names.insert(name.to_owned());
        }
    }
}

/// The word most like this one, if one is like it at all.
pub(crate) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    words
        .map(|known| (damerau_levenshtein(&word, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= DISTANCE_MAX && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_there_at_the_login_is_known() {
        let mut people = People::default();
        people.learn(&Notice::Present { names: vec!["hans".into(), "luke".into()] });
        assert_eq!(people.beginning_with("h"), ["hans"]);
    }

    fn people(names: &[&str]) -> People {
        let mut people = People::default();
        people.learn(&Notice::Answered {
            command: whoelse_client::Command::Whoelse,
            answer: Answer::Names(names.iter().map(|name| (*name).to_owned()).collect()),
        });
        people
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let people = people(&["luke", "leia", "yoda"]);
        for (typed, nearest) in [
            ("luk", Some("luke")),
            ("Luke", Some("luke")),
            ("lkue", Some("luke")),
            ("yodda", Some("yoda")),
            ("chewbacca", None),
            ("luke", None),
            ("x", None),
        ] {
            assert_eq!(people.nearest(typed), nearest, "{typed}");
        }
    }

    #[test]
    fn names_are_completed_whatever_their_case() {
        let people = people(&["Anna", "andy", "bob"]);
        assert_eq!(people.beginning_with("an"), ["andy", "Anna"]);
        assert_eq!(people.beginning_with("A"), ["Anna", "andy"]);
    }

    #[test]
    fn names_that_hide_something_are_never_offered() {
        let people = people(&["lu\u{200b}ke", "\u{1b}[2J", "two words", "ok"]);
        assert_eq!(people.beginning_with(""), ["ok"]);
    }
}
