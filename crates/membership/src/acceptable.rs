//! Checks of what a peer may have this node take over.
//!
//! Invariant: what passes here breaks no code that plans with it, walks it, or keeps it in memory.

use alloc::string::String;

use jedlik_hashing::{NODES_MAX, NodeId, RingError};
use jedlik_protocol::bucket::{BucketEntry, check_name};
use jedlik_protocol::error::{InvalidAccess, InvalidKey, InvalidProperty};
use jedlik_protocol::gossip::MemberRecord;
use jedlik_protocol::{Blob, LayoutVersion, WireLayout};
use thiserror::Error;

/// Most buckets whose properties may be set, so that summaries stay small.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// Most tokens and certificates that may have rights of their own, so that summaries stay small.
pub(crate) const ACCESS_MAX: usize = 1_000;
/// Highest generation or version of a member's record that is taken from another member, and highest version of a
/// layout, of a bucket's properties and of staged changes. No honest node gets there: at a thousand changes a second
/// it takes 34 years.
pub(crate) const COUNT_MAX: u64 = 1 << 40;
/// Highest generation or version that is taken from the member itself, so that it can outdo whatever others invent of
/// it.
const OWN_COUNT_MAX: u64 = 2 * COUNT_MAX;
/// Most that the version of a layout, of a bucket's properties or of staged changes may be past the known one: far
/// more commits than a node ever misses.
pub(crate) const JUMP_MAX: u64 = 1 << 20;
/// Longest name or zone of a member.
const LABEL_LIMIT_BYTES: usize = 256;

/// A value that a peer sent and that this node does not take over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unacceptable {
    /// A member's record would break planning or fill memory.
    #[error("member {node} has weight {weight}, a name of {name} bytes, a zone of {zone} bytes")]
    Member {
        /// Node that the record describes.
        node: NodeId,
        /// Weight in the record; the least is 1.
        weight: u32,
        /// Length of the name in bytes; the limit is 256.
        name: usize,
        /// Length of the zone in bytes; the limit is 256.
        zone: usize,
    },
    /// A member's record counts further than any honest node: a peer wants a record that the member can't outdo.
    #[error(
        "member {node} is said to have generation {generation} and version {version}, past {max}"
    )]
    MemberCount {
        /// Node that the record describes.
        node: NodeId,
        /// Generation that the record has.
        generation: u64,
        /// Version that the record has.
        version: u64,
        /// Highest generation or version that is taken over.
        max: u64,
    },
    /// A version is further than any honest node gets: a peer wants a version that no admin can outdo.
    #[error("{what} has version {version}, too far past {known}, which is known")]
    Jump {
        /// Kind of value: a layout, a bucket's properties, or staged changes.
        what: &'static str,
        /// Version that the value has.
        version: u64,
        /// Version that this node holds; 0 if it holds none.
        known: u64,
    },
    /// The cluster is full: remove members, or run more than one cluster.
    #[error("there are {NODES_MAX} members already")]
    TooManyMembers,
    /// A bucket's name is outside its limits.
    #[error("bucket: {0}")]
    BucketName(InvalidKey),
    /// A bucket's properties contradict one another; perhaps the peer is of a newer version.
    #[error("bucket {name:?}: {fault}")]
    BucketProps {
        /// Name of the bucket.
        name: Blob,
        /// First property that is out of its range.
        fault: InvalidProperty,
    },
    /// The rights of a token or a certificate can't be had; perhaps the peer is of a newer version.
    #[error(transparent)]
    Access(InvalidAccess),
    /// Too many tokens and certificates have rights of their own: give several clients one token.
    #[error("{ACCESS_MAX} tokens and certificates have rights of their own already")]
    TooManyAccess,
    /// Too many buckets have properties set: use fewer buckets; keys can carry prefixes.
    #[error("the properties of {BUCKETS_MAX} buckets are set already")]
    TooManyBuckets,
    /// A layout's ring is not well formed and would break the code that walks it.
    #[error("layout {version}: {fault}")]
    Layout {
        /// Version of the layout.
        version: LayoutVersion,
        /// Fault of the ring.
        fault: RingError,
    },
    /// A layout has version 0, which stands for no layout.
    #[error("a layout has version 0; the first is 1")]
    LayoutVersion,
    /// A layout gives partitions to a node that it lists as departed.
    #[error("layout {version} gives partitions to node {node}, which it says is gone")]
    Departed {
        /// Version of the layout.
        version: LayoutVersion,
        /// Departed node that has a place in the ring.
        node: NodeId,
    },
    /// A layout has another number of partitions: two nodes with different configurations committed first layouts.
    #[error("layout {version} has {found} partitions; those before it have {known}")]
    PartitionCount {
        /// Version of the layout.
        version: LayoutVersion,
        /// Number of partitions that it has.
        found: u32,
        /// Number of partitions that the known layouts have.
        known: u32,
    },
    /// A set of flipped partitions names some that the layout does not have.
    #[error("layout {version}: the set of partitions that flipped is not one of its {partitions}")]
    Flipped {
        /// Version of the layout.
        version: LayoutVersion,
        /// Number of partitions that the layout has.
        partitions: u32,
    },
}

