//! What simulated worlds have been through: a run in which nothing happened proves nothing.

use crate::sim::model::{Ask, Op};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has happened, and how often.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Both added up.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self { $($name: self.$name + other.$name,)* }
            }

            /// All of them by name.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Events of worlds.
    steps,
    /// Inputs of engines, each compared with the model.
    inputs,
    /// Comparisons of all that lasts.
    compared,
    /// Simulated time in milliseconds.
    sim_ms,
    /// Messages confirmed to their senders.
    acked,
    /// Messages refused.
    refused,
    /// Messages told to their readers.
    told,
    /// Repetitions that a client dropped.
    dropped,
    /// Messages told again because a client had died before it acknowledged them.
    told_again,
    /// Repetitions that the server recognised.
    repeated,
    /// Ids used for something else.
    conflicts,
    /// Mailboxes that were full.
    mailbox_full,
    /// Power cuts.
    crashes,
    /// Power cuts soon after a start.
    blackouts,
    /// Ends of the server's process alone.
    kills,
    /// Ends in order.
    stops,
    /// Power cuts in the middle of a disk operation.
    torn,
    /// Disk operations that failed, and ended the server.
    disk_failures,
    /// Syncs that failed.
    sync_failures,
    /// The disk was full when a segment was wanted.
    disk_full,
    /// The database could not grow, in the middle of a transaction.
    database_full,
    /// Starts that were refused because the disk was full.
    refused_starts,
    /// The server ended between a turn and its release.
    unreleased,
    /// The database was ahead of the freed segments when the server ended.
    unfreed,
    /// Records that a crash took back; none of them was promised to anybody.
    taken_back,
    /// Inputs of which a crash took back a part.
    torn_inputs,
    /// Restores from a backup.
    restores,
    /// Messages that a restore took back.
    restored_away,
    /// The wall clock was set back.
    clock_back,
    /// The wall clock was set forward.
    clock_forward,
    /// Syncs.
    syncs,
    /// Transactions of the projector.
    projections,
    /// Pages of mail read from the database.
    pages,
    /// Segments turned over before they were full.
    turned_over,
    /// The server took nothing new because the disk was short.
    server_full,
    /// The store took no input for a while.
    store_full,
    /// Lines that were cut, by whatever end.
    cuts,
    /// Lines whose server heard of their end later than the client.
    half_open,
    /// Lines that ended in the middle of a frame.
    mid_frame,
    /// Tries to connect that failed.
    unreachable,
    /// Sessions begun, by whatever way.
    logins,
    /// Sessions that came back by themselves.
    returns,
    /// Sessions begun by the key of a device.
    resumed,
    /// Resumes refused.
    resume_refused,
    /// Wrong passwords.
    wrong,
    /// Names locked by wrong passwords.
    locked,
    /// Logins refused because a name was locked.
    blocked,
    /// Wrong passwords for names that nobody has.
    strangers,
    /// Logins that told of failed ones.
    told_failures,
    /// Sessions taken over.
    taken_over,
    /// Logins refused because of a session elsewhere.
    already,
    /// Sessions that were idle for too long.
    timeouts,
    /// Sessions that somebody else ended.
    expelled,
    /// Logins of people who were kept out.
    shut_out,
    /// Passwords changed.
    passwords,
    /// Devices revoked.
    revoked,
    /// Accounts made by invites.
    joined,
    /// Invites that were worth nothing.
    invites_refused,
    /// Blocks.
    blocks,
    /// Messages refused because of one.
    user_blocked,
    /// Announcements that somebody came.
    came,
    /// Announcements that somebody left.
    left,
    /// Words to everybody.
    broadcasts,
    /// Lists of who is here.
    whoelse,
    /// Lists of who was here.
    whoelse_since,
    /// Numbers acknowledged that were never sent.
    bad_numbers,
    /// Requests that were none.
    malformed,
    /// Clients that died.
    client_crashes,
    /// Clients that died while something was kept.
    ends_while_kept,
    /// Logs of clients that were opened.
    logs_opened,
    /// Logs that somebody removed.
    logs_removed,
    /// Batches that could not be kept.
    logs_failed,
    /// Logs of which a power cut has damaged a part.
    logs_damaged,
    /// Messages that a client found in its log, and sent again.
    taken_up,
    /// Messages left to the next client in order.
    waits,
    /// Messages that a client found in its log and told, because an earlier one might not have shown them.
    told_late,
    /// Messages of which the log knew that they were told under another number.
    known_again,
    /// Looks into logs.
    looks,
    /// Receipts that reached their senders.
    delivered,
    /// Lists of receipts that were asked for.
    receipts,
    /// Files shared.
    files_shared,
    /// Shares taken back.
    files_unshared,
    /// Shares confirmed to clients.
    files_confirmed,
    /// Searches that found something.
    files_found,
    /// Claims of parts.
    files_claimed,
    /// Lists of sources with somebody on them.
    files_given,
    /// Requests about files that a person may not see, or that there are not.
    files_hidden,
    /// As many files were shared or claimed as may be.
    files_full,
    /// Shares that expired.
    files_expired,
    /// Shares that would have expired if their owners had not been there.
    files_renewed,
    /// Clients that ended by themselves.
    endings,
    /// Readers that were slow for a while.
    slow,
    /// Worlds in which nothing was left to do at the end.
    healed,
}

