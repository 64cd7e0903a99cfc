//! Partitions for whose absent keys this shard can't vouch, on their way to a vote
//! ([design 8](../../../docs/design.md#8-what-a-replica-knows), decision 16).
//!
//! Invariant: there is a vote only once all that was merged before is on disk.

use alloc::vec::Vec;

use jedlik_handoff::{OldOwner, RefillSet, RefillStatus};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::peer::{PeerRequest, Vouching};

use crate::cx::Cx;
use crate::exchange_worker::{JobKind, PartitionJob};
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::pending::{ExchangeStep, Purpose};
use crate::reasons::ApplyFor;
use crate::transfers::Transfers;
use crate::votes::{Basis, Entry, counts_digest, flipped_for, flipped_id};

/// Least interval between two writes of a row that only shrinks, in microseconds.
const KEEP_INTERVAL_US: u64 = 1_000_000;

impl Transfers {
    /// Has the nodes that had no vote compared with again, since they may have one now.
    pub(crate) fn ask_those_in_doubt_again(&mut self, cx: &mut Cx, job: PartitionJob) {
        if job.kind == JobKind::Refill {
            cx.refill_again(job.partition);
        } else if let Some(inbound) = self.inbound.get_mut(&job.partition) {
            inbound.ask_again();
        }
    }

    /// Restores the vote once all that was merged for a refill is on disk; retries if it is not.
    pub(crate) fn handle_refilled(
        &mut self,
        cx: &mut Cx,
        keys: Keyset,
        result: &Result<(), StorageFault>,
    ) {
        let Some(entry) = cx.votes.entries.get_mut(&keys).filter(|entry| entry.ending) else {
            return;
        };
        entry.ending = false;
        if result.is_err() {
            let job = PartitionJob { partition: keys.partition, kind: JobKind::Refill };
            return self.rest(cx.now.mono_us, job);
        }
        self.vote_again(cx, keys);
    }

    /// Restores votes that this node lacked for having been given nothing, now that all that older owners were given is
    /// on its disk. What an earlier life acknowledged as one of the new owners need not be there.
    pub(crate) fn vote_where_inbound(&mut self, cx: &mut Cx, view: &View, partition: Partition) {
        if cx.votes.is_catching_up() {
            return;
        }
        let moved: Vec<u8> = cx.old_sets(view, partition).iter().map(|set| set.n).collect();
        let of_partition = cx.votes.entries.range(Keyset::all_of(partition));
        let never_given = |(keys, entry): &(&Keyset, &Entry)| {
            moved.contains(&keys.n) && entry.bases.iter().all(|basis| basis.n < keys.n)
        };
        let never_given: Vec<_> = of_partition.filter(never_given).map(|(keys, _)| *keys).collect();
        for keys in never_given {
            self.vote_again(cx, keys);
        }
    }

    fn vote_again(&mut self, cx: &mut Cx, keys: Keyset) {
        cx.votes.entries.remove(&keys);
        if !cx.votes.is_refilling(keys.partition) {
            self.refilled(cx, keys.partition);
        }
        if cx.votes.entries.is_empty() {
            cx.votes.caught_up();
            self.leave_copy(cx);
        }
        // An entry that stays on disk for too long is refilled once more after a stop, and does no harm.
        let soon_us = cx.now.mono_us + KEEP_INTERVAL_US;
        if cx.votes.entries.is_empty() || cx.votes.keep_again_us <= cx.now.mono_us {
            cx.votes.keep_again_us = soon_us;
            cx.keep_votes(false);
        }
    }
}

impl Cx {
    /// Asks a peer whether it has a vote on the keys that are compared.
    pub(crate) fn ask_vote(
        &mut self,
        view: &View,
        (id, peer): (u64, NodeId),
        Keyset { partition, n }: Keyset,
    ) {
        let (counts, flipped) = (counts_digest(view), flipped_id(view, partition));
        let request = PeerRequest::Vote { partition, n, counts, flipped };
        self.call(peer, Purpose::Exchange { id, step: ExchangeStep::Vote }, request);
    }

