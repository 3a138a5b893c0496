//! Rows 8 and 10: no file is free for those who come, and the end in order among a thousand.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::json;

use super::Field;
use super::ground::{Ground, Process};
use super::line::{Entry as Door, Line};
use super::people;
use super::talk::{Talk, Terms};
use super::trouble::{Outcome, While};
use super::verdict::{Verdict, percentile};

fn quiet(seed: u64, people: usize, pause: Duration) -> Terms {
    Terms {
        people,
        window: 4,
        pause,
        long_every: 0,
        long_bytes: 0,
        absent: 0,
        is_without_keys: false,
        is_restless: false,
        seed,
    }
}

/// Row 8: a thousand connect while no file is free.
pub(crate) fn descriptors(field: &Field) -> Outcome<Verdict> {
    const INSIDE: usize = 50;
    const OUTSIDE: usize = 1_000;
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), INSIDE + 3)?;
    let mut server = ground.start()?;
    let key = server.key()?;
    let terms = quiet(field.seed, INSIDE, Duration::from_millis(100));
    let talk = Talk::begin(ground.address(), key, terms);
    talk.wait(Duration::from_secs(20), |talk| talk.present() == INSIDE);
    let (mut pinger, _) = Line::log_in(ground.address(), INSIDE, "pinger", &Door::Resume(key))?;
    let limit = open_files(&server) + 3;
    let before = limit_files(&server, Some(limit))?;
    let mut outside: Vec<TcpStream> = Vec::new();
    let mut refused = 0;
    for _ in 0..OUTSIDE {
        match TcpStream::connect(ground.address()) {
            Ok(stream) => outside.push(stream),
            Err(_) => refused += 1,
        }
    }
    let mut pings = Vec::new();
    let (ticks, began) = (ticks(&server), Instant::now());
    while began.elapsed() < Duration::from_secs(3) {
        pings.push(ping(&mut pinger, INSIDE + 1)?);
        std::thread::sleep(Duration::from_millis(10));
    }
    let busy = (self::ticks(&server) - ticks) as f64 / 100.0 / began.elapsed().as_secs_f64();
    let idle = idle_share(&field.program, field.seed)?;
    let counts = talk.counts();
    limit_files(&server, before.current)?;
    drop(outside);
    let comes_in = comes_in(&ground, INSIDE + 2, key, Duration::from_secs(10));
    let (after, faults) = talk.drain(Duration::from_secs(30));
    let is_alive = server.is_alive();
    let end = server.terminate()?;
    let mut verdict = Verdict::on("8", "no-free-files");
    verdict.note("connects", OUTSIDE);
    verdict.note("not_taken", refused);
    verdict.in_time("cpu_percent", (busy - idle).max(0.0) * 100.0, 5.0);
    verdict.in_time("others_p99_ms", percentile(&pings, 99), 50.0);
    verdict.note("confirmed_meanwhile", counts.confirmed);
    verdict.note("logins_of_those_inside", after.visits);
    verdict.none("lost", after.missing);
    if !is_alive || end.status.code() != Some(0) {
        verdict.fault(format!("the server ended with {}: {}", end.status, end.log));
    }
    if after.visits != INSIDE as u64 {
        verdict.fault("somebody inside had to come in again");
    }
    if let Err(why) = comes_in {
        verdict.fault(format!("afterwards nobody comes in: {why}"));
    }
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

