//! What is fetched: how it begins, how far it is, and how it ends.

use std::collections::BTreeMap;
use std::path::PathBuf;

use whoelse_proto::{FileHash, Layout, PartMap, request};

use super::super::Ask;
use super::find::Found;
use super::sources::Source;
use super::{Asked, Swarm};
use crate::core::{Core, Line};
use crate::links::offer::Offer;
use crate::links::swarm::{GetLine, GetProgress, Given, OfferFault, ShareLine};
use crate::links::{
    FileFailure, LinkEnd, LinkId, Seed, SwarmEvent, SwarmFile, SwarmNotice, SwarmOrder, SwarmWhy,
    Trust,
};
use crate::notice::Why;

/// Most files that are fetched at once.
const GETS_MAX: usize = 8;

/// Most files that were fetched in this run and are still given to others.
const DONE_MAX: usize = 56;

/// A file that is fetched, or was in this run.
pub(super) struct Get {
    /// In the list of files.
    number: u64,
    /// Who says what it is.
    pub(super) offer: Offer,
    pub(super) file: SwarmFile,
    /// Which parts others may have of us.
    pub(super) have: PartMap,
    progress: GetProgress,
    pub(super) starving: bool,
    /// It is whole.
    done: bool,
    pub(super) sources: Vec<Source>,
    /// When sources are asked for next.
    pub(super) ask_at_ms: u64,
    /// Who was at the other end of links that were made for it.
    pub(super) used: BTreeMap<LinkId, (String, String)>,
    /// What the server was told last that we have, in this session.
    claimed: Option<PartMap>,
    /// So many bytes were given in this run.
    given: u64,
}

impl Get {
    fn new(number: u64, offer: Offer, have: PartMap) -> Self {
        let (file, layout) = (offer.file(), Layout::of(offer.size));
        let done = have.iter().map(|part| layout.bytes(part)).sum();
        let (parts, parts_done) = (have.parts(), have.count());
        let total = file.size;
        Self {
            number,
            offer,
            file,
            have,
            progress: GetProgress { done, total, parts, parts_done, ..GetProgress::default() },
            starving: false,
            done: false,
            sources: Vec::new(),
            ask_at_ms: 0,
            used: BTreeMap::new(),
            claimed: None,
            given: 0,
        }
    }

    /// It is not whole.
    pub(super) fn is_active(&self) -> bool {
        !self.done
    }

    /// It is not whole, and somebody may have what is missing.
    pub(super) fn is_going(&self) -> bool {
        !self.done && !self.starving
    }

    pub(super) fn parts(&self) -> u32 {
        self.have.parts()
    }

    fn line(&self) -> GetLine {
        let Self { number, progress, starving, .. } = *self;
        GetLine { number, file: self.file.clone(), progress, starving }
    }

    /// Who gave what, the one that gave most first.
    fn given_by(&self, by: &[(LinkId, u64, u32)]) -> Vec<Given> {
        let mut all: BTreeMap<(String, String), (u64, u32)> = BTreeMap::new();
        for (link, bytes, parts) in by {
            let Some(who) = self.used.get(link) else { continue };
            let given = all.entry(who.clone()).or_default();
            *given = (given.0 + bytes, given.1 + parts);
        }
        let given = all.into_iter().filter(|(_, (bytes, _))| *bytes > 0);
        let mut given: Vec<Given> = given
            .map(|((user, device), (bytes, parts))| Given { user, device, bytes, parts })
            .collect();
        given.sort_by_key(|given| std::cmp::Reverse(given.bytes));
        given
    }
}

impl Swarm {
    pub(super) fn get(&mut self, hash: FileHash) -> Option<&mut Get> {
        self.gets.iter_mut().find(|get| get.file.hash == hash)
    }
}

