//! Who is here, who was, and telling the others.

use whoelse_proto::{Event, Name, Outcome, Refusal};

use crate::record::{AccountId, Time};
use crate::{Asker, ConnectionId, Effect, Engine, Turn};

impl Engine {
    pub(crate) fn whoelse(&self, account: AccountId, asker: &Asker, turn: &mut Turn) {
        let online = self.state.online.iter().copied();
        turn.answer(asker, Outcome::Names(self.names_for(account, online)));
    }

    pub(crate) fn whoelse_since(
        &self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        since_ms: u64,
        turn: &mut Turn,
    ) {
        let from = (now.minus(since_ms), AccountId(0));
        let seen = self.state.seen.range(from..).map(|(_, seen)| *seen);
        let seen = seen.chain(self.state.online.iter().copied());
        turn.answer(asker, Outcome::Names(self.names_for(account, seen)));
    }

    /// Names in alphabetical order, without the asker and without those who block the asker.
    fn names_for(&self, asker: AccountId, people: impl Iterator<Item = AccountId>) -> Vec<Name> {
        let mut names: Vec<Name> = people
            .filter(|person| *person != asker && !self.has_blocked(*person, asker))
            .map(|person| self.state.account(person).name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Tells everybody online about somebody, except those whom that person has blocked.
    pub(crate) fn announce(&self, account: AccountId, event: Event, turn: &mut Turn) {
        let blocks = &self.state.account(account).blocks;
        let to = self.connections_of(|other| other != account && !blocks.contains(&other));
        if !to.is_empty() {
            turn.effects.push(Effect::SendMany { to, event });
        }
    }

    pub(crate) fn broadcast(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        message: &str,
        turn: &mut Turn,
    ) {
        let interval_us = self.rules.broadcast_interval_ms.saturating_mul(1000);
        let burst = self.rules.broadcast_burst;
        let allowance = &mut self.state.account_mut(account).broadcasts;
        if let Err(retry_after_ms) = allowance.take(now, interval_us, burst) {
            return turn.refuse(asker, Refusal::TooFast { retry_after_ms });
        }
        let to = self.connections_of(|other| other != account && !self.has_blocked(other, account));
        let sender = self.state.account(account);
        let outcome = Outcome::Counted { n_sent: to.len(), n_blocked: sender.blocked_by };
        let event = Event::Broadcast { from: sender.name.clone(), message: message.into() };
        if !to.is_empty() {
            turn.effects.push(Effect::SendMany { to, event });
        }
        turn.answer(asker, outcome);
    }

    /// The lines of all who are online and not away, if they fit.
    fn connections_of(&self, fits: impl Fn(AccountId) -> bool) -> Vec<ConnectionId> {
        let fitting = self.state.online.iter().copied().filter(|account| fits(*account));
        fitting
            .filter_map(|account| self.state.account(account).session.as_ref()?.connection)
            .collect()
    }

    /// The name most like one that nobody has, for "did you mean". Whoever asks too often is told
    /// none: it costs as much as all names are long.
    pub(crate) fn suggestion(&mut self, now: Time, asker: AccountId, user: &str) -> Option<Name> {
        let length = user.chars().count();
        let distance_max = if length <= 3 { 1 } else { 2 };
        if length > whoelse_proto::limits::NAME_CHARS_MAX + distance_max {
            return None;
        }
        let interval_us = self.rules.suggestion_interval_ms.saturating_mul(1000);
        let burst = self.rules.suggestion_burst;
        self.state.account_mut(asker).suggestions.take(now, interval_us, burst).ok()?;
        let user = user.to_lowercase();
        let candidates = self.state.accounts.iter().take(self.rules.suggestion_names_max);
        candidates
            .filter(|account| account.id != asker && !account.is_removed)
            .filter(|account| account.name.as_str().len().abs_diff(user.len()) <= 4 * distance_max)
            .map(|account| {
                let name = account.name.as_str().to_lowercase();
                (strsim::osa_distance(&name, &user), &account.name)
            })
            .filter(|(distance, _)| *distance <= distance_max)
            .min()
            .map(|(_, name)| name.clone())
    }
}
