//! Shared files: who sees them and their sources, in every position, and that hints are bounded.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Bench, START_MS, login};
use whoelse_engine::{
    AccountId, AccountSnapshot, ConnectionId, DeviceSnapshot, Engine, Input, Now, Order, Rules,
    Share as ShareRecord, Snapshot, Time, Turn,
};
use whoelse_engine::{Aid, Effect};
use whoelse_proto::event::{Event, FileSource, FoundFile};
use whoelse_proto::limits::{FILE_SOURCES_MAX, FOUND_FILES_MAX};
use whoelse_proto::{
    Command, DeviceKey, FileHash, Layout, LinkName, Name, NewLink, Outcome, PartMap, Purpose,
    Request, Role, Scope, Share, SharedName, Signature,
};

const FILE: FileHash = FileHash([1; 32]);

fn share(hash: FileHash, name: &str, with: Option<&[&'static str]>) -> Command<'static> {
    Command::Share(Share {
        hash,
        size: 500,
        name: SharedName::new(name).unwrap(),
        with: with.map(|names| names.iter().map(|name| (*name).into()).collect()),
        signature: Signature([5; 64]),
    })
}

fn have(hash: FileHash) -> Command<'static> {
    Command::Have { hash, parts: PartMap::all(1).to_string().into() }
}

fn fetch(user: &str) -> Command<'_> {
    let name = LinkName::new("link").unwrap();
    let link = Some(NewLink { name, purpose: Purpose::File(FILE) });
    Command::StartPrivate { user: user.into(), link }
}

/// What is answered, without what else is said.
fn answer(bench: &mut Bench, connection: ConnectionId, command: Command<'_>) -> Outcome {
    let now = Now { time: Time(bench.now), wall_ms: bench.now };
    let mut turn = Turn::default();
    let request = Request { id: None, command };
    bench.engine.handle(now, Input::Request { connection, request, aid: Aid::None }, &mut turn);
    let answers = turn.effects.into_iter().filter_map(|effect| match effect {
        Effect::Send { to, event: Event::Answer(answer) } if to == connection => {
            Some(answer.outcome)
        }
        _ => None,
    });
    answers.last().unwrap()
}

fn found(bench: &mut Bench, connection: ConnectionId, words: &str) -> (Vec<FoundFile>, bool) {
    bench.pass(1_000);
    match answer(bench, connection, Command::SearchFiles { words: words.into() }) {
        Outcome::Found { files, more } => (files, more),
        other => panic!("{other:?}"),
    }
}

fn sources(bench: &mut Bench, connection: ConnectionId) -> Result<Vec<FileSource>, String> {
    bench.pass(1_000);
    match answer(bench, connection, Command::Sources { hash: FILE }) {
        Outcome::Sources(sources) => Ok(sources),
        Outcome::Refused(refusal) => Err(refusal.status(whoelse_proto::Action::Sources).into()),
        other => panic!("{other:?}"),
    }
}

fn users(sources: &[FileSource]) -> Vec<&str> {
    sources.iter().map(|source| source.user.as_str()).collect()
}

/// Whom the owner shares with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum With {
    Everyone,
    Asker,
    /// Both the asker and the other who gives parts.
    Both,
    /// Somebody else only.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Block {
    None,
    ByGiver,
    ByAsker,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Presence {
    Online,
    Away,
    Offline,
}

/// Which of the two people that give parts it is about: the one who shares, or somebody else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Giver {
    Owner,
    Seeder,
}

/// One position: an owner who shares, a seeder who has it too, and somebody who asks.
#[derive(Clone, Copy, Debug)]
struct Position {
    with: With,
    block: Block,
    presence: Presence,
    giver: Giver,
}

impl Position {
    fn all() -> impl Iterator<Item = Self> {
        let withs = [With::Everyone, With::Asker, With::Both, With::Other];
        let blocks = [Block::None, Block::ByGiver, Block::ByAsker, Block::Both];
        let presences = [Presence::Online, Presence::Away, Presence::Offline];
        let givers = [Giver::Owner, Giver::Seeder];
        withs.into_iter().flat_map(move |with| {
            blocks.into_iter().flat_map(move |block| {
                presences.into_iter().flat_map(move |presence| {
                    givers.into_iter().map(move |giver| Self { with, block, presence, giver })
                })
            })
        })
    }

