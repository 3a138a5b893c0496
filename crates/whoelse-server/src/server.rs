//! The running server: opens the data, the port and the doors, and keeps the hub going.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tracing::{info, warn};
use whoelse_engine::{Engine, Rules};
use whoelse_proto::event::Meeting;
use whoelse_proto::refusal::spoken;
use whoelse_proto::{Fingerprint, Name, Password, Place};

use crate::backup;
use crate::config::{Config, default_data_folder};
use crate::credentials;
use crate::descriptors;
use crate::doors::entrance::Entrance;
use crate::doors::{admin, native};
use crate::failure::{Failure, Kind};
use crate::first_invite::{self, FirstInvite};
use crate::folder::Folder;
use crate::handshakes::{self, Handshakes};
use crate::hub::{Bounds, Hub, HubEvent, Inbox, SharedHub};
use crate::listen;
use crate::meeting;
use crate::nature::Nature;
use crate::passwords::Passwords;
use crate::relay::Relay;
use crate::sources::Sources;
use crate::space::Space;
use crate::store::{Opened, Store, StoreOptions};
use crate::tls::{self, Identity, TlsFiles};

/// How long a server that was told to end waits for the disk and for slow readers. With what closing
/// takes it has ended within five seconds.
const DRAIN: Duration = Duration::from_secs(4);

