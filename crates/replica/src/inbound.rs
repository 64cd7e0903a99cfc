//! Inbound partitions: which nodes this one compares them with until it is ready (paper 4.9;
//! [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: it says that it is ready for a partition only once all that its old owners were found to hold
//! is on its disk.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_handoff::{InboundStatus, OldOwner, OldSet};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::LayoutId;

use crate::cx::Cx;
use crate::exchange_worker::{JobKind, PartitionJob};
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::reasons::ApplyFor;
use crate::transfers::Transfers;

impl Transfers {
    /// Begins to take over the partitions that are to be owned. Where nothing moves, this node is ready at once.
    pub(crate) fn begin_inbound(&mut self, cx: &mut Cx, view: &View, to_own: &BTreeSet<Partition>) {
        let said = view.ready_of(cx.config.me);
        let layout = view.layout_id();
        let begun = &self.inbound;
        let open = to_own
            .iter()
            .copied()
            .filter(|p| !view.is_flipped(*p) && !said.contains(*p) && !begun.contains_key(p));
        // Nodes begin at different partitions, so that not all ask the same one first.
        let (mut first, mut later) = (Vec::new(), Vec::new());
        let start = (cx.config.me.0 % u64::from(view.partitions().get().max(1))) as u32;
        for partition in open.collect::<Vec<_>>() {
            if cx.old_sets(view, partition).is_empty() {
                cx.emit(Output::Ready { layout, partition });
            } else if partition.0 >= start {
                first.push(partition);
            } else {
                later.push(partition);
            }
        }
        for partition in first.into_iter().chain(later) {
            self.add_inbound(partition);
        }
    }

    pub(crate) fn inbound_status(
        &self,
        cx: &Cx,
        view: &View,
        partition: Partition,
    ) -> Option<InboundStatus> {
        let transfer = self.inbound.get(&partition)?;
        Some(transfer.status(cx.config.me, &cx.old_sets(view, partition)))
    }

    /// Returns whether this node is ready for a partition; if so, has it say so once all of the partition is
    /// on disk, since records that it compared as its own may have been in memory alone.
    pub(crate) fn conclude_inbound(
        &mut self,
        cx: &mut Cx,
        view: &View,
        partition: Partition,
    ) -> bool {
        let ready = self.inbound_status(cx, view, partition) == Some(InboundStatus::Ready);
        if ready {
            let ticket = ApplyFor::InboundSynced { layout: view.layout_id(), partition };
            let ticket = cx.pending.apply(ticket);
            cx.emit(Output::Sync { ticket });
        }
        ready
    }

    /// Ends an inbound transfer once the partition is on disk, and says that this node is ready; retries if it is not.
    pub(crate) fn handle_inbound_synced(
        &mut self,
        cx: &mut Cx,
        layout: LayoutId,
        partition: Partition,
        result: &Result<(), StorageFault>,
    ) {
        let Some(view) = cx.view.clone().filter(|view| view.layout_id() == layout) else {
            return;
        };
        let job = PartitionJob { partition, kind: JobKind::Inbound };
        match self.inbound_status(cx, &view, partition) {
            None => {}
            Some(InboundStatus::Ready) if result.is_ok() => {
                self.end_inbound(cx, partition);
                self.vote_where_inbound(cx, &view, partition);
                cx.emit(Output::Ready { layout, partition });
            }
            Some(_) => self.rest(cx.now.mono_us, job),
        }
    }
}

impl Cx {
    /// Returns the older active owner sets of a partition, for each N for which this node is to own it.
    pub(crate) fn old_sets(&self, view: &View, partition: Partition) -> Vec<OldSet> {
        let mut sets = Vec::new();
        for n in view.replica_counts() {
            let mut lists = view.owner_lists(partition, n);
            // Where its owners stay the same, one of them that was never given the keys is not ready before
            // it was: by a lower `n` later they are owned by fewer, of which it may be one.
            let is_given =
                self.votes.entries.get(&Keyset::new(partition, n)).is_none_or(|entry| entry.lost);
            if let [only] = lists[..]
                && !is_given
            {
                lists.push(only);
            }
            let mut of_n = lists.iter().map(|list| list.iter().take(usize::from(n)));
            if of_n.next().is_none_or(|mut newest| newest.all(|node| *node != self.config.me)) {
                continue;
            }
            let owner = |node: &NodeId| OldOwner {
                node: *node,
                up: view.is_alive(*node),
                given_up: view.departed(*node).is_some_and(|departed| departed.forced),
            };
            let least_quorum = view.least_quorum(n);
            let counts_me = self.votes.has(Keyset::new(partition, n));
            sets.extend(of_n.map(|list| OldSet {
                n,
                least_quorum,
                owners: list.map(owner).collect(),
                counts_me,
            }));
        }
        sets
    }
}
