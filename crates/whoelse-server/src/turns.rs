//! In which order effects leave: after the records they rest on, and never before earlier ones.
//!
//! A value without IO, so that the simulator runs the same lines as the server.

use std::collections::VecDeque;

use whoelse_engine::{Effect, Turn};
use whoelse_proto::{Answer, Event, Outcome};

use crate::store::Sequence;

/// Turns whose effects wait for the disk.
#[derive(Default)]
pub struct Turns {
    waiting: VecDeque<Waiting>,
    effects: usize,
    bytes: usize,
    appended: Sequence,
    /// The last append that anybody waits for.
    promised: Sequence,
    synced: Sequence,
}

/// The effects of one turn, and the append they wait for.
struct Waiting {
    after: Sequence,
    effects: Vec<Effect>,
    bytes: usize,
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
            let bytes = effects.iter().map(bytes).sum();
            self.effects += effects.len();
            self.bytes += bytes;
            self.waiting.push_back(Waiting { after: self.promised, effects, bytes });
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
        self.bytes -= turn.bytes;
        Some(turn.effects)
    }

    /// How many effects wait.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.effects
    }

    /// About how many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// About how many bytes an effect has: lists and texts count, the rest is as good as nothing.
fn bytes(effect: &Effect) -> usize {
    let said = match effect {
        Effect::Send { event, .. } => text(event),
        Effect::SendMany { to, event } => size_of_val(to.as_slice()) + text(event),
        _ => 0,
    };
    size_of::<Effect>() + said
}

/// About how many bytes there are behind an event.
fn text(event: &Event) -> usize {
    match event {
        Event::Broadcast { message, .. } => message.len(),
        Event::Answer(Answer { outcome, .. }) => match outcome {
            Outcome::Names(names) => size_of_val(names.as_slice()),
            Outcome::Invites(invites) => size_of_val(invites.as_slice()),
            Outcome::Devices(devices) => size_of_val(devices.as_slice()),
            Outcome::Shares(files) => size_of_val(files.as_slice()),
            Outcome::Found { files, .. } => size_of_val(files.as_slice()),
            Outcome::Sources(sources) => size_of_val(sources.as_slice()),
            _ => 0,
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_engine::{AccountId, ConnectionId, Number, Record, Time};
    use whoelse_proto::Name;

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
        assert_eq!((turns.effects(), turns.bytes()), (0, 0));
    }

    #[test]
    fn long_lists_weigh_what_they_hold() {
        let to = vec![ConnectionId(1); 10_000];
        let event = Event::Broadcast { from: Name::new("a").unwrap(), message: "hello".into() };
        let mut turns = Turns::default();
        let effects = vec![Effect::SendMany { to, event }];
        turns.end(Turn { records: Vec::new(), effects });
        assert!((80_000..81_000).contains(&turns.bytes()), "{}", turns.bytes());
        turns.release();
        assert_eq!(turns.bytes(), 0);
    }
}
