//! Questions that the transfer of partitions asks of a view.

use alloc::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::{ActiveLayouts, PartitionSet};

use super::{View, first};
use crate::layout_history::ActiveLayout;

impl View {
    /// Returns the partitions that the member has said to be ready for, under the newest layout.
    #[must_use]
    pub fn ready_of(&self, node: NodeId) -> PartitionSet {
        let ready = self.member(node).map(|record| &record.ready);
        let ready = ready.filter(|ready| ready.layout == self.layout_id());
        ready.map(|ready| ready.partitions.clone()).unwrap_or_default()
    }

    /// Whether the node is to own the partition for this N, does not own it under an older active layout, and has not
    /// said that it holds what the older owners do: it will be sent all of that.
    ///
    /// # Panics
    /// The partition is not below [`Self::partitions`].
    #[must_use]
    pub fn is_inbound(&self, node: NodeId, partition: Partition, n: u8) -> bool {
        let lists = self.owner_lists(partition, n);
        let owns = |list: &&[NodeId]| first(list, n).contains(&node);
        lists.split_first().is_some_and(|(newest, older)| {
            !older.is_empty()
                && owns(newest)
                && !older.iter().any(owns)
                && !self.ready_of(node).contains(partition)
        })
    }

    /// Whether every partition has the same owners here as in `other`, for every bucket.
    #[must_use]
    pub fn has_owners_of(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.layouts, &other.layouts) || self.layouts == other.layouts;
        same && self.other_replica_counts() == other.other_replica_counts()
    }

    /// Returns the identities of the active layouts, as requests name them.
    #[must_use]
    pub fn active_layouts(&self) -> ActiveLayouts {
        let mut all = self.layouts.iter().map(ActiveLayout::id);
        ActiveLayouts { newest: all.next().unwrap_or_default(), older: all.collect() }
    }

    /// Whether a layout is active in the other view that is not in this one, be it the newest or one that a rival has
    /// overruled: requests under way know nothing of its owners.
    #[must_use]
    pub fn lacks_layout_of(&self, other: &Self) -> bool {
        let counts = |known: &ActiveLayout| self.layouts.iter().any(|ours| ours.id() == known.id());
        !other.layouts.iter().all(counts)
    }

    /// Returns the smallest quorum with which a put or a get of a bucket with `n` replicas succeeds. A transfer has
    /// to meet each of them: of puts for what was acknowledged; of gets so that at least one replica that is asked
    /// under an old layout knows the new one, and refuses.
    #[must_use]
    pub fn least_quorum(&self, n: u8) -> u8 {
        let set = self.buckets.iter().map(|entry| &entry.props);
        let of_n = set.chain([&self.defaults]).filter(|props| props.n == n);
        of_n.map(BucketProps::least_quorum).min().unwrap_or(1).max(1)
    }

    /// Returns the least number of acknowledgements with which a put of a bucket with `n` replicas succeeds.
    #[must_use]
    pub fn least_w(&self, n: u8) -> u8 {
        let set = self.buckets.iter().map(|entry| &entry.props);
        let of_n = set.chain([&self.defaults]).filter(|props| props.n == n);
        of_n.map(BucketProps::least_w).min().unwrap_or(1).max(1)
    }
}
