//! Introductions for private links between original clients.

use whoelse_proto::{Outcome, Refusal};

use crate::record::{AccountId, Time};
use crate::{Asker, Engine, Turn};

impl Engine {
    /// Tells where an original client listens. Refusals in the original's order: self, unknown,
    /// blocked, offline.
    pub(crate) fn start_private(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        turn: &mut Turn,
    ) {
        let Some(other) = self.other(now, account, asker, user, turn) else { return };
        if self.has_blocked(other, account) {
            return turn.refuse(asker, Refusal::UserBlocked);
        }
        match self.address_for(asker, other) {
            Some(outcome) => turn.answer(asker, outcome),
            None => turn.refuse(asker, Refusal::UserOffline),
        }
    }

    fn address_for(&self, asker: &Asker, other: AccountId) -> Option<Outcome> {
        let account = self.state.account(other);
        let session = account.session.as_ref()?;
        let port = session.private_port.filter(|port| *port >= 1024)?;
        let address = self.state.connections.get(&session.connection?)?.address;
        let asker_address = self.state.connections.get(&asker.connection)?.address;
        // A loopback address means another machine to anybody who is not on this one.
        if address.is_loopback() && !asker_address.is_loopback() {
            return None;
        }
        Some(Outcome::Address { address, port, username: account.name.clone() })
    }
}
