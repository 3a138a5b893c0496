//! Everything a person can be told, as values. How it is worded is the screen's affair.
//!
//! All text in here may come from the network and is as dangerous as its sender: whoever shows
//! it makes it harmless first.

use std::net::IpAddr;

use whoelse_proto::codec::{IncomingDevice, IncomingInvite};
use whoelse_proto::{Fingerprint, InviteLink, Place};

use crate::command::Command;
use crate::links::files::{FileLine, FileNotice};
use crate::links::swarm::{FoundFile, GetLine, Holders, ShareLine};
use crate::links::{LinkLine, LinkNotice, LinkWhy, Safety, SwarmNotice, SwarmWhy};
use crate::log::Found;
use crate::trust::Distrust;

/// Something for the screen, with its place in the order of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Counts from 1. The screen reports it back when it has shown everything up to it; only
    /// then is mail acknowledged.
    pub sequence: u64,
    /// What it is.
    pub tell: Tell,
}

/// Something for the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The person is told something.
    Notice(Notice),
    /// The person is asked something.
    Question(Question),
}

/// What the person has to type before anything else can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether to trust the server that was just told about ([`Notice::Stranger`]).
    Trust,
    /// The name.
    Name,
    /// The password for that name.
    Password,
    /// A name for a new account.
    NewName,
    /// A password for a new account of that name.
    NewPassword,
}

