//! Private links with original clients: plain TCP, nobody proven, nothing encrypted.
//!
//! Each message is one object `{"from":…,"message":…}`, with nothing between objects; closing the
//! connection ends the conversation. An original client takes what one `recv` of 1,024 bytes
//! brings for one object, so objects go one per segment and not too soon after each other. Whoever
//! uses this has said so on the command line, and is told on every line what it is worth.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use whoelse_proto::limits::ORIGINAL_PAUSE_MS;
use whoelse_proto::splitter::{Splitter, Step};

/// An original client reads no more than this at once, in bytes.
pub const OBJECT_BYTES_MAX: usize = 1024;

/// The longest object that is taken from anybody, in bytes.
const INCOMING_BYTES_MAX: usize = 64 * 1024;

/// Lines of strangers at once. Whoever listens to what happens on them lets fewer stand.
const STRANGERS_MAX: usize = 16;

/// Texts that wait to be written to one line.
const WAITING_MAX: usize = 100;

/// How long it may take to get through to somebody.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the end of a line may take, so that what was said last still leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// A line to or from an original client. Those we open are named by whoever wants them; those of
/// strangers have names that nobody can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LineId {
    /// We open it. Never used twice in a run.
    Ours(u64),
    /// Somebody else has opened it.
    Theirs(u64),
}

/// What happened on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line we asked for is open.
    Up(LineId),
    /// Somebody has connected; who it claims to be comes with its first text.
    Incoming {
        /// The new line.
        line: LineId,
        /// Where it comes from.
        address: IpAddr,
    },
    /// Something was said. Anybody could have said it.
    Text {
        /// On which line.
        line: LineId,
        /// Who claims to say it.
        from: String,
        /// What.
        text: String,
    },
    /// A text was handed to the network; nothing more is ever known.
    Written {
        /// On which line.
        line: LineId,
        /// The number it was given.
        number: u64,
    },
    /// The line is over, or could not be opened; texts not written are not.
    Ended {
        /// Which.
        line: LineId,
        /// What went wrong, if anything did.
        trouble: Option<String>,
    },
}

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The line is over.
    Gone,
    /// Too many wait already.
    Full,
    /// An original client could not read it.
    TooLong,
}

/// What is to be done with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOrder {
    /// Open it.
    Connect {
        /// Which.
        line: LineId,
        /// Where the other end listens.
        to: SocketAddr,
    },
    /// Say something.
    Say {
        /// On which line.
        line: LineId,
        /// Its number.
        number: u64,
        /// Who says it.
        from: String,
        /// What.
        text: String,
    },
    /// End it, once what was said has left.
    Close {
        /// Which.
        line: LineId,
    },
}

/// What is told to a line.
enum Order {
    Say { number: u64, object: Vec<u8> },
}

/// All lines with original clients. Dropped, they end at once.
#[derive(Debug)]
pub struct Lines {
    events: mpsc::Sender<Event>,
    strangers: Option<mpsc::Receiver<(TcpStream, SocketAddr)>>,
    listeners: Vec<JoinHandle<()>>,
    lines: HashMap<LineId, Line>,
    /// Lines that say what was left to say.
    ending: Vec<JoinHandle<()>>,
    strangers_met: u64,
}

#[derive(Debug)]
struct Line {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Deserialize)]
struct Object {
    from: String,
    message: String,
}

