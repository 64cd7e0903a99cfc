//! Warning of moves in a plan that would never end.
//!
//! Invariant: a new owner is ready once it was compared with N - Q + 1 of each older active owner set, where Q is the
//! smallest quorum of a put or a get. Where fewer of these are up, and are not given up, their partitions wait for
//! those that are down.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, Preferences};
use jedlik_protocol::bucket::BucketProps;

use super::Facts;

/// Partitions whose move could not end as things are.
struct Unending {
    partitions: usize,
    /// Nodes that are down and would have to be compared with.
    waits_for: BTreeSet<NodeId>,
}

impl Facts<'_> {
    /// Returns a warning if moves would wait for nodes that are down, perhaps for ever. That is no reason to refuse
    /// the plan: they may be on the other side of a split, and this plan may be one of several that put things right.
    pub(super) fn of_endings(&self) -> Option<String> {
        self.moves_without_end().map(|unending| self.sentence(&unending))
    }

    fn sentence(&self, unending: &Unending) -> String {
        let names: Vec<String> = unending.waits_for.iter().map(|node| self.name(*node)).collect();
        let all = names.join(", ");
        let verb = if names.len() == 1 { "does" } else { "do" };
        format!(
            "{all} {verb} not answer, and {} of {} partitions could not move on without: too few of their owners \
             are up. Start {all}, or, if they are lost, do without in the same plan (`jedlik-admin cluster remove {}`)",
            unending.partitions,
            self.after.ring.partitions().get(),
            names.join(" ")
        )
    }

    fn moves_without_end(&self) -> Option<Unending> {
        let mut found = Unending { partitions: 0, waits_for: BTreeSet::new() };
        let counts = self.least_quorums();
        let most = counts.iter().map(|(n, _)| usize::from(*n)).max().unwrap_or(1);
        let after = Preferences::new(&self.after.ring, most);
        for partition in self.after.ring.partitions().partitions() {
            let mut waits = BTreeSet::new();
            for (n, least_quorum) in &counts {
                waits.extend(self.waits_for(partition, after.of(partition), (*n, *least_quorum)));
            }
            found.waits_for.extend(&waits);
            found.partitions += usize::from(!waits.is_empty());
        }
        (found.partitions > 0).then_some(found)
    }

    /// Returns each N with the smallest quorum of its buckets.
    fn least_quorums(&self) -> Vec<(u8, u8)> {
        let default = BucketProps { n: self.n, ..BucketProps::default() };
        let set = self.known.buckets().iter().map(|entry| &entry.props);
        let all: Vec<&BucketProps> = set.chain([&default]).collect();
        let counts: BTreeSet<u8> = all.iter().map(|props| props.n).collect();
        let least =
            |n: u8| all.iter().filter(|props| props.n == n).map(|props| props.least_quorum()).min();
        counts.into_iter().map(|n| (n, least(n).unwrap_or(1))).collect()
    }

    /// Returns the nodes that have to come back before the new owners of a partition can be ready for keys with this
    /// N.
    fn waits_for(
        &self,
        partition: Partition,
        after: &[NodeId],
        (n, least_quorum): (u8, u8),
    ) -> Vec<NodeId> {
        let first = |list: &[NodeId]| -> BTreeSet<NodeId> {
            list.iter().take(usize::from(n)).copied().collect()
        };
        let new = first(after);
        let is_given_up =
            |node: &NodeId| self.after.departed(*node).is_some_and(|departed| departed.forced);
        let mut waits = Vec::new();
        for known in self.known.history().layouts().iter() {
            let old = first(known.preference_list(partition));
            let left: Vec<NodeId> = old.iter().copied().filter(|node| !is_given_up(node)).collect();
            let (up, down): (Vec<NodeId>, Vec<NodeId>) =
                left.iter().copied().partition(|node| (self.up)(*node));
            let needed = (old.len() + 1)
                .saturating_sub(usize::from(least_quorum))
                .clamp(1, old.len().max(1));
            if old != new && up.len() < needed.min(left.len()) {
                waits.extend(down);
            }
            if known.flipped().contains(partition) {
                break;
            }
        }
        waits
    }
}