/// Checks the counts of a record that came from another node than its member; the member's own word may count
/// further.
pub(crate) fn check_relayed(record: &MemberRecord) -> Result<(), Unacceptable> {
    check_counts(record, COUNT_MAX)
}

fn check_counts(record: &MemberRecord, max: u64) -> Result<(), Unacceptable> {
    let MemberRecord { node, generation, version, .. } = *record;
    if generation.max(version) <= max {
        return Ok(());
    }
    Err(Unacceptable::MemberCount { node, generation, version, max })
}

/// Bounds a version by the one that it would replace; `known` is `None` if there is none.
pub(crate) fn check_version(
    what: &'static str,
    version: u64,
    known: Option<u64>,
) -> Result<(), Unacceptable> {
    let most = known.map_or(COUNT_MAX, |known| COUNT_MAX.min(known.saturating_add(JUMP_MAX)));
    if version <= most {
        return Ok(());
    }
    Err(Unacceptable::Jump { what, version, known: known.unwrap_or(0) })
}

pub(crate) fn check_member(record: &MemberRecord) -> Result<(), Unacceptable> {
    check_counts(record, OWN_COUNT_MAX)?;
    let MemberRecord { node, weight, name, zone, .. } = record;
    let fits = |label: &String| label.len() <= LABEL_LIMIT_BYTES;
    if *weight > 0 && fits(name) && fits(zone) {
        return Ok(());
    }
    let (name, zone) = (name.len(), zone.len());
    Err(Unacceptable::Member { node: *node, weight: *weight, name, zone })
}

pub(crate) fn check_bucket(entry: &BucketEntry) -> Result<(), Unacceptable> {
    check_name(&entry.name).map_err(Unacceptable::BucketName)?;
    let name = entry.name.clone();
    entry.props.check().map_err(|fault| Unacceptable::BucketProps { name, fault })
}

/// Checks a layout. Call it before anything else: a digest or a walk of a malformed ring could go wrong.
pub(crate) fn check_layout(placed: &WireLayout) -> Result<(), Unacceptable> {
    let version = placed.layout.version;
    if version == 0 {
        return Err(Unacceptable::LayoutVersion);
    }
    let ring = &placed.layout.ring;
    ring.check().map_err(|fault| Unacceptable::Layout { version, fault })?;
    if let Some(departed) =
        placed.layout.departed.iter().find(|departed| ring.node(departed.node).is_some())
    {
        return Err(Unacceptable::Departed { version, node: departed.node });
    }
    let partitions = ring.partitions().get();
    if placed.flipped.is_well_formed(partitions) {
        Ok(())
    } else {
        Err(Unacceptable::Flipped { version, partitions })
    }
}
