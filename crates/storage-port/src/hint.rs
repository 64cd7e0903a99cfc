//! Hints: records that a node keeps for other nodes until they are back (paper 4.6).
//!
//! Invariant: there is at most one hint for each target and key. It holds the merge of all records held for them, and
//! is ordered by the age of the oldest of these.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};

/// Record that a node keeps for another one, which was unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Node that the hint is for.
    pub target: NodeId,
    /// Time of the oldest write to the hint, in milliseconds since the Unix epoch, by the clock of the node that keeps
    /// it; a hint that grows keeps it.
    pub since_ms: u64,
    /// Key of the record, with its partition and position.
    pub key: PlacedKey,
    /// Merge of all records of the key that were hinted for the target. Its local actor is the hint's own.
    pub record: StoredRecord,
}

impl Hint {
    /// Returns the hint's place among its target's hints.
    #[must_use]
    pub fn mark(&self) -> HintMark {
        HintMark { since_ms: self.since_ms, key: self.key.clone() }
    }

    /// Returns what the hint adds to [`HintTotals::bytes`]: the size of its bucket, key and encoded record.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let key = self.key.key.bucket().len() + self.key.key.key().len();
        (key + self.record.record.bytes().len()) as u64
    }
}

/// Place of a hint among those of its target: the oldest first, in the order of keys where times are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintMark {
    /// Time of the hint, as in [`Hint::since_ms`].
    pub since_ms: u64,
    /// Key of the hint, as in [`Hint::key`].
    pub key: PlacedKey,
}

/// Page of one target's hints, the oldest first, and how far it reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintPage {
    /// Hints that can be read, in the order of their marks.
    pub hints: Vec<Hint>,
    /// Last place that was looked at; `None` if the target has no hints after it.
    pub until: Option<HintMark>,
    /// Places up to `until` of hints that fail their checksums.
    pub damaged: Vec<HintMark>,
}

/// Count, size and age of the hints that are kept for one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HintTotals {
    /// Number of hints, one for each key.
    pub count: u64,
    /// Sum of [`Hint::size_bytes`] over these hints.
    pub bytes: u64,
    /// Least [`Hint::since_ms`] of these hints; `None` without hints, or if storage could not say.
    pub oldest_ms: Option<u64>,
}
