//! Three programs with one stock of parts. The bench measures what the whoelse server costs per
//! message, beside two bare relays that show what the machine allows; reading order: `workload`,
//! `measure`, `generator`; `relay` holds the yardsticks. The siege attacks the server: `siege`. What
//! files from many cost: `many`.

mod cli;
mod crowd;
mod dialect;
mod failure;
mod generator;
mod idle;
mod measure;
mod process;
mod relay;
mod report;
mod server;
mod siege;
mod stream;
mod swarm;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::{Options, Role};
use failure::{Explain, Failure};
use generator::{Load, Times};
use idle::measure_idle;
use measure::{Contestant, Plan, measure};
use relay::{j, r};
use server::{Paths, Program, become_program, die_with_parent};
use workload::{Kind, Workload};

pub use siege::besiege;
pub use swarm::swarm;

/// Measures, as the command line asks.
pub fn measure_and_report() -> ExitCode {
    let options = Options::parse();
    let result = match &options.role {
        None => bench(&options),
        Some(Role::RelayR { port }) => {
            die_with_parent().and_then(|()| relay::serve(*port, r::Bare::default()))
        }
        Some(Role::RelayJ { port }) => {
            die_with_parent().and_then(|()| relay::serve(*port, j::Json::default()))
        }
        Some(Role::Run { command }) => die_with_parent().and_then(|()| become_program(command)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without a standard error there is nobody left to tell.
            writeln!(io::stderr().lock(), "whoelse-bench: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen workloads; programs that exchange messages are started once for all of them.
fn bench(options: &Options) -> Result<(), Failure> {
    let paths = paths(options)?;
    let mut out = io::stdout().lock();
    let mut notes = io::stderr().lock();
    let mut contestants = Vec::new();
    for workload in workload::chosen(&options.only) {
        match workload.kind {
            Kind::Direct { window } => {
                if contestants.is_empty() {
                    contestants = start_all(options, &paths, &mut notes)?;
                }
                let load = load(options, window)?;
                let findings = measure(&mut contestants, load, plan(options))?;
                report::write_direct(&mut out, workload, &findings)
                    .explain(|| "reporting".into())?;
            }
            Kind::Idle => {
                // Their deferred work and their memory are not to be seen in this measurement.
                contestants.clear();
                bench_idle(options, workload, &paths, &mut out, &mut notes)?;
            }
        }
        out.flush().explain(|| "reporting".into())?;
    }
    Ok(())
}

fn start_all(
    options: &Options,
    paths: &Paths,
    notes: &mut impl Write,
) -> Result<Vec<Contestant>, Failure> {
    let pairs = count(options.pairs)?;
    let start = |program: Program| Contestant::start(program, pairs, paths, &mut *notes);
    programs(options).into_iter().map(start).collect()
}

fn bench_idle(
    options: &Options,
    workload: Workload,
    paths: &Paths,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<(), Failure> {
    let people = count(options.idle_people)?;
    let duration = Duration::from_secs(options.idle_seconds);
    let mut findings = Vec::new();
    for program in programs(options) {
        findings.push(measure_idle(program, people, duration, paths, notes)?);
    }
    report::write_idle(out, workload, people, duration, &findings).explain(|| "reporting".into())
}

/// The programs asked for, each once, and always in the same order.
fn programs(options: &Options) -> Vec<Program> {
    [Program::R, Program::J, Program::Whoelse]
        .into_iter()
        .filter(|program| options.programs.contains(program))
        .collect()
}

fn load(options: &Options, window: u64) -> Result<Load, Failure> {
    let acknowledge_every = options.acknowledge_every;
    Ok(Load { pairs: count(options.pairs)?, window, acknowledge_every })
}

fn plan(options: &Options) -> Plan {
    let (warm_up, measure) = (options.warm_up, options.seconds);
    Plan {
        rounds: options.rounds,
        times: Times {
            warm_up: Duration::from_secs(warm_up),
            measure: Duration::from_secs(measure),
        },
        settle: Duration::from_secs(options.settle),
    }
}

/// Finds this program, the real server and a folder; says how to build what is missing.
fn paths(options: &Options) -> Result<Paths, Failure> {
    let is_wanted = options.programs.contains(&Program::Whoelse);
    Paths::find(options.whoelse.as_ref(), options.folder.as_ref(), is_wanted)
}

fn count(number: u64) -> Result<usize, Failure> {
    usize::try_from(number).explain(|| format!("counting to {number}"))
}
