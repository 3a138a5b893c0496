//! Getting to a connection on which both ends have said hello: by dialling, or by being dialled.

use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{
    ConnectError, ConnectWithOptsError, ConnectingError, Connection, ConnectionError, Incoming,
    IncomingAddr, RecvStream, SendStream, VarInt,
};
use iroh::{EndpointAddr, EndpointId, Watcher};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
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

/// Most who shake hands at once.
const HANDSHAKES_MAX: usize = 8;

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
    loop {
        tokio::select! {
            incoming = end.endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if let Some(incoming) = admit(incoming, from, shaking.len()) {
                    shaking.spawn(timeout(ANSWER_WAIT, answer(incoming, Arc::clone(&texts))));
                }
            }
            Some(shaken) = shaking.join_next() => {
                // Whoever gave up or was turned away was nobody of ours.
                if let Ok(Ok(Some(reached))) = shaken
                    && found.send(reached).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Decides who may shake hands.
fn admit(incoming: Incoming, from: EndpointId, shaking: usize) -> Option<Incoming> {
    // The relay proves who somebody is; then the others need no answer.
    if let IncomingAddr::Relay { endpoint_id, .. } = incoming.remote_addr()
        && endpoint_id != from
    {
        incoming.ignore();
        return None;
    }
    if shaking >= HANDSHAKES_MAX {
        incoming.ignore();
        return None;
    }
    if shaking >= HANDSHAKES_UNPROVEN_MAX && !incoming.remote_addr_validated() {
        // If not even that can be said, they will ask again.
        drop(incoming.retry());
        return None;
    }
    Some(incoming)
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
