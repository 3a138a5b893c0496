//! Who may do what: every command in every state of a person, and what a blocked one sees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Bench, CLOSED, Said, login, resume, secret};
use whoelse_engine::{AccountId, ConnectionId, Input, Number, Order, Rules};
use whoelse_proto::{
    Action, Command, EndpointKey, FileHash, Join, LinkAnswer, LinkName, LinkReason, Login, NewLink,
    Passwd, Purpose, RelayTicket, RequestId, Role, Share, SharedName, Signature,
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Connected, and nothing more.
    Stranger,
    /// A password of this connection is being checked.
    LoggingIn,
    Member,
    /// A member whom the person the command is about has blocked.
    Blocked,
    /// Locked by an administrator, with a new connection, the right password and a right proof.
    Locked,
    Admin,
    /// Removed, with a new connection.
    Removed,
    /// Its session has ended from outside, and the connection is yet to be closed.
    Expelled,
}

const STATES: [State; 8] = [
    State::Stranger,
    State::LoggingIn,
    State::Member,
    State::Blocked,
    State::Locked,
    State::Admin,
    State::Removed,
    State::Expelled,
];

const OK: &str = "SUCCESS";
const OUT: &str = "NOT_LOGGED_IN";
const IN: &str = "ALREADY_LOGGED_IN";
const NO: &str = "NOT_ALLOWED";
const BAD: &str = "BAD_REQUEST";
/// Not answered.
const NONE: &str = "";

/// A command about `target`, and what comes of it in each of [`STATES`].
struct Row {
    command: Command<'static>,
    expected: [&'static str; 8],
}

fn row(command: Command<'static>, expected: [&'static str; 8]) -> Row {
    Row { command, expected }
}

/// A command that only needs a session.
fn for_all(command: Command<'static>) -> Row {
    row(command, [OUT, OUT, OK, OK, OUT, OK, OUT, NONE])
}

/// A command for administrators.
fn for_admins(command: Command<'static>) -> Row {
    row(command, [OUT, OUT, NO, NO, OUT, OK, OUT, NONE])
}

/// A command in a session with one answer for everybody in one.
fn alike(command: Command<'static>, status: &'static str) -> Row {
    row(command, [OUT, OUT, status, status, OUT, status, OUT, NONE])
}

