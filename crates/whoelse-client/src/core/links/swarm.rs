//! Files that many fetch from many, without IO.
//!
//! The server knows who offers what and who says to have which parts; bytes go over links for files,
//! which are made and accepted without asking anybody: who shares has agreed. `shares` holds what is
//! offered from here, `find` what others offer, `gets` what is fetched, `sources` over which links,
//! and `serving` to whom what is here is given.

mod find;
mod gets;
mod serving;
mod shares;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
use whoelse_proto::Purpose;
use whoelse_proto::codec::Incoming;
use whoelse_proto::{FileHash, request};

use super::Ask;
use crate::command::Command;
use crate::core::answers::refusal;
use crate::core::{Action, Core, Line};
use crate::links::notice::LinkWhy;
use crate::links::{
    PeerOrder, Private, Seed, SwarmEvent, SwarmFile, SwarmNotice, SwarmOrder, SwarmWhy,
};
use crate::notice::{Answer, Notice, Refusal, Why};

use find::{Found, Then};
use gets::Get;
use shares::Own;

/// Fewest characters of a hash that mean it.
const HASH_CHARS_MIN: usize = 8;

/// Everything about files that are shared or fetched.
#[derive(Default)]
pub(in crate::core) struct Swarm {
    /// What was found last; its numbers are places in it.
    found: Vec<Found>,
    /// What is shared from here, the oldest first.
    own: Vec<Own>,
    /// Files of the list of shares that was shown last; its numbers are places in it.
    listed: Vec<FileHash>,
    /// What is fetched, and what was, the oldest first.
    gets: Vec<Get>,
    /// What the person has decided about giving others what was fetched.
    seed: Option<bool>,
    /// The person was told of that decision in this run.
    seed_told: bool,
    /// It was told how many files of earlier runs are shared again.
    still_told: bool,
    /// Whom the person has blocked in this run.
    blocked: BTreeSet<String>,
    /// What the server was asked.
    asked: BTreeMap<u64, Asked>,
}

/// What the server was asked about files.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// For files of such words.
    Search { words: String, then: Then },
    /// For what this person shares.
    Shares,
    /// To take an offer back.
    Unshare { which: String },
    /// To list a file of ours.
    Share { hash: FileHash },
    /// To note what we have of a file of ours.
    Own { hash: FileHash },
    /// To note what we have of what is fetched.
    Have { hash: FileHash },
    /// Who has parts of what is fetched.
    Sources { hash: FileHash },
    /// Who has parts, for the person.
    Holders { command: Command, file: SwarmFile },
}

impl Asked {
    /// What the person waits for with it.
    fn command(self) -> Option<Command> {
        match self {
            Self::Search { words, then: Then::Show } => Some(Command::SearchFiles { words }),
            Self::Search { then: Then::Do(command) | Then::Look(command), .. } => Some(command),
            Self::Shares => Some(Command::Shares),
            Self::Unshare { which } => Some(Command::Unshare { which }),
            Self::Holders { command, .. } => Some(command),
            Self::Share { .. } | Self::Own { .. } | Self::Have { .. } | Self::Sources { .. } => {
                None
            }
        }
    }
}

impl Swarm {
    /// Whether something is under way that what nobody types an end to waits for.
    pub(super) fn is_busy(&self) -> bool {
        self.own.iter().any(Own::is_reading) || self.gets.iter().any(Get::is_going)
    }

    /// How many answers are awaited that the person wants to see.
    pub(in crate::core) fn waiting(&self) -> usize {
        self.asked.values().filter(|asked| (*asked).clone().command().is_some()).count()
    }

    /// Whether an answer is awaited that the person wants to see.
    pub(super) fn waits(&self) -> bool {
        let new = |hash: &FileHash| self.own.iter().any(|own| own.is_new(hash));
        let lists = |asked: &Asked| matches!(asked, Asked::Share { hash } if new(hash));
        self.waiting() > 0 || self.asked.values().any(lists)
    }

    fn is_asked(&self, asked: &Asked) -> bool {
        self.asked.values().any(|other| other == asked)
    }
}

impl Core {
    /// What the profile remembers of whether others may have what is fetched.
    pub fn handle_seed(&mut self, seed: Option<bool>) {
        self.links.swarm.seed = seed;
    }

