//! The answers to gets, puts and scans.
//!
//! Invariant: an answer becomes the caller's without being copied.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jedlik_hashing::NodeId;
use jedlik_protocol::client as wire;
use jedlik_protocol::{Attributes, Blob};
use jedlik_vclock::Content;

/// Opaque token for everything that a get has seen of a key; a put that carries it replaces exactly that. It is valid
/// for its own key only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Context(Blob);

/// Opaque tag, unique among a key's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionTag(u64);

/// One of a key's concurrent versions: a value, or a tombstone that a delete has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling(wire::Version);

/// The answer to a get. A key that is absent has no sibling with a value; several siblings are concurrent writes
/// that wait to be reconciled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    siblings: Vec<Sibling>,
    context: Option<Context>,
    answered: u8,
    primaries: u8,
    partial: bool,
}

/// The answer to a put or a delete that enough replicas have acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    context: Context,
    siblings: u16,
    warning: bool,
    acknowledged: u8,
    synced: u8,
    by: Vec<Acknowledgement>,
}

/// One node's acknowledgement of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// The node that acknowledged.
    pub node: NodeId,
    /// Primary that the node keeps the version for; `None` if the node is a primary itself.
    pub stands_in_for: Option<NodeId>,
    /// Whether the version was on the node's disk.
    pub synced: bool,
}

/// One key of a scan, with its live siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    bucket: Bytes,
    key: Bytes,
    value_bytes: u64,
    siblings: Vec<Sibling>,
}

impl Context {
    /// Restores a context that was kept as bytes. The bytes are checked by the node that receives the put, not here.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into().into())
    }

    /// Returns the context as bytes that can be kept and given to [`Self::from_bytes`] later.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        self.0.bytes()
    }

    pub(crate) fn into_blob(self) -> Blob {
        self.0
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} bytes)", self.0.len())
    }
}

impl VersionTag {
    /// The tag as a number.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Sibling {
    /// Returns the value; `None` for a tombstone, and in a scan that reads keys without values.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        match &self.0.content {
            Content::Value(value) => Some(value.bytes().bytes()),
            Content::Tombstone => None,
        }
    }

    /// Consumes the sibling and returns its value.
    #[must_use]
    pub fn into_value(self) -> Option<Bytes> {
        match self.0.content {
            Content::Value(value) => Some(value.into_bytes()),
            Content::Tombstone => None,
        }
    }

    /// Returns what the value carries beside its bytes. `None` for a tombstone, and for what a newer version of Jedlik
    /// wrote and this one can't read.
    #[must_use]
    pub fn attributes(&self) -> Option<Attributes> {
        match &self.0.content {
            Content::Value(value) => value.attributes(),
            Content::Tombstone => None,
        }
    }

    /// Whether a delete, concurrent with the other siblings, left this version.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self.0.content, Content::Tombstone)
    }

    /// Returns the tag that tells this version from every other version of the key.
    #[must_use]
    pub fn tag(&self) -> VersionTag {
        VersionTag(self.0.tag)
    }

    /// Returns the time at which the version was written, by the clock of its coordinator.
    #[must_use]
    pub fn written_at(&self) -> SystemTime {
        time(self.0.written_at_ms)
    }

    /// Returns the time at which the version expires; `None` if it never does.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at_ms.map(time)
    }
}

impl Found {
    /// Returns all versions, tombstones included; more than one means concurrent writes.
    #[must_use]
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// Returns the values of those siblings that have one.
    pub fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.siblings.iter().filter_map(Sibling::value)
    }

    /// Consumes the answer and returns its siblings.
    #[must_use]
    pub fn into_siblings(self) -> Vec<Sibling> {
        self.siblings
    }

    /// Whether the key has no value: it was never written, was deleted, or has expired.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.values().next().is_none()
    }

    /// Returns the context that a put must carry to replace these siblings; `None` if the key was never written.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.context.clone()
    }

    /// Returns the number of replicas that had answered when the read quorum was met.
    #[must_use]
    pub fn answered(&self) -> u8 {
        self.answered
    }

    /// Returns the number of primaries among the replicas that answered; the others stood in for unreachable ones.
    #[must_use]
    pub fn primaries(&self) -> u8 {
        self.primaries
    }

    /// Whether the key has more siblings than one answer carries. A put with the context replaces those in this answer;
    /// the next get returns the others.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial
    }
}

impl Stored {
    /// Returns the context that a put must carry to replace this version.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Returns the number of siblings that the key has now; more than one if another client wrote at the same time.
    #[must_use]
    pub fn siblings(&self) -> usize {
        self.siblings.into()
    }

    /// Whether the number of siblings has reached the bucket's `sibling_warning`: get, reconcile and put.
    #[must_use]
    pub fn has_many_siblings(&self) -> bool {
        self.warning
    }

    /// Returns the number of replicas that had acknowledged when the write quorum was met.
    #[must_use]
    pub fn acknowledged(&self) -> u8 {
        self.acknowledged
    }

    /// Returns the number of acknowledging replicas that had the write on disk.
    #[must_use]
    pub fn synced(&self) -> u8 {
        self.synced
    }

    /// Returns the nodes that acknowledged, each with the primary that it stands in for, if any.
    #[must_use]
    pub fn acknowledgements(&self) -> &[Acknowledgement] {
        &self.by
    }
}

impl Entry {
    /// Returns the name of the key's bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bytes {
        &self.bucket
    }

    /// Returns the key within its bucket.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Returns the total length of the key's values in bytes, whether they were read or not.
    #[must_use]
    pub fn value_bytes(&self) -> u64 {
        self.value_bytes
    }

    /// Returns the key's versions that are neither deleted nor expired.
    #[must_use]
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// Returns the values of those siblings that have one.
    pub fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.siblings.iter().filter_map(Sibling::value)
    }
}

#[doc(hidden)]
impl From<wire::GetAnswer> for Found {
    fn from(answer: wire::GetAnswer) -> Self {
        let wire::GetAnswer { versions, context, answered, primaries, partial } = answer;
        let context = context.map(Context);
        Self { siblings: siblings(versions), context, answered, primaries, partial }
    }
}

#[doc(hidden)]
impl From<wire::PutAnswer> for Stored {
    fn from(answer: wire::PutAnswer) -> Self {
        let wire::PutAnswer { context, siblings, warning, acknowledged, synced, by } = answer;
        let by = by.into_iter().map(|wire::Acknowledgement { node, stands_in_for, synced }| {
            Acknowledgement { node, stands_in_for, synced }
        });
        let (context, by) = (Context(context), by.collect());
        Self { context, siblings, warning, acknowledged, synced, by }
    }
}

#[doc(hidden)]
impl From<wire::ScanItem> for Entry {
    fn from(item: wire::ScanItem) -> Self {
        let wire::ScanItem { bucket, key, value_bytes, versions } = item;
        let (bucket, key) = (bucket.into_bytes(), key.into_bytes());
        Self { bucket, key, value_bytes, siblings: siblings(versions) }
    }
}

/// Turns wire versions into siblings within the same allocation.
fn siblings(versions: Vec<wire::Version>) -> Vec<Sibling> {
    versions.into_iter().map(Sibling).collect()
}

fn time(ms: u64) -> SystemTime {
    let since_epoch = Duration::from_millis(ms);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
}
