//! Turns findings into a table for people and one line for machines.

use std::io::{self, Write};
use std::time::Duration;

use crate::dialect::BODY_BYTES;
use crate::generator::Sample;
use crate::idle::IdleFindings;
use crate::measure::{Findings, Round};
use crate::server::Program;
use crate::workload::Workload;

/// The ratios that are reported: what, and in terms of what.
const RATIOS: [(Program, Program); 3] =
    [(Program::J, Program::R), (Program::Whoelse, Program::J), (Program::Whoelse, Program::R)];

/// A median and what it lies between.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

/// Reports direct messages.
pub(crate) fn write_direct(
    out: &mut impl Write,
    workload: Workload,
    findings: &Findings,
) -> io::Result<()> {
    let (load, rounds) = (findings.load, &findings.rounds);
    writeln!(
        out,
        "\n{}: {}; {} pairs, window {}, {BODY_BYTES}-byte bodies, rounds: {}",
        workload.name,
        workload.title,
        load.pairs,
        load.window,
        rounds.len()
    )?;
    writeln!(
        out,
        "{:<10}{:>14}{:>16}{:>13}{:>16}",
        "program", "µs/delivery", "deliveries/s", "server CPU", "generator CPU"
    )?;
    for program in [Program::R, Program::J, Program::Whoelse] {
        let Some(micros) = spread(rounds, |round| micros_of(round, program)) else { continue };
        let median_of = |figure: fn(&Sample) -> f64| {
            spread(rounds, |round| sample_of(round, program).map(figure))
                .map_or(0.0, |spread| spread.median)
        };
        writeln!(
            out,
            "{:<10}{:>14}{:>16}{:>11.0} %{:>14.0} %",
            program.name(),
            three_digits(micros.median),
            with_commas(median_of(rate)),
            median_of(|sample| share(sample.server_cpu, sample.elapsed)),
            median_of(|sample| share(sample.generator_cpu, sample.elapsed)),
        )?;
    }
    if let Some(later) = findings.later_micros {
        let later = three_digits(later);
        writeln!(out, "{:<10}{later:>14}   (whoelse, after the load had stopped)", "+ later")?;
    }
    writeln!(out, "{:<14}{:>10}   min .. max", "ratio", "median")?;
    for (one, other) in RATIOS {
        let Some(ratio) = ratio(rounds, one, other) else { continue };
        writeln!(
            out,
            "{:<14}{:>10}   {} .. {}",
            format!("{}/{}", one.name(), other.name()),
            three_digits(ratio.median),
            three_digits(ratio.least),
            three_digits(ratio.most)
        )?;
    }
    write_direct_line(out, workload, findings)
}

/// The line for machines; what was not measured is a dash.
fn write_direct_line(
    out: &mut impl Write,
    workload: Workload,
    findings: &Findings,
) -> io::Result<()> {
    let rounds = &findings.rounds;
    let micros = |program| median_text(spread(rounds, |round| micros_of(round, program)));
    let ratio_text = |one, other| median_text(ratio(rounds, one, other));
    writeln!(
        out,
        "BENCH workload={} j_us={} r_us={} whoelse_us={} whoelse_over_j={} whoelse_over_r={} \
         j_over_r={} whoelse_later_us={}",
        workload.name,
        micros(Program::J),
        micros(Program::R),
        micros(Program::Whoelse),
        ratio_text(Program::Whoelse, Program::J),
        ratio_text(Program::Whoelse, Program::R),
        ratio_text(Program::J, Program::R),
        findings.later_micros.map_or_else(|| "-".into(), three_digits),
    )
}

/// Reports people who do nothing.
pub(crate) fn write_idle(
    out: &mut impl Write,
    workload: Workload,
    people: usize,
    duration: Duration,
    findings: &[IdleFindings],
) -> io::Result<()> {
    let seconds = duration.as_secs();
    let title = workload.title;
    writeln!(out, "\n{}: {title}; {people} people for {seconds} s", workload.name)?;
    writeln!(
        out,
        "{:<10}{:>10}{:>18}{:>18}{:>20}",
        "program", "CPU ms", "RSS empty MiB", "RSS full MiB", "bytes/connection"
    )?;
    let mut line = format!("BENCH workload={} people={people} seconds={seconds}", workload.name);
    for found in findings {
        let milliseconds = found.cpu.as_secs_f64() * 1e3;
        let per_connection = bytes_per_connection(found, people);
        let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        writeln!(
            out,
            "{:<10}{milliseconds:>10.1}{:>18.1}{:>18.1}{:>20}",
            found.program.name(),
            mebibytes(found.empty_bytes),
            mebibytes(found.full_bytes),
            with_commas(per_connection),
        )?;
        let name = found.program.name().to_lowercase();
        line.push_str(&format!(
            " {name}_cpu_ms={milliseconds:.1} {name}_bytes_per_connection={per_connection:.0}"
        ));
    }
    writeln!(out, "{line}")
}

