//! Who may use the relay, and who does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use iroh_relay::server::ConnectionId;
use sha2::{Digest, Sha256};
use whoelse_engine::AccountId;
use whoelse_proto::{EndpointKey, RelayTicket};

use super::Cutter;

/// Most connections of one end of a link: one, and those of before a break that nobody has noticed
/// yet. One more pushes out the oldest.
const CONNECTIONS_MAX: usize = 4;

/// A table that the hub writes and the relay reads.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// Hashes of tickets: how long a comparison takes says nothing about the ticket itself.
    tickets: BTreeMap<(EndpointKey, AccountId), [u8; 32]>,
    present: HashMap<ConnectionId, Present>,
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

    /// Whether a connection that has proven this key may stay; it is then cut when its ticket is void.
    pub(super) fn enter(
        &self,
        endpoint: EndpointKey,
        ticket: &RelayTicket,
        connection: ConnectionId,
        cutter: &Cutter,
    ) -> bool {
        let shown = hash(ticket);
        let mut table = self.lock();
        let of_endpoint = (endpoint, AccountId(0))..=(endpoint, AccountId(u32::MAX));
        let mut tickets = table.tickets.range(of_endpoint);
        let Some(account) =
            tickets.find(|(_, known)| **known == shown).map(|((_, account), _)| *account)
        else {
            return false;
        };
        table.make_room(endpoint);
        table.entered += 1;
        let (order, cutter) = (table.entered, cutter.clone());
        table.present.insert(connection, Present { endpoint, account, order, cutter });
        true
    }

    /// A connection that had entered has ended.
    pub(super) fn leave(&self, connection: ConnectionId) {
        self.lock().present.remove(&connection);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
