//! Who is told that what it wrote has arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use whoelse_proto::limits::RECEIPTS_MAX;
use whoelse_proto::{ReceiptKey, RequestId};

use super::{Model, Said, Sent, Waiting, Word};

impl Model {
    /// Somebody has its mail up to a number. Its writers learn of it, unless they are blocked.
    pub(super) fn delivered(&mut self, who: usize, number: u64, said: &mut Vec<Said>) {
        let mut keys: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let person = &mut self.people[who];
        while person.acknowledged < number
            && let Some(mail) = person.waiting.pop_front()
        {
            person.acknowledged += 1;
            if let Some(key) = mail.key() {
                keys.entry(mail.from).or_default().push(key.to_string());
            }
        }
        let person = &self.people[who];
        for (writer, keys) in keys {
            let session = self.people[writer].session.as_ref();
            let line = session.filter(|session| session.receipts).and_then(|it| it.connection);
            let Some(line) = line.filter(|_| !person.blocks.contains(&writer)) else { continue };
            for keys in keys.chunks(RECEIPTS_MAX) {
                let word = format!("{} has {}", person.name, keys.join(" "));
                said.push(Said::To(line, word.into()));
            }
        }
    }

    /// What has arrived of what somebody sent under these ids, and what nobody knows of.
    pub(super) fn receipts(&self, now: u64, me: usize, ids: &[Arc<str>]) -> Word {
        let (mut delivered, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match self.sent_under(now, me, id) {
                None => unknown.push(&**id),
                Some(sent) => {
                    let reader = &self.people[sent.to];
                    if sent.number <= reader.acknowledged && !reader.blocks.contains(&me) {
                        delivered.push(&**id);
                    }
                }
            }
        }
        format!("delivered {}, unknown {}", delivered.join(" "), unknown.join(" ")).into()
    }

    /// What somebody sent under an id, as long as that counts.
    pub(super) fn sent_under(&self, now: u64, me: usize, id: &Arc<str>) -> Option<&Sent> {
        let sent = self.people[me].sent.content.get(id)?;
        (now - sent.at <= self.rules.retry_ms).then_some(sent)
    }
}

impl Waiting {
    /// What a receipt calls it.
    pub(super) fn key(&self) -> Option<ReceiptKey> {
        RequestId::new(self.id.as_ref()?).map(|id| ReceiptKey::of(&id))
    }
}
