//! What a peer may have this node take over.
//!
//! Invariant: what passes here breaks nobody who plans with it, walks it, or keeps it in memory.

use alloc::string::String;

use jedlik_hashing::{NODES_MAX, NodeId, RingError};
use jedlik_protocol::bucket::{BucketEntry, check_name};
use jedlik_protocol::error::{InvalidKey, InvalidProperty};
use jedlik_protocol::gossip::MemberRecord;
use jedlik_protocol::{Blob, LayoutVersion, PlacedLayout};
use thiserror::Error;

/// The most buckets whose properties are set: what a summary lists stays small.
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

pub(crate) fn check_member(record: &MemberRecord) -> Result<(), Unacceptable> {
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
pub(crate) fn check_layout(placed: &PlacedLayout) -> Result<(), Unacceptable> {
    let version = placed.layout.version;
    if version == 0 {
        return Err(Unacceptable::LayoutVersion);
    }
    let ring = &placed.layout.ring;
    ring.check().map_err(|fault| Unacceptable::Layout { version, fault })?;
    let partitions = ring.partitions().get();
    if placed.flipped.is_well_formed(partitions) {
        Ok(())
    } else {
        Err(Unacceptable::Flipped { version, partitions })
    }
}
