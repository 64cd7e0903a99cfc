//! The queue of one key's puts: those that wait, and those that are under way as one record.
//!
//! Invariant: of one key a coordinator has one round under way. So what a key's writers cost is their values and a record
//! a round, however many they are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use jedlik_protocol::PlacedKey;

use super::base::Base;
use crate::cx::Cx;
use crate::io::Output;
use crate::pending::OperationId;
use crate::reasons::LoadFor;

/// Queue of one key's puts at its coordinator.
#[derive(Debug, Default)]
pub(crate) struct KeyQueue {
    /// Waiting puts, in the order in which they came.
    pub(super) puts: Vec<OperationId>,
    /// Bytes that the waiting puts hold.
    pub(super) bytes: usize,
    /// Whether the key is being read for the next round.
    pub(super) loading: bool,
    pub(super) base: Option<Base>,
    /// Operations of the last round that the next round waits for.
    pub(super) open: Vec<OperationId>,
    /// Operations of the last round that still go on.
    pub(super) last: Vec<OperationId>,
}

impl KeyQueue {
    fn forget_round(&mut self) {
        self.open.clear();
        self.last.clear();
    }

    /// Returns the waiting put that came last.
    pub(super) fn last(&self) -> Option<OperationId> {
        self.puts.last().copied()
    }

    /// Takes out the waiting puts up to this one, or all; the others wait on.
    pub(super) fn take_up_to(&mut self, last: Option<OperationId>) -> Vec<OperationId> {
        let later = self.puts.partition_point(|id| last.is_none_or(|last| *id <= last));
        let later = self.puts.split_off(later);
        mem::replace(&mut self.puts, later)
    }

    fn is_idle(&self) -> bool {
        self.puts.is_empty() && !self.loading && self.last.is_empty() && self.open.is_empty()
    }
}

/// Queues of the puts that this node coordinates, by key.
#[derive(Debug, Default)]
pub(crate) struct KeyQueues {
    by_key: BTreeMap<PlacedKey, KeyQueue>,
}

impl KeyQueues {
    /// Returns the key's queue, if puts of the key wait or are under way.
    pub(super) fn get(&mut self, key: &PlacedKey) -> Option<&mut KeyQueue> {
        self.by_key.get_mut(key)
    }

    /// Returns the key's queue, a new one if there was none.
    pub(super) fn at(&mut self, key: &PlacedKey) -> &mut KeyQueue {
        self.by_key.entry(key.clone()).or_default()
    }

    /// Returns whether no put waits or is under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Ends the queues' wait for rounds that were under way, since none of them goes on as it was.
    pub(crate) fn forget_rounds(&mut self) {
        self.by_key.values_mut().for_each(KeyQueue::forget_round);
    }

    /// Begins the next round of each key of which nothing is under way any more.
    pub(crate) fn begin_rounds(&mut self, cx: &mut Cx) {
        let keys: Vec<_> = self.by_key.keys().cloned().collect();
        keys.iter().for_each(|key| self.begin_round(cx, key));
    }

    /// Begins the next round of a key if puts wait and nothing is under way that they wait for.
    pub(super) fn begin_round(&mut self, cx: &mut Cx, key: &PlacedKey) {
        let Some(queue) = self.by_key.get_mut(key) else { return };
        if queue.is_idle() {
            self.by_key.remove(key);
        } else if !queue.puts.is_empty() && !queue.loading && queue.open.is_empty() {
            queue.loading = true;
            let ticket = cx.pending.load(LoadFor::Mint(key.clone()));
            cx.emit(Output::Load { ticket, key: key.clone() });
        }
    }

    /// Ends the wait for an operation of the last round; `is_over` if nothing more comes of it.
    pub(crate) fn pass_turn(
        &mut self,
        cx: &mut Cx,
        id: OperationId,
        key: &PlacedKey,
        is_over: bool,
    ) {
        let Some(queue) = self.by_key.get_mut(key) else { return };
        queue.open.retain(|open| *open != id);
        if is_over {
            queue.last.retain(|last| *last != id);
        }
        self.begin_round(cx, key);
    }
}
