//! Scenarios: what a server says and a person types, and what comes of it.

mod absent;
mod answers;
mod devices;
mod files;
mod invites;
mod keeping;
mod leaving;
mod links;
mod links_lies;
mod links_world;
mod login;
mod mail;
mod original;
mod reconnecting;
mod swarm;
mod swarm_gets;
mod swarm_order;
mod swarm_sources;
mod unencrypted;

use whoelse_proto::Password;
use whoelse_proto::codec::Incoming;

use super::*;
use crate::command::Passwords;
use crate::notice::LoginRefusal;

const WELCOME: &str =
    r#"{"action":"login","status":"SUCCESS","protocol":1,"server":"s1","acknowledged":0}"#;
const ORIGINAL_WELCOME: &str = r#"{"action":"login","status":"SUCCESS"}"#;

/// An encrypted connection to a server that was known.
const LINK: Link = Link { security: Security::Known, key: Some(SERVER), loopback: false };
const SERVER: Fingerprint = Fingerprint([1; 32]);

fn config(interactive: bool) -> Config {
    let place = Place { host: "chat.example".into(), port: 443 };
    let device_name = "laptop".into();
    let (vouch, links) = (None, LinkOptions::default());
    Config { interactive, takeover: false, invite: None, place, device_name, vouch, links }
}

/// A client under test, its clock, and a screen that shows everything at once unless told not to.
struct Client {
    core: Core,
    now_ms: u64,
    shows: bool,
    /// Makes the device that its profile holds.
    seed: Option<[u8; 32]>,
    /// That device was there before.
    kept: bool,
    /// What was kept in the log of its profile, if it has one.
    log: Option<Vec<Entry>>,
    /// The disk below that log does what it is told, at once.
    keeps: bool,
}

impl Client {
    fn new(interactive: bool) -> Self {
        Self::of(config(interactive))
    }

    fn of(config: Config) -> Self {
        let core = Core::new(config, *b"0123456789abcdef");
        let mut client = Self {
            core,
            now_ms: 1_000,
            shows: true,
            seed: None,
            kept: false,
            log: None,
            keeps: true,
        };
        assert_eq!(client.done(), ["connect"]);
        client
    }

    /// A person at a terminal.
    fn person() -> Self {
        Self::new(true)
    }

    /// A script, with nobody to ask.
    fn script() -> Self {
        Self::new(false)
    }

    /// With a profile that holds a device, which was `kept` there or is new.
    fn with_device(mut self, kept: bool) -> Self {
        self.seed = Some([7; 32]);
        self.kept = kept;
        self
    }

    fn connects(&mut self) {
        self.core.handle_connected(self.now_ms, LINK);
    }

    /// Logged in as hans, with nothing left over from that.
    fn logged_in(mut self, welcome: &str) -> Self {
        self.connects();
        self.types_password("secret");
        self.hears(welcome);
        self.done();
        self.told();
        self
    }

    fn types_name(&mut self, name: &str) {
        self.core.handle_name(name.into());
        let wanted = Some(Action::OpenProfile { name: name.into() });
        assert_eq!(self.core.actions.pop_back(), wanted);
        let device = self.seed.map(Device::new);
        self.core.handle_device(self.now_ms, device, self.kept);
    }

    /// Types the password, after the name if that is not known.
    fn types_password(&mut self, password: &str) {
        if self.core.name().is_none() {
            self.types_name("hans");
        }
        self.core.handle_password(self.now_ms, Password::from(password));
    }

    fn wants(&mut self, command: Command) {
        self.core.handle_command(self.now_ms, command);
    }

    fn messages(&mut self, user: &str, text: &str) {
        self.wants(Command::Message { user: user.into(), text: text.into() });
    }

    fn hears(&mut self, json: &str) {
        self.core.handle_incoming(self.now_ms, Incoming::decode(json.as_bytes()).unwrap());
        self.core.tick(self.now_ms);
    }

    fn loses_the_line(&mut self) {
        self.core.handle_disconnected(self.now_ms, Loss::Closed);
    }

    /// Waits until it connects again.
    fn waits_for_connect(&mut self) {
        while self.done() != ["connect"] {
            self.waits_for_deadline();
        }
    }

    fn waits_for_deadline(&mut self) {
        self.now_ms = self.now_ms.max(self.core.deadline().expect("nothing to wait for"));
        self.core.tick(self.now_ms);
    }

    fn waits(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.core.deadline().is_some_and(|at_ms| at_ms <= until_ms) {
            self.waits_for_deadline();
        }
        self.now_ms = until_ms;
        self.core.tick(self.now_ms);
    }

    /// What it does: what it sends as JSON, without line ends.
    fn done(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(action) = self.core.next_action() {
            if let Action::Keep { batch, entries } = &action {
                let log = self.log.as_mut().expect("there is a log");
                log.extend(entries.iter().cloned());
                if self.keeps {
                    self.core.handle_kept(self.now_ms, *batch);
                    continue;
                }
            }
            done.push(match action {
                Action::Connect => "connect".to_owned(),
                Action::Disconnect => "disconnect".to_owned(),
                Action::Trust => "trust".to_owned(),
                Action::OpenProfile { name } => format!("profile {name}"),
                Action::KeepDevice => "keep the device".to_owned(),
                Action::ForgetDevice => "forget the device".to_owned(),
                Action::Keep { entries, .. } => format!("keep {}", keeping::said(&entries)),
                Action::Look { command } => format!("look for {}", command.word()),
                Action::Peer(order) => format!("{order:?}"),
                Action::Unencrypted(order) => format!("{order:?}"),
                Action::KeepSeed(yes) => format!("keep the seed {yes}"),
                Action::KeepPeers(_) => "keep the peers".to_owned(),
                Action::Send(bytes) => {
                    String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned()
                }
            });
        }
        done
    }

    /// What it tells and asks.
    fn told(&mut self) -> Vec<Tell> {
        let mut tells = Vec::new();
        while let Some(told) = self.core.next_told() {
            tells.push(told.tell);
            if self.shows {
                self.core.handle_shown(self.now_ms, told.sequence);
            }
        }
        tells
    }

    fn notices(&mut self) -> Vec<Notice> {
        self.told()
            .into_iter()
            .map(|tell| match tell {
                Tell::Notice(notice) => notice,
                Tell::Question(question) => panic!("asked for {question:?}"),
            })
            .collect()
    }
}

fn distrusted(distrust: Distrust) -> Ending {
    Ending::Distrusted { place: config(true).place, distrust }
}

fn mail(number: u64) -> String {
    format!(
        r#"{{"action":"receive_message","from":"luke","message":"m{number}","number":{number},"id":"x","at":"2026-01-01T00:00:00.000Z"}}"#
    )
}

/// The texts of messages among notices.
fn texts(notices: &[Notice]) -> Vec<&str> {
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Message { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn id_of(frame: &str) -> String {
    Incoming::decode(frame.as_bytes()).unwrap().id.expect("the request has an id")
}

fn message(user: &str, text: &str) -> Command {
    Command::Message { user: user.into(), text: text.into() }
}

fn answered(command: Command, answer: Answer) -> Notice {
    Notice::Answered { command, answer }
}
