//! Contents of folders of shards that were set aside, as plain values for the command that shows them.
//!
//! Invariant: no folder is changed.

use std::path::Path;

use jedlik_protocol::{Record, Value};
use jedlik_storage::{InspectedHint, InspectedKey};
use jedlik_vclock::{Content, Sibling};

pub use jedlik_storage::{Inspected, OpenError, shard_folders};

/// Version of a key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// Dot of the write that made the version: actor and counter.
    pub dot: String,
    /// Time of the write in milliseconds since the Unix epoch, by the clock of the node that took it.
    pub written_at_ms: u64,
    /// Time from which the version counts as absent, in milliseconds since the Unix epoch; `None` if it does not
    /// expire.
    pub expires_at_ms: Option<u64>,
    /// Value of the version; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Hint that the shard kept of a key for another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundHint {
    /// Node for which the hint was kept.
    pub target: String,
    /// Time of the hint in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Versions in the hint's record.
    pub versions: Vec<FoundVersion>,
}

/// Key with all that a folder holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Name of the key's bucket.
    pub bucket: Vec<u8>,
    /// Name of the key within its bucket.
    pub key: Vec<u8>,
    /// Versions in the shard's own record.
    pub versions: Vec<FoundVersion>,
    /// Hints of the key for other nodes.
    pub hints: Vec<FoundHint>,
    /// Values that remain once record and hints are merged.
    pub values: Vec<Vec<u8>>,
}

impl From<InspectedKey> for FoundKey {
    fn from(found: InspectedKey) -> Self {
        let merged = versions(&found.merged());
        let hint = |hint: &InspectedHint| FoundHint {
            target: hint.target.to_string(),
            since_ms: hint.since_ms,
            versions: versions(&hint.record),
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
    let version = |sibling: &Sibling<Value>| FoundVersion {
        dot: format!("{:016x}:{}", sibling.dot.actor.0, sibling.dot.counter),
        written_at_ms: sibling.written_at_ms,
        expires_at_ms: sibling.expires_at_ms,
        value: match &sibling.content {
            Content::Value(value) => Some(value.bytes().to_vec()),
            Content::Tombstone => None,
        },
    };
    record.distinct().map(version).collect()
}

/// Hands over all keys of one shard's folder. A copy of what can be read is kept below `scratch` meanwhile.
///
/// # Errors
/// The folder holds no shard, or the copy can't be made.
pub fn inspect(
    folder: &Path,
    scratch: &Path,
    take: &mut dyn FnMut(FoundKey),
) -> Result<Inspected, OpenError> {
    jedlik_storage::inspect(folder, scratch, &mut |key| take(key.into()))
}
