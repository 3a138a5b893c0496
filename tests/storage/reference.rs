//! What records mean, said as plainly as possible: the state they add up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use whoelse_engine::{
    AccountId, AccountSnapshot, Message, Number, Record, SentSnapshot, Snapshot, Time,
};

/// The sum of records.
#[derive(Clone, Default)]
pub(crate) struct Reference {
    accounts: Vec<AccountSnapshot>,
    newest: Time,
    mail: BTreeMap<(AccountId, Number), Arc<Message>>,
}

impl Reference {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.newest = self.newest.max(record.time().unwrap_or_default());
        match record {
            Record::Account { account, name, password, time: _ } => {
                assert_eq!(account.index(), self.accounts.len());
                self.accounts.push(AccountSnapshot {
                    name: name.clone(),
                    password: password.clone(),
                    strikes: 0,
                    locked_until: None,
                    last_seen: None,
                    open: false,
                    blocks: Vec::new(),
                    last_number: Number(0),
                    acknowledged: Number(0),
                    waiting: Vec::new(),
                    sent: Vec::new(),
                });
            }
            Record::Password { account, hash } => self.at(*account).password = Some(hash.clone()),
            Record::Strikes { account, strikes, locked_until, time: _ } => {
                self.at(*account).strikes = *strikes;
                self.at(*account).locked_until = *locked_until;
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
                let sent = message.retry.map(|retry| SentSnapshot { retry, time });
                self.at(message.from).sent.extend(sent);
                self.mail.insert((message.to, message.number), Arc::clone(message));
            }
            Record::Acknowledged { account, number } => {
                let acknowledged = self.at(*account).acknowledged.max(*number);
                self.at(*account).acknowledged = acknowledged;
                self.mail.retain(|(to, number), _| to != account || *number > acknowledged);
            }
            Record::Login { account, time } => {
                let account = self.at(*account);
                account.open = true;
                account.last_seen = Some(*time);
                account.strikes = 0;
                account.locked_until = None;
            }
            Record::Logout { account, time } => {
                self.at(*account).open = false;
                self.at(*account).last_seen = Some(*time);
            }
            Record::Heartbeat { time: _ } | Record::Guess { time: _ } => {}
        }
    }

    /// What a database that has projected all of it must load.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { accounts: self.accounts.clone(), newest: self.newest };
        for ((to, _), message) in &self.mail {
            let length = message.body.len() as u32;
            snapshot.accounts[to.index()].waiting.push((message.from, length));
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
