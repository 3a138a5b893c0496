//! The results file: a table of rows with their figures beside the targets, and what they mean.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::trouble::{Outcome, While, trouble};
use super::{Row, Verdict};

/// Rows of the table, as they come.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<String>,
    notes: Vec<String>,
    is_held: bool,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { is_held: true, ..Self::default() }
    }

    /// Whether all targets were held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Adds what a row found.
    pub fn add(&mut self, row: &Row, verdict: &Verdict) {
        self.is_held &= verdict.is_held();
        self.rows.push(verdict.table_row());
        self.notes.push(format!("- {}, {}: {}", row.number, row.name, row.what));
    }

    /// Runs another program and takes over the lines `RELIABILITY …` that it prints; returns them.
    ///
    /// # Errors
    /// When it cannot be run or prints none.
    pub fn take_from(&mut self, command: &str) -> Outcome<Vec<String>> {
        let output = Command::new("/bin/sh").arg("-c").arg(command).output().during(command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("RELIABILITY "))
            .map(str::to_owned)
            .collect();
        if lines.is_empty() {
            return trouble(format!("{command}: prints no line RELIABILITY ({})", output.status));
        }
        self.is_held &= output.status.success();
        for line in &lines {
            self.is_held &= !line.ends_with("result=fail");
            self.rows.push(row_of(line));
            self.notes.push(format!("- `{command}`"));
        }
        self.notes.dedup();
        Ok(lines)
    }

    /// The file.
    #[must_use]
    pub fn text(&self, command: &str, seed: u64) -> String {
        let mut text = String::from(
            "# What was measured\n\n\
             The promises are in `docs/PROTOCOL.md`; this is what they were held against, on the real \
             program. The file is written by the command that runs the rows.\n\n",
        );
        let result = if self.is_held { "all targets held" } else { "**targets missed**" };
        writeln!(text, "- commit: {}\n- command: `{command}`\n- seed: {seed}", commit())
            .expect("a string takes everything");
        writeln!(text, "- result: {result}\n").expect("a string takes everything");
        text += "| row | what | figures | targets | result |\n|---|---|---|---|---|\n";
        for row in &self.rows {
            text += row;
            text.push('\n');
        }
        text += "\n## What each row does\n\n";
        for note in &self.notes {
            text += note;
            text.push('\n');
        }
        text += MODEL;
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, command: &str, seed: u64) -> Outcome<()> {
        std::fs::write(path, self.text(command, seed)).during("writing the results")
    }
}

const MODEL: &str = "
## What is not in the model

Power cuts: what was written before the last sync of a file is there, and a sector of 512 bytes is written whole or not at
all; writes do not go astray. Names of files are as durable as the last sync of their folder. The journal's folder itself is
made by a system call that the recorder does not see, and is taken for durable. `kill -9` leaves the system's cache alone:
only the power cuts show that syncs are made. `unused_space` counts damage that only SQLite's `integrity_check` sees; nothing
that is served is touched by it.
";

/// A row of the table from the line of another program.
fn row_of(line: &str) -> String {
    let (mut row, mut name, mut result, mut figures) = ("", "", "", Vec::new());
    for (key, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
        match key {
            "row" => row = value,
            "name" => name = value,
            "result" => result = value,
            _ => figures.push(format!("{key} {value}")),
        }
    }
    format!("| {row} | {name} | {} | | {result} |", figures.join(", "))
}

fn commit() -> String {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{commit}, with changes"),
        _ => commit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::ROWS;

    #[test]
    fn the_file_has_a_row_for_each_verdict_and_each_foreign_line() {
        let mut report = Report::new();
        let mut verdict = Verdict::on("4", "kill-9");
        verdict.none("lost", 0);
        report.add(&ROWS[0], &verdict);
        let line = "RELIABILITY row=1 name=sim seeds=9 result=pass";
        assert_eq!(report.take_from(&format!("echo {line}")).unwrap(), [line]);
        assert!(report.is_held());
        let text = report.text("soak --ci", 7);
        assert!(text.contains("| 4 | kill 9 | lost 0 | lost = 0 | pass |\n"), "{text}");
        assert!(text.contains("| 1 | sim | seeds 9 | | pass |\n"), "{text}");
        assert!(text.contains("seed: 7"), "{text}");
        assert!(report.take_from("echo nothing").is_err());
        report.take_from("echo RELIABILITY row=1 result=fail").unwrap();
        assert!(!report.is_held());
    }
}
