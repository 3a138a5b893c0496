//! Row 9, too: what lasts 20 or 30 seconds lasts that long on the real program, to the second. Its
//! clock is put ahead, so that nobody waits.

use std::time::Duration;

use serde_json::{Value, json};

use super::Field;
use super::ground::Ground;
use super::line::{Entry, Line};
use super::people;
use super::shim::{Switch, Switches};
use super::trouble::{Outcome, trouble};
use super::verdict::Verdict;

const SECOND_NS: i64 = 1_000_000_000;

/// How long something is waited for that is not to come, and for what is.
const QUIET: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

/// How often somebody tries to come back whose broken line the server may not have seen yet.
const TRIES_MAX: usize = 1_000;

/// Who writes and looks on, and who is written to and goes away.
const WRITER: usize = 0;
const READER: usize = 1;

/// A server, its clock, and somebody who looks on.
struct Scene {
    ground: Ground,
    switches: Switches,
    ahead_s: i64,
    writer: Line,
}

/// Runs the row.
pub(crate) fn run(field: &Field) -> Outcome<Verdict> {
    let mut verdict = Verdict::on("9", "pauses");
    let mut ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), 2)?;
    let switches = field.shim.switches(ground.path(), None)?;
    ground.switch(&switches);
    let mut server = ground.start()?;
    let (writer, _) =
        Line::log_in(ground.address(), WRITER, "writer", &Entry::Resume(server.key()?))?;
    let mut scene = Scene { ground, switches, ahead_s: 0, writer };
    let mut faults = Vec::new();
    scene.silence(&mut faults)?;
    scene.absence(&Entry::Resume(server.key()?), &mut faults)?;
    verdict.none("wrong", faults.len() as u64);
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    let end = server.terminate()?;
    verdict.none("bad_ends", u64::from(end.status.code() != Some(0)));
    Ok(verdict)
}

impl Scene {
    /// A reader that cannot acknowledge has what it was sent 30 seconds ago.
    fn silence(&mut self, faults: &mut Vec<String>) -> Outcome<()> {
        let request = json!({"action": "message", "user": people::name(READER), "message": "hello",
            "id": "1"});
        self.writer.ask(&request)?;
        for (seconds, comes_again) in [(10, true), (31, false)] {
            let mut reader = self.read_plainly()?;
            if hear(&mut reader, "receive_message", PATIENCE)?.is_none() {
                faults.push(format!("nothing came before the pause of {seconds} s"));
            }
            self.pass(seconds)?;
            reader.reset();
            let mut reader = self.read_plainly()?;
            let patience = if comes_again { PATIENCE } else { QUIET };
            let came = hear(&mut reader, "receive_message", patience)?.is_some();
            if came != comes_again {
                faults.push(format!("after {seconds} s it came again: {came}"));
            }
            reader.reset();
        }
        Ok(())
    }

    /// Somebody whose line broke has left 20 seconds later.
    fn absence(&mut self, entry: &Entry, faults: &mut Vec<String>) -> Outcome<()> {
        let (reader, _) = Line::log_in(self.ground.address(), READER, "reader", entry)?;
        reader.reset();
        while hear(&mut self.writer, "logout_broadcast", QUIET)?.is_some() {}
        for seconds in [4, 15] {
            self.pass(seconds)?;
            if hear(&mut self.writer, "logout_broadcast", QUIET)?.is_some() {
                faults.push(format!("it has left within 19 s, {seconds} s after a look"));
            }
        }
        // On a busy machine the server learns late that the line is broken.
        self.pass(6)?;
        if hear(&mut self.writer, "logout_broadcast", PATIENCE)?.is_none() {
            faults.push("it has not left after 25 s".to_owned());
        }
        Ok(())
    }

    /// Logs the reader in without our protocol, once its last line is known to be broken.
    fn read_plainly(&self) -> Outcome<Line> {
        let name = people::name(READER);
        let request = json!({"action": "login", "username": name, "password": people::PASSWORD});
        for _ in 0..TRIES_MAX {
            let mut line = Line::connect(self.ground.address())?;
            if line.ask(&request)?["status"] == "SUCCESS" {
                return Ok(line);
            }
        }
        trouble("the reader is not let in again")
    }

    /// Puts the clock ahead, and has the server look at it, once it has noted when it did what has
    /// been seen of it.
    fn pass(&mut self, seconds: i64) -> Outcome<()> {
        self.writer.ask(&json!({"action": "active"}))?;
        self.ahead_s += seconds;
        self.switches.set(Switch::MonotonicNs, self.ahead_s * SECOND_NS)?;
        self.writer.ask(&json!({"action": "active"})).map(drop)
    }
}

/// Waits for something of this kind; what else is said meanwhile is passed over.
fn hear(line: &mut Line, action: &str, patience: Duration) -> Outcome<Option<Value>> {
    while let Some(value) = line.hear(patience)? {
        if value["action"] == action {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
