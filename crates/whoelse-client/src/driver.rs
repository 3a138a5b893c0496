//! The loop around [`Core`]: one socket, one clock, and the queues to the screen.
//!
//! While the screen is behind, the loop reads neither socket nor input: the server holds mail
//! back until it is acknowledged, so nothing is lost and nothing grows. Before the core hears of
//! a connection, `meeting` finds out whether whoever answers may be trusted.

mod connection;
#[cfg(feature = "links")]
mod links;
#[cfg(not(feature = "links"))]
#[path = "driver/no_links.rs"]
mod links;
mod meeting;
mod store;
#[cfg(feature = "links")]
mod swarm;
mod unencrypted;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use whoelse_proto::{Fingerprint, Password};

use crate::command::Command;
use crate::connect::{OpenError, Opened};
use crate::core::{Action, Config, Core};
use crate::links::PeerEvent;
use crate::log::{Found, Log};
use crate::notice::{Ending, Told, Trouble};
use crate::profile::Profile;
use connection::{Connection, Garbage};
use links::Carrier;
use meeting::Meeting;
use store::Looking;
use unencrypted::{Line, Plain};

/// Most that is taken in at once of what is typed.
const INPUTS_MAX: usize = 64;

/// Where to connect to, and how to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// The behaviour, and the server.
    pub config: Config,
    /// The folder for what is kept from run to run; without one nothing is.
    pub state: Option<PathBuf>,
    /// The key that the server must have.
    pub expected_key: Option<Fingerprint>,
    /// A person sees what is told, and can be asked to compare keys.
    pub compares: bool,
    /// What is said is kept in the profile.
    pub store: bool,
}

/// Something the person did.
pub enum Input {
    /// Said whether to trust the server, as asked.
    Trust(bool),
    /// Said who it is, as asked.
    Name(String),
    /// Said the password, as asked.
    Password(Password),
    /// Wants something.
    Command(Command),
    /// Wants to leave, and stays known on this device.
    Leave,
    /// Will want nothing more.
    End,
}

/// How the client ended.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub ending: Ending,
    /// There was a session; then what ended it has been told.
    pub logged_in: bool,
    /// The name the person gave, if it got that far.
    pub name: Option<String>,
    /// What the screen had no room for; to be shown after what it has.
    pub untold: VecDeque<Told>,
}

/// Runs a client to its end.
///
/// `told` leads to the screen, which reports in `shown` up to which place it has shown
/// everything. `stop` ends the client at once, when it completes; so does a closed `told`.
pub async fn run(
    options: Options,
    mut inputs: mpsc::Receiver<Input>,
    told: mpsc::Sender<Told>,
    mut shown: watch::Receiver<u64>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let mut driver = match Driver::new(options) {
        Ok(driver) => driver,
        Err(trouble) => {
            return Ended {
                ending: Ending::Unreachable(trouble),
                logged_in: false,
                name: None,
                untold: VecDeque::new(),
            };
        }
    };
    let mut stop = std::pin::pin!(stop);
    let mut shown_open = true;
    driver.listen().await;
    loop {
        // What is kept can be told, and whoever tells nobody any more has something to do.
        driver.act();
        driver.hand_over(&told);
        driver.act();
        if let Some(ending) = driver.core.ending().cloned() {
            tokio::join!(driver.carrier.end(), driver.plain.end());
            return Ended {
                ending,
                logged_in: driver.core.was_logged_in(),
                name: driver.core.name().map(str::to_owned),
                untold: std::iter::from_fn(|| driver.next_told()).collect(),
            };
        }
        let behind = driver.is_behind();
        let deadline = driver.deadline();
        let happened = tokio::select! {
            () = &mut stop => Happened::Stop,
            permit = told.reserve(), if behind => match permit {
                Ok(permit) => {
                    if let Some(told) = driver.next_told() {
                        permit.send(told);
                    }
                    continue;
                }
                Err(_) => Happened::Stop,
            },
            input = inputs.recv(), if !behind && driver.core.wants_input() => {
                Happened::Input(input.unwrap_or(Input::End))
            }
            changed = shown.changed(), if shown_open => {
                shown_open = changed.is_ok();
                Happened::Shown(*shown.borrow_and_update())
            }
            found = store::found(driver.looking.front_mut()) => Happened::Found(found),
            opened = opened(&mut driver.opening) => Happened::Opened(opened),
            event = driver.carrier.next(), if !behind => Happened::Peer(event),
            line = driver.plain.next(), if !behind => Happened::Line(line),
            () = ready(driver.connection.as_ref(), !behind) => Happened::Ready,
            () = reached(deadline) => Happened::Deadline,
        };
        driver.handle(happened, behind);
        driver.take_more(&mut inputs);
    }
}

/// What woke the loop.
enum Happened {
    Stop,
    Input(Input),
    Shown(u64),
    Opened(Result<Opened, OpenError>),
    Found(io::Result<Found>),
    Peer(PeerEvent),
    Line(Line),
    Ready,
    Deadline,
}

