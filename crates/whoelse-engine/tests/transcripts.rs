//! One rule of the engine per text file: what happens, and indented below it what it leads to.
//!
//! Lines that are not indented are inputs: `CONNECTION connects [from ADDRESS]`,
//! `CONNECTION login NAME PASSWORD [options]`, `CONNECTION message USER TEXT`, …, `CONNECTION
//! drops`, `CONNECTION got NUMBER` (mail was handed over), `CONNECTION delivered NUMBER`, `wait
//! SECONDS`, `hold checks`, `check NUMBER right|wrong`, `hash NUMBER`, `restart`, `rules KEY=VALUE
//! …`, `people NAME …`, `admins NAME …`, `disk full|free`, `operator ORDER …`. An option `id=X` on
//! any request is its id, `links` says that a session makes private links, `device=N` the device with that key, `name=X` what it is called,
//! `secret=N` the secret of an invite, `file=N` the file with that hash. The password of `people` is `right`; after `hold checks`
//! results are told by `check` and `hash`.
//! `BLESS=1 cargo test -p whoelse-engine` rewrites what is indented; read it before you commit.

#![expect(clippy::unwrap_used, reason = "a script that cannot be read fails its test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use whoelse_engine::{
    Aid, ConnectionId, Effect, Engine, Input, Now, Number, Order, PasswordHash, Record, Rules,
    Snapshot, Ticket, Time, Turn,
};
use whoelse_proto::event::{Meeting, OpenInvite};
use whoelse_proto::{
    Command, Device, DeviceKey, EndpointKey, Event, FileHash, Fingerprint, InviteSecret, Join,
    LinkAnswer, LinkName, LinkReason, Login, Name, NewLink, Nonce, Outcome, Passwd, Purpose,
    ReceiptKey, RelayTicket, Request, RequestId, Resume, Role, Scope, Share, SharedName, Signature,
};

/// A Sunday in November 2026, so that times look like times.
const START_MS: u64 = 1_795_000_000_000;

struct World {
    engine: Engine,
    rules: Rules,
    records: Vec<Record>,
    now: u64,
    connections: BTreeMap<String, ConnectionId>,
    connections_made: u64,
    hold_checks: bool,
    checks: BTreeMap<u64, Ticket>,
    hashes: BTreeMap<u64, (Ticket, PasswordHash)>,
    said: String,
}

