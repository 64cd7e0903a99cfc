//! Knowledge that gossip spreads: member records, bucket properties, rights, layouts, and staged changes.
//!
//! Invariant: merging is commutative, associative and idempotent: whatever the order of arrival, the newest of
//! everything stays, and every active layout. What is not acceptable is left out and leaves the rest as it was. A
//! node that any active layout removes by force is in none that follows.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NODES_MAX, NodeId, Partition};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::access::{AccessEntry, Subject};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::gossip::{Delta, Life, MemberDigest, MemberRecord, Staging, Status, Summary};
use jedlik_protocol::limits::DEPARTED_MAX;
use jedlik_protocol::{Blob, Digest, Incarnation, LayoutId, PartitionSet, WireLayout};

use crate::acceptable::{BUCKETS_MAX, Unacceptable, check_bucket, check_member, check_version};
use crate::access_list::AccessList;
use crate::layout_history::{ActiveLayout, Added, LayoutHistory};
use crate::placement::without_removed;
use crate::summary;

#[cfg(test)]
mod tests;

/// One thing that a merge has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KnowledgeChange {
    /// A record of a node that was not known.
    Joined(NodeId),
    /// A newer record of a known member; `matters` unless it differs only in load and tick.
    Updated { node: NodeId, matters: bool },
    /// The record of a node that was removed by force was dropped.
    Dropped(NodeId),
    /// Other properties of a bucket.
    Bucket { name: Blob, version: u64 },
    /// Other rights of a token or a certificate.
    Access { subject: Subject, version: u64 },
    /// Another layout in force; `rival` is the one of the same version that was in force before.
    Layout { rival: Option<LayoutId> },
    /// An older layout, or more flipped partitions.
    Layouts,
    /// Other staged changes for the next plan.
    Staged,
    /// No change: a value was refused.
    Refused(Unacceptable),
}

/// All of a node's knowledge that gossip spreads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    members: Arc<BTreeMap<NodeId, MemberRecord>>,
    /// Buckets whose properties were set, in the order of their names.
    buckets: Arc<Vec<BucketEntry>>,
    access: Arc<AccessList>,
    history: LayoutHistory,
    /// Staged changes to the layout that was in force when they arrived.
    staging: Option<Staging>,
}

impl Knowledge {
    /// Restores the knowledge that was stored, as far as it is acceptable.
    pub(crate) fn restored(stored: Delta) -> Self {
        let mut restored = Self::default();
        restored.merge(stored);
        restored
    }

    /// Returns the records of all members, those that have left included.
    pub(crate) fn members(&self) -> &Arc<BTreeMap<NodeId, MemberRecord>> {
        &self.members
    }

    pub(crate) fn buckets(&self) -> &Arc<Vec<BucketEntry>> {
        &self.buckets
    }

    pub(crate) fn access(&self) -> &Arc<AccessList> {
        &self.access
    }

    pub(crate) fn history(&self) -> &LayoutHistory {
        &self.history
    }

    /// Returns the layout in force; `None` before the first commit.
    pub(crate) fn newest(&self) -> Option<&ActiveLayout> {
        self.history.newest()
    }

    /// Returns the staged changes to the layout in force.
    pub(crate) fn staging(&self) -> Option<&Staging> {
        self.staging.as_ref().filter(|staging| staging.base == self.history.newest_id())
    }

    /// Returns the entry of a bucket whose properties were set.
    pub(crate) fn bucket(&self, name: &Blob) -> Option<&BucketEntry> {
        self.place(name).ok().map(|index| &self.buckets[index])
    }

    /// Returns the largest N of any bucket, the default one included.
    pub(crate) fn n_max(&self) -> u8 {
        let set = self.buckets.iter().map(|entry| entry.props.n);
        set.chain([BucketProps::default().n]).max().unwrap_or(1)
    }

