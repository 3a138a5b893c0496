//! Who may use the relay, and who does.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use iroh_relay::server::ConnectionId;
use sha2::{Digest, Sha256};
use whoelse_engine::AccountId;
use whoelse_proto::{EndpointKey, RelayTicket};

use super::Cutter;
use super::allowance::Allowance;

/// Most connections of one end of a link: one, and those of before a break that nobody has noticed
/// yet. One more pushes out the oldest.
const CONNECTIONS_MAX: usize = 4;

/// A table that the hub writes and the relay reads.
#[derive(Debug)]
pub(super) struct Admissions {
    table: Mutex<Table>,
    /// What each person may send.
    bytes_per_second: u32,
    /// What waits for slow readers, of all people.
    held: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Table {
    /// Hashes of tickets: how long a comparison takes says nothing about the ticket itself.
    tickets: BTreeMap<(EndpointKey, AccountId), [u8; 32]>,
    present: HashMap<ConnectionId, Present>,
    /// Of everybody who is there, or whose packets are.
    allowances: HashMap<AccountId, Weak<Allowance>>,
    entered: u64,
}

#[derive(Debug)]
struct Present {
    endpoint: EndpointKey,
    account: AccountId,
    /// Grows from one to the next.
    order: u64,
    cutter: Cutter,
}

impl Admissions {
    /// Nobody may use it yet.
    pub(super) fn new(bytes_per_second: u32) -> Self {
        Self { table: Mutex::default(), bytes_per_second, held: Arc::default() }
    }

    /// What somebody may use of whom nothing is known yet.
    pub(super) fn allowance(&self) -> io::Result<Arc<Allowance>> {
        Allowance::new(self.bytes_per_second, &self.held).map(Arc::new)
    }

    /// Lets an end of a link in, by this ticket only.
    pub(super) fn admit(&self, account: AccountId, endpoint: EndpointKey, ticket: &RelayTicket) {
        self.lock().tickets.insert((endpoint, account), hash(ticket));
    }

    /// Lets it in no longer, and cuts what came in by this account's ticket.
    pub(super) fn expel(&self, account: AccountId, endpoint: EndpointKey) {
        let mut table = self.lock();
        table.tickets.remove(&(endpoint, account));
        let present = table.present.values();
        present
            .filter(|present| present.endpoint == endpoint && present.account == account)
            .for_each(|present| present.cutter.cut());
    }

    /// Whether a connection that has proven this key may stay, and what it may use, with whatever else
    /// its person has here. It is then cut when its ticket is void.
    pub(super) fn enter(
        &self,
        endpoint: EndpointKey,
        ticket: &RelayTicket,
        connection: ConnectionId,
        cutter: &Cutter,
    ) -> Option<Arc<Allowance>> {
        let shown = hash(ticket);
        let mut table = self.lock();
        let of_endpoint = (endpoint, AccountId(0))..=(endpoint, AccountId(u32::MAX));
        let mut tickets = table.tickets.range(of_endpoint);
        let ((_, account), _) = tickets.find(|(_, known)| **known == shown)?;
        let account = *account;
        let allowance = self.of_person(&mut table, account)?;
        table.make_room(endpoint);
        table.entered += 1;
        let (order, cutter) = (table.entered, cutter.clone());
        table.present.insert(connection, Present { endpoint, account, order, cutter });
        Some(allowance)
    }

    fn of_person(&self, table: &mut Table, account: AccountId) -> Option<Arc<Allowance>> {
        if let Some(known) = table.allowances.get(&account).and_then(Weak::upgrade) {
            return Some(known);
        }
        table.allowances.retain(|_, known| known.strong_count() > 0);
        let new = self.allowance().ok()?;
        table.allowances.insert(account, Arc::downgrade(&new));
        Some(new)
    }

    /// A connection that had entered has ended.
    pub(super) fn leave(&self, connection: ConnectionId) {
        self.lock().present.remove(&connection);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&self, endpoint: EndpointKey) {
        let same = self.present.values().filter(|present| present.endpoint == endpoint);
        let mut same: Vec<_> = same.collect();
        same.sort_unstable_by_key(|present| present.order);
        // Those that were cut before may not have left yet.
        let kept = same.len().min(CONNECTIONS_MAX - 1);
        same[..same.len() - kept].iter().for_each(|present| present.cutter.cut());
    }
}

fn hash(ticket: &RelayTicket) -> [u8; 32] {
    Sha256::digest(ticket.expose()).into()
}
