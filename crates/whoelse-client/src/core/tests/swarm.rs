//! Files that are shared from here: how they are listed, and to whom they are given.

use std::path::PathBuf;

use whoelse_proto::{DeviceKey, FileHash, FileName, Layout, Name, PartMap, Scope, SharedName};

use super::links_world::{NAMES, SILENCE, World, accept, start, stop};
use super::*;
use crate::links::offer::{Offer, Terms};
use crate::links::swarm::{NotShared, ShareLine};
use crate::links::{
    LinkId, LinkNotice, LinkOptions, PeerEvent, Private, SwarmEvent, SwarmFile, SwarmNotice,
    SwarmOrder, SwarmWhy,
};

pub(super) const FILM: FileHash = FileHash([4; 32]);
/// Four parts.
pub(super) const SIZE: u64 = 4 * 65_536;

pub(super) fn film() -> SwarmFile {
    SwarmFile { hash: FILM, name: FileName::of("film.mkv"), size: SIZE }
}

pub(super) fn all() -> PartMap {
    PartMap::all(Layout::of(SIZE).parts())
}

pub(super) fn options() -> LinkOptions {
    let downloads = Some(PathBuf::from("/downloads"));
    LinkOptions { carried: true, downloads, ..LinkOptions::default() }
}

pub(super) fn world() -> World {
    World::with(1, [options(), options()])
}

pub(super) fn scope(names: &[&str]) -> Scope {
    match names {
        [] => Scope::Everyone,
        names => Scope::People(names.iter().map(|name| Name::new(name).unwrap()).collect()),
    }
}

/// The offer of somebody with this device.
pub(super) fn offer(owner: &str, device: u8, with: &[&str]) -> Offer {
    let name = SharedName::new("film.mkv").unwrap();
    let terms = Terms { hash: FILM, size: SIZE, name, with: scope(with) };
    let offer = Offer::make("s1", Name::new(owner).unwrap(), &Device::new([device; 32]), terms);
    Offer { device_name: owner.to_owned(), ..offer }
}

pub(super) fn share(with: &[&str]) -> Command {
    let with = with.iter().map(|name| (*name).to_owned()).collect();
    Command::Share { path: PathBuf::from("/tmp/film.mkv"), with }
}

impl World {
    pub(super) fn swarm(&mut self, at: usize, what: SwarmEvent) {
        let event = PeerEvent::Swarm { hash: Some(FILM), what };
        self.ends[at].core.handle_peer(self.now_ms, event);
        self.settle();
    }

    /// What was ordered about files since the last time.
    pub(super) fn orders(&mut self, at: usize) -> Vec<SwarmOrder> {
        let (these, others) =
            std::mem::take(&mut self.swarm).into_iter().partition(|(of, _)| *of == at);
        self.swarm = others;
        let these: Vec<(usize, SwarmOrder)> = these;
        these.into_iter().map(|(_, order)| order).collect()
    }

    /// The actions that the server was asked for about files since the last time, with what matters.
    pub(super) fn requests(&mut self, at: usize) -> Vec<String> {
        let asked = std::mem::take(&mut self.asked).into_iter().filter(|(of, _)| *of == at);
        let text = |value: &serde_json::Value, name: &str| {
            value[name].as_str().unwrap_or_default().to_owned()
        };
        asked
            .map(|(_, value)| match text(&value, "action").as_str() {
                "startprivate" => format!("link {}", text(&value, "user")),
                "have" => format!("have {}", text(&value, "parts")),
                "search_files" => format!("search {}", text(&value, "words")),
                action => action.to_owned(),
            })
            .collect()
    }

    pub(super) fn swarm_notices(&mut self, at: usize) -> Vec<SwarmNotice> {
        let screen = std::mem::take(&mut self.ends[at].screen);
        let notices = screen.into_iter().map(|notice| match notice {
            Notice::Swarm(notice) => notice,
            other => panic!("{other:?}"),
        });
        notices.collect()
    }

