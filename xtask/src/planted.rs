//! Plants known bugs in a copy of the tree and has the simulator find each of them.
//!
//! A bug is a file in `tests/planted`: why, in which file, what stands there, and what is put in its
//! place, where `PLANTED` is true if this is the bug that is wanted. All are built into one program;
//! the environment says which is on. See `docs/decisions/0010-planted-bugs.md`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the tree is copied.
const COPIED: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "crates", "tests", "bench", "xtask", "fuzz/targets"];

/// Seeds in which a bug has to be found.
const SEEDS: &str = "0..4000";

/// How long each is looked for, in seconds.
const SECONDS: &str = "900";

/// Seeds that must hold when no bug is on: otherwise the others prove nothing.
const CONTROL_SEEDS: &str = "0..60";

/// What the program in the copy asks for.
const MODULE: &str = "//! Which bug is on.

/// Whether it is this one.
#[must_use]
pub fn is(number: u32) -> bool {
    static WANTED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let wanted = || std::env::var(\"PLANTED\").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    *WANTED.get_or_init(wanted) == number
}
";

struct Bug {
    name: String,
    file: String,
    instead_of: String,
    stands: String,
}

/// Plants all, and has each found; those whose name contains `only`, if that is given.
///
/// # Errors
/// When one is not found, cannot be planted, or something is found without any.
pub(crate) fn run(root: &Path, only: Option<&str>) -> io::Result<()> {
    let bugs = read(&root.join("tests/planted"))?;
    let tree = root.join("target/planted/tree");
    for part in COPIED {
        if root.join(part).exists() {
            copy(&root.join(part), &tree.join(part))?;
        }
    }
    plant(root, &tree, &bugs)?;
    let program = build(root, &tree)?;
    say(&format!("control: no bug, seeds {CONTROL_SEEDS}"))?;
    if let Some(found) = find(&program, 0, CONTROL_SEEDS)? {
        return Err(io::Error::other(format!("without a planted bug: {found}")));
    }
    let mut missed = Vec::new();
    for (number, bug) in (1..).zip(&bugs) {
        if only.is_some_and(|only| !bug.name.contains(only)) {
            continue;
        }
        let name = &bug.name;
        match find(&program, number, SEEDS)? {
            Some(found) => say(&format!("PLANTED {name}: found by {found}"))?,
            None => {
                say(&format!("PLANTED {name}: not found in seeds {SEEDS}"))?;
                missed.push(name.as_str());
            }
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!("not found: {}", missed.join(", "))))
}

fn read(folder: &Path) -> io::Result<Vec<Bug>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| parse(path, &fs::read_to_string(path)?)).collect()
}

fn parse(path: &Path, text: &str) -> io::Result<Bug> {
    let bad = || io::Error::other(format!("{} is not a planted bug", path.display()));
    let (head, rest) = text.split_once("\n---- instead of\n").ok_or_else(bad)?;
    let (instead_of, stands) = rest.split_once("\n---- stands\n").ok_or_else(bad)?;
    let file = head.lines().find_map(|line| line.strip_prefix("in ")).ok_or_else(bad)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Bug {
        name: stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned(),
        file: file.to_owned(),
        instead_of: instead_of.to_owned(),
        stands: stands.trim_end().to_owned(),
    })
}

/// Copies what differs, so that little is built anew.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    write(to, &fs::read(from)?)
}

fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes)
}

fn plant(root: &Path, tree: &Path, bugs: &[Bug]) -> io::Result<()> {
    let mut files = std::collections::BTreeMap::new();
    for (number, bug) in (1..).zip(bugs) {
        let Bug { name, file, instead_of, stands } = bug;
        if !files.contains_key(file) {
            files.insert(file.clone(), fs::read_to_string(root.join(file))?);
        }
        let text = files.entry(file.clone()).or_default();
        if text.matches(instead_of.as_str()).count() != 1 {
            let what = format!("{name}: what it replaces is not there once, in {file}");
            return Err(io::Error::other(what));
        }
        let wanted = format!("whoelse_proto::planted::is({number})");
        *text = text.replace(instead_of, &stands.replace("PLANTED", &wanted));
    }
    let proto = "crates/whoelse-proto/src/lib.rs";
    let lib = fs::read_to_string(root.join(proto))?;
    files.insert(proto.into(), format!("{lib}\npub mod planted;\n"));
    files.insert("crates/whoelse-proto/src/planted.rs".into(), MODULE.into());
    for (file, text) in files {
        write(&tree.join(file), text.as_bytes())?;
    }
    Ok(())
}

/// Builds the simulator of the copy, in a folder of its own: cargo tells the crates of one tree from
/// those of a copy of it by nothing, and would run one for the other.
fn build(root: &Path, tree: &Path) -> io::Result<PathBuf> {
    let target = root.join("target/planted/build");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", &target);
    cargo.args(["build", "--quiet", "--profile", "sim", "-p", "whoelse-tests", "--bin", "sim"]);
    if !cargo.status()?.success() {
        return Err(io::Error::other("the copy with the bugs cannot be built"));
    }
    Ok(target.join("sim/sim"))
}

/// Runs the simulator until something is found; says what and where.
fn find(program: &Path, number: u32, seeds: &str) -> io::Result<Option<String>> {
    let mut sim = Command::new(program);
    sim.args(["--seeds", seeds, "--threads", "2", "--seconds", SECONDS])
        .env("PLANTED", number.to_string());
    let output = sim.env("RUST_BACKTRACE", "0").output()?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let found = said.lines().find(|line| line.starts_with("seed ")).unwrap_or("a fault");
    Ok(Some(found.chars().take(160).collect()))
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
