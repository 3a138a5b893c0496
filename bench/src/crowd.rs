//! Many people connected to one server: their sockets, and getting them all logged in.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::dialect::{Dialect, LoginAnswer, name_of};
use crate::failure::{Explain, Failure};
use crate::stream::{Left, LineReader, OutBuffer, SCRATCH_BYTES};

const EVENTS_MAX: usize = 1024;
/// Fewer than the server's queue of password checks, so that `BUSY` stays the exception.
const LOGINS_AT_ONCE: usize = 32;
/// How long nobody may get in before the server is given up.
const LOGIN_PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait after `BUSY`.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// People connected to one server, all in one poll.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// The language they speak.
    pub(crate) dialect: Dialect,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    people: Vec<Person>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Person {
    socket: TcpStream,
    reader: LineReader,
    out: OutBuffer,
}

impl Crowd {
    /// Makes a crowd of nobody.
    pub(crate) fn new(dialect: Dialect, address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            dialect,
            address,
            poll: Poll::new().explain(|| "creating the poll".into())?,
            events: Events::with_capacity(EVENTS_MAX),
            people: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Connects and logs in people `0..count`; tells `progress` how many are in.
    pub(crate) fn log_in(
        &mut self,
        count: usize,
        mut progress: impl FnMut(usize) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut logins = Logins::new(count);
        while logins.done < count {
            while self.people.len() < count && logins.in_flight() < LOGINS_AT_ONCE {
                let person = self.connect()?;
                self.say(person, self.dialect.login_line(person).as_bytes())?;
                logins.asked += 1;
            }
            for person in logins.due(Instant::now()) {
                self.say(person, self.dialect.login_line(person).as_bytes())?;
            }
            let (dialect, before) = (self.dialect, logins.done);
            self.pump(Duration::from_millis(50), |person, line| {
                logins.note(person, dialect.login_answer(line), line);
            })?;
            if let Some(refusal) = logins.refusal.take() {
                return Err(Failure::new(refusal));
            }
            if logins.done > before {
                logins.last_progress = Instant::now();
                progress(logins.done)?;
            }
            if logins.last_progress.elapsed() > LOGIN_PATIENCE {
                return Err(Failure::new(format!(
                    "nobody could log in for {} s ({} of {count} are in)",
                    LOGIN_PATIENCE.as_secs(),
                    logins.done
                )));
            }
        }
        Ok(())
    }

    /// Waits for events at most once, and hands over every line that came, with who read it.
    pub(crate) fn pump(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.explain(|| "waiting for events".into())?,
        }
        for event in &self.events {
            let index = event.token().0;
            let person = &mut self.people[index];
            if event.is_readable() || event.is_read_closed() {
                let left = person
                    .reader
                    .read(&mut person.socket, &mut self.scratch, event.is_read_closed(), |line| {
                        each(index, line);
                    })
                    .explain(|| format!("reading as {}", name_of(index)))?;
                match left {
                    Left::Nothing => {}
                    Left::Perhaps => self
                        .poll
                        .registry()
                        .reregister(&mut person.socket, event.token(), BOTH)
                        .explain(|| "registering a connection".into())?,
                    Left::End => {
                        let name = name_of(index);
                        return Err(Failure::new(format!("the connection of {name} was closed")));
                    }
                }
            }
            if event.is_writable() && !person.out.is_empty() {
                flush(index, person)?;
            }
        }
        Ok(())
    }

    /// Gives a person's output buffer to append to; [`Crowd::flush`] sends it.
    pub(crate) fn out(&mut self, person: usize) -> &mut Vec<u8> {
        self.people[person].out.bytes()
    }

    /// Writes what a person has to say, if anything.
    pub(crate) fn flush(&mut self, person: usize) -> Result<(), Failure> {
        let who = &mut self.people[person];
        if who.out.is_empty() { Ok(()) } else { flush(person, who) }
    }

    fn say(&mut self, person: usize, line: &[u8]) -> Result<(), Failure> {
        self.out(person).extend_from_slice(line);
        self.flush(person)
    }

    /// Connects one more person.
    fn connect(&mut self) -> Result<usize, Failure> {
        let person = self.people.len();
        // Connecting on loopback answers at once; waiting for it keeps every later write simple.
        let socket = std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(5))
            .and_then(|socket| {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                Ok(socket)
            })
            .explain(|| format!("connecting as {}", name_of(person)))?;
        let mut socket = TcpStream::from_std(socket);
        self.poll
            .registry()
            .register(&mut socket, Token(person), BOTH)
            .explain(|| "registering a connection".into())?;
        let (reader, out) = (LineReader::default(), OutBuffer::default());
        self.people.push(Person { socket, reader, out });
        Ok(person)
    }
}

fn flush(index: usize, person: &mut Person) -> Result<(), Failure> {
    person.out.flush(&mut person.socket).explain(|| format!("writing as {}", name_of(index)))
}

/// Who is in, who waits for an answer, and who must ask again.
#[derive(Debug)]
struct Logins {
    welcome: Vec<bool>,
    asked: usize,
    done: usize,
    again: Vec<(Instant, usize)>,
    last_progress: Instant,
    refusal: Option<String>,
}

impl Logins {
    fn new(count: usize) -> Self {
        Self {
            welcome: vec![false; count],
            asked: 0,
            done: 0,
            again: Vec::new(),
            last_progress: Instant::now(),
            refusal: None,
        }
    }

    fn in_flight(&self) -> usize {
        self.asked - self.done
    }

    /// Takes those whose pause after `BUSY` is over.
    fn due(&mut self, now: Instant) -> Vec<usize> {
        let due = self.again.extract_if(.., |(when, _)| *when <= now);
        due.map(|(_, person)| person).collect()
    }

    fn note(&mut self, person: usize, answer: LoginAnswer, line: &[u8]) {
        match answer {
            LoginAnswer::Welcome if !self.welcome[person] => {
                self.welcome[person] = true;
                self.done += 1;
            }
            LoginAnswer::Busy => self.again.push((Instant::now() + BUSY_PAUSE, person)),
            LoginAnswer::Refused if !self.welcome[person] => {
                let (name, line) = (name_of(person), String::from_utf8_lossy(line));
                self.refusal.get_or_insert(format!("the login of {name} was refused: {line}"));
            }
            LoginAnswer::Welcome | LoginAnswer::Refused | LoginAnswer::Unrelated => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_people_ask_again_after_a_pause() {
        let mut logins = Logins::new(2);
        logins.asked = 2;
        logins.note(0, LoginAnswer::Busy, b"");
        logins.note(1, LoginAnswer::Welcome, b"");
        logins.note(1, LoginAnswer::Welcome, b"");
        assert_eq!((logins.done, logins.in_flight()), (1, 1));
        assert!(logins.due(Instant::now()).is_empty());
        assert_eq!(logins.due(Instant::now() + BUSY_PAUSE), [0]);
        assert!(logins.due(Instant::now() + BUSY_PAUSE).is_empty());
    }

    #[test]
    fn a_refusal_says_who_and_why() {
        let mut logins = Logins::new(1);
        logins.note(0, LoginAnswer::Refused, b"BLOCKED");
        assert_eq!(logins.refusal.unwrap(), "the login of u0000 was refused: BLOCKED");
    }
}
