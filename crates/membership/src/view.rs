//! What the rest of the node sees of the cluster, at one moment.
//!
//! Invariant: a view never changes; a new one replaces it. Parts that did not change are shared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, PartitionCount, Preferences};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{Endpoint, Topology};
use jedlik_protocol::gossip::{Delta, MemberRecord};
use jedlik_protocol::{ClusterId, Layout, LayoutVersion};

use crate::knowledge::Knowledge;

#[cfg(test)]
mod tests;

/// How long preference lists are: far more nodes than N ever has, so that fallbacks don't run out,
/// and few enough that the lists of 65,536 partitions take 16 MiB.
pub(crate) const PREFERENCES_MAX: usize = 32;

/// The cluster as this node sees it: layout, addresses, bucket properties, and who is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    me: NodeId,
    cluster: ClusterId,
    /// In force before the first layout says so itself.
    partitions: PartitionCount,
    placement: Option<Placement>,
    members: Arc<BTreeMap<NodeId, MemberRecord>>,
    buckets: Arc<Vec<BucketEntry>>,
    defaults: BucketProps,
    alive: BTreeSet<NodeId>,
}

/// A layout with its preference lists, computed once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placement {
    layout: Arc<Layout>,
    preferences: Arc<Preferences>,
}

impl Placement {
    fn of(layout: &Arc<Layout>) -> Self {
        let preferences = Arc::new(Preferences::new(&layout.ring, PREFERENCES_MAX));
        Self { layout: Arc::clone(layout), preferences }
    }
}

impl View {
    /// A view of what is `known`, where `alive` (and `me`) are up. What is not acceptable in `known`,
    /// such as a layout whose ring is not well formed, is left out.
    #[must_use]
    pub fn new(
        me: NodeId,
        cluster: ClusterId,
        partitions: PartitionCount,
        known: Delta,
        alive: BTreeSet<NodeId>,
    ) -> Self {
        Self::of(me, cluster, partitions, &Knowledge::restored(known), alive)
    }

    pub(crate) fn of(
        me: NodeId,
        cluster: ClusterId,
        partitions: PartitionCount,
        known: &Knowledge,
        alive: BTreeSet<NodeId>,
    ) -> Self {
        Self {
            me,
            cluster,
            partitions,
            placement: known.layout().map(Placement::of),
            members: Arc::clone(known.members()),
            buckets: Arc::clone(known.buckets()),
            defaults: BucketProps::default(),
            alive,
        }
    }

    /// The view after a change; preference lists are walked anew only if the layout is another.
    pub(crate) fn next(&self, known: &Knowledge, alive: BTreeSet<NodeId>) -> Self {
        let placement = match (&self.placement, known.layout()) {
            (Some(held), Some(layout)) if Arc::ptr_eq(&held.layout, layout) => Some(held.clone()),
            (_, layout) => layout.map(Placement::of),
        };
        Self {
            placement,
            members: Arc::clone(known.members()),
            buckets: Arc::clone(known.buckets()),
            alive,
            ..self.clone()
        }
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The seed of positions.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The layout in force; `None` before the first commit.
    #[must_use]
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.placement.as_ref().map(|placement| &placement.layout)
    }

    /// The layout's version; 0 before the first commit.
    #[must_use]
    pub fn layout_version(&self) -> LayoutVersion {
        self.layout().map_or(0, |layout| layout.version)
    }

    /// Q: the layout's, or before the first commit what this node is configured with.
    #[must_use]
    pub fn partitions(&self) -> PartitionCount {
        self.layout().map_or(self.partitions, |layout| layout.ring.partitions())
    }

    /// Whom to ask to hold the partition, in order: the first N are its primaries, the others its
    /// fallbacks; at most 32. Empty before the first commit.
    ///
    /// # Panics
    /// The partition is not below [`Self::partitions`].
    #[must_use]
    pub fn preference_list(&self, partition: Partition) -> &[NodeId] {
        self.placement.as_ref().map_or(&[], |placement| placement.preferences.of(partition))
    }

    /// A bucket's properties; the defaults if they were never set.
    #[must_use]
    pub fn bucket(&self, name: &[u8]) -> &BucketProps {
        let found = self.buckets.binary_search_by(|entry| (*entry.name).cmp(name));
        found.map_or(&self.defaults, |index| &self.buckets[index].props)
    }

    /// Every N that a bucket has, in order: the default, and those that were set.
    #[must_use]
    pub fn replica_counts(&self) -> Vec<u8> {
        let set = self.buckets.iter().map(|entry| entry.props.n);
        let counts: BTreeSet<u8> = set.chain([self.defaults.n]).collect();
        counts.into_iter().collect()
    }

    /// The buckets whose N is not the default, with that N: when this changes, keys have other owners.
    #[must_use]
    pub fn other_replica_counts(&self) -> Vec<(&[u8], u8)> {
        let other = |entry: &&BucketEntry| entry.props.n != self.defaults.n;
        self.buckets.iter().filter(other).map(|entry| (&*entry.name, entry.props.n)).collect()
    }

    /// Whether this node takes `node` to be up; it does itself.
    #[must_use]
    pub fn is_alive(&self, node: NodeId) -> bool {
        node == self.me || self.alive.contains(&node)
    }

    /// Where a member listens; `None` for one that is not known.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.members.get(&node).map(|record| record.address)
    }

    /// Every member's record, this node's included.
    pub fn members(&self) -> impl Iterator<Item = &MemberRecord> {
        self.members.values()
    }

    /// What a client needs to find coordinators by itself.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let endpoint = |record: &MemberRecord| Endpoint {
            node: record.node,
            name: record.name.clone(),
            address: record.address,
            alive: self.is_alive(record.node),
        };
        Topology {
            cluster: self.cluster,
            layout: self.layout().map(|layout| (**layout).clone()),
            members: self.members().map(endpoint).collect(),
        }
    }
}
