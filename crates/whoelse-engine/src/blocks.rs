//! Blocks. A block is no secret, but the presence of the one who blocks is.

use whoelse_proto::{Outcome, Refusal};

use crate::record::{AccountId, Record, Time};
use crate::{Asker, Engine, Turn};

impl Engine {
    pub(crate) fn block(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        turn: &mut Turn,
    ) {
        let Some(blocked) = self.other(now, account, asker, user, turn) else { return };
        let blocks = &self.state.account(account).blocks;
        if !blocks.contains(&blocked) {
            if blocks.len() >= self.rules.blocks_max {
                return turn.refuse(asker, Refusal::BlockListFull);
            }
            if self.state.is_disk_full {
                return turn.refuse(asker, Refusal::ServerFull);
            }
            self.emit(turn, Record::Block { blocker: account, blocked });
        }
        turn.answer(asker, Outcome::Done);
        self.end_introductions_between(account, blocked, turn);
    }

    pub(crate) fn unblock(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        turn: &mut Turn,
    ) {
        let Some(blocked) = self.other(now, account, asker, user, turn) else { return };
        if !self.state.account(account).blocks.contains(&blocked) {
            return turn.refuse(asker, Refusal::NotBlocked);
        }
        self.emit(turn, Record::Unblock { blocker: account, blocked });
        turn.answer(asker, Outcome::Done);
    }

    /// Finds the other person that a request names, or refuses it.
    pub(crate) fn other(
        &mut self,
        now: Time,
        account: AccountId,
        asker: &Asker,
        user: &str,
        turn: &mut Turn,
    ) -> Option<AccountId> {
        match self.state.find(user) {
            Some(other) if other == account => turn.refuse(asker, Refusal::Yourself),
            Some(other) => return Some(other),
            None => {
                let suggestion = self.suggestion(now, account, user);
                turn.refuse(asker, Refusal::UserNotExist { suggestion });
            }
        }
        None
    }

    pub(crate) fn has_blocked(&self, blocker: AccountId, blocked: AccountId) -> bool {
        self.state.account(blocker).blocks.contains(&blocked)
    }
}
