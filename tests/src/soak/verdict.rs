//! The one line that a row prints: figures, their targets, and which were missed.

use std::fmt::{Display, Write as _};

/// What a row found; becomes a line `RELIABILITY row=… name=… key=value … result=…`.
#[derive(Clone, Debug)]
pub struct Verdict {
    row: &'static str,
    name: &'static str,
    figures: Vec<(String, String)>,
    targets: Vec<String>,
    missed: Vec<String>,
    /// Times that were longer than they may be. They say something of the machine, too.
    late: Vec<String>,
}

impl Verdict {
    /// Begins the verdict on a row of the table.
    #[must_use]
    pub fn on(row: &'static str, name: &'static str) -> Self {
        let (figures, targets, missed, late) = Default::default();
        Self { row, name, figures, targets, missed, late }
    }

    /// Adds a figure without a target.
    pub fn note(&mut self, key: &str, value: impl Display) {
        self.figures.push((key.to_owned(), value.to_string()));
    }

    /// Adds a count that has to be zero.
    pub fn none(&mut self, key: &str, count: u64) {
        self.at_most(key, count as f64, 0.0);
    }

    /// Adds a figure that may not be above its target; one that was not measured is above it.
    pub fn at_most(&mut self, key: &str, value: f64, target: f64) {
        let relation = if target == 0.0 { "=" } else { "<=" };
        let missed = self.judge(key, value, target, relation, value <= target);
        self.missed.extend(missed);
    }

    /// Adds a time, or a share of one, that may not be above its target on a machine that has nothing
    /// else to do; where others use it, too, only [`Verdict::is_right`] counts.
    pub fn in_time(&mut self, key: &str, value: f64, target: f64) {
        let late = self.judge(key, value, target, "<=", value <= target);
        self.late.extend(late);
    }

    /// Adds a figure that may not be below its target; one that was not measured is below it.
    pub fn at_least(&mut self, key: &str, value: f64, target: f64) {
        let missed = self.judge(key, value, target, ">=", value >= target);
        self.missed.extend(missed);
    }

    /// Says what went wrong, in words; that alone makes the row fail.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.missed.push(what.into());
    }

    /// Notes a figure and its target; says how it was missed, if it was.
    fn judge(
        &mut self,
        key: &str,
        value: f64,
        target: f64,
        relation: &str,
        is_held: bool,
    ) -> Option<String> {
        self.note(key, shown(value));
        self.targets.push(format!("{key} {relation} {}", shown(target)));
        let missed = || format!("{key} is {}, not {relation} {}", shown(value), shown(target));
        (!is_held).then(missed)
    }

    /// Whether all targets were held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_right() && self.late.is_empty()
    }

    /// The same, but for how long it took.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.missed.is_empty()
    }

    /// What was missed, in words.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        self.missed.iter().chain(&self.late).map(String::as_str)
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("RELIABILITY row={} name={}", self.row, self.name);
        for (key, value) in &self.figures {
            write!(line, " {key}={value}").expect("a string takes everything");
        }
        let result = if self.is_held() { "pass" } else { "fail" };
        write!(line, " result={result}").expect("a string takes everything");
        line
    }

    /// The row of the table in the results file.
    #[must_use]
    pub fn table_row(&self) -> String {
        let figures: Vec<String> =
            self.figures.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let result = if self.is_held() { "pass" } else { "**fail**" };
        format!(
            "| {} | {} | {} | {} | {result} |",
            self.row,
            self.name.replace('-', " "),
            figures.join(", "),
            self.targets.join(", ")
        )
    }
}

/// Two decimals where there are any that count.
fn shown(value: f64) -> String {
    if value.is_nan() {
        return "-".into();
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Says what so many percent of some figures do not exceed; nothing about none.
#[must_use]
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The smallest that at least so many percent do not exceed (nearest rank).
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Fits a line through points (least squares) and says how much it rises for each step of x.
#[must_use]
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let rise: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let run: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    rise / run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_found_and_whether_it_was_held() {
        let mut verdict = Verdict::on("4", "kill-9");
        verdict.note("cycles", 50);
        verdict.none("lost", 0);
        verdict.in_time("recover_p99_ms", 12.5, 2000.0);
        let line = "RELIABILITY row=4 name=kill-9 cycles=50 lost=0 recover_p99_ms=12.5 result=pass";
        assert_eq!(verdict.line(), line);
        assert_eq!(
            verdict.table_row(),
            "| 4 | kill 9 | cycles 50, lost 0, recover_p99_ms 12.5 | lost = 0, recover_p99_ms <= 2000 \
             | pass |"
        );
        verdict.at_least("acked", f64::NAN, 1.0);
        assert!(verdict.line().ends_with("acked=- result=fail"));
        assert_eq!(verdict.missed().collect::<Vec<_>>(), ["acked is -, not >= 1"]);
        assert!(!verdict.is_right());
    }

    #[test]
    fn what_comes_late_may_still_be_right() {
        let mut verdict = Verdict::on("4", "kill-9");
        verdict.in_time("recover_p99_ms", 2571.38, 2000.0);
        assert!(verdict.is_right() && !verdict.is_held());
        assert_eq!(
            verdict.missed().collect::<Vec<_>>(),
            ["recover_p99_ms is 2571.38, not <= 2000"]
        );
    }

    #[test]
    fn percentiles_are_measured_values_and_slopes_are_found_among_noise() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&hundred, percent)), [50.0, 99.0, 100.0]);
        assert!(percentile(&[], 50).is_nan());
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]), 2.0);
    }
}
