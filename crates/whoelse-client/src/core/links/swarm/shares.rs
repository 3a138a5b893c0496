//! What is shared from here: it is read through, signed, listed at the server, and claimed in each
//! session anew.

use std::path::{Path, PathBuf};

use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::SHARED_WITH_MAX;
use whoelse_proto::{FileHash, Layout, Name, PartMap, Scope, SharedName, request};

use super::super::Ask;
use super::{Asked, HASH_CHARS_MIN, refused};
use crate::core::{Core, Line};
use crate::links::offer::{Offer, Terms, scope};
use crate::links::swarm::{NotShared, ShareLine};
use crate::links::{FileFailure, SwarmFile, SwarmNotice, SwarmOrder, SwarmWhy};
use crate::notice::{Answer, Why};

/// Most files of ours about which the server is asked at once.
const LISTING_MAX: usize = 16;

/// Most files that are shared from here: the server lists no more of one person.
const OWN_MAX: usize = 1_000;

/// A file that is shared from here.
pub(super) struct Own {
    /// What its reading is called.
    number: u64,
    path: PathBuf,
    /// Once it is read.
    file: Option<SwarmFile>,
    /// Who may have it, as the person wants it.
    with: Scope,
    /// What is signed.
    offer: Option<Offer>,
    stage: Stage,
    /// It was shared in an earlier run.
    kept: bool,
    /// So many bytes were given in this run.
    given: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is read through.
    Reading,
    /// It is to be listed, as the person has just said.
    New,
    /// It is to be listed again: the server does not know it any more.
    Again,
    /// It was listed, and is to be claimed in this session.
    Unclaimed,
    /// The server was asked to list it for the first time.
    Listing,
    /// The server was asked to list it again, or to note that it is there.
    Claiming,
    /// Others can find it and ask for it.
    Here,
}

impl Own {
    pub(super) fn is_reading(&self) -> bool {
        self.stage == Stage::Reading
    }

    /// Whether the person waits to hear whether it is listed.
    pub(super) fn is_new(&self, hash: &FileHash) -> bool {
        self.stage == Stage::Listing && self.is(hash)
    }

    fn is(&self, hash: &FileHash) -> bool {
        self.file.as_ref().is_some_and(|file| file.hash == *hash)
    }

    /// Whether somebody may fetch it.
    pub(super) fn serves(&self, hash: &FileHash, user: &str) -> bool {
        self.is(hash) && self.offer.as_ref().is_some_and(|offer| offer.is_for(user))
    }

    pub(super) fn note_served(&mut self, hash: &FileHash, bytes: u64) -> bool {
        let is_it = self.is(hash);
        self.given += if is_it { bytes } else { 0 };
        is_it
    }

    pub(super) fn file(&self) -> Option<&SwarmFile> {
        self.file.as_ref()
    }
}

impl Core {
    /// The person wants to share a file.
    pub(super) fn share(&mut self, path: &Path, with: &[String]) -> Result<Option<Answer>, Why> {
        self.may_share()?;
        let with = self.scope_of(with)?;
        if self.links.swarm.own.len() >= OWN_MAX {
            return Err(Why::Swarm(SwarmWhy::TooManyShares));
        }
        let path = self.at_home(path);
        let number = self.links.next_id().0;
        self.links.swarm.own.push(Own {
            number,
            path: path.clone(),
            file: None,
            with: with.clone(),
            offer: None,
            stage: Stage::Reading,
            kept: false,
            given: 0,
        });
        self.notice_swarm(SwarmNotice::Reading { path: path.clone(), with });
        self.order_swarm(SwarmOrder::Share { number, path });
        Ok(None)
    }

    fn scope_of(&self, with: &[String]) -> Result<Scope, Why> {
        if with.is_empty() {
            return Ok(Scope::Everyone);
        }
        if with.len() > SHARED_WITH_MAX {
            return Err(Why::Swarm(SwarmWhy::TooManyNames));
        }
        let mut names: Vec<Name> = Vec::new();
        for user in with {
            if self.is_me(user) {
                return Err(Why::Yourself);
            }
            let name = Name::new(user).map_err(|_| Why::UserNotExist)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Scope::People(names.into()))
    }

