//! Every number of the rules that an operator or a test may choose.

/// The tunable numbers. [`Rules::default`] is what `docs/PROTOCOL.md` promises.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long three wrong passwords in a row lock an account, in milliseconds.
    pub block_ms: u64,
    /// A session without a command for so long ends, in milliseconds; 0 means never.
    pub idle_ms: u64,
    /// Wrong passwords in a row that lock an account.
    pub strikes_max: u8,
    /// How long a session whose line broke is still taken for present, in milliseconds.
    pub away_ms: u64,
    /// Most messages that wait in one mailbox; then `MAILBOX_FULL`.
    pub mailbox_messages_max: usize,
    /// Most bytes of bodies that wait in one mailbox; then `MAILBOX_FULL`.
    pub mailbox_bytes_max: u64,
    /// Most messages of one sender that wait in one mailbox; then `MAILBOX_FULL`.
    pub sender_messages_max: usize,
    /// Most bytes of one sender that wait in one mailbox; then `MAILBOX_FULL`.
    pub sender_bytes_max: u64,
    /// Most people that one person blocks; then `BLOCK_LIST_FULL`.
    pub blocks_max: usize,
    /// Most password checks that run or wait; then `BUSY`.
    pub checks_max: usize,
    /// Most names without an account whose wrong passwords are counted; the oldest is forgotten.
    pub strangers_max: usize,
    /// Most ids of sent messages that are remembered per account.
    pub retries_max: usize,
    /// How long an id of a sent message is remembered, in milliseconds.
    pub retry_ms: u64,
    /// Broadcasts of one person that may come at once; then `TOO_FAST`.
    pub broadcast_burst: u32,
    /// One more broadcast is allowed after so many milliseconds.
    pub broadcast_interval_ms: u64,
    /// Requests of one person per second, over a burst of as many; 0 means no ceiling.
    pub requests_per_second: u32,
    /// Changes of one person's password that may be tried at once; then `TOO_FAST`.
    pub passwd_burst: u32,
    /// One more such try is allowed after so many milliseconds.
    pub passwd_interval_ms: u64,
    /// Similar names that are looked for at once for one person; beyond, none is suggested.
    pub suggestion_burst: u32,
    /// One more is looked for after so many milliseconds.
    pub suggestion_interval_ms: u64,
    /// While somebody is online, how often the time is written down, in milliseconds.
    pub heartbeat_ms: u64,
    /// Most names that are looked at to find a similar one.
    pub suggestion_names_max: usize,
    /// Most people, those who were removed included; then `join` is answered `SERVER_FULL`. The
    /// operator may add more.
    pub people_max: usize,
    /// Most devices of one account that may resume; the one not used for longest makes room.
    pub devices_max: usize,
    /// Most invites of one member that are open; then `TOO_MANY_INVITES`.
    pub member_invites_max: usize,
    /// Most invites that are open in all; then `TOO_MANY_INVITES`.
    pub invites_max: usize,
    /// How long an invite is valid, in milliseconds.
    pub invite_ms: u64,
    /// Wrong passwords and invites from one source address (IPv6: one /64) that are looked at
    /// within [`Rules::source_ms`]; then `SLOW_DOWN`, before anything is looked at.
    pub source_failures_max: u32,
    /// The time over which those are counted, in milliseconds.
    pub source_ms: u64,
    /// So many locks of one account within an hour that one source caused; then `SLOW_DOWN`.
    pub source_locks_max: u32,
    /// A source is first refused for this long, in milliseconds, and twice as long each further
    /// time, up to [`Rules::source_pause_ms_max`].
    pub source_pause_ms: u64,
    /// The longest such pause, in milliseconds.
    pub source_pause_ms_max: u64,
    /// Most sources that are remembered; the one heard of longest ago is forgotten.
    pub sources_max: usize,
    /// Most private links one person may be asking for at once; then `TOO_MANY_LINKS`.
    pub questions_max: usize,
    /// Most that one person may be asked for at once; then `TOO_MANY_LINKS`.
    pub questions_to_max: usize,
    /// How long making a private link may take, in milliseconds.
    pub introduction_ms: u64,
    /// Times one person may ask another for a private link within [`Rules::asks_ms`]; then
    /// `TOO_FAST`.
    pub asks_max: usize,
    /// Times one person may ask anybody within that time; then `TOO_FAST`.
    pub asks_in_all_max: usize,
    /// Times one person may ask another for a link for a file within that time; then `TOO_FAST`.
    pub file_asks_max: usize,
    /// The time over which those are counted, in milliseconds.
    pub asks_ms: u64,
    /// Most ends of private links of one session that may use the relay; then `TOO_MANY_LINKS`.
    pub relayed_max: usize,
    /// Whether there is a relay; else `NO_RELAY`.
    pub has_relay: bool,
    /// Most files one person shares; then `TOO_MANY_FILES`.
    pub shares_max: usize,
    /// Most files all people share together; then `TOO_MANY_FILES`.
    pub shares_in_all_max: usize,
    /// Most files of which one session claims parts; then `TOO_MANY_FILES`.
    pub claims_max: usize,
    /// Most claims of all sessions; then `TOO_MANY_FILES`.
    pub claims_in_all_max: usize,
    /// A share that its owner has not mentioned for so long expires, in milliseconds.
    pub share_ms: u64,
    /// That it was mentioned is noted if this was not done for so long, in milliseconds.
    pub share_renewal_ms: u64,
    /// Searches of one person that may come at once; then `TOO_FAST`.
    pub search_burst: u32,
    /// One more search is allowed after so many milliseconds.
    pub search_interval_ms: u64,
    /// Names of files that all searches together may look at per second, over a burst of as many; then
    /// `TOO_FAST`.
    pub searched_per_second: u64,
    /// Source addresses that are loopback have no budget: several people may share this machine.
    pub loopback_is_exempt: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            block_ms: 60_000,
            idle_ms: 0,
            strikes_max: 3,
            away_ms: 20_000,
            mailbox_messages_max: 10_000,
            mailbox_bytes_max: 64 << 20,
            sender_messages_max: 2_000,
            sender_bytes_max: 16 << 20,
            blocks_max: 1_000,
            checks_max: 64,
            strangers_max: 10_000,
            retries_max: 10_000,
            retry_ms: 7 * 24 * 3600 * 1000,
            broadcast_burst: 200,
            broadcast_interval_ms: 50,
            requests_per_second: 0,
            passwd_burst: 5,
            passwd_interval_ms: 60_000,
            suggestion_burst: 20,
            suggestion_interval_ms: 200,
            heartbeat_ms: 10_000,
            suggestion_names_max: 10_000,
            people_max: 100_000,
            devices_max: 16,
            member_invites_max: 20,
            invites_max: 1_000,
            invite_ms: 7 * 24 * 3600 * 1000,
            source_failures_max: 10,
            source_ms: 600_000,
            source_locks_max: 3,
            source_pause_ms: 600_000,
            source_pause_ms_max: 3_600_000,
            sources_max: 10_000,
            questions_max: 16,
            questions_to_max: 64,
            introduction_ms: 120_000,
            asks_max: 2,
            asks_in_all_max: 32,
            file_asks_max: 8,
            asks_ms: 10_000,
            relayed_max: 40,
            has_relay: true,
            shares_max: 1_000,
            shares_in_all_max: 100_000,
            claims_max: 1_064,
            claims_in_all_max: 300_000,
            share_ms: 90 * 24 * 3600 * 1000,
            share_renewal_ms: 30 * 24 * 3600 * 1000,
            search_burst: 10,
            search_interval_ms: 500,
            searched_per_second: 2_000_000,
            loopback_is_exempt: true,
        }
    }
}
