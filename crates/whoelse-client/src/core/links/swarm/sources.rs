//! Over which links a file is fetched: the server says who has parts, and a few of these are asked for
//! a link. Who fails is tried again later, and meanwhile somebody else.

use whoelse_proto::codec::Incoming;
use whoelse_proto::{DeviceKey, FileHash, Layout, NewLink, PartMap, Purpose, request};

use super::super::{Ask, Link, Stage};
use super::Asked;
use super::gets::Get;
use crate::core::Core;
use crate::links::{FETCHING_MAX, LinkEnd, LinkId, SwarmNotice, SwarmOrder, Trust};

/// How long the other client may take to answer: nobody has to be asked there.
const ANSWER_MS_MAX: u64 = 20_000;

/// After how long a source that has failed is tried again, and how long after it did so often.
const RETRY_MS: u64 = 10_000;
const RETRY_LATER_MS: u64 = 60_000;
const FAILURES_MAX: u32 = 3;

/// How often sources are asked for while there are too few, or nobody has what is missing: so often
/// for each get that is under way, which leaves the person's own searches some of what the server
/// allows, and not more often than the least. Else the last holds.
const ASK_MS: u64 = 1_000;
const ASK_MS_MIN: u64 = 3_000;
const ASK_LATER_MS: u64 = 60_000;

/// Somebody who has parts of a file, by the word of the server.
pub(super) struct Source {
    user: String,
    key: DeviceKey,
    device: String,
    claims: PartMap,
    /// The server named it the last time.
    listed: bool,
    /// So often in a row there was no link.
    failures: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// A link was asked for then.
    Asked {
        link: LinkId,
        since_ms: u64,
    },
    /// There is one, or the two ends make it.
    Linked {
        link: LinkId,
    },
    /// There was one; it is tried again.
    Failed,
    /// It is tried again then.
    Waits {
        until_ms: u64,
    },
    /// It has another key than was known.
    Distrusted,
    /// It gave something else than the file, and is not asked any more.
    Banned,
}

impl Source {
    pub(super) fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Asked { link, .. } | State::Linked { link } => Some(link),
            _ => None,
        }
    }

    /// The server is back, and others with it.
    pub(super) fn try_again(&mut self) {
        if matches!(self.state, State::Failed | State::Waits { .. }) {
            (self.state, self.failures) = (State::Free, 0);
        }
    }

    /// Whether it has something that is missing.
    fn helps(&self, have: &PartMap) -> bool {
        self.claims.iter().any(|part| !have.contains(part))
    }
}

impl Get {
    fn linked(&self) -> usize {
        self.sources.iter().filter(|source| source.link().is_some()).count()
    }

    /// The best source that could be asked for a link.
    fn candidate(&self) -> Option<usize> {
        let free = |source: &Source| {
            source.state == State::Free && source.listed && source.helps(&self.have)
        };
        let all = self.sources.iter().enumerate().filter(|(_, source)| free(source));
        all.min_by_key(|(_, source)| source.failures).map(|(at, _)| at)
    }

    fn by_link(&mut self, link: LinkId) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| source.link() == Some(link))
    }

    /// When a source is tried again, or has not answered.
    pub(super) fn source_deadline(&self) -> Option<u64> {
        let waits = self.sources.iter().filter_map(|source| match source.state {
            State::Waits { until_ms } => Some(until_ms),
            State::Asked { since_ms, .. } => Some(since_ms + ANSWER_MS_MAX),
            _ => None,
        });
        waits.min()
    }
}

impl Link {
    /// It is made to fetch this file.
    pub(super) fn fetches(&self, hash: FileHash) -> bool {
        self.caller && self.purpose == Purpose::File(hash)
    }
}