    /// It was read through, now or in an earlier run.
    pub(super) fn handle_shared(
        &mut self,
        number: Option<u64>,
        path: PathBuf,
        file: SwarmFile,
        note: &str,
    ) {
        let Some(number) = number else { return self.take_up_share(path, file, note) };
        let swarm = &mut self.links.swarm;
        let Some(at) = swarm.own.iter().position(|own| own.number == number) else {
            // It was given up meanwhile, unless it was shared before.
            if !swarm.own.iter().any(|own| own.is(&file.hash)) {
                self.order_swarm(SwarmOrder::Unshare { hash: file.hash });
            }
            return;
        };
        let name = SharedName::new(file.name.as_str());
        if file.size == 0 || name.is_err() {
            let why = if file.size == 0 { NotShared::Empty } else { NotShared::Name };
            swarm.own.remove(at);
            self.order_swarm(SwarmOrder::Unshare { hash: file.hash });
            return self.tell_not_shared(path.display().to_string(), why);
        }
        let mut own = swarm.own.remove(at);
        // The same file again takes the place of what was said of it before.
        if let Some(before) = swarm.own.iter().position(|own| own.is(&file.hash)) {
            let before = swarm.own.remove(before);
            (own.offer, own.given) = (before.offer, before.given);
        }
        (own.file, own.path, own.stage) = (Some(file), path, Stage::New);
        swarm.own.push(own);
    }

    /// Goes on with a share of an earlier run.
    fn take_up_share(&mut self, path: PathBuf, file: SwarmFile, note: &str) {
        let me = self.name().unwrap_or_default();
        let offer = Offer::read(note).filter(|offer| {
            let is_it = (offer.hash, offer.size) == (file.hash, file.size);
            is_it && offer.owner.as_str() == me && offer.is_signed()
        });
        let Some(offer) = offer else {
            return self.order_swarm(SwarmOrder::Unshare { hash: file.hash });
        };
        let number = self.links.next_id().0;
        let (with, stage) = (offer.with.clone(), Stage::Unclaimed);
        let (file, offer) = (Some(file), Some(offer));
        let own = Own { number, path, file, with, offer, stage, kept: true, given: 0 };
        self.links.swarm.own.push(own);
    }

    pub(super) fn handle_not_shared(&mut self, number: u64, why: FileFailure) {
        let own = &mut self.links.swarm.own;
        let Some(at) = own.iter().position(|own| own.number == number) else { return };
        let what = own.remove(at).path.display().to_string();
        self.tell_not_shared(what, NotShared::File(why));
    }

    fn tell_not_shared(&mut self, what: String, why: NotShared) {
        self.unconfirmed = true;
        self.notice_swarm(SwarmNotice::NotShared { what, why });
    }

    /// A file is not what it was any more.
    pub(super) fn handle_changed(&mut self, hash: FileHash, path: PathBuf) {
        self.forget_share(hash);
        if matches!(self.line, Line::Session { .. }) {
            self.ask_server(Ask::Nothing, request::Command::Unshare { hash });
        }
        self.notice_swarm(SwarmNotice::Changed { path });
    }

    fn forget_share(&mut self, hash: FileHash) {
        self.links.swarm.own.retain(|own| !own.is(&hash));
        self.review_serving();
    }

    /// Tells the server what is shared from here, a few files at a time.
    pub(super) fn drive_shares(&mut self) {
        let asked = |own: &&Own| matches!(own.stage, Stage::Listing | Stage::Claiming);
        let mut free =
            LISTING_MAX.saturating_sub(self.links.swarm.own.iter().filter(asked).count());
        while free > 0 {
            let due = |own: &Own| matches!(own.stage, Stage::New | Stage::Again | Stage::Unclaimed);
            let Some(at) = self.links.swarm.own.iter().position(due) else { break };
            self.list_share(at);
            free -= 1;
        }
        self.tell_still_shared();
    }

    fn list_share(&mut self, at: usize) {
        let server = self.mailbox.server();
        let own = &self.links.swarm.own[at];
        let is_known = own.offer.as_ref().is_some_and(|offer| offer.server == server);
        let Some(file) = own.file.clone() else { return };
        if own.stage == Stage::Unclaimed && is_known {
            self.links.swarm.own[at].stage = Stage::Claiming;
            let parts = PartMap::all(Layout::of(file.size).parts()).to_string();
            let command = request::Command::Have { hash: file.hash, parts: parts.into() };
            return self.ask_swarm(Asked::Own { hash: file.hash }, command);
        }
        let is_new = own.stage == Stage::New;
        self.links.swarm.own[at].stage = if is_new { Stage::Listing } else { Stage::Claiming };
        let Some(offer) = self.sign_share(at) else { return };
        let with = offer.with.names();
        let with = with.map(|names| names.iter().map(|name| name.to_string().into()).collect());
        let share = whoelse_proto::Share {
            hash: offer.hash,
            size: offer.size,
            name: offer.name.clone(),
            with,
            signature: offer.signature,
        };
        self.ask_swarm(Asked::Share { hash: file.hash }, request::Command::Share(share));
    }

