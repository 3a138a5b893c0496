//! To whom what is here is given: whoever asks for a link is judged without asking the person, who
//! has agreed by sharing.

use whoelse_proto::{DeviceKey, FileHash, LinkAnswer, LinkName, LinkReason, Purpose, request};

use super::super::{Ask, Link, Stage};
use crate::command::Command;
use crate::core::Core;
use crate::links::{FETCHING_MAX, LinkEnd, LinkId, LinkNotice, SERVING_MAX, Trust};

impl Link {
    /// It was made by somebody who fetches a file from here.
    pub(super) fn serves(&self) -> Option<FileHash> {
        match self.purpose {
            Purpose::File(hash) if !self.caller => Some(hash),
            _ => None,
        }
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
                self.distrust_asker(&user, key, device);
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
        if trust == Trust::Changed {
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

    /// Something has changed about who may have what: whoever may not any more gets nothing more.
    pub(super) fn review_serving(&mut self) {
        let serving = self.links.all.iter().filter_map(|link| Some((link, link.serves()?)));
        let over = serving.filter(|(link, hash)| !self.may_serve(&link.user, *hash));
        let over: Vec<LinkId> = over.map(|(link, _)| link.id).collect();
        over.into_iter().for_each(|link| self.end_link(link, LinkEnd::Here));
    }

    /// Somebody wants a file with another key than was known. It is told once: nobody waits for it.
    pub(super) fn distrust_asker(&mut self, user: &str, key: DeviceKey, device: String) {
        let refused = (key, device.clone());
        let before = self.links.refused.insert(user.to_owned(), refused.clone());
        if before != Some(refused) {
            let known = self.contradicted(user, &device);
            let user = user.to_owned();
            self.notice_link(LinkNotice::Changed { user, device, known, asked_us: true });
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
