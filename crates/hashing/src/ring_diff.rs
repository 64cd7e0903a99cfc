//! The moves from one ring to another: copies gained and lost by each node (paper 4.9).
//!
//! Invariant: the copies gained, less those lost, are the difference between what a node has to hold under
//! either ring.

use alloc::collections::BTreeMap;

use crate::goals::fair_copies;
use crate::{NodeId, Partition, Preferences, Ring};

#[cfg(test)]
mod tests;

/// Copies that one node gains and loses. A copy is one partition on one of its N primaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeDiff {
    /// Number of partitions of which the node becomes a primary.
    pub gained: u32,
    /// Number of partitions of which the node ceases to be a primary.
    pub lost: u32,
}

/// Difference between two rings of one cluster, for keys with N replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingDiff {
    partitions: u32,
    before: Preferences,
    after: Preferences,
    nodes: BTreeMap<NodeId, NodeDiff>,
    /// Number of copies that have to move until the earlier ring is fair to the later one's nodes.
    unfair: u32,
}

impl RingDiff {
    /// Computes the moves between two well-formed rings, for keys with `n` replicas.
    ///
    /// # Panics
    /// The rings differ in their number of partitions, so they are not of one cluster.
    #[must_use]
    pub fn between(before: &Ring, after: &Ring, n: u8) -> Self {
        let partitions = after.partitions.get();
        assert_eq!(
            before.partitions.get(),
            partitions,
            "rings of one cluster have equal partitions"
        );
        let [before_lists, after_lists] =
            [before, after].map(|ring| Preferences::new(ring, usize::from(n)));
        let named = before.nodes.iter().chain(&after.nodes);
        let nodes = named.map(|node| (node.node, NodeDiff::default())).collect();
        let unfair = unfair(&before_lists, after, n);
        let mut moves =
            Self { partitions, before: before_lists, after: after_lists, nodes, unfair };
        let mut nodes = core::mem::take(&mut moves.nodes);
        for (_, node) in moves.additions() {
            nodes.entry(node).or_default().gained += 1;
        }
        for (_, node) in moves.removals() {
            nodes.entry(node).or_default().lost += 1;
        }
        Self { nodes, ..moves }
    }

    /// Returns the moves of every node of either ring, in the order of identities.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, NodeDiff)> {
        self.nodes.iter().map(|(node, moves)| (*node, *moves))
    }

    /// Returns the number of copies that a node has to receive; 0 for one that is on neither ring.
    #[must_use]
    pub fn gained(&self, node: NodeId) -> u32 {
        self.nodes.get(&node).map_or(0, |moves| moves.gained)
    }

    /// Returns the number of copies that a node need not hold any more; 0 for one that is on neither ring.
    #[must_use]
    pub fn lost(&self, node: NodeId) -> u32 {
        self.nodes.get(&node).map_or(0, |moves| moves.lost)
    }

    /// Returns the number of copies that get a new owner.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.nodes.values().map(|moves| moves.gained).sum()
    }

    /// Returns the least number of copies that have to move, for what the later ring gives.
    ///
    /// It is the greatest of three sums over the nodes: of what each gains beyond what it loses; of what each
    /// lacked of the least that is fair; and of what each had beyond the most that is fair. Fair is N times
    /// its share of the tokens, rounded either way, or [`crate::NodeBalance::fair_primaries`] where that is
    /// less, or more. A later ring that leaves a node short of it may move less than the last two, and then
    /// its own moves are the least.
    #[must_use]
    pub fn least(&self) -> u32 {
        let net = self.nodes.values().map(|moves| moves.gained.saturating_sub(moves.lost)).sum();
        self.unfair.min(self.total()).max(net)
    }

    /// Returns each copy that gets a new owner: the partition and the node that is to receive it, in ring order.
    pub fn additions(&self) -> impl Iterator<Item = (Partition, NodeId)> {
        self.only_in(&self.after, &self.before)
    }

    /// Returns each copy that is no longer to be held, and the node that holds it, in ring order.
    pub fn removals(&self) -> impl Iterator<Item = (Partition, NodeId)> {
        self.only_in(&self.before, &self.after)
    }

    fn only_in<'a>(
        &self,
        these: &'a Preferences,
        those: &'a Preferences,
    ) -> impl Iterator<Item = (Partition, NodeId)> + use<'a> {
        (0..self.partitions).map(Partition).flat_map(move |partition| {
            let others = those.of(partition);
            let only = these.of(partition).iter().filter(move |node| !others.contains(node));
            only.map(move |node| (partition, *node))
        })
    }
}

/// Returns the number of copies that the nodes of `ring` lack of the least that is fair, or that nodes have
/// beyond the most, if these are more.
fn unfair(before: &Preferences, ring: &Ring, n: u8) -> u32 {
    let n = usize::from(n);
    let mut copies: BTreeMap<NodeId, u64> = BTreeMap::new();
    let lists = ring.partitions.partitions().flat_map(|partition| before.of(partition));
    lists.for_each(|node| *copies.entry(*node).or_default() += 1);
    let total = u64::from(ring.partitions.get());
    let weight: u64 = ring.nodes.iter().map(|node| u64::from(node.weight)).sum();
    let limit = n.min(ring.nodes.len()) as u64;
    let (mut lacking, mut beyond) = (0, 0);
    for (node, goal) in ring.nodes.iter().zip(fair_copies(ring, n)) {
        let share = total * u64::from(node.weight);
        let had = copies.remove(&node.node).unwrap_or(0);
        lacking += goal.min(limit * (share / weight)).saturating_sub(had);
        beyond += had.saturating_sub(goal.max(limit * share.div_ceil(weight)));
    }
    beyond += copies.values().sum::<u64>();
    let is_full = before.width() as u64 == limit;
    if is_full { lacking.max(beyond) as u32 } else { lacking as u32 }
}
