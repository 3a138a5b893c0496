//! Two clients, a server and what carries links, all simple and under one seed: whatever happens in
//! whatever order, there is one link at most, no text is lost silently or shown twice, and whoever
//! saw a link stand sees it end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use whoelse_proto::{EndpointKey, RelayTicket};

use super::*;
use crate::links::{
    LinkId, LinkNotice, LinkOptions, LinkState, PeerEvent, PeerOrder, PeerPlace, Peers, Private,
    Route, SwarmOrder,
};

/// An answer that does not come.
pub(super) const SILENCE: &str = "-";

pub(super) const NAMES: [&str; 2] = ["hans", "luke"];

/// One of two clients, its screen, and what carries its links.
pub(super) struct End {
    pub(super) core: Core,
    pub(super) screen: Vec<Notice>,
    /// What it remembers of the devices of others.
    pub(super) peers: Peers,
    /// What has yet to reach it.
    inputs: VecDeque<Coming>,
    connected: bool,
    /// The links that are carried here: endpoint, and whom they reach for or let in.
    carried: BTreeMap<LinkId, Carried>,
    unshown: VecDeque<u64>,
}

#[derive(Clone)]
struct Carried {
    endpoint: EndpointKey,
    wants: Option<EndpointKey>,
    up: bool,
    silent: bool,
    held: VecDeque<PeerEvent>,
}

enum Coming {
    Said(String),
    Peer(PeerEvent),
}

struct Introduction {
    link: String,
    caller: usize,
    accepted: bool,
    is_talk: bool,
}

pub(super) struct World {
    pub(super) ends: [End; 2],
    pub(super) now_ms: u64,
    introductions: Vec<Introduction>,
    pub(super) has_relay: bool,
    registered: BTreeSet<(usize, String)>,
    endpoints: u8,
    random: u64,
    /// What is carried takes this way.
    pub(super) route: Route,
    /// No connection to the server opens.
    pub(super) cut: bool,
    /// No two ends ever find each other.
    pub(super) lost: bool,
    /// The server changes cards.
    pub(super) forges: bool,
    /// How often the server heard of a ticket that it knew, and of activity.
    pub(super) registered_again: usize,
    pub(super) active: usize,
    /// How each was told that the other is reached.
    pub(super) places: Vec<PeerPlace>,
    /// What was ordered about files.
    pub(super) files: Vec<(usize, PeerOrder)>,
    /// What was ordered about files that are shared.
    pub(super) swarm: Vec<(usize, SwarmOrder)>,
    /// What the server was asked about such files.
    pub(super) asked: Vec<(usize, serde_json::Value)>,
    /// What it answers to an action, beside an id: else that it is done.
    pub(super) answers: BTreeMap<(usize, &'static str), String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let options = LinkOptions { carried: true, ..LinkOptions::default() };
        Self::with(seed, [options.clone(), options])
    }

    pub(super) fn with(seed: u64, options: [LinkOptions; 2]) -> Self {
        let ends = [0, 1].map(|at| End::new(at, options[at].clone(), Peers::default()));
        let mut world = Self {
            ends,
            now_ms: 1_000,
            introductions: Vec::new(),
            has_relay: true,
            registered: BTreeSet::new(),
            endpoints: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            route: Route::Direct,
            cut: false,
            lost: false,
            forges: false,
            registered_again: 0,
            active: 0,
            files: Vec::new(),
            swarm: Vec::new(),
            asked: Vec::new(),
            answers: BTreeMap::new(),
            places: vec![
                PeerPlace {
                    endpoint: EndpointKey([0; 32]),
                    addresses: Vec::new(),
                    relay: false
                };
                2
            ],
        };
        world.connect(0);
        world.connect(1);
        world.settle();
        world.ends.iter_mut().for_each(|end| end.screen.clear());
        world
    }

    /// The client and its machine are replaced by another, which remembers this.
    pub(super) fn restart(&mut self, at: usize, seed: u8, peers: Peers) {
        self.hang_up(at);
        let options = LinkOptions { carried: true, ..LinkOptions::default() };
        self.ends[at] = End::with_seed(seed, options, peers);
        self.connect(at);
        self.settle();
        self.ends[at].screen.clear();
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // Marsaglia's xorshift is random enough for an order of events.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    pub(super) fn wants(&mut self, at: usize, command: Command) {
        self.ends[at].core.handle_command(self.now_ms, command);
    }

