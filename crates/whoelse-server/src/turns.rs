//! In which order effects leave: after the records they rest on, and never before earlier ones.
//!
//! A value without IO, so that the simulator runs the same lines as the server.

use std::collections::VecDeque;

use whoelse_engine::{Effect, Turn};

use crate::store::Sequence;

/// Turns whose effects wait for the disk.
#[derive(Default)]
pub struct Turns {
    waiting: VecDeque<Waiting>,
    effects: usize,
    appended: Sequence,
    /// The last append that anybody waits for.
    promised: Sequence,
    synced: Sequence,
}

/// The effects of one turn, and the append they wait for.
struct Waiting {
    after: Sequence,
    effects: Vec<Effect>,
}

impl Turns {
    /// Takes a turn that has ended; its records, if it has any, must be appended next.
    ///
    /// Effects of a turn that stores nothing anybody waits for wait only for those before it.
    pub fn end(&mut self, turn: Turn) -> Option<(Sequence, Vec<whoelse_engine::Record>)> {
        let is_promised = turn.is_promised();
        let Turn { records, effects } = turn;
        let append = (!records.is_empty()).then(|| {
            self.appended = Sequence(self.appended.0 + 1);
            (self.appended, records)
        });
        if is_promised {
            self.promised = self.appended;
        }
        if !effects.is_empty() {
            self.effects += effects.len();
            self.waiting.push_back(Waiting { after: self.promised, effects });
        }
        append
    }

    /// This append and all before it are on disk.
    pub fn synced(&mut self, sequence: Sequence) {
        self.synced = self.synced.max(sequence);
    }

    /// The effects of the next turn whose records are on disk.
    pub fn release(&mut self) -> Option<Vec<Effect>> {
        let turn = self.waiting.pop_front_if(|turn| turn.after <= self.synced)?;
        self.effects -= turn.effects.len();
        Some(turn.effects)
    }

    /// How many effects wait.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_engine::{AccountId, ConnectionId, Number, Record, Time};

    fn turn(record: Option<Record>, close: u64) -> Turn {
        Turn {
            records: record.into_iter().collect(),
            effects: vec![Effect::Close { connection: ConnectionId(close) }],
        }
    }

    fn released(turns: &mut Turns) -> Vec<u64> {
        let effects = std::iter::from_fn(|| turns.release()).flatten();
        let number = |effect| match effect {
            Effect::Close { connection } => connection.0,
            _ => unreachable!(),
        };
        effects.map(number).collect()
    }

    #[test]
    fn effects_wait_for_their_records_and_for_those_before_them() {
        let promised = || Some(Record::Login { account: AccountId(0), time: Time(0) });
        let lazy = || Some(Record::Acknowledged { account: AccountId(0), number: Number(1) });
        let mut turns = Turns::default();
        assert!(turns.end(turn(None, 1)).is_none());
        assert_eq!(released(&mut turns), [1], "nothing to wait for");
        assert_eq!(turns.end(turn(lazy(), 2)).unwrap().0, Sequence(1));
        assert_eq!(released(&mut turns), [2], "nobody waits for what is lazy");
        assert_eq!(turns.end(turn(promised(), 3)).unwrap().0, Sequence(2));
        assert!(turns.end(turn(None, 4)).is_none());
        assert_eq!(turns.end(turn(lazy(), 5)).unwrap().0, Sequence(3));
        assert_eq!(turns.end(turn(promised(), 6)).unwrap().0, Sequence(4));
        turns.synced(Sequence(1));
        assert!(released(&mut turns).is_empty());
        turns.synced(Sequence(2));
        assert_eq!(released(&mut turns), [3, 4, 5]);
        assert_eq!(turns.effects(), 1);
        turns.synced(Sequence(4));
        assert_eq!(released(&mut turns), [6]);
        // A promise that says nothing itself still holds back what comes after it.
        let silent = Turn { records: promised().into_iter().collect(), effects: Vec::new() };
        assert_eq!(turns.end(silent).unwrap().0, Sequence(5));
        assert!(turns.end(turn(None, 7)).is_none());
        assert!(released(&mut turns).is_empty());
        turns.synced(Sequence(5));
        assert_eq!(released(&mut turns), [7]);
    }
}
