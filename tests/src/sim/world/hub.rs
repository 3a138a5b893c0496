//! What the hub does: inputs to the engine, effects to the clients, mail by cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use whoelse_engine::{
    AccountId, ConnectionId, Effect, Input, Now, Number, PasswordHash, Time, Turn,
};
use whoelse_proto::{Action, Answer, Event, Outcome, RequestId};

use super::{Fallible, World};

/// A page of mail from the database: small, so that there are many.
const PAGE_BYTES: usize = 500;

impl World {
    /// Hands an input to the engine; returns what it led to, password checks included.
    pub(super) fn input(&mut self, input: Input<'_>) -> Result<Vec<Effect>, String> {
        let now = Now { time: Time(self.now), wall_ms: self.now };
        let Some(running) = &mut self.running else { return Ok(Vec::new()) };
        let mut turn = Turn::default();
        running.engine.handle(now, input, &mut turn);
        let mut observed = Vec::new();
        let mut queue = VecDeque::from(turn.effects);
        while let Some(effect) = queue.pop_front() {
            // A hash is the password itself, here.
            let done = match &effect {
                Effect::Check { ticket, hash, password, .. } => {
                    let matches = hash.as_ref().is_some_and(|hash| *hash.0 == *password.expose());
                    Input::Checked { ticket: *ticket, matches }
                }
                Effect::Hash { ticket, password } => {
                    let hash = PasswordHash(password.expose().into());
                    Input::Hashed { ticket: *ticket, hash }
                }
                _ => {
                    observed.push(copy(&effect));
                    running.turn.effects.push(effect);
                    continue;
                }
            };
            let mut more = Turn::default();
            running.engine.handle(now, done, &mut more);
            turn.records.extend(more.records);
            queue.extend(more.effects);
        }
        running.turn.records.extend(turn.records);
        Ok(observed)
    }

    /// Does the effects whose records are safe.
    pub(super) fn release(&mut self) -> Fallible {
        while let Some(effects) = self.running.as_mut().and_then(|running| running.turns.release())
        {
            for effect in effects {
                self.release_one(effect)?;
            }
        }
        Ok(())
    }

    pub(super) fn release_one(&mut self, effect: Effect) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        match effect {
            Effect::Begin { connection, acknowledged, last, .. } => {
                let Some(lane) = running.lanes.get_mut(&connection) else { return Ok(()) };
                lane.mail = Some((acknowledged.0, last.0));
                let who = lane.who;
                if self.clients[who].connection == Some(connection) {
                    self.clients[who].is_in = true;
                }
            }
            Effect::Mail { to, last } => {
                if let Some((_, end)) =
                    running.lanes.get_mut(&to).and_then(|lane| lane.mail.as_mut())
                {
                    *end = last.0;
                }
            }
            Effect::Close { connection } => {
                if let Some(lane) = running.lanes.remove(&connection)
                    && self.clients[lane.who].connection == Some(connection)
                {
                    self.clients[lane.who].lose_line();
                }
                self.input(Input::Disconnected { connection })?;
            }
            Effect::Send { to, event: Event::Answer(answer) } => self.answered(to, &answer)?,
            Effect::Send { .. }
            | Effect::SendMany { .. }
            | Effect::Added { .. }
            | Effect::Check { .. }
            | Effect::Hash { .. }
            | Effect::Ordered { .. } => {}
        }
        Ok(())
    }

    /// The client learns an answer.
    pub(super) fn answered(&mut self, to: ConnectionId, answer: &Answer) -> Fallible {
        let client = self.clients.iter_mut().find(|client| client.connection == Some(to));
        let Some(client) = client else { return Ok(()) };
        if answer.action == Action::Message {
            let id = answer.id.as_ref().map_or("", RequestId::as_str);
            let is_confirmed = answer.outcome == Outcome::Done;
            client.answered(id, is_confirmed)?;
            self.stats.confirmed += u64::from(is_confirmed);
        }
        Ok(())
    }

    /// Hands mail over to a client, as much as it reads.
    pub(super) fn deliver(&mut self, who: usize, most: u64) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        let mut page = VecDeque::new();
        for _ in 0..most {
            let Some(running) = &mut self.running else { return Ok(()) };
            let Some(lane) = running.lanes.get_mut(&connection) else { return Ok(()) };
            let Some((cursor, last)) = lane.mail.as_mut() else { return Ok(()) };
            if cursor >= last {
                break;
            }
            let account = AccountId(u32::try_from(who).expect("few people"));
            let next = Number(*cursor + 1);
            let message = match running.tail.get(account, next) {
                Some(message) => Arc::clone(message),
                None if running.engine.acknowledged(account) >= next => {
                    *cursor = running.engine.acknowledged(account).0;
                    continue;
                }
                None => {
                    if page.is_empty() {
                        self.stats.pages += 1;
                        let read = self.database.page(account, Number(*cursor), PAGE_BYTES);
                        page.extend(read.map_err(|error| error.to_string())?);
                    }
                    page.pop_front().ok_or_else(|| format!("mail {next:?} of {who} is nowhere"))?
                }
            };
            *cursor = message.number.0;
            let is_protocol = lane.is_protocol;
            let from = message.from.index();
            if is_protocol {
                self.clients[who].receive(from, message.number.0, &message.body)?;
            } else if message.number.0 == self.clients[who].shown + 1 {
                // A client that cannot acknowledge has no numbers: the world keeps them for it.
                self.clients[who].receive(from, message.number.0, &message.body)?;
            }
            let number = message.number;
            self.model.sent(connection, number.0);
            self.input(Input::Sent { connection, number })?;
        }
        Ok(())
    }
}

/// A copy of an effect as far as observers look at it.
fn copy(effect: &Effect) -> Effect {
    match effect {
        Effect::Send { to, event } => Effect::Send { to: *to, event: event.clone() },
        Effect::SendMany { to, event } => Effect::SendMany { to: to.clone(), event: event.clone() },
        Effect::Begin { connection, .. }
        | Effect::Close { connection }
        | Effect::Mail { to: connection, .. } => Effect::Close { connection: *connection },
        Effect::Ordered { ticket, outcome } => {
            Effect::Ordered { ticket: *ticket, outcome: outcome.clone() }
        }
        Effect::Check { .. } | Effect::Hash { .. } | Effect::Added { .. } => {
            Effect::Close { connection: ConnectionId(0) }
        }
    }
}
