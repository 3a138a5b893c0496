//! Holds the real program to its promises and prints a line for each row of the table.
//!
//! `soak --ci` is the part that every change runs, `soak` the one before a release; names or
//! numbers of rows run only those.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use whoelse_tests::soak::{Field, LONG, Outcome, ROWS, Report, Row, Scale};

/// Holds the real program to its promises.
#[derive(Parser)]
struct Options {
    /// Rows to run, by number or name [default: all]
    rows: Vec<String>,

    /// Only as much as fits into a few minutes
    #[arg(long)]
    ci: bool,

    /// What all choices come from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The program [default: whoelse beside this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,

    /// Writes the table to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Runs another program and takes its lines RELIABILITY into the table
    #[arg(long, value_name = "COMMAND")]
    also: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            tell(&trouble.0);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<bool> {
    let field = Field::new(&options.program(), options.seed)?;
    let scale = if options.ci { Scale::Ci } else { Scale::Soak };
    let mut report = Report::new();
    for command in &options.also {
        report.take_from(command)?.iter().for_each(|line| say(line));
    }
    for row in options.chosen() {
        let began = Instant::now();
        let mut verdict = row.run(&field, scale);
        verdict.note("took_s", format_args!("{:.0}", began.elapsed().as_secs_f64()));
        say(&verdict.line());
        verdict.missed().for_each(|missed| tell(&format!("{}: {missed}", row.name)));
        report.add(row, &verdict);
    }
    if let Some(path) = &options.write {
        let words: Vec<String> = std::env::args().skip(1).collect();
        report.write(path, &format!("soak {}", words.join(" ")), options.seed)?;
    }
    Ok(report.is_held())
}

impl Options {
    fn program(&self) -> PathBuf {
        self.program.clone().unwrap_or_else(|| {
            let own = std::env::current_exe().unwrap_or_default();
            own.parent().unwrap_or(Path::new(".")).join("whoelse")
        })
    }

    fn chosen(&self) -> Vec<&'static Row> {
        let is_named =
            |row: &&Row| self.rows.iter().any(|word| word == row.number || word == row.name);
        let all = ROWS.iter().chain(std::iter::once(&LONG));
        if self.rows.is_empty() {
            all.filter(|row| !self.ci || row.name != LONG.name).collect()
        } else {
            all.filter(is_named).collect()
        }
    }
}

fn say(line: &str) {
    // Without a standard output nobody reads it.
    writeln!(io::stdout().lock(), "{line}").unwrap_or_default();
}

fn tell(text: &str) {
    // Without a standard error nobody waits.
    writeln!(io::stderr().lock(), "soak: {text}").unwrap_or_default();
}