impl World {
    fn new() -> Self {
        let rules = Rules { block_ms: 10_000, ..Rules::default() };
        let engine = Engine::new(rules.clone(), "server".into(), &Snapshot::default());
        Self {
            engine,
            rules,
            records: Vec::new(),
            now: START_MS,
            connections: BTreeMap::new(),
            connections_made: 0,
            hold_checks: false,
            checks: BTreeMap::new(),
            hashes: BTreeMap::new(),
            said: String::new(),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut turn = Turn::default();
        let now = Now { time: Time(self.now), wall_ms: self.now };
        self.engine.handle(now, input, &mut turn);
        self.engine.check();
        self.finish(turn);
    }

    fn finish(&mut self, turn: Turn) {
        let mut done = Vec::new();
        self.records.extend(turn.records);
        for effect in turn.effects {
            match &effect {
                Effect::Check { ticket, hash, password, .. } => {
                    // Here a hash is the password itself.
                    let matches = hash.as_ref().is_some_and(|hash| *hash.0 == *password.expose());
                    if !self.hold_checks {
                        done.push(Input::Checked { ticket: *ticket, matches });
                        continue;
                    }
                    self.checks.insert(ticket.0, *ticket);
                }
                Effect::Hash { ticket, password } => {
                    let hash = PasswordHash(password.expose().into());
                    if !self.hold_checks {
                        done.push(Input::Hashed { ticket: *ticket, hash });
                        continue;
                    }
                    self.hashes.insert(ticket.0, (*ticket, hash));
                }
                _ => {}
            }
            self.say(&effect);
        }
        for input in done {
            self.input(input);
        }
    }

    fn name_of(&self, connection: ConnectionId) -> &str {
        self.connections.iter().find(|(_, id)| **id == connection).map_or("?", |(name, _)| name)
    }

    fn say(&mut self, effect: &Effect) {
        let line = match effect {
            Effect::Send { to, event } => format!("{}: {}", self.name_of(*to), words(event)),
            Effect::SendMany { to, event } => {
                let names: Vec<&str> = to.iter().map(|to| self.name_of(*to)).collect();
                format!("{}: {}", names.join(", "), words(event))
            }
            Effect::Begin { connection, acknowledged, last, dialect, .. } => format!(
                "{}: begins as {dialect:?}, mail {}..={}",
                self.name_of(*connection),
                acknowledged.0 + 1,
                last.0
            ),
            Effect::Mail { to, last } => format!("{}: mail up to {}", self.name_of(*to), last.0),
            Effect::Admit { account, endpoint, .. } => {
                format!("relay admits end {} of {}", endpoint.0[0], self.engine.name(*account))
            }
            Effect::Expel { account, endpoint } => {
                format!("relay expels end {} of {}", endpoint.0[0], self.engine.name(*account))
            }
            Effect::Close { connection } => format!("{}: closed", self.name_of(*connection)),
            Effect::Check { ticket, account, .. } => {
                format!(
                    "check {} of {}",
                    ticket.0,
                    account.map_or("nobody".into(), |account| {
                        self.engine.name(account).to_string()
                    })
                )
            }
            Effect::Added { outcome, .. } => format!("added: {outcome:?}"),
            Effect::Hash { ticket, .. } => format!("hash {}", ticket.0),
            Effect::Ordered { outcome, .. } => format!("ordered: {outcome:?}"),
        };
        writeln!(self.said, "    {line}").unwrap();
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["rules", settings @ ..] => {
                for setting in settings {
                    self.set(setting);
                }
                self.restart(false);
            }
            ["people", names @ ..] => self.add(names, Role::Member),
            ["admins", names @ ..] => self.add(names, Role::Admin),
            [how @ ("add" | "import"), name] => {
                let (name, distinct) = (Name::new(name).unwrap(), *how == "add");
                let (ticket, password, role) = (0, None, Role::Member);
                self.input(Input::AddAccount { ticket, name, password, distinct, role });
            }
            ["imported", number, password] => {
                let account = self.engine.accounts().nth(number.parse().unwrap()).unwrap().0;
                let hash = PasswordHash((*password).into());
                self.input(Input::SetPassword { account, hash });
            }
            ["operator", "list"] => self.list(),
            ["operator", "invites"] => {
                let invites = self.engine.open_invites(Time(self.now));
                writeln!(self.said, "    {}", shown_invites(&invites)).unwrap();
            }
            ["operator", order @ ..] => {
                self.input(Input::Order { ticket: 0, order: parse_order(order) });
            }
            ["disk", state] => self.input(Input::DiskFull { is_full: *state == "full" }),
            ["wait", seconds] => self.wait((seconds.parse::<f64>().unwrap() * 1000.0) as u64),
            ["restart"] => self.restart(true),
            ["hold", "checks"] => self.hold_checks = true,
            ["check", number, result] => {
                let ticket = self.checks.remove(&number.parse().unwrap()).unwrap();
                self.input(Input::Checked { ticket, matches: *result == "right" });
            }
            ["hash", number] => {
                let (ticket, hash) = self.hashes.remove(&number.parse().unwrap()).unwrap();
                self.input(Input::Hashed { ticket, hash });
            }
            [who, "connects", from @ ..] => {
                let address = from.get(1).copied().unwrap_or("127.0.0.1");
                let address: IpAddr = address.parse().unwrap();
                self.connections_made += 1;
                let connection = ConnectionId(self.connections_made);
                self.connections.insert((*who).to_owned(), connection);
                self.input(Input::Connected { connection, address });
            }
            [who, "drops"] => {
                self.input(Input::Disconnected { connection: self.connections[*who] });
            }
            [who, "got", number] => {
                let number = Number(number.parse().unwrap());
                self.input(Input::Sent { connection: self.connections[*who], number });
            }
            [who, "delivered", number] => {
                let number = Number(number.parse().unwrap());
                self.input(Input::Delivered { connection: self.connections[*who], number });
            }
            [who, command @ ..] => {
                let connection = self.connections[*who];
                let aid = aid(command);
                self.input(Input::Request { connection, request: request(command), aid });
            }
            [] => {}
        }
    }

