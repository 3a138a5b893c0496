//! Reads pages of mail, beside the writer.

use std::sync::mpsc::Receiver;

use whoelse_engine::{AccountId, Number};

use super::StoreEvent;
use super::notifier::Notifier;
use crate::database::PageReader;

/// What [`super::Store::read_page`] asks for.
pub(super) struct PageRequest {
    pub(super) account: AccountId,
    pub(super) after: Number,
    pub(super) bytes_max: usize,
    pub(super) ticket: u64,
}

pub(super) fn run(pages: &PageReader, inbox: &Receiver<PageRequest>, notifier: &Notifier) {
    for request in inbox {
        match pages.page(request.account, request.after, request.bytes_max) {
            Ok(messages) => notifier.tell(StoreEvent::Page { ticket: request.ticket, messages }),
            Err(error) => notifier.fail(&error, error.hint()),
        }
    }
}
