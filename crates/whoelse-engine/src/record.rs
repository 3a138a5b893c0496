//! What lasts: the only things that survive the end of the process.
//!
//! The engine emits records and can apply them; recovery is applying records. The order of the
//! variants is part of the journal's format: new ones go to the end.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use whoelse_proto::{DeviceKey, FileHash, Name, Role, Scope, SharedName, Signature};

/// A point in time in milliseconds since the Unix epoch that never goes back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// This point and a number of milliseconds later.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// This point and a number of milliseconds earlier.
    #[must_use]
    pub fn minus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_sub(milliseconds))
    }

    /// Milliseconds from an earlier point to this one; 0 if that is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the server calls an account. Dense, from 0, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

impl AccountId {
    /// The account's place in a table of all accounts.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The place of a message in its recipient's mailbox. Dense, from 1, never used again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Number(pub u64);

impl Number {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A hashed password, in the format of the Password Hashing Competition. Not shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(pub Arc<str>);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(..)")
    }
}

/// What makes a retry recognisable: hashes of the client's id, and of recipient and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryKey {
    /// Of the id that the sender gave the message.
    pub id: u128,
    /// Of whom it is for and what it says.
    pub content: u64,
}

/// A direct message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whose mailbox it is in.
    pub to: AccountId,
    /// Where in that mailbox.
    pub number: Number,
    /// Who wrote it.
    pub from: AccountId,
    /// When, by the server's time that never goes back.
    pub time: Time,
    /// When, by the wall clock, in milliseconds since the Unix epoch: for people to see.
    pub at_ms: u64,
    /// How a repetition of it is recognised, if its sender may repeat it.
    pub retry: Option<RetryKey>,
    /// What it says.
    pub body: Arc<str>,
}

/// A file that somebody shares, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who shares it.
    pub owner: AccountId,
    /// What is in it.
    pub hash: FileHash,
    /// How long it is, in bytes.
    pub size: u64,
    /// What it is called.
    pub name: SharedName,
    /// Who may see it, as it was signed.
    pub with: Scope,
    /// Which of the owner's devices signed it.
    pub device: DeviceKey,
    /// By that device; the server does not check it.
    pub signature: Signature,
    /// When it was shared, or last claimed by its owner.
    pub time: Time,
}

