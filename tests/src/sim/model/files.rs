//! Files that people share: who may see which, and who can give them.

use whoelse_engine::Snapshot;
use whoelse_proto::share::folded;
use whoelse_proto::{FileHash, Layout, PartMap};

use super::{Model, Offer, Session, Shared, Word};

impl Model {
    pub(super) fn share(&mut self, now: u64, me: usize, offer: &Offer) -> &'static str {
        let Some(device) = self.device_of(me).filter(|_| self.makes_links(me)) else {
            return "BAD_REQUEST";
        };
        let with = match offer.with.as_ref().map(|names| self.scope(me, names)).transpose() {
            Ok(with) => with,
            Err(refusal) => return refusal,
        };
        if self.is_disk_full {
            return "SERVER_FULL";
        }
        let own = self.shares.keys().filter(|(owner, _)| *owner == me).count();
        let is_full =
            own >= self.rules.shares_max || self.shares.len() >= self.rules.shares_in_all_max;
        let known = self.shares.get(&(me, offer.hash));
        if known.is_none() && is_full || !self.may_claim(me, offer.hash) {
            return "TOO_MANY_FILES";
        }
        let (size, name, signature) = (offer.size, offer.name.clone(), offer.signature);
        let shared = Shared { size, name, with, device, signature, time: now };
        if known.is_none_or(|known| Shared { time: now, ..known.clone() } != shared) {
            self.shares.insert((me, offer.hash), shared);
        }
        self.mention(now, me, offer.hash);
        self.claim(me, offer.hash, PartMap::all(Layout::of(size).parts()).to_string());
        "SUCCESS"
    }

    fn scope(&self, me: usize, names: &[String]) -> Result<Vec<usize>, &'static str> {
        let mut people = Vec::new();
        for name in names {
            match self.find(name) {
                None => return Err("USER_NOT_EXIST"),
                Some(who) if who == me || people.contains(&who) => return Err("BAD_REQUEST"),
                Some(who) => people.push(who),
            }
        }
        Ok(people)
    }

    pub(super) fn unshare(&mut self, me: usize, hash: FileHash) -> &'static str {
        if self.shares.remove(&(me, hash)).is_none() {
            return "FILE_NOT_EXIST";
        }
        self.claim(me, hash, String::new());
        "SUCCESS"
    }

    pub(super) fn have(&mut self, now: u64, me: usize, hash: FileHash, text: &str) -> &'static str {
        if !self.makes_links(me) {
            return "BAD_REQUEST";
        }
        let seen = || {
            self.shares.iter().filter(|((owner, of), it)| *of == hash && self.sees(me, *owner, it))
        };
        if seen().next().is_none() {
            return "FILE_NOT_EXIST";
        }
        let mut fitting =
            seen().filter_map(|(_, it)| PartMap::parse(text, Layout::of(it.size).parts()).ok());
        let Some(parts) = fitting.next() else { return "BAD_REQUEST" };
        if parts.is_empty() {
            self.claim(me, hash, String::new());
            return "SUCCESS";
        }
        if !self.may_claim(me, hash) {
            return "TOO_MANY_FILES";
        }
        self.claim(me, hash, text.to_owned());
        self.mention(now, me, hash);
        "SUCCESS"
    }

    pub(super) fn own_shares(&self, me: usize) -> Word {
        let mut own: Vec<_> = self.shares.iter().filter(|((owner, _), _)| *owner == me).collect();
        own.sort_by_key(|((_, hash), it)| (folded(&it.name), *hash));
        let words = own
            .iter()
            .map(|((_, hash), _)| format!("{} {}", hash.0[0], self.givers(me, *hash).count()));
        words.collect::<Vec<_>>().join(" ").into()
    }

    pub(super) fn search_files(&self, me: usize, words: &str) -> Word {
        let has_all = |name: &str| {
            let name = folded(name);
            words.split_whitespace().all(|word| name.contains(&folded(word)))
        };
        let fits = |owner: usize, it: &Shared| {
            owner != me && self.sees(me, owner, it) && has_all(&it.name)
        };
        let mut found: Vec<_> =
            self.shares.iter().filter(|((owner, _), it)| fits(*owner, it)).collect();
        found.sort_by_key(|((owner, hash), it)| (folded(&it.name), *owner, *hash));
        let words = found.iter().map(|((owner, hash), _)| {
            let sources = self.givers(me, *hash).count();
            format!("{} {} {sources}", hash.0[0], self.people[*owner].name)
        });
        words.collect::<Vec<_>>().join(" ").into()
    }

    pub(super) fn sources(&self, me: usize, hash: FileHash) -> Word {
        if !self.makes_links(me) {
            return "BAD_REQUEST".into();
        }
        let mut of_it = self.shares.iter().filter(|((_, of), _)| *of == hash);
        if !of_it.any(|((owner, _), it)| self.sees(me, *owner, it)) {
            return "FILE_NOT_EXIST".into();
        }
        let mut words: Vec<String> = self
            .givers(me, hash)
            .map(|(who, session)| format!("{} {}", self.people[who].name, session.claims[&hash]))
            .collect();
        words.sort_unstable();
        words.join(" ").into()
    }

    /// Whether somebody may see a share, its owner included.
    fn sees(&self, who: usize, owner: usize, share: &Shared) -> bool {
        who == owner
            || share.with.as_ref().is_none_or(|with| with.contains(&who))
                && !self.is_block_between(who, owner)
    }

    fn is_block_between(&self, one: usize, other: usize) -> bool {
        self.people[one].blocks.contains(&other) || self.people[other].blocks.contains(&one)
    }

    /// Who is there and can give somebody parts of a file: whose own share this one sees, or, without one of
    /// its own, who sees the same share of it.
    fn givers(&self, me: usize, hash: FileHash) -> impl Iterator<Item = (usize, &Session)> {
        let sessions = self.people.iter().enumerate();
        let sessions = sessions.filter_map(|(who, person)| Some((who, person.session.as_ref()?)));
        sessions.filter(move |(who, session)| {
            let own = self.shares.get(&(*who, hash));
            let mut of_it = self
                .shares
                .iter()
                .filter(|((owner, of), _)| *of == hash && (own.is_none() || owner == who));
            *who != me
                && session.connection.is_some()
                && session.claims.contains_key(&hash)
                && !self.is_block_between(me, *who)
                && of_it.any(|((owner, _), it)| {
                    self.sees(me, *owner, it) && self.sees(*who, *owner, it)
                })
        })
    }

    fn makes_links(&self, who: usize) -> bool {
        let session = self.people[who].session.as_ref();
        session.is_some_and(|session| session.links && session.device.is_some())
    }

    fn may_claim(&self, me: usize, hash: FileHash) -> bool {
        let sessions = self.people.iter().filter_map(|person| person.session.as_ref());
        let all: usize = sessions.map(|session| session.claims.len()).sum();
        let own = self.people[me].session.as_ref().map(|session| &session.claims);
        own.is_some_and(|own| {
            let has_room = own.len() < self.rules.claims_max && all < self.rules.claims_in_all_max;
            own.contains_key(&hash) || has_room
        })
    }

    /// Parts that are none are taken back.
    fn claim(&mut self, me: usize, hash: FileHash, parts: String) {
        let Some(session) = &mut self.people[me].session else { return };
        if parts.is_empty() {
            session.claims.remove(&hash);
        } else {
            session.claims.insert(hash, parts);
        }
    }

    /// The owner has said something of a share.
    fn mention(&mut self, now: u64, me: usize, hash: FileHash) {
        let time = self.shares.get(&(me, hash)).map(|share| share.time);
        if time.is_some_and(|time| now - time >= self.rules.share_renewal_ms) {
            self.renew(now, me, hash);
        }
    }

    pub(super) fn renew(&mut self, now: u64, owner: usize, hash: FileHash) {
        if let Some(share) = self.shares.get_mut(&(owner, hash)) {
            share.time = now;
        }
    }

    /// What nobody has mentioned for long is gone, unless its owner can give it now.
    pub(super) fn expire(&mut self, now: u64) {
        let people = &self.people;
        let longest = self.rules.share_ms;
        self.shares.retain(|(owner, hash), share| {
            if share.time + longest > now {
                return true;
            }
            let session = people[*owner].session.as_ref();
            let is_given = session.is_some_and(|session| session.claims.contains_key(hash));
            share.time = now;
            is_given
        });
    }

    /// With a device goes what it shared, and with the last share of a file who has it.
    pub(super) fn forget_files(&mut self) {
        let (people, shares) = (&mut self.people, &mut self.shares);
        shares.retain(|(owner, _), share| {
            people[*owner].devices.iter().any(|device| device.key == share.device)
        });
        for session in people.iter_mut().filter_map(|person| person.session.as_mut()) {
            session.claims.retain(|hash, _| shares.keys().any(|(_, of)| of == hash));
        }
    }

    /// As under another server's id: signatures are worth nothing.
    pub fn forget_shares(&mut self) {
        self.shares.clear();
    }

    pub(super) fn compare_shares(&self, found: &Snapshot) -> Result<(), String> {
        let name = |who: &usize| self.people[*who].name.clone();
        let expected = self.shares.iter().map(|((owner, hash), it)| {
            let with = it.with.as_ref().map(|with| with.iter().map(name).collect::<Vec<_>>());
            (*owner, *hash, it.size, it.name.clone(), with, it.device, it.signature, it.time)
        });
        let found = found.shares.iter().map(|it| {
            let with = it.with.names().map(|names| names.iter().map(ToString::to_string).collect());
            let (owner, name) = (it.owner.index(), it.name.to_string());
            (owner, it.hash, it.size, name, with, it.device, it.signature, it.time.0)
        });
        super::past::same_all("shares", expected, found)
    }
}
