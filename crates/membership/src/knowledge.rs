//! What gossip spreads: member records, bucket properties and the layout.
//!
//! Invariant: merging is commutative, associative and idempotent: whatever the order of arrival, the
//! newest of everything stays. What is not acceptable is left out and leaves the rest as it was.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NODES_MAX, NodeId, RingError};
use jedlik_protocol::bucket::{BucketEntry, check_name};
use jedlik_protocol::error::{InvalidKey, InvalidProperty};
use jedlik_protocol::gossip::{Delta, MemberDigest, MemberRecord, Summary};
use jedlik_protocol::{Blob, Digest, Layout, LayoutVersion};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The most buckets whose properties are set: what a summary lists in each exchange stays small.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// The longest name or zone of a member.
const LABEL_LIMIT_BYTES: usize = 256;

/// Something that a peer sent and that this node does not take over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unacceptable {
    /// The record would break planning or fill memory.
    #[error("member {node} has weight {weight}, a name of {name} bytes, a zone of {zone} bytes")]
    Member {
        /// Whose.
        node: NodeId,
        /// At least 1.
        weight: u32,
        /// At most 256.
        name: usize,
        /// At most 256.
        zone: usize,
    },
    /// Remove members, or run more than one cluster.
    #[error("there are {NODES_MAX} members already")]
    TooManyMembers,
    /// Its name is outside its limits.
    #[error("bucket: {0}")]
    BucketName(InvalidKey),
    /// Its properties contradict one another; perhaps the peer is of a newer version.
    #[error("bucket {name:?}: {fault}")]
    BucketProps {
        /// Which.
        name: Blob,
        /// What is wrong.
        fault: InvalidProperty,
    },
    /// Use fewer buckets; keys can carry prefixes.
    #[error("the properties of {BUCKETS_MAX} buckets are set already")]
    TooManyBuckets,
    /// The ring would break whoever walks it.
    #[error("layout {version}: {fault}")]
    Layout {
        /// Which.
        version: LayoutVersion,
        /// What is wrong.
        fault: RingError,
    },
    /// Version 0 means that there is none.
    #[error("a layout has version 0; the first is 1")]
    LayoutVersion,
}

/// One thing that a merge changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A record of a node that was not known.
    Joined(NodeId),
    /// A newer record.
    Updated(NodeId),
    /// A bucket's properties.
    Bucket { name: Blob, version: u64 },
    /// The layout, and the digest of one with the same version that lost to it.
    Layout { replaced: Option<Digest> },
    /// Nothing: this was not taken over.
    Refused(Unacceptable),
}

/// Everything that spreads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    members: Arc<BTreeMap<NodeId, MemberRecord>>,
    /// In the order of their names.
    buckets: Arc<Vec<BucketEntry>>,
    layout: Option<Arc<Layout>>,
}

impl Knowledge {
    /// What was stored, as far as it is acceptable.
    pub(crate) fn restored(stored: Delta) -> Self {
        let mut restored = Self::default();
        restored.merge(stored);
        restored
    }

    pub(crate) fn members(&self) -> &Arc<BTreeMap<NodeId, MemberRecord>> {
        &self.members
    }

    pub(crate) fn buckets(&self) -> &Arc<Vec<BucketEntry>> {
        &self.buckets
    }

    pub(crate) fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    /// The entry of a bucket whose properties were set.
    pub(crate) fn bucket(&self, name: &Blob) -> Option<&BucketEntry> {
        self.place(name).ok().map(|index| &self.buckets[index])
    }

    /// Everything, to be stored.
    pub(crate) fn whole(&self) -> Delta {
        Delta {
            members: self.members.values().cloned().collect(),
            buckets: (*self.buckets).clone(),
            layout: self.layout.as_deref().cloned(),
        }
    }

    /// What is known, in short.
    pub(crate) fn summary(&self) -> Summary {
        let member = |record: &MemberRecord| MemberDigest {
            node: record.node,
            generation: record.generation,
            version: record.version,
        };
        let bucket = |entry: &BucketEntry| (entry.name.clone(), entry.version, entry.digest());
        Summary {
            members: self.members.values().map(member).collect(),
            buckets: self.buckets.iter().map(bucket).collect(),
            layout: self.layout.as_ref().map(|layout| (layout.version, layout.digest())),
        }
    }