impl Core {
    /// Notes what time has brought: who is tried again, and who does not answer.
    pub(super) fn time_sources(&mut self, now_ms: u64) {
        let mut silent = Vec::new();
        for source in self.links.swarm.gets.iter_mut().flat_map(|get| &mut get.sources) {
            match source.state {
                State::Asked { link, since_ms } if now_ms >= since_ms + ANSWER_MS_MAX => {
                    silent.push(link);
                }
                State::Waits { until_ms } if now_ms >= until_ms => source.state = State::Free,
                _ => {}
            }
        }
        silent.into_iter().for_each(|link| self.end_link(link, LinkEnd::NotMade));
        for source in self.links.swarm.gets.iter_mut().flat_map(|get| &mut get.sources) {
            if source.state == State::Failed {
                let later = source.failures >= FAILURES_MAX;
                let until_ms = now_ms + if later { RETRY_LATER_MS } else { RETRY_MS };
                source.state = State::Waits { until_ms };
            }
        }
    }

    /// Asks who has parts, and those for links who help.
    pub(super) fn drive_sources(&mut self, now_ms: u64) {
        let mut due = Vec::new();
        for get in self.links.swarm.gets.iter().filter(|get| get.is_active()) {
            let hash = get.file.hash;
            if now_ms >= get.ask_at_ms && !self.links.swarm.is_asked(&Asked::Sources { hash }) {
                due.push(hash);
            }
        }
        for hash in due {
            self.ask_swarm(Asked::Sources { hash }, request::Command::Sources { hash });
        }
        while let Some((hash, at)) = self.next_source() {
            self.link_to_source(now_ms, hash, at);
        }
    }

    /// The next source to be asked for a link: of the get with the fewest.
    fn next_source(&mut self) -> Option<(FileHash, usize)> {
        let active = || self.links.swarm.gets.iter().filter(|get| get.is_active());
        let linked: usize = active().map(Get::linked).sum();
        let wanting = active().filter_map(|get| Some((get, get.candidate()?)));
        let wanting = wanting.filter(|(get, _)| get.linked() < links_max(get));
        let (get, at) = wanting.min_by_key(|(get, _)| get.linked())?;
        let (hash, has) = (get.file.hash, get.linked());
        if linked < FETCHING_MAX {
            return Some((hash, at));
        }
        // There are as many as there may be: one that has none takes one of the get that has most.
        let richest = active().max_by_key(|get| get.linked()).filter(|get| get.linked() > 1)?;
        let link = richest.sources.iter().rev().find_map(Source::link).filter(|_| has == 0)?;
        let from = richest.file.hash;
        self.release(from, link, State::Free);
        Some((hash, at))
    }

    /// Ends the link to a source that has not failed.
    fn release(&mut self, hash: FileHash, link: LinkId, state: State) {
        let source = self.links.swarm.get(hash).and_then(|get| get.by_link(link));
        if let Some(source) = source {
            source.state = state;
        }
        self.end_link(link, LinkEnd::Here);
    }

    fn link_to_source(&mut self, now_ms: u64, hash: FileHash, at: usize) {
        let id = self.links.next_id();
        let name = self.make_link_name(id);
        let Some(get) = self.links.swarm.get(hash) else { return };
        let file = get.file.clone();
        let source = &mut get.sources[at];
        let Some(name) = name else {
            source.state = State::Banned;
            return;
        };
        let (user, key, device) = (source.user.clone(), source.key, source.device.clone());
        source.state = State::Asked { link: id, since_ms: now_ms };
        if self.judge(&user, key, &device) == Trust::Changed {
            return self.distrust_source(id, file, &user, key, device);
        }
        let purpose = Purpose::File(hash);
        self.links.all.push(Link::new(id, name.clone(), &user, purpose, true, Stage::Starting));
        let link = Some(NewLink { name, purpose });
        let command = request::Command::StartPrivate { user: user.as_str().into(), link };
        self.ask_server(Ask::Start(id), command);
    }

