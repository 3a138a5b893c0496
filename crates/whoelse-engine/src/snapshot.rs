//! What the engine needs to know of the past: the state that a database keeps for it.
//!
//! A snapshot is the sum of all records up to one point, without the bodies of messages.

use whoelse_proto::Name;

use crate::record::{AccountId, Number, PasswordHash, RetryKey, Time};

/// The state of all accounts at one point of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All accounts, in the order of their ids, from 0 and dense.
    pub accounts: Vec<AccountSnapshot>,
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
    /// Failed logins in a row.
    pub strikes: u8,
    /// Until when no password is accepted.
    pub locked_until: Option<Time>,
    /// When its last session began or, if it has ended, ended; none if it never logged in.
    pub last_seen: Option<Time>,
    /// Whether that session was open.
    pub open: bool,
    /// Whom this person blocks.
    pub blocks: Vec<AccountId>,
    /// The last number of its mailbox.
    pub last_number: Number,
    /// The last number that has reached its reader.
    pub acknowledged: Number,
    /// What waits in the mailbox: sender and length of the body in bytes, for every number after
    /// `acknowledged` up to `last_number`, in order.
    pub waiting: Vec<(AccountId, u32)>,
    /// The messages this person sent lately under ids, oldest first.
    pub sent: Vec<SentSnapshot>,
}

/// A message that was sent under an id, so that its repetition is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentSnapshot {
    /// Id and content.
    pub retry: RetryKey,
    /// When it was sent.
    pub time: Time,
}