    pub(super) fn answers(&mut self, at: usize, command: Command) -> Answer {
        self.wants(at, command);
        self.settle();
        match self.ends[at].screen.pop() {
            Some(Notice::Answered { answer, .. }) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn refuses(&mut self, at: usize, command: Command) -> Why {
        match self.answers(at, command) {
            Answer::Refused(refusal) => refusal.why,
            other => panic!("{other:?}"),
        }
    }

    /// Its file is read through.
    fn read(&mut self, at: usize) {
        let orders = self.orders(at);
        let [SwarmOrder::Share { number, path }] = &orders[..] else { panic!("{orders:?}") };
        let (number, path) = (Some(*number), path.clone());
        let SwarmFile { name, size, .. } = film();
        self.swarm(at, SwarmEvent::Shared { number, path, name, size, note: String::new() });
    }

    /// Luke shares the film.
    pub(super) fn shares(&mut self, with: &[&str]) {
        self.wants(1, share(with));
        self.settle();
        self.read(1);
        self.swarm_notices(1);
        self.orders(1);
        self.requests(1);
    }

    /// Somebody of this name and device asks luke for the film.
    fn asks_luke(&mut self, number: usize, user: &str, device: u8) {
        let key = Device::new([device; 32]).key();
        let event = format!(
            r#"{{"action":"private_request","from":"{user}","link":"l{number}","purpose":"file","file":"{FILM}","device":"{key}","device_name":"x"}}"#
        );
        let incoming = Incoming::decode(event.as_bytes()).unwrap();
        self.ends[1].core.handle_incoming(self.now_ms, incoming);
    }
}

#[test]
fn a_shared_file_is_read_signed_listed_and_noted() {
    for with in [&["hans"][..], &[]] {
        let mut world = world();
        world.wants(1, share(with));
        world.settle();
        let path = PathBuf::from("/tmp/film.mkv");
        assert_eq!(
            world.swarm_notices(1),
            [SwarmNotice::Reading { path, with: scope(with) }],
            "nobody is told before it is read"
        );
        assert!(world.asked.is_empty());
        world.read(1);
        let (_, asked) = world.asked.pop().unwrap();
        assert_eq!((&asked["action"], &asked["size"]), (&"share".into(), &SIZE.into()));
        let mine = offer("luke", 2, with);
        assert_eq!(asked["signature"], mine.signature.to_string());
        let note = Offer { device_name: String::new(), ..mine }.written();
        assert_eq!(world.orders(1), [SwarmOrder::NoteShare { hash: FILM, note }]);
        let shared = SwarmNotice::Shared { file: film(), with: scope(with) };
        assert_eq!(world.swarm_notices(1), [shared]);
    }
}

#[test]
fn what_the_server_does_not_list_is_not_kept() {
    let mut world = world();
    world.answers.insert((1, "share"), r#"TOO_MANY_FILES ,"message":"Too many.""#.into());
    world.wants(1, share(&[]));
    world.settle();
    world.swarm_notices(1);
    world.read(1);
    assert_eq!(world.orders(1), [SwarmOrder::Unshare { hash: FILM }]);
    let notices = world.swarm_notices(1);
    let [SwarmNotice::NotShared { why: NotShared::Refused(refusal), .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert_eq!(refusal.why, Why::Swarm(SwarmWhy::TooManyShares));
}

#[test]
fn a_refused_change_leaves_what_was_shared_before() {
    let mut world = world();
    world.shares(&["hans"]);
    world.answers.insert((1, "share"), "USER_NOT_EXIST".into());
    world.wants(1, share(&["nobody"]));
    world.settle();
    world.read(1);
    assert_eq!(world.orders(1), [], "it is still shared");
    world.answers.clear();
    world.asks_luke(1, "hans", 1);
    assert!(!declined(&mut world), "with whom it was");
}

/// Whether luke has declined what was asked last.
fn declined(world: &mut World) -> bool {
    let mut declined = false;
    while let Some(action) = world.ends[1].core.next_action() {
        if let Action::Send(bytes) = action {
            declined |= String::from_utf8(bytes.to_vec()).unwrap().contains(r#""accept":false"#);
        }
    }
    declined
}

fn reason(world: &mut World) -> Option<String> {
    while let Some(action) = world.ends[1].core.next_action() {
        if let Action::Send(bytes) = action {
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            if value["accept"] == false {
                return Some(value["reason"].as_str().unwrap().to_owned());
            }
        }
    }
    None
}

#[test]
fn what_cannot_be_shared_is_refused_before_it_is_read() {
    let mut world = world();
    assert_eq!(world.refuses(1, share(&["hans", "luke"])), Why::Yourself);
    assert_eq!(world.refuses(1, share(&["no body"])), Why::UserNotExist);
    let many: Vec<String> = (0..65).map(|at| format!("p{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(world.refuses(1, share(&many)), Why::Swarm(SwarmWhy::TooManyNames));
    world.hang_up(1);
    world.act_and_look(1);
    world.ends[1].screen.clear();
    world.wants(1, share(&[]));
    world.act_and_look(1);
    let refusal = Answer::Refused(Refusal::new(Why::Link(crate::links::LinkWhy::NoConnection)));
    assert_eq!(world.ends[1].screen, [answered(share(&[]), refusal)]);
    let mut never =
        World::with(1, [options(), LinkOptions { private: Private::Never, ..options() }]);
    assert_eq!(never.refuses(1, share(&[])), Why::Swarm(SwarmWhy::Unwanted));
    assert!(never.orders(1).is_empty());
}

#[test]
fn an_empty_file_is_not_shared() {
    let mut world = world();
    world.wants(1, share(&[]));
    world.settle();
    let orders = world.orders(1);
    let [SwarmOrder::Share { number, path }] = &orders[..] else { panic!("{orders:?}") };
    world.swarm_notices(1);
    let (number, path, name) = (Some(*number), path.clone(), film().name);
    world.swarm(1, SwarmEvent::Shared { number, path, name, size: 0, note: String::new() });
    let notices = world.swarm_notices(1);
    assert!(matches!(&notices[..], [SwarmNotice::NotShared { why: NotShared::Empty, .. }]));
    assert_eq!(world.orders(1), [SwarmOrder::Unshare { hash: FILM }]);
    assert!(world.requests(1).is_empty());
}

#[test]
fn after_each_login_the_server_hears_that_a_share_is_here() {
    let mut world = world();
    world.shares(&[]);
    world.hang_up(1);
    world.wait(60_000);
    assert_eq!(world.requests(1), [format!("have {}", all())]);
    world.hang_up(1);
    world.answers.insert((1, "have"), "FILE_NOT_EXIST".into());
    world.wait(60_000);
    assert_eq!(world.requests(1), [format!("have {}", all()), "share".into()], "it had forgotten");
    let orders = world.orders(1);
    assert!(matches!(&orders[..], [SwarmOrder::NoteShare { .. }]));
    world.ends[1].screen.retain(|notice| matches!(notice, Notice::Swarm(_)));
    assert_eq!(world.swarm_notices(1), [], "nobody has asked for it");
}

#[test]
fn shares_of_an_earlier_run_are_shared_again_if_they_are_ours() {
    let kept = |note: String| SwarmEvent::Shared {
        number: None,
        path: PathBuf::from("/tmp/film.mkv"),
        name: film().name,
        size: SIZE,
        note,
    };
    let mut world = world();
    world.swarm(1, kept(offer("luke", 2, &["hans"]).written()));
    assert_eq!(world.requests(1), [format!("have {}", all())]);
    assert_eq!(world.swarm_notices(1), [SwarmNotice::StillShared { count: 1 }]);
    world.asks_luke(1, "hans", 1);
    assert!(!declined(&mut world));
    for note in [String::new(), "{}".into(), offer("hans", 1, &[]).written()] {
        let mut world = self::world();
        world.swarm(1, kept(note));
        assert_eq!(world.orders(1), [SwarmOrder::Unshare { hash: FILM }]);
        assert!(world.requests(1).is_empty());
    }
    let mut world = self::world();
    let mut other = offer("luke", 2, &["hans"]);
    other = Offer::make(
        "a server before",
        other.owner,
        &Device::new([2; 32]),
        Terms { hash: FILM, size: SIZE, name: other.name, with: other.with },
    );
    world.swarm(1, kept(other.written()));
    assert_eq!(world.requests(1), ["share"], "what was signed for other data is signed anew");
}

#[test]
fn who_is_gone_is_left_out_when_a_file_is_listed_again() {
    let mut world = world();
    world.shares(&["hans", "yoda"]);
    world.hang_up(1);
    world.answers.insert((1, "have"), "FILE_NOT_EXIST".into());
    world.answers.insert((1, "share"), r#"USER_NOT_EXIST ,"user":"yoda""#.into());
    world.wait(60_000);
    let shares: Vec<_> = world
        .asked
        .iter()
        .filter(|(_, it)| it["action"] == "share")
        .map(|(_, it)| &it["with"])
        .collect();
    assert_eq!(
        shares,
        [&serde_json::json!(["hans", "yoda"]), &serde_json::json!(["hans"])],
        "and no more often than there are names"
    );
    let last = world.ends[1].screen.pop();
    assert!(matches!(last, Some(Notice::Swarm(SwarmNotice::NotShared { .. }))), "{last:?}");
    let mut world = self::world();
    world.shares(&["yoda"]);
    world.hang_up(1);
    world.answers.insert((1, "have"), "FILE_NOT_EXIST".into());
    world.answers.insert((1, "share"), r#"USER_NOT_EXIST ,"user":"yoda""#.into());
    world.wait(60_000);
    let last = world.ends[1].screen.pop();
    let Some(Notice::Swarm(SwarmNotice::NotShared { why, .. })) = last else { panic!("{last:?}") };
    assert_eq!(why, NotShared::NobodyLeft);
}

#[test]
fn only_whom_it_was_shared_with_gets_a_link_and_nobody_is_asked() {
    let mut world = world();
    world.shares(&["hans"]);
    world.asks_luke(1, "yoda", 3);
    assert_eq!(reason(&mut world).as_deref(), Some("DECLINED"));
    world.asks_luke(2, "hans", 1);
    assert_eq!(reason(&mut world), None);
    world.settle();
    assert_eq!(world.ends[1].screen, [], "sharing was the consent");
    world.ends[1].core.links_peers().unwrap().pin("ben", DeviceKey([9; 32]), "x", false, 1);
    let mut never =
        World::with(1, [options(), LinkOptions { private: Private::Never, ..options() }]);
    never.asks_luke(1, "hans", 1);
    assert_eq!(reason(&mut never).as_deref(), Some("NOT_WANTED"));
}

#[test]
fn a_changed_key_gets_nothing_and_is_told_once() {
    let mut world = world();
    world.shares(&[]);
    world.ends[1].core.links_peers().unwrap().pin("hans", DeviceKey([9; 32]), "x", true, 1);
    for number in 0..3 {
        world.asks_luke(number, "hans", 1);
        assert_eq!(reason(&mut world).as_deref(), Some("KEY_CHANGED"));
    }
    world.settle();
    let notices = world.ends[1].link_notices();
    assert!(matches!(&notices[..], [LinkNotice::Changed { asked_us: true, .. }]), "{notices:?}");
}

#[test]
fn no_more_are_served_than_may_be_and_nobody_takes_all() {
    let mut world = world();
    world.shares(&[]);
    for number in 0..16 {
        world.asks_luke(number, &format!("p{number}"), 3);
        assert_eq!(reason(&mut world), None);
    }
    world.asks_luke(16, "hans", 1);
    assert_eq!(reason(&mut world).as_deref(), Some("BUSY"));
    world.asks_luke(17, "p3", 3);
    assert_eq!(reason(&mut world), None, "who asks anew has lost the one there was");
    assert_eq!(world.ends[1].core.list_links(), [], "none of these is a link of talk");
}

/// Hans fetches the film from luke, over a link that stands.
pub(super) fn fetching(with: &[&str]) -> World {
    let mut world = world();
    world.shares(with);
    world.found(&offer("luke", 2, with));
    world.source(&[("luke", 2)]);
    world.gets("film.mkv");
    world
}

#[test]
fn a_link_for_a_file_is_made_in_silence_and_lets_the_other_fetch() {
    let mut world = fetching(&["hans"]);
    let orders = world.orders(0);
    let [
        SwarmOrder::Get { hash: FILM, size: SIZE, .. },
        SwarmOrder::AddSource { claims, link, .. },
    ] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    assert_eq!(*claims, all());
    let orders = world.orders(1);
    assert!(matches!(orders[..], [SwarmOrder::Allow { hash: FILM, .. }]), "{orders:?}");
    assert_eq!(world.ends[1].screen, []);
    for at in [0, 1] {
        assert_eq!(world.ends[at].links(), []);
        assert!(world.ends[at].core.has_met(NAMES[1 - at]), "the first contact is remembered");
        let talk = Command::Private { user: NAMES[1 - at].into(), text: "hi".into() };
        assert_eq!(world.refuses(at, talk), Why::NoLink);
        assert_eq!(world.refuses(at, stop(NAMES[1 - at])), Why::NoLink);
    }
    world.ends[0].screen.clear();
    let path = PathBuf::from("/downloads/film.mkv");
    world.swarm(0, SwarmEvent::Received { path, by: vec![(*link, SIZE, 4)] });
    assert!(!world.ends[0].core.links.any_stands(), "it has no more use");
    assert!(!world.ends[1].core.links.any_stands());
}

#[test]
fn talk_and_files_do_not_know_of_each_other() {
    let mut world = fetching(&[]);
    world.ends[0].screen.clear();
    world.wants(0, start("luke"));
    world.settle();
    world.wants(1, accept("hans"));
    world.settle();
    assert!(world.stands(0) && world.stands(1));
    world.wants(0, stop("luke"));
    world.settle();
    assert!(!world.stands(0));
    assert!(world.ends[0].core.links.any_stands(), "the link for the file still stands");
    assert!(world.ends[1].core.links.any_stands());
    let notices = world.ends[0].link_notices();
    let ends = notices.iter().filter(|it| matches!(it, LinkNotice::Ended { .. }));
    assert_eq!(ends.count(), 1);
    let text = PeerEvent::Text { link: LinkId(2), number: 1, text: "psst".into() };
    world.ends[1].core.handle_peer(world.now_ms, text);
    world.settle();
    let notices = world.ends[1].link_notices();
    let texts = notices.iter().filter(|it| matches!(it, LinkNotice::Text { .. }));
    assert_eq!(texts.count(), 0, "nobody talks over a link for a file");
}

#[test]
fn who_may_not_have_it_any_more_gets_nothing_more() {
    let block = Command::Block { user: "hans".into() };
    let unshare = Command::Unshare { which: "film.mkv".into() };
    for command in [block, unshare] {
        let mut world = fetching(&[]);
        world.orders(1);
        assert!(world.ends[1].core.links.any_stands());
        assert_eq!(world.answers(1, command.clone()), Answer::Done);
        assert!(!world.ends[1].core.links.any_stands(), "{command:?}");
        world.ends[1].screen.clear();
        world.asks_luke(9, "hans", 1);
        assert_eq!(reason(&mut world).as_deref(), Some("DECLINED"));
    }
    let mut world = fetching(&[]);
    world.orders(1);
    world.wants(1, share(&["yoda"]));
    world.settle();
    world.read(1);
    assert!(!world.ends[1].core.links.any_stands(), "it is for somebody else now");
    let mut world = fetching(&[]);
    world.orders(1);
    world.swarm(1, SwarmEvent::Changed { path: PathBuf::from("/tmp/film.mkv") });
    assert!(!world.ends[1].core.links.any_stands());
    assert_eq!(world.requests(1).pop().as_deref(), Some("unshare"));
}

#[test]
fn the_list_of_shares_says_what_is_here_and_what_was_given() {
    let mut world = fetching(&["hans"]);
    let link = LinkId(2);
    world.swarm(1, SwarmEvent::Served { link, bytes: 10 });
    world.swarm(1, SwarmEvent::Served { link, bytes: 5 });
    let files = format!(
        r#"SUCCESS ,"files":[{{"hash":"{FILM}","size":{SIZE},"name":"film.mkv","with":["hans"],"sources":2}},
        {{"hash":"{}","size":7,"name":"other","sources":0}}]"#,
        FileHash([5; 32])
    );
    world.answers.insert((1, "shares"), files);
    let Answer::Shares(lines) = world.answers(1, Command::Shares) else { panic!() };
    let first = ShareLine {
        number: 1,
        file: film(),
        with: Some(scope(&["hans"])),
        sources: Some(2),
        given: 15,
        here: true,
    };
    assert_eq!(lines[0], first);
    assert_eq!((lines[1].number, lines[1].here), (2, false));
    world.requests(1);
    assert_eq!(world.answers(1, Command::Unshare { which: "2".into() }), Answer::Done);
    assert_eq!(world.asked.pop().unwrap().1["hash"], FileHash([5; 32]).to_string());
    let unshare = Command::Unshare { which: "3".into() };
    assert_eq!(world.refuses(1, unshare), Why::Swarm(SwarmWhy::NotShared));
}

#[test]
fn an_answer_that_does_not_come_is_told_as_such() {
    let mut world = world();
    world.answers.insert((1, "shares"), SILENCE.into());
    world.wants(1, Command::Shares);
    world.settle();
    world.hang_up(1);
    world.act_and_look(1);
    let uncertain = Notice::Uncertain { command: Command::Shares };
    assert!(world.ends[1].screen.contains(&uncertain));
}
