//! A record: the siblings of one key and the clock that covers them.
//!
//! Invariant: siblings are sorted by dot, and the clock covers every one of them.

use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use crate::{Dot, VectorClock};

/// A client's name for one put, kept over its retries.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct WriteId(pub u128);

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Content<V> {
    /// The value that was put.
    Value(V),
    /// The key was deleted.
    Tombstone,
}

/// One version that no other version of the record descends from.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Sibling<V> {
    /// The write event that made it.
    pub dot: Dot,
    /// The client's name for that write.
    pub write_id: WriteId,
    /// When it was written, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// From when on it counts as absent, in the same unit; part of the version, so that every
    /// replica decides alike.
    pub expires_at_ms: Option<u64>,
    /// Value or tombstone.
    pub content: Content<V>,
}

/// Everything a replica knows of one key.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Record<V> {
    pub(crate) clock: VectorClock,
    pub(crate) siblings: Vec<Sibling<V>>,
}

impl<V> Record<V> {
    /// Whether bytes that became this record kept its invariant.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.clock.is_well_formed()
            && self.siblings.is_sorted_by(|a, b| a.dot < b.dot)
            && self.siblings.iter().all(|s| s.dot.counter > 0 && self.clock.covers(s.dot))
    }
}
