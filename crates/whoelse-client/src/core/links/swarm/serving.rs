//! To whom what is here is given: whoever asks for a link is judged without asking the person, who
//! has agreed by sharing.

use whoelse_proto::{DeviceKey, FileHash, LinkAnswer, LinkName, LinkReason, Purpose, request};

use super::super::{Ask, Link, Stage};
use super::Swarm;
use crate::command::Command;
use crate::core::Core;
use crate::links::{FETCHING_MAX, LinkEnd, LinkId, SERVING_MAX, SwarmFile, SwarmNotice, Trust};

impl Link {
    /// It was made by somebody who fetches a file from here.
    pub(super) fn serves(&self) -> Option<FileHash> {
        match self.purpose {
            Purpose::File(hash) if !self.caller => Some(hash),
            _ => None,
        }
    }
}

impl Swarm {
    /// What is known of a file that is shared or fetched.
    fn file(&self, hash: FileHash) -> Option<SwarmFile> {
        let own = self.own.iter().filter_map(|own| own.file());
        let mut all = own.chain(self.gets.iter().map(|get| &get.file));
        all.find(|file| file.hash == hash).cloned()
    }
}

impl Core {
    /// Somebody wants to fetch a file from here.
    pub(in crate::core::links) fn handle_file_wanted(
        &mut self,
        now_ms: u64,
        user: String,
        name: LinkName,
        (key, device): (DeviceKey, String),
        hash: FileHash,
    ) {
        let trust = self.judge(&user, key, &device);
        if let Some(reason) = self.why_not_served(&user, hash, trust) {
            let answer = LinkAnswer::Decline(reason);
            self.ask_server(Ask::Nothing, request::Command::AnswerPrivate { link: name, answer });
            if reason == LinkReason::KeyChanged {
                self.distrust_asker(&user, hash, key, device);
            }
            return;
        }
        if let Some(old) = self.serving(&user, hash) {
            // Who asks anew has lost the one there was.
            self.end_link(old, LinkEnd::Replaced);
        }
        let id = self.links.next_id();
        let stage = Stage::Wanted { told: false };
        let mut link = Link::new(id, name, &user, Purpose::File(hash), false, stage);
        (link.device, link.trust) = (Some((key, device)), trust);
        self.links.all.push(link);
        self.begin_making(now_ms, id);
    }

    fn why_not_served(&self, user: &str, hash: FileHash, trust: Trust) -> Option<LinkReason> {
        if !self.swarms() || self.leave.is_some() {
            return Some(LinkReason::NotWanted);
        }
        if !self.may_serve(user, hash) {
            return Some(LinkReason::Declined);
        }
        if trust == Trust::Changed || (trust == Trust::NewDevice && !self.is_for_all(hash)) {
            return Some(LinkReason::KeyChanged);
        }
        // One that is lost makes room for the one in its place.
        let lost = self.serving(user, hash);
        let others = self.links.all.iter().filter(|link| Some(link.id) != lost);
        let others: Vec<&Link> = others.filter(|link| link.serves().is_some()).collect();
        // Nobody's client makes more, so that nobody takes all there are.
        let theirs = others.iter().filter(|link| link.user == user).count();
        let is_full = others.len() >= SERVING_MAX || theirs >= FETCHING_MAX;
        is_full.then_some(LinkReason::Busy)
    }

    /// The link over which somebody fetches a file from here.
    fn serving(&self, user: &str, hash: FileHash) -> Option<LinkId> {
        let is_it = |link: &&Link| link.user == user && link.serves() == Some(hash);
        self.links.all.iter().find(is_it).map(|link| link.id)
    }

    /// Whether somebody may have a file from here: by what its sharer has signed.
    fn may_serve(&self, user: &str, hash: FileHash) -> bool {
        let swarm = &self.links.swarm;
        !swarm.blocked.contains(user)
            && (swarm.own.iter().any(|own| own.serves(&hash, user)) || self.seeds_to(hash, user))
    }

    /// Whether everybody may have a file from here.
    fn is_for_all(&self, hash: FileHash) -> bool {
        self.links.swarm.own.iter().any(|own| own.is_open(&hash)) || self.seeds_to_all(hash)
    }

    /// Over this link somebody fetches what only some may have, with what trust.
    fn asker_of_some(&self, id: LinkId) -> Option<Trust> {
        let link = self.links.all.iter().find(|link| link.id == id)?;
        link.serves().filter(|hash| !self.is_for_all(*hash)).map(|_| link.trust)
    }

    /// Whether somebody fetches what only some may have, and is met for the first time.
    pub(in crate::core::links) fn is_first_asker(&self, id: LinkId) -> bool {
        self.asker_of_some(id) == Some(Trust::New)
    }

    /// Whether somebody fetches what only some may have, from a device that became a new one of somebody
    /// known while the link was made.
    pub(in crate::core::links) fn is_unexpected_asker(&self, id: LinkId) -> bool {
        self.asker_of_some(id) == Some(Trust::NewDevice)
    }

    pub(in crate::core::links) fn tell_first_asker(&mut self, id: LinkId) {
        let Some(link) = self.links.all.iter().find(|link| link.id == id) else { return };
        let (user, hash) = (link.user.clone(), link.serves());
        let device = link.device.as_ref().map(|(_, device)| device.clone()).unwrap_or_default();
        if let Some(file) = hash.and_then(|hash| self.links.swarm.file(hash)) {
            self.notice_swarm(SwarmNotice::FirstAsker { file, user, device });
        }
    }

    /// Something has changed about who may have what: whoever may not any more gets nothing more.
    pub(super) fn review_serving(&mut self) {
        let serving = self.links.all.iter().filter_map(|link| Some((link, link.serves()?)));
        let over = serving.filter(|(link, hash)| !self.may_serve(&link.user, *hash));
        let over: Vec<LinkId> = over.map(|(link, _)| link.id).collect();
        over.into_iter().for_each(|link| self.end_link(link, LinkEnd::Here));
    }

    /// Somebody wants a file with another key than was known, or from a device that was not. It is told
    /// once: nobody waits for it.
    pub(super) fn distrust_asker(
        &mut self,
        user: &str,
        hash: FileHash,
        key: DeviceKey,
        device: String,
    ) {
        let refused = (key, device.clone());
        let before = self.links.refused.insert(user.to_owned(), refused.clone());
        let file = self.links.swarm.file(hash);
        if let Some(file) = file.filter(|_| before != Some(refused)) {
            let known = self.contradicted(user, &device);
            let user = user.to_owned();
            self.notice_swarm(SwarmNotice::AskerRefused { file, user, device, known });
        }
    }

    /// The person has blocked somebody, or does not any more: nothing goes to or comes from them.
    pub(in crate::core) fn note_block(&mut self, command: &Command) {
        match command {
            Command::Block { user } => {
                self.links.swarm.blocked.insert(user.clone());
                let theirs = self.links.all.iter();
                let theirs = theirs.filter(|it| it.user == *user && it.purpose != Purpose::Talk);
                let theirs: Vec<LinkId> = theirs.map(|link| link.id).collect();
                theirs.into_iter().for_each(|link| self.end_link(link, LinkEnd::Here));
            }
            Command::Unblock { user } => drop(self.links.swarm.blocked.remove(user)),
            _ => {}
        }
    }
}