    fn sign_share(&self, at: usize) -> Option<Offer> {
        let own = &self.links.swarm.own[at];
        let file = own.file.as_ref()?;
        let name = match &own.offer {
            Some(offer) if own.kept => offer.name.clone(),
            _ => SharedName::new(file.name.as_str()).ok()?,
        };
        let owner = Name::new(self.name()?).ok()?;
        let terms = Terms { hash: file.hash, size: file.size, name, with: own.with.clone() };
        Some(Offer::make(self.mailbox.server(), owner, self.device()?, terms))
    }

    /// The server has listed a file, or refused to.
    pub(super) fn handle_listed(&mut self, hash: FileHash, incoming: &Incoming) {
        let Some(at) = self.links.swarm.own.iter().position(|own| own.is(&hash)) else { return };
        if incoming.outcome() != Some("SUCCESS") {
            return self.handle_unlisted(at, hash, incoming);
        }
        let Some(offer) = self.sign_share(at) else { return };
        let own = &mut self.links.swarm.own[at];
        if !matches!(own.stage, Stage::Listing | Stage::Claiming) {
            return;
        }
        let is_new = own.stage == Stage::Listing;
        let (note, file, with) = (offer.written(), offer.file(), own.with.clone());
        (own.offer, own.stage) = (Some(offer), Stage::Here);
        self.order_swarm(SwarmOrder::NoteShare { hash, note });
        if is_new {
            self.notice_swarm(SwarmNotice::Shared { file, with });
        }
        // Not everybody who might have it until now may have it now.
        self.review_serving();
    }

    fn handle_unlisted(&mut self, at: usize, hash: FileHash, incoming: &Incoming) {
        let mut why = NotShared::Refused(refused(incoming));
        let own = &mut self.links.swarm.own[at];
        let what = own.file.as_ref().map(|file| file.name.to_string()).unwrap_or_default();
        if own.stage == Stage::Claiming && incoming.outcome() == Some("USER_NOT_EXIST") {
            // Nobody chose these names just now: whoever is gone is left out.
            let gone = incoming.user.as_deref().unwrap_or_default();
            if let Scope::People(names) = &own.with {
                let left: Box<[Name]> =
                    names.iter().filter(|name| name.as_str() != gone).cloned().collect();
                if !left.is_empty() && left.len() < names.len() {
                    (own.with, own.stage) = (Scope::People(left), Stage::Again);
                    return;
                }
                why = if left.is_empty() { NotShared::NobodyLeft } else { why };
            }
        }
        match own.offer.as_ref().filter(|_| own.stage == Stage::Listing) {
            // What was offered before still is.
            Some(offer) => (own.with, own.stage) = (offer.with.clone(), Stage::Unclaimed),
            None => {
                self.forget_share(hash);
                self.order_swarm(SwarmOrder::Unshare { hash });
            }
        }
        self.tell_not_shared(what, why);
    }

    /// The server has noted that a file is here, or does not know it any more.
    pub(super) fn handle_claimed(&mut self, hash: FileHash, incoming: &Incoming) {
        let Some(own) = self.links.swarm.own.iter_mut().find(|own| own.is(&hash)) else { return };
        if own.stage == Stage::Claiming {
            let is_gone = incoming.outcome() == Some("FILE_NOT_EXIST");
            own.stage = if is_gone { Stage::Again } else { Stage::Here };
        }
    }

    /// Says once how much of earlier runs is shared again.
    fn tell_still_shared(&mut self) {
        let swarm = &mut self.links.swarm;
        let here = |own: &Own| own.stage == Stage::Here;
        if !swarm.still_told && !swarm.own.is_empty() && swarm.own.iter().all(here) {
            swarm.still_told = true;
            let count = swarm.own.iter().filter(|own| own.kept).count();
            if count > 0 {
                self.notice_swarm(SwarmNotice::StillShared { count });
            }
        }
    }