impl Lines {
    /// None yet; what happens on them is told to `events`, and not read faster than that is.
    #[must_use]
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            events,
            strangers: None,
            listeners: Vec::new(),
            lines: HashMap::new(),
            ending: Vec::new(),
            strangers_met: 0,
        }
    }

    /// Listens on a port of the system's choice, on all addresses; returns it.
    ///
    /// # Errors
    /// When the system has no port or no rights to give.
    pub async fn listen(&mut self) -> io::Result<u16> {
        let (arrived, strangers) = mpsc::channel(1);
        let first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let port = first.local_addr()?.port();
        self.listeners.push(tokio::spawn(accept(first, arrived.clone())));
        // Where the system maps IPv4 into IPv6, the port is taken already; that is all of it then.
        if let Ok(second) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            self.listeners.push(tokio::spawn(accept(second, arrived)));
        }
        self.strangers = Some(strangers);
        Ok(port)
    }

    /// Waits for somebody to connect; for ever if nobody may. Give it to [`Lines::take_in`].
    pub async fn arrival(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(strangers) = &mut self.strangers
            && let Some(stranger) = strangers.recv().await
        {
            return stranger;
        }
        std::future::pending().await
    }

    /// Makes a line of somebody who has connected; one too many is closed.
    pub fn take_in(&mut self, (stream, address): (TcpStream, SocketAddr)) -> Option<Event> {
        self.forget_ended();
        let strangers = self.lines.keys().filter(|line| matches!(line, LineId::Theirs(_)));
        if strangers.count() >= STRANGERS_MAX {
            return None;
        }
        self.strangers_met += 1;
        let line = LineId::Theirs(self.strangers_met);
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let trouble = talk(line, stream, waiting, &events).await.err();
            tell_end(line, trouble, &events).await;
        });
        self.lines.insert(line, Line { orders, task });
        Some(Event::Incoming { line, address: address.ip().to_canonical() })
    }

    /// Opens a line.
    pub fn connect(&mut self, line: LineId, to: SocketAddr) {
        self.forget_ended();
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let trouble = match timeout(CONNECT, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => {
                    let is_told = events.send(Event::Up(line)).await.is_ok();
                    if is_told { talk(line, stream, waiting, &events).await.err() } else { None }
                }
                Ok(Err(error)) => Some(error),
                Err(_) => Some(io::ErrorKind::TimedOut.into()),
            };
            tell_end(line, trouble, &events).await;
        });
        self.lines.insert(line, Line { orders, task });
    }

    /// Says something on a line.
    ///
    /// # Errors
    /// Says why it is not taken; then nothing leaves.
    pub fn say(
        &mut self,
        line: LineId,
        number: u64,
        from: &str,
        text: &str,
    ) -> Result<(), Refused> {
        let object = object(from, text);
        if object.len() > OBJECT_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let line = self.lines.get(&line).ok_or(Refused::Gone)?;
        line.orders.try_send(Order::Say { number, object }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Gone,
        })
    }

    /// Ends a line, once what waits has been written; at once if that takes too long.
    pub fn close(&mut self, line: LineId) {
        self.ending.retain(|task| !task.is_finished());
        if let Some(Line { orders, mut task }) = self.lines.remove(&line) {
            drop(orders);
            self.ending.push(tokio::spawn(async move {
                if timeout(FAREWELL, &mut task).await.is_err() {
                    task.abort();
                }
            }));
        }
    }

    /// Ends all lines like that.
    pub async fn end(&mut self) {
        let lines: Vec<LineId> = self.lines.keys().copied().collect();
        lines.into_iter().for_each(|line| self.close(line));
        for task in std::mem::take(&mut self.ending) {
            // One that was broken off has ended, too.
            task.await.unwrap_or_default();
        }
    }

    fn forget_ended(&mut self) {
        self.lines.retain(|_, line| !line.task.is_finished());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let lines = self.lines.values().map(|line| &line.task);
        self.listeners.iter().chain(lines).for_each(JoinHandle::abort);
    }
}

/// A text as an original client reads it.
fn object(from: &str, text: &str) -> Vec<u8> {
    serde_json::json!({ "from": from, "message": text }).to_string().into_bytes()
}

/// How many bytes a text becomes, of which [`OBJECT_BYTES_MAX`] are read there.
#[must_use]
pub fn object_bytes(from: &str, text: &str) -> usize {
    object(from, text).len()
}

async fn accept(listener: TcpListener, arrived: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(stranger) => {
                if arrived.send(stranger).await.is_err() {
                    return;
                }
            }
            // Without free files it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn tell_end(line: LineId, trouble: Option<io::Error>, events: &mpsc::Sender<Event>) {
    let trouble = trouble.map(|error| error.to_string());
    // Nobody may be left to hear it.
    events.send(Event::Ended { line, trouble }).await.unwrap_or_default();
}

/// Reads and writes until either side ends it.
async fn talk(
    line: LineId,
    stream: TcpStream,
    orders: mpsc::Receiver<Order>,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    tokio::select! {
        heard = hear(line, reader, events) => heard,
        said = say(line, writer, orders, events) => said,
    }
}