    /// Whether the layout in force says that the node was removed by force.
    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        let departed = self.newest().and_then(|newest| newest.layout().departed(node));
        departed.is_some_and(|departed| departed.forced) && !planted::on(Bug::RemovedNodeTakenBack)
    }

    /// Whether the layout in force has the node leave, and the node itself says that it has.
    pub(crate) fn has_left(&self, node: NodeId) -> bool {
        let departed = self.newest().and_then(|newest| newest.layout().departed(node));
        departed.is_some_and(|departed| !departed.forced)
            && self.members.get(&node).is_some_and(|record| record.status == Status::Left)
    }

    /// Returns all knowledge, to be stored.
    pub(crate) fn whole(&self) -> Delta {
        Delta {
            members: self.members.values().cloned().collect(),
            buckets: (*self.buckets).clone(),
            access: self.access.entries().to_vec(),
            layouts: self.history.layouts().iter().map(ActiveLayout::placed).collect(),
            flips: Vec::new(),
            staging: self.staging.clone(),
        }
    }

    /// Summarises the knowledge, so that a peer can tell what either side lacks.
    pub(crate) fn summary(&self) -> Summary {
        let member = |record: &MemberRecord| MemberDigest {
            node: record.node,
            generation: record.generation,
            version: record.version,
            incarnation: record.life.incarnation,
        };
        let bucket = |entry: &BucketEntry| (entry.name.clone(), entry.version, entry.digest());
        let layout = |known: &ActiveLayout| (known.id(), summary::of_partitions(known.flipped()));
        let staging = |staging: &Staging| (staging.base, staging.revision, staging.digest());
        Summary {
            members: self.members.values().map(member).collect(),
            buckets: self.buckets.iter().map(bucket).collect(),
            access: self.access.summary(),
            layouts: self.history.layouts().iter().map(layout).collect(),
            staging: self.staging.as_ref().map(staging),
        }
    }

    /// Returns the knowledge that the author of `theirs` lacks.
    pub(crate) fn lacking(&self, theirs: &Summary) -> Delta {
        let rank = |digest: &MemberDigest| (digest.generation, digest.version, digest.incarnation);
        let held: BTreeMap<NodeId, Age> =
            theirs.members.iter().map(|digest| (digest.node, rank(digest))).collect();
        let newer =
            |record: &&MemberRecord| held.get(&record.node).is_none_or(|held| age(record) > *held);
        let buckets: BTreeMap<&Blob, (u64, Digest)> = theirs
            .buckets
            .iter()
            .map(|(name, version, digest)| (name, (*version, *digest)))
            .collect();
        // With the same version only the properties themselves tell which entry wins.
        let other = |entry: &&BucketEntry| {
            buckets.get(&entry.name).is_none_or(|(version, digest)| {
                entry.version > *version || entry.version == *version && entry.digest() != *digest
            })
        };
        let (layouts, flips) = self.lacking_of_history(theirs);
        let rank = |staging: &Staging| (staging.base, staging.revision, staging.digest());
        let staging = self.staging.as_ref().filter(|staging| theirs.staging < Some(rank(staging)));
        Delta {
            members: self.members.values().filter(newer).cloned().collect(),
            buckets: self.buckets.iter().filter(other).cloned().collect(),
            access: self.access.lacking(&theirs.access),
            layouts,
            flips,
            staging: staging.cloned(),
        }
    }

    /// Returns the layouts that the other side lacks, and the flips under those that it has.
    fn lacking_of_history(
        &self,
        theirs: &Summary,
    ) -> (Vec<WireLayout>, Vec<(LayoutId, PartitionSet)>) {
        let (mut layouts, mut flips) = (Vec::new(), Vec::new());
        for known in self.history.layouts().iter() {
            match theirs.layouts.iter().find(|(id, _)| *id == known.id()) {
                None => layouts.push(known.placed()),
                Some((_, digest)) if *digest != summary::of_partitions(known.flipped()) => {
                    flips.push((known.id(), known.flipped().clone()));
                }
                Some(_) => {}
            }
        }
        (layouts, flips)
    }

    /// Takes over what is newer and acceptable. Layouts come first, since they decide about the rest.
    pub(crate) fn merge(&mut self, delta: Delta) -> Vec<KnowledgeChange> {
        let mut changes = Vec::new();
        for placed in delta.layouts {
            changes.extend(self.merge_layout(placed));
        }
        for (id, flipped) in delta.flips {
            let added = self.history.merge_flips(id, &flipped);
            changes.extend(followed(added));
        }
        changes.extend(delta.buckets.into_iter().filter_map(|entry| self.merge_bucket(entry)));
        changes.extend(delta.access.into_iter().filter_map(|entry| self.merge_access(entry)));
        changes.extend(delta.members.into_iter().filter_map(|record| self.merge_member(record)));
        changes.extend(delta.staging.and_then(|staging| self.merge_staging(staging)));
        if !changes.is_empty() {
            changes.extend(self.follow_departures().then_some(KnowledgeChange::Layouts));
        }
        changes
    }

    /// Flips all partitions of the layout that a departed member's record names: the member knew that all had moved.
    /// It may have heard the last of that from a node whose disk was lost since, so that nobody else could know it
    /// any more.
    fn follow_departures(&mut self) -> bool {
        let mut is_new = false;
        for record in self.members.values().filter(|record| record.status == Status::Left) {
            is_new |= self.history.settle(record.layout, record.node);
        }
        is_new
    }

    /// Takes over a record if it is newer than the one held.
    pub(crate) fn merge_member(&mut self, record: MemberRecord) -> Option<KnowledgeChange> {
        let node = record.node;
        let held = self.members.get(&node);
        if held.is_some_and(|held| age(held) >= age(&record)) || self.is_removed(node) {
            return None;
        }
        if let Err(fault) = check_member(&record) {
            return Some(KnowledgeChange::Refused(fault));
        }
        let change = match held {
            Some(held) => {
                KnowledgeChange::Updated { node, matters: !differ_in_load_alone(held, &record) }
            }
            None if self.is_full() => {
                return Some(KnowledgeChange::Refused(Unacceptable::TooManyMembers));
            }
            None => KnowledgeChange::Joined(node),
        };
        Arc::make_mut(&mut self.members).insert(node, record);
        Some(change)
    }

    /// Takes over a setting of a bucket if it supersedes the one held.
    pub(crate) fn merge_bucket(&mut self, entry: BucketEntry) -> Option<KnowledgeChange> {
        let place = self.place(&entry.name);
        if place.is_ok_and(|index| !entry.supersedes(&self.buckets[index])) {
            return None;
        }
        let held = place.ok().map(|index| self.buckets[index].version);
        let counted = check_version("a bucket's entry", entry.version, held);
        if let Err(fault) = counted.and_then(|()| check_bucket(&entry)) {
            return Some(KnowledgeChange::Refused(fault));
        }
        let change = KnowledgeChange::Bucket { name: entry.name.clone(), version: entry.version };
        match place {
            Err(_) if self.buckets.len() >= BUCKETS_MAX => {
                return Some(KnowledgeChange::Refused(Unacceptable::TooManyBuckets));
            }
            Ok(index) => Arc::make_mut(&mut self.buckets)[index] = entry,
            Err(index) => Arc::make_mut(&mut self.buckets).insert(index, entry),
        }
        Some(change)
    }

    /// Takes over rights that supersede those held.
    pub(crate) fn merge_access(&mut self, entry: AccessEntry) -> Option<KnowledgeChange> {
        let (subject, version) = (entry.subject.clone(), entry.version);
        match Arc::make_mut(&mut self.access).merge(entry) {
            Ok(true) => Some(KnowledgeChange::Access { subject, version }),
            Ok(false) => None,
            Err(fault) => Some(KnowledgeChange::Refused(fault)),
        }
    }

    /// Takes in a layout unless it is retired, and drops what it makes void if it is the newest.
    pub(crate) fn merge_layout(&mut self, placed: WireLayout) -> Vec<KnowledgeChange> {
        let added = self.history.add(placed);
        let mut changes: Vec<KnowledgeChange> = followed(added).into_iter().collect();
        if matches!(changes.first(), Some(KnowledgeChange::Layout { .. })) {
            let base = self.history.newest_id();
            self.staging.take_if(|staging| staging.base != base);
            let nodes = self.members.keys().copied();
            let removed: Vec<NodeId> = nodes.filter(|node| self.is_removed(*node)).collect();
            for node in removed {
                Arc::make_mut(&mut self.members).remove(&node);
                changes.push(KnowledgeChange::Dropped(node));
            }
        }
        // Planned anew after every change of the history, so that the order of arrival makes no difference.
        let follower = changes.first().and_then(|_| without_removed(&self.history, self.n_max()));
        if let Some(follower) = follower {
            changes.extend(self.merge_layout(follower));
        }
        changes
    }

    /// Takes over staged changes that supersede those held. Changes to a layout that is not in force here are void: a
    /// peer with a newer layout sends that along, and a layout that nobody has must not keep others' changes out.
    pub(crate) fn merge_staging(&mut self, staging: Staging) -> Option<KnowledgeChange> {
        let held = self.staging();
        let is_void = staging.base != self.history.newest_id();
        if is_void || held.is_some_and(|held| !staging.supersedes(held)) {
            return None;
        }
        let known = held.map_or(0, |held| held.revision);
        if let Err(fault) = check_version("a staging", staging.revision, Some(known)) {
            return Some(KnowledgeChange::Refused(fault));
        }
        self.staging = Some(staging);
        Some(KnowledgeChange::Staged)
    }

    /// Flips those of `candidates` whose first owners are all ready under the newest layout, except owners that don't
    /// have to be as `counts` says. Returns whether any is new.
    pub(crate) fn flip(
        &mut self,
        candidates: impl Iterator<Item = Partition>,
        counts: impl Fn(NodeId) -> bool,
    ) -> bool {
        let (n, newest, members) = (self.n_max(), self.history.newest_id(), &self.members);
        let ready = |node: NodeId, partition| {
            let said = members.get(&node).map(|record| &record.ready);
            said.is_some_and(|said| said.layout == newest && said.partitions.contains(partition))
                || !counts(node)
        };
        self.history.flip_ready(usize::from(n), candidates, ready)
    }

    /// Whether there is no room for another member. Members that have left have room of their own.
    fn is_full(&self) -> bool {
        let present = |record: &&MemberRecord| record.status != Status::Left;
        self.members.len() >= NODES_MAX
            && (self.members.values().filter(present).count() >= NODES_MAX
                || self.members.len() >= NODES_MAX + DEPARTED_MAX)
    }

    fn place(&self, name: &Blob) -> Result<usize, usize> {
        self.buckets.binary_search_by(|entry| entry.name.cmp(name))
    }
}

fn followed(added: Result<Added, Unacceptable>) -> Option<KnowledgeChange> {
    match added {
        Ok(Added::Nothing) => None,
        Ok(Added::Newest { rival }) => Some(KnowledgeChange::Layout { rival }),
        Ok(Added::Other) => Some(KnowledgeChange::Layouts),
        Err(fault) => Some(KnowledgeChange::Refused(fault)),
    }
}

/// Age of a record: starts first, changes within a start second. Two lives that have counted alike are told apart by
/// their names.
pub(crate) type Age = (u64, u64, Incarnation);

/// Returns the age of a record.
pub(crate) fn age(record: &MemberRecord) -> Age {
    (record.generation, record.version, record.life.incarnation)
}

/// Whether a newer record differs only in load and tick, which are told again and again: a node that forgets them
/// hears them from others.
fn differ_in_load_alone(held: &MemberRecord, found: &MemberRecord) -> bool {
    let plain = |record: &MemberRecord| {
        let life = Life { tick: 0, ..record.life };
        MemberRecord { version: 0, load: held.load, life, ..record.clone() }
    };
    plain(held) == plain(found)
}
