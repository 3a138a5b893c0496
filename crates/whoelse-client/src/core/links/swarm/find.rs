//! What others share: it is searched for, and named by number, name, owner and name, or hash.

use std::ops::RangeInclusive;

use whoelse_proto::codec::Incoming;
use whoelse_proto::share::folded;
use whoelse_proto::{FileHash, Layout, PartMap, request};

use super::{Asked, HASH_CHARS_MIN, refused};
use crate::command::Command;
use crate::core::Core;
use crate::links::offer::Offer;
use crate::links::swarm::{FoundFile, Holder, Holders};
use crate::links::{SwarmFile, SwarmWhy};
use crate::notice::{Answer, Notice, Refusal, Why};

/// What begins the private text by which original clients ask for a part of a file.
const DOWNLOAD: &str = "download";

/// A file that others share, with the offer as it was told.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) offer: Offer,
    pub(super) sources: u64,
}

/// What follows a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The person sees what was found.
    Show,
    /// What the person wants is done with what was found.
    Do(Command),
    /// As before, and there is nothing more to search for.
    Look(Command),
}

/// Which files are meant.
enum Meant {
    /// Offers of the same file.
    One(Vec<Found>),
    Several(Vec<Found>),
    Nothing,
}

impl Found {
    fn is_named(&self, which: &str) -> bool {
        let name = self.offer.name.as_str();
        let named = |text: &str| name == text || self.offer.file().name.as_str() == text;
        let of_owner = which.split_once('/');
        let of_owner =
            of_owner.is_some_and(|(user, text)| user == self.offer.owner.as_str() && named(text));
        named(which) || of_owner || is_hash(which, &self.offer.hash)
    }

    fn is_alike(&self, which: &str) -> bool {
        folded(self.offer.name.as_str()) == folded(which)
    }

    fn line(&self) -> FoundFile {
        FoundFile {
            file: self.offer.file(),
            from: self.offer.owner.to_string(),
            with: self.offer.with.clone(),
            sources: self.sources,
        }
    }
}

fn is_hash(which: &str, hash: &FileHash) -> bool {
    which.len() >= HASH_CHARS_MIN && hash.to_string().starts_with(which)
}

impl Core {
    /// The person looks for files.
    pub(super) fn search_files(&mut self, words: &str) -> Result<Option<Answer>, Why> {
        self.may_search()?;
        self.search(words.to_owned(), Then::Show);
        Ok(None)
    }

    fn search(&mut self, words: String, then: Then) {
        let asked = Asked::Search { words: words.clone(), then };
        self.ask_swarm(asked, request::Command::SearchFiles { words: words.into() });
    }

    /// The server has found files, or has not.
    pub(super) fn handle_files_found(
        &mut self,
        now_ms: u64,
        words: String,
        then: Then,
        incoming: &Incoming,
    ) {
        if incoming.outcome() != Some("SUCCESS") {
            let Some(command) = (Asked::Search { words, then }).command() else { return };
            let answer = Answer::Refused(refused(incoming));
            return self.notice(Notice::Answered { command, answer });
        }
        let server = self.mailbox.server();
        let files = incoming.files.iter().flatten();
        let found = files.filter_map(|file| {
            Some(Found { offer: Offer::told(server, file)?, sources: file.sources })
        });
        self.links.swarm.found = found.collect();
        let (command, is_last) = match then {
            Then::Show => {
                let answer = self.show_found(incoming.more == Some(true));
                let command = Command::SearchFiles { words };
                return self.notice(Notice::Answered { command, answer });
            }
            Then::Do(command) => (command, false),
            Then::Look(command) => (command, true),
        };
        let (Command::Get { which } | Command::SearchParts { which, .. }) = &command else {
            return;
        };
        let done = match self.meant_by(which) {
            // Names can be searched for, and hashes only looked for in all there is.
            Meant::Nothing if !is_last && which.len() >= HASH_CHARS_MIN => {
                return self.search(String::new(), Then::Look(command));
            }
            meant => self.do_with_meant(now_ms, &command, meant),
        };
        self.tell_done(command, done);
    }

    fn show_found(&self, more: bool) -> Answer {
        let files = self.links.swarm.found.iter().map(Found::line).collect();
        Answer::SharedFiles { files, more }
    }

