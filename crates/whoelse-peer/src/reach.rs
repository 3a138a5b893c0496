//! Getting to a connection on which both ends have said hello: by dialling, or by being dialled.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{
    ConnectError, ConnectWithOptsError, ConnectingError, Connection, ConnectionError, Incoming,
    IncomingAddr, RecvStream, SendStream, VarInt,
};
use iroh::{EndpointAddr, EndpointId, Watcher};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::api::Unreached;
use crate::endpoint::{End, code};
use crate::link::Shared;
use crate::wire::{ALPN, Decoder, FRAME_BYTES_MAX, Frame, VERSION, encode};

/// How long the other end may take to answer, and again to say hello.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long after an attempt that failed the next begins; then twice as long, and so on.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Most who shake hands at once, but for the one of whom the relay says that it is the right one.
const HANDSHAKES_MAX: usize = 8;

/// Most of those who come from one address. The right one may share it.
const HANDSHAKES_SAME_MAX: usize = 4;

/// Most of those of whom the relay says that they are the right one: it may come again before we know that it is gone.
const HANDSHAKES_PROVEN_MAX: usize = 8;

/// From this many on only those are let in who show that their address is theirs.
const HANDSHAKES_UNPROVEN_MAX: usize = 2;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Words are written before anything of a file.
const PRIORITY: i32 = 1;

/// A connection, and the one stream on which the two ends talk.
pub(crate) struct Talk {
    pub(crate) connection: Connection,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// What their hello says: ours up to here have come to them.
    pub(crate) received: u64,
}

/// What the other side says.
pub(crate) struct Reader {
    stream: RecvStream,
    pub(crate) decoder: Decoder,
    buffer: Box<[u8]>,
}

/// What is said to it. No more waits than a few frames: the next is taken when the last has left.
pub(crate) struct Writer {
    stream: SendStream,
    unwritten: Vec<u8>,
    written: usize,
}

/// What came of reaching for the other end.
pub(crate) enum Reached {
    Talk(Box<Talk>),
    /// An attempt failed; the next is under way.
    Not(Unreached),
    /// It is the right one, but does not speak our language.
    Nonsense(&'static str),
}

/// Reaches for the other end until dropped.
pub(crate) struct Reach {
    pub(crate) reached: mpsc::Receiver<Reached>,
    task: AbortHandle,
}

impl Drop for Reach {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reach {
    /// Dials until there is a connection; then it is done.
    pub(crate) fn dial(end: End, to: EndpointAddr, texts: Arc<Shared>) -> Self {
        end.early.ignore();
        let (found, reached) = mpsc::channel(1);
        let task = tokio::spawn(dial(end, to, texts, found)).abort_handle();
        Self { reached, task }
    }