    pub(super) fn connect(&mut self, at: usize) {
        let (now_ms, end) = (self.now_ms, &mut self.ends[at]);
        end.connected = true;
        end.core.handle_connected(now_ms, LINK);
        if end.core.name().is_none() {
            end.core.handle_name(NAMES[at].into());
            end.core.handle_peers(now_ms, 1_000_000, Ok(end.peers.clone()));
            end.core.handle_device(now_ms, Some(end.device()), false);
            end.core.handle_password(now_ms, Password::from("secret"));
        }
    }

    /// The line of a client to the server breaks.
    pub(super) fn hang_up(&mut self, at: usize) {
        if !std::mem::take(&mut self.ends[at].connected) {
            return;
        }
        self.ends[at].inputs.retain(|coming| matches!(coming, Coming::Peer(_)));
        let introductions = std::mem::take(&mut self.introductions);
        for introduction in introductions {
            self.say_ended(1 - at, &introduction.link, "OFFLINE");
        }
        self.ends[at].core.handle_disconnected(self.now_ms, Loss::Closed);
    }

    pub(super) fn stands(&self, at: usize) -> bool {
        let listed = self.ends[at].links();
        listed
            .iter()
            .any(|state| matches!(state, LinkState::Standing(_) | LinkState::Interrupted(_)))
    }

    /// Lets everything happen that waits for nothing but its turn.
    pub(super) fn settle(&mut self) {
        while self.step() {}
    }

