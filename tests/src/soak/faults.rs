//! Row 7: the disk fails, fills up, or cannot be written any more, at each of the first operations.
//!
//! The server may confirm nothing that is not on disk, has to end by itself and say why, and goes
//! on with everything it confirmed once the disk works again.

use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rustix::io::Errno;
use tempfile::TempDir;

use super::Field;
use super::disk::{Lies, Worked};
use super::ground::{End, Ground, Process};
use super::inspect::{self, Found};
use super::line::{Entry as Door, Line};
use super::people;
use super::post::Post;
use super::said::Said;
use super::shim::Switch;
use super::trace::{Entry, Trace};
use super::trouble::{Outcome, Trouble, While, trouble};
use super::verdict::Verdict;

/// What the server ends with when the disk fails.
const STORAGE: i32 = 74;

/// How long the server may take to end after a fault.
const PATIENCE: Duration = Duration::from_secs(20);

/// At most so many batches of letters are sent; then the fault should have come.
const BATCHES: usize = 400;

/// How it fails: an error, and whether it stays.
const FAILURES: [(Errno, bool); 3] =
    [(Errno::IO, false), (Errno::NOSPC, true), (Errno::ROFS, true)];

/// How many points are tried at once.
const WORKERS: usize = 3;

/// What was found at all points.
#[derive(Debug, Default)]
struct Tally {
    reached: u64,
    confirmed: u64,
    after: u64,
    unsaved: u64,
    lost: u64,
    exits: u64,
    faults: Vec<String>,
}

