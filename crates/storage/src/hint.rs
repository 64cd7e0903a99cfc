//! Hints as an engine writes and reads them, damaged ones included.
//!
//! Invariant: a row says how large its hint is even where the record can't be read.

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark};

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