fn bytes_per_connection(found: &IdleFindings, people: usize) -> f64 {
    found.full_bytes.saturating_sub(found.empty_bytes) as f64 / people.max(1) as f64
}

fn sample_of(round: &Round, program: Program) -> Option<&Sample> {
    round.iter().find(|(name, _)| *name == program).map(|(_, sample)| sample)
}

/// CPU seconds per million deliveries, which is the same number as µs per delivery.
fn micros_of(round: &Round, program: Program) -> Option<f64> {
    let sample = sample_of(round, program)?;
    Some(sample.server_cpu.as_secs_f64() * 1e6 / sample.deliveries.max(1) as f64)
}

fn rate(sample: &Sample) -> f64 {
    sample.deliveries as f64 / sample.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn share(cpu: Duration, elapsed: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// The ratio of two programs, taken within each round.
fn ratio(rounds: &[Round], one: Program, other: Program) -> Option<Spread> {
    spread(rounds, |round| {
        let divisor = micros_of(round, other).filter(|micros| *micros > 0.0)?;
        Some(micros_of(round, one)? / divisor)
    })
}

/// Median, least and most of a figure over the rounds that have it.
fn spread(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
    let mut values: Vec<f64> = rounds.iter().filter_map(figure).collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    Some(Spread { median, least, most })
}

fn median_text(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |spread| three_digits(spread.median))
}

/// Three digits that count, without an exponent.
fn three_digits(value: f64) -> String {
    let decimals = if value < 0.9995 {
        3
    } else if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}")
}

/// A whole number with commas between thousands.
fn with_commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Load;
    use crate::workload::WORKLOADS;

    fn sample(cpu_ms: u64, deliveries: u64) -> Sample {
        Sample {
            deliveries,
            elapsed: Duration::from_secs(2),
            server_cpu: Duration::from_millis(cpu_ms),
            generator_cpu: Duration::from_millis(500),
            deliveries_in_all: deliveries,
        }
    }

    fn rounds() -> Vec<Round> {
        [100, 300, 250]
            .map(|j| vec![(Program::R, sample(100, 1_000_000)), (Program::J, sample(j, 1_000_000))])
            .to_vec()
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let found = ratio(&rounds(), Program::J, Program::R).unwrap();
        let texts = [found.median, found.least, found.most].map(three_digits);
        assert_eq!(texts, ["2.50", "1.00", "3.00"]);
        assert_eq!(ratio(&rounds(), Program::Whoelse, Program::R), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let two = &rounds()[..2];
        let found = spread(two, |round| micros_of(round, Program::J)).unwrap();
        assert!((found.median - 0.2).abs() < 1e-9);
        assert_eq!(spread(&[], |_| Some(1.0)), None);
    }

    #[test]
    fn figures_have_three_digits() {
        let texts = [0.0, 0.0871, 0.9996, 1.0, 3.849, 9.996, 62.31, 627.4].map(three_digits);
        assert_eq!(texts, ["0.000", "0.087", "1.00", "1.00", "3.85", "10.0", "62.3", "627"]);
    }

    #[test]
    fn thousands_are_separated() {
        let texts = [0.0, 999.0, 1000.0, 4_810_000.4].map(with_commas);
        assert_eq!(texts, ["0", "999", "1,000", "4,810,000"]);
    }

    #[test]
    fn the_line_for_machines_has_a_dash_for_what_is_missing() {
        let load = Load { pairs: 50, window: 64, acknowledge_every: 1 };
        let findings = Findings { load, rounds: rounds(), later_micros: None };
        let mut out = Vec::new();
        write_direct(&mut out, WORKLOADS[0], &findings).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with(
            "BENCH workload=dm-w64 j_us=0.250 r_us=0.100 whoelse_us=- whoelse_over_j=- \
             whoelse_over_r=- j_over_r=2.50 whoelse_later_us=-\n"
        ));
        assert!(text.contains("R                  0.100         500,000          5 %"));
    }
}
