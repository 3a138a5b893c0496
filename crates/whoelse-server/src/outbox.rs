//! What waits to be written to one connection: bytes, encoded once, bounded.
//!
//! Answers and presence are queued here; mail is not, it is a cursor and comes in pages when
//! there is room. For an original client the queue is one of objects, because it takes each
//! `recv` for one object and needs a pause between two.

use std::collections::VecDeque;

use whoelse_engine::{Number, Time};
use whoelse_proto::limits::{
    LARGE_ANSWER_BYTES, MAIL_PAGE_BYTES, ORIGINAL_PAUSE_MS, OUTPUT_BYTES_MAX,
};
use whoelse_proto::{Dialect, Event, Name};

/// A buffer no larger than this is kept when it is empty.
const KEPT_BYTES: usize = 512;

/// So many written bytes are let go even if more wait behind them.
const COMPACT_BYTES: usize = 64 << 10;

pub(crate) struct Outbox {
    dialect: Dialect,
    /// Bytes to be written, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes ever appended to `buffer`; where the marks count.
    appended: u64,
    paced: Option<Box<Paced>>,
    /// Where mail ends among the bytes ever appended, for clients that cannot acknowledge.
    marks: VecDeque<(u64, Number)>,
    /// The last mail that was written whole.
    written: Number,
    /// Where large answers end among the bytes ever appended, and their lengths. Nobody is too
    /// slow for what it asked and was given at once.
    large: VecDeque<(u64, usize)>,
}

/// Objects for an original client.
#[derive(Default)]
struct Paced {
    answers: VecDeque<Vec<u8>>,
    events: VecDeque<Waiting>,
    bytes: usize,
    next_at: Time,
}

struct Waiting {
    object: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Came(Name),
    Left(Name),
    Mail(Number),
    Other,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            dialect: Dialect::Plain,
            buffer: Vec::new(),
            start: 0,
            appended: 0,
            paced: None,
            marks: VecDeque::new(),
            written: Number(0),
            large: VecDeque::new(),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        if dialect == Dialect::Original {
            self.paced.get_or_insert_default();
        } else if let Some(mut paced) = self.paced.take() {
            // Before login there is no mail among it.
            while let Some((object, _)) = paced.next() {
                self.append(&object);
            }
        }
    }

    /// Queues an event that was encoded in this connection's dialect.
    pub(crate) fn say(&mut self, event: &Event, encoded: &[u8]) {
        match &mut self.paced {
            None => {
                self.append(encoded);
                if matches!(event, Event::Answer(_)) {
                    self.mark_large(encoded.len());
                }
            }
            Some(paced) => paced.say(event, encoded),
        }
    }

    /// Queues mail. Only when [`Self::has_room_for_mail`].
    pub(crate) fn mail(&mut self, number: Number, encode: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.paced {
            None => {
                let before = self.buffer.len();
                encode(&mut self.buffer);
                self.appended += (self.buffer.len() - before) as u64;
                if self.dialect != Dialect::Protocol {
                    self.marks.push_back((self.appended, number));
                }
            }
            Some(paced) => {
                let mut object = Vec::new();
                encode(&mut object);
                paced.bytes += object.len();
                paced.events.push_back(Waiting { object, kind: Kind::Mail(number) });
            }
        }
    }

    pub(crate) fn has_room_for_mail(&self) -> bool {
        match &self.paced {
            None => self.waiting() < MAIL_PAGE_BYTES,
            Some(paced) => paced.is_empty() && self.waiting() == 0,
        }
    }

    /// Whether more waits than a reader of ordinary speed would leave, large answers apart.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes() > OUTPUT_BYTES_MAX && self.bytes() - self.large_bytes() > OUTPUT_BYTES_MAX
    }

    /// Whether so much waits that no further request should be taken for now.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes() > OUTPUT_BYTES_MAX / 4
    }

    /// How much waits.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting() + self.paced.as_ref().map_or(0, |paced| paced.bytes)
    }

    /// How much of that is large answers.
    fn large_bytes(&self) -> usize {
        let position = self.position();
        let left = |(end, length): &(u64, usize)| {
            usize::try_from(end.saturating_sub(position)).map_or(*length, |left| left.min(*length))
        };
        let paced = self.paced.as_ref().map_or(0, |paced| paced.large_bytes());
        self.large.iter().map(left).sum::<usize>() + paced
    }

    /// The bytes appended last are an answer.
    fn mark_large(&mut self, length: usize) {
        if length > LARGE_ANSWER_BYTES {
            self.large.push_back((self.appended, length));
        }
    }

    /// Up to where, of the bytes ever appended, everything is written.
    fn position(&self) -> u64 {
        self.appended - self.waiting() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.paced.as_ref().is_none_or(|paced| paced.is_empty())
    }

    /// Moves the next object of a paced connection to the bytes to be written, if it is time.
    ///
    /// Returns when to ask again, if there is more.
    pub(crate) fn pace(&mut self, now: Time) -> Option<Time> {
        let paced = self.paced.as_mut()?;
        if self.start < self.buffer.len() || paced.is_empty() {
            return None;
        }
        if now < paced.next_at {
            return Some(paced.next_at);
        }
        let (object, mail) = paced.next()?;
        paced.next_at = now.plus(ORIGINAL_PAUSE_MS);
        let next_at = paced.next_at;
        self.append(&object);
        match mail {
            Some(number) => self.marks.push_back((self.appended, number)),
            // Whatever it is: it is alone.
            None => self.mark_large(object.len()),
        }
        Some(next_at)
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// This many bytes were written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.start += bytes;
        let position = self.position();
        while self.large.pop_front_if(|(end, _)| *end <= position).is_some() {}
        while let Some((_, number)) = self.marks.pop_front_if(|(end, _)| *end <= position) {
            self.written = number;
        }
        if self.start > COMPACT_BYTES {
            // A reader that never quite catches up must not make this grow.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            if self.buffer.capacity() > KEPT_BYTES {
                self.buffer = Vec::new();
            }
        }
    }

    /// Whether mail for a client that cannot acknowledge is among the bytes to be written.
    pub(crate) fn holds_mail(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The last mail that was written whole, to a client that cannot acknowledge.
    pub(crate) fn written_mail(&self) -> Number {
        self.written
    }

    fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Queues bytes as they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.appended += bytes.len() as u64;
    }
}