/// Runs the row for failing operations: these points, each with one failure, or with all.
pub(crate) fn run(
    field: &Field,
    points: RangeInclusive<i64>,
    is_thorough: bool,
) -> Outcome<Verdict> {
    let tally = Mutex::new(Tally::default());
    let next = AtomicI64::new(*points.start());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let point = next.fetch_add(1, Ordering::Relaxed);
                    if point > *points.end() {
                        return;
                    }
                    let kinds = FAILURES.len() as i64;
                    let tried =
                        if is_thorough { 0..kinds } else { point % kinds..point % kinds + 1 };
                    for kind in tried {
                        try_point(field, point, FAILURES[kind as usize], &tally);
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut verdict = Verdict::on("7", "failing-disk");
    verdict.note("seed", field.seed);
    verdict.at_least("points", tally.reached as f64, points.count() as f64);
    verdict.note("confirmed", tally.confirmed);
    verdict.none("confirmed_not_on_disk", tally.unsaved);
    verdict.note("said_after_fault", tally.after);
    verdict.none("unclean_ends", tally.exits);
    verdict.none("lost", tally.lost);
    tally.faults.into_iter().take(10).for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

fn try_point(field: &Field, point: i64, failure: (Errno, bool), tally: &Mutex<Tally>) {
    let outcome = at_point(field, point, failure);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Err(why) => tally.faults.push(format!("point {point}, {:?}: {why}", failure.0)),
        Ok(one) => {
            tally.reached += one.reached;
            tally.confirmed += one.confirmed;
            tally.after += one.after;
            tally.unsaved += one.unsaved;
            tally.lost += one.lost;
            tally.exits += one.exits;
            let named = |fault| format!("point {point}, {:?}: {fault}", failure.0);
            tally.faults.extend(one.faults.into_iter().map(named));
        }
    }
}

/// A server that starts on nothing, with the fault to come at its n-th operation.
fn at_point(field: &Field, point: i64, failure: (Errno, bool)) -> Outcome<Tally> {
    let mut ground = Ground::new(&field.program)?.flags(&["--credentials", "people.txt"]);
    let line = |number| format!("{} {}\n", people::name(number), people::PASSWORD);
    let credentials: String = (0..3).map(line).collect();
    std::fs::write(ground.path().join("people.txt"), credentials).during("writing people")?;
    let log = ground.path().join("trace");
    let switches = field.shim.switches(ground.path(), Some(&log))?;
    switches.set(Switch::Error, failure.0.raw_os_error().into())?;
    switches.set(Switch::IsLasting, i64::from(failure.1))?;
    switches.set(Switch::FailAt, point)?;
    ground.switch(&switches);
    let mut post = Post::new(0, &[1, 2]);
    let mut server = ground.launch()?;
    let end = match server.ready_or_end()? {
        Some(end) => end,
        None => {
            let why = write_until_it_ends(&ground, &mut post);
            if !failure.1 && server.logged().contains(NO_MATTER) {
                return unharmed(&mut ground, server, &post);
            }
            server.wait(PATIENCE).map_err(|trouble| {
                let faults = switches.read(Switch::Failed);
                let confirmed = post.confirmed();
                Trouble(format!("{trouble}; {faults:?} faults, {confirmed} confirmed, {why}"))
            })?
        }
    };
    let mut tally = Tally { confirmed: post.confirmed() as u64, ..Tally::default() };
    tally.reached = u64::from(switches.read(Switch::Failed)? > 0);
    judge_end(&end, &mut tally);
    judge_trace(&Trace::read(&log)?, &mut tally)?;
    ground.unswitch();
    let found = recover(&ground)?;
    tally.lost = post.lost(&found) as u64;
    Ok(tally)
}

/// The one operation without which the server goes on, as it says: the file keeps an invite that
/// is of no use any more.
const NO_MATTER: &str = "could not remove the file of the first invite";

/// The server went on in spite of the fault, and everything has to be as if there had been none.
fn unharmed(ground: &mut Ground, mut server: Process, post: &Post) -> Outcome<Tally> {
    let mut tally = Tally { reached: 1, confirmed: post.confirmed() as u64, ..Tally::default() };
    let end = server.terminate()?;
    if end.status.code() != Some(0) {
        tally.exits += 1;
        tally.faults.push(format!("it ended with {}: {}", end.status, end.log));
    }
    ground.unswitch();
    tally.lost = post.lost(&recover(ground)?) as u64;
    Ok(tally)
}

/// Says why it writes no more.
fn write_until_it_ends(ground: &Ground, post: &mut Post) -> String {
    let mut line = match Line::log_in(ground.address(), 0, "writer", &Door::Password) {
        Ok((line, _)) => line,
        Err(why) => return format!("not logged in: {why}"),
    };
    for batch in 0..BATCHES {
        if let Err(why) = post.send(&mut line, 1 + batch % 3, 100) {
            return format!("at batch {batch}: {why}");
        }
    }
    format!("all {BATCHES} batches were written")
}

fn judge_end(end: &End, tally: &mut Tally) {
    if end.status.code() != Some(STORAGE) || end.log.is_empty() {
        tally.exits += 1;
        tally.faults.push(format!("it ended with {}: {}", end.status, end.log));
    }
}

/// Everything that was said must be on a disk that has lost all that was not synced.
fn judge_trace(trace: &Trace, tally: &mut Tally) -> Outcome<()> {
    let said = Said::of(trace);
    let mut disk = Worked::new(trace, Lies::No);
    (0..trace.entries.len()).for_each(|index| disk.work(index));
    let image = disk.cut_hard(&mut ChaCha8Rng::seed_from_u64(0));
    let folder = tempfile::tempdir().during("making a folder")?;
    match image.open(folder.path()) {
        Ok(found) => {
            let broken = said.broken(trace.entries.len(), &found);
            tally.unsaved += broken.len() as u64;
        }
        Err(why) => tally.faults.push(format!("after a power cut: {why:?}")),
    }
    let fault = trace.entries.iter().position(|entry| matches!(entry, Entry::Fault));
    let before = fault.map_or(0, |fault| said.confirmed(fault));
    tally.after += fault.map_or(0, |_| said.confirmed(usize::MAX) - before) as u64;
    Ok(())
}

/// Starts the server on a disk that works, ends it in order, and looks.
pub(crate) fn recover(ground: &Ground) -> Outcome<Found> {
    let end = ground.start()?.terminate()?;
    if end.status.code() != Some(0) {
        return trouble(format!("afterwards it ended with {}: {}", end.status, end.log));
    }
    inspect::open(&ground.data()).map_err(|why| format!("{why:?}")).during("afterwards")
}

/// A small disk in memory; gone when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Makes one of so many MiB; nothing if the system does not let us.
    fn new(mebibytes: u32) -> Outcome<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().during("making a folder")?;
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "whoelse-soak"])
            .arg(folder.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(is_mounted.then_some(Self { folder }))
    }

    fn resize(&self, mebibytes: u32) -> Outcome<()> {
        let size = format!("remount,size={mebibytes}m");
        let output = Command::new("mount").args(["-o", &size]).arg(self.folder.path()).output();
        if !output.during("running mount")?.status.success() {
            return trouble("the small disk cannot be made larger");
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If it is still in use, it goes with whoever uses it.
        Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .output()
            .map(drop)
            .unwrap_or_default();
    }
}

