//! The rules under anything that people, operators, disks and clocks may do, in any order.
//!
//! After each step all that must hold of the state is checked. The records that were emitted,
//! applied to a fresh engine, give the same state; so do a snapshot from the middle and the records
//! after it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use whoelse_engine::{
    Aid, ConnectionId, Effect, Engine, Input, Now, Number, Order, PasswordHash, Record, Rules,
    Snapshot, Ticket, Time, Turn,
};
use whoelse_proto::event::{Answer, Meeting, Outcome};
use whoelse_proto::request::{Device, Join, Login, Passwd, Resume};
use whoelse_proto::{
    Command, DeviceKey, EndpointKey, Event, FileHash, Fingerprint, InviteSecret, LinkAnswer,
    LinkName, LinkReason, Name, NewLink, Nonce, Place, Purpose, RelayTicket, Request, RequestId,
    Role, Share, SharedName, Signature,
};

use crate::choices::Choices;

/// Most steps of one run.
const STEPS_MAX: usize = 400;

/// Who there is or may be; two cannot be told apart.
const NAMES: [&str; 6] = ["anna", "bert", "cleo", "dora", "Anna", "nobody"];

/// Those who are there from the beginning.
const PEOPLE: usize = 3;

/// Fewer than there are names.
const FEW_STRANGERS: usize = 3;

/// Up to here an acknowledgement is of the number that was chosen.
const ACKS_MISSED_MAX: u64 = 16;

const PASSWORDS: [&str; 3] = ["first secret", "second secret", "short"];

/// Does what the bytes say.
pub fn run(data: &[u8]) {
    explore(data);
}

/// The same; says how many receipts people were given.
fn explore(data: &[u8]) -> usize {
    let mut choices = Choices::new(data);
    let rules = rules(&mut choices);
    let mut world = World::new(rules);
    for step in 0..STEPS_MAX {
        if choices.is_over() {
            break;
        }
        if choices.below(64) == 63 {
            world.middle = Some((world.engine.snapshot(), world.records.len()));
        }
        if step == 0 || choices.below(3) == 0 {
            world.now_ms += u64::from(choices.byte()).pow(2);
        }
        world.step(&mut choices);
        world.engine.check();
    }
    world.recover();
    if choices.truth() {
        world.handle(Input::Stopping);
        world.engine.check();
        world.recover();
    }
    world.receipts
}

/// Limits so low that they are reached.
fn rules(choices: &mut Choices<'_>) -> Rules {
    Rules {
        block_ms: 5_000,
        idle_ms: choices.one_of(&[0, 0, 20_000]),
        mailbox_messages_max: 6,
        mailbox_bytes_max: 600,
        sender_messages_max: 4,
        sender_bytes_max: 400,
        blocks_max: 2,
        checks_max: 4,
        strangers_max: choices.one_of(&[FEW_STRANGERS, 100]),
        retries_max: 3,
        retry_ms: 50_000,
        broadcast_burst: 2,
        requests_per_second: choices.one_of(&[0, 0, 0, 2]),
        questions_max: 2,
        questions_to_max: 2,
        asks_max: 3,
        relayed_max: 2,
        devices_max: 2,
        member_invites_max: 2,
        invites_max: 3,
        source_failures_max: 4,
        source_locks_max: 2,
        sources_max: 5,
        shares_max: 2,
        shares_in_all_max: 3,
        claims_max: 2,
        claims_in_all_max: 3,
        share_ms: 30_000,
        share_renewal_ms: 10_000,
        loopback_is_exempt: choices.truth(),
        ..Rules::default()
    }
}

struct World {
    rules: Rules,
    engine: Engine,
    now_ms: u64,
    records: Vec<Record>,
    /// A snapshot, and how many records were emitted before it.
    middle: Option<(Snapshot, usize)>,
    connections: u64,
    secrets: Secrets,
    /// Open connections, with the last number of mail each may have been handed.
    lines: BTreeMap<ConnectionId, Number>,
    /// Those on which a session has begun.
    begun: BTreeSet<ConnectionId>,
    checks: Vec<(Ticket, bool)>,
    hashes: Vec<(Ticket, PasswordHash)>,
    /// Messages of which the sender was told that they have arrived.
    receipts: usize,
}

