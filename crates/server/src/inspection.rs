//! What lies in the folders of shards that were set aside, as plain values for the command that shows it.
//!
//! Invariant: no folder is changed.

use std::path::Path;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Blob, Record};
use jedlik_storage::InspectedKey;
use jedlik_vclock::{Content, Sibling};

pub use jedlik_storage::{Inspected, OpenError, shard_folders};

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// The write that made it: actor and counter.
    pub dot: String,
    /// In milliseconds since the Unix epoch, by the clock of the node that took it.
    pub written_at_ms: u64,
    /// From when on it counts as absent.
    pub expires_at_ms: Option<u64>,
    /// `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// What the shard kept of a key for another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundHint {
    /// For whom.
    pub target: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What.
    pub versions: Vec<FoundVersion>,
}

/// A key with all that a folder holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Its bucket.
    pub bucket: Vec<u8>,
    /// The key itself.
    pub key: Vec<u8>,
    /// Those of the shard's own record.
    pub versions: Vec<FoundVersion>,
    /// What was kept for others.
    pub hints: Vec<FoundHint>,
    /// The values of the record and the hints, merged.
    pub values: Vec<Vec<u8>>,
}

impl From<InspectedKey> for FoundKey {
    fn from(found: InspectedKey) -> Self {
        let merged = versions(&found.merged());
        let hint = |(target, since_ms, record): &(NodeId, u64, Record)| FoundHint {
            target: target.to_string(),
            since_ms: *since_ms,
            versions: versions(record),
        };
        Self {
            bucket: found.key.bucket().to_vec(),
            key: found.key.key().to_vec(),
            versions: found.record.as_ref().map(versions).unwrap_or_default(),
            hints: found.hints.iter().map(hint).collect(),
            values: merged.into_iter().filter_map(|version| version.value).collect(),
        }
    }
}

fn versions(record: &Record) -> Vec<FoundVersion> {
    let version = |sibling: &Sibling<Blob>| FoundVersion {
        dot: format!("{:016x}:{}", sibling.dot.actor.0, sibling.dot.counter),
        written_at_ms: sibling.written_at_ms,
        expires_at_ms: sibling.expires_at_ms,
        value: match &sibling.content {
            Content::Value(value) => Some(value.to_vec()),
            Content::Tombstone => None,
        },
    };
    record.distinct().map(version).collect()
}

/// Hands over all keys of one shard's folder. A copy of what can be read is made below `scratch` meanwhile.
///
/// # Errors
/// There is no shard in the folder, or the copy can't be made.
pub fn inspect(
    folder: &Path,
    scratch: &Path,
    take: &mut dyn FnMut(FoundKey),
) -> Result<Inspected, OpenError> {
    jedlik_storage::inspect(folder, scratch, &mut |key| take(key.into()))
}