impl Core {
    /// Begins to fetch what these offers are about.
    pub(super) fn begin_get(&mut self, now_ms: u64, found: Vec<Found>) -> Result<(), Why> {
        let Some(first) = found.first() else { return Err(Why::Swarm(SwarmWhy::NotFound)) };
        let (hash, sources) = (first.offer.hash, first.sources);
        let gets = &self.links.swarm.gets;
        if gets.iter().any(|get| get.is_active() && get.file.hash == hash) {
            return Err(Why::Swarm(SwarmWhy::BeingFetched));
        }
        if gets.iter().filter(|get| get.is_active()).count() >= GETS_MAX {
            return Err(Why::Swarm(SwarmWhy::TooManyGets));
        }
        if self.links.options.downloads.is_none() {
            return Err(Why::Swarm(SwarmWhy::NoFolder));
        }
        let mut faults = Vec::new();
        for Found { offer, .. } in found {
            match self.trust_in(&offer) {
                Ok(trust) => {
                    self.pin_owner(now_ms, &offer, trust);
                    self.fetch(offer, trust, u32::try_from(sources).unwrap_or(u32::MAX));
                    return Ok(());
                }
                Err(fault) => faults.push((offer, fault)),
            }
        }
        let Some((offer, why)) = faults.into_iter().next() else { return Ok(()) };
        self.refuse_owner(&offer, &why);
        self.unconfirmed = true;
        let (name, from) = (offer.file().name, offer.owner.to_string());
        self.notice_swarm(SwarmNotice::Untrusted { name, from, why });
        Ok(())
    }

    /// Whether an offer is of the person it names, and for this one.
    fn trust_in(&self, offer: &Offer) -> Result<Trust, OfferFault> {
        if !offer.is_signed() {
            return Err(OfferFault::Unsigned);
        }
        if !self.name().is_some_and(|me| offer.is_for(me)) {
            return Err(OfferFault::NotForUs);
        }
        let (owner, device) = (offer.owner.as_str(), &offer.device_name);
        match self.judge(owner, offer.device, device) {
            Trust::Changed => {
                let known = self.contradicted(owner, device);
                Err(OfferFault::Changed { device: device.clone(), known })
            }
            trust => Ok(trust),
        }
    }

    /// Remembers the device that has signed, as one that a link has shown.
    fn pin_owner(&mut self, now_ms: u64, offer: &Offer, trust: Trust) {
        let now_s = self.links.now_s(now_ms);
        if !matches!(trust, Trust::New | Trust::NewDevice) {
            return;
        }
        if let Ok(peers) = &mut self.links.peers {
            peers.pin(offer.owner.as_str(), offer.device, &offer.device_name, false, now_s);
        }
        self.keep_peers();
    }

    /// Another key is to be looked at before anything is fetched that it has signed.
    fn refuse_owner(&mut self, offer: &Offer, why: &OfferFault) {
        if matches!(why, OfferFault::Changed { .. }) {
            let refused = (offer.device, offer.device_name.clone());
            self.links.refused.insert(offer.owner.to_string(), refused);
        }
    }

    fn fetch(&mut self, offer: Offer, trust: Trust, sources: u32) {
        let number = self.links.next_id().0;
        let (hash, size, from) = (offer.hash, offer.size, offer.owner.to_string());
        let (file, note) = (offer.file(), offer.written());
        let name = file.name.clone();
        let have = PartMap::none(Layout::of(size).parts());
        let swarm = &mut self.links.swarm;
        swarm.gets.retain(|get| get.file.hash != hash);
        while swarm.gets.len() >= GETS_MAX + DONE_MAX {
            let Some(oldest) = swarm.gets.iter().position(|get| get.done) else { break };
            swarm.gets.remove(oldest);
        }
        swarm.gets.push(Get::new(number, offer, have));
        self.order_swarm(SwarmOrder::Get { hash, size, name, note });
        let sources = Some(sources);
        self.notice_swarm(SwarmNotice::Begun { number, file, from, trust, sources });
        self.ask_about_seed();
    }

    /// Says once a run what there is to decide.
    fn ask_about_seed(&mut self) {
        let swarm = &mut self.links.swarm;
        let is_open = swarm.seed.is_none() && self.links.options.seed == Seed::Ask;
        if is_open && self.config.interactive && !std::mem::replace(&mut swarm.seed_told, true) {
            let hidden = self.links.options.hide_address;
            self.notice_swarm(SwarmNotice::AskSeed { hidden });
        }
    }