/// Runs a server until it is told to end.
///
/// Says on `out` where it listens and what it found.
///
/// # Errors
/// When it cannot start, and when the disk fails later: then it has ended at once, and nothing
/// that was confirmed is lost.
pub fn run(config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let started = Instant::now();
    if rustix::process::geteuid().is_root() {
        warn!("running as root: whoelse needs no such rights, an account of its own is safer");
    }
    if config.plain_text {
        warn!(
            "plain text is answered from everywhere: passwords and messages cross the network where \
             others can read them"
        );
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
    let listeners = listen::listen(config.bind, config.port)?;
    let connections_max = descriptors::connections_max(config.connections);
    let folder = Folder::open(&config.data.clone().unwrap_or_else(default_data_folder))?;
    let port = listeners.first().and_then(|listener| listener.local_addr().ok());
    let port = port.map_or(config.port, |address| address.port());
    let place = meeting::place(config.public_address.as_ref(), port);
    // Before the data: whoever names files that cannot be used should not wait either.
    let files = tls_files(config, &folder, &place.0)?;
    let identity = Identity::load(&files)?;
    let (key, shown) = (identity.key, Arc::clone(&identity.config));
    let meeting = Meeting { place: Arc::new(place.0), is_guessed: place.1, key };
    let inbox = Arc::new(Inbox::default());
    let (opened, engine) = open_data(folder.path(), rules(config), Arc::clone(&inbox))?;
    // Not of a start that is refused: nobody is to be invited to where no server was.
    meeting::remember(folder.path(), &meeting)?;
    let people = people_to_import(config, &folder, engine.accounts().next().is_none())?;
    let passwords = start_passwords(Arc::clone(&inbox))?;
    let handshakes =
        Handshakes::start(identity).map_err(|error| internal("cannot start a thread", &error))?;
    let space = watch_space(config, &folder, &inbox)?;
    let relay = start_relay(config, &shown, &listeners)?;
    let report = opened.report;
    let hub = {
        let sources = Sources::new(connections_max, config.behind_proxy.is_none());
        let bounds = Bounds {
            sources,
            space,
            nature: Nature::real(),
            relay: relay.as_ref().map(Relay::table),
            witness: None,
        };
        let (store, inbox) = (Box::new(opened.store), Arc::clone(&inbox));
        Hub::start(engine, store, passwords, inbox, &opened.replay, meeting, bounds)
    };
    let imported = people.map(|(source, people)| (source, hub.borrow_mut().import(people)));
    let admin_socket = admin::listen(folder.path()).map_err(|error| {
        internal("cannot make the operator's socket in the data folder", &error)
    })?;
    tokio::task::spawn_local(admin::serve(SharedHub::clone(&hub), admin_socket));

    let listening = Listening::on(&listeners);
    // Whoever reads that we are ready may tell us to end at once.
    let mut signals = Signals::listen()?;
    let entrance = Rc::new(Entrance {
        hub: SharedHub::clone(&hub),
        handshakes,
        relay,
        scratch: native::scratch(),
        proxy: config.behind_proxy,
        plain_text: config.plain_text,
    });
    open(&entrance, listeners);
    let (reread, kept) = (Rc::clone(&signals.reread), folder.path().to_owned());
    tokio::task::spawn_local(reread_when_told(reread, entrance, files, kept));
    let greeting = Greeting {
        ready_ms: started.elapsed().as_millis(),
        listening: &listening,
        key,
        config,
        folder: folder.path(),
        report: &report,
        people: hub.borrow().people(),
        imported: imported.as_ref().map(|(source, new)| (source.as_path(), *new)),
    };
    let outcome = tokio::select! {
        outcome = keep_going(&hub, &inbox, &mut signals) => outcome,
        () = greet(greeting, &hub, out) => Ok(()),
    };
    std::fs::remove_file(admin::path(folder.path())).unwrap_or_default();
    outcome?;
    hub.borrow_mut().stop();
    close(hub)
}

/// Begins to take connections.
fn open(entrance: &Rc<Entrance>, listeners: Vec<TcpListener>) {
    for listener in listeners {
        tokio::task::spawn_local(listen::accept(Rc::clone(entrance), listener));
    }
}

fn start_passwords(inbox: Arc<Inbox>) -> Result<Passwords, Failure> {
    Passwords::start(move |event| inbox.post(HubEvent::Password(event)))
        .map_err(|error| internal("cannot start a thread", &error))
}

/// Says that the server is ready, once an invite for the first person is on disk if there has to be
/// one. Never returns.
async fn greet(greeting: Greeting<'_>, hub: &SharedHub, out: &mut dyn Write) {
    let invite = match greeting.people {
        0 => Some(first_invite::make(hub, greeting.folder, greeting.config).await),
        _ => {
            first_invite::forget(greeting.folder);
            None
        }
    };
    // Whoever started us may have stopped listening; that is no reason to end.
    greeting.write(invite.as_ref(), out).unwrap_or_default();
    std::future::pending::<()>().await;
}

/// Runs the hub whenever there is something to do, until a signal or a failure of the disk.
async fn keep_going(hub: &SharedHub, inbox: &Inbox, signals: &mut Signals) -> Result<(), Failure> {
    let mut drained_by: Option<Instant> = None;
    loop {
        // However much is due, the doors have their turn.
        tokio::task::yield_now().await;
        let deadline = {
            let mut hub = hub.borrow_mut();
            hub.run();
            if let Some(why) = hub.failure() {
                return Err(Failure::new(
                    Kind::Storage,
                    format!("the server ends: {why}"),
                    // What to do is said with the reason: a disk that is full is not one that is bad.
                    "After that nothing was confirmed, and nothing written.",
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

/// The certificate and the key to be used: the operator's, or our own.
fn tls_files(config: &Config, folder: &Folder, place: &Place) -> Result<TlsFiles, Failure> {
    match &config.tls {
        Some(files) => Ok(files.clone()),
        None => tls::own_files(folder.path(), &tls::names([place.host.clone()])),
    }
}

fn watch_space(config: &Config, folder: &Folder, inbox: &Arc<Inbox>) -> Result<Space, Failure> {
    let inbox = Arc::clone(inbox);
    let tell = move |is_full| inbox.post(HubEvent::DiskFull(is_full));
    Space::watch(folder.path().to_owned(), config.min_free_bytes, tell)
        .map_err(|error| internal("cannot start a thread", &error))
}

/// Reads certificate and key again whenever that is wanted. Nobody is dropped; what cannot be used
/// changes nothing.
async fn reread_when_told(
    told: Rc<Notify>,
    entrance: Rc<Entrance>,
    files: TlsFiles,
    folder: PathBuf,
) {
    loop {
        told.notified().await;
        match handshakes::reload(&entrance.handshakes, files.clone()).await {
            Ok((key, config)) => {
                if let Some(relay) = &entrance.relay {
                    relay.become_known_as(&config);
                }
                info!("certificate and key were read again; the key is {key}");
                let mut hub = entrance.hub.borrow_mut();
                let meeting = Meeting { key, ..hub.meeting().clone() };
                if let Err(failure) = meeting::remember(&folder, &meeting) {
                    warn!("invites made while no server runs will have the old key: {failure}");
                }
                hub.set_meeting(meeting);
            }
            Err(failure) => warn!("certificate and key stay as they were: {failure}"),
        }
    }
}

/// The signals that tell a server to end, and the one that tells it to read its certificate again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reread: Rc<Notify>,
    /// Somebody sits at a terminal and will not see us any more when that is closed.
    has_terminal: bool,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind: SignalKind| {
            signal(kind).map_err(|error| internal("cannot listen for signals", &error))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            reread: Rc::default(),
            has_terminal: is_at_a_terminal(),
        })
    }

    async fn told_to_end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                // A terminal that was closed says the same as an operator who wants a new
                // certificate used; but then there is no terminal any more.
                _ = self.hangup.recv() => {
                    if self.has_terminal && !is_at_a_terminal() {
                        return;
                    }
                    self.reread.notify_one();
                }
            }
        }
    }
}

fn is_at_a_terminal() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
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

/// Whether private links are relayed: the operator may not want it, and this build may not know how.
fn has_relay(config: &Config) -> bool {
    cfg!(feature = "relay") && config.relay
}

fn start_relay(
    config: &Config,
    shown: &Arc<ServerConfig>,
    listeners: &[TcpListener],
) -> Result<Option<Relay>, Failure> {
    if !has_relay(config) {
        return Ok(None);
    }
    let addresses: Vec<_> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    Relay::start(shown, &addresses, config.relay_rate)
        .map(Some)
        .map_err(|error| internal("cannot start the relay of private links", &error))
}

fn rules(config: &Config) -> Rules {
    Rules {
        block_ms: u64::from(config.block_seconds) * 1000,
        idle_ms: u64::from(config.idle_seconds) * 1000,
        requests_per_second: config.rate,
        // Behind a proxy everybody would seem to come from there.
        loopback_is_exempt: config.behind_proxy.is_none(),
        has_relay: has_relay(config),
        ..Rules::default()
    }
}

/// Opens the store and brings an engine to where it was.
pub(crate) fn open_data(
    folder: &Path,
    rules: Rules,
    inbox: Arc<Inbox>,
) -> Result<(Opened, Engine), Failure> {
    backup::refuse_unfinished(folder)?;
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

fn internal(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Storage, format!("{what}: {error}"), "Check the system's limits and log.")
}

/// Where a server listens.
struct Listening {
    addresses: String,
    port: u16,
    /// What a client on this machine connects to.
    host: String,
}

impl Listening {
    fn on(listeners: &[TcpListener]) -> Self {
        let addresses: Vec<_> =
            listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let host = match addresses.first() {
            Some(address) if !address.ip().is_unspecified() && !address.ip().is_loopback() => {
                address.ip().to_string()
            }
            _ => "localhost".to_owned(),
        };
        let port = addresses.first().map_or(0, |address| address.port());
        Self { addresses: texts.join(" and "), port, host }
    }
}

/// What a server says when it is ready.
struct Greeting<'a> {
    ready_ms: u128,
    listening: &'a Listening,
    key: Fingerprint,
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
        writeln!(out, "  listening  {} ({})", self.listening.addresses, self.plain_text())?;
        writeln!(out, "  key        {}", self.key)?;
        writeln!(out, "  links      {}", self.links())?;
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
                let Listening { host, port, .. } = self.listening;
                writeln!(out, "In another terminal:  whoelse client {host} {port}")?;
            }
        }
        writeln!(out, "Ctrl-C ends it.")?;
        out.flush()
    }

    /// What the server does for private links.
    fn links(&self) -> &'static str {
        match (has_relay(self.config), cfg!(feature = "relay")) {
            (true, _) => "relayed where they must be; UDP of this port for finding addresses",
            (false, true) => "not relayed, as you said",
            (false, false) => "not relayed: this build cannot",
        }
    }

    /// Who may speak without TLS.
    fn plain_text(&self) -> &'static str {
        match (self.config.plain_text, self.config.behind_proxy) {
            (true, _) => "TLS, and plain text from everywhere",
            (false, None) => "TLS; plain text from this machine only",
            (false, Some(_)) => "TLS; plain text only from a proxy that says its client used TLS",
        }
    }
}