/// Something the person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Name and password did not belong together; the question follows.
    WrongPassword {
        /// Whose password it was to be.
        name: String,
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// A server that was never seen before wants to be trusted; the question follows.
    Stranger {
        /// Where it is.
        place: Place,
        /// Its key.
        key: Fingerprint,
    },
    /// What an invite is worth; the questions follow.
    Invited {
        /// Who made it; none if the operator did.
        by: Option<String>,
        /// Whoever uses it becomes an administrator.
        admin: bool,
    },
    /// The account was not made; the question follows.
    JoinRefused {
        /// What the server says about it.
        sentence: String,
    },
    /// The device is not known there, or no longer; the password has to do.
    ResumeRefused {
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The server cannot be reached; the question who it is follows.
    Absent {
        /// Where it should be.
        place: Place,
        /// Why it is not.
        trouble: Trouble,
    },
    /// The person goes on without the server. It is tried again by itself.
    WithoutServer {
        /// Who it is.
        name: String,
        /// In how many milliseconds.
        retry_ms: u64,
    },
    /// The session has begun, for the first time.
    LoggedIn {
        /// As whom.
        name: String,
        /// This person may do what administrators may.
        admin: bool,
    },
    /// How safe the connection is, where that is worth a word.
    Security(Security),
    /// The account was made just now; this is where it is logged in to the next time.
    WayBack {
        /// Where the server is.
        place: Place,
    },
    /// Somebody tried to log in by this name in the meantime.
    FailedLogins {
        /// How often.
        count: u64,
    },
    /// Something could not be kept on this machine for the next time.
    NotKept {
        /// Why, in the words of the system.
        words: String,
    },
    /// The server wants the login later; it is sent again by itself.
    LoginLater {
        /// The name is locked, rather than the server busy.
        locked: bool,
        /// In how many milliseconds.
        retry_ms: u64,
    },
    /// A direct message.
    Message {
        /// Who wrote it.
        from: String,
        /// What it says.
        text: String,
        /// When the server took it, as RFC 3339 writes it, if the server says so.
        at: Option<String>,
    },
    /// Something said to everybody.
    Broadcast {
        /// Who said it.
        from: String,
        /// What it says.
        text: String,
    },
    /// Somebody came.
    Came {
        /// Who.
        name: String,
    },
    /// Somebody left.
    Left {
        /// Who.
        name: String,
    },
    /// Who is online at the beginning of a session. Nobody asked: it is not to be shown, and only
    /// helps to complete names.
    Present {
        /// Who, but for the person itself.
        names: Vec<String>,
    },
    /// A request was answered, by the server or, where it need not be asked, by the client.
    Answered {
        /// What was asked.
        command: Command,
        /// How it ended.
        answer: Answer,
    },
    /// The connection is gone.
    Lost {
        /// How it ended.
        loss: Loss,
        /// When the next try comes, in milliseconds.
        retry_ms: u64,
    },
    /// A try to connect again has failed.
    StillLost {
        /// Why.
        trouble: Trouble,
        /// When the next try comes, in milliseconds.
        retry_ms: u64,
        /// The pauses grow no more; later tries are not reported.
        last_report: bool,
    },
    /// The session goes on after the connection was lost.
    Back {
        /// How long it was gone, in milliseconds.
        after_ms: u64,
        /// Messages sent again because they had not been confirmed.
        resent: usize,
        /// Messages sent now that were typed in between.
        sent: usize,
    },
    /// A message typed without a connection waits for one.
    Kept {
        /// The message.
        command: Command,
    },
    /// A request was not sent, because there is no connection.
    NotAsked {
        /// The request.
        command: Command,
    },
    /// A request was sent and not answered before the connection was lost, or before the end.
    /// It is not sent again by itself.
    Uncertain {
        /// The request.
        command: Command,
    },
    /// At the end a message was still not confirmed. It is kept, and the next run sends it again.
    Waits {
        /// The message.
        command: Command,
    },
    /// Messages of an earlier run that were not confirmed are sent again.
    TakenUp {
        /// How many.
        count: usize,
    },
    /// A message of an earlier run was not confirmed, and is not sent again by itself: nobody knows
    /// any more whether it arrived.
    NotConfirmed {
        /// To whom it was.
        user: String,
        /// What it says.
        text: String,
    },
    /// Messages that had waited for somebody have reached that person's device.
    Delivered {
        /// Whose.
        user: String,
        /// How many.
        count: usize,
    },
    /// Another client of this person, on this machine, keeps the log of what is said.
    NoLog,
    /// What is said cannot be kept on this machine at present. Everything else goes on.
    NotLogged {
        /// Why, in the words of the system.
        words: String,
    },
    /// What is said is kept again.
    LoggedAgain,
    /// Some of the log cannot be read.
    LogDamaged {
        /// So many lines.
        lines: usize,
    },
    /// At the end a message was still not confirmed.
    Unsent {
        /// The message.
        command: Command,
    },
    /// Numbers of messages are missing; they are not acknowledged, so that they can still come.
    Missing {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
    },
    /// The server says something that belongs to no request.
    ServerSays {
        /// What.
        sentence: String,
    },
    /// Something about a private link.
    Link(LinkNotice),
    /// Something about a file.
    File(FileNotice),
    /// Something about a file that is shared, or fetched from those who share it.
    Swarm(SwarmNotice),
    /// The session has ended, for this reason, after it had begun.
    Ended {
        /// Why.
        ending: Ending,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It has left, and nobody will say whether it arrived.
    Unconfirmed,
    /// Names of people.
    Names(Vec<String>),
    /// A broadcast was passed on.
    Counted {
        /// People who got it.
        n_sent: u64,
        /// People who have blocked the sender.
        n_blocked: u64,
    },
    /// Where somebody listens for private links.
    Address {
        /// The address, if the server gives one.
        address: Option<IpAddr>,
        /// The port, if the server gives one.
        port: Option<u16>,
    },
    /// An invite was made.
    Invited {
        /// What is to be passed on. Whoever has it can use it.
        link: Box<InviteLink>,
        /// For how many seconds it is valid.
        expires_in_s: u64,
        /// Where the server can be reached was guessed.
        guessed: bool,
        /// Where we have reached it, and seen the key, if that is somewhere else.
        here: Option<Place>,
    },
    /// Messages of the past.
    Found(Found),
    /// Messages that are not confirmed, the oldest first.
    Waiting(Vec<Waiting>),
    /// Invites that are open.
    Invites(Vec<IncomingInvite>),
    /// Devices that need no password.
    Devices(Vec<IncomingDevice>),
    /// Private links, the oldest first.
    Links(Vec<LinkLine>),
    /// Files under way, the oldest first.
    Files {
        /// From one device to another.
        transfers: Vec<FileLine>,
        /// Fetched from all who have them.
        gets: Vec<GetLine>,
    },
    /// Files that are shared from here.
    Shares(Vec<ShareLine>),
    /// Files that others share.
    SharedFiles {
        /// In the order of their names. Their numbers are places in this list, counted from 1.
        files: Vec<FoundFile>,
        /// There are more than are told.
        more: bool,
    },
    /// What was to be fetched may be one of several files. Numbers are as for
    /// [`Answer::SharedFiles`].
    SeveralFiles(Vec<FoundFile>),
    /// Who has parts of a file now.
    Holders(Holders),
    /// Whether others may fetch from here what was fetched; none if it was not decided.
    Seed(Option<bool>),
    /// What there is to compare.
    Safety(Safety),
    /// It was not done.
    Refused(Refusal),
}

/// A message that is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// To whom.
    pub user: String,
    /// What it says.
    pub text: String,
    /// It was sent, and only the answer is missing.
    pub tried: bool,
}

/// Why there is no log of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLog {
    /// The person wants none.
    Unwanted,
    /// Another client uses it.
    InUse,
    /// There is no place for it, or none yet.
    Missing,
}