impl World {
    fn new(rules: Rules) -> Self {
        let engine = Engine::new(rules.clone(), "server".into(), &Snapshot::default());
        let mut world = Self {
            rules,
            engine,
            now_ms: 1_000_000,
            records: Vec::new(),
            middle: None,
            connections: 0,
            secrets: Secrets::default(),
            lines: BTreeMap::new(),
            begun: BTreeSet::new(),
            checks: Vec::new(),
            hashes: Vec::new(),
            receipts: 0,
        };
        world.handle(Input::Started);
        for text in &NAMES[..PEOPLE] {
            let password = Some(hash(PASSWORDS[0]));
            world.handle(Input::AddAccount {
                ticket: 0,
                name: Name::new(text).expect("it is one"),
                password,
                distinct: true,
                role: if *text == NAMES[0] { Role::Admin } else { Role::Member },
            });
        }
        world
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = Now { time: Time(self.now_ms), wall_ms: self.now_ms };
        let mut turn = Turn::default();
        self.engine.handle(now, input, &mut turn);
        self.records.append(&mut turn.records);
        for effect in turn.effects {
            match effect {
                Effect::Check { ticket, hash, password, .. } => {
                    let matches = hash.is_some_and(|hash| *hash.0 == *password.expose());
                    self.checks.push((ticket, matches));
                }
                Effect::Hash { ticket, password } => {
                    self.hashes.push((ticket, hash(password.expose())));
                }
                Effect::Begin { connection, last, .. } => {
                    self.begun.insert(connection);
                    self.set_last(connection, last);
                }
                Effect::Mail { to, last } => self.set_last(to, last),
                Effect::Send { event: Event::Delivered { keys, .. }, .. } => {
                    self.receipts += keys.len();
                }
                Effect::Send {
                    event:
                        Event::Answer(Answer { outcome: Outcome::Receipts { delivered, .. }, .. }),
                    ..
                } => self.receipts += delivered.len(),
                Effect::Close { connection, .. } => {
                    self.begun.remove(&connection);
                }
                Effect::Send { .. }
                | Effect::SendMany { .. }
                | Effect::Admit { .. }
                | Effect::Expel { .. }
                | Effect::Ordered { .. }
                | Effect::Added { .. } => {}
            }
        }
    }

    fn set_last(&mut self, connection: ConnectionId, last: Number) {
        if let Some(known) = self.lines.get_mut(&connection) {
            *known = last;
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0 => {
                self.connections += 1;
                let connection = ConnectionId(self.connections);
                self.lines.insert(connection, Number(0));
                self.handle(Input::Connected { connection, address: address(choices) });
            }
            1 => {
                if let Some((connection, _)) = self.line(choices) {
                    self.lines.remove(&connection);
                    self.begun.remove(&connection);
                    self.handle(Input::Disconnected { connection });
                }
            }
            2 => {
                if let Some((connection, last)) = self.line(choices) {
                    let number = Number(last.0.min(choices.any_number()));
                    self.handle(Input::Sent { connection, number });
                    if choices.truth() {
                        self.handle(Input::Delivered { connection, number });
                    }
                }
            }
            3 | 4 if !self.checks.is_empty() => {
                let (ticket, matches) = self.checks.remove(choices.below(self.checks.len()));
                self.handle(Input::Checked { ticket, matches });
            }
            5 if !self.hashes.is_empty() => {
                let (ticket, hash) = self.hashes.remove(choices.below(self.hashes.len()));
                self.handle(Input::Hashed { ticket, hash });
            }
            6 => {
                let order = order(choices, &mut self.secrets);
                self.handle(Input::Order { ticket: 1, order });
            }
            7 => self.handle_seldom(choices),
            8 => {
                if let Some(deadline) = self.engine.deadline() {
                    self.now_ms = self.now_ms.max(deadline.0);
                    self.handle(Input::Tick);
                }
            }
            _ => {
                if let Some((connection, last)) = self.line(choices) {
                    self.ask(choices, connection, last);
                }
            }
        }
    }

    fn handle_seldom(&mut self, choices: &mut Choices<'_>) {
        match choices.below(4) {
            0 => self.handle(Input::DiskFull { is_full: choices.truth() }),
            1 => self.handle(Input::Tick),
            3 => self.correspond(choices),
            _ => {
                let name = Name::new(choices.one_of(&NAMES)).expect("it is one");
                let password = choices.truth().then(|| hash(choices.one_of(&PASSWORDS)));
                let (distinct, role) = (choices.truth(), role(choices));
                self.handle(Input::AddAccount { ticket: 0, name, password, distinct, role });
                let unset = self.engine.accounts().find(|(_, _, has_password)| !has_password);
                let unset = unset.map(|(account, _, _)| account);
                if let Some(account) = unset.filter(|_| choices.truth()) {
                    self.handle(Input::SetPassword { account, hash: hash(PASSWORDS[1]) });
                }
            }
        }
    }

