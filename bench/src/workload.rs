//! The workloads, as values: what can be measured and what distinguishes one from another.

/// What a workload does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Pairs exchange direct messages.
    Direct {
        /// Messages of one sender on their way.
        window: u64,
    },
    /// People are logged in and do nothing.
    Idle,
}

/// Something to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Its name on the command line and in the `BENCH` line.
    pub(crate) name: &'static str,
    /// Its title in the report.
    pub(crate) title: &'static str,
    /// What it does.
    pub(crate) kind: Kind,
    /// Whether it is left out unless it is asked for.
    pub(crate) only_when_asked: bool,
}

/// All workloads, in the order they run.
pub(crate) const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "dm-w64",
        title: "direct messages, pipelined",
        kind: Kind::Direct { window: 64 },
        only_when_asked: false,
    },
    Workload {
        name: "dm-w1",
        title: "direct messages, one at a time",
        kind: Kind::Direct { window: 1 },
        only_when_asked: false,
    },
    Workload {
        name: "idle",
        title: "people who do nothing",
        kind: Kind::Idle,
        only_when_asked: true,
    },
];

/// Chooses the workloads named, or without names all that need not be asked for.
pub(crate) fn chosen(names: &[String]) -> Vec<Workload> {
    WORKLOADS
        .into_iter()
        .filter(|workload| match names {
            [] => !workload.only_when_asked,
            names => names.iter().any(|name| name == workload.name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_runs_only_when_asked() {
        let names = |chosen: Vec<Workload>| chosen.iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(chosen(&[])), ["dm-w64", "dm-w1"]);
        assert_eq!(names(chosen(&["idle".into()])), ["idle"]);
    }
}