    /// Lets the other end in, as often as it comes.
    pub(crate) fn expect(end: End, from: EndpointId, texts: Arc<Shared>) -> Self {
        let (found, reached) = mpsc::channel(1);
        let task = tokio::spawn(expect(end, from, texts, found)).abort_handle();
        Self { reached, task }
    }
}

async fn dial(end: End, to: EndpointAddr, texts: Arc<Shared>, found: mpsc::Sender<Reached>) {
    let mut pause = PAUSE_MIN;
    loop {
        let reached = attempt(&end, to.clone(), &texts).await;
        let done = matches!(reached, Reached::Talk(_));
        if found.send(reached).await.is_err() || done {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn attempt(end: &End, to: EndpointAddr, texts: &Shared) -> Reached {
    if to.is_empty() {
        return Reached::Not(Unreached::NoAddress);
    }
    let connection = match timeout(ANSWER_WAIT, end.endpoint.connect(to, ALPN)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Reached::Not(why(end, &error)),
        Err(_) => return Reached::Not(no_answer(end)),
    };
    match timeout(ANSWER_WAIT, greet(connection, texts)).await {
        Ok(reached) => reached,
        Err(_) => Reached::Not(Unreached::NoAnswer),
    }
}

/// The caller's side opens the stream.
async fn greet(connection: Connection, texts: &Shared) -> Reached {
    match connection.open_bi().await {
        Ok((send, receive)) => Talk::begin(connection, send, receive, texts).await,
        Err(error) => Reached::Not(broken(&error)),
    }
}

async fn expect(end: End, from: EndpointId, texts: Arc<Shared>, found: mpsc::Sender<Reached>) {
    let mut shaking = JoinSet::new();
    // What there is of each hand that is shaken.
    let mut places = HashMap::new();
    let mut early = end.early.end();
    loop {
        let incoming = async {
            match early.pop_front() {
                Some(incoming) => Some(incoming),
                None => end.endpoint.accept().await,
            }
        };
        tokio::select! {
            incoming = incoming => {
                let Some(incoming) = incoming else { return };
                let place = Place::of(&incoming.remote_addr(), from);
                if let Some(incoming) = admit(incoming, place, places.values()) {
                    let answer = timeout(ANSWER_WAIT, answer(incoming, Arc::clone(&texts)));
                    places.insert(shaking.spawn(answer).id(), place);
                }
            }
            Some(shaken) = shaking.join_next_with_id() => {
                let id = shaken.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
                places.remove(&id);
                // Whoever gave up or was turned away was nobody of ours.
                if let Ok((_, Ok(Some(reached)))) = shaken
                    && found.send(reached).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// From where somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Over the relay, which proves that it is the one who is expected.
    Proven,
    /// Over the relay, which proves that it is somebody else.
    Wrong,
    /// From an address, as far as those who have it are one.
    Ip(IpAddr),
    /// On a way we do not have.
    Unknown,
}

impl Place {
    fn of(address: &IncomingAddr, from: EndpointId) -> Self {
        match address {
            IncomingAddr::Relay { endpoint_id, .. } if *endpoint_id == from => Self::Proven,
            IncomingAddr::Relay { .. } => Self::Wrong,
            IncomingAddr::Ip(address) => Self::Ip(network(address.ip())),
            _ => Self::Unknown,
        }
    }
}

/// The part of an address that its owner cannot choose.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// What becomes of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Shake,
    /// It has to show first that its address is its own.
    Retry,
    Ignore,
}

/// Decides who may shake hands, while others do.
fn admission<'p>(
    place: Place,
    validated: bool,
    shaking: impl Iterator<Item = &'p Place>,
) -> Admission {
    let (mut same, mut unproven) = (0, 0);
    for other in shaking {
        same += usize::from(*other == place);
        unproven += usize::from(*other != Place::Proven);
    }
    match place {
        // The relay proves who somebody is; then the others need no answer, and the right one waits for nobody else.
        Place::Wrong => Admission::Ignore,
        Place::Proven if same < HANDSHAKES_PROVEN_MAX => Admission::Shake,
        Place::Proven => Admission::Ignore,
        Place::Ip(_) | Place::Unknown if unproven >= HANDSHAKES_MAX => Admission::Ignore,
        Place::Ip(_) | Place::Unknown if same >= HANDSHAKES_SAME_MAX => Admission::Ignore,
        Place::Ip(_) | Place::Unknown if unproven >= HANDSHAKES_UNPROVEN_MAX && !validated => {
            Admission::Retry
        }
        Place::Ip(_) | Place::Unknown => Admission::Shake,
    }
}

fn admit<'p>(
    incoming: Incoming,
    place: Place,
    shaking: impl Iterator<Item = &'p Place>,
) -> Option<Incoming> {
    match admission(place, incoming.remote_addr_validated(), shaking) {
        Admission::Shake => return Some(incoming),
        // If not even that can be said, they will ask again.
        Admission::Retry => drop(incoming.retry()),
        Admission::Ignore => incoming.ignore(),
    }
    None
}

/// The callee's side takes the first stream. Whoever is not expected was turned away by the end's own door.
async fn answer(incoming: Incoming, texts: Arc<Shared>) -> Option<Reached> {
    let connection = incoming.await.ok()?;
    let (send, receive) = connection.accept_bi().await.ok()?;
    Some(Talk::begin(connection, send, receive, &texts).await)
}

impl Talk {
    async fn begin(
        connection: Connection,
        send: SendStream,
        receive: RecvStream,
        texts: &Shared,
    ) -> Reached {
        // It fails only if the stream is over already, which reading says too.
        drop(send.set_priority(PRIORITY));
        let mut writer = Writer { stream: send, unwritten: Vec::new(), written: 0 };
        let mut reader = Reader {
            stream: receive,
            decoder: Decoder::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        };
        let received = texts.lock().received();
        writer.push(&Frame::Hello { version: VERSION, received });
        let heard = tokio::try_join!(writer.flush(), reader.hello());
        match heard {
            Ok(((), received)) => {
                Reached::Talk(Box::new(Self { connection, reader, writer, received }))
            }
            Err(Broken::Line) => {
                Reached::Not(connection.close_reason().as_ref().map_or(Unreached::NoAnswer, broken))
            }
            Err(Broken::Nonsense(what)) => {
                connection.close(VarInt::from_u32(code::PROTOCOL), what.as_bytes());
                Reached::Nonsense(what)
            }
        }
    }
}

/// Why there is nothing more to read or write.
pub(crate) enum Broken {
    /// The connection is over.
    Line,
    /// What came is not our language: what was wrong.
    Nonsense(&'static str),
}

impl Reader {
    /// Waits for more, and gives it to the decoder. Nothing is lost if it is not waited for to the end.
    pub(crate) async fn read(&mut self) -> Result<(), Broken> {
        match self.stream.read(&mut self.buffer).await {
            Ok(Some(bytes)) => {
                self.decoder.push(&self.buffer[..bytes]);
                Ok(())
            }
            // The stream ends with the connection, and not before.
            Ok(None) | Err(_) => Err(Broken::Line),
        }
    }

    async fn hello(&mut self) -> Result<u64, Broken> {
        loop {
            match self.decoder.next() {
                Ok(Some(Frame::Hello { version, received })) if version >= VERSION => {
                    return Ok(received);
                }
                Ok(Some(_)) => return Err(Broken::Nonsense("it does not begin with a hello")),
                Ok(None) => {}
                Err(error) => return Err(Broken::Nonsense(error.text())),
            }
            self.read().await?;
        }
    }
}

impl Writer {
    /// Whether the next frames may be given to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Whether one write takes much already.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten.len() >= FRAME_BYTES_MAX
    }

    pub(crate) fn push(&mut self, frame: &Frame<'_>) {
        encode(frame, &mut self.unwritten);
    }

    /// Writes some of what waits. Nothing is written twice if it is not waited for to the end.
    pub(crate) async fn write(&mut self) -> Result<(), Broken> {
        let rest = &self.unwritten[self.written..];
        self.written += self.stream.write(rest).await.map_err(|_| Broken::Line)?;
        if self.written == self.unwritten.len() {
            self.unwritten.clear();
            self.unwritten.shrink_to(READ_BYTES);
            self.written = 0;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        while !self.is_empty() {
            self.write().await?;
        }
        Ok(())
    }
}

fn why(end: &End, error: &ConnectError) -> Unreached {
    match error {
        ConnectError::Connect { source: ConnectWithOptsError::NoAddress { .. }, .. } => {
            Unreached::NoAddress
        }
        ConnectError::Connect { .. } => Unreached::NoAnswer,
        ConnectError::Connecting {
            source: ConnectingError::ConnectionError { source, .. },
            ..
        }
        | ConnectError::Connection { source, .. } => match broken(source) {
            Unreached::NoAnswer => no_answer(end),
            why => why,
        },
        // It answered, and our own door turned it away, or it could not prove who it is.
        _ => Unreached::WrongPeer,
    }
}

fn broken(error: &ConnectionError) -> Unreached {
    match error {
        // It proved to be somebody else, or speaks another protocol.
        ConnectionError::TransportError(_) | ConnectionError::ConnectionClosed(_) => {
            Unreached::WrongPeer
        }
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => Unreached::Refused,
        _ => Unreached::NoAnswer,
    }
}

fn no_answer(end: &End) -> Unreached {
    let relays = end.endpoint.home_relay_status().get();
    let denied = relays.iter().any(|relay| relay.auth_denied_reason().is_some());
    if denied { Unreached::RelayDenied } else { Unreached::NoAnswer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Place {
        Place::Ip(network(text.parse().unwrap()))
    }

    #[test]
    fn nobody_shuts_the_right_one_out() {
        let many = |place, count| vec![place; count];
        let one = ip("192.0.2.1");
        let crowd: Vec<_> = (0..HANDSHAKES_MAX).map(|at| ip(&format!("192.0.2.{at}"))).collect();
        let cases = [
            (Place::Proven, false, crowd.clone(), Admission::Shake),
            (Place::Proven, false, many(Place::Proven, 8), Admission::Ignore),
            (Place::Wrong, true, vec![], Admission::Ignore),
            (one, false, vec![], Admission::Shake),
            (one, false, many(ip("192.0.2.9"), 2), Admission::Retry),
            (one, true, many(ip("192.0.2.9"), 4), Admission::Shake),
            (one, true, many(one, 4), Admission::Ignore),
            (one, true, many(Place::Proven, 8), Admission::Shake),
            (ip("192.0.2.99"), true, crowd, Admission::Ignore),
            (ip("2001:db8::2"), true, many(ip("2001:db8::1"), 4), Admission::Ignore),
            (ip("2001:db8:0:1::2"), true, many(ip("2001:db8::1"), 4), Admission::Shake),
        ];
        for (place, validated, shaking, expected) in cases {
            let found = admission(place, validated, shaking.iter());
            assert_eq!(found, expected, "{place:?} {shaking:?}");
        }
    }
}
