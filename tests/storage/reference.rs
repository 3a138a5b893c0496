//! What records mean, said as plainly as possible: the state they add up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use whoelse_engine::{
    AccountId, AccountSnapshot, DeviceSnapshot, InviteSnapshot, Message, Number, Record,
    SentSnapshot, Share, Snapshot, StrangerSnapshot, Time, WaitingSnapshot,
};
use whoelse_proto::{FileHash, ReceiptKey};

/// The sum of records.
#[derive(Clone, Default)]
pub(crate) struct Reference {
    accounts: Vec<AccountSnapshot>,
    newest: Time,
    invites: Vec<InviteSnapshot>,
    last_invite: u64,
    strangers: BTreeMap<u128, StrangerSnapshot>,
    mail: BTreeMap<(AccountId, Number), Arc<Message>>,
    shares: BTreeMap<(AccountId, FileHash), Share>,
}

impl Reference {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.newest = self.newest.max(record.time().unwrap_or_default());
        match record {
            Record::Account { account, name, password, time: _ } => {
                assert_eq!(account.index(), self.accounts.len());
                self.accounts.push(AccountSnapshot::new(name.clone(), password.clone()));
            }
            Record::Password { account, hash } => self.at(*account).password = Some(hash.clone()),
            Record::Strikes { account, strikes, locked_until, time: _ } => {
                let account = self.at(*account);
                account.strikes = *strikes;
                account.locked_until = *locked_until;
                if *strikes > 0 {
                    account.failed_logins += 1;
                }
            }
            Record::Block { blocker, blocked } => {
                let blocks = &mut self.at(*blocker).blocks;
                blocks.push(*blocked);
                blocks.sort();
                blocks.dedup();
            }
            Record::Unblock { blocker, blocked } => {
                self.at(*blocker).blocks.retain(|other| other != blocked);
            }
            Record::Message(message) => {
                self.at(message.to).last_number = message.number;
                let time = message.time;
                let recipient = Some((message.to, message.number));
                let sent = message.retry.map(|retry| SentSnapshot { retry, time, recipient });
                self.at(message.from).sent.extend(sent);
                self.mail.insert((message.to, message.number), Arc::clone(message));
            }
            Record::Acknowledged { account, number } => self.acknowledge(*account, *number),
            Record::Login { account, time } => {
                self.at(*account).strikes = 0;
                self.at(*account).locked_until = None;
                self.begin(*account, *time);
            }
            Record::Resumed { account, time } => self.begin(*account, *time),
            Record::Logout { account, time } => {
                self.at(*account).open = false;
                self.at(*account).last_seen = Some(*time);
            }
            Record::Heartbeat { time: _ } | Record::Guess { time: _ } => {}
            Record::Stranger { key, strikes, locked_until, time } => {
                let (key, strikes, locked_until, time) = (*key, *strikes, *locked_until, *time);
                let stranger = StrangerSnapshot { key, strikes, locked_until, time };
                self.strangers.insert(key, stranger);
            }
            Record::Device { .. } | Record::DeviceUsed { .. } | Record::DeviceRevoked { .. } => {
                self.apply_device(record);
            }
            Record::Role { account, role } => self.at(*account).role = *role,
            Record::Locked { account, is_locked } => self.at(*account).is_locked = *is_locked,
            Record::Removed { account, time: _ } => self.remove(*account),
            Record::Invite { number, hash, by, role, is_first, expires, time: _ } => {
                self.last_invite = *number;
                let (number, hash, by, role) = (*number, *hash, *by, *role);
                let (is_first, expires) = (*is_first, *expires);
                let invite = InviteSnapshot { number, hash, by, role, is_first, expires };
                self.invites.push(invite);
            }
            Record::InviteGone { number } => {
                self.invites.retain(|invite| invite.number != *number);
            }
            Record::Share(_) | Record::ShareRenewed { .. } | Record::Unshare { .. } => {
                self.apply_share(record);
            }
        }
    }

    fn begin(&mut self, account: AccountId, time: Time) {
        let account = self.at(account);
        account.open = true;
        account.last_seen = Some(time);
        account.failed_logins = 0;
    }

    fn acknowledge(&mut self, account: AccountId, number: Number) {
        let acknowledged = self.at(account).acknowledged.max(number);
        self.at(account).acknowledged = acknowledged;
        self.mail.retain(|(to, number), _| *to != account || *number > acknowledged);
    }

    fn apply_device(&mut self, record: &Record) {
        match record {
            Record::Device { account, key, name, time } => {
                let devices = &mut self.at(*account).devices;
                devices.retain(|device| device.key != *key);
                let (name, added, used) = (name.clone(), *time, *time);
                devices.push(DeviceSnapshot { key: *key, name, added, used });
                devices.sort_by_key(|device| (device.added, device.key));
            }
            Record::DeviceUsed { account, key, time } => {
                let devices = self.at(*account).devices.iter_mut();
                devices.filter(|device| device.key == *key).for_each(|device| device.used = *time);
            }
            Record::DeviceRevoked { account, key } => {
                self.at(*account).devices.retain(|device| device.key != *key);
                self.shares.retain(|(owner, _), it| owner != account || it.device != *key);
            }
            other => panic!("not about a device: {other:?}"),
        }
    }

    fn apply_share(&mut self, record: &Record) {
        match record {
            Record::Share(share) => {
                self.shares.insert((share.owner, share.hash), Share::clone(share));
            }
            Record::ShareRenewed { owner, hash, time } => {
                self.shares.get_mut(&(*owner, *hash)).expect("it is shared").time = *time;
            }
            Record::Unshare { owner, hash } => {
                self.shares.remove(&(*owner, *hash));
            }
            other => panic!("not about a share: {other:?}"),
        }
    }

    fn remove(&mut self, account: AccountId) {
        let last = self.at(account).last_number;
        self.acknowledge(account, last);
        for other in &mut self.accounts {
            other.blocks.retain(|blocked| *blocked != account);
        }
        self.invites.retain(|invite| invite.by != Some(account));
        self.shares.retain(|(owner, _), _| *owner != account);
        let name = self.at(account).name.clone();
        *self.at(account) = AccountSnapshot {
            is_removed: true,
            last_number: last,
            acknowledged: last,
            ..AccountSnapshot::new(name, None)
        };
    }

    /// What a database that has projected all of it must load.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut strangers: Vec<StrangerSnapshot> = self.strangers.values().copied().collect();
        strangers.sort_by_key(|stranger| (stranger.time, stranger.key));
        let invites = self.invites.iter().filter(|invite| invite.expires > self.newest);
        let mut snapshot = Snapshot {
            accounts: self.accounts.clone(),
            invites: invites.cloned().collect(),
            last_invite: self.last_invite,
            shares: self.shares.values().cloned().collect(),
            strangers,
            newest: self.newest,
        };
        for ((to, _), message) in &self.mail {
            let receipt = message.retry.map(|retry| ReceiptKey::from_u128(retry.id));
            let bytes = message.body.len() as u32;
            let waiting = WaitingSnapshot { from: message.from, bytes, receipt };
            snapshot.accounts[to.index()].waiting.push(waiting);
        }
        for account in &mut snapshot.accounts {
            let surplus = account.sent.len().saturating_sub(10_000);
            account.sent.drain(..surplus);
            let week_ms = 7 * 24 * 60 * 60 * 1_000;
            account.sent.retain(|sent| self.newest.since(sent.time) <= week_ms);
        }
        snapshot
    }

    /// All that waits for an account after a number.
    pub(crate) fn mail(&self, account: AccountId, after: Number) -> Vec<Arc<Message>> {
        let range = (account, after.next())..=(account, Number(u64::MAX));
        self.mail.range(range).map(|(_, message)| Arc::clone(message)).collect()
    }

    fn at(&mut self, account: AccountId) -> &mut AccountSnapshot {
        &mut self.accounts[account.index()]
    }
}
