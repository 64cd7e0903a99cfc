//! Positions on the ring and the equal partitions it is cut into (paper 4.1; strategy 3 of 6.2).
//!
//! Invariant: partition order is position order, so a partition is one contiguous range.

use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

#[cfg(test)]
mod tests;

/// Place of a key on the ring: a 128-bit hash of bucket and key, seeded by the cluster.
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

/// Number of one of the Q equal ranges of positions, in ring order from 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number Q of a cluster's partitions: a power of two from 1 to 65,536, fixed for the cluster's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PartitionCount {
    bits: u8,
}

impl PartitionCount {
    /// Number of partitions of a new cluster by default: 256.
    pub const DEFAULT: Self = Self { bits: 8 };

    /// Creates the count for `q` partitions; `None` unless `q` is a power of two up to 65,536.
    #[must_use]
    pub fn new(q: u32) -> Option<Self> {
        (q.is_power_of_two() && q <= 1 << 16).then(|| Self { bits: q.trailing_zeros() as u8 })
    }

    /// Returns whether [`Self::new`] gives this count; one that came from a peer may be another.
    pub(crate) fn is_well_formed(self) -> bool {
        self.bits <= 16
    }

    /// Returns Q as a number.
    #[must_use]
    pub fn get(self) -> u32 {
        1 << self.bits
    }

    /// Returns the partition in which `position` lies: its top bits.
    #[must_use]
    pub fn partition(self, position: Position) -> Partition {
        if self.bits == 0 {
            return Partition(0);
        }
        Partition((position.0 >> (128 - u32::from(self.bits))) as u32)
    }

    /// Returns the leaf in which `position` lies: one of `2^leaf_bits` equal ranges of its partition, named
    /// by the bits after the partition's.
    #[must_use]
    pub fn leaf(self, position: Position, leaf_bits: u32) -> u32 {
        let below_partition = position.0 << u32::from(self.bits);
        (below_partition >> (128 - leaf_bits)) as u32
    }

    /// Returns the first and the last position of one of a partition's `2^leaf_bits` equal ranges.
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

    /// Returns every partition, in ring order.
    pub fn partitions(self) -> impl Iterator<Item = Partition> {
        (0..self.get()).map(Partition)
    }
}
