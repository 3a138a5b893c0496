//! A line to the server that blocks, for programs that keep many of them on threads.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::SockRef;
use whoelse_proto::{Fingerprint, Nonce};

use super::people;
use super::trouble::{Outcome, While, trouble};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that speaks JSON in lines.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
    used: usize,
}

/// How somebody comes in.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// By password.
    Password,
    /// By the device's key, to a server with this key.
    Resume(Fingerprint),
}

impl Line {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).during("connecting")?;
        stream.set_nodelay(true).during("connecting")?;
        Ok(Self { stream, unread: Vec::new(), used: 0 })
    }

    /// Connects and logs in; returns the answer too.
    pub(crate) fn log_in(
        address: SocketAddr,
        person: usize,
        instance: &str,
        entry: &Entry,
    ) -> Outcome<(Self, Value)> {
        let mut line = Self::connect(address)?;
        let answer = line.enter(person, instance, entry)?;
        if answer["status"] != "SUCCESS" {
            return trouble(format!("{} is not let in: {answer}", people::name(person)));
        }
        Ok((line, answer))
    }

    /// Asks to be let in; returns what came of it.
    pub(crate) fn enter(&mut self, person: usize, instance: &str, entry: &Entry) -> Outcome<Value> {
        let username = people::name(person);
        let request = match entry {
            Entry::Password => json!({"action": "login", "username": username,
                "password": people::PASSWORD, "protocol": 1, "instance": instance}),
            Entry::Resume(key) => {
                let challenge = self.ask(&json!({"action": "challenge"}))?;
                let nonce = challenge["nonce"].as_str().and_then(|text| Nonce::parse(text).ok());
                let nonce = nonce.during("no nonce was given")?;
                let device = people::device(person);
                json!({"action": "resume", "username": username, "protocol": 1,
                    "instance": instance, "device_key": device.key().to_string(),
                    "signature": device.sign(key, &nonce, &username).to_string()})
            }
        };
        self.ask(&request)
    }

    /// Says an object.
    pub(crate) fn say(&mut self, value: &Value) -> Outcome<()> {
        self.say_bytes(format!("{value}\n").as_bytes())
    }

    /// Says some bytes.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream.write_all(bytes).during("speaking")
    }

    /// Says some bytes over and over until nobody takes them.
    pub(crate) fn say_until_full(&mut self, bytes: &[u8]) -> Outcome<()> {
        let patience = Duration::from_millis(500);
        self.stream.set_write_timeout(Some(patience)).during("speaking")?;
        loop {
            match self.stream.write(bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).during("speaking"),
            }
        }
    }

    /// Says an object and waits for its answer; what else is said meanwhile is passed over.
    pub(crate) fn ask(&mut self, request: &Value) -> Outcome<Value> {
        self.say(request)?;
        let deadline = Instant::now() + PATIENCE;
        while let Some(value) = self.hear(deadline.saturating_duration_since(Instant::now()))? {
            if value["action"] == request["action"] {
                return Ok(value);
            }
        }
        trouble(format!("no answer to {}", request["action"]))
    }

    /// Hears the next object, or nothing if none comes in time; the end is trouble.
    pub(crate) fn hear(&mut self, patience: Duration) -> Outcome<Option<Value>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(value) = self.next()? {
                return Ok(Some(value));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read(left)? {
                return Ok(None);
            }
        }
    }

    /// The next object that has been read already.
    pub(crate) fn next(&mut self) -> Outcome<Option<Value>> {
        let unread = &self.unread[self.used..];
        let Some(end) = unread.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let value = serde_json::from_slice(&unread[..end]).during("understanding the server")?;
        self.used += end + 1;
        Ok(Some(value))
    }

    /// Waits so long for something to be read; returns whether something was. The end is trouble.
    pub(crate) fn read(&mut self, patience: Duration) -> Outcome<bool> {
        self.unread.drain(..self.used);
        self.used = 0;
        let patience = patience.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(patience)).during("listening")?;
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => trouble("the line ended"),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error).during("listening"),
        }
    }

    /// Breaks the line as a dying machine would.
    pub(crate) fn reset(self) {
        // If the system refuses, the line ends in order.
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap_or_default();
    }
}
