//! Private links: questions, how one is made, and what happens to it, without IO.
//!
//! The server introduces two devices to each other; the rest is between them. A link is made in
//! steps, the same on both sides: keys, a place at the relay, a card for the other side. Who asked
//! dials. `making` holds these steps, `standing` what comes after them, `wishes` what people type. Links for
//! shared files are made in the same way, and nobody is asked or told of them: see `swarm`.

mod files;
mod making;
mod safety;
mod standing;
mod swarm;
mod wishes;

use std::collections::{BTreeMap, VecDeque};

use whoelse_proto::{DeviceKey, EndpointKey, LinkName, LinkReason, Purpose, RelayTicket, request};

use super::{Action, Core, Line};
use crate::links::card::Context;
use crate::links::notice::NotSent;
use crate::links::{
    LINKS_MAX, LinkEnd, LinkId, LinkNotice, LinkOptions, PeerEvent, PeerOrder, PeerPlace, Peers,
    Route, Trust,
};
use crate::notice::Notice;

/// How long a link may take from the moment on when both have agreed.
const MAKING_MS_MAX: u64 = 30_000;

/// A link ends this long after [`PeerEvent::Silent`]: 8 s after the silence has begun.
const SILENT_MS_MAX: u64 = 4_000;

/// When our session is back, a relayed link may take so long to be heard again: the other client may
/// have tried to reach the server just before that was back, and then waits for half a minute.
const RESUME_MS_MAX: u64 = 45_000;

/// Most places at the relay that are given back when a session has begun: the server grants no more.
const PLACES_MAX: usize = 16;

/// Most requests about links that wait for an answer: more than are ever made of a server that answers.
const ASKED_MAX: usize = 256;

/// How long the end of a link waits for acknowledgements.
const CLOSING_MS_MAX: u64 = 2_000;

/// The server hears at most this often that a person does something it does not see.
const ACTIVE_MS: u64 = 10_000;

/// All links, and what is remembered for them.
pub(super) struct Links {
    options: LinkOptions,
    /// Why they cannot be read, if they cannot.
    peers: Result<Peers, String>,
    /// A time of our clock, and the seconds since 1970 at that time.
    wall: (u64, u64),
    /// How many were begun.
    made: u64,
    /// The oldest first.
    all: Vec<Link>,
    files: files::Files,
    swarm: swarm::Swarm,
    /// Places at the relay of links that ended while nobody could be told, the oldest first.
    over: VecDeque<EndpointKey>,
    /// What the server was asked, with the id of the request, the oldest first.
    asked: VecDeque<(String, Ask)>,
    /// Keys that were refused because others were known.
    refused: BTreeMap<String, (DeviceKey, String)>,
    /// Whose keys the person was shown last, by the name of whose they are.
    shown: BTreeMap<String, safety::Meant>,
    /// Places in the order of what was told, and the texts of links that stand there.
    told: VecDeque<(u64, LinkId, u64)>,
    /// The server is told of activity no sooner than this.
    active_at_ms: u64,
    /// Until then the clients of others may be on their way back to the server.
    resuming_until_ms: u64,
}

/// What the server was asked about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// To ask the other person.
    Start(LinkId),
    /// To let it use the relay.
    Relay(LinkId),
    /// To pass on an answer or a card.
    Pass(LinkId),
    /// To let it use the relay again, as before.
    RelayAgain,
    /// Something about files that are shared.
    Swarm(u64),
    /// Something that is of no consequence.
    Nothing,
}