    fn add(&mut self, names: &[&str], role: Role) {
        for name in names {
            let password = Some(PasswordHash("right".into()));
            let name = Name::new(name).unwrap();
            let mut turn = Turn::default();
            let now = Now { time: Time(self.now), wall_ms: self.now };
            let add = Input::AddAccount { ticket: 0, name, password, distinct: false, role };
            self.engine.handle(now, add, &mut turn);
            self.records.extend(turn.records);
        }
    }

    /// What an operator sees.
    fn list(&mut self) {
        for person in self.engine.people() {
            let word = |is: bool, word: &'static str| if is { word } else { "" };
            writeln!(
                self.said,
                "    {} {}{}{}{}, {} devices, {} waiting",
                person.name,
                person.role.as_str(),
                word(person.is_online, ", online"),
                word(person.is_locked, ", locked"),
                word(person.locked_until.is_some_and(|until| until.0 > self.now), ", locked out"),
                person.devices,
                person.waiting,
            )
            .unwrap();
        }
    }

    fn set(&mut self, setting: &str) {
        let (key, value) = setting.split_once('=').unwrap();
        let value: u64 = value.parse().unwrap();
        match key {
            "block" => self.rules.block_ms = value * 1000,
            "idle" => self.rules.idle_ms = value * 1000,
            "mailbox" => self.rules.mailbox_messages_max = value as usize,
            "share" => self.rules.sender_messages_max = value as usize,
            "blocks" => self.rules.blocks_max = value as usize,
            "checks" => self.rules.checks_max = value as usize,
            "strangers" => self.rules.strangers_max = value as usize,
            "retries" => self.rules.retries_max = value as usize,
            "broadcasts" => {
                self.rules.broadcast_burst = value as u32;
                self.rules.broadcast_interval_ms = 1000;
            }
            "questions" => self.rules.questions_max = value as usize,
            "questionsto" => self.rules.questions_to_max = value as usize,
            "asks" => self.rules.asks_max = value as usize,
            "relayed" => self.rules.relayed_max = value as usize,
            "relay" => self.rules.has_relay = value > 0,
            "shares" => self.rules.shares_max = value as usize,
            "all_shares" => self.rules.shares_in_all_max = value as usize,
            "claims" => self.rules.claims_max = value as usize,
            "all_claims" => self.rules.claims_in_all_max = value as usize,
            "share_life" => self.rules.share_ms = value * 1000,
            "renewal" => self.rules.share_renewal_ms = value * 1000,
            "searched" => self.rules.searched_per_second = value,
            "people" => self.rules.people_max = value as usize,
            "devices" => self.rules.devices_max = value as usize,
            "member_invites" => self.rules.member_invites_max = value as usize,
            "invites" => self.rules.invites_max = value as usize,
            "failures" => self.rules.source_failures_max = value as u32,
            "locks" => self.rules.source_locks_max = value as u32,
            "loopback_is_exempt" => self.rules.loopback_is_exempt = value == 1,
            "rate" => self.rules.requests_per_second = value as u32,
            _ => panic!("no such rule: {key}"),
        }
    }