/// Writes what is ordered, until nothing more will be.
async fn say(
    line: LineId,
    mut writer: OwnedWriteHalf,
    mut orders: mpsc::Receiver<Order>,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    while let Some(Order::Say { number, object }) = orders.recv().await {
        writer.write_all(&object).await?;
        events.send(Event::Written { line, number }).await.map_err(io::Error::other)?;
        sleep(Duration::from_millis(ORIGINAL_PAUSE_MS)).await;
    }
    writer.shutdown().await
}

/// Reads objects until the other side has no more.
async fn hear(
    line: LineId,
    mut reader: OwnedReadHalf,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let (mut bytes, mut splitter) = (Vec::new(), Splitter::default());
    loop {
        match splitter.step(&bytes, INCOMING_BYTES_MAX, false) {
            Step::Skip(count) => drop(bytes.drain(..count)),
            Step::Frame(count) => {
                let object = serde_json::from_slice(&bytes[..count]).map_err(|_| garbage())?;
                bytes.drain(..count);
                let Object { from, message: text } = object;
                events.send(Event::Text { line, from, text }).await.map_err(io::Error::other)?;
            }
            Step::Bad(..) => return Err(garbage()),
            Step::More => {
                if bytes.len() > INCOMING_BYTES_MAX {
                    return Err(garbage());
                }
                if reader.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn garbage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is not a message of an original client")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
        timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn two_sides_talk_and_end() {
        let (tell, mut told) = mpsc::channel(8);
        let (ask, mut asked) = mpsc::channel(8);
        let (mut ours, mut theirs) = (Lines::new(tell), Lines::new(ask));
        let port = ours.listen().await.unwrap();
        let out = LineId::Ours(1);
        theirs.connect(out, (Ipv4Addr::LOCALHOST, port).into());
        let arrival = ours.arrival().await;
        let Some(Event::Incoming { line, address }) = ours.take_in(arrival) else {
            panic!("no line")
        };
        assert!(address.is_loopback());
        assert_eq!(next(&mut asked).await, Event::Up(out));
        theirs.say(out, 1, "yoda", "hear {\"me\"}").unwrap();
        assert_eq!(next(&mut asked).await, Event::Written { line: out, number: 1 });
        let text = "hear {\"me\"}".to_owned();
        assert_eq!(next(&mut told).await, Event::Text { line, from: "yoda".into(), text });
        ours.say(line, 7, "luke", "first").unwrap();
        ours.say(line, 8, "luke", "second").unwrap();
        for text in ["first", "second"] {
            let text = text.to_owned();
            assert_eq!(
                next(&mut asked).await,
                Event::Text { line: out, from: "luke".into(), text }
            );
        }
        theirs.close(out);
        assert_eq!(next(&mut asked).await, Event::Ended { line: out, trouble: None });
        for number in [7, 8] {
            assert_eq!(next(&mut told).await, Event::Written { line, number });
        }
        assert_eq!(next(&mut told).await, Event::Ended { line, trouble: None });
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while ours.say(line, 9, "luke", "too late") != Err(Refused::Gone) {
            assert!(std::time::Instant::now() < until);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn garbage_ends_only_its_line() {
        let (tell, mut told) = mpsc::channel(8);
        let mut ours = Lines::new(tell);
        let port = ours.listen().await.unwrap();
        for bytes in [&b"hello"[..], b"{\"from\":1}", b"[]", &[b'{'; INCOMING_BYTES_MAX + 2]] {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let arrival = ours.arrival().await;
            let Some(Event::Incoming { line, .. }) = ours.take_in(arrival) else {
                panic!("no line")
            };
            stream.write_all(bytes).await.unwrap();
            let Event::Ended { line: ended, trouble: Some(trouble) } = next(&mut told).await else {
                panic!("taken")
            };
            assert_eq!(ended, line);
            assert!(trouble.contains("not a message"), "{trouble}");
        }
    }

    #[tokio::test]
    async fn nobody_answers_and_too_much_is_refused() {
        let (tell, mut told) = mpsc::channel(8);
        let mut ours = Lines::new(tell);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let line = LineId::Ours(1);
        ours.connect(line, address);
        assert_eq!(ours.say(line, 1, "luke", &"x".repeat(1024)), Err(Refused::TooLong));
        let Event::Ended { line: ended, trouble: Some(_) } = next(&mut told).await else {
            panic!("connected")
        };
        assert_eq!(ended, line);
    }
}
