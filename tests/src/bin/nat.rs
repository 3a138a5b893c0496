//! Private links through routers: `nat [NAME]...` runs rows in network namespaces and prints a line each.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use whoelse_tests::nat::{self, ROWS, Router, Town};

/// Makes private links through routers of several kinds. Needs an administrator's rights.
#[derive(Parser)]
struct Options {
    /// Rows to run [default: all]
    rows: Vec<String>,

    /// Only says whether there can be routers here: exit code 0 or 1
    #[arg(long, conflicts_with = "rows")]
    probe: bool,

    /// The program [default: whoelse beside this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.probe {
        return probe();
    }
    let program = options.program.clone().unwrap_or_else(|| {
        let own = std::env::current_exe().unwrap_or_default();
        own.parent().unwrap_or(Path::new(".")).join("whoelse")
    });
    let is_wanted =
        |name: &str| options.rows.is_empty() || options.rows.iter().any(|it| it == name);
    let (mut passed, mut failed) = (0, 0);
    for row in ROWS.iter().filter(|row| is_wanted(row.name)) {
        let began = Instant::now();
        let outcome = nat::run(row, &program);
        let took_s = began.elapsed().as_secs_f64();
        match outcome {
            Ok(figures) => {
                let figures = figures.iter().map(|(key, value)| format!(" {key}={value}"));
                let figures: String = figures.collect();
                say(&format!("NAT row={}{figures} took_s={took_s:.1} result=pass", row.name));
                passed += 1;
            }
            Err(trouble) => {
                say(&format!("NAT row={} took_s={took_s:.1} result=fail", row.name));
                say(&format!("  {trouble}"));
                failed += 1;
            }
        }
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn probe() -> ExitCode {
    match Town::build(Router::Ordinary, Router::Symmetric) {
        Ok(_) => ExitCode::SUCCESS,
        Err(trouble) => {
            say(&format!("no routers here: {trouble}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Without a standard output nobody reads it.
    writeln!(std::io::stdout().lock(), "{line}").unwrap_or_default();
}