    /// What a crash leaves: the records.
    fn restart(&mut self, started: bool) {
        self.engine = Engine::new(self.rules.clone(), "server".into(), &Snapshot::default());
        for record in &self.records {
            self.engine.apply(record);
        }
        // The sum of the records, saved and loaded, must be the same state.
        let snapshot = self.engine.snapshot();
        self.engine = Engine::new(self.rules.clone(), "server".into(), &snapshot);
        assert_eq!(self.engine.snapshot(), snapshot);
        self.checks.clear();
        self.hashes.clear();
        if started {
            self.input(Input::Started);
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(Time(due)) = self.engine.deadline().filter(|due| due.0 <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }
}

fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key))
}

fn secret(words: &[&str]) -> InviteSecret {
    InviteSecret::new([option(words, "secret=").map_or(0, |number| number.parse().unwrap()); 16])
}

fn key(text: &str) -> DeviceKey {
    DeviceKey([text.parse().unwrap(); 32])
}

/// What the hub would add to a request.
fn aid(words: &[&str]) -> Aid {
    match words {
        ["challenge", ..] => Aid::Challenge(Nonce([7; 32])),
        ["resume", options @ ..] => Aid::Proof(options.contains(&"proof")),
        ["invite", options @ ..] => {
            let place = std::sync::Arc::new("localhost:12346".parse().unwrap());
            let meeting = Meeting { place, is_guessed: true, key: Fingerprint([0; 32]) };
            Aid::Invite { secret: secret(options), meeting }
        }
        _ => Aid::None,
    }
}

fn parse_order(words: &[&str]) -> Order {
    match words {
        ["passwd", name, password] => {
            Order::SetPassword { name: (*name).into(), hash: PasswordHash((*password).into()) }
        }
        ["lock", name] => Order::Lock { name: (*name).into() },
        ["unlock", name] => Order::Unlock { name: (*name).into() },
        ["remove", name] => Order::Remove { name: (*name).into() },
        ["role", name, role] => {
            Order::SetRole { name: (*name).into(), role: Role::parse(role).unwrap() }
        }
        ["invite", role, options @ ..] => Order::Invite {
            secret: secret(options),
            role: Role::parse(role).unwrap(),
            valid_ms: 1_800_000,
            is_first: options.contains(&"first"),
        },
        ["revoke_invite", number] => Order::RevokeInvite { number: number.parse().unwrap() },
        _ => panic!("no such order: {words:?}"),
    }
}

fn device<'a>(options: &[&'a str]) -> Option<Device<'a>> {
    let name = option(options, "name=").unwrap_or("device").into();
    option(options, "device=").map(|text| Device { key: key(text), name })
}

fn request<'a>(words: &[&'a str]) -> Request<'a> {
    let id = words.iter().find_map(|word| word.strip_prefix("id=")).and_then(RequestId::new);
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("id=")).collect();
    let command = match words.as_slice() {
        ["login", name, password, options @ ..] => Command::Login(Login {
            username: (*name).into(),
            password: (*password).into(),
            private_port: option(options, "port=").map_or(0, |port| port.parse().unwrap()),
            protocol: options.contains(&"protocol").then_some(1),
            instance: option(options, "instance=").map(Into::into),
            takeover: options.contains(&"takeover"),
            device: device(options),
            receipts: options.contains(&"receipts"),
            links: options.contains(&"links"),
        }),
        ["resume", name, options @ ..] => Command::Resume(Resume {
            username: (*name).into(),
            key: key(option(options, "device=").unwrap()),
            signature: Signature([0; 64]),
            protocol: 1,
            instance: option(options, "instance=").map(Into::into),
            takeover: options.contains(&"takeover"),
            receipts: options.contains(&"receipts"),
            links: options.contains(&"links"),
            private_port: option(options, "port=").map_or(0, |port| port.parse().unwrap()),
        }),
        ["join", name, password, options @ ..] => Command::Join(Join {
            invite: secret(options),
            username: (*name).into(),
            password: (*password).into(),
            protocol: 1,
            instance: option(options, "instance=").map(Into::into),
            device: device(options),
            receipts: options.contains(&"receipts"),
            links: options.contains(&"links"),
            private_port: option(options, "port=").map_or(0, |port| port.parse().unwrap()),
        }),
        _ => plain_command(&words),
    };
    Request { id, command }
}