/// How much of a processor the same conversation costs when nobody else connects.
fn idle_share(program: &std::path::Path, seed: u64) -> Outcome<f64> {
    const INSIDE: usize = 50;
    let ground = Ground::new(program)?;
    people::settle(&ground.data(), INSIDE + 2)?;
    let server = ground.start()?;
    let key = server.key()?;
    let talk = Talk::begin(ground.address(), key, quiet(seed, INSIDE, Duration::from_millis(100)));
    talk.wait(Duration::from_secs(20), |talk| talk.present() == INSIDE);
    let (mut pinger, _) = Line::log_in(ground.address(), INSIDE, "pinger", &Door::Resume(key))?;
    let (ticks, began) = (ticks(&server), Instant::now());
    while began.elapsed() < Duration::from_secs(3) {
        ping(&mut pinger, INSIDE + 1)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    let share = (self::ticks(&server) - ticks) as f64 / 100.0 / began.elapsed().as_secs_f64();
    talk.stop();
    Ok(share)
}

fn comes_in(
    ground: &Ground,
    person: usize,
    key: whoelse_proto::Fingerprint,
    patience: Duration,
) -> Outcome<()> {
    let deadline = Instant::now() + patience;
    loop {
        match Line::log_in(ground.address(), person, "newcomer", &Door::Resume(key)) {
            Ok(_) => return Ok(()),
            Err(why) if Instant::now() > deadline => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// How long a message takes to be confirmed, in milliseconds.
fn ping(line: &mut Line, to: usize) -> Outcome<f64> {
    let began = Instant::now();
    line.ask(&json!({"action": "message", "user": people::name(to), "message": "ping"}))?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

pub(crate) fn open_files(server: &Process) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).map_or(0, |files| files.count() as u64)
}

fn limit_files(server: &Process, current: Option<u64>) -> Outcome<Rlimit> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let process = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::Nofile, Rlimit { current, maximum }).during("limiting files")
}

/// What the process has used, in hundredths of a second of a processor.
pub(crate) fn ticks(server: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    let times = fields.split_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

/// Row 10: told to end among so many people who talk, so many times.
pub(crate) fn drain(field: &Field, people: usize, times: usize) -> Outcome<Verdict> {
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), people + 2)?;
    let mut server = ground.start()?;
    let terms = quiet(field.seed, people, Duration::from_millis(200));
    let talk = Talk::begin(ground.address(), server.key()?, terms);
    let mut verdict = Verdict::on("10", "told-to-end");
    let (mut ends, mut present) = (Vec::new(), Vec::new());
    for _ in 0..times {
        talk.wait(Duration::from_secs(30), |talk| talk.present() >= people);
        std::thread::sleep(Duration::from_millis(300));
        present.push(talk.present() as f64);
        let end = server.terminate()?;
        ends.push(end.after.as_secs_f64() * 1e3);
        if end.status.code() != Some(0) {
            verdict.fault(format!("it ended with {}: {}", end.status, end.log));
        }
        server = ground.start()?;
    }
    let (counts, faults) = talk.drain(Duration::from_secs(60));
    verdict.note("times", times);
    verdict.at_least("clients", percentile(&present, 1), people as f64);
    verdict.note("confirmed", counts.confirmed);
    verdict.note("end_p50_ms", format_args!("{:.0}", percentile(&ends, 50)));
    verdict.in_time("end_max_ms", percentile(&ends, 100), 5_000.0);
    verdict.none("lost", counts.missing);
    verdict.none("shown_twice", counts.repeated);
    verdict.in_time("second_signal_ms", second_signal(&ground, server, people)?, 500.0);
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

/// How long the server takes to end when it is told a second time while it waits for somebody who
/// does not read.
fn second_signal(ground: &Ground, mut server: Process, person: usize) -> Outcome<f64> {
    let door = Door::Resume(server.key()?);
    let (mut deaf, _) = Line::log_in(ground.address(), person, "deaf", &door)?;
    let question = json!({"action": "n".repeat(64), "id": "i".repeat(64)}).to_string() + "\n";
    deaf.say_until_full(question.repeat(500).as_bytes())?;
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    let is_waiting = server.is_alive();
    server.signal(Signal::TERM);
    let end = server.wait(Duration::from_secs(20))?;
    drop(deaf);
    Ok(if is_waiting { end.after.as_secs_f64() * 1e3 } else { f64::NAN })
}