    /// The line, or mostly one with a session for what would only be refused without.
    fn with_session(
        &self,
        command: &Command<'_>,
        line: ConnectionId,
        last: Number,
    ) -> (ConnectionId, Number) {
        let needs_none = matches!(
            command,
            Command::Login(_) | Command::Resume(_) | Command::Join(_) | Command::Challenge
        );
        let count = u64::try_from(self.begun.len()).unwrap_or(0);
        if needs_none || count == 0 || line.0.is_multiple_of(8) {
            return (line, last);
        }
        let place = usize::try_from((line.0 + self.now_ms) % count).unwrap_or(0);
        let begun = self.begun.iter().nth(place);
        begun.map_or((line, last), |it| (*it, self.lines.get(it).copied().unwrap_or(last)))
    }

    /// Somebody writes to somebody else, who perhaps acknowledges it. By single steps that takes so many
    /// right choices that what follows would seldom be tried.
    fn correspond(&mut self, choices: &mut Choices<'_>) {
        let (writer_name, reader_name) =
            (choices.one_of(&NAMES[..PEOPLE]), choices.one_of(&NAMES[..PEOPLE]));
        let writer = self.log_in(choices, writer_name);
        let reader = self.log_in(choices, reader_name);
        let id = id(choices);
        let message = Command::Message { user: reader_name.into(), message: "hello".into() };
        self.request(writer, Some(id.clone()), message);
        if choices.truth() {
            let number = self.lines.get(&reader).copied().unwrap_or(Number(0));
            self.handle(Input::Sent { connection: reader, number });
            self.request(reader, None, Command::Ack { number: number.0 });
        }
        if choices.truth() {
            self.request(writer, None, Command::Receipts { ids: vec![id] });
        }
    }

    /// Logs somebody in on a new connection, as far as the rules allow it.
    fn log_in(&mut self, choices: &mut Choices<'_>, name: &str) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.lines.insert(connection, Number(0));
        self.handle(Input::Connected { connection, address: address(choices) });
        let login = Login {
            protocol: Some(1),
            password: PASSWORDS[0].into(),
            takeover: true,
            ..login(choices, name.into())
        };
        self.request(connection, None, Command::Login(login));
        while let Some((ticket, matches)) = self.checks.pop() {
            self.handle(Input::Checked { ticket, matches });
        }
        connection
    }

    fn request(&mut self, connection: ConnectionId, id: Option<RequestId>, command: Command<'_>) {
        let request = Request { id, command };
        self.handle(Input::Request { connection, request, aid: Aid::None });
    }

    fn line(&self, choices: &mut Choices<'_>) -> Option<(ConnectionId, Number)> {
        let place = choices.below(self.lines.len().clamp(1, 256));
        self.lines.iter().nth(place).map(|(connection, last)| (*connection, *last))
    }

    fn ask(&mut self, choices: &mut Choices<'_>, connection: ConnectionId, last: Number) {
        let id = choices.truth().then(|| id(choices));
        let text = "x".repeat(choices.below(200));
        let user = choices.one_of(&NAMES);
        let (mut command, aid) = command(choices, &mut self.secrets, user, &text);
        let (connection, last) = self.with_session(&command, connection, last);
        if let Command::Ack { number } = &mut command
            && (ACKS_MISSED_MAX..=0xf0).contains(number)
        {
            // Most numbers would never be one that was sent.
            *number = last.0;
        }
        self.handle(Input::Request { connection, request: Request { id, command }, aid });
    }

    /// What was recorded is all there is.
    fn recover(&self) {
        let now = self.without_lapsed_locks(self.engine.snapshot());
        let fresh = self.replay(&Snapshot::default(), &self.records);
        assert!(fresh == now, "records give another state:\n{fresh:?}\n{now:?}");
        if let Some((middle, before)) = &self.middle {
            let rest = self.replay(middle, &self.records[*before..]);
            assert!(rest == now, "a snapshot gives another state:\n{rest:?}\n{now:?}");
        }
    }

    fn replay(&self, snapshot: &Snapshot, records: &[Record]) -> Snapshot {
        let mut engine = Engine::new(self.rules.clone(), "server".into(), snapshot);
        for record in records {
            engine.apply(record);
        }
        engine.check();
        self.without_lapsed_locks(engine.snapshot())
    }

