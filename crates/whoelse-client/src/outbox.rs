//! Requests that have no answer yet, in the order they were made.

use std::collections::VecDeque;

use whoelse_proto::codec::encode_request;
use whoelse_proto::{Request, RequestId};

use crate::command::Command;
use crate::core::SECRET_FRAME_BYTES;

/// A request without an answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: RequestId,
    pub(crate) command: Command,
    /// The batch of the log with which it is kept.
    batch: u64,
    /// It is in the log, or will be with that batch.
    pub(crate) is_kept: bool,
    /// It was written to the connection that is open now.
    written: bool,
    /// It was written to any connection before.
    pub(crate) tried: bool,
    /// That was another connection than the one that is open now.
    resent: bool,
}

/// All requests without an answer.
#[derive(Debug)]
pub(crate) struct Outbox {
    pending: VecDeque<Pending>,
    /// Begins every id: random, so that no other client of the same account ever uses it.
    prefix: String,
    made: u64,
}

impl Outbox {
    pub(crate) fn new(prefix: String) -> Self {
        Self { pending: VecDeque::new(), prefix, made: 0 }
    }

    /// Takes a request in; it is written once this batch is kept, or could not be.
    pub(crate) fn push(&mut self, id: RequestId, command: Command, batch: u64, is_kept: bool) {
        let (written, tried, resent) = (false, false, false);
        self.pending.push_back(Pending { id, command, batch, is_kept, written, tried, resent });
    }

    /// A batch could not be kept, and nothing of it is in the log.
    pub(crate) fn not_kept(&mut self, batch: u64) {
        for pending in self.pending.iter_mut().filter(|pending| pending.batch == batch) {
            pending.is_kept = false;
        }
    }

    /// Takes a message of an earlier run in, in front of all others: it may have been sent.
    pub(crate) fn restore(&mut self, id: RequestId, command: Command) {
        let (batch, is_kept, written, tried, resent) = (0, true, false, true, true);
        self.pending.push_front(Pending { id, command, batch, is_kept, written, tried, resent });
    }

    /// Whether the request with this id waits here, or was made here: an earlier run has not made it.
    pub(crate) fn knows(&self, id: &str) -> bool {
        let made = id.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.starts_with('-'));
        made || self.pending.iter().any(|pending| pending.id.as_str() == id)
    }

    /// The messages that are not kept; they count as kept with this batch from now on.
    pub(crate) fn take_unkept(&mut self, batch: u64) -> Vec<(RequestId, Command)> {
        let is_unkept =
            |it: &&mut Pending| !it.is_kept && matches!(it.command, Command::Message { .. });
        let taken = self.pending.iter_mut().filter(is_unkept).map(|pending| {
            (pending.is_kept, pending.batch) = (true, batch);
            (pending.id.clone(), pending.command.clone())
        });
        taken.collect()
    }

    /// An id that was never used.
    pub(crate) fn make_id(&mut self) -> RequestId {
        self.made += 1;
        RequestId::new(&format!("{}-{}", self.prefix, self.made))
            .expect("prefix and number together are shorter than an id may be")
    }

    /// The size of a request on the wire, at most; to an original server, exactly.
    pub(crate) fn bytes(&self, command: &Command, original: bool) -> usize {
        let mut bytes = Vec::new();
        let id = RequestId::new(&format!("{}-{}", self.prefix, u64::MAX)).filter(|_| !original);
        if let Some(command) = command.request() {
            encode_request(&Request { id, command }, !original, &mut bytes);
        }
        bytes.len()
    }

    /// The next request to write, as it stands on the wire; it counts as written from now on.
    ///
    /// To an original server it goes without an id and without a line end. What is not kept yet, as
    /// `kept` is the last batch that is, keeps those behind it waiting.
    pub(crate) fn write_next(&mut self, original: bool, kept: u64) -> Option<Vec<u8>> {
        let unwritten = self.pending.iter_mut().find(|pending| !pending.written);
        let pending = unwritten.filter(|pending| pending.batch <= kept)?;
        pending.written = true;
        pending.tried = true;
        let is_secret = matches!(pending.command, Command::Passwd(_));
        let mut bytes = Vec::with_capacity(if is_secret { SECRET_FRAME_BYTES } else { 0 });
        if let Some(command) = pending.command.request() {
            let id = (!original).then(|| pending.id.clone());
            encode_request(&Request { id, command }, !original, &mut bytes);
        }
        Some(bytes)
    }

    /// Whether something waits to be written, and for nothing else.
    pub(crate) fn has_unwritten(&self, kept: u64) -> bool {
        let unwritten = self.pending.iter().find(|pending| !pending.written);
        unwritten.is_some_and(|pending| pending.batch <= kept)
    }

    /// Messages without an answer: to whom, what they say, and whether they were written before.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.pending.iter().filter_map(|pending| match &pending.command {
            Command::Message { user, text } => Some((user.as_str(), text.as_str(), pending.tried)),
            _ => None,
        })
    }

    /// Whether something is written and waits for its answer.
    pub(crate) fn has_written(&self) -> bool {
        self.pending.iter().any(|pending| pending.written)
    }

    /// Whether something waits for its answer that an earlier connection may have been asked.
    pub(crate) fn has_resent(&self) -> bool {
        self.pending.iter().any(|pending| pending.resent)
    }

    /// Takes out the request with this id.
    pub(crate) fn answered(&mut self, id: &str) -> Option<Pending> {
        let at = self.pending.iter().position(|pending| pending.id.as_str() == id)?;
        self.pending.remove(at)
    }

    /// Takes out the oldest written request of this kind, as servers answer that know no ids.
    pub(crate) fn answered_oldest(&mut self, word: &str) -> Option<Pending> {
        let is_of_kind = |pending: &Pending| {
            pending.command.request().is_some_and(|request| request.action().as_str() == word)
        };
        let at = self.pending.iter().position(|pending| pending.written && is_of_kind(pending))?;
        self.pending.remove(at)
    }

    /// Ends the connection: takes out what must not be sent again by itself, and keeps the
    /// messages, to be written to the next connection under the same id.
    ///
    /// An original server knows no ids, so that there a message sent twice arrives twice.
    pub(crate) fn disconnect(&mut self, original: bool) -> Vec<Pending> {
        let (kept, dropped) = self.pending.drain(..).partition(|pending| {
            matches!(pending.command, Command::Message { .. }) && !(original && pending.written)
        });
        self.pending = kept;
        for pending in &mut self.pending {
            pending.written = false;
            pending.resent = pending.tried;
        }
        Vec::from(dropped)
    }

    /// Takes out what was written before: an original server would take it for something new.
    pub(crate) fn take_tried(&mut self) -> Vec<Pending> {
        let (tried, fresh) = self.pending.drain(..).partition(|pending| pending.tried);
        self.pending = fresh;
        Vec::from(tried)
    }

    /// Takes out everything.
    pub(crate) fn take_all(&mut self) -> Vec<Pending> {
        self.pending.drain(..).collect()
    }

    /// How many wait for another try, and how many for their first.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let tried = self.pending.iter().filter(|pending| pending.tried).count();
        (tried, self.pending.len() - tried)
    }

    /// The id of the message with this text.
    #[cfg(test)]
    pub(crate) fn id_of(&self, text: &str) -> String {
        let is_it = |pending: &&Pending| matches!(&pending.command, Command::Message { text: it, .. } if it == text);
        self.pending.iter().find(is_it).expect("it waits").id.as_str().to_owned()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
