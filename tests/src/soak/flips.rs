//! Row 6: data are damaged at rest: a bit, a sector, or the rest of a file.
//!
//! Either everything is as it was, or the data are refused, or what is missing is the end of the
//! last write, and that is reported: such damage cannot be told from a write that the power cut.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use whoelse_engine::{Message, Record};

use super::Field;
use super::disk::Image;
use super::ground::Ground;
use super::inspect::{self, Found, Unusable};
use super::line::{Entry as Door, Line};
use super::people;
use super::post::Post;
use super::power::{files_of, scratch};
use super::trouble::{Outcome, While, trouble};
use super::verdict::Verdict;

/// More records than a last write ever holds here.
const LAST_WRITE_MAX: usize = 16;

/// What was found.
#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    refused: u64,
    dropped: u64,
    harmless: u64,
    latent: u64,
    wrong: u64,
    served: u64,
    faults: Vec<String>,
}

/// Data at rest.
pub(crate) struct Rest {
    what: &'static str,
    pub(crate) image: Image,
    pub(crate) found: Found,
    /// The files that hold something, and where the last of it ends.
    ends: Vec<(String, usize)>,
}

/// Runs the row: so many damages in all, so many of them shown to the program itself.
pub(crate) fn run(field: &Field, flips: usize, served: usize) -> Outcome<Verdict> {
    let mut random = ChaCha8Rng::seed_from_u64(field.seed ^ 0x6_0000);
    let rests = [closed(field)?, killed(field, false)?, killed(field, true)?];
    let mut tally = Tally::default();
    for number in 0..flips {
        let rest = &rests[number % rests.len()];
        let (image, what) = damage(rest, &mut random);
        let what = format!("{}, {what}", rest.what);
        judge(rest, &image, &what, &mut tally)?;
        if number < served {
            serve(field, rest, &image, &what, &mut tally)?;
        }
    }
    let mut verdict = Verdict::on("6", "damaged-data");
    verdict.note("seed", field.seed);
    verdict.at_least("damages", tally.flips as f64, flips as f64);
    verdict.note("refused", tally.refused);
    verdict.note("last_write_dropped", tally.dropped);
    verdict.note("harmless", tally.harmless);
    verdict.note("unused_space", tally.latent);
    verdict.note("served", tally.served);
    verdict.none("silently_wrong", tally.wrong);
    tally.faults.into_iter().take(10).for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

/// A server that ended in order: everything is in the database.
fn closed(field: &Field) -> Outcome<Rest> {
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), 6)?;
    let mut server = ground.start()?;
    write(&ground, &mut Post::new(0, &[1, 2, 3, 4, 5]), 60)?;
    server.terminate()?;
    rest("closed", &ground)
}

/// A server that was killed while it wrote, in the database too if so wished.
pub(crate) fn killed(field: &Field, is_projecting: bool) -> Outcome<Rest> {
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), 6)?;
    let mut post = Post::new(0, &[1, 2, 3, 4, 5]);
    let mut server = ground.start()?;
    write(&ground, &mut post, 60)?;
    server.terminate()?;
    server = ground.start()?;
    write(&ground, &mut post, 60)?;
    if is_projecting {
        let log = ground.data().join("whoelse.db-wal");
        let bytes = || std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let before = bytes();
        server.signal(Signal::TERM);
        while server.is_alive() && bytes() <= before {}
    }
    server.kill9()?;
    rest(if is_projecting { "projecting" } else { "killed" }, &ground)
}

fn write(ground: &Ground, post: &mut Post, batches: usize) -> Outcome<()> {
    let (mut line, _) = Line::log_in(ground.address(), 0, "writer", &Door::Password)?;
    for batch in 0..batches {
        post.send(&mut line, 1 + batch % 4, batch * 61 % 3_000)?;
    }
    Ok(())
}

fn rest(what: &'static str, ground: &Ground) -> Outcome<Rest> {
    let files = files_of(ground.path(), "data")?;
    let files = files.into_iter().map(|(path, _, content)| (path, Arc::new(content)));
    let image = Image { files: files.collect() };
    let found = open(&image).map_err(|why| format!("{why:?}")).during("the undamaged data")?;
    let is_data = |path: &&String| path.contains("whoelse.db") || path.contains("journal/");
    let end = |path: &String| {
        let last = image.files[path].iter().rposition(|byte| *byte != 0)?;
        Some((path.clone(), last + 1))
    };
    let ends = image.files.keys().filter(is_data).filter_map(end).collect();
    Ok(Rest { what, image, found, ends })
}

fn open(image: &Image) -> Result<Found, Unusable> {
    image.open(scratch()?.path())
}

