//! TLS handshakes, on a thread of their own: each costs as much as hundreds of messages.
//!
//! A socket comes here when its first byte says TLS, and leaves once, with the handshake done.
//! Certificate and key live here, too, because only handshakes use them; whoever has made one
//! keeps what it was shown.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout, timeout_at};
use whoelse_proto::limits::{HANDSHAKE_MS_MAX, STRANGERS_MAX};
use whoelse_proto::link::RELAY_HOST;

use crate::failure::Failure;
use crate::relay::{Relay, Visit};
use crate::socket::{Raw, Socket};
use crate::tls::{Greeting, Hello, Identity, Tls};

/// How long somebody whose handshake failed may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// How much of what it still sends is thrown away meanwhile, in bytes.
const LINGER_BYTES_MAX: u64 = 64 << 10;

/// What is asked of the thread.
enum Job {
    Shake(Shake),
    /// Use this from now on.
    Become(Identity),
}

struct Shake {
    stream: std::net::TcpStream,
    deadline: Instant,
    /// Whether there is a relay to pass it on to.
    has_relay: bool,
    done: oneshot::Sender<io::Result<Shaken>>,
}

/// What comes back.
enum Shaken {
    /// Both sides agree.
    Secured { stream: std::net::TcpStream, tls: Tls },
    /// It wants the relay, which goes on.
    ForRelay { stream: std::net::TcpStream, hello: Hello, config: Arc<ServerConfig> },
}

/// Who is there.
pub(crate) enum Guest {
    /// Somebody to be listened to.
    Ours(Box<Socket>),
    /// Somebody who wants the relay.
    Relays(Visit),
}

