//! Which direct messages were told, shown and acknowledged, by their numbers.
//!
//! The server sends every message after the last acknowledged one at each login. Here is what
//! makes that harmless: numbers told before are dropped while the same server data holds, only
//! what was shown is acknowledged, and nothing beyond a gap is.

use std::collections::{BTreeSet, VecDeque};

/// Most numbers remembered beyond a gap; a mailbox does not hold more.
const BEYOND_MAX: usize = 10_000;

/// The reader's side of a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// The server data for which the numbers hold.
    server: Option<String>,
    /// Numbers handed to the screen.
    told: Numbers,
    /// Numbers the screen has shown.
    shown: Numbers,
    /// Told and not yet shown: place in the order of notices, and number.
    waiting: VecDeque<(u64, u64)>,
    /// The largest number this session sent us.
    received: u64,
    /// The largest number acknowledged.
    acknowledged: u64,
    /// The largest number up to which it was reported that everything was shown.
    reported: u64,
}

/// A set of numbers, nearly all of which follow each other from 1 on.
#[derive(Debug, Default)]
struct Numbers {
    /// All up to this one.
    up_to: u64,
    /// Some above it.
    beyond: BTreeSet<u64>,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was told before.
    Drop,
    /// It is new.
    Tell,
    /// It is new, and these numbers before it have never come.
    TellMissing { first: u64, last: u64 },
    /// More numbers are missing than any mailbox holds: this server cannot count.
    Absurd,
}

impl Mailbox {
    /// Begins a session.
    pub(crate) fn begin(&mut self, server: Option<&str>, acknowledged: u64) {
        if self.server.as_deref() != server {
            self.server = server.map(str::to_owned);
            self.told = Numbers::default();
            self.shown = Numbers::default();
            self.waiting.clear();
            self.reported = 0;
        }
        self.told.skip_to(acknowledged);
        self.shown.skip_to(acknowledged);
        self.acknowledged = acknowledged;
        self.received = acknowledged;
        self.reported = self.reported.max(acknowledged);
    }

    /// Notes that everything up to this number was shown in an earlier run.
    pub(crate) fn skip_shown(&mut self, number: u64) {
        self.told.skip_to(number);
        self.shown.skip_to(number);
        self.reported = self.reported.max(number);
    }

    /// The server data for which the numbers hold.
    pub(crate) fn server(&self) -> &str {
        self.server.as_deref().unwrap_or_default()
    }

    /// Takes a message that is told at place `sequence`, unless it is dropped.
    pub(crate) fn take(&mut self, number: u64, sequence: u64) -> Verdict {
        self.received = self.received.max(number);
        let next = self.told.largest().saturating_add(1);
        if !self.told.insert(number) {
            return Verdict::Drop;
        }
        if self.told.beyond.len() > BEYOND_MAX {
            return Verdict::Absurd;
        }
        self.waiting.push_back((sequence, number));
        if number > next {
            Verdict::TellMissing { first: next, last: number - 1 }
        } else {
            Verdict::Tell
        }
    }

    /// Takes a message that an earlier run has received and not shown; says whether it is to be told.
    pub(crate) fn take_kept(&mut self, number: u64, sequence: u64) -> bool {
        let is_new = self.told.insert(number);
        if is_new {
            self.waiting.push_back((sequence, number));
        }
        is_new
    }

    /// Takes a message that was told and shown under another number.
    pub(crate) fn take_known(&mut self, number: u64) {
        self.waiting.retain(|(_, waiting)| *waiting != number);
        self.shown.insert(number);
    }

    /// The number up to which everything was shown, if that is news.
    pub(crate) fn newly_shown(&mut self) -> Option<u64> {
        let number = self.shown.up_to;
        (number > self.reported).then(|| {
            self.reported = number;
            number
        })
    }

    /// Notes that everything up to this place was shown.
    pub(crate) fn show(&mut self, sequence: u64) {
        while let Some((_, number)) = self.waiting.pop_front_if(|(place, _)| *place <= sequence) {
            self.shown.insert(number);
        }
    }

    /// The number to acknowledge now, if one is due that is not above this one.
    pub(crate) fn acknowledge(&mut self, number_max: u64) -> Option<u64> {
        // A session takes acknowledgements only for what it sent itself.
        let number = self.shown.up_to.min(self.received).min(number_max);
        (number > self.acknowledged).then(|| {
            self.acknowledged = number;
            number
        })
    }
}

