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
use whoelse_engine::AddRefusal;
use whoelse_proto::limits::FRAME_BYTES_MAX_BEFORE_LOGIN;
use whoelse_proto::{Name, Password, Role};

use crate::hub::SharedHub;

/// How long an operator's command may take to say what it wants, and to be answered.
const TIME_OUT: Duration = Duration::from_secs(30);

/// What the operator can ask of a running server.
#[derive(Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum AdminRequest {
    /// Adds a person.
    AddPerson {
        /// Who.
        name: String,
        /// The password in plain text: this socket leads from one process of the owner's to another.
        password: String,
    },
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AdminAnswer {
    /// What kept it from being done, if something did.
    pub(crate) refusal: Option<String>,
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
    let mut line = Vec::new();
    let limit = FRAME_BYTES_MAX_BEFORE_LOGIN as u64;
    BufReader::new(reader.take(limit)).read_until(b'\n', &mut line).await?;
    let refusal = match serde_json::from_slice(&line) {
        Ok(AdminRequest::AddPerson { name, password }) => {
            add_person(hub, &name, Password::new(password)).await.err()
        }
        Err(error) => Some(format!("not a request: {error}")),
    };
    let mut bytes = serde_json::to_vec(&AdminAnswer { refusal })?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await
}

async fn add_person(hub: SharedHub, name: &str, password: Password) -> Result<(), String> {
    let name = Name::new_account(name).map_err(|error| error.to_string())?;
    let receiver = hub.borrow_mut().add_person(name.clone(), Role::Member, password);
    match receiver.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refusal)) => Err(sentence(&name, &refusal)),
        Err(_) => Err("the server is ending".into()),
    }
}

/// Says why a person was not added.
pub(crate) fn sentence(name: &Name, refusal: &AddRefusal) -> String {
    match refusal {
        AddRefusal::Exists { .. } => format!("there is a person called '{name}' already"),
        AddRefusal::LooksLike(other) => {
            format!("'{name}' could be taken for '{other}', who is here already")
        }
        AddRefusal::Retired => {
            format!("'{name}' was somebody who was removed; nobody else is ever called that")
        }
    }
}
