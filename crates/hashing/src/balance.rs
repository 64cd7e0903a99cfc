//! The quality of a ring: what each node holds, what it should hold, and where replicas share a fate.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::goals::fair_copies;
use crate::{NodeId, Preferences, Ring};

/// Figures of one node on a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBalance {
    /// Id of the node.
    pub node: NodeId,
    /// Number of tokens that the node holds.
    pub tokens: u32,
    /// Tokens that the node's weight would give it, in thousandths of a token.
    pub fair_share_milli: u64,
    /// Number of partitions of which the node is one of the N primaries.
    pub primaries: u32,
    /// Number of partitions of which the node would be a primary by its weight, given that it holds a
    /// partition once and that a zone does so too if there are N zones.
    pub fair_primaries: u32,
}

/// Figures of a ring for keys with N replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Figures of each node, in the order of the ring's nodes.
    pub nodes: Vec<NodeBalance>,
    /// Number of partitions with fewer than N primaries: the ring has fewer nodes.
    pub node_faults: u32,
    /// Number of partitions with two primaries in one zone.
    pub zone_faults: u32,
}

impl Balance {
    /// Computes the figures of a well-formed ring, for keys with `n` replicas.
    #[must_use]
    pub fn of(ring: &Ring, n: u8) -> Self {
        let n = usize::from(n);
        let zones: BTreeMap<NodeId, &str> =
            ring.nodes.iter().map(|node| (node.node, node.zone.as_str())).collect();
        let mut primaries: BTreeMap<NodeId, u32> = BTreeMap::new();
        let (mut node_faults, mut zone_faults) = (0, 0);
        let preferences = Preferences::new(ring, n);
        for partition in ring.partitions.partitions() {
            let list = preferences.of(partition);
            list.iter().for_each(|node| *primaries.entry(*node).or_default() += 1);
            let distinct: BTreeSet<&str> = list.iter().map(|node| zones[node]).collect();
            node_faults += u32::from(list.len() < n);
            zone_faults += u32::from(distinct.len() < list.len());
        }
        let mut tokens = alloc::vec![0; ring.nodes.len()];
        ring.tokens.iter().for_each(|token| tokens[usize::from(*token)] += 1);
        let weight: u64 = ring.nodes.iter().map(|node| u64::from(node.weight)).sum();
        let total = u64::from(ring.partitions.get());
        let of_node = |((node, tokens), fair): ((&crate::RingNode, u32), u64)| NodeBalance {
            node: node.node,
            tokens,
            fair_share_milli: 1000 * total * u64::from(node.weight) / weight,
            primaries: primaries.get(&node.node).copied().unwrap_or(0),
            fair_primaries: fair as u32,
        };
        let nodes = ring.nodes.iter().zip(tokens).zip(fair_copies(ring, n)).map(of_node).collect();
        Self { nodes, node_faults, zone_faults }
    }
}
