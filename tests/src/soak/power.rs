//! Row 5: the power goes, at any moment, while the real program works.
//!
//! Everything that the program does to its files and says to clients is recorded once. From that,
//! thousands of disks are made as a power cut could have left them; each is opened, and every letter
//! that had been confirmed or shown must be there. The same with a disk that lies about syncs shows
//! that a loss would be seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::Field;
use super::disk::{Image, Lies, Worked};
use super::ground::{Ground, Process};
use super::inspect::{self, Unusable};
use super::line::{Entry as Door, Line};
use super::people;
use super::said::Said;
use super::talk::{Talk, Terms};
use super::trace::{Entry, Trace};
use super::trouble::{Outcome, While, trouble};
use super::verdict::Verdict;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    /// How many disks are made and opened by the program's own library.
    pub images: usize,
    /// How many of them are also served by the program itself.
    pub served: usize,
    /// How many disks are made by each kind of lie.
    pub controls: usize,
    /// Whether the recording is long enough for the database to be written by time.
    pub is_long: bool,
}

/// People of a recording: so many talk, and so many only get mail.
const TALKERS: usize = 8;
const ABSENT: usize = 3;

/// What a recording began with, and what was done.
struct Recording {
    trace: Trace,
    /// The files that were there: path, number, content.
    before: Vec<(String, u64, Vec<u8>)>,
    ground: Ground,
    /// Sessions with passwords only, so nobody can resume.
    door: fn(&Process) -> Outcome<Door>,
}

/// What became of the images of one kind.
#[derive(Clone, Debug, Default)]
struct Tally {
    images: usize,
    lost: usize,
    refused: usize,
    wrong: usize,
    torn: usize,
    /// Some of what was bad, in words.
    first: Vec<String>,
}

impl Tally {
    fn bad(&self) -> usize {
        self.lost + self.refused + self.wrong
    }
}

/// Images from which a share can be told. Of twenty, chance alone shows less than half once in twenty runs.
const MANY: usize = 50;

impl Cuts {
    /// How many of the images of a disk that lies have to show it, in percent; of few, one.
    fn share_of_lies(&self, percent: f64) -> f64 {
        if self.controls < MANY { 100.0 / self.controls as f64 } else { percent }
    }
}

/// Runs the row.
pub(crate) fn run(field: &Field, extent: Cuts) -> Outcome<Verdict> {
    let mut verdict = Verdict::on("5", "power-cut");
    verdict.note("seed", field.seed);
    let recordings = [record_first_start(field)?, record(field, extent.is_long)?];
    let mut sum = Tally::default();
    let (mut confirmed, mut operations, mut served) = (0, 0, 0);
    for (recording, share) in recordings.iter().zip([5, 1]) {
        let said = Arc::new(Said::of(&recording.trace));
        confirmed += said.confirmed(usize::MAX);
        operations += recording.trace.entries.len();
        let images = if share == 1 { extent.images - extent.images / 5 } else { extent.images / 5 };
        let tally = examine(recording, &said, Lies::No, images, field.seed)?;
        add(&mut sum, tally);
        served += serve(field, recording, &said, extent.served / 2, &mut sum)?;
    }
    // Else the journal's files were never changed while anybody looked.
    let changes = recordings[1].changes_of_segments() as f64;
    verdict.at_least("segments_taken_over", changes, if extent.is_long { 1.0 } else { 0.0 });
    verdict.note("recorded", operations);
    verdict.note("confirmed", confirmed);
    verdict.at_least("images", sum.images as f64, extent.images as f64);
    verdict.note("served", served);
    verdict.none("lost", sum.lost as u64);
    verdict.none("refused", sum.refused as u64);
    verdict.none("wrong", sum.wrong as u64);
    verdict.note("torn", sum.torn);
    sum.first.into_iter().for_each(|first| verdict.fault(first));
    let said = Arc::new(Said::of(&recordings[1].trace));
    for (key, lies) in [("control_files", Lies::Files), ("control_journal", Lies::Journal)] {
        let tally = examine(&recordings[1], &said, lies, extent.controls, field.seed)?;
        let share = 100.0 * tally.bad() as f64 / tally.images as f64;
        verdict.at_least(&format!("{key}_lost_percent"), share, extent.share_of_lies(50.0));
    }
    let said = Arc::new(Said::of(&recordings[0].trace));
    let tally = examine(&recordings[0], &said, Lies::Folders, extent.controls, field.seed)?;
    let share = 100.0 * tally.bad() as f64 / tally.images as f64;
    verdict.at_least("control_folders_lost_percent", share, extent.share_of_lies(25.0));
    Ok(verdict)
}

