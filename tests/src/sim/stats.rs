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
    /// Sessions begun by the key of a device.
    pub resumed: u64,
    /// Resumes refused because the device was not, or no longer, known.
    pub refused_devices: u64,
    /// Devices revoked, by whatever way.
    pub devices_revoked: u64,
    /// Passwords changed, by their owners or by the operator.
    pub passwords_changed: u64,
    /// Logins and resumes refused because an administrator had locked the account.
    pub shut_out: u64,
    /// Sessions that an administrator or the operator ended.
    pub expelled: u64,
    /// Accounts made by invites.
    pub joined: u64,
    /// Joins refused because the invite was not, or no longer, good.
    pub invites_refused: u64,
    /// Logins that told of failed ones before.
    pub told_failures: u64,
    /// Recoveries in the middle of what one input led to.
    pub torn: u64,
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
            resumed: self.resumed + other.resumed,
            refused_devices: self.refused_devices + other.refused_devices,
            devices_revoked: self.devices_revoked + other.devices_revoked,
            passwords_changed: self.passwords_changed + other.passwords_changed,
            shut_out: self.shut_out + other.shut_out,
            expelled: self.expelled + other.expelled,
            joined: self.joined + other.joined,
            invites_refused: self.invites_refused + other.invites_refused,
            told_failures: self.told_failures + other.told_failures,
            torn: self.torn + other.torn,
        }
    }
}
