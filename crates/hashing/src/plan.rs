//! The first layout's ring: tokens by weight, zones interleaved (paper 6.2, strategy 3).
//!
//! Invariant: the plan depends on the set of nodes alone, so two admins who see the same members plan
//! the same ring; and every node's tokens are its fair share rounded down or up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use thiserror::Error;

use crate::apportion::round_shares;
use crate::arrange::arrange;
use crate::{NODES_MAX, NodeId, PartitionCount, Ring, RingNode};

mod draft;
mod even;
mod next;
mod shift;
mod successors;
#[cfg(test)]
mod tests;

pub use next::plan_next;

/// Reason why no ring can be planned for a set of members. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// There are no nodes. Start at least one.
    #[error("there are no nodes to place partitions on; start at least one")]
    NoNodes,
    /// There are more nodes than a ring takes. Use fewer, larger ones.
    #[error(
        "{nodes} nodes are more than the {NODES_MAX} that a ring takes; use fewer, larger ones"
    )]
    TooManyNodes {
        /// Number of nodes that were given.
        nodes: usize,
    },
    /// There are more nodes than partitions: the cluster was made with too few. Make it with more, or use fewer nodes.
    #[error(
        "{nodes} nodes are more than the {partitions} partitions; make the cluster with more \
         partitions or use fewer nodes"
    )]
    MoreNodesThanPartitions {
        /// Number of nodes that were given.
        nodes: usize,
        /// Number of partitions of the cluster, which is fixed.
        partitions: u32,
    },
    /// A node has weight 0. Set a weight of 1 or more in its configuration.
    #[error("node {node} has weight 0; give it a weight of 1 or more")]
    ZeroWeight {
        /// Node that has weight 0.
        node: NodeId,
    },
    /// A node appears twice, since two run with one certificate. Issue each a certificate of its own.
    #[error("node {node} appears twice; issue each node a certificate of its own")]
    Duplicate {
        /// Node that appears twice.
        node: NodeId,
    },
}

/// Plans a ring that places all partitions on `nodes`, for keys with up to `n` replicas.
///
/// Any `n` neighbouring partitions lie on distinct nodes, and in distinct zones if there are `n` of them,
/// unless one node or zone has more than an `n`-th of the weight.
///
/// # Errors
/// There are no nodes, too many, two with one identity, or one without weight.
pub fn plan_first(
    mut nodes: Vec<RingNode>,
    partitions: PartitionCount,
    n: u8,
) -> Result<Ring, PlanError> {
    check(&nodes, partitions)?;
    nodes.sort_by_key(|node| node.node);
    let zones = by_zone(&nodes);
    let counts = token_counts(&nodes, &zones, partitions, &vec![0; nodes.len()]);
    let tokens = interleave(&zones, &counts, usize::from(n.max(1)));
    Ok(Ring { partitions, nodes, tokens })
}

fn check(nodes: &[RingNode], partitions: PartitionCount) -> Result<(), PlanError> {
    if nodes.is_empty() {
        return Err(PlanError::NoNodes);
    }
    if nodes.len() > NODES_MAX {
        return Err(PlanError::TooManyNodes { nodes: nodes.len() });
    }
    if nodes.len() > partitions.get() as usize {
        let partitions = partitions.get();
        return Err(PlanError::MoreNodesThanPartitions { nodes: nodes.len(), partitions });
    }
    let mut seen = BTreeSet::new();
    for RingNode { node, weight, .. } in nodes {
        if *weight == 0 {
            return Err(PlanError::ZeroWeight { node: *node });
        }
        if !seen.insert(*node) {
            return Err(PlanError::Duplicate { node: *node });
        }
    }
    Ok(())
}

/// Returns the indexes of each zone's nodes, zones in the order of their names.
pub(crate) fn by_zone(nodes: &[RingNode]) -> Vec<Vec<usize>> {
    let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        zones.entry(&node.zone).or_default().push(index);
    }
    zones.into_values().collect()
}

/// Returns the number of tokens of each node, rounded first between zones, then between the nodes of each, so
/// that zones come out even too. `held` are the tokens that each node has already.
fn token_counts(
    nodes: &[RingNode],
    zones: &[Vec<usize>],
    partitions: PartitionCount,
    held: &[u64],
) -> Vec<Vec<u64>> {
    let total = u64::from(partitions.get());
    let weight: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let share = |index: &usize| total * u64::from(nodes[*index].weight);
    let held_by = |zone: &Vec<usize>| zone.iter().map(|index| held[*index]).collect::<Vec<u64>>();
    let zone_shares: Vec<u64> = zones.iter().map(|zone| zone.iter().map(share).sum()).collect();
    let zone_held: Vec<u64> = zones.iter().map(|zone| held_by(zone).iter().sum()).collect();
    let in_zone = |(zone, zone_total): (&Vec<usize>, u64)| {
        let shares: Vec<u64> = zone.iter().map(share).collect();
        round_shares(&shares, weight, zone_total, &held_by(zone))
    };
    let zone_totals = round_shares(&zone_shares, weight, total, &zone_held);
    zones.iter().zip(zone_totals).map(in_zone).collect()
}

/// Orders the tokens: zones take turns around the ring, and in each zone its nodes do.
fn interleave(zones: &[Vec<usize>], counts: &[Vec<u64>], n: usize) -> Vec<u16> {
    let zone_totals: Vec<u64> = counts.iter().map(|counts| counts.iter().sum()).collect();
    let zone_order = arrange(&zone_totals, n.min(zones.len()));
    let mut turns: Vec<_> = counts
        .iter()
        .map(|counts| {
            let apart = if zones.len() >= n { 1 } else { n.min(counts.len()) };
            arrange(counts, apart).into_iter()
        })
        .collect();
    let holder = |zone: usize| {
        let turn = turns[zone].next().expect("a zone has as many turns as its nodes have tokens");
        u16::try_from(zones[zone][turn]).expect("a ring has at most 1,000 nodes")
    };
    zone_order.into_iter().map(holder).collect()
}
