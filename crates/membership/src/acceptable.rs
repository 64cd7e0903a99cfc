//! What a peer may have this node take over.
//!
//! Invariant: what passes here breaks nobody who plans with it, walks it, or keeps it in memory.

use alloc::string::String;

use jedlik_hashing::{NODES_MAX, NodeId, RingError};
use jedlik_protocol::bucket::{BucketEntry, check_name};
use jedlik_protocol::error::{InvalidKey, InvalidProperty};
use jedlik_protocol::gossip::MemberRecord;
use jedlik_protocol::{Blob, LayoutVersion, WireLayout};
use thiserror::Error;

/// The most buckets whose properties are set: what a summary lists stays small.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// The highest generation or version of a member's record that is taken from somebody else, and the
/// highest version of a layout, of a bucket's properties and of staged changes. Nothing honest gets
/// there: at a thousand changes a second it takes 34 years.
pub(crate) const COUNT_MAX: u64 = 1 << 40;
/// The same of what a member says of itself: whatever others invent of it, it can outdo.
const OWN_COUNT_MAX: u64 = 2 * COUNT_MAX;
/// How far the version of a layout, of a bucket's properties or of staged changes may be past the one
/// that is known: far more commits than a node ever misses.
pub(crate) const JUMP_MAX: u64 = 1 << 20;
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
    /// Nobody counts that far: somebody wants a record that its member can't outdo.
    #[error(
        "member {node} is said to have generation {generation} and version {version}, past {max}"
    )]
    MemberCount {
        /// Whose record it is.
        node: NodeId,
        /// As found.
        generation: u64,
        /// As found.
        version: u64,
        /// The highest of either.
        max: u64,
    },
    /// Nobody counts that far: somebody wants a version that no admin can outdo.
    #[error("{what} has version {version}, too far past {known}, which is known")]
    Jump {
        /// A layout, a bucket's properties, or staged changes.
        what: &'static str,
        /// As found.
        version: u64,
        /// What this node holds; 0 for nothing.
        known: u64,
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
    /// A layout gives partitions to nobody that it says is gone.
    #[error("layout {version} gives partitions to node {node}, which it says is gone")]
    Departed {
        /// Which.
        version: LayoutVersion,
        /// Whom.
        node: NodeId,
    },
    /// Two first layouts were committed by nodes that are configured differently.
    #[error("layout {version} has {found} partitions; those before it have {known}")]
    PartitionCount {
        /// Which.
        version: LayoutVersion,
        /// How many it has.
        found: u32,
        /// How many the others have.
        known: u32,
    },
    /// It names partitions that the layout does not have.
    #[error("layout {version}: the set of partitions that flipped is not one of its {partitions}")]
    Flipped {
        /// Which.
        version: LayoutVersion,
        /// How many there are.
        partitions: u32,
    },
}

/// Whether another node may have this record of a member: what its member says itself may count further.
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

/// Bounds a version by the one that it would take the place of; `known` is `None` if there is none.
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

/// To be asked before anything else: a digest or a walk of a ring that is none could go wrong.
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
