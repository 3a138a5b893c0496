//! What the other end of a link says of files.

use tokio::time::Instant;
use whoelse_proto::FileName;

use super::rate::Rate;
use super::state::Token;
use super::store::FileHash;
use super::{Files, Stage, Transfer};
use crate::FILE_BYTES_MAX;
use crate::api::{Event, FileEvent, FileFailure, LinkId, TransferId};
use crate::wire::FileFrame;

/// Most offers of one device that wait for an answer.
const ASKED_MAX: usize = 16;

impl Files {
    /// The other end says something of a file.
    pub(super) async fn said(&mut self, link: LinkId, device: &str, frame: FileFrame<'static>) {
        let token = *frame.token();
        let found = self.find(&token, device);
        match (frame, found) {
            (FileFrame::Offer { name, size, hash, .. }, None) => {
                self.asked(link, device, token, &name, size, hash).await;
            }
            (FileFrame::Offer { .. }, Some(transfer)) => {
                if let Err(why) = self.fetch(transfer).await {
                    self.give_up(transfer, why).await;
                }
            }
            (FileFrame::Accept { .. }, Some(transfer)) => self.accepted(transfer, link).await,
            (FileFrame::Accept { .. }, None) => self.say(device, FileFrame::Cancel { token }),
            (FileFrame::Have { bytes, .. }, Some(transfer)) => self.has(transfer, bytes),
            (FileFrame::Done { .. }, Some(transfer)) if self.is_sending(transfer) => {
                self.finish(transfer, FileEvent::Sent, true).await;
            }
            (FileFrame::Decline { .. }, Some(transfer)) if self.is_sending(transfer) => {
                let what = FileEvent::Failed(FileFailure::Declined);
                self.finish(transfer, what, false).await;
            }
            (FileFrame::Cancel { .. }, Some(transfer)) => {
                let what = FileEvent::Failed(FileFailure::CancelledByPeer);
                self.finish(transfer, what, false).await;
            }
            (FileFrame::Cancel { .. }, None) => self.forget(&token, device).await,
            _ => {}
        }
    }

    /// They offer a file we have not heard of, or of which they have not heard how it ended.
    async fn asked(
        &mut self,
        link: LinkId,
        device: &str,
        token: Token,
        name: &str,
        size: u64,
        hash: FileHash,
    ) {
        match self.memory.ended(&token, device) {
            Some(true) => return self.say(device, FileFrame::Done { token }),
            Some(false) => return self.say(device, FileFrame::Cancel { token }),
            None => {}
        }
        // No other device has the name of a transfer, but by telling each other.
        let mut known = self.memory.transfers.iter().filter(|kept| kept.token == token);
        let stolen = known.any(|kept| kept.device != device);
        let takes =
            !stolen && size <= FILE_BYTES_MAX && self.folder.is_ok() && self.downloads.is_some();
        let many = self.has_many() && self.memory.kept(&token, device).is_none();
        if !takes || many || !self.has_time_for(device) {
            return self.say(device, FileFrame::Decline { token });
        }
        let transfer = self.numbers.next();
        let name = FileName::of(name);
        let what = FileEvent::Offered { link, name: name.clone(), size };
        let stage = Stage::Asked(link);
        let device = device.to_owned();
        self.transfers.insert(transfer, Transfer { token, device, name, size, hash, stage });
        self.tell(transfer, what).await;
    }

    /// Whether the person may be asked about one more file.
    fn has_time_for(&mut self, device: &str) -> bool {
        let asks = self
            .of(device)
            .into_iter()
            .filter(|transfer| matches!(self.transfers[transfer].stage, Stage::Asked(_)));
        asks.count() < ASKED_MAX && self.pace.take(device, Instant::now())
    }

    /// They want our file.
    async fn accepted(&mut self, transfer: TransferId, link: LinkId) {
        let Some(found) = self.transfers.get_mut(&transfer) else { return };
        if let Stage::Sending { rate, .. } = &mut found.stage
            && rate.is_none()
        {
            *rate = Some(Rate::new(Instant::now(), 0));
            self.tell(transfer, FileEvent::Started { link }).await;
        }
    }

    /// They have so much of our file.
    fn has(&mut self, transfer: TransferId, bytes: u64) {
        let Some(found) = self.transfers.get_mut(&transfer) else { return };
        let Stage::Sending { rate: Some(rate), .. } = &mut found.stage else { return };
        let done = bytes.min(found.size);
        if rate.done() == 0 {
            // What they had before is no speed.
            *rate = Rate::new(Instant::now(), done);
        }
        rate.set(done);
        if let Some(bytes_per_second) = rate.tell(Instant::now()) {
            let what = FileEvent::Progress { done, total: found.size, bytes_per_second };
            // Progress that nobody has time for is no loss.
            drop(self.events.try_send(Event::File { transfer, what }));
        }
    }
}
