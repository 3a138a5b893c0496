//! Arithmetic on what was measured: percentiles, medians, the slope of a line.

use std::time::Duration;

/// Durations of one kind, in the order they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Counts them.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says in milliseconds what so many percent of them do not exceed; nothing about none.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The smallest that at least so many percent do not exceed (nearest rank).
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// Finds the middle of some figures, or of the two in the middle; nothing about none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Fits a line through points (least squares) and says how much it rises for each step of x.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let rise: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let run: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    rise / run
}

/// Counts the most moments that lie within any `window`, its end not included.
pub(crate) fn most_within(moments: &[Duration], window: Duration) -> usize {
    let mut sorted = moments.to_vec();
    sorted.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, moment) in sorted.iter().enumerate() {
        while *moment >= sorted[first] + window {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Says how many mebibytes that is.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: impl IntoIterator<Item = u64>) -> Times {
        Times(milliseconds.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_measured_values() {
        let hundred = times((1..=100).rev());
        assert_eq!([50, 99, 100].map(|p| hundred.percentile_ms(p)), [50.0, 99.0, 100.0]);
        assert_eq!([0, 50, 99].map(|p| times([7]).percentile_ms(p)), [7.0; 3]);
        assert_eq!(times([1, 9]).percentile_ms(99), 9.0);
        assert!(times([]).percentile_ms(50).is_nan());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_line_is_found_among_its_noise() {
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]), 2.0);
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0)]), 0.0);
        let noisy = [(0.0, 0.0), (1.0, 4.0), (2.0, 2.0), (3.0, 6.0)];
        assert!((slope(&noisy) - 1.6).abs() < 1e-9);
    }

    #[test]
    fn windows_are_half_open() {
        let seconds = [0, 1, 2, 10, 11, 12].map(Duration::from_secs);
        assert_eq!(most_within(&seconds, Duration::from_secs(10)), 3);
        assert_eq!(most_within(&seconds, Duration::from_millis(10_001)), 4);
        assert_eq!(most_within(&[], Duration::from_secs(1)), 0);
    }
}