    fn giver(self) -> &'static str {
        if self.giver == Giver::Owner { "owner" } else { "seeder" }
    }

    /// Whether the asker may see the share: said once more, as plainly as can be.
    fn sees(self) -> bool {
        let is_shared = self.with != With::Other;
        let is_blocked = self.block != Block::None && self.giver == Giver::Owner;
        is_shared && !is_blocked
    }

    /// Whether the seeder sees the share, too: only then it has anything to do with it.
    fn is_seeded(self) -> bool {
        matches!(self.with, With::Everyone | With::Both | With::Other)
    }

    /// Who can be asked for parts.
    fn sources(self) -> Vec<&'static str> {
        let is_hidden = |giver| {
            self.giver == giver && (self.block != Block::None || self.presence != Presence::Online)
        };
        let mut sources = Vec::new();
        if self.sees() && !is_hidden(Giver::Owner) {
            sources.push("owner");
        }
        if self.sees() && self.is_seeded() && !is_hidden(Giver::Seeder) {
            sources.push("seeder");
        }
        sources
    }

    /// What comes of asking the giver for a link.
    fn fetched(self) -> &'static str {
        let claims =
            self.presence != Presence::Offline && (self.giver == Giver::Owner || self.is_seeded());
        match self.block {
            Block::ByGiver | Block::Both => "USER_BLOCKED",
            Block::ByAsker => "YOU_BLOCKED",
            Block::None if !self.sees() || !claims => "FILE_NOT_EXIST",
            Block::None if self.presence == Presence::Away => "USER_OFFLINE",
            Block::None => "SUCCESS",
        }
    }

    /// The world in this position, and the line of the one who asks.
    fn world(self) -> (Bench, ConnectionId) {
        let mut bench = Bench::new(Rules::default());
        let names = ["owner", "seeder", "asker", "other"];
        let lines: Vec<ConnectionId> = names
            .into_iter()
            .zip(1..)
            .map(|(name, device)| {
                bench.add(name, Role::Member);
                let line = bench.connect("127.0.0.1");
                assert_eq!(bench.status(line, login(name, "right", device)), "SUCCESS");
                line
            })
            .collect();
        let with: Option<&[&str]> = match self.with {
            With::Everyone => None,
            With::Asker => Some(&["asker"]),
            With::Both => Some(&["seeder", "asker"]),
            With::Other => Some(&["other", "seeder"]),
        };
        assert_eq!(bench.status(lines[0], share(FILE, "film.mkv", with)), "SUCCESS");
        let expected = if self.is_seeded() { "SUCCESS" } else { "FILE_NOT_EXIST" };
        assert_eq!(bench.status(lines[1], have(FILE)), expected);
        let giver = lines[usize::from(self.giver == Giver::Seeder)];
        if matches!(self.block, Block::ByGiver | Block::Both) {
            assert_eq!(bench.status(giver, Command::Block { user: "asker".into() }), "SUCCESS");
        }
        if matches!(self.block, Block::ByAsker | Block::Both) {
            let user = self.giver().into();
            assert_eq!(bench.status(lines[2], Command::Block { user }), "SUCCESS");
        }
        match self.presence {
            Presence::Online => {}
            Presence::Away => drop(bench.drop(giver)),
            Presence::Offline => drop(bench.ask(giver, Command::Logout { forget: false })),
        }
        (bench, lines[2])
    }
}

#[test]
fn what_is_shown_is_for_whom_it_is_in_every_position() {
    let mut positions = 0;
    for position in Position::all() {
        let (mut bench, asker) = position.world();
        let sources_now = position.sources();
        for words in ["", "film", "MKV fi"] {
            let (files, _) = found(&mut bench, asker, words);
            assert_eq!(files.len(), usize::from(position.sees()), "{position:?}");
            let counts = files.iter().all(|file| file.sources == sources_now.len());
            assert!(counts, "{position:?}: {files:?}");
        }
        let told = sources(&mut bench, asker);
        let names = told.as_deref().map(|told| {
            let mut names = users(told);
            names.sort_unstable();
            names
        });
        let refused = Err(&"FILE_NOT_EXIST".to_owned());
        let expected = if position.sees() { Ok(sources_now) } else { refused };
        assert_eq!(names, expected, "{position:?}");
        let own = if position.sees() { "SUCCESS" } else { "FILE_NOT_EXIST" };
        assert_eq!(bench.status(asker, have(FILE)), own, "{position:?}");
        assert_eq!(
            bench.status(asker, fetch(position.giver())),
            position.fetched(),
            "{position:?}"
        );
        bench.engine.check();
        positions += 1;
    }
    assert_eq!(positions, 4 * 4 * 3 * 2);
}

/// A presence that would show by any answer would show by a difference between two of these.
#[test]
fn of_somebody_who_blocks_nothing_shows_by_which_it_could_be_told_to_be_there() {
    let mut compared = 0;
    for position in Position::all() {
        if !matches!(position.block, Block::ByGiver | Block::Both) {
            continue;
        }
        let seen = |presence| {
            let (mut bench, asker) = Position { presence, ..position }.world();
            let (files, _) = found(&mut bench, asker, "");
            let told = sources(&mut bench, asker);
            let fetched = bench.status(asker, fetch(position.giver()));
            let own = bench.status(asker, have(FILE));
            format!("{files:?} {told:?} {fetched} {own}")
        };
        assert_eq!(seen(Presence::Online), seen(Presence::Away), "{position:?}");
        assert_eq!(seen(Presence::Online), seen(Presence::Offline), "{position:?}");
        compared += 1;
    }
    assert_eq!(compared, 4 * 2 * 3 * 2);
}

