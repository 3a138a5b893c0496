//! Proof on the real program: it is killed, cut off from power, disk and network, and everything
//! it has confirmed must be there afterwards, once and in order.
//!
//! Each row of the table in `docs/reliability-results.md` prints one line. Nothing here panics:
//! what goes wrong is a sentence, and the other rows go on.
//!
//! Reading order: `ground` (a server), `people`, `line` and `talk` (those who use it), `kill`;
//! then `shim`, `trace`, `disk`, `inspect` and `power`; the other rows are made of these parts.

mod clock;
mod crowd;
mod deleted;
mod disk;
mod faults;
mod flips;
mod ground;
mod inspect;
mod kill;
mod line;
mod long;
mod network;
mod pauses;
mod people;
mod post;
mod power;
mod projector;
mod reads;
mod report;
mod said;
mod scripts;
mod shim;
mod talk;
mod trace;
mod trouble;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

pub use kill::Kills;
pub use power::Cuts;
pub use report::Report;
use shim::Shim;
use trouble::While;
pub use trouble::{Outcome, Trouble};
pub use verdict::Verdict;

/// What every row needs.
#[derive(Debug)]
pub struct Field {
    program: PathBuf,
    seed: u64,
    shim: Shim,
    _folder: TempDir,
}

/// How much of everything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A few seconds in all, also of a program that was not optimised: part of `cargo test`.
    Quick,
    /// A few minutes in all: part of every change.
    Ci,
    /// Hours: before a release.
    Soak,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number in the table, and its name.
    pub number: &'static str,
    /// What it is called on the command line and in its line.
    pub name: &'static str,
    /// What is done, in a sentence.
    pub what: &'static str,
    run: fn(&Field, Scale) -> Outcome<Verdict>,
}

