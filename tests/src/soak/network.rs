//! Row 11: lines that are slow, that stall, and that break at any byte.
//!
//! A proxy within this process stands between people and server: the system's own tools for bad
//! networks are not there everywhere.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use socket2::SockRef;

use super::Field;
use super::ground::Ground;
use super::people;
use super::talk::{Talk, Terms};
use super::trouble::{Outcome, While};
use super::verdict::Verdict;

/// How everything has to arrive once the network is good again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the network does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Nothing.
    Fair,
    /// Every piece comes late.
    Late,
    /// Only a few bytes come at a time.
    Trickle,
    /// The line breaks at some byte, in whatever way.
    Cuts,
    /// Nothing comes for a while.
    Stalls,
}

const WEATHERS: [Weather; 4] = [Weather::Late, Weather::Trickle, Weather::Cuts, Weather::Stalls];

/// What all lines through the proxy share.
struct Sky {
    server: SocketAddr,
    is_over: AtomicBool,
    is_fair: AtomicBool,
    /// Nothing comes through for anybody.
    is_parted: AtomicBool,
    lines: AtomicU64,
    cuts: AtomicU64,
    seed: u64,
}

/// Runs the row for so long, with a parted network now and then.
pub(crate) fn run(field: &Field, people: usize, seconds: u64) -> Outcome<Verdict> {
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), people)?;
    let mut server = ground.start()?;
    let sky = Arc::new(Sky {
        server: ground.address(),
        is_over: AtomicBool::new(false),
        is_fair: AtomicBool::new(false),
        is_parted: AtomicBool::new(false),
        lines: AtomicU64::new(0),
        cuts: AtomicU64::new(0),
        seed: field.seed,
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("making a proxy")?;
    let address = listener.local_addr().during("making a proxy")?;
    let shared = Arc::clone(&sky);
    std::thread::spawn(move || take_lines(&listener, &shared));
    let terms = Terms {
        people,
        window: 16,
        pause: Duration::from_millis(2),
        long_every: 20,
        long_bytes: 20_000,
        absent: 0,
        is_without_keys: false,
        is_restless: true,
        seed: field.seed,
    };
    let talk = Talk::begin(address, server.key()?, terms);
    for second in 0..seconds {
        // Parted for one second of five.
        sky.is_parted.store(second % 5 == 3, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(1));
    }
    sky.is_parted.store(false, Ordering::Relaxed);
    sky.is_fair.store(true, Ordering::Relaxed);
    let (counts, faults) = talk.drain(PATIENCE);
    sky.is_over.store(true, Ordering::Relaxed);
    // So that the proxy notices.
    drop(TcpStream::connect(address));
    let end = server.terminate()?;
    let mut verdict = Verdict::on("11", "network");
    verdict.note("seed", field.seed);
    verdict.note("seconds", seconds);
    verdict.note("lines", sky.lines.load(Ordering::Relaxed));
    verdict.at_least("cut_within", sky.cuts.load(Ordering::Relaxed) as f64, 1.0);
    verdict.at_least("confirmed", counts.confirmed as f64, seconds as f64);
    verdict.none("lost", counts.missing);
    verdict.none("shown_twice", counts.repeated);
    verdict.none("out_of_order", counts.disordered);
    verdict.note("known_again", counts.known);
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    if end.status.code() != Some(0) {
        verdict.fault(format!("it ended with {}: {}", end.status, end.log));
    }
    Ok(verdict)
}

fn take_lines(listener: &TcpListener, sky: &Arc<Sky>) {
    for outside in listener.incoming().map_while(Result::ok) {
        if sky.is_over.load(Ordering::Relaxed) {
            return;
        }
        let number = sky.lines.fetch_add(1, Ordering::Relaxed);
        let Ok(inside) = TcpStream::connect(sky.server) else { continue };
        let mut random = ChaCha8Rng::seed_from_u64(sky.seed.wrapping_add(number));
        let weather = WEATHERS[random.random_range(0..WEATHERS.len())];
        let pipes = [(&outside, &inside), (&inside, &outside)];
        for (from, to) in pipes {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let pipe = Pipe {
                sky: Arc::clone(sky),
                weather,
                random: ChaCha8Rng::seed_from_u64(random.random()),
                from,
                to,
            };
            std::thread::spawn(move || pipe.run());
        }
    }
}

/// One direction of a line.
struct Pipe {
    sky: Arc<Sky>,
    weather: Weather,
    random: ChaCha8Rng,
    from: TcpStream,
    to: TcpStream,
}

impl Pipe {
    fn run(mut self) {
        let mut left: usize = match self.weather {
            Weather::Cuts => self.random.random_range(200..20_000),
            _ => usize::MAX,
        };
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.from.read(&mut buffer) {
            let fair = self.sky.is_fair.load(Ordering::Relaxed);
            let weather = if fair { Weather::Fair } else { self.weather };
            self.hold_up(weather);
            let passed = if weather == Weather::Cuts { count.min(left) } else { count };
            if self.pass(&buffer[..passed], weather).is_err() {
                break;
            }
            left = left.saturating_sub(count);
            if left == 0 && weather == Weather::Cuts {
                self.cut();
                return;
            }
        }
        // The other direction notices that the line has ended.
        self.to.shutdown(Shutdown::Write).unwrap_or_default();
    }

    fn hold_up(&mut self, weather: Weather) {
        while self.sky.is_parted.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let milliseconds = match weather {
            Weather::Late => self.random.random_range(1..40),
            Weather::Stalls if self.random.random_ratio(1, 40) => {
                self.random.random_range(100..1_500)
            }
            _ => 0,
        };
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    fn pass(&mut self, bytes: &[u8], weather: Weather) -> std::io::Result<()> {
        if weather != Weather::Trickle {
            return self.to.write_all(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.random.random_range(1..40).min(rest.len());
            self.to.write_all(&rest[..count])?;
            rest = &rest[count..];
            if !self.sky.is_fair.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.sky.cuts.fetch_add(1, Ordering::Relaxed);
        if self.random.random() {
            for stream in [&self.from, &self.to] {
                // If the system refuses, the line ends in order.
                SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap_or_default();
            }
        }
        for stream in [&self.from, &self.to] {
            // The other side may have gone already.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}