/// A link.
struct Link {
    id: LinkId,
    /// What it is called while it is being made.
    name: LinkName,
    user: String,
    /// What it is for.
    purpose: Purpose,
    /// We have asked. The caller of a link for a file fetches, the other end serves.
    caller: bool,
    /// The other device and what it is called, once that is said.
    device: Option<(DeviceKey, String)>,
    /// What is known of it.
    trust: Trust,
    stage: Stage,
    /// Somebody carries it.
    carried: bool,
    /// What our end proves to have, and what lets it into the relay.
    keys: Option<(EndpointKey, RelayTicket)>,
    /// The server lets it into the relay.
    relay: bool,
    /// Our card is on its way.
    card_sent: bool,
    /// How the other end is reached.
    place: Option<PeerPlace>,
    /// What the other side has proven with an invite that was made here.
    proof: Option<[u8; 32]>,
    /// What was typed and is not acknowledged, the oldest first.
    texts: VecDeque<Text>,
    /// The number of the text that was sent last, and of the one that came last.
    sent: u64,
    heard: u64,
}

/// A text that is not acknowledged.
struct Text {
    text: String,
    /// Its number, once it was sent.
    number: Option<u64>,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server was asked to ask the other person.
    Starting,
    /// The other person was asked.
    Asked,
    /// The other person asks; ours knows of it, unless it is about to turn out that both ask.
    Wanted { told: bool },
    /// Both have agreed.
    Being { until_ms: u64 },
    /// It stands.
    Standing { route: Route },
    /// Nothing is heard. Without a time it waits for our session to come back.
    Interrupted { route: Route, until_ms: Option<u64> },
    /// It ends as soon as everything is acknowledged.
    Closing { until_ms: u64 },
}

impl Stage {
    fn until_ms(self) -> Option<u64> {
        match self {
            Self::Being { until_ms } | Self::Closing { until_ms } => Some(until_ms),
            Self::Interrupted { until_ms, .. } => until_ms,
            _ => None,
        }
    }

    /// It stands, heard or not.
    fn stands(self) -> bool {
        matches!(self, Self::Standing { .. } | Self::Interrupted { .. } | Self::Closing { .. })
    }
}

impl Links {
    pub(super) fn new(options: LinkOptions) -> Self {
        Self {
            options,
            peers: Ok(Peers::default()),
            wall: (0, 0),
            made: 0,
            all: Vec::new(),
            files: files::Files::default(),
            swarm: swarm::Swarm::default(),
            over: VecDeque::new(),
            asked: VecDeque::new(),
            refused: BTreeMap::new(),
            shown: BTreeMap::new(),
            told: VecDeque::new(),
            active_at_ms: 0,
            resuming_until_ms: 0,
        }
    }

    fn by_id(&mut self, id: LinkId) -> Option<&mut Link> {
        self.all.iter_mut().find(|link| link.id == id)
    }

    /// The link of talk with a person that is no mere question of theirs.
    fn with(&mut self, user: &str) -> Option<&mut Link> {
        let is_it = |link: &&mut Link| {
            link.is_with(user)
                && !matches!(link.stage, Stage::Wanted { .. } | Stage::Closing { .. })
        };
        self.all.iter_mut().find(is_it)
    }

    /// That person's oldest open question.
    fn question_of(&self, user: &str) -> Option<LinkId> {
        let wanted =
            |link: &&Link| link.is_with(user) && matches!(link.stage, Stage::Wanted { .. });
        self.all.iter().find(wanted).map(|link| link.id)
    }

    /// Whether there is a link with a person that only the two ends have to do with, and that is heard.
    fn holds(&self, user: &str) -> bool {
        let is_it = |link: &Link| {
            link.is_with(user)
                && !link.is_introduced()
                && !matches!(link.stage, Stage::Interrupted { .. } | Stage::Closing { .. })
        };
        self.all.iter().any(is_it)
    }

    /// The oldest question that ends nothing, if it is answered without asking the person.
    fn acceptable(&self) -> Option<LinkId> {
        let may_be = |link: &&Link| {
            let begins =
                !self.talks().any(|it| it.user == link.user && it.stage == Stage::Starting);
            matches!(link.stage, Stage::Wanted { .. }) && begins && !self.holds(&link.user)
        };
        self.talks().find(may_be).map(|link| link.id).filter(|_| !self.is_full())
    }

    fn is_full(&self) -> bool {
        let count = self.talks().filter(|link| !matches!(link.stage, Stage::Wanted { .. }));
        count.count() >= LINKS_MAX
    }

