//! Who may use the server's relay: ends of private links, by tickets that their clients chose, for
//! as long as the session lasts.
//!
//! An end belongs to whoever registered it, and several may register the same one: the relay wants
//! its key proven, so a ticket for somebody else's is worth nothing, and to refuse it would tell
//! that the other is there.

use whoelse_proto::{EndpointKey, Outcome, Refusal, RelayTicket};

use crate::record::AccountId;
use crate::{Asker, Effect, Engine, Turn};

impl Engine {
    /// Lets one end of a private link in, or no longer.
    pub(crate) fn relay(
        &mut self,
        account: AccountId,
        asker: &Asker,
        endpoint: EndpointKey,
        ticket: Option<RelayTicket>,
        turn: &mut Turn,
    ) {
        if !self.has_links(account) {
            let why = "The relay needs a device, and 'links' when the session begins.";
            return turn.refuse(asker, Refusal::BadRequest(why.into()));
        }
        if !self.rules.has_relay {
            return turn.refuse(asker, Refusal::NoRelay);
        }
        let Some(session) = &mut self.state.account_mut(account).session else { return };
        let Some(ticket) = ticket else {
            if session.relayed.remove(&endpoint) {
                turn.effects.push(Effect::Expel { account, endpoint });
            }
            return turn.answer(asker, Outcome::Done);
        };
        if !session.relayed.contains(&endpoint) && session.relayed.len() >= self.rules.relayed_max {
            return turn.refuse(asker, Refusal::TooManyLinks);
        }
        session.relayed.insert(endpoint);
        turn.effects.push(Effect::Admit { account, endpoint, ticket });
        turn.answer(asker, Outcome::Done);
    }
}
