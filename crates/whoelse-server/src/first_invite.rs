//! The invite that a server without people makes for its first one, who becomes administrator.
//!
//! It is printed once, or, where a service manager would keep what is printed, written to a file
//! that only the owner can read. Either way the next start without people makes another and takes
//! this one back.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;
use whoelse_engine::Order;
use whoelse_proto::Role;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::hub::SharedHub;
use crate::operation::{self, Report};

/// How long it is valid, in minutes.
const VALID_MINUTES: u64 = 30;

/// A disk that takes longer to keep it is no reason not to say that the server is ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it goes if not to the terminal.
const FILE: &str = "first-invite";

/// What became of it, for the greeting.
pub(crate) struct FirstInvite {
    shown: Shown,
    is_guessed: bool,
    /// As it would have to be written behind other commands.
    data_flag: String,
}

enum Shown {
    /// Whoever reads the greeting may use it.
    Link(Zeroizing<String>),
    /// It is in this file.
    File(PathBuf),
    /// There is none.
    None,
}

/// Makes it, and puts it where it can be read.
pub(crate) async fn make(hub: &SharedHub, folder: &Path, config: &Config) -> FirstInvite {
    forget(folder);
    let data_flag = match &config.data {
        Some(folder) => format!(" --data {}", folder.display()),
        None => String::new(),
    };
    let nothing = FirstInvite { shown: Shown::None, is_guessed: false, data_flag };
    let (link, is_guessed) = match tokio::time::timeout(PATIENCE, order(hub)).await {
        Ok(Ok(made)) => made,
        Ok(Err(why)) => {
            warn!(why, "could not make an invite");
            return nothing;
        }
        Err(_) => {
            warn!("making an invite takes too long");
            return nothing;
        }
    };
    if !config.is_logged {
        return FirstInvite { shown: Shown::Link(link), is_guessed, ..nothing };
    }
    match write_file(folder, &link) {
        Ok(path) => FirstInvite { shown: Shown::File(path), is_guessed, ..nothing },
        Err(error) => {
            warn!(%error, "could not write the invite to the data folder");
            nothing
        }
    }
}

async fn order(hub: &SharedHub) -> Result<(Zeroizing<String>, bool), String> {
    let secret = operation::fresh_secret();
    let valid_ms = VALID_MINUTES * 60_000;
    let order =
        Order::Invite { secret: secret.clone(), role: Role::Admin, valid_ms, is_first: true };
    let (receiver, meeting) = {
        let mut hub = hub.borrow_mut();
        (hub.order(order), hub.meeting().clone())
    };
    let ordered = receiver.await.map_err(|_| "the server is ending".to_owned())?;
    match operation::invited(ordered, secret, &meeting) {
        Ok(Report::Invited(invited)) => Ok((Zeroizing::new(invited.link), invited.is_guessed)),
        Ok(_) => Err("it was not made".into()),
        Err(denied) => Err(denied.what),
    }
}

/// Removes what an earlier start wrote: it is used, or was taken back.
pub(crate) fn forget(folder: &Path) {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!(%error, "could not remove the file of the first invite");
        }
        _ => {}
    }
}

fn write_file(folder: &Path, link: &str) -> io::Result<PathBuf> {
    let path = folder.join(FILE);
    // There is none: it was removed before. If there is one again it is not ours to fill.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "whoelse client {link}")?;
    file.sync_all()?;
    Ok(path)
}

impl FirstInvite {
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let data_flag = &self.data_flag;
        match &self.shown {
            Shown::None => {
                return writeln!(
                    out,
                    "Nobody can log in yet. Add people:  whoelse user add NAME{data_flag}"
                );
            }
            Shown::Link(link) => {
                writeln!(out, "To join, run this where you want to talk:")?;
                writeln!(out, "  whoelse client {}", link.as_str())?;
            }
            Shown::File(path) => {
                writeln!(out, "To join, run the command in {}", path.display())?;
            }
        }
        writeln!(
            out,
            "  It is valid for {VALID_MINUTES} minutes, for one person, who becomes administrator."
        )?;
        if self.is_guessed {
            writeln!(
                out,
                "  Its address is guessed. If others find this server elsewhere, start it with \
                 --public-address HOST."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_the_owners_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_file(folder.path(), "whoelse://x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whoelse client whoelse://x\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_file(folder.path(), "whoelse://y").is_err());
        forget(folder.path());
        assert!(!path.exists());
        forget(folder.path());
    }
}
