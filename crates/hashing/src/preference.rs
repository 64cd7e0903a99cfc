//! Preference lists: the nodes that are asked to hold a partition, in order (paper 4.3, 4.6).
//!
//! Invariant: a list names a node once, and the list for a smaller limit is a prefix of the one for a larger,
//! so the first N are the primaries for every N.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::{NodeId, Partition, Ring, RingNode};

#[cfg(test)]
mod tests;

/// Preference lists of all of a ring's partitions, each cut to the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    width: usize,
    nodes: Vec<NodeId>,
}

impl Preferences {
    /// Computes the lists of a well-formed ring, with at most `limit` nodes each.
    #[must_use]
    pub fn new(ring: &Ring, limit: usize) -> Self {
        let walk = Self::walk(ring, limit);
        let nodes = ring.partitions().partitions().flat_map(|partition| walk.list(partition));
        Self { width: walk.limit, nodes: nodes.collect() }
    }

    /// Returns the preference list of one partition.
    ///
    /// # Panics
    /// The partition is not one of the ring's.
    #[must_use]
    pub fn of(&self, partition: Partition) -> &[NodeId] {
        let start = partition.0 as usize * self.width;
        &self.nodes[start..start + self.width]
    }

    /// Returns the number of nodes in each list.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn walk(ring: &Ring, limit: usize) -> Walk<'_> {
        let mut numbers = BTreeMap::new();
        let number = |node: &RingNode| {
            let next = numbers.len();
            *numbers.entry(node.zone.clone()).or_insert(next)
        };
        let zone_of: Vec<usize> = ring.nodes.iter().map(number).collect();
        let mut holds = vec![false; ring.nodes.len()];
        ring.tokens.iter().for_each(|token| holds[usize::from(*token)] = true);
        let zones: BTreeSet<usize> = zone_of
            .iter()
            .zip(&holds)
            .filter(|(_, holds)| **holds)
            .map(|(zone, _)| *zone)
            .collect();
        Walk {
            ring,
            zone_of,
            zones: zones.len(),
            holders: holds.iter().filter(|holds| **holds).count(),
            tokenless: (0..holds.len()).filter(|index| !holds[*index]).collect(),
            limit: limit.min(ring.nodes.len()),
        }
    }
}

/// State that all walks over one ring share. Nodes are indexes into the ring's.
pub(crate) struct Walk<'a> {
    ring: &'a Ring,
    /// Number of each node's zone.
    zone_of: Vec<usize>,
    /// Number of zones that hold tokens.
    zones: usize,
    /// Number of nodes that hold tokens.
    holders: usize,
    /// Nodes without tokens, which a walk never meets.
    tokenless: Vec<usize>,
    limit: usize,
}

impl Walk<'_> {
    /// Returns a partition's list: nodes of distinct zones first while zones last, then the other nodes as
    /// they were met, then those that hold no token.
    pub(crate) fn list(&self, partition: Partition) -> Vec<NodeId> {
        let (before, from) = self.ring.tokens.split_at(partition.0 as usize);
        let mut met = vec![false; self.ring.nodes.len()];
        let mut zone_met = vec![false; self.ring.nodes.len()];
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for index in from.iter().chain(before).map(|token| usize::from(*token)) {
            if met[index] {
                continue;
            }
            met[index] = true;
            let zone = &mut zone_met[self.zone_of[index]];
            if *zone {
                others.push(index);
            } else {
                firsts.push(index);
            }
            *zone = true;
            let found = firsts.len() + others.len();
            if found == self.holders
                || firsts.len() >= self.zones.min(self.limit) && found >= self.limit
            {
                break;
            }
        }
        let in_order = firsts.iter().chain(&others).chain(&self.tokenless);
        in_order.take(self.limit).map(|index| self.ring.nodes[*index].node).collect()
    }
}