    /// The links over which people talk.
    fn talks(&self) -> impl Iterator<Item = &Link> {
        self.all.iter().filter(|link| link.purpose == Purpose::Talk)
    }

    fn next_id(&mut self) -> LinkId {
        self.made += 1;
        LinkId(self.made)
    }

    fn now_s(&self, now_ms: u64) -> u64 {
        let (at_ms, wall_s) = self.wall;
        wall_s + now_ms.saturating_sub(at_ms) / 1000
    }

    /// When something is to be done by itself.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.all.iter().filter_map(|link| link.stage.until_ms()).min()
    }

    /// Whether no text waits to be acknowledged that could still be.
    pub(super) fn is_idle(&self) -> bool {
        self.all.iter().all(|link| link.texts.is_empty()) && !self.swarm.waits()
    }

    /// How many answers about files are awaited that the person wants to see.
    pub(super) fn swarm_waiting(&self) -> usize {
        self.swarm.waiting()
    }

    pub(super) fn any_stands(&self) -> bool {
        self.all.iter().any(|link| link.stage.stands())
    }

    fn any_talk_stands(&self) -> bool {
        self.talks().any(|link| link.stage.stands())
    }
}

impl Link {
    fn new(
        id: LinkId,
        name: LinkName,
        user: &str,
        purpose: Purpose,
        caller: bool,
        stage: Stage,
    ) -> Self {
        Self {
            id,
            name,
            user: user.to_owned(),
            purpose,
            caller,
            device: None,
            trust: Trust::New,
            stage,
            carried: false,
            keys: None,
            relay: false,
            card_sent: false,
            place: None,
            proof: None,
            texts: VecDeque::new(),
            sent: 0,
            heard: 0,
        }
    }

    /// It is a link of talk with this person.
    fn is_with(&self, user: &str) -> bool {
        self.purpose == Purpose::Talk && self.user == user
    }

    /// The server still has to do with making it.
    fn is_introduced(&self) -> bool {
        match self.stage {
            Stage::Starting | Stage::Asked | Stage::Wanted { .. } => true,
            Stage::Being { .. } => !self.card_sent || self.place.is_none(),
            _ => false,
        }
    }

    fn not_sent(&mut self) -> Vec<NotSent> {
        let not_sent = |it: Text| NotSent { text: it.text, tried: it.number.is_some() };
        self.texts.drain(..).map(not_sent).collect()
    }
}

impl Core {
    /// What the profile remembers of other people's devices, at this many seconds since 1970. Without
    /// a profile there is nothing, and there are no links either.
    pub fn handle_peers(&mut self, now_ms: u64, now_s: u64, peers: Result<Peers, String>) {
        self.links.peers = peers;
        self.links.wall = (now_ms, now_s);
    }

    /// Whoever carries links reports.
    pub fn handle_peer(&mut self, now_ms: u64, event: PeerEvent) {
        if self.ending.is_some() {
            return;
        }
        match event {
            PeerEvent::Prepared { link, endpoint, ticket } => {
                self.handle_prepared(link, endpoint, ticket);
            }
            PeerEvent::Opened { link, addresses } => self.handle_opened(now_ms, link, addresses),
            PeerEvent::Up { link, route } => self.handle_up(now_ms, link, route),
            PeerEvent::Route { link, route } => self.handle_route(link, route),
            PeerEvent::Silent { link } => self.handle_silent(now_ms, link),
            PeerEvent::Heard { link } => self.handle_heard(link),
            PeerEvent::Text { link, number, text } => self.handle_text(link, number, text),
            PeerEvent::Acknowledged { link, number } => self.handle_text_shown(link, number),
            PeerEvent::Offering { number, file } => self.handle_offering(number, file),
            PeerEvent::File { file, event } => self.handle_file(now_ms, file, event),
            PeerEvent::Swarm { hash, what } => self.handle_swarm(now_ms, hash, what),
            PeerEvent::Bye { link } => self.end_link(link, LinkEnd::There),
            PeerEvent::Failed { link, why } => self.end_link(link, LinkEnd::Failed(why)),
        }
        self.accept_always(now_ms);
        self.drive_swarm(now_ms);
        self.go_on_leaving(now_ms);
    }

