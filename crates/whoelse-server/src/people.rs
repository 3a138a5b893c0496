//! Adding people for the operator, whether a server runs or not.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use whoelse_engine::{Effect, Input, Rules, Turn};
use whoelse_proto::limits::PASSWORD_BYTES_MAX;
use whoelse_proto::{Name, Password, Role};

use crate::clock::Clock;
use crate::config::default_data_folder;
use crate::doors::admin::{self, AdminAnswer, AdminRequest};
use crate::failure::{Failure, Kind};
use crate::folder::Folder;
use crate::hub::Inbox;
use crate::passwords::Hasher;
use crate::server::open_data;

/// How long to wait for a running server.
const TIME_OUT: Duration = Duration::from_secs(30);

/// Where a person was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// To the server that runs: the person can log in now.
    ToServer,
    /// To the data in this folder, which no server uses now.
    ToFolder(PathBuf),
}

/// Says whether a text can be the name of somebody new, before a password is asked for.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_name(name: &str) -> Result<Name, Failure> {
    Name::new_account(name).map_err(|error| {
        Failure::new(
            Kind::Refused,
            format!("'{}' cannot be a name: {error}", name.escape_debug()),
            "Choose letters of one script, digits and simple punctuation.",
        )
    })
}

/// Adds a person to the data in a folder; none means [`default_data_folder`].
///
/// If a server uses the data it is asked; otherwise the data are opened here.
///
/// # Errors
/// When the name is taken, unfit or like another one, and when the data cannot be opened.
pub fn add(folder: Option<PathBuf>, name: &str, password: Password) -> Result<Added, Failure> {
    let folder = folder.unwrap_or_else(default_data_folder);
    let name = check_name(name)?;
    if password.expose().is_empty() || password.expose().len() > PASSWORD_BYTES_MAX {
        return Err(Failure::new(
            Kind::Refused,
            "the password does not fit",
            format!("It needs 1 to {PASSWORD_BYTES_MAX} bytes."),
        ));
    }
    match UnixStream::connect(admin::path(&folder)) {
        Ok(stream) => ask_server(stream, &name, &password).map(|()| Added::ToServer),
        Err(error) if is_nobody_there(error.kind()) => {
            add_here(&folder, name, &password)?;
            Ok(Added::ToFolder(folder))
        }
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

fn ask_server(stream: UnixStream, name: &Name, password: &Password) -> Result<(), Failure> {
    let request =
        AdminRequest::AddPerson { name: name.to_string(), password: password.expose().to_owned() };
    let exchange = || -> std::io::Result<AdminAnswer> {
        stream.set_read_timeout(Some(TIME_OUT))?;
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        (&stream).write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    match exchange() {
        Ok(AdminAnswer { refusal: None }) => Ok(()),
        Ok(AdminAnswer { refusal: Some(why) }) => Err(taken(why)),
        Err(error) => Err(Failure::new(
            Kind::Refused,
            format!("the server did not answer: {error}"),
            "It may be ending; try again.",
        )),
    }
}

fn add_here(folder: &Path, name: Name, password: &Password) -> Result<(), Failure> {
    let folder = Folder::open(folder)?;
    let (mut opened, mut engine) =
        open_data(folder.path(), Rules::default(), Arc::new(Inbox::default()))?;
    let now = Clock::start(engine.newest()).now();
    let mut turn = Turn::default();
    let hash = Some(Hasher::default().hash(password));
    let add = Input::AddAccount {
        ticket: 0,
        name: name.clone(),
        password: hash,
        distinct: true,
        role: Role::Member,
    };
    // Sessions that a crash left open ended before this, not now.
    engine.handle(now, Input::Started, &mut turn);
    engine.handle(now, add, &mut turn);
    let refusal = turn.effects.iter().find_map(|effect| match effect {
        Effect::Added { outcome: Err(refusal), .. } => Some(admin::sentence(&name, refusal)),
        _ => None,
    });
    if refusal.is_none() {
        opened.store.append(turn.records);
    }
    opened.store.close().map_err(|error| {
        Failure::new(Kind::Storage, format!("the account was not stored: {error}"), error.hint())
    })?;
    refusal.map_or(Ok(()), |why| Err(taken(why)))
}

fn taken(why: String) -> Failure {
    Failure::new(Kind::Refused, why, "Choose another name.")
}
