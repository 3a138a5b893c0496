//! Row 22: mail that was deleted is in no file of the data folder any more when it should not be, of the
//! real program with its own times. A clock that runs faster makes them short.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use whoelse_server::{Operation, operate};

use super::Field;
use super::ground::Ground;
use super::line::{Entry as Door, Line};
use super::people;
use super::shim::Switch;
use super::trouble::{Outcome, While, trouble};
use super::verdict::Verdict;

/// How much faster the clock runs.
const SPEED: u32 = 10;

/// What is promised, on that clock.
const PROMISE: Duration = Duration::from_secs(60);

/// How long is waited on the real clock.
const PATIENCE: Duration = Duration::from_secs(30);

const DELETED: &str = "burn after reading, every copy of it";
const KEPT: &str = "this one waits for its reader";

/// When mail is deleted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Acknowledged before it came to the database, then nothing happens any more.
    Early,
    /// Acknowledged when it was there.
    Late,
    /// Deleted with the person it was for.
    Removed,
    /// Acknowledged, and the server killed before it did anything about that.
    Killed,
}

const CASES: [Case; 4] = [Case::Late, Case::Killed, Case::Early, Case::Removed];

/// Runs the row: the first so many cases.
pub(crate) fn run(field: &Field, cases: usize) -> Outcome<Verdict> {
    let mut slowest = Duration::ZERO;
    for case in CASES.iter().take(cases) {
        slowest = slowest.max(until_gone(field, *case).during(format!("{case:?}"))?);
    }
    let mut verdict = Verdict::on("22", "deleted-mail");
    verdict.at_least("cases", CASES.len().min(cases) as f64, cases.min(CASES.len()) as f64);
    verdict.note("clock", format!("{SPEED}-times"));
    verdict.in_time("gone_after_s", slowest.as_secs_f64(), PROMISE.as_secs_f64());
    Ok(verdict)
}

/// How long a text stays, on the server's clock.
fn until_gone(field: &Field, case: Case) -> Outcome<Duration> {
    let mut ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), 3)?;
    let switches = field.shim.switches(ground.path(), None)?;
    switches.set(Switch::Speed, SPEED.into())?;
    ground.switch(&switches);
    let mut server = ground.start()?;
    let (mut writer, _) = Line::log_in(ground.address(), 0, "writer", &Door::Password)?;
    for (to, text) in [(1, DELETED), (2, KEPT)] {
        let request = json!({"action": "message", "user": people::name(to), "message": text});
        let answer = writer.ask(&request)?;
        if answer["status"] != "SUCCESS" {
            return trouble(format!("{answer}"));
        }
    }
    let data = ground.data();
    if !holds(&data, DELETED) {
        return trouble("it was confirmed, and is in no file");
    }
    if matches!(case, Case::Late | Case::Removed) {
        wait(|| database_holds(&data, DELETED), "it does not come to the database")?;
    }
    let start = Instant::now();
    if case == Case::Removed {
        let name = people::name(1);
        operate(Some(data.clone()), Operation::Remove { name }).during("removing a person")?;
    } else {
        read_and_acknowledge(&ground)?;
    }
    if case == Case::Killed {
        server.kill9()?;
        server = ground.start()?;
    }
    wait(|| !holds(&data, DELETED), "it is still there")?;
    let took = start.elapsed() * SPEED;
    // It is not that nothing is kept.
    wait(|| holds(&data, KEPT), "what waits is gone, too")?;
    let end = server.terminate()?;
    if end.status.code() != Some(0) || !holds(&data, KEPT) || holds(&data, DELETED) {
        return trouble(format!("at its end: {}, {}", end.status, end.log));
    }
    Ok(took)
}

fn read_and_acknowledge(ground: &Ground) -> Outcome<()> {
    let (mut reader, _) = Line::log_in(ground.address(), 1, "reader", &Door::Password)?;
    while let Some(value) = reader.hear(PATIENCE)? {
        if value["action"] == "receive_message" {
            reader.say(&json!({"action": "ack", "number": value["number"]}))?;
            // An acknowledgement is not confirmed, and a kill may take it. What is confirmed after it is
            // on disk, and so is it.
            let request = json!({"action": "message", "user": people::name(2), "message": "read"});
            return reader.ask(&request).map(drop);
        }
    }
    trouble("the mail does not come")
}

fn wait(mut is_so: impl FnMut() -> bool, otherwise: &str) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return trouble(otherwise);
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether any file of a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() { holds(&path, text) } else { file_holds(&path, text) }
    })
}

fn database_holds(data: &Path, text: &str) -> bool {
    ["whoelse.db", "whoelse.db-wal"].iter().any(|name| file_holds(&data.join(name), text))
}

fn file_holds(path: &Path, text: &str) -> bool {
    // Files come and go, and sockets cannot be read.
    let bytes = std::fs::read(path).unwrap_or_default();
    memchr::memmem::find(&bytes, text.as_bytes()).is_some()
}
