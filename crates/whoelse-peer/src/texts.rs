//! Which texts have gone, come and been shown. A value; no IO.

use std::collections::VecDeque;

use crate::api::SendError;
use crate::{TEXT_BYTES_MAX, UNACKNOWLEDGED_BYTES_MAX, UNACKNOWLEDGED_MAX};

/// The texts of one link, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Ours, from the first that is not acknowledged.
    ours: VecDeque<String>,
    /// How long they are together.
    our_bytes: usize,
    /// Ours up to here were shown to the other side.
    acknowledged: u64,
    /// Ours up to here were written to the connection that stands.
    written: u64,
    /// Ours up to here were written to some connection.
    written_ever: u64,
    /// Theirs up to here have come.
    received: u64,
    /// Theirs up to here were shown.
    shown: u64,
    /// Theirs up to here were acknowledged over the connection that stands.
    told: u64,
}

/// What the other side says cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

impl Texts {
    /// Takes one of ours.
    pub(crate) fn push(&mut self, number: u64, text: String) -> Result<(), SendError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        if number != self.last() + 1 {
            return Err(SendError::WrongNumber);
        }
        let bytes = self.our_bytes + text.len();
        if self.ours.len() >= UNACKNOWLEDGED_MAX || bytes > UNACKNOWLEDGED_BYTES_MAX {
            return Err(SendError::TooMany);
        }
        self.our_bytes = bytes;
        self.ours.push_back(text);
        Ok(())
    }

    /// The number of our last text.
    fn last(&self) -> u64 {
        self.acknowledged + self.ours.len() as u64
    }

    /// A connection stands on which nothing was said yet but that the other side has ours up to `received`.
    pub(crate) fn resume(&mut self, received: u64) -> Result<(), Impossible> {
        if received > self.written_ever {
            return Err(Impossible("it says to have texts that were not sent"));
        }
        // It may have acknowledged more on the last connection after it said hello on this one.
        self.written = received.max(self.acknowledged);
        self.told = 0;
        Ok(())
    }

    /// The next text to be written, if there is one. It counts as written.
    pub(crate) fn write(&mut self) -> Option<(u64, &str)> {
        let index = usize::try_from(self.written - self.acknowledged).ok()?;
        let text = self.ours.get(index)?;
        self.written += 1;
        self.written_ever = self.written_ever.max(self.written);
        Some((self.written, text))
    }

    /// What is to be acknowledged, if that has not been said yet. It counts as said.
    pub(crate) fn acknowledge(&mut self) -> Option<u64> {
        (self.shown > self.told).then(|| {
            self.told = self.shown;
            self.shown
        })
    }

    /// The other side was shown ours up to a number. Whether that is news.
    pub(crate) fn acknowledged(&mut self, number: u64) -> Result<bool, Impossible> {
        if number > self.written_ever {
            return Err(Impossible("it acknowledges a text that was not sent"));
        }
        let news = number > self.acknowledged;
        self.written = self.written.max(number);
        while self.acknowledged < number {
            let text = self.ours.pop_front();
            self.our_bytes -= text.map_or(0, |text| text.len());
            self.acknowledged += 1;
        }
        Ok(news)
    }

    /// One of theirs has come. Whether it is new.
    pub(crate) fn came(&mut self, number: u64) -> Result<bool, Impossible> {
        if number == 0 || number > self.received + 1 {
            return Err(Impossible("the numbers of its texts have a gap"));
        }
        let news = number > self.received;
        self.received = self.received.max(number);
        Ok(news)
    }

    /// Theirs up to a number were shown; more than have come is no more than all.
    pub(crate) fn show(&mut self, number: u64) {
        self.shown = self.shown.max(number.min(self.received));
    }

    /// The number of their last text.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether nothing is left to say to whoever says good-bye: all that came was shown, and that said.
    pub(crate) fn is_settled(&self) -> bool {
        self.told == self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: u64) -> Texts {
        let mut texts = Texts::default();
        for number in 1..=count {
            texts.push(number, number.to_string()).unwrap();
        }
        texts
    }

    #[test]
    fn texts_are_written_in_order_and_again_after_a_break() {
        let mut texts = texts(3);
        assert_eq!(texts.write(), Some((1, "1")));
        assert_eq!(texts.write(), Some((2, "2")));
        assert_eq!(texts.acknowledged(1), Ok(true));
        texts.resume(1).unwrap();
        assert_eq!(texts.write(), Some((2, "2")));
        assert_eq!(texts.write(), Some((3, "3")));
        assert_eq!(texts.write(), None);
        // What the other side has is not sent to it again, also if it was not shown yet.
        texts.resume(3).unwrap();
        assert_eq!(texts.write(), None);
        assert_eq!(texts.acknowledged(3), Ok(true));
        assert_eq!(texts.acknowledged(2), Ok(false));
    }

    #[test]
    fn a_text_counts_once_however_often_it_comes() {
        let mut texts = Texts::default();
        assert_eq!(texts.came(1), Ok(true));
        assert_eq!(texts.came(2), Ok(true));
        assert_eq!(texts.came(1), Ok(false));
        assert!(texts.came(4).is_err());
        assert!(texts.came(0).is_err());
        assert_eq!(texts.received(), 2);
    }

    #[test]
    fn what_was_shown_is_said_once_on_each_connection() {
        let mut texts = Texts::default();
        assert_eq!(texts.came(1), Ok(true));
        assert_eq!(texts.acknowledge(), None);
        texts.show(9);
        assert_eq!(texts.acknowledge(), Some(1));
        assert_eq!(texts.acknowledge(), None);
        assert!(texts.is_settled());
        texts.resume(0).unwrap();
        assert_eq!(texts.acknowledge(), Some(1));
    }

    #[test]
    fn what_was_never_sent_can_be_neither_had_nor_shown() {
        let mut texts = texts(2);
        assert!(texts.resume(1).is_err());
        assert_eq!(texts.write(), Some((1, "1")));
        assert!(texts.acknowledged(2).is_err());
        assert_eq!(texts.acknowledged(1), Ok(true));
        assert!(texts.resume(2).is_err());
        assert!(texts.resume(u64::MAX).is_err());
    }

    #[test]
    fn what_is_said_on_two_connections_at_once_does_not_confuse() {
        let mut texts = texts(2);
        texts.write().unwrap();
        texts.write().unwrap();
        // Their hello left before the second text came on the connection before.
        texts.resume(1).unwrap();
        assert_eq!(texts.acknowledged(2), Ok(true));
        assert_eq!(texts.write(), None);
        texts.resume(1).unwrap();
        assert_eq!(texts.write(), None);
        texts.push(3, "3".to_owned()).unwrap();
        assert_eq!(texts.write(), Some((3, "3")));
    }

    #[test]
    fn no_more_waits_than_is_allowed() {
        let mut small = texts(UNACKNOWLEDGED_MAX as u64);
        let next = UNACKNOWLEDGED_MAX as u64 + 1;
        assert_eq!(small.push(next, String::new()), Err(SendError::TooMany));
        small.write().unwrap();
        small.acknowledged(1).unwrap();
        assert_eq!(small.push(next, String::new()), Ok(()));

        let mut large = Texts::default();
        let text = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(large.push(1, format!("{text}x")), Err(SendError::TooLong));
        assert_eq!(large.push(2, String::new()), Err(SendError::WrongNumber));
        let refused = (1..).find(|&number| large.push(number, text.clone()).is_err());
        assert_eq!(refused, Some((UNACKNOWLEDGED_BYTES_MAX / TEXT_BYTES_MAX) as u64 + 1));
    }
}