/// Whoever offers the same file is not told of those who share it with others only.
#[test]
fn to_offer_a_file_does_not_show_who_shares_it_with_others() {
    let position = Position {
        with: With::Other,
        block: Block::None,
        presence: Presence::Online,
        giver: Giver::Owner,
    };
    let (mut bench, asker) = position.world();
    assert_eq!(sources(&mut bench, asker), Err("FILE_NOT_EXIST".into()));
    assert_eq!(bench.status(asker, share(FILE, "film", None)), "SUCCESS");
    let told = sources(&mut bench, asker).unwrap();
    assert!(!users(&told).contains(&"owner"), "{:?}", users(&told));
    assert_eq!(bench.status(asker, fetch("owner")), "FILE_NOT_EXIST");
}

/// What one shares says how many others can give it, without those whose presence is hidden from it.
#[test]
fn ones_own_list_counts_no_presence_that_is_hidden() {
    let (mut bench, _) = Position {
        with: With::Everyone,
        block: Block::None,
        presence: Presence::Online,
        giver: Giver::Seeder,
    }
    .world();
    let (owner, seeder) = (ConnectionId(1), ConnectionId(2));
    let count = |bench: &mut Bench| match answer(bench, owner, Command::Shares) {
        Outcome::Shares(files) => files[0].sources,
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&mut bench), 1);
    bench.ask(seeder, Command::Block { user: "owner".into() });
    assert_eq!(count(&mut bench), 0);
    bench.ask(seeder, Command::Unblock { user: "owner".into() });
    assert_eq!(count(&mut bench), 1);
    bench.drop(seeder);
    assert_eq!(count(&mut bench), 0);
}

/// Somebody who is locked or removed gives nothing, and removed shares nothing.
#[test]
fn who_is_locked_gives_nothing_and_who_is_removed_shares_nothing() {
    let position = Position {
        with: With::Everyone,
        block: Block::None,
        presence: Presence::Online,
        giver: Giver::Owner,
    };
    let (mut bench, asker) = position.world();
    bench.order(Order::Lock { name: "owner".into() });
    assert_eq!(users(&sources(&mut bench, asker).unwrap()), ["seeder"]);
    bench.order(Order::Remove { name: "owner".into() });
    assert_eq!(sources(&mut bench, asker), Err("FILE_NOT_EXIST".into()));
    assert!(found(&mut bench, asker, "").0.is_empty());
    bench.engine.check();
}

fn name(prefix: &str, number: u32) -> Name {
    Name::new(&format!("{prefix}{number}")).unwrap()
}

fn hash(number: u32) -> FileHash {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    FileHash(bytes)
}

fn device(number: u32) -> DeviceSnapshot {
    let (key, name, added) = (DeviceKey([number as u8; 32]), "device".into(), Time(START_MS));
    DeviceSnapshot { key, name, added, used: added }
}

/// Many people, each with a device and so many shares.
fn crowd(people: u32, shares: u32) -> Snapshot {
    let accounts = (0..people).map(|person| {
        let mut account = AccountSnapshot::new(name("p", person), None);
        account.devices.push(device(person));
        account
    });
    let share = |person: u32, number: u32| ShareRecord {
        owner: AccountId(person),
        hash: hash(person * shares + number),
        size: 1 << 30,
        name: SharedName::new(&format!("{person:05} holiday in the mountains {number:05}.jpeg"))
            .unwrap(),
        with: Scope::Everyone,
        device: device(person).key,
        signature: Signature([7; 64]),
        time: Time(START_MS),
    };
    let shared = (0..people).flat_map(|person| (0..shares).map(move |number| (person, number)));
    Snapshot {
        accounts: accounts.collect(),
        shares: shared.map(|(person, number)| share(person, number)).collect(),
        newest: Time(START_MS),
        ..Snapshot::default()
    }
}

/// A bench that knows what a snapshot knows, and somebody who asks.
fn bench_of(rules: Rules, snapshot: &Snapshot) -> (Bench, ConnectionId) {
    let mut bench = Bench::new(rules.clone());
    bench.engine = Engine::new(rules, "server".into(), snapshot);
    bench.input(Input::Started);
    bench.add("asker", Role::Member);
    let asker = bench.connect("127.0.0.1");
    assert_eq!(bench.status(asker, login("asker", "right", 250)), "SUCCESS");
    (bench, asker)
}