    /// Whether bytes of files are moving.
    pub(super) fn any_file_going(&self) -> bool {
        self.links.files.any_going() || self.links.swarm.is_busy()
    }

    /// Whether something can be said without the server.
    pub(super) fn any_link_stands(&self) -> bool {
        self.links.any_talk_stands() || self.unencrypted.any_stands()
    }

    /// Whether this client can make links: then the server is told so.
    pub(super) fn makes_links(&self) -> bool {
        self.links.options.carried
            && self.introduces()
            && self.links.peers.is_ok()
            && self.link.is_some_and(|link| link.key.is_some())
            && self.device().is_some()
    }

    /// Does what is due for links.
    pub(super) fn tick_links(&mut self, now_ms: u64) {
        let due = |link: &Link| link.stage.until_ms().is_some_and(|until_ms| until_ms <= now_ms);
        while let Some(link) = self.links.all.iter().find(|link| due(link)) {
            let end = match link.stage {
                Stage::Closing { .. } => LinkEnd::Here,
                Stage::Interrupted { .. } => LinkEnd::Silent,
                _ => LinkEnd::NotMade,
            };
            self.end_link(link.id, end);
        }
        self.accept_always(now_ms);
        self.drive_swarm(now_ms);
    }

    /// The session is gone; what needs the server to be made does not get made.
    pub(super) fn lose_links(&mut self) {
        self.links.asked.clear();
        self.lose_swarm();
        let introduced = self.links.all.iter().filter(|link| link.is_introduced());
        let introduced: Vec<LinkId> = introduced.map(|link| link.id).collect();
        introduced.into_iter().for_each(|link| self.end_link(link, LinkEnd::ServerLost));
        for link in &mut self.links.all {
            if let Stage::Interrupted { route: Route::Relayed, until_ms } = &mut link.stage {
                *until_ms = None;
            }
        }
    }

    /// A session has begun: the relay has to hear of links that it carried.
    pub(super) fn resume_links(&mut self, now_ms: u64) {
        if self.links.any_stands() {
            self.links.resuming_until_ms = now_ms + RESUME_MS_MAX;
        }
        let mut relayed = Vec::new();
        for link in &mut self.links.all {
            if let Stage::Interrupted { until_ms: until_ms @ None, .. } = &mut link.stage {
                *until_ms = Some(now_ms + RESUME_MS_MAX);
            }
            if let Some((endpoint, ticket)) = link.keys.clone().filter(|_| link.relay) {
                relayed.push((endpoint, ticket));
            }
        }
        // There are only so many places: these first.
        for endpoint in std::mem::take(&mut self.links.over) {
            let command = request::Command::Relay { endpoint, ticket: None };
            self.ask_server(Ask::Nothing, command);
        }
        for (endpoint, ticket) in relayed {
            let ticket = Some(ticket);
            self.ask_server(Ask::RelayAgain, request::Command::Relay { endpoint, ticket });
        }
        if self.makes_links() {
            self.actions.push_back(Action::Peer(PeerOrder::Relay));
        }
        self.resume_swarm(now_ms);
    }

    /// Ends all links: the client ends.
    pub(super) fn end_links(&mut self) {
        self.end_files();
        self.end_swarm();
        while let Some(link) = self.links.all.first() {
            self.end_link(link.id, LinkEnd::Leaving);
        }
    }

