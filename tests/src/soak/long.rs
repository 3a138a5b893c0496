//! Row 21: mixed load for hours, with a kill every minute.

use std::time::{Duration, Instant};

use super::Field;
use super::crowd::open_files;
use super::ground::{Ground, Process};
use super::people;
use super::talk::{Talk, Terms};
use super::trouble::Outcome;
use super::verdict::{Verdict, percentile, slope};

/// How much of the beginning of each life is not looked at: memory grows to what it needs.
const WARM_UP: Duration = Duration::from_secs(15);

/// Runs the row for so many minutes; in each the server is killed once.
pub(crate) fn run(field: &Field, people: usize, minutes: u32, life: Duration) -> Outcome<Verdict> {
    let ground = Ground::new(&field.program)?;
    people::settle(&ground.data(), people)?;
    let mut server = ground.start()?;
    let terms = Terms {
        people,
        window: 8,
        pause: Duration::from_millis(20),
        long_every: 50,
        long_bytes: 10_000,
        absent: 0,
        is_without_keys: false,
        is_restless: true,
        seed: field.seed,
    };
    let talk = Talk::begin(ground.address(), server.key()?, terms);
    let mut memory = Vec::new();
    let (mut files, mut logs, mut recoveries) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for _ in 0..minutes {
        let born = Instant::now();
        while born.elapsed() < life {
            std::thread::sleep(Duration::from_secs(1));
            if born.elapsed() > WARM_UP.min(life / 2) {
                memory.push((began.elapsed().as_secs_f64() / 3_600.0, memory_mib(&server)));
                // Those who are in have a file each.
                files.push(open_files(&server) as f64 - talk.present() as f64);
                logs.push(log_mib(&ground));
            }
        }
        server.kill9()?;
        server = ground.start()?;
        recoveries.push(born.elapsed().as_secs_f64() * 1e3 - life.as_secs_f64() * 1e3);
    }
    let (counts, faults) = talk.drain(Duration::from_secs(60));
    let mut verdict = Verdict::on("21", "long-soak");
    verdict.note("seed", field.seed);
    verdict.note("minutes", format_args!("{:.1}", began.elapsed().as_secs_f64() / 60.0));
    verdict.note("kills", minutes);
    verdict.note("confirmed", counts.confirmed);
    verdict.none("lost", counts.missing);
    verdict.none("shown_twice", counts.repeated);
    verdict.none("out_of_order", counts.disordered);
    let sizes: Vec<f64> = memory.iter().map(|(_, size)| *size).collect();
    verdict.note("memory_mib", format_args!("{:.0}", percentile(&sizes, 50)));
    // Over less than an hour the slope says little.
    if began.elapsed() > Duration::from_secs(3_600) {
        verdict.at_most("memory_mib_per_hour", slope(&memory), 1.0);
    } else {
        verdict.note("memory_mib_per_hour", format_args!("{:.1}", slope(&memory)));
    }
    verdict.at_most("other_files_max", percentile(&files, 100), 64.0);
    verdict.at_most("wal_max_mib", percentile(&logs, 100), 64.0);
    verdict.note("restart_max_ms", format_args!("{:.0}", percentile(&recoveries, 100)));
    faults.into_iter().for_each(|fault| verdict.fault(fault));
    Ok(verdict)
}

fn memory_mib(server: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn log_mib(ground: &Ground) -> f64 {
    let path = ground.data().join("whoelse.db-wal");
    std::fs::metadata(path).map_or(0.0, |metadata| metadata.len() as f64 / f64::from(1 << 20))
}
