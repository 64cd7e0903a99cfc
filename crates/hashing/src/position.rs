//! Positions on the ring and the equal partitions it is cut into (paper 4.1; strategy 3 of 6.2).
//!
//! Invariant: partition order is position order, so a partition is one contiguous range.

use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

#[cfg(test)]
mod tests;

/// Where a key lies on the ring: a 128-bit hash of bucket and key, seeded by the cluster.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Position(pub u128);

impl Position {
    /// Hashes `bucket` and `key` under the cluster's `seed`.
    ///
    /// The bucket's length goes in first, so that ("ab", "c") and ("a", "bc") differ.
    #[must_use]
    pub fn of(seed: u64, bucket: &[u8], key: &[u8]) -> Self {
        let mut hasher = Xxh3::with_seed(seed);
        hasher.update(&(bucket.len() as u64).to_le_bytes());
        hasher.update(bucket);
        hasher.update(key);
        Self(hasher.digest128())
    }
}

/// One of the Q equal ranges of positions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Q: how many partitions a cluster has; a power of two from 1 to 65,536, fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PartitionCount {
    bits: u8,
}

impl PartitionCount {
    /// The default of a new cluster.
    pub const DEFAULT: Self = Self { bits: 8 };

    /// The count for `q` partitions, or `None` unless `q` is a power of two up to 65,536.
    #[must_use]
    pub fn new(q: u32) -> Option<Self> {
        (q.is_power_of_two() && q <= 1 << 16).then(|| Self { bits: q.trailing_zeros() as u8 })
    }

    /// Whether it is one that [`Self::new`] gives; one that came from a peer may not be.
    pub(crate) fn is_well_formed(self) -> bool {
        self.bits <= 16
    }

    /// Q itself.
    #[must_use]
    pub fn get(self) -> u32 {
        1 << self.bits
    }

    /// The partition in which `position` lies: its top bits.
    #[must_use]
    pub fn partition(self, position: Position) -> Partition {
        if self.bits == 0 {
            return Partition(0);
        }
        Partition((position.0 >> (128 - u32::from(self.bits))) as u32)
    }

    /// Which of the `2^leaf_bits` equal ranges of its partition holds `position`: the bits after the
    /// partition's.
    #[must_use]
    pub fn leaf(self, position: Position, leaf_bits: u32) -> u32 {
        let below_partition = position.0 << u32::from(self.bits);
        (below_partition >> (128 - leaf_bits)) as u32
    }

    /// The first and the last position of one of a partition's `2^leaf_bits` equal ranges.
    #[must_use]
    pub fn leaf_range(
        self,
        partition: Partition,
        leaf: u32,
        leaf_bits: u32,
    ) -> (Position, Position) {
        let size_bits = 128 - u32::from(self.bits) - leaf_bits;
        let index = (u128::from(partition.0) << leaf_bits) | u128::from(leaf);
        let first = index << size_bits;
        (Position(first), Position(first | ((1 << size_bits) - 1)))
    }

    /// Every partition, in ring order.
    pub fn partitions(self) -> impl Iterator<Item = Partition> {
        (0..self.get()).map(Partition)
    }
}
