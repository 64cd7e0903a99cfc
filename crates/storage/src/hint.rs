//! Hints: records that this node keeps for other nodes until they are back (paper 4.6).
//!
//! Invariant: there is at most one hint for each target and key. It holds the merge of all that was
//! held, and stands in the order of the oldest of it.

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};

/// A record kept for another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Whom it is for.
    pub target: NodeId,
    /// Since when there has been a hint of this key for it, in milliseconds since the Unix epoch, by
    /// this node's clock.
    pub since_ms: u64,
    /// The record's key.
    pub key: PlacedKey,
    /// What the target has to merge.
    pub record: StoredRecord,
}

impl Hint {
    /// Its place among its target's hints.
    #[must_use]
    pub fn mark(&self) -> HintMark {
        HintMark { since_ms: self.since_ms, key: self.key.clone() }
    }

    /// What it counts in [`HintTotals`]: its bucket, key and record.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let key = self.key.key.bucket().len() + self.key.key.key().len();
        (key + self.record.record.bytes().len()) as u64
    }
}

/// The place of a hint among its target's: oldest first, then by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintMark {
    /// As [`Hint::since_ms`].
    pub since_ms: u64,
    /// As [`Hint::key`].
    pub key: PlacedKey,
}

/// The hints of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldHints {
    /// Those that can be read, sorted by target.
    pub hints: Vec<Hint>,
    /// There are others, which fail their checksums now.
    pub damaged: bool,
}

/// Hints of one target, oldest first, and how far they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintPage {
    /// Those that can be read.
    pub hints: Vec<Hint>,
    /// The last place that was looked at; `None` if the end was reached.
    pub until: Option<HintMark>,
    /// Those up to there that fail their checksums.
    pub damaged: Vec<HintMark>,
}

/// How much is kept for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintTotals {
    /// The node.
    pub target: NodeId,
    /// Its hints.
    pub count: u64,
    /// The sum of their [`Hint::size_bytes`].
    pub bytes: u64,
    /// The least [`Hint::since_ms`]; `None` if the engine could not say.
    pub oldest_ms: Option<u64>,
}

/// A hint as an engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRow {
    /// Its place.
    pub mark: HintMark,
    /// Its [`Hint::size_bytes`].
    pub size_bytes: u64,
    /// `None` if it fails its checksum.
    pub record: Option<StoredRecord>,
}

impl HintRow {
    /// The hint, unless it is damaged.
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

/// An engine's page of hints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintRows {
    /// In the order of their marks, damaged ones included.
    pub rows: Vec<HintRow>,
    /// The last place that was looked at; `None` if the end was reached.
    pub until: Option<HintMark>,
}

/// Fills a page up to its limits, of which the first row passes any.
pub(crate) struct HintRowsBuilder {
    page: HintRows,
    limit_hints: usize,
    left_bytes: u64,
}

impl HintRowsBuilder {
    pub(crate) fn new(limit_hints: usize, limit_bytes: usize) -> Self {
        Self { page: HintRows::default(), limit_hints, left_bytes: limit_bytes as u64 }
    }

    /// Takes the next row in order; false once the page is full.
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

    /// The page, which the end of all hints has cut short unless it was full.
    pub(crate) fn finish(self) -> HintRows {
        self.page
    }
}
