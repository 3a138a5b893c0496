//! Random records such as an engine would emit: numbers are dense, names are known.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use whoelse_engine::{AccountId, Message, Number, PasswordHash, Record, RetryKey, Share, Time};
use whoelse_proto::{DeviceKey, FileHash, Name, Role, Scope, SharedName, Signature};

/// Makes records that may follow those it made before.
#[derive(Clone, Default)]
pub(crate) struct Source {
    mailboxes: Vec<Mailbox>,
    /// Accounts that were not removed, with the keys of their devices.
    present: Vec<(AccountId, Vec<DeviceKey>)>,
    invites: u64,
    /// What is shared, and by which device.
    shares: Vec<(AccountId, FileHash, DeviceKey)>,
    time: u64,
}

#[derive(Clone, Default)]
struct Mailbox {
    last_number: u64,
    acknowledged: u64,
}

impl Source {
    /// The next record.
    pub(crate) fn next(&mut self, random: &mut ChaCha8Rng) -> Record {
        self.time += random.random_range(0..2_000);
        let time = Time(self.time);
        if self.present.is_empty() || random.random_bool(0.02) {
            return self.account(random, time);
        }
        let account = self.pick(random);
        match random.random_range(0..130) {
            0..3 => Record::Password { account, hash: hash(random) },
            3..8 => {
                let locked = random.random_bool(0.3);
                let locked_until = locked.then(|| time.plus(60_000));
                Record::Strikes { account, strikes: random.random_range(0..4), locked_until, time }
            }
            8..13 => Record::Block { blocker: account, blocked: self.pick(random) },
            13..16 => Record::Unblock { blocker: account, blocked: self.pick(random) },
            16..20 => Record::Login { account, time },
            20..22 => Record::Resumed { account, time },
            22..28 => Record::Logout { account, time },
            28 => Record::Heartbeat { time },
            29 => Record::Guess { time },
            30..45 => self.acknowledged(random, account),
            45..52 => self.device(random, time),
            52..58 => self.invite(random, account, time),
            58 => Record::Role { account, role: role(random) },
            59..61 => Record::Locked { account, is_locked: random.random() },
            61..65 => {
                let locked_until = random.random_bool(0.3).then(|| time.plus(60_000));
                let (key, strikes) = (random.random_range(0..9), random.random_range(1..4));
                Record::Stranger { key, strikes, locked_until, time }
            }
            65 => self.removed(random, time),
            66..76 => self.share(random, time),
            _ => self.message(random, account, time),
        }
    }

    fn pick(&self, random: &mut ChaCha8Rng) -> AccountId {
        self.present[random.random_range(0..self.present.len())].0
    }

    fn device(&mut self, random: &mut ChaCha8Rng, time: Time) -> Record {
        let index = random.random_range(0..self.present.len());
        let (account, keys) = &mut self.present[index];
        let account = *account;
        let known = (!keys.is_empty()).then(|| random.random_range(0..keys.len()));
        match (known, random.random_range(0..3)) {
            (Some(known), 0) => {
                let key = keys.remove(known);
                self.shares.retain(|(owner, _, device)| (*owner, *device) != (account, key));
                Record::DeviceRevoked { account, key }
            }
            (Some(known), 1) => Record::DeviceUsed { account, key: keys[known], time },
            _ => {
                let key = DeviceKey(random.random());
                keys.push(key);
                let name = format!("device {}", keys.len()).into();
                Record::Device { account, key, name, time }
            }
        }
    }

    fn invite(&mut self, random: &mut ChaCha8Rng, account: AccountId, time: Time) -> Record {
        if self.invites > 0 && random.random_bool(0.5) {
            return Record::InviteGone { number: random.random_range(1..=self.invites) };
        }
        self.invites += 1;
        Record::Invite {
            number: self.invites,
            hash: random.random(),
            by: random.random_bool(0.7).then_some(account),
            role: role(random),
            is_first: random.random_bool(0.1),
            expires: time.plus(random.random_range(1..200_000)),
            time,
        }
    }