    /// Does what concerns files that many fetch from many.
    pub(super) fn do_with_swarm(
        &mut self,
        now_ms: u64,
        command: &Command,
    ) -> Option<Result<Option<Answer>, Why>> {
        let done = match command {
            Command::Share { path, with } => self.share(path, with),
            Command::Shares => self.ask_for_shares(),
            Command::Unshare { which } => self.unshare(which),
            Command::SearchFiles { words } => self.search_files(words),
            Command::SearchParts { .. } | Command::Get { .. } => {
                self.do_with_found(now_ms, command)
            }
            Command::Seed { yes } => Ok(Some(self.decide_seed(*yes))),
            Command::Private { user, text } => {
                let wanted = self.original_download(user, text)?;
                self.do_with_found(now_ms, &wanted)
            }
            _ => return None,
        };
        self.drive_swarm(now_ms);
        Some(done)
    }

    /// Shares and gets need all that links do, and that others may ask for them.
    fn may_share(&self) -> Result<(), Why> {
        self.may_search()?;
        self.may_make_links()?;
        match self.links.options.private {
            Private::Never => Err(Why::Swarm(SwarmWhy::Unwanted)),
            Private::Ask | Private::Always => Ok(()),
        }
    }

    fn may_search(&self) -> Result<(), Why> {
        if self.original {
            return Err(Why::Original);
        }
        match self.line {
            Line::Session { .. } => Ok(()),
            _ => Err(Why::Link(LinkWhy::NoConnection)),
        }
    }

    /// Whether this client deals with files of others at all, now.
    fn swarms(&self) -> bool {
        self.makes_links() && self.links.options.private != Private::Never
    }

    /// Whether others may have what was fetched here.
    fn seeds(&self) -> bool {
        self.swarms()
            && match self.links.options.seed {
                // What no person watches gives nothing away that it was not told to.
                Seed::Ask => self.config.interactive && self.links.swarm.seed == Some(true),
                Seed::Always => true,
                Seed::Never => false,
            }
    }

    fn decide_seed(&mut self, yes: Option<bool>) -> Answer {
        let Some(yes) = yes else {
            return Answer::Seed(match self.links.options.seed {
                Seed::Ask => self.links.swarm.seed,
                Seed::Always => Some(true),
                Seed::Never => Some(false),
            });
        };
        // What is typed counts more than how the program was started.
        self.links.options.seed = Seed::Ask;
        self.links.swarm.seed = Some(yes);
        self.links.swarm.seed_told = true;
        self.actions.push_back(Action::KeepSeed(yes));
        self.review_serving();
        Answer::Seed(Some(yes))
    }

    /// Whoever carries links reports something about files.
    pub(super) fn handle_swarm(&mut self, now_ms: u64, hash: Option<FileHash>, event: SwarmEvent) {
        match (event, hash) {
            (SwarmEvent::NotShared { number, why }, _) => self.handle_not_shared(number, why),
            (SwarmEvent::Shared { number, path, name, size, note }, Some(hash)) => {
                let file = SwarmFile { hash, name, size };
                self.handle_shared(number, path, file, &note);
            }
            (SwarmEvent::Changed { path }, Some(hash)) => self.handle_changed(hash, path),
            (SwarmEvent::Served { bytes, .. }, Some(hash)) => self.note_served(hash, bytes),
            (SwarmEvent::Kept { size, note, done }, Some(hash)) => {
                self.handle_get_kept(hash, size, &note, done);
            }
            (event, Some(hash)) => self.handle_get(now_ms, hash, event),
            (_, None) => {}
        }
    }

    /// The server answers something about files.
    pub(super) fn handle_swarm_answer(&mut self, now_ms: u64, number: u64, incoming: &Incoming) {
        let Some(asked) = self.links.swarm.asked.remove(&number) else { return };
        match asked {
            Asked::Search { words, then } => self.handle_files_found(now_ms, words, then, incoming),
            Asked::Shares => {
                let answer = self.list_shares(incoming);
                self.notice(Notice::Answered { command: Command::Shares, answer });
            }
            Asked::Unshare { which } => {
                let answer = match incoming.outcome() {
                    // It is what was wanted.
                    Some("SUCCESS" | "FILE_NOT_EXIST") => Answer::Done,
                    _ => refusal(incoming.clone()),
                };
                self.notice(Notice::Answered { command: Command::Unshare { which }, answer });
            }
            Asked::Share { hash } => self.handle_listed(hash, incoming),
            Asked::Own { hash } => self.handle_claimed(hash, incoming),
            Asked::Have { .. } => {}
            Asked::Sources { hash } => self.handle_sources(now_ms, hash, incoming),
            Asked::Holders { command, file } => {
                let answer = find::holders(&command, file, incoming);
                self.notice(Notice::Answered { command, answer });
            }
        }
    }