    /// Does what is wanted with a file that was found, or is found now.
    pub(super) fn do_with_found(
        &mut self,
        now_ms: u64,
        command: &Command,
    ) -> Result<Option<Answer>, Why> {
        let which = match command {
            Command::Get { which } => {
                self.may_share()?;
                which
            }
            Command::SearchParts { which, .. } => {
                self.may_search()?;
                self.may_make_links()?;
                which
            }
            _ => return Ok(None),
        };
        if let Ok(number) = which.parse::<usize>() {
            let found = number.checked_sub(1).and_then(|at| self.links.swarm.found.get(at));
            let hash = found.ok_or(Why::Swarm(SwarmWhy::NoNumber))?.offer.hash;
            let offers = self.links.swarm.found.iter().filter(|it| it.offer.hash == hash);
            // The one that was named comes first, others may vouch for the same.
            let mut offers: Vec<Found> = offers.cloned().collect();
            let named = &self.links.swarm.found[number - 1].offer;
            offers.sort_by_key(|it| it.offer != *named);
            return self.do_with_meant(now_ms, command, Meant::One(offers));
        }
        if let (Command::SearchParts { .. }, Some(file)) = (command, self.file_here(which)) {
            return Ok(self.ask_for_holders(command, file));
        }
        match self.meant_by(which) {
            Meant::Nothing => {
                let words = which.split_once('/').map_or(which.as_str(), |(_, name)| name);
                self.search(words.to_owned(), Then::Do(command.clone()));
                Ok(None)
            }
            meant => self.do_with_meant(now_ms, command, meant),
        }
    }

    fn do_with_meant(
        &mut self,
        now_ms: u64,
        command: &Command,
        meant: Meant,
    ) -> Result<Option<Answer>, Why> {
        let offers = match meant {
            Meant::Nothing => return Err(Why::Swarm(SwarmWhy::NotFound)),
            Meant::Several(several) => {
                // Their numbers are those of what is shown last.
                let files = several.iter().map(Found::line).collect();
                self.links.swarm.found = several;
                return Ok(Some(Answer::SeveralFiles(files)));
            }
            Meant::One(offers) => offers,
        };
        match command {
            Command::SearchParts { .. } => {
                let file = offers.first().map(|found| found.offer.file());
                Ok(file.and_then(|file| self.ask_for_holders(command, file)))
            }
            _ => self.begin_get(now_ms, offers).map(|()| None),
        }
    }

    fn meant_by(&self, which: &str) -> Meant {
        let found = &self.links.swarm.found;
        let mut these: Vec<Found> = found.iter().filter(|it| it.is_named(which)).cloned().collect();
        if these.is_empty() {
            these = found.iter().filter(|it| it.is_alike(which)).cloned().collect();
        }
        match these.first().map(|it| it.offer.hash) {
            None => Meant::Nothing,
            Some(hash) if these.iter().all(|it| it.offer.hash == hash) => Meant::One(these),
            Some(_) => Meant::Several(these),
        }
    }

    /// A file that is fetched or shared here, by its name or its hash.
    fn file_here(&self, which: &str) -> Option<SwarmFile> {
        let swarm = &self.links.swarm;
        let files = swarm.gets.iter().map(|get| &get.file);
        let mut files = files.chain(swarm.own.iter().filter_map(|own| own.file()));
        files.find(|file| file.name.as_str() == which || is_hash(which, &file.hash)).cloned()
    }

    fn ask_for_holders(&mut self, command: &Command, file: SwarmFile) -> Option<Answer> {
        let hash = file.hash;
        let asked = Asked::Holders { command: command.clone(), file };
        self.ask_swarm(asked, request::Command::Sources { hash });
        None
    }

    /// What a person of the original system types to fetch a part: with files that are known it means
    /// to fetch all of it; everything else is a text.
    pub(super) fn original_download(&self, user: &str, text: &str) -> Option<Command> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [DOWNLOAD, file, part] = words.as_slice() else { return None };
        part.parse::<u32>().ok()?;
        let of_user = |it: &&Found| it.offer.owner.as_str() == user && it.is_named(file);
        if let Some(found) = self.links.swarm.found.iter().find(of_user) {
            let which = [user, found.offer.name.as_str()].join("/");
            return Some(Command::Get { which });
        }
        let is_known = self.links.swarm.found.iter().any(|it| it.is_named(file))
            || self.links.swarm.gets.iter().any(|get| get.file.name.as_str() == *file);
        is_known.then(|| Command::Get { which: (*file).to_owned() })
    }
}

/// Who has parts of a file, of those that were asked for.
pub(super) fn holders(command: &Command, file: SwarmFile, incoming: &Incoming) -> Answer {
    if incoming.outcome() != Some("SUCCESS") {
        return Answer::Refused(refused(incoming));
    }
    let parts = Layout::of(file.size).parts();
    let asked: Vec<RangeInclusive<u32>> = match command {
        Command::SearchParts { parts, .. } => parts.clone(),
        _ => Vec::new(),
    };
    if asked.iter().any(|range| *range.start() == 0 || *range.end() > parts || range.is_empty()) {
        return Answer::Refused(Refusal::new(Why::Swarm(SwarmWhy::NoParts)));
    }
    let wanted = |map: &PartMap| {
        map.iter().any(|part| asked.is_empty() || asked.iter().any(|it| it.contains(&(part + 1))))
    };
    let told = incoming.sources.iter().flatten();
    let holders = told.filter_map(|source| {
        let parts = PartMap::parse(&source.parts, parts).ok().filter(wanted)?;
        let (user, device) = (source.user.clone(), source.device_name.clone());
        Some(Holder { user, device, parts })
    });
    let holders = holders.collect();
    Answer::Holders(Holders { file, parts, asked, holders })
}