fn add(sum: &mut Tally, other: Tally) {
    sum.images += other.images;
    sum.lost += other.lost;
    sum.refused += other.refused;
    sum.wrong += other.wrong;
    sum.torn += other.torn;
    let room = 10_usize.saturating_sub(sum.first.len());
    sum.first.extend(other.first.into_iter().take(room));
}

fn terms(seed: u64, people: usize, is_without_keys: bool) -> Terms {
    Terms {
        people,
        window: 8,
        pause: Duration::from_millis(10),
        long_every: 3,
        long_bytes: if is_without_keys { 5_000 } else { 30_000 },
        absent: if is_without_keys { 1 } else { ABSENT },
        is_without_keys,
        is_restless: !is_without_keys,
        seed,
    }
}

/// Records a server's first start, on nothing, with people from a file.
fn record_first_start(field: &Field) -> Outcome<Recording> {
    const PEOPLE: usize = 4; // one of them absent
    let mut ground = Ground::new(&field.program)?.flags(&["--credentials", "people.txt"]);
    let line = |number| format!("{} {}\n", people::name(number), people::PASSWORD);
    let credentials: String = (0..PEOPLE).map(line).collect();
    std::fs::write(ground.path().join("people.txt"), credentials).during("writing people")?;
    let log = ground.path().join("trace");
    ground.switch(&field.shim.switches(ground.path(), Some(&log))?);
    let mut server = ground.start()?;
    let talk = Talk::begin(ground.address(), server.key()?, terms(field.seed, PEOPLE - 1, true));
    talk.wait(Duration::from_secs(10), |talk| talk.counts().confirmed > 100);
    server.kill9()?;
    server = ground.start()?;
    talk.wait(Duration::from_secs(10), |talk| talk.counts().confirmed > 200);
    server.terminate()?;
    let faults = talk.stop();
    ground.unswitch();
    if let Some(fault) = faults.first() {
        return trouble(format!("while recording: {fault}"));
    }
    let trace = Trace::read(&log)?;
    let door: fn(&Process) -> Outcome<Door> = |_| Ok(Door::Password);
    Ok(Recording { trace, before: Vec::new(), ground, door })
}

/// Records a server that knows people already, over several ends of all kinds.
fn record(field: &Field, is_long: bool) -> Outcome<Recording> {
    let mut ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), TALKERS + ABSENT)?;
    // The key is made before, as everybody has to know it.
    ground.start()?.terminate()?;
    let before = files_of(ground.path(), "data")?;
    let log = ground.path().join("trace");
    ground.switch(&field.shim.switches(ground.path(), Some(&log))?);
    let mut server = ground.start()?;
    let talk = Talk::begin(ground.address(), server.key()?, terms(field.seed, TALKERS, false));
    let phases: &[(u64, bool)] = if is_long {
        &[(900, true), (700, false), (7_000, false), (500, true), (400, true)]
    } else {
        &[(400, true), (300, false), (300, true)]
    };
    for (milliseconds, in_order) in phases {
        std::thread::sleep(Duration::from_millis(*milliseconds));
        if *in_order {
            server.terminate()?;
        } else {
            // While it ends in order, so that the database is being written.
            server.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(20));
            server.kill9()?;
        }
        server = ground.start()?;
    }
    std::thread::sleep(Duration::from_millis(200));
    server.kill9()?;
    let faults = talk.stop();
    ground.unswitch();
    if let Some(fault) = faults.first() {
        return trouble(format!("while recording: {fault}"));
    }
    let door: fn(&Process) -> Outcome<Door> = |server| Ok(Door::Resume(server.key()?));
    Ok(Recording { trace: Trace::read(&log)?, before, ground, door })
}

/// All files below a folder: path within it, number and content.
pub(crate) fn files_of(ground: &Path, folder: &str) -> Outcome<Vec<(String, u64, Vec<u8>)>> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(ground.join(folder)).during("listing files")? {
        let entry = entry.during("listing files")?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().during("listing files")?;
        if metadata.is_dir() {
            found.extend(files_of(ground, &path)?);
        } else if metadata.is_file() {
            let content = std::fs::read(entry.path()).during("reading a file")?;
            found.push((path, metadata.ino(), content));
        }
    }
    Ok(found)
}

