//! What a client does, without IO.
//!
//! A [`Core`] is told what happened (`handle_...`), says what to do ([`Core::next_action`]) and
//! what to tell the person ([`Core::next_told`]), and wants [`Core::tick`] at
//! [`Core::deadline`]. Times are milliseconds of a clock that never goes back. The rules that
//! bring a person back after a bad line live here: what is sent again under the same id
//! (messages), what is reported as uncertain (everything else), and when nothing is tried again
//! (after a time-out, a logout, a takeover, or whatever else the server ended a session for).
//! Whether a server is to be trusted is decided before, by [`crate::trust`].

mod absent;
mod answers;
mod keeping;
mod leave;
mod links;
mod login;
mod receipts;
#[cfg(test)]
mod tests;
mod unencrypted;

use std::collections::VecDeque;
use std::fmt::Write as _;

use whoelse_proto::limits::{FRAME_BYTES_MAX, ORIGINAL_PAUSE_MS};
use whoelse_proto::{
    DeviceKey, Fingerprint, InviteSecret, Password, Place, Request, RequestId, Vouch, request,
};
use zeroize::Zeroizing;

use crate::command::Command;
use crate::links::{LinkOptions, PeerOrder, Peers};
use crate::log::Entry;
use crate::mailbox::Mailbox;
use crate::notice::{
    Answer, Ending, Loss, Notice, Question, Refusal, Security, Tell, Told, Trouble, Why,
};
use crate::outbox::{Outbox, Pending};
use crate::pauses::Pauses;
use crate::profile::Device;
use crate::trust::Distrust;
use crate::unencrypted::LineOrder;
use keeping::Outcome;

/// Requests without an answer, above which no more are taken in while connected.
const UNANSWERED_MAX: usize = 64;

/// Messages kept for a connection that is gone, above which further ones are refused.
const KEPT_MAX: usize = 1000;

/// A client that nobody watches gives up after so long without a connection.
const GIVE_UP_MS: u64 = 60_000;

/// A session that lived this long was a good one: the next pause is short again.
const GOOD_MS: u64 = 5_000;

/// An original server reads no more than this at once, and takes what it read for one request.
const ORIGINAL_FRAME_BYTES_MAX: usize = 1024;

/// Room for a login or a change of the password, however long they are.
pub(crate) const SECRET_FRAME_BYTES: usize = 8 * 1024;

/// How the client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// A person is there, who can be asked for a password again and decides when to give up.
    pub interactive: bool,
    /// Ends a session of the same person elsewhere, instead of being refused because of it.
    pub takeover: bool,
    /// Makes an account with this invite, instead of logging in to one.
    pub invite: Option<InviteSecret>,
    /// Where the server is, as the person says it.
    pub place: Place,
    /// What this device is to be called.
    pub device_name: String,
    /// What the invite says of whoever made it.
    pub vouch: Option<Vouch>,
    /// How it deals with private links.
    pub links: LinkOptions,
}

/// An open connection to a server that may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How safe it is.
    pub security: Security,
    /// The key of the server; none without TLS.
    pub key: Option<Fingerprint>,
    /// The server is on this machine.
    pub loopback: bool,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; report with `handle_connected` or `handle_connect_failed`.
    Connect,
    /// Close the connection; no report.
    Disconnect,
    /// Write these bytes to the connection, in one write if possible. They may hold a password.
    Send(Zeroizing<Vec<u8>>),
    /// The server that was asked about is trusted from now on: remember its key, and report with
    /// `handle_connected` if the connection is still open.
    Trust,
    /// Open the profile of this name and its log; report with `handle_log`, then `handle_device`.
    OpenProfile {
        /// Whose it is.
        name: String,
    },
    /// The device may log in without a password from now on: keep it in its profile.
    KeepDevice,
    /// It may not any more: remove it from its profile.
    ForgetDevice,
    /// Append these to the log, all or none, and sync it if one of them is promised; report with
    /// `handle_kept` or `handle_keep_failed`. No other batch comes before that.
    Keep {
        /// Which batch this is.
        batch: u64,
        /// What it holds.
        entries: Vec<Entry>,
    },
    /// Look into the log for what this command wants; report with `handle_found`.
    Look {
        /// [`Command::History`] or [`Command::Search`].
        command: Command,
    },
    /// Tell whoever carries private links; what comes of it is reported with `handle_peer`.
    Peer(PeerOrder),
    /// Tell whoever carries links that nobody encrypts; what comes of it is reported with
    /// `handle_unencrypted`.
    Unencrypted(LineOrder),
    /// Keep in the profile what is known of other people's devices.
    KeepPeers(Peers),
    /// Keep in the profile whether others may fetch from here what was fetched.
    KeepSeed(bool),
}

