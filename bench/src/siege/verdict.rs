//! The one line that an attack prints: figures, their targets, and which were missed.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// What an attack found; becomes a line `SIEGE attack=… key=value …`.
#[derive(Debug)]
pub(crate) struct Verdict {
    line: String,
    missed: Vec<&'static str>,
}

impl Verdict {
    /// Begins the verdict on an attack.
    pub(crate) fn on(attack: &str) -> Self {
        Self { line: format!("SIEGE attack={attack}"), missed: Vec::new() }
    }

    /// Adds a figure without a target.
    pub(crate) fn note(&mut self, key: &str, value: impl Display) {
        write!(self.line, " {key}={value}").expect("a string takes everything");
    }

    /// Adds a figure that may not be above its target; one that was not measured is above it.
    pub(crate) fn at_most(&mut self, key: &'static str, value: f64, target: f64) {
        self.note(key, shown(value));
        self.note(&format!("{key}_target"), shown(target));
        if value.is_nan() || value > target {
            self.missed.push(key);
        }
    }

    /// Adds a count that has to be zero.
    pub(crate) fn none(&mut self, key: &'static str, count: u64) {
        self.at_most(key, count as f64, 0.0);
    }

    /// Writes the line; says whether no target was missed.
    pub(crate) fn report(self, out: &mut impl Write) -> io::Result<bool> {
        let Self { line, missed } = self;
        let names = if missed.is_empty() { "-".into() } else { missed.join(",") };
        writeln!(out, "{line} missed={names}")?;
        out.flush()?;
        Ok(missed.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> (String, bool) {
        let mut out = Vec::new();
        let is_held = verdict.report(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), is_held)
    }

    #[test]
    fn what_is_held_and_what_is_missed() {
        let mut verdict = Verdict::on("knock");
        verdict.note("times", 20);
        verdict.at_most("slope", 1.0, 1.0);
        assert_eq!(
            line(verdict),
            ("SIEGE attack=knock times=20 slope=1 slope_target=1 missed=-\n".into(), true)
        );
        let mut verdict = Verdict::on("crowd");
        verdict.none("lost", 2);
        verdict.at_most("p99_ms", f64::NAN, 100.0);
        assert_eq!(
            line(verdict),
            (
                "SIEGE attack=crowd lost=2 lost_target=0 p99_ms=- p99_ms_target=100 \
                 missed=lost,p99_ms\n"
                    .into(),
                false
            )
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, -0.126, 1.5, 100.0].map(shown), ["0", "-0.13", "1.5", "100"]);
    }
}
