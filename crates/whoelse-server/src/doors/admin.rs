//! The operator's door: a socket in the data folder, which only its owner can reach.
//!
//! One request and one answer for each connection, a line of JSON each. Whoever may open the
//! folder may do everything, so nobody is asked for a password.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;
use whoelse_proto::limits::FRAME_BYTES_MAX_BEFORE_LOGIN;
use zeroize::Zeroizing;

use crate::hub::SharedHub;
use crate::operation::{self, Denied, Operation, Report, Work};

/// How long an operator's command may take to say what it wants, and to be answered.
const TIME_OUT: Duration = Duration::from_secs(30);

/// What the server answers to an [`Operation`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdminAnswer {
    /// It was carried out.
    Done(Report),
    /// It was not.
    Denied(Denied),
}

/// Where the socket is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

/// Listens in the data folder.
pub(crate) fn listen(folder: &Path) -> std::io::Result<UnixListener> {
    let path = path(folder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the operator until the server ends.
pub(crate) async fn serve(hub: SharedHub, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = SharedHub::clone(&hub);
                tokio::task::spawn_local(async move {
                    match tokio::time::timeout(TIME_OUT, answer(hub, stream)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => warn!(%error, "an operator's command broke off"),
                        Err(_) => warn!("an operator's command took too long"),
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot take an operator's command");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(hub: SharedHub, mut stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = Zeroizing::new(Vec::new());
    let limit = FRAME_BYTES_MAX_BEFORE_LOGIN as u64;
    BufReader::new(reader.take(limit)).read_until(b'\n', &mut line).await?;
    let result = match serde_json::from_slice(&line) {
        Ok(operation) => carry_out(hub, operation).await,
        Err(error) => Err(Denied::new(
            format!("the server does not understand the command: {error}"),
            "Use the same version of whoelse for both.",
        )),
    };
    let answer = match result {
        Ok(report) => AdminAnswer::Done(report),
        Err(denied) => AdminAnswer::Denied(denied),
    };
    let mut bytes = Zeroizing::new(serde_json::to_vec(&answer)?);
    bytes.push(b'\n');
    writer.write_all(&bytes).await
}

async fn carry_out(hub: SharedHub, operation: Operation) -> Result<Report, Denied> {
    let work = hub.borrow().plan(operation)?;
    match work {
        Work::Told(report) => Ok(report),
        Work::Add { name, role, password } => {
            let receiver = hub.borrow_mut().add_person(name.clone(), role, password);
            let added = receiver.await.map_err(|_| ending())?;
            added.map(|_| Report::Done).map_err(|refusal| operation::not_added(&name, &refusal))
        }
        Work::SetPassword { name, password } => {
            let receiver = hub.borrow_mut().set_password(name, password);
            operation::outcome(receiver.await.map_err(|_| ending())?)
        }
        Work::Order(order) => {
            let receiver = hub.borrow_mut().order(order);
            operation::outcome(receiver.await.map_err(|_| ending())?)
        }
        Work::Settle => {
            let receiver = hub.borrow_mut().settle();
            receiver.await.map(|()| Report::Done).map_err(|_| ending())
        }
        Work::Invite { order, secret, meeting } => {
            let receiver = hub.borrow_mut().order(order);
            operation::invited(receiver.await.map_err(|_| ending())?, secret, &meeting)
        }
    }
}

fn ending() -> Denied {
    Denied::new("the server is ending", "Try again when it has.")
}
