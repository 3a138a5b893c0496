//! What a private link costs, between two processes on this machine, beside a bare TCP copy of the same file.
//!
//! Prints one line for each figure: time to a link, round trips of a text that is shown and answered, a file, and
//! the memory of both sides. The other side is this program again, with one argument.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use whoelse_peer::{Event, FileEvent, LinkId, Node, Options, Peer};
use whoelse_proto::EndpointKey;

/// How many links are made.
const LINKS: u64 = 20;

/// How many texts go to and fro.
const ROUNDS: u64 = 2000;

/// How long the file is, in bytes.
const FILE_BYTES: u64 = 1 << 30;

/// How much is written at once where this program copies.
const STEP: usize = 256 * 1024;

const PATIENCE: Duration = Duration::from_secs(120);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| match arguments.next() {
        Some(folder) => runtime.block_on(answer(Path::new(&folder))),
        None => runtime.block_on(measure()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "links: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One side.
struct Side {
    node: Node,
    events: mpsc::Receiver<Event>,
}

impl Side {
    fn start(folder: &Path) -> Self {
        let (sender, events) = mpsc::channel(256);
        let options = Options {
            loopback: true,
            folder: Some(folder.join("unfinished")),
            downloads: Some(folder.join("downloads")),
            ..Options::default()
        };
        Self { node: Node::start(options, sender), events }
    }

    async fn next(&mut self) -> Outcome<Event> {
        Ok(timeout(PATIENCE, self.events.recv()).await?.ok_or("all is over")?)
    }

    /// Opens a link, and says it in a line.
    async fn card(&mut self, link: LinkId) -> Outcome<String> {
        self.node.prepare(link);
        let mut key = None;
        loop {
            match self.next().await? {
                Event::Prepared { endpoint, .. } => {
                    key = Some(endpoint);
                    self.node.open(link, false);
                }
                Event::Opened { addresses, .. } => {
                    let ways: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    return Ok(format!("{} {}", key.ok_or("no key")?, ways.join(",")));
                }
                Event::Failed { why, .. } => return Err(format!("{why:?}").into()),
                _ => {}
            }
        }
    }
}

fn peer(line: &str) -> Outcome<Peer> {
    let (key, ways) = line.trim().split_once(' ').ok_or("no card")?;
    let addresses: Result<Vec<SocketAddr>, _> = ways.split(',').map(str::parse).collect();
    let endpoint = EndpointKey::parse(key).map_err(|_| "no key")?;
    Ok(Peer { endpoint, addresses: addresses?, relay: false, device: "bench".to_owned() })
}

/// The other side: expects links, answers texts, takes files, and receives one copy over TCP.
async fn answer(folder: &Path) -> Outcome<()> {
    let mut side = Side::start(folder);
    let (lines, mut told) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let mut link = 0;
    loop {
        tokio::select! {
            line = told.recv() => match line.as_deref() {
                None => return Ok(()),
                Some("tcp") => {
                    copy_in(&listener, &folder.join("copy"))?;
                    println!("copied");
                }
                Some("memory") => println!("{}", memory()?),
                Some("close") => side.node.close(LinkId(link)),
                Some(card) => {
                    link += 1;
                    let ours = side.card(LinkId(link)).await?;
                    side.node.expect(LinkId(link), peer(card)?);
                    println!("{ours}");
                }
            },
            event = side.next() => match event? {
                Event::Text { link, number, text } => {
                    side.node.acknowledge(link, number);
                    side.node.send(link, number, text).map_err(|why| format!("{why:?}"))?;
                }
                Event::File { transfer, what: FileEvent::Offered { .. } } => {
                    side.node.accept_file(transfer);
                }
                _ => {}
            },
        }
    }
}

/// The other side, as the first has it.
struct Other {
    child: Child,
    says: ChildStdin,
    heard: BufReader<ChildStdout>,
    tcp: SocketAddr,
}

impl Other {
    fn start(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let says = child.stdin.take().ok_or("no input")?;
        let mut heard = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        heard.read_line(&mut line)?;
        Ok(Self { child, says, heard, tcp: line.trim().parse()? })
    }

    fn ask(&mut self, line: &str) -> Outcome<String> {
        writeln!(self.says, "{line}")?;
        let mut answer = String::new();
        self.heard.read_line(&mut answer)?;
        if answer.is_empty() { Err("the other side ended".into()) } else { Ok(answer) }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn measure() -> Outcome<()> {
    let here = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(here.parent().ok_or("no folder")?)?;
    let mut other = Other::start(&folder.path().join("other"))?;
    let mut side = Side::start(&folder.path().join("one"));
    let empty = memory()?;
    let mut times = Vec::new();
    for link in (1..=LINKS).map(LinkId) {
        let card = side.card(link).await?;
        let theirs = peer(&other.ask(&card)?)?;
        let begin = Instant::now();
        side.node.dial(link, theirs);
        while !matches!(side.next().await?, Event::Up { .. }) {}
        times.push(begin.elapsed());
        if link.0 < LINKS {
            side.node.close(link);
            while !matches!(side.next().await?, Event::Closed { .. }) {}
        }
    }
    println!("link: {}", spread(&mut times));
    println!("text and answer: {}", spread(&mut rounds(&mut side, LinkId(LINKS)).await?));
    let file = folder.path().join("file");
    fill(&file)?;
    for round in 1..=3 {
        compare(&mut side, &mut other, &file, round).await?;
    }
    let theirs = other.ask("memory")?;
    println!(
        "memory: {} kB at first, {} kB after, the other {} kB",
        empty,
        memory()?,
        theirs.trim()
    );
    Ok(())
}

async fn rounds(side: &mut Side, link: LinkId) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 1..=ROUNDS {
        let begin = Instant::now();
        side.node.send(link, number, "x".repeat(64)).map_err(|why| format!("{why:?}"))?;
        while !matches!(side.next().await?, Event::Text { .. }) {}
        times.push(begin.elapsed());
        side.node.acknowledge(link, number);
    }
    Ok(times)
}

/// The same file over TCP and over the link, from disk to disk.
async fn compare(side: &mut Side, other: &mut Other, file: &Path, round: u32) -> Outcome<()> {
    let begin = Instant::now();
    writeln!(other.says, "tcp")?;
    copy_out(file, other.tcp)?;
    let mut line = String::new();
    other.heard.read_line(&mut line)?;
    let tcp = begin.elapsed();
    let begin = Instant::now();
    side.node.offer_file(LinkId(LINKS), PathBuf::from(file));
    let (mut read, mut started) = (begin, begin);
    loop {
        let Event::File { what, .. } = side.next().await? else { continue };
        match what {
            FileEvent::Asked { .. } => read = Instant::now(),
            FileEvent::Started { .. } => started = Instant::now(),
            FileEvent::Sent => break,
            FileEvent::Failed(why) => return Err(format!("{why:?}").into()),
            _ => {}
        }
    }
    let link = started.elapsed();
    println!(
        "file, round {round}: read through {:?}, link {:.0} MB/s, TCP {:.0} MB/s, ratio {:.2}",
        read - begin,
        speed(link),
        speed(tcp),
        tcp.as_secs_f64() / link.as_secs_f64(),
    );
    Ok(())
}

fn copy_out(file: &Path, to: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect(to)?;
    let mut file = File::open(file)?;
    let mut buffer = vec![0; STEP];
    pump(&mut buffer, |buffer| io::Read::read(&mut file, buffer), &mut socket)
}

fn copy_in(listener: &TcpListener, to: &Path) -> io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    let mut file = File::create(to)?;
    let mut buffer = vec![0; STEP];
    pump(&mut buffer, |buffer| io::Read::read(&mut socket, buffer), &mut file)?;
    file.sync_all()
}

fn pump(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    write: &mut impl Write,
) -> io::Result<()> {
    loop {
        match read(buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => write.write_all(&buffer[..bytes])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that nothing compresses.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(path)?);
    let mut state = 1u64;
    for _ in 0..FILE_BYTES / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}

fn speed(time: Duration) -> f64 {
    FILE_BYTES as f64 / 1e6 / time.as_secs_f64()
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p99 {:?}, n {}", at(0.5), at(0.99), times.len())
}

/// Resident memory of this process, in kB.
fn memory() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
