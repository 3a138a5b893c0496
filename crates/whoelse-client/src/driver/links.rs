//! Carrying private links.

use super::Driver;
use crate::links::PeerOrder;

impl Driver {
    pub(super) fn carry(&mut self, order: PeerOrder) {
        let _unused = (self, order);
    }
}