    /// A get of an earlier run is not finished.
    pub(super) fn handle_get_kept(&mut self, hash: FileHash, size: u64, note: &str, done: PartMap) {
        if self.links.swarm.get(hash).is_some_and(|get| get.is_active()) {
            return;
        }
        let fits = |offer: &Offer| {
            let parts = Layout::of(size).parts();
            (offer.hash, offer.size, parts) == (hash, size, done.parts())
        };
        let Some(offer) = Offer::read(note).filter(fits) else {
            return self.order_swarm(SwarmOrder::CancelGet { hash });
        };
        match self.trust_in(&offer) {
            Ok(_) => {
                let number = self.links.next_id().0;
                let get = Get::new(number, offer, done);
                let (file, progress) = (get.file.clone(), get.progress);
                self.links.swarm.gets.retain(|get| get.file.hash != hash);
                self.links.swarm.gets.push(get);
                self.notice_swarm(SwarmNotice::Kept { number, file, progress });
            }
            Err(why) => {
                // A key that the person may still accept costs nobody what is here.
                if !matches!(why, OfferFault::Changed { .. }) {
                    self.order_swarm(SwarmOrder::CancelGet { hash });
                }
                self.refuse_owner(&offer, &why);
                self.notice_swarm(SwarmNotice::NotKept { file: offer.file(), why });
            }
        }
    }

    /// Something happened to what is fetched.
    pub(super) fn handle_get(&mut self, now_ms: u64, hash: FileHash, event: SwarmEvent) {
        let Some(get) = self.links.swarm.get(hash).filter(|get| get.is_active()) else { return };
        let (number, file) = (get.number, get.file.clone());
        match event {
            SwarmEvent::Progress(progress) => {
                get.starving &= progress.done <= get.progress.done;
                get.progress = progress;
                self.notice_swarm(SwarmNotice::Progress { number, file, progress });
                self.go_on_waiting(now_ms);
            }
            SwarmEvent::Parts { parts } if parts.parts() == get.parts() => get.have = parts,
            SwarmEvent::Starving => {
                get.progress.bytes_per_second = 0;
                let progress = get.progress;
                if !std::mem::replace(&mut get.starving, true) {
                    self.notice_swarm(SwarmNotice::Starving { number, file, progress });
                }
                self.hasten_asking(now_ms, hash);
            }
            SwarmEvent::Banned { link } => self.ban_source(hash, link),
            SwarmEvent::Spare { link } => self.spare_source(now_ms, hash, link),
            SwarmEvent::Received { path, by } => self.handle_received(hash, path, &by),
            SwarmEvent::NotReceived { why } => self.end_get(hash, why),
            _ => {}
        }
    }

    fn handle_received(&mut self, hash: FileHash, path: PathBuf, by: &[(LinkId, u64, u32)]) {
        let seeded = self.seeds();
        let Some(get) = self.links.swarm.get(hash) else { return };
        get.done = true;
        get.have = PartMap::all(get.parts());
        let (number, file, by) = (get.number, get.file.clone(), get.given_by(by));
        get.sources.clear();
        self.end_fetching(hash);
        self.notice_swarm(SwarmNotice::Received { number, file, path, by, seeded });
    }

    /// It comes to nothing.
    fn end_get(&mut self, hash: FileHash, why: FileFailure) {
        let gets = &mut self.links.swarm.gets;
        let Some(at) = gets.iter().position(|get| get.file.hash == hash) else { return };
        let get = gets.remove(at);
        self.end_fetching(hash);
        self.take_claim_back(&get);
        self.unconfirmed |= why != FileFailure::Cancelled;
        self.notice_swarm(SwarmNotice::Failed { file: get.file, why });
    }

    /// What was fetched is given to nobody any more.
    pub(super) fn stop_seeding(&mut self, hash: FileHash) {
        let is_it = |get: &Get| get.done && get.file.hash == hash;
        let gets = &mut self.links.swarm.gets;
        if let Some(at) = gets.iter().position(is_it) {
            let get = gets.remove(at);
            self.take_claim_back(&get);
        }
    }

