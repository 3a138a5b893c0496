//! The running server: opens the data, the port and the doors, and keeps the hub going.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;
use tracing::{info, warn};
use whoelse_engine::{Engine, Rules};
use whoelse_proto::event::spoken;
use whoelse_proto::{Fingerprint, Name, Password};

use crate::config::{Config, default_data_folder};
use crate::credentials;
use crate::doors::{admin, native};
use crate::failure::{Failure, Kind};
use crate::first_invite::{self, FirstInvite};
use crate::folder::Folder;
use crate::hub::{Hub, HubEvent, Inbox, SharedHub};
use crate::line::Socket;
use crate::meeting::{meeting, server_key};
use crate::passwords::Passwords;
use crate::store::{Opened, Store, StoreOptions};

/// How long a server that was told to end waits for the disk and for slow readers.
const DRAIN: Duration = Duration::from_secs(5);

/// Connections that may wait to be taken, when everybody comes back at once after a restart. With
/// the usual 128 the others would have to try again a second later.
const BACKLOG: u32 = 4096;

/// How often the system is asked for a port that is free on IPv4 and IPv6.
const PORT_TRIES: u32 = 10;

/// A line on which nothing is heard for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Runs a server until it is told to end.
///
/// Says on `out` where it listens and what it found. Listens on loopback only, as long as lines
/// are not encrypted.
///
/// # Errors
/// When it cannot start, and when the disk fails later: then it has ended at once, and nothing
/// that was confirmed is lost.
pub fn run(config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let started = Instant::now();
    if rustix::process::geteuid().is_root() {
        warn!("running as root: whoelse needs no such rights, an account of its own is safer");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal("cannot start the event loop", &error))?;
    let local = LocalSet::new();
    local.block_on(&runtime, serve(config, started, out))
}

async fn serve(config: &Config, started: Instant, out: &mut dyn Write) -> Result<(), Failure> {
    // The port comes first: whoever starts a second server should not wait for its data.
    let listeners = listen(config.port)?;
    let folder = Folder::open(&config.data.clone().unwrap_or_else(default_data_folder))?;
    let inbox = Arc::new(Inbox::default());
    let (opened, engine) = open_data(folder.path(), rules(config), Arc::clone(&inbox))?;
    let people = people_to_import(config, &folder, engine.accounts().next().is_none())?;
    let passwords = {
        let inbox = Arc::clone(&inbox);
        Passwords::start(move |event| inbox.post(HubEvent::Password(event)))
            .map_err(|error| internal("cannot start a thread", &error))?
    };
    let report = opened.report;
    let port = listeners.first().and_then(|listener| listener.local_addr().ok());
    let port = port.map_or(config.port, |address| address.port());
    // JOIN: the key is that of the TLS door; without one there is none to be pinned.
    let key = server_key(folder.path()).unwrap_or(Fingerprint([0; 32]));
    let meeting = meeting(config.public_address.as_ref(), port, key);
    let hub =
        Hub::start(engine, opened.store, passwords, Arc::clone(&inbox), &opened.replay, meeting);
    let imported = people.map(|(source, people)| (source, hub.borrow_mut().import(people)));
    let admin_socket = admin::listen(folder.path()).map_err(|error| {
        internal("cannot make the operator's socket in the data folder", &error)
    })?;
    tokio::task::spawn_local(admin::serve(SharedHub::clone(&hub), admin_socket));

    let addresses: Vec<String> = listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .map(|address| address.to_string())
        .collect();
    let scratch = native::scratch();
    for listener in listeners {
        let accepting = accept(SharedHub::clone(&hub), listener, native::Scratch::clone(&scratch));
        tokio::task::spawn_local(accepting);
    }
    let greeting = Greeting {
        ready_ms: started.elapsed().as_millis(),
        addresses: &addresses.join(" and "),
        port,
        config,
        folder: folder.path(),
        report: &report,
        people: hub.borrow().people(),
        imported: imported.as_ref().map(|(source, new)| (source.as_path(), *new)),
    };
    // Whoever reads that we are ready may tell us to end at once.
    let mut signals = Signals::listen()?;
    let greet = async {
        let invite = match greeting.people {
            0 => Some(first_invite::make(&hub, folder.path(), config).await),
            _ => {
                first_invite::forget(folder.path());
                None
            }
        };
        // Whoever started us may have stopped listening; that is no reason to end.
        greeting.write(invite.as_ref(), out).unwrap_or_default();
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = keep_going(&hub, &inbox, &mut signals) => outcome,
        () = greet => Ok(()),
    };
    std::fs::remove_file(admin::path(folder.path())).unwrap_or_default();
    outcome?;
    hub.borrow_mut().stop();
    close(hub)
}

