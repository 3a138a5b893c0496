//! The rules of whoelse as a value: time and input in, effects and records out.
//!
//! [`Engine::handle`] decides what happens next. It reads no clock, draws no randomness, does no
//! IO and cannot fail; the same inputs in the same order give the same effects on every machine.
//! What must last is a [`Record`]: the engine emits it and can apply it, so that recovery is
//! applying records. Bodies of messages pass through; only their senders and lengths are kept.

#![warn(clippy::wildcard_enum_match_arm, clippy::cast_possible_truncation)]

mod accounts;
mod admin;
mod blocks;
mod devices;
mod invites;
mod join;
mod links;
mod lockout;
mod mailbox;
mod messages;
mod passwd;
mod presence;
mod rates;
mod receipts;
pub mod record;
mod relay;
mod retries;
mod rules;
mod sessions;
mod shares;
pub mod snapshot;
mod sources;
mod state;
mod strangers;
mod timers;

use std::net::IpAddr;
use std::sync::Arc;

use whoelse_proto::event::Meeting;
use whoelse_proto::{
    Answer, Command, Dialect, EndpointKey, Event, InviteSecret, Name, Nonce, Outcome, Password,
    Purpose, Refusal, RelayTicket, Request, RequestId, Role,
};

pub use accounts::{AddRefusal, Person};
pub use record::{AccountId, Message, Number, PasswordHash, Record, RetryKey, Share, Time};
pub use rules::Rules;
pub use snapshot::{
    AccountSnapshot, DeviceSnapshot, InviteSnapshot, SentSnapshot, Snapshot, StrangerSnapshot,
    WaitingSnapshot,
};

use state::State;

/// One connection, logged in or not. Never used again after it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A password check that was asked for. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// When an input is handled: one reading for a whole turn.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Time that never goes back; all rules use it.
    pub time: Time,
    /// The wall clock in milliseconds since the Unix epoch; only shown to people.
    pub wall_ms: u64,
}

/// Something that happened outside.
pub enum Input<'a> {
    /// The server starts to serve; all that was recovered has been applied.
    Started,
    /// Somebody connected.
    Connected {
        /// The new connection.
        connection: ConnectionId,
        /// Where it comes from; mapped IPv4 addresses are given as IPv4.
        address: IpAddr,
    },
    /// A connection asks something.
    Request {
        /// Who asks.
        connection: ConnectionId,
        /// What.
        request: Request<'a>,
        /// What only the world can add to it.
        aid: Aid,
    },
    /// A connection ended, whoever ended it.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// Mail up to a number was handed to a connection.
    Sent {
        /// To which.
        connection: ConnectionId,
        /// The last number.
        number: Number,
    },
    /// The door vouches that mail up to a number has reached a client that cannot say so itself.
    Delivered {
        /// Which.
        connection: ConnectionId,
        /// The last number.
        number: Number,
    },
    /// A password was checked.
    Checked {
        /// Which check.
        ticket: Ticket,
        /// Whether it is the right one.
        matches: bool,
    },
    /// The operator adds a person, or an import does.
    AddAccount {
        /// Returned with the outcome.
        ticket: u64,
        /// Who.
        name: Name,
        /// The password, if it is hashed already.
        password: Option<PasswordHash>,
        /// Whether people must be able to tell the name from all others at sight.
        distinct: bool,
        /// What the person may do.
        role: Role,
    },
    /// The password that somebody was imported with was hashed. Without effect if there is another
    /// by now.
    SetPassword {
        /// Whose.
        account: AccountId,
        /// The hash of it.
        hash: PasswordHash,
    },
    /// A password that [`Effect::Hash`] asked to be hashed was.
    Hashed {
        /// As it was asked for.
        ticket: Ticket,
        /// The hash.
        hash: PasswordHash,
    },
    /// The operator wants something.
    Order {
        /// Returned with the outcome.
        ticket: u64,
        /// What.
        order: Order,
    },
    /// The disk has come near its end, or has room again.
    DiskFull {
        /// Whether nothing new may be taken.
        is_full: bool,
    },
    /// The time asked for by [`Engine::deadline`] has come.
    Tick,
    /// The server is about to end: sessions end now, and nobody is left to be told.
    Stopping,
}