/// The way to the thread. It ends when this is dropped.
pub(crate) struct Handshakes {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Handshakes {
    /// Starts the thread.
    pub(crate) fn start(identity: Identity) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // As many as there can be strangers, and a few whose connection was dropped meanwhile.
        let (jobs, receiver) = mpsc::channel(2 * STRANGERS_MAX);
        let thread = std::thread::Builder::new()
            .name("handshakes".into())
            .spawn(move || LocalSet::new().block_on(&runtime, work(identity, receiver)))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Makes a handshake with somebody who has sent its first byte just now.
    ///
    /// Whoever no longer waits for the outcome ends it.
    pub(crate) async fn shake(
        &self,
        stream: TcpStream,
        relay: Option<&Relay>,
    ) -> io::Result<Guest> {
        let deadline = Instant::now() + Duration::from_millis(HANDSHAKE_MS_MAX);
        let (done, outcome) = oneshot::channel();
        let has_relay = relay.is_some();
        let shake = Shake { stream: stream.into_std()?, deadline, has_relay, done };
        let jobs = self.jobs.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        jobs.try_send(Job::Shake(shake)).map_err(|_| ErrorKind::ResourceBusy)?;
        match (outcome.await.map_err(|_| ErrorKind::BrokenPipe)??, relay) {
            (Shaken::Secured { stream, tls }, _) => {
                let socket = Socket::secured(TcpStream::from_std(stream)?, tls);
                Ok(Guest::Ours(Box::new(socket)))
            }
            (Shaken::ForRelay { stream, hello, config }, Some(relay)) => {
                Ok(Guest::Relays(relay.receive_tls(stream, hello, config)))
            }
            (Shaken::ForRelay { .. }, None) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Has handshakes that begin from now on be made with this certificate.
    pub(crate) async fn become_known_as(&self, identity: Identity) {
        if let Some(jobs) = &self.jobs {
            // If the thread has ended, so will the server.
            jobs.send(Job::Become(identity)).await.unwrap_or_default();
        }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

async fn work(identity: Identity, mut jobs: mpsc::Receiver<Job>) {
    let mut identity = Rc::new(identity);
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Shake(shake) => {
                tokio::task::spawn_local(serve(shake, Rc::clone(&identity)));
            }
            Job::Become(new) => identity = Rc::new(new),
        }
    }
}

async fn serve(shake: Shake, identity: Rc<Identity>) {
    let Shake { stream, deadline, has_relay, mut done } = shake;
    let outcome = tokio::select! {
        biased;
        () = done.closed() => return,
        outcome = secure(stream, &identity, has_relay, deadline) => outcome,
    };
    drop(done.send(outcome)); // nobody may wait for it any more
}

async fn secure(
    stream: std::net::TcpStream,
    identity: &Identity,
    has_relay: bool,
    deadline: Instant,
) -> io::Result<Shaken> {
    let mut stream = TcpStream::from_std(stream)?;
    match timeout_at(deadline, answer(&stream, identity, has_relay)).await {
        Ok(Ok(Answered::Ours(tls))) => Ok(Shaken::Secured { stream: stream.into_std()?, tls }),
        Ok(Ok(Answered::ForRelay(hello))) => {
            let config = Arc::clone(&identity.config);
            Ok(Shaken::ForRelay { stream: stream.into_std()?, hello, config })
        }
        Ok(Err(error)) => {
            if error.kind() == ErrorKind::InvalidData {
                linger(&mut stream).await;
            }
            Err(error)
        }
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

/// How far a handshake has come here.
enum Answered {
    Ours(Tls),
    ForRelay(Hello),
}

/// Reads what the client says first, and goes on with whoever does not want the relay.
async fn answer(stream: &TcpStream, identity: &Identity, has_relay: bool) -> io::Result<Answered> {
    let mut greeting = Greeting::default();
    let hello = loop {
        stream.readable().await?;
        match greeting.take_in(&mut Raw(stream)) {
            Ok(Some(hello)) => break hello,
            Err(error) if !is_passing(&error) => return Err(error),
            _ => tokio::task::yield_now().await,
        }
    };
    if has_relay && hello.server_name().is_some_and(|name| name.eq_ignore_ascii_case(RELAY_HOST)) {
        return Ok(Answered::ForRelay(hello));
    }
    let config = Arc::clone(&identity.config);
    let mut tls = hello.answer(config, identity.key, &mut Raw(stream))?;
    finish(stream, &mut tls).await?;
    Ok(Answered::Ours(tls))
}

/// Reads and writes until both sides agree.
async fn finish(stream: &TcpStream, tls: &mut Tls) -> io::Result<()> {
    while tls.is_handshaking() || tls.wants_write() {
        let outcome = if tls.wants_write() {
            stream.writable().await?;
            tls.flush(&mut Raw(stream))
        } else {
            stream.readable().await?;
            tls.take_in(&mut Raw(stream))
        };
        match outcome {
            Err(error) if !is_passing(&error) => return Err(error),
            // Bytes come one by one, perhaps: others have their turn in between.
            _ => tokio::task::yield_now().await,
        }
    }
    Ok(())
}

/// Closing at once could destroy, on its way, what the other side has not read yet.
async fn linger(stream: &mut TcpStream) {
    socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write).unwrap_or_default();
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let mut sink = tokio::io::sink();
    drop(timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await);
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads certificate and key again, away from the event loop, because files may be slow.
///
/// Only if all of it can be used is it returned, with the thread told to use it, and what others
/// who show it need.
pub(crate) async fn reload(
    handshakes: &Handshakes,
    files: crate::tls::TlsFiles,
) -> Result<(whoelse_proto::Fingerprint, Arc<ServerConfig>), Failure> {
    let (done, outcome) = oneshot::channel();
    let read = move || drop(done.send(Identity::load(&files)));
    let failure = |why: String| {
        Failure::new(crate::failure::Kind::Refused, why, "Check the system's limits and log.")
    };
    std::thread::Builder::new()
        .name("certificate".into())
        .spawn(read)
        .map_err(|error| failure(format!("cannot start a thread: {error}")))?;
    let identity = outcome.await.map_err(|_| failure("the thread that reads ended".into()))??;
    let (key, config) = (identity.key, Arc::clone(&identity.config));
    handshakes.become_known_as(identity).await;
    Ok((key, config))
}

#[cfg(test)]
mod tests;
