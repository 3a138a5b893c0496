//! Row 7: the disk cannot be read any more, at each of the reads of a start and of the service after it.
//!
//! The server refuses to start, ends by itself, or goes on and says nothing but what is true. What it
//! could not read is there when the disk can be read again.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::io::Errno;

use super::Field;
use super::flips::{Rest, killed, read, written};
use super::ground::{End, Ground};
use super::inspect;
use super::power::scratch;
use super::shim::{Switch, Switches};
use super::trouble::Outcome;
use super::verdict::Verdict;

/// How long the server may take to end after a fault.
const PATIENCE: Duration = Duration::from_secs(20);

/// The people who have mail.
const READERS: std::ops::RangeInclusive<usize> = 1..=5;

#[derive(Debug, Default)]
struct Tally {
    reached: u64,
    refused: u64,
    ended: u64,
    served: u64,
    unclean: u64,
    wrong: u64,
    lost: u64,
    faults: Vec<String>,
}

/// Runs the row with so many points, spread over all reads.
pub(crate) fn run(field: &Field, points: i64) -> Outcome<Verdict> {
    let rest = killed(field, true)?;
    let reads = count_reads(field, &rest)?;
    let mut tally = Tally::default();
    for index in 0..points.min(reads) {
        let point = 1 + index * reads / points.min(reads);
        let is_lasting = index % 2 == 1;
        try_point(field, &rest, point, is_lasting, &mut tally)?;
    }
    let mut verdict = Verdict::on("7", "failing-reads");
    verdict.note("seed", field.seed);
    verdict.note("reads", reads);
    verdict.at_least("points", tally.reached as f64, points.min(reads) as f64 * 0.9);
    verdict.note("refused", tally.refused);
    verdict.note("ended", tally.ended);
    verdict.note("served", tally.served);
    verdict.none("unclean_ends", tally.unclean);
    verdict.none("silently_wrong", tally.wrong);
    verdict.none("lost", tally.lost);
    tally.faults.into_iter().take(10).for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

/// How many reads there are if none fails, and everybody reads their mail.
fn count_reads(field: &Field, rest: &Rest) -> Outcome<i64> {
    let folder = scratch()?;
    written(&rest.image, folder.path())?;
    let (ground, switches) = prepared(field, folder.path())?;
    let mut server = ground.start()?;
    for reader in READERS {
        read(&ground, reader, inspect::waiting(&rest.found, reader)?.len())?;
    }
    server.terminate()?;
    switches.read(Switch::Reads)
}

fn prepared(field: &Field, folder: &std::path::Path) -> Outcome<(Ground, Switches)> {
    let mut ground = Ground::within(&field.program, folder)?;
    let switches = field.shim.switches(ground.path(), None)?;
    ground.switch(&switches);
    Ok((ground, switches))
}

fn try_point(
    field: &Field,
    rest: &Rest,
    point: i64,
    is_lasting: bool,
    tally: &mut Tally,
) -> Outcome<()> {
    let folder = scratch()?;
    written(&rest.image, folder.path())?;
    let (mut ground, switches) = prepared(field, folder.path())?;
    switches.set(Switch::Error, Errno::IO.raw_os_error().into())?;
    switches.set(Switch::IsLasting, i64::from(is_lasting))?;
    switches.set(Switch::FailReadAt, point)?;
    let what = format!("read {point}, {}", if is_lasting { "and all after it" } else { "once" });
    let mut server = ground.launch()?;
    if let Some(end) = server.ready_or_end()? {
        tally.refused += 1;
        judge_end(&end, &what, tally);
    } else if let Some(end) = read_all(&ground, rest, &mut server, &what, tally)? {
        tally.ended += 1;
        judge_end(&end, &what, tally);
    } else {
        tally.served += 1;
        // What cannot be read at the end is no fault of what was said before.
        server.terminate()?;
    }
    tally.reached += u64::from(switches.read(Switch::ReadsFailed)? > 0);
    ground.unswitch();
    let found = super::faults::recover(&ground)?;
    let before: BTreeSet<_> = rest.found.letters.keys().collect();
    let lost = before.iter().filter(|letter| !found.letters.contains_key(**letter)).count();
    if lost > 0 {
        tally.faults.push(format!("{what}: {lost} letters are not there afterwards"));
    }
    tally.lost += lost as u64;
    Ok(())
}

/// Everybody reads their mail. Returns how the server ended, if it did.
fn read_all(
    ground: &Ground,
    rest: &Rest,
    server: &mut super::ground::Process,
    what: &str,
    tally: &mut Tally,
) -> Outcome<Option<End>> {
    for reader in READERS {
        let expected = inspect::waiting(&rest.found, reader)?;
        let Ok(heard) = read(ground, reader, expected.len()) else {
            return server.wait(PATIENCE).map(Some);
        };
        let is_same = expected.iter().zip(&heard).all(|(one, other)| *one.body == **other);
        if !is_same || (heard.len() < expected.len() && server.is_alive()) {
            tally.wrong += 1;
            let counts = format!("{} of {} letters", heard.len(), expected.len());
            tally.faults.push(format!("{what}: reader {reader} got {counts}"));
        }
    }
    if server.is_alive() { Ok(None) } else { server.wait(PATIENCE).map(Some) }
}

/// It says what was the matter, in a way that scripts and people understand; and it does not say that
/// nothing is lost where it cannot know.
fn judge_end(end: &End, what: &str, tally: &mut Tally) {
    let is_said = end.log.lines().any(|line| line.starts_with("whoelse: "));
    let knows = !end.log.contains("malformed") || !end.log.contains("confirmed is lost");
    if end.status.code() != Some(74) || !is_said || !knows {
        tally.unclean += 1;
        tally.faults.push(format!("{what}: it ended with {}: {}", end.status, end.log));
    }
}