/// Something the world must do, once all records emitted until then are on disk, in order.
///
/// [`Effect::Check`] alone claims nothing and may be done at once.
pub enum Effect {
    /// Say something to a connection.
    Send {
        /// To which.
        to: ConnectionId,
        /// What.
        event: Event,
    },
    /// Say the same to several connections.
    SendMany {
        /// To which.
        to: Vec<ConnectionId>,
        /// What.
        event: Event,
    },
    /// A connection has logged in: its mail may be read.
    Begin {
        /// Which.
        connection: ConnectionId,
        /// As whom.
        account: AccountId,
        /// How it wants to be spoken to.
        dialect: Dialect,
        /// Mail after this number has not been acknowledged.
        acknowledged: Number,
        /// The last number of mail there is.
        last: Number,
    },
    /// New mail for a connection.
    Mail {
        /// Which.
        to: ConnectionId,
        /// The last number of mail there is.
        last: Number,
    },
    /// End a connection once everything said to it is written.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Check a password and return [`Input::Checked`].
    Check {
        /// To be returned.
        ticket: Ticket,
        /// Whose it claims to be; none if there is no such account. It must take as long then.
        account: Option<AccountId>,
        /// What to check against; none if there is no account or its password is not hashed yet.
        hash: Option<PasswordHash>,
        /// What was typed.
        password: Password,
    },
    /// Hash a new password and return [`Input::Hashed`]. Claims nothing either.
    Hash {
        /// To be returned.
        ticket: Ticket,
        /// What was typed.
        password: Password,
    },
    /// Let one end of a private link into the relay by this ticket only, whatever was before.
    Admit {
        /// For whom.
        account: AccountId,
        /// Which end.
        endpoint: EndpointKey,
        /// By what it is known.
        ticket: RelayTicket,
    },
    /// Let one end of a private link into the relay no longer for this account, and cut it if that
    /// is how it came in.
    Expel {
        /// For whom it was let in.
        account: AccountId,
        /// Which end.
        endpoint: EndpointKey,
    },
    /// The outcome of [`Input::Order`].
    Ordered {
        /// As it came.
        ticket: u64,
        /// What was done, or why nothing was.
        outcome: Result<Ordered, OrderRefusal>,
    },
    /// The outcome of [`Input::AddAccount`].
    Added {
        /// As it came.
        ticket: u64,
        /// The account, or why there is none.
        outcome: Result<AccountId, AddRefusal>,
    },
}

/// What a request needs that the engine cannot know: secrets drawn at random, proofs checked.
#[derive(Clone, Debug, Default)]
pub enum Aid {
    /// Nothing, as for most requests.
    #[default]
    None,
    /// For `challenge`: fresh random bytes.
    Challenge(Nonce),
    /// For `resume`: whether the device's signature is right, for this server, this name and the
    /// nonce that this connection was given last and has not used.
    Proof(bool),
    /// For `invite`: fresh random bytes, and where invites lead.
    Invite {
        /// The secret.
        secret: InviteSecret,
        /// Where they lead.
        meeting: Meeting,
    },
}

/// What an operator can have done.
pub enum Order {
    /// Gives a person another password: ends its session and revokes its devices.
    SetPassword {
        /// Whose.
        name: String,
        /// The hash of it.
        hash: PasswordHash,
    },
    /// Keeps a person from logging in, and ends its session.
    Lock {
        /// Whom.
        name: String,
    },
    /// Lets a person log in again: takes back a lock by an administrator and one by wrong passwords.
    Unlock {
        /// Whom.
        name: String,
    },
    /// Erases a person's mail, blocks, devices and password; the name is never given again.
    Remove {
        /// Whom.
        name: String,
    },
    /// Says what a person may do.
    SetRole {
        /// Whose.
        name: String,
        /// What it is from now on.
        role: Role,
    },
    /// Makes an invite.
    Invite {
        /// Fresh random bytes.
        secret: InviteSecret,
        /// What whoever uses it becomes.
        role: Role,
        /// How long it is valid, in milliseconds.
        valid_ms: u64,
        /// Takes back those that earlier starts without people made.
        is_first: bool,
    },
    /// Takes an invite back.
    RevokeInvite {
        /// Which.
        number: u64,
    },
}

