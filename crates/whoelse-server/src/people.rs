//! Carries out what an operator wants, whether a server runs or not.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use whoelse_engine::{AccountId, AddRefusal, Effect, Engine, Input, Now, Order, OrderRefusal};
use whoelse_engine::{Ordered, Rules, Turn};
use whoelse_proto::event::Meeting;
use whoelse_proto::{Fingerprint, Name, Password, Role};
use zeroize::Zeroizing;

use crate::backup::no_data;
use crate::clock::Clock;
use crate::config::{Config, default_data_folder};
use crate::doors::admin::{self, AdminAnswer};
use crate::failure::{Failure, Kind};
use crate::folder::Folder;
use crate::hub::Inbox;
use crate::meeting;
use crate::nature::Nature;
use crate::operation::{self, Denied, Operation, Report, Work};
use crate::passwords::Hasher;
use crate::server::open_data;

/// How long to wait for a running server.
const TIME_OUT: Duration = Duration::from_secs(30);

/// Who carried an operation out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The server that runs: it counts from now on.
    Server,
    /// Nobody but us: the data are in this folder, which no server uses now.
    Folder(PathBuf),
}

/// Carries out an operation on the data in a folder; none means [`default_data_folder`].
///
/// If a server uses the data it is asked; otherwise the data are opened here.
///
/// # Errors
/// When the operation is refused, and when the data cannot be opened.
pub fn operate(folder: Option<PathBuf>, operation: Operation) -> Result<(Report, Place), Failure> {
    let folder = folder.unwrap_or_else(default_data_folder);
    match server_of(&folder)? {
        Some(stream) => Ok((ask_server(&stream, &operation)?, Place::Server)),
        None => Ok((operate_here(&folder, operation)?, Place::Folder(folder))),
    }
}

/// The server that uses the data in a folder, if one does.
pub(crate) fn server_of(folder: &Path) -> Result<Option<UnixStream>, Failure> {
    match UnixStream::connect(admin::path(folder)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_nobody_there(error.kind()) => Ok(None),
        Err(error) => Err(Failure::new(
            Kind::Refused,
            format!("cannot reach the server of {}: {error}", folder.display()),
            "Use the account that runs the server.",
        )),
    }
}

fn is_nobody_there(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Has a server that runs carry out an operation.
pub(crate) fn ask_server(stream: &UnixStream, operation: &Operation) -> Result<Report, Failure> {
    let exchange = || -> std::io::Result<AdminAnswer> {
        stream.set_read_timeout(Some(TIME_OUT))?;
        let mut line = Zeroizing::new(serde_json::to_vec(operation)?);
        line.push(b'\n');
        (&mut &*stream).write_all(&line)?;
        // May hold an invite.
        let mut answer = Zeroizing::new(String::new());
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    match exchange() {
        Ok(AdminAnswer::Done(report)) => Ok(report),
        Ok(AdminAnswer::Denied(denied)) => Err(denied.into()),
        Err(error) => Err(Failure::new(
            Kind::Refused,
            format!("the server did not answer: {error}"),
            "It may be ending; try again.",
        )),
    }
}

/// Opens the data, and ends what a crash left open, as a start would.
fn operate_here(folder: &Path, operation: Operation) -> Result<Report, Failure> {
    // Only the first person makes a folder; any other wish has mistaken the place.
    if !matches!(operation, Operation::Add { .. }) && !folder.join("whoelse.db").exists() {
        return Err(no_data(folder));
    }
    let meeting = meeting_here(folder, &operation)?;
    let folder = Folder::open(folder)?;
    let (mut opened, engine) =
        open_data(folder.path(), Rules::default(), Arc::new(Inbox::default()))?;
    let clock = Clock::start(Nature::real(), engine.newest());
    let mut desk = Desk { engine, now: clock.now(), turn: Turn::default() };
    desk.handle(Input::Started);
    let result = desk.carry_out(&meeting, operation);
    if !desk.turn.records.is_empty() {
        opened.store.append(desk.turn.records);
    }
    opened.store.close().map_err(|error| {
        Failure::new(Kind::Storage, format!("it was not stored: {error}"), error.hint())
    })?;
    result.map_err(Failure::from)
}

/// Where an invite leads that is made while no server runs. Nothing else needs to know.
fn meeting_here(folder: &Path, operation: &Operation) -> Result<Meeting, Failure> {
    if let Operation::Invite { .. } = operation {
        return meeting::remembered(folder);
    }
    let place = whoelse_proto::Place { host: "localhost".into(), port: Config::PORT }.into();
    Ok(Meeting { place, is_guessed: true, key: Fingerprint([0; 32]) })
}

/// An engine without a server around it.
struct Desk {
    engine: Engine,
    now: Now,
    turn: Turn,
}

impl Desk {
    fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input, &mut self.turn);
    }

    fn carry_out(&mut self, meeting: &Meeting, operation: Operation) -> Result<Report, Denied> {
        match operation::plan(&self.engine, self.now.time, meeting, operation)? {
            Work::Told(report) => Ok(report),
            Work::Add { name, role, password } => {
                let added = self.add(name.clone(), role, &password);
                let refused = |refusal: AddRefusal| operation::not_added(&name, &refusal);
                added.map(|_| Report::Done).map_err(refused)
            }
            Work::SetPassword { name, password } => {
                let hash = Hasher::default().hash(&password);
                operation::outcome(self.order(Order::SetPassword { name, hash }))
            }
            Work::Order(order) => operation::outcome(self.order(order)),
            // Opening and closing does that.
            Work::Settle => Ok(Report::Done),
            Work::Invite { order, secret, meeting } => {
                operation::invited(self.order(order), secret, &meeting)
            }
        }
    }

    fn add(
        &mut self,
        name: Name,
        role: Role,
        password: &Password,
    ) -> Result<AccountId, AddRefusal> {
        let password = Some(Hasher::default().hash(password));
        self.handle(Input::AddAccount { ticket: 0, name, password, distinct: true, role });
        let outcome = self.turn.effects.drain(..).find_map(|effect| match effect {
            Effect::Added { outcome, .. } => Some(outcome),
            _ => None,
        });
        outcome.expect("the engine answers every addition at once")
    }

    fn order(&mut self, order: Order) -> Result<Ordered, OrderRefusal> {
        self.handle(Input::Order { ticket: 0, order });
        let outcome = self.turn.effects.drain(..).find_map(|effect| match effect {
            Effect::Ordered { outcome, .. } => Some(outcome),
            _ => None,
        });
        outcome.expect("the engine answers every order at once")
    }
}