/// Damages something that is in use: of a segment, mostly what was written.
fn damage(rest: &Rest, random: &mut ChaCha8Rng) -> (Image, String) {
    let (path, end) = &rest.ends[random.random_range(0..rest.ends.len())];
    let mut content = rest.image.files[path].to_vec();
    let at = random.random_range(0..*end);
    let what = match random.random_range(0..10) {
        0..6 => {
            content[at] ^= 1 << random.random_range(0..8);
            "a bit"
        }
        6..8 => {
            let sector = at / 512 * 512;
            let length = content.len().min(sector + 512);
            let filling = if random.random() { 0 } else { random.random() };
            content[sector..length].fill(filling);
            "a sector"
        }
        _ => {
            content.truncate(at);
            "the rest"
        }
    };
    let mut image = rest.image.clone();
    image.files.insert(path.clone(), Arc::new(content));
    (image, format!("{what} of {path} at {at}"))
}

fn judge(rest: &Rest, image: &Image, what: &str, tally: &mut Tally) -> Outcome<()> {
    tally.flips += 1;
    match open(image) {
        Err(Unusable::Refused(_)) => tally.refused += 1,
        Err(Unusable::Wrong(why)) => {
            tally.wrong += 1;
            tally.faults.push(format!("{what}: {why}"));
        }
        Ok(found) => match compare(&rest.found, &found) {
            // The program does not look at everything there is when it starts.
            Likeness::Same if found.fault.is_some() => tally.latent += 1,
            Likeness::Same => tally.harmless += 1,
            Likeness::EndMissing => tally.dropped += 1,
            Likeness::Other(why) => {
                tally.wrong += 1;
                tally.faults.push(format!("{what}: {why}"));
            }
        },
    }
    Ok(())
}

enum Likeness {
    Same,
    EndMissing,
    Other(String),
}

/// The database of the one may hold what the journal of the other does: so sums are compared.
fn compare(before: &Found, after: &Found) -> Likeness {
    let same_mail = before.mail == after.mail && before.acknowledged == after.acknowledged;
    let same_start = before.snapshot == after.snapshot;
    if same_mail && same_start && before.replay == after.replay {
        return Likeness::Same;
    }
    if !same_start {
        // An older state of the database is as good, if the journal still has what came after.
        let known = |found: &Found| -> BTreeMap<_, Arc<Message>> { found.mail.clone() };
        let is_older = after.replay.len() > before.replay.len()
            && after.replay.ends_with(&before.replay)
            && known(before) == known(after);
        return if is_older { Likeness::Same } else { Likeness::Other("another state".into()) };
    }
    let is_end = before.replay.starts_with(&after.replay)
        && before.replay.len() - after.replay.len() <= LAST_WRITE_MAX;
    if is_end && after.is_torn {
        return Likeness::EndMissing;
    }
    let missing = before.replay.len().abs_diff(after.replay.len());
    let is_message = |record: &&Record| matches!(record, Record::Message(_));
    let messages = |found: &Found| found.replay.iter().filter(is_message).count();
    Likeness::Other(format!(
        "{missing} records differ, {} messages instead of {}, torn: {}",
        messages(after),
        messages(before),
        after.is_torn
    ))
}

/// Shows damaged data to the program: it refuses them, or gives every reader what it had.
fn serve(field: &Field, rest: &Rest, image: &Image, what: &str, tally: &mut Tally) -> Outcome<()> {
    tally.served += 1;
    let folder = scratch()?;
    written(image, folder.path())?;
    let ground = Ground::within(&field.program, folder.path())?;
    let mut server = ground.launch()?;
    if let Some(end) = server.ready_or_end()? {
        if end.status.code() != Some(74) || end.log.is_empty() {
            tally.wrong += 1;
            tally.faults.push(format!("{what}: it ended with {}: {}", end.status, end.log));
        }
        return Ok(());
    }
    let is_reported = server.said().contains("unfinished last write");
    for reader in 1..=5 {
        let expected = inspect::waiting(&rest.found, reader)?;
        let Ok(heard) = read(&ground, reader, expected.len()) else {
            // It has refused after all, when it came upon the damage.
            let end = server.wait(Duration::from_secs(20))?;
            if end.status.code() != Some(74) {
                return trouble(format!("{what}: it ended with {}: {}", end.status, end.log));
            }
            return Ok(());
        };
        let is_whole = heard.len() == expected.len() || is_reported;
        let is_same = expected.iter().zip(&heard).all(|(one, other)| *one.body == **other);
        if !is_whole || !is_same {
            tally.wrong += 1;
            let counts = format!("{} of {} letters", heard.len(), expected.len());
            tally.faults.push(format!("{what}: reader {reader} got {counts}"));
        }
    }
    Ok(())
}

/// Writes all files of a data folder.
pub(crate) fn written(image: &Image, folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder.join("data/journal")).during("making an image")?;
    for (path, content) in &image.files {
        std::fs::write(folder.join(path), content.as_slice()).during("making an image")?;
    }
    Ok(())
}

/// Somebody comes and reads so many letters, or as many as there are.
pub(crate) fn read(ground: &Ground, reader: usize, count: usize) -> Outcome<Vec<String>> {
    let (mut line, _) = Line::log_in(ground.address(), reader, "reader", &Door::Password)?;
    let mut heard = Vec::new();
    while heard.len() < count {
        let Some(value) = line.hear(Duration::from_millis(500))? else { break };
        if value["action"] == "receive_message" {
            heard.push(value["message"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(heard)
}
