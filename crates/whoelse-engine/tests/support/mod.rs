//! An engine whose passwords are checked at once, and what it says to whom.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::net::IpAddr;
use std::sync::Arc;

use whoelse_engine::{
    AccountId, Aid, ConnectionId, Effect, Engine, Input, Now, Order, PasswordHash, Rules, Snapshot,
    Time, Turn,
};
use whoelse_proto::event::Meeting;
use whoelse_proto::{
    Command, Device, DeviceKey, Event, Fingerprint, InviteSecret, Login, Name, Nonce, Outcome,
    Request, RequestId, Resume, Role, Signature,
};

/// A Sunday in November 2026.
pub(crate) const START_MS: u64 = 1_795_000_000_000;

/// An engine, a clock, and a hasher to which a hash is the password itself.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: u64,
    /// Password checks that were asked for: when, and of which account.
    pub(crate) checks: Vec<(u64, Option<AccountId>)>,
    /// Whether checks wait for ever.
    pub(crate) holds_checks: bool,
    connections: u64,
    invites: u64,
}

/// Something said to a connection, or done to it.
pub(crate) struct Said {
    pub(crate) to: ConnectionId,
    /// The status, if it is an answer.
    pub(crate) status: Option<&'static str>,
    /// All of it.
    pub(crate) words: String,
}

impl Bench {
    pub(crate) fn new(rules: Rules) -> Self {
        let engine = Engine::new(rules, "server".into(), &Snapshot::default());
        Self {
            engine,
            now: START_MS,
            checks: Vec::new(),
            holds_checks: false,
            connections: 0,
            invites: 0,
        }
    }

    /// Adds a person whose password is `right`.
    pub(crate) fn add(&mut self, name: &str, role: Role) {
        let (ticket, name, distinct) = (0, Name::new(name).unwrap(), false);
        let password = Some(PasswordHash("right".into()));
        self.input(Input::AddAccount { ticket, name, password, distinct, role });
    }

    pub(crate) fn connect(&mut self, address: &str) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let address: IpAddr = address.parse().unwrap();
        self.input(Input::Connected { connection, address });
        connection
    }

    pub(crate) fn drop(&mut self, connection: ConnectionId) -> Vec<Said> {
        self.input(Input::Disconnected { connection })
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.input(Input::Order { ticket: 0, order });
    }

    /// Lets time pass, and all that is due happen.
    pub(crate) fn pass(&mut self, milliseconds: u64) -> Vec<Said> {
        let end = self.now + milliseconds;
        let mut said = Vec::new();
        while let Some(due) = self.engine.deadline().filter(|due| due.0 <= end) {
            self.now = self.now.max(due.0);
            said.extend(self.input(Input::Tick));
        }
        self.now = end;
        said
    }

    pub(crate) fn ask(&mut self, connection: ConnectionId, command: Command<'_>) -> Vec<Said> {
        self.ask_as(None, connection, command)
    }

    /// Asks under an id.
    pub(crate) fn ask_as(
        &mut self,
        id: Option<RequestId>,
        connection: ConnectionId,
        command: Command<'_>,
    ) -> Vec<Said> {
        let aid = match &command {
            Command::Challenge => Aid::Challenge(Nonce([1; 32])),
            Command::Resume(resume) => Aid::Proof(resume.signature.0[0] == 1),
            Command::Invite { .. } => {
                self.invites += 1;
                let mut bytes = [0xff; 16];
                bytes[..8].copy_from_slice(&self.invites.to_le_bytes());
                Aid::Invite { secret: InviteSecret::new(bytes), meeting: meeting() }
            }
            _ => Aid::None,
        };
        self.input(Input::Request { connection, request: Request { id, command }, aid })
    }

    /// Asks, and says with what status that is answered; nothing if it is not.
    pub(crate) fn status(&mut self, connection: ConnectionId, command: Command<'_>) -> String {
        let said = self.ask(connection, command);
        let answer = said.iter().filter(|said| said.to == connection).find_map(|said| said.status);
        answer.unwrap_or_default().to_owned()
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Vec<Said> {
        let now = Now { time: Time(self.now), wall_ms: self.now };
        let mut turn = Turn::default();
        self.engine.handle(now, input, &mut turn);
        let mut said = Vec::new();
        for effect in turn.effects {
            match effect {
                Effect::Check { ticket, account, hash, password } => {
                    self.checks.push((self.now, account));
                    let matches = hash.is_some_and(|hash| *hash.0 == *password.expose());
                    if !self.holds_checks {
                        said.extend(self.input(Input::Checked { ticket, matches }));
                    }
                }
                Effect::Hash { ticket, password } => {
                    let hash = PasswordHash(password.expose().into());
                    said.extend(self.input(Input::Hashed { ticket, hash }));
                }
                Effect::Send { to, event } => said.push(Said::event(to, &event)),
                Effect::SendMany { to, event } => {
                    said.extend(to.iter().map(|to| Said::event(*to, &event)));
                }
                Effect::Begin { connection, acknowledged, last, .. } => {
                    said.push(Said::done(connection, format!("mail {acknowledged:?} {last:?}")));
                }
                Effect::Mail { to, last } => said.push(Said::done(to, format!("mail {last:?}"))),
                Effect::Close { connection } => said.push(Said::done(connection, CLOSED.into())),
                Effect::Admit { .. }
                | Effect::Expel { .. }
                | Effect::Ordered { .. }
                | Effect::Added { .. } => {}
            }
        }
        said
    }
}

/// The connection was closed.
pub(crate) const CLOSED: &str = "closed";

impl Said {
    fn done(to: ConnectionId, words: String) -> Self {
        Self { to, status: None, words }
    }

    fn event(to: ConnectionId, event: &Event) -> Self {
        let status = match event {
            Event::Answer(answer) => Some(match &answer.outcome {
                Outcome::Refused(refusal) => refusal.status(answer.action),
                _ => "SUCCESS",
            }),
            _ => None,
        };
        Self { to, status, words: format!("{event:?}") }
    }
}

pub(crate) fn secret(number: u8) -> InviteSecret {
    InviteSecret::new([number; 16])
}

fn meeting() -> Meeting {
    let place = Arc::new("localhost:12346".parse().unwrap());
    Meeting { place, is_guessed: true, key: Fingerprint([0; 32]) }
}

/// A login in our protocol; with a device if its number is not 0.
pub(crate) fn login<'a>(name: &'a str, password: &'a str, device: u8) -> Command<'a> {
    Command::Login(Login {
        username: name.into(),
        password: password.into(),
        private_port: 0,
        protocol: Some(1),
        instance: None,
        takeover: false,
        device: (device > 0)
            .then(|| Device { key: DeviceKey([device; 32]), name: "device".into() }),
        receipts: true,
        links: device > 0,
    })
}

/// A resume with a right proof.
pub(crate) fn resume(name: &str, device: u8) -> Command<'_> {
    Command::Resume(Resume {
        username: name.into(),
        key: DeviceKey([device; 32]),
        signature: Signature([1; 64]),
        protocol: 1,
        instance: None,
        takeover: false,
        receipts: true,
        links: true,
        private_port: 0,
    })
}
