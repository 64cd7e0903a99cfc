//! Preference lists: who is asked to hold a partition, and in which order (paper 4.3, 4.6).
//!
//! Invariant: a list names a node once, and the list for a smaller limit is a prefix of the one for a
//! larger, so the first N are the primaries for every N.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::{NodeId, Partition, Ring, RingNode};

#[cfg(test)]
mod tests;

/// The preference lists of all of a ring's partitions, each cut to the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    width: usize,
    nodes: Vec<NodeId>,
}

impl Preferences {
    /// Walks a well-formed ring once from each partition; lists hold at most `limit` nodes.
    #[must_use]
    pub fn new(ring: &Ring, limit: usize) -> Self {
        let walk = Self::walk(ring, limit);
        let nodes = ring.partitions().partitions().flat_map(|partition| walk.list(partition));
        Self { width: walk.limit, nodes: nodes.collect() }
    }

    /// One partition's list.
    ///
    /// # Panics
    /// The partition is not one of the ring's.
    #[must_use]
    pub fn of(&self, partition: Partition) -> &[NodeId] {
        let start = partition.0 as usize * self.width;
        &self.nodes[start..start + self.width]
    }

    /// How many nodes are in each list.
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

/// What the walks over one ring share. Nodes are indexes into the ring's.
pub(crate) struct Walk<'a> {
    ring: &'a Ring,
    /// Each node's zone, numbered.
    zone_of: Vec<usize>,
    /// How many zones hold tokens.
    zones: usize,
    /// How many nodes hold tokens.
    holders: usize,
    /// Nodes that a walk never meets.
    tokenless: Vec<usize>,
    limit: usize,
}

impl Walk<'_> {
    /// Distinct zones first while zones last, then the other nodes as they were met, then those
    /// that hold no token.
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