/// What was done for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// It is done, and on disk.
    Done,
    /// It was so already.
    Unchanged,
    /// The invite was made.
    Invited {
        /// What it is called.
        number: u64,
    },
}

/// Why an operator's order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderRefusal {
    /// Nobody has that name.
    NoSuchPerson,
    /// There is no open invite of that number.
    NoSuchInvite,
    /// As many invites are open as may be.
    TooManyInvites,
}

/// What one or several inputs led to.
#[derive(Default)]
pub struct Turn {
    /// To be stored, in order. They have been applied to the engine already.
    pub records: Vec<Record>,
    /// To be done, in order, once the records are on disk.
    pub effects: Vec<Effect>,
}

impl Turn {
    /// Whether effects have to wait for a sync.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.records.iter().any(|record| !record.is_lazy())
    }

    fn send(&mut self, to: ConnectionId, event: Event) {
        self.effects.push(Effect::Send { to, event });
    }

    fn answer(&mut self, asker: &Asker, outcome: Outcome) {
        let answer = Answer { action: asker.action, id: asker.id.clone(), outcome };
        self.send(asker.connection, Event::Answer(answer));
    }

    fn refuse(&mut self, asker: &Asker, refusal: Refusal) {
        self.answer(asker, Outcome::Refused(refusal));
    }
}

/// Who asked what, for the answer.
#[derive(Clone, Debug)]
struct Asker {
    connection: ConnectionId,
    action: whoelse_proto::Action,
    id: Option<RequestId>,
}

/// The rules, with all they need to remember.
pub struct Engine {
    rules: Rules,
    server: Arc<str>,
    state: State,
}

impl Engine {
    /// Makes an engine that knows what the snapshot knows.
    ///
    /// `server` is the random id of the data folder, told to clients.
    #[must_use]
    pub fn new(rules: Rules, server: Arc<str>, snapshot: &Snapshot) -> Self {
        Self { state: State::restore(&rules, snapshot), rules, server }
    }

    /// Applies a record of the past, without any effect.
    pub fn apply(&mut self, record: &Record) {
        self.state.apply(&self.rules, record);
    }

    /// Decides what happens next.
    ///
    /// The same inputs in the same order give the same effects, on every machine. Time never
    /// goes back from one call to the next.
    pub fn handle(&mut self, now: Now, input: Input<'_>, turn: &mut Turn) {
        match input {
            Input::Started => self.start(now, turn),
            Input::Connected { connection, address } => self.connected(connection, address),
            Input::Request { connection, request, aid } => {
                self.request(now, connection, request, aid, turn);
            }
            Input::Disconnected { connection } => self.disconnected(now, connection, turn),
            Input::Sent { connection, number } => self.sent(connection, number),
            Input::Delivered { connection, number } => self.delivered(connection, number, turn),
            Input::Checked { ticket, matches } => self.checked(now, ticket, matches, turn),
            Input::AddAccount { ticket, name, password, distinct, role } => {
                let outcome = self.add_account(now.time, name, password, distinct, role, turn);
                turn.effects.push(Effect::Added { ticket, outcome });
            }
            Input::SetPassword { account, hash } => self.set_first_password(account, hash, turn),
            Input::Hashed { ticket, hash } => self.hashed(now, ticket, hash, turn),
            Input::Order { ticket, order } => {
                let outcome = self.order(now, order, turn);
                turn.effects.push(Effect::Ordered { ticket, outcome });
            }
            Input::DiskFull { is_full } => self.state.is_disk_full = is_full,
            Input::Tick => self.tick(now, turn),
            Input::Stopping => self.stop(now, turn),
        }
    }

