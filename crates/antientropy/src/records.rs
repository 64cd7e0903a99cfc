//! The records of an exchange: those that differ, fetched and sent a few at a time.
//!
//! Invariant: at most [`PIPELINE`] are under way, and an answer counts only for what is under way.

use alloc::collections::{BTreeMap, VecDeque};

use jedlik_protocol::{Digest, Key};

/// The most records under way at any time.
pub const PIPELINE: usize = 16;

/// What is done with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordTransfer {
    /// Fetch it from the peer, unless it is the one that this node holds.
    Pull { known: Option<Digest>, theirs: Digest },
    /// Send it to the peer, which holds this one, as far as is known.
    Push { theirs: Option<Digest> },
}

/// The records that differ.
#[derive(Debug, Default)]
pub(crate) struct Records {
    waiting: VecDeque<(Key, RecordTransfer)>,
    under_way: BTreeMap<Key, RecordTransfer>,
}

impl Records {
    /// Something to do, after all else.
    pub(crate) fn add(&mut self, key: Key, transfer: RecordTransfer) {
        self.waiting.push_back((key, transfer));
    }

    /// Something to do before all else.
    pub(crate) fn add_first(&mut self, key: Key, transfer: RecordTransfer) {
        self.waiting.push_front((key, transfer));
    }

    /// The next to begin with, if there is room for it.
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

    /// What was under way with `key`, which is answered now.
    pub(crate) fn end(&mut self, key: &Key) -> Option<RecordTransfer> {
        self.under_way.remove(key)
    }

    /// As [`Self::end`], if it was fetched: what was said to be known.
    pub(crate) fn end_pull(&mut self, key: &Key) -> Option<Option<Digest>> {
        let Some(RecordTransfer::Pull { known, .. }) = self.under_way.get(key).copied() else {
            return None;
        };
        self.under_way.remove(key);
        Some(known)
    }

    /// As [`Self::end`], if it was sent; says whether it was.
    pub(crate) fn end_push(&mut self, key: &Key) -> bool {
        let is_push = matches!(self.under_way.get(key), Some(RecordTransfer::Push { .. }));
        if is_push {
            self.under_way.remove(key);
        }
        is_push
    }

    /// Whether none waits to begin.
    pub(crate) fn all_begun(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether none waits and none is under way.
    pub(crate) fn all_ended(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}