    /// A lock that has run out is forgotten when somebody asks, which is on no record.
    fn without_lapsed_locks(&self, mut snapshot: Snapshot) -> Snapshot {
        for account in &mut snapshot.accounts {
            if account.locked_until.is_some_and(|until| until.0 <= self.now_ms) {
                (account.strikes, account.locked_until) = (0, None);
            }
        }
        let has_lapsed = |until: Option<Time>| until.is_some_and(|until| until.0 <= self.now_ms);
        // Where there is no room for all, whom to forget is decided when one is heard of, which is
        // on no record if nothing comes of it.
        let is_crowded = self.rules.strangers_max == FEW_STRANGERS;
        snapshot.strangers.retain(|it| !is_crowded && !has_lapsed(it.locked_until));
        snapshot
    }
}

fn hash(password: &str) -> PasswordHash {
    PasswordHash(Arc::from(password))
}

fn role(choices: &mut Choices<'_>) -> Role {
    choices.one_of(&[Role::Member, Role::Admin])
}

fn address(choices: &mut Choices<'_>) -> IpAddr {
    match choices.below(4) {
        0 => Ipv4Addr::LOCALHOST.into(),
        1 => Ipv4Addr::new(192, 0, 2, choices.byte() % 3).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(choices.byte() % 3), 0, 0, 0, 1).into(),
    }
}

/// Secrets of invites: drawn at random by the world, so never the same twice.
#[derive(Default)]
struct Secrets {
    made: u64,
}

impl Secrets {
    fn fresh(&mut self) -> InviteSecret {
        self.made += 1;
        Self::of(self.made)
    }

    /// One of the latest, or one that there is not.
    fn guess(&self, choices: &mut Choices<'_>) -> InviteSecret {
        Self::of((self.made + 1).saturating_sub(u64::from(choices.byte() % 4)))
    }

    fn of(number: u64) -> InviteSecret {
        let mut bytes = [0; InviteSecret::BYTES];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        InviteSecret::new(bytes)
    }
}

fn order(choices: &mut Choices<'_>, secrets: &mut Secrets) -> Order {
    let name = choices.one_of(&NAMES).to_owned();
    match choices.below(8) {
        0 => Order::SetPassword { name, hash: hash(choices.one_of(&PASSWORDS)) },
        1 => Order::Lock { name },
        2 => Order::Unlock { name },
        3 => Order::Remove { name },
        4 => Order::SetRole { name, role: role(choices) },
        5 => Order::RevokeInvite { number: choices.any_number() % 8 },
        _ => Order::Invite {
            secret: secrets.fresh(),
            role: role(choices),
            valid_ms: 1 + u64::from(choices.number()),
            is_first: choices.below(4) == 0,
        },
    }
}

