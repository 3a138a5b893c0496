//! Files over links: who offers what to whom, and how it goes on.
//!
//! Whoever carries links reads, sends and keeps what is unfinished. Here it is decided what of that is
//! done and told. A transfer gets its number in the list when it begins here, and keeps it in this run.

use std::path::{Path, PathBuf};

use whoelse_proto::FileName;

use crate::core::{Action, Core};
use crate::links::files::{
    FileEvent, FileFailure, FileId, FileLine, FileNotice, FileOf, FileState, Progress,
};
use crate::links::notice::LinkWhy;
use crate::links::{LinkId, PeerOrder};
use crate::notice::{Answer, Notice, Refusal, Why};

/// Most transfers in the list: some more than whoever carries them takes, so that refusals are told.
const FILES_MAX: usize = 128;

/// All transfers.
#[derive(Default)]
pub(in crate::core) struct Files {
    /// The oldest first.
    all: Vec<Transfer>,
}

struct Transfer {
    /// Counted with links, so that it is known which question is older.
    number: u64,
    /// What it is called by whoever carries it, once that is said.
    id: Option<FileId>,
    file: FileOf,
    stage: At,
}

/// How far a transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// Ours; it is looked at whether there is such a file.
    Checking(PathBuf),
    /// Ours; it waits for a link.
    Linking(PathBuf),
    /// Ours; it is read through.
    Reading,
    /// Ours; they have not answered.
    Asked { size: u64 },
    /// Theirs; the person here has not answered.
    Wanted { link: LinkId, size: u64 },
    /// Theirs; it is wanted, and about to begin.
    Agreed { size: u64 },
    /// It is under way.
    Going(Progress),
    /// Its link is gone.
    Waiting(Progress),
}

impl Files {
    /// Whether bytes are moving.
    pub(in crate::core) fn any_going(&self) -> bool {
        let going =
            |it: &Transfer| matches!(it.stage, At::Going(_) | At::Reading | At::Checking(_));
        self.all.iter().any(going)
    }

    fn by_id(&mut self, id: FileId) -> Option<&mut Transfer> {
        self.all.iter_mut().find(|it| it.id == Some(id))
    }

    fn by_number(&mut self, number: u64) -> Option<&mut Transfer> {
        self.all.iter_mut().find(|it| it.number == number)
    }

    /// That person's oldest offer that is not answered: its number, and which it is.
    pub(super) fn offer_of(&self, user: &str) -> Option<(u64, FileId)> {
        let wanted = |it: &&Transfer| it.file.user == user && matches!(it.stage, At::Wanted { .. });
        let it = self.all.iter().find(wanted)?;
        Some((it.number, it.id?))
    }

    fn take(&mut self, number: u64) -> Option<Transfer> {
        let at = self.all.iter().position(|it| it.number == number)?;
        Some(self.all.remove(at))
    }
}

impl Core {
    /// The person wants to send a file.
    pub(super) fn send_file(&mut self, user: &str, path: &Path) -> Result<Option<Answer>, Why> {
        if self.is_me(user) {
            return Err(Why::Yourself);
        }
        self.may_make_links()?;
        if self.links.files.all.len() >= FILES_MAX {
            return Err(Why::Link(LinkWhy::TooManyFiles));
        }
        let path = self.at_home(path);
        let number = self.links.next_id().0;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let file = FileOf { user: user.to_owned(), name: FileName::of(&name), sending: true };
        let stage = At::Checking(path.clone());
        self.links.files.all.push(Transfer { number, id: None, file, stage });
        self.actions.push_back(Action::Peer(PeerOrder::CheckFile { number, path }));
        Ok(None)
    }

