//! Measures people who do nothing: memory per connection, and CPU while nothing happens.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::measure::{log_everybody_in, note};
use crate::server::{Paths, Program, Server};

/// How long importing may take for each person: several times what a hash takes.
const IMPORT_PATIENCE_PER_PERSON: Duration = Duration::from_millis(100);

/// What was found about one program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleFindings {
    /// The program.
    pub(crate) program: Program,
    /// What the server spent while nothing happened.
    pub(crate) cpu: Duration,
    /// Its resident memory when nobody was connected.
    pub(crate) empty_bytes: u64,
    /// Its resident memory with everybody logged in and at rest.
    pub(crate) full_bytes: u64,
}

/// Logs `people` people in and watches the server do nothing for `duration`.
pub(crate) fn measure_idle(
    program: Program,
    people: usize,
    duration: Duration,
    paths: &Paths,
    notes: &mut impl Write,
) -> Result<IdleFindings, Failure> {
    let mut server = Server::start(program, people, paths)?;
    if program == Program::Whoelse {
        note(notes, &format!("whoelse: importing {people} people"))?;
    }
    // Hashing leaves memory behind that no connection is to be charged with. Whether it has ended
    // in time is left to the logins, which wait for it.
    let people_u32 = u32::try_from(people).unwrap_or(u32::MAX);
    let patience = IMPORT_PATIENCE_PER_PERSON * people_u32 + Duration::from_secs(10);
    server
        .wait_until_at_rest(patience, |left| {
            thread::sleep(left);
            Ok(())
        })
        .map_err(|failure| server.blame(&failure))?;
    let empty_bytes = server.resident_bytes()?;

    let mut crowd = log_everybody_in(&mut server, program, people, notes)?;
    let full_bytes = server.resident_bytes()?;
    let before = server.fine_cpu()?;
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        crowd.pump(left, |_, _| {}).map_err(|failure| server.blame(&failure))?;
    }
    let cpu = server.fine_cpu()?.saturating_sub(before);
    Ok(IdleFindings { program, cpu, empty_bytes, full_bytes })
}
