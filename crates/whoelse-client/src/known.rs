//! The servers that were seen before: a file that clients share.
//!
//! One line each: host, port, `key` or `certificate`, the key, and since when. A line that cannot
//! be read makes its server unknowable rather than unknown: whoever damages the file must not be
//! able to make a client forget a key.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use whoelse_proto::Fingerprint;

use crate::folder;
use crate::trust::{Kind, Known};

/// What the file is called, in the state folder.
const FILE: &str = "known-servers";

/// What is said to somebody who opens it.
const HEADER: &str =
    "# Servers that whoelse knows: host, port, how, key, first seen (Unix time).\n";

/// Largest file that is read. Beyond that it is damaged.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A host and port, as they are compared: a name has no case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    host: String,
    port: u16,
}

impl ServerName {
    /// The server at a host, written with or without brackets, and a port.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        let host = without_brackets(host).trim_end_matches('.').to_lowercase();
        Self { host, port }
    }

    /// The part of its lines that names it.
    fn prefix(&self) -> String {
        format!("{} {} ", folder::encode(&self.host), self.port)
    }

    /// As part of a file's name.
    pub(crate) fn file_name(&self) -> String {
        // No host that is encoded holds an underscore.
        format!("{}_{}", folder::file_name(&self.host), self.port)
    }
}

/// In a URL an IPv6 address stands in brackets; people type them here, too.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The file of servers that were seen before.
#[derive(Clone, Debug)]
pub struct KnownServers {
    folder: PathBuf,
}

