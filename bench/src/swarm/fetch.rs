//! One file from several sources at once, beside a bare TCP copy of it in the same round.
//!
//! All share the machine: with more sources than processors, more of them are not faster. What the
//! figures show is what dividing costs, and how it is divided.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use whoelse_peer::{Event, LinkId, SwarmEvent};
use whoelse_proto::{FileName, Layout};

use super::SourcesTerms;
use super::copy::{copy_in, fill};
use super::source::{Side, Source};
use crate::failure::{Explain, Failure};
use crate::process;
use crate::server::Paths;

/// How long something took, and what all processes spent on it.
#[derive(Clone, Copy)]
struct Cost {
    took: Duration,
    cpu: Duration,
}

struct Field {
    home: PathBuf,
    bytes: u64,
    sources: Vec<Source>,
    /// How often it was fetched.
    fetched: u32,
}

/// Measures, and prints a line for each figure.
pub(super) fn measure(
    terms: &SourcesTerms,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let home = tempfile::Builder::new().prefix("whoelse-bench-").tempdir_in(&paths.folder);
    let home = home.explain(|| format!("making a folder in {}", paths.folder.display()))?;
    let bytes = terms.megabytes * 1_000_000;
    let file = home.path().join("file");
    fill(&file, bytes).explain(|| "making a file".into())?;
    let count = terms.sources.iter().max().copied().unwrap_or(1);
    let sources: Result<Vec<Source>, Failure> = (0..count)
        .map(|at| Source::start(&paths.bench, &home.path().join(format!("source-{at}")), &file))
        .collect();
    let mut field = Field { home: home.path().to_owned(), bytes, sources: sources?, fetched: 0 };
    let runtime = Runtime::new().explain(|| "starting".into())?;
    for round in 1..=terms.rounds {
        let copied = field.copy()?;
        tell(out, &format!("round={round} what=tcp"), copied, copied, bytes, "")?;
        for count in &terms.sources {
            let count = usize::try_from(*count).explain(|| "counting".into())?;
            let (fetched, parts) = runtime.block_on(field.fetch(count))?;
            let what = format!("round={round} what=sources n={count}");
            tell(out, &what, fetched, copied, bytes, &format!(" parts={parts}"))?;
        }
    }
    Ok(())
}

fn tell(
    out: &mut impl Write,
    what: &str,
    cost: Cost,
    tcp: Cost,
    bytes: u64,
    more: &str,
) -> Result<(), Failure> {
    let (took, cpu) = (cost.took.as_secs_f64(), cost.cpu.as_secs_f64());
    writeln!(
        out,
        "SWARM {what} mb_per_s={:.0} cpu_s_per_gb={:.2} of_tcp={:.2} cpu_of_tcp={:.1}{more}",
        bytes as f64 / 1e6 / took,
        cpu / (bytes as f64 / 1e9),
        tcp.took.as_secs_f64() / took,
        cpu / tcp.cpu.as_secs_f64(),
    )
    .and_then(|()| out.flush())
    .explain(|| "reporting".into())
}

impl Field {
    /// Copies the file from the first source.
    fn copy(&mut self) -> Result<Cost, Failure> {
        let to = self.home.join("copy");
        let (begin, before) = (Instant::now(), self.cpu()?);
        self.sources[0].copies()?;
        copy_in(self.sources[0].tcp, &to).explain(|| "copying".into())?;
        let cost = Cost { took: begin.elapsed(), cpu: self.cpu()?.saturating_sub(before) };
        fs::remove_file(&to).explain(|| "deleting a copy".into())?;
        Ok(cost)
    }

    /// Fetches the file from so many sources, whose links stand already; says how many parts came from
    /// each.
    async fn fetch(&mut self, count: usize) -> Result<(Cost, String), Failure> {
        // A node that has just ended may still be putting its folder in order.
        self.fetched += 1;
        let home = self.home.join(format!("fetcher-{}", self.fetched));
        let mut side = Side::start(&home);
        for at in 0..count {
            self.link(&mut side, at).await?;
        }
        let hash = self.sources[0].hash;
        let (begin, before) = (Instant::now(), self.cpu()?);
        side.node.get(hash, self.bytes, FileName::of("file"), String::new());
        for at in 0..count {
            side.node.add_source(hash, LinkId(at as u64), None);
        }
        let (path, by) = received(&mut side).await?;
        let cost = Cost { took: begin.elapsed(), cpu: self.cpu()?.saturating_sub(before) };
        self.check(&path, by.iter().map(|(_, parts)| parts).sum())?;
        side.node.shutdown().await;
        fs::remove_dir_all(&home).explain(|| "deleting what was fetched".into())?;
        let parts: Vec<String> = by.iter().map(|(_, parts)| parts.to_string()).collect();
        Ok((cost, parts.join("+")))
    }

    async fn link(&mut self, side: &mut Side, at: usize) -> Result<(), Failure> {
        let link = LinkId(at as u64);
        let card = side.card(link).await?;
        let theirs = self.sources[at].link(&card)?;
        side.node.dial(link, theirs);
        loop {
            match side.next().await? {
                Event::Up { .. } => return Ok(()),
                Event::Failed { why, .. } => return Err(Failure::new(format!("{why:?}"))),
                _ => {}
            }
        }
    }

    fn check(&self, path: &Path, parts: u32) -> Result<(), Failure> {
        let length = fs::metadata(path).explain(|| "looking at what came".into())?.len();
        let all = Layout::of(self.bytes).parts();
        if length == self.bytes && parts == all {
            return Ok(());
        }
        Err(Failure::new(format!("{parts} parts of {all} came, {length} bytes")))
    }

    /// What all processes have spent.
    fn cpu(&self) -> Result<Duration, Failure> {
        let sources = self.sources.iter().map(Source::cpu);
        sources.chain([process::cpu_of_self()]).sum()
    }
}

/// Where the file came, and how many bytes and parts over each link.
async fn received(side: &mut Side) -> Result<(PathBuf, Vec<(u64, u32)>), Failure> {
    loop {
        let Event::Swarm { what, .. } = side.next().await? else { continue };
        match what {
            SwarmEvent::Received { path, mut by } => {
                by.sort_unstable_by_key(|(link, ..)| link.0);
                return Ok((
                    path,
                    by.into_iter().map(|(_, bytes, parts)| (bytes, parts)).collect(),
                ));
            }
            SwarmEvent::NotReceived { why } => return Err(Failure::new(format!("{why:?}"))),
            _ => {}
        }
    }
}