/// The rows of a command. A new command does not compile without.
#[expect(clippy::too_many_lines, reason = "a table")]
fn rows(action: Action) -> Vec<Row> {
    let target = || "target".into();
    match action {
        Action::Login => vec![
            row(login("me", "right", 0), [OK, BAD, IN, IN, "LOCKED", IN, "INVALID_PASSWORD", NONE]),
            row(login("me", "wrong", 0), {
                let wrong = "INVALID_PASSWORD";
                [wrong, BAD, IN, IN, wrong, IN, wrong, NONE]
            }),
        ],
        Action::Message => vec![
            row(Command::Message { user: target(), message: "hello".into() }, {
                [OUT, OUT, OK, "USER_BLOCKED", OUT, OK, OUT, NONE]
            }),
            alike(Command::Message { user: "me".into(), message: "x".into() }, "MESSAGE_SELF"),
            alike(Command::Message { user: "nobody".into(), message: "x".into() }, {
                "USER_NOT_EXIST"
            }),
        ],
        Action::Broadcast => vec![for_all(Command::Broadcast { message: "hello".into() })],
        Action::Block => vec![for_all(Command::Block { user: target() })],
        Action::Unblock => vec![alike(Command::Unblock { user: target() }, "NOT_BLOCKED")],
        Action::Whoelse => vec![for_all(Command::Whoelse)],
        Action::WhoelseSince => vec![for_all(Command::WhoelseSince { since_ms: 1_000 })],
        Action::StartPrivate => vec![
            row(Command::StartPrivate { user: target(), link: None }, {
                [OUT, OUT, OK, "USER_BLOCKED", OUT, OK, OUT, NONE]
            }),
            row(ask_for_link("target", 1), [OUT, OUT, OK, "USER_BLOCKED", OUT, OK, OUT, NONE]),
            row(ask_for_file("target", 1, 8), {
                [OUT, OUT, "FILE_NOT_EXIST", "USER_BLOCKED", OUT, "FILE_NOT_EXIST", OUT, NONE]
            }),
            alike(ask_for_link("me", 1), "USER_SELF"),
            alike(ask_for_link("nobody", 1), "USER_NOT_EXIST"),
        ],
        Action::AnswerPrivate => vec![alike(
            Command::AnswerPrivate { link: link(1), answer: LinkAnswer::Decline(LinkReason::Busy) },
            "LINK_NOT_EXIST",
        )],
        Action::PrivateCard => {
            vec![alike(
                Command::PrivateCard { link: link(1), card: "card".into() },
                "LINK_NOT_EXIST",
            )]
        }
        Action::EndPrivate => vec![for_all(Command::EndPrivate { link: link(1) })],
        Action::Share => vec![
            for_all(share(1, None)),
            alike(share(1, Some("me")), BAD),
            alike(share(1, Some("nobody")), "USER_NOT_EXIST"),
        ],
        Action::Unshare => {
            // The target's, for everybody.
            vec![alike(Command::Unshare { hash: FileHash([9; 32]) }, "FILE_NOT_EXIST")]
        }
        Action::Shares => vec![for_all(Command::Shares)],
        Action::SearchFiles => vec![for_all(Command::SearchFiles { words: "".into() })],
        Action::Sources => vec![
            row(Command::Sources { hash: FileHash([9; 32]) }, {
                [OUT, OUT, OK, "FILE_NOT_EXIST", OUT, OK, OUT, NONE]
            }),
            alike(Command::Sources { hash: FileHash([8; 32]) }, "FILE_NOT_EXIST"),
        ],
        Action::Have => vec![
            row(have(9), [OUT, OUT, OK, "FILE_NOT_EXIST", OUT, OK, OUT, NONE]),
            alike(have(8), "FILE_NOT_EXIST"),
        ],
        Action::Relay => vec![for_all(register(1, true)), for_all(register(1, false))],
        Action::Logout => vec![
            for_all(Command::Logout { forget: false }),
            for_all(Command::Logout { forget: true }),
        ],
        Action::Ack => vec![
            alike(Command::Ack { number: 0 }, NONE),
            alike(Command::Ack { number: 9 }, "BAD_NUMBER"),
        ],
        Action::Receipts => vec![for_all(Command::Receipts {
            ids: vec![RequestId::new("a").expect("one letter is an id")],
        })],
        Action::Active => vec![for_all(Command::Active)],
        Action::Challenge => vec![row(Command::Challenge, [OK, OK, IN, IN, OK, IN, OK, NONE])],
        Action::Resume => vec![
            row(resume("me", 1), [OK, BAD, IN, IN, "LOCKED", IN, "RESUME_REFUSED", NONE]),
            row(resume("me", 2), {
                let refused = "RESUME_REFUSED";
                [refused, BAD, IN, IN, refused, IN, refused, NONE]
            }),
        ],
        Action::Invitation => vec![
            row(Command::Invitation { invite: secret(1) }, [OK, OK, IN, IN, OK, IN, OK, NONE]),
            row(Command::Invitation { invite: secret(9) }, {
                let invalid = "INVITE_INVALID";
                [invalid, invalid, IN, IN, invalid, IN, invalid, NONE]
            }),
        ],
        Action::Join => vec![
            row(join("newcomer"), [OK, BAD, IN, IN, OK, IN, OK, NONE]),
            // Not even the name of somebody removed.
            row(join("me"), {
                let taken = "NAME_TAKEN";
                [taken, BAD, IN, IN, taken, IN, taken, NONE]
            }),
        ],
        Action::Invite => vec![
            for_all(Command::Invite { role: Role::Member }),
            for_admins(Command::Invite { role: Role::Admin }),
        ],
        Action::Invites => vec![for_all(Command::Invites)],
        Action::RevokeInvite => vec![row(Command::RevokeInvite { number: 2 }, {
            // The target's: for others it is as if it were not.
            [OUT, OUT, "INVITE_NOT_EXIST", "INVITE_NOT_EXIST", OUT, OK, OUT, NONE]
        })],
        Action::Devices => vec![for_all(Command::Devices)],
        Action::RevokeDevice => vec![
            for_all(Command::RevokeDevice { name: "device".into() }),
            // Of the target.
            alike(Command::RevokeDevice { name: "tablet".into() }, "DEVICE_NOT_EXIST"),
        ],
        Action::Passwd => vec![
            for_all(passwd("right", "new-password")),
            alike(passwd("wrong", "new-password"), "INVALID_PASSWORD"),
            alike(passwd("right", "short"), "BAD_PASSWORD"),
        ],
        Action::Lock => vec![
            for_admins(Command::Lock { user: target() }),
            row(Command::Lock { user: "nobody".into() }, {
                [OUT, OUT, NO, NO, OUT, "USER_NOT_EXIST", OUT, NONE]
            }),
        ],
        Action::Unlock => vec![for_admins(Command::Unlock { user: target() })],
    }
}

fn link(number: usize) -> LinkName {
    LinkName::new(&format!("link {number}")).expect("it is short")
}