impl KnownServers {
    /// The file in this state folder, which need not exist yet.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { folder: state.to_owned() }
    }

    /// What is known of a server.
    ///
    /// # Errors
    /// When the file cannot be read, or this server's line in it, or one that may be this server's.
    /// The error names the file and the line.
    pub fn find(&self, server: &ServerName) -> io::Result<Option<Known>> {
        let prefix = server.prefix();
        let text = self.read()?;
        let mut unclear = None;
        for (index, line) in text.lines().enumerate() {
            if let Some(rest) = line.strip_prefix(&prefix) {
                return parse(rest).map(Some).ok_or_else(|| self.damaged(index + 1));
            }
            if !names_a_server(line) {
                unclear.get_or_insert(index + 1);
            }
        }
        unclear.map_or(Ok(None), |number| Err(self.damaged(number)))
    }

    fn damaged(&self, line: usize) -> io::Error {
        let words = format!("line {line} of {} is damaged", self.path().display());
        io::Error::new(io::ErrorKind::InvalidData, words)
    }

    /// Remembers a server that was not known. If another client was faster, what it has
    /// remembered counts and is returned.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn remember(&self, server: &ServerName, new: Known) -> io::Result<Known> {
        let _lock = self.lock()?;
        if let Some(known) = self.find(server)? {
            return Ok(known);
        }
        let mut text = self.read()?;
        if text.is_empty() {
            text.push_str(HEADER);
        } else if !text.ends_with('\n') {
            text.push('\n');
        }
        let kind = match new.kind {
            Kind::Pinned => "key",
            Kind::Certificate => "certificate",
        };
        text += &format!("{}{kind} {} {}\n", server.prefix(), new.key, new.since_s);
        folder::replace(&self.path(), text.as_bytes())?;
        Ok(new)
    }

    /// Forgets the servers at a host, on one port or on all. Returns how many there were.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn forget(&self, host: &str, port: Option<u16>) -> io::Result<usize> {
        if !self.path().exists() {
            return Ok(0);
        }
        let _lock = self.lock()?;
        let text = self.read()?;
        let prefix = match port {
            Some(port) => ServerName::new(host, port).prefix(),
            None => format!("{} ", folder::encode(&ServerName::new(host, 0).host)),
        };
        let (gone, kept): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with(&prefix));
        if !gone.is_empty() {
            let kept: String = kept.iter().map(|line| format!("{line}\n")).collect();
            folder::replace(&self.path(), kept.as_bytes())?;
        }
        Ok(gone.len())
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Held while the file is changed, so that two clients do not lose each other's lines.
    fn lock(&self) -> io::Result<File> {
        folder::make(&self.folder)?;
        folder::close_to_others(&self.folder)?;
        let lock = folder::open_lock(&self.folder.join("known-servers.lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn read(&self) -> io::Result<String> {
        let path = self.path();
        let failed = |kind, why: &dyn fmt::Display| {
            io::Error::new(kind, format!("{} cannot be read: {why}", path.display()))
        };
        match path.metadata() {
            Ok(metadata) if metadata.len() > BYTES_MAX => {
                return Err(failed(io::ErrorKind::InvalidData, &"it is too large"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            _ => {}
        }
        std::fs::read_to_string(&path).map_err(|error| failed(error.kind(), &error))
    }
}

/// Whether a line says at least whose it is, or is meant for nobody.
fn names_a_server(line: &str) -> bool {
    if line.trim().is_empty() || line.starts_with('#') {
        return true;
    }
    let mut words = line.split(' ');
    let is_encoded =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-%".contains(&byte);
    let host = words.next().unwrap_or_default();
    !host.is_empty()
        && host.bytes().all(is_encoded)
        && words.next().is_some_and(|port| port.parse::<u16>().is_ok())
}

fn parse(rest: &str) -> Option<Known> {
    let mut words = rest.split(' ');
    let kind = match words.next()? {
        "key" => Kind::Pinned,
        "certificate" => Kind::Certificate,
        _ => return None,
    };
    let key = Fingerprint::parse(words.next()?).ok()?;
    let since_s = words.next()?.parse().ok()?;
    words.next().is_none().then_some(Known { kind, key, since_s })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    fn known(number: u8) -> Known {
        Known { kind: Kind::Pinned, key: Fingerprint([number; 32]), since_s: u64::from(number) }
    }

    fn server(host: &str) -> ServerName {
        ServerName::new(host, 12346)
    }

    #[test]
    fn what_is_remembered_is_found_by_any_spelling_and_the_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::new(&folder.path().join("state"));
        assert_eq!(servers.find(&server("a.example")).unwrap(), None);
        let certified = Known { kind: Kind::Certificate, ..known(2) };
        assert_eq!(servers.remember(&server("A.Example."), certified).unwrap(), certified);
        assert_eq!(servers.remember(&server("[::1]"), known(3)).unwrap(), known(3));
        assert_eq!(servers.remember(&server("a.example"), known(4)).unwrap(), certified);
        assert_eq!(servers.find(&server("a.example")).unwrap(), Some(certified));
        assert_eq!(servers.find(&server("::1")).unwrap(), Some(known(3)));
        assert_eq!(servers.find(&ServerName::new("a.example", 1)).unwrap(), None);
        assert_eq!(servers.find(&server("example")).unwrap(), None);
        let mode = servers.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_server_is_forgotten_on_one_port_or_on_all_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::new(folder.path());
        assert_eq!(servers.forget("a", None).unwrap(), 0);
        for port in [1, 2, 3] {
            servers.remember(&ServerName::new("a", port), known(1)).unwrap();
        }
        servers.remember(&ServerName::new("ab", 1), known(1)).unwrap();
        assert_eq!(servers.forget("A", Some(2)).unwrap(), 1);
        assert_eq!(servers.find(&ServerName::new("a", 2)).unwrap(), None);
        assert_eq!(servers.forget("a", None).unwrap(), 2);
        assert_eq!(servers.forget("a", None).unwrap(), 0);
        assert_eq!(servers.find(&ServerName::new("ab", 1)).unwrap(), Some(known(1)));
    }

    #[test]
    fn clients_at_once_do_not_lose_each_others_lines() {
        const CLIENTS: u16 = 16;
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::new(folder.path());
        thread::scope(|scope| {
            for port in 1..=CLIENTS {
                let servers = &servers;
                scope.spawn(move || {
                    servers.remember(&ServerName::new("a", port), known(1)).unwrap();
                });
            }
        });
        for port in 1..=CLIENTS {
            assert!(servers.find(&ServerName::new("a", port)).unwrap().is_some(), "{port}");
        }
    }

    #[test]
    fn damage_makes_nothing_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::new(folder.path());
        servers.remember(&server("a"), known(1)).unwrap();
        let whole = std::fs::read_to_string(servers.path()).unwrap();
        let line = whole.lines().last().unwrap();
        for damaged in [
            &line[..line.len() - 10],
            &line.replace(" key ", " kye "),
            &format!("{line} more"),
            &line.replace("AQEB", "????"),
        ] {
            std::fs::write(servers.path(), damaged).unwrap();
            assert!(servers.find(&server("a")).is_err(), "{damaged}");
            assert!(servers.remember(&server("a"), known(2)).is_err(), "{damaged}");
            // It concerns no other server, and can be forgotten.
            servers.remember(&server("b"), known(3)).unwrap();
            assert_eq!(servers.find(&server("b")).unwrap(), Some(known(3)));
            assert_eq!(servers.forget("a", None).unwrap(), 1);
            assert_eq!(servers.find(&server("a")).unwrap(), None);
        }
        std::fs::write(servers.path(), b"\xff").unwrap();
        assert!(servers.find(&server("a")).is_err());
    }

    #[test]
    fn a_line_that_may_be_anybodys_makes_nobody_unknown_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::new(folder.path());
        servers.remember(&server("a"), known(1)).unwrap();
        let whole = std::fs::read_to_string(servers.path()).unwrap();
        for damage in ["b", "b 124x key", "\u{1b} 1 key", " b 1 key", "B! 1 key", "b\t1\tkey"] {
            std::fs::write(servers.path(), format!("{whole}\n{damage}\n# b\n")).unwrap();
            let error = servers.find(&server("b")).unwrap_err().to_string();
            let path = servers.path();
            assert_eq!(error, format!("line 4 of {} is damaged", path.display()), "{damage}");
            assert!(servers.remember(&server("b"), known(2)).is_err(), "{damage}");
            assert_eq!(servers.find(&server("a")).unwrap(), Some(known(1)), "{damage}");
        }
        std::fs::write(servers.path(), format!("{whole}\n# b\n \n")).unwrap();
        assert_eq!(servers.find(&server("b")).unwrap(), None);
    }
}
