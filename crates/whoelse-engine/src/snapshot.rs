//! What the engine needs to know of the past: the state that a database keeps for it.
//!
//! A snapshot is the sum of all records up to one point, without the bodies of messages.

use std::sync::Arc;

use whoelse_proto::{DeviceKey, Name, ReceiptKey, Role};

use crate::record::{AccountId, Number, PasswordHash, RetryKey, Share, Time};

/// The state of everything that lasts at one point of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All accounts, in the order of their ids, from 0 and dense.
    pub accounts: Vec<AccountSnapshot>,
    /// The invites that are open, in the order of their numbers.
    pub invites: Vec<InviteSnapshot>,
    /// The number of the last invite ever made.
    pub last_invite: u64,
    /// The files that people share, by owner and hash.
    pub shares: Vec<Share>,
    /// Failed logins of names that nobody has, by time and key.
    pub strangers: Vec<StrangerSnapshot>,
    /// Time of the newest record in it.
    pub newest: Time,
}

/// One account at that point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// Whose it is.
    pub name: Name,
    /// Its password, if it has one yet.
    pub password: Option<PasswordHash>,
    /// What the person may do.
    pub role: Role,
    /// Whether an administrator keeps the person from logging in.
    pub is_locked: bool,
    /// Whether the person was removed; then only the name is left.
    pub is_removed: bool,
    /// Failed logins in a row.
    pub strikes: u8,
    /// Until when no password is accepted.
    pub locked_until: Option<Time>,
    /// Failed logins that the person was not told of.
    pub failed_logins: u32,
    /// When its last session began or, if it has ended, ended; none if it never logged in.
    pub last_seen: Option<Time>,
    /// Whether that session was open.
    pub open: bool,
    /// Whom this person blocks.
    pub blocks: Vec<AccountId>,
    /// The devices that may resume, by when they were added, and key.
    pub devices: Vec<DeviceSnapshot>,
    /// The last number of its mailbox.
    pub last_number: Number,
    /// The last number that has reached its reader.
    pub acknowledged: Number,
    /// What waits in the mailbox: every number after `acknowledged` up to `last_number`, in order.
    pub waiting: Vec<WaitingSnapshot>,
    /// The messages this person sent lately under ids, oldest first.
    pub sent: Vec<SentSnapshot>,
}

impl AccountSnapshot {
    /// An account that was just made.
    #[must_use]
    pub fn new(name: Name, password: Option<PasswordHash>) -> Self {
        Self {
            name,
            password,
            role: Role::Member,
            is_locked: false,
            is_removed: false,
            strikes: 0,
            locked_until: None,
            failed_logins: 0,
            last_seen: None,
            open: false,
            blocks: Vec::new(),
            devices: Vec::new(),
            last_number: Number(0),
            acknowledged: Number(0),
            waiting: Vec::new(),
            sent: Vec::new(),
        }
    }
}

/// A message that waits for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingSnapshot {
    /// Who wrote it.
    pub from: AccountId,
    /// Length of its body, in bytes.
    pub bytes: u32,
    /// What a receipt calls it, if it was sent under an id.
    pub receipt: Option<ReceiptKey>,
}

/// A message that was sent under an id, so that its repetition is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentSnapshot {
    /// Id and content.
    pub retry: RetryKey,
    /// When it was sent.
    pub time: Time,
    /// In whose mailbox it is or was, and where; none if it was stored by a version that did not
    /// note that.
    pub recipient: Option<(AccountId, Number)>,
}

/// A device that may resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSnapshot {
    /// Its public key.
    pub key: DeviceKey,
    /// What it is called, different from the account's other devices.
    pub name: Arc<str>,
    /// When it was first seen.
    pub added: Time,
    /// When a session of it last began.
    pub used: Time,
}

/// An invite that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteSnapshot {
    /// What it is called.
    pub number: u64,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Who made it; none if the operator did.
    pub by: Option<AccountId>,
    /// What whoever uses it becomes.
    pub role: Role,
    /// It was made because there were no people.
    pub is_first: bool,
    /// Until when it is valid.
    pub expires: Time,
}

/// Failed logins of a name that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrangerSnapshot {
    /// The name, hashed.
    pub key: u128,
    /// How many in a row.
    pub strikes: u8,
    /// Until when it is locked, if it is.
    pub locked_until: Option<Time>,
    /// When the last of them was.
    pub time: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine keeps one of these for each: 10,000 of either are within 1 MiB.
    #[test]
    fn what_waits_and_what_was_sent_stay_small() {
        assert_eq!(size_of::<WaitingSnapshot>(), 28, "8 bytes before there were receipts");
        assert_eq!(size_of::<SentSnapshot>(), 64, "48 bytes before there were receipts");
    }
}