fn ask_for_link(user: &str, number: usize) -> Command<'_> {
    let link = Some(NewLink { name: link(number), purpose: Purpose::Talk });
    Command::StartPrivate { user: user.into(), link }
}

fn ask_for_file(user: &str, number: usize, file: u8) -> Command<'_> {
    let purpose = Purpose::File(FileHash([file; 32]));
    let link = Some(NewLink { name: link(number), purpose });
    Command::StartPrivate { user: user.into(), link }
}

/// A small file, with one person or everyone.
fn share(file: u8, with: Option<&'static str>) -> Command<'static> {
    Command::Share(Share {
        hash: FileHash([file; 32]),
        size: 1,
        name: SharedName::new(&format!("file {file}")).expect("it is short"),
        with: with.map(|name| vec![name.into()]),
        signature: Signature([file; 64]),
    })
}

/// All of a small file.
fn have(file: u8) -> Command<'static> {
    Command::Have { hash: FileHash([file; 32]), parts: "gA".into() }
}

fn register(end: usize, ticket: bool) -> Command<'static> {
    let ticket = ticket.then(|| RelayTicket::new([1; 32]));
    Command::Relay { endpoint: EndpointKey([end as u8; 32]), ticket }
}

fn join(name: &'static str) -> Command<'static> {
    Command::Join(Join {
        invite: secret(1),
        username: name.into(),
        password: "secret-word".into(),
        protocol: 1,
        instance: None,
        device: None,
        receipts: false,
        links: false,
        private_port: 0,
    })
}

fn passwd(old: &'static str, new: &'static str) -> Command<'static> {
    Command::Passwd(Passwd { old: old.into(), new: new.into() })
}

/// An original client, which says where it can be reached.
fn original(name: &str) -> Command<'_> {
    Command::Login(Login {
        username: name.into(),
        password: "right".into(),
        private_port: 5_000,
        protocol: None,
        instance: None,
        takeover: false,
        device: None,
        receipts: false,
        links: false,
    })
}

/// A world with `me` in a state, and the connection that asks.
fn world(state: State) -> (Bench, ConnectionId) {
    let mut bench = Bench::new(Rules::default());
    let role = if matches!(state, State::Admin) { Role::Admin } else { Role::Member };
    bench.add("me", role);
    bench.add("target", Role::Member);
    let (valid_ms, is_first) = (60_000, false);
    bench.order(Order::Invite { secret: secret(1), role: Role::Member, valid_ms, is_first });
    let target = bench.connect("127.0.0.1");
    // It has shared a file before.
    assert_eq!(bench.status(target, login("target", "right", 2)), OK);
    assert_eq!(bench.status(target, share(9, None)), OK);
    bench.ask(target, Command::Logout { forget: false });
    bench.drop(target);
    let target = bench.connect("127.0.0.1");
    assert_eq!(bench.status(target, original("target")), OK);
    assert_eq!(bench.status(target, Command::Invite { role: Role::Member }), OK);
    // Everybody has been here, with a device.
    let mut mine = bench.connect("127.0.0.1");
    assert_eq!(bench.status(mine, login("me", "right", 1)), OK);
    match state {
        State::Member | State::Admin => {}
        State::Blocked => {
            assert_eq!(bench.status(target, Command::Block { user: "me".into() }), OK);
        }
        State::Expelled => bench.order(Order::Lock { name: "me".into() }),
        State::Stranger | State::LoggingIn | State::Locked | State::Removed => {
            bench.ask(mine, Command::Logout { forget: false });
            bench.drop(mine);
            mine = bench.connect("127.0.0.1");
            match state {
                State::Locked => bench.order(Order::Lock { name: "me".into() }),
                State::Removed => bench.order(Order::Remove { name: "me".into() }),
                _ => {}
            }
        }
    }
    if matches!(state, State::LoggingIn) {
        bench.holds_checks = true;
        bench.ask(mine, login("me", "right", 0));
    }
    (bench, mine)
}

#[test]
fn every_command_in_every_state_is_answered_as_written() {
    let mut cells = 0;
    for action in Action::ALL {
        let count = rows(action).len();
        assert!(count > 0, "{action:?} has a row");
        for index in 0..count {
            for (column, state) in STATES.into_iter().enumerate() {
                let (mut bench, connection) = world(state);
                let Row { command, expected } = rows(action).swap_remove(index);
                assert_eq!(command.action(), action, "each command has its own rows");
                let words = format!("{state:?} asks {command:?}");
                let status = bench.status(connection, command);
                assert_eq!(status, expected[column], "{words}");
                bench.engine.check();
                cells += 1;
            }
        }
    }
    assert!(cells >= Action::ALL.len() * STATES.len());
    println!("RELIABILITY authorisation commands={} cells={cells} undefined=0", Action::ALL.len());
}

