//! The loop around [`Core`]: one socket, one clock, and the queues to the screen.
//!
//! While the screen is behind, the loop reads neither socket nor input: the server holds mail
//! back until it is acknowledged, so nothing is lost and nothing grows.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::pin::Pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use whoelse_proto::Password;
use whoelse_proto::codec::Incoming;
use whoelse_proto::limits::EVENT_BYTES_MAX;
use whoelse_proto::splitter::{Splitter, Step};

use crate::command::Command;
use crate::connect::connect;
use crate::core::{Action, Config, Core};
use crate::notice::{Ending, Loss, Told, Trouble};

/// Most bytes read at once, so that the screen is served in between.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Where to connect to, and how to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The behaviour.
    pub config: Config,
}

/// Something the person did.
pub enum Input {
    /// Said who it is, as asked.
    Credentials {
        /// The name.
        name: String,
        /// The password.
        password: Password,
    },
    /// Wants something.
    Command(Command),
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
    loop {
        driver.hand_over(&told);
        driver.act();
        if let Some(ending) = driver.core.ending() {
            return Ended {
                ending: ending.clone(),
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
            opened = opened(&mut driver.opening) => Happened::Opened(opened),
            () = ready(driver.connection.as_ref(), !behind) => Happened::Ready,
            () = reached(deadline) => Happened::Deadline,
        };
        driver.handle(happened, behind);
    }
}

/// What woke the loop.
enum Happened {
    Stop,
    Input(Input),
    Shown(u64),
    Opened(Result<TcpStream, Trouble>),
    Ready,
    Deadline,
}

struct Driver {
    options: Options,
    core: Core,
    begun: Instant,
    opening: Option<Opening>,
    connection: Option<Connection>,
    /// Taken from the core, and not yet from us.
    untold: Option<Told>,
}

type Opening = Pin<Box<dyn Future<Output = Result<TcpStream, Trouble>> + Send>>;

impl Driver {
    fn new(options: Options) -> Result<Self, Trouble> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| Trouble::Other(error.to_string()))?;
        Ok(Self {
            core: Core::new(options.config, seed),
            options,
            begun: Instant::now(),
            opening: None,
            connection: None,
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
            Happened::Input(Input::Credentials { name, password }) => {
                self.core.handle_credentials(now_ms, name, password);
            }
            Happened::Input(Input::Command(command)) => self.core.handle_command(now_ms, command),
            Happened::Input(Input::End) => self.core.handle_end_of_input(now_ms),
            Happened::Shown(sequence) => self.core.handle_shown(now_ms, sequence),
            Happened::Opened(Ok(stream)) => {
                self.opening = None;
                self.connection = Some(Connection::new(stream));
                self.core.handle_connected(now_ms);
            }
            Happened::Opened(Err(trouble)) => {
                self.opening = None;
                self.core.handle_connect_failed(now_ms, trouble);
            }
            Happened::Ready => {
                self.exchange(!behind);
                self.core.tick(now_ms);
            }
            Happened::Deadline => self.core.tick(now_ms),
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
                Action::Connect => {
                    let (host, port) = (self.options.host.clone(), self.options.port);
                    self.opening = Some(Box::pin(async move { connect(&host, port).await }));
                }
                Action::Disconnect => {
                    self.opening = None;
                    if let Some(connection) = self.connection.take() {
                        connection.close();
                    }
                }
                Action::Send(bytes) => {
                    if let Some(connection) = &mut self.connection {
                        connection.unwritten.extend_from_slice(&bytes);
                        // A failure shows itself at the next read, after what still came in.
                        connection.write().unwrap_or_default();
                    }
                }
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
                Some(Ok(incoming)) => self.core.handle_incoming(now_ms, incoming),
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

/// An open connection with its two buffers.
struct Connection {
    stream: TcpStream,
    /// Read and not yet understood.
    unread: Vec<u8>,
    /// How much of `unread` is done with.
    done: usize,
    splitter: Splitter,
    unwritten: Vec<u8>,
}

/// The other side sent what is no frame of the protocol, or too long a one.
struct Garbage;

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            done: 0,
            splitter: Splitter::default(),
            unwritten: Vec::new(),
        }
    }

    /// Reads a bounded amount; says so when the connection is over.
    fn read(&mut self) -> Option<Loss> {
        let mut wanted = READ_BYTES_MAX;
        while wanted > 0 {
            self.unread.reserve(wanted.min(8 * 1024));
            match self.stream.try_read_buf(&mut self.unread) {
                Ok(0) => return Some(Loss::Closed),
                Ok(bytes) => wanted = wanted.saturating_sub(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Loss::Broken(error.to_string())),
            }
        }
        None
    }

    fn write(&mut self) -> Result<(), Loss> {
        while !self.unwritten.is_empty() {
            match self.stream.try_write(&self.unwritten) {
                Ok(bytes) => drop(self.unwritten.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Loss::Broken(error.to_string())),
            }
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Result<Incoming, Garbage>> {
        loop {
            let rest = &self.unread[self.done..];
            match self.splitter.step(rest, EVENT_BYTES_MAX, false) {
                Step::More => {
                    self.unread.drain(..self.done);
                    self.done = 0;
                    return None;
                }
                Step::Skip(bytes) => self.done += bytes,
                Step::Bad(..) => return Some(Err(Garbage)),
                Step::Frame(bytes) => {
                    let incoming = Incoming::decode(&rest[..bytes]).map_err(|_| Garbage);
                    self.done += bytes;
                    return Some(incoming);
                }
            }
        }
    }

    /// Closes it in order, with what was written on its way.
    fn close(mut self) {
        self.write().unwrap_or_default();
        // It may be closed already.
        SockRef::from(&self.stream).shutdown(Shutdown::Write).unwrap_or_default();
    }
}

async fn opened(opening: &mut Option<Opening>) -> Result<TcpStream, Trouble> {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

/// Waits until the connection can be read, if that is wanted, or written, if there is need.
async fn ready(connection: Option<&Connection>, read: bool) {
    let Some(connection) = connection else { return pending().await };
    let interest = match (read, !connection.unwritten.is_empty()) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return pending().await,
    };
    // An error here is found again, and told, by the read that follows.
    drop(connection.stream.ready(interest).await);
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