    /// The server says who has parts.
    pub(super) fn handle_sources(&mut self, now_ms: u64, hash: FileHash, incoming: &Incoming) {
        let me = self.name().unwrap_or_default().to_owned();
        let soon_ms = now_ms + self.ask_ms();
        let Some(get) = self.links.swarm.get(hash).filter(|get| get.is_active()) else { return };
        if !matches!(incoming.outcome(), Some("SUCCESS" | "FILE_NOT_EXIST")) {
            // It says nothing about who there is.
            let retry_ms = incoming.retry_after.unwrap_or(0).saturating_mul(1_000);
            get.ask_at_ms = soon_ms.max(now_ms.saturating_add(retry_ms.min(ASK_LATER_MS)));
            return;
        }
        get.sources.iter_mut().for_each(|source| source.listed = false);
        let parts = Layout::of(get.file.size).parts();
        for told in incoming.sources.iter().flatten().filter(|told| told.user != me) {
            let Ok(key) = DeviceKey::parse(&told.device) else { continue };
            // Those of another length are of a file that it is not.
            let Ok(claims) = PartMap::parse(&told.parts, parts) else { continue };
            let known = |source: &&mut Source| (&source.user, source.key) == (&told.user, key);
            if let Some(source) = get.sources.iter_mut().find(known) {
                (source.claims, source.listed) = (claims, true);
                continue;
            }
            let (user, device) = (told.user.clone(), told.device_name.clone());
            let (listed, failures, state) = (true, 0, State::Free);
            get.sources.push(Source { user, key, device, claims, listed, failures, state });
        }
        // Nobody needs to remember who is gone and was never any trouble.
        get.sources.retain(|source| source.listed || source.state != State::Free);
        self.time_asking(now_ms, hash);
    }

    /// Decides when sources are asked for the next time.
    fn time_asking(&mut self, now_ms: u64, hash: FileHash) {
        while let Some((hash, at)) = self.next_source() {
            self.link_to_source(now_ms, hash, at);
        }
        let soon_ms = self.ask_ms();
        let Some(get) = self.links.swarm.get(hash) else { return };
        let later = get.linked() >= links_max(get) && !get.starving;
        get.ask_at_ms = now_ms + if later { ASK_LATER_MS } else { soon_ms };
    }

    /// How soon sources of a file are asked for again.
    fn ask_ms(&self) -> u64 {
        let active = self.links.swarm.gets.iter().filter(|get| get.is_active()).count();
        u64::try_from(active).map_or(ASK_LATER_MS, |active| active * ASK_MS).max(ASK_MS_MIN)
    }

    /// Nobody has what is missing: whoever has is to be found soon, if enough were there before.
    pub(super) fn hasten_asking(&mut self, now_ms: u64, hash: FileHash) {
        let soon_ms = now_ms + self.ask_ms();
        if let Some(get) = self.links.swarm.get(hash) {
            get.ask_at_ms = get.ask_at_ms.min(soon_ms);
        }
    }

    /// A link for a file is being made.
    pub(in crate::core::links) fn use_file_link(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id(id).filter(|link| link.caller) else { return };
        let Purpose::File(hash) = link.purpose else { return };
        let (user, device) = (link.user.clone(), link.device.clone());
        let device = device.map(|(_, device)| device).unwrap_or_default();
        let Some(get) = self.links.swarm.get(hash) else { return };
        get.used.insert(id, (user, device));
        let Some(source) = get.by_link(id) else { return };
        source.state = State::Linked { link: id };
        let claims = source.claims.clone();
        self.order_swarm(SwarmOrder::AddSource { hash, link: id, claims });
    }

    /// A link for a file stands.
    pub(in crate::core::links) fn file_link_up(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id(id) else { return };
        let Purpose::File(hash) = link.purpose else { return };
        if !link.caller {
            return self.order_swarm(SwarmOrder::Allow { hash, link: id });
        }
        if let Some(source) = self.links.swarm.get(hash).and_then(|get| get.by_link(id)) {
            source.failures = 0;
        }
    }

