//! A client whose server, person, screen and line do anything in any order.
//!
//! It never panics, asks for no time in the past it was told of, and acknowledges no mail that was
//! not shown.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_client::core::{Action, Config, Link};
use whoelse_client::links::LinkOptions;
use whoelse_client::log::Remembered;
use whoelse_client::profile::Device;
use whoelse_client::{Command, Core, Loss, Notice, Security, Tell, Trouble};
use whoelse_proto::codec::{self, Incoming};
use whoelse_proto::{Fingerprint, InviteSecret, Nonce, Password, Place, request};

use crate::choices::Choices;

/// Most steps of one run.
const STEPS_MAX: usize = 300;

/// Lets happen what the bytes say.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let config = Config {
        interactive: choices.truth(),
        takeover: choices.truth(),
        invite: (choices.below(4) == 0).then(|| InviteSecret::new([3; 16])),
        place: Place { host: "localhost".into(), port: 12346 },
        device_name: "laptop".into(),
        vouch: None,
        links: LinkOptions::default(),
    };
    let mut world = World {
        core: Core::new(config, *b"0123456789abcdef"),
        now_ms: 1_000,
        line: Line::None,
        is_strange: false,
        asked: None,
        told: BTreeMap::new(),
        last_told: 0,
        shown: BTreeSet::new(),
        floor: 0,
    };
    world.act();
    for _ in 0..STEPS_MAX {
        if choices.is_over() || world.core.ending().is_some() {
            break;
        }
        world.step(&mut choices);
        world.act();
    }
    world.core.handle_interrupt();
    world.act();
    assert!(world.core.ending().is_some() && world.core.deadline().is_none());
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    None,
    Opening,
    Open,
}

/// All around the client, and what it must not go beyond.
struct World {
    core: Core,
    now_ms: u64,
    line: Line,
    /// The person has yet to say whether to trust the server.
    is_strange: bool,
    /// The number of the mail that is being handed in.
    asked: Option<u64>,
    /// Numbers of mail that was told, by their places in the order of what was told.
    told: BTreeMap<u64, u64>,
    last_told: u64,
    /// Numbers of mail that was shown.
    shown: BTreeSet<u64>,
    /// Up to here a server said that all was acknowledged.
    floor: u64,
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let now_ms = self.now_ms;
        match choices.below(16) {
            0 if self.line == Line::Opening => {
                self.line = Line::None;
                self.core.handle_connect_failed(now_ms, Trouble::Refused);
            }
            0 | 1 if self.line == Line::Opening => {
                self.line = Line::Open;
                if choices.below(4) == 0 {
                    self.is_strange = true;
                    self.core.handle_stranger(Fingerprint([5; 32]));
                } else {
                    self.core.handle_connected(now_ms, link(choices));
                }
            }
            // Nothing is heard of a server before it is trusted.
            2 if self.is_strange => {
                self.is_strange = false;
                self.core.handle_trust(choices.below(4) > 0);
            }
            0..=15 if self.is_strange => {}
            0 if self.line == Line::Open => {
                self.line = Line::None;
                let loss = [Loss::Closed, Loss::Garbage, Loss::NoAnswer];
                self.core.handle_disconnected(now_ms, loss[choices.below(3)].clone());
            }
            1 if self.line == Line::Open => {
                self.line = Line::None;
                self.core.handle_garbage(now_ms);
            }
            2 => match choices.below(4) {
                0 => self.core.handle_name(typed(choices)),
                1 => {
                    let device = choices.truth().then(|| Device::new([7; 32]));
                    self.core.handle_device(now_ms, device, choices.truth());
                }
                2 => self.core.handle_password(now_ms, Password::from("a secret")),
                _ => self.core.handle_not_kept("no room".into()),
            },
            3 | 4 => self.core.handle_command(now_ms, command(choices)),
            5 => {
                let until = self.last_told.min(choices.any_number());
                self.show(until);
            }
            6 => self.show(self.last_told),
            7 => {
                self.now_ms += choices.any_number() % 1_000_000;
                self.core.tick(self.now_ms);
            }
            8 => {
                if let Some(deadline) = self.core.deadline() {
                    // Someone who says "in a very long time" is not waited for.
                    self.now_ms = self.now_ms.max(deadline.min(self.now_ms + 10_000_000));
                    self.core.tick(self.now_ms);
                }
            }
            9 if choices.below(8) == 0 => self.core.handle_end_of_input(now_ms),
            _ if self.line == Line::Open => self.hear(choices),
            _ => {}
        }
    }

    /// What the client wants done is done at once.
    fn act(&mut self) {
        while let Some(action) = self.core.next_action() {
            match action {
                Action::Connect => {
                    assert!(self.line == Line::None, "one line at a time");
                    self.line = Line::Opening;
                }
                Action::Disconnect => self.line = Line::None,
                Action::Send(bytes) => self.check_sent(&bytes),
                Action::OpenProfile { .. } => {
                    self.core.handle_log(Ok(Remembered::default()));
                }
                Action::Keep { batch, .. } if batch % 8 == 7 => {
                    self.core.handle_keep_failed(self.now_ms, batch, "no room".into());
                }
                Action::Keep { batch, .. } => self.core.handle_kept(self.now_ms, batch),
                // What came of these is told at some time, or never.
                Action::Peer(_)
                | Action::KeepPeers(_)
                | Action::KeepSeed(_)
                | Action::Unencrypted(_) => {}
                Action::Trust | Action::KeepDevice | Action::Look { .. } | Action::ForgetDevice => {
                }
            }
        }
        while let Some(told) = self.core.next_told() {
            assert_eq!(told.sequence, self.last_told + 1, "the order has no gaps");
            self.last_told = told.sequence;
            if let (Tell::Notice(Notice::Message { .. }), Some(number)) = (&told.tell, self.asked) {
                self.told.insert(told.sequence, number);
            }
        }
        self.asked = None;
        assert!(!self.core.has_told());
    }

    fn check_sent(&self, bytes: &[u8]) {
        let request = codec::decode(bytes).unwrap_or_else(|why| panic!("no request: {why:?}"));
        if let request::Command::Ack { number } = request.command {
            let new = number.saturating_sub(self.floor);
            assert!(new <= self.shown.len() as u64, "{number} was never shown");
            for number in self.floor + 1..=number {
                assert!(self.shown.contains(&number), "{number} was never shown");
            }
        }
    }

    fn show(&mut self, until: u64) {
        let shown = self.told.range(..=until).map(|(_, number)| *number);
        self.shown.extend(shown);
        self.core.handle_shown(self.now_ms, until);
    }

    fn hear(&mut self, choices: &mut Choices<'_>) {
        let mut incoming = match choices.below(8) {
            0 => Incoming::decode(choices.bytes()).unwrap_or_default(),
            _ => said(choices),
        };
        match incoming.action.as_str() {
            "login" | "resume" | "join" => {
                self.floor = self.floor.max(incoming.acknowledged.unwrap_or(0));
            }
            "receive_message" => self.asked = incoming.number,
            _ => {}
        }
        if choices.below(16) == 15 {
            incoming.protocol = None;
        }
        self.core.handle_incoming(self.now_ms, incoming);
        self.act();
        self.core.tick(self.now_ms);
    }
}

