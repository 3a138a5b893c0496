//! One file from several sources at once, beside a bare TCP copy of it in the same round.
//!
//! All share the machine: with more sources than processors, more of them are not faster. What the
//! figures show is what dividing costs, and how it is divided. Where each source has a limited line, more
//! of them pay.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use whoelse_peer::{Event, LinkId, SwarmEvent};
use whoelse_proto::{FileName, Layout};

use super::SourcesTerms;
use super::copy::{copy_in, fill};
use super::lines::Lines;
use super::report::{Figure, Report};
use super::source::{Side, Source};
use crate::failure::{Explain, Failure};
use crate::process;
use crate::server::Paths;

/// What a line may seem to carry above what it does: its burst, and what waited in it.
const TOLERANCE: f64 = 1.05;

/// How long something took, and what all processes spent on it.
#[derive(Clone, Copy)]
struct Cost {
    took: Duration,
    cpu: Duration,
}

/// Sources of one file.
struct Field {
    home: TempDir,
    bytes: u64,
    /// What each source may send, in bytes a second.
    upload: Option<u64>,
    sources: Vec<Source>,
    /// How often it was fetched.
    fetched: u32,
}

/// Measures, and prints a line for each figure.
pub(super) fn measure(
    terms: &SourcesTerms,
    rounds: u32,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let count = terms.sources.iter().max().copied().unwrap_or(1);
    let mut fields = vec![Field::start(paths, terms.megabytes, count, None)?];
    if terms.upload > 0 {
        let upload = Some(terms.upload * 1_000_000);
        fields.push(Field::start(paths, terms.limited_megabytes, count, upload)?);
    }
    let runtime = Runtime::new().explain(|| "starting".into())?;
    let mut report = Report::new(out);
    for round in 1..=rounds {
        for field in &mut fields {
            field.round(round, &terms.sources, &runtime, &mut report)?;
        }
    }
    report.medians()
}

impl Cost {
    /// Its figures for so many bytes, beside the bare copy and one source alone.
    fn figures(self, bytes: u64, tcp: Self, one: Option<Self>) -> Vec<Figure> {
        let (took, cpu) = (self.took.as_secs_f64(), self.cpu.as_secs_f64());
        let mut figures = vec![
            ("mb_per_s", bytes as f64 / 1e6 / took),
            ("cpu_s_per_gb", cpu / (bytes as f64 / 1e9)),
            ("of_tcp", tcp.took.as_secs_f64() / took),
            ("cpu_of_tcp", cpu / tcp.cpu.as_secs_f64()),
        ];
        figures.extend(one.map(|one| ("of_one", one.took.as_secs_f64() / took)));
        figures
    }
}

impl Field {
    /// Makes a file, and starts so many who share it.
    fn start(
        paths: &Paths,
        megabytes: u64,
        count: u64,
        upload: Option<u64>,
    ) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("whoelse-bench-").tempdir_in(&paths.folder);
        let home = home.explain(|| format!("making a folder in {}", paths.folder.display()))?;
        let (bytes, file) = (megabytes * 1_000_000, home.path().join("file"));
        fill(&file, bytes).explain(|| "making a file".into())?;
        let sources: Result<Vec<Source>, Failure> = (0..count)
            .map(|at| Source::start(&paths.bench, &home.path().join(format!("source-{at}")), &file))
            .collect();
        Ok(Self { home, bytes, upload, sources: sources?, fetched: 0 })
    }

    /// Copies it, and fetches it from each number of sources.
    fn round(
        &mut self,
        round: u32,
        counts: &[u64],
        runtime: &Runtime,
        report: &mut Report<'_, impl Write>,
    ) -> Result<(), Failure> {
        let upload = self.upload;
        let lines = upload.map(|upload| Lines::lay(self.sources.len(), upload)).transpose()?;
        if let Some(lines) = &lines {
            lines.put(0, &[self.sources[0].tcp])?;
        }
        let kind = if lines.is_some() { "limited_" } else { "" };
        let (bytes, tcp) = (self.bytes, self.copy()?);
        self.check_speed(1, tcp)?;
        report.add(round, format!("{kind}tcp"), tcp.figures(bytes, tcp, None), "")?;
        let mut one = None;
        for count in counts {
            let count = usize::try_from(*count).explain(|| "counting".into())?;
            let (cost, parts) = runtime.block_on(self.fetch(count, lines.as_ref()))?;
            self.check_speed(count, cost)?;
            if count == 1 {
                one = Some(cost);
            }
            let figures = cost.figures(bytes, tcp, one);
            let what = format!("{kind}sources n={count}");
            report.add(round, what, figures, &format!("parts={parts}"))?;
        }
        Ok(())
    }

    /// Copies the file from the first source.
    fn copy(&mut self) -> Result<Cost, Failure> {
        let to = self.home.path().join("copy");
        let (begin, before) = (Instant::now(), self.cpu()?);
        self.sources[0].copies()?;
        copy_in(self.sources[0].tcp, &to).explain(|| "copying".into())?;
        let cost = Cost { took: begin.elapsed(), cpu: self.cpu()?.saturating_sub(before) };
        fs::remove_file(&to).explain(|| "deleting a copy".into())?;
        Ok(cost)
    }

    /// Fetches the file from so many sources, whose links stand already; says how many parts came from
    /// each.
    async fn fetch(
        &mut self,
        count: usize,
        lines: Option<&Lines>,
    ) -> Result<(Cost, String), Failure> {
        // A node that has just ended may still be putting its folder in order.
        self.fetched += 1;
        let home = self.home.path().join(format!("fetcher-{}", self.fetched));
        let mut side = Side::start(&home);
        for at in 0..count {
            self.link(&mut side, at, lines).await?;
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

    async fn link(
        &mut self,
        side: &mut Side,
        at: usize,
        lines: Option<&Lines>,
    ) -> Result<(), Failure> {
        let link = LinkId(at as u64);
        let card = side.card(link).await?;
        let theirs = self.sources[at].link(&card)?;
        if let Some(lines) = lines {
            lines.put(at, &theirs.addresses)?;
        }
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

    /// A figure that came around the lines would be none.
    fn check_speed(&self, count: usize, cost: Cost) -> Result<(), Failure> {
        let speed = self.bytes as f64 / cost.took.as_secs_f64();
        let most = self.upload.map(|upload| upload as f64 * count as f64 * TOLERANCE);
        match most.filter(|most| speed > *most) {
            None => Ok(()),
            Some(most) => {
                let (speed, most) = (speed / 1e6, most / 1e6);
                Err(Failure::new(format!("{speed:.1} MB/s came over lines of {most:.1} MB/s")))
            }
        }
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
