//! What came of a swarm, in figures.

use std::fmt::Write;
use std::time::Duration;

/// What came of one swarm.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Honest people who wanted the file.
    pub wanted: u64,
    /// Those of them who got it.
    pub completed: u64,
    /// When the last of them had it.
    pub took: Duration,
    /// No swarm of these lines can be sooner than that; none when people come and go, as the bound
    /// holds for those who are there all the time.
    pub bound: Option<Duration>,
    /// Bytes that were of use.
    pub useful: u64,
    /// Bytes that came twice.
    pub twice: u64,
    /// Bytes of requests that ended before the part was whole, and were asked for again. The real client
    /// keeps what was checked of them, so that this is an upper bound.
    pub lost: u64,
    /// Bytes that were something else.
    pub wrong: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests.
    pub requests: u64,
    /// Honest people who were banned by somebody.
    pub banned_wrongly: u64,
    /// Liars who sent something else to somebody, and those of them who were banned for it.
    pub wrong_senders: u64,
    /// See above.
    pub banned_rightly: u64,
    /// Downloads that came from one source alone although another had something for them.
    pub alone: u64,
    /// How evenly those who fetched gave, each according to its line: Jain's index (Jain, Chiu and Hawe
    /// 1984), 1 when all gave the same share of what they could.
    pub evenness: f64,
    /// The largest part of a download that came from one source, when others had some; the mean over
    /// downloads.
    pub largest_share: f64,
}

/// What came of many.
#[derive(Clone, Debug, Default)]
pub struct Total {
    outcomes: Vec<Outcome>,
}

impl Outcome {
    /// How much was for nothing, in percent of what was of use. Each request and refusal counts 200 bytes.
    #[must_use]
    pub fn overhead_percent(&self) -> f64 {
        let waste = self.twice + self.lost + self.wrong + 200 * (self.requests + self.refused);
        100.0 * waste as f64 / self.useful.max(1) as f64
    }

    /// How much longer than the bound it took.
    #[must_use]
    pub fn stretch(&self) -> Option<f64> {
        Some(self.took.as_secs_f64() / self.bound?.as_secs_f64())
    }

    /// In a line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "completed={}/{} took_s={:.1}",
            self.completed,
            self.wanted,
            self.took.as_secs_f64()
        );
        if let Some(stretch) = self.stretch() {
            write!(line, " of_bound={stretch:.2}").unwrap_or_default();
        }
        write!(
            line,
            " overhead_percent={:.2} twice_percent={:.2} lost_percent={:.2} evenness={:.2} largest_share={:.2} alone={} \
             banned_wrongly={} banned_rightly={}/{} requests={} refused={}",
            self.overhead_percent(),
            100.0 * self.twice as f64 / self.useful.max(1) as f64,
            100.0 * self.lost as f64 / self.useful.max(1) as f64,
            self.evenness,
            self.largest_share,
            self.alone,
            self.banned_wrongly,
            self.banned_rightly,
            self.wrong_senders,
            self.requests,
            self.refused,
        )
        .unwrap_or_default();
        line
    }

    /// What is not as it has to be.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.completed < self.wanted {
            faults.push(format!("{} did not get it", self.wanted - self.completed));
        }
        if self.banned_wrongly > 0 {
            faults.push(format!("{} honest ones were banned", self.banned_wrongly));
        }
        if self.banned_rightly < self.wrong_senders {
            faults.push("somebody who sent something else was not banned".to_owned());
        }
        if self.alone > 0 {
            faults.push(format!("{} got all from one although others had some", self.alone));
        }
        if self.overhead_percent() > 5.0 {
            faults.push(format!("{:.1} % for nothing", self.overhead_percent()));
        }
        faults
    }
}

impl Total {
    /// One more.
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// All in a line: sums, and medians where a sum says nothing.
    #[must_use]
    pub fn line(&self) -> String {
        let sum = |of: fn(&Outcome) -> u64| self.outcomes.iter().map(of).sum::<u64>();
        let mut line = format!(
            "swarms={} completed={}/{} took_s={:.1}",
            self.outcomes.len(),
            sum(|it| it.completed),
            sum(|it| it.wanted),
            self.median(|it| Some(it.took.as_secs_f64())),
        );
        if self.outcomes.iter().any(|it| it.bound.is_some()) {
            write!(line, " of_bound={:.2}", self.median(Outcome::stretch)).unwrap_or_default();
        }
        write!(
            line,
            " overhead_percent={:.2} twice_percent={:.2} lost_percent={:.2} evenness={:.2} largest_share={:.2} alone={} \
             banned_wrongly={} banned_rightly={}/{}",
            self.median(|it| Some(it.overhead_percent())),
            self.median(|it| Some(100.0 * it.twice as f64 / it.useful.max(1) as f64)),
            self.median(|it| Some(100.0 * it.lost as f64 / it.useful.max(1) as f64)),
            self.median(|it| Some(it.evenness)),
            self.median(|it| Some(it.largest_share)),
            sum(|it| it.alone),
            sum(|it| it.banned_wrongly),
            sum(|it| it.banned_rightly),
            sum(|it| it.wrong_senders),
        )
        .unwrap_or_default();
        line
    }

    fn median(&self, of: impl Fn(&Outcome) -> Option<f64>) -> f64 {
        let mut all: Vec<f64> = self.outcomes.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}
