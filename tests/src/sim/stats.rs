//! What simulated worlds have been through, to be added up.

/// What a run has been through: a run in which nothing happened proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Steps taken.
    pub steps: u64,
    /// Messages confirmed to their senders.
    pub confirmed: u64,
    /// Messages shown to their readers.
    pub shown: u64,
    /// Repetitions that a client recognised.
    pub repeated: u64,
    /// Messages sent again under their id.
    pub resent: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Ends of the process alone.
    pub kills: u64,
    /// Stops in the middle of a disk operation.
    pub stops: u64,
    /// Records that a crash took back; none of them was promised to anybody.
    pub taken_back: u64,
    /// Transactions of the projector.
    pub projections: u64,
    /// Pages of mail read from the database.
    pub pages: u64,
    /// Logins refused because the name was locked.
    pub locked: u64,
}

impl Stats {
    /// Both added up.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            confirmed: self.confirmed + other.confirmed,
            shown: self.shown + other.shown,
            repeated: self.repeated + other.repeated,
            resent: self.resent + other.resent,
            crashes: self.crashes + other.crashes,
            kills: self.kills + other.kills,
            stops: self.stops + other.stops,
            taken_back: self.taken_back + other.taken_back,
            projections: self.projections + other.projections,
            pages: self.pages + other.pages,
            locked: self.locked + other.locked,
        }
    }
}