    /// The server has heard nothing of what is here, or nobody knows what of it.
    pub(super) fn unlist_shares(&mut self) {
        for own in &mut self.links.swarm.own {
            own.stage = match own.stage {
                Stage::Here | Stage::Claiming => Stage::Unclaimed,
                Stage::Listing => Stage::New,
                stage => stage,
            };
        }
    }

    /// The client ends: what is read through is not shared.
    pub(super) fn end_shares(&mut self) {
        for own in std::mem::take(&mut self.links.swarm.own) {
            let is_new = matches!(own.stage, Stage::Reading | Stage::New | Stage::Listing);
            if is_new {
                let why = NotShared::File(FileFailure::Cancelled);
                self.tell_not_shared(own.path.display().to_string(), why);
            }
        }
    }

    /// Asks for the list of what is shared; without a server there is what is known here.
    pub(super) fn ask_for_shares(&mut self) -> Result<Option<Answer>, Why> {
        if self.may_search().is_err() {
            return Ok(Some(self.list_shares(&Incoming::default())));
        }
        self.ask_swarm(Asked::Shares, request::Command::Shares);
        Ok(None)
    }

    pub(super) fn list_shares(&mut self, incoming: &Incoming) -> Answer {
        if incoming.outcome().is_some_and(|outcome| outcome != "SUCCESS") {
            return Answer::Refused(refused(incoming));
        }
        let swarm = &self.links.swarm;
        let mut lines: Vec<ShareLine> = Vec::new();
        for told in incoming.files.iter().flatten() {
            let (Ok(hash), Some(with)) = (FileHash::parse(&told.hash), scope(told.with.as_deref()))
            else {
                continue;
            };
            let own = swarm.own.iter().find(|own| own.is(&hash));
            let name = whoelse_proto::FileName::of(&told.name);
            lines.push(ShareLine {
                number: 0,
                file: SwarmFile { hash, name, size: told.size },
                with: Some(with),
                sources: Some(told.sources),
                given: own.map_or(0, |own| own.given),
                here: own.is_some(),
            });
        }
        for own in &swarm.own {
            let (Some(file), Some(offer)) = (&own.file, &own.offer) else { continue };
            if !lines.iter().any(|line| line.file.hash == file.hash) {
                let (with, sources) = (Some(offer.with.clone()), None);
                let (file, given) = (file.clone(), own.given);
                lines.push(ShareLine { number: 0, file, with, sources, given, here: true });
            }
        }
        lines.extend(self.seeded_lines());
        for (line, number) in lines.iter_mut().zip(1..) {
            line.number = number;
        }
        self.links.swarm.listed = lines.iter().map(|line| line.file.hash).collect();
        Answer::Shares(lines)
    }

    /// The person takes an offer back.
    pub(super) fn unshare(&mut self, which: &str) -> Result<Option<Answer>, Why> {
        let hash = self.shared_as(which)?;
        self.may_search()?;
        // Nobody gets anything of it from now on, whatever the server says.
        self.forget_share(hash);
        self.stop_seeding(hash);
        self.order_swarm(SwarmOrder::Unshare { hash });
        let asked = Asked::Unshare { which: which.to_owned() };
        self.ask_swarm(asked, request::Command::Unshare { hash });
        Ok(None)
    }

    fn shared_as(&self, which: &str) -> Result<FileHash, Why> {
        let swarm = &self.links.swarm;
        let named = |own: &&Own| {
            own.file.as_ref().is_some_and(|file| {
                let hash = file.hash.to_string();
                file.name.as_str() == which
                    || own.offer.as_ref().is_some_and(|offer| offer.name.as_str() == which)
                    || (which.len() >= HASH_CHARS_MIN && hash.starts_with(which))
            })
        };
        let named = swarm.own.iter().filter(named).filter_map(|own| own.file());
        let named: Vec<FileHash> = named.map(|file| file.hash).collect();
        match (named.as_slice(), which.parse::<usize>()) {
            ([hash], _) => Ok(*hash),
            ([], Ok(number)) => {
                let listed = number.checked_sub(1).and_then(|at| swarm.listed.get(at));
                listed.copied().ok_or(Why::Swarm(SwarmWhy::NotShared))
            }
            ([], Err(_)) => FileHash::parse(which).map_err(|_| Why::Swarm(SwarmWhy::NotShared)),
            _ => Err(Why::Swarm(SwarmWhy::SeveralShares)),
        }
    }
}
