//! A source, in a process of its own: what it says and hears are lines. It begins with the file's hash
//! and the address of its yardstick; to a card it answers its own, to `tcp` nothing.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use whoelse_peer::{Event, LinkId, Node, Options, Peer, SwarmEvent};
use whoelse_proto::{EndpointKey, FileHash};

use super::copy::copy_out;
use crate::failure::{Explain, Failure};
use crate::process;

const PATIENCE: Duration = Duration::from_secs(120);

/// One end of links.
pub(super) struct Side {
    pub(super) node: Node,
    events: mpsc::Receiver<Event>,
}

/// A source, as whoever fetches has it. Ended when dropped.
pub(super) struct Source {
    child: Child,
    says: ChildStdin,
    heard: BufReader<ChildStdout>,
    /// What it shares.
    pub(super) hash: FileHash,
    /// Where a bare copy of that can be had, after [`Source::copies`].
    pub(super) tcp: SocketAddr,
}

impl Side {
    pub(super) fn start(home: &Path) -> Self {
        let (sender, events) = mpsc::channel(256);
        let options = Options {
            loopback: true,
            folder: Some(home.join("unfinished")),
            downloads: Some(home.join("downloads")),
            ..Options::default()
        };
        Self { node: Node::start(options, sender), events }
    }

    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.explain(|| "waiting for a link".into())?.ok_or_else(|| Failure::new("all is over"))
    }

    /// Opens a link, and says it in a line.
    pub(super) async fn card(&mut self, link: LinkId) -> Result<String, Failure> {
        self.node.prepare(link);
        let mut key = None;
        loop {
            match self.next().await? {
                Event::Prepared { endpoint, .. } => {
                    key = Some(endpoint);
                    self.node.open(link, false);
                }
                Event::Opened { addresses, .. } => {
                    let key = key.ok_or_else(|| Failure::new("a link has no key"))?;
                    let ways: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    return Ok(format!("{key} {}", ways.join(",")));
                }
                Event::Failed { why, .. } => return Err(Failure::new(format!("{why:?}"))),
                _ => {}
            }
        }
    }
}

/// Reads a card.
pub(super) fn peer(line: &str) -> Result<Peer, Failure> {
    let no_card = || Failure::new(format!("'{}' is no card", line.trim()));
    let (key, ways) = line.trim().split_once(' ').ok_or_else(no_card)?;
    let addresses: Result<Vec<SocketAddr>, _> = ways.split(',').map(str::parse).collect();
    let endpoint = EndpointKey::parse(key).map_err(|_| no_card())?;
    let addresses = addresses.map_err(|_| no_card())?;
    Ok(Peer { endpoint, addresses, relay: false, device: "bench".to_owned() })
}

impl Source {
    /// Starts a source, and waits until it has read the file through.
    pub(super) fn start(program: &Path, home: &Path, file: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.arg("source").arg(home).arg(file);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.explain(|| "starting a source".into())?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (says, heard) = pipes.ok_or_else(|| Failure::new("a source has no pipes"))?;
        let mut heard = BufReader::new(heard);
        let line = hear(&mut heard)?;
        let begun = line.trim().split_once(' ').and_then(|(hash, tcp)| {
            Some((FileHash::parse(hash).ok()?, tcp.parse::<SocketAddr>().ok()?))
        });
        let (hash, tcp) = begun.ok_or_else(|| Failure::new("a source said nothing of use"))?;
        Ok(Self { child, says, heard, hash, tcp })
    }

    /// Shows it a card, and gets its own.
    pub(super) fn link(&mut self, card: &str) -> Result<Peer, Failure> {
        self.say(card)?;
        peer(&hear(&mut self.heard)?)
    }

    /// Has it give a bare copy to whoever connects next.
    pub(super) fn copies(&mut self) -> Result<(), Failure> {
        self.say("tcp")
    }

    /// Reads what it has spent.
    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu_of(self.child.id())
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.says, "{line}").explain(|| "talking to a source".into())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn hear(from: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    from.read_line(&mut line).explain(|| "listening to a source".into())?;
    if line.is_empty() { Err(Failure::new("a source ended")) } else { Ok(line) }
}

/// Is a source, until nobody says anything more.
pub(super) fn give(home: &Path, file: &Path) -> Result<(), Failure> {
    let runtime = Runtime::new().explain(|| "starting".into())?;
    runtime.block_on(give_on(home, file))
}

async fn give_on(home: &Path, file: &Path) -> Result<(), Failure> {
    let mut side = Side::start(home);
    side.node.share(1, file.to_owned());
    let hash = loop {
        match side.next().await? {
            Event::Swarm { hash: Some(hash), what: SwarmEvent::Shared { .. } } => break hash,
            Event::Swarm { what: SwarmEvent::NotShared { why, .. }, .. } => {
                return Err(Failure::new(format!("sharing {}: {why:?}", file.display())));
            }
            _ => {}
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).explain(|| "listening".into())?;
    let address = listener.local_addr().explain(|| "listening".into())?;
    let mut told = lines();
    answer(&format!("{hash} {address}"))?;
    let mut link = 0;
    loop {
        tokio::select! {
            line = told.recv() => match line.as_deref() {
                None => return Ok(()),
                Some("tcp") => copy_out(file, &listener).explain(|| "copying".into())?,
                Some(card) => {
                    link += 1;
                    let ours = side.card(LinkId(link)).await?;
                    side.node.allow(LinkId(link), hash);
                    side.node.expect(LinkId(link), peer(card)?);
                    answer(&ours)?;
                }
            },
            // Nothing of it matters, but it has to be taken.
            event = side.events.recv() => drop(event),
        }
    }
}

/// What is said to this process.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn answer(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).explain(|| "answering".into())
}