impl Paced {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.events.is_empty()
    }

    fn large_bytes(&self) -> usize {
        let lengths = self.answers.iter().map(Vec::len);
        lengths.filter(|length| *length > LARGE_ANSWER_BYTES).sum()
    }

    fn say(&mut self, event: &Event, encoded: &[u8]) {
        let object = encoded.to_vec();
        self.bytes += object.len();
        let kind = match event {
            Event::Answer(_) | Event::Malformed(_) => {
                self.answers.push_back(object);
                return;
            }
            Event::LoggedIn { name } => Kind::Came(name.clone()),
            Event::LoggedOut { name } => Kind::Left(name.clone()),
            Event::Broadcast { .. }
            | Event::Delivered { .. }
            | Event::PrivateRequest { .. }
            | Event::PrivateAnswer { .. }
            | Event::PrivateCard { .. }
            | Event::PrivateEnded { .. }
            | Event::Timeout
            | Event::TakenOver
            | Event::Ended(_) => Kind::Other,
        };
        if let Some(at) = self.events.iter().position(|waiting| waiting.kind.is_undone_by(&kind)) {
            // Whoever came and left again, or the reverse, while this one waited: nothing happened.
            if let Some(undone) = self.events.remove(at) {
                self.bytes -= undone.object.len() + object.len();
            }
            return;
        }
        self.events.push_back(Waiting { object, kind });
    }

    fn next(&mut self) -> Option<(Vec<u8>, Option<Number>)> {
        let next = match self.answers.pop_front() {
            Some(object) => (object, None),
            None => {
                let waiting = self.events.pop_front()?;
                let number = match waiting.kind {
                    Kind::Mail(number) => Some(number),
                    Kind::Came(_) | Kind::Left(_) | Kind::Other => None,
                };
                (waiting.object, number)
            }
        };
        self.bytes -= next.0.len();
        Some(next)
    }
}