/// Runs the row for a disk that fills up: with the floor of free space off, and on.
pub(crate) fn run_full(field: &Field) -> Outcome<Verdict> {
    let mut verdict = Verdict::on("7", "full-disk");
    let Some(disk) = SmallDisk::new(44)? else {
        verdict.note("skipped", "mounting-needs-root");
        return Ok(verdict);
    };
    let ground = Ground::within(&field.program, disk.folder.path())?.flags(&["--min-free", "0"]);
    people::settle(&ground.data(), 14)?;
    let mut post = Post::new(0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    let mut server = ground.start()?;
    let mut line = enter(&ground, &server)?;
    while post.send(&mut line, 8, 20_000).is_ok() && post.refusal.is_none() {}
    let end = server.wait(PATIENCE)?;
    let mut tally = Tally::default();
    judge_end(&end, &mut tally);
    verdict.at_least("confirmed", post.confirmed() as f64, 100.0);
    verdict.none("unclean_ends", tally.exits);
    tally.faults.into_iter().for_each(|fault| verdict.fault(fault));
    // As long as it is full, a start is refused or gets by; either way nothing is lost.
    let mut server = ground.launch()?;
    let is_refused = server.ready_or_end()?.is_some_and(|end| end.status.code() == Some(STORAGE));
    verdict.note("start_while_full", if is_refused { "refused" } else { "served" });
    server.kill9()?;
    disk.resize(400)?;
    verdict.none("lost", post.lost(&recover(&ground)?) as u64);
    with_floor(field, &mut verdict)?;
    with_backup(field, &mut verdict)?;
    Ok(verdict)
}

/// A backup for which there is no room beside a running server: it is refused, and the server goes on.
fn with_backup(field: &Field, verdict: &mut Verdict) -> Outcome<()> {
    let Some(disk) = SmallDisk::new(120)? else { return Ok(()) };
    let ground = Ground::within(&field.program, disk.folder.path())?.flags(&["--min-free", "0"]);
    people::settle(&ground.data(), 6)?;
    let mut post = Post::new(0, &[1, 2, 3, 4, 5]);
    let mut server = ground.start()?;
    let mut line = enter(&ground, &server)?;
    for _ in 0..150 {
        post.send(&mut line, 8, 20_000)?;
    }
    let made = Command::new(&field.program)
        .args(["backup", "a.backup", "--data", "data"])
        .current_dir(ground.path())
        .output();
    let made = made.during("making a backup")?;
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    let is_refused = made.status.code() == Some(STORAGE) && said.contains("are needed on the disk");
    verdict.note("backup_without_room", if is_refused { "refused" } else { "not-refused" });
    let names = std::fs::read_dir(ground.path()).during("listing files")?.flatten();
    let left = names.filter(|it| it.file_name().to_string_lossy().contains("backup")).count();
    if !is_refused || left > 0 || !server.is_alive() {
        verdict.fault(format!("a backup without room: {}, {said}, {left} left", made.status));
    }
    post.send(&mut line, 8, 20_000).during("after a backup without room")?;
    server.terminate()?;
    disk.resize(400)?;
    verdict.none("lost_beside_backup", post.lost(&recover(&ground)?) as u64);
    Ok(())
}

/// With a floor of free space new letters are refused while the server goes on.
fn with_floor(field: &Field, verdict: &mut Verdict) -> Outcome<()> {
    let Some(disk) = SmallDisk::new(52)? else { return Ok(()) };
    let ground = Ground::within(&field.program, disk.folder.path())?.flags(&["--min-free", "16M"]);
    people::settle(&ground.data(), 14)?;
    let mut post = Post::new(0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    let mut server = ground.start()?;
    let mut line = enter(&ground, &server)?;
    while post.refusal.is_none() {
        post.send(&mut line, 1, 20_000)?;
        // The space is looked at once a second; the disk must not be full before.
        std::thread::sleep(Duration::from_millis(5));
    }
    let refusal = post.refusal.take().unwrap_or_default();
    let is_said = refusal["status"] == "SERVER_FULL" && server.is_alive();
    verdict.note("with_floor", refusal["status"].as_str().unwrap_or("nothing"));
    if !is_said {
        verdict.fault(format!("with a floor: {refusal}"));
    }
    server.terminate()?;
    disk.resize(400)?;
    verdict.none("lost_with_floor", post.lost(&recover(&ground)?) as u64);
    let server = ground.start()?;
    let mut line = enter(&ground, &server)?;
    let mut later = Post::new(1, &[2]);
    later.send(&mut line, 1, 10).during("with room again")?;
    Ok(())
}

fn enter(ground: &Ground, server: &Process) -> Outcome<Line> {
    Ok(Line::log_in(ground.address(), 0, "writer", &Door::Resume(server.key()?))?.0)
}
