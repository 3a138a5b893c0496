//! What people do about shared files: by requests of their own, as the core of a client would send
//! them, over the line of that client.

use rand::RngExt;
use serde_json::{Value, json};
use whoelse_proto::codec::Incoming;
use whoelse_proto::{FileHash, Layout, PartMap, Signature};

use super::{Fallible, World};

/// There are so many files.
const FILES: u8 = 5;

/// Two sizes of one file: somebody lies, and nobody can say who.
const SIZES: [u64; 2] = [500, 200_000];

impl World {
    /// Shares, looks, or says what it has.
    pub(super) fn about_files(&mut self, who: usize) {
        if self.people[who].client.as_ref().is_none_or(|client| client.line.is_none()) {
            return;
        }
        let (number, what) = {
            let random = &mut self.chance.people;
            (random.random_range(0..FILES), random.random_range(0..12))
        };
        let hash = FileHash([number; 32]).to_string();
        let request = match what {
            0..4 => self.offer(number),
            4 => json!({"action": "unshare", "hash": hash}),
            5 => json!({"action": "shares"}),
            6..8 => {
                let words = ["", "FILM", "film 1", "song"][self.chance.people.random_range(0..4)];
                json!({"action": "search_files", "words": words})
            }
            8 => json!({"action": "sources", "hash": hash}),
            _ => json!({"action": "have", "hash": hash, "parts": self.some_parts()}),
        };
        self.tell(|| format!("p{who} asks {request}"));
        self.send(who, format!("{request}\n").as_bytes());
    }

    fn offer(&mut self, number: u8) -> Value {
        self.offers += 1;
        let id = format!("offer-{}", self.offers);
        let people = self.people.len();
        let random = &mut self.chance.people;
        let variant = random.random_range(0..2_u8);
        let name = ["film 1.mkv", "Song.ogg"][usize::from(variant)];
        let size = SIZES[usize::from(random.random_bool(0.1))];
        let mut request = json!({
            "action": "share",
            "id": id,
            "hash": FileHash([number; 32]).to_string(),
            "size": size,
            "name": name,
            "signature": Signature([variant; 64]).to_string(),
        });
        if random.random_bool(0.5) {
            let others = (0..random.random_range(1..4)).map(|_| random.random_range(0..people));
            let others: Vec<usize> = others.collect();
            let names = others.iter().map(|other| self.people[*other].name.clone());
            request["with"] = json!(names.collect::<Vec<_>>());
        }
        request
    }

    fn some_parts(&mut self) -> String {
        let random = &mut self.chance.people;
        let parts = Layout::of(SIZES[usize::from(random.random_bool(0.2))]).parts();
        let mut map = PartMap::none(parts);
        let some = (0..parts).filter(|_| random.random_bool(0.7));
        some.collect::<Vec<_>>().into_iter().for_each(|part| map.insert(part));
        map.to_string()
    }

    /// P1: a share that was confirmed is on disk.
    pub(super) fn hear_of_files(&mut self, epoch: usize, incoming: &Incoming) -> Fallible {
        let is_done = incoming.status.as_deref() == Some("SUCCESS");
        let Some(id) = incoming.id.as_deref().filter(|_| incoming.action == "share" && is_done)
        else {
            return Ok(());
        };
        self.stats.files_confirmed += 1;
        let book = self.book.borrow();
        let after = book.shared.get(id).copied();
        if epoch == self.epoch && after.is_some_and(|after| after > book.safe_records) {
            return Err(format!("{id} was confirmed before it was on disk"));
        }
        Ok(())
    }
}