    fn share(&mut self, random: &mut ChaCha8Rng, time: Time) -> Record {
        let known = (!self.shares.is_empty()).then(|| random.random_range(0..self.shares.len()));
        match (known, random.random_range(0..5)) {
            (Some(known), 0) => {
                let (owner, hash, _) = self.shares.remove(known);
                Record::Unshare { owner, hash }
            }
            (Some(known), 1) => {
                let (owner, hash, _) = self.shares[known];
                Record::ShareRenewed { owner, hash, time }
            }
            _ => self.new_share(random, time),
        }
    }

    /// A share of somebody who has a device, or a device for that.
    fn new_share(&mut self, random: &mut ChaCha8Rng, time: Time) -> Record {
        let (owner, keys) = &self.present[random.random_range(0..self.present.len())];
        let (Some(device), owner) = (keys.last().copied(), *owner) else {
            return self.device(random, time);
        };
        // Now and then the same again.
        let hash = FileHash([random.random_range(0..20); 32]);
        self.shares.retain(|(other, shared, _)| (*other, *shared) != (owner, hash));
        self.shares.push((owner, hash, device));
        let people = (0..random.random_range(1..4)).map(|_| self.pick(random));
        let names = people.map(|account| Name::new(&format!("person{}", account.0)).unwrap());
        let names = names.collect();
        let with = if random.random() { Scope::Everyone } else { Scope::People(names) };
        let mut signature = [0; 64];
        random.fill(&mut signature);
        Record::Share(Arc::new(Share {
            owner,
            hash,
            size: random.random_range(1..=1 << 40),
            name: SharedName::new(&format!("film \"{}\".mkv", random.random::<u16>())).unwrap(),
            with,
            device,
            signature: Signature(signature),
            time,
        }))
    }

    fn removed(&mut self, random: &mut ChaCha8Rng, time: Time) -> Record {
        let index = random.random_range(0..self.present.len());
        let (account, _) = self.present.remove(index);
        self.shares.retain(|(owner, ..)| *owner != account);
        Record::Removed { account, time }
    }

    fn account(&mut self, random: &mut ChaCha8Rng, time: Time) -> Record {
        let account = AccountId(self.mailboxes.len() as u32);
        self.mailboxes.push(Mailbox::default());
        self.present.push((account, Vec::new()));
        let name = Name::new(&format!("person{}", account.0)).unwrap();
        let password = random.random_bool(0.5).then(|| hash(random));
        Record::Account { account, name, password, time }
    }

    fn acknowledged(&mut self, random: &mut ChaCha8Rng, account: AccountId) -> Record {
        let mailbox = &mut self.mailboxes[account.index()];
        // Sometimes an old one comes again.
        let from = mailbox.acknowledged.saturating_sub(2);
        let number = random.random_range(from..=mailbox.last_number);
        mailbox.acknowledged = mailbox.acknowledged.max(number);
        Record::Acknowledged { account, number: Number(number) }
    }

    fn message(&mut self, random: &mut ChaCha8Rng, from: AccountId, time: Time) -> Record {
        let to = self.pick(random);
        let mailbox = &mut self.mailboxes[to.index()];
        mailbox.last_number += 1;
        let number = Number(mailbox.last_number);
        let length =
            if random.random_bool(0.05) { 2_000 } else { random.random_range(0..80_usize) };
        let word = format!("{:x}ö ", random.random::<u64>());
        let body = word.repeat(length / word.len() + 1);
        let retry = random
            .random_bool(0.7)
            .then(|| RetryKey { id: random.random(), content: random.random() });
        let at_ms = random.random();
        Record::Message(Arc::new(Message {
            to,
            number,
            from,
            time,
            at_ms,
            retry,
            body: body.into(),
        }))
    }
}

fn hash(random: &mut ChaCha8Rng) -> PasswordHash {
    PasswordHash(format!("$argon2id$v=19$m=19456,t=2,p=1${:032x}", random.random::<u128>()).into())
}

fn role(random: &mut ChaCha8Rng) -> Role {
    if random.random() { Role::Admin } else { Role::Member }
}