fn device(choices: &mut Choices<'_>) -> Device<'static> {
    let key = DeviceKey([choices.byte() % 4; 32]);
    Device { key, name: choices.one_of(&["desk", "lap"]).into() }
}

#[expect(clippy::too_many_lines, reason = "an arm for each command")]
fn command<'a>(
    choices: &mut Choices<'_>,
    secrets: &mut Secrets,
    user: &'a str,
    text: &'a str,
) -> (Command<'a>, Aid) {
    let user = user.into();
    let command = match choices.below(40) {
        0..=4 => Command::Login(login(choices, user)),
        5 | 6 => {
            let resume = Resume {
                username: user,
                key: device(choices).key,
                signature: Signature([0; 64]),
                protocol: 1,
                instance: instance(choices),
                takeover: choices.truth(),
                receipts: choices.truth(),
                links: choices.truth(),
                private_port: choices.one_of(&[0, 50_002]),
            };
            return (Command::Resume(resume), Aid::Proof(choices.below(4) > 0));
        }
        7 => {
            let join = Join {
                invite: secrets.guess(choices),
                username: user,
                password: choices.one_of(&PASSWORDS).into(),
                protocol: 1,
                instance: instance(choices),
                device: choices.truth().then(|| device(choices)),
                receipts: choices.truth(),
                links: choices.truth(),
                private_port: choices.one_of(&[0, 50_002]),
            };
            Command::Join(join)
        }
        8 => return (Command::Challenge, Aid::Challenge(Nonce([choices.byte(); 32]))),
        9 => {
            let meeting = Meeting {
                place: Arc::new(Place { host: "localhost".into(), port: 1 }),
                is_guessed: true,
                key: Fingerprint([0; 32]),
            };
            let aid = Aid::Invite { secret: secrets.fresh(), meeting };
            return (Command::Invite { role: role(choices) }, aid);
        }
        10 => Command::Invitation { invite: secrets.guess(choices) },
        11 => Command::Invites,
        12 => Command::RevokeInvite { number: choices.any_number() % 8 },
        13 => Command::Devices,
        14 => Command::RevokeDevice { name: device(choices).name },
        15 => {
            let (old, new) = (choices.one_of(&PASSWORDS).into(), choices.one_of(&PASSWORDS).into());
            Command::Passwd(Passwd { old, new })
        }
        16 => Command::Lock { user },
        17 => Command::Unlock { user },
        18 => Command::Broadcast { message: text.into() },
        19 => Command::Block { user },
        20 => Command::Unblock { user },
        21 => Command::Whoelse,
        22 => Command::WhoelseSince { since_ms: choices.any_number() },
        23 => Command::StartPrivate { user, link: None },
        24 => Command::Logout { forget: choices.truth() },
        25 => Command::Ack { number: choices.any_number() },
        26 => Command::Active,
        27 => Command::Receipts { ids: (0..=choices.below(3)).map(|_| id(choices)).collect() },
        28 => {
            let purpose = choices.one_of(&[Purpose::Talk, Purpose::File(FileHash([0; 32]))]);
            let link = Some(NewLink { name: link(choices), purpose });
            Command::StartPrivate { user, link }
        }
        29 => {
            let card = LinkAnswer::Accept { card: text.into() };
            Command::AnswerPrivate { link: link(choices), answer: card }
        }
        30 => {
            let answer = LinkAnswer::Decline(LinkReason::Declined);
            Command::AnswerPrivate { link: link(choices), answer }
        }
        31 => Command::PrivateCard { link: link(choices), card: text.into() },
        32 => Command::EndPrivate { link: link(choices) },
        33 => {
            let ticket = choices.truth().then(|| RelayTicket::new([1; 32]));
            Command::Relay { endpoint: EndpointKey([choices.below(4) as u8; 32]), ticket }
        }
        34 => Command::Share(share(choices, user)),
        35 => {
            Command::Have { hash: file(choices), parts: choices.one_of(&["gA", "AA", ""]).into() }
        }
        36 => Command::Sources { hash: file(choices) },
        37 => Command::Unshare { hash: file(choices) },
        38 if choices.truth() => Command::Shares,
        38 => Command::SearchFiles { words: choices.one_of(&["", "FILM", "song"]).into() },
        _ => Command::Message { user, message: text.into() },
    };
    (command, Aid::None)
}

fn file(choices: &mut Choices<'_>) -> FileHash {
    FileHash([choices.byte() % 3; 32])
}

fn share<'a>(choices: &mut Choices<'_>, user: Cow<'a, str>) -> Share<'a> {
    let name = SharedName::new(choices.one_of(&["film", "song", "Film"])).expect("it is short");
    Share {
        hash: file(choices),
        size: choices.one_of(&[1, 1 << 40]),
        name,
        with: choices.truth().then(|| vec![user]),
        signature: Signature([choices.byte(); 64]),
    }
}

fn login<'a>(choices: &mut Choices<'_>, username: Cow<'a, str>) -> Login<'a> {
    let protocol = choices.one_of(&[Some(1), Some(1), None]);
    Login {
        username,
        password: choices.one_of(&[PASSWORDS[0], PASSWORDS[0], PASSWORDS[1]]).into(),
        private_port: choices.one_of(&[0, 50_001]),
        protocol,
        instance: instance(choices),
        takeover: choices.below(4) == 0,
        device: (protocol.is_some() && choices.truth()).then(|| device(choices)),
        receipts: protocol.is_some() && choices.truth(),
        links: choices.truth(),
    }
}

fn link(choices: &mut Choices<'_>) -> LinkName {
    LinkName::new(choices.one_of(&["k", "l", "m"])).expect("one letter is a name")
}

fn id(choices: &mut Choices<'_>) -> RequestId {
    RequestId::new(choices.one_of(&["a", "b", "c", "d"])).expect("one letter is an id")
}

fn instance(choices: &mut Choices<'_>) -> Option<Cow<'static, str>> {
    choices.one_of(&[None, Some("one"), Some("two")]).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::explore;

    /// Bytes that nobody has chosen, the same for the same seed.
    fn bytes(seed: u64, count: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            (state, _) = state.overflowing_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn receipts_are_within_reach() {
        let reached = (0..200).filter(|seed| explore(&bytes(*seed, 2_000)) > 0).count();
        assert!(reached >= 40, "{reached} of 200 inputs lead to a receipt");
    }
}
