//! A person with a client that does what `docs/PROTOCOL.md` asks: keeps what is not confirmed,
//! sends it again under the same id, acknowledges what it has shown, shows nothing twice.

use std::collections::{BTreeMap, VecDeque};

use whoelse_engine::ConnectionId;

/// A message that its sender is not sure of.
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    /// To whom.
    pub to: usize,
    /// Its id.
    pub id: String,
    /// What it says: unique, and rising for each pair of people.
    pub text: String,
}

/// One person's client, which outlives the server's crashes.
#[derive(Default)]
pub struct SimClient {
    /// Its line, if it has one.
    pub connection: Option<ConnectionId>,
    /// Whether its session has begun.
    pub is_in: bool,
    /// Changes with each start of the client.
    pub instance: u64,
    /// What was sent and not confirmed, in order.
    pub outbox: VecDeque<Unconfirmed>,
    /// How many of the outbox were sent over the present line.
    pub sent: usize,
    /// What was confirmed: texts by recipient, in the order of the confirmations.
    pub confirmed: BTreeMap<usize, Vec<String>>,
    /// The last number shown.
    pub shown: u64,
    /// What was shown: texts by sender, in order.
    pub read: BTreeMap<usize, Vec<String>>,
    /// How many texts it has written to each person.
    pub written: BTreeMap<usize, u64>,
    /// Repetitions that were recognised and not shown.
    pub dropped: u64,
}

impl SimClient {
    /// Its line is gone; what was not confirmed will be sent again.
    pub fn lose_line(&mut self) {
        self.connection = None;
        self.is_in = false;
        self.sent = 0;
    }

    /// Mail arrives. Returns a fault if it leaves a gap.
    pub fn receive(&mut self, from: usize, number: u64, text: &str) -> Result<(), String> {
        if number <= self.shown {
            self.dropped += 1;
            return Ok(());
        }
        if number != self.shown + 1 {
            return Err(format!("number {number} comes after {}", self.shown));
        }
        self.shown = number;
        self.read.entry(from).or_default().push(text.to_owned());
        Ok(())
    }

    /// The answer to the oldest message sent over this line. Returns a fault if there is none.
    pub fn answered(&mut self, id: &str, is_confirmed: bool) -> Result<(), String> {
        let at = self.outbox.iter().position(|message| message.id == id);
        let Some(message) = at.and_then(|at| self.outbox.remove(at)) else {
            return Err(format!("an answer to {id}, which nobody waits for"));
        };
        self.sent -= 1;
        if is_confirmed {
            self.confirmed.entry(message.to).or_default().push(message.text);
        }
        Ok(())
    }
}
