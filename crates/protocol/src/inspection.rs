//! What one node holds of a key, without values: one node tells it to another, which tells it to an admin.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_vclock::WriteId;
use rkyv::{Archive, Deserialize, Serialize};

use crate::Digest;

/// All that one node holds of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Inspection {
    /// Record of the node, without values; `None` if it has none or can't read it.
    pub record: Option<RecordSummary>,
    /// Whether the node's record fails its checksum.
    pub damaged: bool,
    /// Hints of the key that the node holds, without values.
    pub hints: Vec<HintSummary>,
    /// Whether the node is being refilled with the key's partition, so that it can't say what is absent.
    pub refilling: bool,
}

/// A hint without its values.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HintSummary {
    /// Node that the hint is for.
    pub target: NodeId,
    /// When the node began to hold a hint of this key for the target, in milliseconds since the Unix epoch, by its
    /// own clock.
    pub since_ms: u64,
    /// Record in the hint.
    pub record: RecordSummary,
}

/// A record without its values.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RecordSummary {
    /// Digest of the whole record.
    pub digest: Digest,
    /// Clock of the record: each actor with the counter up to which its writes are seen.
    pub clock: Vec<(u64, u64)>,
    /// Concurrent versions of the record.
    pub siblings: Vec<SiblingSummary>,
}

/// A version without its value.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SiblingSummary {
    /// Actor of the version's dot.
    pub actor: u64,
    /// Counter of the version's dot.
    pub counter: u64,
    /// Identifier that the client gave the put: siblings with the same one are attempts of one put, and count as one.
    pub write_id: WriteId,
    /// Length of the value in bytes; `None` for a tombstone.
    pub value_bytes: Option<u32>,
    /// When the version was written, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// When the version expires, in milliseconds since the Unix epoch; `None` if it doesn't.
    pub expires_at_ms: Option<u64>,
}
