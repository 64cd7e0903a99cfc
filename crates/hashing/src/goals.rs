//! The number of copies that each node should hold, given that it holds at most one of each partition.
//!
//! Invariant: goals are by weight, except that no zone, where lists hold distinct zones, and no node gets
//! more copies than there are partitions; what it can't take is shared by the others.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::plan::by_zone;
use crate::{Ring, RingNode};

/// Returns the goals of a ring's nodes for keys with `n` replicas.
pub(crate) fn fair_copies(ring: &Ring, n: usize) -> Vec<u64> {
    let copies = n.min(ring.nodes.len()) as u64;
    goals(&ring.nodes, u64::from(ring.partitions.get()), copies)
}

/// Returns the goal of each node, rounded down. `copies` of each partition are on distinct nodes, and in
/// distinct zones if there are as many of them.
pub(crate) fn goals(nodes: &[RingNode], partitions: u64, copies: u64) -> Vec<u64> {
    let zones = by_zone(nodes);
    let weight = |index: &usize| u64::from(nodes[*index].weight);
    let total = partitions * copies;
    if (zones.len() as u64) < copies {
        let weights: Vec<u64> = (0..nodes.len()).map(|index| weight(&index)).collect();
        return capped_shares(&weights, total, partitions);
    }
    let weights: Vec<u64> = zones.iter().map(|zone| zone.iter().map(weight).sum()).collect();
    let mut goals = vec![0; nodes.len()];
    for (zone, total) in zones.iter().zip(capped_shares(&weights, total, partitions)) {
        let weights: Vec<u64> = zone.iter().map(weight).collect();
        for (index, goal) in zone.iter().zip(capped_shares(&weights, total, partitions)) {
            goals[*index] = goal;
        }
    }
    goals
}

/// Returns shares of `total` by weight, none above `cap`. The heaviest are cut first, so that what they leave
/// is shared by all that have room.
fn capped_shares(weights: &[u64], mut total: u64, cap: u64) -> Vec<u64> {
    let mut heaviest_first: Vec<usize> = (0..weights.len()).collect();
    heaviest_first.sort_by_key(|index| Reverse(weights[*index]));
    let mut left: u64 = weights.iter().sum();
    let mut shares = vec![0; weights.len()];
    for index in heaviest_first {
        if total * weights[index] < cap * left {
            shares[index] = total * weights[index] / left;
            continue;
        }
        shares[index] = cap;
        total = total.saturating_sub(cap);
        left -= weights[index];
    }
    shares
}