    /// What the author of `theirs` lacks.
    pub(crate) fn lacking(&self, theirs: &Summary) -> Delta {
        let held: BTreeMap<NodeId, (u64, u64)> = theirs
            .members
            .iter()
            .map(|digest| (digest.node, (digest.generation, digest.version)))
            .collect();
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
        let layout = self.layout.as_deref().filter(|layout| {
            theirs.layout.is_none_or(|theirs| (layout.version, layout.digest()) > theirs)
        });
        Delta {
            members: self.members.values().filter(newer).cloned().collect(),
            buckets: self.buckets.iter().filter(other).cloned().collect(),
            layout: layout.cloned(),
        }
    }

    /// Takes over what is newer and acceptable.
    pub(crate) fn merge(&mut self, delta: Delta) -> Vec<Change> {
        let members = delta.members.into_iter().map(|record| self.merge_member(record));
        let mut changes: Vec<Change> = members.flatten().collect();
        changes.extend(delta.buckets.into_iter().filter_map(|entry| self.merge_bucket(entry)));
        changes.extend(delta.layout.and_then(|layout| self.merge_layout(layout)));
        changes
    }

    /// Takes over a record if it is newer than the one held.
    pub(crate) fn merge_member(&mut self, record: MemberRecord) -> Option<Change> {
        let node = record.node;
        let held = self.members.get(&node);
        if held.is_some_and(|held| age(held) >= age(&record)) {
            return None;
        }
        if let Err(fault) = check_member(&record) {
            return Some(Change::Refused(fault));
        }
        let change = match held {
            Some(_) => Change::Updated(node),
            None if self.members.len() >= NODES_MAX => {
                return Some(Change::Refused(Unacceptable::TooManyMembers));
            }
            None => Change::Joined(node),
        };
        Arc::make_mut(&mut self.members).insert(node, record);
        Some(change)
    }

    /// Takes over a setting of a bucket if it supersedes the one held.
    pub(crate) fn merge_bucket(&mut self, entry: BucketEntry) -> Option<Change> {
        let place = self.place(&entry.name);
        if place.is_ok_and(|index| !entry.supersedes(&self.buckets[index])) {
            return None;
        }
        if let Err(fault) = check_bucket(&entry) {
            return Some(Change::Refused(fault));
        }
        let change = Change::Bucket { name: entry.name.clone(), version: entry.version };
        match place {
            Err(_) if self.buckets.len() >= BUCKETS_MAX => {
                return Some(Change::Refused(Unacceptable::TooManyBuckets));
            }
            Ok(index) => Arc::make_mut(&mut self.buckets)[index] = entry,
            Err(index) => Arc::make_mut(&mut self.buckets).insert(index, entry),
        }
        Some(change)
    }

    /// Takes over a layout if it supersedes the one held.
    pub(crate) fn merge_layout(&mut self, layout: Layout) -> Option<Change> {
        let version = layout.version;
        if version == 0 {
            return Some(Change::Refused(Unacceptable::LayoutVersion));
        }
        // First of all: a digest or a walk of a ring that is none could go wrong.
        if let Err(fault) = layout.ring.check() {
            return Some(Change::Refused(Unacceptable::Layout { version, fault }));
        }
        if self.layout.as_ref().is_some_and(|held| !layout.supersedes(held)) {
            return None;
        }
        let rival = self.layout.as_ref().filter(|held| held.version == version);
        let replaced = rival.map(|held| held.digest());
        self.layout = Some(Arc::new(layout));
        Some(Change::Layout { replaced })
    }

    fn place(&self, name: &Blob) -> Result<usize, usize> {
        self.buckets.binary_search_by(|entry| entry.name.cmp(name))
    }
}

/// How new a record is: lives first, changes within a life second.
pub(crate) fn age(record: &MemberRecord) -> (u64, u64) {
    (record.generation, record.version)
}

fn check_member(record: &MemberRecord) -> Result<(), Unacceptable> {
    let MemberRecord { node, weight, name, zone, .. } = record;
    let fits = |label: &String| label.len() <= LABEL_LIMIT_BYTES;
    if *weight > 0 && fits(name) && fits(zone) {
        return Ok(());
    }
    let (name, zone) = (name.len(), zone.len());
    Err(Unacceptable::Member { node: *node, weight: *weight, name, zone })
}

fn check_bucket(entry: &BucketEntry) -> Result<(), Unacceptable> {
    check_name(&entry.name).map_err(Unacceptable::BucketName)?;
    let name = entry.name.clone();
    entry.props.check().map_err(|fault| Unacceptable::BucketProps { name, fault })
}
