//! Joining: somebody new makes an account with an invite, and is logged in.

use whoelse_proto::{Join, Name, Refusal, check_new_password};

use crate::passwd::Hashing;
use crate::record::{PasswordHash, Record};
use crate::sessions::Entry;
use crate::{Asker, Engine, Now, Turn};

/// Names that may be compared with all others at once, over all who join; then `BUSY`.
///
/// It costs as much as there are people, and whoever holds an invite may ask for it.
const NAMES_BURST: u32 = 20;

/// One more may be after so many microseconds.
const NAMES_INTERVAL_US: u64 = 100_000;

/// Somebody new whose password is being hashed.
pub(crate) struct Joining {
    pub(crate) asker: Asker,
    /// Which invite is to be spent.
    invite: u64,
    name: Name,
    entry: Entry,
}

impl Engine {
    /// Looks at all there is to look at before the password is hashed.
    pub(crate) fn join(&mut self, now: Now, asker: Asker, join: &Join<'_>, turn: &mut Turn) {
        if self.is_pending(&asker, turn) {
            return;
        }
        let Some(invite) = self.invite_for(now.time, &asker, &join.invite, turn) else { return };
        if self.is_full_for_newcomers() {
            return turn.refuse(&asker, Refusal::ServerFull);
        }
        let name = match Name::new_account(&join.username) {
            Ok(name) => name,
            Err(error) => return turn.refuse(&asker, Refusal::BadName(sentence(&error))),
        };
        if self.state.joins.take(now.time, NAMES_INTERVAL_US, NAMES_BURST).is_err() {
            return self.refuse_busy(&asker, turn);
        }
        if self.check_name_is_free(&name, true).is_err() {
            return turn.refuse(&asker, Refusal::NameTaken);
        }
        if let Err(why) = check_new_password(name.as_str(), &join.password) {
            return turn.refuse(&asker, Refusal::BadPassword(why));
        }
        if self.is_full_of_checks() {
            return self.refuse_busy(&asker, turn);
        }
        let entry = Entry::of_join(join);
        let joining = Joining { asker, invite: invite.number, name, entry };
        self.start_hash(Hashing::Join(joining), join.password.as_ref().into(), turn);
    }

    /// The password was hashed: makes the account and spends the invite, if both are still free.
    pub(crate) fn joined(
        &mut self,
        now: Now,
        joining: Joining,
        password: PasswordHash,
        turn: &mut Turn,
    ) {
        let Joining { asker, invite, name, entry } = joining;
        self.set_pending(asker.connection, None);
        if !self.state.connections.contains_key(&asker.connection) {
            return; // nobody would learn of it, and the invite can be used again
        }
        let invite = self.state.invites.get(invite, now.time);
        let Some(invite) = invite.filter(|invite| self.is_honoured(invite)) else {
            return turn.refuse(&asker, Refusal::InviteInvalid);
        };
        let (number, role) = (invite.number, invite.role);
        if self.is_full_for_newcomers() {
            return turn.refuse(&asker, Refusal::ServerFull);
        }
        let Ok(account) = self.add_account(now.time, name, Some(password), true, role, turn) else {
            return turn.refuse(&asker, Refusal::NameTaken);
        };
        self.emit(turn, Record::InviteGone { number });
        self.admit(now, account, &asker, entry, turn);
    }

    /// Whether nobody new can be taken in: members who invite each other must not fill the memory.
    fn is_full_for_newcomers(&self) -> bool {
        self.state.is_disk_full || self.state.accounts.len() >= self.rules.people_max
    }
}

/// What is wrong with a name, as a sentence.
fn sentence(error: &whoelse_proto::names::NameError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