    /// A link for a file is over; it is not in the list any more.
    pub(in crate::core::links) fn file_link_ended(&mut self, link: &Link, _: &LinkEnd) {
        let sources = self.links.swarm.gets.iter_mut().flat_map(|get| &mut get.sources);
        for source in sources.filter(|source| source.link() == Some(link.id)) {
            source.failures += 1;
            source.state = State::Failed;
        }
    }

    /// The server does not ask for a link; it is not in the list any more.
    pub(in crate::core::links) fn file_link_refused(&mut self, link: &Link, incoming: &Incoming) {
        let is_gone = incoming.outcome() == Some("FILE_NOT_EXIST");
        let sources = self.links.swarm.gets.iter_mut().flat_map(|get| &mut get.sources);
        for source in sources.filter(|source| source.link() == Some(link.id)) {
            source.listed &= !is_gone;
        }
        self.file_link_ended(link, &LinkEnd::NotMade);
    }

    /// The other end of a link for a file has another key than was known; the link is not in the list
    /// any more.
    pub(in crate::core::links) fn file_link_distrusted(
        &mut self,
        link: &Link,
        key: DeviceKey,
        device: String,
    ) {
        self.forget_link(link, false);
        let Purpose::File(hash) = link.purpose else { return };
        match self.links.swarm.get(hash).map(|get| get.file.clone()) {
            Some(file) if link.caller => {
                self.distrust_source(link.id, file, &link.user, key, device);
            }
            _ => self.distrust_asker(&link.user, key, device),
        }
    }

    fn distrust_source(
        &mut self,
        id: LinkId,
        file: crate::links::SwarmFile,
        user: &str,
        key: DeviceKey,
        device: String,
    ) {
        if let Some(source) = self.links.swarm.get(file.hash).and_then(|get| get.by_link(id)) {
            source.state = State::Distrusted;
        }
        let refused = (key, device.clone());
        let before = self.links.refused.insert(user.to_owned(), refused.clone());
        if before != Some(refused) {
            let user = user.to_owned();
            self.notice_swarm(SwarmNotice::SourceChanged { file, user, device });
        }
    }

    /// The person has accepted a key of somebody: it is as good as any other.
    pub(in crate::core::links) fn trust_sources(&mut self, now_ms: u64, user: &str) {
        let sources = self.links.swarm.gets.iter_mut().flat_map(|get| &mut get.sources);
        for source in sources.filter(|source| source.user == user) {
            if source.state == State::Distrusted {
                source.state = State::Free;
            }
        }
        self.drive_swarm(now_ms);
    }

    /// A source gave something else than the file.
    pub(super) fn ban_source(&mut self, hash: FileHash, link: LinkId) {
        let Some(get) = self.links.swarm.get(hash) else { return };
        let (file, who) = (get.file.clone(), get.used.get(&link).cloned());
        if let Some(source) = get.by_link(link) {
            source.state = State::Banned;
        }
        self.end_link(link, LinkEnd::Here);
        if let Some((user, device)) = who {
            self.notice_swarm(SwarmNotice::Banned { file, user, device });
        }
    }

    /// A source is of little use: if links are scarce, its link is for somebody else.
    pub(super) fn spare_source(&mut self, now_ms: u64, hash: FileHash, link: LinkId) {
        let linked: usize = self.links.swarm.gets.iter().map(Get::linked).sum();
        let Some(get) = self.links.swarm.get(hash) else { return };
        let is_scarce = linked >= FETCHING_MAX || get.linked() >= links_max(get);
        if is_scarce && get.candidate().is_some() && get.by_link(link).is_some() {
            self.release(hash, link, State::Waits { until_ms: now_ms + RETRY_LATER_MS });
        }
    }
}

/// Most links of a get: each is to give a part at least.
fn links_max(get: &Get) -> usize {
    let missing = get.parts().saturating_sub(get.have.count());
    FETCHING_MAX.min(usize::try_from(missing).unwrap_or(FETCHING_MAX)).max(1)
}