/// One thing that happened and must survive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An account was made. Its password may follow: imported ones take time to hash.
    Account {
        /// The new account.
        account: AccountId,
        /// Whose it is.
        name: Name,
        /// Its password, if it has one yet.
        password: Option<PasswordHash>,
        /// When.
        time: Time,
    },
    /// An account got a password, or a new one.
    Password {
        /// Whose.
        account: AccountId,
        /// The hash of it.
        hash: PasswordHash,
    },
    /// Failed logins in a row were counted, or forgotten.
    Strikes {
        /// Whose.
        account: AccountId,
        /// How many now.
        strikes: u8,
        /// Until when no password is accepted, if the account is locked.
        locked_until: Option<Time>,
        /// When.
        time: Time,
    },
    /// Somebody blocked somebody.
    Block {
        /// Who did.
        blocker: AccountId,
        /// Who is blocked.
        blocked: AccountId,
    },
    /// Somebody took a block back.
    Unblock {
        /// Who did.
        blocker: AccountId,
        /// Who is no longer blocked.
        blocked: AccountId,
    },
    /// A direct message was taken.
    Message(Arc<Message>),
    /// Mail up to a number has reached its reader. Lazy.
    Acknowledged {
        /// Whose mailbox.
        account: AccountId,
        /// The last number of it that has.
        number: Number,
    },
    /// A session began. It also forgets strikes.
    Login {
        /// Whose.
        account: AccountId,
        /// When.
        time: Time,
    },
    /// A session ended. Lazy.
    Logout {
        /// Whose.
        account: AccountId,
        /// When.
        time: Time,
    },
    /// The server was alive. Lazy; bounds the error of sessions that a crash ended.
    Heartbeat {
        /// When.
        time: Time,
    },
    /// Somebody guessed the password of a name that nobody has. Nothing rests on it. Written until
    /// [`Record::Stranger`] took its place.
    Guess {
        /// When.
        time: Time,
    },
    /// Failed logins in a row were counted for a name that nobody has: it is locked like any other,
    /// over restarts too, and its answer waits for the disk as long.
    Stranger {
        /// The name, hashed.
        key: u128,
        /// How many now.
        strikes: u8,
        /// Until when it is locked, if it is.
        locked_until: Option<Time>,
        /// When.
        time: Time,
    },
    /// A device may resume from now on.
    Device {
        /// For which account.
        account: AccountId,
        /// Its public key.
        key: DeviceKey,
        /// What it is called, different from the account's other devices.
        name: Arc<str>,
        /// When.
        time: Time,
    },
    /// A session of a device has begun. Lazy.
    DeviceUsed {
        /// Of which account.
        account: AccountId,
        /// Its public key.
        key: DeviceKey,
        /// When.
        time: Time,
    },
    /// A device may no longer resume. What it shared is shared no more.
    DeviceRevoked {
        /// Of which account.
        account: AccountId,
        /// Its public key.
        key: DeviceKey,
    },
    /// A person may do more or less from now on.
    Role {
        /// Who.
        account: AccountId,
        /// What it may do.
        role: Role,
    },
    /// An administrator locked an account, or took that back.
    Locked {
        /// Which.
        account: AccountId,
        /// Whether it is locked now.
        is_locked: bool,
    },
    /// A person was removed: its mail, blocks, devices, shares and password are gone, its name is
    /// retired.
    Removed {
        /// Who.
        account: AccountId,
        /// When.
        time: Time,
    },
    /// An invite was made.
    Invite {
        /// What it is called; dense, from 1, never used again.
        number: u64,
        /// SHA-256 of its secret.
        hash: [u8; 32],
        /// Who made it; none if the operator did.
        by: Option<AccountId>,
        /// What whoever uses it becomes.
        role: Role,
        /// It was made because there were no people.
        is_first: bool,
        /// Until when it is valid.
        expires: Time,
        /// When.
        time: Time,
    },
    /// An invite was used, or taken back.
    InviteGone {
        /// Which.
        number: u64,
    },
    /// A session began by the key of a device. Unlike [`Record::Login`] it proves no password, so
    /// strikes and a lock stay.
    Resumed {
        /// Whose.
        account: AccountId,
        /// When.
        time: Time,
    },
    /// Somebody shares a file, or shares it otherwise than before.
    Share(Arc<Share>),
    /// Its owner said that a share lives. Lazy.
    ShareRenewed {
        /// Who shares it.
        owner: AccountId,
        /// What is in the file.
        hash: FileHash,
        /// When.
        time: Time,
    },
    /// A file is no longer shared: taken back, or expired.
    Unshare {
        /// Who shared it.
        owner: AccountId,
        /// What is in the file.
        hash: FileHash,
    },
}

impl Record {
    /// Whether nobody waits for it: it is synced with the next promised record, or soon.
    #[must_use]
    pub fn is_lazy(&self) -> bool {
        match self {
            Self::Acknowledged { .. }
            | Self::Logout { .. }
            | Self::Heartbeat { .. }
            | Self::DeviceUsed { .. }
            | Self::ShareRenewed { .. } => true,
            Self::Account { .. }
            | Self::Password { .. }
            | Self::Strikes { .. }
            | Self::Block { .. }
            | Self::Unblock { .. }
            | Self::Message(_)
            | Self::Login { .. }
            | Self::Guess { .. }
            | Self::Stranger { .. }
            | Self::Device { .. }
            | Self::DeviceRevoked { .. }
            | Self::Role { .. }
            | Self::Locked { .. }
            | Self::Removed { .. }
            | Self::Invite { .. }
            | Self::InviteGone { .. }
            | Self::Resumed { .. }
            | Self::Share(_)
            | Self::Unshare { .. } => false,
        }
    }

    /// When it happened, where that is recorded.
    #[must_use]
    pub fn time(&self) -> Option<Time> {
        match self {
            Self::Account { time, .. }
            | Self::Strikes { time, .. }
            | Self::Login { time, .. }
            | Self::Logout { time, .. }
            | Self::Heartbeat { time }
            | Self::Guess { time }
            | Self::Stranger { time, .. }
            | Self::Device { time, .. }
            | Self::DeviceUsed { time, .. }
            | Self::Removed { time, .. }
            | Self::Invite { time, .. }
            | Self::Resumed { time, .. }
            | Self::ShareRenewed { time, .. } => Some(*time),
            Self::Message(message) => Some(message.time),
            Self::Share(share) => Some(share.time),
            Self::Password { .. }
            | Self::Block { .. }
            | Self::Unblock { .. }
            | Self::Acknowledged { .. }
            | Self::DeviceRevoked { .. }
            | Self::Role { .. }
            | Self::Locked { .. }
            | Self::InviteGone { .. }
            | Self::Unshare { .. } => None,
        }
    }
}