fn plain_command<'a>(words: &[&'a str]) -> Command<'a> {
    match words {
        ["message", user, text @ ..] => {
            Command::Message { user: (*user).into(), message: text.join(" ").into() }
        }
        ["broadcast", text @ ..] => Command::Broadcast { message: text.join(" ").into() },
        ["block", user] => Command::Block { user: (*user).into() },
        ["unblock", user] => Command::Unblock { user: (*user).into() },
        ["startprivate", user] => Command::StartPrivate { user: (*user).into(), link: None },
        ["startprivate", user, name, options @ ..] => {
            let file = option(options, "file=").map(hash);
            let purpose = file.map_or(Purpose::Talk, Purpose::File);
            let link = Some(NewLink { name: link(name), purpose });
            Command::StartPrivate { user: (*user).into(), link }
        }
        ["answer_private", name, "accept", card] => Command::AnswerPrivate {
            link: link(name),
            answer: LinkAnswer::Accept { card: (*card).into() },
        },
        ["answer_private", name, reason] => {
            let answer = LinkAnswer::Decline(LinkReason::parse(reason).unwrap());
            Command::AnswerPrivate { link: link(name), answer }
        }
        ["private_card", name, card] => {
            Command::PrivateCard { link: link(name), card: (*card).into() }
        }
        ["end_private", name] => Command::EndPrivate { link: link(name) },
        ["relay", end, options @ ..] => Command::Relay {
            endpoint: EndpointKey([end.parse().unwrap(); 32]),
            ticket: option(options, "ticket=")
                .map(|ticket| RelayTicket::new([ticket.parse().unwrap(); 32])),
        },
        ["share", file, size, name, options @ ..] => Command::Share(Share {
            hash: hash(file),
            size: size.parse().unwrap(),
            name: SharedName::new(name).unwrap(),
            with: option(options, "with=").map(|with| with.split(',').map(Into::into).collect()),
            signature: Signature(
                [option(options, "signature=").map_or(0, |text| text.parse().unwrap()); 64],
            ),
        }),
        ["unshare", file] => Command::Unshare { hash: hash(file) },
        ["shares"] => Command::Shares,
        ["search_files", words @ ..] => Command::SearchFiles { words: words.join(" ").into() },
        ["sources", file] => Command::Sources { hash: hash(file) },
        ["have", file, parts] => Command::Have { hash: hash(file), parts: (*parts).into() },
        ["whoelse"] => Command::Whoelse,
        ["whoelsesince", seconds] => {
            Command::WhoelseSince { since_ms: seconds.parse::<u64>().unwrap().saturating_mul(1000) }
        }
        ["ack", number] => Command::Ack { number: number.parse().unwrap() },
        ["active"] => Command::Active,
        ["logout", options @ ..] => Command::Logout { forget: options.contains(&"forget") },
        ["challenge"] => Command::Challenge,
        ["invitation", options @ ..] => Command::Invitation { invite: secret(options) },
        ["invite", role, ..] => Command::Invite { role: Role::parse(role).unwrap() },
        ["invites"] => Command::Invites,
        ["revoke_invite", number] => Command::RevokeInvite { number: number.parse().unwrap() },
        ["devices"] => Command::Devices,
        ["revoke_device", name] => Command::RevokeDevice { name: (*name).into() },
        ["passwd", old, new] => Command::Passwd(Passwd { old: (*old).into(), new: (*new).into() }),
        ["receipts", ids @ ..] => {
            Command::Receipts { ids: ids.iter().filter_map(|id| RequestId::new(id)).collect() }
        }
        ["lock", user] => Command::Lock { user: (*user).into() },
        ["unlock", user] => Command::Unlock { user: (*user).into() },
        _ => panic!("no such input: {words:?}"),
    }
}

