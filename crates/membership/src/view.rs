//! The cluster as the rest of the node sees it, at one moment.
//!
//! Invariant: a view never changes; a new one replaces it. Parts that did not change are shared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::access::{AccessEntry, Subject};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{MemberAddress, Topology};
use jedlik_protocol::gossip::{Delta, Life, MemberRecord, Rival, Status};
use jedlik_protocol::{ClusterId, Departed, Digest, Layout, LayoutId, LayoutVersion};
use xxhash_rust::xxh3::xxh3_64;

use crate::access_list::AccessList;
use crate::knowledge::Knowledge;
use crate::layout_history::ActiveLayout;

mod transfers;

#[cfg(test)]
mod tests;

/// Knowledge of this life of the node about the lives before it: whether its data directory holds all that they
/// acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// No other member has answered yet: the directory may be older than what the cluster remembers. The node may not
    /// say that something is absent.
    Unconfirmed,
    /// The directory remembers every life of this node that the cluster does.
    Continuous,
    /// The directory began empty, or lacks a life that the cluster remembers: the node may not say that something is
    /// absent until it has been refilled.
    Lost,
}

/// The cluster as this node sees it: layouts, addresses, bucket properties, and liveness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    me: NodeId,
    cluster: ClusterId,
    /// Number of partitions before the first layout sets it.
    partitions: PartitionCount,
    /// Active layouts, newest first.
    layouts: Arc<Vec<ActiveLayout>>,
    members: Arc<BTreeMap<NodeId, MemberRecord>>,
    buckets: Arc<Vec<BucketEntry>>,
    access: Arc<AccessList>,
    defaults: BucketProps,
    alive: Arc<BTreeSet<NodeId>>,
    past: Past,
}

impl View {
    /// Makes a view of what is `known`, in which `alive` (and `me`) are up. What is not acceptable in `known`, such
    /// as a layout whose ring is not well formed, is left out.
    #[must_use]
    pub fn new(
        me: NodeId,
        cluster: ClusterId,
        partitions: PartitionCount,
        known: Delta,
        alive: BTreeSet<NodeId>,
    ) -> Self {
        Self::of(me, cluster, partitions, &Knowledge::restored(known), Arc::new(alive))
    }

    pub(crate) fn of(
        me: NodeId,
        cluster: ClusterId,
        partitions: PartitionCount,
        known: &Knowledge,
        alive: Arc<BTreeSet<NodeId>>,
    ) -> Self {
        Self {
            me,
            cluster,
            partitions,
            layouts: Arc::clone(known.history().layouts()),
            members: Arc::clone(known.members()),
            buckets: Arc::clone(known.buckets()),
            access: Arc::clone(known.access()),
            defaults: BucketProps::default(),
            alive,
            past: Past::Continuous,
        }
    }

    /// Returns the same view with another past of this node.
    #[must_use]
    pub fn with_past(self, past: Past) -> Self {
        Self { past, ..self }
    }

    /// Returns the view that replaces this one after a change.
    pub(crate) fn next(&self, known: &Knowledge, alive: Arc<BTreeSet<NodeId>>) -> Self {
        Self {
            layouts: Arc::clone(known.history().layouts()),
            members: Arc::clone(known.members()),
            buckets: Arc::clone(known.buckets()),
            access: Arc::clone(known.access()),
            alive,
            ..self.clone()
        }
    }

    /// Returns the identity of this node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Returns whether this node's data directory is known to hold all that the node ever acknowledged.
    #[must_use]
    pub fn past(&self) -> Past {
        self.past
    }

    /// Returns the cluster's identity, which seeds the positions of keys.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the active layouts, newest first. The newest is in force; rivals with one version are among them.
    #[must_use]
    pub fn layouts(&self) -> &[ActiveLayout] {
        &self.layouts
    }