/// A client, but for its IO.
pub struct Core {
    config: Config,
    who: Option<Who>,
    /// An invite that was not used yet.
    joining: Option<Joining>,
    /// Who made it, as the server says.
    invited_by: Option<String>,
    /// The connection that was opened last.
    link: Option<Link>,
    /// What was told last of how safe it is.
    safety_told: Option<Security>,
    /// What the person was asked and has not answered.
    asked: Option<Question>,
    /// A random id of this run, by which the server knows a client that comes back.
    instance: String,
    line: Line,
    /// Whether there was a session before, so that a new one is a return.
    was_in: bool,
    absent: absent::Absent,
    /// The last session was with an original server.
    original: bool,
    lost_at_ms: Option<u64>,
    pauses: Pauses,
    outbox: Outbox,
    /// Something asked was never confirmed, and no orderly end may hide that.
    unconfirmed: bool,
    /// The question who is online, that nobody asked and nobody waits for.
    present_id: Option<RequestId>,
    /// That question has yet to be asked in this session.
    present_due: bool,
    mailbox: Mailbox,
    keeping: keeping::Keeping,
    receipts: receipts::Receipts,
    links: links::Links,
    unencrypted: unencrypted::Unencrypted,
    /// How often the log is being looked into.
    looking: usize,
    /// The profile is to be opened once the client has left from which this session was taken.
    profile_due: bool,
    /// An original server is written to no sooner than this.
    write_at_ms: u64,
    leave: Option<leave::Leave>,
    ending: Option<Ending>,
    /// The last place in the order of what was told, and the last that was shown.
    last_sequence: u64,
    shown_sequence: u64,
    actions: VecDeque<Action>,
    told: VecDeque<Told>,
}

/// Who logs in.
struct Who {
    name: String,
    /// Gone once it is not needed any more.
    password: Option<Password>,
    device: Option<Device>,
    /// The server knows the device, as far as we know.
    resumes: bool,
    /// A device that was refused or taken back in this run, and is not to be made known again.
    dropped: Option<DeviceKey>,
}

/// An account that is to be made.
struct Joining {
    invite: InviteSecret,
    /// The server has said what the invite is worth.
    checked: bool,
}

/// What was said to begin a session, and waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What an invite is worth was asked.
    Invitation,
    /// Something to sign was asked for.
    Challenge,
    /// The device has proven itself.
    Resume,
    /// Name and password.
    Login,
    /// A new name and its password.
    Join,
}

/// The connection, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// None; the next is opened at this time, or when the person has said who it is.
    Down { again_at_ms: Option<u64> },
    /// One is being opened.
    Opening,
    /// Open; the person has yet to say whether to trust the server.
    Trusting,
    /// Open; the person has yet to say who it is.
    Asking,
    /// Open; the login is on its way, and given up at this time.
    LoggingIn { until_ms: u64, step: Step },
    /// Open; the login is sent again at this time.
    LoginLater { at_ms: u64 },
    /// The session lives. It is proven once the server has answered a request of the person.
    Session { since_ms: u64, proven: bool },
}

