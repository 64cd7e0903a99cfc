//! What one ring moves compared to another: copies gained and lost by each node (paper 4.9).
//!
//! Invariant: the copies gained, less those lost, are the difference between what a node has to hold
//! under either ring.

use alloc::collections::BTreeMap;

use crate::{NodeId, Partition, Preferences, Ring};

#[cfg(test)]
mod tests;

/// One node's part of a change. A copy is one partition on one of its N primaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeMoves {
    /// The partitions of which it becomes a primary.
    pub gained: u32,
    /// The partitions of which it is a primary no more.
    pub lost: u32,
}

/// The difference between two rings of one cluster, for keys with N replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    partitions: u32,
    before: Preferences,
    after: Preferences,
    nodes: BTreeMap<NodeId, NodeMoves>,
}

impl Moves {
    /// Walks each of two well-formed rings once.
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
        let nodes = named.map(|node| (node.node, NodeMoves::default())).collect();
        let mut moves = Self { partitions, before: before_lists, after: after_lists, nodes };
        let mut nodes = core::mem::take(&mut moves.nodes);
        for (_, node) in moves.additions() {
            nodes.entry(node).or_default().gained += 1;
        }
        for (_, node) in moves.removals() {
            nodes.entry(node).or_default().lost += 1;
        }
        Self { nodes, ..moves }
    }

    /// Every node of either ring, in the order of identities.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, NodeMoves)> {
        self.nodes.iter().map(|(node, moves)| (*node, *moves))
    }

    /// The copies that a node has to receive; 0 for one that is on neither ring.
    #[must_use]
    pub fn gained(&self, node: NodeId) -> u32 {
        self.nodes.get(&node).map_or(0, |moves| moves.gained)
    }

    /// The copies that a node need not hold any more; 0 for one that is on neither ring.
    #[must_use]
    pub fn lost(&self, node: NodeId) -> u32 {
        self.nodes.get(&node).map_or(0, |moves| moves.lost)
    }

    /// The copies that get a new owner.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.nodes.values().map(|moves| moves.gained).sum()
    }

    /// What no ring could do without that gives each node as many copies as the later one does: a
    /// node has to gain at least the copies that it holds more of. Every copy gained beyond it is
    /// made up for by another that the same node loses.
    #[must_use]
    pub fn least(&self) -> u32 {
        self.nodes.values().map(|moves| moves.gained.saturating_sub(moves.lost)).sum()
    }

    /// Each copy that gets a new owner: the partition and who is to receive it, in ring order.
    pub fn additions(&self) -> impl Iterator<Item = (Partition, NodeId)> {
        self.only_in(&self.after, &self.before)
    }

    /// Each copy that is no longer to be held, and who holds it, in ring order.
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