fn said(choices: &mut Choices<'_>) -> Incoming {
    const ACTIONS: [&str; 16] = [
        "login",
        "challenge",
        "resume",
        "join",
        "invitation",
        "receive_message",
        "receive_message",
        "receive_message",
        "message",
        "whoelse",
        "logout",
        "timeout",
        "receive_broadcast",
        "login_broadcast",
        "error",
        "ended",
    ];
    const STATUS: [&str; 12] = [
        "RESUME_REFUSED",
        "LOCKED",
        "SLOW_DOWN",
        "INVITE_INVALID",
        "SUCCESS",
        "SUCCESS",
        "SUCCESS",
        "INVALID_PASSWORD",
        "BLOCKED",
        "BUSY",
        "ALREADY_LOGGED_IN",
        "USER_NOT_EXIST",
    ];
    let action = choices.one_of(&ACTIONS);
    let mut incoming = Incoming { action: action.to_owned(), ..Incoming::default() };
    match action {
        "challenge" => {
            incoming.status = Some(choices.one_of(&STATUS).to_owned());
            incoming.nonce = choices.truth().then(|| Nonce([9; 32]).to_string());
        }
        "login" | "resume" | "join" => {
            incoming.status = Some(choices.one_of(&STATUS).to_owned());
            incoming.protocol = Some(1);
            incoming.server = Some(choices.one_of(&["one", "other"]).to_owned());
            incoming.acknowledged = Some(choices.any_number() / 16);
            incoming.retry_after = choices.truth().then(|| choices.any_number());
        }
        "receive_message" => {
            incoming.from = Some("luke".into());
            incoming.message = Some("text".into());
            incoming.number = Some(choices.any_number() / 16);
        }
        _ => {
            incoming.from = Some("luke".into());
            incoming.status = Some(choices.one_of(&STATUS).to_owned());
            incoming.message = Some(choices.text());
            // As the client makes them: of this run, counted from 1.
            let id = format!("30313233343536373839616263646566-{}", choices.byte());
            incoming.id = choices.truth().then_some(id);
        }
    }
    incoming
}

/// How a line may be.
fn link(choices: &mut Choices<'_>) -> Link {
    let key = Fingerprint([5; 32]);
    match choices.below(3) {
        0 => Link { security: Security::Known, key: Some(key), loopback: choices.truth() },
        1 => Link { security: Security::FirstContact { key }, key: Some(key), loopback: true },
        _ => Link { security: Security::Plain, key: None, loopback: true },
    }
}

/// What a person can type.
fn typed(choices: &mut Choices<'_>) -> String {
    choices.text().replace('\0', " ")
}

fn command(choices: &mut Choices<'_>) -> Command {
    let user = choices.one_of(&["luke", "hans", "", "\u{1b}"]).to_owned();
    match choices.below(10) {
        0..=2 => Command::Message { user, text: typed(choices) },
        3 => Command::Broadcast { text: typed(choices).repeat(choices.below(300)) },
        4 => Command::Block { user },
        5 => Command::Whoelse,
        6 => Command::WhoelseSince { seconds: choices.any_number() },
        7 => Command::Private { user, text: typed(choices) },
        8 => Command::StartPrivate { user, unencrypted: true },
        _ => match choices.below(8) {
            0 => Command::Logout,
            _ => Command::Unblock { user },
        },
    }
}
