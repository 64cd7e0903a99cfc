//! For comparison only: the balance of the placements that Jedlik does not use (paper 6.2, figure 8).
//!
//! Strategies 1 and 2 give each node T random tokens; 1 partitions the keys by those tokens, 2 cuts them into
//! Q equal partitions. No node runs this: [`crate::plan_first`] and [`crate::plan_next`] are strategy 3.
//! Invariant: every key lies on N distinct nodes, or on all if there are fewer.

use alloc::vec;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Balance, PartitionCount, Ring};

#[cfg(test)]
mod tests;

/// Bytes of a token in strategies 1 and 2: its position and its node's number.
const TOKEN_BYTES: usize = 18;
/// Bytes of a partition in strategy 3: its node's number.
const PARTITION_BYTES: usize = 2;

/// Random tokens, T for each of a number of alike nodes, on a ring of 2^64 positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomTokens {
    nodes: u16,
    /// Positions with their nodes, in ring order.
    tokens: Vec<(u64, u16)>,
}

impl RandomTokens {
    /// Draws the tokens; equal seeds give equal tokens.
    #[must_use]
    pub fn draw(seed: u64, nodes: u16, tokens_per_node: u32) -> Self {
        let position = |node: u16, turn: u32| {
            xxh3_64_with_seed(&((u64::from(turn) << 16) + u64::from(node)).to_le_bytes(), seed)
        };
        let of_node = |node| (0..tokens_per_node).map(move |turn| (position(node, turn), node));
        let mut tokens: Vec<(u64, u16)> = (0..nodes).flat_map(of_node).collect();
        tokens.sort_unstable();
        Self { nodes, tokens }
    }

    /// Returns mean load over greatest load under strategy 1, in which a partition reaches from one token to the next.
    #[must_use]
    pub fn efficiency_by_token(&self, n: u8) -> f64 {
        let mut loads = vec![0; usize::from(self.nodes)];
        let last = self.tokens.last().map_or(0, |(position, _)| *position);
        let before =
            core::iter::once(last).chain(self.tokens.iter().map(|(position, _)| *position));
        for (index, (before, (position, _))) in before.zip(&self.tokens).enumerate() {
            let length = position.wrapping_sub(before);
            self.load(&mut loads, index, n, u128::from(length));
        }
        efficiency(&loads)
    }

    /// Returns mean load over greatest load under strategy 2, in which partitions are equal, and each lies on
    /// the nodes met from its end.
    #[must_use]
    pub fn efficiency_by_partition(&self, partitions: PartitionCount, n: u8) -> f64 {
        let mut loads = vec![0; usize::from(self.nodes)];
        for partition in partitions.partitions() {
            let end = ((u128::from(partition.0) + 1) << 64) / u128::from(partitions.get());
            let met = self.tokens.partition_point(|(position, _)| u128::from(*position) < end);
            self.load(&mut loads, met, n, 1);
        }
        efficiency(&loads)
    }

    /// Returns the size of the tokens that each node has to know, in bytes.
    #[must_use]
    pub fn metadata_bytes(&self) -> usize {
        self.tokens.len() * TOKEN_BYTES
    }

    /// Adds `load` to each of the first `n` distinct nodes from the token at `index` on.
    fn load(&self, loads: &mut [u128], index: usize, n: u8, load: u128) {
        let n = usize::from(n).min(loads.len());
        let mut met = Vec::with_capacity(n);
        let from = index % self.tokens.len().max(1);
        for (_, node) in self.tokens[from..].iter().chain(&self.tokens[..from]) {
            if met.len() == n {
                break;
            }
            if !met.contains(node) {
                met.push(*node);
                loads[usize::from(*node)] += load;
            }
        }
    }
}

/// Returns mean over greatest number of partitions held under strategy 3, for nodes of equal weight.
#[must_use]
pub fn efficiency_of_ring(ring: &Ring, n: u8) -> f64 {
    let nodes = Balance::of(ring, n).nodes;
    let loads: Vec<u128> = nodes.iter().map(|node| u128::from(node.primaries)).collect();
    efficiency(&loads)
}

/// Returns the size of a ring's tokens, which each node has to know, in bytes.
#[must_use]
pub fn metadata_bytes_of_ring(ring: &Ring) -> usize {
    ring.tokens.len() * PARTITION_BYTES
}

/// Returns mean over greatest load; 1 if there is none.
fn efficiency(loads: &[u128]) -> f64 {
    let sum: u128 = loads.iter().sum();
    match loads.iter().max() {
        Some(most) if *most > 0 => sum as f64 / loads.len() as f64 / *most as f64,
        _ => 1.0,
    }
}