    /// Returns when [`Input::Tick`] is next wanted, if at all.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.state.timers.first()
    }

    /// Names and ids of all who were not removed, and whether each has a password, in the order
    /// they were made.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, &Name, bool)> {
        self.state
            .accounts
            .iter()
            .filter(|account| !account.is_removed)
            .map(|account| (account.id, &account.name, account.password.is_some()))
    }

    /// Who is online, being away included.
    #[must_use]
    pub fn online(&self) -> usize {
        self.state.online.len()
    }

    /// Time of the newest record that was applied.
    #[must_use]
    pub fn newest(&self) -> Time {
        self.state.newest
    }

    /// The name of an account.
    ///
    /// # Panics
    /// If there is no such account.
    #[must_use]
    pub fn name(&self, account: AccountId) -> &Name {
        &self.state.accounts[account.index()].name
    }

    /// The last number of an account's mail that has been acknowledged.
    ///
    /// # Panics
    /// If there is no such account.
    #[must_use]
    pub fn acknowledged(&self, account: AccountId) -> Number {
        self.state.account(account).mailbox.acknowledged()
    }

    /// The state as a snapshot would hold it: what records say, without sessions.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }

    /// Checks what must hold of the whole state. For tests and the simulator.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn check(&self) {
        self.state.check(&self.rules);
    }

    fn request(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: Request<'_>,
        aid: Aid,
        turn: &mut Turn,
    ) {
        if self.state.connections.get(&connection).is_none_or(|line| line.is_closing) {
            return; // sent before its client learnt that the session has ended
        }
        let asker = Asker { connection, action: request.command.action(), id: request.id };
        let Some(account) = self.state.account_of(connection) else {
            return self.entrance(now, asker, request.command, aid, turn);
        };
        if let Some(retry_after_ms) = self.over_request_rate(now.time, account, &request.command) {
            turn.refuse(&asker, Refusal::TooFast { retry_after_ms });
            return;
        }
        self.command(now, account, &asker, request.command, aid, turn);
    }

    /// What somebody may ask who has not logged in.
    fn entrance(
        &mut self,
        now: Now,
        asker: Asker,
        command: Command<'_>,
        aid: Aid,
        turn: &mut Turn,
    ) {
        match command {
            Command::Login(login) => self.login(now, asker, &login, turn),
            Command::Challenge => match aid {
                Aid::Challenge(nonce) => turn.answer(&asker, Outcome::Nonce(nonce)),
                Aid::None | Aid::Proof(_) | Aid::Invite { .. } => {
                    let why = "There is nothing random to sign.";
                    turn.refuse(&asker, Refusal::BadRequest(why.into()));
                }
            },
            Command::Resume(resume) => {
                let is_proven = matches!(aid, Aid::Proof(true));
                self.resume(now, &asker, &resume, is_proven, turn);
            }
            Command::Invitation { invite } => self.invitation(now.time, &asker, &invite, turn),
            Command::Join(join) => self.join(now, asker, &join, turn),
            Command::Message { .. }
            | Command::Broadcast { .. }
            | Command::Block { .. }
            | Command::Unblock { .. }
            | Command::Whoelse
            | Command::WhoelseSince { .. }
            | Command::StartPrivate { .. }
            | Command::AnswerPrivate { .. }
            | Command::PrivateCard { .. }
            | Command::EndPrivate { .. }
            | Command::Relay { .. }
            | Command::Share(_)
            | Command::Unshare { .. }
            | Command::Shares
            | Command::SearchFiles { .. }
            | Command::Sources { .. }
            | Command::Have { .. }
            | Command::Logout { .. }
            | Command::Ack { .. }
            | Command::Receipts { .. }
            | Command::Active
            | Command::Invite { .. }
            | Command::Invites
            | Command::RevokeInvite { .. }
            | Command::Devices
            | Command::RevokeDevice { .. }
            | Command::Passwd(_)
            | Command::Lock { .. }
            | Command::Unlock { .. } => turn.refuse(&asker, Refusal::NotLoggedIn),
        }
    }

    /// What somebody asks who has logged in.
    #[expect(clippy::too_many_lines, reason = "an arm for each command")]
    fn command(
        &mut self,
        now: Now,
        account: AccountId,
        asker: &Asker,
        command: Command<'_>,
        aid: Aid,
        turn: &mut Turn,
    ) {
        match command {
            Command::Login(_)
            | Command::Challenge
            | Command::Resume(_)
            | Command::Invitation { .. }
            | Command::Join(_) => turn.refuse(asker, Refusal::LoggedInHere),
            Command::Message { user, message } => {
                if !self.message(now, account, asker, &user, &message, turn) {
                    return; // a repetition is not activity
                }
            }
            Command::Broadcast { message } => {
                self.broadcast(now.time, account, asker, &message, turn);
            }
            Command::Block { user } => self.block(now.time, account, asker, &user, turn),
            Command::Unblock { user } => self.unblock(now.time, account, asker, &user, turn),
            Command::Whoelse => self.whoelse(account, asker, turn),
            Command::WhoelseSince { since_ms } => {
                self.whoelse_since(now.time, account, asker, since_ms, turn);
            }
            Command::StartPrivate { user, link: None } => {
                self.start_private(now.time, account, asker, &user, turn);
            }
            Command::StartPrivate { user, link: Some(link) } => {
                let is_by_itself = link.purpose != Purpose::Talk;
                self.ask_private(now.time, account, asker, &user, link, turn);
                if is_by_itself {
                    return;
                }
            }
            // Clients answer and go on by themselves; they say `active` when a person did.
            Command::AnswerPrivate { link, answer } => {
                self.answer_private(account, asker, link, answer, turn);
                return;
            }
            Command::PrivateCard { link, card } => {
                self.private_card(account, asker, link, &card, turn);
                return;
            }
            Command::EndPrivate { link } => {
                self.end_private(account, asker, &link, turn);
                return;
            }
            Command::Relay { endpoint, ticket } => {
                self.relay(account, asker, endpoint, ticket, turn);
                return;
            }
            Command::Share(share) => self.share(now.time, account, asker, share, turn),
            Command::Unshare { hash } => self.unshare(account, asker, hash, turn),
            Command::Shares => self.shares(now.time, account, asker, turn),
            Command::SearchFiles { words } => {
                self.search_files(now.time, account, asker, &words, turn);
            }
            Command::Sources { hash } => {
                self.sources(now.time, account, asker, hash, turn);
                return;
            }
            Command::Have { hash, parts } => {
                self.have(now.time, account, asker, (hash, &parts), turn);
                return;
            }
            Command::Logout { forget } => {
                self.logout(now.time, account, asker, forget, turn);
                return;
            }
            Command::Ack { number } => {
                self.acknowledge(account, asker, Number(number), turn);
                return;
            }
            Command::Receipts { ids } => {
                self.receipts(now.time, account, asker, ids, turn);
                return; // clients ask by themselves
            }
            Command::Active => turn.answer(asker, Outcome::Done),
            Command::Invite { role } => self.invite(now.time, account, asker, role, aid, turn),
            Command::Invites => self.invites(now.time, account, asker, turn),
            Command::RevokeInvite { number } => {
                self.revoke_invite(now.time, account, asker, number, turn);
            }
            Command::Devices => self.devices(account, asker, turn),
            Command::RevokeDevice { name } => {
                self.revoke_device(now.time, account, asker, &name, turn);
            }
            Command::Passwd(passwd) => self.passwd(now, account, asker, &passwd, turn),
            Command::Lock { user } => self.set_locked(now, account, asker, (&user, true), turn),
            Command::Unlock { user } => self.set_locked(now, account, asker, (&user, false), turn),
        }
        self.state.touch(account, now.time);
    }
}