fn link(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

fn hash(text: &str) -> FileHash {
    FileHash([text.parse().unwrap(); 32])
}

fn words(event: &Event) -> String {
    match event {
        Event::Broadcast { from, message } => format!("broadcast by {from}: {message}"),
        Event::LoggedIn { name } => format!("{name} logged in"),
        Event::LoggedOut { name } => format!("{name} logged out"),
        Event::Delivered { user, keys } => {
            let ids: Vec<String> = keys.iter().map(|key| id_of(*key)).collect();
            format!("delivered to {user}: {}", ids.join(" "))
        }
        Event::PrivateRequest { from, link, purpose, device_name, .. } => {
            let (link, file) =
                (link.as_str(), purpose.file().map(|file| format!(" {}", file.0[0])));
            let purpose = purpose.as_str().to_owned() + &file.unwrap_or_default();
            format!("{from} asks for link {link} to {purpose}, from {device_name}")
        }
        Event::PrivateAnswer { from, link, answer } => {
            let answer = match answer {
                Ok(card) => format!("accepted with {card}"),
                Err(reason) => reason.as_str().to_owned(),
            };
            format!("{from} on link {}: {answer}", link.as_str())
        }
        Event::PrivateCard { from, link, card } => {
            format!("{from} on link {}: card {card}", link.as_str())
        }
        Event::PrivateEnded { from, link, reason } => {
            format!("link {} with {from} ended: {}", link.as_str(), reason.as_str())
        }
        Event::Timeout => "timeout".into(),
        Event::TakenOver => "taken over".into(),
        Event::Ended(reason) => format!("ended {}", reason.as_str()),
        Event::Malformed(_) => unreachable!("the engine sees requests only"),
        Event::Answer(answer) => {
            let id = answer.id.as_ref().map_or(String::new(), |id| format!(" [{}]", id.as_str()));
            let outcome = match &answer.outcome {
                Outcome::Refused(refusal) => {
                    let status = refusal.status(answer.action);
                    let sentence = refusal.sentence(answer.action);
                    format!("{status} \"{sentence}\"")
                }
                outcome => outcome_words(outcome),
            };
            format!("{}{id} {outcome}", answer.action.as_str())
        }
    }
}

/// The id behind the key of a receipt; transcripts use letters and small numbers.
fn id_of(key: ReceiptKey) -> String {
    let letters = ('a'..='z').map(String::from);
    letters
        .chain((1..1000).map(|number: u32| number.to_string()))
        .find(|id| RequestId::new(id).is_some_and(|id| ReceiptKey::of(&id) == key))
        .unwrap_or_else(|| key.to_string())
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "SUCCESS".into(),
        Outcome::Asked { user, link, device_name, accepts, .. } => {
            let link = link.as_str();
            let whose = if *accepts { "which is theirs and to be accepted" } else { "asked" };
            format!("SUCCESS: {user} at {device_name}, link {link}, {whose}")
        }
        Outcome::Welcome { protocol, server, acknowledged, role, failed_logins, device } => {
            let mut words = format!(
                "Welcome {{ protocol: {protocol:?}, server: {server:?}, acknowledged: {acknowledged}"
            );
            if *role != Role::Member {
                write!(words, ", role: {role:?}").unwrap();
            }
            if *failed_logins > 0 {
                write!(words, ", failed_logins: {failed_logins}").unwrap();
            }
            if let Some(device) = device {
                write!(words, ", device: {device}").unwrap();
            }
            words + " }"
        }
        Outcome::Nonce(_) => "a nonce".into(),
        Outcome::Receipts { delivered, unknown } => {
            let words = |ids: &[RequestId]| {
                let ids: Vec<&str> = ids.iter().map(RequestId::as_str).collect();
                ids.join(" ")
            };
            format!("delivered [{}], unknown [{}]", words(delivered), words(unknown))
        }
        Outcome::Invitation { role, by, expires_in_ms } => {
            let by = by.as_ref().map_or("the operator", Name::as_str);
            format!("for a new {}, by {by}, {} s left", role.as_str(), expires_in_ms / 1000)
        }
        Outcome::Invited { number, role, expires_in_ms, .. } => {
            format!("invited {number}, a new {}, {} s left", role.as_str(), expires_in_ms / 1000)
        }
        Outcome::Invites(invites) => shown_invites(invites),
        Outcome::Shares(files) => shown(files.iter().map(|file| {
            let (number, size, sources) = (file.hash.0[0], file.size, file.sources);
            let with = shown_scope(&file.with);
            format!("{number} {} of {size} with {with}, sources {sources}", file.name)
        })),
        Outcome::Found { files, more } => {
            let files = shown(files.iter().map(|file| {
                let (number, size, sources) = (file.hash.0[0], file.size, file.sources);
                let (from, device, with) = (&file.from, &file.device_name, shown_scope(&file.with));
                let by = format!("by {from} at {device} ({}) with {with}", file.signature.0[0]);
                format!("{number} {} of {size} {by}, sources {sources}", file.name)
            }));
            files + if *more { " and more" } else { "" }
        }
        Outcome::Sources(sources) => shown(
            sources
                .iter()
                .map(|it| format!("{} at {} has {:?}", it.user, it.device_name, it.parts)),
        ),
        Outcome::Devices(devices) => {
            let devices: Vec<String> = devices
                .iter()
                .map(|device| {
                    let this = if device.is_this { " (this)" } else { "" };
                    let used_s = (device.used_ms - device.added_ms) / 1000;
                    format!("{}{this} used {used_s} s after it was added", device.name)
                })
                .collect();
            if devices.is_empty() { "none".into() } else { devices.join(", ") }
        }
        other => format!("{other:?}"),
    }
}