/// Runs the hub whenever there is something to do, until a signal or a failure of the disk.
async fn keep_going(hub: &SharedHub, inbox: &Inbox, signals: &mut Signals) -> Result<(), Failure> {
    let mut drained_by: Option<Instant> = None;
    loop {
        let deadline = {
            let mut hub = hub.borrow_mut();
            hub.run();
            if let Some(why) = hub.failure() {
                return Err(Failure::new(
                    Kind::Storage,
                    format!("the server ends: {why}"),
                    "Check the disk and its free space, then start the server again: \
                     nothing that was confirmed is lost.",
                ));
            }
            if drained_by.is_some_and(|by| hub.is_drained() || by <= Instant::now()) {
                return Ok(());
            }
            match (hub.deadline(), drained_by) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        };
        tokio::select! {
            biased;
            () = signals.told_to_end() => {}
            () = inbox.bell.notified() => continue,
            () = sleep_until(deadline) => continue,
        }
        if drained_by.is_some() {
            return Ok(()); // told twice: at once
        }
        info!("told to end: finishing what was taken");
        hub.borrow_mut().drain();
        drained_by = Some(Instant::now() + DRAIN);
    }
}

/// The signals that tell a server to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind: SignalKind| {
            signal(kind).map_err(|error| internal("cannot listen for signals", &error))
        };
        let (terminate, interrupt) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn told_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn close(hub: SharedHub) -> Result<(), Failure> {
    // Tasks that still hold the hub end with the runtime; the store must not wait for that.
    hub.borrow_mut().close_store().map_err(|error| {
        Failure::new(Kind::Storage, format!("the data were not closed: {error}"), error.hint())
    })
}

fn rules(config: &Config) -> Rules {
    Rules {
        block_ms: u64::from(config.block_seconds) * 1000,
        idle_ms: u64::from(config.idle_seconds) * 1000,
        requests_per_second: config.rate,
        ..Rules::default()
    }
}

/// Opens the store and brings an engine to where it was.
pub(crate) fn open_data(
    folder: &Path,
    rules: Rules,
    inbox: Arc<Inbox>,
) -> Result<(Opened, Engine), Failure> {
    let notify = move |event| inbox.post(HubEvent::Store(event));
    let opened = Store::open(folder, StoreOptions::default(), notify).map_err(|error| {
        let what = format!("cannot open the data in {}: {error}", folder.display());
        Failure::new(Kind::Storage, what, error.hint())
    })?;
    let mut engine = Engine::new(rules, opened.server_id.clone(), &opened.snapshot);
    for record in &opened.replay {
        engine.apply(record);
    }
    Ok((opened, engine))
}

/// A credentials file and the people in it.
type Import = (PathBuf, Vec<(Name, Password)>);

/// The people in the credentials file, if there is one to be imported.
fn people_to_import(
    config: &Config,
    folder: &Folder,
    is_empty: bool,
) -> Result<Option<Import>, Failure> {
    let source = match &config.credentials {
        Some(path) => path.clone(),
        None => {
            let path = PathBuf::from("credentials.txt");
            if !path.is_file() {
                return Ok(None);
            }
            if !is_empty && folder.source() != path.canonicalize().ok() {
                warn!(
                    "credentials.txt in the current folder is left alone: the data were not made \
                     from it. To import it all the same, name it with --credentials"
                );
                return Ok(None);
            }
            path
        }
    };
    let people = credentials::read(&source)?;
    if credentials::is_open_to_others(&source) {
        warn!("other users of this machine can read the passwords in {}", source.display());
    }
    if let Ok(path) = source.canonicalize()
        && is_empty
    {
        folder
            .set_source(&path)
            .map_err(|error| internal("cannot write to the data folder", &error))?;
    }
    Ok(Some((source, people)))
}