/// How safe a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Encrypted, with a server that was known.
    Known,
    /// Encrypted, with a server whose key is remembered from now on.
    FirstContact {
        /// That key.
        key: Fingerprint,
    },
    /// Encrypted, for the first time, with a server that has the key that was expected.
    Verified {
        /// An invite said which it is; otherwise the person did.
        by_invite: bool,
    },
    /// Encrypted, with a server that the person has just said it trusts.
    Trusted,
    /// Not encrypted; it does not leave the machine.
    Plain,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub why: Why,
    /// What the server says about it, in a sentence.
    pub sentence: Option<String>,
    /// A name the person may have meant.
    pub suggestion: Option<String>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal that needs no further words.
    #[must_use]
    pub fn new(why: Why) -> Self {
        Self { why, sentence: None, suggestion: None, retry_after: None }
    }
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was aimed at oneself.
    Yourself,
    /// Nobody has that name.
    UserNotExist,
    /// That person has blocked the asker.
    UserBlocked,
    /// That person is not online, or cannot be reached directly.
    UserOffline,
    /// There was no block to take back.
    NotBlocked,
    /// The password until now was another.
    WrongPassword,
    /// Too much mail waits for that person.
    MailboxFull,
    /// There is no private link with that person.
    NoLink,
    /// What was said is not kept here.
    NoLog(NoLog),
    /// What was said cannot be read, in the words of the system.
    NotReadable(String),
    /// It does not fit into a request.
    TooLong {
        /// Its size.
        bytes: usize,
        /// The largest size.
        bytes_max: usize,
    },
    /// Too many messages wait for a connection already.
    TooManyKept,
    /// Servers of the original system know nothing like it.
    Original,
    /// What concerns private links.
    Link(LinkWhy),
    /// What concerns files that are shared.
    Swarm(SwarmWhy),
    /// Anything else, by the server's word for it.
    Other(String),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The other side closed it.
    Closed,
    /// The network failed, in the words of the system.
    Broken(String),
    /// The server sent something that is not of this protocol.
    Garbage,
    /// The server did not answer the login.
    NoAnswer,
    /// The connection ended, and the other side had not said that it would.
    Cut,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No machine has that name.
    UnknownHost,
    /// Nothing listens there.
    Refused,
    /// Nothing answers there.
    NoAnswer,
    /// The connection ended before the login was answered.
    Closed,
    /// What answers there does not speak this protocol.
    Foreign,
    /// Anything else, in the words of the system.
    Other(String),
}

/// Why and how the client ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The person left, and everything that was sent is confirmed.
    LoggedOut,
    /// The person left, and something was not confirmed in time.
    Unconfirmed {
        /// There was no connection at the end.
        lost: bool,
    },
    /// The program was told to stop.
    Interrupted,
    /// The server ended the session: nothing was asked for too long.
    Timeout,
    /// The person logged in elsewhere and took the session over.
    TakenOver,
    /// The server ended the session for another reason.
    Ended {
        /// The server's word for it.
        reason: String,
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The login was refused for good.
    Refused(LoginRefusal),
    /// The server is not to be trusted; nothing was sent to it.
    Distrusted {
        /// Where it is.
        place: Place,
        /// Why not.
        distrust: Distrust,
    },
    /// There never was a connection.
    Unreachable(Trouble),
    /// The connection ended before it was said whether the account was made.
    JoinUncertain,
    /// The connection was lost and did not come back.
    Lost,
}

/// Why a login was refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Name and password do not belong together, and nobody can be asked again.
    WrongPassword {
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// Too many wrong passwords: the name is locked.
    Locked {
        /// This was the try that locked it.
        now: bool,
        /// For how many seconds, if the server says so.
        retry_after: Option<u64>,
    },
    /// A session of the same person lives elsewhere.
    AlreadyLoggedIn,
    /// An administrator keeps the person from logging in.
    Barred {
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The device is not known there any more, and there is no password.
    ResumeRefused {
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The server takes no login from here for a long time.
    SlowDown {
        /// For how many seconds.
        retry_after: u64,
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The invite is worth nothing, or no longer.
    InviteInvalid {
        /// What the server says about it.
        sentence: Option<String>,
    },
    /// The account could not be made, and nobody can be asked for another name or password.
    JoinRefused {
        /// What the server says about it.
        sentence: String,
    },
    /// Anything else.
    Other {
        /// The server's word for it.
        status: String,
        /// What the server says about it.
        sentence: Option<String>,
    },
}