    /// Forgets a link, and says so where anybody has heard of it.
    fn end_link(&mut self, id: LinkId, end: LinkEnd) {
        let Some(at) = self.links.all.iter().position(|link| link.id == id) else { return };
        let mut link = self.links.all.remove(at);
        // What the server has ended it need not be told of.
        self.forget_link(&link, matches!(end, LinkEnd::Refused(_) | LinkEnd::ServerLost));
        if link.purpose != Purpose::Talk {
            return self.file_link_ended(&link, &end);
        }
        let texts = link.not_sent();
        self.unconfirmed |= !texts.is_empty();
        let user = link.user;
        match (link.stage, &end) {
            (Stage::Wanted { told: false }, _) | (Stage::Wanted { .. }, LinkEnd::Leaving) => {}
            (Stage::Wanted { told: true }, LinkEnd::Refused(reason)) => {
                self.notice_link(LinkNotice::NotWanted { user, reason: *reason });
            }
            (Stage::Wanted { told: true }, _) => {
                self.notice_link(LinkNotice::NotWanted { user, reason: LinkReason::Offline });
            }
            (stage, _) => {
                let stood = stage.stands();
                self.notice_link(LinkNotice::Ended { user: user.clone(), end, stood, texts });
                if !stood {
                    self.drop_files(&user);
                }
            }
        }
    }

    /// Tells everybody who has to do with a link that it is over.
    fn forget_link(&mut self, link: &Link, by_server: bool) {
        if link.carried {
            self.actions.push_back(Action::Peer(PeerOrder::Close { link: link.id }));
        }
        // The answer that there is a place may be on its way, and giving back what is not there is none.
        let place = link.keys.as_ref().map(|(endpoint, _)| *endpoint);
        if !matches!(self.line, Line::Session { .. }) {
            self.links.over.extend(place);
            let excess = self.links.over.len().saturating_sub(PLACES_MAX);
            self.links.over.drain(..excess);
            return;
        }
        if link.is_introduced() && !by_server && link.stage != (Stage::Wanted { told: false }) {
            let command = request::Command::EndPrivate { link: link.name.clone() };
            self.ask_server(Ask::Nothing, command);
        }
        if let Some(endpoint) = place {
            let command = request::Command::Relay { endpoint, ticket: None };
            self.ask_server(Ask::Nothing, command);
        }
    }

    /// Asks the server something that no person typed.
    fn ask_server(&mut self, ask: Ask, command: request::Command<'_>) {
        let id = self.outbox.make_id();
        let asked = &mut self.links.asked;
        if asked.len() >= ASKED_MAX {
            // A server that says nothing for so long is not going to; least is lost with what is of no
            // consequence.
            let at = asked.iter().position(|(_, ask)| *ask == Ask::Nothing);
            asked.remove(at.unwrap_or(0));
        }
        asked.push_back((id.as_str().to_owned(), ask));
        self.send_as(Some(id), command, true);
    }

    /// What both ends know of a card that this client makes, or that the other one does.
    fn card_context<'c>(&'c self, link: &'c Link, is_ours: bool) -> Context<'c> {
        let me = self.name().unwrap_or_default();
        let (from, to) = if is_ours { (me, link.user.as_str()) } else { (link.user.as_str(), me) };
        let from_caller = link.caller == is_ours;
        Context { server: self.mailbox.server(), link: &link.name, from, to, from_caller }
    }

    /// A name for a link that nobody can foresee.
    fn make_link_name(&self, id: LinkId) -> Option<LinkName> {
        let random =
            self.device()?.derive("whoelse-link-1", &format!("{}-{}", self.instance, id.0));
        LinkName::new(&whoelse_proto::InviteSecret::new(random).expose_text())
    }

    fn keep_peers(&mut self) {
        if let Ok(peers) = &self.links.peers {
            self.actions.push_back(Action::KeepPeers(peers.clone()));
        }
    }

    pub(super) fn notice_link(&mut self, notice: LinkNotice) {
        self.notice(Notice::Link(notice));
    }

    /// Whether this was asked for links; then what was asked, which is answered now.
    fn take_ask(&mut self, id: Option<&str>) -> Option<Ask> {
        let at = self.links.asked.iter().position(|(other, _)| id == Some(other))?;
        self.links.asked.remove(at).map(|(_, ask)| ask)
    }

    #[cfg(test)]
    pub(super) fn asks_about_links(&self) -> usize {
        self.links.asked.len()
    }
}
