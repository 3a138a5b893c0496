//! Row 9: the clocks of the machine jump or stand still.
//!
//! The wall clock is somebody's opinion: nobody is let in early or logged out because of it, and
//! messages keep their order. The monotonic clock does not jump on real machines, but it stands
//! still while they sleep and hurries when they were held up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Field;
use super::ground::{Ground, Process};
use super::line::{Entry as Door, Line};
use super::people;
use super::shim::{Switch, Switches};
use super::talk::{Talk, Terms};
use super::trouble::{Outcome, trouble};
use super::verdict::Verdict;

const SECOND_NS: i64 = 1_000_000_000;

/// What the clocks do.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The wall clock jumps by so many seconds.
    Wall(i64),
    /// The wall clock stands still.
    Frozen,
    /// The monotonic clock jumps ahead by so many seconds, as after a long pause.
    Monotonic(i64),
    /// The process does not run for a while.
    Stopped,
    /// The wall clock jumps while the server does not run.
    BetweenStarts(i64),
    /// The monotonic clock begins anew, as after a restart of the machine.
    Reborn(i64),
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

const CHANGES: [Change; 10] = [
    Change::Wall(-2 * HOUR),
    Change::Wall(30 * DAY),
    Change::Frozen,
    Change::Monotonic(20),
    Change::Stopped,
    Change::BetweenStarts(-2 * HOUR),
    Change::BetweenStarts(-10 * 365 * DAY),
    Change::Reborn(10 * DAY),
    Change::Wall(-30 * DAY),
    Change::Wall(59),
];

/// How long a name is locked, in seconds: longer than any pause here.
const LOCK: &str = "120";

/// After how long without a command people are logged out, in seconds.
const IDLE: &str = "100";

/// Runs the row: so many cases, the first of them those above.
pub(crate) fn run(field: &Field, cases: usize) -> Outcome<Verdict> {
    let mut random = ChaCha8Rng::seed_from_u64(field.seed ^ 0x9_0000);
    let mut verdict = Verdict::on("9", "clocks");
    verdict.note("seed", field.seed);
    let mut wrong = 0;
    for case in 0..cases {
        let change = CHANGES.get(case).copied().unwrap_or_else(|| any(&mut random));
        let faults = try_change(field, change)?;
        wrong += u64::from(!faults.is_empty());
        faults.into_iter().for_each(|fault| verdict.fault(format!("{change:?}: {fault}")));
    }
    verdict.at_least("cases", cases as f64, cases as f64);
    verdict.none("wrong", wrong);
    Ok(verdict)
}

fn any(random: &mut ChaCha8Rng) -> Change {
    let seconds = random.random_range(-400 * DAY..400 * DAY);
    match random.random_range(0..4) {
        0 => Change::BetweenStarts(-seconds.abs()),
        1 => Change::Monotonic(random.random_range(1..40)),
        2 => Change::Reborn(random.random_range(0..400 * DAY)),
        _ => Change::Wall(seconds),
    }
}

fn try_change(field: &Field, change: Change) -> Outcome<Vec<String>> {
    const TALKERS: usize = 4;
    let mut ground =
        Ground::new(&field.program)?.flags(&["--block-seconds", LOCK, "--idle-seconds", IDLE]);
    people::settle(&ground.data(), TALKERS + 2)?;
    let switches = field.shim.switches(ground.path(), None)?;
    ground.switch(&switches);
    let mut server = ground.start()?;
    let terms = Terms {
        people: TALKERS,
        window: 4,
        pause: Duration::from_millis(5),
        long_every: 0,
        long_bytes: 0,
        absent: 0,
        is_without_keys: false,
        is_restless: false,
        seed: field.seed,
    };
    let talk = Talk::begin(ground.address(), server.key()?, terms);
    let (mut silent, _) =
        Line::log_in(ground.address(), TALKERS, "silent", &Door::Resume(server.key()?))?;
    talk.wait(Duration::from_secs(10), |talk| talk.present() == TALKERS);
    lock(&ground, TALKERS + 1)?;
    let is_restarted = make(&switches, change, &ground, &mut server)?;
    let before = talk.counts();
    talk.wait(Duration::from_secs(10), |talk| talk.counts().shown > before.shown + 100);
    let mut faults = Vec::new();
    if talk.counts().shown <= before.shown + 100 {
        faults.push("nothing is carried any more".to_owned());
    }
    // A pause longer than the lock's rest is none of these.
    let answer = guess(&ground, TALKERS + 1, people::PASSWORD)?;
    if answer["status"] != "BLOCKED" || answer["retry_after"].as_u64().is_none_or(|it| it > 120) {
        faults.push(format!("a locked name is answered {answer}"));
    }
    if !is_restarted {
        let answer = silent.ask(&json!({"action": "active"}));
        if answer.as_ref().map_or(true, |answer| answer["status"] != "SUCCESS") {
            faults.push(format!("who was silent is told {answer:?}"));
        }
        let visits = talk.counts().visits;
        if visits != TALKERS as u64 {
            faults.push(format!("{visits} logins of {TALKERS} people"));
        }
    }
    let (counts, more) = talk.drain(Duration::from_secs(20));
    faults.extend(more);
    if counts.missing + counts.repeated + counts.disordered > 0 {
        faults.push(format!("{counts:?}"));
    }
    let end = server.terminate()?;
    if end.status.code() != Some(0) {
        faults.push(format!("it ended with {}: {}", end.status, end.log));
    }
    Ok(faults)
}

fn guess(ground: &Ground, person: usize, password: &str) -> Outcome<Value> {
    let mut line = Line::connect(ground.address())?;
    line.ask(&json!({"action": "login", "username": people::name(person), "password": password,
        "protocol": 1}))
}

/// Three wrong passwords.
fn lock(ground: &Ground, person: usize) -> Outcome<()> {
    let statuses: Vec<Value> = (0..3)
        .map(|_| Ok(guess(ground, person, "wrong")?["status"].take()))
        .collect::<Outcome<_>>()?;
    if statuses.last().is_none_or(|status| status != "INVALID_PASSWORD_BLOCKED") {
        return trouble(format!("three wrong passwords are answered {statuses:?}"));
    }
    Ok(())
}

/// Makes the change; says whether the server was started anew.
fn make(
    switches: &Switches,
    change: Change,
    ground: &Ground,
    server: &mut Process,
) -> Outcome<bool> {
    match change {
        Change::Wall(seconds) => switches.set(Switch::WallNs, seconds * SECOND_NS)?,
        Change::Frozen => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
            switches.set(Switch::WallAtNs, now)?;
        }
        Change::Monotonic(seconds) => switches.set(Switch::MonotonicNs, seconds * SECOND_NS)?,
        Change::Stopped => {
            server.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(700));
            server.signal(Signal::CONT);
        }
        Change::BetweenStarts(seconds) => {
            server.kill9()?;
            switches.set(Switch::WallNs, seconds * SECOND_NS)?;
            *server = ground.start()?;
            return Ok(true);
        }
        Change::Reborn(seconds) => {
            server.kill9()?;
            switches.set(Switch::MonotonicNs, seconds * SECOND_NS)?;
            *server = ground.start()?;
            return Ok(true);
        }
    }
    Ok(false)
}