impl Core {
    /// Makes a client that wants to connect. The seed must be random: it makes the ids of this
    /// client different from everybody else's.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 16]) -> Self {
        let instance = seed.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all text");
            text
        });
        let [a, b, c, d, e, f, g, h, ..] = seed;
        let joining = config.invite.clone().map(|invite| Joining { invite, checked: false });
        let links = links::Links::new(config.links.clone());
        Self {
            config,
            who: None,
            joining,
            invited_by: None,
            link: None,
            safety_told: None,
            asked: None,
            outbox: Outbox::new(instance.clone()),
            instance,
            unconfirmed: false,
            present_id: None,
            present_due: false,
            line: Line::Opening,
            was_in: false,
            absent: absent::Absent::default(),
            original: false,
            lost_at_ms: None,
            pauses: Pauses::new(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            mailbox: Mailbox::default(),
            keeping: keeping::Keeping::default(),
            receipts: receipts::Receipts::default(),
            links,
            unencrypted: unencrypted::Unencrypted::default(),
            looking: 0,
            profile_due: false,
            write_at_ms: 0,
            leave: None,
            ending: None,
            last_sequence: 0,
            shown_sequence: 0,
            actions: VecDeque::from([Action::Connect]),
            told: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        // What is to be kept comes last, so that all of it is kept at once.
        self.actions.pop_front().or_else(|| self.keeping.next_batch())
    }

    /// The next thing to tell or ask the person.
    pub fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front_if(|told| self.keeping.may_tell(told.sequence))
    }

    /// Whether something is there to tell now.
    #[must_use]
    pub fn has_told(&self) -> bool {
        self.told.front().is_some_and(|told| self.keeping.may_tell(told.sequence))
    }

    /// Why the client has ended, once it has; what is left to do and to tell is still to be done.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether there ever was a session, or a prompt without one. What ended it has been told.
    #[must_use]
    pub fn was_logged_in(&self) -> bool {
        self.has_begun()
    }

    /// Whether a session lives, in which nothing is asked but what the person wants.
    pub(crate) fn is_in_session(&self) -> bool {
        matches!(self.line, Line::Session { .. })
    }

    /// Whether what the person types next is wanted now; otherwise it waits.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        if self.leave.is_some() {
            return false;
        }
        match self.line {
            Line::Session { .. } => {
                let unanswered = self.outbox.len() + self.links.swarm_waiting();
                unanswered < UNANSWERED_MAX && self.looking == 0
            }
            // An answer is input, too, and what stands without the server can be spoken over.
            _ => self.config.interactive || self.asked.is_some() || self.any_link_stands(),
        }
    }

    /// When [`Core::tick`] is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.ending.is_some() {
            return None;
        }
        let line = match self.line {
            Line::Down { again_at_ms } => again_at_ms,
            Line::LoggingIn { until_ms, .. } => Some(until_ms),
            Line::LoginLater { at_ms } => Some(at_ms),
            Line::Session { .. } => {
                // While one is in flight, its answer is what lets the next be written.
                let is_next_due = self.outbox.has_unwritten(self.keeping.done());
                (self.original && is_next_due && !self.outbox.has_written())
                    .then_some(self.write_at_ms)
            }
            Line::Opening | Line::Trusting | Line::Asking => None,
        };
        let (links, swarm) = (self.links.deadline(), self.swarm_deadline());
        [line, links, swarm, self.leave_deadline(), self.give_up_at_ms()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due. Wanted at [`Core::deadline`] and after each batch of incoming frames.
    pub fn tick(&mut self, now_ms: u64) {
        if self.ending.is_some() || self.give_up(now_ms) {
            return;
        }
        match self.line {
            Line::Down { again_at_ms: Some(at_ms) } if at_ms <= now_ms => self.connect(),
            Line::LoggingIn { until_ms, .. } if until_ms <= now_ms => {
                self.actions.push_back(Action::Disconnect);
                self.handle_disconnected(now_ms, Loss::NoAnswer);
            }
            Line::LoginLater { at_ms } if at_ms <= now_ms => self.log_in(now_ms),
            Line::Session { .. } => self.write(now_ms),
            _ => {}
        }
        self.tick_links(now_ms);
        self.acknowledge();
        self.go_on_leaving(now_ms);
    }

    /// The connection is open, and the server may be trusted.
    pub fn handle_connected(&mut self, now_ms: u64, link: Link) {
        self.link = Some(link);
        // Whoever is asked for a password knows by then who is to get it, and how.
        self.tell_safety(link.security);
        self.log_in(now_ms);
    }

    /// The connection is open, and nobody has seen the server before.
    pub fn handle_stranger(&mut self, key: Fingerprint) {
        self.line = Line::Trusting;
        self.notice(Notice::Stranger { place: self.config.place.clone(), key });
        self.ask(Question::Trust);
    }

    /// The person has said whether to trust the server.
    pub fn handle_trust(&mut self, yes: bool) {
        self.asked = None;
        if !yes {
            self.handle_distrust(Distrust::Declined);
            return;
        }
        self.actions.push_back(Action::Trust);
        if let Line::Down { again_at_ms: None } = self.line {
            self.connect();
        }
    }

    /// The server is not to be trusted. That does not change by trying again.
    pub fn handle_distrust(&mut self, distrust: Distrust) {
        self.end(Ending::Distrusted { place: self.config.place.clone(), distrust });
    }

    /// The connection could not be opened.
    pub fn handle_connect_failed(&mut self, now_ms: u64, trouble: Trouble) {
        if !self.has_begun() {
            return self.begin_absent(trouble);
        }
        if self.give_up(now_ms) {
            return;
        }
        let quiet = self.pauses.full_grown();
        let retry_ms = self.pauses.next();
        self.line = Line::Down { again_at_ms: Some(now_ms + retry_ms) };
        if !quiet {
            let last_report = self.pauses.full_grown();
            self.notice(Notice::StillLost { trouble, retry_ms, last_report });
        }
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, now_ms: u64, loss: Loss) {
        if self.ending.is_some() || self.finish_leaving() {
            return;
        }
        let line = std::mem::replace(&mut self.line, Line::Down { again_at_ms: None });
        if !self.has_begun() {
            match line {
                // The server does not wait for ever for a slow typist; nothing is lost yet.
                Line::Asking | Line::Trusting if loss != Loss::Garbage => {}
                Line::LoginLater { at_ms } => self.line = Line::Down { again_at_ms: Some(at_ms) },
                // The invite may be spent, so that trying it again would only confuse.
                Line::LoggingIn { step: Step::Join, .. } => self.end(Ending::JoinUncertain),
                _ => self.end(Ending::Unreachable(match loss {
                    Loss::Closed | Loss::Cut => Trouble::Closed,
                    Loss::NoAnswer => Trouble::NoAnswer,
                    Loss::Garbage => Trouble::Foreign,
                    Loss::Broken(words) => Trouble::Other(words),
                })),
            }
            return;
        }
        self.lost_at_ms.get_or_insert(now_ms);
        let mut reports = Vec::new();
        if let Line::Session { since_ms, proven } = line {
            let lived = now_ms.saturating_sub(since_ms) >= GOOD_MS;
            if lived || (proven && loss != Loss::Garbage) {
                self.pauses.reset();
            }
            for pending in self.outbox.disconnect(self.original) {
                self.keep_outcome(&pending.id, &pending.command, Outcome::Uncertain);
                reports.push(if pending.tried {
                    Notice::Uncertain { command: pending.command }
                } else {
                    Notice::NotAsked { command: pending.command }
                });
            }
        }
        if !self.give_up(now_ms) && !matches!(line, Line::Asking) {
            let retry_ms = self.pauses.next();
            self.line = Line::Down { again_at_ms: Some(now_ms + retry_ms) };
            self.notice(Notice::Lost { loss, retry_ms });
        }
        // After what explains them.
        for report in reports {
            self.notice_unconfirmed(report);
        }
        self.lose_links();
    }

    /// The server sent what is not a frame, or not one of this protocol.
    pub fn handle_garbage(&mut self, now_ms: u64) {
        self.actions.push_back(Action::Disconnect);
        self.handle_disconnected(now_ms, Loss::Garbage);
    }

    /// The person wants something.
    pub fn handle_command(&mut self, now_ms: u64, command: Command) {
        let Some(command) = self.do_here(command) else { return };
        let Some(command) = self.do_with_links(now_ms, command) else { return };
        let answer = match &command {
            Command::Logout => {
                self.handle_logout(now_ms);
                return;
            }
            Command::Message { .. } if self.outbox.len() >= KEPT_MAX => Some(Why::TooManyKept),
            _ if self.original && !command.is_original() => Some(Why::Original),
            _ => {
                let bytes = self.outbox.bytes(&command, self.original);
                let bytes_max =
                    if self.original { ORIGINAL_FRAME_BYTES_MAX } else { FRAME_BYTES_MAX };
                (bytes > bytes_max).then_some(Why::TooLong { bytes, bytes_max })
            }
        };
        if let Some(why) = answer {
            self.notice(Notice::Answered { command, answer: Answer::Refused(Refusal::new(why)) });
        } else if matches!(self.line, Line::Session { .. }) {
            self.take_in(command);
            self.write(now_ms);
        } else if let Command::Message { .. } = command {
            self.take_in(command.clone());
            self.notice(Notice::Kept { command });
        } else {
            self.notice_unconfirmed(Notice::NotAsked { command });
        }
    }

    /// The screen has shown everything up to this place in the order of what was told.
    pub fn handle_shown(&mut self, now_ms: u64, sequence: u64) {
        self.shown_sequence = self.shown_sequence.max(sequence);
        self.mailbox.show(sequence);
        self.acknowledge_texts();
        self.acknowledge();
        self.go_on_leaving(now_ms);
    }

    fn connect(&mut self) {
        self.line = Line::Opening;
        self.actions.push_back(Action::Connect);
    }

    /// Ends if nobody watches and the server was away for too long.
    fn give_up(&mut self, now_ms: u64) -> bool {
        let give_up = self.give_up_at_ms().is_some_and(|at_ms| at_ms <= now_ms);
        if give_up {
            self.end(Ending::Lost);
        }
        give_up
    }

    fn give_up_at_ms(&self) -> Option<u64> {
        self.lost_at_ms.filter(|_| !self.config.interactive).map(|at_ms| at_ms + GIVE_UP_MS)
    }

    /// Writes what waits: all at once, or to an original server one by one, at a pace it can
    /// follow. Two requests that it reads at once it takes for one, and answers neither.
    fn write(&mut self, now_ms: u64) {
        while !self.original || (now_ms >= self.write_at_ms && !self.outbox.has_written()) {
            let Some(bytes) = self.outbox.write_next(self.original, self.keeping.done()) else {
                return;
            };
            self.write_at_ms = now_ms + ORIGINAL_PAUSE_MS;
            self.actions.push_back(Action::Send(Zeroizing::new(bytes)));
        }
    }

    fn acknowledge(&mut self) {
        self.keep_shown();
        if matches!(self.line, Line::Session { .. })
            && let Some(number) = self.mailbox.acknowledge(self.keeping.acknowledged_max())
        {
            self.send(request::Command::Ack { number }, !self.original);
        }
    }

    fn send(&mut self, command: request::Command<'_>, newline: bool) {
        self.send_as(None, command, newline);
    }

    fn send_as(&mut self, id: Option<RequestId>, command: request::Command<'_>, newline: bool) {
        // What grows leaves copies behind, and in these is a password.
        let is_secret = matches!(command, request::Command::Login(_) | request::Command::Join(_));
        let room = if is_secret { SECRET_FRAME_BYTES } else { 0 };
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let request = Request { id, command };
        whoelse_proto::codec::encode_request(&request, newline, &mut bytes);
        self.actions.push_back(Action::Send(bytes));
    }

    fn is_me(&self, user: &str) -> bool {
        self.name() == Some(user)
    }

    /// Tells of a request that nobody will confirm any more.
    fn notice_unconfirmed(&mut self, notice: Notice) {
        self.unconfirmed = true;
        self.notice(notice);
    }

    fn ask(&mut self, question: Question) {
        self.asked = Some(question);
        self.tell(Tell::Question(question));
    }

    /// Something could not be kept on this machine.
    pub fn handle_not_kept(&mut self, words: String) {
        self.notice(Notice::NotKept { words });
    }

    fn notice(&mut self, notice: Notice) {
        self.tell(Tell::Notice(notice));
    }

    fn tell(&mut self, tell: Tell) {
        self.last_sequence += 1;
        self.told.push_back(Told { sequence: self.last_sequence, tell });
    }

    /// Ends the client. What happened to a session that had begun is told; what kept one from
    /// beginning is for the caller to report.
    fn end(&mut self, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        self.end_links();
        self.end_unencrypted();
        let unanswered = self.outbox.take_all();
        if self.has_begun() {
            unanswered.into_iter().for_each(|pending| self.give_up_on(pending));
            self.notice(Notice::Ended { ending: ending.clone() });
        }
        self.actions.push_back(Action::Disconnect);
        self.ending = Some(ending);
    }

    /// Tells of a request that this run gets no answer to any more.
    fn give_up_on(&mut self, pending: Pending) {
        let Pending { id, command, tried, is_kept, .. } = pending;
        if matches!(command, Command::Message { .. }) && !self.original {
            // The next run sends it again.
            if is_kept {
                return self.notice(Notice::Waits { command });
            }
        } else {
            let outcome = if tried { Outcome::Uncertain } else { Outcome::Unsent };
            self.keep_outcome(&id, &command, outcome);
        }
        self.notice(match tried {
            true => Notice::Uncertain { command },
            false => Notice::Unsent { command },
        });
    }
}
