//! Where private links would be carried, if this program were built with them: the core is told that
//! it makes none, and so it orders nothing.

use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::path::Path;

use whoelse_proto::Fingerprint;

use super::Driver;
use crate::links::{LinkOptions, PeerEvent, PeerOrder};

/// Nothing that carries links.
pub(super) struct Carrier;

impl Carrier {
    pub(super) fn new(_: &LinkOptions) -> Self {
        Self
    }

    pub(super) fn keep_files_in(&mut self, _: &Path) {}

    pub(super) async fn next(&mut self) -> PeerEvent {
        pending().await
    }

    pub(super) fn end(&mut self) -> Ready<()> {
        ready(())
    }
}

impl Driver {
    pub(super) fn note_relay(&mut self, _: SocketAddr, _: Fingerprint, _: bool) {}

    pub(super) fn carry(&mut self, _: PeerOrder) {}
}
