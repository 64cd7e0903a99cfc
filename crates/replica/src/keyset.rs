//! Parts of a partition: its keys in buckets with one number of replicas, and neighbouring leaves of its tree.
//!
//! Invariant: all keys of a keyset have the same owners.

use core::ops::RangeInclusive;

use jedlik_hashing::Partition;

/// Keys of one partition in buckets with this N. They have one preference list, one tree and one vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Keyset {
    pub(crate) partition: Partition,
    pub(crate) n: u8,
}

impl Keyset {
    pub(crate) fn new(partition: Partition, n: u8) -> Self {
        Self { partition, n }
    }

    /// Returns the range of all keysets of a partition.
    pub(crate) fn all_of(partition: Partition) -> RangeInclusive<Self> {
        Self { partition, n: 0 }..=Self { partition, n: u8::MAX }
    }
}

/// Neighbouring leaves of a partition's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) partition: Partition,
    pub(crate) first: u16,
    /// Last leaf, which belongs to them.
    pub(crate) last: u16,
}
