//! Where people find this server: the address that invites carry, and the key that proves it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use whoelse_proto::event::Meeting;
use whoelse_proto::{Fingerprint, Place};

use crate::config::PublicAddress;
use crate::failure::{Failure, Kind};

/// Says where the server could be met when it ran last: its key, its place, and how that is known.
const FILE: &str = "meeting";
const GUESSED: &str = "guessed";
const SAID: &str = "said";

/// Addresses of the documentation (RFC 5737, RFC 3849): whatever leads there leads outside.
const OUTSIDE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// Where invites lead, and whether that is a guess.
pub(crate) fn place(address: Option<&PublicAddress>, port: u16) -> (Place, bool) {
    match address {
        Some(address) => (address.place(port), false),
        None => (Place { host: guess(), port }, true),
    }
}

/// The name or address under which others may reach this machine.
fn guess() -> String {
    if let Some(address) = OUTSIDE.iter().find_map(leading_to) {
        return address.to_string();
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // What cannot stand in a link is of no use.
    if name.parse::<PublicAddress>().is_ok() { name } else { "localhost".into() }
}

/// The address of the interface that leads to another. Nothing is sent.
fn leading_to(outside: &SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match outside {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(outside).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Notes where the server can be met, for invites made while it does not run.
pub(crate) fn remember(folder: &Path, meeting: &Meeting) -> Result<(), Failure> {
    let path = folder.join(FILE);
    let Meeting { key, place, is_guessed } = meeting;
    let text = format!("{key}\n{place}\n{}\n", if *is_guessed { GUESSED } else { SAID });
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| {
        Failure::new(
            Kind::Storage,
            format!("cannot write {}: {error}", path.display()),
            "Check the disk and the permissions of the data folder.",
        )
    })
}

/// Where the server of a data folder could be met when it ran last.
///
/// # Errors
/// When it never ran, and when that cannot be read.
pub(crate) fn remembered(folder: &Path) -> Result<Meeting, Failure> {
    let text = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    read(&text).ok_or_else(|| {
        let shown = folder.display();
        Failure::new(
            Kind::Refused,
            format!("the server of {shown} has no key yet, which an invite must carry"),
            format!("Start it once: whoelse server --data {shown}"),
        )
    })
}

fn read(text: &str) -> Option<Meeting> {
    let mut lines = text.lines();
    let key = Fingerprint::parse(lines.next()?).ok()?;
    let place: Place = lines.next()?.parse().ok()?;
    Some(Meeting { key, place: place.into(), is_guessed: lines.next()? == GUESSED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_meeting_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let missing = remembered(folder.path()).unwrap_err();
        assert!(missing.hint.contains("Start it once"), "{missing}");
        for (byte, is_guessed) in [(1, true), (2, false), (2, false)] {
            let place = Place { host: "::1".into(), port: 7 }.into();
            let meeting = Meeting { key: Fingerprint([byte; 32]), place, is_guessed };
            remember(folder.path(), &meeting).unwrap();
            assert_eq!(remembered(folder.path()), Ok(meeting));
        }
    }

    #[test]
    fn what_the_operator_says_is_no_guess() {
        let said = "chat.example.org".parse().unwrap();
        let (known, is_guessed) = place(Some(&said), 7);
        assert_eq!((known.to_string(), is_guessed), ("chat.example.org:7".into(), false));
        let (guessed, is_guessed) = place(None, 7);
        assert!(is_guessed && guessed.port == 7);
        assert!(guessed.to_string().parse::<Place>().is_ok(), "{guessed}");
    }
}
