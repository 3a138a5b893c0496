//! How often things happen, drawn for each seed: a rate that is the same everywhere hides bugs that
//! need a long quiet time, or none.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use whoelse_engine::Rules;
use whoelse_server::journal::JournalOptions;

/// The rates of one world. Times are in milliseconds, and are halves of the longest.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    /// Between two deeds of a person.
    pub(super) deed_ms: u64,
    /// Things said at once.
    pub(super) burst: usize,
    /// Bytes of the longest usual text.
    pub(super) text: usize,
    /// Bytes of the longest of all.
    pub(super) long_text: usize,
    /// Between two faults.
    pub(super) fault_ms: u64,
    /// How often each kind of fault comes, beside the others.
    pub(super) weights: [u32; 16],
    /// Between two orders of the operator.
    pub(super) order_ms: u64,
    /// On a line.
    pub(super) delay_ms: u64,
    /// How often bytes come in pieces.
    pub(super) pieces: f64,
    /// How much is on its way out at most.
    pub(super) outbound_max: usize,
    /// How often a connection cannot be opened.
    pub(super) unreachable: f64,
    /// Until what waits is written, and synced.
    pub(super) write_ms: u64,
    pub(super) sync_ms: u64,
    pub(super) project_ms: u64,
    pub(super) page_bytes: usize,
    /// How often the server has no moment just now.
    pub(super) busy: f64,
    pub(super) down_ms: u64,
    pub(super) wrong_password: f64,
    /// Until what is told is shown.
    pub(super) screen_ms: u64,
    /// How often a person does what is done seldom.
    pub(super) seldom: f64,
    /// How often a person does something about shared files.
    pub(super) files: f64,
    /// How often a client that is not ours speaks through a line.
    pub(super) odd: f64,
    /// How often a client has no person.
    pub(super) script: f64,
    pub(super) takeover: f64,
    pub(super) journal: JournalOptions,
    /// What the disk writes whole. Smaller than of any disk there is, so that borders are often met.
    pub(super) sector_bytes: usize,
    /// How often a client has no log.
    pub(super) no_log: f64,
    /// How often it ends while something is kept, and how often that fails.
    pub(super) keep_crash: f64,
    pub(super) keep_fails: f64,
}

impl Rates {
    pub(super) fn draw(random: &mut ChaCha8Rng) -> Self {
        let weights = std::array::from_fn(|_| [0, 1, 1, 4][random.random_range(0..4)]);
        let mut pick = |rates: &[u64]| rates[random.random_range(0..rates.len())];
        let part = |per_mille: u64| per_mille as f64 / 1000.0;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // A record must fit into a batch. Small ones are the ones that split an append.
        let has_small_batches = pick(&[0, 1]) == 1;
        let longest = if has_small_batches { 12 } else { 4_000 };
        Self {
            deed_ms: pick(&[5, 20, 100, 1_000]),
            burst: size(pick(&[3, 10, 30])),
            text: size(pick(&[10, 50, 1_000]).min(longest)),
            long_text: size(longest),
            fault_ms: pick(&[300, 1_000, 5_000, 30_000]),
            weights,
            order_ms: pick(&[2_000, 20_000, 100_000]),
            delay_ms: pick(&[0, 3, 40, 300]),
            pieces: part(pick(&[0, 50, 500])),
            outbound_max: size(pick(&[300, 4_000, 64_000])),
            unreachable: part(pick(&[0, 0, 20, 300])),
            write_ms: pick(&[0, 1, 20]),
            sync_ms: pick(&[0, 2, 30, 500]),
            project_ms: pick(&[20, 500, 5_000, 60_000]),
            page_bytes: size(pick(&[300, 3_000])),
            busy: part(pick(&[0, 100, 700])),
            down_ms: pick(&[10, 500, 15_000]),
            wrong_password: part(pick(&[0, 100, 600])),
            screen_ms: pick(&[0, 5, 500]),
            seldom: part(pick(&[20, 80, 300])),
            // A share is a long record.
            files: if has_small_batches { 0.0 } else { part(pick(&[0, 20, 200])) },
            odd: part(pick(&[5, 30, 100])),
            script: part(pick(&[0, 200])),
            takeover: part(pick(&[100, 700])),
            journal: JournalOptions {
                segment_bytes: u32::try_from(pick(&[16 << 10, 16 << 10, 64 << 10])).unwrap_or(0),
                batch_bytes_max: if has_small_batches { 76 } else { 7_000 },
                spares: size(pick(&[1, 1, 0, 2])),
                free_max: 4,
            },
            sector_bytes: size(pick(&[512, 512, 64])),
            no_log: part(pick(&[0, 0, 200])),
            keep_crash: part(pick(&[0, 1, 5])),
            keep_fails: part(pick(&[0, 0, 5, 100])),
        }
    }

    /// Whether a fault of a kind comes now: so often, in a thousand, times its weight.
    pub(super) fn is_hit(&self, random: &mut ChaCha8Rng, kind: usize, per_mille: u32) -> bool {
        let weight = self.weights[kind] * per_mille;
        weight > 0 && random.random_range(0..1_000) < weight
    }

    /// Nothing is difficult any more.
    pub(super) fn heal(&mut self) {
        self.weights = [0; 16];
        self.delay_ms = self.delay_ms.min(3);
        self.pieces = 0.0;
        self.outbound_max = 64_000;
        self.unreachable = 0.0;
        self.sync_ms = self.sync_ms.min(2);
        self.busy = 0.0;
        self.wrong_password = 0.0;
        self.screen_ms = self.screen_ms.min(5);
        self.deed_ms = 200;
        self.files = 0.0;
        self.odd = 0.0;
        self.takeover = 1.0;
        self.no_log = 0.0;
    }
}

/// The rules of one world, small enough to be reached.
pub(super) fn rules(random: &mut ChaCha8Rng) -> Rules {
    let mut pick = |numbers: &[u64]| numbers[random.random_range(0..numbers.len())];
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Rules {
        block_ms: pick(&[3_000, 10_000, 60_000]),
        idle_ms: pick(&[0, 0, 60_000, 8_000]),
        mailbox_messages_max: size(pick(&[10_000, 10_000, 10_000, 90])),
        mailbox_bytes_max: pick(&[64 << 20, 64 << 20, 64 << 20, 20_000]),
        sender_messages_max: size(pick(&[2_000, 2_000, 2_000, 40])),
        sender_bytes_max: pick(&[16 << 20, 16 << 20, 16 << 20, 10_000]),
        broadcast_burst: u32::MAX,
        broadcast_interval_ms: 0,
        devices_max: 2,
        member_invites_max: 2,
        invites_max: 5,
        invite_ms: pick(&[300_000, 30_000]),
        passwd_burst: u32::MAX,
        shares_max: 3,
        shares_in_all_max: 8,
        claims_max: 4,
        claims_in_all_max: 10,
        share_ms: pick(&[90 * 24 * 3_600_000, 12_000]),
        share_renewal_ms: 5_000,
        search_burst: u32::MAX,
        search_interval_ms: 0,
        searched_per_second: u64::MAX,
        retries_max: size(pick(&[10_000, 100])),
        retry_ms: pick(&[7 * 24 * 3_600_000, 3_600_000]),
        ..Rules::default()
    }
}