    /// Lets one thing happen, chosen at random; says whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let first = usize::try_from(self.below(2)).unwrap();
        for at in [0, 1] {
            self.act(at);
            self.look(at);
        }
        for at in [first, 1 - first] {
            if let Some(coming) = self.ends[at].inputs.pop_front() {
                match coming {
                    Coming::Said(json) => {
                        let incoming = Incoming::decode(json.as_bytes()).unwrap();
                        self.ends[at].core.handle_incoming(self.now_ms, incoming);
                    }
                    Coming::Peer(event) => self.ends[at].core.handle_peer(self.now_ms, event),
                }
                self.ends[at].core.tick(self.now_ms);
                self.act(at);
                self.look(at);
                return true;
            }
        }
        false
    }

    /// Lets time pass, and everything that comes with it.
    pub(super) fn wait(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        loop {
            self.settle();
            let deadlines = self.ends.iter().filter_map(|end| end.core.deadline());
            let Some(at_ms) = deadlines.min().filter(|at_ms| *at_ms <= until_ms) else { break };
            self.now_ms = self.now_ms.max(at_ms);
            self.ends.iter_mut().for_each(|end| end.core.tick(self.now_ms));
        }
        self.now_ms = until_ms;
    }

    /// Does and shows what is due at one end, and nothing else.
    pub(super) fn act_and_look(&mut self, at: usize) {
        self.act(at);
        self.look(at);
    }

    /// What a client told, shown to the person at once.
    fn look(&mut self, at: usize) {
        let end = &mut self.ends[at];
        while let Some(told) = end.core.next_told() {
            if let Tell::Notice(notice) = told.tell {
                end.screen.push(notice);
            }
            end.unshown.push_back(told.sequence);
        }
        if let Some(sequence) = end.unshown.pop_back() {
            end.unshown.clear();
            end.core.handle_shown(self.now_ms, sequence);
            self.act(at);
        }
    }

    /// Does what a client wants done.
    fn act(&mut self, at: usize) {
        while let Some(action) = self.ends[at].core.next_action() {
            match action {
                Action::Send(bytes) if self.ends[at].connected => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    text.lines().for_each(|line| self.serve(at, line));
                }
                Action::Connect if !self.cut && self.now_ms > 1_000 => self.connect(at),
                Action::Peer(order) => self.carry(at, order),
                Action::KeepPeers(peers) => self.ends[at].peers = peers,
                _ => {}
            }
        }
    }

    /// The server.
    #[expect(clippy::too_many_lines, reason = "a small server, an arm for each request")]
    fn serve(&mut self, at: usize, line: &str) {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let (action, id, link) = (text("action"), text("id"), text("link"));
        let answer = |status: &str, more: &str| {
            let id = if id.is_empty() { String::new() } else { format!(r#","id":"{id}""#) };
            format!(r#"{{"action":"{action}","status":"{status}"{id}{more}}}"#)
        };
        let other = 1 - at;
        let found = self.introductions.iter().position(|it| it.link == link);
        let said = match action.as_str() {
            "login" => answer("SUCCESS", r#","protocol":1,"server":"s1","acknowledged":0"#),
            "startprivate" => {
                let device = |at: usize| {
                    format!(
                        r#","device":"{}","device_name":"{}""#,
                        self.ends[at].device().key(),
                        NAMES[at]
                    )
                };
                let file = request.get("file").map(|file| format!(r#","file":{file}"#));
                let purpose = text("purpose");
                self.asked.push((at, request.clone()));
                let theirs = self
                    .introductions
                    .iter()
                    .find(|it| it.caller == other && !it.accepted && it.is_talk && file.is_none());
                let (to, from) = (NAMES[other], NAMES[at]);
                if let Some(refusal) = self.answers.get(&(at, "startprivate")) {
                    if refusal == SILENCE {
                        return;
                    }
                    answer(refusal, "")
                } else if !self.ends[other].connected {
                    answer("USER_OFFLINE", "")
                } else if let Some(theirs) = theirs {
                    let more = format!(r#","user":"{to}","link":"{}","accepts":true"#, theirs.link);
                    answer("SUCCESS", &(more + &device(other)))
                } else {
                    let event = format!(
                        r#"{{"action":"private_request","from":"{from}","link":"{link}","purpose":"{purpose}"{}{}}}"#,
                        file.as_deref().unwrap_or_default(),
                        device(at)
                    );
                    let more = format!(r#","user":"{to}","link":"{link}""#) + &device(other);
                    let is_talk = file.is_none();
                    let it = Introduction { link, caller: at, accepted: false, is_talk };
                    self.introductions.push(it);
                    self.say(other, event);
                    answer("SUCCESS", &more)
                }
            }
            "answer_private" | "private_card" | "end_private" if found.is_none() => {
                answer(if action == "end_private" { "SUCCESS" } else { "LINK_NOT_EXIST" }, "")
            }
            "answer_private" if request["accept"] == true => {
                self.introductions[found.unwrap()].accepted = true;
                let card = self.card(text("card"));
                self.say(other, format!(
                    r#"{{"action":"private_answer","from":"{}","link":"{link}","accepted":true,"card":{card}}}"#,
                    NAMES[at]
                ));
                answer("SUCCESS", "")
            }
            "answer_private" => {
                self.introductions.remove(found.unwrap());
                self.say(other, format!(
                    r#"{{"action":"private_answer","from":"{}","link":"{link}","accepted":false,"reason":"{}"}}"#,
                    NAMES[at], text("reason")
                ));
                answer("SUCCESS", "")
            }
            "private_card" => {
                self.introductions.remove(found.unwrap());
                let card = self.card(text("card"));
                self.say(
                    other,
                    format!(
                        r#"{{"action":"private_card","from":"{}","link":"{link}","card":{card}}}"#,
                        NAMES[at]
                    ),
                );
                answer("SUCCESS", "")
            }
            "end_private" => {
                self.introductions.remove(found.unwrap());
                self.say_ended(other, &link, "WITHDRAWN");
                answer("SUCCESS", "")
            }
            "share" | "have" | "sources" | "search_files" | "shares" | "unshare" | "block" => {
                self.asked.push((at, request.clone()));
                match self.answers.iter().find(|((of, it), _)| *of == at && *it == action) {
                    Some((_, said)) if said == SILENCE => return,
                    Some((_, said)) => match said.split_once(' ') {
                        Some((status, more)) => answer(status, more),
                        None => answer(said, ""),
                    },
                    None => answer("SUCCESS", ""),
                }
            }
            "relay" if !self.has_relay => answer("NO_RELAY", ""),
            "relay" => {
                let key = (at, text("endpoint"));
                match request.get("ticket") {
                    Some(_) if !self.registered.insert(key.clone()) => self.registered_again += 1,
                    Some(_) => {}
                    None => drop(self.registered.remove(&key)),
                }
                answer("SUCCESS", "")
            }
            "active" => {
                self.active += 1;
                answer("SUCCESS", "")
            }
            "whoelse" => answer("SUCCESS", r#","reply":[]"#),
            _ => answer("SUCCESS", ""),
        };
        self.say(at, said);
    }

    /// A card as it is passed on.
    fn card(&self, card: String) -> serde_json::Value {
        let forged = card.replace("192.0.2.1", "192.0.2.66");
        if self.forges { forged.into() } else { card.into() }
    }

    fn say(&mut self, at: usize, json: String) {
        if self.ends[at].connected {
            self.ends[at].inputs.push_back(Coming::Said(json));
        }
    }

    fn say_ended(&mut self, at: usize, link: &str, reason: &str) {
        let from = NAMES[1 - at];
        self.say(
            at,
            format!(
                r#"{{"action":"private_ended","from":"{from}","link":"{link}","reason":"{reason}"}}"#
            ),
        );
    }

    /// Two ends of what carries links, as one.
    fn carry(&mut self, at: usize, order: PeerOrder) {
        match order {
            PeerOrder::Relay => {}
            PeerOrder::CheckFile { number, .. } => {
                self.ends[at].core.handle_file_checked(self.now_ms, number, Ok(()));
            }
            PeerOrder::OfferFile { .. }
            | PeerOrder::AcceptFile { .. }
            | PeerOrder::DeclineFile { .. }
            | PeerOrder::CancelFile { .. } => self.files.push((at, order)),
            PeerOrder::Swarm(order) => self.swarm.push((at, order)),
            PeerOrder::Prepare { link } => {
                self.endpoints += 1;
                let endpoint = EndpointKey([self.endpoints; 32]);
                let held = VecDeque::new();
                let carried = Carried { endpoint, wants: None, up: false, silent: false, held };
                self.ends[at].carried.insert(link, carried);
                let ticket = RelayTicket::new([self.endpoints; 32]);
                self.report(at, PeerEvent::Prepared { link, endpoint, ticket });
            }
            PeerOrder::Open { link, .. } => {
                let addresses = vec!["192.0.2.1:4242".parse().unwrap()];
                self.report(at, PeerEvent::Opened { link, addresses });
            }
            PeerOrder::Dial { link, to: place, .. }
            | PeerOrder::Expect { link, from: place, .. } => {
                if let Some(carried) = self.ends[at].carried.get_mut(&link) {
                    carried.wants = Some(place.endpoint);
                }
                self.places[at] = place;
                self.join_ends(at, link);
            }
            PeerOrder::Send { link, number, text } => {
                self.pass(at, link, |link| PeerEvent::Text { link, number, text });
            }
            PeerOrder::Acknowledge { link, number } => {
                self.pass(at, link, |link| PeerEvent::Acknowledged { link, number });
            }
            PeerOrder::Close { link } => {
                self.pass(at, link, |link| PeerEvent::Bye { link });
                self.ends[at].carried.remove(&link);
                self.ends[at].inputs.retain(|coming| {
                    !matches!(coming, Coming::Peer(PeerEvent::Text { link: it, .. }
                        | PeerEvent::Acknowledged { link: it, .. }) if *it == link)
                });
            }
        }
    }

    fn report(&mut self, at: usize, event: PeerEvent) {
        self.ends[at].inputs.push_back(Coming::Peer(event));
    }

    /// The other end of a link that is carried.
    fn other_end(&self, at: usize, link: LinkId) -> Option<LinkId> {
        let carried = self.ends[at].carried.get(&link)?;
        let mut theirs = self.ends[1 - at].carried.iter();
        let is_it = |theirs: &Carried| {
            carried.wants == Some(theirs.endpoint) && theirs.wants == Some(carried.endpoint)
        };
        theirs.find(|(_, theirs)| is_it(theirs)).map(|(link, _)| *link)
    }

    fn join_ends(&mut self, at: usize, link: LinkId) {
        let Some(theirs) = self.other_end(at, link).filter(|_| !self.lost) else { return };
        for (at, link) in [(at, link), (1 - at, theirs)] {
            let route = self.route;
            if let Some(carried) = self.ends[at].carried.get_mut(&link) {
                carried.up = true;
                self.report(at, PeerEvent::Up { link, route });
            }
        }
    }

    fn pass(&mut self, at: usize, link: LinkId, event: impl FnOnce(LinkId) -> PeerEvent) {
        let Some(theirs) = self.other_end(at, link) else { return };
        let Some(carried) = self.ends[1 - at].carried.get_mut(&theirs) else { return };
        let event = event(theirs);
        if carried.silent {
            // It is sent again until it is acknowledged; a goodbye is not.
            if !matches!(event, PeerEvent::Bye { .. }) {
                carried.held.push_back(event);
            }
        } else {
            self.report(1 - at, event);
        }
    }

    /// Nothing passes any more between the ends of all links.
    pub(super) fn silence(&mut self) {
        for at in [0, 1] {
            let up = self.ends[at].carried.iter_mut().filter(|(_, it)| it.up && !it.silent);
            let links: Vec<LinkId> = up.map(|(link, it)| (it.silent = true, *link).1).collect();
            links.into_iter().for_each(|link| self.report(at, PeerEvent::Silent { link }));
        }
    }

    /// It passes again, and with it what was held.
    pub(super) fn hear(&mut self) {
        for at in [0, 1] {
            let silent: Vec<LinkId> = self.ends[at]
                .carried
                .iter()
                .filter(|(_, it)| it.silent)
                .map(|(link, _)| *link)
                .collect();
            for link in silent {
                // Whoever has closed it says so to whoever asks.
                let gone = self.other_end(at, link).is_none();
                let held = match self.ends[at].carried.get_mut(&link) {
                    Some(carried) => {
                        carried.silent = false;
                        std::mem::take(&mut carried.held)
                    }
                    None => continue,
                };
                if gone {
                    self.report(at, PeerEvent::Bye { link });
                    continue;
                }
                self.report(at, PeerEvent::Heard { link });
                held.into_iter().for_each(|event| self.report(at, event));
            }
        }
    }
}

impl End {
    fn new(at: usize, options: LinkOptions, peers: Peers) -> Self {
        Self::with_seed(u8::try_from(at).unwrap() + 1, options, peers)
    }

    fn with_seed(seed: u8, options: LinkOptions, peers: Peers) -> Self {
        let config = Config { links: options, ..config(true) };
        let mut core = Core::new(config, [seed; 16]);
        core.next_action();
        Self {
            core,
            screen: Vec::new(),
            peers,
            inputs: VecDeque::new(),
            connected: false,
            carried: BTreeMap::new(),
            unshown: VecDeque::new(),
        }
    }

    pub(super) fn device(&self) -> Device {
        let digit = self.core.instance.as_bytes()[1] - b'0';
        Device::new([digit; 32])
    }

    pub(super) fn links(&self) -> Vec<LinkState> {
        self.core.list_links().into_iter().map(|line| line.state).collect()
    }

    pub(super) fn link_notices(&mut self) -> Vec<LinkNotice> {
        std::mem::take(&mut self.screen)
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Link(notice) => Some(notice),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn start(user: &str) -> Command {
    Command::StartPrivate { user: user.into(), unencrypted: false }
}

pub(super) fn stop(user: &str) -> Command {
    Command::StopPrivate { user: user.into() }
}

pub(super) fn accept(user: &str) -> Command {
    Command::Accept { user: user.into() }
}

pub(super) fn private(user: &str, text: &str) -> Command {
    Command::Private { user: user.into(), text: text.into() }
}

/// What became of each text, by what the screens say.
#[derive(Default)]
struct Fates {
    typed: BTreeMap<(usize, String), usize>,
    shown: BTreeMap<(usize, String), usize>,
    ups: [usize; 2],
    ends: [usize; 2],
}

impl Fates {
    /// Reads a screen; what it says of texts that were typed there.
    fn read(&mut self, at: usize, screen: &[Notice]) {
        for notice in screen {
            match notice {
                Notice::Answered { command: Command::Private { text, .. }, .. } => {
                    *self.typed.get_mut(&(at, text.clone())).unwrap() += 1;
                }
                Notice::Link(LinkNotice::Ended { texts, stood, .. }) => {
                    self.ends[at] += usize::from(*stood);
                    for it in texts {
                        *self.typed.get_mut(&(at, it.text.clone())).unwrap() += 1;
                    }
                }
                Notice::Link(LinkNotice::NotSent { texts, .. }) => {
                    for it in texts {
                        *self.typed.get_mut(&(at, it.text.clone())).unwrap() += 1;
                    }
                }
                Notice::Link(LinkNotice::Text { text, .. }) => {
                    *self.shown.entry((1 - at, text.clone())).or_default() += 1;
                }
                Notice::Link(LinkNotice::Up { .. }) => self.ups[at] += 1,
                _ => {}
            }
        }
    }
}

/// Returns how many links stood.
fn random_life(seed: u64) -> usize {
    let mut world = World::new(seed);
    let mut fates = Fates::default();
    for number in 0..120 {
        let at = usize::try_from(world.below(2)).unwrap();
        let other = NAMES[1 - at];
        match world.below(30) {
            0..4 => world.wants(at, start(other)),
            4..7 => world.wants(at, accept(other)),
            7 => world.wants(at, Command::Decline { user: other.into() }),
            8 => world.wants(at, stop(other)),
            9..13 => {
                let text = format!("t{number}");
                fates.typed.insert((at, text.clone()), 0);
                world.wants(at, private(other, &text));
            }
            13 => world.silence(),
            14 | 15 => world.hear(),
            16 => world.hang_up(at),
            17 => {
                let ms = world.below(12_000);
                world.wait(ms);
            }
            18 => world.has_relay = !world.has_relay,
            _ => {
                let steps = world.below(8);
                (0..steps).for_each(|_| _ = world.step());
            }
        }
        for end in &world.ends {
            let is_open =
                |state: &LinkState| !matches!(state, LinkState::Wanted | LinkState::Closing);
            let decided = end.links().into_iter().filter(is_open);
            assert!(decided.count() <= 1, "seed {seed}: {:?}", end.links());
        }
    }
    // Peace: what is under way comes to something, and both sides agree on what.
    world.hear();
    world.wait(180_000);
    world.hear();
    world.wait(60_000);
    assert_eq!(world.stands(0), world.stands(1), "seed {seed}");
    for at in [0, 1] {
        world.wants(at, stop(NAMES[1 - at]));
        world.settle();
    }
    world.wait(60_000);
    for at in [0, 1] {
        fates.read(at, &world.ends[at].screen);
    }
    for (text, told) in &fates.typed {
        assert_eq!(*told, 1, "seed {seed}: what became of {text:?} was told {told} times");
    }
    for (text, shown) in &fates.shown {
        assert_eq!(*shown, 1, "seed {seed}: {text:?}");
    }
    for at in [0, 1] {
        let done = world.ends[at].screen.iter().filter_map(|notice| match notice {
            Notice::Answered { command: Command::Private { text, .. }, answer: Answer::Done } => {
                Some((at, text.clone()))
            }
            _ => None,
        });
        for text in done {
            assert!(fates.shown.contains_key(&text), "seed {seed}: {text:?} was not shown");
        }
    }
    assert_eq!(fates.ups, fates.ends, "seed {seed}");
    fates.ups[0]
}

#[test]
fn whatever_happens_no_text_is_lost_silently_and_every_end_is_told() {
    let stood: usize = (0..200).map(random_life).sum();
    assert!(stood > 200, "{stood} links stood in all");
}

#[test]
fn both_asking_at_once_makes_one_link_in_every_order() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.wants(0, start("luke"));
        world.wants(1, start("hans"));
        world.wants(0, private("luke", "from hans"));
        world.wants(1, private("hans", "from luke"));
        world.settle();
        for at in [0, 1] {
            assert_eq!(world.ends[at].links(), [LinkState::Standing(Route::Direct)], "seed {seed}");
            let notices = world.ends[at].link_notices();
            let text = LinkNotice::Text {
                from: NAMES[1 - at].into(),
                text: format!("from {}", NAMES[1 - at]),
            };
            assert!(notices.contains(&text), "seed {seed}: {notices:?}");
            let questions = notices.iter().filter(|it| matches!(it, LinkNotice::Wanted { .. }));
            assert_eq!(questions.count(), 0, "seed {seed}");
        }
    }
}

#[test]
fn whoever_accepts_everything_is_not_asked() {
    let always = LinkOptions { carried: true, private: Private::Always, ..LinkOptions::default() };
    let mut world = World::with(1, [always.clone(), always]);
    world.wants(0, start("luke"));
    world.settle();
    assert!(world.stands(0) && world.stands(1));
}