fn shown(things: impl Iterator<Item = String>) -> String {
    let things: Vec<String> = things.collect();
    if things.is_empty() { "none".into() } else { things.join("; ") }
}

fn shown_scope(scope: &Scope) -> String {
    let names = scope.names().map(|names| names.iter().map(Name::as_str).collect::<Vec<_>>());
    names.map_or_else(|| "everyone".into(), |names| names.join(" "))
}

fn shown_invites(invites: &[OpenInvite]) -> String {
    let shown = |invite: &OpenInvite| {
        let by = invite.by.as_ref().map_or("the operator", Name::as_str);
        let (number, seconds) = (invite.number, invite.expires_in_ms / 1000);
        format!("{number}: a new {} by {by}, {seconds} s left", invite.role.as_str())
    };
    let invites: Vec<String> = invites.iter().map(shown).collect();
    if invites.is_empty() { "none".into() } else { invites.join("; ") }
}

fn play(path: &Path) -> Result<(), String> {
    let script = std::fs::read_to_string(path).unwrap();
    let mut world = World::new();
    let mut played = String::new();
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        played.push_str(line);
        played.push('\n');
        if !line.starts_with('#') {
            world.line(line);
            played.push_str(&std::mem::take(&mut world.said));
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &played).unwrap();
    }
    if played == script {
        return Ok(());
    }
    let name = path.file_name().unwrap().to_string_lossy();
    for (number, (expected, got)) in script.lines().zip(played.lines()).enumerate() {
        if expected != got {
            let number = number + 1;
            return Err(format!("{name}:{number}\n  expected {expected}\n  got      {got}"));
        }
    }
    Err(format!("{name}: lengths differ"))
}

#[test]
fn every_rule_holds_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "the transcripts are there");
    let faults: Vec<String> = paths.iter().filter_map(|path| play(path).err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether a guess is answered sooner for a name that nobody has would tell who is here.
#[test]
fn a_guess_waits_for_the_disk_whether_or_not_somebody_has_the_name() {
    for name in ["hans", "nobody"] {
        let mut world = World::new();
        world.line("people hans");
        world.line("a connects");
        let before = world.records.len();
        world.line(&format!("a login {name} wrong"));
        let written = &world.records[before..];
        assert!(written.len() == 1 && !written[0].is_lazy(), "{name}: {written:?}");
    }
}
