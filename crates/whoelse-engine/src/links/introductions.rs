//! Private links that are being made, by number and by whom.

use std::collections::BTreeMap;

use whoelse_proto::{LinkName, Purpose};

use crate::record::{AccountId, Time};
use crate::rules::Rules;

/// A question for a private link, until both have the other's card.
pub(crate) struct Introduction {
    pub(crate) caller: AccountId,
    pub(crate) callee: AccountId,
    pub(crate) name: LinkName,
    pub(crate) purpose: Purpose,
    /// The callee said yes, and its card was passed on.
    pub(crate) is_accepted: bool,
    pub(crate) expires: Time,
}

impl Introduction {
    pub(crate) fn parties(&self) -> [AccountId; 2] {
        [self.caller, self.callee]
    }
}

/// All of them. Neither of two people has two of one name.
#[derive(Default)]
pub(crate) struct Introductions {
    made: u64,
    by_number: BTreeMap<u64, Introduction>,
    numbers: BTreeMap<AccountId, BTreeMap<LinkName, u64>>,
}

impl Introductions {
    /// Returns the number of the new one.
    pub(crate) fn add(&mut self, introduction: Introduction) -> u64 {
        self.made += 1;
        for party in introduction.parties() {
            let names = self.numbers.entry(party).or_default();
            names.insert(introduction.name.clone(), self.made);
        }
        self.by_number.insert(self.made, introduction);
        self.made
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Introduction> {
        let introduction = self.by_number.remove(&number)?;
        for party in introduction.parties() {
            if let Some(names) = self.numbers.get_mut(&party) {
                names.remove(&introduction.name);
                if names.is_empty() {
                    self.numbers.remove(&party);
                }
            }
        }
        Some(introduction)
    }

    /// That of a name in which somebody takes part.
    pub(crate) fn find(&self, party: AccountId, name: &LinkName) -> Option<(u64, &Introduction)> {
        let number = *self.numbers.get(&party)?.get(name)?;
        Some((number, self.by_number.get(&number)?))
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Introduction> {
        self.by_number.get_mut(&number)
    }

    /// Those in which somebody takes part, oldest first.
    pub(crate) fn of(&self, party: AccountId) -> Vec<(u64, &Introduction)> {
        let names = self.numbers.get(&party).into_iter().flat_map(BTreeMap::values);
        let mut numbers: Vec<u64> = names.copied().collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|number| Some((*number, self.by_number.get(number)?))).collect()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.by_number.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Introduction)> {
        self.by_number.iter().map(|(number, introduction)| (*number, introduction))
    }

    pub(crate) fn check(&self, rules: &Rules) {
        let mut names = 0;
        for (party, numbers) in &self.numbers {
            assert!(!numbers.is_empty());
            names += numbers.len();
            let (asked, asking): (Vec<_>, Vec<_>) =
                self.of(*party).into_iter().partition(|(_, it)| it.callee == *party);
            assert!(asking.len() <= rules.questions_max);
            assert!(asked.len() <= rules.questions_to_max);
        }
        assert_eq!(names, 2 * self.by_number.len(), "each is known to both, by its name");
        for (number, introduction) in &self.by_number {
            assert_ne!(introduction.caller, introduction.callee);
            for party in introduction.parties() {
                let (found, _) = self.find(party, &introduction.name).expect("it is known to both");
                assert_eq!(found, *number);
            }
        }
    }
}