impl Numbers {
    /// Adds a number; says whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        if number <= self.up_to || !self.beyond.insert(number) {
            return false;
        }
        while let Some(next) = self.up_to.checked_add(1)
            && self.beyond.remove(&next)
        {
            self.up_to = next;
        }
        true
    }

    fn largest(&self) -> u64 {
        self.beyond.last().copied().unwrap_or(self.up_to)
    }

    /// Adds all numbers up to this one.
    fn skip_to(&mut self, number: u64) {
        if number > self.up_to {
            self.up_to = number;
            self.beyond = self.beyond.split_off(&number);
            self.beyond.remove(&number);
            let Some(next) = number.checked_add(1) else { return };
            if self.beyond.remove(&next) {
                self.insert(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(acknowledged: u64) -> Mailbox {
        let mut mailbox = Mailbox::default();
        mailbox.begin(Some("s"), acknowledged);
        mailbox
    }

    #[test]
    fn only_what_was_shown_is_acknowledged_and_only_once() {
        let mut mailbox = mailbox(0);
        assert_eq!(mailbox.take(1, 10), Verdict::Tell);
        assert_eq!(mailbox.take(2, 11), Verdict::Tell);
        assert_eq!(mailbox.acknowledge(u64::MAX), None);
        mailbox.show(10);
        assert_eq!((mailbox.acknowledge(u64::MAX), mailbox.acknowledge(u64::MAX)), (Some(1), None));
        mailbox.show(11);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(2));
    }

    #[test]
    fn what_comes_again_is_dropped_and_acknowledged_again() {
        let mut mailbox = mailbox(0);
        mailbox.take(1, 10);
        mailbox.take(2, 11);
        mailbox.show(11);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(2));
        mailbox.begin(Some("s"), 0);
        assert_eq!(mailbox.acknowledge(u64::MAX), None, "this session has sent nothing yet");
        assert_eq!(mailbox.take(1, 12), Verdict::Drop);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(1));
        assert_eq!(mailbox.take(2, 12), Verdict::Drop);
        assert_eq!(mailbox.take(3, 12), Verdict::Tell);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(2));
    }

    #[test]
    fn nothing_beyond_a_gap_is_acknowledged_until_the_gap_is_filled() {
        let mut mailbox = mailbox(4);
        assert_eq!(mailbox.take(7, 1), Verdict::TellMissing { first: 5, last: 6 });
        assert_eq!(mailbox.take(8, 2), Verdict::Tell);
        mailbox.show(2);
        assert_eq!(mailbox.acknowledge(u64::MAX), None);
        mailbox.begin(Some("s"), 4);
        assert_eq!(mailbox.take(5, 3), Verdict::Tell);
        assert_eq!(mailbox.take(6, 4), Verdict::Tell);
        assert_eq!(mailbox.take(7, 5), Verdict::Drop);
        mailbox.show(4);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(7), "the rest was not sent by this session");
        assert_eq!(mailbox.take(8, 5), Verdict::Drop);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(8));
    }

    #[test]
    fn nothing_is_acknowledged_before_it_is_kept_that_it_was_shown() {
        let mut mailbox = mailbox(4);
        assert_eq!(mailbox.newly_shown(), None);
        mailbox.take(5, 1);
        mailbox.take(6, 2);
        mailbox.show(1);
        assert_eq!((mailbox.newly_shown(), mailbox.newly_shown()), (Some(5), None));
        assert_eq!(mailbox.acknowledge(0), None);
        assert_eq!(mailbox.acknowledge(5), Some(5));
        mailbox.show(2);
        assert_eq!(mailbox.newly_shown(), Some(6));
        assert_eq!(mailbox.acknowledge(5), None);
        mailbox.begin(Some("restored"), 2);
        assert_eq!(mailbox.newly_shown(), None);
    }

    #[test]
    fn what_an_earlier_run_has_shown_is_dropped_and_what_it_has_not_is_told_once() {
        let mut mailbox = mailbox(1);
        mailbox.skip_shown(3);
        assert!(!mailbox.take_kept(3, 1));
        assert!(mailbox.take_kept(5, 1));
        assert!(mailbox.take_kept(6, 2));
        mailbox.show(2);
        assert_eq!(mailbox.acknowledge(u64::MAX), None, "this session has sent nothing yet");
        assert_eq!(mailbox.take(2, 3), Verdict::Drop);
        assert_eq!(mailbox.take(3, 3), Verdict::Drop);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(3));
        assert_eq!(mailbox.take(4, 3), Verdict::Tell, "it could not be kept then");
        mailbox.show(3);
        for number in 5..=7 {
            mailbox.take(number, 4);
        }
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(6));
        assert_eq!(mailbox.newly_shown(), Some(6));
    }

    #[test]
    fn what_was_shown_under_another_number_counts_as_shown() {
        let mut mailbox = mailbox(0);
        mailbox.take(1, 1);
        mailbox.take_known(1);
        mailbox.take(2, 1);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(1));
    }

    #[test]
    fn numbers_of_other_server_data_mean_other_messages() {
        let mut mailbox = mailbox(0);
        mailbox.take(1, 1);
        mailbox.begin(Some("restored"), 0);
        assert_eq!(mailbox.take(1, 2), Verdict::Tell);
    }

    #[test]
    fn what_was_acknowledged_elsewhere_is_not_missed_here() {
        let mut mailbox = mailbox(0);
        mailbox.take(1, 1);
        mailbox.take(4, 2);
        mailbox.begin(Some("s"), 3);
        assert_eq!(mailbox.take(4, 3), Verdict::Drop);
        assert_eq!(mailbox.take(5, 3), Verdict::Tell);
        mailbox.show(3);
        assert_eq!(mailbox.acknowledge(u64::MAX), Some(5));
    }

    #[test]
    fn a_server_that_cannot_count_costs_no_memory() {
        let mut mailbox = mailbox(0);
        let numbers = (1..).map(|number| number * 2).take(BEYOND_MAX + 1);
        let verdicts: Vec<_> = numbers.map(|number| mailbox.take(number, 1)).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Absurd));
        assert_eq!(mailbox.take(u64::MAX, 1), Verdict::Absurd);
        mailbox.begin(Some("s"), u64::MAX);
        assert_eq!(mailbox.take(u64::MAX, 1), Verdict::Drop);
    }
}