/// Whoever comes and goes in the two worlds: the blocker only in one of them.
const NAMES: [&str; 4] = ["blocker", "blocked", "carol", "dave"];

/// What people do, the same in both worlds.
#[derive(Clone, Copy, Debug)]
struct Step {
    who: usize,
    other: usize,
    what: u32,
    pause_ms: u64,
}

/// One of two worlds that differ in whether the blocker is there.
struct Half {
    bench: Bench,
    lines: [Option<ConnectionId>; 4],
    /// Who uses an original client: it can be reached directly, and is never away.
    original: usize,
    /// Ids of messages, the newest last.
    ids: Vec<RequestId>,
    /// How many private links were asked for.
    links: usize,
    /// What the blocked person was told, over all its connections.
    transcript: Vec<String>,
}

impl Half {
    fn new(original: usize) -> Self {
        let mut bench = Bench::new(Rules { idle_ms: 300_000, ..Rules::default() });
        for name in NAMES {
            let role = if name == "blocked" { Role::Admin } else { Role::Member };
            bench.add(name, role);
        }
        Self {
            bench,
            lines: [None; 4],
            original,
            ids: Vec::new(),
            links: 0,
            transcript: Vec::new(),
        }
    }

    /// Notes what the blocked person hears, and who has lost its line.
    fn note(&mut self, said: &[Said]) {
        for Said { to, words, .. } in said {
            if self.lines[1] == Some(*to) {
                self.transcript.push(words.clone());
            }
            if words == CLOSED {
                for line in self.lines.iter_mut().filter(|line| **line == Some(*to)) {
                    *line = None;
                }
            }
        }
    }

    fn come(&mut self, who: usize) {
        if self.lines[who].is_none() {
            let line = self.bench.connect("127.0.0.1");
            self.lines[who] = Some(line);
            let said = if who == self.original {
                self.bench.ask(line, original(NAMES[who]))
            } else {
                self.bench.ask(line, login(NAMES[who], "right", 1))
            };
            self.note(&said);
        }
    }

    fn go(&mut self, who: usize, how: u32) {
        let Some(line) = self.lines[who] else { return };
        let said = match how % 2 {
            0 => {
                self.lines[who] = None;
                self.bench.drop(line)
            }
            _ => self.bench.ask(line, Command::Logout { forget: false }),
        };
        self.note(&said);
    }

    fn ask(&mut self, who: usize, command: Command<'_>) {
        let Some(line) = self.lines[who] else { return };
        let said = self.bench.ask(line, command);
        self.note(&said);
    }

    /// Asks for a private link, under a name of its own.
    fn ask_for_link(&mut self, who: usize, user: &str) {
        self.links += 1;
        self.ask(who, ask_for_link(user, self.links));
    }

    /// Goes on with all private links that were asked for lately.
    fn go_on_with_links(&mut self, who: usize, how: u32) {
        for number in self.links.saturating_sub(6)..self.links {
            let link = link(number + 1);
            self.ask(
                who,
                match how % 4 {
                    0 => Command::EndPrivate { link },
                    1 => Command::PrivateCard { link, card: "card".into() },
                    2 => {
                        let answer = LinkAnswer::Decline(LinkReason::Declined);
                        Command::AnswerPrivate { link, answer }
                    }
                    _ => {
                        let answer = LinkAnswer::Accept { card: "card".into() };
                        Command::AnswerPrivate { link, answer }
                    }
                },
            );
        }
    }

    /// A message under an id of its own, to be asked about later.
    fn write(&mut self, who: usize, user: &str) {
        let Some(line) = self.lines[who] else { return };
        let id = RequestId::new(&format!("m{}", self.ids.len())).unwrap();
        self.ids.push(id.clone());
        let command = Command::Message { user: user.into(), message: "hello".into() };
        let said = self.bench.ask_as(Some(id), line, command);
        self.note(&said);
    }

    /// Somebody's device has all its mail.
    fn acknowledge(&mut self, who: usize) {
        let Some(connection) = self.lines[who] else { return };
        let person = self.bench.engine.people().nth(who).unwrap();
        let account = AccountId(who as u32);
        let number = self.bench.engine.acknowledged(account).0 + person.waiting as u64;
        self.bench.input(Input::Sent { connection, number: Number(number) });
        self.ask(who, Command::Ack { number });
    }