/// All rows that are run here.
pub const ROWS: [Row; 13] = [
    Row {
        number: "4",
        name: "kill-9",
        what: "Many people write to each other and come back by key or password; the server is killed \
               20 to 500 ms after it is ready, also while it starts and while it ends. Two real clients \
               are among them.",
        run: |field, scale| {
            kill::run(
                field,
                match scale {
                    Scale::Quick => Kills { people: 6, cycles: 4, confirmed_min: 100.0 },
                    Scale::Ci => Kills { people: 50, cycles: 50, confirmed_min: 50_000.0 },
                    Scale::Soak => Kills { people: 50, cycles: 1_000, confirmed_min: 2e6 },
                },
            )
        },
    },
    Row {
        number: "4",
        name: "projector-killed",
        what: "The process is killed at each of the first operations on the database, while it starts \
               and while everything pending is projected.",
        run: |field, scale| match scale {
            Scale::Quick => projector::run(field, 2, 8),
            Scale::Ci => projector::run(field, 4, 40),
            Scale::Soak => projector::run(field, 4, 90),
        },
    },
    Row {
        number: "5",
        name: "power-cut",
        what: "Everything the program does to its files is recorded, a first start included; disks are made \
               as a power cut could have left them, and opened. Controls: a disk that lies about syncs.",
        run: |field, scale| {
            power::run(
                field,
                match scale {
                    Scale::Quick => Cuts { images: 40, served: 2, controls: 20, is_long: false },
                    Scale::Ci => Cuts { images: 5_000, served: 30, controls: 150, is_long: true },
                    Scale::Soak => {
                        Cuts { images: 100_000, served: 300, controls: 1_000, is_long: true }
                    }
                },
            )
        },
    },
    Row {
        number: "6",
        name: "damaged-data",
        what: "A bit, a sector or the rest of a file is damaged at rest: of the database, its log, the \
               journal.",
        run: |field, scale| match scale {
            Scale::Quick => flips::run(field, 30, 2),
            Scale::Ci => flips::run(field, 300, 15),
            Scale::Soak => flips::run(field, 10_000, 300),
        },
    },
    Row {
        number: "7",
        name: "failing-disk",
        what: "An operation on the data fails once with EIO, or it and all after it with ENOSPC or EROFS, from \
               the first start on.",
        run: |field, scale| match scale {
            Scale::Quick => faults::run(field, 33..=39, false),
            Scale::Ci => faults::run(field, 1..=200, false),
            Scale::Soak => faults::run(field, 1..=300, true),
        },
    },
    Row {
        number: "7",
        name: "failing-reads",
        what: "A read of the data fails with EIO, once or with all after it: while the server starts on what a \
               kill left, and while people read their mail.",
        run: |field, scale| match scale {
            Scale::Quick => reads::run(field, 12),
            Scale::Ci => reads::run(field, 60),
            Scale::Soak => reads::run(field, 1_000),
        },
    },
    Row {
        number: "7",
        name: "full-disk",
        what: "A small disk is filled, with and without a floor of free space; a backup would fill it.",
        run: |field, _| faults::run_full(field),
    },
    Row {
        number: "8",
        name: "no-free-files",
        what: "A thousand connect while the server may open no more files.",
        run: |field, _| crowd::descriptors(field),
    },
    Row {
        number: "9",
        name: "clocks",
        what: "Clocks jump back and ahead or stand still, while the server runs or not.",
        run: |field, scale| match scale {
            Scale::Quick => clock::run(field, 3),
            Scale::Ci => clock::run(field, 20),
            Scale::Soak => clock::run(field, 200),
        },
    },
    Row {
        number: "9",
        name: "pauses",
        what: "Silence and absence last as long as promised, on a clock that is put ahead.",
        run: |field, _| pauses::run(field),
    },
    Row {
        number: "10",
        name: "told-to-end",
        what: "SIGTERM among a thousand clients who write; a second one while somebody does not read.",
        run: |field, scale| match scale {
            Scale::Quick => crowd::drain(field, 50, 1),
            Scale::Ci => crowd::drain(field, 1_000, 5),
            Scale::Soak => crowd::drain(field, 1_000, 100),
        },
    },
    Row {
        number: "11",
        name: "network",
        what: "Lines through a proxy that delays, trickles, stalls, cuts at any byte and is parted for a \
               second of five.",
        run: |field, scale| match scale {
            Scale::Quick => network::run(field, 4, 2),
            Scale::Ci => network::run(field, 30, 20),
            Scale::Soak => network::run(field, 30, 600),
        },
    },
    Row {
        number: "22",
        name: "deleted-mail",
        what: "How long a text that was acknowledged or deleted with its reader stays in any file of the data \
               folder. The server's clock runs faster than ours.",
        run: |field, scale| deleted::run(field, if scale == Scale::Quick { 2 } else { 4 }),
    },
];

/// The row that only the soak has.
pub const LONG: Row = Row {
    number: "21",
    name: "long-soak",
    what: "Mixed load of 200 people, with a kill every minute.",
    run: |field, scale| match scale {
        Scale::Quick => long::run(field, 10, 2, Duration::from_secs(2)),
        Scale::Ci => long::run(field, 50, 3, Duration::from_secs(10)),
        Scale::Soak => long::run(field, 200, 120, Duration::from_secs(60)),
    },
};

impl Row {
    /// Runs it; what keeps it from being run is a failure.
    #[must_use]
    pub fn run(&self, field: &Field, scale: Scale) -> Verdict {
        (self.run)(field, scale).unwrap_or_else(|trouble| {
            let mut verdict = Verdict::on(self.number, self.name);
            verdict.fault(trouble.0);
            verdict
        })
    }
}

impl Field {
    /// Prepares to run rows against this program.
    ///
    /// # Errors
    /// When there is no such program, or no C compiler.
    pub fn new(program: &Path, seed: u64) -> Outcome<Self> {
        let program = program.canonicalize().during(format!("finding {}", program.display()))?;
        let folder = tempfile::tempdir().during("making a folder")?;
        let shim = Shim::build(folder.path())?;
        Ok(Self { program, seed, shim, _folder: folder })
    }
}
