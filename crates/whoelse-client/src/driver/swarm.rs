//! Files that many fetch from many: the words of the core, in those of `whoelse-peer`.

use whoelse_peer::{Event, Node};

use super::links::{file_failure, ours, theirs};
use crate::links::swarm::GetProgress;
use crate::links::{PeerEvent, SwarmEvent, SwarmOrder};

/// Does what the core wants done with files.
pub(super) fn carry(node: &Node, order: SwarmOrder) {
    match order {
        SwarmOrder::Share { number, path } => node.share(number, path),
        SwarmOrder::NoteShare { hash, note } => node.note_share(hash, note),
        SwarmOrder::Unshare { hash } => node.unshare(hash),
        SwarmOrder::Get { hash, size, name, note } => node.get(hash, size, name, note),
        SwarmOrder::AddSource { hash, link, claims } => {
            node.add_source(hash, theirs(link), Some(claims));
        }
        SwarmOrder::CancelGet { hash } => node.cancel_get(hash),
        SwarmOrder::Allow { hash, link } => node.allow(theirs(link), hash),
    }
}

/// A report in the words of the core; none if it is of no interest there.
pub(super) fn translate(event: Event) -> Option<PeerEvent> {
    match event {
        Event::Swarm { hash, what } => Some(PeerEvent::Swarm { hash, what: happening(what) }),
        _ => None,
    }
}

fn happening(what: whoelse_peer::SwarmEvent) -> SwarmEvent {
    use whoelse_peer::SwarmEvent as Theirs;
    match what {
        Theirs::Shared { number, path, name, size, note } => {
            SwarmEvent::Shared { number, path, name, size, note }
        }
        Theirs::NotShared { number, why } => {
            SwarmEvent::NotShared { number, why: file_failure(why) }
        }
        Theirs::Changed { path } => SwarmEvent::Changed { path },
        Theirs::Kept { size, note, done, .. } => SwarmEvent::Kept { size, note, done },
        Theirs::Progress { done, total, bytes_per_second, parts, parts_done, sources } => {
            let of = GetProgress { done, total, bytes_per_second, parts, parts_done, sources };
            SwarmEvent::Progress(of)
        }
        Theirs::Parts { parts } => SwarmEvent::Parts { parts },
        Theirs::Starving => SwarmEvent::Starving,
        Theirs::Spare { link } => SwarmEvent::Spare { link: ours(link) },
        Theirs::Banned { link } => SwarmEvent::Banned { link: ours(link) },
        Theirs::Received { path, by } => {
            let by = by.into_iter().map(|(link, bytes, parts)| (ours(link), bytes, parts));
            SwarmEvent::Received { path, by: by.collect() }
        }
        Theirs::NotReceived { why } => SwarmEvent::NotReceived { why: file_failure(why) },
        Theirs::Served { link, bytes } => SwarmEvent::Served { link: ours(link), bytes },
    }
}