#[test]
fn one_search_tells_a_hundred_files_in_the_order_of_their_names() {
    let (mut bench, asker) = bench_of(Rules::default(), &crowd(3, 60));
    let (files, more) = found(&mut bench, asker, "MOUNTAINS  holiday\t");
    assert_eq!((files.len(), more), (FOUND_FILES_MAX, true));
    assert!(files.is_sorted_by_key(|file| (file.name.clone(), file.from.clone())));
    let (files, more) = found(&mut bench, asker, "00001");
    assert_eq!((files.len(), more), (62, false), "all of one person, and one each of two");
    assert!(found(&mut bench, asker, "mountains sea").0.is_empty());
}

#[test]
fn sources_are_at_most_so_many_and_not_the_same_for_all() {
    let (mut bench, asker) = bench_of(Rules::default(), &crowd(0, 0));
    bench.add("owner", Role::Member);
    let owner = bench.connect("127.0.0.1");
    bench.ask(owner, login("owner", "right", 1));
    assert_eq!(bench.status(owner, share(FILE, "film", None)), "SUCCESS");
    let mut lines = Vec::new();
    for number in 0..200 {
        let name = name("s", number);
        bench.add(name.as_str(), Role::Member);
        let line = bench.connect("127.0.0.1");
        bench.ask(line, login(name.as_str(), "right", 1));
        assert_eq!(bench.status(line, have(FILE)), "SUCCESS");
        lines.push(line);
    }
    let mut first = std::collections::BTreeSet::new();
    for line in lines {
        let told = sources(&mut bench, line).unwrap();
        assert_eq!(told.len(), FILE_SOURCES_MAX);
        first.insert(told[0].user.clone());
    }
    assert!(first.len() > 50, "{} different ones come first", first.len());
    let (files, _) = found(&mut bench, asker, "");
    assert_eq!(files[0].sources, FILE_SOURCES_MAX, "as many as one would be told");
}

/// All a server keeps of shared files is bounded, and so is looking through it.
#[test]
fn hints_are_bounded_and_so_is_what_searches_look_at() {
    let rules = Rules::default();
    let people = (rules.shares_in_all_max / rules.shares_max) as u32;
    let snapshot = crowd(people, rules.shares_max as u32);
    assert_eq!(snapshot.shares.len(), rules.shares_in_all_max);
    let (mut bench, asker) = bench_of(rules.clone(), &snapshot);
    assert_eq!(bench.status(asker, share(FILE, "one more", None)), "TOO_MANY_FILES");
    assert!(found(&mut bench, asker, "no such words").0.is_empty());
    let mut answered = 0;
    for _ in 0..100 {
        // Many ask at once: all together may look at so many names, and then nobody until later.
        bench.add(&format!("more{answered}"), Role::Member);
        let line = bench.connect("127.0.0.1");
        bench.ask(line, login(&format!("more{answered}"), "right", 1));
        match bench.status(line, Command::SearchFiles { words: "none".into() }).as_str() {
            "SUCCESS" => answered += 1,
            other => {
                assert_eq!(other, "TOO_FAST");
                break;
            }
        }
    }
    assert!((10..=40).contains(&answered), "{answered}");
    for number in 0..rules.claims_max as u32 {
        let parts = PartMap::all(Layout::of(1 << 30).parts()).to_string();
        let claim = Command::Have { hash: hash(number), parts: parts.clone().into() };
        assert_eq!(bench.status(asker, claim), "SUCCESS");
    }
    let parts = PartMap::all(Layout::of(1 << 30).parts()).to_string();
    let claim = Command::Have { hash: hash(50_000), parts: parts.into() };
    assert_eq!(bench.status(asker, claim), "TOO_MANY_FILES");
    bench.engine.check();
}

/// Of a file about whose size sharers do not agree, each claims what fits one that it may see.
#[test]
fn who_says_another_size_keeps_nobody_from_saying_what_it_has() {
    let (mut bench, asker) = bench_of(Rules::default(), &crowd(0, 0));
    for (name, device, size) in [("honest", 1, 1 << 20), ("liar", 2, 2 << 20)] {
        bench.add(name, Role::Member);
        let line = bench.connect("127.0.0.1");
        bench.ask(line, login(name, "right", device));
        let Command::Share(share) = share(FILE, name, None) else { unreachable!() };
        assert_eq!(bench.status(line, Command::Share(Share { size, ..share })), "SUCCESS");
    }
    for (parts, expected) in
        [(16, "SUCCESS"), (32, "SUCCESS"), (17, "BAD_REQUEST"), (40, "BAD_REQUEST")]
    {
        let parts = PartMap::all(parts).to_string().into();
        assert_eq!(bench.status(asker, Command::Have { hash: FILE, parts }), expected);
    }
}