fn listen(port: u16) -> Result<Vec<TcpListener>, Failure> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match listen_once(port) {
            // The port that IPv4 was given may be taken on IPv6: the system gives another.
            Err(_) if tries > 0 => {}
            outcome => return outcome,
        }
    }
}

fn listen_once(port: u16) -> Result<Vec<TcpListener>, Failure> {
    let first = bind(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let first = first.map_err(|error| port_failure(port, &error))?;
    let port = first.local_addr().map_or(port, |address| address.port());
    match bind(IpAddr::V6(Ipv6Addr::LOCALHOST), port) {
        Ok(second) => Ok(vec![first, second]),
        // Machines without IPv6 are served by IPv4 alone.
        Err(error) if error.kind() != ErrorKind::AddrInUse => Ok(vec![first]),
        Err(error) => Err(port_failure(port, &error)),
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = match address {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())?;
    socket.listen(BACKLOG)
}

fn port_failure(port: u16, error: &io::Error) -> Failure {
    let next = port.checked_add(1).unwrap_or(Config::PORT);
    let hint = format!("Stop the program that uses it, or choose another: whoelse server {next}");
    match error.kind() {
        ErrorKind::AddrInUse => Failure::new(Kind::Refused, format!("port {port} is in use"), hint),
        ErrorKind::PermissionDenied => Failure::new(
            Kind::Refused,
            format!("port {port} may only be used by the administrator of this machine"),
            "Choose one from 1024 on: whoelse server 12346",
        ),
        _ => Failure::new(Kind::Refused, format!("cannot listen on port {port}: {error}"), hint),
    }
}

async fn accept(hub: SharedHub, listener: TcpListener, scratch: native::Scratch) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = prepare(&stream) {
                    warn!(%error, "cannot prepare a connection");
                    continue;
                }
                let socket = Rc::new(Socket::new(stream));
                let hub = SharedHub::clone(&hub);
                let scratch = native::Scratch::clone(&scratch);
                tokio::task::spawn_local(native::serve(hub, socket, canonical(address), scratch));
            }
            Err(error) => {
                // Out of file descriptors, say: waiting lets others finish, spinning would not.
                warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// Answers leave at once, and a line whose other end has vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let interval = DEAD_AFTER / 4;
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))
}

fn internal(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Storage, format!("{what}: {error}"), "Check the system's limits and log.")
}

/// What a server says when it is ready.
struct Greeting<'a> {
    ready_ms: u128,
    addresses: &'a str,
    port: u16,
    config: &'a Config,
    folder: &'a Path,
    report: &'a crate::store::RecoveryReport,
    people: usize,
    imported: Option<(&'a Path, usize)>,
}

impl Greeting<'_> {
    fn write(&self, invite: Option<&FirstInvite>, out: &mut dyn Write) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let block = spoken(u64::from(self.config.block_seconds) * 1000);
        let idle = match self.config.idle_seconds {
            0 => "nobody is logged out for being idle".to_owned(),
            seconds => format!("{} without a command log out", spoken(u64::from(seconds) * 1000)),
        };
        writeln!(out, "whoelse {version} is ready ({} ms)", self.ready_ms)?;
        writeln!(
            out,
            "  listening  {} (this machine only: lines are not encrypted yet)",
            self.addresses
        )?;
        writeln!(out, "  rules      3 wrong passwords lock a name for {block}; {idle}")?;
        writeln!(
            out,
            "  data       {} ({} records replayed in {} ms)",
            self.folder.display(),
            self.report.records,
            self.report.milliseconds
        )?;
        if self.report.torn_bytes > 0 {
            writeln!(
                out,
                "             dropped {} bytes of an unfinished last write; nobody was told it was done",
                self.report.torn_bytes
            )?;
        }
        match self.imported {
            _ if self.people == 0 => writeln!(out, "  people     nobody yet")?,
            Some((source, new)) => {
                writeln!(
                    out,
                    "  people     {}, {new} of them new from {}",
                    self.people,
                    source.display()
                )?;
            }
            None => writeln!(out, "  people     {}", self.people)?,
        }
        match invite {
            Some(invite) => invite.write(out)?,
            None => {
                writeln!(out, "In another terminal:  whoelse client localhost {}", self.port)?;
            }
        }
        writeln!(out, "Ctrl-C ends it.")?;
        out.flush()
    }
}