impl Kind {
    fn is_undone_by(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Came(one), Self::Left(other)) | (Self::Left(one), Self::Came(other)) => {
                one == other
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_proto::{Action, Answer, Outcome};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn answer() -> Event {
        Event::Answer(Answer { action: Action::Whoelse, id: None, outcome: Outcome::Done })
    }

    fn paced(outbox: &mut Outbox, now: &mut u64) -> Vec<String> {
        let mut segments = Vec::new();
        while let Some(next) = outbox.pace(Time(*now)) {
            if !outbox.unwritten().is_empty() {
                segments.push(String::from_utf8(outbox.unwritten().to_vec()).unwrap());
                outbox.wrote(outbox.unwritten().len());
            }
            *now = next.0;
        }
        segments
    }

    #[test]
    fn an_original_gets_answers_first_one_object_at_a_time() {
        let mut outbox = Outbox::new();
        outbox.set_dialect(Dialect::Original);
        outbox.say(&Event::LoggedIn { name: name("a") }, b"a came");
        outbox.say(&Event::LoggedIn { name: name("b") }, b"b came");
        outbox.say(&Event::LoggedOut { name: name("a") }, b"a left");
        outbox.say(&answer(), b"answer");
        let mut now = 1000;
        assert_eq!(outbox.pace(Time(now)), Some(Time(1050)));
        assert_eq!(outbox.unwritten(), b"answer");
        assert_eq!(outbox.pace(Time(now)), None, "nothing is added to what is not yet written");
        outbox.wrote(6);
        assert_eq!(outbox.pace(Time(1049)), Some(Time(1050)));
        assert_eq!(paced(&mut outbox, &mut now), ["b came"]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn another_dialect_at_the_second_login_loses_nothing() {
        let mut outbox = Outbox::new();
        outbox.set_dialect(Dialect::Original);
        outbox.say(&answer(), b"refused ");
        outbox.set_dialect(Dialect::Protocol);
        outbox.say(&answer(), b"welcome");
        assert_eq!(outbox.unwritten(), b"refused welcome");
    }

    #[test]
    fn a_reader_that_stays_a_little_behind_does_not_make_the_buffer_grow() {
        let mut outbox = Outbox::new();
        outbox.say(&answer(), &[b'x'; 1000]);
        for _ in 0..10_000 {
            outbox.say(&answer(), &[b'x'; 1000]);
            outbox.wrote(1000);
        }
        assert_eq!(outbox.unwritten().len(), 1000);
        assert!(outbox.buffer.capacity() < 4 * COMPACT_BYTES);
    }

    #[test]
    fn mail_counts_as_written_only_when_it_is_whole() {
        let mut outbox = Outbox::new();
        outbox.mail(Number(1), |out| out.extend_from_slice(b"12345"));
        outbox.mail(Number(2), |out| out.extend_from_slice(b"12345"));
        outbox.wrote(4);
        assert_eq!(outbox.written_mail(), Number(0));
        outbox.wrote(1);
        assert_eq!(outbox.written_mail(), Number(1));
        outbox.wrote(5);
        assert_eq!(outbox.written_mail(), Number(2));
    }

    fn broadcast() -> Event {
        Event::Broadcast { from: name("a"), message: "x".into() }
    }

    #[test]
    fn a_reader_too_slow_is_seen() {
        let mut outbox = Outbox::new();
        assert!(outbox.has_room_for_mail());
        outbox.say(&broadcast(), &vec![b'x'; MAIL_PAGE_BYTES]);
        assert!(!outbox.has_room_for_mail() && !outbox.is_over());
        outbox.say(&broadcast(), &vec![b'x'; OUTPUT_BYTES_MAX]);
        assert!(outbox.is_over());
        outbox.wrote(MAIL_PAGE_BYTES + OUTPUT_BYTES_MAX);
        assert!(outbox.is_empty() && outbox.buffer.capacity() == 0);
    }

    #[test]
    fn nobody_is_too_slow_for_its_own_large_answer() {
        for dialect in [Dialect::Protocol, Dialect::Original] {
            let mut outbox = Outbox::new();
            outbox.set_dialect(dialect);
            outbox.say(&answer(), &vec![b'x'; 4 * OUTPUT_BYTES_MAX]);
            assert!(!outbox.is_over() && outbox.is_crowded());
            outbox.pace(Time(0));
            outbox.wrote(2 * OUTPUT_BYTES_MAX);
            outbox.say(&broadcast(), &vec![b'x'; OUTPUT_BYTES_MAX]);
            assert!(!outbox.is_over());
            outbox.say(&broadcast(), b"x");
            assert!(outbox.is_over(), "what others said counts as ever");
            outbox.wrote(2 * OUTPUT_BYTES_MAX);
            assert!(outbox.is_over() && outbox.large.is_empty());
            // Small answers count: they can be many.
            let mut outbox = Outbox::new();
            outbox.set_dialect(dialect);
            for _ in 0..OUTPUT_BYTES_MAX / LARGE_ANSWER_BYTES {
                outbox.say(&answer(), &[b'x'; LARGE_ANSWER_BYTES]);
            }
            assert!(!outbox.is_over());
            outbox.say(&answer(), b"x");
            assert!(outbox.is_over());
        }
    }
}