    /// Returns the owner sets whose past an entry for keys of `of` replicas stands for.
    pub(crate) fn refill_sets(
        &self,
        view: &View,
        Keyset { partition, n: of }: Keyset,
        entry: &Entry,
    ) -> Vec<RefillSet> {
        let owner = |node: &NodeId| OldOwner {
            node: *node,
            up: view.is_alive(*node),
            given_up: view.departed(*node).is_some_and(|departed| departed.forced),
        };
        let me = self.config.me;
        let mut sets = Vec::new();
        for Basis { n: given, least_w } in entry.bases.iter().copied() {
            // Every present owner with a vote was given the keys by the number before, or has been compared
            // with enough nodes that were. So as many as would do among the owners before do among these.
            // Under a layout that has not flipped that is not so yet.
            let lists: Vec<&[NodeId]> = if given < of {
                Vec::from([oldest_owners(view, partition, of)])
            } else {
                let lists = view.owner_lists(partition, of).into_iter();
                lists.map(|list| first(list, of)).collect()
            };
            // Where this node is in none of the lists, it needs what any of them was given.
            let in_any = lists.iter().any(|list| list.contains(&me));
            for list in lists.into_iter().filter(|list| !in_any || list.contains(&me)) {
                // N - W + 1 of the number before; nodes that were removed by force are not waited for.
                let others = first(list, given).iter().filter(|node| **node != me);
                let left = others.filter(|node| !owner(node).given_up).count();
                let wanted = usize::from((given + 1).saturating_sub(least_w)).min(left);
                // Or so many nodes that have lost nothing, this one among them, that fewer than W of the list
                // are left out.
                let counts_me = usize::from(list.contains(&me) && !entry.lost);
                let intact = (list.len() + 1).saturating_sub(usize::from(least_w) + counts_me);
                if wanted > 0 {
                    sets.push(RefillSet {
                        owners: list.iter().map(owner).collect(),
                        voters: wanted,
                        intact: (given < of).then_some(intact.max(1)),
                    });
                }
            }
        }
        sets
    }

    pub(crate) fn refill_statuses(
        &self,
        view: &View,
        partition: Partition,
    ) -> Vec<(u8, RefillStatus)> {
        let of_partition = self.votes.entries.range(Keyset::all_of(partition));
        let status = |(keys, entry): (&Keyset, &Entry)| {
            let sets = self.refill_sets(view, *keys, entry);
            (keys.n, entry.refill.status(self.config.me, &sets))
        };
        of_partition.filter(|(_, entry)| !entry.ending).map(status).collect()
    }

    /// Returns the nodes, for each N, that a partition to be refilled is to be compared with.
    pub(crate) fn refill_pairs(&self, view: &View, partition: Partition) -> Vec<(u8, NodeId)> {
        let statuses = self.refill_statuses(view, partition).into_iter();
        let pairs = statuses.map(|(n, status)| match status {
            RefillStatus::Compare(nodes) => nodes.into_iter().map(|node| (n, node)).collect(),
            RefillStatus::Whole | RefillStatus::Blocked(_) => Vec::new(),
        });
        pairs.flat_map(|pairs: Vec<(u8, NodeId)>| pairs).collect()
    }

    /// Returns the nodes that would have to be compared with, and can't be reached or have no vote themselves.
    pub(crate) fn refill_blockers(&self, view: &View, partition: Partition) -> Vec<NodeId> {
        let statuses = self.refill_statuses(view, partition).into_iter();
        let blocked = statuses.filter_map(|(_, status)| match status {
            RefillStatus::Blocked(nodes) => Some(nodes),
            RefillStatus::Whole | RefillStatus::Compare(_) => None,
        });
        blocked.flatten().collect()
    }

    /// Counts a finished exchange of a refill with a peer that could say so much throughout.
    pub(crate) fn refill_compared(&mut self, keys: Keyset, peer: NodeId, vouching: Vouching) {
        if let Some(entry) = self.votes.entries.get_mut(&keys) {
            entry.refill.handle_compared(peer, vouching);
        }
    }

    /// Has the nodes that had no vote asked again.
    pub(crate) fn refill_again(&mut self, partition: Partition) {
        for (_, entry) in self.votes.entries.range_mut(Keyset::all_of(partition)) {
            entry.refill.ask_again();
        }
    }

    /// Begins to sync what was merged where all was compared; once it is on disk there is a vote.
    pub(crate) fn conclude_refill(&mut self, view: &View, partition: Partition) {
        for (n, status) in self.refill_statuses(view, partition) {
            if status == RefillStatus::Whole
                && let Some(entry) = self.votes.entries.get_mut(&Keyset::new(partition, n))
            {
                entry.ending = true;
                let ticket = self.pending.apply(ApplyFor::Refilled(Keyset::new(partition, n)));
                self.emit(Output::Sync { ticket });
            }
        }
    }
}

/// Returns the first `n` of the preference list under the newest layout that has flipped for the partition,
/// or under the oldest there is.
pub(crate) fn oldest_owners(view: &View, partition: Partition, n: u8) -> &[NodeId] {
    let oldest = flipped_for(view, partition).or(view.layouts().last());
    first(oldest.map_or(&[], |known| known.preference_list(partition)), n)
}

pub(crate) fn first(list: &[NodeId], n: u8) -> &[NodeId] {
    &list[..list.len().min(usize::from(n))]
}
