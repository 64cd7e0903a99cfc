//! Hints: records that this node keeps for other nodes until they are back (paper 4.6).
//!
//! Invariant: there is at most one hint for each target and key. It holds the merge of all records held for them, and
//! is ordered by the age of the oldest of these.

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};

/// Record that a node keeps for another one, which was unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Node for which the record is kept.
    pub target: NodeId,
    /// Time of the oldest record that was merged into the hint, in milliseconds since the Unix epoch, by this node's
    /// clock.
    pub since_ms: u64,
    /// Key of the record, with its partition and position.
    pub key: PlacedKey,
    /// Record that the target has to merge.
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

/// Hint that an engine stores in place of the one of its target and key, or removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintWrite {
    /// Node for which the hint is kept.
    pub target: NodeId,
    /// Key of the hint.
    pub key: PlacedKey,
    /// Hint to store, for that target and key; `None` to remove what is there.
    pub hint: Option<Hint>,
}

impl From<Hint> for HintWrite {
    fn from(hint: Hint) -> Self {
        Self { target: hint.target, key: hint.key.clone(), hint: Some(hint) }
    }
}

/// Place of a hint among its target's: oldest first, then by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintMark {
    /// Time of the hint, as in [`Hint::since_ms`].
    pub since_ms: u64,
    /// Key of the hint, as in [`Hint::key`].
    pub key: PlacedKey,
}

/// Hints of one key, for all targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldHints {
    /// Hints that can be read, sorted by target.
    pub hints: Vec<Hint>,
    /// Whether there are other hints of the key, which fail their checksums.
    pub damaged: bool,
}

/// Page of one target's hints, oldest first, and how far it reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintPage {
    /// Hints that can be read, oldest first.
    pub hints: Vec<Hint>,
    /// Last place that was looked at; `None` if the end was reached.
    pub until: Option<HintMark>,
    /// Places up to `until` of hints that fail their checksums.
    pub damaged: Vec<HintMark>,
}

/// Count, size and age of the hints kept for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintTotals {
    /// Node for which the hints are kept.
    pub target: NodeId,
    /// Number of hints for the target.
    pub count: u64,
    /// Sum of [`Hint::size_bytes`] over these hints.
    pub bytes: u64,
    /// Least [`Hint::since_ms`] of these hints; `None` if the engine could not say.
    pub oldest_ms: Option<u64>,
}

/// Row of an engine that stands for one hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRow {
    /// Place of the hint among its target's.
    pub mark: HintMark,
    /// Size of the hint, as [`Hint::size_bytes`] counts it.
    pub size_bytes: u64,
    /// Record of the hint; `None` if it fails its checksum.
    pub record: Option<StoredRecord>,
}

impl HintRow {
    /// Returns the hint for `target` that the row stands for; `None` if it is damaged.
    #[must_use]
    pub fn into_hint(self, target: NodeId) -> Option<Hint> {
        let HintMark { since_ms, key } = self.mark;
        self.record.map(|record| Hint { target, since_ms, key, record })
    }
}

impl From<&Hint> for HintRow {
    fn from(hint: &Hint) -> Self {
        Self { mark: hint.mark(), size_bytes: hint.size_bytes(), record: Some(hint.record.clone()) }
    }
}

/// Page of one target's hints as an engine returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintRows {
    /// Rows in the order of their marks, damaged ones included.
    pub rows: Vec<HintRow>,
    /// Last place that was looked at; `None` if the end was reached.
    pub until: Option<HintMark>,
}

/// Builder that fills a page up to its limits; the first row is taken whatever its size.
pub(crate) struct HintRowsBuilder {
    page: HintRows,
    limit_hints: usize,
    left_bytes: u64,
}

impl HintRowsBuilder {
    pub(crate) fn new(limit_hints: usize, limit_bytes: usize) -> Self {
        Self { page: HintRows::default(), limit_hints, left_bytes: limit_bytes as u64 }
    }

    /// Adds the next row in order. Returns false once the page is full.
    pub(crate) fn push(&mut self, row: HintRow) -> bool {
        let room = row.size_bytes < self.left_bytes;
        self.left_bytes = self.left_bytes.saturating_sub(row.size_bytes);
        self.page.rows.push(row);
        if room && self.page.rows.len() < self.limit_hints {
            return true;
        }
        self.page.until = self.page.rows.last().map(|row| row.mark.clone());
        false
    }

    /// Returns the page. Its `until` is set only if it is full.
    pub(crate) fn finish(self) -> HintRows {
        self.page
    }
}
