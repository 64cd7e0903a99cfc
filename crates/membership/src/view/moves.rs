//! What a node asks of its view to move partitions.

use alloc::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_protocol::PartitionSet;

use super::View;

impl View {
    /// What the member has said to be ready for, under the newest layout.
    #[must_use]
    pub fn ready_of(&self, node: NodeId) -> PartitionSet {
        let ready = self.member(node).map(|record| &record.ready);
        let ready = ready.filter(|ready| ready.layout == self.layout_id());
        ready.map(|ready| ready.partitions.clone()).unwrap_or_default()
    }

    /// Whether every partition has the same owners here as in `other`, for every bucket.
    #[must_use]
    pub fn has_owners_of(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.layouts, &other.layouts) || self.layouts == other.layouts;
        same && self.other_replica_counts() == other.other_replica_counts()
    }

    /// The least R or W of any bucket with so many replicas: what a quorum of it may be.
    #[must_use]
    pub fn least_quorum(&self, n: u8) -> u8 {
        let set = self.buckets.iter().map(|entry| &entry.props);
        let of_n = set.chain([&self.defaults]).filter(|props| props.n == n);
        of_n.map(|props| props.r.min(props.w)).min().unwrap_or(1).max(1)
    }
}