struct Driver {
    meeting: Meeting,
    core: Core,
    begun: Instant,
    opening: Option<Opening>,
    connection: Option<Connection>,
    /// The profile of the person, if nobody else uses it.
    profile: Option<Profile>,
    /// Its log, if one is wanted.
    log: Option<Log>,
    store: bool,
    /// What is being looked for in it, the first first.
    looking: VecDeque<Looking>,
    /// Taken from the core, and not yet from us.
    untold: Option<Told>,
    carrier: Carrier,
    plain: Plain,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>;

impl Driver {
    fn new(options: Options) -> Result<Self, Trouble> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| Trouble::Other(error.to_string()))?;
        let carrier = Carrier::new(&options.config.links);
        let meeting = Meeting::new(&options);
        let mut core = Core::new(options.config, seed);
        if meeting.has_profiles() {
            core.allow_absent();
        }
        Ok(Self {
            meeting,
            core,
            begun: Instant::now(),
            opening: None,
            connection: None,
            profile: None,
            log: None,
            store: options.store,
            carrier,
            plain: Plain::new(),
            looking: VecDeque::new(),
            untold: None,
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn deadline(&self) -> Option<Instant> {
        let at_ms = self.core.deadline()?;
        self.begun.checked_add(Duration::from_millis(at_ms))
    }

    fn is_behind(&self) -> bool {
        self.untold.is_some() || self.core.has_told()
    }

    fn next_told(&mut self) -> Option<Told> {
        self.untold.take().or_else(|| self.core.next_told())
    }

    fn handle(&mut self, happened: Happened, behind: bool) {
        let now_ms = self.now_ms();
        match happened {
            Happened::Stop => self.core.handle_interrupt(),
            Happened::Input(input) => self.handle_input(now_ms, input),
            Happened::Shown(sequence) => self.core.handle_shown(now_ms, sequence),
            Happened::Opened(opened) => {
                self.opening = None;
                self.meet(now_ms, opened);
            }
            Happened::Found(found) => self.handle_found(found),
            Happened::Peer(event) => self.core.handle_peer(now_ms, event),
            Happened::Line(line) => self.handle_line(now_ms, line),
            Happened::Ready => {
                self.exchange(!behind);
                self.core.tick(now_ms);
            }
            Happened::Deadline => self.core.tick(now_ms),
        }
    }

    fn handle_input(&mut self, now_ms: u64, input: Input) {
        match input {
            Input::Trust(yes) => self.core.handle_trust(yes),
            Input::Name(name) => self.core.handle_name(name),
            Input::Password(password) => self.core.handle_password(now_ms, password),
            Input::Command(command) => self.core.handle_command(now_ms, command),
            Input::Leave => self.core.handle_leave(now_ms),
            Input::End => self.core.handle_end_of_input(now_ms),
        }
    }

    /// Takes in what is typed already, so that it is kept together: a script is as fast with a log.
    fn take_more(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        let now_ms = self.now_ms();
        for _ in 0..INPUTS_MAX {
            if !self.core.is_in_session() || !self.core.wants_input() || self.is_behind() {
                return;
            }
            let Ok(input) = inputs.try_recv() else { return };
            self.handle_input(now_ms, input);
        }
    }

    /// Gives the screen what it has room for.
    fn hand_over(&mut self, told: &mpsc::Sender<Told>) {
        while let Some(next) = self.next_told() {
            match told.try_send(next) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(next)) => {
                    self.untold = Some(next);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.core.handle_interrupt(),
            }
        }
    }

    /// Does what the core wants done.
    fn act(&mut self) {
        while let Some(action) = self.core.next_action() {
            match action {
                Action::Connect => self.connect(),
                Action::Disconnect => {
                    self.opening = None;
                    if let Some(connection) = self.connection.take() {
                        connection.close();
                    }
                }
                Action::Send(bytes) => {
                    if let Some(connection) = &mut self.connection {
                        connection.send(&bytes);
                    }
                }
                Action::Trust => self.trust(),
                Action::OpenProfile { name } => self.open_profile(&name),
                Action::KeepDevice => self.change_profile(|profile, device| match device {
                    Some(device) => profile.keep(device),
                    None => Ok(()),
                }),
                Action::ForgetDevice => self.change_profile(|profile, _| profile.forget()),
                Action::Keep { batch, entries } => self.keep(batch, &entries),
                Action::Look { command } => self.look(command),
                Action::KeepSeed(yes) => {
                    self.change_profile(|profile, _| profile.keep_seed(yes));
                }
                Action::KeepPeers(peers) => {
                    self.change_profile(|profile, _| profile.keep_peers(&peers));
                }
                Action::Peer(order) => self.carry(order),
                Action::Unencrypted(order) => self.carry_unencrypted(order),
            }
        }
    }

    /// Reads what there is and writes what there is room for.
    fn exchange(&mut self, read: bool) {
        let now_ms = self.now_ms();
        let Some(mut connection) = self.connection.take() else { return };
        // What still comes in on a dying line may say why it dies.
        let written = connection.write();
        let end = if read || written.is_err() { connection.read() } else { None };
        loop {
            match connection.next_frame() {
                None => break,
                Some(Ok(incoming)) => {
                    self.core.handle_incoming(now_ms, incoming);
                    // Before the first mail of this session.
                    if self.core.waits_for_profile() {
                        self.take_profile_over();
                    }
                }
                Some(Err(Garbage)) => {
                    self.core.handle_garbage(now_ms);
                    return;
                }
            }
        }
        match (end, written) {
            (Some(loss), _) | (None, Err(loss)) => self.core.handle_disconnected(now_ms, loss),
            (None, Ok(())) => self.connection = Some(connection),
        }
    }
}

async fn opened(opening: &mut Option<Opening>) -> Result<Opened, OpenError> {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

/// Waits until the connection can be read, if that is wanted, or written, if there is need.
async fn ready(connection: Option<&Connection>, read: bool) {
    let Some(connection) = connection else { return pending().await };
    let interest = match (read, connection.wants_write()) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return pending().await,
    };
    // An error here is found again, and told, by the read that follows.
    drop(connection.stream().ready(interest).await);
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