    /// It is not in the list of gets any more: nobody gets any of it, and the server hears so.
    fn take_claim_back(&mut self, get: &Get) {
        self.review_serving();
        let in_session = matches!(self.line, Line::Session { .. });
        if in_session && get.claimed.as_ref().is_some_and(|claimed| !claimed.is_empty()) {
            let parts = PartMap::none(get.have.parts()).to_string();
            let command = request::Command::Have { hash: get.file.hash, parts: parts.into() };
            self.ask_server(Ask::Nothing, command);
        }
    }

    /// Closes the links over which a file was fetched.
    fn end_fetching(&mut self, hash: FileHash) {
        let links = self.links.all.iter().filter(|link| link.fetches(hash));
        let links: Vec<LinkId> = links.map(|link| link.id).collect();
        links.into_iter().for_each(|link| self.end_link(link, LinkEnd::Here));
    }

    /// The person gives a get up, named by its number; says whether there is one.
    pub(in crate::core::links) fn cancel_get(&mut self, which: &str) -> bool {
        let Ok(number) = which.parse::<u64>() else { return false };
        let is_it = |get: &&Get| get.number == number && get.is_active();
        let Some(hash) = self.links.swarm.gets.iter().find(is_it).map(|get| get.file.hash) else {
            return false;
        };
        self.order_swarm(SwarmOrder::CancelGet { hash });
        self.end_get(hash, FileFailure::Cancelled);
        true
    }

    pub(in crate::core) fn list_gets(&self) -> Vec<GetLine> {
        self.links.swarm.gets.iter().filter(|get| get.is_active()).map(Get::line).collect()
    }

    /// What was fetched and is given to others.
    pub(super) fn seeded_lines(&self) -> Vec<ShareLine> {
        let seeds = self.seeds();
        let gets = self.links.swarm.gets.iter().filter(|_| seeds);
        let line = |get: &Get| ShareLine {
            number: 0,
            file: get.file.clone(),
            with: None,
            sources: None,
            given: get.given,
            here: true,
        };
        gets.map(line).collect()
    }

    /// Whether what is fetched, or was, may be given to somebody.
    pub(super) fn seeds_to(&self, hash: FileHash, user: &str) -> bool {
        let mut gets = self.links.swarm.gets.iter().filter(|get| get.file.hash == hash);
        self.seeds() && gets.any(|get| get.offer.is_for(user))
    }

    pub(super) fn note_served(&mut self, hash: FileHash, bytes: u64) {
        let swarm = &mut self.links.swarm;
        let is_own = swarm.own.iter_mut().any(|own| own.note_served(&hash, bytes));
        if let Some(get) = swarm.get(hash).filter(|_| !is_own) {
            get.given += bytes;
        }
    }

    /// Tells the server which parts of what is fetched others can have from here.
    pub(super) fn drive_claims(&mut self) {
        let seeds = self.seeds();
        let mut due = Vec::new();
        for get in &self.links.swarm.gets {
            let hash = get.file.hash;
            let parts = if seeds { get.have.clone() } else { PartMap::none(get.parts()) };
            let is_told = match &get.claimed {
                Some(claimed) => *claimed == parts,
                None => parts.is_empty(),
            };
            if !is_told && !self.links.swarm.is_asked(&Asked::Have { hash }) {
                due.push((hash, parts));
            }
        }
        for (hash, parts) in due {
            let command = request::Command::Have { hash, parts: parts.to_string().into() };
            self.ask_swarm(Asked::Have { hash }, command);
            if let Some(get) = self.links.swarm.get(hash) {
                get.claimed = Some(parts);
            }
        }
    }

    /// A session has begun: the server knows nothing of what is here, and others may be back.
    pub(super) fn resume_gets(&mut self, now_ms: u64) {
        for get in &mut self.links.swarm.gets {
            get.claimed = None;
            get.ask_at_ms = now_ms;
            get.sources.iter_mut().for_each(Source::try_again);
        }
    }

    /// The client ends: what is fetched goes on in the next run.
    pub(super) fn end_gets(&mut self) {
        for get in std::mem::take(&mut self.links.swarm.gets) {
            if get.is_active() {
                self.unconfirmed |= !self.config.interactive;
                let Get { file, progress, .. } = get;
                self.notice_swarm(SwarmNotice::Waits { file, progress });
            }
        }
    }
}