    /// Asks the server something about files.
    fn ask_swarm(&mut self, asked: Asked, command: request::Command<'_>) {
        let number = self.links.next_id().0;
        self.links.swarm.asked.insert(number, asked);
        self.ask_server(Ask::Swarm(number), command);
    }

    /// Does what is due, in an order that a test can tell: what is ours is listed, then sources are
    /// asked for and used.
    pub(super) fn drive_swarm(&mut self, now_ms: u64) {
        if self.ending.is_some() || !self.swarms() {
            return;
        }
        self.time_sources(now_ms);
        if self.swarms_now() {
            self.drive_shares();
            self.drive_claims();
            self.drive_sources(now_ms);
        }
    }

    /// Whether new links are made, and the server told of what is here. What nobody types an end to goes
    /// on until it is done.
    fn swarms_now(&self) -> bool {
        let in_session = matches!(self.line, Line::Session { .. });
        in_session && (self.leave.is_none() || self.is_end_of_input())
    }

    /// When something is to be done for files by itself.
    pub(in crate::core) fn swarm_deadline(&self) -> Option<u64> {
        if !self.swarms() {
            return None;
        }
        let asks_now = self.swarms_now();
        let swarm = &self.links.swarm;
        let deadline = |get: &Get| {
            let hash = get.file.hash;
            let asks = asks_now && get.is_active() && !swarm.is_asked(&Asked::Sources { hash });
            asks.then_some(get.ask_at_ms).into_iter().chain(get.source_deadline()).min()
        };
        swarm.gets.iter().filter_map(deadline).min()
    }

    /// The session is gone: nobody answers any more.
    pub(super) fn lose_swarm(&mut self) {
        let asked = std::mem::take(&mut self.links.swarm.asked);
        for command in asked.into_values().filter_map(Asked::command) {
            self.notice_unconfirmed(Notice::Uncertain { command });
        }
        self.unlist_shares();
    }

    /// A session has begun: the server hears what is here.
    pub(super) fn resume_swarm(&mut self, now_ms: u64) {
        self.unlist_shares();
        self.resume_gets(now_ms);
        self.drive_swarm(now_ms);
    }

    /// The client ends: whoever watches hears what becomes of it.
    pub(super) fn end_swarm(&mut self) {
        self.end_shares();
        self.end_gets();
    }

    fn order_swarm(&mut self, order: SwarmOrder) {
        self.actions.push_back(Action::Peer(PeerOrder::Swarm(order)));
    }

    fn notice_swarm(&mut self, notice: SwarmNotice) {
        self.notice(Notice::Swarm(notice));
    }
}

/// A refusal of the server, as one.
fn refused(incoming: &Incoming) -> Refusal {
    match refusal(incoming.clone()) {
        Answer::Refused(refusal) => refusal,
        _ => Refusal::new(Why::Other(String::new())),
    }
}

#[cfg(test)]
impl super::Links {
    /// The links over which files are fetched.
    pub(in crate::core) fn fetching(&self) -> Vec<crate::links::LinkId> {
        self.swarm.gets.iter().flat_map(|get| self.fetching_of(get.file.hash)).collect()
    }

    /// Those of one file.
    pub(in crate::core) fn fetching_of(&self, hash: FileHash) -> Vec<crate::links::LinkId> {
        self.all.iter().filter(|link| link.fetches(hash)).map(|link| link.id).collect()
    }

    /// How many links others fetch over.
    pub(in crate::core) fn serving_now(&self) -> usize {
        self.all.iter().filter(|link| link.serves().is_some()).count()
    }

    /// Every link over which is fetched is that of a source, and the other way round.
    pub(in crate::core) fn check_sources(&self) {
        use std::collections::BTreeSet;
        let sources = self.swarm.gets.iter().flat_map(|get| &get.sources);
        let used: BTreeSet<_> = sources.filter_map(sources::Source::link).collect();
        let made = self.all.iter().filter(|it| it.caller && it.purpose != Purpose::Talk);
        let made: BTreeSet<_> = made.map(|link| link.id).collect();
        assert_eq!(made, used);
    }
}