    /// Returns the layout in force; `None` before the first commit.
    #[must_use]
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layouts.first().map(ActiveLayout::layout)
    }

    /// Returns the identity of the layout in force; the default before the first commit.
    #[must_use]
    pub fn layout_id(&self) -> LayoutId {
        self.layouts.first().map_or(LayoutId::default(), ActiveLayout::id)
    }

    /// Returns the version of the layout in force; 0 before the first commit.
    #[must_use]
    pub fn layout_version(&self) -> LayoutVersion {
        self.layout_id().version
    }

    /// Returns the number of partitions (Q): the layout's, or before the first commit this node's configured one.
    #[must_use]
    pub fn partitions(&self) -> PartitionCount {
        self.layout().map_or(self.partitions, |layout| layout.ring.partitions())
    }

    /// Returns the partition's preference list under the newest layout: the first N are its primaries, the others its
    /// fallbacks; at most 32. Empty before the first commit.
    ///
    /// # Panics
    /// The partition is not below [`Self::partitions`].
    #[must_use]
    pub fn preference_list(&self, partition: Partition) -> &[NodeId] {
        self.layouts.first().map_or(&[], |newest| newest.preference_list(partition))
    }

    /// Returns the active preference lists for the partition, newest first, back to the newest layout that is known
    /// to have flipped for it, that one included. A list whose first `n` are those of a newer one is left out. A
    /// request has to reach its quorum among the first `n` of each. Empty before the first commit.
    ///
    /// # Panics
    /// The partition is not below [`Self::partitions`].
    #[must_use]
    pub fn owner_lists(&self, partition: Partition, n: u8) -> Vec<&[NodeId]> {
        let mut lists: Vec<&[NodeId]> = Vec::with_capacity(1);
        for known in self.layouts.iter() {
            let list = known.preference_list(partition);
            if !lists.iter().any(|newer| same_owners(newer, list, n)) {
                lists.push(list);
            }
            let looked_back = lists.len() > 1 && planted::on(Bug::OneLayoutLookedBack);
            if known.flipped().contains(partition) || looked_back {
                break;
            }
        }
        lists
    }

    /// Returns all nodes among the first `n` of an active list for the partition, those of the newest first.
    ///
    /// # Panics
    /// The partition is not below [`Self::partitions`].
    #[must_use]
    pub fn owners(&self, partition: Partition, n: u8) -> Vec<NodeId> {
        let mut owners = Vec::with_capacity(usize::from(n));
        for node in self.owner_lists(partition, n).into_iter().flat_map(|list| first(list, n)) {
            if !owners.contains(node) {
                owners.push(*node);
            }
        }
        owners
    }

    /// Whether all data of the partition has moved to the newest layout's owners.
    #[must_use]
    pub fn is_flipped(&self, partition: Partition) -> bool {
        self.layouts.first().is_some_and(|newest| newest.flipped().contains(partition))
    }

    /// Returns the number of partitions whose data has moved to the newest layout's owners.
    #[must_use]
    pub fn flipped(&self) -> u32 {
        self.layouts.first().map_or(0, |newest| newest.flipped().len())
    }

    /// Whether all members take messages of the same age. If they do, what is forgotten after a multiple of it can't
    /// be brought back by a message that is still under way.
    #[must_use]
    pub fn agrees_on_message_life(&self) -> bool {
        let mut lives = self.members().map(|record| record.message_life_ms);
        lives.next().is_none_or(|first| lives.all(|life_ms| life_ms == first))
    }

    /// Whether this node has the layout in force on its disk, as its record says, and would know it after a crash.
    #[must_use]
    pub fn has_stored_layout(&self) -> bool {
        let mine = self.members.get(&self.me);
        mine.is_none_or(|record| record.layout == self.layout_id())
    }

    /// Whether every member says that it has stored the newest layout, so that nobody asks the owners of older ones
    /// as if they were the present ones. A member with a newer one, perhaps a rival, knows of owners that this node
    /// does not.
    #[must_use]
    pub fn is_known_by_all(&self) -> bool {
        let newest = self.layout_id();
        self.members().all(|record| record.layout == newest)
            || planted::on(Bug::DroppedBeforeAllKnow)
    }

    /// Returns how the node has departed under the newest layout; `None` if it has not. A node that leaves is still a
    /// member until it says that it is done.
    #[must_use]
    pub fn departed(&self, node: NodeId) -> Option<Departed> {
        self.layout().and_then(|layout| layout.departed(node))
    }

    /// Whether the node was removed by force, or has left: nothing that it says is listened to.
    #[must_use]
    pub fn is_barred(&self, node: NodeId) -> bool {
        !self.is_in(node)
    }

    /// Whether requests of the node are listened to: it is a member, or has a place in an active layout, and it is
    /// not barred. A certificate of the cluster alone does not make a member.
    #[must_use]
    pub fn hears(&self, node: NodeId) -> bool {
        let placed = |known: &ActiveLayout| known.layout().ring.node(node).is_some();
        let is_known = self.members.contains_key(&node) || self.layouts.iter().any(placed);
        is_known && self.is_in(node)
    }

    /// Returns the rights of a token or a certificate, whether they are in force or not; `None` if it has none of its
    /// own.
    #[must_use]
    pub fn access(&self, subject: &Subject) -> Option<&AccessEntry> {
        self.access.get(subject)
    }

    /// Whether any token or certificate has rights of its own.
    #[must_use]
    pub fn limits_access(&self) -> bool {
        !self.access.entries().is_empty()
    }

    /// Returns a bucket's properties; the defaults if they were never set.
    #[must_use]
    pub fn bucket(&self, name: &[u8]) -> &BucketProps {
        let found = self.buckets.binary_search_by(|entry| (*entry.name).cmp(name));
        found.map_or(&self.defaults, |index| &self.buckets[index].props)
    }

    /// Returns the N of buckets whose properties were never set.
    #[must_use]
    pub fn default_n(&self) -> u8 {
        self.defaults.n
    }

    /// Returns each N that a bucket has, in ascending order: the default, and those that were set.
    #[must_use]
    pub fn replica_counts(&self) -> Vec<u8> {
        let set = self.buckets.iter().map(|entry| entry.props.n);
        let counts: BTreeSet<u8> = set.chain([self.defaults.n]).collect();
        counts.into_iter().collect()
    }

    /// Returns the largest R of the buckets with this N; N itself if there is no such bucket.
    #[must_use]
    pub fn largest_r(&self, n: u8) -> u8 {
        let all = self.buckets.iter().map(|entry| &entry.props).chain([&self.defaults]);
        all.filter(|props| props.n == n).map(|props| props.r).max().unwrap_or(n)
    }

    /// Returns the buckets whose N is not the default, with that N. When this changes, keys have other owners.
    #[must_use]
    pub fn other_replica_counts(&self) -> Vec<(&[u8], u8)> {
        let other = |entry: &&BucketEntry| entry.props.n != self.defaults.n;
        self.buckets.iter().filter(other).map(|entry| (&*entry.name, entry.props.n)).collect()
    }

    /// Returns another process of `node` that runs beside it, while no admin has decided which of them stays. The
    /// node coordinates nothing meanwhile.
    #[must_use]
    pub fn rival(&self, node: NodeId) -> Option<Rival> {
        self.members.get(&node).and_then(|record| record.life.rival)
    }

    /// Returns the life that `node` is taken to be in; `None` for an unknown node.
    #[must_use]
    pub fn life(&self, node: NodeId) -> Option<Life> {
        self.members.get(&node).map(|record| record.life)
    }

    /// Whether a process of a member runs beside another one, and no admin has decided which of them stays.
    #[must_use]
    pub fn has_rivals(&self) -> bool {
        self.members().any(|record| record.life.rival.is_some())
    }

    /// Computes the digest of the lives that the members are in: two nodes with the same digest know the same
    /// processes.
    #[must_use]
    pub fn lives(&self) -> Digest {
        let all = self.members().flat_map(|record| [record.node.0, record.life.incarnation.0]);
        Digest(xxh3_64(&all.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()))
    }

    /// Whether this node takes `node` to be up; it always takes itself to be.
    #[must_use]
    pub fn is_alive(&self, node: NodeId) -> bool {
        node == self.me || self.alive.contains(&node) && self.is_in(node)
    }

    /// Returns the address of a member; `None` for a node that is unknown or gone.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.member(node).map(|record| record.address)
    }

    /// Returns the record of a member; `None` for a node that is unknown or gone.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&MemberRecord> {
        self.members.get(&node).filter(|record| self.is_member(record))
    }

    /// Returns the records of all members, this node's included, without nodes that were removed or have left.
    pub fn members(&self) -> impl Iterator<Item = &MemberRecord> {
        self.members.values().filter(|record| self.is_member(record))
    }

    /// Whether the node was not removed by force, and has not left.
    fn is_in(&self, node: NodeId) -> bool {
        let forced = self.departed(node).is_some_and(|departed| departed.forced);
        !forced && self.members.get(&node).is_none_or(|record| self.is_member(record))
            || planted::on(Bug::RemovedNodeTakenBack)
    }

    fn is_member(&self, record: &MemberRecord) -> bool {
        record.status != Status::Left || self.departed(record.node).is_none()
    }

    /// Returns the layout and the addresses by which a client finds coordinators by itself.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let endpoint = |record: &MemberRecord| MemberAddress {
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

fn first(list: &[NodeId], n: u8) -> &[NodeId] {
    &list[..list.len().min(usize::from(n))]
}

/// Whether two preference lists have the same first `n`, in any order.
fn same_owners(one: &[NodeId], other: &[NodeId], n: u8) -> bool {
    let (one, other) = (first(one, n), first(other, n));
    one.len() == other.len() && one.iter().all(|node| other.contains(node))
}
