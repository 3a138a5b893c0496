//! A store without threads: it writes, syncs, projects and reads when the world says so.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use whoelse_engine::{AccountId, Number, Record};
use whoelse_server::store::{Keep, Sequence, StoreError};

/// A page of mail that was asked for.
pub(super) struct Wanted {
    pub(super) account: AccountId,
    pub(super) after: Number,
    pub(super) bytes_max: usize,
    pub(super) ticket: u64,
}

/// What a hub wants of its store.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) last: u64,
    pub(super) appends: VecDeque<(Sequence, Vec<Record>)>,
    pub(super) pages: VecDeque<Wanted>,
    pub(super) is_full: bool,
}

/// The store as the hub sees it.
#[derive(Clone, Default)]
pub(super) struct Keeper(pub(super) Rc<RefCell<Wishes>>);

impl Keep for Keeper {
    fn append(&mut self, records: Vec<Record>) -> Sequence {
        let mut wishes = self.0.borrow_mut();
        wishes.last += 1;
        let sequence = Sequence(wishes.last);
        wishes.appends.push_back((sequence, records));
        sequence
    }

    fn read_page(&self, account: AccountId, after: Number, bytes_max: usize, ticket: u64) {
        let wanted = Wanted { account, after, bytes_max, ticket };
        self.0.borrow_mut().pages.push_back(wanted);
    }

    fn settle(&self, _ticket: u64) {}

    fn is_full(&self) -> bool {
        self.0.borrow().is_full
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