impl Recording {
    fn disk(&self, lies: Lies) -> Worked<'_> {
        let mut disk = Worked::new(&self.trace, lies);
        for (path, inode, content) in &self.before {
            disk.put(path, *inode, content.clone());
        }
        disk
    }

    /// How often a segment of the journal took over from another: that is where the seals are.
    fn changes_of_segments(&self) -> usize {
        const SEAL_OFFSET: u64 = 4096;
        let mut segments: BTreeSet<u64> = BTreeSet::new();
        let is_segment = |path: &str| path.starts_with("data/journal/");
        segments.extend(self.before.iter().filter(|it| is_segment(&it.0)).map(|it| it.1));
        let mut is_seal = |entry: &&Entry| match entry {
            Entry::Open { file, path, .. } if is_segment(path) => {
                segments.insert(*file);
                false
            }
            Entry::Write { file, offset, .. } => *offset == SEAL_OFFSET && segments.contains(file),
            _ => false,
        };
        self.trace.entries.iter().filter(|entry| is_seal(entry)).count()
    }

    /// Moments at which the power goes, in order: anywhere, and just after what is seldom.
    fn moments(&self, count: usize, from: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
        let entries = &self.trace.entries;
        let is_seldom = |entry: &Entry| {
            let seldom = matches!(entry, Entry::Start | Entry::Fault | Entry::Truncate { .. });
            let names = matches!(entry, Entry::Rename { .. } | Entry::Unlink { .. });
            seldom || names || matches!(entry, Entry::SyncFolder { .. } | Entry::Open { .. })
        };
        let seldom: Vec<usize> =
            (from..entries.len()).filter(|index| is_seldom(&entries[*index])).collect();
        let mut moment = |index: usize| {
            if index.is_multiple_of(3) && !seldom.is_empty() {
                let near = seldom[random.random_range(0..seldom.len())];
                (near + random.random_range(0..12)).min(entries.len())
            } else {
                random.random_range(from..=entries.len())
            }
        };
        let mut moments: Vec<usize> = (0..count).map(&mut moment).collect();
        moments.sort_unstable();
        moments
    }
}

/// An image to be judged.
struct Task {
    moment: usize,
    number: usize,
    image: Image,
}

/// Makes so many images and judges them.
fn examine(
    recording: &Recording,
    said: &Arc<Said>,
    lies: Lies,
    count: usize,
    seed: u64,
) -> Outcome<Tally> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5_0000);
    // A lie about what nobody was told of yet is none.
    let from = if lies == Lies::No { 0 } else { said.first.unwrap_or(0) };
    let moments = recording.moments(count, from, &mut random);
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    let (tasks, inbox) = sync_channel::<Task>(2 * workers);
    let (results, outcomes) = channel();
    let inbox = Arc::new(Mutex::new(inbox));
    let mut threads = Vec::new();
    for _ in 0..workers {
        let (inbox, results, said) = (Arc::clone(&inbox), results.clone(), Arc::clone(said));
        threads.push(std::thread::spawn(move || judge_all(&inbox, &said, &results)));
    }
    drop(results);
    let mut disk = recording.disk(lies);
    let mut done = 0;
    for (number, moment) in moments.into_iter().enumerate() {
        while done < moment {
            disk.work(done);
            done += 1;
        }
        let image = disk.cut(&mut random);
        tasks.send(Task { moment, number, image }).during("the judges have gone")?;
    }
    drop(tasks);
    let mut tally = Tally::default();
    outcomes.into_iter().for_each(|one| add(&mut tally, one));
    for thread in threads {
        thread.join().map_err(|_| "a judge panicked").during("judging")??;
    }
    Ok(tally)
}

fn judge_all(inbox: &Mutex<Receiver<Task>>, said: &Said, results: &Sender<Tally>) -> Outcome<()> {
    let folder = scratch()?;
    loop {
        let task = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return Ok(()) };
        let tally = judge(folder.path(), &task, said)?;
        results.send(tally).during("nobody counts")?;
    }
}

/// A folder in memory if there is one: what is judged has been through a disk already.
pub(crate) fn scratch() -> Outcome<TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.during("making a folder")
}

fn judge(folder: &Path, task: &Task, said: &Said) -> Outcome<Tally> {
    for entry in std::fs::read_dir(folder).during("clearing")? {
        std::fs::remove_file(entry.during("clearing")?.path()).during("clearing")?;
    }
    let mut tally = Tally { images: 1, ..Tally::default() };
    let what = format!("image {} at entry {}", task.number, task.moment);
    match task.image.open(folder) {
        Err(Unusable::Refused(why)) => {
            tally.refused = 1;
            tally.first.push(format!("{what}: refused: {why}"));
        }
        Err(Unusable::Wrong(why)) => {
            tally.wrong = 1;
            tally.first.push(format!("{what}: wrong: {why}"));
        }
        Ok(found) => {
            tally.torn = usize::from(found.is_torn);
            let broken = said.broken(task.moment, &found);
            if let Some(fault) = found.fault {
                tally.wrong = 1;
                tally.first.push(format!("{what}: SQLite says {fault}"));
            }
            if let Some(first) = broken.first() {
                tally.lost = 1;
                tally.first.push(format!("{what}: {} letters lost: {first}", broken.len()));
            }
        }
    }
    Ok(tally)
}