impl Stats {
    /// How many there must be at least of what this counts, in so many worlds.
    #[must_use]
    pub fn least(name: &str, seeds: u64) -> u64 {
        match name {
            "acked" | "told" => 500 * seeds,
            "crashes" => seeds,
            "torn_inputs" | "timeouts" => seeds / 1_000,
            // What needs luck is looked for only in many worlds.
            _ => seeds / 200,
        }
    }

    /// Counts an answer.
    pub(super) fn count_word(&mut self, op: &Op, word: &str, is_stranger: bool) {
        self.strangers += u64::from(is_stranger);
        let ask = match op {
            Op::Request(_, _, ask) => Some(ask),
            _ => None,
        };
        let is_done = word.starts_with("SUCCESS");
        match (ask, word) {
            (Some(Ask::Block { begins: true, .. }), "SUCCESS") => self.blocks += 1,
            (Some(Ask::RevokeDevice { .. }), "SUCCESS") => self.revoked += 1,
            (Some(Ask::Logout { forget: true }), "SUCCESS") => self.revoked += 1,
            (Some(Ask::Share(_)), "SUCCESS") => self.files_shared += 1,
            (Some(Ask::Unshare { .. }), "SUCCESS") => self.files_unshared += 1,
            (Some(Ask::Have { .. }), "SUCCESS") => self.files_claimed += 1,
            (_, "FILE_NOT_EXIST") => self.files_hidden += 1,
            (_, "TOO_MANY_FILES") => self.files_full += 1,
            (Some(Ask::SearchFiles { .. }), word) if word.contains(' ') => self.files_found += 1,
            (Some(Ask::Sources { .. }), word) if word.contains(' ') => self.files_given += 1,
            (Some(Ask::Whoelse), _) => self.whoelse += 1,
            (Some(Ask::Receipts { .. }), _) => self.receipts += 1,
            (Some(Ask::WhoelseSince { .. }), _) => self.whoelse_since += 1,
            (None, "SUCCESS") => self.passwords += 1,
            (_, "USER_BLOCKED") => self.user_blocked += 1,
            (_, "ID_CONFLICT") => self.conflicts += 1,
            (_, "MAILBOX_FULL") => self.mailbox_full += 1,
            (_, "SERVER_FULL") => self.server_full += 1,
            (_, "INVALID_PASSWORD") => self.wrong += 1,
            (_, "INVALID_PASSWORD_BLOCKED") => self.locked += 1,
            (_, "BLOCKED") => self.blocked += 1,
            (_, "LOCKED") => self.shut_out += 1,
            (_, "RESUME_REFUSED") => self.resume_refused += 1,
            (_, "ALREADY_LOGGED_IN") => self.already += 1,
            (_, "INVITE_INVALID") => self.invites_refused += 1,
            (_, "BAD_NUMBER") => self.bad_numbers += 1,
            (_, "timeout") => self.timeouts += 1,
            (_, "taken over") => self.taken_over += 1,
            _ if word.starts_with("ended ") => self.expelled += 1,
            _ if word.starts_with("SUCCESS as") => {
                self.logins += 1;
                self.resumed += u64::from(matches!(ask, Some(Ask::Resume { .. })));
                self.told_failures += u64::from(!word.ends_with(" 0 failed"));
            }
            _ => {}
        }
        let is_message = matches!(ask, Some(Ask::Message { .. }));
        self.refused += u64::from(is_message && !is_done);
    }
}
