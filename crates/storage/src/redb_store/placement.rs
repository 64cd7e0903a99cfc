//! Where the keys of a cluster belong, so that a stored key that is damaged is known by itself.
//!
//! Invariant: a key that is in its place was stored so, or every part of it was damaged in the same way, which
//! a hash makes as good as impossible.

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{ClusterId, PlacedKey};

use crate::format::parse_key;

/// What determines the place of a key in a table of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The cluster that the keys belong to.
    pub cluster: ClusterId,
    /// How many partitions the cluster has.
    pub partitions: PartitionCount,
}

impl Placement {
    /// Whether the bytes of a stored key name a key, its own position and its own partition.
    pub(super) fn is_kept_by(&self, bytes: &[u8]) -> bool {
        parse_key(bytes).is_some_and(|found| self.is_of(&found))
    }

    /// Whether a stored key names its own position and its own partition.
    pub(super) fn is_of(&self, found: &PlacedKey) -> bool {
        let position = found.key.position(self.cluster);
        found.position == position && found.partition == self.partitions.partition(position)
    }
}