    fn step(&mut self, step: Step) {
        let Step { who, other, what, pause_ms } = step;
        let user = || NAMES[other].into();
        match what % 33 {
            26 => self.ask(who, share(other as u8, None)),
            27 => self.ask(who, share(4 + (other % 2) as u8, Some(NAMES[other]))),
            28 => self.ask(who, have((what / 33) as u8 % 6)),
            29 => self.ask(who, Command::Sources { hash: FileHash([(what / 33) as u8 % 6; 32]) }),
            30 => self.ask(who, Command::SearchFiles { words: "file".into() }),
            31 => self.ask(who, Command::Shares),
            32 => {
                self.links += 1;
                self.ask(who, ask_for_file(NAMES[other], self.links, (what / 33) as u8 % 6));
            }
            0 | 1 => self.come(who),
            2 => self.go(who, what / 33),
            3..=6 => self.write(who, NAMES[other]),
            7 => self.ask(who, Command::Broadcast { message: "hello".into() }),
            8 => self.ask(who, Command::Whoelse),
            9 | 10 => self.ask(who, Command::WhoelseSince { since_ms: u64::from(what) * 50 }),
            11 | 12 => self.ask(who, Command::StartPrivate { user: user(), link: None }),
            13 => self.ask(who, Command::Message { user: "bloker".into(), message: "x".into() }),
            14 => self.ask(who, Command::Block { user: "blokker".into() }),
            15 => self.ask(who, Command::Invite { role: Role::Member }),
            16 => self.ask(who, Command::Invites),
            17 => self.ask(who, Command::Devices),
            18 => self.ask(who, Command::Unblock { user: user() }),
            19 | 20 => self.ask_for_link(who, NAMES[other]),
            21 | 22 => self.go_on_with_links(who, what / 33),
            23 => self.ask(who, register(other, what % 4 > 0)),
            _ if self.ids.is_empty() => self.ask(who, Command::Active),
            _ => {
                let ids = self.ids.iter().rev().take(20).cloned().collect();
                self.ask(who, Command::Receipts { ids });
            }
        }
        if what % 3 == 0 {
            self.acknowledge(who);
        }
        let said = self.bench.pass(pause_ms);
        self.note(&said);
    }
}

/// What the blocked person sees must not tell whether the one who blocks is there.
fn live(seed: u64) -> (usize, usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let original = random.random_range(0..4);
    let mut halves = [Half::new(original), Half::new(original)];
    let step = |random: &mut ChaCha8Rng, first: usize| Step {
        who: random.random_range(first..4),
        other: random.random_range(0..4),
        what: random.random_range(0..1_000),
        pause_ms: if random.random_bool(0.1) { 25_000 } else { random.random_range(0..2_000) },
    };
    let both = |random: &mut ChaCha8Rng, halves: &mut [Half; 2], first, steps| {
        for _ in 0..steps {
            let step = step(random, first);
            halves.iter_mut().for_each(|half| half.step(step));
        }
    };
    for half in &mut halves {
        (0..4).for_each(|who| half.come(who));
    }
    both(&mut random, &mut halves, 0, 15);
    for half in &mut halves {
        half.come(0);
        half.ask(0, Command::Block { user: "blocked".into() });
    }
    // From here on the one comes and goes, the other is away, or has left, or stays.
    let other_leaves = random.random_bool(0.7);
    if other_leaves {
        halves[1].go(0, seed as u32);
    }
    let mut differs = 0;
    for _ in 0..6 {
        both(&mut random, &mut halves, 1, 6);
        let how: u32 = random.random();
        match how % 5 {
            0 => halves[0].go(0, how / 5),
            1 => (0..6).for_each(|file| halves[0].ask(0, have(file))),
            2 => halves[0].ask(0, register((how / 5) as usize % 4, true)),
            _ => halves[0].come(0),
        }
        let is_there = halves.each_ref().map(|half| half.lines[0].is_some());
        differs += usize::from(is_there[0] != is_there[1]);
    }
    let [one, other] = &halves;
    assert_eq!(one.transcript, other.transcript, "world {seed}: it shows who is there");
    (one.transcript.len(), differs)
}

#[test]
fn a_blocked_person_does_not_see_whether_the_blocker_is_there() {
    const WORLDS: u64 = 3_000;
    let (mut told, mut differed) = (0, 0);
    for seed in 0..WORLDS {
        let (events, differs) = live(seed);
        told += events;
        differed += differs;
    }
    // A comparison of silence with silence would prove nothing.
    assert!(told > 10 * WORLDS as usize && differed > WORLDS as usize);
    println!(
        "RELIABILITY blocks worlds={WORLDS} events={told} presence_differed={differed} leaks=0"
    );
}
