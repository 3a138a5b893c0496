//! The process is killed at any operation on the database: while it starts, and while it ends in
//! order, which is when everything pending is projected at once.

use std::time::Duration;

use rustix::process::Signal;

use super::Field;
use super::faults::recover;
use super::ground::Ground;
use super::line::{Entry as Door, Line};
use super::people;
use super::post::Post;
use super::shim::{DATABASE_FILES, Switch};
use super::trouble::{Outcome, trouble};
use super::verdict::Verdict;

/// How many letters are written before each end.
const LETTERS: usize = 60;

/// Runs the row: a kill at each of the first operations of a start, and of an end.
pub(crate) fn run(field: &Field, at_start: i64, at_end: i64) -> Outcome<Verdict> {
    let mut ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), 4)?;
    let switches = field.shim.switches(ground.path(), None)?;
    switches.set(Switch::Files, DATABASE_FILES)?;
    let mut post = Post::new(0, &[1, 2, 3]);
    let (mut killed_at_start, mut killed_at_end, mut ends) = (0, 0, 0);
    for point in 1..=at_start.max(at_end) {
        ground.switch(&switches);
        if point <= at_start {
            switches.set(Switch::Operations, 0)?;
            switches.set(Switch::KillAt, point)?;
            let mut server = ground.launch()?;
            match server.ready_or_end()? {
                Some(end) if end.status.code().is_none() => killed_at_start += 1,
                Some(end) => return trouble(format!("a start ended: {}: {}", end.status, end.log)),
                None => server.kill9()?,
            }
            switches.set(Switch::KillAt, 0)?;
        }
        let mut server = ground.start()?;
        let door = Door::Resume(server.key()?);
        let (mut line, _) = Line::log_in(ground.address(), 0, "writer", &door)?;
        // Not so many that a mailbox fills.
        post.send(&mut line, LETTERS, point as usize * 37 % 2_000)?;
        switches.set(Switch::Operations, 0)?;
        switches.set(Switch::KillAt, if point <= at_end { point } else { 0 })?;
        drop(line);
        server.signal(Signal::TERM);
        let end = server.wait(Duration::from_secs(20))?;
        match end.status.code() {
            None => killed_at_end += 1,
            Some(0) => ends += 1,
            Some(code) => return trouble(format!("an end with {code}: {}", end.log)),
        }
        switches.set(Switch::KillAt, 0)?;
    }
    ground.unswitch();
    let found = recover(&ground)?;
    let mut verdict = Verdict::on("4", "projector-killed");
    verdict.note("killed_at_start", killed_at_start);
    verdict.at_least("killed_while_projecting", f64::from(killed_at_end), at_end as f64 / 2.0);
    verdict.note("ended_in_order", ends);
    verdict.note("confirmed", post.confirmed());
    verdict.none("lost", post.lost(&found) as u64);
    if let Some(refusal) = post.refusal {
        verdict.fault(format!("a letter was refused: {refusal}"));
    }
    Ok(verdict)
}
