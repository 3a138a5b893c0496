//! Automation of the project: `cargo run -p xtask -- tidy` keeps the house rules, `planted` has the
//! simulator find known bugs.
//!
//! The rules are those that neither the compiler nor the lints can see: which crate may depend on
//! which, that every file says what it is for, that none grows beyond reading, that every
//! dependency has its reason beside it.

mod planted;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Which of our crates each may depend on. A crate that is not named here is a fault.
const MAY_DEPEND_ON: [(&str, &[&str]); 8] = [
    ("whoelse-proto", &[]),
    ("whoelse-engine", &["whoelse-proto"]),
    ("whoelse-server", &["whoelse-engine", "whoelse-proto"]),
    ("whoelse-swarm", &["whoelse-proto"]),
    ("whoelse-peer", &["whoelse-proto", "whoelse-swarm"]),
    ("whoelse-client", &["whoelse-peer", "whoelse-proto"]),
    ("whoelse-term", &["whoelse-client", "whoelse-proto"]),
    ("whoelse", &["whoelse-client", "whoelse-proto", "whoelse-server", "whoelse-term"]),
];

/// Where the client may get hold of the terminal. Everything else prints through the screen, which
/// takes only text that was made harmless.
const MAY_WRITE: [&str; 4] = [
    "whoelse-term/src/ask.rs",      // our own words, before the screen is there
    "whoelse-term/src/lib.rs",      // the one line that says why it ended
    "whoelse-term/src/session.rs",  // gives it to the screen
    "whoelse-term/src/terminal.rs", // its state, and sequences of ours
];

/// Longest source file, in lines.
const LINES_MAX: usize = 800;

/// Longest ARCHITECTURE.md, in lines.
const ARCHITECTURE_LINES_MAX: usize = 300;

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match command.as_deref() {
        Some("tidy") => {}
        Some("planted") => {
            let Err(error) = planted::run(&root, std::env::args().nth(2).as_deref()) else {
                return ExitCode::SUCCESS;
            };
            writeln!(io::stderr(), "planted: {error}").unwrap_or_default();
            return ExitCode::FAILURE;
        }
        _ => {
            writeln!(io::stderr(), "usage: cargo run -p xtask -- tidy | planted [NAME]")
                .unwrap_or_default();
            return ExitCode::from(2);
        }
    }
    let mut faults = Vec::new();
    if let Err(error) = tidy(&root, &mut faults) {
        faults.push(format!("cannot look: {error}"));
    }
    for fault in &faults {
        writeln!(io::stderr(), "tidy: {fault}").unwrap_or_default();
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tidy(root: &Path, faults: &mut Vec<String>) -> io::Result<()> {
    for folder in ["crates", "tests", "bench", "xtask", "fuzz/targets", "fuzz/fuzz_targets"] {
        for path in rust_files(&root.join(folder))? {
            check_source(&path, &fs::read_to_string(&path)?, faults);
        }
    }
    for entry in fs::read_dir(root.join("crates"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(path.join("Cargo.toml"))?;
        check_directions(&name, &manifest, faults);
    }
    for (manifest, header) in
        [("Cargo.toml", "[workspace.dependencies]"), ("fuzz/Cargo.toml", "[dependencies]")]
    {
        check_reasons(manifest, header, &fs::read_to_string(root.join(manifest))?, faults);
    }
    let lines = fs::read_to_string(root.join("ARCHITECTURE.md"))?.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        faults.push(format!("ARCHITECTURE.md has {lines} lines"));
    }
    Ok(())
}

fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_source(path: &Path, text: &str, faults: &mut Vec<String>) {
    let shown = path.display();
    if !text.starts_with("//! ") {
        faults.push(format!("{shown}: does not open with what it is for"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{shown}: {lines} lines are more than one reads"));
    }
    check_output(&shown.to_string(), text, faults);
    // Put together here so that this file does not find itself.
    for word in [concat!("#[ig", "nore"), concat!("todo", "!("), concat!("unimple", "mented!(")] {
        if text.contains(word) {
            faults.push(format!("{shown}: holds {word}"));
        }
    }
}

/// In the client, nobody gets at the terminal but those who are named.
fn check_output(path: &str, text: &str, faults: &mut Vec<String>) {
    let is_client = ["whoelse-term/src/", "whoelse-client/src/"].iter().any(|it| path.contains(it));
    if !is_client || MAY_WRITE.iter().any(|it| path.ends_with(it)) {
        return;
    }
    for word in ["stdout(", "stderr(", "/dev/tty", "/dev/stdout", "print!(", "println!("] {
        if text.contains(word) {
            faults.push(format!("{path}: holds {word}...), and may not write by itself"));
        }
    }
}

fn check_directions(name: &str, manifest: &str, faults: &mut Vec<String>) {
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(known, _)| *known == name) else {
        faults.push(format!("{name}: xtask does not know what it may depend on"));
        return;
    };
    for dependency in section(manifest, "[dependencies]").filter(|it| it.starts_with("whoelse")) {
        let dependency = dependency.split(['.', ' ', '=']).next().unwrap_or_default();
        if !allowed.contains(&dependency) {
            faults.push(format!("{name} must not depend on {dependency}"));
        }
    }
}

fn check_reasons(name: &str, header: &str, manifest: &str, faults: &mut Vec<String>) {
    for line in section(manifest, header) {
        if !line.starts_with('#') && !line.contains("path =") && !line.contains("# ") {
            faults.push(format!("{name} gives no reason for: {line}"));
        }
    }
}

/// The lines of one section of a manifest that are not empty.
fn section<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().skip_while(move |line| *line != header).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_kept() {
        let mut faults = Vec::new();
        check_directions("whoelse-proto", "[dependencies]\nserde = \"1\"\n", &mut faults);
        assert!(faults.is_empty());
        let manifest = "[dependencies]\nwhoelse-server.workspace = true\n[dev-dependencies]\n";
        check_directions("whoelse-engine", manifest, &mut faults);
        check_directions("whoelse-new", "", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn files_say_what_they_are_for() {
        let mut faults = Vec::new();
        check_source(Path::new("good.rs"), "//! Good.\n", &mut faults);
        assert!(faults.is_empty());
        check_source(Path::new("bad.rs"), "use std::io;\n", &mut faults);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn only_a_few_write_to_the_terminal() {
        let faults = |path: &str, text: &str| {
            let mut faults = Vec::new();
            check_output(path, text, &mut faults);
            faults.len()
        };
        let writes = "io::stdout().write_all(b\"x\")";
        assert_eq!(faults("crates/whoelse-term/src/render.rs", writes), 1);
        assert_eq!(faults("crates/whoelse-client/src/core.rs", "println!()"), 1);
        assert_eq!(faults("crates/whoelse-term/src/ask.rs", writes), 0);
        assert_eq!(faults("crates/whoelse/src/user.rs", writes), 0);
    }

    #[test]
    fn dependencies_have_reasons() {
        let mut faults = Vec::new();
        let manifest =
            "[workspace.dependencies]\na = \"1\" # why\nb = \"1\"\nc = { path = \"c\" }\n";
        check_reasons("Cargo.toml", "[workspace.dependencies]", manifest, &mut faults);
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
