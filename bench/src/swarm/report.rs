//! Lines of figures, and at the end the median of each.

use std::io::Write;

use crate::failure::{Explain, Failure};

/// A figure, and what it is called.
pub(super) type Figure = (&'static str, f64);

/// What was measured so far.
pub(super) struct Report<'a, W> {
    out: &'a mut W,
    lines: Vec<(String, Vec<Figure>)>,
}

impl<'a, W: Write> Report<'a, W> {
    /// Has nothing to report yet.
    pub(super) fn new(out: &'a mut W) -> Self {
        Self { out, lines: Vec::new() }
    }

    /// Prints what was measured in a round, `more` being what has no median.
    pub(super) fn add(
        &mut self,
        round: u32,
        what: String,
        figures: Vec<Figure>,
        more: &str,
    ) -> Result<(), Failure> {
        self.print(&format!("round={round}"), &what, &figures, more)?;
        self.lines.push((what, figures));
        Ok(())
    }

    /// Prints the medians over all rounds, in the order in which things were first measured.
    pub(super) fn medians(mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.lines);
        for (at, (what, figures)) in lines.iter().enumerate() {
            if lines[..at].iter().any(|(before, _)| before == what) {
                continue;
            }
            let rounds: Vec<_> = lines.iter().filter(|(other, _)| other == what).collect();
            let medians: Vec<Figure> = figures
                .iter()
                .enumerate()
                .map(|(n, (name, _))| (*name, median(rounds.iter().map(|(_, all)| all[n].1))))
                .collect();
            self.print("median", what, &medians, "")?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        which: &str,
        what: &str,
        figures: &[Figure],
        more: &str,
    ) -> Result<(), Failure> {
        let figures: Vec<String> =
            figures.iter().map(|(name, value)| format!("{name}={}", short(*value))).collect();
        let line = format!("SWARM {which} what={what} {} {more}", figures.join(" "));
        writeln!(self.out, "{}", line.trim_end())
            .and_then(|()| self.out.flush())
            .explain(|| "reporting".into())
    }
}

/// The middle one; of an even number, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_kind_of_line_is_told_once() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        for (round, (one, other)) in
            [(5.0, 1.0), (1.0, 200.4), (3.0, 20.04)].into_iter().enumerate()
        {
            let round = u32::try_from(round).unwrap();
            report.add(round, "one".into(), vec![("figure", one)], "more=1+2").unwrap();
            report.add(round, "other n=1".into(), vec![("figure", other)], "").unwrap();
        }
        report.medians().unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "SWARM round=0 what=one figure=5.00 more=1+2");
        assert_eq!(lines[6], "SWARM median what=one figure=3.00");
        assert_eq!(lines[7..], ["SWARM median what=other n=1 figure=20.0"]);
    }

    #[test]
    fn an_even_number_has_two_in_the_middle() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