    /// A path as people type it to a shell, which would have put the home folder into it.
    pub(super) fn at_home(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.config.links.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    /// Whether there is such a file as the person wants to send.
    pub fn handle_file_checked(
        &mut self,
        now_ms: u64,
        number: u64,
        found: Result<(), FileFailure>,
    ) {
        let Some(it) = self.links.files.by_number(number) else { return };
        let At::Checking(path) = &it.stage else { return };
        let (user, path) = (it.file.user.clone(), path.clone());
        if let Err(why) = found {
            return self.end_file(number, why);
        }
        match self.links.with(&user).map(|link| (link.id, link.stage)) {
            Some((link, stage)) if stage.stands() => return self.offer_file(number, link, path),
            Some(_) => {}
            // Nothing else is asked of that person for a file than for a talk.
            None => {
                // If it is refused at once, that takes this with it.
                if let Some(it) = self.links.files.by_number(number) {
                    it.stage = At::Linking(path.clone());
                }
                if let Err(why) = self.start_link(now_ms, &user) {
                    self.links.files.take(number);
                    let command = crate::Command::SendFile { user, path };
                    let answer = Answer::Refused(Refusal::new(why));
                    return self.notice(Notice::Answered { command, answer });
                }
            }
        }
        let Some(it) = self.links.files.by_number(number) else { return };
        it.stage = At::Linking(path);
        let file = it.file.clone();
        self.notice_file(FileNotice::Waits { file });
    }

    fn offer_file(&mut self, number: u64, link: LinkId, path: PathBuf) {
        if let Some(it) = self.links.files.by_number(number) {
            it.stage = At::Reading;
            self.actions.push_back(Action::Peer(PeerOrder::OfferFile { number, link, path }));
        }
    }

    /// A link stands: what has waited for it is offered.
    pub(super) fn offer_files(&mut self, id: LinkId) {
        let Some(user) = self.links.by_id(id).map(|link| link.user.clone()) else { return };
        let waiting = self.links.files.all.iter().filter_map(|it| match &it.stage {
            At::Linking(path) if it.file.user == user => Some((it.number, path.clone())),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        for (number, path) in waiting {
            self.offer_file(number, id, path);
        }
    }

    /// Nothing came of a link: what has waited for it is not sent.
    pub(super) fn drop_files(&mut self, user: &str) {
        let waits = |it: &Transfer| it.file.user == user && matches!(it.stage, At::Linking(_));
        let waiting = self.links.files.all.iter().filter(|it| waits(it));
        let waiting: Vec<_> = waiting.map(|it| it.number).collect();
        for number in waiting {
            self.end_file(number, FileFailure::NoLink);
        }
    }

    /// Whoever carries links calls a transfer of ours like this.
    pub(super) fn handle_offering(&mut self, number: u64, id: FileId) {
        match self.links.files.by_number(number) {
            Some(it) => it.id = Some(id),
            // It was cancelled in the meantime.
            None => self.actions.push_back(Action::Peer(PeerOrder::CancelFile { file: id })),
        }
    }

    /// Something happened to a file.
    pub(super) fn handle_file(&mut self, now_ms: u64, id: FileId, event: FileEvent) {
        match event {
            FileEvent::Offered { link, name, size } => {
                self.handle_file_offered(id, link, name, size);
            }
            FileEvent::Kept { device, name, size, sending } => {
                self.handle_file_kept(id, &device, name, size, sending);
            }
            FileEvent::Asked { name, size } => {
                let Some(it) = self.links.files.by_id(id) else { return };
                it.file.name = name;
                it.stage = At::Asked { size };
                let file = it.file.clone();
                self.notice_file(FileNotice::Asked { file, size });
            }
            FileEvent::Started => {
                let Some(it) = self.links.files.by_id(id) else { return };
                let (again, progress) = match it.stage {
                    At::Waiting(progress) => (true, progress),
                    At::Asked { size } | At::Agreed { size } => {
                        (false, Progress { total: size, ..Progress::default() })
                    }
                    _ => return,
                };
                it.stage = At::Going(progress);
                let file = it.file.clone();
                self.notice_file(FileNotice::Started { file, again });
                self.go_on_waiting(now_ms);
            }
            FileEvent::Progress(progress) => {
                let Some(it) = self.links.files.by_id(id) else { return };
                let again = match it.stage {
                    At::Going(_) => false,
                    At::Waiting(_) => true,
                    _ => return,
                };
                it.stage = At::Going(progress);
                let (number, file) = (it.number, it.file.clone());
                if again {
                    self.notice_file(FileNotice::Started { file: file.clone(), again });
                }
                self.notice_file(FileNotice::Progress { number, file, progress });
                self.go_on_waiting(now_ms);
            }
            FileEvent::Waiting => self.handle_file_waiting(id),
            FileEvent::Received { path } => {
                if let Some(file) = self.take_file(id) {
                    self.notice_file(FileNotice::Received { file, path });
                }
            }
            FileEvent::Sent => {
                if let Some(file) = self.take_file(id) {
                    self.notice_file(FileNotice::Sent { file });
                }
            }
            FileEvent::Failed(why) => {
                let number = self.links.files.by_id(id).map(|it| it.number);
                number.into_iter().for_each(|number| self.end_file(number, why.clone()));
            }
        }
    }

    fn handle_file_offered(&mut self, id: FileId, link: LinkId, name: FileName, size: u64) {
        let talk = self.links.talks().find(|it| it.id == link);
        let Some(from) = talk.map(|link| link.user.clone()) else {
            return self.actions.push_back(Action::Peer(PeerOrder::DeclineFile { file: id }));
        };
        let number = self.links.next_id().0;
        let file = FileOf { user: from, name, sending: false };
        let stage = At::Wanted { link, size };
        self.links.files.all.push(Transfer { number, id: Some(id), file: file.clone(), stage });
        self.notice_file(FileNotice::Wanted { file, size });
    }

    fn handle_file_kept(
        &mut self,
        id: FileId,
        device: &str,
        name: FileName,
        size: u64,
        sending: bool,
    ) {
        let number = self.links.next_id().0;
        // The key comes first, and holds no space.
        let user = device.split_once(' ').map_or(device, |(_, user)| user).to_owned();
        let file = FileOf { user, name, sending };
        let stage = At::Waiting(Progress { total: size, ..Progress::default() });
        self.links.files.all.push(Transfer { number, id: Some(id), file: file.clone(), stage });
        self.notice_file(FileNotice::Kept { file, size });
    }

    /// Nothing is heard from a person: files wait, whatever becomes of the link.
    pub(super) fn interrupt_files(&mut self, user: &str) {
        let going = |it: &&Transfer| it.file.user == user && matches!(it.stage, At::Going(_));
        let going = self.links.files.all.iter().filter(going).filter_map(|it| it.id);
        let going: Vec<FileId> = going.collect();
        going.into_iter().for_each(|id| self.handle_file_waiting(id));
    }

    fn handle_file_waiting(&mut self, id: FileId) {
        let Some(it) = self.links.files.by_id(id) else { return };
        let progress = match it.stage {
            At::Going(progress) => progress,
            At::Asked { size } | At::Agreed { size } => {
                Progress { total: size, ..Progress::default() }
            }
            _ => return,
        };
        it.stage = At::Waiting(progress);
        let file = it.file.clone();
        self.notice_file(FileNotice::Waiting { file, progress });
    }

    fn take_file(&mut self, id: FileId) -> Option<FileOf> {
        let number = self.links.files.by_id(id)?.number;
        self.links.files.take(number).map(|it| it.file)
    }

    /// A transfer comes to nothing.
    fn end_file(&mut self, number: u64, why: FileFailure) {
        let Some(Transfer { file, .. }) = self.links.files.take(number) else { return };
        self.unconfirmed |= file.sending && why != FileFailure::Cancelled;
        self.notice_file(FileNotice::Failed { file, why });
    }

    /// The person takes what is offered, or does not.
    pub(super) fn answer_offer(&mut self, id: FileId, accepts: bool) {
        let order = match accepts {
            true => PeerOrder::AcceptFile { file: id },
            false => PeerOrder::DeclineFile { file: id },
        };
        self.actions.push_back(Action::Peer(order));
        if !accepts {
            // What comes of it is of no interest any more.
            self.take_file(id);
        } else if let Some(it) = self.links.files.by_id(id)
            && let At::Wanted { size, .. } = it.stage
        {
            it.stage = At::Agreed { size };
        }
    }

    /// The person gives a transfer up, named by its number, or by the person it is with.
    pub(super) fn cancel_file(&mut self, which: &str) -> Result<Option<Answer>, Why> {
        if self.cancel_get(which) {
            return Ok(None);
        }
        let with = self.links.files.all.iter().filter(|it| it.file.user == which);
        let with: Vec<u64> = with.map(|it| it.number).collect();
        let number = match (with.as_slice(), which.parse()) {
            ([number], _) => *number,
            ([], Ok(number)) => number,
            ([], Err(_)) => return Err(Why::Link(LinkWhy::NoFile)),
            _ => return Err(Why::Link(LinkWhy::SeveralFiles)),
        };
        let Some(Transfer { id, file, stage, .. }) = self.links.files.take(number) else {
            return Err(Why::Link(LinkWhy::NoFile));
        };
        if let Some(file) = id {
            let order = match stage {
                At::Wanted { .. } => PeerOrder::DeclineFile { file },
                _ => PeerOrder::CancelFile { file },
            };
            self.actions.push_back(Action::Peer(order));
        }
        self.notice_file(FileNotice::Failed { file, why: FileFailure::Cancelled });
        Ok(None)
    }

    pub(in crate::core) fn list_files(&self) -> Vec<FileLine> {
        let line = |it: &Transfer| FileLine {
            number: it.number,
            file: it.file.clone(),
            state: match &it.stage {
                At::Linking(_) => FileState::Waits,
                At::Checking(_) | At::Reading => FileState::Reading,
                At::Asked { size } | At::Wanted { size, .. } => FileState::Asked { size: *size },
                At::Agreed { size } => {
                    FileState::Going(Progress { total: *size, ..Progress::default() })
                }
                At::Going(progress) => FileState::Going(*progress),
                At::Waiting(progress) => FileState::Interrupted(*progress),
            },
        };
        self.links.files.all.iter().map(line).collect()
    }

    /// The client ends: whoever watches a transfer hears what becomes of it.
    pub(super) fn end_files(&mut self) {
        for Transfer { file, stage, .. } in std::mem::take(&mut self.links.files.all) {
            match stage {
                At::Going(progress) => self.notice_file(FileNotice::Waiting { file, progress }),
                At::Asked { size } | At::Agreed { size } => {
                    let progress = Progress { total: size, ..Progress::default() };
                    self.notice_file(FileNotice::Waiting { file, progress });
                }
                At::Checking(_) | At::Linking(_) | At::Reading => {
                    self.unconfirmed = true;
                    self.notice_file(FileNotice::Failed { file, why: FileFailure::NoLink });
                }
                At::Wanted { .. } | At::Waiting(_) => {}
            }
        }
    }

    fn notice_file(&mut self, notice: FileNotice) {
        self.notice(Notice::File(notice));
    }
}
