//! The records of an exchange: those that differ, fetched and sent a few at a time.
//!
//! Invariant: at most [`PIPELINE`] are under way, and an answer counts only for what is under way.

use alloc::collections::{BTreeMap, VecDeque};

use jedlik_protocol::{Digest, Key};

/// Most single records that are under way at any time.
pub const PIPELINE: usize = 16;

/// Transfer of one record that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordTransfer {
    /// Fetch the record from the peer, which need not send the known one.
    Pull { known: Option<Digest>, theirs: Digest },
    /// Send the record to the peer, which holds this one, as far as is known.
    Push { theirs: Option<Digest> },
}

/// Records that differ: those that wait and those under way.
#[derive(Debug, Default)]
pub(crate) struct Records {
    waiting: VecDeque<(Key, RecordTransfer)>,
    under_way: BTreeMap<Key, RecordTransfer>,
}

impl Records {
    /// Adds a transfer after all that wait.
    pub(crate) fn add(&mut self, key: Key, transfer: RecordTransfer) {
        self.waiting.push_back((key, transfer));
    }

    /// Adds a transfer before all that wait.
    pub(crate) fn add_first(&mut self, key: Key, transfer: RecordTransfer) {
        self.waiting.push_front((key, transfer));
    }

    /// Begins the next transfer, if there is room for it.
    pub(crate) fn begin(&mut self) -> Option<(Key, RecordTransfer)> {
        while self.under_way.len() < PIPELINE {
            let (key, transfer) = self.waiting.pop_front()?;
            // Only a peer that names a key twice brings this about.
            if self.under_way.contains_key(&key) {
                continue;
            }
            self.under_way.insert(key.clone(), transfer);
            return Some((key, transfer));
        }
        None
    }

    /// Ends the transfer of `key` and returns it, if it was under way.
    pub(crate) fn end(&mut self, key: &Key) -> Option<RecordTransfer> {
        self.under_way.remove(key)
    }

    /// Ends the transfer of `key` if it is a pull, and returns the digest that was known.
    pub(crate) fn end_pull(&mut self, key: &Key) -> Option<Option<Digest>> {
        let Some(RecordTransfer::Pull { known, .. }) = self.under_way.get(key).copied() else {
            return None;
        };
        self.under_way.remove(key);
        Some(known)
    }

    /// Ends the transfer of `key` if it is a push; returns whether it was.
    pub(crate) fn end_push(&mut self, key: &Key) -> bool {
        let is_push = matches!(self.under_way.get(key), Some(RecordTransfer::Push { .. }));
        if is_push {
            self.under_way.remove(key);
        }
        is_push
    }

    /// Returns whether no transfer waits to begin.
    pub(crate) fn all_begun(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns whether no transfer waits and none is under way.
    pub(crate) fn all_ended(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}