/// Has the program itself serve some images; returns how many.
fn serve(
    field: &Field,
    recording: &Recording,
    said: &Said,
    count: usize,
    tally: &mut Tally,
) -> Outcome<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(field.seed ^ 0x5_0001);
    // Before it was ready for the first time there is nobody to ask.
    let from = said.first.unwrap_or(0) + 1;
    let mut disk = recording.disk(Lies::No);
    let mut done = 0;
    for moment in recording.moments(count, from, &mut random) {
        while done < moment {
            disk.work(done);
            done += 1;
        }
        let image = disk.cut(&mut random);
        tally.images += 1;
        if let Err(why) = serve_one(field, recording, said, moment, &image) {
            tally.wrong += 1;
            tally.first.push(format!("served at entry {moment}: {why}"));
        }
    }
    Ok(count)
}

fn serve_one(
    field: &Field,
    recording: &Recording,
    said: &Said,
    moment: usize,
    image: &Image,
) -> Outcome<()> {
    let folder = scratch()?;
    let data: PathBuf = folder.path().join("data");
    std::fs::create_dir_all(data.join("journal")).during("making an image")?;
    for (path, content) in &image.files {
        std::fs::write(folder.path().join(path), content.as_slice()).during("making an image")?;
    }
    let key = |folder: &Path| std::fs::read(folder.join("data/tls-key.pem")).ok();
    if key(folder.path()).is_none() || key(folder.path()) != key(recording.ground.path()) {
        return trouble("the key of the server is another one");
    }
    let mut ground = Ground::within(&field.program, folder.path())?;
    let people = recording.ground.path().join("people.txt");
    if people.exists() {
        // Not everybody's password was hashed when the power went.
        ground = ground.flags(&["--credentials", &people.to_string_lossy()]);
    }
    let mut server = ground.start()?;
    let door = (recording.door)(&server)?;
    let absent = if recording.before.is_empty() { TALKERS.min(3) } else { TALKERS };
    let (mut reader, answer) = Line::log_in(ground.address(), absent, "reader", &door)?;
    let mut letters = Vec::new();
    while let Some(value) = reader.hear(Duration::from_millis(60))? {
        if value["action"] == "receive_message" {
            letters.push(value);
        }
    }
    send_again(&ground, &door, absent, &letters, &mut reader)?;
    drop(reader);
    let end = server.terminate()?;
    if end.status.code() != Some(0) {
        return trouble(format!("it ended with {}: {}", end.status, end.log));
    }
    let found = match inspect::open(&data) {
        Ok(found) => found,
        Err(why) => return trouble(format!("afterwards: {why:?}")),
    };
    let waiting = inspect::waiting(&found, absent)?;
    let bodies = letters.iter().map(|letter| letter["message"].as_str().unwrap_or_default());
    if !waiting.iter().map(|message| &*message.body).eq(bodies) {
        return trouble(format!(
            "{} letters wait, {} came: {answer}",
            waiting.len(),
            letters.len()
        ));
    }
    let broken = said.broken(moment, &found);
    broken.first().map_or(Ok(()), |first| trouble(format!("{} lost: {first}", broken.len())))
}

/// Sends what the absent reader got once more, under the same ids: nothing may come of it.
fn send_again(
    ground: &Ground,
    door: &Door,
    absent: usize,
    letters: &[serde_json::Value],
    reader: &mut Line,
) -> Outcome<()> {
    let Some(last) = letters.last() else { return Ok(()) };
    let text = last["message"].as_str().unwrap_or_default();
    let sender = last["from"].as_str().and_then(people::number).during("nobody wrote it")?;
    let id = text.split(' ').nth(1).during("a letter without an id")?;
    let (mut line, _) = Line::log_in(ground.address(), sender, "again", door)?;
    let request = json!({"action": "message", "user": people::name(absent), "message": text,
        "id": id});
    let answer = line.ask(&request)?;
    if answer["status"] != "SUCCESS" {
        return trouble(format!("a repetition is answered {answer}"));
    }
    reader.ask(&json!({"action": "active"}))?;
    match reader.hear(Duration::from_millis(20))? {
        Some(value) if value["action"] == "receive_message" => {
            trouble(format!("a repetition came as {value}"))
        }
        _ => Ok(()),
    }
}
